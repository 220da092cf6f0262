//! A parameter: a shared handle to a tensor that training changes, and what stands between it and its use.
use crate::{
    error::{Error, Result},
    ids,
    ops::{Float, NOWHERE},
    tape::{Gradients, Stored, Tape, Var},
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

    /// Brings the codes in use up to date with the mask.
    fn apply_mask(&mut self) {
        let Some(book) = &mut self.codebook else { return };
        let Some(mask) = &self.mask else {
            book.kept = book.codes.clone();
            return;
        };
        let (mask, codes) = (mask.to_vec(), book.codes.to_vec());
        let kept = |i| if mask[i] == T::default() { NOWHERE } else { codes[i] };
        book.kept = Tensor::from_fn(book.codes.shape(), kept);
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

/// The step sizes of a parameter.
#[derive(Clone)]
pub(super) struct Steps<T: Float> {
    pub bits: u32,
    pub group: usize,
    pub sizes: Param<T>,
    /// Under which a tape remembers the weights before they are rounded.
    pub unrounded: u64,
}

impl<T: Float> Stored<T> for Inner<T> {
    fn id(&self) -> u64 {
        self.id
    }
    fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }
    fn tensor(&self) -> Tensor<T> {
        self.read().value.clone()
    }
    fn is_trainable(&self) -> bool {
        self.read().trainable
    }
}

impl<T: Float> Inner<T> {
    // A panic elsewhere can't leave a tensor half replaced, so a poisoned lock is as good as any.
    fn read(&self) -> RwLockReadGuard<'_, State<T>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
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
        Param(Arc::new(Inner { id: ids::fresh(), version: AtomicU64::new(0), state }))
    }

    /// What a walk takes along, whatever it is made of.
    pub(super) fn any(&self) -> Arc<dyn Any + Send + Sync> {
        self.0.clone()
    }

    /// The parameter that a walk took along, if it is made of these floats.
    pub(super) fn from_any(any: Arc<dyn Any + Send + Sync>) -> Option<Param<T>> {
        any.downcast().ok().map(Param)
    }

    fn read(&self) -> RwLockReadGuard<'_, State<T>> {
        self.0.read()
    }

    /// The one way to change anything: a tape that used the parameter sees that it isn't what it was.
    fn write(&self) -> RwLockWriteGuard<'_, State<T>> {
        let state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        self.0.version.fetch_add(1, Ordering::Relaxed);
        state
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

    /// Changes the tensor in place.
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
        let mut state = self.write();
        state.trainable = on;
        match (&state.codebook, &state.steps) {
            (_, Some(steps)) => steps.sizes.set_trainable(on),
            (Some(book), None) => book.centroids.set_trainable(on),
            (None, None) => {}
        }
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
        state.mask = mask.map(Tensor::cast);
        state.apply_mask();
        Ok(())
    }

    /// Which weights are kept; `None` if all are.
    pub fn mask(&self) -> Option<Tensor<bool>> {
        self.read().mask.as_ref().map(Tensor::cast)
    }

    /// Ties the weights to a few shared values: the weight as the model uses it is `centroids[codes]`, times the mask if
    /// there is one. `codes` has the parameter's shape, `centroids` is `[k]`, and every code is below `k`.
    ///
    /// The centroids are a parameter of their own, which [`visit_params`](crate::nn::visit_params) shows as
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
        // A codebook with a codebook of its own could lead back here.
        if centroids.id() == self.id() || centroids.codebook().is_some() {
            return Err(Error::invalid("set_codebook", "the centroids can't have a codebook themselves"));
        }
        let (k, mut state) = (centroids.shape(), self.write());
        let wrong = |message| Err(Error::invalid("set_codebook", message));
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
        if state.steps.is_some() {
            centroids.set_trainable(false);
        }
        state.codebook = Some(Codebook { kept: codes.clone(), codes, centroids });
        state.apply_mask();
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
    /// [`visit_params`](crate::nn::visit_params), of one element for each group, which is learnt along unless it is frozen.
    /// [`quantize::Quantizer`](crate::compress::quantize::Quantizer) does all of this for a model.
    ///
    /// # Errors
    /// Other bits, step sizes of another shape than `[groups]`, or 0, or not finite. Of a negative one the magnitude is used.
    pub fn set_steps(&self, bits: u32, group: usize, sizes: impl Into<Param<T>>) -> Result<()> {
        let steps = Steps::new(&self.shape(), bits, group, sizes.into())?;
        let mut state = self.write();
        if let Some(book) = &state.codebook {
            book.centroids.set_trainable(false);
        }
        state.steps = Some(steps);
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
        let steps = self.read().steps.clone().filter(|_| !self.has_custom());
        // What steps made of weights is rounded to the same numbers again.
        steps.map(|steps| steps.numbers(&self.effective()?)).transpose()
    }

    /// The weights in steps before they are rounded, on a tape; `None` without steps, and where a codebook has them fixed.
    #[track_caller]
    pub(crate) fn in_steps<'t>(&self, tape: &'t Tape<T>) -> Option<Var<'t, T>> {
        let used = self.on(tape);
        let state = self.read();
        let steps = state.steps.as_ref().filter(|_| state.codebook.is_none())?;
        // Without a recording nothing is remembered, and what was rounded stays the same when it is rounded again.
        Some(steps.in_steps(&known(tape, steps.unrounded).unwrap_or(used), state.kept()))
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
        let state = self.read();
        if let Some(known) = known(tape, self.id()) {
            return known;
        }
        let params = &tape.tensors.params;
        let asked = params.ask(self.0.clone());
        let mut value = match (&state.codebook, &state.mask) {
            (Some(book), _) => book.centroids.on(tape).elements(book.kept.clone()),
            (None, _) if !state.trainable && !tape.is_traced() => tape.constant(&state.value),
            (None, _) => tape.param_leaf(self.0.clone(), state.value.clone()),
        };
        if let (None, Some(mask)) = (&state.codebook, &state.mask) {
            // Not a product: a pruned weight is +0, whatever stands underneath.
            value = value.where_one(&tape.constant(mask), &tape.constant(T::default()));
        }
        if let Some(steps) = &state.steps {
            remember(steps.unrounded, &value, asked);
            value = if state.codebook.is_some() {
                steps.scale(&value)
            } else {
                steps.round(&value, state.kept())
            };
        }
        for custom in &state.custom {
            value = custom.apply(&value);
        }
        remember(self.id(), &value, asked);
        params.answered(asked);
        value
    }
}

