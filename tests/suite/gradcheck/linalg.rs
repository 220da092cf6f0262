//! Products of matrices, systems of equations, factorisations.
use super::{Function, check_all, numbers};
use kolmo::{
    Tape, Tensor,
    ops::{MatrixNorm, SolveTriangularOptions},
};

/// Well away from singular.
fn regular(shape: [usize; 3]) -> Tensor<f64> {
    let n = shape[1];
    let noise = numbers(shape).to_vec();
    Tensor::from_fn(shape, |i| 0.3 * noise[i] + if i / n % n == i % n { 2.0 } else { 0.0 })
}

#[test]
fn products() {
    check_all(&[
        ("matmul", |x| x[0].matmul(&x[1]), vec![numbers([2, 2, 3]), numbers([3, 2])]),
        (
            "linear",
            |x| x[0].linear(&x[1], Some(&x[2])).tanh(),
            vec![numbers([2, 3]), numbers([2, 3]), numbers([2])],
        ),
        ("a matrix and a vector", |x| x[0].matmul(&x[1]), vec![numbers([2, 3]), numbers([3])]),
        ("bmm", |x| x[0].bmm(&x[1]), vec![numbers([2, 2, 3]), numbers([2, 3, 1])]),
        ("dot", |x| x[0].dot(&x[1]), vec![numbers([3]), numbers([3])]),
        ("outer", |x| x[0].outer(&x[1]), vec![numbers([2]), numbers([3])]),
        ("tensordot", |x| x[0].tensordot(&x[1], [0, 2], [1, 0]), vec![numbers([2, 2, 3]), numbers([3, 2])]),
        ("kron", |x| x[0].kron(&x[1]), vec![numbers([2, 2]), numbers([3])]),
        ("cross", |x| x[0].cross(&x[1], 1), vec![numbers([2, 3]), numbers([2, 3])]),
        (
            "addmm",
            |x| x[0].addmm(&x[1], &x[2], 0.5, 2.0),
            vec![numbers([2]), numbers([2, 3]), numbers([3, 2])],
        ),
        (
            "baddbmm",
            |x| x[0].baddbmm(&x[1], &x[2], 0.5, 2.0),
            vec![numbers([2, 2, 1]), numbers([2, 2, 3]), numbers([2, 3, 1])],
        ),
        (
            "bilinear",
            |x| x[0].bilinear(&x[1], &x[2], Some(&x[3])),
            vec![numbers([2, 2]), numbers([2, 3]), numbers([2, 2, 3]), numbers([2])],
        ),
        (
            "einsum of three",
            |x| x[0].tape().einsum("bij,jk,k->ib", &[&x[0], &x[1], &x[2]]),
            vec![numbers([2, 2, 3]), numbers([3, 2]), numbers([2])],
        ),
        (
            "einsum of a diagonal",
            |x| x[0].tape().einsum("...ii->i...", &[&x[0]]).tanh(),
            vec![numbers([2, 3, 3])],
        ),
    ]);
}

#[test]
fn systems() {
    check_all(&[
        ("inv", |x| x[0].inv(), vec![regular([2, 2, 2])]),
        ("det", |x| x[0].det(), vec![regular([2, 3, 3])]),
        ("det of a singular matrix", |x| x[0].det(), vec![Tensor::from([[1.0, 2.0], [2.0, 4.0]])]),
        ("det of zeros", |x| x[0].det(), vec![Tensor::zeros([3, 3])]),
        ("slogdet", |x| x[0].slogdet().1, vec![regular([2, 3, 3])]),
        ("solve", |x| x[0].solve(&x[1]), vec![regular([2, 2, 2]), numbers([2, 3])]),
        (
            "solve_triangular",
            |x| x[0].solve_triangular(&x[1], SolveTriangularOptions::new().upper(true)),
            vec![regular([1, 3, 3]), numbers([1, 3, 2])],
        ),
        (
            "solve_triangular of units",
            |x| x[0].solve_triangular(&x[1], SolveTriangularOptions::new().unitriangular(true)),
            vec![regular([1, 2, 2]), numbers([1, 2, 3])],
        ),
        (
            "cholesky",
            |x| (x[0].matmul(&x[0].transpose(-1, -2)) + x[0].tape().constant(Tensor::eye(2))).cholesky(true),
            vec![numbers([2, 2])],
        ),
    ]);
}

#[test]
fn systems_in_several_blocks() {
    let (a, b) = (regular([1, 34, 34]), numbers([1, 34, 3]));
    let functions: [(&str, Function); 5] = [
        ("inv", |x| x[0].inv().tanh()),
        ("slogdet", |x| x[0].slogdet().1),
        ("solve", |x| x[0].solve(&x[1])),
        ("solve_triangular", |x| x[0].solve_triangular(&x[1], SolveTriangularOptions::new().upper(true))),
        ("cholesky", |x| {
            let eye = x[0].tape().constant(Tensor::eye(34));
            (x[0].matmul(&x[0].transpose(-1, -2)) + eye).cholesky(false)
        }),
    ];
    for (name, f) in functions {
        let inputs = if name.starts_with("solve") { vec![a.clone(), b.clone()] } else { vec![a.clone()] };
        kolmo::autodiff::gradcheck(f, &inputs).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn singular_values_in_bidiagonal_form() {
    for shape in [[9, 7], [6, 11]] {
        kolmo::autodiff::gradcheck(|x| x[0].square().sin().svdvals(), &[numbers(shape)]).unwrap();
    }
}

#[test]
fn norms_by_singular_values_have_first_derivatives_only() {
    let x = numbers([3, 2]);
    for norm in [MatrixNorm::Nuc, MatrixNorm::Ord(2.0), MatrixNorm::Ord(-2.0)] {
        kolmo::autodiff::gradcheck(|x| x[0].matrix_norm(norm, [0, 1], false), std::slice::from_ref(&x))
            .unwrap();
    }
    let tape = Tape::new();
    let x = tape.input(&x);
    let slope = x.matrix_norm(MatrixNorm::Nuc, [0, 1], false).grad(&[&x]).unwrap();
    assert!(slope[0].sum().grad(&[&x]).unwrap_err().to_string().contains("no second derivative"));
}

#[test]
fn other_matrix_norms() {
    check_all(&[
        ("fro", |x| x[0].matrix_norm(MatrixNorm::Fro, [0, 1], false), vec![numbers([2, 3])]),
        (
            "largest row",
            |x| x[0].matrix_norm(MatrixNorm::Ord(f64::INFINITY), [0, 2], true).tanh(),
            vec![numbers([2, 2, 5])],
        ),
        (
            "smallest column",
            |x| x[0].matrix_norm(MatrixNorm::Ord(-1.0), [0, 1], false).tanh(),
            vec![numbers([2, 3])],
        ),
    ]);
}
