//! Gates that learn to close: regularisation by the number of weights that are not zero. What is left of a
//! model afterwards is told to `prune`'s masks.
use super::{
    prune::{self, Weights},
    variational::{beside, known},
};
use crate::{
    error::{Error, Result},
    ops::Float,
    param::{Param, visit_params},
    real::Arithmetic,
    tape::{Tape, Var},
    tensor::{Shape, Tensor},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Temperature of the gates, and how far they are stretched beyond 0 and 1: the paper's.
const BETA: f64 = 2.0 / 3.0;
const GAMMA: f64 = -0.1;
const ZETA: f64 = 1.1;

/// What one gate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gate {
    /// Each weight has its own.
    Weight,
    /// Each index of this axis has one: 0 closes whole outputs of a linear layer or convolution, 1 whole
    /// inputs.
    Axis(isize),
}

/// Gates between 0 and 1 before the weights of a model, closed or open with learnt probabilities (hard
/// concrete gates; Louizos, Welling and Kingma, 2018). With `u` uniform and the parameter `log α` of a gate,
///
/// `s = sigmoid((log u - log(1 - u) + log α) / β)`, `z = clamp(s·(ζ - γ) + γ, 0, 1)`, `β = ⅔`, `γ = -0.1`,
/// `ζ = 1.1`,
///
/// and a gate isn't closed with probability `sigmoid(log α - β·log(-γ / ζ))`. The sum of these over weights,
/// the expected number of weights that aren't zero, can be added to a loss.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, compress::{Gate, Gates, matrices}, nn::{Layer, Linear}, optim::{Adam, Optimizer}};
/// let net = Linear::new(4, 3, &mut Random::new(0));
/// let gates = Gates::new(&net, Gate::Weight, 0.9, matrices)?;
/// let mut adam = Adam::new(1e-3);
/// let mut tape = Tape::new();
/// let (x, y, lambda) = (Tensor::ones([2, 4]), Tensor::from([0u32, 2]), 1e-3);
/// for _ in 0..3 {
///     let weights = gates.sample(&net, &tape);
///     let loss = net.forward(&tape.constant(&x)).cross_entropy(&y) + weights * lambda;
///     let grads = loss.backward()?;
///     adam.step(&(&net, &gates), &grads)?;
///     tape.reset();
/// }
/// let left = gates.prune(&net)?;
/// assert_eq!(left.total, 12);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Gates<T: Float = f32> {
    /// Of a shape that broadcasts to the weight's.
    log_alpha: BTreeMap<String, Param<T>>,
}

impl<T: Float> Gates<T> {
    /// Gates for the weights that `filter` picks by name and shape, each of which is open with probability
    /// `open` at first.
    ///
    /// # Errors
    /// `open` not strictly between 0 and 1; a weight without the axis, or tied to a codebook; no weight at
    /// all.
    pub fn new<M: Serialize + ?Sized>(
        model: &M,
        gate: Gate,
        open: f64,
        filter: impl Fn(&str, &Shape) -> bool,
    ) -> Result<Self> {
        if !(open > 0.0 && open < 1.0) {
            return Err(Error::invalid("Gates", format!("probability {open} is not between 0 and 1")));
        }
        let start = Arithmetic::log(open / (1.0 - open)) + shift();
        let log_alpha = beside(model, "Gates", filter, |p: &Param<T>| {
            let mut shape = p.shape().to_vec();
            if let Gate::Axis(axis) = gate {
                let axis = p.shape().axis(axis)?;
                shape.iter_mut().enumerate().filter(|(a, _)| *a != axis).for_each(|(_, n)| *n = 1);
            }
            Ok(Tensor::full(shape, T::constant(start)))
        })?;
        Ok(Gates { log_alpha })
    }

