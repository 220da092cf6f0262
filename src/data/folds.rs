//! Folds for cross-validation, splits that keep the shares of classes, and such that keep groups together.
use super::split::fraction;
use crate::{
    error::{Checked, Error, Result},
    tape::Random,
    tensor::{
        Index, Tensor,
        room::{filled, listed},
    },
};
use std::collections::BTreeMap;

/// Parts of the numbers below n: those to train on, and those to test on.
type Split = (Vec<usize>, Vec<usize>);

/// The numbers below `n`, shuffled, in `k` folds: for each, the numbers to train on and those to test on. Every
/// number is tested on once; the folds' sizes differ by one at most.
///
/// ```
/// let folds = kolmo::data::k_fold(10, 3, &mut kolmo::Random::new(0))?;
/// assert_eq!(folds.iter().map(|(train, test)| (train.len(), test.len())).collect::<Vec<_>>(), [(6, 4), (7, 3), (7, 3)]);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// `k` below 2 or above `n`.
#[doc(alias = "KFold")]
pub fn k_fold(n: usize, k: usize, rng: &mut Random) -> Result<Vec<(Vec<usize>, Vec<usize>)>> {
    check("k_fold", k, n)?;
    let invalid = |message| Error::invalid("k_fold", message);
    let order = rng.order(n).map_err(invalid)?;
    let mut fold_of = filled(n, 0).map_err(invalid)?;
    // In turn, so that the larger folds come first, as in scikit-learn.
    order.iter().enumerate().for_each(|(place, &i)| fold_of[i] = place % k);
    folds(&fold_of, k).map_err(invalid)
}

/// `k` folds, as of [`k_fold`], with every class spread evenly over them.
///
/// ```
/// use kolmo::{Random, Tensor, data::stratified_k_fold};
/// let labels = Tensor::from([0u32, 0, 0, 0, 1, 1]);
/// for (_, test) in stratified_k_fold(&labels, 2, &mut Random::new(0))? {
///     assert_eq!(test.iter().filter(|&&i| i >= 4).count(), 1); // one of the two in each fold
/// }
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// `k` below 2, or above the number of members of the largest class.
#[doc(alias = "StratifiedKFold")]
pub fn stratified_k_fold<I: Index>(
    labels: &Tensor<I>,
    k: usize,
    rng: &mut Random,
) -> Result<Vec<(Vec<usize>, Vec<usize>)>> {
    let mut classes = members(labels);
    classes.iter_mut().for_each(|class| rng.shuffle(class));
    check("stratified_k_fold", k, classes.iter().map(Vec::len).max().unwrap_or(0))?;
    let mut fold_of = vec![0; labels.numel()];
    // One class goes on where the last ended, so that the folds are of one size.
    classes.iter().flatten().enumerate().for_each(|(place, &i)| fold_of[i] = place % k);
    folds(&fold_of, k).map_err(|message| Error::invalid("stratified_k_fold", message))
}

/// `k` folds that keep groups together: for each, the numbers to train on and those to test on, in order. Every
/// number is tested on once, and none of a group is trained on while another of it is tested on, as samples of
/// one patient or one speaker must not be.
///
/// The largest groups first, each goes where there is least, so that the folds are of like size; groups of one
/// size come in random order.
///
/// ```
/// use kolmo::{Random, Tensor, data::group_k_fold};
/// let patients = Tensor::from([7u32, 7, 7, 3, 3, 5]);
/// let mut tested = group_k_fold(&patients, 2, &mut Random::new(0))?.into_iter().map(|(_, test)| test);
/// assert_eq!((tested.next(), tested.next()), (Some(vec![0, 1, 2]), Some(vec![3, 4, 5])));
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// `k` below 2, or above the number of groups.
#[doc(alias = "GroupKFold")]
pub fn group_k_fold<I: Index>(
    groups: &Tensor<I>,
    k: usize,
    rng: &mut Random,
) -> Result<Vec<(Vec<usize>, Vec<usize>)>> {
    let mut groups = members(groups);
    check("group_k_fold", k, groups.len())?;
    rng.shuffle(&mut groups);
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let mut fold_of = vec![0; groups.iter().map(Vec::len).sum()];
    let mut sizes = vec![0; k];
    for group in groups {
        let fold = (0..k).min_by_key(|&fold| sizes[fold]).unwrap_or(0);
        sizes[fold] += group.len();
        group.into_iter().for_each(|i| fold_of[i] = fold);
    }
    folds(&fold_of, k).map_err(|message| Error::invalid("group_k_fold", message))
}

