//! Losses, with every reduction.
use super::{
    arr::{Arr, indices},
    number::{N, n, near},
    program::{Gen, Op, V, mean, op, sum},
    reduce::softmax,
};
use kolmo::{
    Tensor,
    loss::{CrossEntropy, Reduction, TripletMargin},
};
use std::f64::consts::PI;

const REDUCTIONS: [Reduction; 4] = [Reduction::Mean, Reduction::Sum, Reduction::BatchMean, Reduction::None];

fn reduced(losses: Arr, reduction: Reduction) -> Arr {
    match reduction {
        Reduction::Mean => Arr::one(mean(&losses.data)),
        Reduction::Sum => Arr::one(sum(&losses.data)),
        Reduction::BatchMean => {
            Arr::one(sum(&losses.data) / losses.shape.first().copied().unwrap_or(1) as f64)
        }
        Reduction::None => losses,
    }
}

type Pairwise = for<'t> fn(&V<'t>, &V<'t>, Reduction) -> V<'t>;

fn bce(p: N, t: N) -> N {
    -(t * p.ln() + (n(1.0) - t) * (n(1.0) - p).ln())
}

fn hinge(x: N) -> N {
    x.max(n(0.0))
}

/// Name, bounds of the answer, of the target, the crate's, the loss of an element.
const PAIRWISE: &[(&str, [f64; 2], [f64; 2], Pairwise, fn(N, N) -> N)] = &[
    ("mse_loss", [-99.0, 99.0], [-2.0, 2.0], |x, y, r| x.mse_loss(y, r), |x, y| (x - y).square()),
    ("l1_loss", [-99.0, 99.0], [-2.0, 2.0], |x, y, r| x.l1_loss(y, r), |x, y| (x - y).abs()),
    (
        "smooth_l1_loss",
        [-9.0, 9.0],
        [-2.0, 2.0],
        |x, y, r| x.smooth_l1_loss(y, 0.7, r),
        |x, y| {
            let d = (x - y).abs();
            if d.less(n(0.7)) { d.square() / 1.4 } else { d - 0.35 }
        },
    ),
    (
        "huber_loss",
        [-9.0, 9.0],
        [-2.0, 2.0],
        |x, y, r| x.huber_loss(y, 0.7, r),
        |x, y| {
            let d = (x - y).abs();
            if d.less(n(0.7)) { d.square() / 2.0 } else { (d - 0.35) * 0.7 }
        },
    ),
    ("binary_cross_entropy", [0.1, 0.9], [0.1, 0.9], |x, y, r| x.binary_cross_entropy(y, None, r), bce),
    (
        "binary_cross_entropy_with_logits",
        [-4.0, 4.0],
        [0.1, 0.9],
        |x, y, r| x.binary_cross_entropy_with_logits(y, None, None, r),
        |x, y| bce(x.sigmoid(), y),
    ),
    ("kl_div", [-4.0, 4.0], [0.1, 0.9], |x, y, r| x.kl_div(y, false, r), |x, t| t * (t.ln() - x)),
    ("kl_div(log)", [-4.0, 4.0], [-3.0, 1.0], |x, y, r| x.kl_div(y, true, r), |x, t| t.exp() * (t - x)),
    (
        "poisson_nll_loss",
        [-3.0, 3.0],
        [0.2, 3.0],
        |x, y, r| x.poisson_nll_loss(y, true, false, 1e-8, r),
        |x, t| x.exp() - t * x,
    ),
    (
        "poisson_nll_loss(full)",
        [0.3, 3.0],
        [0.2, 3.0],
        |x, y, r| x.poisson_nll_loss(y, false, true, 1e-8, r),
        |x, t| {
            let plain = x - t * (x + 1e-8).ln();
            if n(1.0).less(t) { plain + t * t.ln() - t + (t * (2.0 * PI)).ln() / 2.0 } else { plain }
        },
    ),
];

fn signs(g: &mut Gen, count: usize) -> Vec<f64> {
    (0..count).map(|_| if g.chance(50) { 1.0 } else { -1.0 }).collect()
}

/// Classes at random: for `[n, classes, …]`, one for each of `[n, …]`.
fn targets(g: &mut Gen, shape: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let places: Vec<usize> = match shape.len() {
        1 => vec![],
        _ => [&shape[..1], &shape[2..]].concat(),
    };
    let classes = if shape.len() == 1 { shape[0] } else { shape[1] };
    let chosen = g.places(places.iter().product(), classes);
    (places, chosen)
}

