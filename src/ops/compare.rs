//! Comparisons of tensors, and the logic of the masks that they give. Nothing here is recorded: a comparison
//! has no derivative. `Var::where_` takes the masks back onto the tape.
use super::{list::Float, operand::Operand};
use crate::{
    error::{Checked, Error, Result},
    tape::Var,
    tensor::{Element, Tensor, shape::broadcast},
};
use std::panic::Location;

/// How near two numbers must be for [`Var::isclose`]: `|a - b| <= atol + rtol · |b|`.
///
/// ```
/// use kolmo::{Tape, ops::IsCloseOptions};
/// let tape = Tape::<f64>::inference();
/// let (a, b) = (tape.constant([1.0, 1.0]), tape.constant([1.001, 2.0]));
/// assert_eq!(a.isclose(&b, IsCloseOptions::default().rtol(0.01))?.to_vec(), [true, false]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "options do nothing until they are given to what they are for"]
pub struct IsCloseOptions {
    rtol: f64,
    atol: f64,
    equal_nan: bool,
}

impl Default for IsCloseOptions {
    /// PyTorch's: `rtol` 1e-5, `atol` 1e-8, NaN close to nothing.
    fn default() -> IsCloseOptions {
        IsCloseOptions { rtol: 1e-5, atol: 1e-8, equal_nan: false }
    }
}

impl IsCloseOptions {
    /// The relative tolerance; not negative.
    pub fn rtol(self, rtol: f64) -> IsCloseOptions {
        IsCloseOptions { rtol, ..self }
    }

    /// The absolute tolerance; not negative.
    pub fn atol(self, atol: f64) -> IsCloseOptions {
        IsCloseOptions { atol, ..self }
    }

    /// Whether two NaN are close.
    pub fn equal_nan(self, equal_nan: bool) -> IsCloseOptions {
        IsCloseOptions { equal_nan, ..self }
    }

    fn test(&self, a: f64, b: f64) -> bool {
        // Equal infinities are close, which the difference can't tell.
        a == b
            || (a.is_finite() && b.is_finite() && (a - b).abs() <= self.atol + (self.rtol * b).abs())
            || (self.equal_nan && a.is_nan() && b.is_nan())
    }
}

/// A mask from two tensors that broadcast to each other.
fn zip<A: Element>(a: &Tensor<A>, b: &Tensor<A>, test: impl Fn(A, A) -> bool) -> Checked<Tensor<bool>> {
    let shape = broadcast(a.shape(), b.shape())?;
    let whole = |t: &Tensor<A>| t.view(t.layout().expand(&shape)?).contiguous().made();
    let (a, b) = (whole(a)?, whole(b)?);
    let (a, b) = (a.as_slice().unwrap_or_default(), b.as_slice().unwrap_or_default());
    Ok(Tensor::build(shape, |out| {
        for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *o = test(a, b);
        }
    }))
}

/// A mask from one tensor.
fn map<A: Element>(a: &Tensor<A>, test: impl Fn(A) -> bool) -> Tensor<bool> {
    let whole = a.contiguous();
    if let Some(why) = whole.lack() {
        return Tensor::lacking(why.to_string());
    }
    Tensor::build(a.shape().clone(), |out| {
        for (o, &a) in out.iter_mut().zip(whole.as_slice().unwrap_or_default()) {
            *o = test(a);
        }
    })
}

