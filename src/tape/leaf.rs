//! Leaves of a tape: what parameters are worth in this step, what stands for them, and the gradients of
//! leaves.
use super::ids::NodeId;
use crate::{
    ids::{IdMap, ParamId},
    tensor::{Element, Tensor},
};
use smallvec::SmallVec;
use std::{
    cell::{Cell, RefCell},
    fmt,
    sync::Arc,
};

/// The gradient of one input or parameter.
#[doc(hidden)]
pub struct Leaf<T: Element> {
    pub(crate) node: NodeId,
    /// The parameter; `None` for inputs.
    pub(crate) param: Option<ParamId>,
    pub(crate) grad: Tensor<T>,
}

impl<T: Element> fmt::Debug for Leaf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Leaf").field(&self.grad).finish()
    }
}

/// What a tape knows of a parameter: who it is, and what it holds now.
pub(crate) trait Stored<T: Element>: Send + Sync {
    /// A number that is another one after every change.
    fn version(&self) -> u64;
    /// The tensor.
    fn tensor(&self) -> Tensor<T>;
    /// Whether optimisers change it.
    fn is_trainable(&self) -> bool;
}

/// A parameter, and the version in which it was read.
type Read<T> = (Arc<dyn Stored<T>>, u64);

/// The value of a parameter, and which versions of which parameters it was made of: the parameter itself, its
/// codebook, …
struct Known<T: Element> {
    node: NodeId,
    value: Tensor<T>,
    made_of: SmallVec<[Read<T>; 2]>,
}

/// What a tape knows of parameters in this step.
pub(crate) struct Params<T: Element> {
    known: RefCell<IdMap<Known<T>>>,
    /// The parameters that are being asked for, and those that they ask for, with their versions.
    asked: RefCell<Vec<Read<T>>>,
    /// Whether a parameter was changed in this step, and asked for again: then it has several leaves.
    pub renewed: Cell<bool>,
    /// The values that stand for parameters.
    substitutes: RefCell<IdMap<(NodeId, Tensor<T>)>>,
}

impl<T: Element> Default for Params<T> {
    fn default() -> Params<T> {
        Params {
            known: RefCell::default(),
            asked: RefCell::default(),
            renewed: Cell::new(false),
            substitutes: RefCell::default(),
        }
    }
}

impl<T: Element> Params<T> {
    pub fn clear(&self) {
        self.known.borrow_mut().clear();
        self.asked.borrow_mut().clear();
        self.renewed.set(false);
        self.substitutes.borrow_mut().clear();
    }

    /// Lets a value, by its id on the tape, stand for a parameter.
    pub fn substitute(&self, param: ParamId, id: NodeId, value: Tensor<T>) {
        self.substitutes.borrow_mut().insert(param, (id, value));
    }

    /// What stands for a parameter.
    pub fn substitute_of(&self, param: ParamId) -> Option<(NodeId, Tensor<T>)> {
        self.substitutes.borrow().get(&param).cloned()
    }

    /// The value of a parameter that was asked for before in this step, unless something that it was made of
    /// has changed.
    pub fn known(&self, param: ParamId) -> Option<(NodeId, Tensor<T>)> {
        let params = self.known.borrow();
        let known = params.get(&param)?;
        if known.made_of.iter().any(|(p, version)| p.version() != *version) {
            self.renewed.set(true);
            return None;
        }
        // What is being asked for depends on these, too.
        let mut asked = self.asked.borrow_mut();
        if !asked.is_empty() {
            asked.extend_from_slice(&known.made_of);
        }
        Some((known.node, known.value.clone()))
    }

    /// Nodes and values of the parameters that were asked for in this step.
    pub fn each(&self, mut f: impl FnMut(NodeId, &Tensor<T>)) {
        self.known.borrow().values().for_each(|known| f(known.node, &known.value));
    }

    /// Begins to work out the value of a parameter.
    pub fn ask(&self, p: Arc<dyn Stored<T>>) -> usize {
        let mut asked = self.asked.borrow_mut();
        let version = p.version();
        asked.push((p, version));
        asked.len() - 1
    }

    /// Ends it, and keeps the value, if it is on the tape, as made of what was asked for from `asked` on.
    pub fn answered(&self, param: ParamId, value: Option<(NodeId, &Tensor<T>)>, asked: usize) {
        let mut all = self.asked.borrow_mut();
        if let Some((node, value)) = value {
            // What the value of another parameter is made of, too, must stay.
            let made_of = if asked == 0 {
                all.drain(..).collect()
            } else {
                all.get(asked..).unwrap_or_default().iter().cloned().collect()
            };
            self.known.borrow_mut().insert(param, Known { node, value: value.clone(), made_of });
        }
        if asked == 0 {
            all.clear();
        }
    }

    /// Keeps a value on the way to that of the parameter that is being asked for.
    pub fn remember(&self, param: ParamId, node: NodeId, value: &Tensor<T>, asked: usize) {
        let made_of = self.asked.borrow().get(asked..).unwrap_or_default().iter().cloned().collect();
        self.known.borrow_mut().insert(param, Known { node, value: value.clone(), made_of });
    }

    /// The values are let go, so that an optimiser can write them in place.
    pub fn forget(&self) {
        self.known.borrow_mut().clear();
    }
}
