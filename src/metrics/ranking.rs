//! How well scores put samples in order: ROC and precision-recall curves, the areas under them, and whether
//! the target is among the best few.
use super::{
    confusion::Average,
    rows::{Rows, Targets, labels, weights},
};
use crate::{
    error::{Error, Result},
    ops::Float,
    tensor::{Index, Tensor},
};

/// What is called positive if everything from `threshold` up is.
struct Step {
    threshold: f64,
    false_positives: f64,
    true_positives: f64,
}

/// The steps at each distinct score, the highest first.
/// Samples are a score, whether it is of a positive, and a weight; those that weigh nothing are left out, so
/// that nothing is divided by zero.
fn steps(samples: impl Iterator<Item = (f64, bool, f64)>) -> Vec<Step> {
    let mut samples: Vec<(f64, bool, f64)> = samples.filter(|(_, _, weight)| *weight > 0.0).collect();
    samples.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut false_positives, mut true_positives) = (0.0, 0.0);
    // -0 and 0 are one score: `==` and not the order's own comparison.
    let ties = samples.chunk_by(|a, b| a.0 == b.0);
    ties.map(|tie| {
        for (_, positive, weight) in tie {
            *if *positive { &mut true_positives } else { &mut false_positives } += weight;
        }
        Step { threshold: tie.first().map_or(f64::NAN, |s| s.0), false_positives, true_positives }
    })
    .collect()
}

/// The steps of scores `[n]` and targets `[n]`, which are 1 for positive and 0 (or all -1) for negative.
fn binary_steps<T: Float>(
    what: &'static str,
    scores: &Tensor<T>,
    given: &impl Targets<Element: Index>,
) -> Result<Vec<Step>> {
    let targets = given.targets();
    let n = scores.numel();
    if n == 0 || *scores.shape() != [n] || *targets.shape() != [n] {
        let message = format!(
            "takes scores [n] and targets [n], n at least 1, not {} and {}",
            scores.shape(),
            targets.shape()
        );
        return Err(Error::invalid(what, message));
    }
    let targets = labels(targets);
    let negative = if targets.contains(&-1) { -1 } else { 0 };
    if let Some(odd) = targets.iter().find(|&&t| t != 1 && t != negative) {
        let message = format!("takes targets 1 and 0, or 1 and -1, not {odd} beside {negative}");
        return Err(Error::invalid(what, message));
    }
    let scores: Vec<f64> = scores.to_vec().into_iter().map(|v| v.to_f64()).collect();
    finite(what, &scores)?;
    let samples = scores.into_iter().zip(targets).zip(weights(what, given)?);
    Ok(steps(samples.map(|((score, target), weight)| (score, target == 1, weight))))
}

fn finite(what: &'static str, scores: &[f64]) -> Result<()> {
    match scores.iter().find(|v| !v.is_finite()) {
        Some(odd) => Err(Error::invalid(what, format!("takes finite scores, not {odd}"))),
        None => Ok(()),
    }
}

/// Leaves out the steps between two others that `corner` doesn't hold for.
fn thin(steps: Vec<Step>, corner: impl Fn(&Step, &Step, &Step) -> bool) -> Vec<Step> {
    let inner = steps.windows(3).map(|w| match w {
        [before, here, after] => corner(before, here, after),
        _ => true,
    });
    // Both ends stay.
    let keep: Vec<bool> = [true].into_iter().chain(inner).chain([true]).collect();
    steps.into_iter().zip(keep).filter_map(|(step, keep)| keep.then_some(step)).collect()
}

/// The numbers of all positives and of all negatives.
fn totals(steps: &[Step]) -> (f64, f64) {
    steps.last().map_or((0.0, 0.0), |s| (s.true_positives, s.false_positives))
}

/// A receiver operating characteristic, see [`roc_curve`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RocCurve {
    /// The share of negatives that are called positive, rising from 0 to 1.
    pub fpr: Vec<f64>,
    /// The share of positives that are called so, rising from 0 to 1.
    pub tpr: Vec<f64>,
    /// Scores from here up are called positive; the first is infinite, so nothing is.
    pub thresholds: Vec<f64>,
}

