//! Quantisation that training feels: values are rounded on the way forward, and gradients pass straight
//! through the rounding.
use super::{
    Affine,
    filter::{each_field, picks_some},
};
use crate::{
    checked::{Check, checked},
    error::{Checked, Error, Result},
    ops::Float,
    param::{Groups, Param, inventory, round_to_steps, share_of_gradient, shown},
    real::Arithmetic,
    tape::{CustomOp, Var},
    tensor::{Shape, Tensor},
};
use serde::Serialize;

/// Step sizes that are tried for a group, from what its largest weight asks for downwards.
const TRIED: usize = 48;

/// Quantisation-aware training: weights become whole numbers of steps as the model uses them, and training
/// goes on with the weights underneath (straight-through; Bengio et al., 2013).
///
/// It needs no special layers: [`attach`](Quantizer::attach) is told to the parameters
/// ([`Param::set_steps`]), the model is trained as before, [`convert`] makes the whole numbers permanent, and
/// what [`pack`](super::pack) then writes is what was trained.
///
/// ```
/// use kolmo::{Random, compress::{Artifact, matrices, pack, quantize::{Quantizer, convert}, unpack}, nn::Linear};
/// let net = Linear::new(64, 10, &mut Random::new(0));
/// Quantizer::new(4).groups(32).attach(&net, matrices)?;
/// let trained = net.weight.effective()?; // after training, that is
/// convert(&net)?;
/// let bytes = pack(&net, &[])?.to_bytes()?;
/// assert!(bytes.len() < 500); // 2600 as plain numbers
/// let copy = Linear::new(64, 10, &mut Random::new(1));
/// unpack(&Artifact::from_bytes(&bytes)?, &copy)?;
/// assert_eq!(copy.weight.effective()?, trained);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[must_use = "a quantiser does nothing until it is applied to a model"]
#[doc(alias("FakeQuantize", "QAT"))]
pub struct Quantizer {
    bits: u32,
    group: usize,
    channels: bool,
    learned: bool,
}

checked!(Quantizer { bits: u32, group: usize, channels: bool, learned: bool });

impl Check for Quantizer {
    fn check(&self) -> Checked<()> {
        match self.bits {
            2..=8 => Ok(()),
            bits => Err(format!("{bits} bits: takes 2 to 8")),
        }
    }
}

/// A change that has been found to be possible.
type Job = Box<dyn FnOnce() -> Result<()>>;

impl Quantizer {
    /// Whole numbers of so many bits, 2 to 8, from `-(2ᵇ⁻¹ - 1)` to `2ᵇ⁻¹ - 1`, with one step size for all of
    /// a tensor, which is learnt along (LSQ; Esser et al., 2020). Two bits are ternary weights.
    pub fn new(bits: u32) -> Quantizer {
        Quantizer { bits, group: 0, channels: false, learned: true }
    }

    /// A step size for each index of the first axis: each output of a linear layer or convolution.
    pub fn channels(self) -> Quantizer {
        Quantizer { channels: true, ..self }
    }

    /// A step size for each `group` neighbours along the inputs of an output.
    pub fn groups(self, group: usize) -> Quantizer {
        Quantizer { group, channels: false, ..self }
    }

    /// Step sizes stay what they are at first, which is what loses least (in squares) of the weights then.
    pub fn learned(self, learned: bool) -> Quantizer {
        Quantizer { learned, ..self }
    }

    /// Puts the rounding between the weights that `filter` picks by name and shape and their use. Optimisers
    /// find the step sizes by themselves, as they find codebooks.
    ///
    /// # Errors
    /// A filter that picks no parameter; bits that aren't from 2 to 8; a weight that isn't finite, or is tied
    /// to a codebook. Nothing has changed then.
    pub fn attach<M: Serialize + ?Sized>(
        self,
        model: &M,
        filter: impl Fn(&str, &Shape) -> bool,
    ) -> Result<()> {
        let mut jobs: Vec<Result<Job>> = Vec::new();
        each_field!(model, |name, p| {
            if filter(&name, &p.shape()) {
                jobs.push(self.plan(name, p.clone()));
            }
        });
        picks_some("Quantizer", model, jobs.len())?;
        jobs.into_iter().collect::<Result<Vec<_>>>()?.into_iter().try_for_each(|job| job())
    }

