//! Affine quantisation: numbers as small integers, by a scale and a zero point for a whole tensor, for each
//! index of an axis or for each group of a row. What training makes of it is in `fake`.
use crate::{
    error::{Checked, Error, Result},
    ops::Float,
    param::Groups,
    tensor::{Element, Shape, Tensor},
};
use std::ops::RangeInclusive;

/// Which numbers of a tensor share a scale and a zero point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Along {
    /// All.
    Tensor,
    /// Those with one index of this axis.
    Axis(isize),
    /// So many neighbours of a row, a row being all that has one index of the first axis: for a weight
    /// `[outputs, inputs]` groups along its inputs. A row that isn't a multiple ends in a shorter group;
    /// a vector is one row.
    Groups(usize),
}

/// The place of each position of a tensor among its scales.
enum Places {
    /// So many, and so many elements from one to the next.
    Axis {
        count: usize,
        inner: usize,
    },
    Groups(Groups),
}

impl Places {
    fn count(&self) -> usize {
        match self {
            Places::Axis { count, .. } => *count,
            Places::Groups(groups) => groups.count(),
        }
    }

    fn of(&self, i: usize) -> usize {
        match self {
            Places::Axis { count, inner } => i / inner % count,
            Places::Groups(groups) => groups.of(i),
        }
    }
}

impl Along {
    fn places(self, shape: &Shape) -> Checked<Places> {
        match self {
            Along::Tensor => Ok(Places::Axis { count: 1, inner: 1 }),
            Along::Axis(axis) => {
                let axis = shape.axis(axis)?;
                let inner = shape.iter().skip(axis + 1).product::<usize>().max(1);
                Ok(Places::Axis { count: shape.get(axis).copied().unwrap_or(1), inner })
            }
            Along::Groups(0) => Err("groups of 0 numbers".into()),
            Along::Groups(group) => Ok(Places::Groups(Groups::new(shape, group))),
        }
    }
}

/// `code = clamp(round(x / scale) + zero_point, qmin, qmax)`, halves to even; back:
/// `(code - zero_point) · scale` (Jacob et al., 2018).
///
/// ```
/// use kolmo::{Tensor, compress::{Affine, Along}};
/// let x = Tensor::from([-1.0f32, 0.0, 0.49, 1.55]);
/// let q = Affine::min_max(&x, Along::Tensor, 8)?; // 255 steps of 0.01
/// let codes = q.quantize(&x)?;
/// assert_eq!(codes.to_vec(), [0, 100, 149, 255]);
/// assert!((q.dequantize::<f32>(&codes)?.to_vec()[3] - 1.55).abs() < 1e-6);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// Size of a step: one for all, or one for each index of the axis, or for each group.
    scales: Vec<f64>,
    /// The code of 0.
    zero_points: Vec<i32>,
    along: Along,
    qmin: i32,
    qmax: i32,
}

impl Affine {
    /// A scale and a zero point, the code of 0, for each of what is `along`, in order, and the range of codes:
    /// from `quant_min` to `quant_max`.
    ///
    /// ```
    /// use kolmo::compress::{Affine, Along};
    /// let of_a_tensor = Affine::new([0.1], [0], Along::Tensor, -128..=127)?;
    /// let of_channels = Affine::new([0.1, 0.02], [3, 0], Along::Axis(0), 0..=255)?;
    /// assert!(Affine::new([0.1], [0], Along::Tensor, 1..=255).is_err()); // no code for 0
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// A scale that is not positive and finite, an empty range, a zero point that is not in it, not as many zero
    /// points as scales.
    #[doc(alias("per_tensor", "per_channel", "quantize_per_tensor", "quantize_per_channel"))]
    pub fn new(
        scales: impl Into<Vec<f64>>,
        zero_points: impl Into<Vec<i32>>,
        along: Along,
        codes: RangeInclusive<i32>,
    ) -> Result<Affine> {
        Affine::checked(scales.into(), zero_points.into(), along, codes.into_inner())
    }

    fn checked(
        scales: Vec<f64>,
        zero_points: Vec<i32>,
        along: Along,
        (qmin, qmax): (i32, i32),
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
        Ok(Affine { scales, zero_points, along, qmin, qmax })
    }

    /// Codes from 0 to 2ᵇ - 1 for the range of the values of what is `along`, each widened to hold 0.
    ///
    /// ```
    /// use kolmo::{Tensor, compress::{Affine, Along}};
    /// let w = Tensor::from([[0.1f32, -0.1, 8.0, 16.0]]); // one step size for all would lose the small ones
    /// let q = Affine::min_max(&w, Along::Groups(2), 4)?;
    /// let near = q.dequantize::<f32>(&q.quantize(&w)?)?.to_vec();
    /// assert!((near[0] - 0.1).abs() < 0.01 && (near[2] - 8.0).abs() < 0.6);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// `bits` not from 1 to 16; no such axis, or groups of 0; a value that is not finite.
    #[doc(alias = "MinMaxObserver")]
    pub fn min_max<T: Float>(x: &Tensor<T>, along: Along, bits: u32) -> Result<Affine> {
        let levels = (1i32 << checked_bits(bits, 1)?) - 1;
        let ranges = ranges(x, along)?;
        let scales: Vec<f64> = ranges.iter().map(|(low, high)| step(high - low, levels)).collect();
        let zero =
            |((low, _), scale): (&(f64, f64), &f64)| ((-low / scale).round_ties_even() as i32).min(levels);
        let zero_points: Vec<i32> = ranges.iter().zip(&scales).map(zero).collect();
        Affine::new(scales, zero_points, along, 0..=levels)
    }

