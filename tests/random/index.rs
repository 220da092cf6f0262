//! Elements by index and mask.
use super::{
    arr::{Arr, axis, indices},
    number::{N, n},
    program::{Gen, Op, op},
};
use kolmo::{Tensor, ops::Scatter};

fn index(shape: &[usize], places: &[usize]) -> Tensor<i64> {
    Tensor::from_fn(shape, |i| places[i] as i64)
}

/// A shape that fits into another, and random indices below the size of an axis.
fn inside(g: &mut Gen, shape: &[usize], at: usize) -> (Vec<usize>, Vec<usize>) {
    let sizes: Vec<usize> =
        shape.iter().enumerate().map(|(a, &s)| if a == at { g.int(1, 5) } else { g.int(1, s) }).collect();
    let places = g.places(sizes.iter().product(), shape[at]);
    (sizes, places)
}

/// For each index of `shape`, the index in the indexed tensor.
fn along(shape: &[usize], places: &[usize], at: usize) -> Vec<Vec<usize>> {
    let put = |(mut i, &p): (Vec<usize>, &usize)| {
        i[at] = p;
        i
    };
    indices(shape).into_iter().zip(places).map(put).collect()
}

fn place(shape: &[usize], index: &[usize]) -> usize {
    index.iter().zip(shape).fold(0, |p, (&i, &s)| p * s + i)
}

fn scatters(list: &mut Vec<Op>, name: &'static str) {
    op(list, name, move |g| {
        let x = g.any(1, 3);
        let (shape, d) = (g.shape(x), g.axis(x));
        let at = axis(d, shape.len());
        let (sizes, mut places) = inside(g, &shape, at);
        if name == "scatter" {
            // Each place once: of several the last one would stay.
            if sizes[at] > shape[at] {
                return None;
            }
            let turn = g.int(0, shape[at] - 1);
            places = indices(&sizes).iter().map(|i| (i[at] + turn) % shape[at]).collect();
        }
        let mut source = sizes.clone();
        if name != "scatter(number)" && g.chance(30) {
            source[at] += 1;
        }
        let src = g.of(&source);
        let own = g.chance(50);
        let to = index(&sizes, &places);
        let named = along(&sizes, &places, at);
        let from = indices(&sizes);
        let definition = move |a: &[&Arr]| {
            let mut lists = vec![Vec::new(); a[0].data.len()];
            named.iter().zip(&from).for_each(|(to, i)| lists[place(&a[0].shape, to)].push(a[1].at(i)));
            let fold = |(&x, list): (&N, Vec<N>)| {
                let first = (own || name == "scatter_add").then_some(x);
                let all: Vec<N> = first.into_iter().chain(list.iter().copied()).collect();
                match name {
                    _ if list.is_empty() => x,
                    "scatter" => list[0],
                    "scatter(number)" => n(0.7),
                    "scatter_reduce prod" => all.into_iter().product(),
                    "scatter_reduce mean" => all.iter().copied().sum::<N>() / all.len() as f64,
                    "scatter_reduce amax" => all.into_iter().reduce(N::max).unwrap_or(x),
                    "scatter_reduce amin" => all.into_iter().reduce(N::min).unwrap_or(x),
                    _ => all.into_iter().sum(),
                }
            };
            Arr::new(&a[0].shape, a[0].data.iter().zip(lists).map(fold).collect())
        };
        let text = format!("{name} of $0, {d}, {places:?} as {sizes:?}, $1, include_self {own}");
        g.emit(
            text,
            &[x, src],
            move |v| {
                let reduce = |kind| v[0].scatter_reduce(d, &to, &v[1], kind, own);
                match name {
                    "scatter" => v[0].scatter(d, &to, &v[1]),
                    "scatter(number)" => v[0].scatter(d, &to, 0.7),
                    "scatter_add" => v[0].scatter_add(d, &to, &v[1]),
                    "scatter_reduce prod" => reduce(Scatter::Prod),
                    "scatter_reduce mean" => reduce(Scatter::Mean),
                    "scatter_reduce amax" => reduce(Scatter::Amax),
                    "scatter_reduce amin" => reduce(Scatter::Amin),
                    _ => reduce(Scatter::Sum),
                }
            },
            definition,
        )?;
        Some(())
    });
}

