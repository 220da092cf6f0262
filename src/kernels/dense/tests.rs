use super::*;
use crate::kernels::FloatElement;

/// Sizes around those at which something changes.
const SIZES: [usize; 16] = [1, 2, 4, 5, 6, 12, 13, 31, 32, 33, 63, 64, 65, 96, 97, 130];

/// Numbers from -1 to 1.
fn noise(seed: u64, n: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn cast<T: FloatElement>(x: &[f64]) -> Vec<T> {
    x.iter().map(|&x| T::constant(x)).collect()
}

/// `[m, k] x [k, n]` by definition.
fn times<T: FloatElement>(a: &[T], b: &[T], [m, k, n]: [usize; 3]) -> Vec<f64> {
    let term = |i: usize, j: usize, l: usize| a[i * k + l].to_f64() * b[l * n + j].to_f64();
    (0..m * n).map(|i| (0..k).map(|l| term(i / n, i % n, l)).sum()).collect()
}

fn turned<T: Copy>(x: &[T], [m, n]: [usize; 2]) -> Vec<T> {
    (0..m * n).map(|i| x[i % m * n + i / m]).collect()
}

#[track_caller]
fn near<T: FloatElement>(found: &[T], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len());
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f.to_f64() - e).abs() <= tolerance, "{what}: element {i} is {f:?}, not {e}");
    }
}

/// `B Bᵀ + d I`
fn definite(n: usize, d: f64) -> Vec<f64> {
    let b = noise(n as u64, n * n);
    let mut a = times(&b, &turned(&b, [n, n]), [n, n, n]);
    a.iter_mut().step_by(n + 1).for_each(|a| *a += d);
    a
}

fn lower<T: FloatElement>(a: &[T], n: usize) -> Result<Vec<T>, usize> {
    let mut l = vec![T::constant(f64::NAN); n * n];
    cholesky(a, n, &mut l, &mut panel(n).unwrap()).unwrap().map(|()| l)
}

fn triangles_multiply_to_their_square<T: FloatElement>(epsilon: f64) {
    for n in SIZES {
        // The second is hardly positive.
        for d in [1.0, 1e4 * epsilon * n as f64] {
            let mut a = cast::<T>(&definite(n, d));
            let expected: Vec<f64> = a.iter().map(|a| a.to_f64()).collect();
            (0..n * n).filter(|i| i % n > i / n).for_each(|i| a[i] = T::constant(f64::NAN));
            let l = lower(&a, n).unwrap();
            assert!((0..n * n).filter(|i| i % n > i / n).all(|i| l[i].to_f64() == 0.0));
            let bound = 4.0 * epsilon * n as f64 * (n as f64 + d);
            near(
                &cast::<T>(&times(&l, &turned(&l, [n, n]), [n, n, n])),
                &expected,
                bound,
                &format!("{n}, {d}"),
            );
        }
    }
}

#[test]
fn triangles_multiply_to_their_square_without_the_upper_half() {
    triangles_multiply_to_their_square::<f32>(f32::EPSILON.into());
    triangles_multiply_to_their_square::<f64>(f64::EPSILON);
}

#[test]
fn the_first_minor_that_is_not_positive_is_found_in_every_block() {
    for n in SIZES {
        for bad in [0, n / 2, n - 1] {
            for value in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY] {
                let mut a = definite(n, 1.0);
                a[bad * n + bad] = value;
                assert_eq!(lower(&a, n), Err(bad + 1), "{n}: {value}");
            }
        }
    }
}

fn factors_solve<T: FloatElement>(epsilon: f64) {
    for n in SIZES {
        let mut lu = Lu::new(n).unwrap();
        // One after the other in the same room; the last is far from regular.
        for (seed, near_singular) in [(1, false), (2, false), (3, true)] {
            let mut a = noise(seed + n as u64, n * n);
            if near_singular && n > 1 {
                let (head, last) = a.split_at_mut((n - 1) * n);
                last.iter_mut().zip(&*head).for_each(|(l, &h)| *l = h + 1e4 * epsilon * *l);
            }
            let a = cast::<T>(&a);
            lu.factor(&a).unwrap();
            assert_eq!(lu.singular(), None);
            for k in [1, 3, 7, 16, 70] {
                let b = cast::<T>(&noise(k as u64, n * k));
                let mut x = vec![T::constant(f64::NAN); n * k];
                lu.solve(&b, k, &mut x).unwrap();
                let largest = x.iter().fold(1.0, |most: f64, x| most.max(x.to_f64().abs()));
                let b: Vec<f64> = b.iter().map(|b| b.to_f64()).collect();
                let bound = 8.0 * epsilon * n as f64 * largest;
                near(&cast::<f64>(&times(&a, &x, [n, n, k])), &b, bound, &format!("{n} x {k}"));
            }
        }
    }
}

