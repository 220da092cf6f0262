//! `fuse!`: one operation out of an expression. Forward it runs on plain numbers in one pass; backward the
//! same expression runs on dual numbers, which gives all partial derivatives in one pass; on scalars it is
//! one statement.
use super::{
    checks::operands,
    list::{Float, FusedOp, FusedTable},
    trace::Traced,
    traced,
};
use crate::{
    error::Checked,
    kernels::map::{Expr, MultiExpr, map, map_many},
    real::{About, Dual, Number},
    tape::{Rule, Scalar, Step, TapeNumber, Var},
    tensor::{Tensor, shape::broadcast},
};
use smallvec::SmallVec;
use std::{
    borrow::Cow,
    fmt,
    marker::PhantomData,
    ops::{Add, Div, Mul, Sub},
};

/// An expression with its captured constants, as [`fuse!`](crate::fuse) makes it.
pub trait Fuse<const N: usize>: Expr<N> + 'static {
    /// The source text, for listings.
    const TEXT: &'static str;
    /// The captured constants.
    fn constants(&self) -> SmallVec<[f64; 4]>;
    /// The expression with these constants.
    fn with(constants: &[f64]) -> Self;
}

/// One operation out of an expression of up to six arguments, for tensors, scalars and numbers alike.
///
/// The body may use the arguments, `f64` constants on either side, and the functions of
/// [`Arithmetic`](crate::number::Arithmetic). Values from outside are named in brackets in front and must be `f64`.
///
/// ```
/// use kolmo::{Tape, fuse};
/// let slope = 0.1;
/// let f = fuse!([slope] |x, w| (x * w).tanh() + slope * x);
/// let tape = Tape::<f64>::new();
/// let (x, w) = (tape.input([1.0, 2.0]), tape.input(0.5));
/// let y = f.apply([&x, &w]).sum(); // one statement, w broadcasts
/// let (a, b) = (tape.scalar(1.0), tape.scalar(0.5));
/// let s = f.apply([a, b]); // one statement with two partial derivatives
/// assert_eq!(f.apply([1.0, 0.5]), s.value());
/// # Ok::<(), kolmo::Error>(())
/// ```
#[macro_export]
macro_rules! fuse {
    (|$($x:ident),+ $(,)?| $body:expr) => { $crate::fuse!([] |$($x),+| $body) };
    ([$($c:ident),* $(,)?] |$($x:ident),+ $(,)?| $body:expr) => {{
        #[derive(Clone, Copy)]
        struct Expression { $($c: f64),* }
        impl $crate::fusing::Expr<{ $crate::fuse!(@count $($x)+) }> for Expression {
            #[inline(always)]
            fn eval<R: $crate::Number>(&self, [$($x),+]: [R; { $crate::fuse!(@count $($x)+) }]) -> R
            where
                f64: ::core::ops::Add<R, Output = R> + ::core::ops::Sub<R, Output = R>
                    + ::core::ops::Mul<R, Output = R> + ::core::ops::Div<R, Output = R>,
            {
                #[allow(unused_imports)]
                use $crate::number::Arithmetic as _;
                $(let $c: f64 = self.$c;)*
                $body
            }
        }
        impl $crate::ops::Fuse<{ $crate::fuse!(@count $($x)+) }> for Expression {
            const TEXT: &'static str = stringify!(|$($x),+| $body);
            fn constants(&self) -> $crate::fusing::SmallVec<[f64; 4]> {
                $crate::fusing::SmallVec::from_slice(&[$(self.$c),*])
            }
            #[allow(unused_mut, unused_variables)]
            fn with(constants: &[f64]) -> Self {
                let mut next = constants.iter().copied();
                Expression { $($c: next.next().unwrap_or(f64::NAN)),* }
            }
        }
        $crate::ops::Fused::new(Expression { $($c),* })
    }};
    (@count $($x:ident)+) => { 0usize $(+ { let _ = stringify!($x); 1usize })+ };
}

/// An expression ready to be applied.
#[derive(Clone, Copy)]
#[must_use = "an expression does nothing until it is applied"]
pub struct Fused<E, const N: usize>(E);

/// The source text, and the values from outside.
impl<E: Fuse<N>, const N: usize> fmt::Debug for Fused<E, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fused")
            .field(&format_args!("{}", E::TEXT))
            .field(&self.0.constants().as_slice())
            .finish()
    }
}

impl<E: Fuse<N>, const N: usize> Fused<E, N> {
    #[doc(hidden)]
    pub fn new(e: E) -> Self {
        Fused(e)
    }

    /// The expression of these operands: `&Var`s that broadcast to each other, [`Scalar`]s, or `f64`s.
    #[inline(always)]
    #[track_caller]
    pub fn apply<X: FuseInput<N>>(&self, x: [X; N]) -> X::Output {
        X::fuse(self.0, x)
    }
}

/// What a fused expression of N arguments can be applied to.
pub trait FuseInput<const N: usize>: Sized {
    /// What comes out.
    type Output;
    #[doc(hidden)]
    #[track_caller]
    fn fuse<E: Fuse<N>>(e: E, x: [Self; N]) -> Self::Output;
}

impl<const N: usize> FuseInput<N> for f64 {
    type Output = f64;
    #[inline(always)]
    fn fuse<E: Fuse<N>>(e: E, x: [f64; N]) -> f64 {
        e.eval(x)
    }
}