/// Operations on the rows along an axis, some of which a source changes.
fn rows(list: &mut Vec<Op>, name: &'static str) {
    op(list, name, move |g| {
        let x = g.any(1, 3);
        let (shape, d) = (g.shape(x), g.axis(x));
        let at = axis(d, shape.len());
        let count = g.int(1, 4);
        let places = g.places(count, shape[at]);
        let mut source = shape.clone();
        source[at] = count;
        let (alpha, to) = (g.real(-1.0, 1.0), index(&[count], &places));
        let src = if name == "index_fill" { g.of(&[]) } else { g.of(&source) };
        let text = format!("$0.{name}({d}, {places:?}, $1), alpha {alpha}");
        let definition = move |a: &[&Arr]| {
            Arr::build(&a[0].shape, |i| {
                let mut y = a[0].at(i);
                for (r, _) in places.iter().enumerate().filter(|(_, p)| **p == i[at]) {
                    let mut from = i.to_vec();
                    from[at] = r;
                    y = match name {
                        "index_add" => y + a[1].at(&from) * alpha,
                        "index_fill" => a[1].at(&[]),
                        _ => a[1].at(&from),
                    };
                }
                y
            })
        };
        g.emit(
            text,
            &[x, src],
            move |v| match name {
                "index_add" => v[0].index_add(d, &to, &v[1], alpha),
                "index_fill" => v[0].index_fill(d, &to, &v[1]),
                _ => v[0].index_copy(d, &to, &v[1]),
            },
            definition,
        )?;
        Some(())
    });
}