    /// Puts gates before the weights until the tape's next [`reset`](Tape::reset): random ones in training,
    /// else `clamp(sigmoid(log α)·(ζ - γ) + γ, 0, 1)`. Gives the [`expected`](Gates::expected) number of
    /// weights. To be called once in each step, before the model is run.
    #[track_caller]
    pub fn sample<'t, M: Serialize + ?Sized>(&self, model: &M, tape: &'t Tape<T>) -> Var<'t, T> {
        if let Err(message) = known(&self.log_alpha, model) {
            return tape.fail_op("Gates", message, &[]);
        }
        self.each(model, |p, log_alpha| {
            let log_alpha = tape.param(log_alpha);
            let gate = if tape.is_training() { random(&log_alpha) } else { fixed(&log_alpha) };
            tape.substitute(p, &(tape.param(p) * gate));
        });
        self.expected(model, tape)
    }

    /// The expected number of weights whose gates aren't closed.
    #[track_caller]
    pub fn expected<'t, M: Serialize + ?Sized>(&self, model: &M, tape: &'t Tape<T>) -> Var<'t, T> {
        if let Err(message) = known(&self.log_alpha, model) {
            return tape.fail_op("Gates", message, &[]);
        }
        let mut sum = tape.constant(T::constant(0.0));
        self.each(model, |p, log_alpha| {
            let log_alpha = tape.param(log_alpha);
            let each = p.shape().numel() as f64 / log_alpha.numel().max(1) as f64;
            let open = (log_alpha - shift()).sigmoid();
            let expected = match p.mask() {
                // What is pruned already counts no more.
                Some(mask) => (open.expand_to(&p.shape()) * tape.constant(mask.cast())).sum(),
                None => open.sum() * each,
            };
            sum = &sum + expected;
        });
        sum
    }

    /// Makes the gates permanent: weights are multiplied by what their gates are outside of training, and
    /// those behind closed ones are pruned for good.
    ///
    /// # Errors
    /// A weight that isn't of the shape that it had.
    pub fn prune<M: Serialize + ?Sized>(&self, model: &M) -> Result<Weights> {
        known(&self.log_alpha, model).map_err(|message| Error::invalid("Gates", message))?;
        let mut jobs = Vec::new();
        self.each(model, |p, log_alpha| {
            let job = || -> Result<_> {
                let tape = Tape::inference();
                let gate = fixed(&tape.param(log_alpha));
                let value = tape.constant(p.value()) * &gate;
                let open = gate.expand_to(&p.shape()).to_vec()?;
                let before = p.mask().map(|mask| mask.to_vec());
                let keep =
                    |i: usize| open[i].to_f64() > 0.0 && before.as_ref().is_none_or(|before| before[i]);
                Ok((p.clone(), value.value()?.clone(), Tensor::from_fn(p.shape(), keep)))
            };
            jobs.push(job());
        });
        for (p, value, keep) in jobs.into_iter().collect::<Result<Vec<_>>>()? {
            p.set(value);
            p.set_mask(Some(&keep))?;
        }
        Ok(prune::count(model, |name, _| self.log_alpha.contains_key(name)))
    }

    fn each<M: Serialize + ?Sized>(&self, model: &M, mut f: impl FnMut(&Param<T>, &Param<T>)) {
        visit_params(model, |path, p: &Param<T>| {
            if let Some(own) = self.log_alpha.get(&path.to_string()) {
                f(p, own);
            }
        });
    }
}

/// Where `log α` is for a gate that is closed half of the time.
fn shift() -> f64 {
    BETA * Arithmetic::log(-GAMMA / ZETA)
}

#[track_caller]
fn stretched<'t, T: Float>(s: Var<'t, T>) -> Var<'t, T> {
    (s * (ZETA - GAMMA) + GAMMA).clamp(0.0, 1.0)
}

#[track_caller]
fn fixed<'t, T: Float>(log_alpha: &Var<'t, T>) -> Var<'t, T> {
    stretched(log_alpha.sigmoid())
}

#[track_caller]
fn random<'t, T: Float>(log_alpha: &Var<'t, T>) -> Var<'t, T> {
    let tape = log_alpha.tape();
    let random = tape.draw(log_alpha.numel());
    let logit = Tensor::from_fn(log_alpha.shape(), |i| {
        // The middles of 2⁵² intervals, so that neither logarithm is infinite.
        let u = ((random.bits_at(i as u64) >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
        T::constant(Arithmetic::log(u) - Arithmetic::log(1.0 - u))
    });
    stretched(((log_alpha + tape.constant(logit)) / BETA).sigmoid())
}
