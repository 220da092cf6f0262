//! A parameter: a shared handle to a tensor that training changes, and what stands between it and its use.
//! Its way through serde is in `param_serial`.
use super::steps::{Steps, kept_codes};
use crate::{
    error::{Error, Result},
    tape::{Float, Tape, Var},
    tensor::{Shape, Tensor},
};
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

/// A trainable tensor of a model. Cloning it gives another handle to the same tensor: that is how weights are tied.
///
/// Between the tensor and the value that a model sees may stand a [codebook](Param::set_codebook), a
/// [mask](Param::set_mask), [step sizes](Param::set_steps) and a user's [own operations](Param::parametrize), in this order.
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
pub struct Param<T: Float = f32>(Arc<Inner<T>>);

struct Inner<T: Float> {
    id: u64,
    /// Another one after every change.
    version: AtomicU64,
    state: RwLock<State<T>>,
}

/// A copy of it shares its tensors. Nothing else is done while it is locked: another parameter, or what a user put in between,
/// could wait for the lock in turn.
#[derive(Clone)]
struct State<T: Float> {
    value: Tensor<T>,
    trainable: bool,
    /// Ones where a weight is kept, zeros where it was pruned.
    mask: Option<Tensor<T>>,
    codebook: Option<Codebook<T>>,
    steps: Option<Steps<T>>,
    custom: Vec<Arc<dyn Parametrize<T>>>,
}

/// A few values that stand for many weights.
#[derive(Clone)]
struct Codebook<T: Float> {
    codes: Tensor<u32>,
    /// The same, without those that the mask prunes.
    kept: Tensor<u32>,
    centroids: Param<T>,
}

impl<T: Float> State<T> {
    /// How many weights no mask prunes.
    fn kept(&self) -> usize {
        match &self.mask {
            Some(mask) => mask.to_vec().iter().filter(|&&keep| keep != T::default()).count(),
            None => self.value.numel(),
        }
    }
}

/// What a user puts between the stored tensor and the value that the model sees: a few operations on the tape.
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
}

