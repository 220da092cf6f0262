//! Affine quantisation: numbers as small integers, by a scale and a zero point for a whole tensor or for each index of an
//! axis. In training, [`Var::fake_quantize`] lets a model feel the rounding and passes gradients straight through it.
use crate::{
    error::{Checked, Error, Result},
    tape::{CustomOp, Float, Var},
    tensor::{Element, Shape, Tensor},
};

/// `code = clamp(round(x / scale) + zero_point, qmin, qmax)`, halves to even; back: `(code - zero_point) · scale`
/// (Jacob et al., 2018).
///
/// ```
/// use kolmo::{Tensor, compress::Affine};
/// let x = Tensor::from([-1.0f32, 0.0, 0.49, 1.55]);
/// let q = Affine::min_max(&x, 8)?; // 255 steps of 0.01
/// let codes = q.quantize(&x)?;
/// assert_eq!(codes.to_vec(), [0, 100, 149, 255]);
/// assert!((q.dequantize::<f32>(&codes)?.to_vec()[3] - 1.55).abs() < 1e-6);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// Size of a step: one for all, or one for each index of the axis.
    scales: Vec<f64>,
    /// The code of 0.
    zero_points: Vec<i64>,
    axis: Option<isize>,
    qmin: i64,
    qmax: i64,
}

impl Affine {
    /// One scale and zero point for a whole tensor.
    ///
    /// # Errors
    /// A scale that is not positive and finite, `qmin` above `qmax`, a zero point that is not between them.
    pub fn per_tensor(scale: f64, zero_point: i64, qmin: i64, qmax: i64) -> Result<Affine> {
        Affine::new(vec![scale], vec![zero_point], None, qmin, qmax)
    }

    /// A scale and a zero point for each index of an axis.
    ///
    /// # Errors
    /// As [`per_tensor`](Affine::per_tensor); not as many zero points as scales.
    pub fn per_channel(
        scales: Vec<f64>,
        zero_points: Vec<i64>,
        axis: isize,
        qmin: i64,
        qmax: i64,
    ) -> Result<Affine> {
        Affine::new(scales, zero_points, Some(axis), qmin, qmax)
    }

    fn new(
        scales: Vec<f64>,
        zero_points: Vec<i64>,
        axis: Option<isize>,
        qmin: i64,
        qmax: i64,
    ) -> Result<Affine> {
        let error = |message: String| Err(Error::invalid("affine", message));
        if let Some(bad) = scales.iter().find(|s| !(**s > 0.0 && s.is_finite())) {
            return error(format!("scale {bad} is not positive and finite"));
        }
        if scales.len() != zero_points.len() {
            return error(format!("{} scales, but {} zero points", scales.len(), zero_points.len()));
        }
        if qmin > qmax {
            return error(format!("qmin {qmin} is above qmax {qmax}"));
        }
        if let Some(bad) = zero_points.iter().find(|z| !(qmin..=qmax).contains(z)) {
            return error(format!("zero point {bad} is not between qmin {qmin} and qmax {qmax}"));
        }
        Ok(Affine { scales, zero_points, axis, qmin, qmax })
    }

    /// Codes from 0 to 2ᵇ - 1 for the range of the values, which is widened to hold 0.
    ///
    /// # Errors
    /// `bits` not from 1 to 16; a value that is not finite.
    pub fn min_max<T: Float>(x: &Tensor<T>, bits: u32) -> Result<Affine> {
        let values = finite(x)?;
        let fold = |f: fn(f64, f64) -> f64| values.iter().copied().fold(0.0, f);
        Affine::range(fold(f64::min), fold(f64::max), bits)
    }

