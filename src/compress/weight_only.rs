//! Weights rounded to few bits and held so, while everything else stays in floats.
use super::filter::{each_field, picks_some};
use crate::{
    checked::{Check, checked},
    error::{Checked, Error, Result},
    kernels::packed::{Activations, HalfFloat, Packed, Parts, Values},
    ops::Float,
    param::{Groups, Param, shown},
    real::half::round_to_f16,
    tensor::{Shape, Tensor},
    threads::for_chunks,
};
use serde::Serialize;
use std::sync::Arc;

/// Weights held as integers of a few bits, with a scale and a zero point for each group of neighbours,
/// rounded to the nearest: no training, no data. The model runs as before, through its own `forward`, on the
/// integers; so stored weights aren't trained, but gradients pass through them to what comes before.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, compress::{matrices, quantize::WeightOnly}, nn::{Layer, Linear}};
/// let net = Linear::new(64, 32, &mut Random::new(0));
/// let tape = Tape::inference();
/// let x = tape.constant(Tensor::ones([1, 64]));
/// let before = net.forward(&x).to_vec()?;
/// WeightOnly::new(8).groups(32).apply(&net, matrices)?;
/// assert!(net.forward(&x).to_vec()?.iter().zip(before).all(|(a, b)| (a - b).abs() < 0.01));
/// assert!(net.weight.value().packed().unwrap().bytes() < 64 * 32 * 5 / 4); // instead of 64 · 32 · 4
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[must_use = "it does nothing until it is applied to a model"]
#[doc(alias("Int4WeightOnlyConfig", "Int8WeightOnlyConfig", "quantize_"))]
pub struct WeightOnly {
    bits: u32,
    group: usize,
    symmetric: bool,
}

checked!(WeightOnly { bits: u32, group: usize, symmetric: bool });

impl Check for WeightOnly {
    fn check(&self) -> Checked<()> {
        match self.bits {
            1 if self.symmetric => Err("1 bit has no symmetric codes: takes 2 to 8".into()),
            1..=8 => Ok(()),
            bits => Err(format!("{bits} bits: takes 1 to 8")),
        }
    }
}

impl WeightOnly {
    /// Integers of so many bits, 1 to 8, with a scale and a zero point for each index of the first axis: each
    /// output of a linear layer.
    pub fn new(bits: u32) -> WeightOnly {
        WeightOnly { bits, group: usize::MAX, symmetric: false }
    }

    /// A scale and a zero point for each `group` neighbours along the inputs of an output.
    pub fn groups(self, group: usize) -> WeightOnly {
        WeightOnly { group, ..self }
    }

    /// Without zero points, or with them (the default): codes from `-(2ᵇ⁻¹ - 1)` to `2ᵇ⁻¹ - 1`.
    pub fn symmetric(self, symmetric: bool) -> WeightOnly {
        WeightOnly { symmetric, ..self }
    }

    /// Stores the weights that `filter` picks by name and shape in this form. They aren't trained any more.
    ///
    /// # Errors
    /// A filter that picks no parameter; bits that aren't from 1 to 8, groups of 0; a weight that isn't
    /// finite, or has fewer than two axes. Nothing has changed then.
    pub fn apply<M: Serialize + ?Sized>(
        self,
        model: &M,
        filter: impl Fn(&str, &Shape) -> bool,
    ) -> Result<()> {
        self.check().map_err(|why| Error::invalid("WeightOnly", why))?;
        store("WeightOnly", model, filter, &self)
    }

    /// A tensor in this form.
    ///
    /// # Errors
    /// As [`apply`](WeightOnly::apply)'s.
    pub fn pack<T: Float>(self, weight: &Tensor<T>) -> Result<Tensor<T>> {
        let rounded = self.check().and_then(|()| self.form(weight));
        rounded.map_err(|why| Error::invalid("WeightOnly", why))
    }

    /// Codes but one.
    fn most(self) -> i32 {
        if self.symmetric { (1i32 << (self.bits - 1)) - 1 } else { (1 << self.bits) - 1 }
    }

    /// How many of so many columns share a scale.
    pub(super) fn group(self, cols: usize) -> Checked<usize> {
        if self.group == 0 { Err("groups of 0 numbers".into()) } else { Ok(self.group.min(cols.max(1))) }
    }

    /// Scale, in half precision, and zero point of a group.
    pub(super) fn range<T: Float>(self, group: &[T]) -> (f32, u8) {
        let most = self.most() as f32;
        let (mut low, mut high) = (0.0f32, 0.0f32);
        for v in group {
            let v = v.to_f64() as f32;
            (low, high) = (low.min(v), high.max(v));
        }
        let range = if self.symmetric { high.max(-low) } else { high - low };
        let scale = round_to_f16(range / most);
        // What is too small for half precision keeps its scale, and all zeros have one that divides.
        let scale = match (range > 0.0, scale > 1e-4) {
            (false, _) => 1.0,
            (true, true) => scale,
            (true, false) => range / most,
        };
        let zero = if self.symmetric { 0.0 } else { (-low / scale).round_ties_even().clamp(0.0, most) };
        (scale, zero as u8)
    }

