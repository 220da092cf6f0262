//! What all optimisers share: learning rate, weight decay, groups and the memory of each parameter. The rule
//! by which a parameter changes is left to each of them.
use super::{Group, OptimState, Shard, Slot};
use crate::{
    checked::{below_one, not_negative},
    error::{Checked, Error, Result},
    ids::IdMap,
    kernels::{
        FloatElement,
        update::{Update, update},
    },
    ops::Float,
    param::{Param, inventory, named_params, shown, visit_params},
    real::powi,
    tape::Gradients,
    tensor::{Shape, Tensor},
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, ops::Range};

/// How an optimiser changes a parameter.
pub(super) trait Rule: Copy + fmt::Debug {
    /// The optimiser's name, for errors.
    const NAME: &'static str;
    /// Whether the options make sense.
    fn check(&self) -> Checked<()>;
    /// How many tensors it remembers of each parameter.
    fn memory(&self) -> usize;
    /// What these tensors are filled with at first.
    fn start(&self) -> f64 {
        0.0
    }
    /// One parameter's step.
    fn step<T: Float>(&self, task: Task<'_, T>);
}

/// One parameter's step: the parameter, what is remembered of it, and the rates of its group.
pub(super) struct Task<'a, T: Float> {
    weights: &'a mut [T],
    tensors: &'a mut [Tensor<T>],
    grad: &'a [T],
    /// The number of this step, from 1.
    pub steps: u64,
    /// A number that the rule may keep from step to step; 1 at first.
    pub number: &'a mut f64,
    pub lr: f64,
    pub decay: f64,
    /// -1 to go up instead of down.
    sign: f64,
}

impl<T: Float> Task<'_, T> {
    /// `1 - βᵗ`, which makes up for moments that start at zero.
    pub fn correction(&self, beta: f64) -> f64 {
        1.0 - power(beta, self.steps)
    }

    /// Weight decay added to the gradient.
    pub fn added(&self) -> Slope {
        Slope { sign: self.sign, decay: self.decay, shrink: 1.0 }
    }

    /// Weight decay apart from the gradient: the weights shrink by `1 - lr·λ`.
    pub fn decoupled(&self) -> Slope {
        Slope { sign: self.sign, decay: 0.0, shrink: 1.0 - self.lr * self.decay }
    }

    /// Applies the update to the parameter and its tensors.
    pub fn run<U: Update<M>, const M: usize>(self, u: U) {
        let mut weights = Some(self.weights);
        let mut tensors = self.tensors.iter_mut().map(Tensor::as_mut_slice);
        let state = std::array::from_fn(|_| weights.take().or_else(|| tensors.next()).unwrap_or_default());
        update(u, state, self.grad);
    }
}

/// `bⁿ`
pub(super) fn power(b: f64, n: u64) -> f64 {
    powi(b, i32::try_from(n).unwrap_or(i32::MAX))
}

/// The gradient and the weight as weight decay and direction leave them.
#[derive(Clone, Copy)]
pub(super) struct Slope {
    sign: f64,
    decay: f64,
    shrink: f64,
}

impl Slope {
    /// `±g + λw` and `w·(1 - lr·λ)`; one of the two λ is zero.
    #[inline(always)]
    pub fn at<T: FloatElement>(&self, w: T, grad: T) -> (T, T) {
        let g = T::constant(self.sign) * grad;
        // Without decay an infinite weight is left out, too: 0 · ∞ is NaN.
        (if self.decay == 0.0 { g } else { g + T::constant(self.decay) * w }, w * T::constant(self.shrink))
    }
}

/// The rule of an optimiser with all that doesn't depend on it.
#[derive(Clone)]
pub(super) struct Base<T: Float, R> {
    pub rule: R,
    pub lr: f64,
    pub weight_decay: f64,
    pub maximize: bool,
    groups: Vec<Group>,
    /// How many of the groups, from the first on, are known to take a parameter.
    used: usize,
    slots: IdMap<Slot<T>>,
}

