//! What `backward` gives: plain tensors by variable or parameter, plain numbers by scalar.
use super::{Float, Scalar, Tape, TapeNumber, TensorPart, Var, statements::Local};
use crate::{nn::Param, tensor::Tensor};
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
};

/// Gradients of one number with respect to the inputs and parameters of a tape. Independent of the tape's life.
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
pub struct Gradients<T: TapeNumber = f32> {
    epoch: u64,
    scalars: Vec<T>,
    pub(crate) leaves: <T::Tensors as TensorPart<T>>::Leaves,
    cursor: Cell<usize>,
    stash: Rc<Stash<T>>,
}

/// Memory of dropped gradients, for the next ones.
#[doc(hidden)]
pub struct Stash<T: TapeNumber> {
    scalars: RefCell<Vec<T>>,
    pub(crate) local: RefCell<Local<T>>,
    pub(crate) leaves: RefCell<<T::Tensors as TensorPart<T>>::Leaves>,
}

impl<T: TapeNumber> Default for Stash<T> {
    fn default() -> Self {
        Stash { scalars: RefCell::default(), local: RefCell::default(), leaves: RefCell::default() }
    }
}

impl<T: TapeNumber> Stash<T> {
    /// `n` zeros.
    pub(crate) fn scalars(&self, n: usize) -> Vec<T> {
        let mut scalars = self.scalars.take();
        scalars.clear();
        scalars.resize(n, T::of(0.0));
        scalars
    }
}

/// The gradient of one input or parameter.
#[doc(hidden)]
pub struct Leaf<T: Float> {
    pub(crate) node: u32,
    /// The parameter's id; 0 for inputs.
    pub(crate) param: u64,
    pub(crate) grad: Tensor<T>,
}

impl<T: TapeNumber> Gradients<T> {
    pub(crate) fn new(
        tape: &Tape<T>,
        scalars: Vec<T>,
        leaves: <T::Tensors as TensorPart<T>>::Leaves,
    ) -> Gradients<T> {
        Gradients { epoch: tape.epoch(), scalars, leaves, cursor: Cell::new(0), stash: tape.stash.clone() }
    }

    /// The derivative with respect to a scalar; zero if it plays no part.
    pub fn scalar(&self, x: Scalar<'_, T>) -> T {
        let known = x.tape().is_some_and(|t| t.epoch() == self.epoch);
        self.scalars.get(x.id() as usize).copied().filter(|_| known).unwrap_or(T::of(0.0))
    }
}

impl<T: Float> Gradients<T> {
    /// The gradient with respect to an input; `None` if the result doesn't depend on it or it is no input.
    pub fn get(&self, x: &Var<'_, T>) -> Option<&Tensor<T>> {
        let node = x.node().filter(|_| x.tape().epoch() == self.epoch)?;
        self.leaves.iter().find(|leaf| leaf.node == node).map(|leaf| &leaf.grad)
    }

    /// The gradient with respect to a parameter; `None` if the result doesn't depend on it.
    pub fn param(&self, p: &Param<T>) -> Option<&Tensor<T>> {
        self.by_id(p.id())
    }

    /// Parameters are mostly asked for in one order, so the search starts where the last one ended.
    pub(crate) fn by_id(&self, id: u64) -> Option<&Tensor<T>> {
        let (n, start) = (self.leaves.len(), self.cursor.get());
        (0..n).map(|i| (start + i) % n).find(|&i| self.leaves[i].param == id).map(|i| {
            self.cursor.set(i + n - 1);
            &self.leaves[i].grad
        })
    }
}

impl<T: TapeNumber> fmt::Debug for Gradients<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gradients(")?;
        T::Tensors::describe(&self.leaves, f)?;
        write!(f, "{} scalar adjoints)", self.scalars.len())
    }
}

impl<T: TapeNumber> Drop for Gradients<T> {
    fn drop(&mut self) {
        self.stash.scalars.replace(std::mem::take(&mut self.scalars));
        T::Tensors::recycle(&mut self.leaves, &self.stash);
    }
}
