//! Normalisation layers and attention.
use super::{
    arr::Arr,
    number::{N, n},
    program::{Gen, Op, mean, op},
    reduce::softmax,
};
use kolmo::{Tensor, ops::AttentionOptions};

const EPS: f64 = 1e-3;

fn standard(x: &[N]) -> Vec<N> {
    let Some(&first) = x.first() else { return Vec::new() };
    // About the first element, so that equal ones have no deviation, whose rounding would be divided by the
    // root of little.
    let m = first + mean(&x.iter().map(|&x| x - first).collect::<Vec<_>>());
    let v = mean(&x.iter().map(|&x| (x - m).square()).collect::<Vec<_>>());
    x.iter().map(|&x| (x - m) / (v + EPS).sqrt()).collect()
}

/// Elements that belong to one group (as `f` says for an index), each by their mean and variance.
fn by_groups(x: &Arr, groups: usize, f: impl Fn(&[usize]) -> usize) -> Arr {
    let all = super::arr::indices(&x.shape);
    let mut lists = vec![Vec::new(); groups];
    all.iter().enumerate().for_each(|(place, i)| lists[f(i)].push(place));
    let mut y = x.clone();
    for list in lists {
        let line = standard(&list.iter().map(|&p| x.data[p]).collect::<Vec<_>>());
        list.iter().zip(line).for_each(|(&p, v)| y.data[p] = v);
    }
    y
}

/// Times a weight and plus a bias for each channel, axis 1, as far as they are there.
fn affine(y: Arr, a: &[&Arr]) -> Arr {
    Arr::build(&y.shape, |i| {
        let x = y.at(i) * a.get(1).map_or(n(1.0), |w| w.at(&[i[1]]));
        x + a.get(2).map_or(n(0.0), |b| b.at(&[i[1]]))
    })
}

/// An input with channels and the operands of its affine part: none, the weight, or both.
fn channelled(g: &mut Gen, low: usize, high: usize) -> Vec<usize> {
    let x = g.any(low, high);
    let channels = g.shape(x)[1];
    let mut operands = vec![x];
    for _ in 0..g.int(0, 2) {
        operands.push(g.of(&[channels]));
    }
    operands
}

