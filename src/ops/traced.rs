//! An expression over plain numbers run on tensors: in one fused pass, or as a program over the tape when its
//! operations are to be recorded.
use super::list::{Float, Test};
use crate::{
    kernels::map::{Expr, map},
    real::{Arithmetic, number::value, table::elementary},
    tape::{Rule, Step, Var},
    tensor::{Shape, shape::broadcast},
};
use std::{
    cell::RefCell,
    ops::{Add, BitAnd, BitOr, Div, Mul, Neg, Not, Sub},
};

/// The expression over operands that broadcast to each other. With `record` it runs as ordinary operations.
#[track_caller]
pub(crate) fn eval<'t, T: Float, E: Expr<N>, const N: usize>(
    e: E,
    x: [&Var<'t, T>; N],
    record: bool,
) -> Var<'t, T> {
    let tape = x[0].tape();
    if let Some(failed) = x.iter().find(|v| v.failed_id().is_some()) {
        return (*failed).clone();
    }
    if !record {
        let first = x[0].shape();
        let value = if x.iter().all(|v| v.shape() == first) {
            map(e, x.map(Var::tensor), first)
        } else {
            let shape = x.iter().try_fold(Shape::default(), |s, v| broadcast(&s, v.shape()));
            shape.and_then(|shape| map(e, x.map(Var::tensor), &shape))
        };
        return match value {
            Ok(value) => tape.constant(value),
            Err(message) => tape.fail_op("map", message, &x),
        };
    }
    let arena = RefCell::new(x.map(Var::clone).to_vec());
    let operands: [Traced<'_, 't, T>; N] = std::array::from_fn(|i| Traced::At(&arena, i as u32));
    e.eval(operands).var(&arena)
}

impl<'t, T: Float> Step<'_, 't, T> {
    /// Adds an expression in `[x, y, grad]` to the gradient of an operand: one fused pass, or a program over
    /// the tape if the sweep is to be differentiated. The result is summed to the operand's shape if that
    /// was broadcast.
    pub(crate) fn give_expr<E: Expr<N>, const N: usize>(&mut self, input: usize, e: E, x: [&Var<'t, T>; N]) {
        if !self.wants(input) {
            return;
        }
        let full = eval(e, x, self.graph());
        let same = self.has_shape(input, full.shape());
        let grad = if same { full } else { full.sum_to(&self.input_shape(input)) };
        self.give(input, grad);
    }
}

type Arena<'t, T> = RefCell<Vec<Var<'t, T>>>;

/// A tensor on a tape as a `Copy` number: a place in an arena, or a constant.
#[derive(Clone, Copy)]
pub(crate) enum Traced<'a, 't, T: Float> {
    Const(f64),
    At(&'a Arena<'t, T>, u32),
}

/// A comparison's outcome: known, or a tensor of zeros and ones.
#[derive(Clone, Copy)]
pub(crate) enum TracedMask<'a, 't, T: Float> {
    Const(bool),
    At(&'a Arena<'t, T>, u32),
}

impl<T: Float> std::fmt::Debug for Traced<'_, '_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Traced::Const(v) => write!(f, "{v}"),
            Traced::At(_, i) => write!(f, "#{i}"),
        }
    }
}

fn push<'t, T: Float>(arena: &Arena<'t, T>, v: Var<'t, T>) -> u32 {
    let mut arena = arena.borrow_mut();
    arena.push(v);
    arena.len() as u32 - 1
}

fn at<'t, T: Float>(arena: &Arena<'t, T>, i: u32) -> Var<'t, T> {
    arena.borrow()[i as usize].clone()
}

