//! A parameter that isn't trained any more, held in no more than its form takes, and the way back.
use super::handle::{Form, Param, ParamState, Steps};
use crate::{
    error::{Checked, Error, Result},
    kernels::packed::{Packed, Parts, Values},
    ops::Float,
    tensor::Tensor,
};
use std::{borrow::Cow, sync::Arc};

/// Codes of up to eight bits, by index.
const MOST: usize = 256;

/// # Packed: held in the form alone
impl<T: Float> Param<T> {
    /// Freezes the parameter for good, until [`set_trainable`](Param::set_trainable): integers and step
    /// sizes, or codes and centroids, are then all that is held of it, and it is used as it is held. A mask's
    /// zeros are a code of their own. A parameter that is neither of steps nor of a codebook, or has fewer
    /// than two axes, stays as it is.
    ///
    /// ```
    /// use kolmo::{Tensor, nn::Param};
    /// let p = Param::new(Tensor::from([[0.4f32, -1.1], [0.9, 0.1]]));
    /// p.set_steps(4, 0, Tensor::from([0.5]))?;
    /// let used = p.effective()?;
    /// p.freeze()?;
    /// assert!(p.value().packed().is_some() && !p.is_trainable());
    /// assert_eq!(p.effective()?, used);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// An [own operation](Param::parametrize) stands between the tensor and its use; more than 256 centroids.
    pub fn freeze(&self) -> Result<()> {
        let state = self.state();
        let fits = state.value.rank() > 1 && state.value.numel() > 0;
        if let [only] = &self.own_operations()[..]
            && let (true, Some(kind)) = (fits, only.half())
        {
            let half = Packed::half(&self.effective()?, kind).map_err(|why| Error::invalid("freeze", why))?;
            self.replace(half.into());
            return Ok(());
        }
        if self.is_packed() || matches!(state.form, Form::Dense) || !fits {
            self.set_trainable(false);
            return Ok(());
        }
        if self.has_custom() {
            return Err(Error::invalid(
                "freeze",
                "an operation of one's own stands before its use: bake it first",
            ));
        }
        let packed = match &state.form {
            Form::Codes(_) => self.packed_steps(&state)?,
            _ => packed_codebook(&state).map_err(|why| Error::invalid("freeze", why))?,
        };
        self.replace_state(ParamState::dense(Tensor::from_packed(Arc::new(packed))))
    }

    fn packed_steps(&self, state: &ParamState<T>) -> Result<Packed<T>> {
        let lost = || Error::invalid("freeze", "the weights have no step sizes");
        let (Some(steps), Some((numbers, sizes))) = (state.steps(), self.numbers()?) else {
            return Err(lost());
        };
        let most = (1i32 << (steps.bits - 1)) - 1;
        let (numbers, mask) = (numbers.to_vec(), state.mask.as_ref().map(Tensor::to_vec));
        // One code is left over.
        let pruned = mask.is_some().then_some(2 * most as usize + 1);
        let code = |i: usize| match (&mask, pruned) {
            (Some(mask), Some(pruned)) if !mask[i] => pruned as u8,
            _ => (numbers[i] + most) as u8,
        };
        let worth = |code: usize| if code as i32 > 2 * most { 0.0 } else { f64::from(code as i32 - most) };
        let parts = Parts {
            bits: steps.bits,
            codes: &code,
            values: match pruned {
                None => Values::From(-most),
                Some(_) => Values::Table(Box::new(std::array::from_fn(|code| T::constant(worth(code))))),
            },
            pruned: pruned.map(|code| code as u8),
            group: steps.group,
            scales: Some(&sizes),
            zeros: None,
            offsets: None,
        };
        Packed::of_codes(state.value.shape(), &parts).map_err(|why| Error::invalid("freeze", why))
    }
}

/// The steps' sizes as they are used.
fn sizes_of<T: Float>(steps: &Steps<T>) -> Result<Vec<T>> {
    let tape = crate::tape::Tape::inference();
    steps.used(&tape).to_vec()
}

