//! Matrix products and what is made of them.
use super::{
    checks::{check_shape, operands},
    list::{Float, Linalg},
    operand::Operand,
};
use crate::{
    error::Checked,
    kernels::{
        batched::batched_matmul,
        matmul::{self, Mat, MatMut},
        packed,
    },
    real::About,
    tape::{Rule, Step, Var},
    tensor::{Element, Shape, Tensor, Unfilled, shape::broadcast},
};

use std::borrow::Cow;

impl<T: Float> Rule<T> for Linalg {
    fn name(&self) -> &str {
        match self {
            Linalg::Matmul { .. } => "matmul",
            Linalg::Linear => "linear",
        }
    }

    fn about(&self) -> About {
        match self {
            Linalg::Matmul { .. } => About::formula(
                "a · b",
                &["ȳ · bᵀ", "aᵀ · ȳ"],
                "Two products on the way back; each operand is kept for the other's.",
            ),
            Linalg::Linear => About::formula(
                "a · bᵀ + c",
                &["ȳ · b", "ȳᵀ · a", "ȳ summed over the rows"],
                "b is the weight [out, in], c the bias. Two products on the way back.",
            ),
        }
    }

    fn options(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Linalg::Matmul { transpose_a: true, transpose_b: true } => "transpose both",
            Linalg::Matmul { transpose_a: true, .. } => "transpose first",
            Linalg::Matmul { transpose_b: true, .. } => "transpose second",
            _ => "",
        })
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        match self {
            Linalg::Matmul { transpose_a, transpose_b } => {
                let [a, b] = operands(x)?;
                product(a, *transpose_a, b, *transpose_b)
            }
            Linalg::Linear => {
                let [x, w, b] = operands(x)?;
                linear(x, w, b)
            }
        }
    }

    fn takes_packed(&self) -> bool {
        true
    }

    fn rows_and_weight<'a>(&self, x: &'a Tensor<T>, w: &'a Tensor<T>) -> Option<(Tensor<T>, Tensor<T>)> {
        let turned = |t: &Tensor<T>, turn: bool| match (t.rank(), turn) {
            (2, false) => Some(t.clone()),
            (2, true) => Some(t.view(t.layout().transpose(0, 1).ok()?)),
            _ => None,
        };
        match self {
            Linalg::Matmul { transpose_a: false, transpose_b } if w.rank() > 2 => {
                // One matrix that meets each of a batch: its rows are those of all.
                let mut layout = w.layout().clone();
                while layout.shape.rank() > 2 {
                    if layout.shape[0] != 1 && layout.strides[0] != 0 {
                        return None;
                    }
                    layout = layout.select(0, 0).ok()?;
                }
                let rows = x.shape()[..x.rank() - 1].iter().product::<usize>();
                let x = x.reshape([rows as isize, x.dim(-1) as isize]).ok()?;
                Some((x, turned(&w.view(layout), !transpose_b)?))
            }
            Linalg::Matmul { transpose_a, transpose_b } => {
                Some((turned(x, *transpose_a)?, turned(w, !transpose_b)?))
            }
            Linalg::Linear => Some((turned(x, false)?, turned(w, false)?)),
        }
    }

    fn keeps(&self, wanted: u32) -> u32 {
        (wanted & 1) << 1 | wanted >> 1 & 1
    }

    fn check(&self, x: &[&Tensor<T>], y: &Shape) -> Checked<()> {
        let (Some(a), Some(b)) = (x.first(), x.get(1)) else {
            return Err("takes two operands or more".into());
        };
        let (rows, columns) = match self {
            Linalg::Matmul { transpose_a, transpose_b } => {
                (if *transpose_a { -1 } else { -2 }, if *transpose_b { -2 } else { -1 })
            }
            Linalg::Linear => (-2, -2),
        };
        let lead = y.get(..y.rank().saturating_sub(2)).unwrap_or_default();
        let found = lead.iter().copied().chain([a.dim(rows), b.dim(columns)]).collect();
        check_shape(&found, y)
    }

    fn multiply_adds(&self, operands: &[Option<Shape>], result: &Shape) -> Option<usize> {
        let axis = |i: usize, axis| operands.get(i)?.as_ref().map(|shape| shape.dim(axis));
        let inner = match self {
            Linalg::Matmul { transpose_a, transpose_b } => axis(0, if *transpose_a { -2 } else { -1 })
                .or_else(|| axis(1, if *transpose_b { -1 } else { -2 })),
            Linalg::Linear => axis(1, -1).or_else(|| axis(0, -1)),
        };
        Some(result.numel() * inner?)
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let g = step.take_grad();
        match self {
            Linalg::Matmul { transpose_a: ta, transpose_b: tb } => {
                // For y = a·b: ā = ȳ·bᵀ and b̄ = aᵀ·ȳ; where an operand was transposed, the transpose of that.
                if step.wants(0) {
                    let b = step.input(1);
                    let a = if *ta { multiply(&b, *tb, &g, true) } else { multiply(&g, false, &b, !tb) };
                    step.give(0, a);
                }
                if step.wants(1) {
                    let a = step.input(0);
                    let b = if *tb { multiply(&g, true, &a, *ta) } else { multiply(&a, !ta, &g, false) };
                    step.give(1, b);
                }
            }
            Linalg::Linear => {
                if step.wants(0) {
                    let w = step.input(1);
                    step.give(0, multiply(&g, false, &w, false));
                }
                if step.wants(1) {
                    let x = step.input(0);
                    step.give(1, multiply(&g, true, &x, false));
                }
                if step.wants(2) {
                    step.give(2, g.sum_dim(0, false));
                }
            }
        }
    }
}

