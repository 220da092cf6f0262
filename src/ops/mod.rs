//! The operations, one file per family: what each computes, which shapes it takes, and its derivative, side by side.
//!
//! A derivative is a program over [`Var`](crate::Var)s. Run on constants it is eager and fast; run on recorded
//! values it is itself recorded, which is all that higher derivatives need.
mod arith;
mod attend;
mod attention;
pub(crate) mod binary;
pub(crate) mod binary_cross_entropy;
mod compare;
pub(crate) mod conv;
pub(crate) mod cross_entropy;
mod diagonals;
mod einsum;
mod extremum;
mod fused;
mod getitem;
pub(crate) mod index;
pub(crate) mod kinks;
pub(crate) mod linalg;
mod norm;
mod pad;
mod parts;
mod pointwise;
mod pool;
mod products;
pub(crate) mod reduce;
mod repeats;
mod resize;
pub(crate) mod saved;
mod scan;
mod scatter;
pub(crate) mod shape;
pub(crate) mod softmax;
mod solve;
mod sort;
mod standardize;
#[cfg(test)]
mod table_tests;
pub(crate) mod take;
pub(crate) mod unary;
mod views;
mod windows;

pub use attention::{Attention, AttentionMask};
pub use compare::{Close, Operand};
pub use conv::{ConvOptions, Padding, Sizes};
pub(crate) use fused::FusedOp;
pub use fused::{Fuse, FuseInput, Fused};
pub use getitem::Select;
pub use pad::Pad;
pub use parts::Parts;
pub use pool::PoolOptions;
pub use products::MatrixNorm;
pub use resize::{Interpolation, Resize};
pub use scatter::Scatter;
pub use sort::Unique;
pub use views::Indexing;

use crate::{
    error::Checked,
    tape::{Float, mixed::Mixed, step::Step},
    tensor::{Shape, Tensor},
};
use std::{borrow::Cow, sync::Arc};

/// Compiles all forms of an expression for each element type.
macro_rules! forms {
    ($e:ty, $n:literal) => {
        impl Forms<$n> for $e {
            #[inline(never)]
            fn over_f32(&self, x: [&[f32]; $n], out: &mut [f32]) {
                self.forms(x, out);
            }
            #[inline(never)]
            fn over_f64(&self, x: [&[f64]; $n], out: &mut [f64]) {
                self.forms(x, out);
            }
        }
    };
}
use forms;

/// What an operation is: its name, its value and its derivative.
pub(crate) trait Rule<T: Float> {
    /// Name, as in the listing and in errors.
    fn name(&self) -> &str;

    /// The options, as the listing shows them after the operands: `dim=[1], keepdim=true`.
    fn options(&self) -> Cow<'static, str> {
        Cow::Borrowed("")
    }

    /// The value; or what is wrong with the operands' shapes or values, and what would be accepted.
    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>>;

    /// Which values the derivative reads, if it is wanted for the operands in the bit mask `wanted`: operands by
    /// bit, and [`RESULT`].
    fn keeps(&self, wanted: u32) -> u32;

    /// What must be so of options and operands that come from a file, beyond what [`forward`](Rule::forward) looks at
    /// itself; and that the result has this shape, where it may be larger than the operands.
    fn check(&self, _x: &[&Tensor<T>], _y: &Shape) -> Checked<()> {
        Ok(())
    }

    /// How many products of two numbers are added up to make a result of this shape: 0 for what is no product of matrices;
    /// `None` if it can't be told, or needs the shape of an operand that is not known.
    fn multiply_adds(&self, _operands: &[Option<Shape>], _result: &Shape) -> Option<usize> {
        Some(0)
    }

    /// Gives each operand that wants it its gradient.
    fn backward<'t>(&self, step: &mut Step<'_, 't, T>);

    /// At how many elements of the result the derivative is one of several possible ones, as far as that is known.
    fn kinks(&self, _x: &[&Tensor<T>], _y: &Tensor<T>) -> usize {
        0
    }
}

/// The bit of the result in [`Rule::keeps`].
pub(crate) const RESULT: u32 = 1 << crate::tape::node::OUTPUT;

/// An operation on tensors as a tape records it.
pub(crate) enum Op<T: Float> {
    Input,
    /// A parameter, by its id.
    Param(u64),
    Unary(unary::Unary),
    Binary(binary::Binary),
    Attend(attend::Attend),
    BinaryCrossEntropy(binary_cross_entropy::BinaryCrossEntropy),
    Conv(conv::Conv),
    Extremum(extremum::Extremum),
    Scan(scan::Scan),
    CrossEntropy(cross_entropy::MeanCrossEntropy),
    Softmax(softmax::Softmax),
    Solve(solve::Solve),
    Standardize(standardize::Standardized<T>),
    Take(take::Take),
    Test(binary::Test),
    Where(binary::Where),
    Fused(fused::FusedOp<T>),
    Linalg(linalg::Linalg),
    Reduce(reduce::Reduce),
    Shape(shape::ShapeOp),
    Mixed(Mixed),
    /// A user's operation, a checkpointed block: rules behind a pointer.
    Custom(Arc<dyn Rule<T>>),
}

