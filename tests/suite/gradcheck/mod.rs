//! Derivatives of first and second order against central differences, a family of operations in each test.
//! Elementary functions are checked from their table, inside the crate.
mod layers;
mod linalg;
mod losses;
mod moving;
mod reduce;

use kolmo::{autodiff::GradCheck, tensor::Shape, *};

pub type Function = for<'t> fn(&[Var<'t, f64>]) -> Var<'t, f64>;

/// Checks each function at its inputs, and that the plain sweep gives what the recorded one does.
pub fn check_all(functions: &[(&str, Function, Vec<Tensor<f64>>)]) {
    for (name, f, inputs) in functions {
        GradCheck::new().second_order(true).check(f, inputs).unwrap_or_else(|e| panic!("{name}: {e}"));
        let tape = Tape::new();
        let x: Vec<_> = inputs.iter().map(|t| tape.input(t)).collect();
        let y = f(&x);
        let total = (&y * tape.constant(Tensor::from_fn(y.shape(), |i| 1.0 + 0.1 * i as f64))).sum();
        let recorded = total.grad(&x.iter().collect::<Vec<_>>()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let plain = total.backward().unwrap_or_else(|e| panic!("{name}: {e}"));
        for (x, g) in x.iter().zip(&recorded) {
            let plain = plain.get(x).map_or(vec![0.0; x.numel()], Tensor::to_vec);
            for (a, b) in plain.iter().zip(g.to_vec().unwrap_or_default()) {
                assert!((a - b).abs() <= 1e-9 * (1.0 + b.abs()), "{name}: swept {a}, recorded {b}");
            }
        }
    }
}

/// Numbers from -1.9 to 1.9 in no order, none near another, none a whole number.
pub fn numbers(shape: impl Into<Shape>) -> Tensor<f64> {
    Tensor::from_fn(shape, |i| ((i * 37 + 11) % 97) as f64 / 97.0 * 3.8 - 1.903)
}

/// The same from 0.2 to 2.
pub fn positive(shape: impl Into<Shape>) -> Tensor<f64> {
    Tensor::from_fn(shape, |i| ((i * 53 + 7) % 89) as f64 / 89.0 * 1.8 + 0.203)
}

#[test]
fn pointwise() {
    check_all(&[
        ("lerp by a number", |x| x[0].lerp(&x[1], 0.3), vec![numbers([2, 3]), positive([3])]),
        ("lerp by 0.8", |x| x[0].lerp(&x[1], 0.8), vec![numbers([2, 3]), positive([3])]),
        ("lerp", |x| x[0].lerp(&x[1], &x[2]), vec![numbers([2, 3]), positive([3]), numbers([2, 1])]),
        (
            "addcmul",
            |x| x[0].addcmul(&x[1], &x[2], -0.7),
            vec![numbers([2, 3]), numbers([3]), positive([2, 1])],
        ),
        (
            "addcdiv",
            |x| x[0].addcdiv(&x[1], &x[2], 1.5),
            vec![numbers([2, 3]), numbers([3]), positive([2, 1])],
        ),
        (
            "bounds that are tensors",
            |x| x[0].maximum(&x[1]).minimum(&x[2]),
            vec![
                numbers([3, 4]),
                Tensor::from([-1.01, -0.51, 0.013, 1.01]),
                Tensor::from([[0.53], [1.07], [-0.23]]),
            ],
        ),
        ("a number to a power", |x| x[0].tape().constant(2.5).pow(&x[0]), vec![numbers([4])]),
        ("prelu", |x| x[0].prelu(&x[1]), vec![numbers([2, 3, 2]), positive([3])]),
        ("prelu of one weight", |x| x[0].prelu(&x[1]), vec![numbers([5]), positive([1])]),
        ("glu", |x| x[0].glu(1), vec![numbers([2, 4, 3])]),
        ("round_decimals", |x| x[0].round_decimals(1), vec![numbers([4])]),
        ("nan_to_num", |x| x[0].nan_to_num(0.0, None, None), vec![numbers([4])]),
        (
            "where_",
            |x| match x[0].gt(&x[1]) {
                Ok(mask) => x[0].where_(&mask, &(&x[1] * &x[1])),
                Err(_) => x[0].clone(),
            },
            vec![numbers([2, 3]), positive([3])],
        ),
    ]);
}

#[test]
fn numbers_beside_tensors() {
    check_all(&[
        ("x + n", |x| &x[0] + 1.5, vec![numbers([3])]),
        ("n - x", |x| 1.5 - &x[0], vec![numbers([3])]),
        ("x * n", |x| &x[0] * -0.3, vec![numbers([3])]),
        ("x / n", |x| &x[0] / 0.7, vec![numbers([3])]),
        ("n / x", |x| 0.7 / &x[0], vec![positive([3])]),
    ]);
}
