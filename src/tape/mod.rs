//! The tape: it records what a program does to scalars and tensors, and differentiates it backwards.
//!
//! One id space holds both kinds of statements in the order in which they happened. `statements` is the buffer of
//! scalar statements; `node` the table of tensor operations; `sweep` walks both backwards; the rest
//! are programs over these.
mod block;
mod budget;
mod checkpoint;
mod clip;
mod custom;
mod dot;
mod functional;
mod gradcheck;
mod gradients;
mod listing;
pub(crate) mod mixed;
pub(crate) mod node;
pub(crate) mod observe;
mod params;
mod program;
mod random;
mod scalar;
mod sparse;
mod statements;
pub(crate) mod step;
mod sweep;
pub(crate) mod traced;
mod var;

pub use budget::Budget;
pub use checkpoint::Block;
pub use custom::CustomOp;
pub use functional::{hessian, hvp, jacobian, jvp};
pub use gradcheck::{GradCheck, gradcheck};
pub use gradients::Gradients;
pub use listing::{Argument, Listing, Row};
pub(crate) use observe::Difference;
pub use observe::{Constant, Flow, Kept, Observation, Observed};
pub use program::Program;
pub(crate) use program::{Operand, Recorded};
pub use random::Random;
pub use scalar::Scalar;
pub use sparse::{Pattern, Sparse, sparse_hessian, sparse_jacobian};
pub use var::Var;

use crate::{
    error::{Error, Result},
    kernels::FloatElement,
    nn::walk::{Catch, CatchKey},
    ops::{Op, Rule},
    real::{Dual, Number},
};
use gradients::Stash;
use node::TensorTape;
use statements::{Statements, Stop, Told};
use std::{
    cell::{Cell, RefCell},
    fmt,
    panic::Location,
    rc::Rc,
};
use sweep::{Flows, Sweep};

/// A number type that a tape can record: `f32`, `f64`, dual numbers, and scalars of another tape. No others can be: a sweep
/// calculates with them while it holds the tape's buffers, so what they do must not reach that tape.
///
/// ```compile_fail
/// #[derive(Clone, Copy)]
/// struct Mine(f64);
/// impl kolmo::TapeNumber for Mine {
///     type Tensors = <kolmo::Dual<f64, 1> as kolmo::TapeNumber>::Tensors;
/// }
/// ```
pub trait TapeNumber: Number + sealed::Sealed {
    /// What the tape keeps for tensors of this type.
    #[doc(hidden)]
    type Tensors: TensorPart<Self>;
}

/// A float that tensors on a tape are made of: `f32` or `f64`.
#[expect(private_interfaces, reason = "sealed, and its hidden functions are for this crate")]
pub trait Float: FloatElement + TapeNumber<Tensors = TensorTape<Self>> {
    #[doc(hidden)]
    fn catch() -> CatchKey<Self>;

    // Doors to what is compiled in this crate, once for each float. Generic code is compiled anew in every crate that uses it,
    // and behind these lie all operations with all their kernels.
    #[doc(hidden)]
    fn rule(op: &Op<Self>) -> &dyn Rule<Self>;
    #[doc(hidden)]
    #[track_caller]
    fn apply<'t>(tape: &'t Tape<Self>, op: Op<Self>, inputs: &[&Var<'t, Self>]) -> Var<'t, Self>;
    #[doc(hidden)]
    fn sweep(tape: &Tape<Self>, sweep: Sweep<Self>, scalars: Vec<Self>) -> Result<Gradients<Self>>;
    #[doc(hidden)]
    fn vjp<'t>(tape: &'t Tape<Self>, flows: Flows<'_, 't, Self>) -> Result<Vec<Var<'t, Self>>>;
}

mod sealed {
    use super::{Dual, Scalar, TapeNumber};

    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    impl<R: TapeNumber, const N: usize> Sealed for Dual<R, N> {}
    impl<T: TapeNumber> Sealed for Scalar<'_, T> {}
}

