//! Functions of one tensor, element by element. Values and derivatives are the rows of `real::table`.
use super::{
    checks::operands,
    list::{Float, Unary},
};
use crate::{
    error::Checked,
    kernels::{
        angles::{near_cosines, near_sines},
        map::{NumberExpr, map, over_forms},
    },
    real::About,
    real::{
        Arithmetic,
        lane_math::{Forms, LaneMath},
        number::{kind_of_power, power_of_kind},
        slopes::slope,
        table::elementary,
    },
    tape::{RESULT, Rule, Step, Var},
    tensor::{Element, Tensor},
};
use std::borrow::Cow;

/// Which values a derivative reads, from the letters of the table.
macro_rules! keep {
    (x) => {
        1
    };
    (y) => {
        RESULT
    };
}

/// A power with the kind of its exponent known to the loop; see `kind_of_power`.
#[derive(Clone, Copy)]
struct Power<const KIND: u8>(f64);

impl<const KIND: u8> NumberExpr<1> for Power<KIND> {
    #[inline(always)]
    fn eval<R: Arithmetic>(&self, [x]: [R; 1]) -> R {
        power_of_kind(KIND, x, self.0)
    }
}

/// The derivative of a power, whose own exponent is lower by 1 and of this kind.
#[derive(Clone, Copy)]
struct PowerSlope<const KIND: u8>(f64);

impl<const KIND: u8> NumberExpr<3> for PowerSlope<KIND> {
    #[inline(always)]
    fn eval<R: Arithmetic>(&self, [x, _, g]: [R; 3]) -> R {
        g * (R::constant(self.0) * power_of_kind(KIND, x, self.0 - 1.0))
    }
}

/// Compiles all forms of an expression for each element type.
macro_rules! forms {
    ($e:ty, $n:literal $(, $before:ident)?) => {
        impl Forms<$n> for $e {
            #[inline(never)]
            fn over_f32(&self, x: [&[f32]; $n], out: &mut [f32]) {
                self.forms(x, out);
            }
            #[inline(never)]
            fn over_f64(&self, x: [&[f64]; $n], out: &mut [f64]) {
                $(if self.$before(x, out) {
                    return;
                })?
                self.forms(x, out);
            }
        }
    };
}
pub(super) use forms;

macro_rules! of_kind {
    ($exponent:expr, $decides:expr, $expr:ident, $x:ident, $out:ident) => {
        match kind_of_power($decides) {
            1 => $expr::<1>($exponent).quick($x, $out),
            2 => $expr::<2>($exponent).quick($x, $out),
            3 => $expr::<3>($exponent).quick($x, $out),
            4 => $expr::<4>($exponent).quick($x, $out),
            5 => $expr::<5>($exponent).quick($x, $out),
            _ => $expr::<0>($exponent).quick($x, $out),
        }
    };
}

