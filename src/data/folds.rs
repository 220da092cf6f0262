//! Folds for cross-validation, and splits that keep the shares of classes.
use crate::{
    error::{Checked, Error, Result},
    tape::Random,
    tensor::{
        Index, Tensor,
        room::{filled, listed},
    },
};
use rand::seq::SliceRandom;
use std::collections::BTreeMap;

/// The numbers below `n`, shuffled by the seed, in `k` folds: for each, the numbers to train on and those to
/// test on. Every number is tested on once; the folds' sizes differ by one at most.
///
/// ```
/// let folds = kolmo::data::k_fold(10, 3, 0)?;
/// assert_eq!(folds.iter().map(|(train, test)| (train.len(), test.len())).collect::<Vec<_>>(), [(6, 4), (7, 3), (7, 3)]);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// `k` below 2 or above `n`.
pub fn k_fold(n: usize, k: usize, seed: u64) -> Result<Vec<(Vec<usize>, Vec<usize>)>> {
    check(k, n)?;
    let invalid = |message| Error::invalid("k_fold", message);
    let mut order = listed(n, 0..n).map_err(invalid)?;
    order.shuffle(&mut Random::new(seed));
    let mut fold_of = filled(n, 0).map_err(invalid)?;
    // In turn, so that the larger folds come first, as in scikit-learn.
    order.iter().enumerate().for_each(|(place, &i)| fold_of[i] = place % k);
    folds(&fold_of, k)
}

/// The same with every class spread evenly over the folds.
///
/// ```
/// use kolmo::{Tensor, data::stratified_k_fold};
/// let labels = Tensor::from([0u32, 0, 0, 0, 1, 1]);
/// for (_, test) in stratified_k_fold(&labels, 2, 0)? {
///     assert_eq!(test.iter().filter(|&&i| i >= 4).count(), 1); // one of the two in each fold
/// }
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// `k` below 2, or above the number of members of the largest class.
pub fn stratified_k_fold<I: Index>(
    labels: &Tensor<I>,
    k: usize,
    seed: u64,
) -> Result<Vec<(Vec<usize>, Vec<usize>)>> {
    let classes = members(labels, seed);
    check(k, classes.iter().map(Vec::len).max().unwrap_or(0))?;
    let mut fold_of = vec![0; labels.numel()];
    // One class goes on where the last ended, so that the folds are of one size.
    classes.iter().flatten().enumerate().for_each(|(place, &i)| fold_of[i] = place % k);
    folds(&fold_of, k)
}

/// As [`train_test_split`](super::train_test_split), with `⌈fraction · n⌉` to test on and the classes' shares
/// in both parts as near to those of the whole as may be.
///
/// # Errors
/// A fraction that is not between 0 and 1.
pub fn stratified_split<I: Index>(
    labels: &Tensor<I>,
    test_fraction: f64,
    seed: u64,
) -> Result<(Vec<usize>, Vec<usize>)> {
    if !(0.0..=1.0).contains(&test_fraction) {
        let message = format!("fraction {test_fraction} is not between 0 and 1");
        return Err(Error::invalid("stratified_split", message));
    }
    let classes = members(labels, seed);
    let wanted = (test_fraction * labels.numel() as f64).ceil() as usize;
    // Whole parts of each class's share, then one more for those with the largest remainders.
    let share = |class: &Vec<usize>| test_fraction * class.len() as f64;
    let mut counts: Vec<usize> = classes.iter().map(|c| share(c).floor() as usize).collect();
    let mut order: Vec<usize> = (0..classes.len()).collect();
    order.sort_by(|&a, &b| share(&classes[b]).fract().total_cmp(&share(&classes[a]).fract()).then(a.cmp(&b)));
    let mut left = wanted.saturating_sub(counts.iter().sum());
    for class in order.into_iter().cycle().take(2 * classes.len()) {
        if left > 0 && counts[class] < classes[class].len() {
            counts[class] += 1;
            left -= 1;
        }
    }
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (class, count) in classes.iter().zip(counts) {
        test.extend(&class[..count]);
        train.extend(&class[count..]);
    }
    let rng = &mut Random::new(seed);
    train.shuffle(rng);
    test.shuffle(rng);
    Ok((train, test))
}

fn check(k: usize, most: usize) -> Result<()> {
    if (2..=most).contains(&k) {
        return Ok(());
    }
    Err(Error::invalid("k_fold", format!("{k} folds: takes 2 to {most} here")))
}

/// The places of each class, shuffled.
fn members<I: Index>(labels: &Tensor<I>, seed: u64) -> Vec<Vec<usize>> {
    let mut classes: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (i, label) in labels.to_vec().into_iter().enumerate() {
        classes.entry(label.to_i64()).or_default().push(i);
    }
    let rng = &mut Random::new(seed);
    classes
        .into_values()
        .map(|mut class| {
            class.shuffle(rng);
            class
        })
        .collect()
}

fn folds(fold_of: &[usize], k: usize) -> Result<Vec<(Vec<usize>, Vec<usize>)>> {
    let n = fold_of.len();
    let part = |fold: usize| -> Checked<_> {
        let tested = fold_of.iter().filter(|&&f| f == fold).count();
        let train = listed(n - tested, (0..n).filter(|&i| fold_of[i] != fold))?;
        Ok((train, listed(tested, (0..n).filter(|&i| fold_of[i] == fold))?))
    };
    (0..k).map(part).collect::<Checked<_>>().map_err(|message| Error::invalid("k_fold", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_tested_on_once() {
        for (n, k) in [(10, 3), (7, 7), (100, 2)] {
            let folds = k_fold(n, k, 1).unwrap();
            let mut all: Vec<usize> = folds.iter().flat_map(|(_, test)| test.clone()).collect();
            all.sort();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
            assert!(folds.iter().all(|(train, test)| train.len() + test.len() == n));
        }
        assert!(k_fold(3, 4, 0).is_err() && k_fold(3, 1, 0).is_err());
    }

    #[test]
    fn classes_keep_their_shares() {
        let labels = Tensor::from_fn([60], |i| if i < 10 { 7u32 } else { u32::from(i < 30) });
        for (_, test) in stratified_k_fold(&labels, 5, 2).unwrap() {
            let count = |class: u32| test.iter().filter(|&&i| labels.to_vec()[i] == class).count();
            assert_eq!([count(7), count(1), count(0)], [2, 4, 6]);
        }
        let (train, test) = stratified_split(&labels, 0.25, 0).unwrap();
        let count = |class: u32| test.iter().filter(|&&i| labels.to_vec()[i] == class).count();
        assert_eq!((train.len(), [count(7), count(1), count(0)].iter().sum()), (45, 15));
        assert!((2..=3).contains(&count(7)) && count(1) == 5);
        assert!(stratified_split(&labels, -0.1, 0).is_err());
    }
}
