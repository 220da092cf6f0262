//! Matrix products, sums by subscripts, systems of equations.
use super::{
    arr::{Arr, indices},
    number::N,
    program::{Gen, Op, V, op},
    views::{squeeze, unsqueeze},
};

type Two = for<'t> fn(&V<'t>, &V<'t>) -> V<'t>;

fn product(a: &[&Arr]) -> Arr {
    match (a[0].rank(), a[1].rank()) {
        (1, 1) => Arr::one(a[0].zip(a[1], |x, y| x * y).data.into_iter().sum()),
        (1, _) => squeeze(&unsqueeze(a[0], 0).matmul(a[1]), -2),
        (_, 1) => squeeze(&a[0].matmul(&unsqueeze(a[1], 1)), -1),
        _ => a[0].matmul(a[1]),
    }
}

fn outer(a: &[&Arr]) -> Arr {
    unsqueeze(a[0], 1).zip(a[1], |x, y| x * y)
}

/// Leading axes that broadcast with these.
pub fn lead(g: &mut Gen, shape: &[usize]) -> Vec<usize> {
    let lead = shape[..shape.len().saturating_sub(2)].to_vec();
    g.broadcast_to(&lead)
}

/// `Σ` over the letters that the result lacks.
fn einsum(equation: &str, operands: &[&Arr]) -> Arr {
    let (terms, result) = equation.split_once("->").unwrap_or((equation, ""));
    let terms: Vec<Vec<char>> = terms.split(',').map(|t| t.chars().collect()).collect();
    let mut letters: Vec<char> = result.chars().collect();
    let free = letters.len();
    terms.iter().flatten().for_each(|c| {
        if !letters.contains(c) {
            letters.push(*c);
        }
    });
    let place = |c: &char| letters.iter().position(|l| l == c).unwrap_or(0);
    let mut sizes = vec![1; letters.len()];
    for (term, x) in terms.iter().zip(operands) {
        term.iter().zip(&x.shape).for_each(|(c, &s)| sizes[place(c)] = s);
    }
    let inner = indices(&sizes[free..]);
    Arr::build(&sizes[..free], |i| {
        let term = |j: &Vec<usize>| {
            let all = [i, j].concat();
            let factor =
                |(t, x): (&Vec<char>, &&Arr)| x.at(&t.iter().map(|c| all[place(c)]).collect::<Vec<_>>());
            terms.iter().zip(operands).map(factor).product::<N>()
        };
        inner.iter().map(term).sum()
    })
}

const EQUATIONS: &[&str] = &[
    "ij,jk->ik",
    "ij,jk->ki",
    "bij,bjk->bik",
    "bij,bkj->bik",
    "ij,ij->ij",
    "ij,ij->",
    "i,j->ij",
    "ii->i",
    "iij->j",
    "ij->ji",
    "ijk->k",
    "ij,jk,kl->il",
    "bhid,bhjd->bhij",
    "ij,j,i->",
    "abc,cd->dab",
    "ijj,j->i",
    "i,i->",
];

