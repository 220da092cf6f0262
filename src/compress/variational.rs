//! Sparse variational dropout: every weight gets noise whose size is learnt, and weights that are all noise
//! go. The file and what it weighs are left to `pack`.
use super::{
    filter::picks_some,
    prune::{self, Weights},
};
use crate::{
    error::{Checked, Error, Result},
    nn::{Conv2d, Linear},
    ops::{ConvOptions, Float},
    param::{Param, inventory, shown, visit_fields, visit_params},
    real::Arithmetic,
    tape::{Tape, Var},
    tensor::{Shape, Tensor},
};
use serde::Serialize;
use std::{collections::BTreeMap, f64::consts::TAU};

/// The constants of the approximation to the divergence, from the paper's equation 14.
const K: [f64; 3] = [0.63576, 1.87320, 1.48695];
/// Where the logarithm of α is cut off on both sides, as in the authors' code: beyond it nothing changes any
/// more.
const LOG_ALPHA_LIMIT: f64 = 8.0;
/// Keeps logarithms and roots away from 0.
const TINY: f64 = 1e-16;

/// Noise on the weights of a model, `w + σ·ε`, with a `σ` of each weight's own that learns along (Molchanov,
/// Ashukha and Vetrov, 2017). The prior wants weights to be nothing but noise: where `α = σ² / w²` becomes
/// large, the weight can go.
///
/// The logarithms of σ² are parameters under the names of the weights; an optimiser is given the model and
/// the noise together.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, compress::{Variational, matrices}, nn::{Layer, Linear}, optim::{Adam, Optimizer}};
/// let net = Linear::new(4, 3, &mut Random::new(0));
/// let noise = Variational::new(&net, matrices)?;
/// let mut adam = Adam::new(1e-3);
/// let mut tape = Tape::new();
/// let (x, y, examples) = (Tensor::ones([2, 4]), Tensor::from([0u32, 2]), 1000.0);
/// for _ in 0..3 {
///     let divergence = noise.sample(&net, &tape);
///     let loss = net.forward(&tape.constant(&x)).cross_entropy(&y) + divergence / examples;
///     let grads = loss.backward()?;
///     adam.step(&(&net, &noise), &grads)?;
///     tape.reset();
/// }
/// let left = noise.prune(&net, 3.0)?;
/// assert_eq!(left.total, 12);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Variational<T: Float = f32> {
    log_sigma2: BTreeMap<String, Param<T>>,
}

impl<T: Float> Variational<T> {
    /// Little noise (`σ² = e⁻¹⁰`) for the weights that `filter` picks by name and shape.
    ///
    /// # Errors
    /// It picks none, or one whose weights are tied to a codebook.
    pub fn new<M: Serialize + ?Sized>(model: &M, filter: impl Fn(&str, &Shape) -> bool) -> Result<Self> {
        let log_sigma2 =
            beside(model, "Variational", filter, |p| Ok(Tensor::full(p.shape(), T::constant(-10.0))))?;
        Ok(Variational { log_sigma2 })
    }