macro_rules! comparisons {
    ($( $(#[$doc:meta])* $name:ident |$a:ident, $b:ident| $test:expr; )*) => {$(
        $(#[$doc])*
        #[track_caller]
        pub fn $name<'a>(&self, other: impl Into<Operand<'a, 't, T>>) -> Result<Tensor<bool>>
        where
            't: 'a,
        {
            self.compare(stringify!($name), other.into(), |$a: T, $b: T| $test)
        }
    )*};
}

/// Comparisons with a tensor, which broadcasts, or a number. The result is a mask for
/// [`where_`](Var::where_).
///
/// ```
/// let tape = kolmo::Tape::<f32>::new();
/// let x = tape.input([-1.0, 2.0, 0.5]);
/// let positive = x.gt(0.0)?;
/// assert_eq!(positive.to_vec(), [false, true, true]);
/// assert_eq!(x.where_(&positive, &(&x * 0.1)).to_vec()?, [-0.1, 2.0, 0.5]);
/// # Ok::<(), kolmo::Error>(())
/// ```
/// # Comparisons and tests
impl<'t, T: Float> Var<'t, T> {
    comparisons! {
        /// Where `self == other`. NaN equals nothing.
        eq |a, b| a.equal(b);
        /// Where `self != other`. NaN differs from all.
        ne |a, b| !a.equal(b);
        /// Where `self < other`.
        lt |a, b| a.less(b);
        /// Where `self <= other`.
        le |a, b| a.less_equal(b);
        /// Where `self > other`.
        gt |a, b| b.less(a);
        /// Where `self >= other`.
        ge |a, b| b.less_equal(a);
        /// Where both are other than 0. NaN is other than 0.
        logical_and |a, b| !a.is_zero() && !b.is_zero();
        /// Where one or both are other than 0.
        logical_or |a, b| !a.is_zero() || !b.is_zero();
        /// Where one of both is 0.
        logical_xor |a, b| a.is_zero() != b.is_zero();
    }

    /// Where an element is 0.
    pub fn logical_not(&self) -> Result<Tensor<bool>> {
        Ok(map(self.value()?, |a| a.is_zero()))
    }

    /// Where an element is NaN.
    pub fn isnan(&self) -> Result<Tensor<bool>> {
        Ok(map(self.value()?, |a| a.to_f64().is_nan()))
    }

    /// Where an element is infinite.
    pub fn isinf(&self) -> Result<Tensor<bool>> {
        Ok(map(self.value()?, |a| a.to_f64().is_infinite()))
    }

    /// Where an element is neither infinite nor NaN.
    pub fn isfinite(&self) -> Result<Tensor<bool>> {
        Ok(map(self.value()?, |a| a.to_f64().is_finite()))
    }

    /// Where elements are as near each other as `close` says, see [`IsCloseOptions`]. Negative tolerances are
    /// an error.
    #[track_caller]
    pub fn isclose<'a>(
        &self,
        other: impl Into<Operand<'a, 't, T>>,
        close: IsCloseOptions,
    ) -> Result<Tensor<bool>>
    where
        't: 'a,
    {
        let positive = |v: f64| v >= 0.0;
        if !positive(close.rtol) || !positive(close.atol) {
            let message = format!("tolerances {} and {} must not be negative", close.rtol, close.atol);
            return Err(Error::op("isclose", message, Some(Location::caller())));
        }
        self.compare("isclose", other.into(), |a: T, b: T| close.test(a.to_f64(), b.to_f64()))
    }

    #[track_caller]
    fn compare(
        &self,
        name: &str,
        other: Operand<'_, 't, T>,
        test: impl Fn(T, T) -> bool,
    ) -> Result<Tensor<bool>> {
        let a = self.value()?;
        let mask = match other {
            Operand::Number(n) => {
                let n = T::constant(n);
                Ok(map(a, |a| test(a, n)))
            }
            Operand::Tensor(b) => zip(a, b, test),
            Operand::Var(b) => zip(a, b.value()?, test),
        };
        // Not in the closure, which has a place of its own.
        let site = Location::caller();
        mask.map_err(|message| Error::op(name, message, Some(site)))
    }
}

/// Masks combine element by element and broadcast.
/// # Logic
impl Tensor<bool> {
    /// Where both are true.
    pub fn logical_and(&self, other: &Tensor<bool>) -> Result<Tensor<bool>> {
        zip(self, other, |a, b| a & b).map_err(|message| Error::invalid("logical_and", message))
    }

    /// Where one or both are true.
    pub fn logical_or(&self, other: &Tensor<bool>) -> Result<Tensor<bool>> {
        zip(self, other, |a, b| a | b).map_err(|message| Error::invalid("logical_or", message))
    }

    /// Where one of both is true.
    pub fn logical_xor(&self, other: &Tensor<bool>) -> Result<Tensor<bool>> {
        zip(self, other, |a, b| a ^ b).map_err(|message| Error::invalid("logical_xor", message))
    }

    /// Where it is false.
    pub fn logical_not(&self) -> Tensor<bool> {
        map(self, |a| !a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tape;

    #[test]
    fn nan_compares_as_ieee_says() -> Result<()> {
        let tape = Tape::<f32>::new();
        let x = tape.constant([f32::NAN, 1.0, -0.0, f32::INFINITY]);
        assert_eq!(x.eq(&x)?.to_vec(), [false, true, true, true]);
        assert_eq!(x.ne(0.0)?.to_vec(), [true, true, false, true]);
        assert_eq!(x.le(1.0)?.to_vec(), [false, true, true, false]);
        assert_eq!(x.logical_not()?.to_vec(), [false, false, true, false]);
        assert_eq!(x.isclose(&x, IsCloseOptions::default())?.to_vec(), [false, true, true, true]);
        assert_eq!(x.isclose(&x, IsCloseOptions::default().equal_nan(true))?.to_vec(), [true; 4]);
        Ok(())
    }

    #[test]
    fn masks_broadcast_and_report_what_does_not_fit() -> Result<()> {
        let tape = Tape::<f64>::new();
        let (row, column) = (tape.constant([1.0, 2.0, 3.0]), tape.constant([[2.0], [3.0]]));
        let less = row.lt(&column)?;
        assert_eq!(less, Tensor::from([[true, false, false], [true, true, false]]));
        let more = column.logical_xor(0.0)?.logical_and(&less.logical_not())?;
        assert_eq!(more.to_vec(), [false, true, true, false, false, true]);
        let error = row.ge(&tape.constant([1.0, 2.0])).unwrap_err().to_string();
        assert!(error.contains("ge: [3] and [2] don't broadcast") && error.contains("compare.rs"), "{error}");
        assert!(row.isclose(&row, IsCloseOptions::default().atol(-1.0)).is_err());
        assert!((&row + tape.constant([1.0, 2.0])).isnan().is_err());
        Ok(())
    }
}
