//! Functions of two tensors that broadcast to each other, element by element, and the choice between two by a
//! mask. Values and derivatives are the rows of `real::table`.
use super::{
    checks::{check_shape, operands},
    list::{Binary, Float, Test, Unary, Where},
    operand::Operand,
    unary::forms,
};
use crate::{
    error::Checked,
    kernels::map::{NumberExpr, map, over_forms},
    real::About,
    real::{
        Arithmetic,
        lane_math::{Forms, LaneMath},
        number::value,
        slopes::{slope_a, slope_b},
        table::elementary,
    },
    tape::{RESULT, Rule, Step, Var},
    tensor::{Element, Shape, Tensor, shape::broadcast},
};

macro_rules! keep {
    (a) => {
        1
    };
    (b) => {
        2
    };
    (y) => {
        RESULT
    };
}

macro_rules! binary {
    (
        base { $($base:tt)* }
        made { $($made:tt)* }
        pairs { $( $(#[$pm:meta])* $pn:ident $pv:ident [$($pka:ident)*] [$($pkb:ident)*] |$pva:ident, $pvb:ident| $pe:expr, |$pa:ident, $pb:ident, $py:ident, $pg:ident| $pda:expr, $pdb:expr $(, $pi:tt)?; )* }
        operators { $( $(#[$om:meta])* $on:ident $ov:ident [$($oka:ident)*] [$($okb:ident)*] |$ova:ident, $ovb:ident| $oe:expr, |$oa:ident, $ob:ident, $oy:ident, $og:ident| $oda:expr, $odb:expr $(, $oi:tt)?; )* }
    ) => {
        binary! { all $( $pn $pv [$($pka)*] [$($pkb)*]; )* $( $on $ov [$($oka)*] [$($okb)*]; )* }

        /// # Functions of two tensors, element by element
        impl<'t, T: Float> Var<'t, T> {
            $(
                $(#[$pm])*
                #[track_caller]
                pub fn $pn<'a>(&self, other: impl Into<Operand<'a, 't, T>>) -> Var<'t, T>
                where
                    't: 'a,
                {
                    self.with(Binary::$pv, other.into())
                }
            )*
        }
    };
    (all $( $name:ident $variant:ident [$($ka:ident)*] [$($kb:ident)*]; )*) => {
        /// The functions themselves, and their derivatives in a, b, y and the gradient of y.
        mod exprs {
            use super::*;
            $(
                #[derive(Clone, Copy)]
                pub struct $variant;
                impl NumberExpr<2> for $variant {
                    #[inline(always)]
                    fn eval<R: Arithmetic>(&self, [a, b]: [R; 2]) -> R {
                        value::$name(a, b)
                    }
                }
            )*
            pub mod a {
                use super::*;
                $(
                    #[derive(Clone, Copy)]
                    pub struct $variant;
                    impl NumberExpr<4> for $variant {
                        #[inline(always)]
                        fn eval<R: Arithmetic>(&self, [a, b, y, g]: [R; 4]) -> R {
                            slope_a::$name(a, b, y, g)
                        }
                    }
                )*
            }
            pub mod b {
                use super::*;
                $(
                    #[derive(Clone, Copy)]
                    pub struct $variant;
                    impl NumberExpr<4> for $variant {
                        #[inline(always)]
                        fn eval<R: Arithmetic>(&self, [a, b, y, g]: [R; 4]) -> R {
                            slope_b::$name(a, b, y, g)
                        }
                    }
                )*
            }
        }

        impl NumberExpr<2> for Binary {
            fn eval<R: Arithmetic>(&self, [a, b]: [R; 2]) -> R {
                match self {
                    $( Binary::$variant => value::$name(a, b), )*
                }
            }
            fn over<T: LaneMath + Element>(&self, x: [&[T]; 2], out: &mut [T]) {
                over_forms(self, x, out);
            }
        }

        impl NumberExpr<4> for Slope {
            fn eval<R: Arithmetic>(&self, [a, b, y, g]: [R; 4]) -> R {
                match self {
                    $( Slope::A(Binary::$variant) => slope_a::$name(a, b, y, g),
                    Slope::B(Binary::$variant) => slope_b::$name(a, b, y, g), )*
                }
            }
            fn over<T: LaneMath + Element>(&self, x: [&[T]; 4], out: &mut [T]) {
                over_forms(self, x, out);
            }
        }

        impl Binary {
            fn forms<T: LaneMath + Element>(&self, x: [&[T]; 2], out: &mut [T]) {
                match self {
                    $( Binary::$variant => exprs::$variant.quick(x, out), )*
                }
            }
        }

        impl Slope {
            fn forms<T: LaneMath + Element>(&self, x: [&[T]; 4], out: &mut [T]) {
                match self {
                    $( Slope::A(Binary::$variant) => exprs::a::$variant.quick(x, out),
                    Slope::B(Binary::$variant) => exprs::b::$variant.quick(x, out), )*
                }
            }
        }

        impl<T: Float> Rule<T> for Binary {
            fn name(&self) -> &str {
                match self {
                    $( Binary::$variant => stringify!($name), )*
                }
            }

            fn about(&self) -> About {
                crate::real::about::elementary(Rule::<T>::name(self)).copied().unwrap_or(About::NOTHING)
            }

            fn anomaly_hint(&self) -> &'static str {
                match self {
                    Binary::Pow => "; guard the input (sqrt of 0 has an infinite derivative)",
                    Binary::Div => "; guard the input against 0",
                    _ => "",
                }
            }

            fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
                let [a, b] = operands(x)?;
                let shape = broadcast(a.shape(), b.shape())?;
                map(*self, [a, b], &shape)
            }

            fn keeps(&self, wanted: u32) -> u32 {
                match self {
                    $( Binary::$variant => {
                        let (a, b): (u32, u32) = (0 $(| keep!($ka))*, 0 $(| keep!($kb))*);
                        a * (wanted & 1) | b * (wanted >> 1 & 1)
                    } )*
                }
            }

                    fn check(&self, x: &[&Tensor<T>], y: &Shape) -> Checked<()> {
                let [a, b] = operands(x)?;
                check_shape(&broadcast(a.shape(), b.shape())?, y)
            }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
                let g = step.take_grad();
                if let Binary::Add | Binary::Sub = self {
                    // The gradient itself, not a copy of it.
                    for i in 0..2 {
                        if step.wants(i) {
                            let part = g.sum_to(&step.input_shape(i));
                            step.give(i, if i == 1 && *self == Binary::Sub { -part } else { part });
                        }
                    }
                    return;
                }
                if *self == Binary::Mul && step.same(0, 1) {
                    let x = step.input(0);
                    step.give_expr(0, SquareSlope, [&x, &g]);
                    return;
                }
                let wanted = step.wants(0) as u32 | (step.wants(1) as u32) << 1;
                let keep = Rule::<T>::keeps(self, wanted);
                // What the derivative doesn't read may be anything of the right shape.
                let kept_a = (keep & 1 != 0).then(|| step.input(0));
                let kept_b = (keep & 2 != 0).then(|| step.input(1));
                let kept_y = (keep & RESULT != 0).then(|| step.output());
                let [a, b, y] = [&kept_a, &kept_b, &kept_y].map(|v| v.as_ref().unwrap_or(&g));
                step.give_expr(0, Slope::A(*self), [a, b, y, &g]);
                step.give_expr(1, Slope::B(*self), [a, b, y, &g]);
            }

            fn kinks(&self, x: &[&Tensor<T>], y: &Tensor<T>) -> usize {
                let (Some(is_kink), [a, b]) = (Rule::<T>::about(self).is_kink, x) else { return 0 };
                match (a.expand(y.shape()), b.expand(y.shape())) {
                    (Ok(a), Ok(b)) => {
                        let pairs = a.to_vec().into_iter().zip(b.to_vec());
                        pairs.filter(|(a, b)| is_kink(&[], [a.to_f64(), b.to_f64()])).count()
                    }
                    _ => 0,
                }
            }
        }
    };
}
elementary!(binary);

/// The derivatives of a function, in a, b, y and the gradient of y.
#[derive(Clone, Copy)]
pub(crate) enum Slope {
    A(Binary),
    B(Binary),
}

forms!(Binary, 2);
forms!(Slope, 4);

/// The derivative of a product of a value with itself, in one pass.
#[derive(Clone, Copy)]
struct SquareSlope;

impl NumberExpr<2> for SquareSlope {
    #[inline(always)]
    fn eval<R: Arithmetic>(&self, [x, g]: [R; 2]) -> R {
        let xg = x * g;
        xg + xg
    }
}

/// # Powers, angles, remainders, choices
impl<'t, T: Float> Var<'t, T> {
    /// A function of this tensor and an operand.
    #[track_caller]
    pub(super) fn with(&self, f: Binary, other: Operand<'_, 't, T>) -> Var<'t, T> {
        match (f, other) {
            (Binary::Pow, Operand::Number(exponent)) => {
                self.tape().apply(Unary::PowNumber { exponent }, &[self])
            }
            _ => self.tape().apply(f, &[self, &other.on(self.tape())]),
        }
    }

    /// `self` to the power of `exponent`, broadcasting. At base 0 the derivatives are PyTorch's.
    #[track_caller]
    #[doc(alias = "rpow")]
    pub fn pow<'a>(&self, exponent: impl Into<Operand<'a, 't, T>>) -> Var<'t, T>
    where
        't: 'a,
    {
        self.with(Binary::Pow, exponent.into())
    }

    /// `self` to the power of a number.
    #[track_caller]
    pub fn powf(&self, exponent: f64) -> Var<'t, T> {
        self.pow(exponent)
    }

    /// The angle of the point (`x`, `self`), in radians. The derivative at the origin is 0.
    #[track_caller]
    pub fn atan2<'a>(&self, x: impl Into<Operand<'a, 't, T>>) -> Var<'t, T>
    where
        't: 'a,
    {
        self.with(Binary::Atan2, x.into())
    }

    /// The remainder of `self / other` rounded towards zero, with the sign of `self`.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant([-3.0, 3.0]);
    /// assert_eq!(x.fmod(2.0).to_vec()?, [-1.0, 1.0]); // the sign of x
    /// assert_eq!(x.remainder(2.0).to_vec()?, [1.0, 1.0]); // the sign of the 2
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn fmod<'a>(&self, other: impl Into<Operand<'a, 't, T>>) -> Var<'t, T>
    where
        't: 'a,
    {
        self.with(Binary::Fmod, other.into())
    }

    /// `self` where the mask is true, else `other`; all three broadcast. A gradient goes to what was chosen,
    /// and zero to the other: a NaN there does not spread unless it comes from further back.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant([1.0, -2.0, 3.0]);
    /// assert_eq!(x.where_(&x.gt(0.0)?, 0.0).to_vec()?, [1.0, 0.0, 3.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    #[doc(alias = "where")]
    pub fn where_<'a>(&self, mask: &Tensor<bool>, other: impl Into<Operand<'a, 't, T>>) -> Var<'t, T>
    where
        't: 'a,
    {
        self.where_operand(mask, other.into())
    }

    #[track_caller]
    fn where_operand(&self, mask: &Tensor<bool>, other: Operand<'_, 't, T>) -> Var<'t, T> {
        let mask = self.tape().constant(mask.cast::<T>());
        self.tape().apply(Where, &[&mask, self, &other.on(self.tape())])
    }

    /// `self` where a mask of zeros and ones on the tape, which gets no gradient, is 1, else `other`.
    #[track_caller]
    pub(crate) fn where_one(&self, mask: &Var<'t, T>, other: &Var<'t, T>) -> Var<'t, T> {
        self.tape().apply(Where, &[mask, self, other])
    }

    /// A mask of zeros and ones from a comparison with a number.
    #[track_caller]
    pub(crate) fn test(&self, test: Test, number: f64) -> Var<'t, T> {
        self.tape().apply(test, &[self, &self.tape().constant(T::constant(number))])
    }
}

