//! Shapes and views.
use super::{
    arr::{Arr, axis},
    program::{Gen, Op, op, sum},
};
use kolmo::{
    Tensor,
    ops::{MeshgridIndexing, TensorIndex},
};

/// A leaf of this shape that lies in memory otherwise: permuted, reversed, every second element, one element
/// for all of an axis, or part of a larger one; perhaps of a view itself.
pub fn strided_leaf(g: &mut Gen, shape: &[usize], low: f64, high: f64) -> Option<usize> {
    let rank = shape.len();
    let at = g.int(0, rank - 1);
    let size = shape[at];
    let d = at as isize;
    match g.int(0, 4) {
        0 => {
            let axes = g.permutation(rank);
            let mut from = vec![0; rank];
            axes.iter().zip(shape).for_each(|(&a, &s)| from[a] = s);
            let id = g.leaf(&from, low, high);
            let dims: Vec<isize> = axes.iter().map(|&a| a as isize).collect();
            g.emit(
                format!("$0.permute(&{dims:?})"),
                &[id],
                move |v| v[0].permute(&dims),
                move |a| a[0].permute(&axes),
            )
        }
        1 => {
            let id = g.leaf(shape, low, high);
            let back: Vec<usize> = (0..size).rev().collect();
            g.emit(format!("$0.flip([{d}])"), &[id], move |v| v[0].flip([d]), move |a| a[0].pick(d, &back))
        }
        2 => {
            // One element for all of an axis.
            let mut from = shape.to_vec();
            from[at] = 1;
            let id = g.leaf(&from, low, high);
            let (sizes, to) = (shape.iter().map(|&s| s as isize).collect::<Vec<_>>(), shape.to_vec());
            g.emit(
                format!("$0.expand({sizes:?})"),
                &[id],
                move |v| v[0].expand(&sizes),
                move |a| a[0].expand(&to),
            )
        }
        3 => {
            let mut from = shape.to_vec();
            from[at] = 2 * size;
            let id = g.leaf(&from, low, high);
            let places: Vec<usize> = (0..size).map(|i| 2 * i + 1).collect();
            let text = format!("$0.slice({d}, 1, None, 2)");
            g.emit(text, &[id], move |v| v[0].slice(d, 1, None, 2), move |a| a[0].pick(d, &places))
        }
        _ => {
            let (before, behind) = (g.int(0, 2), g.int(0, 2));
            let mut from = shape.to_vec();
            from[at] += before + behind;
            let id = g.leaf(&from, low, high);
            let places: Vec<usize> = (before..before + size).collect();
            let text = format!("$0.narrow({d}, {before}, {size})");
            g.emit(text, &[id], move |v| v[0].narrow(d, before, size), move |a| a[0].pick(d, &places))
        }
    }
}

/// `low` and a size 1, 2 … so that there is something behind it.
fn span(g: &mut Gen, size: usize) -> (usize, usize) {
    let low = g.int(0, size - 1);
    (low, g.int(0, size - low))
}

