//! Losses of choices among classes: cross entropy and its relatives, and margins between scores.
use super::{Reduction, checks::accepted};
use crate::{
    error::Checked,
    ops::{
        Float,
        index::{shared, valid},
        list::MeanCrossEntropy,
        take::NOWHERE,
    },
    tape::Var,
    tensor::{
        Index, Shape, Tensor,
        room::{filled, room},
    },
};

/// The cross entropy of scores and classes, with PyTorch's options.
///
/// ```
/// use kolmo::{Tape, Tensor, loss::{CrossEntropy, Reduction}};
/// let tape = Tape::<f32>::new();
/// let scores = tape.input([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]);
/// let loss = CrossEntropy::new().label_smoothing(0.1).reduction(Reduction::None);
/// let losses = loss.apply(&scores, &Tensor::from([0, 2]));
/// assert!((losses.to_vec()?[1] - 3f32.ln()).abs() < 1e-6);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a loss does nothing until it is given scores and targets"]
pub struct CrossEntropy {
    weight: Option<Vec<f64>>,
    ignore_index: i64,
    label_smoothing: f64,
    reduction: Reduction,
}

impl Default for CrossEntropy {
    /// No weights, targets of -100 ignored, no smoothing, the mean.
    fn default() -> Self {
        CrossEntropy { weight: None, ignore_index: -100, label_smoothing: 0.0, reduction: Reduction::Mean }
    }
}

/// Which class each place has, how much it weighs, and what a mean divides by.
struct Places<T: Float> {
    /// Positions of the chosen scores in the tensor of all, [`NOWHERE`] for ignored places.
    chosen: Tensor<u32>,
    weights: Tensor<T>,
    total: f64,
}

impl CrossEntropy {
    /// PyTorch's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A weight for each class; a mean is then a weighted mean.
    pub fn weight(self, weight: impl Into<Vec<f64>>) -> Self {
        CrossEntropy { weight: Some(weight.into()), ..self }
    }

    /// The target that doesn't count.
    pub fn ignore_index(self, ignore_index: i64) -> Self {
        CrossEntropy { ignore_index, ..self }
    }

    /// The share, 0 to 1, of the target that is spread evenly over all classes.
    pub fn label_smoothing(self, label_smoothing: f64) -> Self {
        CrossEntropy { label_smoothing, ..self }
    }

    /// How the losses are folded.
    pub fn reduction(self, reduction: Reduction) -> Self {
        CrossEntropy { reduction, ..self }
    }