    /// In training, puts noise on the weights until the tape's next [`reset`](Tape::reset), the same for all
    /// examples of a batch; works with any model. Otherwise the weights stay as they are. Gives the
    /// [`divergence`](Variational::divergence). To be called once in each step, before the model is run.
    #[track_caller]
    pub fn sample<'t, M: Serialize + ?Sized>(&self, model: &M, tape: &'t Tape<T>) -> Var<'t, T> {
        let divergence = self.divergence(model, tape);
        if divergence.failed_id().is_some() {
            return divergence;
        }
        if tape.is_training() {
            self.each(model, |p, log_sigma2| {
                let noise = normal(tape, &p.shape());
                let sigma = (tape.param(log_sigma2) * 0.5).exp();
                tape.substitute(p, &(tape.param(p) + kept(tape, p, sigma * noise)));
            });
        }
        divergence
    }

    /// The divergence of the weights' distribution from the prior, in nats: with `λ = log α`, the sum of
    /// `½·log(1 + 1/α) - k₁·sigmoid(k₂ + k₃·λ) + k₁` over weights, `k = 0.63576, 1.87320, 1.48695`. It
    /// belongs to the loss of all examples together: a mean over examples gets it divided by their
    /// number, often little of it at first.
    #[track_caller]
    pub fn divergence<'t, M: Serialize + ?Sized>(&self, model: &M, tape: &'t Tape<T>) -> Var<'t, T> {
        if let Err(message) = self.knows(model) {
            return tape.fail_op("Variational", message, &[]);
        }
        let mut sum = tape.constant(T::constant(0.0));
        self.each(model, |p, log_sigma2| {
            let log_alpha = log_alpha(&tape.param(p), &tape.param(log_sigma2));
            sum = &sum + kept(tape, p, divergence(&log_alpha)).sum();
        });
        sum
    }

    /// A linear layer of the model with noise on its results instead of its weights: of the same
    /// distribution, but another for each example, which makes gradients far less noisy (Kingma, Salimans
    /// and Welling, 2015). `name` is the weight's. Without training, or if the weight has no noise, the
    /// plain layer.
    ///
    /// `[…, in] -> […, out]`
    #[track_caller]
    pub fn linear<'t>(&self, name: &str, layer: &Linear<T>, x: &Var<'t, T>) -> Var<'t, T> {
        let bias = layer.bias.as_ref().map(|b| x.tape().param(b));
        self.local(name, &layer.weight, x, |x, w, mean| x.linear(w, bias.as_ref().filter(|_| mean)))
    }

    /// A convolution with noisy weights, `[n, in, height, width] -> [n, out, …]`, the noise of each output drawn
    /// by itself, as [`linear`](Variational::linear) does it.
    #[track_caller]
    pub fn conv2d<'t>(&self, name: &str, layer: &Conv2d<T>, x: &Var<'t, T>) -> Var<'t, T> {
        let bias = layer.bias.as_ref().map(|b| x.tape().param(b));
        let options: &ConvOptions = &layer.options;
        self.local(name, &layer.weight, x, |x, w, mean| x.conv2d(w, bias.as_ref().filter(|_| mean), options))
    }

    /// A sum of products with noisy weights has the mean of the products with the means, and the variance of
    /// the products of the squares with the variances.
    fn local<'t>(
        &self,
        name: &str,
        weight: &Param<T>,
        x: &Var<'t, T>,
        product: impl Fn(&Var<'t, T>, &Var<'t, T>, bool) -> Var<'t, T>,
    ) -> Var<'t, T> {
        let tape = x.tape();
        let mean = product(x, &tape.param(weight), true);
        let Some(log_sigma2) = self.log_sigma2.get(name).filter(|_| tape.is_training()) else { return mean };
        let variances = kept(tape, weight, tape.param(log_sigma2).exp());
        let deviation = (product(&x.square(), &variances, false) + TINY.sqrt()).sqrt();
        let noise = normal(tape, mean.shape());
        mean + deviation * noise
    }

    /// Prunes the weights whose `log α` is above the threshold, for good. The paper's is 3: such a weight has
    /// 95 % noise. What is left stays as it is; the noise has done its work.
    ///
    /// # Errors
    /// A model that isn't the one that the noise is for.
    pub fn prune<M: Serialize + ?Sized>(&self, model: &M, threshold: f64) -> Result<Weights> {
        self.knows(model).map_err(|message| Error::invalid("Variational", message))?;
        let mut result = Ok(());
        self.each(model, |p, log_sigma2| {
            let keep = || -> Result<Tensor<bool>> {
                let tape = Tape::inference();
                let log_alpha = log_alpha(&tape.param(p), &tape.param(log_sigma2));
                let values = log_alpha.to_vec()?;
                let before = p.mask().map(|mask| mask.to_vec());
                Ok(Tensor::from_fn(p.shape(), |i| {
                    values[i].to_f64() <= threshold && before.as_ref().is_none_or(|before| before[i])
                }))
            };
            let set = keep().and_then(|keep| p.set_mask(Some(&keep)));
            result = std::mem::replace(&mut result, Ok(())).and(set);
        });
        result?;
        Ok(prune::count(model, |name, _| self.log_sigma2.contains_key(name)))
    }

    /// That the model is the one that the noise is for.
    fn knows<M: Serialize + ?Sized>(&self, model: &M) -> Checked<()> {
        known(&self.log_sigma2, model)
    }

    fn each<M: Serialize + ?Sized>(&self, model: &M, mut f: impl FnMut(&Param<T>, &Param<T>)) {
        visit_params(model, |path, p: &Param<T>| {
            if let Some(own) = self.log_sigma2.get(&path.to_string()) {
                f(p, own);
            }
        });
    }
}

