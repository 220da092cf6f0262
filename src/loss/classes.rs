//! Losses of choices among classes: cross entropy and its relatives, and margins between scores.
use super::{Reduction, checks::accepted, options::options};
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

options! {
    /// The cross entropy of scores and classes, or probabilities of them, with PyTorch's options.
    ///
    /// ```
    /// use kolmo::{Tape, Tensor, loss::{CrossEntropyLoss, Reduction}};
    /// let tape = Tape::<f32>::new();
    /// let scores = tape.input([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]);
    /// let loss = CrossEntropyLoss::new().label_smoothing(0.1).reduction(Reduction::None);
    /// let losses = loss.apply(&scores, &Tensor::from([0, 2]));
    /// assert!((losses.to_vec()?[1] - 3f32.ln()).abs() < 1e-6);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    CrossEntropyLoss {
        /// A weight for each class; a mean is then a weighted mean.
        weight: Option<Vec<f64>> as Vec<f64> = None;
        /// The target that doesn't count. -100 by default.
        ignore_index: i64 = -100;
        /// The share, 0 to 1, of the target that is spread evenly over all classes. 0 by default.
        label_smoothing: f64 = 0.0;
    }
}

mod sealed {
    pub trait Sealed {}
    impl<T: crate::tensor::Element> Sealed for &crate::tensor::Tensor<T> {}
    impl<T: crate::ops::Float> Sealed for &crate::tape::Var<'_, T> {}
}

/// What [`cross_entropy`](Var::cross_entropy) compares scores `[n, classes, …]` or `[classes]` with: classes, a
/// tensor of integers `[n, …]`, or probabilities of all classes, a tensor of floats or a value of the tape with
/// the shape of the scores.
pub trait ClassTarget<'t, T: Float>: sealed::Sealed {
    #[doc(hidden)]
    #[track_caller]
    fn loss(self, how: &CrossEntropyLoss, scores: &Var<'t, T>) -> Var<'t, T>;
}

impl<'t, T: Float, I: Index> ClassTarget<'t, T> for &Tensor<I> {
    #[track_caller]
    fn loss(self, how: &CrossEntropyLoss, scores: &Var<'t, T>) -> Var<'t, T> {
        how.of_classes(scores, self)
    }
}

impl<'t, T: Float> ClassTarget<'t, T> for &Var<'t, T> {
    #[track_caller]
    fn loss(self, how: &CrossEntropyLoss, scores: &Var<'t, T>) -> Var<'t, T> {
        how.of_probabilities(scores, self)
    }
}

macro_rules! probabilities {
    ($($t:ident)*) => {$(
        impl<'t> ClassTarget<'t, $t> for &Tensor<$t> {
            #[track_caller]
            fn loss(self, how: &CrossEntropyLoss, scores: &Var<'t, $t>) -> Var<'t, $t> {
                how.of_probabilities(scores, &scores.tape().constant(self))
            }
        }
    )*};
}
probabilities!(f32 f64);

/// Which class each place has, how much it weighs, and what a mean divides by.
struct Places<T: Float> {
    /// Positions of the chosen scores in the tensor of all, [`NOWHERE`] for ignored places.
    chosen: Tensor<u32>,
    weights: Tensor<T>,
    total: f64,
}

impl CrossEntropyLoss {
    /// `-Σ log softmax` at the targets: scores `[n, classes, …]` or `[classes]`, targets `[n, …]` or a single
    /// one. For targets that are probabilities `-Σ p log softmax`, of the shape of the scores; the mean is then
    /// over the places.
    #[track_caller]
    pub fn apply<'t, T: Float>(&self, scores: &Var<'t, T>, target: impl ClassTarget<'t, T>) -> Var<'t, T> {
        target.loss(self, scores)
    }

    #[track_caller]
    fn of_classes<'t, T: Float, I: Index>(&self, scores: &Var<'t, T>, targets: &Tensor<I>) -> Var<'t, T> {
        if let Some(targets) = self.plain(scores, targets) {
            return scores.tape().apply(MeanCrossEntropy { targets, slope: false }, &[scores]);
        }
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
            (self.class_weights(scores) * -logs).sum_dim([class_axis(scores)], false).where_(&counts, &zero);
        let spread = match self.reduction {
            Reduction::Mean => spread.sum() / places.total,
            other => other.of(spread),
        };
        hard * (1.0 - smoothing) + spread * (smoothing / classes(scores) as f64)
    }

    /// The targets where it is the mean for a matrix without further options, for which there is an operation.
    fn plain<T: Float, I: Index>(&self, scores: &Var<'_, T>, targets: &Tensor<I>) -> Option<Tensor<u32>> {
        let n = scores.dim(0);
        if scores.rank() != 2 || targets.rank() != 1 || n != targets.numel() || n == 0 || *self != Self::new()
        {
            return None;
        }
        let source = targets.contiguous();
        let list = source.as_slice().filter(|_| source.lack().is_none())?;
        let classes = scores.dim(1) as i64;
        let fit = list.iter().all(|t| (0..classes).contains(&t.to_i64()));
        let copy = || Tensor::from_fn(targets.shape(), |i| list[i].to_i64() as u32);
        fit.then(|| shared(targets).unwrap_or_else(copy))
    }