/// The rates of true and false positives at each threshold. Scores are `[n]`; targets `[n]` are 1, and 0 or
/// -1.
///
/// `drop_intermediate` leaves out points on a straight line between others. A rate is NaN throughout where
/// there are no targets of its kind.
///
/// ```
/// use kolmo::{Tensor, metrics::roc_curve};
/// let curve = roc_curve(&Tensor::from([0.1f32, 0.4, 0.35, 0.8]), &Tensor::from([0u32, 0, 1, 1]), true)?;
/// assert_eq!(curve.fpr, [0.0, 0.0, 0.5, 0.5, 1.0]);
/// assert_eq!(curve.tpr, [0.0, 0.5, 0.5, 1.0, 1.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// Shapes that don't fit, no samples, other targets, scores that aren't finite.
pub fn roc_curve<T: Float>(
    scores: &Tensor<T>,
    targets: impl Targets<Element: Index>,
    drop_intermediate: bool,
) -> Result<RocCurve> {
    let mut steps = binary_steps("roc_curve", scores, &targets)?;
    if drop_intermediate {
        let bends = |a: f64, b: f64, c: f64| c - b != b - a;
        steps = thin(steps, |before, here, after| {
            bends(before.false_positives, here.false_positives, after.false_positives)
                || bends(before.true_positives, here.true_positives, after.true_positives)
        });
    }
    let (positives, negatives) = totals(&steps);
    let start = Step { threshold: f64::INFINITY, false_positives: 0.0, true_positives: 0.0 };
    let points = || [&start].into_iter().chain(&steps);
    Ok(RocCurve {
        // Of no negatives 0 / 0: NaN, as promised.
        fpr: points().map(|s| s.false_positives / negatives).collect(),
        tpr: points().map(|s| s.true_positives / positives).collect(),
        thresholds: points().map(|s| s.threshold).collect(),
    })
}

/// The area under the steps' ROC curve by trapezoids; NaN if positives or negatives are missing.
fn area(steps: &[Step]) -> f64 {
    let (positives, negatives) = totals(steps);
    let (mut area, mut fp, mut tp) = (0.0, 0.0, 0.0);
    for s in steps {
        area += (s.false_positives - fp) * (s.true_positives + tp) / 2.0;
        (fp, tp) = (s.false_positives, s.true_positives);
    }
    area / (positives * negatives)
}

/// The area under the [`roc_curve`]: how likely a positive has a higher score than a negative, ties counting
/// half. NaN if all targets are the same.
///
/// ```
/// use kolmo::{Tensor, metrics::roc_auc};
/// assert_eq!(roc_auc(&Tensor::from([0.1f32, 0.4, 0.35, 0.8]), &Tensor::from([0u32, 0, 1, 1]))?, 0.75);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// As [`roc_curve`].
#[doc(alias = "roc_auc_score")]
pub fn roc_auc<T: Float>(scores: &Tensor<T>, targets: impl Targets<Element: Index>) -> Result<f64> {
    Ok(area(&binary_steps("roc_auc", scores, &targets)?))
}

/// The [`roc_auc`] of each class against the rest, averaged. Probabilities are `[n, classes]`, each row of
/// sum 1, targets `[n]`.
///
/// NaN if a class has all targets, or with [`Average::Macro`] none; [`Average::Micro`] ranks all entries
/// together and needs only two classes.
///
/// ```
/// use kolmo::{Tensor, metrics::{Average, roc_auc_ovr}};
/// let p = Tensor::from([[0.8f32, 0.1, 0.1], [0.2, 0.5, 0.3], [0.4, 0.4, 0.2]]);
/// assert_eq!(roc_auc_ovr(&p, &Tensor::from([0u32, 1, 2]), Average::Macro)?, 2.5 / 3.0);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// Shapes that don't fit, no samples, a target that is none of the classes, scores that are no probabilities.
pub fn roc_auc_ovr<T: Float>(
    probabilities: &Tensor<T>,
    targets: impl Targets<Element: Index>,
    average: Average,
) -> Result<f64> {
    let what = "roc_auc_ovr";
    let rows = Rows::new(what, probabilities, &targets)?;
    finite(what, &rows.values)?;
    let sums = rows.iter().map(|(row, _)| row.iter().sum::<f64>());
    if let Some(sum) = sums.into_iter().find(|sum| (sum - 1.0).abs() > 1e-4) {
        let message = format!("takes probabilities, each row of sum 1, not {sum}; softmax scores first");
        return Err(Error::invalid(what, message));
    }
    let samples = |class: usize| {
        let column = rows.values.iter().skip(class).step_by(rows.classes);
        let samples = column.zip(&rows.targets).zip(&rows.weights);
        samples.map(move |((&v, &target), &weight)| (v, target == class, weight))
    };
    if average == Average::Micro {
        return Ok(area(&steps((0..rows.classes).flat_map(samples))));
    }
    let areas = (0..rows.classes).map(|class| {
        let steps = steps(samples(class));
        let weight = if average == Average::Weighted { totals(&steps).0 } else { 1.0 };
        // A class without targets is undefined, but where it weighs nothing that is no matter.
        (if weight == 0.0 { 0.0 } else { area(&steps) * weight }, weight)
    });
    let (sum, weights) = areas.fold((0.0, 0.0), |sum, a| (sum.0 + a.0, sum.1 + a.1));
    Ok(sum / weights)
}

