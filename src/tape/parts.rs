//! What a tape is made of. These types know each other, and all else in this folder is what they do.
use super::{
    ids::{Epoch, NodeId, StatementId},
    leaf::Params,
    mixed::Mixed,
    peers::Peers,
    random::Random,
    statements::{Local, Statements},
    sweep_state::{Parts, Sweep},
    trace::Trace,
    watch::Watch,
    witness::Witness,
};
use crate::{
    error::{Checked, Error, Result},
    ids::ParamId,
    kernels::FloatElement,
    real::{About, Arithmetic},
    tensor::{Shape, Tensor},
};
use smallvec::SmallVec;
use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    panic::Location,
    rc::Rc,
    sync::Arc,
};

/// A number type that a tape can record: `f32`, `f64`, dual numbers, and scalars of another tape. No others
/// can be: a sweep calculates with them while it holds the tape's buffers, so what they do must not reach
/// that tape.
///
/// ```compile_fail
/// #[derive(Clone, Copy)]
/// struct Mine(f64);
/// impl kolmo::number::TapeNumber for Mine {
///     type Tensors = <kolmo::number::Dual<f64, 1> as kolmo::number::TapeNumber>::Tensors;
/// }
/// ```
pub trait TapeNumber: Arithmetic + sealed::Sealed {
    /// What the tape keeps for tensors of this type.
    #[doc(hidden)]
    type Tensors: TensorPart<Self>;
}

pub(crate) mod sealed {
    /// Numbers that this crate knows.
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl TapeNumber for f32 {
    type Tensors = TensorTape<f32>;
}
impl TapeNumber for f64 {
    type Tensors = TensorTape<f64>;
}

/// A float in tensors on a tape, and the operations that there are for them: the tape itself knows none of
/// them by name. See [`Float`](crate::Float).
#[expect(private_interfaces, reason = "sealed, and its hidden functions are for this crate")]
pub trait TapeFloat: FloatElement + TapeNumber<Tensors = TensorTape<Self>> {
    /// The operations on tensors.
    #[doc(hidden)]
    type Op;