#[test]
fn factors_of_any_size_solve() {
    factors_solve::<f32>(f32::EPSILON.into());
    factors_solve::<f64>(f64::EPSILON);
}

#[test]
fn the_pivot_that_is_zero_is_found_in_every_block() {
    for n in SIZES {
        for bad in [0, n / 2, n - 1] {
            let mut a = noise(n as u64, n * n);
            a.iter_mut().skip(bad).step_by(n).for_each(|a| *a = 0.0);
            let mut lu = Lu::new(n).unwrap();
            lu.factor(&a).unwrap();
            assert_eq!((lu.singular(), lu.determinant().abs()), (Some(bad), 0.0), "{n}");
        }
    }
}

#[test]
fn the_determinant_of_a_permutation_is_its_sign() {
    for n in SIZES {
        // A cycle, which is odd where n is even.
        let a: Vec<f64> = (0..n * n).map(|i| f64::from((i / n + 1) % n == i % n)).collect();
        let mut lu = Lu::new(n).unwrap();
        lu.factor(&a).unwrap();
        assert_eq!(lu.determinant(), if n % 2 == 0 { -1.0 } else { 1.0 });
        assert_eq!(lu.is_odd(), n % 2 == 0);
    }
}

fn triangular_systems<T: FloatElement>(epsilon: f64) {
    for n in SIZES {
        for (upper, unit) in [(false, false), (false, true), (true, false), (true, true)] {
            let inside = |i: usize| if upper { i % n > i / n } else { i % n < i / n };
            let mut a = noise(n as u64, n * n);
            let mut full = a.clone();
            for i in 0..n * n {
                let diagonal = i / n == i % n;
                full[i] = match () {
                    () if diagonal && unit => 1.0,
                    () if diagonal => 2.0 + a[i],
                    () if inside(i) => a[i] / n as f64,
                    () => 0.0,
                };
                // What isn't read may be anything.
                a[i] = if inside(i) || diagonal && !unit { full[i] } else { f64::NAN };
            }
            let (a, full) = (cast::<T>(&a), cast::<T>(&full));
            for (k, step) in [(1, 1), (2, 5), (9, 9), (90, 95)] {
                let x = cast::<T>(&noise(k as u64, n * k));
                let product = times(&full, &x, [n, n, k]);
                let mut b = vec![T::constant(7.0); n * step];
                for (b, p) in b.chunks_exact_mut(step).zip(product.chunks_exact(k)) {
                    b[..k].copy_from_slice(&cast::<T>(p));
                }
                Triangle { data: &a, step: n, n, upper, unit }.solve(&mut b, k, step).unwrap();
                for (b, x) in b.chunks_exact(step).zip(x.chunks_exact(k)) {
                    let x: Vec<f64> = x.iter().map(|x| x.to_f64()).collect();
                    near(&b[..k], &x, 40.0 * epsilon, &format!("{n} x {k}, upper {upper}, unit {unit}"));
                    assert!(b[k..].iter().all(|b| b.to_f64() == 7.0), "what lies between the rows stays");
                }
            }
        }
    }
}

#[test]
fn triangular_systems_of_any_size_are_solved_in_place() {
    triangular_systems::<f32>(f32::EPSILON.into());
    triangular_systems::<f64>(f64::EPSILON);
}

/// Orthonormal rows: what a product of reflections makes of the unit vectors.
fn orthonormal(seed: u64, n: usize) -> Vec<f64> {
    let mut q: Vec<f64> = (0..n * n).map(|i| f64::from(i / n == i % n)).collect();
    for round in 0..3 {
        let w = noise(seed + round, n);
        let square: f64 = w.iter().map(|w| w * w).sum();
        for row in q.chunks_exact_mut(n) {
            let part = 2.0 * row.iter().zip(&w).map(|(r, w)| r * w).sum::<f64>() / square;
            row.iter_mut().zip(&w).for_each(|(r, w)| *r -= part * w);
        }
    }
    q
}

