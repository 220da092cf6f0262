//! Systems of equations, inverses, determinants, norms of matrices.
use super::{
    arr::{Arr, indices},
    number::{N, n, near},
    products::lead,
    program::{Gen, Op, op},
    views::squeeze,
};
use kolmo::ops::{MatrixNorm, SolveTriangularOptions};

/// Square matrices that are far from singular: random ones with a heavy diagonal.
fn regular(g: &mut Gen, symmetric: bool) -> Option<usize> {
    let (k, batch) = (g.int(1, 5), g.chance(40));
    let size = g.int(1, 3);
    let shape = if batch { vec![size, k, k] } else { vec![k, k] };
    let x = g.of(&shape);
    let x = g.within(x, -1.0, 1.0)?;
    let heavy = (k + 1) as f64;
    let definition = move |a: &[&Arr]| {
        let m =
            if symmetric { a[0].zip(&a[0].transpose(-1, -2), |x, y| (x + y) / 2.0) } else { a[0].clone() };
        Arr::build(&m.shape, |i| m.at(i) + if i[i.len() - 1] == i[i.len() - 2] { heavy } else { 0.0 })
    };
    g.emit(
        format!("{} + {heavy} * eye({k})", if symmetric { "($0 + $0.transpose(-1, -2)) / 2" } else { "$0" }),
        &[x],
        move |v| {
            let eye = v[0].tape().constant(kolmo::Tensor::eye(k));
            let m = if symmetric { (&v[0] + v[0].transpose(-1, -2)) / 2.0 } else { v[0].clone() };
            m + eye * heavy
        },
        definition,
    )
}

/// Gauss-Jordan elimination: the solution of `A X = B`, and the determinant of A.
fn eliminate(a: &[Vec<N>], b: &[Vec<N>]) -> (Vec<Vec<N>>, N) {
    let (mut a, mut b, mut det) = (a.to_vec(), b.to_vec(), n(1.0));
    for i in 0..a.len() {
        let pivot = (i..a.len()).max_by(|&p, &q| a[p][i].v.abs().total_cmp(&a[q][i].v.abs())).unwrap_or(i);
        if pivot != i {
            a.swap(i, pivot);
            b.swap(i, pivot);
            det = -det;
        }
        det = det * a[i][i];
        for r in (0..a.len()).filter(|&r| r != i) {
            let f = a[r][i] / a[i][i];
            (a[r], b[r]) = (less(&a[r], &a[i], f), less(&b[r], &b[i], f));
        }
    }
    let x = a.iter().zip(&b).enumerate().map(|(i, (a, b))| b.iter().map(|&b| b / a[i]).collect()).collect();
    (x, det)
}

fn less(x: &[N], y: &[N], f: N) -> Vec<N> {
    x.iter().zip(y).map(|(&x, &y)| x - y * f).collect()
}

fn rows(x: &Arr, lead: &[usize]) -> Vec<Vec<N>> {
    let (r, c) = (x.dim(-2), x.dim(-1));
    (0..r).map(|i| (0..c).map(|j| x.spread(&[lead, &[i, j]].concat())).collect()).collect()
}

/// A function of matrices for each of the leading indices.
fn matrices(shape: &[usize], lead: &[usize], f: impl Fn(&[usize]) -> Vec<N>) -> Arr {
    Arr::new(&[lead, shape].concat(), indices(lead).iter().flat_map(|i| f(i)).collect())
}

fn solve(a: &Arr, b: &Arr) -> Arr {
    let lead = super::arr::broadcast(&a.shape[..a.rank() - 2], &b.shape[..b.rank() - 2]);
    matrices(&b.shape[b.rank() - 2..], &lead, |i| eliminate(&rows(a, i), &rows(b, i)).0.concat())
}

fn eye(k: usize) -> Arr {
    Arr::build(&[k, k], |i| n((i[0] == i[1]) as u8 as f64))
}

fn det(a: &Arr) -> Arr {
    let (k, lead) = (a.dim(-1), &a.shape[..a.rank() - 2]);
    matrices(&[], lead, |i| vec![eliminate(&rows(a, i), &rows(&eye(k), &[])).1])
}