/// `log α = log σ² - log w²` within the limits.
#[track_caller]
fn log_alpha<'t, T: Float>(weight: &Var<'t, T>, log_sigma2: &Var<'t, T>) -> Var<'t, T> {
    (log_sigma2 - (weight.square() + TINY).log()).clamp(-LOG_ALPHA_LIMIT, LOG_ALPHA_LIMIT)
}

/// The divergence of each weight.
#[track_caller]
fn divergence<'t, T: Float>(log_alpha: &Var<'t, T>) -> Var<'t, T> {
    let [k1, k2, k3] = K;
    (-log_alpha).softplus(1.0, 20.0) * 0.5 - (log_alpha * k3 + k2).sigmoid() * k1 + k1
}

/// 0 where the parameter's mask prunes: what is gone has no noise.
#[track_caller]
fn kept<'t, T: Float>(tape: &'t Tape<T>, p: &Param<T>, value: Var<'t, T>) -> Var<'t, T> {
    match p.mask() {
        Some(mask) => value.where_one(&tape.constant(mask.cast()), &tape.constant(T::constant(0.0))),
        None => value,
    }
}

/// Normal random numbers of the tape (Box and Muller, 1958).
fn normal<'t, T: Float>(tape: &'t Tape<T>, shape: &Shape) -> Var<'t, T> {
    let random = tape.draw(2 * shape.numel());
    tape.constant(Tensor::from_fn(shape, |i| {
        let (u, v) = (random.uniform_at(2 * i as u64), random.uniform_at(2 * i as u64 + 1));
        T::constant((-2.0 * Arithmetic::log(1.0 - u)).sqrt() * Arithmetic::cos(TAU * v))
    }))
}

/// That a model has every parameter beside which another one stands, in a shape that goes with it.
pub(super) fn known<T: Float, M: Serialize + ?Sized>(
    beside: &BTreeMap<String, Param<T>>,
    model: &M,
) -> Checked<()> {
    let mut found = 0;
    let mut wrong = None;
    visit_params(model, |path, p: &Param<T>| {
        let name = path.to_string();
        let Some(own) = beside.get(&name) else { return };
        found += 1;
        let (shape, own) = (p.shape(), own.shape());
        if shape.rank() != own.rank() || shape.iter().zip(own.iter()).any(|(&n, &own)| own != n && own != 1) {
            wrong = wrong
                .take()
                .or(Some(format!("{} has shape {shape}, what it has learnt {own}", shown(&name))));
        }
    });
    if found < beside.len() && wrong.is_none() {
        let names: Vec<&str> = beside.keys().map(|name| shown(name)).collect();
        wrong = Some(format!("is for a model with {}; {}", names.join(", "), inventory(model)));
    }
    wrong.map_or(Ok(()), Err)
}

/// A parameter beside each of those that `filter` picks, under the same name.
pub(super) fn beside<T: Float, M: Serialize + ?Sized>(
    model: &M,
    what: &'static str,
    filter: impl Fn(&str, &Shape) -> bool,
    start: impl Fn(&Param<T>) -> Checked<Tensor<T>>,
) -> Result<BTreeMap<String, Param<T>>> {
    let (mut found, mut wrong) = (BTreeMap::new(), None);
    visit_fields(model, |path, p: &Param<T>| {
        let name = path.to_string();
        if !filter(&name, &p.shape()) {
            return;
        }
        let own = match p.codebook() {
            Some(_) => Err("its weights are tied to a codebook, they can't go one by one".to_string()),
            None => start(p),
        };
        match own {
            Ok(own) => drop(found.insert(name, Param::new(own))),
            Err(message) => wrong = wrong.take().or(Some(format!("{}: {message}", shown(&name)))),
        }
    });
    match wrong {
        Some(message) => Err(Error::invalid(what, message)),
        None => picks_some(what, model, found.len()).map(|()| found),
    }
}
