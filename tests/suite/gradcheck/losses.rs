//! Losses.
use super::{check_all, numbers, positive};
use kolmo::{Tensor, loss::*};

#[test]
fn distances() {
    let two = || vec![numbers([2, 3]), positive([2, 3])];
    let three = || vec![numbers([2, 3]), positive([2, 3]), positive([2, 3])];
    check_all(&[
        ("mse", |x| x[0].mse_loss(&x[1]), two()),
        ("l1", |x| L1Loss::new().reduction(Reduction::Sum).apply(&x[0], &x[1]).tanh(), two()),
        ("smooth_l1", |x| SmoothL1Loss::new().beta(0.7).apply(&x[0], &x[1]), two()),
        ("huber", |x| HuberLoss::new().delta(0.6).reduction(Reduction::None).apply(&x[0], &x[1]), two()),
        ("triplet", |x| TripletMarginLoss::new().swap(true).apply(&x[0], &x[1], &(&x[2] * 1.3)), three()),
        (
            "hinge embedding",
            |x| {
                let label = x[0].tape().constant([[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]]);
                HingeEmbeddingLoss::new().margin(0.8).apply(&x[0], &label).tanh()
            },
            vec![positive([2, 3])],
        ),
        (
            "margin ranking",
            |x| {
                let label = x[0].tape().constant([[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]]);
                MarginRankingLoss::new().margin(0.3).apply(&x[0], &x[1], &label).tanh()
            },
            two(),
        ),
        (
            "cosine embedding",
            |x| {
                CosineEmbeddingLoss::new().margin(-0.9).apply(
                    &x[0],
                    &x[1],
                    &x[0].tape().constant([1.0, -1.0]),
                )
            },
            two(),
        ),
    ]);
}

#[test]
fn probabilities() {
    let p = || Tensor::from([[0.2, 0.7, 0.4], [0.9, 0.1, 0.5]]);
    let logits = || vec![numbers([2, 3]), p()];
    check_all(&[
        (
            "bce",
            |x| BceLoss::new().weight(&x[2]).apply(&x[0], &x[1]),
            vec![p(), positive([2, 3]), positive([3])],
        ),
        ("bce with logits", |x| x[0].binary_cross_entropy_with_logits(&x[1]), logits()),
        (
            "bce with weights",
            |x| {
                BceWithLogitsLoss::new()
                    .weight(&x[2])
                    .pos_weight(&x[2])
                    .reduction(Reduction::Sum)
                    .apply(&x[0], &x[1])
            },
            vec![numbers([2, 3]), p(), positive([3])],
        ),
        ("soft margin", |x| x[0].soft_margin_loss(&x[1]), logits()),
        ("multilabel soft margin", |x| x[0].multilabel_soft_margin_loss(&x[1]), logits()),
        ("kl_div", |x| KlDivLoss::new().reduction(Reduction::BatchMean).apply(&x[0], &x[1]), logits()),
        ("kl_div of logarithms", |x| KlDivLoss::new().log_target(true).apply(&x[0], &x[1]), logits()),
        (
            "poisson",
            |x| PoissonNllLoss::new().full(true).apply(&x[0], &x[1]),
            vec![numbers([2, 3]), positive([2, 3])],
        ),
        (
            "poisson of rates",
            |x| PoissonNllLoss::new().log_input(false).apply(&x[0], &x[1]),
            vec![positive([2, 3]), p()],
        ),
        (
            "gaussian",
            |x| GaussianNllLoss::new().full(true).apply(&x[0], &x[1], &x[2]),
            vec![numbers([2, 3]), p(), positive([2, 1])],
        ),
    ]);
}

#[test]
fn classes() {
    let scores = || vec![numbers([3, 4])];
    check_all(&[
        ("cross entropy", |x| x[0].cross_entropy(&Tensor::from([0, 3, 1])), scores()),
        (
            "cross entropy with options",
            |x| {
                let loss =
                    CrossEntropyLoss::new().weight([0.5, 1.0, 2.0, 1.5]).label_smoothing(0.2).ignore_index(3);
                loss.apply(&x[0], &Tensor::from([0, 3, 1]))
            },
            scores(),
        ),
        (
            "cross entropy of probabilities",
            |x| CrossEntropyLoss::new().label_smoothing(0.1).apply(&x[0], &x[1]),
            vec![numbers([2, 3]), positive([2, 3])],
        ),
        (
            "cross entropy of pictures",
            |x| CrossEntropyLoss::new().apply(&x[0], &Tensor::from([[0, 1], [2, 0]])),
            vec![numbers([2, 3, 2])],
        ),
        (
            "nll",
            |x| NllLoss::new().ignore_index(0).apply(&x[0].log_softmax(1), &Tensor::from([2, 0, 0])),
            scores(),
        ),
        (
            "multi margin",
            |x| {
                MultiMarginLoss::new()
                    .p(2.0)
                    .weight([1.0, 2.0, 0.5, 1.0])
                    .apply(&x[0], &Tensor::from([2, 0, 3]))
            },
            scores(),
        ),
        (
            "multilabel margin",
            |x| {
                let lists = Tensor::from([[2, 0, -1, 1], [3, -1, 0, 0], [0, 1, 2, -1]]);
                x[0].multilabel_margin_loss(&lists).tanh()
            },
            scores(),
        ),
    ]);
}
