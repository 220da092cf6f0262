//! Reductions, softmax and its relatives, scans, order.
use super::{
    arr::Arr,
    number::{N, n, near},
    program::{Gen, Op, V, mean, op, sum},
};

/// The places of the elements of a list in ascending order.
pub fn order(x: &[N]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..x.len()).collect();
    places.sort_by(|&i, &j| x[i].v.total_cmp(&x[j].v));
    places.windows(2).for_each(|w| near(x[w[1]].v - x[w[0]].v));
    places
}

fn variance(x: &[N], correction: f64) -> N {
    let m = mean(x);
    x.iter().map(|&x| (x - m).square()).sum::<N>() / (x.len() as f64 - correction)
}

fn max(x: &[N]) -> N {
    x.iter().copied().reduce(N::max).unwrap_or_default()
}

fn min(x: &[N]) -> N {
    x.iter().copied().reduce(N::min).unwrap_or_default()
}

fn median(x: &[N]) -> N {
    x[order(x)[(x.len() - 1) / 2]]
}

fn norm(x: &[N], p: f64) -> N {
    match p {
        1.0 => x.iter().map(|x| x.abs()).sum(),
        f64::INFINITY => max(&x.iter().map(|x| x.abs()).collect::<Vec<_>>()),
        f64::NEG_INFINITY => min(&x.iter().map(|x| x.abs()).collect::<Vec<_>>()),
        _ => {
            let s: N = x.iter().map(|x| x.abs().powf(p)).sum();
            near(s.v);
            s.powf(1.0 / p)
        }
    }
}

pub fn softmax(x: &[N]) -> Vec<N> {
    let e: Vec<N> = x.iter().map(|x| x.exp()).collect();
    e.iter().map(|&x| x / sum(&e)).collect()
}

fn logsumexp(x: &[N]) -> N {
    x.iter().map(|x| x.exp()).sum::<N>().ln()
}

type Over = for<'t> fn(&V<'t>, &[isize], bool) -> V<'t>;
type All = for<'t> fn(&V<'t>) -> V<'t>;
type Line = for<'t> fn(&V<'t>, isize) -> V<'t>;
type Choice = for<'t> fn(&V<'t>, isize, bool) -> V<'t>;

/// Over several axes: name, least number of elements, the crate's, the definition on their list.
const OVER: &[(&str, usize, Over, fn(&[N]) -> N)] = &[
    ("sum_dim", 0, |x, d, k| x.sum_dim(d, k), sum),
    ("mean_dim", 1, |x, d, k| x.mean_dim(d, k), mean),
    ("var_dim", 2, |x, d, k| x.var_dim(d, 1.0, k), |x| variance(x, 1.0)),
    ("var_dim(0)", 1, |x, d, k| x.var_dim(d, 0.0, k), |x| variance(x, 0.0)),
    (
        "std_dim",
        2,
        |x, d, k| x.std_dim(d, 1.0, k),
        |x| {
            let v = variance(x, 1.0);
            near(v.v);
            v.sqrt()
        },
    ),
    ("amax_dim", 1, |x, d, k| x.amax_dim(d, k), max),
    ("amin_dim", 1, |x, d, k| x.amin_dim(d, k), min),
    ("logsumexp", 1, |x, d, k| x.logsumexp(d, k), logsumexp),
    ("nansum_dim", 0, |x, d, k| x.nansum_dim(d, k), sum),
    ("nanmean_dim", 1, |x, d, k| x.nanmean_dim(d, k), mean),
    ("norm_dim(1)", 0, |x, d, k| x.norm_dim(1.0, d, k), |x| norm(x, 1.0)),
    ("norm_dim(2)", 1, |x, d, k| x.norm_dim(2.0, d, k), |x| norm(x, 2.0)),
    ("norm_dim(3)", 1, |x, d, k| x.norm_dim(3.0, d, k), |x| norm(x, 3.0)),
    ("norm_dim(inf)", 1, |x, d, k| x.norm_dim(f64::INFINITY, d, k), |x| norm(x, f64::INFINITY)),
    ("norm_dim(-inf)", 1, |x, d, k| x.norm_dim(f64::NEG_INFINITY, d, k), |x| norm(x, f64::NEG_INFINITY)),
];

const ALL: &[(&str, usize, All, fn(&[N]) -> N)] = &[
    ("sum", 0, |x| x.sum(), sum),
    ("mean", 1, |x| x.mean(), mean),
    ("var", 2, |x| x.var(1.0), |x| variance(x, 1.0)),
    (
        "std",
        2,
        |x| x.std(0.0),
        |x| {
            let v = variance(x, 0.0);
            near(v.v);
            v.sqrt()
        },
    ),
    ("prod", 0, |x| x.prod(), |x| x.iter().copied().product()),
    ("max", 1, |x| x.max(), max),
    ("min", 1, |x| x.min(), min),
    ("median", 1, |x| x.median(), median),
];

