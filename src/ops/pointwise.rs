//! Operations element by element that are composed of others: they need no derivatives of their own.
use super::{
    list::{Binary, Float},
    operand::Operand,
};
use crate::{
    real::powi,
    tape::Var,
    tensor::{Shape, Tensor},
};

/// # Functions of each element with several operands
impl<'t, T: Float> Var<'t, T> {
    /// The point between `self` and `end` at `weight`: `self + weight · (end - self)`; all broadcast.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let (start, end) = (tape.constant([1.0, 2.0]), tape.constant([5.0, 2.0]));
    /// assert_eq!(start.lerp(&end, 0.25).to_vec()?, [2.0, 2.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn lerp<'a>(
        &self,
        end: impl Into<Operand<'a, 't, T>>,
        weight: impl Into<Operand<'a, 't, T>>,
    ) -> Var<'t, T>
    where
        't: 'a,
    {
        self.between(end.into(), weight.into())
    }

    #[track_caller]
    fn between(&self, end: Operand<'_, 't, T>, weight: Operand<'_, 't, T>) -> Var<'t, T> {
        let end = &*end.on(self.tape());
        match weight {
            // From the nearer end, so that a weight of 1 gives `end` itself.
            Operand::Number(w) if w.abs() >= 0.5 => {
                (end - (end - self) * (1.0 - w)).named("lerp", &[self, end])
            }
            Operand::Number(w) => (self + (end - self) * w).named("lerp", &[self, end]),
            _ => {
                let w = &*weight.on(self.tape());
                (self + w * (end - self)).named("lerp", &[self, end, w])
            }
        }
    }

    /// `self + value · tensor1 · tensor2`; all broadcast.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let [x, a, b] = [[1.0, 1.0], [2.0, 3.0], [3.0, 4.0]].map(|v| tape.constant(v));
    /// assert_eq!(x.addcmul(&a, &b, 0.5).to_vec()?, [4.0, 7.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn addcmul<'a>(
        &self,
        tensor1: impl Into<Operand<'a, 't, T>>,
        tensor2: impl Into<Operand<'a, 't, T>>,
        value: f64,
    ) -> Var<'t, T>
    where
        't: 'a,
    {
        let (a, b) = (&*tensor1.into().on(self.tape()), &*tensor2.into().on(self.tape()));
        let product = a * b;
        let y = if value == 1.0 { self + product } else { self + product * value };
        y.named("addcmul", &[self, a, b])
    }

    /// `self + value · tensor1 / tensor2`; all broadcast.
    #[track_caller]
    pub fn addcdiv<'a>(
        &self,
        tensor1: impl Into<Operand<'a, 't, T>>,
        tensor2: impl Into<Operand<'a, 't, T>>,
        value: f64,
    ) -> Var<'t, T>
    where
        't: 'a,
    {
        let (a, b) = (&*tensor1.into().on(self.tape()), &*tensor2.into().on(self.tape()));
        let quotient = a / b;
        let y = if value == 1.0 { self + quotient } else { self + quotient * value };
        y.named("addcdiv", &[self, a, b])
    }

    /// Rounded to this number of decimals, halves to even; derivative 0. Negative numbers round to tens,
    /// hundreds, ….
    #[track_caller]
    pub fn round_decimals(&self, decimals: i32) -> Var<'t, T> {
        let scale = powi(10f64, decimals.saturating_abs());
        match decimals {
            0 => self.round(),
            1.. => (self * scale).round() / scale,
            _ => (self / scale).round() * scale,
        }
    }

    /// NaN, infinity and negative infinity replaced by numbers; the infinities by default by the largest and
    /// smallest finite number of the type.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant([f64::NAN, f64::INFINITY, 1.0]);
    /// assert_eq!(x.nan_to_num(0.0, Some(9.0), None).to_vec()?, [0.0, 9.0, 1.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn nan_to_num(&self, nan: f64, posinf: Option<f64>, neginf: Option<f64>) -> Var<'t, T> {
        let largest = if T::constant(f64::MAX).primal().is_finite() { f64::MAX } else { f32::MAX as f64 };
        self.replace_nonfinite(nan, posinf.unwrap_or(largest), neginf.unwrap_or(-largest))
    }

    /// `self` where positive, else `weight · self`, with one weight for all or one for each channel (axis 1).
    /// The derivative at 0 is the weight.
    #[track_caller]
    pub fn prelu(&self, weight: &Var<'t, T>) -> Var<'t, T> {
        let channels = if self.rank() > 1 { self.dim(1) } else { 1 };
        let n = weight.numel();
        if self.ok().is_ok() && weight.ok().is_ok() && (weight.rank() > 1 || (n != 1 && n != channels)) {
            let message = format!(
                "weights of shape {}; input {} takes 1 or {channels} of them",
                weight.shape(),
                self.shape()
            );
            return self.tape().fail_op("prelu", message, &[self, weight]);
        }
        let shape: Shape = (0..self.rank()).map(|axis| if axis == 1 { n } else { 1 }).collect();
        let weight = if n == 1 { weight.reshape([]) } else { weight.reshape_to(&shape) };
        self.tape().apply(Binary::Prelu, &[self, &weight])
    }

    /// `self` where positive, else `self` times a slope: in training random between `lower` and `upper` for
    /// each element, in evaluation their mean (Xu et al., 2015). PyTorch's bounds are 1/8 and 1/3.
    #[track_caller]
    pub fn rrelu(&self, lower: f64, upper: f64) -> Var<'t, T> {
        let tape = self.tape();
        if lower > upper {
            return tape.fail_op("rrelu", format!("lower {lower} is above upper {upper}"), &[self]);
        }
        if !tape.is_training() {
            return self.leaky_relu((lower + upper) / 2.0);
        }
        let random = tape.draw(self.numel());
        let slope = |i: usize| T::constant(lower + (upper - lower) * random.uniform_at(i as u64));
        tape.apply(Binary::Prelu, &[self, &tape.constant(Tensor::from_fn(self.shape(), slope))])
    }

    /// The gated linear unit: the first half of an axis times the sigmoid of its second half (Dauphin et al.,
    /// 2017).
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant([1.0, 2.0, 0.0, 0.0]);
    /// assert_eq!(x.glu(0).to_vec()?, [0.5, 1.0]); // sigmoid(0) = 1/2
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn glu(&self, dim: isize) -> Var<'t, T> {
        let axis = match self.shape().axis(dim) {
            Ok(axis) => axis,
            Err(message) => return self.tape().fail_op("glu", message, &[self]),
        };
        let size = self.dim(axis as isize);
        if self.ok().is_ok() && (self.rank() == 0 || size % 2 == 1) {
            let message =
                format!("axis {dim} of shape {} can't be halved; its size must be even", self.shape());
            return self.tape().fail_op("glu", message, &[self]);
        }
        self.narrow(dim, 0, size / 2) * self.narrow(dim, size / 2, size / 2).sigmoid()
    }
}