macro_rules! float {
    ($($t:ident)*) => {$(
        #[expect(private_interfaces, reason = "see the trait")]
        impl Float for $t {
            fn catch() -> CatchKey<$t> {
                thread_local!(static CATCH: RefCell<Catch<$t>> = const { RefCell::new(Catch::EMPTY) });
                &CATCH
            }
            fn rule(op: &Op<$t>) -> &dyn Rule<$t> {
                op.rule_here()
            }
            #[track_caller]
            fn apply<'t>(tape: &'t Tape<$t>, op: Op<$t>, inputs: &[&Var<'t, $t>]) -> Var<'t, $t> {
                tape.apply_here(op, inputs)
            }
            fn sweep(tape: &Tape<$t>, sweep: Sweep<$t>, scalars: Vec<$t>) -> Result<Gradients<$t>> {
                tape.sweep_here(sweep, scalars)
            }
            fn vjp<'t>(tape: &'t Tape<$t>, flows: Flows<'_, 't, $t>) -> Result<Vec<Var<'t, $t>>> {
                tape.vjp_here(flows)
            }
        }
    )*};
}
float!(f32 f64);

impl TapeNumber for f32 {
    type Tensors = TensorTape<f32>;
}
impl TapeNumber for f64 {
    type Tensors = TensorTape<f64>;
}
impl<R: TapeNumber, const N: usize> TapeNumber for Dual<R, N> {
    type Tensors = NoTensors;
}
impl<T: TapeNumber> TapeNumber for Scalar<'_, T> {
    type Tensors = NoTensors;
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

/// For numbers that tensors aren't made of.
#[doc(hidden)]
#[derive(Default)]
pub struct NoTensors {
    failure: Cell<Option<Box<Error>>>,
}

impl<T: TapeNumber<Tensors = NoTensors>> TensorPart<T> for NoTensors {
    type Leaves = ();
    fn clear(&self) {
        self.failure.set(None);
    }
    fn backward(tape: &Tape<T>, mut adjoints: Vec<T>) -> Result<Gradients<T>> {
        let (statement, argument, _) = tape.statements.len();
        tape.statements.sweep(&mut adjoints, &mut Stop { statement, argument, node: 0 }, 0);
        Ok(Gradients::new(tape, adjoints, ()))
    }
    fn failure(&self) -> Option<Error> {
        let failure = self.failure.take();
        let copy = failure.as_deref().cloned();
        self.failure.set(failure);
        copy
    }
    fn fail(&self, error: Error) {
        if TensorPart::<T>::failure(self).is_none() {
            self.failure.set(Some(Box::new(error)));
        }
    }
    fn describe(_: &(), _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
    fn recycle(_: &mut (), _: &Stash<T>) {}
}

/// Records operations and differentiates them.
///
/// Values borrow the tape they are on. [`reset`](Tape::reset) starts the next step in the same memory; a value
/// from before it can't be used after it, which the compiler checks.
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
    epoch: Cell<u64>,
}

/// What a tape does besides recording.
pub(crate) struct Settings {
    pub recording: Cell<bool>,
    pub training: Cell<bool>,
    pub anomalies: Cell<bool>,
    pub observed: Cell<bool>,
    /// Whether what is run was run before: then layers do nothing beside their results.
    pub again: Cell<bool>,
    pub random: Cell<Random>,
}

/// Puts a setting back to what it was.
pub(crate) struct Restore<'a, V: Copy> {
    pub setting: &'a Cell<V>,
    pub before: V,
}

impl<V: Copy> Drop for Restore<'_, V> {
    fn drop(&mut self) {
        self.setting.set(self.before);
    }
}

/// Every tape, and every step of it, has a number of its own.
fn next_epoch() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static EPOCH: AtomicU64 = AtomicU64::new(1);
    EPOCH.fetch_add(1, Ordering::Relaxed)
}

impl<T: TapeNumber> Tape<T> {
    /// An empty tape that records, in training mode, with random seed 0.
    pub fn new() -> Tape<T> {
        Tape {
            statements: Statements::new(),
            tensors: T::Tensors::default(),
            settings: Settings {
                recording: Cell::new(true),
                training: Cell::new(true),
                anomalies: Cell::new(false),
                observed: Cell::new(false),
                again: Cell::new(false),
                random: Cell::new(Random::new(0)),
            },
            stash: Rc::default(),
            epoch: Cell::new(next_epoch()),
        }
    }

    /// A tape that records nothing and is in evaluation mode: every value is a constant.
    pub fn inference() -> Tape<T> {
        let tape = Tape::new();
        tape.set_recording(false);
        tape.set_training(false);
        tape
    }