pub fn ops(list: &mut Vec<Op>) {
    op(list, "permute", |g| {
        let x = g.any_or_empty(1, 4);
        let axes = g.permutation(g.rank(x));
        let dims: Vec<isize> = axes.iter().map(|&a| a as isize).collect();
        g.emit(
            format!("$0.permute(&{dims:?})"),
            &[x],
            move |v| v[0].permute(&dims),
            move |a| a[0].permute(&axes),
        )?;
        Some(())
    });
    op(list, "transpose", |g| {
        let x = g.any_or_empty(1, 4);
        let (a, b) = (g.axis(x), g.axis(x));
        let text = format!("$0.transpose({a}, {b})");
        g.emit(text, &[x], move |v| v[0].transpose(a, b), move |x| x[0].transpose(a, b))?;
        Some(())
    });
    op(list, "t", |g| {
        let x = g.any_or_empty(2, 2);
        g.emit("$0.t()", &[x], |v| v[0].t(), |a| a[0].transpose(0, 1))?;
        Some(())
    });
    op(list, "flip", |g| {
        let x = g.any_or_empty(1, 4);
        let dims = g.axes(x);
        let text = format!("$0.flip(&{dims:?})");
        let named = dims.clone();
        let flipped = move |a: &[&Arr]| {
            named.iter().fold(a[0].clone(), |y, &d| y.pick(d, &(0..y.dim(d)).rev().collect::<Vec<_>>()))
        };
        g.emit(text, &[x], move |v| v[0].flip(&dims), flipped)?;
        Some(())
    });
    op(list, "slice", |g| {
        let x = g.any(1, 4);
        let d = g.axis(x);
        let size = g.values[x].dim(d);
        let ((start, len), step) = (span(g, size), g.int(1, 3));
        let end = start + len;
        let places: Vec<usize> = (start..end).step_by(step).collect();
        let from = if g.chance(50) { start as isize } else { start as isize - size as isize };
        let text = format!("$0.slice({d}, {from}, {end}, {step})");
        g.emit(
            text,
            &[x],
            move |v| v[0].slice(d, from, end as isize, step as isize),
            move |a| a[0].pick(d, &places),
        )?;
        Some(())
    });
    op(list, "narrow", |g| {
        let x = g.any(1, 4);
        let d = g.axis(x);
        let (start, len) = span(g, g.values[x].dim(d));
        let text = format!("$0.narrow({d}, {start}, {len})");
        let places: Vec<usize> = (start..start + len).collect();
        g.emit(text, &[x], move |v| v[0].narrow(d, start, len), move |a| a[0].pick(d, &places))?;
        Some(())
    });
    op(list, "select", |g| {
        let x = g.any(1, 4);
        let d = g.axis(x);
        let size = g.values[x].dim(d);
        let i = g.int(0, size - 1);
        let index = if g.chance(50) { i as isize } else { i as isize - size as isize };
        let text = format!("$0.select({d}, {index})");
        g.emit(text, &[x], move |v| v[0].select(d, index), move |a| squeeze(&a[0].pick(d, &[i]), d))?;
        Some(())
    });
    op(list, "index", |g| {
        // A new axis, a slice and a list.
        let x = g.any(2, 3);
        let (rows, cols) = (g.values[x].dim(0), g.values[x].dim(1));
        let (count, step) = (g.int(1, 4), g.int(1, 2));
        let places = g.places(count, cols);
        let list = Tensor::from_fn([count], |i| places[i] as i64);
        let taken: Vec<usize> = (0..rows).step_by(step).collect();
        let text = format!("$0[NewAxis, ..;{step}, {places:?}, ...]");
        let slice = TensorIndex::Slice { start: None, end: None, step: step as isize };
        g.emit(
            text,
            &[x],
            move |v| {
                v[0].index([
                    TensorIndex::NewAxis,
                    slice.clone(),
                    TensorIndex::Indices(list.clone()),
                    TensorIndex::Ellipsis,
                ])
            },
            move |a| unsqueeze(&a[0].pick(0, &taken).pick(1, &places), 0),
        )?;
        Some(())
    });
    op(list, "expand", |g| {
        let x = g.any_or_empty(0, 3);
        let own = g.shape(x);
        let extra = g.int(0, 1);
        let mut shape: Vec<usize> = (0..extra).map(|_| g.int(1, 3)).collect();
        shape.extend(own.iter().map(|&s| if s == 1 { g.int(1, 3) } else { s }));
        let sizes: Vec<isize> = shape.iter().map(|&s| s as isize).collect();
        g.emit(
            format!("$0.expand({sizes:?})"),
            &[x],
            move |v| v[0].expand(&sizes),
            move |a| a[0].expand(&shape),
        )?;
        Some(())
    });
    op(list, "unsqueeze", |g| {
        let x = g.any_or_empty(0, 3);
        let at = g.int(0, g.rank(x));
        let text = format!("$0.unsqueeze({at})");
        g.emit(text, &[x], move |v| v[0].unsqueeze(at as isize), move |a| unsqueeze(a[0], at))?;
        Some(())
    });
    op(list, "squeeze", |g| {
        let x = g.find(1, 4, |shape| shape.contains(&1));
        let d = g.shape(x).iter().position(|&s| s == 1)? as isize;
        g.emit(format!("$0.squeeze([{d}])"), &[x], move |v| v[0].squeeze([d]), move |a| squeeze(a[0], d))?;
        Some(())
    });
    op(list, "reshape", |g| {
        let x = g.any(0, 4);
        let mut rest: usize = g.shape(x).iter().product();
        let mut shape = Vec::new();
        while rest > 1 && shape.len() < 3 {
            let divisors: Vec<usize> = (1..=rest).filter(|&d| rest.is_multiple_of(d)).collect();
            let d = g.choose(&divisors);
            shape.push(d);
            rest /= d;
        }
        shape.push(rest);
        let mut sizes: Vec<isize> = shape.iter().map(|&s| s as isize).collect();
        if g.chance(40) {
            let i = g.int(0, sizes.len() - 1);
            sizes[i] = -1;
        }
        g.emit(
            format!("$0.reshape({sizes:?})"),
            &[x],
            move |v| v[0].reshape(&sizes),
            move |a| a[0].reshape(&shape),
        )?;
        Some(())
    });
    op(list, "flatten", |g| {
        let x = g.any_or_empty(1, 4);
        let (a, b) = (g.int(0, g.rank(x) - 1), g.int(0, g.rank(x) - 1));
        let (a, b) = (a.min(b), a.max(b));
        let own = g.shape(x);
        let shape = [&own[..a], &[own[a..=b].iter().product()], &own[b + 1..]].concat();
        let text = format!("$0.flatten({a}, {b})");
        g.emit(text, &[x], move |v| v[0].flatten(a as isize, b as isize), move |x| x[0].reshape(&shape))?;
        Some(())
    });
    op(list, "unflatten", |g| {
        let x = g.any(1, 3);
        let d = g.axis(x);
        let at = axis(d, g.rank(x));
        let own = g.shape(x);
        let divisors: Vec<usize> = (1..=own[at]).filter(|k| own[at] % k == 0).collect();
        let k = g.choose(&divisors);
        let shape = [&own[..at], &[k, own[at] / k], &own[at + 1..]].concat();
        let text = format!("$0.unflatten({d}, &[{k}, -1])");
        g.emit(text, &[x], move |v| v[0].unflatten(d, &[k as isize, -1]), move |a| a[0].reshape(&shape))?;
        Some(())
    });
    op(list, "movedim", |g| {
        let x = g.any_or_empty(1, 4);
        let (from, to) = (g.int(0, g.rank(x) - 1), g.int(0, g.rank(x) - 1));
        let mut axes: Vec<usize> = (0..g.rank(x)).filter(|&a| a != from).collect();
        axes.insert(to, from);
        let text = format!("$0.movedim([{from}], [{to}])");
        g.emit(
            text,
            &[x],
            move |v| v[0].movedim([from as isize], [to as isize]),
            move |a| a[0].permute(&axes),
        )?;
        Some(())
    });
    op(list, "diagonal", |g| {
        let x = g.any(2, 3);
        let axes = g.permutation(g.rank(x));
        let (p, q) = (axes[0], axes[1]);
        let k = g.int(0, 2) as isize - 1;
        let text = format!("$0.diagonal({k}, {p}, {q})");
        g.emit(
            text,
            &[x],
            move |v| v[0].diagonal(k, p as isize, q as isize),
            move |a| diagonal(a[0], k, p, q),
        )?;
        Some(())
    });
    op(list, "diag_embed", |g| {
        let x = g.any(1, 2);
        let k = g.int(0, 2) as isize - 1;
        g.small(g.values[x].data.len() * (g.values[x].dim(-1) + 1))?;
        g.emit(
            format!("$0.diag_embed({k}, -2, -1)"),
            &[x],
            move |v| v[0].diag_embed(k, -2, -1),
            move |a| embed(a[0], k),
        )?;
        Some(())
    });
    op(list, "diag", |g| {
        let x = g.any(1, 2);
        let k = g.int(0, 2) as isize - 1;
        if g.rank(x) == 1 {
            g.small(g.values[x].data.len() * (g.values[x].data.len() + 1))?;
        }
        let definition =
            move |a: &[&Arr]| if a[0].rank() == 1 { embed(a[0], k) } else { diagonal(a[0], k, 0, 1) };
        g.emit(format!("$0.diag({k})"), &[x], move |v| v[0].diag(k), definition)?;
        Some(())
    });
    op(list, "trace", |g| {
        let x = g.any(2, 2);
        g.emit("$0.trace()", &[x], |v| v[0].trace(), |a| Arr::one(sum(&diagonal(a[0], 0, 0, 1).data)))?;
        Some(())
    });
    for upper in [false, true] {
        op(list, if upper { "triu" } else { "tril" }, move |g| {
            let x = g.any_or_empty(2, 3);
            let k = g.int(0, 4) as isize - 2;
            let definition = move |a: &[&Arr]| {
                Arr::build(&a[0].shape, |i| {
                    let over = i[i.len() - 1] as isize - i[i.len() - 2] as isize;
                    let kept = if upper { over >= k } else { over <= k };
                    if kept { a[0].at(i) } else { Default::default() }
                })
            };
            match upper {
                true => g.emit(format!("$0.triu({k})"), &[x], move |v| v[0].triu(k), definition)?,
                false => g.emit(format!("$0.tril({k})"), &[x], move |v| v[0].tril(k), definition)?,
            };
            Some(())
        });
    }
    op(list, "meshgrid", |g| {
        let (x, y) = (g.any(1, 1), g.any(1, 1));
        g.small(g.values[x].data.len() * g.values[y].data.len())?;
        let (k, xy) = (g.int(0, 1), g.chance(50));
        let indexing = if xy { MeshgridIndexing::Xy } else { MeshgridIndexing::Ij };
        let definition = move |a: &[&Arr]| {
            let (n, m) = (a[0].shape[0], a[1].shape[0]);
            let shape = if xy { [m, n] } else { [n, m] };
            Arr::build(&shape, |i| {
                let (i, j) = if xy { (i[1], i[0]) } else { (i[0], i[1]) };
                if k == 0 { a[0].at(&[i]) } else { a[1].at(&[j]) }
            })
        };
        let text = format!("meshgrid(&[$0, $1], {indexing:?})[{k}]");
        g.emit(
            text,
            &[x, y],
            move |v| v[0].tape().meshgrid(&[&v[0], &v[1]], indexing)[k].clone(),
            definition,
        )?;
        Some(())
    });
}

