//! Which class was taken for which, and all that follows from those counts. Rankings and probabilities are
//! left to the files beside this one.
use super::rows::{Targets, labels, no_class, predicted_labels, weights};
use crate::{
    error::{Error, Result},
    real::Arithmetic,
    tensor::{Element, Index, Tensor, room::filled},
};

/// More classes would take more than half a gigabyte of counts.
const MAX_CLASSES: usize = 1 << 13;

/// How often each class was taken for each: rows are targets, columns are predictions.
///
/// It can be filled batch by batch.
///
/// ```
/// use kolmo::{Tensor, metrics::{Average, ConfusionMatrix}};
/// let mut matrix = ConfusionMatrix::new(3)?;
/// matrix.update(&Tensor::from([[0.9f32, 0.1, 0.0], [0.2, 0.3, 0.5]]), &Tensor::from([0u32, 1]))?;
/// matrix.update(&Tensor::from([1u32, 2]), &Tensor::from([1u32, 2]))?;
/// assert_eq!(matrix.counts().to_vec(), [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
/// assert_eq!(matrix.accuracy(), 0.75);
/// assert_eq!(matrix.precision_recall_f1(Average::Macro).precision, 2.5 / 3.0);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ConfusionMatrix {
    classes: usize,
    counts: Vec<f64>,
    zero_division: f64,
}

/// What the entries of a normalised [`ConfusionMatrix`] are shares of.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Normalize {
    /// Of the samples with this target: rows add up to 1.
    True,
    /// Of the samples with this prediction: columns add up to 1.
    Pred,
    /// Of all samples.
    All,
}

/// How much a disagreement of classes `i` and `j` weighs in [`ConfusionMatrix::cohen_kappa`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum KappaWeights {
    /// All the same.
    #[default]
    None,
    /// `|i - j|`, for classes that have an order.
    Linear,
    /// `(i - j)²`.
    Quadratic,
}

/// How the figures of several classes become one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Average {
    /// The mean over classes; those that are NaN are left out.
    #[default]
    Macro,
    /// The figure of all classes' counts together.
    Micro,
    /// The mean over classes, weighted by how many targets each has.
    Weighted,
}

/// Precision `tp / (tp + fp)`, recall `tp / (tp + fn)` and their harmonic mean `2 tp / (2 tp + fp + fn)`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct PrecisionRecallF1 {
    /// The share of the class's predictions that are right.
    pub precision: f64,
    /// The share of the class's targets that are found.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
    /// How many targets it is of, or what they weigh.
    pub support: f64,
}

impl PrecisionRecallF1 {
    fn new(hits: f64, predicted: f64, support: f64, zero_division: f64) -> PrecisionRecallF1 {
        let ratio = |a: f64, b: f64| if b == 0.0 { zero_division } else { a / b };
        PrecisionRecallF1 {
            precision: ratio(hits, predicted),
            recall: ratio(hits, support),
            f1: ratio(2.0 * hits, predicted + support),
            support,
        }
    }
}

fn fbeta(beta: f64, hits: f64, predicted: f64, support: f64, zero_division: f64) -> f64 {
    let square = beta * beta;
    // Where recall is all that counts.
    if square == f64::INFINITY {
        return if support == 0.0 { zero_division } else { hits / support };
    }
    let below = square * support + predicted;
    if below == 0.0 { zero_division } else { (1.0 + square) * hits / below }
}

/// The weighted mean of what isn't NaN; weights that are all zero count as equal ones.
fn mean(values: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let defined = values.filter(|(v, _)| !v.is_nan());
    let total: f64 = defined.clone().map(|(_, w)| w).sum();
    if total > 0.0 {
        defined.map(|(v, w)| v * w).sum::<f64>() / total
    } else {
        defined.clone().map(|(v, _)| v).sum::<f64>() / defined.count() as f64
    }
}