/// Precision against recall, see [`precision_recall_curve`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PrecisionRecallCurve {
    /// The share of what is called positive that is so; last a 1 that has no threshold.
    pub precision: Vec<f64>,
    /// The share of positives that are called so, falling; last a 0 that has no threshold.
    pub recall: Vec<f64>,
    /// Scores from here up are called positive, rising; one fewer than there are points.
    pub thresholds: Vec<f64>,
}

/// Precision and recall at each threshold. Scores are `[n]`; targets `[n]` are 1, and 0 or -1.
///
/// `drop_intermediate` leaves out points between others of the same recall. Recall is 1 throughout where
/// there are no positives.
///
/// ```
/// use kolmo::{Tensor, metrics::precision_recall_curve};
/// let scores = Tensor::from([0.1f64, 0.4, 0.35, 0.8]);
/// let curve = precision_recall_curve(&scores, &Tensor::from([0u32, 0, 1, 1]), false)?;
/// assert_eq!(curve.precision, [0.5, 2.0 / 3.0, 0.5, 1.0, 1.0]);
/// assert_eq!(curve.recall, [1.0, 1.0, 0.5, 0.5, 0.0]);
/// assert_eq!(curve.thresholds, [0.1, 0.35, 0.4, 0.8]);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// As [`roc_curve`].
pub fn precision_recall_curve<T: Float>(
    scores: &Tensor<T>,
    targets: impl Targets<Element: Index>,
    drop_intermediate: bool,
) -> Result<PrecisionRecallCurve> {
    let mut steps = binary_steps("precision_recall_curve", scores, &targets)?;
    if drop_intermediate {
        steps = thin(steps, |before, here, after| {
            here.true_positives != before.true_positives || after.true_positives != here.true_positives
        });
    }
    Ok(precision_recall(&steps))
}

fn precision_recall(steps: &[Step]) -> PrecisionRecallCurve {
    let (positives, _) = totals(steps);
    let rising = || steps.iter().rev();
    // Every step calls something positive, so nothing is divided by zero.
    let precision = rising().map(|s| s.true_positives / (s.true_positives + s.false_positives));
    let recall = rising().map(|s| if positives == 0.0 { 1.0 } else { s.true_positives / positives });
    PrecisionRecallCurve {
        precision: precision.chain([1.0]).collect(),
        recall: recall.chain([0.0]).collect(),
        thresholds: rising().map(|s| s.threshold).collect(),
    }
}

/// The area under the [`precision_recall_curve`] as steps, `Σ (Rₖ - Rₖ₋₁) Pₖ`; 0 where there are no
/// positives.
///
/// ```
/// use kolmo::{Tensor, metrics::average_precision};
/// let ap = average_precision(&Tensor::from([0.1f32, 0.4, 0.35, 0.8]), &Tensor::from([0u32, 0, 1, 1]))?;
/// assert!((ap - 5.0 / 6.0).abs() < 1e-15);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// As [`roc_curve`].
#[doc(alias = "average_precision_score")]
pub fn average_precision<T: Float>(scores: &Tensor<T>, targets: impl Targets<Element: Index>) -> Result<f64> {
    let curve = precision_recall(&binary_steps("average_precision", scores, &targets)?);
    let drops = curve.recall.iter().zip(curve.recall.iter().skip(1)).map(|(here, next)| here - next);
    Ok(drops.zip(&curve.precision).map(|(drop, precision)| drop * precision).sum())
}