/// The product of two operands, each taken as it is or transposed.
#[track_caller]
pub(super) fn multiply<'t, T: Float>(
    a: &Var<'t, T>,
    transpose_a: bool,
    b: &Var<'t, T>,
    transpose_b: bool,
) -> Var<'t, T> {
    a.tape().apply(Linalg::Matmul { transpose_a, transpose_b }, &[a, b])
}

/// The matrix of the last two axes of `t` at `offset`, or its transpose.
pub(super) fn matrix<T: Float>(t: &Tensor<T>, offset: usize, transpose: bool) -> Mat<'_, T> {
    let (l, r) = (t.layout(), t.rank());
    let (row, col) = if transpose { (r - 1, r - 2) } else { (r - 2, r - 1) };
    Mat {
        data: t.buffer().get(offset..).unwrap_or_default(),
        rows: l.shape[row],
        cols: l.shape[col],
        row_stride: l.strides[row],
        col_stride: l.strides[col],
    }
}

/// Operands whose last two axes the kernel can walk: in memory, and no negative steps.
pub(super) fn walkable<T: Float>(t: &Tensor<T>) -> Checked<Cow<'_, Tensor<T>>> {
    let t = t.in_memory()?;
    Ok(if t.strides().iter().any(|&s| s < 0) { Cow::Owned(t.contiguous().made()?) } else { t })
}

/// Where the matrix of this number begins in a batch of matrices.
pub(super) fn start<T: Element>(t: &Tensor<T>, mut number: usize) -> usize {
    let mut at = t.layout().offset;
    for (&size, &stride) in t.shape()[..t.rank() - 2].iter().zip(t.strides()).rev() {
        // Mostly the one axis there is: no division.
        if number < size {
            return at + number * stride as usize;
        }
        at += number % size * stride as usize;
        number /= size;
    }
    at
}

fn product<T: Float>(
    a: &Tensor<T>,
    transpose_a: bool,
    b: &Tensor<T>,
    transpose_b: bool,
) -> Checked<Tensor<T>> {
    let (ra, rb) = (a.rank(), b.rank());
    if ra < 2 || ra != rb || a.shape()[..ra - 2] != b.shape()[..rb - 2] {
        return Err(format!("{} x {}: matrices with the same leading axes are needed", a.shape(), b.shape()));
    }
    if let Some(y) = packed_product(a, transpose_a, b, transpose_b)? {
        return Ok(y);
    }
    let (a, b) = (walkable(a)?, walkable(b)?);
    let (left, right) =
        (matrix(&a, a.layout().offset, transpose_a), matrix(&b, b.layout().offset, transpose_b));
    let (m, n) = (left.rows, right.cols);
    if left.cols != right.rows {
        return Err(format!(
            "{} x {}: inner sizes {} and {} differ",
            a.shape(),
            b.shape(),
            left.cols,
            right.rows
        ));
    }
    let mut shape = Shape::new(&a.shape()[..ra - 2]);
    let batch = shape.numel();
    shape.push(m);
    shape.push(n);
    let mut out = Unfilled::new(shape).made()?;
    let data = out.as_mut_slice();
    if batch == 0 {
        return Ok(out.filled());
    }
    if batch == 1 {
        let c = MatMut::dense(data, m, n);
        matmul::matmul(T::constant(1.0), left, right, T::constant(0.0), c)?;
    } else {
        batched_matmul(
            data,
            m,
            n,
            |i| Mat { data: a.buffer().get(start(&a, i)..).unwrap_or_default(), ..left },
            |i| Mat { data: b.buffer().get(start(&b, i)..).unwrap_or_default(), ..right },
        )?;
    }
    Ok(out.filled())
}