    /// Scales and zero points of all groups of rows of finite numbers.
    pub(super) fn ranges<T: Float>(self, values: &[T], cols: usize) -> Checked<Vec<(f32, u8)>> {
        let (group, cols) = (self.group(cols)?, cols.max(1));
        let each = cols.div_ceil(group);
        let mut found = vec![(0.0f32, 0u8); values.len() / cols * each];
        for_chunks(&mut found, each * (1usize << 14).div_ceil(cols), |first, found| {
            let rows = values[first / each * cols..].chunks(cols).flat_map(|row| row.chunks(group));
            found.iter_mut().zip(rows).for_each(|(found, group)| *found = self.range(group));
        });
        if let Some(bad) = values.iter().find(|v| !v.to_f64().is_finite()) {
            return Err(format!("a weight is {bad:?}"));
        }
        if let Some((scale, _)) = found.iter().find(|(scale, _)| !scale.is_finite()) {
            return Err(format!("a scale is {scale}"));
        }
        Ok(found)
    }

    /// The code of a number in a group.
    #[inline]
    pub(super) fn code(self, v: f32, scale: f32, zero: u8) -> u8 {
        let (whole, most) = ((v * (1.0 / scale)).round_ties_even(), self.most() as f32);
        match self.symmetric {
            true => (whole.clamp(-most, most) + most) as u8,
            false => (whole + f32::from(zero)).clamp(0.0, most) as u8,
        }
    }

    /// What a code is worth.
    #[inline]
    pub(super) fn worth(self, code: u8, scale: f32, zero: u8) -> f32 {
        let zero = if self.symmetric { self.most() } else { i32::from(zero) };
        (i32::from(code) - zero) as f32 * scale
    }

    /// Bits, lowest value and zero points as a packed tensor has them.
    pub(super) fn codes(self, zeros: Vec<u8>) -> (u32, i32, Option<Vec<u8>>) {
        if self.symmetric { (self.bits, -self.most(), None) } else { (self.bits, 0, Some(zeros)) }
    }
}

/// How weights are stored.
trait Storing {
    fn form<T: Float>(&self, weight: &Tensor<T>) -> Checked<Tensor<T>>;
}

impl Storing for WeightOnly {
    fn form<T: Float>(&self, weight: &Tensor<T>) -> Checked<Tensor<T>> {
        let shape = weight.shape();
        let cols = Groups::new(shape, 1).cols().max(1);
        let group = self.group(cols)?;
        let each = cols.div_ceil(group);
        let source = weight.contiguous().made()?;
        let values = source.as_slice().unwrap_or_default();
        let found = self.ranges(values, cols)?;
        let mut codes = vec![0u8; values.len()];
        for_chunks(&mut codes, cols * (1usize << 14).div_ceil(cols), |start, codes| {
            for (i, (codes, row)) in codes.chunks_mut(cols).zip(values[start..].chunks(cols)).enumerate() {
                let own = &found[(start / cols + i) * each..];
                for ((codes, row), &(scale, zero)) in codes.chunks_mut(group).zip(row.chunks(group)).zip(own)
                {
                    for (code, v) in codes.iter_mut().zip(row) {
                        *code = self.code(v.to_f64() as f32, scale, zero);
                    }
                }
            }
        });
        let scales: Vec<T> = found.iter().map(|(scale, _)| T::from_f64(f64::from(*scale))).collect();
        let (bits, low, zeros) = self.codes(found.iter().map(|(_, zero)| *zero).collect());
        let parts = Parts {
            bits,
            codes: &|i| codes[i],
            values: Values::From(low),
            pruned: None,
            group,
            scales: Some(&scales),
            zeros: zeros.as_deref(),
            offsets: None,
        };
        Ok(Tensor::from_packed(Arc::new(Packed::of_codes(shape, &parts)?)))
    }
}

impl Storing for HalfFloat {
    fn form<T: Float>(&self, weight: &Tensor<T>) -> Checked<Tensor<T>> {
        Ok(Packed::half(weight, *self)?.into())
    }
}

impl Storing for Activations {
    fn form<T: Float>(&self, weight: &Tensor<T>) -> Checked<Tensor<T>> {
        let packed = weight.packed_whole().ok_or("the weight isn't packed: takes integers with scales")?;
        Ok(packed.with_activations(*self)?.into())
    }
}

