//! Numbers that processes find out together, each for some parts of the work.
use super::{
    agree::agree,
    communicator::Communicator,
    layout::{put, take, used_up},
    tree::Tree,
};
use crate::{
    data::share,
    error::{Error, Result},
};

/// The sums, over `parts` parts of some work, of the numbers that `f` finds for each: a process does some of
/// the parts, and the sums, which are added in a fixed tree over the parts, are the same to the bit on all of
/// them and on any number of them. So metrics need not be measured by everybody:
///
/// ```
/// use kolmo::distributed::{Alone, Communicator, sum_parts};
/// let held_out: Vec<f64> = (0..1000).map(f64::from).collect();
/// let mean = |world: &dyn Communicator| {
///     let sums = sum_parts(world, 16, |part| {
///         let own = &held_out[part * 1000 / 16..(part + 1) * 1000 / 16];
///         Ok(vec![own.iter().sum(), own.len() as f64])
///     })?;
///     Ok::<_, kolmo::Error>(sums[0] / sums[1])
/// };
/// assert_eq!(mean(&Alone)?, 499.5);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// Those of `f`, on all; parts with different numbers of numbers.
#[doc(alias("all_reduce", "sync_dist"))]
pub fn sum_parts(
    world: &dyn Communicator,
    parts: usize,
    mut f: impl FnMut(usize) -> Result<Vec<f64>>,
) -> Result<Vec<f64>> {
    let of = |rank| share(parts, rank, world.size())..share(parts, rank + 1, world.size());
    let own: Result<Vec<Vec<f64>>> = of(world.rank()).map(&mut f).collect();
    let told = own.map(|own| {
        let mut bytes = Vec::new();
        for part in &own {
            bytes.extend((part.len() as u64).to_le_bytes());
            put(&mut bytes, part);
        }
        bytes
    });
    let (mut tree, mut length) = (Tree::new(), None);
    for (rank, bytes) in agree(world, told)?.iter().enumerate() {
        let mut bytes = bytes.as_slice();
        for part in of(rank) {
            let Some((found, rest)) = bytes.split_first_chunk() else {
                return Err(Error::rank(
                    rank,
                    format!("has done less than part {part}: are there others there?"),
                ));
            };
            let found = usize::try_from(u64::from_le_bytes(*found)).unwrap_or(usize::MAX);
            bytes = rest;
            let first = *length.get_or_insert(found);
            if found != first {
                let message = format!("part {part} has {found} numbers, part 0 {first}");
                return Err(Error::invalid("sum_parts", message));
            }
            let mut numbers = vec![0.0; found.min(bytes.len())];
            take(&mut bytes, rank, &mut numbers)?;
            tree.push(part, 0, numbers, add);
        }
        used_up(bytes, rank)?;
    }
    Ok(tree.total(add).unwrap_or_default())
}

fn add(mut a: Vec<f64>, b: Vec<f64>) -> Vec<f64> {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distributed::{Alone, Local};

    #[test]
    fn sums_of_parts_are_the_same_on_any_number_of_processes() {
        for parts in [0, 1, 5, 16] {
            let numbers = |part: usize| Ok(vec![1.0 / (1.0 + part as f64), 1.0]);
            let alone = sum_parts(&Alone, parts, numbers).unwrap();
            for size in [2, 3, 7] {
                let found = Local::run(size, move |world| sum_parts(&world, parts, numbers)).unwrap();
                assert!(found.iter().all(|found| *found == alone), "{parts} {size}");
            }
            assert_eq!(alone.get(1).copied().unwrap_or_default(), parts as f64);
        }
        let odd = Local::run(2, |world| sum_parts(&world, 4, |part| Ok(vec![0.0; 1 + part / 3])));
        assert_eq!(odd.unwrap_err().to_string(), "rank 0: sum_parts: part 3 has 2 numbers, part 0 1");
        let failed = Local::run(2, |world| {
            sum_parts(
                &world,
                4,
                |part| if part == 3 { Err(Error::custom("no light")) } else { Ok(vec![1.0]) },
            )
        });
        assert_eq!(failed.unwrap_err().to_string(), "rank 1: no light");
    }
}
