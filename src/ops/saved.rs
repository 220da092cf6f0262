//! Operations as they go into files. What comes back is checked against its operands before it is run.
use super::list::{
    Attend, Binary, BinaryCrossEntropy, Conv, Distance, Extremum, Float, Linalg, MeanCrossEntropy, Put,
    Recurrence, Reduce, Scan, ShapeOp, Softmax, Solve, Standardize, Standardized, Take, TensorOp, Test,
    Unary, Where, operations,
};
use crate::{
    error::Checked,
    tape::Op,
    tensor::{Shape, Tensor},
};
use serde::{Deserialize, Serialize};

macro_rules! saved {
    ($($variant:ident($t:ty))* ; $($special:tt)*) => {
        /// An operation without anything that only the program has that recorded it.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub(crate) enum SavedOp {
            Where,
            Standardize(Standardize),
            $($variant($t),)*
        }

        impl SavedOp {
            /// The operation for a file; `None` if it can't be in one: it is code of the program.
            pub fn of<T: Float>(op: &Op<T>) -> Option<SavedOp> {
                let Op::Tensor(op) = op else { return None };
                match op {
                    TensorOp::Where(_) => Some(SavedOp::Where),
                    TensorOp::Standardize(op) => Some(SavedOp::Standardize(op.how)),
                    $(TensorOp::$variant(op) => Some(SavedOp::$variant(op.clone())),)*
                    TensorOp::Fused(_) => None,
                }
            }

            pub fn op<T: Float>(&self) -> TensorOp<T> {
                match self {
                    SavedOp::Where => TensorOp::Where(Where),
                    SavedOp::Standardize(how) => TensorOp::Standardize(Standardized { how: *how, known: None, of_all: None }),
                    $(SavedOp::$variant(op) => TensorOp::$variant(op.clone()),)*
                }
            }
        }
    };
}
operations!(saved);

impl SavedOp {
    /// The operation, if it fits these operands and the shape that its result is said to have.
    pub fn for_operands<T: Float>(&self, x: &[&Tensor<T>], y: &Shape) -> Checked<TensorOp<T>> {
        let op = self.op();
        op.rule().check(x, y).map_err(|message| format!("{}: {message}", op.rule().name()))?;
        Ok(op)
    }
}
