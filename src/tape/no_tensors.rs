//! What a tape has for tensors where its numbers are none that tensors are made of.
use super::{
    parts::{Gradients, Stash, Tape, TapeNumber, TensorPart, sealed::Sealed},
    statements::Stop,
};
use crate::{
    error::{Error, Result},
    real::Dual,
};
use std::{cell::Cell, fmt};

/// For numbers that tensors aren't made of.
#[doc(hidden)]
#[derive(Default)]
pub struct NoTensors {
    failure: Cell<Option<Box<Error>>>,
}

impl fmt::Debug for NoTensors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoTensors")
    }
}

impl<T: TapeNumber<Tensors = NoTensors>> TensorPart<T> for NoTensors {
    type Leaves = ();
    fn clear(&self) {
        self.failure.set(None);
    }
    fn backward(tape: &Tape<T>, mut adjoints: Vec<T>) -> Result<Gradients<T>> {
        let (statement, argument, _) = tape.statements.len();
        tape.statements.sweep(&mut adjoints, &mut Stop { statement, argument, node: 0 }, 0);
        Ok(Gradients::new(tape, adjoints, ()))
    }
    fn failure(&self) -> Option<Error> {
        let failure = self.failure.take();
        let copy = failure.as_deref().cloned();
        self.failure.set(failure);
        copy
    }
    fn fail(&self, error: Error) {
        if TensorPart::<T>::failure(self).is_none() {
            self.failure.set(Some(Box::new(error)));
        }
    }
    fn describe(_: &(), _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
    fn recycle(_: &mut (), _: &Stash<T>) {}
}

impl<R: TapeNumber, const N: usize> Sealed for Dual<R, N> {}
impl<R: TapeNumber, const N: usize> TapeNumber for Dual<R, N> {
    type Tensors = NoTensors;
}
