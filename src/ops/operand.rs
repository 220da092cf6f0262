//! What the second operand of an operation may be.
use super::list::Float;
use crate::{
    tape::{Tape, Var},
    tensor::Tensor,
};
use std::borrow::Cow;

/// The second operand of an operation: a value of the tape, a tensor or a number. The last two are constants:
/// there is no need to put them on the tape first.
///
/// ```
/// use kolmo::{Tape, Tensor};
/// let tape = Tape::<f64>::new();
/// let (x, data) = (tape.input([1.0, 2.0]), Tensor::from([3.0, 1.0]));
/// assert_eq!(x.maximum(&data).to_vec()?, [3.0, 2.0]);
/// assert_eq!(x.maximum(1.5).to_vec()?, [1.5, 2.0]);
/// assert_eq!(x.maximum(&x.square()).to_vec()?, [1.0, 4.0]);
/// assert_eq!((&x * &data).to_vec()?, [3.0, 2.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Operand<'a, 't, T: Float> {
    /// The same number for every element.
    Number(f64),
    /// A tensor that is not differentiated.
    Tensor(&'a Tensor<T>),
    /// A value of the tape.
    Var(&'a Var<'t, T>),
}

impl<T: Float> From<f64> for Operand<'_, '_, T> {
    fn from(number: f64) -> Self {
        Operand::Number(number)
    }
}

impl<'a, T: Float> From<&'a Tensor<T>> for Operand<'a, '_, T> {
    fn from(tensor: &'a Tensor<T>) -> Self {
        Operand::Tensor(tensor)
    }
}

impl<'a, T: Float> From<&&'a Tensor<T>> for Operand<'a, '_, T> {
    fn from(tensor: &&'a Tensor<T>) -> Self {
        Operand::Tensor(tensor)
    }
}

impl<'a, 't, T: Float> From<&'a Var<'t, T>> for Operand<'a, 't, T> {
    fn from(var: &'a Var<'t, T>) -> Self {
        Operand::Var(var)
    }
}

impl<'a, 't, T: Float> From<&&'a Var<'t, T>> for Operand<'a, 't, T> {
    fn from(var: &&'a Var<'t, T>) -> Self {
        Operand::Var(var)
    }
}

impl<'a, 't, T: Float> Operand<'a, 't, T> {
    /// As a value of a tape.
    #[track_caller]
    pub(crate) fn on(self, tape: &'t Tape<T>) -> Cow<'a, Var<'t, T>> {
        match self {
            Operand::Number(number) => Cow::Owned(tape.constant(T::constant(number))),
            Operand::Tensor(tensor) => Cow::Owned(tape.constant(tensor)),
            Operand::Var(var) => Cow::Borrowed(var),
        }
    }

    /// As a value of the tape of another one.
    #[track_caller]
    pub(crate) fn beside(self, other: &Var<'t, T>) -> Cow<'a, Var<'t, T>> {
        self.on(other.tape())
    }

    /// As a value of the tape of another one, of whose shape a number is.
    #[track_caller]
    pub(crate) fn like(self, other: &Var<'t, T>) -> Cow<'a, Var<'t, T>> {
        match self {
            Operand::Number(_) if other.failed_id().is_none() => {
                Cow::Owned(self.on(other.tape()).expand_to(other.shape()))
            }
            _ => self.on(other.tape()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Result, Tape, Tensor};

    #[test]
    fn a_tensor_is_a_constant_of_the_tape_on_either_side() -> Result<()> {
        let tape = Tape::<f32>::new();
        let (x, data) = (tape.input([2.0, 4.0]), Tensor::from([[1.0, 2.0], [4.0, 8.0]]));
        let constant = tape.constant(&data);
        let same = [
            (&x + &data, &x + &constant),
            (&data + x.clone(), &constant + &x),
            (x.clone() - data.clone(), &x - &constant),
            (data.clone() - &x, &constant - &x),
            (x.clone() * &data, &x * &constant),
            (&data * &x, &constant * &x),
            (&x / data.clone(), &x / &constant),
            (data.clone() / x.clone(), &constant / &x),
            (x.maximum(&data), x.maximum(&constant)),
            (x.pow(&data), x.pow(&constant)),
            (x.lerp(&data, &data), x.lerp(&constant, &constant)),
            (x.addcmul(&data, 2.0, 0.5), &x + &constant),
            (x.where_(&x.gt(&data)?, &data), x.where_(&x.gt(&constant)?, &constant)),
        ];
        for (i, (a, b)) in same.iter().enumerate() {
            let (da, db) = (a.sum().backward()?, b.sum().backward()?);
            assert_eq!(a.to_vec()?, b.to_vec()?, "{i}");
            assert_eq!(da.get(&x).map(Tensor::to_vec), db.get(&x).map(Tensor::to_vec), "{i}");
        }
        assert_eq!(x.pow(2.0).to_vec()?, [4.0, 16.0]);
        assert_eq!(x.atan2(0.0).to_vec()?, [std::f32::consts::FRAC_PI_2; 2]);
        let references = [&x, &x].iter().map(|v| x.hypot(v).to_vec()).collect::<Result<Vec<_>>>()?;
        assert_eq!(references[0], references[1]);
        Ok(())
    }

    #[test]
    fn a_tensor_that_does_not_fit_is_told_of_at_the_operation() {
        let tape = Tape::<f64>::new();
        let x = tape.input([1.0, 2.0]);
        let error = (&x * Tensor::from([1.0, 2.0, 3.0])).ok().unwrap_err().to_string();
        assert!(
            error.contains("mul: [2] and [3] don't broadcast") && error.contains("operand.rs"),
            "{error}"
        );
        let error = x.gt(&Tensor::from([1.0, 2.0, 3.0])).unwrap_err().to_string();
        assert!(error.contains("gt: [2] and [3]") && error.contains("operand.rs"), "{error}");
    }
}