pub fn ops(list: &mut Vec<Op>) {
    op(list, "layer_norm", |g| {
        let x = g.any(1, 4);
        let shape = g.shape(x);
        let last = g.int(1, shape.len());
        let normal = shape[shape.len() - last..].to_vec();
        if normal.iter().product::<usize>() < 2 {
            return None;
        }
        let mut operands = vec![x];
        for _ in 0..g.int(0, 2) {
            operands.push(g.of(&normal));
        }
        let dims: Vec<isize> = (1..=last).map(|d| -(d as isize)).collect();
        let definition = move |a: &[&Arr]| {
            let lead = a[0].rank() - dims.len();
            let outer: usize = a[0].shape[..lead].iter().product();
            let size = a[0].data.len() / outer.max(1);
            let y = a[0].data.chunks(size).flat_map(standard).collect();
            let y = Arr::new(&a[0].shape, y);
            let y = if a.len() > 1 { y.zip(a[1], |y, w| y * w) } else { y };
            if a.len() > 2 { y.zip(a[2], |y, b| y + b) } else { y }
        };
        let text = format!("$0.layer_norm(&{normal:?}, weight $1, bias $2, {EPS})");
        g.emit(text, &operands, move |v| v[0].layer_norm(&normal, v.get(1), v.get(2), EPS), definition)?;
        Some(())
    });
    op(list, "rms_norm", |g| {
        let x = g.any(1, 4);
        let size = g.values[x].dim(-1);
        let mut operands = vec![x];
        if g.chance(60) {
            operands.push(g.of(&[size]));
        }
        let definition = move |a: &[&Arr]| {
            let y = a[0].along(-1, |x| {
                let m = mean(&x.iter().map(|x| x.square()).collect::<Vec<_>>());
                x.iter().map(|&x| x / (m + EPS).sqrt()).collect()
            });
            if a.len() > 1 { y.zip(a[1], |y, w| y * w) } else { y }
        };
        let text = format!("$0.rms_norm(&[{size}], weight $1, {EPS})");
        g.emit(text, &operands, move |v| v[0].rms_norm(&[size], v.get(1), Some(EPS)), definition)?;
        Some(())
    });
    op(list, "batch_norm", |g| {
        let operands = channelled(g, 2, 4);
        let shape = g.shape(operands[0]);
        if shape.iter().product::<usize>() / shape[1] < 2 {
            return None;
        }
        let definition = |a: &[&Arr]| affine(by_groups(a[0], a[0].shape[1], |i| i[1]), a);
        let text = format!("$0.batch_norm(None, weight $1, bias $2, {EPS})");
        g.emit(text, &operands, |v| v[0].batch_norm(None, v.get(1), v.get(2), EPS), definition)?;
        Some(())
    });
    op(list, "batch_norm(running)", |g| {
        let x = g.any(2, 4);
        let channels = g.shape(x)[1];
        let (m, v, w) = (g.of(&[channels]), g.of_within(&[channels], 0.3, 2.0), g.of(&[channels]));
        let definition = |a: &[&Arr]| {
            Arr::build(&a[0].shape, |i| {
                let at = |k: usize| a[k].at(&[i[1]]);
                (a[0].at(i) - at(1)) / (at(2) + EPS).sqrt() * at(3)
            })
        };
        let text = format!("$0.batch_norm(Some(($1, $2)), Some($3), None, {EPS})");
        let operands = [x, m, v, w];
        g.emit(
            text,
            &operands,
            |v| v[0].batch_norm(Some((&v[1], &v[2])), Some(&v[3]), None, EPS),
            definition,
        )?;
        Some(())
    });
    op(list, "instance_norm", |g| {
        let operands = channelled(g, 3, 4);
        if g.shape(operands[0])[2..].iter().product::<usize>() < 2 {
            return None;
        }
        let definition = |a: &[&Arr]| {
            let channels = a[0].shape[1];
            affine(by_groups(a[0], a[0].shape[0] * channels, |i| i[0] * channels + i[1]), a)
        };
        let text = format!("$0.instance_norm(None, weight $1, bias $2, {EPS})");
        g.emit(text, &operands, |v| v[0].instance_norm(None, v.get(1), v.get(2), EPS), definition)?;
        Some(())
    });
    op(list, "group_norm", |g| {
        let operands = channelled(g, 2, 4);
        let shape = g.shape(operands[0]);
        let divisors: Vec<usize> = (1..=shape[1]).filter(|k| shape[1] % k == 0).collect();
        let groups = g.choose(&divisors);
        if shape[1..].iter().product::<usize>() / groups < 2 {
            return None;
        }
        let each = shape[1] / groups;
        let definition = move |a: &[&Arr]| {
            affine(by_groups(a[0], a[0].shape[0] * groups, |i| i[0] * groups + i[1] / each), a)
        };
        let text = format!("$0.group_norm({groups}, weight $1, bias $2, {EPS})");
        g.emit(text, &operands, move |v| v[0].group_norm(groups, v.get(1), v.get(2), EPS), definition)?;
        Some(())
    });
    op(list, "local_response_norm", |g| {
        let x = g.any(3, 4);
        let size = g.int(1, 4);
        let definition = move |a: &[&Arr]| {
            let channels = a[0].shape[1];
            Arr::build(&a[0].shape, |i| {
                let near = |c: usize| {
                    let mut at = i.to_vec();
                    at[1] = c;
                    a[0].at(&at).square()
                };
                let low = i[1].saturating_sub(size / 2);
                let high = (i[1] + size - size / 2).min(channels);
                let s: N = (low..high).map(near).sum();
                a[0].at(i) / (s * (0.5 / size as f64) + 1.5).powf(0.75)
            })
        };
        let text = format!("$0.local_response_norm({size}, 0.5, 0.75, 1.5)");
        g.emit(text, &[x], move |v| v[0].local_response_norm(size, 0.5, 0.75, 1.5), definition)?;
        Some(())
    });
    for name in [
        "attention",
        "attention causal",
        "attention later",
        "attention keep",
        "attention pad",
        "attention rows",
        "attention add",
    ] {
        op(list, name, move |g| {
            let (l, s, d, e) = (g.int(1, 6), g.int(1, 6), g.int(1, 5), g.int(1, 5));
            let lead: Vec<usize> = (0..g.int(0, 2)).map(|_| g.int(1, 3)).collect();
            let of = |g: &mut Gen, sizes: [usize; 2]| {
                let id = g.of(&[&lead[..], &sizes].concat());
                g.within(id, -3.0, 3.0)
            };
            let (q, k, v) = (of(g, [l, d])?, of(g, [s, d])?, of(g, [s, e])?);
            let mut operands = vec![q, k, v];
            // Of all queries, or of each head; those of a head may be one.
            let sizes = match name {
                "attention pad" => [&lead[..], &[1, s]].concat(),
                "attention rows" => vec![l, 1],
                _ => vec![l, s],
            };
            let mut keep = g.mask(sizes.iter().product());
            match name {
                "attention add" => operands.push(of_shape(g, &[l, s])?),
                "attention keep" | "attention pad" | "attention rows" => {}
                "attention causal" => (0..l * s).for_each(|i| keep[i] = i % s <= i / s),
                "attention later" => (0..l * s).for_each(|i| keep[i] = i % s + l <= i / s + s),
                _ => keep.fill(true),
            }
            if name == "attention add" {
                keep.fill(true);
            }
            let scale = g.chance(30).then_some(0.7);
            let mask = Tensor::from_fn(&sizes[..], |i| keep[i]);
            let definition = move |a: &[&Arr]| {
                let factor = scale.unwrap_or(1.0 / (d as f64).sqrt());
                let scores = a[0].matmul(&a[1].transpose(-1, -2)).map(|x| x * factor);
                let scores = if a.len() > 3 { scores.zip(a[3], |x, m| x + m) } else { scores };
                let rows = scores.data.chunks(s).enumerate().flat_map(|(row, x)| {
                    let line = if name == "attention pad" { row / l } else { row % l };
                    let place = |c: usize| if name == "attention rows" { line } else { line * s + c };
                    let seen: Vec<usize> = (0..s).filter(|&c| keep[place(c)]).collect();
                    let p = softmax(&seen.iter().map(|&c| x[c]).collect::<Vec<_>>());
                    let mut full = vec![n(0.0); s];
                    seen.iter().zip(p).for_each(|(&c, p)| full[c] = p);
                    full
                });
                Arr::new(&scores.shape, rows.collect()).matmul(a[2])
            };
            let text = format!("{name}($0, $1, $2, mask $3), scale {scale:?}");
            g.emit(
                text,
                &operands,
                move |v| {
                    let options = AttentionOptions::new().scale(scale);
                    let options = match name {
                        "attention causal" => options.is_causal(true),
                        "attention later" => options.causal_lower_right(true),
                        "attention add" => options.attn_mask(&v[3]),
                        "attention keep" | "attention pad" | "attention rows" => options.attn_mask(&mask),
                        _ => options,
                    };
                    v[0].scaled_dot_product_attention(&v[1], &v[2], &options)
                },
                definition,
            )?;
            Some(())
        });
    }
}

fn of_shape(g: &mut Gen, shape: &[usize]) -> Option<usize> {
    let id = g.of(shape);
    g.within(id, -3.0, 3.0)
}