    // Doors to what is compiled in this crate, once for each float. Generic code is compiled anew in every
    // crate that uses it, and behind these lie all operations with all their kernels.
    #[doc(hidden)]
    fn rule(op: &Self::Op) -> &dyn Rule<Self>;
    #[doc(hidden)]
    #[track_caller]
    fn apply<'t>(tape: &'t Tape<Self>, op: Op<Self>, inputs: &[&Var<'t, Self>]) -> Var<'t, Self>;
    /// The sum of two adjoints, recorded if they are.
    #[doc(hidden)]
    fn sum<'t>(a: &Var<'t, Self>, b: &Var<'t, Self>) -> Var<'t, Self>;
    #[doc(hidden)]
    fn sweep(
        tape: &Tape<Self>,
        sweep: Sweep<Self>,
        scalars: Vec<Self>,
        parts: Parts<'_, Self>,
    ) -> Result<Gradients<Self>>;
    #[doc(hidden)]
    fn vjp<'t>(tape: &'t Tape<Self>, flows: Flows<'_, 't, Self>) -> Result<Vec<Var<'t, Self>>>;
}

/// The part of a tape that depends on whether its number type can be in tensors.
#[doc(hidden)]
pub trait TensorPart<T: TapeNumber>: Default {
    /// Gradients of tensors.
    type Leaves: Default;
    /// Forgets everything, keeps the memory.
    fn clear(&self);
    /// The reverse sweep from one scalar statement.
    fn backward(tape: &Tape<T>, adjoints: Vec<T>) -> Result<Gradients<T>>;
    /// A failure that a scalar was made from, if there was one.
    fn failure(&self) -> Option<Error>;
    /// Keeps a failure of a scalar, if it is the first.
    fn fail(&self, error: Error);
    /// Tells of gradients of tensors what a reader of a log can use.
    fn describe(leaves: &Self::Leaves, f: &mut fmt::Formatter<'_>) -> fmt::Result;
    /// Hands the memory of gradients back.
    fn recycle(leaves: &mut Self::Leaves, stash: &Stash<T>);
}

/// Records operations and differentiates them.
///
/// Values borrow the tape they are on. [`reset`](Tape::reset) starts the next step in the same memory; a
/// value from before it can't be used after it, which the compiler checks.
///
/// ```
/// use kolmo::Tape;
/// let tape = Tape::<f64>::new();
/// let x = tape.input([[1.0, 2.0], [3.0, 4.0]]);
/// let y = (&x * &x).sum();
/// let grads = y.backward()?;
/// assert_eq!(grads.get(&x).unwrap().to_vec(), [2.0, 4.0, 6.0, 8.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
pub struct Tape<T: TapeNumber = f32> {
    pub(crate) statements: Statements<T>,
    pub(crate) tensors: T::Tensors,
    pub(crate) settings: Settings,
    pub(crate) stash: Rc<Stash<T>>,
    pub(super) epoch: Cell<Epoch>,
}

/// What a tape does besides recording.
pub(crate) struct Settings {
    pub recording: Cell<bool>,
    pub training: Cell<bool>,
    pub anomalies: Cell<bool>,
    pub observed: Cell<bool>,
    /// Whether values that a sweep reads are kept in bfloat16.
    pub halves: Cell<bool>,
    /// Whether somebody looks on.
    pub witnessed: Cell<bool>,
    /// Whether what is run was run before: then layers do nothing beside their results.
    pub again: Cell<bool>,
    pub random: Cell<Random>,
    /// Tapes with other parts of the batch.
    pub peers: RefCell<Option<Rc<dyn Peers>>>,
}

/// The tensors' part of a tape.
#[doc(hidden)]
pub struct TensorTape<T: TapeFloat> {
    pub(crate) nodes: RefCell<Vec<Node<T>>>,
    pub(crate) kept: RefCell<Vec<Kept<T>>>,
    /// Where among these a node's value is that is held in bfloat16.
    pub(super) halved: RefCell<BTreeMap<usize, usize>>,
    pub(super) failures: RefCell<Vec<Error>>,
    pub(crate) params: Params<T>,
    /// The first failure of a scalar.
    pub(super) scalar_failure: RefCell<Option<Error>>,
    /// What a [`Program`](crate::Program) needs to know beyond the nodes, while one is recorded.
    pub(crate) trace: RefCell<Option<Trace<T>>>,
    /// What is noted while the tape is observed.
    pub(crate) watch: RefCell<Option<Watch<T>>>,
    /// Who looks on.
    pub(super) witness: RefCell<Option<Rc<dyn Witness<T>>>>,
    pub(crate) scratch: RefCell<Sweep<T>>,
}

impl<T: TapeFloat> fmt::Debug for TensorTape<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TensorTape").finish_non_exhaustive()
    }
}

/// The operands' nodes; of few, as almost always, without memory of their own.
pub(crate) type Inputs = SmallVec<[NodeId; 6]>;

/// A recorded operation.
pub(crate) struct Node<T: TapeFloat> {
    pub op: Op<T>,
    /// The operands' nodes, [`NONE`](NodeId::NONE) for constants.
    pub inputs: Inputs,
    /// Shape of the result.
    pub shape: Shape,
    pub statement: StatementId,
    /// Where the values that the derivative reads begin in the tape's list of them, and how many there are.
    pub kept: (u32, u32),
    /// Whether a sweep has freed what was kept.
    pub spent: bool,
    pub site: &'static Location<'static>,
}

/// A value that a derivative reads: of an operand (by position), the result ([`OUTPUT`](super::ids::OUTPUT))
/// or what is kept beside these ([`EXTRA`](super::ids::EXTRA)). A sweep may free it.
pub(crate) type Kept<T> = (u8, Option<Tensor<T>>);