    /// `-Σ log softmax` at the targets: scores `[n, classes, …]` or `[classes]`, targets `[n, …]` or a single
    /// one.
    #[track_caller]
    pub fn apply<'t, T: Float, I: Index>(&self, scores: &Var<'t, T>, targets: &Tensor<I>) -> Var<'t, T> {
        let places = valid!(scores, "cross_entropy", self.places(scores.shape(), targets));
        let logs = scores.log_softmax(class_axis(scores));
        let hard = self.at_targets(&logs, &places);
        let smoothing = self.label_smoothing;
        if smoothing == 0.0 {
            return hard;
        }
        // What is spread over all classes counts with their weights, at the places that count.
        let list = valid!(scores, "cross_entropy", places.chosen.list());
        let counts = Tensor::from_fn(places.chosen.shape(), |i| list[i] != NOWHERE);
        let zero = scores.tape().constant(T::constant(0.0));
        let spread =
            (self.class_weights(scores) * -logs).sum_dim(&[class_axis(scores)], false).where_(&counts, &zero);
        let spread = match self.reduction {
            Reduction::Mean => spread.sum() / places.total,
            other => other.of(spread),
        };
        hard * (1.0 - smoothing) + spread * (smoothing / classes(scores) as f64)
    }

    /// The same for targets that are probabilities, of the shape of the scores. The mean is over the places.
    #[track_caller]
    pub fn apply_probabilities<'t, T: Float>(&self, scores: &Var<'t, T>, targets: &Var<'t, T>) -> Var<'t, T> {
        valid!(scores, "cross_entropy", self.check(scores.shape()));
        let fits = accepted(scores.shape() == targets.shape(), || {
            format!("scores {} and probabilities {} must have one shape", scores.shape(), targets.shape())
        });
        valid!(scores, "cross_entropy", fits);
        let smoothing = self.label_smoothing;
        let smoothed = targets * (1.0 - smoothing) + smoothing / classes(scores) as f64;
        let logs = scores.log_softmax(class_axis(scores));
        let all = -(self.class_weights(scores) * logs * smoothed);
        self.reduction.of(all.sum_dim(&[class_axis(scores)], false))
    }

    fn check(&self, scores: &Shape) -> Checked<()> {
        let classes = *scores.get(usize::from(scores.rank() > 1)).ok_or("scores need an axis of classes")?;
        if let Some(weight) = self.weight.as_ref().filter(|w| w.len() != classes) {
            return Err(format!("{} weights for {classes} classes", weight.len()));
        }
        let smoothing = self.label_smoothing;
        accepted((0.0..=1.0).contains(&smoothing), || {
            format!("label_smoothing {smoothing} is out of range: 0 to 1 are accepted")
        })
    }

    fn places<T: Float, I: Index>(&self, scores: &Shape, targets: &Tensor<I>) -> Checked<Places<T>> {
        self.check(scores)?;
        targets.there()?;
        crate::ops::index::small(scores)?;
        let axis = usize::from(scores.rank() > 1);
        let (classes, inner) = (scores[axis], scores[axis + 1..].iter().product::<usize>());
        let mut expected = scores.clone();
        expected.remove(axis);
        if *targets.shape() != expected {
            return Err(format!("scores {scores} need targets {expected}, not {}", targets.shape()));
        }
        let (list, mut total) = (targets.list()?, 0.0);
        let (mut weights, mut chosen) = (room(list.len())?, room(list.len())?);
        for (i, target) in list.iter().map(|t| t.to_i64()).enumerate() {
            if target == self.ignore_index {
                chosen.push(NOWHERE);
                weights.push(0.0);
                continue;
            }
            let class = usize::try_from(target).ok().filter(|&c| c < classes);
            let class = class.ok_or_else(|| {
                format!("target {target} is out of range: 0 to {} are accepted", classes as i64 - 1)
            })?;
            let weight = self.weight.as_ref().map_or(1.0, |w| w[class]);
            chosen.push(((i / inner.max(1) * classes + class) * inner + i % inner.max(1)) as u32);
            weights.push(weight);
            total += weight;
        }
        let shaped = |i: usize| T::constant(weights[i]);
        Ok(Places {
            chosen: Tensor::from(chosen).reshaped(&expected),
            weights: Tensor::from_fn(&expected, shaped),
            total,
        })
    }

    /// `-Σ w x` at the targets, folded.
    #[track_caller]
    fn at_targets<'t, T: Float>(&self, logs: &Var<'t, T>, places: &Places<T>) -> Var<'t, T> {
        let chosen = -logs.elements(places.chosen.clone());
        let losses = match &self.weight {
            Some(_) => chosen * logs.tape().constant(&places.weights),
            None => chosen,
        };
        match self.reduction {
            Reduction::Mean => losses.sum() / places.total,
            other => other.of(losses),
        }
    }

    /// The weights along the axis of classes.
    fn class_weights<'t, T: Float>(&self, scores: &Var<'t, T>) -> Var<'t, T> {
        let axis = usize::from(scores.rank() > 1);
        let n = classes(scores);
        let shape: Shape = (0..scores.rank()).map(|a| if a == axis { n } else { 1 }).collect();
        let weight =
            |i: usize| T::constant(self.weight.as_ref().and_then(|w| w.get(i)).copied().unwrap_or(1.0));
        scores.tape().constant(Tensor::from_fn(shape, weight))
    }
}

fn class_axis<T: Float>(scores: &Var<'_, T>) -> isize {
    (scores.rank() > 1) as isize
}

fn classes<T: Float>(scores: &Var<'_, T>) -> usize {
    scores.dim(class_axis(scores))
}