    /// Codes from 0 to 2ᵇ - 1 for a range, which is widened to hold 0.
    ///
    /// # Errors
    /// `bits` not from 1 to 16; a bound that is not finite.
    pub fn from_range(low: f64, high: f64, bits: u32) -> Result<Affine> {
        let levels = (1i32 << checked_bits(bits, 1)?) - 1;
        if !(low.is_finite() && high.is_finite()) {
            return Err(Error::invalid("affine", format!("a range from {low} to {high}")));
        }
        let low = low.min(0.0);
        let scale = step(high.max(0.0) - low, levels);
        let zero = ((-low / scale).round_ties_even() as i32).min(levels);
        Affine::new([scale], [zero], Along::Tensor, 0..=levels)
    }

    /// Codes from -(2ᵇ⁻¹ - 1) to 2ᵇ⁻¹ - 1 for the range of the magnitudes of what is `along`, with 0 at 0.
    ///
    /// # Errors
    /// As [`min_max`](Affine::min_max), with `bits` from 2.
    pub fn symmetric<T: Float>(x: &Tensor<T>, along: Along, bits: u32) -> Result<Affine> {
        let levels = (1i32 << (checked_bits(bits, 2)? - 1)) - 1;
        let scales: Vec<f64> =
            ranges(x, along)?.iter().map(|(low, high)| step(high.max(-low), levels)).collect();
        let zero_points = vec![0; scales.len()];
        Affine::new(scales, zero_points, along, -levels..=levels)
    }

    /// Sizes of the steps.
    pub fn scales(&self) -> &[f64] {
        &self.scales
    }

    /// The codes of 0.
    pub fn zero_points(&self) -> &[i32] {
        &self.zero_points
    }

    /// The codes of the values.
    ///
    /// # Errors
    /// The tensor has no such axis, or not as many indices there as there are scales; a value is NaN, for
    /// which there is no code.
    pub fn quantize<T: Float>(&self, x: &Tensor<T>) -> Result<Tensor<i32>> {
        let values = x.to_vec();
        if let Some(at) = values.iter().position(|v| v.to_f64().is_nan()) {
            return Err(Error::invalid("affine", format!("value {at} is NaN, for which there is no code")));
        }
        self.each(x.shape(), |i, scale, zero| {
            (self.code(values[i].to_f64(), scale, zero) as i32).clamp(self.qmin, self.qmax)
        })
    }

    /// The values of the codes.
    ///
    /// # Errors
    /// As [`quantize`](Affine::quantize).
    pub fn dequantize<T: Float>(&self, codes: &Tensor<i32>) -> Result<Tensor<T>> {
        let codes_of = codes.to_vec();
        self.each(codes.shape(), |i, scale, zero| {
            T::from_f64((f64::from(codes_of[i]) - f64::from(zero)) * scale)
        })
    }

    /// The code before it is clamped; a float, since it may be anything.
    /// What shares a scale, and the codes.
    #[cfg(feature = "onnx")]
    pub(crate) fn places_and_codes(&self) -> (Along, RangeInclusive<i32>) {
        (self.along, self.qmin..=self.qmax)
    }

    fn code(&self, v: f64, scale: f64, zero: i32) -> f64 {
        (v / scale).round_ties_even() + zero as f64
    }

    /// The value nearest to `v` that the first scale has a code for.
    pub(super) fn nearest(&self, v: f64) -> f64 {
        self.rounded(v, self.scales[0], self.zero_points[0])
    }

    /// The value of the nearest code; NaN of NaN.
    pub(super) fn rounded(&self, v: f64, scale: f64, zero: i32) -> f64 {
        (self.code(v, scale, zero).clamp(self.qmin as f64, self.qmax as f64) - zero as f64) * scale
    }

    /// A tensor of `f(position, scale, zero point)`.
    pub(super) fn each<U: Element>(
        &self,
        shape: &Shape,
        f: impl Fn(usize, f64, i32) -> U,
    ) -> Result<Tensor<U>> {
        let fail = |message| Error::invalid("affine", message);
        let places = self.along.places(shape).map_err(fail)?;
        if self.scales.len() != places.count() {
            let message = format!("{} scales for {shape}, which takes {}", self.scales.len(), places.count());
            return Err(fail(message));
        }
        let made = Tensor::from_fn(shape, |i| {
            let place = places.of(i);
            f(i, self.scales[place], self.zero_points[place])
        });
        made.made().map_err(fail)
    }

    /// Whether the code of a value is within the range.
    pub(super) fn covers(&self, v: f64, scale: f64, zero: i32) -> bool {
        (self.qmin as f64..=self.qmax as f64).contains(&self.code(v, scale, zero))
    }
}

/// The least and the largest value of each index or group, and 0.
fn ranges<T: Float>(x: &Tensor<T>, along: Along) -> Result<Vec<(f64, f64)>> {
    let places = along.places(x.shape()).map_err(|message| Error::invalid("affine", message))?;
    let mut ranges = vec![(0.0f64, 0.0f64); places.count()];
    for (i, v) in finite(x)?.into_iter().enumerate() {
        let (low, high) = &mut ranges[places.of(i)];
        (*low, *high) = (low.min(v), high.max(v));
    }
    Ok(ranges)
}

pub(super) fn checked_bits(bits: u32, least: u32) -> Result<u32> {
    if (least..=16).contains(&bits) {
        return Ok(bits);
    }
    Err(Error::invalid("affine", format!("{bits} bits: takes {least} to 16")))
}

/// The range in so many steps; 1 where there is no range.
fn step(range: f64, levels: i32) -> f64 {
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
