//! What a parameter holds, and how that is changed: mask, codebook, step sizes.
use super::{
    handle::{Form, Param, ParamState, Parametrize, Steps},
    packed::{alone, thawed},
};
use crate::{
    error::{Error, Result},
    ids::ParamId,
    ops::Float,
    tensor::Tensor,
};
use std::sync::{Arc, Mutex, PoisonError};

impl<T: Float> ParamState<T> {
    /// Whether its parts fit each other, for the parameter `owner`.
    fn check(&self, what: &'static str, owner: ParamId) -> Result<()> {
        let shape = self.value.shape();
        let wrong = |message| Err(Error::invalid(what, message));
        if let Err(message) = alone(self) {
            return wrong(message);
        }
        if let Some(mask) = self.mask.as_ref().filter(|mask| mask.shape() != shape) {
            return wrong(format!("the mask has shape {}, the parameter {shape}", mask.shape()));
        }
        if let Some((codes, centroids)) = self.codebook() {
            if centroids.codebook().is_some() || centroids.takes(owner) {
                let message = "the centroids can't have a codebook themselves, or be made of this parameter";
                return wrong(message.into());
            }
            let k = centroids.shape();
            if codes.shape() != shape {
                return wrong(format!("the codes have shape {}, the parameter {shape}", codes.shape()));
            }
            if k.rank() != 1 {
                return wrong(format!("the centroids have shape {k}, not [k]"));
            }
            if let Some(bad) = codes.to_vec().iter().find(|&&code| code as usize >= k.numel()) {
                return wrong(format!("code {bad} has no centroid: there are {}", k.numel()));
            }
        }
        match self.steps() {
            Some(steps) if steps.sizes.takes(owner) => {
                wrong("the step sizes can't be made of this parameter".into())
            }
            Some(steps) => steps.check(what, shape),
            None => Ok(()),
        }
    }
}

