//! Every row of the table of elementary functions, checked: a new row is tested as soon as it is there.
//! Derivatives of first and second order against central differences, and all kinds of numbers against each
//! other.
use super::list::{Binary, Float};
use crate::{
    Result, Scalar, Tape, Tensor, Var,
    autodiff::GradCheck,
    real::{Arithmetic, Dual, number::value, table::elementary},
};

/// The value of an option in these checks; no point below lies on a kink that it makes.
fn option(name: &str) -> f64 {
    match name {
        "n" => 2.0,
        "negative_slope" => 0.1,
        "number" => 1.7,
        "eps" => 0.05,
        "nan" | "posinf" | "neginf" => 3.0,
        "min" | "min_val" => -0.6,
        "max" | "max_val" => 0.9,
        "exponent" => 2.5,
        "alpha" => 1.3,
        "beta" => 1.4,
        "threshold" => 1.2,
        "lambd" => 0.45,
        "value" => -0.3,
        other => panic!("the option {other} needs a value for these checks"),
    }
}

/// The function of plain numbers, of either type.
type Plain1 = (fn(f32) -> f32, fn(f64) -> f64);
type Plain2 = (fn(f32, f32) -> f32, fn(f64, f64) -> f64);

struct UnaryRow {
    name: &'static str,
    f64: for<'t> fn(&Var<'t, f64>) -> Var<'t, f64>,
    f32: for<'t> fn(&Var<'t, f32>) -> Var<'t, f32>,
    scalar: for<'t> fn(Scalar<'t, f64>) -> Scalar<'t, f64>,
    dual: fn(Dual<f64, 1>) -> Dual<f64, 1>,
    plain: Plain1,
}

struct BinaryRow {
    name: &'static str,
    op: Binary,
    scalar: for<'t> fn(Scalar<'t, f64>, Scalar<'t, f64>) -> Scalar<'t, f64>,
    dual: fn(Dual<f64, 2>, Dual<f64, 2>) -> Dual<f64, 2>,
    plain: Plain2,
}