impl<T: Float, R: fmt::Debug> fmt::Debug for Base<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, lr {}, weight decay {}, ", self.rule, self.lr, self.weight_decay)?;
        write!(f, "{} groups, {} parameters known", self.groups.len(), self.slots.len())
    }
}

impl<T: Float, R: Rule> Base<T, R> {
    pub fn new(lr: f64, weight_decay: f64, rule: R) -> Self {
        Base { rule, lr, weight_decay, maximize: false, groups: Vec::new(), used: 0, slots: IdMap::default() }
    }

    pub fn group(&mut self, group: Group) {
        self.groups.push(group);
    }

    fn check(&self) -> Result<()> {
        let groups = self.groups.iter().try_for_each(|g| {
            not_negative("a group's lr_factor", g.lr_factor)?;
            not_negative("a group's weight_decay", g.weight_decay.unwrap_or(0.0))
        });
        not_negative("lr", self.lr)
            .and_then(|()| not_negative("weight_decay", self.weight_decay))
            .and(groups)
            .and_then(|()| self.rule.check())
            .map_err(|message| Error::invalid(R::NAME, message))
    }

    /// That each group is the first to take some parameter: one that isn't would change nothing.
    fn check_groups<M: Serialize + ?Sized>(&mut self, model: &M) -> Result<()> {
        if self.used == self.groups.len() {
            return Ok(());
        }
        let mut used = vec![false; self.groups.len()];
        visit_params(model, |path, p: &Param<T>| {
            let (name, shape) = (path.to_string(), p.shape());
            if let Some(i) = self.groups.iter().position(|g| (g.filter)(&name, &shape)) {
                used[i] = true;
            }
        });
        match used.iter().position(|&used| !used) {
            Some(i) => {
                let message = format!("group {} takes none of the parameters: {}", i + 1, inventory(model));
                Err(Error::invalid(R::NAME, message))
            }
            None => {
                self.used = self.groups.len();
                Ok(())
            }
        }
    }

    /// Learning rate and weight decay of the parameter of this name.
    fn rates(&self, name: &dyn fmt::Display, p: &Param<T>) -> (f64, f64) {
        if self.groups.is_empty() {
            return (self.lr, self.weight_decay);
        }
        let (name, shape) = (name.to_string(), p.shape());
        match self.groups.iter().find(|g| (g.filter)(&name, &shape)) {
            Some(g) => (self.lr * g.lr_factor, g.weight_decay.unwrap_or(self.weight_decay)),
            None => (self.lr, self.weight_decay),
        }
    }

    pub fn step<M: Serialize + ?Sized>(&mut self, model: &M, grads: &Gradients<T>) -> Result<()> {
        let found = self.advance(model, |p| grads.param(p).map(|grad| (grad.contiguous(), None)))?;
        if !found && grads.leaves.iter().any(|leaf| leaf.param.is_some()) {
            let known: Vec<String> = grads.leaves.iter().map(|leaf| leaf.grad.shape().to_string()).collect();
            let message = format!(
                "none of the model's parameters has a gradient: {}; the gradients are of other parameters of {}, of shapes {}",
                inventory(model),
                T::NAME,
                known.join(", ")
            );
            return Err(Error::invalid(R::NAME, message));
        }
        Ok(())
    }

    pub fn step_shard<M: Serialize + ?Sized>(&mut self, model: &M, shard: &Shard<T>) -> Result<()> {
        let given = |p: &Param<T>| {
            let (range, grad) = shard.param(p)?;
            let part = grad.shape() != &p.shape() || range.is_empty();
            Some((grad.contiguous(), Some(range).filter(|_| part)))
        };
        self.advance(model, given).map(drop)
    }