/// Held while a parameter gets what it is made of, so that two threads can't make two of them of each other.
fn one_link() -> impl Drop {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// # Masks, codebooks, step sizes: the whole state
impl<T: Float> Param<T> {
    /// A parameter of its own that holds this.
    ///
    /// # Errors
    /// Mask, codes, centroids or step sizes that don't fit the tensor.
    pub fn from_state(state: ParamState<T>) -> Result<Param<T>> {
        state.check("Param::from_state", ParamId::fresh())?;
        Ok(Param::of_state(state))
    }

    /// Everything that it holds, but for [own operations](Param::parametrize).
    pub fn state(&self) -> ParamState<T> {
        self.read().holds.clone()
    }

    /// Makes it hold this; [own operations](Param::parametrize) stay.
    ///
    /// # Errors
    /// Mask, codes, centroids or step sizes that don't fit the tensor; nothing was changed then.
    pub fn set_state(&self, state: ParamState<T>) -> Result<()> {
        let _one = one_link();
        state.check("Param::set_state", self.id())?;
        let mut own = self.write();
        own.holds = state.settled();
        own.refresh();
        Ok(())
    }

    /// Whether what this one stands for takes that of the parameter with this id.
    fn takes(&self, other: ParamId) -> bool {
        let state = self.state();
        self.id() == other
            || state.codebook().is_some_and(|(_, centroids)| centroids.takes(other))
            || state.steps().is_some_and(|steps| steps.sizes.takes(other))
    }

    /// Changes mask or form, if that fits the rest then.
    fn change(&self, what: &'static str, f: impl FnOnce(&mut ParamState<T>)) -> Result<()> {
        let _one = one_link();
        let mut changed = self.state();
        f(&mut changed);
        changed.check(what, self.id())?;
        // The tensor stays what it is now: another thread may have trained it in the meantime.
        let mut state = self.write();
        (state.holds.mask, state.holds.form) = (changed.mask, changed.form);
        state.refresh();
        Ok(())
    }

    /// Freezes the parameter and its codebook or step sizes (`false`) or lets them be trained again. One that
    /// is [packed](crate::compress::Packed) becomes a codebook then if it was one, else plain numbers.
    #[doc(alias = "requires_grad")]
    pub fn set_trainable(&self, on: bool) {
        if on && self.is_packed() {
            let thawed = thawed(&self.value());
            self.put(thawed);
        }
        self.write().holds.trainable = on;
        match &self.state().form {
            Form::Codes(steps) | Form::Codebook { steps: Some(steps), .. } => steps.sizes.set_trainable(on),
            Form::Codebook { centroids, .. } => centroids.set_trainable(on),
            Form::Dense => {}
        }
    }

    /// Keeps the weights where the mask is true and holds the others at zero, in training too. `None` lifts
    /// the mask: pruned weights are then what they last were.
    pub fn set_mask(&self, mask: Option<&Tensor<bool>>) -> Result<()> {
        self.change("set_mask", |state| state.mask = mask.cloned())
    }

    /// Which weights are kept; `None` if all are.
    #[must_use]
    pub fn mask(&self) -> Option<Tensor<bool>> {
        self.read().holds.mask.clone()
    }

    /// Ties the weights to a few shared values: the weight as the model uses it is `centroids[codes]`, times
    /// the mask if there is one. `codes` has the parameter's shape, `centroids` is `[k]`, and every code
    /// is below `k`.
    ///
    /// The centroids are a parameter of their own, which [`visit_params`](crate::nn::visit_params) shows as
    /// `<name>.codebook`: optimisers train them, and leave the tensor underneath alone. Passing a [`Param`]
    /// that another parameter uses too shares one codebook between both.
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
        let frozen = self.read().holds.steps().is_some().then(|| centroids.clone());
        self.change("set_codebook", |state| {
            let steps = state.steps().cloned();
            state.form = Form::Codebook { codes, centroids, steps };
        })?;
        frozen.iter().for_each(|centroids| centroids.set_trainable(false));
        Ok(())
    }

    /// The codes and the centroids, if the weights are tied to a codebook.
    #[must_use]
    pub fn codebook(&self) -> Option<(Tensor<u32>, Param<T>)> {
        self.read().holds.codebook().map(|(codes, centroids)| (codes.clone(), centroids.clone()))
    }

    /// Unties the weights: they are what they were before they had a codebook.
    pub fn remove_codebook(&self) {
        let mut state = self.write();
        if let Form::Codebook { steps, .. } = &state.holds.form {
            state.holds.form = steps.clone().map_or(Form::Dense, Form::Codes);
        }
        state.refresh();
    }

    /// Makes the weights whole numbers of `bits` bits, 2 to 8, times step sizes: `round(w / s) · s`, from
    /// `-(2ᵇ⁻¹ - 1)` to `2ᵇ⁻¹ - 1` steps. `group` neighbours of a row (an index of the first axis) share
    /// a step size, 0 for all of the tensor.
    ///
    /// Without a codebook the weights themselves stay what they are, and are trained through the rounding as
    /// if it weren't there; with one, its values are multiplied by the step sizes and frozen. These are a
    /// parameter of their own, `<name>.steps` to [`visit_params`](crate::nn::visit_params), of one
    /// element for each group, which is learnt along unless it is frozen.
    /// [`quantize::Quantizer`](crate::compress::quantize::Quantizer) does all of this for a model.
    ///
    /// # Errors
    /// Other bits, step sizes of another shape than `[groups]`, or 0, or not finite, or made of this
    /// parameter itself. Of a negative one the magnitude is used.
    pub fn set_steps(&self, bits: u32, group: usize, sizes: impl Into<Param<T>>) -> Result<()> {
        let new = Steps { bits, group, sizes: sizes.into() };
        self.change("set_steps", |state| match &mut state.form {
            Form::Codebook { steps, .. } => *steps = Some(new),
            form => *form = Form::Codes(new),
        })?;
        if let Some((_, centroids)) = self.codebook() {
            centroids.set_trainable(false);
        }
        Ok(())
    }

    /// Bits, group and sizes of the steps, if the weights are integers times step sizes.
    #[must_use]
    pub fn steps(&self) -> Option<Steps<T>> {
        self.read().holds.steps().cloned()
    }

    /// Lets the weights be any numbers again.
    pub fn remove_steps(&self) {
        let mut state = self.write();
        match &mut state.holds.form {
            Form::Codebook { steps, .. } => *steps = None,
            form => *form = Form::Dense,
        }
    }

    /// Whether a user's own operations stand between the tensor and its use.
    pub(crate) fn has_custom(&self) -> bool {
        !self.read().custom.is_empty()
    }

    /// Replaces everything at once: nothing that was between the tensor and its use stays.
    pub(crate) fn replace(&self, value: Tensor<T>) {
        self.put(ParamState::dense(value));
    }

    /// Replaces everything at once, own operations too, by what fits together.
    pub(crate) fn replace_state(&self, state: ParamState<T>) -> Result<()> {
        let _one = one_link();
        state.check("Param::replace_state", self.id())?;
        self.put(state);
        Ok(())
    }

    /// Whether it is trained stays.
    fn put(&self, state: ParamState<T>) {
        let mut own = self.write();
        own.holds = ParamState { trainable: own.holds.trainable, ..state }.settled();
        own.custom.clear();
        own.refresh();
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
    #[doc(alias = "register_parametrization")]
    pub fn parametrize(&self, by: impl Parametrize<T> + 'static) {
        self.add_operation(Arc::new(by));
    }

    pub(super) fn add_operation(&self, by: Arc<dyn Parametrize<T>>) {
        self.write().custom.push(by);
    }

    pub(super) fn own_operations(&self) -> Vec<Arc<dyn Parametrize<T>>> {
        self.read().custom.clone()
    }
}