pub fn ops(list: &mut Vec<Op>) {
    op(list, "matmul", |g| {
        let x = g.any_or_empty(1, 4);
        let k = g.values[x].dim(-1);
        let m = g.size();
        let shape = if g.chance(20) { vec![k] } else { [lead(g, &g.shape(x)), vec![k, m]].concat() };
        let y = g.of(&shape);
        g.emit("$0.matmul($1)", &[x, y], |v| v[0].matmul(&v[1]), product)?;
        Some(())
    });
    const PAIRS: &[(&str, [&str; 2], Two)] = &[
        ("bmm", ["bnk", "bkm"], |a, b| a.bmm(b)),
        ("dot", ["k", "k"], |a, b| a.dot(b)),
        ("outer", ["n", "m"], |a, b| a.outer(b)),
        ("kron", ["nk", "bm"], |a, b| a.kron(b)),
        ("tensordot", ["bnk", "kmn"], |a, b| a.tensordot(b, [2, 1], [0, 2])),
    ];
    for &(name, shapes, call) in PAIRS {
        op(list, name, move |g| {
            let x = g.any_or_empty(shapes[0].len(), shapes[0].len());
            let own = g.shape(x);
            let mut shape = Vec::new();
            for c in shapes[1].chars() {
                shape.push(shapes[0].find(c).map_or_else(|| g.size(), |at| own[at]));
            }
            let y = g.of(&shape);
            if ["outer", "kron"].contains(&name) {
                g.small(g.values[x].data.len() * g.values[y].data.len())?;
            }
            let definition = move |a: &[&Arr]| match name {
                "outer" => outer(a),
                "inner" => a[0].matmul(&a[1].transpose(0, 1)),
                "tensordot" => einsum("bnk,kmn->bm", a),
                "kron" => {
                    let [p, q] = [a[1].shape[0], a[1].shape[1]];
                    Arr::build(&[a[0].shape[0] * p, a[0].shape[1] * q], |i| {
                        a[0].at(&[i[0] / p, i[1] / q]) * a[1].at(&[i[0] % p, i[1] % q])
                    })
                }
                _ => product(a),
            };
            g.emit(format!("$0.{name}($1)"), &[x, y], move |v| call(&v[0], &v[1]), definition)?;
            Some(())
        });
    }
    for (name, shapes) in [("addmm", ["nm", "nk", "km"]), ("baddbmm", ["bnm", "bnk", "bkm"])] {
        op(list, name, move |g| {
            let sizes = [0; 4].map(|_| g.size().min(6));
            let shape = |s: &str| s.chars().map(|c| sizes["bnmk".find(c).unwrap_or(0)]).collect::<Vec<_>>();
            let mut own = shape(shapes[0]);
            if g.chance(30) {
                own = g.broadcast_to(&own);
            }
            let (x, a, b) = (g.of(&own), g.of(&shape(shapes[1])), g.of(&shape(shapes[2])));
            let (beta, alpha) = (g.real(-1.0, 1.0), g.real(-1.0, 1.0));
            let definition = move |v: &[&Arr]| {
                let y = product(&v[1..]);
                y.zip(v[0], |y, x| y * alpha + x * beta)
            };
            let text = format!("$0.{name}($1, $2, {beta}, {alpha})");
            g.emit(
                text,
                &[x, a, b],
                move |v| match name {
                    "addmm" => v[0].addmm(&v[1], &v[2], beta, alpha),
                    _ => v[0].baddbmm(&v[1], &v[2], beta, alpha),
                },
                definition,
            )?;
            Some(())
        });
    }
    op(list, "linear", |g| {
        let x = g.any_or_empty(1, 4);
        let (k, m, biased) = (g.values[x].dim(-1), g.size(), g.chance(60));
        let w = g.of(&[m, k]);
        let mut operands = vec![x, w];
        if biased {
            operands.push(g.of(&[m]));
        }
        let definition = |a: &[&Arr]| {
            let y = product(&[a[0], &a[1].transpose(0, 1)]);
            if a.len() > 2 { y.zip(a[2], |y, b| y + b) } else { y }
        };
        g.emit("$0.linear($1, bias $2)", &operands, |v| v[0].linear(&v[1], v.get(2)), definition)?;
        Some(())
    });
    op(list, "bilinear", |g| {
        let x = g.any(1, 3);
        let (i, j, o) = (g.values[x].dim(-1), g.int(1, 4), g.int(1, 4));
        let mut shape = g.shape(x);
        shape.pop();
        shape.push(j);
        let (y, w, b) = (g.of(&shape), g.of(&[o, i, j]), g.of(&[o]));
        let definition = move |a: &[&Arr]| {
            let mut shape = a[0].shape.clone();
            shape.pop();
            shape.push(o);
            Arr::build(&shape, |at| {
                let (lead, out) = (&at[..at.len() - 1], at[at.len() - 1]);
                let pairs = indices(&[i, j]);
                let term = |p: &Vec<usize>| {
                    let (x, y) = (a[0].at(&[lead, &[p[0]]].concat()), a[1].at(&[lead, &[p[1]]].concat()));
                    x * a[2].at(&[out, p[0], p[1]]) * y
                };
                pairs.iter().map(term).sum::<N>() + a[3].at(&[out])
            })
        };
        g.emit(
            "$0.bilinear($1, $2, $3)",
            &[x, y, w, b],
            |v| v[0].bilinear(&v[1], &v[2], Some(&v[3])),
            definition,
        )?;
        Some(())
    });
    op(list, "cross", |g| {
        let mut shape = g.new_shape(1, 3);
        let at = g.int(0, shape.len() - 1);
        shape[at] = 3;
        let (x, y, d) = (g.of(&shape), g.of(&shape), at as isize);
        let definition = move |a: &[&Arr]| {
            let turn = |x: &Arr, by: usize| x.pick(d, &[by % 3, (by + 1) % 3, (by + 2) % 3]);
            let p = turn(a[0], 1).zip(&turn(a[1], 2), |x, y| x * y);
            p.zip(&turn(a[0], 2).zip(&turn(a[1], 1), |x, y| x * y), |p, q| p - q)
        };
        g.emit(format!("$0.cross($1, {d})"), &[x, y], move |v| v[0].cross(&v[1], d), definition)?;
        Some(())
    });
    op(list, "einsum", |g| {
        let equation = g.choose(EQUATIONS);
        let sizes: Vec<usize> = (0..26).map(|_| g.size().min(6)).collect();
        let terms = equation.split("->").next().unwrap_or("");
        let mut operands = Vec::new();
        for term in terms.split(',') {
            let shape: Vec<usize> = term.bytes().map(|c| sizes[(c - b'a') as usize]).collect();
            operands.push(g.of(&shape));
        }
        let text = format!("einsum({equation:?}, $0, $1, $2)");
        g.emit(
            text,
            &operands,
            move |v| v[0].tape().einsum(equation, &v.iter().collect::<Vec<_>>()),
            move |a| einsum(equation, a),
        )?;
        Some(())
    });
}