    /// A step for each parameter that there is a gradient for, of all of it or of a range of its elements.
    /// Whether there was one.
    fn advance<M: Serialize + ?Sized>(
        &mut self,
        model: &M,
        given: impl Fn(&Param<T>) -> Option<(Tensor<T>, Option<Range<usize>>)>,
    ) -> Result<bool> {
        self.check()?;
        self.check_groups(model)?;
        let rule = self.rule;
        let (mut error, mut found) = (None, false);
        visit_params(model, |path, p: &Param<T>| {
            let Some((grad, part)) = given(p).filter(|_| error.is_none()) else { return };
            found = true;
            let (lr, decay) = self.rates(path, p);
            let slot = self.slots.entry(p.id()).or_insert_with(|| Slot {
                tensors: (0..rule.memory())
                    .map(|_| Tensor::full(grad.shape(), T::constant(rule.start())))
                    .collect(),
                steps: 0,
                number: 1.0,
            });
            p.train(|value| {
                if let Some(part) = &part {
                    slot.cut(value.shape(), part, grad.shape());
                }
                let expected = part.as_ref().map_or(value.shape(), |_| grad.shape());
                if let Some(message) = misfit(slot, rule.memory(), expected, grad.shape()) {
                    let name = path.to_string();
                    error = Some(Error::invalid(R::NAME, format!("{}: {message}", shown(&name))));
                    return;
                }
                slot.steps = slot.steps.saturating_add(1);
                let weights = value.as_mut_slice();
                let range = part.unwrap_or(0..weights.len());
                rule.step(Task {
                    weights: weights.get_mut(range).unwrap_or_default(),
                    tensors: &mut slot.tensors,
                    grad: grad.as_slice().unwrap_or_default(),
                    steps: slot.steps,
                    number: &mut slot.number,
                    lr,
                    decay,
                    sign: if self.maximize { -1.0 } else { 1.0 },
                });
            });
        });
        error.map_or(Ok(found), Err)
    }

    /// All that a step depends on beside what changes from step to step.
    pub fn options(&self) -> String {
        let Base { rule, weight_decay, maximize, groups, .. } = self;
        format!("{rule:?}, weight_decay: {weight_decay}, maximize: {maximize}, groups: {groups:?}")
    }

    #[doc(alias = "state_dict")]
    pub fn state<M: Serialize + ?Sized>(&self, model: &M) -> OptimState<T> {
        let known = |(name, p): (String, Param<T>)| Some((name, self.slots.get(&p.id())?.clone()));
        OptimState { lr: self.lr, params: named_params(model).into_iter().filter_map(known).collect() }
    }

    #[doc(alias = "load_state_dict")]
    pub fn load_state<M: Serialize + ?Sized>(&mut self, model: &M, state: OptimState<T>) -> Result<()> {
        let wrong = |message| Err(Error::invalid(R::NAME, message));
        let params: BTreeMap<String, Param<T>> = named_params(model).into_iter().collect();
        let mut slots = IdMap::default();
        for (name, slot) in state.params {
            let Some(p) = params.get(&name) else {
                let name = shown(&name);
                return wrong(format!(
                    "the state has {name}, the model has none of this name: {}",
                    inventory(model)
                ));
            };
            let (count, shape) = (self.rule.memory(), p.shape());
            if slot.tensors.len() != count || slot.tensors.iter().any(|t| *t.shape() != shape) {
                let found: Vec<String> = slot.tensors.iter().map(|t| t.shape().to_string()).collect();
                let name = shown(&name);
                return wrong(format!("the state of {name} is {found:?}, expected {count} tensors {shape}"));
            }
            slots.insert(p.id(), slot);
        }
        (self.lr, self.slots) = (state.lr, slots);
        Ok(())
    }
}

