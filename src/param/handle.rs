//! A parameter: a shared handle to a tensor that training changes, and what stands between it and its use.
use crate::{
    ids::ParamId,
    kernels::packed::HalfFloat,
    ops::{Float, NOWHERE},
    tape::{Stored, Var},
    tensor::{Shape, Tensor},
};
use std::{
    any::Any,
    fmt,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

/// A trainable tensor of a model. Cloning it gives another handle to the same tensor: that is how weights are
/// tied.
///
/// Between the tensor and the value that a model sees may stand a [codebook](Param::set_codebook), a
/// [mask](Param::set_mask), [step sizes](Param::set_steps) and a user's [own operations](Param::parametrize),
/// in this order.
///
/// Through serde a parameter is its tensor, with mask, codebook and step sizes if it has them.
///
/// ```
/// use kolmo::{Tape, Tensor, nn::Param};
/// let weight = Param::new(Tensor::from([1.0f32, -2.0]));
/// let tied = weight.clone(); // the same tensor
/// weight.set_mask(Some(&Tensor::from([true, false])))?;
/// let tape = Tape::new();
/// let w = tape.param(&tied);
/// assert_eq!(w.to_vec()?, [1.0, 0.0]);
/// assert_eq!(w.square().sum().backward()?.param(&weight).unwrap().to_vec(), [2.0, 0.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone)]
#[doc(alias = "Parameter")]
pub struct Param<T: Float = f32>(pub(super) Arc<Inner<T>>);

pub(super) struct Inner<T: Float> {
    id: ParamId,
    /// Another one after every change.
    version: AtomicU64,
    state: RwLock<State<T>>,
}

/// Everything that a parameter holds, but for operations of a user's: what files, checkpoints and copies are
/// made of.
///
/// ```
/// use kolmo::{Tensor, nn::{Form, Param}};
/// let p = Param::new(Tensor::from([1.0f32, -2.0]));
/// p.set_mask(Some(&Tensor::from([true, false])))?;
/// let mut state = p.state();
/// assert!(matches!(state.form, Form::Dense) && state.mask.is_some());
/// state.mask = None;
/// p.set_state(state)?;
/// assert_eq!(p.effective()?.to_vec(), [1.0, -2.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ParamState<T: Float = f32> {
    /// The tensor that training changes; with a codebook, what the weights were before.
    pub value: Tensor<T>,
    /// Which weights are kept, the others being zero: with it, any form is sparse.
    pub mask: Option<Tensor<bool>>,
    /// How the weights come from the tensor.
    pub form: Form<T>,
    /// Whether optimisers change it.
    pub trainable: bool,
}

/// How a parameter's weights come from what it stores.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Form<T: Float = f32> {
    /// They are the tensor's elements.
    Dense,
    /// They are integers times step sizes, rounded from the tensor: see [`Param::set_steps`].
    Codes(Steps<T>),
    /// They are elements of a codebook, which many share, times step sizes if there are some: see
    /// [`Param::set_codebook`].
    Codebook {
        /// For each weight the index of its centroid.
        codes: Tensor<u32>,
        /// The values, `[k]`.
        centroids: Param<T>,
        /// Step sizes that the values are multiplied by.
        steps: Option<Steps<T>>,
    },
}

/// Step sizes of weights that are integers of `bits` bits, `group` neighbours of a row sharing one; 0 for all
/// of the tensor.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Steps<T: Float = f32> {
    /// 2 to 8.
    pub bits: u32,
    /// How many neighbours share a step size.
    pub group: usize,
    /// The step sizes, `[groups]`: a parameter of its own.
    pub sizes: Param<T>,
}

/// What a parameter holds, and what is worked out of it once. A copy of it shares its tensors. Nothing else
/// is done while it is locked: another parameter, or what a user put in between, could wait for the lock in
/// turn.
#[derive(Clone)]
pub(super) struct State<T: Float> {
    pub holds: ParamState<T>,
    /// Ones where a weight is kept, zeros where it was pruned.
    pub ones: Option<Tensor<T>>,
    /// The codes of a codebook, without those that the mask prunes.
    pub kept: Option<Tensor<u32>>,
    /// Under which a tape remembers the weights before they are rounded to steps.
    pub unrounded: ParamId,
    pub custom: Vec<Arc<dyn Parametrize<T>>>,
}

impl<T: Float> ParamState<T> {
    /// A trainable tensor.
    pub fn dense(value: Tensor<T>) -> ParamState<T> {
        ParamState { value, mask: None, form: Form::Dense, trainable: true }
    }

    /// What is packed isn't trained.
    pub(super) fn settled(self) -> ParamState<T> {
        ParamState { trainable: self.trainable && self.value.source().is_none(), ..self }
    }

    /// The codes and centroids of a codebook.
    pub fn codebook(&self) -> Option<(&Tensor<u32>, &Param<T>)> {
        match &self.form {
            Form::Codebook { codes, centroids, .. } => Some((codes, centroids)),
            _ => None,
        }
    }

    /// The step sizes.
    pub fn steps(&self) -> Option<&Steps<T>> {
        match &self.form {
            Form::Codes(steps) => Some(steps),
            Form::Codebook { steps, .. } => steps.as_ref(),
            Form::Dense => None,
        }
    }
}

impl<T: Float> State<T> {
    /// Whether the weights are the tensor itself.
    pub fn is_plain(&self) -> bool {
        matches!(self.holds.form, Form::Dense) && self.ones.is_none() && self.custom.is_empty()
    }

    /// How many weights no mask prunes.
    pub fn unpruned(&self) -> usize {
        match &self.ones {
            Some(mask) => mask.to_vec().iter().filter(|&&keep| keep != T::default()).count(),
            None => self.holds.value.numel(),
        }
    }

