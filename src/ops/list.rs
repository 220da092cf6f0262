//! The list: every operation on tensors that a tape records, with its options. What each computes and how it
//! is differentiated stands in the file of its family.
use crate::{
    error::{Checked, Result},
    kernels::{conv::Geometry, recurrent::Cell, standardize::Groups},
    real::table::elementary,
    tape::{Flows, Gradients, Op, Parts, Rule, Step, Sweep, Tape, TapeFloat, Var},
    tensor::{Shape, Tensor},
};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// Calls a macro with the operations: variant, type.
macro_rules! operations {
    ($then:ident) => {
        $then! {
            Attend(Attend)
            Binary(Binary)
            BinaryCrossEntropy(BinaryCrossEntropy)
            Conv(Conv)
            CrossEntropy(MeanCrossEntropy)
            Distance(Distance)
            Extremum(Extremum)
            Linalg(Linalg)
            Put(Put)
            Recurrence(Recurrence)
            Reduce(Reduce)
            Scan(Scan)
            Shape(ShapeOp)
            Softmax(Softmax)
            Solve(Solve)
            Take(Take)
            Test(Test)
            Unary(Unary)
            ; // Those that a file has in another form, or not at all.
            Fused(FusedOp<T>)
            Standardize(Standardized<T>)
            Where(Where)
        }
    };
}
pub(super) use operations;

macro_rules! list {
    ($($variant:ident($t:ty))* ; $($special:ident($s:ty))*) => {
        /// An operation on tensors as a tape records it.
        #[expect(private_interfaces, reason = "nobody outside of this crate can name it")]
        pub enum TensorOp<T: TapeFloat> {
            $($variant($t),)*
            $($special($s),)*
        }

        $(impl<T: Float> From<$t> for Op<T> {
            fn from(op: $t) -> Op<T> {
                Op::Tensor(TensorOp::$variant(op))
            }
        })*
        $(impl<T: Float> From<$s> for Op<T> {
            fn from(op: $s) -> Op<T> {
                Op::Tensor(TensorOp::$special(op))
            }
        })*
    };
}
operations!(list);

impl<T: Float> From<TensorOp<T>> for Op<T> {
    fn from(op: TensorOp<T>) -> Op<T> {
        Op::Tensor(op)
    }
}

/// A float that tensors on a tape are made of: `f32` or `f64`.
pub trait Float: TapeFloat<Op = TensorOp<Self>> {}

macro_rules! float {
    ($($t:ident)*) => {$(
        #[expect(private_interfaces, reason = "see the trait")]
        impl TapeFloat for $t {
            type Op = TensorOp<$t>;
            fn rule(op: &TensorOp<$t>) -> &dyn Rule<$t> {
                op.rule_here()
            }
            #[track_caller]
            fn apply<'t>(tape: &'t Tape<$t>, op: Op<$t>, inputs: &[&Var<'t, $t>]) -> Var<'t, $t> {
                tape.apply_here(op, inputs)
            }
            fn sum<'t>(a: &Var<'t, $t>, b: &Var<'t, $t>) -> Var<'t, $t> {
                a + b
            }
            fn sweep(
                tape: &Tape<$t>,
                sweep: Sweep<$t>,
                scalars: Vec<$t>,
                parts: Parts<'_, $t>,
            ) -> Result<Gradients<$t>> {
                tape.sweep_here(sweep, scalars, parts)
            }
            fn vjp<'t>(tape: &'t Tape<$t>, flows: Flows<'_, 't, $t>) -> Result<Vec<Var<'t, $t>>> {
                tape.vjp_here(flows)
            }
        }
        impl Float for $t {}
    )*};
}
float!(f32 f64);

/// Axes, sorted and without repetition.
pub(crate) type Axes = SmallVec<[usize; 6]>;

