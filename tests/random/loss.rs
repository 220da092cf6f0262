//! Losses of distances, probabilities and labels, with every reduction.
use super::{
    arr::Arr,
    number::{N, n, near},
    program::{Gen, Op, V, mean, op, sum},
};
use kolmo::{Tensor, loss::*};
use std::f64::consts::PI;

pub const REDUCTIONS: [Reduction; 4] =
    [Reduction::Mean, Reduction::Sum, Reduction::BatchMean, Reduction::None];

pub fn reduced(losses: Arr, reduction: Reduction) -> Arr {
    match reduction {
        Reduction::Mean => Arr::one(mean(&losses.data)),
        Reduction::Sum => Arr::one(sum(&losses.data)),
        Reduction::BatchMean => {
            Arr::one(sum(&losses.data) / losses.shape.first().copied().unwrap_or(1) as f64)
        }
        Reduction::None => losses,
        new => unimplemented!("{new:?}"),
    }
}

type Pairwise = for<'t> fn(&V<'t>, &V<'t>, Reduction) -> V<'t>;

fn bce(p: N, t: N) -> N {
    -(t * p.ln() + (n(1.0) - t) * (n(1.0) - p).ln())
}

pub fn hinge(x: N) -> N {
    x.max(n(0.0))
}

/// Name, bounds of the answer, of the target, the crate's, the loss of an element.
const PAIRWISE: &[(&str, [f64; 2], [f64; 2], Pairwise, fn(N, N) -> N)] = &[
    (
        "mse_loss",
        [-99.0, 99.0],
        [-2.0, 2.0],
        |x, y, r| MseLoss::new().reduction(r).apply(x, y),
        |x, y| (x - y).square(),
    ),
    (
        "l1_loss",
        [-99.0, 99.0],
        [-2.0, 2.0],
        |x, y, r| L1Loss::new().reduction(r).apply(x, y),
        |x, y| (x - y).abs(),
    ),
    (
        "smooth_l1_loss",
        [-9.0, 9.0],
        [-2.0, 2.0],
        |x, y, r| SmoothL1Loss::new().beta(0.7).reduction(r).apply(x, y),
        |x, y| {
            let d = (x - y).abs();
            if d.less(n(0.7)) { d.square() / 1.4 } else { d - 0.35 }
        },
    ),
    (
        "huber_loss",
        [-9.0, 9.0],
        [-2.0, 2.0],
        |x, y, r| HuberLoss::new().delta(0.7).reduction(r).apply(x, y),
        |x, y| {
            let d = (x - y).abs();
            if d.less(n(0.7)) { d.square() / 2.0 } else { (d - 0.35) * 0.7 }
        },
    ),
    ("binary_cross_entropy", [0.1, 0.9], [0.1, 0.9], |x, y, r| BceLoss::new().reduction(r).apply(x, y), bce),
    (
        "binary_cross_entropy_with_logits",
        [-4.0, 4.0],
        [0.1, 0.9],
        |x, y, r| BceWithLogitsLoss::new().reduction(r).apply(x, y),
        |x, y| bce(x.sigmoid(), y),
    ),
    (
        "kl_div",
        [-4.0, 4.0],
        [0.1, 0.9],
        |x, y, r| KlDivLoss::new().reduction(r).apply(x, y),
        |x, t| t * (t.ln() - x),
    ),
    (
        "kl_div(log)",
        [-4.0, 4.0],
        [-3.0, 1.0],
        |x, y, r| KlDivLoss::new().log_target(true).reduction(r).apply(x, y),
        |x, t| t.exp() * (t - x),
    ),
    (
        "poisson_nll_loss",
        [-3.0, 3.0],
        [0.2, 3.0],
        |x, y, r| PoissonNllLoss::new().reduction(r).apply(x, y),
        |x, t| x.exp() - t * x,
    ),
    (
        "poisson_nll_loss(full)",
        [0.3, 3.0],
        [0.2, 3.0],
        |x, y, r| PoissonNllLoss::new().log_input(false).full(true).reduction(r).apply(x, y),
        |x, t| {
            let plain = x - t * (x + 1e-8).ln();
            if n(1.0).less(t) { plain + t * t.ln() - t + (t * (2.0 * PI)).ln() / 2.0 } else { plain }
        },
    ),
];