/// One element of a line.
const CHOICES: &[(&str, Choice, fn(&[N]) -> N)] = &[
    ("prod_dim", |x, d, k| x.prod_dim(d, k), |x| x.iter().copied().product()),
    ("max_dim", |x, d, k| x.max_dim(d, k).0, max),
    ("min_dim", |x, d, k| x.min_dim(d, k).0, min),
    ("median_dim", |x, d, k| x.median_dim(d, k).0, median),
];

fn scan(x: &[N], f: impl Fn(N, N) -> N) -> Vec<N> {
    let next = |so_far: &mut Option<N>, &x: &N| {
        *so_far = Some(so_far.map_or(x, |s| f(s, x)));
        *so_far
    };
    x.iter().scan(None, next).collect()
}

/// A line to a line.
const LINES: &[(&str, Line, fn(&[N]) -> Vec<N>)] = &[
    ("softmax", |x, d| x.softmax(d), softmax),
    ("log_softmax", |x, d| x.log_softmax(d), |x| x.iter().map(|&v| v - logsumexp(x)).collect()),
    ("cumsum", |x, d| x.cumsum(d), |x| scan(x, |a, b| a + b)),
    ("cumprod", |x, d| x.cumprod(d), |x| scan(x, |a, b| a * b)),
    ("logcumsumexp", |x, d| x.logcumsumexp(d), |x| scan(x, |a, b| (a.exp() + b.exp()).ln())),
    ("cummax", |x, d| x.cummax(d).0, |x| scan(x, N::max)),
    ("cummin", |x, d| x.cummin(d).0, |x| scan(x, N::min)),
    ("sort", |x, d| x.sort(d, false).0, |x| order(x).into_iter().map(|i| x[i]).collect()),
    ("sort descending", |x, d| x.sort(d, true).0, |x| order(x).into_iter().rev().map(|i| x[i]).collect()),
    ("diff", |x, d| x.diff(1, d), |x| x.windows(2).map(|w| w[1] - w[0]).collect()),
    ("normalize", |x, d| x.normalize(2.0, d, 1e-12), |x| x.iter().map(|&v| v / norm(x, 2.0)).collect()),
];

/// A value whose exponentials are no trouble.
fn calm(g: &mut Gen, low: usize, high: usize) -> Option<usize> {
    let x = g.any(low, high);
    g.within(x, -20.0, 20.0)
}

