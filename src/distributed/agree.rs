//! What all processes find out together: whether each of them is well, and whether they are alike.
use super::communicator::{Bytes, Communicator};
use crate::error::{Error, Result};

const WELL: u8 = 0;
const FAILED: u8 = 1;

/// What each process has made, in the order of the ranks, unless one of them failed: that is an error on all.
pub(crate) fn agree(world: &dyn Communicator, made: Result<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
    if world.size() == 1 {
        return made.map(|made| vec![made]);
    }
    let (mut told, own) = match made {
        Ok(made) => (made, None),
        Err(e) => (e.to_string().into_bytes(), Some(e)),
    };
    told.push(if own.is_none() { WELL } else { FAILED });
    let all = world.all_gather(told);
    if let Some(own) = own {
        return Err(own.of_rank(world.rank()));
    }
    let mut ranks = all?.into_iter().enumerate();
    ranks.try_fold(Vec::new(), |mut made, (rank, bytes)| {
        let mut bytes = Bytes::unwrap_or_clone(bytes);
        match bytes.pop() {
            Some(WELL) => made.push(bytes),
            _ => return Err(Error::rank(rank, String::from_utf8_lossy(&bytes))),
        }
        Ok(made)
    })
}

/// The same for what only one process makes, on all.
pub(crate) fn told_by(
    world: &dyn Communicator,
    rank: usize,
    make: impl FnOnce() -> Result<Vec<u8>>,
) -> Result<Bytes> {
    if world.size() == 1 {
        return make().map(Bytes::new);
    }
    let made = if world.rank() == rank { make() } else { Ok(Vec::new()) };
    let (mut told, own) = match made {
        Ok(made) => (made, None),
        Err(e) => (e.to_string().into_bytes(), Some(e)),
    };
    told.push(if own.is_none() { WELL } else { FAILED });
    let told = world.broadcast(rank, told);
    if let Some(own) = own {
        return Err(own.of_rank(world.rank()));
    }
    let mut told = Bytes::unwrap_or_clone(told?);
    match told.pop() {
        Some(WELL) => Ok(Bytes::new(told)),
        _ => Err(Error::rank(rank, String::from_utf8_lossy(&told))),
    }
}

/// That all processes say the same of what they are about to do; else an error on all, with the first
/// difference from rank 0.
pub(crate) fn alike(world: &dyn Communicator, facts: Vec<(String, String)>) -> Result<()> {
    if world.size() == 1 {
        return Ok(());
    }
    let wrong = |e: serde_json::Error| Error::invalid("Communicator", e.to_string());
    let all = agree(world, serde_json::to_vec(&facts).map_err(wrong))?;
    let all: Vec<Vec<(String, String)>> =
        all.iter().map(|bytes| serde_json::from_slice(bytes).map_err(wrong)).collect::<Result<_>>()?;
    let Some((first, rest)) = all.split_first() else { return Ok(()) };
    for (rank, facts) in rest.iter().enumerate() {
        let missing = (String::from("the list of what was compared"), String::from("shorter"));
        for i in 0..facts.len().max(first.len()) {
            let (a, b) = (first.get(i).unwrap_or(&missing), facts.get(i).unwrap_or(&missing));
            if a != b {
                let message = if a.0 == b.0 {
                    format!("{} is {} here, {} on rank 0", a.0, b.1, a.1)
                } else {
                    format!("has {} ({}) where rank 0 has {} ({})", b.0, b.1, a.0, a.1)
                };
                return Err(Error::rank(rank + 1, message));
            }
        }
    }
    Ok(())
}