/// # Losses: classes
impl<'t, T: Float> Var<'t, T> {
    /// The mean cross entropy of scores `[n, classes]` and a class for each row; [`CrossEntropy`] has the
    /// options and further shapes. Targets of -100 are ignored.
    #[track_caller]
    #[doc(alias = "CrossEntropyLoss")]
    pub fn cross_entropy<I: Index>(&self, targets: &Tensor<I>) -> Var<'t, T> {
        let plain =
            self.rank() == 2 && targets.rank() == 1 && self.dim(0) == targets.numel() && self.dim(0) > 0;
        let source = targets.contiguous();
        let plain = plain && source.lack().is_none();
        let list = source.as_slice().unwrap_or_default();
        let classes = self.dim(1) as i64;
        if !plain || !list.iter().all(|t| (0..classes).contains(&t.to_i64())) {
            return CrossEntropy::new().apply(self, targets);
        }
        let targets =
            shared(targets).unwrap_or_else(|| Tensor::from_fn(targets.shape(), |i| list[i].to_i64() as u32));
        self.tape().apply(MeanCrossEntropy { targets }, &[self])
    }

    /// The negative of logarithms of probabilities `[n, classes, …]` at the targets `[n, …]`: what
    /// [`CrossEntropy`] is after a log_softmax. `weight` and `ignore_index` as there.
    #[track_caller]
    #[doc(alias = "NLLLoss")]
    pub fn nll_loss<I: Index>(
        &self,
        targets: &Tensor<I>,
        weight: Option<&[f64]>,
        ignore_index: i64,
        reduction: Reduction,
    ) -> Var<'t, T> {
        let options = CrossEntropy {
            weight: weight.map(<[f64]>::to_vec),
            ignore_index,
            label_smoothing: 0.0,
            reduction,
        };
        let places = valid!(self, "nll_loss", options.places(self.shape(), targets));
        options.at_targets(self, &places)
    }

    /// How far the score of the right class is from being `margin` above the others: the sum over these of
    /// `max(0, margin - xₜ + xⱼ)ᵖ`, divided by the number of classes, times the weight of the class. Scores
    /// `[n, classes]` or `[classes]`; `p` is 1 or 2. PyTorch's defaults: `p` 1, margin 1.
    #[track_caller]
    pub fn multi_margin_loss<I: Index>(
        &self,
        targets: &Tensor<I>,
        p: f64,
        margin: f64,
        weight: Option<&[f64]>,
        reduction: Reduction,
    ) -> Var<'t, T> {
        if self.rank() == 0 && self.failed_id().is_none() {
            return self.ravel().multi_margin_loss(targets, p, margin, weight, reduction);
        }
        valid!(
            self,
            "multi_margin_loss",
            accepted(p == 1.0 || p == 2.0, || format!("p = {p}: 1 or 2 are accepted"))
        );
        let options = CrossEntropy {
            weight: weight.map(<[f64]>::to_vec),
            ignore_index: i64::MIN,
            ..CrossEntropy::new()
        };
        let matrix = accepted((1..=2).contains(&self.rank()) && self.dim(-1) > 0, || {
            format!("scores are [n, classes] or [classes] with at least one class, not {}", self.shape())
        });
        valid!(self, "multi_margin_loss", matrix);
        // A list of scores may have its class in a list of one.
        let single = self.rank() == 1 && targets.numel() == 1;
        let listed = single && targets.rank() == 1 && reduction == Reduction::None;
        let targets = if single { targets.reshaped(&Shape::default()) } else { targets.clone() };
        let places = valid!(self, "multi_margin_loss", options.places::<T, I>(self.shape(), &targets));
        let right = self.elements(places.chosen.clone()).unsqueeze(-1);
        let mut own = valid!(self, "multi_margin_loss", Tensor::full(self.shape(), false).made());
        let flags = own.as_mut_slice();
        for place in valid!(self, "multi_margin_loss", places.chosen.list()) {
            flags[place as usize] = true;
        }
        let gaps = (self - right + margin).clamp_min(0.0).masked_fill(&own, 0.0);
        let gaps = if p == 2.0 { &gaps * &gaps } else { gaps };
        let losses = gaps.sum_dim(&[-1], false) / self.dim(-1) as f64;
        let losses = losses * self.tape().constant(&places.weights);
        // One loss for each class given: of a list of one, a list.
        reduction.of(if listed { losses.reshape_to(&Shape::new(&[1])) } else { losses })
    }

    /// For several right classes a row, listed up to the first -1: the sum over pairs of a right and a wrong
    /// class of `max(0, 1 - xᵣ + x_w)`, divided by the number of classes. Scores and lists `[n, classes]`
    /// or `[classes]`.
    #[track_caller]
    pub fn multilabel_margin_loss<I: Index>(&self, targets: &Tensor<I>, reduction: Reduction) -> Var<'t, T> {
        if self.rank() == 0 && targets.rank() == 0 && self.failed_id().is_none() {
            return self.ravel().multilabel_margin_loss(&targets.reshaped(&Shape::new(&[1])), reduction);
        }
        let fits = accepted((1..=2).contains(&self.rank()) && self.dim(-1) > 0, || {
            format!("scores are [n, classes] or [classes] with at least one class, not {}", self.shape())
        });
        valid!(self, "multilabel_margin_loss", fits);
        valid!(self, "multilabel_margin_loss", targets.there());
        let same = accepted(self.shape() == targets.shape(), || {
            format!("scores {} and lists of classes {} must have one shape", self.shape(), targets.shape())
        });
        valid!(self, "multilabel_margin_loss", same);
        let classes = self.dim(-1);
        let mut right = valid!(self, "multilabel_margin_loss", filled(self.numel(), false));
        let mut listed = valid!(self, "multilabel_margin_loss", filled(self.numel(), NOWHERE));
        let lists = valid!(self, "multilabel_margin_loss", targets.list());
        for (row, list) in lists.chunks_exact(classes).enumerate() {
            for (k, t) in list.iter().map(|t| t.to_i64()).take_while(|&t| t != -1).enumerate() {
                let class = usize::try_from(t).ok().filter(|&c| c < classes);
                let range = class
                    .ok_or_else(|| format!("class {t} is out of range: -1 to {} are accepted", classes - 1));
                let class = valid!(self, "multilabel_margin_loss", range);
                right[row * classes + class] = true;
                listed[row * classes + k] = (row * classes + class) as u32;
            }
        }
        // Pairs of a listed class (along the last axis but one) and any (along the last).
        let positions = Tensor::from_fn(self.shape(), |i| listed[i]);
        let shape: Shape = self.shape().iter().copied().chain([classes]).collect();
        let void = Tensor::from_fn(&shape, |i| {
            let (place, other) = (i / classes, i % classes);
            listed[place] == NOWHERE || right[place / classes * classes + other]
        });
        let gaps = 1.0 - self.elements(positions).unsqueeze(-1) + self.unsqueeze(-2);
        let losses = gaps.clamp_min(0.0).masked_fill(&void, 0.0).sum_dim(&[-2, -1], false);
        reduction.of(losses / classes as f64)
    }
}