pub fn ops(list: &mut Vec<Op>) {
    for name in [
        "scatter",
        "scatter(number)",
        "scatter_add",
        "scatter_reduce sum",
        "scatter_reduce prod",
        "scatter_reduce mean",
        "scatter_reduce amax",
        "scatter_reduce amin",
    ] {
        scatters(list, name);
    }
    ["index_add", "index_copy", "index_fill"].into_iter().for_each(|name| rows(list, name));
    for name in ["gather", "take_along_dim"] {
        op(list, name, move |g| {
            let x = g.any(1, 3);
            let (mut shape, d) = (g.shape(x), g.axis(x));
            let at = axis(d, shape.len());
            let (sizes, places) = match name {
                "gather" => inside(g, &shape, at),
                _ => {
                    let below = shape[at];
                    shape[at] = g.int(1, 4);
                    let places = g.places(shape.iter().product(), below);
                    (shape, places)
                }
            };
            let (to, from) = (index(&sizes, &places), along(&sizes, &places, at));
            let text = format!("$0.{name}({d}, {places:?} as {sizes:?})");
            let gather = name == "gather";
            g.emit(
                text,
                &[x],
                move |v| if gather { v[0].gather(d, &to) } else { v[0].take_along_dim(&to, d) },
                move |a| Arr::new(&sizes, from.iter().map(|i| a[0].at(i)).collect()),
            )?;
            Some(())
        });
    }
    op(list, "index_select", |g| {
        let x = g.any(1, 3);
        let (d, count) = (g.axis(x), g.int(1, 6));
        let places = g.places(count, g.values[x].dim(d));
        let to = index(&[count], &places);
        let text = format!("$0.index_select({d}, {places:?})");
        g.emit(text, &[x], move |v| v[0].index_select(d, &to), move |a| a[0].pick(d, &places))?;
        Some(())
    });
    op(list, "take", |g| {
        let x = g.any(1, 3);
        let shape = g.new_shape(0, 2);
        let places = g.places(shape.iter().product(), g.values[x].data.len());
        let to = index(&shape, &places);
        let definition = move |a: &[&Arr]| Arr::new(&shape, places.iter().map(|&p| a[0].data[p]).collect());
        g.emit("$0.take(…)", &[x], move |v| v[0].take(&to), definition)?;
        Some(())
    });
    op(list, "embedding", |g| {
        let x = g.any(2, 2);
        let shape = g.new_shape(0, 2);
        let places = g.places(shape.iter().product(), g.values[x].shape[0]);
        let padding = g.chance(30).then(|| g.int(0, g.values[x].shape[0] - 1));
        let to = index(&shape, &places);
        let text = format!("$0.embedding({places:?} as {shape:?}, {padding:?})");
        let definition = move |a: &[&Arr]| {
            let rows = places.iter().flat_map(|&p| {
                // Without a gradient.
                let still = |x: N| if padding == Some(p) { n(x.v) } else { x };
                (0..a[0].shape[1]).map(move |c| still(a[0].at(&[p, c]))).collect::<Vec<_>>()
            });
            Arr::new(&[&shape[..], &[a[0].shape[1]]].concat(), rows.collect())
        };
        g.emit(text, &[x], move |v| v[0].embedding(&to, padding.map(|p| p as isize)), definition)?;
        Some(())
    });
    for name in ["masked_fill", "masked_select", "masked_scatter"] {
        op(list, name, move |g| {
            let x = g.any(1, 3);
            let shape = g.shape(x);
            let mask = g.mask(shape.iter().product());
            let count = mask.iter().filter(|m| **m).count();
            let bools = Tensor::from_fn(&shape[..], |i| mask[i]);
            let mut operands = vec![x];
            match name {
                "masked_fill" => operands.push(g.of(&[])),
                "masked_scatter" => operands.push(g.of(&[count.max(1)])),
                _ => {}
            }
            let definition = move |a: &[&Arr]| {
                let chosen: Vec<usize> = (0..mask.len()).filter(|&i| mask[i]).collect();
                if name == "masked_select" {
                    return Arr::new(&[count], chosen.iter().map(|&i| a[0].data[i]).collect());
                }
                let mut y = a[0].clone();
                for (k, &i) in chosen.iter().enumerate() {
                    y.data[i] = a[1].data[if name == "masked_fill" { 0 } else { k }];
                }
                y
            };
            g.emit(
                format!("$0.{name}(mask, $1)"),
                &operands,
                move |v| match name {
                    "masked_fill" => v[0].masked_fill(&bools, &v[1]),
                    "masked_scatter" => v[0].masked_scatter(&bools, &v[1]),
                    _ => v[0].masked_select(&bools),
                },
                definition,
            )?;
            Some(())
        });
    }
    op(list, "bincount", |g| {
        let x = g.any(1, 1);
        let places = g.places(g.values[x].data.len(), 4);
        let to = index(&[places.len()], &places);
        let size = places.iter().max().map_or(0, |m| m + 1).max(3);
        let definition = move |a: &[&Arr]| {
            let one =
                |i: usize| (0..places.len()).filter(|&k| places[k] == i).map(|k| a[0].data[k]).sum::<N>();
            Arr::build(&[size], |i| one(i[0]))
        };
        g.emit("$0.bincount(…, 3)", &[x], move |v| v[0].bincount(&to, 3), definition)?;
        Some(())
    });
    op(list, "scale_grad_by_freq", |g| {
        let x = g.any(1, 3);
        let (rows, count) = (g.values[x].shape[0], g.int(0, 6));
        let places = g.places(count, rows);
        let to = index(&[count], &places);
        let definition = move |a: &[&Arr]| {
            Arr::build(&a[0].shape, |i| {
                let times = places.iter().filter(|&&p| p == i[0]).count().max(1) as f64;
                let x = a[0].at(i);
                N { v: x.v, a: x.a / times, b: x.b / times, ab: x.ab / times }
            })
        };
        g.emit("$0.scale_grad_by_freq(…)", &[x], move |v| v[0].scale_grad_by_freq(&to), definition)?;
        Some(())
    });
}