#[test]
fn singular_values_and_vectors_are_those_that_made_the_matrix() {
    let spectra: [fn(usize, usize) -> f64; 6] = [
        |i, _| 1.0 / (1.0 + i as f64),
        |i, _| 0.1f64.powi(i as i32),                        // down to nothing
        |i, n| if i < n / 2 { 3.0 } else { 1.0 },            // many equal ones
        |i, n| if i < n / 3 { 2.0 + i as f64 } else { 0.0 }, // of low rank
        |i, _| 1e300 / (1.0 + i as f64).sqrt(),
        |i, _| 1e-300 * (1.0 + i as f64),
    ];
    for m in [1, 2, 5, 6, 7, 16, 33, 65, 130] {
        for n in [1, 4, 5, 6, 15, 17, 64] {
            for (which, spectrum) in spectra.iter().enumerate() {
                let k = m.min(n);
                let mut made: Vec<f64> = (0..k).map(|i| spectrum(i, k)).collect();
                made.sort_by(|a, b| b.total_cmp(a));
                let (u, v) = (&orthonormal(m as u64, m)[..k * m], &orthonormal(n as u64, n)[..k * n]);
                let weighted: Vec<f64> = u.iter().enumerate().map(|(i, u)| u * made[i / m]).collect();
                let a = times(&turned(&weighted, [k, m]), v, [m, k, n]);
                let what = format!("{m} x {n}, spectrum {which}");
                let bound = 8.0 * f64::EPSILON * made[0] * (k as f64).sqrt();
                let values = singular_values(&a, m, n).unwrap();
                near(&values, &made, bound, &what);
                assert!(values.is_sorted_by(|a, b| a >= b), "{what}");
                let parts = svd(&a, m, n).unwrap();
                near(&parts.s, &made, bound, &what);
                for (x, size) in [(&parts.u, m), (&parts.v, n)] {
                    let gram = times(x, &turned(x, [k, size]), [k, size, k]);
                    // Left vectors of zeros are zeros.
                    let eye: Vec<f64> =
                        (0..k * k).map(|i| if i / k == i % k { gram[i].round() } else { 0.0 }).collect();
                    near(&gram, &eye, 4.0 * f64::EPSILON * k as f64, &what);
                }
                let s = parts.s.clone();
                near(&parts.weighted(s.into_iter(), m, n).unwrap(), &a, 2.0 * bound, &what);
            }
        }
    }
}

#[test]
fn bidiagonal_and_graded_matrices_have_the_values_of_rotated_columns() {
    for n in [6, 20, 33] {
        let entry = |which: usize, i: usize| {
            let (row, column) = (i / n, i % n);
            let x = noise(i as u64 + 1, 1)[0];
            match which {
                0 if row == column || row + 1 == column => x,
                // A zero on the diagonal.
                1 if row + 1 == column || (row == column && row != n / 2) => 1.0,
                2 => x * 0.1f64.powi(row as i32 / 2),
                3 => x * 0.1f64.powi((n - row) as i32 / 2),
                4 => 1.0,
                _ => 0.0,
            }
        };
        for which in 0..6 {
            let a: Vec<f64> = (0..n * n).map(|i| entry(which, i)).collect();
            let columns = super::singular::rotated(&a, n).unwrap();
            // Rotations are no more exact.
            let bound = 64.0 * f64::EPSILON * columns.first().copied().unwrap_or_default().max(1.0);
            near(&singular_values(&a, n, n).unwrap(), &columns, bound, &format!("{n}, {which}"));
            near(&svd(&a, n, n).unwrap().s, &columns, bound, &format!("{n}, {which} with vectors"));
        }
    }
}

#[test]
fn what_is_not_finite_has_no_singular_values() {
    for n in [2, 8] {
        for bad in [f64::NAN, f64::INFINITY] {
            let mut a = noise(1, n * n);
            a[n + 1] = bad;
            assert!(singular_values(&a, n, n).unwrap().iter().all(|s| s.is_nan()));
            let parts = svd(&a, n, n).unwrap();
            assert!([parts.s, parts.u, parts.v].iter().flatten().all(|x| x.is_nan()));
        }
    }
    assert_eq!(singular_values::<f64>(&[], 0, 3).unwrap(), [0.0; 0]);
    assert_eq!(singular_values(&[0.0f32; 64], 8, 8).unwrap(), [0.0; 8]);
}