/// The product with a matrix on the right that is packed, if it is one.
fn packed_product<T: Float>(
    a: &Tensor<T>,
    transpose_a: bool,
    b: &Tensor<T>,
    transpose_b: bool,
) -> Checked<Option<Tensor<T>>> {
    let Some((w, turned)) = b.packed_matrix() else { return Ok(None) };
    let a = a.in_memory()?;
    let x = if transpose_a { Cow::Owned(a.view(a.layout().transpose(0, 1)?)) } else { a };
    let x = x.contiguous().made()?;
    let rows = x.as_slice().unwrap_or_default();
    let (by_rows, inner, outer) =
        if transpose_b != turned { (true, w.cols(), w.rows()) } else { (false, w.rows(), w.cols()) };
    if x.dim(1) != inner {
        return Ok(None);
    }
    let y = Tensor::try_build([x.dim(0), outer].into(), |out| {
        if by_rows { packed::products(rows, &w, None, out) } else { packed::back(rows, &w, out) }
    });
    y.map(Some)
}

fn linear<T: Float>(x: &Tensor<T>, w: &Tensor<T>, b: &Tensor<T>) -> Checked<Tensor<T>> {
    if x.rank() != 2 || w.rank() != 2 || x.shape()[1] != w.shape()[1] || *b.shape() != [w.shape()[0]] {
        let (sizes, gap) = ([x, w, b].map(Tensor::shape), [x.dim(1), w.dim(1)]);
        let clash = match gap {
            [x, w] if x != w => format!("; the input has {x} features, the weight takes {w}"),
            _ => String::new(),
        };
        let [x, w, b] = sizes;
        return Err(format!(
            "input {x}, weight {w}, bias {b}: […, in], [out, in] and [out] are needed{clash}"
        ));
    }
    Tensor::try_build(Shape::from([x.dim(0), w.dim(0)]), |out| linear_into(x, w, b, out))
}

/// `x·Wᵀ + b` of shapes that fit, row after row.
pub(super) fn linear_into<T: Float>(
    x: &Tensor<T>,
    w: &Tensor<T>,
    b: &Tensor<T>,
    out: &mut [T],
) -> Checked<()> {
    let (m, n) = (x.dim(0), w.dim(0));
    if let Some((w, false)) = w.packed_matrix() {
        let (x, b) = (x.in_memory()?.contiguous().made()?, b.in_memory()?.contiguous().made()?);
        return packed::products(x.as_slice().unwrap_or_default(), &w, b.as_slice(), out);
    }
    let (x, w) = (walkable(x)?, walkable(w)?);
    let gathered = if b.as_slice().is_some() { None } else { Some(b.contiguous().made()?) };
    let bias = gathered.as_ref().unwrap_or(b).as_slice().unwrap_or_default();
    let (x, wt) = (matrix(&x, x.layout().offset, false), matrix(&w, w.layout().offset, true));
    Ok(matmul::matmul_bias(x, wt, bias, MatMut::dense(out, m, n))?)
}

/// # Matrix products
impl<'t, T: Float> Var<'t, T> {
    /// Matrix product as in NumPy and PyTorch: `[m, k] × [k, n] -> [m, n]`; leading axes broadcast; a vector
    /// on the left is a row, on the right a column, and that axis is dropped again.
    ///
    /// ```
    /// use kolmo::{Tape, Tensor};
    /// let tape = Tape::<f64>::inference();
    /// let (x, data) = (tape.constant([[1.0, 2.0]]), Tensor::from([[3.0], [4.0]]));
    /// assert_eq!(x.matmul(&data).to_vec()?, [11.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    #[doc(alias("mm", "mv"))]
    pub fn matmul<'a>(&self, other: impl Into<Operand<'a, 't, T>>) -> Var<'t, T>
    where
        't: 'a,
    {
        self.product(&other.into().beside(self))
    }