impl ConfusionMatrix {
    /// No samples yet, of this many classes.
    ///
    /// # Errors
    /// No classes, or more than 8192.
    pub fn new(classes: usize) -> Result<ConfusionMatrix> {
        if classes == 0 || classes > MAX_CLASSES {
            let message = format!("takes 1 to {MAX_CLASSES} classes, not {classes}");
            return Err(Error::invalid("ConfusionMatrix", message));
        }
        let counts = filled(classes * classes, 0.0).map_err(|m| Error::invalid("ConfusionMatrix", m))?;
        Ok(ConfusionMatrix { classes, counts, zero_division: 0.0 })
    }

    /// What a figure is where there is nothing to divide by, as the precision of a class that is never
    /// predicted: 0 (the default), 1 or NaN. Classes that are NaN are left out of a mean.
    pub fn zero_division(self, value: f64) -> ConfusionMatrix {
        ConfusionMatrix { zero_division: value, ..self }
    }

    /// Of all these samples; the classes are 0 to the largest that occurs. See [`update`](Self::update).
    #[doc(alias = "confusion_matrix")]
    pub fn from_predictions<P: Element>(
        predictions: &Tensor<P>,
        targets: impl Targets<Element: Index>,
    ) -> Result<ConfusionMatrix> {
        let predicted = predicted_labels("ConfusionMatrix", predictions, targets.targets())?;
        let (weights, targets) = (weights("ConfusionMatrix", &targets)?, labels(targets.targets()));
        let last = predicted.iter().chain(&targets).max().copied().unwrap_or_default();
        let mut matrix =
            ConfusionMatrix::new(usize::try_from(last).map_or(1, |last| last.saturating_add(1)))?;
        matrix.add(predicted, targets, weights)?;
        Ok(matrix)
    }

    /// Counts more samples. Predictions are labels `[n]`, or scores `[n, classes]` the largest of which is
    /// the predicted class; targets are `[n]`. A sample counts as much as it [weighs](Targets).
    ///
    /// # Errors
    /// Shapes that don't fit, no samples, NaN among the scores, a label that is none of the classes; nothing
    /// is counted then.
    pub fn update<P: Element>(
        &mut self,
        predictions: &Tensor<P>,
        targets: impl Targets<Element: Index>,
    ) -> Result<()> {
        let predicted = predicted_labels("ConfusionMatrix", predictions, targets.targets())?;
        let weights = weights("ConfusionMatrix", &targets)?;
        self.add(predicted, labels(targets.targets()), weights)
    }