    /// Codes from 0 to 2ᵇ - 1 for a range, which is widened to hold 0.
    ///
    /// # Errors
    /// `bits` not from 1 to 16; a bound that is not finite.
    pub fn range(low: f64, high: f64, bits: u32) -> Result<Affine> {
        let levels = (1i64 << checked_bits(bits, 1)?) - 1;
        if !(low.is_finite() && high.is_finite()) {
            return Err(Error::invalid("affine", format!("a range from {low} to {high}")));
        }
        let low = low.min(0.0);
        let scale = step(high.max(0.0) - low, levels);
        Affine::per_tensor(scale, ((-low / scale).round_ties_even() as i64).min(levels), 0, levels)
    }

    /// For each index of an axis, codes from -(2ᵇ⁻¹ - 1) to 2ᵇ⁻¹ - 1 for the range of its magnitudes, with 0 at 0.
    ///
    /// # Errors
    /// `bits` not from 2 to 16; no such axis; a value that is not finite.
    pub fn symmetric<T: Float>(x: &Tensor<T>, axis: isize, bits: u32) -> Result<Affine> {
        let levels = (1i64 << (checked_bits(bits, 2)? - 1)) - 1;
        let (n, inner) =
            channels(x.shape(), Some(axis)).map_err(|message| Error::invalid("affine", message))?;
        let mut largest = vec![0.0f64; n];
        for (i, v) in finite(x)?.into_iter().enumerate() {
            if let Some(most) = largest.get_mut(i / inner % n) {
                *most = most.max(v.abs());
            }
        }
        let scales: Vec<f64> = largest.iter().map(|&most| step(most, levels)).collect();
        Affine::per_channel(scales, vec![0; n], axis, -levels, levels)
    }

    /// Sizes of the steps.
    pub fn scales(&self) -> &[f64] {
        &self.scales
    }

    /// The codes of 0.
    pub fn zero_points(&self) -> &[i64] {
        &self.zero_points
    }

    /// The codes of the values.
    ///
    /// # Errors
    /// The tensor has no such axis, or not as many indices there as there are scales.
    pub fn quantize<T: Float>(&self, x: &Tensor<T>) -> Result<Tensor<i64>> {
        let values = x.to_vec();
        self.each(x.shape(), |i, scale, zero| {
            (self.code(values[i].to_f64(), scale, zero) as i64).clamp(self.qmin, self.qmax)
        })
    }

    /// The values of the codes.
    ///
    /// # Errors
    /// As [`quantize`](Affine::quantize).
    pub fn dequantize<T: Float>(&self, codes: &Tensor<i64>) -> Result<Tensor<T>> {
        let codes_of = codes.to_vec();
        self.each(codes.shape(), |i, scale, zero| {
            T::from_f64(codes_of[i].saturating_sub(zero) as f64 * scale)
        })
    }

    /// The code before it is clamped; a float, since it may be anything.
    fn code(&self, v: f64, scale: f64, zero: i64) -> f64 {
        (v / scale).round_ties_even() + zero as f64
    }

    /// The value nearest to `v` that the first scale has a code for.
    pub(super) fn nearest(&self, v: f64) -> f64 {
        let (scale, zero) = (self.scales[0], self.zero_points[0]);
        (self.code(v, scale, zero).clamp(self.qmin as f64, self.qmax as f64) - zero as f64) * scale
    }

    /// A tensor of `f(position, scale, zero point)`.
    fn each<U: Element>(&self, shape: &Shape, f: impl Fn(usize, f64, i64) -> U) -> Result<Tensor<U>> {
        let fail = |message| Error::invalid("affine", message);
        let (n, inner) = channels(shape, self.axis).map_err(fail)?;
        if self.scales.len() != n {
            return Err(fail(format!("{} scales for {n} indices of the axis of {shape}", self.scales.len())));
        }
        Ok(Tensor::from_fn(shape, |i| {
            let channel = i / inner % n;
            f(i, self.scales[channel], self.zero_points[channel])
        }))
    }
}

/// Indices of the axis, and elements from one index to the next; one index if there is no axis.
fn channels(shape: &Shape, axis: Option<isize>) -> Checked<(usize, usize)> {
    let Some(axis) = axis else { return Ok((1, 1)) };
    let axis = shape.axis(axis)?;
    Ok((shape.get(axis).copied().unwrap_or(1), shape.iter().skip(axis + 1).product::<usize>().max(1)))
}