/// A number that no other parameter of this process has.
pub(super) fn fresh_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Held while a parameter gets what it is made of, so that two threads can't make two of them of each other.
fn one_link() -> impl Drop {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Float> Param<T> {
    /// A trainable parameter.
    pub fn new(value: impl Into<Tensor<T>>) -> Param<T> {
        let state = RwLock::new(State {
            value: value.into(),
            trainable: true,
            mask: None,
            codebook: None,
            steps: None,
            custom: Vec::new(),
        });
        Param(Arc::new(Inner { id: fresh_id(), version: AtomicU64::new(0), state }))
    }

    // A panic elsewhere can't leave a tensor half replaced, so a poisoned lock is as good as any.
    fn read(&self) -> RwLockReadGuard<'_, State<T>> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one way to change anything: a tape that used the parameter sees that it isn't what it was.
    fn write(&self) -> RwLockWriteGuard<'_, State<T>> {
        let state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        self.0.version.fetch_add(1, Ordering::Relaxed);
        state
    }

    /// A number that is another one after every change of the parameter.
    pub(crate) fn version(&self) -> u64 {
        self.0.version.load(Ordering::Relaxed)
    }

    /// A number that no other parameter of this process has; handles to one tensor share it.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The tensor.
    pub fn value(&self) -> Tensor<T> {
        self.read().value.clone()
    }

    /// The sizes of the axes.
    pub fn shape(&self) -> Shape {
        self.read().value.shape().clone()
    }

    /// Replaces the tensor; the shape may change.
    pub fn set(&self, value: impl Into<Tensor<T>>) {
        self.write().value = value.into();
    }

    /// Changes the tensor in place. The parameter is locked meanwhile: `f` can't use it by another handle.
    pub fn update<R>(&self, f: impl FnOnce(&mut Tensor<T>) -> R) -> R {
        f(&mut self.write().value)
    }

    /// Changes the tensor in place, unless it is frozen.
    pub(crate) fn train(&self, f: impl FnOnce(&mut Tensor<T>)) {
        let mut state = self.write();
        if state.trainable {
            f(&mut state.value);
        }
    }

    /// Whether optimisers change it.
    pub fn is_trainable(&self) -> bool {
        self.read().trainable
    }

    /// Freezes the parameter and its codebook or step sizes (`false`) or lets them be trained again.
    pub fn set_trainable(&self, on: bool) {
        self.write().trainable = on;
        let between = self.steps().map(|(.., sizes)| sizes);
        if let Some(learnt) = between.or_else(|| self.codebook().map(|(_, centroids)| centroids)) {
            learnt.set_trainable(on);
        }
    }

    /// Whether what this one stands for takes the other one's.
    fn takes(&self, other: &Param<T>) -> bool {
        self.id() == other.id()
            || self.codebook().is_some_and(|(_, centroids)| centroids.takes(other))
            || self.steps().is_some_and(|(.., sizes)| sizes.takes(other))
    }

    /// Keeps the weights where the mask is true and holds the others at zero, in training too. `None` lifts the mask:
    /// pruned weights are then what they last were.
    pub fn set_mask(&self, mask: Option<&Tensor<bool>>) -> Result<()> {
        let mut state = self.write();
        if let Some(mask) = mask.filter(|m| m.shape() != state.value.shape()) {
            let message =
                format!("the mask has shape {}, the parameter {}", mask.shape(), state.value.shape());
            return Err(Error::invalid("set_mask", message));
        }
        let mask = mask.map(Tensor::cast);
        if let Some(book) = &mut state.codebook {
            book.kept = kept_codes(&book.codes, mask.as_ref())
                .map_err(|message| Error::invalid("set_mask", message))?;
        }
        state.mask = mask;
        Ok(())
    }

    /// Which weights are kept; `None` if all are.
    pub fn mask(&self) -> Option<Tensor<bool>> {
        self.read().mask.as_ref().map(Tensor::cast)
    }

    /// Ties the weights to a few shared values: the weight as the model uses it is `centroids[codes]`, times the mask if
    /// there is one. `codes` has the parameter's shape, `centroids` is `[k]`, and every code is below `k`.
    ///
    /// The centroids are a parameter of their own, which [`visit_params`](super::visit_params) shows as
    /// `<name>.codebook`: optimisers train them, and leave the tensor underneath alone. Passing a [`Param`] that
    /// another parameter uses too shares one codebook between both.
    ///
    /// ```
    /// use kolmo::{Tape, Tensor, nn::Param, optim::{Optimizer, Sgd}};
    /// let p = Param::new(Tensor::from([0.9f32, -0.4, 1.1]));
    /// p.set_codebook(Tensor::from([1u32, 0, 1]), Tensor::from([-0.4f32, 1.0]))?;
    /// let tape = Tape::new();
    /// let grads = tape.param(&p).sum().backward()?;
    /// Sgd::new(0.1).step(&p, &grads)?;
    /// assert_eq!(p.effective()?.to_vec(), [0.8, -0.5, 0.8]); // the gradient of a shared value is a sum
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn set_codebook(&self, codes: Tensor<u32>, centroids: impl Into<Param<T>>) -> Result<()> {
        let centroids: Param<T> = centroids.into();
        let wrong = |message| Err(Error::invalid("set_codebook", message));
        let _one = one_link();
        if centroids.codebook().is_some() || centroids.takes(self) {
            return wrong(
                "the centroids can't have a codebook themselves, or be made of this parameter".into(),
            );
        }
        let (k, mut state) = (centroids.shape(), self.write());
        if codes.shape() != state.value.shape() {
            return wrong(format!(
                "the codes have shape {}, the parameter {}",
                codes.shape(),
                state.value.shape()
            ));
        }
        if k.rank() != 1 {
            return wrong(format!("the centroids have shape {k}, not [k]"));
        }
        if let Some(bad) = codes.to_vec().iter().find(|&&code| code as usize >= k.numel()) {
            return wrong(format!("code {bad} has no centroid: there are {}", k.numel()));
        }
        let kept = kept_codes(&codes, state.mask.as_ref());
        let kept = kept.map_err(|message| Error::invalid("set_codebook", message))?;
        let fixed = state.steps.is_some().then(|| centroids.clone());
        state.codebook = Some(Codebook { kept, codes, centroids });
        drop(state);
        fixed.iter().for_each(|centroids| centroids.set_trainable(false));
        Ok(())
    }

    /// The codes and the centroids, if the weights are tied to a codebook.
    pub fn codebook(&self) -> Option<(Tensor<u32>, Param<T>)> {
        self.read().codebook.as_ref().map(|book| (book.codes.clone(), book.centroids.clone()))
    }

    /// Unties the weights: they are what they were before they had a codebook.
    pub fn remove_codebook(&self) {
        self.write().codebook = None;
    }

    /// Makes the weights whole numbers of `bits` bits, 2 to 8, times step sizes: `round(w / s) · s`, from `-(2ᵇ⁻¹ - 1)` to `2ᵇ⁻¹ - 1`
    /// steps. `group` neighbours of a row (an index of the first axis) share a step size, 0 for all of the tensor.
    ///
    /// Without a codebook the weights themselves stay what they are, and are trained through the rounding as if it weren't there; with
    /// one, its values are multiplied by the step sizes and frozen. These are a parameter of their own, `<name>.steps` to
    /// [`visit_params`](super::visit_params), of one element for each group, which is learnt along unless it is frozen.
    /// [`quantize::Quantizer`](crate::compress::quantize::Quantizer) does all of this for a model.
    ///
    /// # Errors
    /// Other bits, step sizes of another shape than `[groups]`, or 0, or not finite, or made of this parameter itself. Of a negative
    /// one the magnitude is used.
    pub fn set_steps(&self, bits: u32, group: usize, sizes: impl Into<Param<T>>) -> Result<()> {
        let steps = Steps::new(&self.shape(), bits, group, sizes.into())?;
        let _one = one_link();
        if steps.sizes.takes(self) {
            return Err(Error::invalid("set_steps", "the step sizes can't be made of this parameter"));
        }
        self.write().steps = Some(steps);
        if let Some((_, centroids)) = self.codebook() {
            centroids.set_trainable(false);
        }
        Ok(())
    }

    /// Bits, group and sizes of the steps, if the weights are whole numbers of steps.
    pub fn steps(&self) -> Option<(u32, usize, Param<T>)> {
        self.read().steps.as_ref().map(|steps| (steps.bits, steps.group, steps.sizes.clone()))
    }

    /// Lets the weights be any numbers again.
    pub fn remove_steps(&self) {
        self.write().steps = None;
    }

    /// The weights as whole numbers, and their step sizes as they are used; `None` without steps or if more follows them.
    pub(crate) fn numbers(&self) -> Result<Option<(Tensor<i32>, Vec<T>)>> {
        let steps = if self.has_custom() { None } else { self.read().steps.clone() };
        // What steps made of weights is rounded to the same numbers again.
        steps.map(|steps| steps.numbers(&self.effective()?)).transpose()
    }

    /// The weights in steps before they are rounded, on a tape; `None` without steps, and where a codebook has them fixed.
    #[track_caller]
    pub(crate) fn in_steps<'t>(&self, tape: &'t Tape<T>) -> Option<Var<'t, T>> {
        let used = self.on(tape);
        let state = self.read().clone();
        let steps = state.steps.as_ref().filter(|_| state.codebook.is_none())?;
        // Without a recording nothing is remembered, and what was rounded stays the same when it is rounded again.
        Some(steps.in_steps(&tape.known_param(steps.unrounded).unwrap_or(used), state.kept()))
    }

    /// Whether a user's own operations stand between the tensor and its use.
    pub(crate) fn has_custom(&self) -> bool {
        !self.read().custom.is_empty()
    }

    /// Replaces everything at once: nothing that was between the tensor and its use stays.
    pub(crate) fn replace(&self, value: Tensor<T>) {
        let mut state = self.write();
        state.value = value;
        state.mask = None;
        state.codebook = None;
        state.steps = None;
        state.custom.clear();
    }

    /// Exchanges what two parameters hold, with all that stands between tensor and use; who they are stays.
    pub(crate) fn exchange(&self, other: &Param<T>) {
        if self.id() != other.id() {
            // Always in one order, so that two threads don't wait for each other.
            let (first, second) = if self.id() < other.id() { (self, other) } else { (other, self) };
            std::mem::swap(&mut *first.write(), &mut *second.write());
        }
    }

    /// Puts an operation between the tensor and its use, after those that are there.
    pub fn parametrize(&self, by: impl Parametrize<T> + 'static) {
        self.write().custom.push(Arc::new(by));
    }

    /// The weight as the model uses it, outside any tape.
    pub fn effective(&self) -> Result<Tensor<T>> {
        let tape = Tape::inference();
        let value = self.on(&tape);
        Ok(value.value()?.clone())
    }

    /// The weight as the model uses it; the tensor itself if its parametrisation fails, which shows where the model is run.
    pub(crate) fn effective_or_value(&self) -> Tensor<T> {
        self.effective().unwrap_or_else(|_| self.value())
    }

    /// Makes what stands between the tensor and its use permanent: the tensor becomes what the model sees.
    pub fn bake(&self) -> Result<()> {
        self.replace(self.effective()?);
        Ok(())
    }

    /// The parameter on a tape: a leaf, or a constant if it is frozen, through its parametrisation.
    #[track_caller]
    pub(crate) fn on<'t>(&self, tape: &'t Tape<T>) -> Var<'t, T> {
        let locked = self.read();
        if let Some(known) = tape.known_param(self.id()) {
            return known;
        }
        let (asked, state) = (tape.ask(self), locked.clone());
        drop(locked);
        let mut value = match (&state.codebook, &state.mask) {
            (Some(book), _) => book.centroids.on(tape).elements(book.kept.clone()),
            (None, _) if !state.trainable && !tape.is_traced() => tape.constant(&state.value),
            (None, _) => tape.param_leaf(self, state.value.clone()),
        };
        if let (None, Some(mask)) = (&state.codebook, &state.mask) {
            // Not a product: a pruned weight is +0, whatever stands underneath.
            value = value.where_one(&tape.constant(mask), &tape.constant(T::default()));
        }
        if let Some(steps) = &state.steps {
            tape.remember_param(steps.unrounded, &value, asked);
            value = if state.codebook.is_some() {
                steps.scale(&value)
            } else {
                steps.round(&value, state.kept())
            };
        }
        for custom in &state.custom {
            value = custom.apply(&value);
        }
        tape.remember_param(self.id(), &value, asked);
        tape.answered(asked);
        value
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