pub fn unsqueeze(x: &Arr, at: usize) -> Arr {
    x.reshape(&[&x.shape[..at], &[1], &x.shape[at..]].concat())
}

pub fn squeeze(x: &Arr, dim: isize) -> Arr {
    let at = axis(dim, x.rank());
    x.reshape(&[&x.shape[..at], &x.shape[at + 1..]].concat())
}

/// Elements `i, i + k` of two axes, as a last axis.
pub fn diagonal(x: &Arr, k: isize, p: usize, q: usize) -> Arr {
    let (low, high) = ((-k).max(0) as usize, k.max(0) as usize);
    let len = x.shape[p].saturating_sub(low).min(x.shape[q].saturating_sub(high));
    let rest: Vec<usize> = (0..x.rank()).filter(|&a| a != p && a != q).collect();
    let shape: Vec<usize> = rest.iter().map(|&a| x.shape[a]).chain([len]).collect();
    Arr::build(&shape, |i| {
        let mut from = vec![0; x.rank()];
        rest.iter().zip(i).for_each(|(&a, &i)| from[a] = i);
        (from[p], from[q]) = (i[rest.len()] + low, i[rest.len()] + high);
        x.at(&from)
    })
}

/// The last axis as a diagonal of matrices.
fn embed(x: &Arr, k: isize) -> Arr {
    let lead = &x.shape[..x.rank() - 1];
    let size = x.dim(-1) + k.unsigned_abs();
    let (low, high) = ((-k).max(0) as usize, k.max(0) as usize);
    Arr::build(&[lead, &[size, size]].concat(), |i| {
        let (r, c) = (i[lead.len()], i[lead.len() + 1]);
        let on = r >= low && c >= high && r - low == c - high;
        if on { x.at(&[&i[..lead.len()], &[r - low]].concat()) } else { Default::default() }
    })
}