    #[track_caller]
    fn of_probabilities<'t, T: Float>(&self, scores: &Var<'t, T>, targets: &Var<'t, T>) -> Var<'t, T> {
        valid!(scores, "cross_entropy", self.check(scores.shape()));
        let fits = accepted(scores.shape() == targets.shape(), || {
            format!("scores {} and probabilities {} must have one shape", scores.shape(), targets.shape())
        });
        valid!(scores, "cross_entropy", fits);
        let smoothing = self.label_smoothing;
        let smoothed = targets * (1.0 - smoothing) + smoothing / classes(scores) as f64;
        let logs = scores.log_softmax(class_axis(scores));
        let all = -(self.class_weights(scores) * logs * smoothed);
        self.reduction.of(all.sum_dim([class_axis(scores)], false))
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

options! {
    /// [`Var::nll_loss`] with its options.
    #[doc(alias = "NLLLoss")]
    NllLoss {
        /// A weight for each class; a mean is then a weighted mean.
        weight: Option<Vec<f64>> as Vec<f64> = None;
        /// The target that doesn't count. -100 by default.
        ignore_index: i64 = -100;
    }
}

impl NllLoss {
    /// The loss of logarithms of probabilities `[n, classes, …]` or `[classes]` at the targets `[n, …]`.
    #[track_caller]
    pub fn apply<'t, T: Float, I: Index>(&self, input: &Var<'t, T>, targets: &Tensor<I>) -> Var<'t, T> {
        let options = CrossEntropyLoss {
            weight: self.weight.clone(),
            ignore_index: self.ignore_index,
            label_smoothing: 0.0,
            reduction: self.reduction,
        };
        let places = valid!(input, "nll_loss", options.places(input.shape(), targets));
        options.at_targets(input, &places)
    }
}

options! {
    /// [`Var::multi_margin_loss`] with its options.
    MultiMarginLoss {
        /// The power of each gap, 1 or 2. 1 by default.
        p: f64 = 1.0;
        /// How far the score of the right class must be above the others. 1 by default.
        margin: f64 = 1.0;
        /// A weight for each class.
        weight: Option<Vec<f64>> as Vec<f64> = None;
    }
}

impl MultiMarginLoss {
    /// The loss of scores `[n, classes]` or `[classes]` and a class for each row.
    #[track_caller]
    pub fn apply<'t, T: Float, I: Index>(&self, input: &Var<'t, T>, targets: &Tensor<I>) -> Var<'t, T> {
        let (p, margin) = (self.p, self.margin);
        if input.rank() == 0 && input.failed_id().is_none() {
            return self.apply(&input.flatten(0, -1), targets);
        }
        valid!(
            input,
            "multi_margin_loss",
            accepted(p == 1.0 || p == 2.0, || format!("p = {p}: 1 or 2 are accepted"))
        );
        let options = CrossEntropyLoss {
            weight: self.weight.clone(),
            ignore_index: i64::MIN,
            ..CrossEntropyLoss::new()
        };
        let matrix = accepted((1..=2).contains(&input.rank()) && input.dim(-1) > 0, || {
            format!("scores are [n, classes] or [classes] with at least one class, not {}", input.shape())
        });
        valid!(input, "multi_margin_loss", matrix);
        // A list of scores may have its class in a list of one.
        let single = input.rank() == 1 && targets.numel() == 1;
        let listed = single && targets.rank() == 1 && self.reduction == Reduction::None;
        let targets = if single { targets.reshaped(&Shape::default()) } else { targets.clone() };
        let places = valid!(input, "multi_margin_loss", options.places::<T, I>(input.shape(), &targets));
        let right = input.elements(places.chosen.clone()).unsqueeze(-1);
        let mut own = valid!(input, "multi_margin_loss", Tensor::full(input.shape(), false).made());
        let flags = own.as_mut_slice();
        for place in valid!(input, "multi_margin_loss", places.chosen.list()) {
            flags[place as usize] = true;
        }
        let gaps = (input - right + margin).clamp_min(0.0).masked_fill(&own, 0.0);
        let gaps = if p == 2.0 { &gaps * &gaps } else { gaps };
        let losses = gaps.sum_dim(-1, false) / input.dim(-1) as f64;
        let losses = losses * input.tape().constant(&places.weights);
        // One loss for each class given: of a list of one, a list.
        self.reduction.of(if listed { losses.reshape_to(&Shape::new(&[1])) } else { losses })
    }
}

options! {
    /// [`Var::multilabel_margin_loss`] with its options.
    #[doc(alias = "MultiLabelMarginLoss")]
    MultilabelMarginLoss {}
}