macro_rules! unary {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) [$($bk:ident)*] $bf:tt |$bx:ident, $by:ident, $bg:ident| $bd:expr $(, $bi:tt)?; )* }
        made { $( $(#[$mm:meta])* $mn:ident $mv:ident ($($mp:ident),*) [$($mk:ident)*] |$mvx:ident| $me:expr, |$mx:ident, $my:ident, $mg:ident| $md:expr $(, $mi:tt)?; )* }
        $($rest:tt)*
    ) => {
        unary! { all $( $(#[$bm])* $bn $bv ($($bp),*) [$($bk)*]; )* $( $(#[$mm])* $mn $mv ($($mp),*) [$($mk)*]; )* }
    };
    (all $( $(#[$m:meta])* $name:ident $variant:ident ($($p:ident),*) [$($keep:ident)*]; )*) => {
        /// The functions themselves.
        mod value {
            use super::*;
            $(
                #[derive(Clone, Copy)]
                pub struct $variant { $(pub $p: f64),* }
                impl NumberExpr<1> for $variant {
                    #[inline(always)]
                    fn eval<R: Arithmetic>(&self, [x]: [R; 1]) -> R {
                        Arithmetic::$name(x $(, self.$p)*)
                    }
                }
            )*
        }

        /// Their derivatives, in x, y and the gradient of y.
        mod derivative {
            use super::*;
            $(
                #[derive(Clone, Copy)]
                pub struct $variant { $(pub $p: f64),* }
                impl NumberExpr<3> for $variant {
                    #[inline(always)]
                    fn eval<R: Arithmetic>(&self, [x, y, g]: [R; 3]) -> R {
                        slope::$name(x, y, g $(, self.$p)*)
                    }
                }
            )*
        }

        impl NumberExpr<1> for Unary {
            fn eval<R: Arithmetic>(&self, [x]: [R; 1]) -> R {
                match *self {
                    Unary::Neg => -x,
                    $( Unary::$variant { $($p),* } => Arithmetic::$name(x $(, $p)*), )*
                }
            }
            fn over<T: LaneMath + Element>(&self, x: [&[T]; 1], out: &mut [T]) {
                over_forms(self, x, out);
            }
        }

        impl NumberExpr<3> for Slope {
            fn eval<R: Arithmetic>(&self, [x, y, g]: [R; 3]) -> R {
                match self.0 {
                    Unary::Neg => -g,
                    $( Unary::$variant { $($p),* } => slope::$name(x, y, g $(, $p)*), )*
                }
            }
            fn over<T: LaneMath + Element>(&self, x: [&[T]; 3], out: &mut [T]) {
                over_forms(self, x, out);
            }
        }

        impl Unary {
            fn forms<T: LaneMath + Element>(&self, x: [&[T]; 1], out: &mut [T]) {
                if let Unary::PowNumber { exponent } = *self {
                    return of_kind!(exponent, exponent, Power, x, out);
                }
                match *self {
                    Unary::Neg => Neg.quick(x, out),
                    $( Unary::$variant { $($p),* } => value::$variant { $($p),* }.quick(x, out), )*
                }
            }
        }

        impl Slope {
            fn forms<T: LaneMath + Element>(&self, x: [&[T]; 3], out: &mut [T]) {
                match self.0 {
                    Unary::PowNumber { exponent } if exponent != 0.0 => {
                        of_kind!(exponent, exponent - 1.0, PowerSlope, x, out)
                    }
                    Unary::Neg => Neg.quick([x[2]], out),
                    $( Unary::$variant { $($p),* } => derivative::$variant { $($p),* }.quick(x, out), )*
                }
            }
        }

        impl<T: Float> Rule<T> for Unary {
            fn name(&self) -> &str {
                match self {
                    Unary::Neg => "neg",
                    $( Unary::$variant { .. } => stringify!($name), )*
                }
            }

            fn about(&self) -> About {
                crate::real::about::elementary(Rule::<T>::name(self)).copied().unwrap_or(About::NOTHING)
            }

            fn options(&self) -> Cow<'static, str> {
                let (_, names, values) = self.written();
                let list: Vec<String> = names.iter().zip(values).map(|(n, v)| format!("{n}={v}")).collect();
                Cow::Owned(list.join(", "))
            }

            fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
                let [x] = operands(x)?;
                self.check()?;
                map(*self, [x], x.shape())
            }

            fn keeps(&self, _: u32) -> u32 {
                match self {
                    Unary::Neg => 0,
                    $( Unary::$variant { .. } => 0 $(| keep!($keep))*, )*
                }
            }

            fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
                let g = step.take_grad();
                let keep = Rule::<T>::keeps(self, 1);
                // What the derivative doesn't read may be anything of the right shape.
                let kept_x = (keep & 1 != 0).then(|| step.input(0));
                let kept_y = (keep & RESULT != 0).then(|| step.output());
                let (x, y) = (kept_x.as_ref().unwrap_or(&g), kept_y.as_ref().unwrap_or(&g));
                step.give_expr(0, Slope(*self), [x, y, &g]);
            }

            fn anomaly_hint(&self) -> &'static str {
                match self {
                    Unary::Sqrt {} | Unary::Rsqrt {} => {
                        "; guard the input (sqrt of 0 has an infinite derivative)"
                    }
                    Unary::Log {} | Unary::Log2 {} | Unary::Log10 {} => "; guard the input against 0",
                    _ => "",
                }
            }

            fn kinks(&self, x: &[&Tensor<T>], _: &Tensor<T>) -> usize {
                let (_, names, values) = self.written();
                let options = &values[..names.len()];
                let Some(is_kink) = Rule::<T>::about(self).is_kink else { return 0 };
                let x = x.iter().flat_map(|x| x.to_vec());
                x.filter(|v| is_kink(options, [v.to_f64(), f64::NAN])).count()
            }
        }

        /// # Functions of each element
        impl<'t, T: Float> Var<'t, T> {
            $(
                $(#[$m])*
                #[track_caller]
                pub fn $name(&self $(, $p: f64)*) -> Var<'t, T> {
                    self.tape().apply(Unary::$variant { $($p),* }, &[self])
                }
            )*

            /// The negative
            #[track_caller]
            #[allow(clippy::should_implement_trait)] // `-x` is implemented too; the name is the listing's.
            pub fn neg(&self) -> Var<'t, T> {
                self.tape().apply(Unary::Neg, &[self])
            }
        }
    };
}
elementary!(unary);

/// The derivative of a function, in x, y and the gradient of y.
#[derive(Clone, Copy)]
pub(crate) struct Slope(pub Unary);

forms!(Unary, 1, angles);
forms!(Slope, 3, angles);

impl Unary {
    /// Sines and cosines where no angle is huge. Whether it was one.
    fn angles(&self, [x]: [&[f64]; 1], out: &mut [f64]) -> bool {
        match self {
            Unary::Sin {} => near_sines(x, out),
            Unary::Cos {} => near_cosines(x, out),
            _ => false,
        }
    }
}

impl Slope {
    /// Their derivatives.
    fn angles(&self, [x, _, g]: [&[f64]; 3], out: &mut [f64]) -> bool {
        match self.0 {
            Unary::Sin {} if near_cosines(x, out) => {
                out.iter_mut().zip(g).for_each(|(out, g)| *out *= g);
                true
            }
            Unary::Cos {} if near_sines(x, out) => {
                out.iter_mut().zip(g).for_each(|(out, g)| *out = -(g * *out));
                true
            }
            _ => false,
        }
    }
}

impl Unary {
    /// Options that have no meaning.
    fn check(&self) -> Checked<()> {
        match *self {
            Unary::Softshrink { lambd } if lambd < 0.0 => Err(format!("lambd {lambd} is negative")),
            Unary::Hardtanh { min_val, max_val } if min_val > max_val => {
                Err(format!("min_val {min_val} is above max_val {max_val}"))
            }
            Unary::Celu { alpha: 0.0 } => Err("alpha 0 divides by zero".into()),
            Unary::Polygamma { n } if n < 0.0 || n.fract() != 0.0 => {
                Err(format!("order {n} is no derivative; it is 0 or a whole number above"))
            }
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Copy)]
struct Neg;

impl NumberExpr<1> for Neg {
    #[inline(always)]
    fn eval<R: Arithmetic>(&self, [x]: [R; 1]) -> R {
        -x
    }
}