    fn add(&mut self, predicted: Vec<i64>, targets: Vec<i64>, weights: Vec<f64>) -> Result<()> {
        let classes = self.classes;
        let known = |label: i64| usize::try_from(label).is_ok_and(|l| l < classes);
        if let Some(&odd) = predicted.iter().chain(&targets).find(|l| !known(**l)) {
            return Err(Error::invalid("ConfusionMatrix", no_class(odd, classes)));
        }
        for ((p, t), weight) in predicted.into_iter().zip(targets).zip(weights) {
            if let Some(count) = self.counts.get_mut(t as usize * classes + p as usize) {
                *count += weight;
            }
        }
        Ok(())
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The counts, or the sums of weights, `[classes, classes]`.
    pub fn counts(&self) -> Tensor<f64> {
        self.square(|i| self.counts.get(i).copied().unwrap_or_default())
    }

    /// The counts as shares, `[classes, classes]`; 0 where there is nothing to share.
    pub fn normalized(&self, normalize: Normalize) -> Tensor<f64> {
        let (rows, columns, all) = (self.support(), self.predicted(), self.samples());
        let whole = |row: f64, column: f64| match normalize {
            Normalize::True => row,
            Normalize::Pred => column,
            Normalize::All => all,
        };
        let wholes = rows.iter().flat_map(|&r| columns.iter().map(move |&c| whole(r, c)));
        let share = |(&n, whole): (&f64, f64)| if whole == 0.0 { 0.0 } else { n / whole };
        let shares: Vec<f64> = self.counts.iter().zip(wholes).map(share).collect();
        self.square(|i| shares.get(i).copied().unwrap_or_default())
    }

    fn square<E: Element>(&self, entry: impl FnMut(usize) -> E) -> Tensor<E> {
        Tensor::from_fn([self.classes, self.classes], entry)
    }

    /// How many targets each class has.
    fn support(&self) -> Vec<f64> {
        self.counts.chunks_exact(self.classes).map(|row| row.iter().sum()).collect()
    }

    /// How many predictions each class has.
    fn predicted(&self) -> Vec<f64> {
        (0..self.classes).map(|c| self.counts.iter().skip(c).step_by(self.classes).sum()).collect()
    }

    /// How many targets of each class were found.
    fn hits(&self) -> impl Iterator<Item = f64> {
        self.counts.iter().step_by(self.classes + 1).copied()
    }

    fn samples(&self) -> f64 {
        self.counts.iter().sum()
    }

    /// The share of samples whose prediction is the target; NaN without samples.
    pub fn accuracy(&self) -> f64 {
        self.hits().sum::<f64>() / self.samples()
    }

    /// The mean recall of the classes that have targets; NaN without samples.
    pub fn balanced_accuracy(&self) -> f64 {
        let recall = |(hits, support): (f64, f64)| hits / support;
        let recalls: Vec<f64> = self.hits().zip(self.support()).map(recall).collect();
        mean(recalls.iter().map(|&r| (r, 1.0)))
    }

    /// Matthews' correlation of predictions and targets, for any number of classes (Gorodkin's R_K):
    ///
    /// `(c s - Σ pₖ tₖ) / √((s² - Σ pₖ²)(s² - Σ tₖ²))` with `c` hits of `s` samples, `pₖ` predictions and
    /// `tₖ` targets of class k. 0 if predictions or targets are all the same.
    pub fn matthews_corrcoef(&self) -> f64 {
        let (predicted, support) = (self.predicted(), self.support());
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let (hits, samples) = (self.hits().sum::<f64>(), self.samples());
        // Of one class alone exactly 0, however weights are rounded.
        let alone = |a: &[f64]| a.iter().filter(|n| **n > 0.0).count() <= 1;
        let spread = |a: &[f64]| if alone(a) { 0.0 } else { samples * samples - dot(a, a) };
        let product = spread(&predicted) * spread(&support);
        if product == 0.0 { 0.0 } else { (hits * samples - dot(&predicted, &support)) / product.sqrt() }
    }

    /// Cohen's kappa: `1 - Σ wᵢⱼ nᵢⱼ / Σ wᵢⱼ eᵢⱼ`, where `eᵢⱼ` are the counts that chance would give. NaN if
    /// chance can't disagree, as when there is only one class.
    pub fn cohen_kappa(&self, weights: KappaWeights) -> f64 {
        let (rows, columns, samples) = (self.support(), self.predicted(), self.samples());
        let weight = |i: usize, j: usize| match weights {
            KappaWeights::None => (i != j) as u8 as f64,
            KappaWeights::Linear => i.abs_diff(j) as f64,
            KappaWeights::Quadratic => Arithmetic::square(i.abs_diff(j) as f64),
        };
        let (mut seen, mut by_chance) = (0.0, 0.0);
        for ((i, row), counts) in rows.iter().enumerate().zip(self.counts.chunks_exact(self.classes)) {
            for ((j, column), &n) in columns.iter().enumerate().zip(counts) {
                seen += weight(i, j) * n;
                by_chance += weight(i, j) * (row * column / samples);
            }
        }
        if by_chance == 0.0 { f64::NAN } else { 1.0 - seen / by_chance }
    }

    /// Precision, recall and F1 of each class.
    pub fn per_class(&self) -> Vec<PrecisionRecallF1> {
        let totals = self.predicted().into_iter().zip(self.support());
        let figures = self.hits().zip(totals);
        figures.map(|(hits, (p, t))| PrecisionRecallF1::new(hits, p, t, self.zero_division)).collect()
    }

    /// Precision, recall and F1 as an average over classes. Those that are NaN, where that is the
    /// [`zero_division`](ConfusionMatrix::zero_division), are left out, and a mean of nothing is NaN.
    #[doc(alias("precision_recall_fscore_support", "precision_score", "recall_score", "f1_score"))]
    pub fn precision_recall_f1(&self, average: Average) -> PrecisionRecallF1 {
        let samples = self.samples();
        if average == Average::Micro {
            return PrecisionRecallF1::new(self.hits().sum(), samples, samples, self.zero_division);
        }
        let classes = self.per_class();
        let over = |figure: fn(&PrecisionRecallF1) -> f64| {
            let weight = |c: &PrecisionRecallF1| match average {
                Average::Weighted => c.support,
                _ => 1.0,
            };
            mean(classes.iter().map(|c| (figure(c), weight(c))))
        };
        PrecisionRecallF1 {
            precision: over(|c| c.precision),
            recall: over(|c| c.recall),
            f1: over(|c| c.f1),
            support: samples,
        }
    }

    /// F-beta of each class, `(1 + β²) tp / (β² · targets + predictions)`: recall counts β times as much as
    /// precision.
    pub fn fbeta_per_class(&self, beta: f64) -> Vec<f64> {
        let totals = self.predicted().into_iter().zip(self.support());
        self.hits().zip(totals).map(|(hits, (p, t))| fbeta(beta, hits, p, t, self.zero_division)).collect()
    }

    /// F-beta as an average over classes, as [`precision_recall_f1`](ConfusionMatrix::precision_recall_f1)
    /// averages.
    ///
    /// ```
    /// use kolmo::{Tensor, metrics::{Average, ConfusionMatrix}};
    /// let matrix = ConfusionMatrix::from_predictions(&Tensor::from([0u32, 1, 1]), &Tensor::from([0u32, 0, 1]))?;
    /// assert_eq!(matrix.fbeta(2.0, Average::Macro), (5.0 / 9.0 + 5.0 / 6.0) / 2.0);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[doc(alias = "fbeta_score")]
    pub fn fbeta(&self, beta: f64, average: Average) -> f64 {
        let (classes, samples) = (self.fbeta_per_class(beta), self.samples());
        match average {
            Average::Micro => fbeta(beta, self.hits().sum(), samples, samples, self.zero_division),
            Average::Macro => mean(classes.iter().map(|&f| (f, 1.0))),
            Average::Weighted => {
                let support = self.support();
                mean(classes.iter().zip(&support).map(|(&f, &t)| (f, t)))
            }
        }
    }

    /// Precision, recall and F1 of one class against the other.
    ///
    /// # Errors
    /// More than two classes occur, or two others.
    pub fn binary(&self, positive: usize) -> Result<PrecisionRecallF1> {
        let (predicted, support) = (self.predicted(), self.support());
        let totals = predicted.iter().zip(&support);
        let present: Vec<usize> =
            totals.enumerate().filter(|(_, (p, t))| **p + **t > 0.0).map(|(class, _)| class).collect();
        if present.len() > 2 || (present.len() == 2 && !present.contains(&positive)) {
            let message = format!("takes two classes, one of them the positive {positive}, not {present:?}");
            return Err(Error::invalid("ConfusionMatrix::binary", message));
        }
        let of = |counts: &[f64]| counts.get(positive).copied().unwrap_or_default();
        let hits = self.hits().nth(positive).unwrap_or_default();
        Ok(PrecisionRecallF1::new(hits, of(&predicted), of(&support), self.zero_division))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ints(v: &[i64]) -> Tensor<i64> {
        Tensor::from(v)
    }

    #[test]
    fn batches_count_as_one_set() {
        let (p, t) = ([0, 2, 1, 1, 0, 2], [0, 1, 1, 2, 0, 2]);
        let mut parts = ConfusionMatrix::new(3).unwrap();
        for i in 0..3 {
            parts.update(&ints(&p[2 * i..2 * i + 2]), &ints(&t[2 * i..2 * i + 2])).unwrap();
        }
        assert_eq!(parts, ConfusionMatrix::from_predictions(&ints(&p), &ints(&t)).unwrap());
        assert_eq!(parts.counts().to_vec(), [2.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn a_batch_with_an_unknown_label_counts_nothing() {
        let mut matrix = ConfusionMatrix::new(2).unwrap();
        let error = matrix.update(&ints(&[0, 1]), &ints(&[0, 2])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "ConfusionMatrix: label 2 is none of 2 classes, they are numbered from 0"
        );
        assert!(matrix.update(&ints(&[-1]), &ints(&[0])).is_err());
        assert_eq!(matrix, ConfusionMatrix::new(2).unwrap());
    }

    #[test]
    fn a_label_does_not_decide_how_much_is_allocated() {
        assert!(ConfusionMatrix::from_predictions(&ints(&[0]), &ints(&[i64::MAX])).is_err());
        assert!(ConfusionMatrix::from_predictions(&ints(&[-1]), &ints(&[-2])).is_err());
        assert!(ConfusionMatrix::new(0).is_err() && ConfusionMatrix::new(usize::MAX).is_err());
    }

    #[test]
    fn without_samples_shares_are_zero_and_means_undefined() {
        let matrix = ConfusionMatrix::new(2).unwrap();
        assert_eq!(matrix.normalized(Normalize::All).to_vec(), [0.0; 4]);
        assert!(matrix.accuracy().is_nan() && matrix.balanced_accuracy().is_nan());
        assert!(matrix.cohen_kappa(KappaWeights::Linear).is_nan());
        assert_eq!(matrix.matthews_corrcoef(), 0.0);
        let with = |value| matrix.clone().zero_division(value);
        assert_eq!(matrix.precision_recall_f1(Average::Weighted).f1, 0.0);
        assert_eq!(with(1.0).precision_recall_f1(Average::Weighted).f1, 1.0);
        assert!(with(f64::NAN).precision_recall_f1(Average::Macro).recall.is_nan());
    }

    #[test]
    fn the_positive_class_may_be_missing_beside_one_other_only() {
        let zeros = ConfusionMatrix::from_predictions(&ints(&[0, 0]), &ints(&[0, 0])).unwrap();
        assert_eq!(zeros.zero_division(0.5).binary(1).unwrap().precision, 0.5);
        let both = ConfusionMatrix::from_predictions(&ints(&[0, 1]), &ints(&[0, 0])).unwrap();
        assert_eq!(both.binary(0).unwrap().recall, 0.5);
        assert!(both.binary(2).is_err());
        assert!(
            ConfusionMatrix::from_predictions(&ints(&[0, 1]), &ints(&[0, 2])).unwrap().binary(1).is_err()
        );
    }

    #[test]
    fn fbeta_is_that_of_scikit_learn() {
        let predicted = Tensor::from([0u32, 1, 1, 1, 2, 0, 2]);
        let matrix =
            ConfusionMatrix::from_predictions(&predicted, &Tensor::from([0u32, 0, 1, 1, 2, 2, 2])).unwrap();
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-14, "{a} {b}");
        for (beta, classes, weighted) in [
            (0.5, [0.5, 5.0 / 7.0, 10.0 / 11.0], 0.7365491651205937),
            (2.0, [0.5, 10.0 / 11.0, 5.0 / 7.0], 0.7087198515769944),
        ] {
            matrix.fbeta_per_class(beta).into_iter().zip(classes).for_each(|(a, b)| close(a, b));
            close(matrix.fbeta(beta, Average::Macro), 0.7077922077922079);
            close(matrix.fbeta(beta, Average::Micro), 5.0 / 7.0);
            close(matrix.fbeta(beta, Average::Weighted), weighted);
        }
        close(matrix.fbeta(1.0, Average::Macro), matrix.precision_recall_f1(Average::Macro).f1);
        // A huge β leaves recall, as scikit-learn has it for an infinite one.
        for beta in [1e200, f64::INFINITY] {
            let recalls = matrix.per_class().into_iter().map(|class| class.recall).collect::<Vec<_>>();
            assert_eq!(matrix.fbeta_per_class(beta), recalls);
        }
        let none = ConfusionMatrix::new(2).unwrap().zero_division(0.25);
        assert_eq!(none.fbeta(2.0, Average::Micro), 0.25);
    }
}