/// The numbers of the samples in two parts, in order, for training and for testing, each group whole in one of
/// them. The test part has `⌈fraction · groups⌉` of the groups.
///
/// ```
/// use kolmo::{Random, Tensor, data::group_split};
/// let patients = Tensor::from([1u32, 1, 2, 2, 3, 3]);
/// let (train, test) = group_split(&patients, 0.3, &mut Random::new(0))?;
/// assert_eq!((train.len(), test.len(), test[0] + 1), (4, 2, test[1]));
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// A fraction that is not between 0 and 1.
#[doc(alias = "GroupShuffleSplit")]
pub fn group_split<I: Index>(
    groups: &Tensor<I>,
    test_fraction: f64,
    rng: &mut Random,
) -> Result<(Vec<usize>, Vec<usize>)> {
    fraction("group_split", test_fraction)?;
    let mut test = members(groups);
    rng.shuffle(&mut test);
    let train = test.split_off((test_fraction * test.len() as f64).ceil() as usize);
    let sorted = |groups: Vec<Vec<usize>>| {
        let mut rows = groups.concat();
        rows.sort();
        rows
    };
    Ok((sorted(train), sorted(test)))
}

/// Two shuffled parts, as of [`train_test_split`](super::train_test_split), with `⌈fraction · n⌉` to test on
/// and the classes' shares in both as near to those of the whole as may be.
///
/// # Errors
/// A fraction that is not between 0 and 1.
#[doc(alias = "StratifiedShuffleSplit")]
pub fn stratified_split<I: Index>(
    labels: &Tensor<I>,
    test_fraction: f64,
    rng: &mut Random,
) -> Result<(Vec<usize>, Vec<usize>)> {
    fraction("stratified_split", test_fraction)?;
    let mut classes = members(labels);
    classes.iter_mut().for_each(|class| rng.shuffle(class));
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
    rng.shuffle(&mut train);
    rng.shuffle(&mut test);
    Ok((train, test))
}

fn check(what: &'static str, k: usize, most: usize) -> Result<()> {
    if (2..=most).contains(&k) {
        return Ok(());
    }
    Err(Error::invalid(what, format!("{k} folds: takes 2 to {most} here")))
}

/// The places of each class, in order.
fn members<I: Index>(labels: &Tensor<I>) -> Vec<Vec<usize>> {
    let mut classes: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (i, label) in labels.to_vec().into_iter().enumerate() {
        classes.entry(label.to_i64()).or_default().push(i);
    }
    classes.into_values().collect()
}

fn folds(fold_of: &[usize], k: usize) -> Checked<Vec<Split>> {
    let n = fold_of.len();
    let part = |fold: usize| -> Checked<_> {
        let tested = fold_of.iter().filter(|&&f| f == fold).count();
        let train = listed(n - tested, (0..n).filter(|&i| fold_of[i] != fold))?;
        Ok((train, listed(tested, (0..n).filter(|&i| fold_of[i] == fold))?))
    };
    (0..k).map(part).collect()
}