pub(super) fn checked_bits(bits: u32, least: u32) -> Result<u32> {
    if (least..=16).contains(&bits) {
        return Ok(bits);
    }
    Err(Error::invalid("affine", format!("{bits} bits: takes {least} to 16")))
}

/// The range in so many steps; 1 where there is no range.
fn step(range: f64, levels: i64) -> f64 {
    let step = range / levels as f64;
    if step > 0.0 { step } else { 1.0 }
}

pub(super) fn finite<T: Float>(x: &Tensor<T>) -> Result<Vec<f64>> {
    let values: Vec<f64> = x.to_vec().iter().map(|v| v.to_f64()).collect();
    match values.iter().find(|v| !v.is_finite()) {
        Some(bad) => Err(Error::invalid("affine", format!("a value is {bad}"))),
        None => Ok(values),
    }
}

impl<'t, T: Float> Var<'t, T> {
    /// Quantised with a step size that is learnt: `round(clamp(x / s, qmin, qmax)) · s` for a step size `s` of one element, or one
    /// that broadcasts (LSQ; Esser et al., 2020). The gradient of `x` passes straight through inside the range, that of `s` is
    /// `round(x / s) - x / s` there and the bound outside; it is divided by `√(n · qmax)` as proposed, `n` elements to one size.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::new();
    /// let (x, s) = (tape.input([0.3, -0.9, 5.0]), tape.input(0.5));
    /// let y = x.learned_step(&s, -4.0, 3.0);
    /// assert_eq!(y.to_vec()?, [0.5, -1.0, 1.5]);
    /// let grads = y.sum().backward()?;
    /// assert_eq!(grads.get(&x).unwrap().to_vec(), [1.0, 1.0, 0.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn learned_step(&self, s: &Var<'t, T>, qmin: f64, qmax: f64) -> Var<'t, T> {
        let each = self.numel() as f64 / s.numel().max(1) as f64;
        let share = 1.0 / (each * qmax.abs()).sqrt().max(1.0);
        // The value of s, and a share of its gradient.
        let s = s * share + (s - s * share).detach();
        let code = (self / &s).clamp(qmin, qmax);
        let rounded = &code + (code.round() - &code).detach();
        rounded * s
    }

    /// The values that are left of these once they were quantised. The gradient passes straight through where the code
    /// was within its range, and is 0 where it was clamped (Bengio et al., 2013).
    #[track_caller]
    pub fn fake_quantize(&self, q: &Affine) -> Var<'t, T> {
        self.tape().custom(FakeQuantize(q.clone()), &[self])
    }
}

struct FakeQuantize(Affine);

impl<T: Float> CustomOp<T> for FakeQuantize {
    fn name(&self) -> &str {
        "fake_quantize"
    }

    fn forward(&self, inputs: &[&Tensor<T>]) -> Result<Tensor<T>> {
        let [x] = inputs else { return Err(Error::invalid("fake_quantize", "takes one tensor")) };
        self.0.dequantize(&self.0.quantize(x)?)
    }

    fn backward<'t>(
        &self,
        inputs: &[Var<'t, T>],
        _: &Var<'t, T>,
        grad: &Var<'t, T>,
    ) -> Vec<Option<Var<'t, T>>> {
        let (q, [x]) = (&self.0, inputs) else { return Vec::new() };
        let values = x.tensor().to_vec();
        let (low, high) = (q.qmin as f64, q.qmax as f64);
        let passed = q.each(x.shape(), |i, scale, zero| {
            let inside = (low..=high).contains(&q.code(values[i].to_f64(), scale, zero));
            T::of(if inside { 1.0 } else { 0.0 })
        });
        vec![passed.ok().map(|passed| grad * grad.tape().constant(passed))]
    }
}