fn signs(g: &mut Gen, count: usize) -> Vec<f64> {
    (0..count).map(|_| if g.chance(50) { 1.0 } else { -1.0 }).collect()
}

pub fn ops(list: &mut Vec<Op>) {
    for &(name, [low, high], second, call, definition) in PAIRWISE {
        op(list, name, move |g| {
            let x = g.any(1, 3);
            let x = g.within(x, low, high)?;
            let y = g.of_within(&g.shape(x), second[0], second[1]);
            let r = g.choose(&REDUCTIONS);
            let text = format!("$0.{name}($1, {r:?})");
            let definition = move |a: &[&Arr]| reduced(a[0].zip(a[1], definition), r);
            g.emit(text, &[x, y], move |v| call(&v[0], &v[1], r), definition)?;
            Some(())
        });
    }
    for name in ["binary_cross_entropy(weight)", "binary_cross_entropy_with_logits(weights)"] {
        op(list, name, move |g| {
            let x = g.any(1, 3);
            let logits = name.contains("logits");
            let x = if logits { g.within(x, -4.0, 4.0)? } else { g.within(x, 0.1, 0.9)? };
            let y = g.of_within(&g.shape(x), 0.1, 0.9);
            let last = vec![g.values[x].dim(-1)];
            let (w, p) = (g.of_within(&last, 0.2, 2.0), g.of_within(&last, 0.2, 2.0));
            let r = g.choose(&REDUCTIONS);
            let definition = move |a: &[&Arr]| {
                let losses = Arr::build(&a[0].shape, |i| {
                    let (x, t) = (a[0].at(i), a[1].at(i));
                    let x = if logits { x.sigmoid() } else { x };
                    let p = if logits { a[3].spread(i) } else { n(1.0) };
                    -(p * t * x.ln() + (n(1.0) - t) * (n(1.0) - x).ln()) * a[2].spread(i)
                });
                reduced(losses, r)
            };
            g.emit(
                format!("{name}: $0, $1, $2, $3, {r:?}"),
                &[x, y, w, p],
                move |v| match logits {
                    true => BceWithLogitsLoss::new()
                        .weight(&v[2])
                        .pos_weight(&v[3])
                        .reduction(r)
                        .apply(&v[0], &v[1]),
                    false => BceLoss::new().weight(&v[2]).reduction(r).apply(&v[0], &v[1]),
                },
                definition,
            )?;
            Some(())
        });
    }
    for name in ["soft_margin_loss", "hinge_embedding_loss", "margin_ranking_loss"] {
        op(list, name, move |g| {
            let x = g.any(1, 3);
            let x = g.within(x, -9.0, 9.0)?;
            let shape = g.shape(x);
            let (y, signs, r) = (g.of(&shape), signs(g, shape.iter().product()), g.choose(&REDUCTIONS));
            let label = Tensor::from_fn(&shape[..], |i| signs[i]);
            let definition = move |a: &[&Arr]| {
                let loss = |((&x, &y), &s): ((&N, &N), &f64)| match name {
                    "soft_margin_loss" => ((x * -s).exp() + 1.0).ln(),
                    "hinge_embedding_loss" if s > 0.0 => x,
                    "hinge_embedding_loss" => hinge(n(1.0) - x),
                    _ => hinge((x - y) * -s + 0.3),
                };
                let losses = a[0].data.iter().zip(&a[1].data).zip(&signs).map(loss).collect();
                reduced(Arr::new(&a[0].shape, losses), r)
            };
            g.emit(
                format!("{name}: $0, $1, labels, {r:?}"),
                &[x, y],
                move |v| {
                    let label = v[0].tape().constant(&label);
                    match name {
                        "soft_margin_loss" => SoftMarginLoss::new().reduction(r).apply(&v[0], &label),
                        "hinge_embedding_loss" => HingeEmbeddingLoss::new().reduction(r).apply(&v[0], &label),
                        _ => MarginRankingLoss::new().margin(0.3).reduction(r).apply(&v[0], &v[1], &label),
                    }
                },
                definition,
            )?;
            Some(())
        });
    }
    op(list, "multilabel_soft_margin_loss", |g| {
        let x = g.any(2, 2);
        let x = g.within(x, -4.0, 4.0)?;
        let (y, r) = (g.of_within(&g.shape(x), 0.1, 0.9), g.choose(&REDUCTIONS));
        let w = g.of_within(&[g.values[x].dim(1)], 0.2, 2.0);
        let definition = move |a: &[&Arr]| {
            let each = a[0].zip(a[1], |x, y| bce(x.sigmoid(), y)).zip(a[2], |l, w| l * w);
            reduced(each.fold(&[-1], false, mean), r)
        };
        let text = format!("MultilabelSoftMarginLoss(weight $2, {r:?}).apply($0, $1)");
        g.emit(
            text,
            &[x, y, w],
            move |v| MultilabelSoftMarginLoss::new().weight(&v[2]).reduction(r).apply(&v[0], &v[1]),
            definition,
        )?;
        Some(())
    });
    op(list, "gaussian_nll_loss", |g| {
        let x = g.any(1, 3);
        let shape = g.shape(x);
        let mut spread = shape.clone();
        if g.chance(40) {
            *spread.last_mut()? = 1;
        }
        let (y, v) = (g.of(&shape), g.of_within(&spread, 0.2, 2.0));
        let (full, r) = (g.chance(50), g.choose(&REDUCTIONS));
        let definition = move |a: &[&Arr]| {
            let squares = a[0].zip(a[1], |x, t| (x - t).square());
            let losses = squares
                .zip(a[2], |s, v| (v.ln() + s / v) / 2.0 + if full { (2.0 * PI).ln() / 2.0 } else { 0.0 });
            reduced(losses, r)
        };
        let text = format!("GaussianNllLoss(full {full}, {r:?}).apply($0, $1, $2)");
        g.emit(
            text,
            &[x, y, v],
            move |v| GaussianNllLoss::new().full(full).reduction(r).apply(&v[0], &v[1], &v[2]),
            definition,
        )?;
        Some(())
    });
    op(list, "triplet_margin_loss", |g| {
        let x = g.any(1, 3);
        let shape = g.shape(x);
        let (p, m, swap, r) = (g.of(&shape), g.of(&shape), g.chance(50), g.choose(&REDUCTIONS));
        let definition = move |a: &[&Arr]| {
            let distance = |x: &Arr, y: &Arr| {
                x.zip(y, |x, y| (x - y + 1e-6).square()).fold(&[-1], false, |x| {
                    let s = sum(x);
                    near(s.v);
                    s.sqrt()
                })
            };
            let mut far = distance(a[0], a[2]);
            if swap {
                far = far.zip(&distance(a[1], a[2]), N::min);
            }
            reduced(distance(a[0], a[1]).zip(&far, |p, q| hinge(p - q + 1.0)), r)
        };
        let text = format!("TripletMargin(swap {swap}, {r:?}).apply($0, $1, $2)");
        g.emit(
            text,
            &[x, p, m],
            move |v| TripletMarginLoss::new().swap(swap).reduction(r).apply(&v[0], &v[1], &v[2]),
            definition,
        )?;
        Some(())
    });
    op(list, "cosine_embedding_loss", |g| {
        let x = g.any(1, 2);
        let shape = g.shape(x);
        let y = g.of(&shape);
        let lead = shape[..shape.len() - 1].to_vec();
        let (signs, r) = (signs(g, lead.iter().product()), g.choose(&REDUCTIONS));
        let label = Tensor::from_fn(&lead[..], |i| signs[i]);
        let definition = move |a: &[&Arr]| {
            let dot = |x: &Arr, y: &Arr| x.zip(y, |x, y| x * y).fold(&[-1], false, sum);
            let (xy, xx, yy) = (dot(a[0], a[1]), dot(a[0], a[0]), dot(a[1], a[1]));
            let loss = |(i, &s): (usize, &f64)| {
                near(xx.data[i].v.min(yy.data[i].v) * 1e-2);
                let cos = xy.data[i] / ((xx.data[i] + 1e-12) * (yy.data[i] + 1e-12)).sqrt();
                if s > 0.0 { n(1.0) - cos } else { hinge(cos - 0.1) }
            };
            reduced(Arr::new(&lead, signs.iter().enumerate().map(loss).collect()), r)
        };
        let text = format!("CosineEmbeddingLoss(margin 0.1, {r:?}).apply($0, $1, labels)");
        g.emit(
            text,
            &[x, y],
            move |v| {
                CosineEmbeddingLoss::new().margin(0.1).reduction(r).apply(
                    &v[0],
                    &v[1],
                    &v[0].tape().constant(&label),
                )
            },
            definition,
        )?;
        Some(())
    });
}