impl<'a, const N: usize> FuseInput<N> for Traced<'a> {
    type Output = Traced<'a>;
    fn fuse<E: Fuse<N>>(e: E, x: [Traced<'a>; N]) -> Traced<'a> {
        e.eval(x)
    }
}

impl<'t, T: TapeNumber, const N: usize> FuseInput<N> for Scalar<'t, T> {
    type Output = Scalar<'t, T>;
    #[inline(always)]
    #[track_caller]
    fn fuse<E: Fuse<N>>(e: E, x: [Self; N]) -> Self {
        let duals: [Dual<T, N>; N] = std::array::from_fn(|i| Dual::variable(x[i].value(), i));
        let y = e.eval(duals);
        Scalar::named::<N>("fused", y.re, std::array::from_fn(|i| (x[i], y.eps[i])))
    }
}

macro_rules! arities {
    ($($n:literal $more:literal [$($i:ident)+];)*) => {$(
        impl<'t, T: Float> FuseInput<$n> for &Var<'t, T> {
            type Output = Var<'t, T>;
            #[track_caller]
            fn fuse<E: Fuse<$n>>(e: E, x: [Self; $n]) -> Var<'t, T> {
                let op = FusedOp { table: Table::<T, E, $n>::TABLE, constants: e.constants() };
                x[0].tape().apply(op, &x)
            }
        }

        /// All partial derivatives times the gradient of the result, the last argument.
        impl<E: Expr<$n>> MultiExpr<$more, $n> for Partials<E> {
            #[inline(always)]
            fn eval<R: Number>(&self, [$($i,)+ g]: [R; $more]) -> [R; $n]
            where
                f64: Add<R, Output = R> + Sub<R, Output = R> + Mul<R, Output = R> + Div<R, Output = R>,
            {
                let x = [$($i),+];
                let y = self.0.eval::<Dual<R, $n>>(std::array::from_fn(|i| Dual::variable(x[i], i)));
                y.eps.map(|d| d * g)
            }
        }

        impl<T: Float, E: Fuse<$n>> Table<T, E, $n> {
            const TABLE: &'static FusedTable<T> = &FusedTable {
                text: E::TEXT,
                forward: |constants, x| {
                    let x: [&Tensor<T>; $n] = operands(x)?;
                    let mut shape = x[0].shape().clone();
                    for t in &x[1..] {
                        shape = broadcast(&shape, t.shape())?;
                    }
                    map(E::with(constants), x, &shape)
                },
                backward: |constants, step| {
                    let x: [Var<'_, T>; $n] = std::array::from_fn(|i| step.input(i));
                    let g = step.take_grad();
                    if step.graph() {
                        // The expression again as single operations, and their sweep, both recorded.
                        let tape = step.tape();
                        let floor = tape.mark().0;
                        let x = x.each_ref().map(Var::alias);
                        let y = traced::eval(E::with(constants), x.each_ref(), true);
                        match tape.vjp(&[&y], &[&g], &x.each_ref(), true, Some(floor)) {
                            Ok(grads) => grads.into_iter().enumerate().for_each(|(i, d)| step.give(i, d)),
                            Err(error) => step.fail(error),
                        }
                        return;
                    }
                    let [$($i),+] = x.each_ref().map(Var::tensor);
                    match map_many(Partials(E::with(constants)), [$($i,)+ g.tensor()], g.shape()) {
                        Ok(parts) => for (i, part) in parts.into_iter().enumerate() {
                            if step.wants(i) {
                                let part = step.tape().constant(part);
                                let shape = step.input_shape(i);
                                step.give(i, part.sum_to(&shape));
                            }
                        },
                        Err(message) => step.fail(crate::error::Error::op("fused", message, None)),
                    }
                },
                unfold: |constants, x| {
                    let x: [&Var<'_, T>; $n] = x.try_into().ok()?;
                    Some(traced::eval(E::with(constants), x, true))
                },
            };
        }
    )*};
}
arities! {
    1 2 [a];
    2 3 [a b];
    3 4 [a b c];
    4 5 [a b c d];
    5 6 [a b c d e];
    6 7 [a b c d e f];
}

#[derive(Clone, Copy)]
struct Partials<E>(E);

struct Table<T, E, const N: usize>(PhantomData<(T, E)>);

impl<T: Float> FusedOp<T> {
    /// The expression as the single operations that it is made of; `None` with another number of operands.
    pub fn unfold<'t>(&self, x: &[&Var<'t, T>]) -> Option<Var<'t, T>> {
        (self.table.unfold)(&self.constants, x)
    }
}

impl<T: Float> Rule<T> for FusedOp<T> {
    fn name(&self) -> &str {
        "fused"
    }

    fn about(&self) -> About {
        About::formula(
            "an expression, in one statement",
            &["ȳ · its partial derivative"],
            "Value and derivatives come from one run on dual numbers.",
        )
    }

    fn options(&self) -> Cow<'static, str> {
        Cow::Borrowed(self.table.text)
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        (self.table.forward)(&self.constants, x)
    }

    fn keeps(&self, _: u32) -> u32 {
        0b111111
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        (self.table.backward)(&self.constants, step);
    }
}