    fn plan<T: Float>(self, name: String, p: Param<T>) -> Result<Job> {
        let fail = |message: String| Err(Error::invalid("Quantizer", message));
        self.check().map_err(|message| Error::invalid("Quantizer", message))?;
        if p.codebook().is_some() {
            return fail(format!("the weights of {} are tied to a codebook already", shown(&name)));
        }
        let weights: Vec<f64> = p.effective()?.to_vec().iter().map(|v| v.to_f64()).collect();
        if let Some(bad) = weights.iter().find(|v| !v.is_finite()) {
            return fail(format!("{}: a weight is {bad}", shown(&name)));
        }
        let shape = p.shape();
        let group = if self.channels {
            (shape.numel() / Groups::new(&shape, 1).rows().max(1)).max(1)
        } else {
            self.group
        };
        let sizes = self.sizes(&shape, group, &weights);
        Ok(Box::new(move || {
            let sizes = Param::new(Tensor::from_fn([sizes.len()], |i| T::constant(sizes[i])));
            sizes.set_trainable(self.learned);
            p.set_steps(self.bits, group, sizes)
        }))
    }

    /// For each group the step size of least squared error among those that are tried.
    fn sizes(self, shape: &Shape, group: usize, weights: &[f64]) -> Vec<f64> {
        let groups = Groups::new(shape, group);
        let most = f64::from((1u32 << (self.bits - 1)) - 1);
        let mut members = vec![Vec::new(); groups.count()];
        weights.iter().enumerate().for_each(|(i, &w)| members[groups.of(i)].push(w));
        let best = |members: &Vec<f64>| {
            let largest = members.iter().fold(0.0f64, |m, w| m.max(w.abs()));
            if largest == 0.0 {
                return 1.0;
            }
            let error = |s: f64| -> f64 {
                members
                    .iter()
                    .map(|w| Arithmetic::square((w / s).round_ties_even().clamp(-most, most) * s - w))
                    .sum()
            };
            let tried = (0..TRIED).map(|i| largest / most * (1.0 - 0.8 * i as f64 / TRIED as f64));
            let errors = tried.map(|s| (error(s), s));
            errors.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(1.0, |(_, s)| s)
        };
        members.iter().map(best).collect()
    }
}

/// Makes the whole numbers of [`Quantizer`]s permanent: each weight keeps the number that it has now,
/// whatever is trained. Step sizes go on to be learnt, unless they are frozen.
///
/// # Errors
/// A parametrisation fails; no parameter has steps.
pub fn convert<M: Serialize + ?Sized>(model: &M) -> Result<()> {
    fn one<T: Float>(p: &Param<T>) -> Result<bool> {
        let (Some(steps), Some((numbers, _))) = (p.steps(), p.numbers()?) else { return Ok(false) };
        let (codes, values) = number_codes(steps.bits, &numbers);
        p.set_codebook(codes, values).map(|()| true)
    }
    let mut result = Ok(false);
    each_field!(model, |_name, p| {
        if let Ok(found) = result {
            result = one(p).map(|one| found || one);
        }
    });
    match result? {
        true => Ok(()),
        false => {
            let message = format!("no parameter is whole numbers of steps: {}", inventory(model));
            Err(Error::invalid("settle", message))
        }
    }
}

