//! Gradients as one vector: its length, clipping, and sums of several.
use crate::{
    error::{Error, Result},
    ops::Float,
    real::Arithmetic,
    tape::{Gradients, Leaf, NodeId, Random},
    tensor::Tensor,
};

impl<T: Float> Gradients<T> {
    /// Multiplies every gradient of an input or parameter by a number.
    pub fn scale(&mut self, factor: f64) {
        self.change(|v| v * T::from_f64(factor));
    }

    /// The 2-norm of all gradients of inputs and parameters taken as one vector.
    #[must_use]
    pub fn norm(&self) -> f64 {
        let squares = |t: &Tensor<T>| t.to_vec().iter().map(|v| v.to_f64() * v.to_f64()).sum::<f64>();
        self.leaves.iter().map(|leaf| squares(&leaf.grad)).sum::<f64>().sqrt()
    }

    /// Scales all gradients so that their norm as one vector is at most `max_norm`, and gives the norm they
    /// had, as `torch.nn.utils.clip_grad_norm_`: the factor is `min(1, max_norm / (norm + 1e-6))`.
    /// `norm_type` is the p of the p-norm: 2 for the usual one, infinity for the largest gradient.
    ///
    /// ```
    /// use kolmo::Tape;
    /// let tape = Tape::<f64>::new();
    /// let x = tape.input([3.0, 4.0]);
    /// let mut grads = (&x * &x * 0.5).sum().backward()?;
    /// assert_eq!(grads.clip_norm(1.0, 2.0)?, 5.0);
    /// assert!((grads.norm() - 1.0).abs() < 1e-6);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[doc(alias = "clip_grad_norm_")]
    pub fn clip_norm(&mut self, max_norm: f64, norm_type: f64) -> Result<f64> {
        if !(max_norm >= 0.0 && norm_type > 0.0) {
            let message =
                format!("max_norm {max_norm} and norm_type {norm_type}: expected at least 0, and above 0");
            return Err(Error::invalid("clip_norm", message));
        }
        let norm = if norm_type == 2.0 { self.norm() } else { self.p_norm(norm_type) };
        let factor = max_norm / (norm + 1e-6);
        if factor < 1.0 || factor.is_nan() {
            self.scale(factor);
        }
        Ok(norm)
    }

    fn p_norm(&self, p: f64) -> f64 {
        let all = self.leaves.iter().flat_map(|leaf| leaf.grad.to_vec()).map(|v| v.to_f64().abs());
        if p == f64::INFINITY {
            // NaN stays NaN.
            return all.fold(0.0, |a, b| if a > b || a.is_nan() { a } else { b });
        }
        Arithmetic::pow(all.map(|v| Arithmetic::pow(v, p)).sum::<f64>(), 1.0 / p)
    }

    /// Clamps every gradient to `-clip_value..=clip_value`, as `torch.nn.utils.clip_grad_value_`.
    ///
    /// ```
    /// use kolmo::Tape;
    /// let tape = Tape::<f64>::new();
    /// let x = tape.input([3.0, -0.5]);
    /// let mut grads = (&x * &x).sum().backward()?;
    /// grads.clip_value(2.0)?;
    /// assert_eq!(grads.get(&x).unwrap().to_vec(), [2.0, -1.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[doc(alias = "clip_grad_value_")]
    pub fn clip_value(&mut self, clip_value: f64) -> Result<()> {
        if clip_value < 0.0 || clip_value.is_nan() {
            return Err(Error::invalid("clip_value", format!("{clip_value} is not at least 0")));
        }
        let (low, high) = (T::from_f64(-clip_value), T::from_f64(clip_value));
        self.change(|v| {
            if v < low {
                low
            } else if v > high {
                high
            } else {
                v
            }
        });
        Ok(())
    }

    /// Adds noise to every gradient of an input or parameter: to each element a number of its own from the
    /// normal distribution with mean 0 and this standard deviation.
    ///
    /// ```
    /// use kolmo::{Random, Tape};
    /// let tape = Tape::<f64>::new();
    /// let x = tape.input([3.0, 4.0]);
    /// let mut grads = x.sum().backward()?;
    /// grads.add_noise(0.1, &mut Random::new(0))?;
    /// let noisy = grads.get(&x).unwrap().to_vec();
    /// assert!(noisy[0] != noisy[1] && noisy.iter().all(|g| (g - 1.0).abs() < 1.0));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the standard deviation is negative or not finite.
    #[doc(alias("noise_multiplier", "differential privacy"))]
    pub fn add_noise(&mut self, std: f64, rng: &mut Random) -> Result<()> {
        if !(std >= 0.0 && std.is_finite()) {
            return Err(Error::invalid(
                "add_noise",
                format!("std {std} is not a finite number of at least 0"),
            ));
        }
        self.change(|v| v + T::from_f64(rng.normal(0.0, std)));
        Ok(())
    }

    /// Adds the gradients of parameters of another sweep to these: several small batches make a large one.
    /// Gradients of inputs and scalars belong to one sweep and stay as they are.
    ///
    /// ```
    /// use kolmo::{Tape, Tensor, nn::Param};
    /// let p = Param::new(Tensor::from([1.0f32, 2.0]));
    /// let sweep = || Tape::new().param(&p).sum().backward();
    /// let mut grads = sweep()?;
    /// grads.accumulate(&sweep()?)?;
    /// assert_eq!(grads.param(&p).unwrap().to_vec(), [2.0, 2.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn accumulate(&mut self, other: &Gradients<T>) -> Result<()> {
        let params = || other.leaves.iter().filter(|leaf| leaf.param.is_some());
        for leaf in params() {
            if let Some(known) =
                leaf.param.and_then(|id| self.by_id(id)).filter(|known| known.shape() != leaf.grad.shape())
            {
                let message = format!("gradients of shape {} and {}", known.shape(), leaf.grad.shape());
                return Err(Error::invalid("accumulate", message));
            }
        }
        for leaf in params() {
            match self.leaves.iter_mut().find(|known| known.param == leaf.param) {
                Some(known) => {
                    let more = leaf.grad.to_vec();
                    for (v, more) in known.grad.as_mut_slice().iter_mut().zip(more) {
                        *v = *v + more;
                    }
                }
                // No node of this tape: it is known by its parameter alone.
                None => {
                    self.leaves.push(Leaf { node: NodeId::NONE, param: leaf.param, grad: leaf.grad.clone() });
                }
            }
        }
        Ok(())
    }

    fn change(&mut self, mut f: impl FnMut(T) -> T) {
        for leaf in &mut self.leaves {
            for v in leaf.grad.as_mut_slice() {
                *v = f(*v);
            }
        }
    }
}