/// The share of rows of `scores` (`[n, classes]`) whose target is among the `k` highest. Of equal scores the
/// later class ranks higher, as in scikit-learn. Targets are `[n]`.
///
/// ```
/// use kolmo::{Tensor, metrics::top_k_accuracy};
/// let scores = Tensor::from([[0.5f32, 0.3, 0.2], [0.5, 0.3, 0.2]]);
/// assert_eq!(top_k_accuracy(&scores, &Tensor::from([1u32, 2]), 2)?, 0.5);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// Shapes that don't fit, no samples, a target that is none of the classes, NaN among the scores, `k` of 0.
#[doc(alias = "top_k_accuracy_score")]
pub fn top_k_accuracy<T: Float>(
    scores: &Tensor<T>,
    targets: impl Targets<Element: Index>,
    k: usize,
) -> Result<f64> {
    let rows = Rows::new("top_k_accuracy", scores, &targets)?;
    if k == 0 {
        return Err(Error::invalid("top_k_accuracy", "takes k of at least 1, not 0"));
    }
    if rows.values.iter().any(|v| v.is_nan()) {
        return Err(Error::invalid("top_k_accuracy", "a score is NaN, so the scores have no order"));
    }
    let hits = rows.iter().map(|(row, target)| {
        let own = row.get(target).copied().unwrap_or(f64::NAN);
        let above = row.iter().enumerate().filter(|(class, v)| **v > own || (**v == own && *class > target));
        f64::from(above.count() < k)
    });
    Ok(rows.mean(hits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(v: &[f64]) -> Tensor<f64> {
        Tensor::from(v)
    }

    #[test]
    fn targets_of_one_kind_leave_rates_undefined() {
        let ones = Tensor::from([1u32, 1]);
        let curve = roc_curve(&scores(&[0.1, 0.2]), &ones, true).unwrap();
        assert!(curve.fpr.iter().all(|v| v.is_nan()) && curve.tpr == [0.0, 0.5, 1.0]);
        assert!(roc_auc(&scores(&[0.1, 0.2]), &ones).unwrap().is_nan());
        let zeros = Tensor::from([0u32, 0]);
        assert_eq!(average_precision(&scores(&[0.1, 0.2]), &zeros).unwrap(), 0.0);
        let curve = precision_recall_curve(&scores(&[0.1, 0.2]), &zeros, false).unwrap();
        assert_eq!((curve.recall, curve.precision), (vec![1.0, 1.0, 0.0], vec![0.0, 0.0, 1.0]));
    }

    #[test]
    fn minus_zero_is_no_threshold_of_its_own() {
        let curve = roc_curve(&scores(&[0.0, -0.0, 1.0]), &Tensor::from([1i64, -1, 1]), false).unwrap();
        assert_eq!(curve.thresholds, [f64::INFINITY, 1.0, 0.0]);
        assert_eq!(roc_auc(&scores(&[0.0, -0.0]), &Tensor::from([1i64, -1])).unwrap(), 0.5);
    }

    #[test]
    fn an_area_is_the_share_of_pairs_in_order() {
        let s = scores(&[0.3, 0.9, 0.3, 0.5, 0.5, 0.1, 0.5]);
        let targets = [1i64, 1, 0, 0, 1, 0, 1];
        let (v, mut pairs) = (s.to_vec(), Vec::new());
        for (p, _) in targets.iter().enumerate().filter(|(_, t)| **t == 1) {
            for (n, _) in targets.iter().enumerate().filter(|(_, t)| **t == 0) {
                pairs.push(if v[p] > v[n] {
                    1.0
                } else if v[p] == v[n] {
                    0.5
                } else {
                    0.0
                });
            }
        }
        let share = pairs.iter().sum::<f64>() / pairs.len() as f64;
        assert!((roc_auc(&s, &Tensor::from(targets)).unwrap() - share).abs() < 1e-15);
    }

    #[test]
    fn the_later_of_equal_scores_ranks_higher() {
        let s = Tensor::from([[0.5f64, 0.5, 0.1]]);
        assert_eq!(top_k_accuracy(&s, &Tensor::from([0u32]), 1).unwrap(), 0.0);
        assert_eq!(top_k_accuracy(&s, &Tensor::from([1u32]), 1).unwrap(), 1.0);
        assert_eq!(top_k_accuracy(&s, &Tensor::from([2u32]), 9).unwrap(), 1.0);
    }

    #[test]
    fn a_class_without_targets_counts_in_an_even_mean_only() {
        let p = Tensor::from([[0.8f64, 0.1, 0.1], [0.2, 0.5, 0.3]]);
        let auc = |average| roc_auc_ovr(&p, &Tensor::from([0u32, 1]), average).unwrap();
        assert!(auc(Average::Macro).is_nan());
        assert_eq!((auc(Average::Weighted), auc(Average::Micro)), (1.0, 1.0));
    }

    #[test]
    fn what_has_no_order_is_an_error() {
        let targets = Tensor::from([0u32, 1]);
        assert!(roc_curve(&scores(&[0.1, f64::INFINITY]), &targets, true).is_err());
        assert!(roc_auc(&scores(&[0.1, f64::NAN]), &targets).is_err());
        assert!(roc_auc(&scores(&[0.1, 0.2, 0.3]), &targets).is_err());
        assert!(roc_auc(&scores(&[]), &Tensor::<u32>::zeros([0])).is_err());
        assert!(average_precision(&scores(&[0.1, 0.2]), &Tensor::from([0u32, 2])).is_err());
        assert!(average_precision(&scores(&[0.1, 0.2]), &Tensor::from([0i64, -1])).is_err());
        let s = Tensor::from([[0.5f64, 0.2], [0.5, 0.2]]);
        let error = roc_auc_ovr(&s, &targets, Average::Macro).unwrap_err().to_string();
        assert!(error.contains("each row of sum 1, not 0.7"), "{error}");
        assert!(top_k_accuracy(&s, &targets, 0).is_err());
        assert!(top_k_accuracy(&Tensor::from([[0.1, f64::NAN], [0.0, 0.0]]), &targets, 1).is_err());
    }
}