macro_rules! elementwise {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) $bk:tt $bf:tt |$($bx:ident),*| $bd:expr $(, $bi:tt)?; )* }
        made { $( $(#[$mm:meta])* $mn:ident $mv:ident ($($mp:ident),*) $mk:tt |$mvx:ident| $me:expr, |$($mx:ident),*| $md:expr $(, $mi:tt)?; )* }
        pairs { $( $(#[$pm:meta])* $pn:ident $pv:ident $pka:tt $pkb:tt |$($pva:ident),*| $pe:expr, |$($pa:ident),*| $pda:expr, $pdb:expr $(, $pi:tt)?; )* }
        operators { $( $(#[$om:meta])* $on:ident $ov:ident $oka:tt $okb:tt |$($ova:ident),*| $oe:expr, |$($oa:ident),*| $oda:expr, $odb:expr $(, $oi:tt)?; )* }
    ) => {
        /// A function of one tensor, with its options: a row of the table of functions.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(crate) enum Unary {
            Neg,
            $( $bv { $($bp: f64),* }, )*
            $( $mv { $($mp: f64),* }, )*
        }

        /// A function of two tensors.
        #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
        pub(crate) enum Binary {
            $( $pv, )*
            $( $ov, )*
        }
    };
}
elementary!(elementwise);

/// `softmax(q·kᵀ · scale) · v` of queries `[…, l, d]`, keys `[…, s, d]` and values `[…, s, e]` with equal
/// leading axes; with `causal`, query i sees keys 0 to i, and with `lower_right` keys 0 to i + s - l.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Attend {
    pub causal: bool,
    #[serde(default)]
    pub lower_right: bool,
    pub scale: f64,
    /// Which pairs take part, if not all; broadcasts to `[…, l, s]`.
    #[serde(default)]
    pub keep: Option<Tensor<bool>>,
}

/// A tensor with the elements of another at positions of the flattened tensor, no position twice but nowhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Put {
    pub positions: Tensor<u32>,
}

/// The distance of each row of `[…, p, m]` from each row of `[…, r, m]`: `[…, p, r]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Distance {
    Manhattan,
    Euclidean,
}

/// A comparison as zeros and ones, without derivatives: where a program has to compare anew.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Test {
    Less,
    LessEqual,
    Equal,
    /// Equal, or both NaN.
    Same,
}

/// Operands: a mask of zeros and ones, what is taken at ones, what is taken at zeros.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Where;

/// Cross entropy of a probability and a target, with logarithms no lower than -100, and PyTorch's derivative.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BinaryCrossEntropy;

/// One of the three linear operations; the geometry is that of the convolution all three belong to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Conv {
    /// Input, weights and perhaps bias to output.
    Forward { g: Geometry, axes: usize },
    /// Gradient of the output and weights to gradient of the input; with stride, the transposed convolution.
    Input { g: Geometry, axes: usize },
    /// Input and gradient of the output to gradient of the weights.
    Weight { g: Geometry, axes: usize },
}

/// The mean cross entropy of `[n, classes]` and one class for each row, in one pass there and one back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MeanCrossEntropy {
    pub(crate) targets: Tensor<u32>,
    /// Whether this is its derivative, of scores and of the gradient of the mean.
    #[serde(default)]
    pub(crate) slope: bool,
}

/// The largest or smallest over axes (sorted, unique).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Extremum {
    pub largest: bool,
    pub axes: Axes,
    pub keep: bool,
    /// If the extremum is NaN, those that are NaN share the gradient; else it is NaN for all, as PyTorch's
    /// amax has it.
    #[serde(default)]
    pub nan_shares: bool,
}

/// A linear operation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Linalg {
    /// `[…, m, k] × […, k, n] -> […, m, n]`, with equal leading axes; an operand may be taken transposed.
    Matmul { transpose_a: bool, transpose_b: bool },
    /// `[m, in], [out, in], [out] -> [m, out]`: x·Wᵀ + b.
    Linear,
}

/// A recurrent layer in one direction: the states of all its steps, and the last cell of an LSTM,
/// `[steps (+ 1), n, hidden]`. Operands: the input; the state at the beginning, `[1 or 2, n, hidden]`; `w_hh`;
/// with `projects`, `w_ih` and `b_ih`, else the input is the inputs' part of the gates; with `biased`, `b_hh`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recurrence {
    pub cell: Cell,
    pub reverse: bool,
    pub projects: bool,
    pub biased: bool,
}

/// A reduction over axes (sorted, unique).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Reduce {
    Sum {
        axes: Axes,
        keep: bool,
    },
    Mean {
        axes: Axes,
        keep: bool,
    },
    /// Of one axis, unless nothing is 0.
    Prod {
        axes: Axes,
        keep: bool,
    },
    /// The variance, divided by n less the correction. `all` if no axes were named: PyTorch's derivative
    /// differs where nothing is left to divide by.
    Var {
        axes: Axes,
        keep: bool,
        correction: f64,
        all: bool,
    },
}

/// A running fold along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Scan {
    /// The sum, from the end if `reverse`.
    Sum { axis: usize, reverse: bool },
    /// The product of elements that aren't 0.
    Prod { axis: usize },
}

