//! Losses of classes and of sequences of them.
use super::{
    arr::{Arr, indices},
    loss::{REDUCTIONS, hinge, reduced},
    number::{N, n},
    program::{Gen, Op, mean, op, sum},
    reduce::softmax,
};
use kolmo::{
    Tensor,
    loss::{CrossEntropyLoss, CtcLoss, MultiMarginLoss, MultilabelMarginLoss, NllLoss, Reduction},
};

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
                        let loss = NllLoss::new().ignore_index(ignored).reduction(r);
                        return match &weight {
                            Some(weight) => loss.weight(weight.clone()).apply(&v[0], &to),
                            None => loss.apply(&v[0], &to),
                        };
                    }
                    let options =
                        CrossEntropyLoss::new().ignore_index(ignored).label_smoothing(smoothing).reduction(r);
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
        let text = format!("CrossEntropy(label_smoothing {smoothing}, {r:?}).apply($0, $1)");
        g.emit(
            text,
            &[x, y],
            move |v| CrossEntropyLoss::new().label_smoothing(smoothing).reduction(r).apply(&v[0], &v[1]),
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
        let text = format!("MultiMarginLoss(p {p}, margin 0.8, {r:?}).apply($0, …)");
        g.emit(
            text,
            &[x],
            move |v| MultiMarginLoss::new().p(p).margin(0.8).reduction(r).apply(&v[0], &to),
            definition,
        )?;
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
        let text = format!("MultilabelMarginLoss({r:?}).apply($0, …)");
        g.emit(text, &[x], move |v| MultilabelMarginLoss::new().reduction(r).apply(&v[0], &to), definition)?;
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
            move |v| CtcLoss::new().reduction(r).apply(&v[0].log_softmax(-1), &to, &inputs, &lengths),
            definition,
        )?;
        Some(())
    });
}