/// A comparison as zeros and ones. Only a program or a saved tape has to do it again; else it stands for no
/// statement.
fn mask<'t, T: Float>(a: &Var<'t, T>, b: &Var<'t, T>, test: Test) -> Var<'t, T> {
    let tape = a.tape();
    if [a, b].into_iter().any(|v| tape.runs_again(v)) || tape.is_traced() {
        return tape.apply(test, &[a, b]);
    }
    match test.forward(&[a.tensor(), b.tensor()]) {
        Ok(mask) => tape.constant(mask),
        Err(message) => tape.fail_op(Rule::<T>::name(&test), message, &[a, b]),
    }
}

impl<'a, 't, T: Float> Traced<'a, 't, T> {
    fn var(self, arena: &'a Arena<'t, T>) -> Var<'t, T> {
        match self {
            Traced::Const(v) => arena.borrow()[0].tape().constant(T::constant(v)),
            Traced::At(arena, i) => at(arena, i),
        }
    }

    fn map(self, number: impl Fn(f64) -> f64, op: impl Fn(&Var<'t, T>) -> Var<'t, T>) -> Self {
        match self {
            Traced::Const(v) => Traced::Const(number(v)),
            Traced::At(arena, i) => Traced::At(arena, push(arena, op(&at(arena, i)))),
        }
    }

    fn zip(
        self,
        other: Self,
        number: impl Fn(f64, f64) -> f64,
        op: impl Fn(&Var<'t, T>, &Var<'t, T>) -> Var<'t, T>,
    ) -> Self {
        match (self, other) {
            (Traced::Const(a), Traced::Const(b)) => Traced::Const(number(a, b)),
            (Traced::At(arena, _), _) | (_, Traced::At(arena, _)) => {
                Traced::At(arena, push(arena, op(&self.var(arena), &other.var(arena))))
            }
        }
    }

    fn compare(self, other: Self, number: impl Fn(f64, f64) -> bool, test: Test) -> TracedMask<'a, 't, T> {
        match (self, other) {
            (Traced::Const(a), Traced::Const(b)) => TracedMask::Const(number(a, b)),
            (Traced::At(arena, _), _) | (_, Traced::At(arena, _)) => {
                TracedMask::At(arena, push(arena, mask(&self.var(arena), &other.var(arena), test)))
            }
        }
    }
}