/// What a node stands for.
pub(crate) enum Op<T: TapeFloat> {
    Input,
    /// A parameter, by its id.
    Param(ParamId),
    /// A step between scalars and tensors.
    Mixed(Mixed),
    /// An operation on tensors.
    Tensor(T::Op),
    /// A user's operation, a checkpointed block: rules behind a pointer.
    Custom(Arc<dyn Rule<T>>),
}

/// What an operation is: its name, its value and its derivative.
pub(crate) trait Rule<T: TapeFloat> {
    /// Name, as in the listing and in errors.
    fn name(&self) -> &str;
    /// Of an operation that isn't in the list, what the crate knows it by if it is its own.
    #[cfg(feature = "onnx")]
    fn inside(&self) -> Option<&dyn std::any::Any> {
        None
    }

    /// What a reader of the tape is told of it.
    fn about(&self) -> About {
        About::NOTHING
    }

    /// The options, as the listing shows them after the operands: `dim=[1], keepdim=true`.
    fn options(&self) -> Cow<'static, str> {
        Cow::Borrowed("")
    }

    /// The value; or what is wrong with the operands' shapes or values, and what would be accepted.
    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>>;

    /// Which values the derivative reads, if it is wanted for the operands in the bit mask `wanted`: operands
    /// by bit, [`RESULT`](super::ids::RESULT), and [`BESIDE`](super::ids::BESIDE).
    fn keeps(&self, wanted: u32) -> u32;

    /// The value, and what was found on the way that the derivative reads as well: asked instead of
    /// [`forward`](Rule::forward) where [`BESIDE`](super::ids::BESIDE) is among what is kept.
    fn forward_beside(&self, x: &[&Tensor<T>]) -> Checked<(Tensor<T>, Option<Tensor<T>>)> {
        Ok((self.forward(x)?, None))
    }

    /// Whether [`forward`](Rule::forward) takes operands that are held in another form as they are.
    fn takes_packed(&self) -> bool {
        false
    }

    /// The operands as the `[rows, in]` and `[out, in]` of a product `x·wᵀ`, if it is one of two matrices.
    fn rows_and_weight<'a>(&self, _x: &'a Tensor<T>, _w: &'a Tensor<T>) -> Option<(Tensor<T>, Tensor<T>)> {
        None
    }

    /// Whether the result is rows of the first operand.
    fn looks_up(&self) -> bool {
        false
    }

    /// What must be so of options and operands that come from a file, beyond what [`forward`](Rule::forward)
    /// looks at itself; and that the result has this shape, where it may be larger than the operands.
    fn check(&self, _x: &[&Tensor<T>], _y: &Shape) -> Checked<()> {
        Ok(())
    }

    /// How many products of two numbers are added up to make a result of this shape: 0 for what is no product
    /// of matrices; `None` if it can't be told, or needs the shape of an operand that is not known.
    fn multiply_adds(&self, _operands: &[Option<Shape>], _result: &Shape) -> Option<usize> {
        Some(0)
    }

    /// Gives each operand that wants it its gradient.
    fn backward<'t>(&self, step: &mut Step<'_, 't, T>);

    /// The usual cause of NaN or infinity in the value, to go on with in the message about it.
    fn anomaly_hint(&self) -> &'static str {
        ""
    }

    /// At how many elements of the result the derivative is one of several possible ones, as far as that is
    /// known.
    fn kinks(&self, _x: &[&Tensor<T>], _y: &Tensor<T>) -> usize {
        0
    }
}

