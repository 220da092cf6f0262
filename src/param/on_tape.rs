//! A parameter on a tape: what it is worth, what stands for it, and its gradient.
use super::handle::{Form, Param, ParamState};
use crate::{
    error::Result,
    ids::ParamId,
    ops::Float,
    tape::{Gradients, Op, Tape, Var},
    tensor::Tensor,
};

/// # The weight that comes of it
impl<T: Float> Param<T> {
    /// The weight as the model uses it, outside any tape.
    pub fn effective(&self) -> Result<Tensor<T>> {
        let tape = Tape::inference();
        let value = self.on(&tape);
        Ok(value.value()?.clone())
    }

    /// The weight as the model uses it; the tensor itself if its parametrisation fails, which shows where the
    /// model is run.
    pub(crate) fn effective_or_value(&self) -> Tensor<T> {
        self.effective().unwrap_or_else(|_| self.value())
    }

    /// Makes what stands between the tensor and its use permanent: the tensor becomes what the model sees.
    #[doc(alias("remove_parametrizations", "remove"))]
    pub fn bake(&self) -> Result<()> {
        self.replace(self.effective()?);
        Ok(())
    }

    /// The parameter on a tape: a leaf, or a constant if it is frozen, through its parametrisation.
    #[track_caller]
    pub(crate) fn on<'t>(&self, tape: &'t Tape<T>) -> Var<'t, T> {
        let locked = self.read();
        if let Some(known) = known(tape, self.id()) {
            return known;
        }
        let params = &tape.tensors.params;
        let asked = params.ask(self.0.clone());
        if locked.is_plain() {
            // Most are: nothing stands between the tensor and its use.
            let leaf = self.leaf(tape, &locked.holds);
            params.answered(self.id(), leaf.node().map(|node| (node, leaf.tensor())), asked);
            return leaf;
        }
        let state = locked.clone();
        drop(locked);
        let holds = &state.holds;
        let mut value = match (holds.codebook(), &state.kept) {
            (Some((_, centroids)), Some(kept)) => centroids.on(tape).elements(kept.clone()),
            _ => self.leaf(tape, holds),
        };
        if let (None, Some(ones)) = (&state.kept, &state.ones) {
            // Not a product: a pruned weight is +0, whatever stands underneath.
            value = value.where_one(&tape.constant(ones), &tape.constant(T::default()));
        }
        if let Some(steps) = holds.steps() {
            if let Some(node) = value.node() {
                params.remember(state.unrounded, node, value.tensor(), asked);
            }
            value = match state.kept {
                Some(_) => steps.scale(&value),
                None => steps.round(&value, state.unpruned()),
            };
        }
        for custom in &state.custom {
            value = custom.apply(&value);
        }
        params.answered(self.id(), value.node().map(|node| (node, value.tensor())), asked);
        value
    }

    /// `x·Wᵀ + b` without making the weight, where it is frozen and all operations that stand before its use
    /// [say what they add](super::Parametrize::product) to the product.
    #[track_caller]
    pub(crate) fn product<'t>(&self, x: &Var<'t, T>, bias: &Option<Param<T>>) -> Option<Var<'t, T>> {
        let tape = x.tape();
        let (weight, custom) = {
            let locked = self.read();
            let ParamState { value, mask, form, trainable } = &locked.holds;
            let frozen = !trainable && !tape.is_traced() && mask.is_none() && matches!(form, Form::Dense);
            if !frozen || tape.tensors.params.substitute_of(self.id()).is_some() {
                return None;
            }
            (value.afresh(), locked.custom.clone())
        };
        let mut added = Vec::new();
        for custom in &custom {
            added.push(custom.product(x)?);
        }
        let mut y = x.linear(&tape.constant(weight), tape.optional_param(bias).as_ref());
        for more in added {
            y = y + more;
        }
        Some(y)
    }

    /// The tensor itself: a leaf, or a constant if it is frozen.
    #[track_caller]
    fn leaf<'t>(&self, tape: &'t Tape<T>, holds: &ParamState<T>) -> Var<'t, T> {
        if !holds.trainable && !tape.is_traced() {
            return tape.constant(holds.value.afresh());
        }
        let leaf = tape.leaf(Op::Param(self.id()), holds.value.afresh());
        if let (Some(trace), Some(node)) = (&mut *tape.tensors.trace.borrow_mut(), leaf.node()) {
            trace.params.push((node, self.0.clone()));
        }
        leaf
    }

    /// The weights as whole numbers, and their step sizes as they are used; `None` without steps or if more
    /// follows them.
    pub(crate) fn numbers(&self) -> Result<Option<(Tensor<i32>, Vec<T>)>> {
        let steps = if self.has_custom() { None } else { self.steps() };
        // What steps made of weights is rounded to the same numbers again.
        steps.map(|steps| steps.numbers(&self.effective()?)).transpose()
    }

    /// The weights in steps before they are rounded, on a tape; `None` without steps, and where a codebook
    /// has them fixed.
    #[track_caller]
    pub(crate) fn in_steps<'t>(&self, tape: &'t Tape<T>) -> Option<Var<'t, T>> {
        let used = self.on(tape);
        let state = self.read().clone();
        let Form::Codes(steps) = &state.holds.form else { return None };
        // Without a recording nothing is remembered, and what was rounded stays the same when it is rounded
        // again.
        Some(steps.in_steps(&known(tape, state.unrounded).unwrap_or(used), state.unpruned()))
    }
}

/// The value of a parameter that was asked for before in this step, or what stands for it.
fn known<T: Float>(tape: &Tape<T>, id: ParamId) -> Option<Var<'_, T>> {
    let params = &tape.tensors.params;
    let known = params.substitute_of(id).or_else(|| tape.is_recording().then(|| params.known(id))?);
    known.map(|(node, value)| Var::new(tape, value, node))
}

/// # Parameters onto the tape
impl<T: Float> Tape<T> {
    /// A parameter of a model as the model uses it: its tensor, through its parametrisation if it has one.
    /// Asked for twice in a step, it is the same value.
    #[track_caller]
    pub fn param(&self, p: &Param<T>) -> Var<'_, T> {
        let value = p.on(self);
        self.show_param(p.id(), &value);
        value
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

    /// Lets a value of this tape stand for a parameter until the next [`reset`](Tape::reset): a model's
    /// layers then compute with it, and gradients go to what it was computed from. Masks and codebooks of
    /// the parameter are passed over.
    ///
    /// ```
    /// use kolmo::{Random, Tape, Tensor, nn::{Layer, Linear}};
    /// let layer = Linear::<f64>::with_dtype(2, 1, &mut Random::new(0)).bias(false);
    /// let tape = Tape::new();
    /// let w = tape.input([[3.0, 4.0]]);
    /// tape.substitute(&layer.weight, &(&w * 2.0));
    /// let y = layer.forward(&tape.constant([[1.0, 10.0]])).sum();
    /// assert_eq!(y.item()?, 86.0);
    /// assert_eq!(y.backward()?.get(&w).unwrap().to_vec(), [2.0, 20.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// What it is good for: gradients through a step of an optimiser (MAML), networks whose weights another
    /// network makes. With a shape that is not the parameter's, the parameter is a failed value.
    #[track_caller]
    #[doc(alias = "functional_call")]
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
    #[must_use]
    pub fn param(&self, p: &Param<T>) -> Option<&Tensor<T>> {
        self.by_id(p.id())
    }
}
