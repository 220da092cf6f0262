//! Work that is the same on all processes, divided among them.
use super::{agree::agree, communicator::Communicator};
use crate::{
    data::share,
    error::{Error, Result},
};

/// What each of some jobs gives, in their order, on all processes, of which each does some neighbouring ones:
/// `f` is asked for those. `costs` is what each job takes, in any unit.
pub(crate) fn divide(
    world: &dyn Communicator,
    costs: &[usize],
    f: impl FnOnce(&[usize]) -> Result<Vec<Vec<u8>>>,
) -> Result<Vec<Vec<u8>>> {
    let (size, rank) = (world.size(), world.rank());
    let total = costs.iter().fold(0usize, |sum, &cost| sum.saturating_add(cost));
    let (mut own, mut before) = (Vec::new(), 0usize);
    for (job, cost) in costs.iter().enumerate() {
        // Whose share has its middle.
        let middle = before.saturating_add(cost / 2);
        before = before.saturating_add(*cost);
        if (share(total, rank, size)..share(total, rank + 1, size)).contains(&middle)
            || (rank + 1 == size && middle >= total)
        {
            own.push(job);
        }
    }
    let made = f(&own).map(|made| {
        let mut message = Vec::new();
        made.iter().for_each(|bytes| put_bytes(&mut message, bytes));
        message
    });
    let mut all = Vec::new();
    for (rank, message) in agree(world, made)?.iter().enumerate() {
        let mut rest = message.as_slice();
        while !rest.is_empty() {
            let bytes = take_bytes(&mut rest);
            all.push(bytes.ok_or_else(|| Error::rank(rank, "sent a part of a job"))?.to_vec());
        }
    }
    if all.len() != costs.len() {
        let message = format!("{} of {} jobs were done: do all have the same?", all.len(), costs.len());
        return Err(Error::invalid("Communicator", message));
    }
    Ok(all)
}

/// Bytes at the end of a message.
pub(crate) fn put_bytes(message: &mut Vec<u8>, bytes: &[u8]) {
    message.extend((bytes.len() as u64).to_le_bytes());
    message.extend(bytes);
}

/// Takes them from the front of one.
pub(crate) fn take_bytes<'a>(message: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, behind) = message.split_first_chunk()?;
    let (bytes, behind) = behind.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
    *message = behind;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distributed::Local;

    #[test]
    fn each_job_is_done_once_and_all_have_what_it_gives() {
        for costs in [vec![], vec![5], vec![0, 0, 0], vec![9, 1, 1, 1, 0, 40, 3, 3], vec![1; 20]] {
            for size in [1, 2, 3, 7] {
                let own = costs.clone();
                let run = move |world: Local| {
                    let mut done = 0;
                    let all = divide(&world, &own, |jobs| {
                        done = jobs.len();
                        Ok(jobs.iter().map(|&job| vec![job as u8; job]).collect())
                    })?;
                    Ok((done, all))
                };
                let found = Local::run(size, run).unwrap();
                let expected: Vec<Vec<u8>> = (0..costs.len()).map(|job| vec![job as u8; job]).collect();
                assert!(found.iter().all(|(_, all)| *all == expected), "{costs:?} {size}");
                assert_eq!(found.iter().map(|(done, _)| done).sum::<usize>(), costs.len());
                let most = found.iter().map(|(done, _)| *done).max().unwrap_or_default();
                assert!(costs.len() < 20 || most <= 20usize.div_ceil(size), "{size}: {most}");
            }
        }
        let failed = Local::run(2, |world| {
            divide(&world, &[1, 1], |jobs| match jobs {
                [1] => Err(Error::custom("no ink")),
                _ => Ok(vec![Vec::new()]),
            })
        });
        assert_eq!(failed.unwrap_err().to_string(), "rank 1: no ink");
    }
}