fn packed_codebook<T: Float>(state: &ParamState<T>) -> Checked<Packed<T>> {
    let (codes, centroids) = state.codebook().ok_or("the weights have no codebook")?;
    let values = centroids.effective().map_err(|why| why.to_string())?.to_vec();
    let (codes, mask) = (codes.to_vec(), state.mask.as_ref().map(Tensor::to_vec));
    let pruned = mask.as_ref().filter(|mask| mask.iter().any(|keep| !keep)).map(|_| values.len());
    let count = values.len() + usize::from(pruned.is_some());
    if count > MOST {
        return Err(format!("{count} values, zeros of a mask included: takes up to {MOST}"));
    }
    let sizes = state.steps().map(sizes_of).transpose().map_err(|why| why.to_string())?;
    let code = |i: usize| match (&mask, pruned) {
        (Some(mask), Some(pruned)) if !mask[i] => pruned as u8,
        _ => codes[i] as u8,
    };
    let consecutive = || {
        let low = values.first()?.to_f64();
        let follow = values.iter().enumerate().all(|(i, v)| v.to_f64() == low + i as f64);
        (pruned.is_none() && follow && low.abs() < 1024.0 && low.fract() == 0.0).then_some(low as i32)
    };
    let parts = Parts {
        bits: (count.max(2) - 1).ilog2() + 1,
        codes: &code,
        values: match consecutive() {
            Some(low) => Values::From(low),
            None => {
                let worth = |code: usize| values.get(code).copied().unwrap_or_default();
                Values::Table(Box::new(std::array::from_fn(worth)))
            }
        },
        pruned: pruned.map(|code| code as u8),
        group: state.steps().map_or(0, |steps| steps.group),
        scales: sizes.as_deref(),
        zeros: None,
        offsets: None,
    };
    Packed::of_codes(state.value.shape(), &parts)
}

/// What a packed tensor is when it is to be trained: a codebook where its codes are all there is, else plain
/// numbers.
pub(super) fn thawed<T: Float>(value: &Tensor<T>) -> ParamState<T> {
    let plain = value.in_memory().map_or_else(Tensor::lacking, Cow::into_owned);
    let mut state = ParamState::dense(plain);
    let whole = value.packed_matrix().is_some() || value.rank() != 2;
    let Some(packed) = value.held().filter(|_| whole) else { return state };
    let Some(codes) =
        packed.codes().filter(|codes| codes.offsets().is_none() && codes.zero_points().is_none())
    else {
        return state;
    };
    let shape = packed.shape();
    let (list, pruned) = (codes.to_vec(), codes.pruned());
    let values: Vec<T> = match pruned {
        // Of nothing but pruned weights, too, a codebook has a value.
        Some(pruned) => (0..pruned.max(1)).map(|code| codes.value(code)).collect(),
        None => (0..=list.iter().copied().max().unwrap_or(0)).map(|code| codes.value(code)).collect(),
    };
    let kept = |code: u8| Some(code) != pruned;
    state.mask = pruned.map(|_| Tensor::from_fn(shape, |i| kept(list[i])));
    let of = |i: usize| if kept(list[i]) { u32::from(list[i]) } else { 0 };
    let centroids = Param::new(Tensor::from(values));
    let steps = codes.scales().map(|sizes| {
        centroids.set_trainable(false);
        let bits = codes.bits().clamp(2, 8);
        Steps { bits, group: codes.group(), sizes: Param::new(Tensor::from(sizes)) }
    });
    state.form = Form::Codebook { codes: Tensor::from_fn(shape, of), centroids, steps };
    state
}

/// # Held in fewer bits
impl<T: Float> Tensor<T> {
    /// The form in which the elements are held, unless they are plain floats.
    pub fn packed(&self) -> Option<Arc<Packed<T>>> {
        self.held()
    }
}

impl<T: Float> From<Packed<T>> for Tensor<T> {
    fn from(packed: Packed<T>) -> Tensor<T> {
        Tensor::from_packed(Arc::new(packed))
    }
}

/// Checks that what is packed is all that a parameter is.
pub(super) fn alone<T: Float>(state: &ParamState<T>) -> Checked<()> {
    if state.value.source().is_none() || (state.mask.is_none() && matches!(state.form, Form::Dense)) {
        return Ok(());
    }
    let why = "the tensor is packed, so mask, codebook and steps are part of it: set_trainable(true) takes it apart";
    Err(why.into())
}
