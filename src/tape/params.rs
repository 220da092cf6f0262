//! Parameters on a tape: what they are worth in this step, and what stands for them.
use super::{Float, Tape, Var};
use crate::{ids::IdMap, nn::Param, ops::Op, tensor::Tensor};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};

/// The value of a parameter, and which versions of which parameters it was made of: the parameter itself, its codebook, …
struct Known<T: Float> {
    node: u32,
    value: Tensor<T>,
    made_of: SmallVec<[(Param<T>, u64); 2]>,
}

/// What a tape knows of parameters in this step.
pub(crate) struct Params<T: Float> {
    known: RefCell<IdMap<Known<T>>>,
    /// The parameters that are being asked for, and those that they ask for, with their versions.
    asked: RefCell<Vec<(Param<T>, u64)>>,
    /// Whether a parameter was changed in this step, and asked for again: then it has several leaves.
    pub renewed: Cell<bool>,
    /// The values that stand for parameters.
    substitutes: RefCell<IdMap<(u32, Tensor<T>)>>,
}

impl<T: Float> Default for Params<T> {
    fn default() -> Params<T> {
        Params {
            known: RefCell::default(),
            asked: RefCell::default(),
            renewed: Cell::new(false),
            substitutes: RefCell::default(),
        }
    }
}

impl<T: Float> Params<T> {
    pub fn clear(&self) {
        self.known.borrow_mut().clear();
        self.asked.borrow_mut().clear();
        self.renewed.set(false);
        self.substitutes.borrow_mut().clear();
    }
}

impl<T: Float> Tape<T> {
    /// A parameter of a model as the model uses it: its tensor, through its parametrisation if it has one.
    /// Asked for twice in a step, it is the same value.
    #[track_caller]
    pub fn param(&self, p: &Param<T>) -> Var<'_, T> {
        p.on(self)
    }

    /// The same of a parameter that a layer may not have.
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
        self.tensors.params.substitutes.borrow_mut().insert(p.id(), (value.raw_id(), value.tensor().clone()));
    }

    /// The tensors of the parameters that were asked for in this step; what a parametrisation made of one is a value like
    /// others.
    pub(crate) fn each_param(&self, f: impl FnMut(&Tensor<T>)) {
        let nodes = self.tensors.nodes.borrow();
        let own = |node: u32| nodes.get(node as usize).is_some_and(|n| matches!(n.op, Op::Param(_)));
        let params = self.tensors.params.known.borrow();
        params.values().filter(|known| own(known.node)).map(|known| &known.value).for_each(f);
    }

    /// The parameter's own tensor as a leaf of the tape.
    #[track_caller]
    pub(crate) fn param_leaf(&self, p: &Param<T>, value: Tensor<T>) -> Var<'_, T> {
        let leaf = self.leaf(Op::Param(p.id()), value);
        if let (Some(trace), Some(node)) = (&mut *self.tensors.trace.borrow_mut(), leaf.node()) {
            trace.params.push((node, p.clone()));
        }
        leaf
    }

    /// The value of a parameter that was asked for before in this step.
    pub(crate) fn known_param(&self, id: u64) -> Option<Var<'_, T>> {
        if let Some((node, value)) = self.tensors.params.substitutes.borrow().get(&id) {
            return Some(Var::new(self, value.clone(), *node));
        }
        let params = self.tensors.params.known.borrow();
        let known = params.get(&id).filter(|_| self.is_recording())?;
        if known.made_of.iter().any(|(p, version)| p.version() != *version) {
            self.tensors.params.renewed.set(true);
            return None;
        }
        // What is being asked for depends on these, too.
        let mut asked = self.tensors.params.asked.borrow_mut();
        if !asked.is_empty() {
            asked.extend_from_slice(&known.made_of);
        }
        Some(Var::new(self, known.value.clone(), known.node))
    }

    /// Begins to work out the value of a parameter.
    pub(crate) fn ask(&self, p: &Param<T>) -> usize {
        let mut asked = self.tensors.params.asked.borrow_mut();
        let place = asked.len();
        asked.push((p.clone(), p.version()));
        place
    }

    /// Ends it.
    pub(crate) fn answered(&self, asked: usize) {
        if asked == 0 {
            self.tensors.params.asked.borrow_mut().clear();
        }
    }

    /// Keeps the value that was worked out of what was asked for from `asked` on.
    pub(crate) fn remember_param(&self, id: u64, value: &Var<'_, T>, asked: usize) {
        if let Some(node) = value.node() {
            let made_of =
                self.tensors.params.asked.borrow().get(asked..).unwrap_or_default().iter().cloned().collect();
            let known = Known { node, value: value.tensor().clone(), made_of };
            self.tensors.params.known.borrow_mut().insert(id, known);
        }
    }

    /// The values of parameters are let go, so that an optimiser can write them in place.
    pub(crate) fn forget_params(&self) {
        self.tensors.params.known.borrow_mut().clear();
    }
}