fn cholesky(a: &Arr) -> Arr {
    let (k, lead) = (a.dim(-1), &a.shape[..a.rank() - 2]);
    matrices(&[k, k], lead, |i| {
        let a = rows(a, i);
        let mut l = vec![vec![n(0.0); k]; k];
        for r in 0..k {
            for c in 0..=r {
                let rest = a[r][c] - (0..c).map(|j| l[r][j] * l[c][j]).sum::<N>();
                l[r][c] = if r == c { rest.sqrt() } else { rest / l[c][c] };
            }
        }
        l.concat()
    })
}

pub fn ops(list: &mut Vec<Op>) {
    op(list, "solve", |g| {
        let a = regular(g, false)?;
        let shape = g.shape(a);
        let (k, m, left) = (g.values[a].dim(-1), g.int(1, 3), g.chance(60));
        let own = if left { vec![k, m] } else { vec![m, k] };
        let lead = lead(g, &shape);
        let right = [lead, own].concat();
        if right == shape[..shape.len() - 1] {
            // PyTorch takes this for a vector each.
            return None;
        }
        let b = g.of(&right);
        let definition = move |v: &[&Arr]| match left {
            true => solve(v[0], v[1]),
            false => solve(&v[0].transpose(-1, -2), &v[1].transpose(-1, -2)).transpose(-1, -2),
        };
        let text = format!("$0.solve($1), from the left {left}");
        g.emit(
            text,
            &[a, b],
            move |v| match left {
                true => v[0].solve(&v[1]),
                false => v[0].transpose(-1, -2).solve(&v[1].transpose(-1, -2)).transpose(-1, -2),
            },
            definition,
        )?;
        Some(())
    });
    op(list, "solve_triangular", |g| {
        let a = regular(g, false)?;
        let shape = g.shape(a);
        let (k, m, upper, unit) = (g.values[a].dim(-1), g.int(1, 3), g.chance(50), g.chance(30));
        let lead = lead(g, &shape);
        let right = [lead, vec![k, m]].concat();
        if right == shape[..shape.len() - 1] {
            return None;
        }
        let b = g.of(&right);
        let definition = move |v: &[&Arr]| {
            let triangle = Arr::build(&v[0].shape, |i| {
                let (r, c) = (i[i.len() - 2], i[i.len() - 1]);
                match () {
                    _ if r == c && unit => n(1.0),
                    _ if r == c || (r < c) == upper => v[0].at(i),
                    _ => n(0.0),
                }
            });
            solve(&triangle, v[1])
        };
        let options = SolveTriangularOptions::new().upper(upper).unitriangular(unit);
        let text = format!("$0.solve_triangular($1, upper {upper}, unitriangular {unit})");
        g.emit(text, &[a, b], move |v| v[0].solve_triangular(&v[1], options), definition)?;
        Some(())
    });
    op(list, "inv", |g| {
        let a = regular(g, false)?;
        let k = g.values[a].dim(-1);
        g.emit("$0.inv()", &[a], |v| v[0].inv(), move |v| solve(v[0], &eye(k)))?;
        Some(())
    });
    op(list, "det", |g| {
        let a = if g.chance(50) {
            regular(g, false)?
        } else {
            g.find(2, 3, |s| s[s.len() - 1] == s[s.len() - 2])
        };
        let square =
            g.values[a].dim(-1) == g.values[a].dim(-2) && g.values[a].data.iter().all(|x| x.v.abs() > 0.01);
        if !square {
            return None;
        }
        g.emit(
            "$0.det()",
            &[a],
            |v| v[0].det(),
            |v| {
                let y = det(v[0]);
                y.data.iter().for_each(|y| near(y.v * 1e-3));
                y
            },
        )?;
        Some(())
    });
    op(list, "slogdet", |g| {
        let a = regular(g, false)?;
        g.emit("$0.slogdet().1", &[a], |v| v[0].slogdet().1, |v| det(v[0]).map(|d| d.abs().ln()))?;
        Some(())
    });
    op(list, "cholesky", |g| {
        let (a, upper) = (regular(g, true)?, g.chance(50));
        let definition = move |v: &[&Arr]| {
            let l = cholesky(v[0]);
            if upper { l.transpose(-1, -2) } else { l }
        };
        g.emit(format!("$0.cholesky({upper})"), &[a], move |v| v[0].cholesky(upper), definition)?;
        Some(())
    });
    op(list, "matrix_norm", |g| {
        let x = g.any(2, 3);
        let keep = g.chance(50);
        let inf = f64::INFINITY;
        let (norm, name) = g.choose(&[
            (MatrixNorm::Fro, "fro"),
            (MatrixNorm::Ord(1.0), "1"),
            (MatrixNorm::Ord(-inf), "-inf"),
        ]);
        let definition = move |a: &[&Arr]| match name {
            "fro" => a[0].fold(&[-2, -1], keep, |x| {
                let s: N = x.iter().map(|x| x.square()).sum();
                near(s.v);
                s.sqrt()
            }),
            _ => {
                let columns = name == "1";
                let (summed, chosen) = if columns { (-2, -1) } else { (-1, -2) };
                let sums = a[0].fold(&[summed], true, |x| x.iter().map(|x| x.abs()).sum());
                let best = |x: &[N]| {
                    x.iter().copied().reduce(if columns { N::max } else { N::min }).unwrap_or_default()
                };
                let y = sums.fold(&[chosen], true, best);
                if keep { y } else { squeeze(&squeeze(&y, -1), -1) }
            }
        };
        let text = format!("$0.matrix_norm({name}, [-2, -1], {keep})");
        g.emit(text, &[x], move |v| v[0].matrix_norm(norm, [-2, -1], keep), definition)?;
        Some(())
    });
    op(list, "matrix_norm(nuc)", |g| {
        // Differentiated once only. Of two rows or columns: √(σ₁² + σ₂² + 2 σ₁ σ₂), which traces and
        // determinants give.
        if !g.once {
            return None;
        }
        let k = g.int(2, 6);
        let x = g.of(&[2, k]);
        let definition = move |a: &[&Arr]| {
            let gram = a[0].matmul(&a[0].transpose(0, 1));
            near(det(&gram).data[0].v * 1e-3);
            Arr::one((gram.at(&[0, 0]) + gram.at(&[1, 1]) + det(&gram).data[0].sqrt() * 2.0).sqrt())
        };
        g.emit(
            "$0.matrix_norm(nuc)",
            &[x],
            |v| v[0].matrix_norm(MatrixNorm::Nuc, [0, 1], false),
            definition,
        )?;
        g.program.first_only = true;
        Some(())
    });
    op(list, "svdvals", |g| {
        // Of two rows or columns: σ² = t / 2 ± √(t² / 4 - d), for the trace t and the determinant d of the
        // smaller Gram matrix.
        if !g.once {
            return None;
        }
        let (k, wide) = (g.int(2, 6), g.chance(50));
        let lead: Vec<usize> = if g.chance(40) { vec![g.int(1, 3)] } else { vec![] };
        let x = g.of(&[&lead[..], &if wide { [2, k] } else { [k, 2] }].concat());
        let definition = move |a: &[&Arr]| {
            let turned = a[0].transpose(-1, -2);
            let gram = if wide { a[0].matmul(&turned) } else { turned.matmul(a[0]) };
            matrices(&[2], &a[0].shape[..a[0].rank() - 2], |i| {
                let m = rows(&gram, i);
                let (half, d) = ((m[0][0] + m[1][1]) / 2.0, m[0][0] * m[1][1] - m[0][1] * m[1][0]);
                let spread = half * half - d;
                near(spread.v * 1e-3);
                near(d.v * 1e-3);
                let root = spread.sqrt();
                vec![(half + root).sqrt(), (d / (half + root)).sqrt()]
            })
        };
        g.emit("$0.svdvals()", &[x], |v| v[0].svdvals(), definition)?;
        g.program.first_only = true;
        Some(())
    });
}