    #[track_caller]
    fn product(&self, other: &Var<'t, T>) -> Var<'t, T> {
        if self.failed_id().is_some() || other.failed_id().is_some() {
            return multiply(self, false, other, false);
        }
        let (ra, rb) = (self.rank(), other.rank());
        if ra == 0 || rb == 0 {
            let message = format!("{} x {}: both need at least one axis", self.shape(), other.shape());
            return self.tape().fail_op("matmul", message, &[self, other]);
        }
        let inner = (self.dim(-1), other.dim(if rb == 1 { 0 } else { -2 }));
        if inner.0 != inner.1 {
            let message = format!(
                "{} x {}: inner sizes {} and {} differ",
                self.shape(),
                other.shape(),
                inner.0,
                inner.1
            );
            return self.tape().fail_op("matmul", message, &[self, other]);
        }
        if ra == 2 && rb == 2 {
            return multiply(self, false, other, false);
        }
        let a = if ra == 1 { self.reshape_to(&[1, self.dim(0)].into()) } else { self.clone() };
        let b = if rb == 1 { other.reshape_to(&[other.dim(0), 1].into()) } else { other.clone() };
        if a.failed_id().is_some() || b.failed_id().is_some() {
            return if a.failed_id().is_some() { a } else { b };
        }
        let lead = match broadcast(&a.shape()[..a.rank() - 2], &b.shape()[..b.rank() - 2]) {
            Ok(lead) => lead,
            Err(message) => return self.tape().fail_op("matmul", message, &[self, other]),
        };
        let with = |v: &Var<'t, T>| {
            let shape = lead.iter().chain(&v.shape()[v.rank() - 2..]).copied().collect();
            v.expand_to(&shape)
        };
        let mut y = multiply(&with(&a), false, &with(&b), false);
        if y.failed_id().is_some() {
            return y;
        }
        let mut shape = y.shape().clone();
        if rb == 1 {
            shape.remove(shape.rank() - 1);
        }
        if ra == 1 {
            shape.remove(shape.rank() - if rb == 1 { 1 } else { 2 });
        }
        if shape.rank() != y.rank() {
            y = y.reshape_to(&shape);
        }
        y
    }

    /// `x·Wᵀ + b`: `[…, in]`, weight `[out, in]`, bias `[out]` to `[…, out]`.
    #[track_caller]
    pub fn linear(&self, weight: &Var<'t, T>, bias: Option<&Var<'t, T>>) -> Var<'t, T> {
        let Some(bias) = bias.filter(|_| self.rank() >= 1 && weight.rank() == 2) else {
            // Rows of a matrix that is packed meet all of the input's at once.
            if self.rank() > 2 && weight.tensor().source().is_some() && self.dim(-1) == weight.dim(-1) {
                let (lead, last) = self.shape().split_at(self.rank() - 1);
                let flat = self.reshape_to(&[lead.iter().product(), last[0]].into());
                let y = multiply(&flat, false, weight, true);
                let shape: Shape = lead.iter().copied().chain([y.dim(-1)]).collect();
                return if y.failed_id().is_some() { y } else { y.reshape_to(&shape) };
            }
            let y = match (self.rank(), weight.rank()) {
                (2, 2) => multiply(self, false, weight, true),
                (_, 2) => self.matmul(&weight.t()),
                _ => self.matmul(weight),
            };
            return match bias {
                Some(b) => y + b,
                None => y,
            };
        };
        if self.rank() == 2 {
            return self.tape().apply(Linalg::Linear, &[self, weight, bias]);
        }
        let (lead, last) = self.shape().split_at(self.rank() - 1);
        let flat = self.reshape_to(&[lead.iter().product(), last[0]].into());
        let y = self.tape().apply(Linalg::Linear, &[&flat, weight, bias]);
        let shape: Shape = lead.iter().copied().chain([y.dim(-1)]).collect();
        if y.failed_id().is_some() { y } else { y.reshape_to(&shape) }
    }
}