/// A rearrangement of elements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ShapeOp {
    Reshape(Shape),
    Permute(SmallVec<[isize; 6]>),
    Expand(Shape),
    /// Every `step`-th of an axis: axis, start, length, step (positive).
    Slice {
        axis: usize,
        start: usize,
        len: usize,
        step: usize,
    },
    /// The opposite of `Slice`: zeros of the shape, with the operand put in.
    Unslice {
        shape: Shape,
        axis: usize,
        start: usize,
        step: usize,
    },
    Flip(SmallVec<[isize; 6]>),
    /// The operand, without its gradient: where a program must compute anew what is detached.
    Detach,
    /// Operands one after the other along an axis, with their sizes there.
    Cat {
        axis: usize,
        sizes: SmallVec<[usize; 4]>,
    },
}

/// What is made of the exponentials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Softmax {
    /// `eˣ / Σ eˣ` along an axis.
    Plain { axis: usize },
    /// Along the last axis, where row i has only its first i + 1 elements; the others give 0.
    Causal,
    /// Along the last axis, where a row that is all -∞ gives zeros: it is masked, and there is nothing to
    /// share in.
    Masked,
    /// Its logarithm, `x - log Σ eˣ`.
    Log { axis: usize },
    /// `log Σ eˣ` over axes, which stay with size 1 if `keep`.
    LogSum { axes: Axes, keep: bool },
    /// Of x and its `log Σ eˣ` over axes: the share `e^(x - log Σ eˣ)` that each has in the sum.
    Shares { axes: Axes },
}

/// An operation on square matrices `[…, n, n]`; the last two on any `[…, m, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Solve {
    /// `A⁻¹ B`, for B `[…, n, k]` with the same leading axes.
    General,
    /// `A⁻¹ B` for a triangle A.
    Triangular {
        upper: bool,
        unit: bool,
    },
    Det,
    /// The logarithm of the magnitude of the determinant.
    LogAbsDet,
    /// The sign of the determinant, which has no derivative.
    SignDet,
    /// The lower triangle L of `A = L Lᵀ`.
    Cholesky,
    /// The singular values in descending order.
    SingularValues,
    /// Of A and g `[…, k]`: `U diag(g) Vᵀ`, which is the derivative of the singular values.
    SingularProduct,
}

/// What the groups are, which makes no difference but to the name.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Norm {
    Batch,
    Group,
    Instance,
    Layer,
}

/// `(x - mean) / √(variance + eps) · weight + bias`. Operands are x, perhaps the weight, perhaps the bias.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Standardize {
    pub kind: Norm,
    pub at: Groups,
    pub eps: f64,
    /// Whether weight and bias have an element for each place in a group's parts, not for each group.
    pub by_place: bool,
}

/// The operation, with what was found out about its operand.
#[derive(Clone, Debug)]
pub(crate) struct Standardized<T: TapeFloat> {
    pub how: Standardize,
    /// The statistics of x, unless they are to be computed whenever x is given.
    pub known: Option<Tensor<T>>,
    /// How many numbers they are of for each group, if x is a part of them, and other tapes have the others.
    pub of_all: Option<f64>,
}

/// Reading by index, and adding by index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Take {
    /// The elements at these positions of the flattened operand; the result has the shape of the positions.
    /// Of both as many equal blocks belong to each other: the positions of a block point into the same
    /// block of the operand.
    Elements { positions: Tensor<u32>, blocks: usize },
    /// Zeros of a shape, to which each element is added at its position.
    AddElements { positions: Tensor<u32>, shape: Shape, blocks: usize },
    /// The slices with these indices along an axis, zeros at [`NOWHERE`]; those with index `padding` give no
    /// gradient.
    Rows { axis: usize, index: Tensor<u32>, padding: u32 },
    /// Zeros with `size` slices along an axis, to which each slice is added at its index.
    AddRows { axis: usize, index: Tensor<u32>, size: usize },
}

/// The compiled forms of one expression for one element type.
pub(crate) struct FusedTable<T: TapeFloat> {
    pub text: &'static str,
    #[allow(clippy::type_complexity)]
    pub forward: fn(&[f64], &[&Tensor<T>]) -> Checked<Tensor<T>>,
    pub backward: for<'a, 'b, 't> fn(&[f64], &'a mut Step<'b, 't, T>),
    #[allow(clippy::type_complexity)]
    pub unfold: for<'a, 't> fn(&[f64], &[&'a Var<'t, T>]) -> Option<Var<'t, T>>,
}

/// A fused expression on the tape.
pub(crate) struct FusedOp<T: TapeFloat> {
    pub table: &'static FusedTable<T>,
    pub constants: SmallVec<[f64; 4]>,
}
