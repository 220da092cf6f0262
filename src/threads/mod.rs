//! The one door to threads: a fork-join pool that shares out tasks and slices, how many may help, memory for
//! each to work in, and memory that they share. What is split is the caller's business: a result must not depend on which thread ran
//! which task, so that it doesn't depend on the number of threads either. Where the system gives no threads,
//! everything is done in the caller.
mod blocks;
mod job;
mod number;
mod parts;
mod pool;
mod scratch;
mod start;
mod sync;

pub(crate) use blocks::{Blocks, Piece, Zeroed};
pub use number::{num_threads, set_num_threads};
pub(crate) use parts::{Part, for_chunks, for_parts, for_rows, try_chunks};
pub(crate) use pool::parallel_for;
pub(crate) use scratch::{Scratch, with_scratch};
#[cfg(feature = "mpi")]
pub(crate) use start::pause;
pub(crate) use start::{JoinHandle, scope, start, start_in};

#[cfg(test)]
mod tests;