/// Why a parameter of this shape can't be changed by a gradient of that one and what is remembered of it.
fn misfit<T: Float>(slot: &Slot<T>, memory: usize, shape: &Shape, grad: &Shape) -> Option<String> {
    if shape != grad {
        return Some(format!("its shape is {shape}, its gradient's {grad}"));
    }
    if slot.tensors.len() != memory {
        let known = slot.tensors.len();
        return Some(format!(
            "{known} tensors are remembered of it, these options take {memory}: a new optimiser forgets"
        ));
    }
    let other = slot.tensors.iter().map(Tensor::shape).find(|own| *own != shape)?;
    Some(format!("its shape is {shape}, what is remembered of it has shape {other}: a new optimiser forgets"))
}

/// The decay rates of two moments, and what is added to the root of the second.
pub(super) fn moments((beta1, beta2): (f64, f64), eps: f64) -> Checked<()> {
    below_one("beta1", beta1)?;
    below_one("beta2", beta2)?;
    not_negative("eps", eps)
}

/// The optimiser `$name` with its rule's options: `new(lr)`, a method for each option, and what all
/// optimisers have.
macro_rules! optimizer {
    (
        $(#[$m:meta])*
        $name:ident($rule:ident) weight_decay = $decay:literal
        $($(#[$om:meta])* $option:ident: $t:ty,)*
    ) => {
        $(#[$m])*
        #[derive(Clone, Debug)]
        #[must_use = "an optimiser does nothing until it takes a step"]
        pub struct $name<T: Float = f32>($crate::optim::rule::Base<T, $rule>);

        impl<T: Float> $name<T> {
            #[doc = concat!("The defaults with this learning rate. Weight decay λ is ", $decay, ".")]
            pub fn new(lr: f64) -> Self {
                $name($crate::optim::rule::Base::new(lr, $decay, $rule::DEFAULT))
            }
            $(
                $(#[$om])*
                pub fn $option(mut self, $option: $t) -> Self {
                    self.0.rule.$option = $option;
                    self
                }
            )*
            #[doc = concat!("Weight decay λ (default ", $decay, ").")]
            pub fn weight_decay(mut self, weight_decay: f64) -> Self {
                self.0.weight_decay = weight_decay;
                self
            }

            /// Goes up the gradient instead of down (default off).
            pub fn maximize(mut self, maximize: bool) -> Self {
                self.0.maximize = maximize;
                self
            }

            /// Another learning rate or weight decay for some parameters, by their dotted names. The first group that
            /// takes a parameter has it.
            pub fn group(mut self, group: $crate::optim::Group) -> Self {
                self.0.group(group);
                self
            }
        }

        impl<T: Float> $crate::optim::Optimizer<T> for $name<T> {
            fn step<M: serde::Serialize + ?Sized>(
                &mut self,
                model: &M,
                grads: &$crate::tape::Gradients<T>,
            ) -> $crate::error::Result<()> {
                self.0.step(model, grads)
            }
            fn step_shard<M: serde::Serialize + ?Sized>(
                &mut self,
                model: &M,
                shard: &$crate::optim::Shard<T>,
            ) -> $crate::error::Result<()> {
                self.0.step_shard(model, shard)
            }
            fn options(&self) -> String {
                self.0.options()
            }
            fn lr(&self) -> f64 {
                self.0.lr
            }
            fn set_lr(&mut self, lr: f64) {
                self.0.lr = lr;
            }
            fn state<M: serde::Serialize + ?Sized>(&self, model: &M) -> $crate::optim::OptimState<T> {
                self.0.state(model)
            }
            fn load_state<M: serde::Serialize + ?Sized>(
                &mut self,
                model: &M,
                state: $crate::optim::OptimState<T>,
            ) -> $crate::error::Result<()> {
                self.0.load_state(model, state)
            }
        }
    };
}
pub(super) use optimizer;

/// Adds the option `betas` to an optimiser.
macro_rules! betas {
    ($name:ident, $beta1:literal, $beta2:literal) => {
        impl<T: Float> $name<T> {
            #[doc = concat!("Decay rates of the two moments (default ", $beta1, " and ", $beta2, ").")]
            pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
                self.0.rule.betas = (beta1, beta2);
                self
            }
        }
    };
}
pub(super) use betas;