/// Runs a rule's forward function on operands in memory, where some are held in another form that it
/// doesn't take.
#[inline]
pub(crate) fn with_floats<T: TapeFloat, R>(
    rule: &dyn Rule<T>,
    x: &[&Tensor<T>],
    forward: impl FnOnce(&[&Tensor<T>]) -> Checked<R>,
) -> Checked<R> {
    if x.iter().all(|x| x.source().is_none()) {
        return forward(x);
    }
    if rule.takes_packed() {
        return forward(x);
    }
    let all = x.iter().map(|x| x.in_memory()).collect::<Checked<SmallVec<[Cow<'_, Tensor<T>>; 4]>>>()?;
    forward(&all.iter().map(|x| &**x).collect::<SmallVec<[&Tensor<T>; 4]>>())
}

/// One node's turn in a sweep: what its rule may read and where it puts the operands' gradients.
pub struct Step<'s, 't, T: TapeFloat> {
    pub(super) tape: &'t Tape<T>,
    pub(super) node: &'s Node<T>,
    /// The nodes before this one; none if they are in the tape's table, where a recording sweep leaves them.
    pub(super) before: &'s [Node<T>],
    pub(super) index: NodeId,
    pub(super) grad: Var<'t, T>,
    pub(super) sweep: &'s mut Sweep<T>,
}

/// What is asked of a sweep that leaves values: see [`Tape::vjp`].
pub(crate) struct Flows<'a, 't, T: TapeFloat> {
    pub ys: &'a [&'a Var<'t, T>],
    pub seeds: &'a [&'a Var<'t, T>],
    pub xs: &'a [&'a Var<'t, T>],
    pub graph: bool,
    pub floor: Option<usize>,
}

/// A tensor on a tape: all arithmetic on tensors lives here. Cheap to clone.
///
/// Operations that can't be done (shapes that don't fit, an index out of range) give a *failed* value:
/// whatever is computed from it fails with the same error, and [`backward`](Var::backward),
/// [`value`](Var::value) and [`item`](Var::item) report it with the operation, the shapes and the source
/// line.
///
/// ```
/// let tape = kolmo::Tape::<f32>::new();
/// let x = tape.constant([1.0, 2.0, 3.0]);
/// let y = (&x * 2.0 + 1.0).sum();
/// assert_eq!(y.item()?, 15.0);
/// let bad = &x + tape.constant([1.0, 2.0]);
/// assert!(bad.value().unwrap_err().to_string().contains("[3] and [2] don't broadcast"));
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "an operation on a tape has no effect but its result"]
pub struct Var<'t, T: TapeFloat = f32> {
    pub(super) tape: &'t Tape<T>,
    pub(super) value: Tensor<T>,
    pub(super) id: NodeId,
}

/// Gradients of one number with respect to the inputs and parameters of a tape. Independent of the tape's
/// life.
///
/// ```
/// use kolmo::{Tape, Tensor, nn::Param};
/// let tape = Tape::<f64>::new();
/// let (x, s, p) = (tape.input([1.0, 2.0]), tape.scalar(3.0), Param::new(Tensor::from([4.0, 5.0])));
/// let grads = (s * (&x * tape.param(&p)).sum()).backward()?;
/// assert_eq!(grads.get(&x).unwrap().to_vec(), [12.0, 15.0]);
/// assert_eq!(grads.param(&p).unwrap().to_vec(), [3.0, 6.0]);
/// assert_eq!(grads.scalar(s), 14.0);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[must_use = "gradients do nothing until an optimiser takes a step with them; `let _ =` for what an observed sweep alone tells"]
#[doc(alias = "zero_grad")]
pub struct Gradients<T: TapeNumber = f32> {
    pub(super) epoch: Epoch,
    pub(super) scalars: Vec<T>,
    pub(crate) leaves: <T::Tensors as TensorPart<T>>::Leaves,
    pub(super) cursor: Cell<usize>,
    pub(super) stash: Rc<Stash<T>>,
}

/// Memory of dropped gradients, for the next ones.
#[doc(hidden)]
pub struct Stash<T: TapeNumber> {
    pub(super) scalars: RefCell<Vec<T>>,
    pub(crate) local: RefCell<Local<T>>,
    pub(crate) leaves: RefCell<<T::Tensors as TensorPart<T>>::Leaves>,
}

impl<T: TapeNumber> fmt::Debug for Stash<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stash").finish_non_exhaustive()
    }
}