macro_rules! rows {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) [$($bk:ident)*] $bf:tt |$bx:ident, $by:ident, $bg:ident| $bd:expr $(, $bi:tt)?; )* }
        made { $( $(#[$mm:meta])* $mn:ident $mv:ident ($($mp:ident),*) [$($mk:ident)*] |$mvx:ident| $me:expr, |$mx:ident, $my:ident, $mg:ident| $md:expr $(, $mi:tt)?; )* }
        pairs { $( $(#[$pm:meta])* $pn:ident $pv:ident [$($pka:ident)*] [$($pkb:ident)*] |$pva:ident, $pvb:ident| $pe:expr, |$pa:ident, $pb:ident, $py:ident, $pg:ident| $pda:expr, $pdb:expr $(, $pi:tt)?; )* }
        operators { $( $(#[$om:meta])* $on:ident $ov:ident [$($oka:ident)*] [$($okb:ident)*] |$ova:ident, $ovb:ident| $oe:expr, |$oa:ident, $ob:ident, $oy:ident, $og:ident| $oda:expr, $odb:expr $(, $oi:tt)?; )* }
    ) => {
        fn unary_rows() -> Vec<UnaryRow> {
            vec![
                $( rows!(unary $bn $($bp)*), )*
                $( rows!(unary $mn $($mp)*), )*
            ]
        }

        fn binary_rows() -> Vec<BinaryRow> {
            vec![
                $( BinaryRow {
                    name: stringify!($pn),
                    op: Binary::$pv,
                    scalar: |a, b| a.$pn(b),
                    dual: |a, b| Arithmetic::$pn(a, b),
                    plain: (|a, b| Arithmetic::$pn(a, b), |a, b| Arithmetic::$pn(a, b)),
                }, )*
                $( BinaryRow {
                    name: stringify!($on),
                    op: Binary::$ov,
                    scalar: |a, b| value::$on(a, b),
                    dual: |a, b| value::$on(a, b),
                    plain: (|a, b| value::$on(a, b), |a, b| value::$on(a, b)),
                }, )*
            ]
        }
    };
    (unary $name:ident $($p:ident)*) => {
        UnaryRow {
            name: stringify!($name),
            f64: |x| x.$name($(option(stringify!($p))),*),
            f32: |x| x.$name($(option(stringify!($p))),*),
            scalar: |x| x.$name($(option(stringify!($p))),*),
            dual: |x| Arithmetic::$name(x $(, option(stringify!($p)))*),
            plain: (
                |x| Arithmetic::$name(x $(, option(stringify!($p)))*),
                |x| Arithmetic::$name(x $(, option(stringify!($p)))*),
            ),
        }
    };
}
elementary!(rows);

/// Value and gradients of a function of vectors, element by element, by the plain sweep.
fn swept<T: Float>(
    f: impl for<'t> Fn(&[Var<'t, T>]) -> Var<'t, T>,
    inputs: &[Tensor<f64>],
) -> Result<Vec<Vec<f64>>> {
    let tape = Tape::<T>::new();
    let x: Vec<_> = inputs.iter().map(|t| tape.input(t.cast::<T>())).collect();
    let y = f(&x);
    let grads = y.sum().backward()?;
    let mut all = vec![y.value()?.cast().to_vec()];
    all.extend(x.iter().map(|x| grads.get(x).map_or(vec![0.0; x.numel()], |g| g.cast().to_vec())));
    Ok(all)
}

fn near(what: &str, found: f64, expected: f64, rtol: f64) {
    let bound = rtol * (1.0 + expected.abs());
    assert!((found - expected).abs() <= bound, "{what}: {found}, expected {expected}");
}

const POINTS: [f64; 12] = [-3.62, -2.63, -1.41, -0.77, -0.32, -0.13, 0.17, 0.38, 0.71, 1.33, 2.57, 3.62];

#[test]
fn every_function_of_one_argument_has_its_derivatives() -> Result<()> {
    let tape = Tape::<f64>::new();
    for row in unary_rows() {
        let name = row.name;
        let inside = |x: &f64| (row.f64)(&tape.constant(*x)).item().is_ok_and(f64::is_finite);
        let points: Vec<f64> = POINTS.into_iter().filter(inside).collect();
        assert!(points.len() >= 3, "{name} has values at {points:?} only");
        let inputs = [Tensor::from(&points[..])];
        let check = GradCheck::new().second_order(true).check(|x| (row.f64)(&x[0]), &inputs);
        check.unwrap_or_else(|e| panic!("{name}: {e}"));
        // Inside another function, the gradient that comes in is recorded, too.
        let check = GradCheck::new().second_order(true).check(|x| (row.f64)(&x[0]).tanh(), &inputs);
        check.unwrap_or_else(|e| panic!("tanh of {name}: {e}"));

        let exact = swept::<f64>(|x| (row.f64)(&x[0]), &inputs)?;
        let single = swept::<f32>(|x| (row.f32)(&x[0]), &inputs)?;
        for (i, &at) in points.iter().enumerate() {
            let dual = (row.dual)(Dual::variable(at, 0));
            let x = tape.scalar(at);
            let y = (row.scalar)(x);
            let slope = y.backward()?.scalar(x);
            for (what, pair, rtol) in [
                ("dual", (dual.re, dual.eps[0]), 1e-11),
                ("scalar", (y.value(), slope), 1e-11),
                ("f32", (single[0][i], single[1][i]), 1e-4),
            ] {
                near(&format!("{what} {name}({at})"), pair.0, exact[0][i], rtol);
                near(&format!("{what} {name}'({at})"), pair.1, exact[1][i], rtol);
            }
        }
    }
    Ok(())
}

/// A branch that isn't taken may be infinite or NaN; nothing of it must come through.
#[test]
fn second_derivatives_are_numbers_where_the_first_are() -> Result<()> {
    let points = [-20.0, -6.0, -3.0, -2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 3.0, 6.0, 20.0, 40.0];
    for row in unary_rows() {
        for at in points {
            let tape = Tape::<f64>::new();
            let x = tape.input(at);
            let y = (row.f64)(&x);
            let first = y.grad(&[&x])?.remove(0);
            if !y.item()?.is_finite() || !first.item()?.is_finite() {
                continue;
            }
            // The gradient that comes in is recorded, too.
            let slope = y.tanh().grad(&[&x])?.remove(0);
            if slope.is_recorded() {
                let second = slope.grad(&[&x])?.remove(0).item()?;
                assert!(!second.is_nan(), "{}''({at})", row.name);
            }
        }
    }
    Ok(())
}

#[test]
fn every_function_of_two_arguments_has_its_derivatives() -> Result<()> {
    let tape = Tape::<f64>::new();
    for row in binary_rows() {
        let (name, op) = (row.name, row.op);
        let inside = |(a, b): &(f64, f64)| {
            let y = tape.apply(op, &[&tape.constant(*a), &tape.constant(*b)]);
            y.item().is_ok_and(f64::is_finite)
        };
        let pairs = [-2.3, -0.6, 0.4, 1.7].into_iter().flat_map(|a| [-1.9, -0.35, 0.55, 2.6].map(|b| (a, b)));
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.filter(inside).unzip();
        assert!(a.len() >= 4, "{name} has values at {a:?}, {b:?} only");
        let check = |what: &str, inputs: &[Tensor<f64>]| {
            // One input stands on both sides.
            GradCheck::new()
                .second_order(true)
                .check(|x| x[0].tape().apply(op, &[&x[0], &x[x.len() - 1]]), inputs)
                .unwrap_or_else(|e| panic!("{name}, {what}: {e}"));
            GradCheck::new()
                .second_order(true)
                .check(|x| x[0].tape().apply(op, &[&x[0], &x[x.len() - 1]]).tanh(), inputs)
                .unwrap_or_else(|e| panic!("tanh of {name}, {what}: {e}"));
        };
        let inputs = [Tensor::from(&a[..]), Tensor::from(&b[..])];
        check("plain", &inputs);
        check("broadcast", &[Tensor::from([[0.4], [1.7]]), Tensor::from([0.55, 1.3, 2.6])]);
        check("the same on both sides", &[Tensor::from([0.4, 1.7, 2.2])]);

        let exact = swept::<f64>(|x| x[0].tape().apply(op, &[&x[0], &x[1]]), &inputs)?;
        let single = swept::<f32>(|x| x[0].tape().apply(op, &[&x[0], &x[1]]), &inputs)?;
        for (i, (&a, &b)) in a.iter().zip(&b).enumerate() {
            let dual = (row.dual)(Dual::variable(a, 0), Dual::variable(b, 1));
            // The derivative by the exponent has no value at a negative base.
            let skip = |k: usize| !exact[k][i].is_finite();
            let (x, z) = (tape.scalar(a), tape.scalar(b));
            let y = (row.scalar)(x, z);
            let slopes = y.backward()?;
            for (what, found, rtol) in [
                ("dual", [dual.re, dual.eps[0], dual.eps[1]], 1e-11),
                ("scalar", [y.value(), slopes.scalar(x), slopes.scalar(z)], 1e-11),
                ("f32", [single[0][i], single[1][i], single[2][i]], 1e-4),
            ] {
                for k in (0..3).filter(|&k| !skip(k)) {
                    near(&format!("{what} {name}({a}, {b}), number {k}"), found[k], exact[k][i], rtol);
                }
            }
        }
    }
    Ok(())
}

/// Of all sizes and signs, zeros and infinities among them.
fn wide() -> Vec<f64> {
    let random = crate::Random::new(0);
    let sizes = (0..300).map(|i| (random.uniform_at(i) * 2.0 - 1.0) * 10f64.powi(i as i32 % 12 - 6));
    sizes.chain([0.0, -0.0, 1.0, -1.0, 0.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN]).collect()
}

fn same_bits(what: &str, x: &dyn std::fmt::Debug, found: f64, expected: f64) {
    let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
    assert!(same, "{what} of {x:?}: {found:e}, expected {expected:e}");
}

#[test]
fn numbers_of_all_kinds_have_the_same_bits() -> Result<()> {
    let points = wide();
    let singles: Vec<f32> = points.iter().map(|&x| x as f32).collect();
    let tape = Tape::<f64>::inference();
    let tape32 = Tape::<f32>::inference();
    for row in unary_rows() {
        let y = (row.f64)(&tape.constant(&points[..])).to_vec()?;
        let y32 = (row.f32)(&tape32.constant(&singles[..])).to_vec()?;
        for (i, (&x, &x32)) in points.iter().zip(&singles).enumerate() {
            same_bits(row.name, &x, (row.plain.1)(x), y[i]);
            same_bits(row.name, &x, (row.dual)(Dual::variable(x, 0)).re, y[i]);
            same_bits(row.name, &x, (row.scalar)(Scalar::constant(x)).value(), y[i]);
            same_bits(&format!("f32 {}", row.name), &x32, (row.plain.0)(x32).into(), y32[i].into());
        }
    }
    for row in binary_rows() {
        let others: Vec<f64> = points.iter().rev().copied().collect();
        let others32: Vec<f32> = singles.iter().rev().copied().collect();
        let y = tape.apply(row.op, &[&tape.constant(&points[..]), &tape.constant(&others[..])]).to_vec()?;
        let y32 = tape32
            .apply(row.op, &[&tape32.constant(&singles[..]), &tape32.constant(&others32[..])])
            .to_vec()?;
        for i in 0..points.len() {
            let (a, b) = (points[i], others[i]);
            same_bits(row.name, &(a, b), (row.plain.1)(a, b), y[i]);
            same_bits(row.name, &(a, b), (row.dual)(Dual::variable(a, 0), Dual::variable(b, 1)).re, y[i]);
            same_bits(
                row.name,
                &(a, b),
                (row.scalar)(Scalar::constant(a), Scalar::constant(b)).value(),
                y[i],
            );
            let (a, b) = (singles[i], others32[i]);
            same_bits(&format!("f32 {}", row.name), &(a, b), (row.plain.0)(a, b).into(), y32[i].into());
        }
    }
    Ok(())
}