/// Codes and centroids of whole numbers of `bits` bits.
pub(super) fn number_codes<T: Float>(bits: u32, numbers: &Tensor<i32>) -> (Tensor<u32>, Tensor<T>) {
    let most = (1i32 << (bits - 1)) - 1;
    let all = numbers.to_vec();
    let values = Tensor::from_fn([2 * most as usize + 1], |i| T::constant(f64::from(i as i32 - most)));
    (Tensor::from_fn(numbers.shape(), |i| (all[i].clamp(-most, most) + most) as u32), values)
}

/// # Quantisation
impl<'t, T: Float> Var<'t, T> {
    /// Quantised with a step size that is learnt: `clamp(round(x / s), qmin, qmax) · s` for a step size `s`
    /// of one element, or one that broadcasts (LSQ; Esser et al., 2020). The gradient of `x` passes
    /// straight through where `round(x / s)` is in the range, bounds included, that of `s` is `round(x /
    /// s) - x / s` there and the bound outside; it is divided by `√(n · qmax)` as proposed, `n` elements to
    /// one size.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::new();
    /// let (x, s) = (tape.input([0.3, -0.9, 5.0]), tape.input(0.5));
    /// let y = x.fake_quantize_learned(&s, -4.0, 3.0);
    /// assert_eq!(y.to_vec()?, [0.5, -1.0, 1.5]);
    /// let grads = y.sum().backward()?;
    /// assert_eq!(grads.get(&x).unwrap().to_vec(), [1.0, 1.0, 0.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    #[doc(alias("FakeQuantize", "LSQ"))]
    pub fn fake_quantize_learned(&self, s: &Var<'t, T>, qmin: f64, qmax: f64) -> Var<'t, T> {
        if qmin.is_nan() || qmax.is_nan() || qmin.ceil() > qmax.floor() {
            let message = format!("no whole number is between qmin {qmin} and qmax {qmax}");
            return self.tape().fail_op("fake_quantize_learned", message, &[self, s]);
        }
        let each = self.numel() as f64 / s.numel().max(1) as f64;
        round_to_steps(self, &share_of_gradient(s, each, qmax.abs()), qmin, qmax)
    }

    /// The values that are left of these once they were quantised; NaN stays NaN. The gradient passes
    /// straight through where the code was within its range, and is 0 where it was clamped (Bengio et
    /// al., 2013).
    #[track_caller]
    #[doc(alias = "FakeQuantize")]
    pub fn fake_quantize(&self, q: &Affine) -> Var<'t, T> {
        self.tape().custom(FakeQuantize(q.clone()), &[self])
    }
}

struct FakeQuantize(Affine);

impl<T: Float> CustomOp<T> for FakeQuantize {
    fn name(&self) -> &str {
        "fake_quantize"
    }

    fn inside(&self) -> Option<&dyn std::any::Any> {
        Some(&self.0)
    }

    fn forward(&self, inputs: &[&Tensor<T>]) -> Result<Tensor<T>> {
        let [x] = inputs else { return Err(Error::invalid("fake_quantize", "takes one tensor")) };
        let values = x.list().map_err(|message| Error::invalid("fake_quantize", message))?;
        self.0.each(x.shape(), |i, scale, zero| T::from_f64(self.0.rounded(values[i].to_f64(), scale, zero)))
    }

    fn backward<'t>(
        &self,
        inputs: &[Var<'t, T>],
        _: &Var<'t, T>,
        grad: &Var<'t, T>,
    ) -> Vec<Option<Var<'t, T>>> {
        let (q, [x]) = (&self.0, inputs) else { return Vec::new() };
        x.tape().note_read(x);
        let values = match x.tensor().list() {
            Ok(values) => values,
            Err(message) => return vec![Some(grad.tape().fail_op("fake_quantize", message, &[grad]))],
        };
        let passed = q.each(x.shape(), |i, scale, zero| {
            T::constant(if q.covers(values[i].to_f64(), scale, zero) { 1.0 } else { 0.0 })
        });
        vec![passed.ok().map(|passed| grad * grad.tape().constant(passed))]
    }
}
