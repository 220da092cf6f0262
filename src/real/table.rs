//! The elementary functions: value and derivative of each, side by side. Every kind of number and the tensor
//! operations are made from this one table.
//!
//! A row of `base` is computed by each plain number type itself; a row of `made` is an expression in
//! others; `pairs` have two arguments. `[x]`, `[y]` say what the derivative reads: the argument, the result. The derivative maps the
//! gradient `g` of the result to that of the argument; in a dual number `g` is the argument's tangent.
//! Special points follow PyTorch: a kink has the subgradient of least norm, and `select` keeps 0 · ∞ out.

/// Calls a macro with the whole table.
macro_rules! elementary {
    ($with:ident) => { $with! {
        base {
            /// `eˣ`
            exp Exp() [y] heavy |x, y, g| g * y;
            /// `2ˣ`
            exp2 Exp2() [y] heavy |x, y, g| g * y * R::of(std::f64::consts::LN_2);
            /// `eˣ - 1`, precise near 0
            expm1 Expm1() [y] heavy |x, y, g| g * (y + R::of(1.0));
            /// Natural logarithm
            log Log() [x] heavy |x, y, g| g / x;
            /// `ln(1 + x)`, precise near 0
            log1p Log1p() [x] heavy |x, y, g| g / (x + R::of(1.0));
            /// Logarithm to base 2
            log2 Log2() [x] heavy |x, y, g| g / (x * R::of(std::f64::consts::LN_2));
            /// Logarithm to base 10
            log10 Log10() [x] heavy |x, y, g| g / (x * R::of(std::f64::consts::LN_10));
            /// Square root
            sqrt Sqrt() [y] light |x, y, g| g / (y + y);
            /// Sine
            sin Sin() [x] heavy |x, y, g| g * x.cos();
            /// Cosine
            cos Cos() [x] heavy |x, y, g| -(g * x.sin());
            /// Tangent
            tan Tan() [y] heavy |x, y, g| g * (y * y + R::of(1.0));
            /// Arcsine
            asin Asin() [x] heavy |x, y, g| g / (R::of(1.0) - x * x).sqrt();
            /// Arccosine
            acos Acos() [x] heavy |x, y, g| -(g / (R::of(1.0) - x * x).sqrt());
            /// Arctangent
            atan Atan() [x] heavy |x, y, g| g / (x * x + R::of(1.0));
            /// Hyperbolic sine
            sinh Sinh() [x] heavy |x, y, g| g * x.cosh();
            /// Hyperbolic cosine
            cosh Cosh() [x] heavy |x, y, g| g * x.sinh();
            /// Hyperbolic tangent
            tanh Tanh() [y] heavy |x, y, g| g * (R::of(1.0) - y * y);
            /// Inverse hyperbolic sine
            asinh Asinh() [x] heavy |x, y, g| g / (x * x + R::of(1.0)).sqrt();
            /// Inverse hyperbolic cosine
            acosh Acosh() [x] heavy |x, y, g| g / (x * x - R::of(1.0)).sqrt();
            /// Inverse hyperbolic tangent
            atanh Atanh() [x] heavy |x, y, g| g / (R::of(1.0) - x * x);
            /// `1 / (1 + e⁻ˣ)`
            sigmoid Sigmoid() [y] heavy |x, y, g| g * y * (R::of(1.0) - y);
            /// Absolute value; derivative 0 at 0
            abs Abs() [x] light |x, y, g| g * x.sign();
            /// -1, 0 or 1; derivative 0
            sign Sign() [] light |x, y, g| g * R::of(0.0);
            /// Largest whole number that is not larger; derivative 0
            floor Floor() [] light |x, y, g| g * R::of(0.0);
            /// Smallest whole number that is not smaller; derivative 0
            ceil Ceil() [] light |x, y, g| g * R::of(0.0);
            /// Nearest whole number, halves to even; derivative 0
            round Round() [] light |x, y, g| g * R::of(0.0);
            /// Whole part, towards zero; derivative 0
            trunc Trunc() [] light |x, y, g| g * R::of(0.0);
            /// Error function
            erf Erf() [x] heavy |x, y, g| g * (-(x * x)).exp() * R::of(std::f64::consts::FRAC_2_SQRT_PI);
            /// `1 - erf(x)`, precise for large x
            erfc Erfc() [x] heavy |x, y, g| -(g * (-(x * x)).exp() * R::of(std::f64::consts::FRAC_2_SQRT_PI));
            /// Logarithm of the absolute value of the gamma function
            lgamma Lgamma() [x] heavy |x, y, g| g * x.digamma();
            /// Derivative of `lgamma`
            digamma Digamma() [x] heavy |x, y, g| g * x.polygamma(1.0);
            /// n-th derivative of `digamma`, n ≥ 1
            polygamma Polygamma(n) [x] heavy |x, y, g| g * x.polygamma(n + 1.0);
        }
        made {
            /// `x²`
            square Square() [x] |x| x * x, |x, y, g| g * (x + x);
            /// `1 / x`
            reciprocal Reciprocal() [y] |x| R::of(1.0) / x, |x, y, g| -(g * y * y);
            /// `1 / √x`
            rsqrt Rsqrt() [y] |x| R::of(1.0) / x.sqrt(), |x, y, g| g * y * y * y * R::of(-0.5);
            /// `max(x, 0)`; derivative 0 at 0, 1 at NaN
            relu Relu() [x] |x| R::select(x.less_equal(R::of(0.0)), R::of(0.0), x),
                |x, y, g| R::select(x.less_equal(R::of(0.0)), R::of(0.0), g);
            /// `x` where positive, else `negative_slope · x`
            leaky_relu LeakyRelu(negative_slope) [x]
                |x| R::select(x.greater(R::of(0.0)), x, x * R::of(negative_slope)),
                |x, y, g| R::select(x.greater(R::of(0.0)), g, g * R::of(negative_slope));
            /// `x · sigmoid(x)`, also called swish
            silu Silu() [x] |x| x * x.sigmoid(),
                |x, y, g| { let s = x.sigmoid(); g * s * (x * (R::of(1.0) - s) + R::of(1.0)) };
        }
        pairs {
            /// The larger of both, NaN if one is; on a tie each gets half of the gradient
            maximum Maximum [a b] [a b] |a, b| R::select(a.greater(b) | a.is_nan(), a, b),
                |a, b, y, g|
                R::select(a.equal(b), g * R::of(0.5), R::select(a.less(b), R::of(0.0), g)),
                R::select(a.equal(b), g * R::of(0.5), R::select(b.less(a), R::of(0.0), g));
        }
        operators {
            add Add [] [] |a, b| a + b, |a, b, y, g| g, g;
            sub Sub [] [] |a, b| a - b, |a, b, y, g| g, -g;
            mul Mul [b] [a] |a, b| a * b, |a, b, y, g| g * b, g * a;
            div Div [b] [b y] |a, b| a / b, |a, b, y, g| g / b, -(g * y / b);
            /// `self` to the power of `exponent`; at base 0 as in PyTorch
            pow Pow [a b] [a b y] |a, b| a.pow(b), |a, b, y, g|
                R::select(b.equal(R::of(0.0)), R::of(0.0), g * b * a.pow(b - R::of(1.0))),
                R::select(a.equal(R::of(0.0)) & b.greater_equal(R::of(0.0)), R::of(0.0), g * y * a.log());
            /// The angle of the point (`x`, `self`), in radians; derivative 0 at the origin
            atan2 Atan2 [a b] [a b] |a, b| a.atan2(b), |a, b, y, g|
                { let r = a * a + b * b; R::select(r.equal(R::of(0.0)), R::of(0.0), g * b / r) },
                { let r = a * a + b * b; R::select(r.equal(R::of(0.0)), R::of(0.0), -(g * a / r)) };
            /// The remainder of `self / other` rounded towards zero, with the sign of `self`
            fmod Fmod [] [a b] |a, b| a.fmod(b), |a, b, y, g| g, -(g * (a / b).trunc());
        }
    } };
}
pub(crate) use elementary;

