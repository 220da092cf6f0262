//! Tensors joined and taken apart, padding, repeats.
use super::{
    arr::{Arr, axis},
    number::n,
    program::{Op, op},
    views::{squeeze, unsqueeze},
};
use kolmo::{
    Tensor, Var,
    autodiff::Block,
    nn::Param,
    ops::{Pad, Parts},
};

/// A block of three operations.
struct Recomputed;

impl Block<f64> for Recomputed {
    fn params(&self) -> Vec<Param<f64>> {
        vec![]
    }

    fn forward<'t>(&self, v: &[Var<'t, f64>]) -> Var<'t, f64> {
        (&v[0] * &v[1]).sin() + v[0].exp() * &v[0]
    }
}

fn one(parts: Parts<Var<'_, f64>>, k: usize) -> Var<'_, f64> {
    parts[k].clone()
}

/// Parts of an axis, of which one is looked at.
fn parts(list: &mut Vec<Op>, name: &'static str) {
    op(list, name, move |g| {
        let x = g.any(1, 3);
        let d = g.axis(x);
        let size = g.values[x].dim(d);
        let k = g.int(1, size);
        let bounds: Vec<usize> = match name {
            "split" => (0..size).step_by(k).chain([size]).collect(),
            "chunk" => (0..size).step_by(size.div_ceil(k)).chain([size]).collect(),
            "tensor_split" => (0..=k).map(|i| i * (size / k) + i.min(size % k)).collect(),
            "split(sizes)" => vec![0, k, size],
            "tensor_split(indices)" => vec![0, k, size],
            _ => (0..=size).collect(),
        };
        let which = g.int(0, bounds.len() - 2);
        let places: Vec<usize> = (bounds[which]..bounds[which + 1]).collect();
        let text = format!("$0.{name}({k}, {d})[{which}]");
        g.emit(
            text,
            &[x],
            move |v| {
                let parts = match name {
                    "split" => v[0].split(k, d),
                    "chunk" => v[0].chunk(k, d),
                    "tensor_split" => v[0].tensor_split(k, d),
                    "split(sizes)" => v[0].split([k, size - k], d),
                    "tensor_split(indices)" => v[0].tensor_split([k as isize], d),
                    _ => v[0].unbind(d),
                };
                one(parts, which)
            },
            move |a| {
                let part = a[0].pick(d, &places);
                if name == "unbind" { squeeze(&part, d) } else { part }
            },
        )?;
        Some(())
    });
}

fn concat(parts: &[&Arr], d: isize) -> Arr {
    let at = axis(d, parts[0].rank());
    let mut shape = parts[0].shape.clone();
    shape[at] = parts.iter().map(|p| p.shape[at]).sum();
    Arr::build(&shape, |i| {
        let mut from = i.to_vec();
        let mut k = 0;
        while from[at] >= parts[k].shape[at] {
            from[at] -= parts[k].shape[at];
            k += 1;
        }
        parts[k].at(&from)
    })
}

pub fn ops(list: &mut Vec<Op>) {
    for name in ["split", "chunk", "tensor_split", "split(sizes)", "tensor_split(indices)", "unbind"] {
        parts(list, name);
    }
    for name in ["cat", "stack"] {
        op(list, name, move |g| {
            let x = g.any_or_empty(1, 3);
            let (shape, d) = (g.shape(x), g.axis(x));
            let (rank, mut operands) = (shape.len(), vec![x]);
            let at = axis(d, rank);
            for _ in 0..g.int(0, 2) {
                let mut other = shape.clone();
                if name == "cat" {
                    other[at] = g.int(0, 3);
                }
                operands.push(g.of(&other));
            }
            let d = if name == "cat" { d } else { at as isize };
            let definition = move |a: &[&Arr]| {
                let apart = name == "stack";
                let owned: Vec<Arr> =
                    a.iter().map(|a| if apart { unsqueeze(a, at) } else { (*a).clone() }).collect();
                concat(&owned.iter().collect::<Vec<_>>(), if apart { at as isize } else { d })
            };
            g.emit(
                format!("{name}(&[$0, $1, $2], {d})"),
                &operands,
                move |v| {
                    let (tape, all) = (v[0].tape(), v.iter().collect::<Vec<_>>());
                    match name {
                        "cat" => tape.cat(&all, d),
                        _ => tape.stack(&all, d),
                    }
                },
                definition,
            )?;
            Some(())
        });
    }
    op(list, "pad", |g| {
        let x = g.any(2, 4);
        let shape = g.shape(x);
        let mode = g.choose(&[Pad::Constant(0.3), Pad::Reflect, Pad::Replicate, Pad::Circular]);
        let axes = g.int(1, shape.len().min(2));
        let mut padding = Vec::new();
        let mut maps: Vec<(isize, Vec<Option<usize>>)> = Vec::new();
        for k in 1..=axes {
            let size = shape[shape.len() - k] as isize;
            let most = match mode {
                Pad::Reflect => size - 1,
                Pad::Circular => size,
                _ => 3,
            };
            let [low, high] = [0, 1].map(|_| g.int(0, most.min(3) as usize) as isize);
            // Now and then a piece is cut off.
            let low = if size > 1 && g.chance(15) { -1 } else { low };
            let map = |i: isize| match mode {
                _ if (0..size).contains(&i) => Some(i as usize),
                Pad::Constant(_) => None,
                Pad::Reflect => Some(if i < 0 { -i } else { 2 * (size - 1) - i } as usize),
                Pad::Replicate => Some(i.clamp(0, size - 1) as usize),
                Pad::Circular => Some(i.rem_euclid(size) as usize),
                new => unimplemented!("{new:?}"),
            };
            maps.push((-(k as isize), (-low..size + high).map(map).collect()));
            padding.extend([low, high]);
        }
        let definition = move |a: &[&Arr]| {
            maps.iter().fold(a[0].clone(), |x, (d, map)| {
                x.along(*d, |x| map.iter().map(|m| m.map_or(n(0.3), |i| x[i])).collect())
            })
        };
        g.emit(
            format!("$0.pad(&{padding:?}, {mode:?})"),
            &[x],
            move |v| v[0].pad(&padding, mode),
            definition,
        )?;
        Some(())
    });
    op(list, "roll", |g| {
        let x = g.any_or_empty(1, 3);
        let (d, shift) = (g.axis(x), g.int(0, 8) as isize - 4);
        let definition = move |a: &[&Arr]| {
            let size = a[0].dim(d) as isize;
            a[0].pick(d, &(0..size).map(|i| (i - shift).rem_euclid(size) as usize).collect::<Vec<_>>())
        };
        g.emit(format!("$0.roll([{shift}], [{d}])"), &[x], move |v| v[0].roll([shift], [d]), definition)?;
        Some(())
    });
    op(list, "rot90", |g| {
        let x = g.any_or_empty(2, 3);
        let k = g.int(0, 6) as isize - 3;
        let definition = move |a: &[&Arr]| {
            (0..k.rem_euclid(4)).fold(a[0].clone(), |x, _| {
                let x = x.transpose(0, 1);
                x.pick(0, &(0..x.dim(0)).rev().collect::<Vec<_>>())
            })
        };
        g.emit(format!("$0.rot90({k}, [0, 1])"), &[x], move |v| v[0].rot90(k, [0, 1]), definition)?;
        Some(())
    });
    op(list, "repeat", |g| {
        let x = g.any_or_empty(1, 3);
        let own = g.shape(x);
        let extra = g.int(0, 1);
        let times: Vec<usize> = (0..own.len() + extra).map(|_| g.int(1, 2)).collect();
        let shape: Vec<usize> =
            times.iter().enumerate().map(|(i, &t)| if i < extra { t } else { t * own[i - extra] }).collect();
        let definition = move |a: &[&Arr]| {
            Arr::build(&shape, |i| {
                a[0].at(&i[extra..].iter().zip(&own).map(|(&i, &s)| i % s).collect::<Vec<_>>())
            })
        };
        let text = format!("$0.repeat(&{times:?})");
        g.emit(text, &[x], move |v| v[0].repeat(&times), definition)?;
        Some(())
    });
    op(list, "repeat_interleave", |g| {
        let x = g.any(1, 3);
        let d = g.axis(x);
        let counts: Vec<usize> = (0..g.values[x].dim(d)).map(|_| g.int(0, 2)).collect();
        let places: Vec<usize> = counts.iter().enumerate().flat_map(|(i, &c)| vec![i; c]).collect();
        let times = Tensor::from_fn([counts.len()], |i| counts[i] as i64);
        let text = format!("$0.repeat_interleave({counts:?}, {d})");
        let definition = move |a: &[&Arr]| a[0].pick(d, &places);
        g.emit(text, &[x], move |v| v[0].repeat_interleave(&times, d), definition)?;
        Some(())
    });
    op(list, "checkpoint", |g| {
        let x = g.any(1, 3);
        let x = g.within(x, -3.0, 3.0)?;
        let y = super::unary::partner(g, x, [-2.0, 2.0]);
        g.emit(
            "checkpoint(|x, y| (x * y).sin() + x.exp() * x)($0, $1)",
            &[x, y],
            |v| v[0].tape().checkpoint(Recomputed, &[&v[0], &v[1]]),
            |a| a[0].zip(a[1], |x, y| (x * y).sin() + x.exp() * x),
        )?;
        Some(())
    });
}
