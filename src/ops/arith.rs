//! `+ - * /` for owned and borrowed values, with tensors and plain numbers on either side.
use super::list::{Binary, Float, Unary};
use crate::{
    tape::{Scalar, Var},
    tensor::Tensor,
};
use std::ops::{Add, Div, Mul, Neg, Sub};

macro_rules! operators {
    ($($trait:ident $f:ident)*) => {$(
        operators!(pair $trait $f, Var<'t, T>, Var<'t, T>);
        operators!(pair $trait $f, Var<'t, T>, &Var<'t, T>);
        operators!(pair $trait $f, &Var<'t, T>, Var<'t, T>);
        operators!(pair $trait $f, &Var<'t, T>, &Var<'t, T>);
        operators!(tensor $trait $f, Var<'t, T>, Tensor<T>);
        operators!(tensor $trait $f, Var<'t, T>, &Tensor<T>);
        operators!(tensor $trait $f, &Var<'t, T>, Tensor<T>);
        operators!(tensor $trait $f, &Var<'t, T>, &Tensor<T>);
        operators!(number $trait $f, Var<'t, T>);
        operators!(number $trait $f, &Var<'t, T>);
        operators!(scalar $trait $f, Var<'t, T>);
        operators!(scalar $trait $f, &Var<'t, T>);
    )*};
    (pair $trait:ident $f:ident, $a:ty, $b:ty) => {
        impl<'t, T: Float> $trait<$b> for $a {
            type Output = Var<'t, T>;
            #[track_caller]
            fn $f(self, other: $b) -> Var<'t, T> {
                self.tape().apply(Binary::$trait, &[&self, &other])
            }
        }
    };
    (tensor $trait:ident $f:ident, $a:ty, $b:ty) => {
        /// A tensor is a constant of the value's tape.
        impl<'t, T: Float> $trait<$b> for $a {
            type Output = Var<'t, T>;
            #[track_caller]
            fn $f(self, other: $b) -> Var<'t, T> {
                self.tape().apply(Binary::$trait, &[&self, &self.tape().constant(other)])
            }
        }
        /// A tensor is a constant of the value's tape.
        impl<'t, T: Float> $trait<$a> for $b {
            type Output = Var<'t, T>;
            #[track_caller]
            fn $f(self, other: $a) -> Var<'t, T> {
                other.tape().apply(Binary::$trait, &[&other.tape().constant(self), &other])
            }
        }
    };
    (number $trait:ident $f:ident, $a:ty) => {
        impl<'t, T: Float> $trait<f64> for $a {
            type Output = Var<'t, T>;
            #[track_caller]
            fn $f(self, number: f64) -> Var<'t, T> {
                self.tape().apply(operators!(right $trait number), &[&self])
            }
        }
        impl<'t, T: Float> $trait<$a> for f64 {
            type Output = Var<'t, T>;
            #[track_caller]
            fn $f(self, other: $a) -> Var<'t, T> {
                other.tape().apply(operators!(left $trait self), &[&other])
            }
        }
    };
    (right Add $n:expr) => { Unary::AddNumber { number: $n } };
    (right Sub $n:expr) => { Unary::AddNumber { number: -$n } };
    (right Mul $n:expr) => { Unary::MulNumber { number: $n } };
    (right Div $n:expr) => { Unary::DivNumber { number: $n } };
    (left Add $n:expr) => { Unary::AddNumber { number: $n } };
    (left Sub $n:expr) => { Unary::RsubNumber { number: $n } };
    (left Mul $n:expr) => { Unary::MulNumber { number: $n } };
    (left Div $n:expr) => { Unary::RdivNumber { number: $n } };
    (scalar $trait:ident $f:ident, $a:ty) => {
        impl<'t, T: Float> $trait<Scalar<'t, T>> for $a {
            type Output = Var<'t, T>;
            #[track_caller]
            fn $f(self, other: Scalar<'t, T>) -> Var<'t, T> {
                let other = self.tape().lift(other);
                self.tape().apply(Binary::$trait, &[&self, &other])
            }
        }
        impl<'t, T: Float> $trait<$a> for Scalar<'t, T> {
            type Output = Var<'t, T>;
            #[track_caller]
            fn $f(self, other: $a) -> Var<'t, T> {
                let this = other.tape().lift(self);
                other.tape().apply(Binary::$trait, &[&this, &other])
            }
        }
    };
}
operators!(Add add Sub sub Mul mul Div div);

impl<'t, T: Float> Neg for Var<'t, T> {
    type Output = Var<'t, T>;
    #[track_caller]
    fn neg(self) -> Var<'t, T> {
        Var::neg(&self)
    }
}

impl<'t, T: Float> Neg for &Var<'t, T> {
    type Output = Var<'t, T>;
    #[track_caller]
    fn neg(self) -> Var<'t, T> {
        Var::neg(self)
    }
}