    /// Forgets all statements and failures and keeps the memory. Mode and random stream stay.
    ///
    /// Values of before can't be used any more:
    ///
    /// ```compile_fail
    /// let mut tape = kolmo::Tape::<f64>::new();
    /// let x = tape.scalar(1.0);
    /// tape.reset();
    /// let y = x + x; // error: cannot borrow `tape` as mutable
    /// ```
    pub fn reset(&mut self) {
        self.statements.clear();
        self.tensors.clear();
        self.epoch.set(next_epoch());
    }

    /// A number that gradients are taken with respect to.
    #[inline]
    #[track_caller]
    pub fn scalar(&self, value: T) -> Scalar<'_, T> {
        let site = Location::caller();
        if !self.is_recording() {
            return Scalar::constant(value);
        }
        let told = Told::new("input", value.primal(), site);
        Scalar::recorded(self, value, self.statements.push([(0, T::of(0.0))], told))
    }

    /// Numbers that gradients are taken with respect to.
    #[track_caller]
    pub fn scalars(&self, values: &[T]) -> Vec<Scalar<'_, T>> {
        let mut scalars = Vec::with_capacity(values.len());
        for &value in values {
            scalars.push(self.scalar(value));
        }
        scalars
    }

    /// Whether operations are recorded.
    pub fn is_recording(&self) -> bool {
        self.settings.recording.get()
    }

    /// Switches recording on or off, for what follows.
    pub fn set_recording(&self, on: bool) {
        self.settings.recording.set(on);
    }

    /// Runs `f` without recording: what it computes from recorded values are constants.
    pub fn no_grad<R>(&self, f: impl FnOnce() -> R) -> R {
        let _before = self.recording(false);
        f()
    }

    /// Switches recording on or off until the guard is dropped, be it by a panic.
    pub(crate) fn recording(&self, on: bool) -> impl Drop {
        Restore { setting: &self.settings.recording, before: self.settings.recording.replace(on) }
    }

    /// Whether layers such as dropout are in training mode.
    pub fn is_training(&self) -> bool {
        self.settings.training.get()
    }

    /// Training or evaluation mode, for what follows.
    pub fn set_training(&self, on: bool) {
        self.settings.training.set(on);
    }

    /// Whether this is another run of something that counts as one: a checkpointed block in the sweep, a part that a
    /// [`Budget`](crate::Budget) measures, a function that becomes a [`Program`](crate::Program). A layer that does something
    /// beside its result, such as moving running statistics, does it where this is false, and so once.
    pub fn is_rerun(&self) -> bool {
        self.settings.again.get()
    }

    /// Whether the first operation that gives NaN or infinity, in value or gradient, is reported as a failure.
    pub fn detect_anomalies(&self, on: bool) {
        self.settings.anomalies.set(on);
    }

    /// Number of statements.
    pub fn len(&self) -> usize {
        self.statements.len().0 - 1
    }

    /// Whether nothing has been recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    #[cold]
    #[track_caller]
    pub(crate) fn fail_scalar(&self, message: &str) -> Scalar<'_, T> {
        self.fail_scalar_with(Error::op("scalar", message, Some(Location::caller())))
    }

    /// A number that isn't one; `backward` of what is computed from it tells the error.
    #[cold]
    pub(crate) fn fail_scalar_with(&self, error: Error) -> Scalar<'_, T> {
        self.tensors.fail(error);
        Scalar::recorded(self, T::of(f64::NAN), 0)
    }

    pub(crate) fn recorded_failure(&self) -> Option<Error> {
        self.tensors.failure()
    }

    pub(crate) fn backward_scalar(&self, id: u32) -> Result<Gradients<T>> {
        if let Some(failure) = self.recorded_failure() {
            return Err(failure);
        }
        if self.statements.is_full() {
            return Err(Error::op(
                "backward",
                "the tape has more than 2³² arguments; reset it more often",
                None,
            ));
        }
        let mut adjoints = self.stash.scalars(self.statements.adjoints());
        match adjoints[..self.statements.len().0].get_mut(id as usize) {
            Some(seed) => *seed = T::of(1.0),
            None => return Err(Error::op("backward", "the scalar is not on this tape any more", None)),
        }
        T::Tensors::backward(self, adjoints)
    }
}

impl<T: TapeNumber> Default for Tape<T> {
    fn default() -> Tape<T> {
        Tape::new()
    }
}

impl<T: TapeNumber> fmt::Debug for Tape<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tape({} statements)", self.len())
    }
}