macro_rules! traced {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) [$($bk:ident)*] $bf:tt |$bx:ident, $by:ident, $bg:ident| $bd:expr $(, $bi:tt)?; )* }
        made { $( $(#[$mm:meta])* $mn:ident $mv:ident ($($mp:ident),*) [$($mk:ident)*] |$mvx:ident| $me:expr, |$mx:ident, $my:ident, $mg:ident| $md:expr $(, $mi:tt)?; )* }
        pairs { $( $(#[$pm:meta])* $pn:ident $pv:ident [$($pka:ident)*] [$($pkb:ident)*] |$pva:ident, $pvb:ident| $pe:expr, |$pa:ident, $pb:ident, $py:ident, $pg:ident| $pda:expr, $pdb:expr $(, $pi:tt)?; )* }
        operators { $($operators:tt)* }
    ) => {
        impl<'a, 't, T: Float> Arithmetic for Traced<'a, 't, T> {
            type Mask = TracedMask<'a, 't, T>;
            fn constant(value: f64) -> Self {
                Traced::Const(value)
            }
            fn primal(self) -> f64 {
                match self {
                    Traced::Const(v) => v,
                    Traced::At(arena, i) => at(arena, i).item().map_or(f64::NAN, |v| v.to_f64()),
                }
            }
            fn fixed(self) -> Self {
                self.map(|v| v, Var::detach)
            }
            fn less(self, other: Self) -> Self::Mask {
                self.compare(other, |a, b| a < b, Test::Less)
            }
            fn less_equal(self, other: Self) -> Self::Mask {
                self.compare(other, |a, b| a <= b, Test::LessEqual)
            }
            fn equal(self, other: Self) -> Self::Mask {
                self.compare(other, |a, b| a == b, Test::Equal)
            }
            fn select(mask: Self::Mask, a: Self, b: Self) -> Self {
                match mask {
                    TracedMask::Const(true) => a,
                    TracedMask::Const(false) => b,
                    TracedMask::At(arena, m) => {
                        let chosen = a.var(arena).where_one(&at(arena, m), &b.var(arena));
                        Traced::At(arena, push(arena, chosen))
                    }
                }
            }
            fn is_zero(self) -> bool {
                matches!(self, Traced::Const(0.0))
            }
            fn is_nothing(self) -> bool {
                self.is_zero()
            }
            fn pow(self, other: Self) -> Self {
                self.zip(other, <f64 as Arithmetic>::pow, |a, b| a.pow(b))
            }
            fn atan2(self, other: Self) -> Self {
                self.zip(other, <f64 as Arithmetic>::atan2, |a, b| a.atan2(b))
            }
            fn fmod(self, other: Self) -> Self {
                self.zip(other, |a, b| a % b, |a, b| a.fmod(b))
            }
            $( fn $bn(self $(, $bp: f64)*) -> Self {
                self.map(|v| <f64 as Arithmetic>::$bn(v $(, $bp)*), |v| v.$bn($($bp),*))
            } )*
            $( fn $mn(self $(, $mp: f64)*) -> Self {
                self.map(|v| value::$mn(v $(, $mp)*), |v| v.$mn($($mp),*))
            } )*
            $( fn $pn(self, other: Self) -> Self {
                self.zip(other, |a, b| value::$pn(a, b), |a, b| a.$pn(b))
            } )*
        }
    };
}
elementary!(traced);

macro_rules! operators {
    ($($trait:ident $f:ident)*) => {$(
        impl<T: Float> $trait for Traced<'_, '_, T> {
            type Output = Self;
            fn $f(self, other: Self) -> Self { self.zip(other, |a, b| $trait::$f(a, b), |a, b| $trait::$f(a, b)) }
        }
        impl<T: Float> $trait<f64> for Traced<'_, '_, T> {
            type Output = Self;
            fn $f(self, other: f64) -> Self { $trait::$f(self, Traced::Const(other)) }
        }
        impl<'a, 't, T: Float> $trait<Traced<'a, 't, T>> for f64 {
            type Output = Traced<'a, 't, T>;
            fn $f(self, other: Traced<'a, 't, T>) -> Traced<'a, 't, T> { $trait::$f(Traced::Const(self), other) }
        }
    )*};
}
operators!(Add add Sub sub Mul mul Div div);

impl<T: Float> Neg for Traced<'_, '_, T> {
    type Output = Self;
    fn neg(self) -> Self {
        self.map(|v| -v, |v| -v)
    }
}

impl<'a, 't, T: Float> TracedMask<'a, 't, T> {
    /// Combines masks; a known one decides or drops out.
    fn zip(self, other: Self, neutral: bool, op: impl Fn(&Var<'t, T>, &Var<'t, T>) -> Var<'t, T>) -> Self {
        match (self, other) {
            (TracedMask::Const(k), rest) | (rest, TracedMask::Const(k)) => {
                if k == neutral {
                    rest
                } else {
                    TracedMask::Const(k)
                }
            }
            (TracedMask::At(arena, a), TracedMask::At(_, b)) => {
                TracedMask::At(arena, push(arena, op(&at(arena, a), &at(arena, b))))
            }
        }
    }
}

impl<T: Float> BitAnd for TracedMask<'_, '_, T> {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        self.zip(other, true, |a, b| a * b)
    }
}

impl<T: Float> BitOr for TracedMask<'_, '_, T> {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.zip(other, false, |a, b| a.maximum(b))
    }
}

impl<T: Float> Not for TracedMask<'_, '_, T> {
    type Output = Self;
    fn not(self) -> Self {
        match self {
            TracedMask::Const(k) => TracedMask::Const(!k),
            TracedMask::At(arena, m) => TracedMask::At(arena, push(arena, 1.0 - at(arena, m))),
        }
    }
}