macro_rules! functions {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) [$($bk:ident)*] $bf:tt |$bx:ident, $by:ident, $bg:ident| $bd:expr; )* }
        made { $( $(#[$mm:meta])* $mn:ident $mv:ident ($($mp:ident),*) [$($mk:ident)*] |$mvx:ident| $me:expr, |$mx:ident, $my:ident, $mg:ident| $md:expr; )* }
        pairs { $( $(#[$pm:meta])* $pn:ident $pv:ident [$($pka:ident)*] [$($pkb:ident)*] |$pva:ident, $pvb:ident| $pe:expr, |$pa:ident, $pb:ident, $py:ident, $pg:ident| $pda:expr, $pdb:expr; )* }
        operators { $( $(#[$om:meta])* $on:ident $ov:ident [$($oka:ident)*] [$($okb:ident)*] |$ova:ident, $ovb:ident| $oe:expr, |$oa:ident, $ob:ident, $oy:ident, $og:ident| $oda:expr, $odb:expr; )* }
    ) => {
        /// The values of the functions that are expressions in others.
        pub(crate) mod value {
            use crate::real::Number;
            $( #[inline(always)] pub fn $mn<R: Number>($mvx: R $(, $mp: f64)*) -> R { $me } )*
            $( #[inline(always)] pub fn $pn<R: Number>($pva: R, $pvb: R) -> R { $pe } )*
            $( #[inline(always)] pub fn $on<R: Number>($ova: R, $ovb: R) -> R { $oe } )*
        }
        /// The derivatives: argument(s), result and gradient of the result to the gradient of the argument.
        #[allow(unused_variables)]
        pub(crate) mod slope {
            use crate::real::Number;
            $( #[inline(always)] pub fn $bn<R: Number>($bx: R, $by: R, $bg: R $(, $bp: f64)*) -> R { $bd } )*
            $( #[inline(always)] pub fn $mn<R: Number>($mx: R, $my: R, $mg: R $(, $mp: f64)*) -> R { $md } )*
        }
        /// Derivatives of the functions of two arguments with respect to the first.
        #[allow(unused_variables)]
        pub(crate) mod slope_a {
            use crate::real::Number;
            $( #[inline(always)] pub fn $pn<R: Number>($pa: R, $pb: R, $py: R, $pg: R) -> R { $pda } )*
            $( #[inline(always)] pub fn $on<R: Number>($oa: R, $ob: R, $oy: R, $og: R) -> R { $oda } )*
        }
        /// Derivatives of the functions of two arguments with respect to the second.
        #[allow(unused_variables)]
        pub(crate) mod slope_b {
            use crate::real::Number;
            $( #[inline(always)] pub fn $pn<R: Number>($pa: R, $pb: R, $py: R, $pg: R) -> R { $pdb } )*
            $( #[inline(always)] pub fn $on<R: Number>($oa: R, $ob: R, $oy: R, $og: R) -> R { $odb } )*
        }
    };
}
elementary!(functions);