impl<T: Float> Op<T> {
    #[inline]
    pub fn rule(&self) -> &dyn Rule<T> {
        T::rule(self)
    }

    /// All rules with all that they call: compiled where a float is told to be one.
    pub(crate) fn rule_here(&self) -> &dyn Rule<T> {
        match self {
            Op::Input => &Leaf("input"),
            Op::Param(_) => &Leaf("param"),
            Op::Unary(op) => op,
            Op::Binary(op) => op,
            Op::Attend(op) => op,
            Op::BinaryCrossEntropy(op) => op,
            Op::Conv(op) => op,
            Op::Extremum(op) => op,
            Op::Scan(op) => op,
            Op::CrossEntropy(op) => op,
            Op::Softmax(op) => op,
            Op::Solve(op) => op,
            Op::Standardize(op) => op,
            Op::Take(op) => op,
            Op::Test(op) => op,
            Op::Where(op) => op,
            Op::Fused(op) => op,
            Op::Linalg(op) => op,
            Op::Reduce(op) => op,
            Op::Shape(op) => op,
            Op::Mixed(op) => op,
            Op::Custom(op) => &**op,
        }
    }
}

impl<T: Float> Op<T> {
    /// Whether both compute the same of the same operands, as far as that is known.
    pub fn same(&self, other: &Op<T>) -> bool {
        match (self, other) {
            (Op::Attend(a), Op::Attend(b)) => a == b,
            (Op::Unary(a), Op::Unary(b)) => a == b,
            (Op::Binary(a), Op::Binary(b)) => a == b,
            (Op::Extremum(a), Op::Extremum(b)) => a == b,
            (Op::Scan(a), Op::Scan(b)) => a == b,
            (Op::Softmax(a), Op::Softmax(b)) => a == b,
            (Op::Solve(a), Op::Solve(b)) => a == b,
            (Op::Linalg(a), Op::Linalg(b)) => a == b,
            (Op::Reduce(a), Op::Reduce(b)) => a == b,
            (Op::Shape(a), Op::Shape(b)) => a == b,
            (Op::Test(a), Op::Test(b)) => a == b,
            (Op::Where(_), Op::Where(_)) => true,
            _ => false,
        }
    }
}

macro_rules! from {
    ($($variant:ident($t:ty))*) => {$(
        impl<T: Float> From<$t> for Op<T> {
            fn from(op: $t) -> Op<T> {
                Op::$variant(op)
            }
        }
    )*};
}
from! {
    Attend(attend::Attend) BinaryCrossEntropy(binary_cross_entropy::BinaryCrossEntropy) Conv(conv::Conv) Unary(unary::Unary) Binary(binary::Binary) Extremum(extremum::Extremum) Scan(scan::Scan) CrossEntropy(cross_entropy::MeanCrossEntropy) Softmax(softmax::Softmax) Solve(solve::Solve) Standardize(standardize::Standardized<T>) Take(take::Take) Test(binary::Test) Where(binary::Where) Fused(fused::FusedOp<T>) Linalg(linalg::Linalg)
    Reduce(reduce::Reduce) Shape(shape::ShapeOp) Mixed(Mixed)
}

/// Inputs and parameters: nothing is computed and nothing flows on.
struct Leaf(&'static str);

impl<T: Float> Rule<T> for Leaf {
    fn name(&self) -> &str {
        self.0
    }
    fn forward(&self, _: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        Err("a leaf computes nothing".into())
    }
    fn keeps(&self, _: u32) -> u32 {
        0
    }
    fn backward<'t>(&self, _: &mut Step<'_, 't, T>) {}
}

/// Whether a result has the shape that a file says.
pub(crate) fn check_shape(found: &Shape, said: &Shape) -> Checked<()> {
    if found == said { Ok(()) } else { Err(format!("the result has shape {found}, the file says {said}")) }
}

/// Whether these are axes of a tensor of this rank, sorted and without repetition.
fn check_axes(axes: &[usize], rank: usize) -> Checked<()> {
    if axes.windows(2).all(|pair| pair[0] < pair[1]) && axes.last().is_none_or(|&last| last < rank) {
        return Ok(());
    }
    Err(format!("{axes:?} are no axes of a tensor with {rank}, in ascending order"))
}

/// Operands that a rule needs; a message where the tape was given fewer.
pub(crate) fn operands<'a, T: Float, const N: usize>(x: &[&'a Tensor<T>]) -> Checked<[&'a Tensor<T>; N]> {
    <[&Tensor<T>; N]>::try_from(x).map_err(|_| format!("takes {N} operands, not {}", x.len()))
}