/// What each class has to weigh so that all weigh the same together: `n / (classes · members)`, with n samples,
/// the number of classes that occur and that of the class's members; 0 for classes below the largest label that
/// don't occur. For a loss, a [`DataLoader`](super::DataLoader::weights), a metric.
///
/// ```
/// use kolmo::{Tensor, data::class_weights};
/// assert_eq!(class_weights(&Tensor::from([0u32, 0, 0, 2]))?, [4.0 / 6.0, 0.0, 4.0 / 2.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// A label is negative, or too large for a list of all classes.
#[doc(alias("compute_class_weight", "balanced", "compute_sample_weight"))]
pub fn class_weights<I: Index>(labels: &Tensor<I>) -> Result<Vec<f64>> {
    let invalid = |message| Error::invalid("class_weights", message);
    let labels: Vec<i64> = labels.to_vec().into_iter().map(Index::to_i64).collect();
    if let Some(negative) = labels.iter().find(|label| **label < 0) {
        return Err(invalid(format!("label {negative} is no class, they are numbered from 0")));
    }
    let classes =
        labels.iter().max().map_or(0, |last| usize::try_from(*last).map_or(usize::MAX, |last| last + 1));
    let mut weights = filled(classes, 0.0).map_err(invalid)?;
    labels.iter().for_each(|&label| weights[label as usize] += 1.0);
    let occur = weights.iter().filter(|count| **count > 0.0).count();
    for weight in weights.iter_mut().filter(|count| **count > 0.0) {
        *weight = labels.len() as f64 / (occur as f64 * *weight);
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_tested_on_once() {
        for (n, k) in [(10, 3), (7, 7), (100, 2)] {
            let folds = k_fold(n, k, &mut Random::new(1)).unwrap();
            let mut all: Vec<usize> = folds.iter().flat_map(|(_, test)| test.clone()).collect();
            all.sort();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
            assert!(folds.iter().all(|(train, test)| train.len() + test.len() == n));
        }
        let rng = &mut Random::new(0);
        assert!(k_fold(3, 4, rng).is_err() && k_fold(3, 1, rng).is_err());
    }

    #[test]
    fn classes_keep_their_shares() {
        let labels = Tensor::from_fn([60], |i| if i < 10 { 7u32 } else { u32::from(i < 30) });
        for (_, test) in stratified_k_fold(&labels, 5, &mut Random::new(2)).unwrap() {
            let count = |class: u32| test.iter().filter(|&&i| labels.to_vec()[i] == class).count();
            assert_eq!([count(7), count(1), count(0)], [2, 4, 6]);
        }
        let (train, test) = stratified_split(&labels, 0.25, &mut Random::new(0)).unwrap();
        let count = |class: u32| test.iter().filter(|&&i| labels.to_vec()[i] == class).count();
        assert_eq!((train.len(), [count(7), count(1), count(0)].iter().sum()), (45, 15));
        assert!((2..=3).contains(&count(7)) && count(1) == 5);
        assert!(stratified_split(&labels, -0.1, &mut Random::new(0)).is_err());
    }

    #[test]
    fn groups_stay_together() {
        let groups = Tensor::from_fn([100], |i| (i * i % 13) as i64 - 3);
        let of = |rows: &[usize]| -> std::collections::BTreeSet<i64> {
            rows.iter().map(|&i| groups.to_vec()[i]).collect()
        };
        let folds = group_k_fold(&groups, 3, &mut Random::new(1)).unwrap();
        let mut all: Vec<usize> = folds.iter().flat_map(|(_, test)| test.clone()).collect();
        all.sort();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        for (train, test) in &folds {
            assert!(of(train).is_disjoint(&of(test)) && train.len() + test.len() == 100);
            // No two groups are larger than 16 together.
            assert!((25..=42).contains(&test.len()), "{}", test.len());
        }
        let count = of(&(0..100).collect::<Vec<_>>()).len();
        assert!(group_k_fold(&groups, count, &mut Random::new(1)).is_ok());
        let error = group_k_fold(&groups, count + 1, &mut Random::new(1)).unwrap_err().to_string();
        assert!(error.contains("group_k_fold") && error.contains(&format!("takes 2 to {count}")), "{error}");
        let (train, test) = group_split(&groups, 0.3, &mut Random::new(1)).unwrap();
        assert!(of(&train).is_disjoint(&of(&test)) && train.len() + test.len() == 100);
        assert_eq!(of(&test).len(), (0.3 * count as f64).ceil() as usize);
        assert_ne!(group_split(&groups, 0.3, &mut Random::new(2)).unwrap().1, test);
        assert!(group_split(&groups, 1.1, &mut Random::new(1)).is_err());
    }

    #[test]
    fn weights_of_classes_make_them_equal() {
        let labels = Tensor::from([2u32, 0, 2, 2, 0, 2]);
        let weights = class_weights(&labels).unwrap();
        assert_eq!(weights, [1.5, 0.0, 0.75]);
        assert!(class_weights(&Tensor::<u32>::zeros([0])).unwrap().is_empty());
        assert!(class_weights(&Tensor::from([0i64, -1])).unwrap_err().to_string().contains("label -1"));
    }
}