    /// Works out anew what hangs on mask and codes.
    pub fn refresh(&mut self) {
        self.ones = self.holds.mask.as_ref().map(Tensor::cast);
        self.kept = self.holds.codebook().map(|(codes, _)| match &self.holds.mask {
            None => codes.clone(),
            Some(mask) => {
                let (mask, all) = (mask.to_vec(), codes.to_vec());
                Tensor::from_fn(codes.shape(), |i| if mask[i] { all[i] } else { NOWHERE })
            }
        });
    }
}

/// What a user puts between the stored tensor and the value that the model sees: a few operations on the
/// tape.
///
/// ```
/// use kolmo::{Tensor, Var, nn::{Param, Parametrize}};
/// struct Positive;
/// impl Parametrize<f32> for Positive {
///     fn apply<'t>(&self, weight: &Var<'t>) -> Var<'t> {
///         weight.exp()
///     }
/// }
/// let p = Param::new(Tensor::from([0.0f32]));
/// p.parametrize(Positive);
/// assert_eq!(p.effective()?.to_vec(), [1.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
pub trait Parametrize<T: Float>: Send + Sync {
    /// The weight as the model uses it, of the same shape.
    fn apply<'t>(&self, weight: &Var<'t, T>) -> Var<'t, T>;
    /// As which floats of 16 bits the weight is held without loss, if it always is some.
    #[doc(hidden)]
    fn half(&self) -> Option<HalfFloat> {
        None
    }

    /// Where `apply` adds something to the weight, what that adds to a product with it: of `W + D` it is
    /// `x·Dᵀ`, `[…, in] -> […, out]`. A [`Linear`](crate::nn::Linear) layer whose weight is frozen then
    /// leaves the weight in the form in which it is held. `None` (the default), always, if there is no
    /// such sum, or nothing is saved by it.
    fn product<'t>(&self, x: &Var<'t, T>) -> Option<Var<'t, T>> {
        let _ = x;
        None
    }
}

impl<T: Float> Stored<T> for Inner<T> {
    fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }
    fn tensor(&self) -> Tensor<T> {
        self.read().holds.value.afresh()
    }
    fn is_trainable(&self) -> bool {
        self.read().holds.trainable
    }
}

impl<T: Float> Inner<T> {
    // A panic elsewhere can't leave a tensor half replaced, so a poisoned lock is as good as any.
    fn read(&self) -> RwLockReadGuard<'_, State<T>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// # The tensor, and whether it is trained
impl<T: Float> Param<T> {
    /// A trainable parameter.
    pub fn new(value: impl Into<Tensor<T>>) -> Param<T> {
        Param::of_state(ParamState::dense(value.into()))
    }

    pub(super) fn of_state(holds: ParamState<T>) -> Param<T> {
        let holds = holds.settled();
        let mut state =
            State { holds, ones: None, kept: None, unrounded: ParamId::fresh(), custom: Vec::new() };
        state.refresh();
        let state = RwLock::new(state);
        Param(Arc::new(Inner { id: ParamId::fresh(), version: AtomicU64::new(0), state }))
    }

    /// What a walk takes along, whatever it is made of.
    pub(super) fn any(&self) -> Arc<dyn Any + Send + Sync> {
        self.0.clone()
    }

    /// The parameter that a walk took along, if it is made of these floats.
    pub(super) fn from_any(any: Arc<dyn Any + Send + Sync>) -> Option<Param<T>> {
        any.downcast().ok().map(Param)
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, State<T>> {
        self.0.read()
    }

    /// The one way to change anything: a tape that used the parameter sees that it isn't what it was.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State<T>> {
        let state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        self.0.version.fetch_add(1, Ordering::Relaxed);
        state
    }

    /// Who it is: handles to one parameter share it, and no other of this process has it.
    pub fn id(&self) -> ParamId {
        self.0.id
    }

    /// The tensor. Of one that is [packed](crate::compress::Packed), what is read of this handle to it
    /// becomes floats as long as that handle lives; the parameter stays as it is.
    pub fn value(&self) -> Tensor<T> {
        self.read().holds.value.afresh()
    }

    /// Whether the tensor is held in another form than floats.
    pub(crate) fn is_packed(&self) -> bool {
        self.read().holds.value.source().is_some()
    }

    /// The sizes of the axes.
    pub fn shape(&self) -> Shape {
        self.read().holds.value.shape().clone()
    }

    /// Replaces the tensor; the shape may change. One that is [packed](crate::compress::Packed) isn't
    /// trained.
    pub fn set(&self, value: impl Into<Tensor<T>>) {
        let mut state = self.write();
        state.holds.value = value.into();
        state.holds.trainable &= state.holds.value.source().is_none();
    }

    /// Changes the tensor in place. The parameter is locked meanwhile: `f` can't use it by another handle.
    pub fn update<R>(&self, f: impl FnOnce(&mut Tensor<T>) -> R) -> R {
        f(&mut self.write().holds.value)
    }

    /// Changes the tensor in place, unless it is frozen.
    pub(crate) fn train(&self, f: impl FnOnce(&mut Tensor<T>)) {
        let mut state = self.write();
        if state.holds.trainable {
            f(&mut state.holds.value);
        }
    }

    /// Whether optimisers change it.
    #[must_use]
    pub fn is_trainable(&self) -> bool {
        self.read().holds.trainable
    }
}

impl<T: Float> fmt::Debug for Param<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Param({:?})", self.value())
    }
}

impl<T: Float> From<Tensor<T>> for Param<T> {
    fn from(value: Tensor<T>) -> Param<T> {
        Param::new(value)
    }
}