impl MultilabelMarginLoss {
    /// The loss of scores and lists of right classes, both `[n, classes]` or `[classes]`.
    #[track_caller]
    pub fn apply<'t, T: Float, I: Index>(&self, input: &Var<'t, T>, targets: &Tensor<I>) -> Var<'t, T> {
        if input.rank() == 0 && targets.rank() == 0 && input.failed_id().is_none() {
            let one = Shape::new(&[1]);
            return self.apply(&input.reshape_to(&one), &targets.reshaped(&one));
        }
        let fits = accepted((1..=2).contains(&input.rank()) && input.dim(-1) > 0, || {
            format!("scores are [n, classes] or [classes] with at least one class, not {}", input.shape())
        });
        valid!(input, "multilabel_margin_loss", fits);
        valid!(input, "multilabel_margin_loss", targets.there());
        let same = accepted(input.shape() == targets.shape(), || {
            format!("scores {} and lists of classes {} must have one shape", input.shape(), targets.shape())
        });
        valid!(input, "multilabel_margin_loss", same);
        let classes = input.dim(-1);
        let mut right = valid!(input, "multilabel_margin_loss", filled(input.numel(), false));
        let mut listed = valid!(input, "multilabel_margin_loss", filled(input.numel(), NOWHERE));
        let lists = valid!(input, "multilabel_margin_loss", targets.list());
        for (row, list) in lists.chunks_exact(classes).enumerate() {
            for (k, t) in list.iter().map(|t| t.to_i64()).take_while(|&t| t != -1).enumerate() {
                let class = usize::try_from(t).ok().filter(|&c| c < classes);
                let range = class
                    .ok_or_else(|| format!("class {t} is out of range: -1 to {} are accepted", classes - 1));
                let class = valid!(input, "multilabel_margin_loss", range);
                right[row * classes + class] = true;
                listed[row * classes + k] = (row * classes + class) as u32;
            }
        }
        // Pairs of a listed class (along the last axis but one) and any (along the last).
        let shape: Shape = input.shape().iter().copied().chain([classes]).collect();
        let void = Tensor::build(shape, |out| {
            for (place, out) in out.chunks_exact_mut(classes).enumerate() {
                if listed[place] == NOWHERE {
                    out.fill(true);
                } else {
                    out.copy_from_slice(&right[place / classes * classes..][..classes]);
                }
            }
        });
        let positions = Tensor::from(listed).reshaped(input.shape());
        let gaps = 1.0 - input.elements(positions).unsqueeze(-1) + input.unsqueeze(-2);
        let losses = gaps.clamp_min(0.0).masked_fill(&void, 0.0).sum_dim([-2, -1], false);
        self.reduction.of(losses / classes as f64)
    }
}

/// # Losses: classes
impl<'t, T: Float> Var<'t, T> {
    /// The mean cross entropy of scores `[n, classes, …]` and a class for each row, or probabilities of all
    /// classes, which then have the shape of the scores. Targets of -100 are ignored; [`CrossEntropyLoss`] has the
    /// options.
    ///
    /// ```
    /// use kolmo::{Tape, Tensor};
    /// let tape = Tape::<f64>::new();
    /// let scores = tape.input([[2.0, 0.0], [0.0, 0.0]]);
    /// let loss = scores.cross_entropy(&Tensor::from([0, 1]));
    /// let same = scores.cross_entropy(&Tensor::from([[1.0, 0.0], [0.0, 1.0]]));
    /// assert!((loss.item()? - same.item()?).abs() < 1e-12);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn cross_entropy(&self, target: impl ClassTarget<'t, T>) -> Var<'t, T> {
        target.loss(&CrossEntropyLoss::new(), self)
    }

    /// The negative of logarithms of probabilities `[n, classes, …]` at the targets `[n, …]`, which is what
    /// [`cross_entropy`](Var::cross_entropy) does after a log_softmax; the mean. Targets of -100 are ignored.
    /// [`NllLoss`] has the options.
    #[track_caller]
    pub fn nll_loss<I: Index>(&self, targets: &Tensor<I>) -> Var<'t, T> {
        NllLoss::new().apply(self, targets)
    }

    /// How far the score of the right class is from being `margin` above the others: the sum over these of
    /// `max(0, margin - xₜ + xⱼ)ᵖ`, divided by the number of classes, times the weight of the class. Scores
    /// `[n, classes]` or `[classes]`; the mean, `p` 1, margin 1. [`MultiMarginLoss`] has the options.
    #[track_caller]
    pub fn multi_margin_loss<I: Index>(&self, targets: &Tensor<I>) -> Var<'t, T> {
        MultiMarginLoss::new().apply(self, targets)
    }

    /// For several right classes a row, listed up to the first -1: the sum over pairs of a right and a wrong
    /// class of `max(0, 1 - xᵣ + x_w)`, divided by the number of classes; the mean. Scores and lists
    /// `[n, classes]` or `[classes]`. [`MultilabelMarginLoss`] has the options.
    #[track_caller]
    pub fn multilabel_margin_loss<I: Index>(&self, targets: &Tensor<I>) -> Var<'t, T> {
        MultilabelMarginLoss::new().apply(self, targets)
    }
}