pub fn ops(list: &mut Vec<Op>) {
    for &(name, least, call, definition) in OVER {
        op(list, name, move |g| {
            let x = if least == 0 { g.any_or_empty(1, 4) } else { calm(g, 1, 4)? };
            let dims = if g.chance(15) { vec![] } else { g.axes(x) };
            let shape = g.shape(x);
            let over =
                |a: usize| dims.is_empty() || dims.iter().any(|&d| super::arr::axis(d, shape.len()) == a);
            let count: usize = (0..shape.len()).filter(|&a| over(a)).map(|a| shape[a]).product();
            if count < least {
                return None;
            }
            let keep = g.chance(50);
            let text = format!("{name} of $0 over {dims:?}, {keep}");
            let named = dims.clone();
            g.emit(
                text,
                &[x],
                move |v| call(&v[0], &dims, keep),
                move |a| a[0].fold(&named, keep, definition),
            )?;
            Some(())
        });
    }
    for &(name, least, call, definition) in ALL {
        op(list, name, move |g| {
            let x = if least == 0 { g.any_or_empty(0, 4) } else { g.any(0, 4) };
            if g.values[x].data.len() < least {
                return None;
            }
            g.emit(
                format!("$0.{name}()"),
                &[x],
                move |v| call(&v[0]),
                move |a| Arr::one(definition(&a[0].data)),
            )?;
            Some(())
        });
    }
    for &(name, call, definition) in CHOICES {
        op(list, name, move |g| {
            let x = g.any(1, 4);
            let (d, keep) = (g.axis(x), g.chance(50));
            let text = format!("{name} of $0, {d}, {keep}");
            g.emit(text, &[x], move |v| call(&v[0], d, keep), move |a| a[0].fold(&[d], keep, definition))?;
            Some(())
        });
    }
    for &(name, call, definition) in LINES {
        op(list, name, move |g| {
            let x = calm(g, 1, 4)?;
            let d = g.axis(x);
            g.emit(
                format!("$0.{name}({d})"),
                &[x],
                move |v| call(&v[0], d),
                move |a| a[0].along(d, definition),
            )?;
            Some(())
        });
    }
    op(list, "topk", |g| {
        let x = g.any(1, 4);
        let (d, largest) = (g.axis(x), g.chance(50));
        let k = g.int(1, g.values[x].dim(d));
        let definition = move |x: &[N]| {
            let mut places = order(x);
            if largest {
                places.reverse();
            }
            places.into_iter().take(k).map(|i| x[i]).collect()
        };
        let text = format!("$0.topk({k}, {d}, {largest})");
        g.emit(text, &[x], move |v| v[0].topk(k, d, largest).0, move |a| a[0].along(d, definition))?;
        Some(())
    });
    op(list, "kthvalue", |g| {
        let x = g.any(1, 4);
        let (d, keep) = (g.axis(x), g.chance(50));
        let k = g.int(1, g.values[x].dim(d));
        let definition = move |x: &[N]| x[order(x)[k - 1]];
        let text = format!("$0.kthvalue({k}, {d}, {keep})");
        g.emit(text, &[x], move |v| v[0].kthvalue(k, d, keep).0, move |a| a[0].fold(&[d], keep, definition))?;
        Some(())
    });
    op(list, "renorm", |g| {
        let x = g.any(2, 3);
        let (d, most) = (g.axis(x), g.real(0.5, 3.0));
        let definition = move |a: &[&Arr]| {
            let rank = a[0].rank();
            let at = super::arr::axis(d, rank);
            let others: Vec<isize> = (0..rank).filter(|&o| o != at).map(|o| o as isize).collect();
            let norms = a[0].fold(&others, true, |x| norm(x, 2.0));
            a[0].zip(&norms, |x, norm| if n(most).less(norm) { x * (n(most) / (norm + 1e-7)) } else { x })
        };
        g.emit(format!("$0.renorm(2.0, {d}, {most})"), &[x], move |v| v[0].renorm(2.0, d, most), definition)?;
        Some(())
    });
    op(list, "cosine_similarity", |g| {
        let x = g.any(1, 3);
        let y = super::unary::partner(g, x, [-2.0, 2.0]);
        let d = g.axis(x);
        let d = if d < 0 { d } else { d - g.rank(x) as isize };
        let definition = move |a: &[&Arr]| {
            let shape = &a[0].shape;
            let unit = |x: &Arr| x.expand(shape).along(d, |x| x.iter().map(|&v| v / norm(x, 2.0)).collect());
            unit(a[0]).zip(&unit(a[1]), |x, y| x * y).fold(&[d], false, sum)
        };
        let text = format!("$0.cosine_similarity($1, {d}, 1e-8)");
        g.emit(text, &[x, y], move |v| v[0].cosine_similarity(&v[1], d, 1e-8), definition)?;
        Some(())
    });
    op(list, "pairwise_distance", |g| {
        let x = g.any(1, 3);
        let y = g.of(&g.shape(x));
        let keep = g.chance(50);
        let definition =
            move |a: &[&Arr]| a[0].zip(a[1], |x, y| x - y + 1e-6).fold(&[-1], keep, |x| norm(x, 2.0));
        let text = format!("$0.pairwise_distance($1, 2, 1e-6, {keep})");
        g.emit(text, &[x, y], move |v| v[0].pairwise_distance(&v[1], 2.0, 1e-6, keep), definition)?;
        Some(())
    });
    op(list, "cdist", |g| {
        let x = g.any(2, 3);
        let (mut shape, p) = (g.shape(x), g.choose(&[1.0, 2.0, 3.0]));
        let at = shape.len() - 2;
        shape[at] = g.size();
        let y = g.of(&shape);
        let definition = move |a: &[&Arr]| {
            let (m, last) = (a[0].rank() - 2, a[0].rank() - 1);
            let shape = [&a[0].shape[..last], &[a[1].shape[m]]].concat();
            Arr::build(&shape, |i| {
                let (lead, k) = (&i[..m], 0..a[0].shape[last]);
                let at = |t: &Arr, row: usize, k: usize| t.at(&[lead, &[row, k]].concat());
                norm(&k.map(|k| at(a[0], i[m], k) - at(a[1], i[m + 1], k)).collect::<Vec<_>>(), p)
            })
        };
        g.emit(format!("$0.cdist($1, {p})"), &[x, y], move |v| v[0].cdist(&v[1], p), definition)?;
        Some(())
    });
}
