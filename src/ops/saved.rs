//! Operations as they go into files. What comes back is checked against its operands before it is run.
use super::{
    Op,
    attend::Attend,
    binary::{Binary, Test, Where},
    binary_cross_entropy::BinaryCrossEntropy,
    conv::Conv,
    cross_entropy::MeanCrossEntropy,
    extremum::Extremum,
    linalg::Linalg,
    reduce::Reduce,
    scan::Scan,
    shape::ShapeOp,
    softmax::Softmax,
    solve::Solve,
    standardize::{Standardize, Standardized},
    take::Take,
    unary::Unary,
};
use crate::{
    error::Checked,
    tape::Float,
    tensor::{Shape, Tensor},
};
use serde::{Deserialize, Serialize};

macro_rules! saved {
    ($($variant:ident($t:ty))*) => {
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
                match op {
                    Op::Where(_) => Some(SavedOp::Where),
                    Op::Standardize(op) => Some(SavedOp::Standardize(op.how)),
                    $(Op::$variant(op) => Some(SavedOp::$variant(op.clone())),)*
                    Op::Input | Op::Param(_) | Op::Mixed(_) | Op::Fused(_) | Op::Custom(_) => None,
                }
            }

            pub fn op<T: Float>(&self) -> Op<T> {
                match self {
                    SavedOp::Where => Op::Where(Where),
                    SavedOp::Standardize(how) => Op::Standardize(Standardized { how: *how, known: None }),
                    $(SavedOp::$variant(op) => Op::$variant(op.clone()),)*
                }
            }
        }
    };
}
saved! {
    Attend(Attend) BinaryCrossEntropy(BinaryCrossEntropy) Conv(Conv) Unary(Unary) Binary(Binary) Extremum(Extremum) Scan(Scan) CrossEntropy(MeanCrossEntropy) Softmax(Softmax)
    Solve(Solve) Take(Take) Test(Test) Linalg(Linalg) Reduce(Reduce) Shape(ShapeOp)
}

impl SavedOp {
    /// The operation, if it fits these operands and the shape that its result is said to have.
    pub fn for_operands<T: Float>(&self, x: &[&Tensor<T>], y: &Shape) -> Checked<Op<T>> {
        let op = self.op();
        op.rule().check(x, y).map_err(|message| format!("{}: {message}", op.rule().name()))?;
        Ok(op)
    }
}