impl NumberExpr<2> for Test {
    #[inline(always)]
    fn eval<R: Arithmetic>(&self, [a, b]: [R; 2]) -> R {
        let mask = match self {
            Test::Less => a.less(b),
            Test::LessEqual => a.less_equal(b),
            Test::Equal => a.equal(b),
            Test::Same => a.equal(b) | (a.is_nan() & b.is_nan()),
        };
        R::select(mask, R::constant(1.0), R::constant(0.0))
    }
}

impl<T: Float> Rule<T> for Test {
    fn name(&self) -> &str {
        match self {
            Test::Less => "less",
            Test::LessEqual => "less_equal",
            Test::Equal => "equal",
            Test::Same => "same",
        }
    }

    fn about(&self) -> About {
        About::NOTHING.exact()
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let [a, b] = operands(x)?;
        map(*self, [a, b], &broadcast(a.shape(), b.shape())?)
    }

    fn check(&self, x: &[&Tensor<T>], y: &Shape) -> Checked<()> {
        let [a, b] = operands(x)?;
        check_shape(&broadcast(a.shape(), b.shape())?, y)
    }

    fn keeps(&self, _: u32) -> u32 {
        0
    }

    fn backward<'t>(&self, _: &mut Step<'_, 't, T>) {}
}

macro_rules! choice {
    ($name:ident, |$m:ident, $a:ident, $b:ident| $e:expr) => {
        #[derive(Clone, Copy)]
        pub(crate) struct $name;
        impl NumberExpr<3> for $name {
            #[inline(always)]
            fn eval<R: Arithmetic>(&self, [$m, $a, $b]: [R; 3]) -> R {
                $e
            }
        }
    };
}
choice!(Choose, |m, a, b| R::select(m.equal(R::constant(0.0)), b, a));
choice!(Kept, |m, g, _g| R::select(m.equal(R::constant(0.0)), R::constant(0.0), g));
choice!(Dropped, |m, g, _g| R::select(m.equal(R::constant(0.0)), g, R::constant(0.0)));

impl<T: Float> Rule<T> for Where {
    fn name(&self) -> &str {
        "where"
    }

    fn about(&self) -> About {
        About::formula(
            "b where the mask a is true, else c",
            &["", "ȳ where a, else 0", "0 where a, else ȳ"],
            "",
        )
        .exact()
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let [m, a, b] = operands(x)?;
        let shape = broadcast(&broadcast(m.shape(), a.shape())?, b.shape())?;
        map(Choose, [m, a, b], &shape)
    }

    fn keeps(&self, _: u32) -> u32 {
        1
    }

    fn check(&self, x: &[&Tensor<T>], y: &Shape) -> Checked<()> {
        let [m, a, b] = operands(x)?;
        check_shape(&broadcast(&broadcast(m.shape(), a.shape())?, b.shape())?, y)
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let (m, g) = (step.input(0), step.take_grad());
        step.give_expr(1, Kept, [&m, &g, &g]);
        step.give_expr(2, Dropped, [&m, &g, &g]);
    }
}
