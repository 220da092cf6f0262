//! From an operation to its rule.
use super::list::{Float, TensorOp, operations};
use crate::tape::Rule;
use std::fmt;

macro_rules! rules {
    ($($variant:ident($t:ty))* ; $($special:ident($s:ty))*) => {
        impl<T: Float> TensorOp<T> {
            /// All rules with all that they call: compiled where a float is told to be one.
            pub(crate) fn rule_here(&self) -> &dyn Rule<T> {
                match self {
                    $(TensorOp::$variant(op) => op,)*
                    $(TensorOp::$special(op) => op,)*
                }
            }
        }
    };
}
operations!(rules);

impl<T: Float> TensorOp<T> {
    pub(crate) fn rule(&self) -> &dyn Rule<T> {
        T::rule(self)
    }

    /// Whether both compute the same of the same operands, as far as that is known.
    pub fn same(&self, other: &TensorOp<T>) -> bool {
        match (self, other) {
            (TensorOp::Attend(a), TensorOp::Attend(b)) => a.same(b),
            (TensorOp::Distance(a), TensorOp::Distance(b)) => a == b,
            (TensorOp::Unary(a), TensorOp::Unary(b)) => a == b,
            (TensorOp::Binary(a), TensorOp::Binary(b)) => a == b,
            (TensorOp::Extremum(a), TensorOp::Extremum(b)) => a == b,
            (TensorOp::Scan(a), TensorOp::Scan(b)) => a == b,
            (TensorOp::Softmax(a), TensorOp::Softmax(b)) => a == b,
            (TensorOp::Solve(a), TensorOp::Solve(b)) => a == b,
            (TensorOp::Linalg(a), TensorOp::Linalg(b)) => a == b,
            (TensorOp::Recurrence(a), TensorOp::Recurrence(b)) => a == b,
            (TensorOp::Reduce(a), TensorOp::Reduce(b)) => a == b,
            (TensorOp::Shape(a), TensorOp::Shape(b)) => a == b,
            (TensorOp::Test(a), TensorOp::Test(b)) => a == b,
            (TensorOp::Where(_), TensorOp::Where(_)) => true,
            _ => false,
        }
    }
}

impl<T: Float> fmt::Debug for TensorOp<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule().name())
    }
}