/// The value of a parameter that was asked for before in this step, or what stands for it.
fn known<T: Float>(tape: &Tape<T>, id: u64) -> Option<Var<'_, T>> {
    let params = &tape.tensors.params;
    let known = params.substitute_of(id).or_else(|| tape.is_recording().then(|| params.known(id))?);
    known.map(|(node, value)| Var::new(tape, value, node))
}

/// Keeps the value that was worked out of what was asked for from `asked` on.
fn remember<T: Float>(id: u64, value: &Var<'_, T>, asked: usize) {
    if let Some(node) = value.node() {
        value.tape().tensors.params.remember(id, node, value.tensor().clone(), asked);
    }
}

impl<T: Float> Tape<T> {
    /// A parameter of a model as the model uses it: its tensor, through its parametrisation if it has one.
    /// Asked for twice in a step, it is the same value.
    #[track_caller]
    pub fn param(&self, p: &Param<T>) -> Var<'_, T> {
        p.on(self)
    }

    /// A parameter that a layer may not have.
    // Not `map`: the caller's line would be that of a closure.
    #[track_caller]
    pub(crate) fn optional_param(&self, p: &Option<Param<T>>) -> Option<Var<'_, T>> {
        match p {
            Some(p) => Some(self.param(p)),
            None => None,
        }
    }

    /// Lets a value of this tape stand for a parameter until the next [`reset`](Tape::reset): a model's layers then compute with
    /// it, and gradients go to what it was computed from. Masks and codebooks of the parameter are passed over.
    ///
    /// ```
    /// use kolmo::{Random, Tape, Tensor, nn::{Layer, Linear}};
    /// let layer = Linear::<f64>::new(2, 1, &mut Random::new(0)).without_bias();
    /// let tape = Tape::new();
    /// let w = tape.input([[3.0, 4.0]]);
    /// tape.substitute(&layer.weight, &(&w * 2.0));
    /// let y = layer.forward(&tape.constant([[1.0, 10.0]])).sum();
    /// assert_eq!(y.item()?, 86.0);
    /// assert_eq!(y.backward()?.get(&w).unwrap().to_vec(), [2.0, 20.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// What it is good for: gradients through a step of an optimiser (MAML), networks whose weights another network makes.
    /// With a shape that is not the parameter's, the parameter is a failed value.
    #[track_caller]
    pub fn substitute<'t>(&'t self, p: &Param<T>, value: &Var<'t, T>) {
        let shape = p.shape();
        let fits = value.failed_id().is_some() || *value.shape() == shape;
        let failed = (!fits).then(|| {
            let message =
                format!("a value of shape {} can't stand for a parameter of {shape}", value.shape());
            self.fail_op("substitute", message, &[value])
        });
        let value = failed.as_ref().unwrap_or(value);
        self.tensors.params.substitute(p.id(), value.raw_id(), value.tensor().clone());
    }
}

impl<T: Float> Gradients<T> {
    /// The gradient with respect to a parameter; `None` if the result doesn't depend on it.
    pub fn param(&self, p: &Param<T>) -> Option<&Tensor<T>> {
        self.by_id(p.id())
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