/// Stores the weights that `filter` picks, all or none.
fn store<M: Serialize + ?Sized>(
    what: &'static str,
    model: &M,
    filter: impl Fn(&str, &Shape) -> bool,
    how: &impl Storing,
) -> Result<()> {
    fn job<T: Float>(p: &Param<T>, how: &impl Storing) -> Result<Box<dyn FnOnce()>, String> {
        let stored = how.form(&p.effective().map_err(|why| why.to_string())?)?;
        let p = p.clone();
        Ok(Box::new(move || p.replace(stored)))
    }
    let mut jobs = Vec::new();
    each_field!(model, |name, p| {
        if filter(&name, &p.shape()) {
            let named = |why| Error::invalid(what, format!("{}: {why}", shown(&name)));
            jobs.push(job(p, how).map_err(named));
        }
    });
    picks_some(what, model, jobs.len())?;
    jobs.into_iter().collect::<Result<Vec<_>>>()?.into_iter().for_each(|job| job());
    Ok(())
}

/// Stores the weights of a model that `filter` picks as floats of 16 bits, rounded to the nearest. They
/// aren't trained any more; the model runs on them through its own `forward`.
///
/// ```
/// use kolmo::{Random, compress::{HalfFloat, matrices, quantize::store_half}, nn::Linear};
/// let net = Linear::new(64, 32, &mut Random::new(0));
/// store_half(&net, HalfFloat::Bf16, matrices)?;
/// assert_eq!(net.weight.value().packed().unwrap().bytes(), 64 * 32 * 2);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// A filter that picks no parameter; a weight with fewer than two axes. Nothing has changed then.
#[doc(alias("half", "bfloat16"))]
pub fn store_half<M: Serialize + ?Sized>(
    model: &M,
    kind: HalfFloat,
    filter: impl Fn(&str, &Shape) -> bool,
) -> Result<()> {
    store("store_half", model, filter, &kind)
}

/// Has products with the weights that `filter` picks take their inputs as they are, or rounded to bytes, which is
/// faster for one row or few: as torchao's `Int8DynamicActivationIntxWeightConfig`. Convolutions take them as they
/// are. The weights, which are to be held as integers
/// already, stay as they are, with groups that are a multiple of 32 or a row. Files don't hold it, so a model
/// that was loaded is to be told again.
///
/// The results have the same bits on every machine and any number of threads, and a row's don't depend on the
/// rows beside it. Gradients pass as through inputs that weren't rounded.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, compress::{Activations, matrices, quantize::{self, WeightOnly}}};
/// use kolmo::nn::{Layer, Linear};
/// let net = Linear::new(64, 32, &mut Random::new(0));
/// WeightOnly::new(4).groups(32).apply(&net, matrices)?;
/// let tape = Tape::inference();
/// let x = tape.constant(Tensor::from_fn([1, 64], |i| (i as f32).sin()));
/// let before = net.forward(&x).to_vec()?;
/// quantize::set_activations(&net, Activations::Int8, matrices)?;
/// assert!(net.forward(&x).to_vec()?.iter().zip(before).all(|(a, b)| (a - b).abs() < 0.01));
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// A filter that picks no parameter; a weight that is held in another form, or in groups of another length.
/// Nothing has changed then.
pub fn set_activations<M: Serialize + ?Sized>(
    model: &M,
    activations: Activations,
    filter: impl Fn(&str, &Shape) -> bool,
) -> Result<()> {
    store("set_activations", model, filter, &activations)
}

/// Makes what training left of a model's weights all that is held of them: see [`Param::freeze`].
///
/// # Errors
/// As [`Param::freeze`]'s; the parameters before the one that can't be are frozen then.
pub fn freeze<M: Serialize + ?Sized>(model: &M) -> Result<()> {
    let mut result = Ok(());
    each_field!(model, |name, p| {
        if result.is_ok() {
            result = p.freeze().map_err(|why| Error::invalid("freeze", format!("{}: {why}", shown(&name))));
        }
    });
    result
}

/// Lets everything of a model be trained that isn't, what is packed included: see [`Param::set_trainable`].
///
/// ```
/// use kolmo::{Random, compress::{matrices, quantize}, nn::Linear};
/// let net = Linear::new(8, 4, &mut Random::new(0));
/// quantize::codebooks(&net, 5, matrices)?;
/// quantize::freeze(&net)?;
/// assert!(net.weight.codebook().is_none() && !net.weight.is_trainable());
/// quantize::thaw(&net);
/// assert!(net.weight.codebook().is_some() && net.weight.is_trainable());
/// # Ok::<(), kolmo::Error>(())
/// ```
pub fn thaw<M: Serialize + ?Sized>(model: &M) {
    each_field!(model, |_name, p| p.set_trainable(true));
}
