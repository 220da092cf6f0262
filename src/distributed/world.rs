//! Who a process works with, as whoever has started it says.
use super::communicator::{Alone, Communicator};
#[cfg(feature = "mpi")]
use super::mpi::Mpi;
use crate::error::Result;

/// Where launchers tell how many processes there are: Open MPI, MPICH and Intel MPI, and Slurm's `srun`.
const LAUNCHERS: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];

/// The processes that `mpirun`, or a scheduler, has started with this one; without, the process is
/// [`Alone`]. So one program is for both:
///
/// ```no_run
/// let world = kolmo::distributed::world()?;
/// println!("rank {} of {}", world.rank(), world.size());
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// One of several processes without the feature `mpi`: each would train alone, and write over the others'
/// files. MPI was joined before.
pub fn world() -> Result<Box<dyn Communicator>> {
    let told = LAUNCHERS.iter().find_map(|name| {
        let size = std::env::var(name).ok()?.trim().parse::<usize>().ok()?;
        Some((*name, size))
    });
    match told {
        None => Ok(Box::new(Alone)),
        Some(told) => join(told),
    }
}

#[cfg(feature = "mpi")]
fn join(_: (&str, usize)) -> Result<Box<dyn Communicator>> {
    Ok(Box::new(Mpi::new()?))
}

#[cfg(not(feature = "mpi"))]
fn join((name, size): (&str, usize)) -> Result<Box<dyn Communicator>> {
    if size <= 1 {
        return Ok(Box::new(Alone));
    }
    let message = format!(
        "this is one of {size} processes, as {name} says, and kolmo was built without its feature `mpi`"
    );
    Err(crate::error::Error::invalid("distributed::world", message))
}
