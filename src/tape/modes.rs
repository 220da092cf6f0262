//! A tape's beginning, its reset, and its modes: recording, training, looking for anomalies.
use super::{
    ids::Epoch,
    parts::{Settings, Tape, TapeNumber, TensorPart as _},
    peers::Peers,
    random::Random,
    statements::Statements,
};
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
};

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

/// # Making, clearing, modes
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
                halves: Cell::new(false),
                witnessed: Cell::new(false),
                again: Cell::new(false),
                random: Cell::new(Random::new(0)),
                peers: RefCell::default(),
            },
            stash: Rc::default(),
            epoch: Cell::new(Epoch::fresh()),
        }
    }

    /// A tape that records nothing and is in evaluation mode: every value is a constant.
    #[doc(alias("inference_mode", "eval"))]
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
        self.epoch.set(Epoch::fresh());
    }

    /// Whether operations are recorded.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.settings.recording.get()
    }

    /// Switches recording on or off, for what follows.
    pub(crate) fn set_recording(&self, on: bool) {
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
    #[must_use]
    pub fn is_training(&self) -> bool {
        self.settings.training.get()
    }

    /// Training or evaluation mode, for what follows.
    #[doc(alias("train", "eval"))]
    pub fn set_training(&self, on: bool) {
        self.settings.training.set(on);
    }

    /// Whether this is another run of something that counts as one: a checkpointed block in the sweep, a part
    /// that a [`MemoryBudget`](crate::autodiff::MemoryBudget) measures, a function that becomes a
    /// [`Program`](crate::Program). A layer that does something beside its result, such as moving running
    /// statistics, does it where this is false, and so once.
    #[must_use]
    pub fn is_recomputing(&self) -> bool {
        self.settings.again.get()
    }

    /// Whether the first operation that gives NaN or infinity, in value or gradient, is reported as a
    /// failure.
    #[doc(alias("detect_anomaly"))]
    pub fn set_detect_anomaly(&self, on: bool) {
        self.settings.anomalies.set(on);
    }

    /// Whether the values that a sweep will read are kept in bfloat16, in half of the memory: results of
    /// operations, but not inputs, parameters and constants. What is computed from them on the way forward
    /// doesn't change; gradients are of the rounded values (8 bits of the 24), as those of activations that
    /// are compressed in other libraries.
    ///
    /// ```
    /// use kolmo::{Tape, Tensor};
    /// let gradient = |half: bool| -> kolmo::Result<f32> {
    ///     let tape = Tape::<f32>::new();
    ///     tape.set_half_activations(half);
    ///     let x = tape.input(Tensor::from([1.0f32, 2.0]));
    ///     Ok((&x * 0.3).exp().sum().backward()?.get(&x).unwrap().to_vec()[1])
    /// };
    /// let (exact, near) = (gradient(false)?, gradient(true)?);
    /// assert!(exact != near && (exact - near).abs() < exact / 256.0);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[doc(alias("autocast", "saved_tensors_hooks", "bfloat16"))]
    pub fn set_half_activations(&self, on: bool) {
        self.settings.halves.set(on);
    }

    /// Number of statements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.statements.len().0 - 1
    }

    /// Whether nothing has been recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch.get()
    }
}

impl<T: TapeNumber> Tape<T> {
    pub(crate) fn set_peers(&self, peers: Rc<dyn Peers>) {
        self.settings.peers.replace(Some(peers));
    }

    /// None of a tape that has the whole batch, or what is taken for one.
    pub(crate) fn peers(&self) -> Option<Rc<dyn Peers>> {
        self.settings.peers.borrow().clone()
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

/// # Random numbers
impl<T: TapeNumber> Tape<T> {
    /// Starts the tape's random stream (for dropout and the like) from a seed.
    #[doc(alias = "manual_seed")]
    pub fn seed(&self, seed: u64) {
        self.settings.random.set(Random::new(seed));
    }

    /// The tape's random stream where it is now, to be saved.
    #[must_use]
    pub fn random(&self) -> Random {
        self.settings.random.get()
    }

    /// Goes on with a saved random stream.
    pub fn set_random(&self, random: Random) {
        self.settings.random.set(random);
    }

    /// The next `n` random numbers of the tape.
    pub(crate) fn draw(&self, n: usize) -> Random {
        let mut random = self.settings.random.get();
        let part = random.reserve(n);
        self.settings.random.set(random);
        part
    }
}
