//! What many examples give together, without the result of each: norms of results, and sums of them by
//! weights. Of a gradient of weights, which is a product over the rows of an example, both take little more
//! than the product for the whole batch. Norms of products: Goodfellow (2015), "Efficient per-example
//! gradient computations".
use super::{
    examples::{Each, joined, many},
    list::{Binary, Conv, Float, Linalg, Take, TensorOp},
};
use crate::{
    error::Checked,
    tape::Rule,
    tensor::{Shape, Tensor},
    threads,
};

/// Elements of a task.
const GRAIN: usize = 32 * 1024;
/// Partial sums of squares.
const LANES: usize = 16;

fn sum_of_squares<T: Float>(x: &[T]) -> f64 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for (sum, v) in sums.iter_mut().zip(chunk) {
            let v = v.to_f64();
            *sum += v * v;
        }
    }
    let rest = rest.iter().map(|v| v.to_f64() * v.to_f64()).sum::<f64>();
    sums.iter().sum::<f64>() + rest
}

/// The sums of squares of `[n, …]`, one for each of n examples.
pub(crate) fn squares<T: Float>(y: &Tensor<T>) -> Checked<Vec<f64>> {
    let n = y.dim(0);
    let source = y.contiguous().made()?;
    let (data, each) = (source.as_slice().unwrap_or_default(), y.numel() / n.max(1));
    let mut sums = vec![0.0; n];
    threads::for_chunks(&mut sums, (GRAIN / each.max(1)).max(1), |start, sums| {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = sum_of_squares(data.get((start + i) * each..(start + i + 1) * each).unwrap_or_default());
        }
    });
    Ok(sums)
}

/// The sum of `[n, …]` over the examples, each times its weight.
pub(crate) fn sum<T: Float>(y: &Tensor<T>, weights: &Tensor<T>) -> Checked<Tensor<T>> {
    let (n, shape) = (y.dim(0), y.shape()[1..].iter().copied().collect::<Shape>());
    let (row, all) = (weights.reshaped(&Shape::new(&[1, n])), y.reshaped(&Shape::new(&[n, shape.numel()])));
    product(false, false, &row, &all)?.reshaped(&shape).made()
}

fn product<T: Float>(
    transpose_a: bool,
    transpose_b: bool,
    a: &Tensor<T>,
    b: &Tensor<T>,
) -> Checked<Tensor<T>> {
    Linalg::Matmul { transpose_a, transpose_b }.forward(&[a, b])
}

/// Each example times its weight.
fn scaled<T: Float>(x: &Tensor<T>, weights: &Tensor<T>) -> Checked<Tensor<T>> {
    let ones = std::iter::repeat_n(1, x.rank().saturating_sub(1));
    let column = weights.reshaped(&[x.dim(0)].into_iter().chain(ones).collect());
    Binary::Mul.forward(&[x, &column])
}

/// The matrices of all examples beside each other: `[n, m, k] -> [m, n · k]`.
fn side_by_side<T: Float>(x: &Tensor<T>) -> Checked<Tensor<T>> {
    let turned = x.view(x.layout().permute(&[1, 0, 2])?);
    turned.reshaped(&Shape::new(&[x.dim(1), x.dim(0) * x.dim(2)])).made()
}

impl<T: Float> TensorOp<T> {
    /// Whether [`sum_of_examples`](TensorOp::sum_of_examples) knows a short way.
    pub(crate) fn adds_up(&self, x: &[Each<T>]) -> bool {
        let many = x.iter().all(|x| x.many);
        match self {
            TensorOp::Linalg(Linalg::Matmul { .. }) => many && x.iter().all(|x| x.value.rank() == 3),
            TensorOp::Conv(Conv::Weight { .. }) | TensorOp::Take(Take::AddRows { axis: 0, .. }) => many,
            _ => false,
        }
    }

    /// The sums of squares of the results of n examples, where that is less work than the results: products
    /// of matrices with few rows.
    pub(crate) fn squares_of_examples(&self, x: &[Each<T>]) -> Checked<Option<Vec<f64>>> {
        let (TensorOp::Linalg(Linalg::Matmul { transpose_a, transpose_b }), [a, b]) = (self, x) else {
            return Ok(None);
        };
        if !self.adds_up(x) {
            return Ok(None);
        }
        let (a, b) = (&a.value, &b.value);
        let [rows, inner] = if *transpose_a { [a.dim(2), a.dim(1)] } else { [a.dim(1), a.dim(2)] };
        let columns = if *transpose_b { b.dim(1) } else { b.dim(2) };
        if inner.saturating_mul(rows + columns) > rows.saturating_mul(columns) {
            return Ok(None);
        }
        if inner == 1 {
            // ‖a bᵀ‖ = ‖a‖ ‖b‖
            let (a, b) = (squares(a)?, squares(b)?);
            return Ok(Some(a.iter().zip(&b).map(|(a, b)| a * b).collect()));
        }
        // ‖A B‖² = Σ (AᵀA) · (B Bᵀ), element by element.
        let left = product(!transpose_a, *transpose_a, a, a)?.contiguous().made()?;
        let right = product(*transpose_b, !transpose_b, b, b)?.contiguous().made()?;
        let [left, right] = [&left, &right].map(|t| t.as_slice().unwrap_or_default());
        let each = inner * inner;
        let one = |(a, b): (&[T], &[T])| {
            let sum = a.iter().zip(b).map(|(a, b)| a.to_f64() * b.to_f64()).sum::<f64>();
            // What is rounded may fall below.
            if sum < 0.0 { 0.0 } else { sum }
        };
        Ok(Some(left.chunks_exact(each).zip(right.chunks_exact(each)).map(one).collect()))
    }

    /// The sum of the results of n examples, each times its weight; `None` where
    /// [it doesn't add up](TensorOp::adds_up) by itself.
    pub(crate) fn sum_of_examples(
        &self,
        n: usize,
        x: &[Each<T>],
        index: Option<&Tensor<u32>>,
        weights: &Tensor<T>,
    ) -> Checked<Option<Tensor<T>>> {
        if !self.adds_up(x) {
            return Ok(None);
        }
        match (self, x) {
            (TensorOp::Linalg(Linalg::Matmul { transpose_a, transpose_b }), [a, b]) => {
                let b = scaled(&b.value, weights)?;
                let a = if *transpose_a { joined(&a.value)? } else { side_by_side(&a.value)? };
                let b = if *transpose_b { side_by_side(&b)? } else { joined(&b)? };
                product(*transpose_a, *transpose_b, &a, &b).map(Some)
            }
            (TensorOp::Conv(op), [input, output]) => {
                let output = joined(&scaled(&output.value, weights)?)?;
                op.times(n).forward(&[&joined(&input.value)?, &output]).map(Some)
            }
            (TensorOp::Take(Take::AddRows { index: own, size, .. }), [rows]) => {
                let rows = scaled(&rows.value, weights)?;
                let index = match index {
                    Some(index) => index.contiguous(),
                    None => own.view(own.layout().expand(&many(n, own.shape()))?).contiguous(),
                };
                let index = index.reshaped(&Shape::new(&[index.numel()])).made()?;
                Take::AddRows { axis: 0, index, size: *size }.forward(&[&joined(&rows)?]).map(Some)
            }
            _ => Ok(None),
        }
    }
}