/// The index in `[n, classes, …]` of a class at a place in `[n, …]`.
fn with_class(at: &[usize], class: usize) -> Vec<usize> {
    if at.is_empty() { vec![class] } else { [&at[..1], &[class], &at[1..]].concat() }
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
                    true => v[0].binary_cross_entropy_with_logits(&v[1], Some(&v[2]), Some(&v[3]), r),
                    false => v[0].binary_cross_entropy(&v[1], Some(&v[2]), r),
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
                        "soft_margin_loss" => v[0].soft_margin_loss(&label, r),
                        "hinge_embedding_loss" => v[0].hinge_embedding_loss(&label, 1.0, r),
                        _ => v[0].margin_ranking_loss(&v[1], &label, 0.3, r),
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
        let text = format!("$0.multilabel_soft_margin_loss($1, Some($2), {r:?})");
        g.emit(
            text,
            &[x, y, w],
            move |v| v[0].multilabel_soft_margin_loss(&v[1], Some(&v[2]), r),
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
        let text = format!("$0.gaussian_nll_loss($1, $2, {full}, 1e-6, {r:?})");
        g.emit(text, &[x, y, v], move |v| v[0].gaussian_nll_loss(&v[1], &v[2], full, 1e-6, r), definition)?;
        Some(())
    });
    for name in ["cross_entropy", "nll_loss"] {
        op(list, name, move |g| {
            let x = g.any(1, 3);
            let x = g.within(x, -9.0, 9.0)?;
            let shape = g.shape(x);
            let (places, chosen) = targets(g, &shape);
            let classes = if shape.len() == 1 { shape[0] } else { shape[1] };
            let weight = g.chance(40).then(|| (0..classes).map(|_| g.real(0.2, 2.0)).collect::<Vec<f64>>());
            let ignored = if g.chance(30) { g.int(0, classes - 1) as i64 } else { -100 };
            let smoothing = if name == "cross_entropy" && g.chance(40) { 0.2 } else { 0.0 };
            let reductions = [Reduction::Mean, Reduction::Sum, Reduction::None];
            let r = g.choose(&reductions);
            if chosen.iter().all(|&c| c as i64 == ignored) {
                return None;
            }
            let to = Tensor::from_fn(&places[..], |i| chosen[i] as i64);
            let text = format!("$0.{name}({chosen:?}, {weight:?}, {ignored}, {smoothing}, {r:?})");
            let w = weight.clone().unwrap_or(vec![1.0; classes]);
            let definition = move |a: &[&Arr]| {
                let mut total = 0.0;
                let loss = |(at, &c): (Vec<usize>, &usize)| {
                    if c as i64 == ignored {
                        return n(0.0);
                    }
                    total += w[c];
                    let row: Vec<N> = (0..classes).map(|c| a[0].at(&with_class(&at, c))).collect();
                    let logs: Vec<N> = match name {
                        "nll_loss" => row,
                        _ => softmax(&row).into_iter().map(|p| p.ln()).collect(),
                    };
                    let even: N = logs.iter().zip(&w).map(|(&l, &w)| l * w).sum();
                    -(logs[c] * w[c] * (1.0 - smoothing) + even * (smoothing / classes as f64))
                };
                let losses: Vec<N> = indices(&places).into_iter().zip(&chosen).map(loss).collect();
                match r {
                    Reduction::Mean => Arr::one(sum(&losses) / total),
                    _ => reduced(Arr::new(&places, losses), r),
                }
            };
            g.emit(
                text,
                &[x],
                move |v| {
                    if name == "nll_loss" {
                        return v[0].nll_loss(&to, weight.as_deref(), ignored, r);
                    }
                    let options =
                        CrossEntropy::new().ignore_index(ignored).label_smoothing(smoothing).reduction(r);
                    let options = if let Some(w) = &weight { options.weight(w.clone()) } else { options };
                    options.apply(&v[0], &to)
                },
                definition,
            )?;
            Some(())
        });
    }
    op(list, "cross_entropy(probabilities)", |g| {
        let x = g.any(2, 3);
        let x = g.within(x, -9.0, 9.0)?;
        let (y, r) = (
            g.of_within(&g.shape(x), 0.0, 1.0),
            g.choose(&[Reduction::Mean, Reduction::Sum, Reduction::None]),
        );
        let smoothing = if g.chance(40) { 0.2 } else { 0.0 };
        let definition = move |a: &[&Arr]| {
            let logs = a[0].along(1, |x| softmax(x).into_iter().map(|p| p.ln()).collect());
            let even = smoothing / a[0].shape[1] as f64;
            let each = logs.zip(a[1], |l, t| -(l * (t * (1.0 - smoothing) + even)));
            reduced(each.fold(&[1], false, sum), r)
        };
        let text = format!("CrossEntropy(label_smoothing {smoothing}, {r:?}).apply_probabilities($0, $1)");
        g.emit(
            text,
            &[x, y],
            move |v| {
                CrossEntropy::new().label_smoothing(smoothing).reduction(r).apply_probabilities(&v[0], &v[1])
            },
            definition,
        )?;
        Some(())
    });
    op(list, "multi_margin_loss", |g| {
        let x = g.any(1, 2);
        let shape = g.shape(x);
        let (places, chosen) = targets(g, &shape);
        let (p, r) = (g.choose(&[1.0, 2.0]), g.choose(&REDUCTIONS));
        let to = Tensor::from_fn(&places[..], |i| chosen[i] as i64);
        let definition = move |a: &[&Arr]| {
            let classes = *a[0].shape.last().unwrap_or(&1);
            let loss = |(row, &c): (&[N], &usize)| {
                let others = (0..classes).filter(|&j| j != c);
                others
                    .map(|j| hinge(row[j] - row[c] + 0.8))
                    .map(|x| if p == 1.0 { x } else { x * x })
                    .sum::<N>()
                    / classes as f64
            };
            let losses = a[0].data.chunks(classes).zip(&chosen).map(loss).collect();
            reduced(Arr::new(&places, losses), r)
        };
        let text = format!("$0.multi_margin_loss(…, {p}, 0.8, None, {r:?})");
        g.emit(text, &[x], move |v| v[0].multi_margin_loss(&to, p, 0.8, None, r), definition)?;
        Some(())
    });
    op(list, "multilabel_margin_loss", |g| {
        let x = g.any(2, 2);
        let shape = g.shape(x);
        let (rows, classes) = (shape[0], shape[1]);
        let mut right = Vec::new();
        for _ in 0..rows {
            let mut list = g.permutation(classes);
            list.truncate(g.int(1, classes));
            right.push(list);
        }
        let label = |i: usize| right[i / classes].get(i % classes).map_or(-1, |&c| c as i64);
        let (to, r) = (Tensor::from_fn(&shape[..], label), g.choose(&REDUCTIONS));
        let definition = move |a: &[&Arr]| {
            let loss = |(row, right): (&[N], &Vec<usize>)| {
                let wrong: Vec<usize> = (0..classes).filter(|c| !right.contains(c)).collect();
                let pairs = right.iter().flat_map(|&t| wrong.iter().map(move |&w| (t, w)));
                pairs.map(|(t, w)| hinge(row[w] - row[t] + 1.0)).sum::<N>() / classes as f64
            };
            reduced(Arr::new(&[rows], a[0].data.chunks(classes).zip(&right).map(loss).collect()), r)
        };
        let text = format!("$0.multilabel_margin_loss(…, {r:?})");
        g.emit(text, &[x], move |v| v[0].multilabel_margin_loss(&to, r), definition)?;
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
            move |v| TripletMargin::new().swap(swap).reduction(r).apply(&v[0], &v[1], &v[2]),
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
                let cos = xy.data[i] / ((xx.data[i] + 2.22e-16) * (yy.data[i] + 2.22e-16)).sqrt();
                if s > 0.0 { n(1.0) - cos } else { hinge(cos - 0.1) }
            };
            reduced(Arr::new(&lead, signs.iter().enumerate().map(loss).collect()), r)
        };
        let text = format!("$0.cosine_embedding_loss($1, labels, 0.1, {r:?})");
        g.emit(
            text,
            &[x, y],
            move |v| v[0].cosine_embedding_loss(&v[1], &v[0].tape().constant(&label), 0.1, r),
            definition,
        )?;
        Some(())
    });
    op(list, "ctc_loss", |g| {
        // All ways through the steps, one by one.
        let (steps, batch, classes) = (g.int(1, 4), g.int(1, 2), g.int(2, 3));
        let x = g.of(&[steps, batch, classes]);
        let x = g.within(x, -4.0, 4.0)?;
        let labels: Vec<Vec<usize>> = (0..batch)
            .map(|_| {
                let len = g.int(1, 2);
                (0..len).map(|_| g.int(1, classes - 1)).collect()
            })
            .collect();
        let needed = |l: &Vec<usize>| l.len() + l.windows(2).filter(|w| w[0] == w[1]).count();
        if labels.iter().any(|l| needed(l) > steps) {
            return None;
        }
        let to = Tensor::from_fn([batch, 2], |i| labels[i / 2].get(i % 2).copied().unwrap_or(1) as i64);
        let (lengths, r) = (
            labels.iter().map(Vec::len).collect::<Vec<_>>(),
            g.choose(&[Reduction::Mean, Reduction::Sum, Reduction::None]),
        );
        let text = format!("$0.log_softmax(-1).ctc_loss({labels:?}, {r:?})");
        let definition = move |a: &[&Arr]| {
            let logs = a[0].along(-1, softmax);
            let loss = |b: usize| {
                let ways = indices(&vec![classes; steps]).into_iter().filter(|way| {
                    let mut kept = way.clone();
                    kept.dedup();
                    kept.retain(|&c| c != 0);
                    kept == labels[b]
                });
                let likely = |way: Vec<usize>| (0..steps).map(|t| logs.at(&[t, b, way[t]])).product::<N>();
                -ways.map(likely).sum::<N>().ln()
            };
            let losses: Vec<N> = (0..batch).map(loss).collect();
            match r {
                Reduction::Mean => {
                    let each = losses.iter().zip(&labels).map(|(&l, t)| l / t.len() as f64);
                    Arr::one(mean(&each.collect::<Vec<_>>()))
                }
                _ => reduced(Arr::new(&[batch], losses), r),
            }
        };
        let inputs = vec![steps; batch];
        g.emit(
            text,
            &[x],
            move |v| v[0].log_softmax(-1).ctc_loss(&to, &inputs, &lengths, 0, r, false),
            definition,
        )?;
        Some(())
    });
}
