//! The elementary functions: value and derivative of each, side by side. Every kind of number and the tensor
//! operations are made from this one table, the trait and the values in `number`, the derivatives in
//! `slopes`.
//!
//! A row of `base` is computed by each plain number type itself; a row of `made` is an expression in
//! others; `pairs` have two arguments. The derivative of a `costly` row calls functions itself: with several
//! tangents it is computed for one of size 1. `[x]`, `[y]` say what the derivative reads: the argument, the result.
//! The derivative maps the gradient `g` of the result to that of the argument; in a dual number `g` is the
//! argument's tangent. Special points follow PyTorch: a kink has the subgradient of least norm. Where 0 · ∞
//! must be kept out, `select` changes what is computed with, not what came out: the derivative of a branch
//! that isn't taken is 0 times its own, and that must not be infinite either. At one point the second
//! derivatives of `a` along `b` and of `b` along `a` are the same.

/// Calls a macro with the whole table.
macro_rules! elementary {
    ($with:ident) => { $with! {
        base {
            /// `eˣ`
            exp Exp() [y] heavy |x, y, g| g * y,
                { value: "eᵃ", gradients: &["ȳ · y"], note: "The derivative of eᵃ is eᵃ: the result is kept, not the operand." };
            /// `2ˣ`
            exp2 Exp2() [y] heavy |x, y, g| g * y * R::constant(std::f64::consts::LN_2);
            /// `eˣ - 1`, precise near 0
            expm1 Expm1() [y] heavy |x, y, g| g * (y + R::constant(1.0));
            /// Natural logarithm
            log Log() [x] heavy |x, y, g| g / x,
                { value: "ln a", gradients: &["ȳ / a"] };
            /// `ln(1 + x)`, precise near 0
            log1p Log1p() [x] heavy |x, y, g| g / (x + R::constant(1.0));
            /// Logarithm to base 2
            log2 Log2() [x] heavy |x, y, g| g / (x * R::constant(std::f64::consts::LN_2));
            /// Logarithm to base 10
            log10 Log10() [x] heavy |x, y, g| g / (x * R::constant(std::f64::consts::LN_10));
            /// Square root
            sqrt Sqrt() [y] light |x, y, g| g / (y + y),
                { value: "√a", gradients: &["ȳ / 2y"], note: "The result is kept. At 0 the derivative is infinite." };
            /// Sine
            sin Sin() [x] costly |x, y, g| g * x.cos(),
                { value: "sin a", gradients: &["ȳ · cos a"] };
            /// Cosine
            cos Cos() [x] costly |x, y, g| -(g * x.sin()),
                { value: "cos a", gradients: &["−ȳ · sin a"] };
            /// Tangent
            tan Tan() [y] heavy |x, y, g| g * (y * y + R::constant(1.0)),
                { value: "tan a", gradients: &["ȳ · (1 + y²)"], note: "The result is kept." };
            /// Arcsine
            asin Asin() [x] heavy |x, y, g| g / (R::constant(1.0) - x * x).sqrt();
            /// Arccosine
            acos Acos() [x] heavy |x, y, g| -(g / (R::constant(1.0) - x * x).sqrt());
            /// Arctangent
            atan Atan() [x] heavy |x, y, g| g / (x * x + R::constant(1.0));
            /// Hyperbolic sine
            sinh Sinh() [x] costly |x, y, g| g * x.cosh();
            /// Hyperbolic cosine
            cosh Cosh() [x] costly |x, y, g| g * x.sinh();
            /// Hyperbolic tangent
            tanh Tanh() [y] heavy |x, y, g| g * (R::constant(1.0) - y * y),
                { value: "tanh a", gradients: &["ȳ · (1 − y²)"], note: "The result is kept." };
            /// Inverse hyperbolic sine
            asinh Asinh() [x] heavy |x, y, g| g / (x * x + R::constant(1.0)).sqrt();
            /// Inverse hyperbolic cosine
            acosh Acosh() [x] heavy |x, y, g| g / (x * x - R::constant(1.0)).sqrt();
            /// Inverse hyperbolic tangent
            atanh Atanh() [x] heavy |x, y, g| g / (R::constant(1.0) - x * x);
            /// `1 / (1 + e⁻ˣ)`
            sigmoid Sigmoid() [y] heavy |x, y, g| g * y * (R::constant(1.0) - y),
                { value: "1 / (1 + e⁻ᵃ)", gradients: &["ȳ · y · (1 − y)"], note: "The result is kept." };
            /// Absolute value; derivative 0 at 0
            abs Abs() [x] light |x, y, g| g * x.sign(),
                { value: "|a|", gradients: &["ȳ · sign a"], note: "At 0 any number from −1 to 1 is a subgradient; the rule takes 0.", exact: true, is_kink: Some(|_, [x, _]| x == 0.0), kinks: "at 0" };
            /// -1, 0 or 1, 0 for NaN; derivative 0
            sign Sign() [] light |x, y, g| g * R::constant(0.0),
                { exact: true };
            /// Largest whole number that is not larger; derivative 0
            floor Floor() [] light |x, y, g| g * R::constant(0.0),
                { exact: true };
            /// Smallest whole number that is not smaller; derivative 0
            ceil Ceil() [] light |x, y, g| g * R::constant(0.0),
                { exact: true };
            /// Nearest whole number, halves to even; derivative 0
            round Round() [] light |x, y, g| g * R::constant(0.0),
                { exact: true };
            /// Whole part, towards zero; derivative 0
            trunc Trunc() [] light |x, y, g| g * R::constant(0.0),
                { exact: true };
            /// Error function
            erf Erf() [x] costly |x, y, g| g * (-(x * x)).exp() * R::constant(std::f64::consts::FRAC_2_SQRT_PI);
            /// `1 - erf(x)`, precise for large x
            erfc Erfc() [x] costly |x, y, g| -(g * (-(x * x)).exp() * R::constant(std::f64::consts::FRAC_2_SQRT_PI));
            /// Logarithm of the absolute value of the gamma function
            lgamma Lgamma() [x] costly |x, y, g| g * x.digamma();
            /// Derivative of `lgamma`
            digamma Digamma() [x] costly |x, y, g| g * x.polygamma(1.0);
            /// n-th derivative of `digamma`, n ≥ 1
            polygamma Polygamma(n) [x] costly |x, y, g| g * x.polygamma(n + 1.0);
        }
        made {
            /// `x²`
            square Square() [x] |x| x * x, |x, y, g| g * (x + x),
                { value: "a²", gradients: &["ȳ · 2a"] };
            /// `1 / x`
            reciprocal Reciprocal() [y] |x| R::constant(1.0) / x, |x, y, g| -(g * (y * y)),
                { value: "1 / a", gradients: &["−ȳ · y²"], note: "The result is kept." };
            /// `1 / √x`
            rsqrt Rsqrt() [y] |x| R::constant(1.0) / x.sqrt(), |x, y, g| g * y * y * y * R::constant(-0.5),
                { value: "1 / √a", gradients: &["−ȳ · y³ / 2"], note: "The result is kept." };
            /// `max(x, 0)`; derivative 0 at 0, 1 at NaN
            relu Relu() [x] |x| R::select(x.less_equal(R::constant(0.0)), R::constant(0.0), x),
                |x, y, g| R::select(x.less_equal(R::constant(0.0)), R::constant(0.0), g),
                { value: "max(a, 0)", gradients: &["ȳ where a > 0, else 0"], note: "At 0 any number from 0 to 1 is a subgradient; the rule takes 0.", exact: true, is_kink: Some(|_, [x, _]| x == 0.0), kinks: "at 0" };
            /// `x` where positive, else `negative_slope · x`
            leaky_relu LeakyRelu(negative_slope) [x]
                |x| R::select(x.greater(R::constant(0.0)), x, x * R::constant(negative_slope)),
                |x, y, g| R::select(x.greater(R::constant(0.0)), g, g * R::constant(negative_slope)),
                { is_kink: Some(|_, [x, _]| x == 0.0), kinks: "at 0" };
            /// `x · sigmoid(x)`, also called swish
            silu Silu() [x] |x| x * x.sigmoid(),
                |x, y, g| { let s = x.sigmoid(); g * s * (x * (R::constant(1.0) - s) + R::constant(1.0)) },
                { value: "a · sigmoid(a)", gradients: &["ȳ · s · (1 + a · (1 − s)), s = sigmoid(a)"] };
            /// `x + number`
            #[doc(hidden)]
            add_number AddNumber(number) [] |x| x + R::constant(number), |x, y, g| g,
                { value: "a + number", gradients: &["ȳ"], note: "Nothing is kept." };
            /// `x · number`
            #[doc(hidden)]
            mul_number MulNumber(number) [] |x| x * R::constant(number), |x, y, g| g * R::constant(number),
                { value: "a · number", gradients: &["ȳ · number"], note: "Nothing is kept." };
            /// `x / number`
            #[doc(hidden)]
            div_number DivNumber(number) [] |x| x / R::constant(number), |x, y, g| g / R::constant(number),
                { value: "a / number", gradients: &["ȳ / number"], note: "Nothing is kept." };
            /// `number - x`
            #[doc(hidden)]
            rsub_number RsubNumber(number) [] |x| R::constant(number) - x, |x, y, g| -g,
                { value: "number − a", gradients: &["−ȳ"], note: "Nothing is kept." };
            /// `number / x`
            #[doc(hidden)]
            rdiv_number RdivNumber(number) [x y] |x| R::constant(number) / x, |x, y, g| -(g * y / x);
            /// The part behind the point: `x - trunc(x)`
            frac Frac() [] |x| x - x.trunc(), |x, y, g| g,
                { exact: true };
            /// Degrees to radians
            deg2rad Deg2rad() [] |x| x * R::constant(std::f64::consts::PI / 180.0), |x, y, g| g * R::constant(std::f64::consts::PI / 180.0);
            /// Radians to degrees
            rad2deg Rad2deg() [] |x| x * R::constant(180.0 / std::f64::consts::PI), |x, y, g| g * R::constant(180.0 / std::f64::consts::PI);
            /// `sin(πx) / (πx)`, 1 at 0
            sinc Sinc() [x] |x| { let p = x * R::constant(std::f64::consts::PI); R::select(x.equal(R::constant(0.0)), R::constant(1.0), p.sin() / p) },
                |x, y, g| {
                    // 0 also where the square underflows.
                    let zero = (x * x * R::constant(std::f64::consts::PI)).equal(R::constant(0.0));
                    let x = R::select(zero, R::constant(1.0), x);
                    let p = x * R::constant(std::f64::consts::PI);
                    R::select(zero, R::constant(0.0), g * (p * p.cos() - p.sin()) / (p * x))
                };
            /// `ln(x / (1 - x))`, of x clamped to [eps, 1 - eps] if eps is not negative
            logit Logit(eps) [x] |x| {
                    let (low, high) = (R::constant(eps), R::constant(1.0 - eps));
                    let inside = R::select(x.less(low), low, R::select(x.greater(high), high, x));
                    let x = if eps < 0.0 { x } else { inside };
                    (x / (R::constant(1.0) - x)).log()
                },
                |x, y, g| {
                    let (low, beyond) = if eps < 0.0 { (0.0, f64::NAN) } else { (eps, 0.0) };
                    let outside = x.less(R::constant(low)) | x.greater(R::constant(1.0 - low));
                    // An infinity with the sign of g also at -0.
                    let product = R::select(x.equal(R::constant(0.0)), R::constant(0.0), x * (R::constant(1.0) - x));
                    R::select(outside, R::constant(beyond), g / R::select(outside, R::constant(1.0), product))
                };
            /// `x` with NaN and the infinities replaced by these
            replace_nonfinite ReplaceNonfinite(nan, posinf, neginf) [x]
                |x| {
                    let x = R::select(x.is_nan(), R::constant(nan), x);
                    let x = R::select(x.equal(R::constant(f64::INFINITY)), R::constant(posinf), x);
                    R::select(x.equal(R::constant(f64::NEG_INFINITY)), R::constant(neginf), x)
                },
                |x, y, g| R::select((x - x).equal(R::constant(0.0)), g, R::constant(0.0)),
                { exact: true };
            /// Not below `min` nor above `max`; derivative 0 at the bounds
            #[doc(alias("clip", "clamp_tensor"))]
            clamp Clamp(min, max) [x]
                |x| { let x = R::select(x.less(R::constant(min)), R::constant(min), x); R::select(x.greater(R::constant(max)), R::constant(max), x) },
                |x, y, g| R::select(x.greater(R::constant(min)) & x.less(R::constant(max)), g, R::constant(0.0)),
                { value: "min(max(a, min), max)", gradients: &["ȳ between the bounds, else 0"], exact: true, is_kink: Some(|options, [x, _]| options.contains(&x)), kinks: "at a bound" };
            /// Not below `min`; derivative 0 at `min`
            clamp_min ClampMin(min) [x] |x| R::select(x.less(R::constant(min)), R::constant(min), x),
                |x, y, g| R::select(x.greater(R::constant(min)), g, R::constant(0.0)),
                { exact: true, is_kink: Some(|options, [x, _]| options.contains(&x)), kinks: "at a bound" };
            /// Not above `max`; derivative 0 at `max`
            clamp_max ClampMax(max) [x] |x| R::select(x.greater(R::constant(max)), R::constant(max), x),
                |x, y, g| R::select(x.less(R::constant(max)), g, R::constant(0.0)),
                { exact: true, is_kink: Some(|options, [x, _]| options.contains(&x)), kinks: "at a bound" };
            /// `x` to the power of a number
            pow_number PowNumber(exponent) [x] |x| power(x, exponent),
                |x, y, g| if exponent == 0.0 { g * R::constant(0.0) } else { g * (R::constant(exponent) * power(x, exponent - 1.0)) };
            /// `min(max(x, 0), 6)`
            relu6 Relu6() [x] |x| value::hardtanh(x, 0.0, 6.0), |x, y, g| slope::hardtanh(x, y, g, 0.0, 6.0),
                { exact: true, is_kink: Some(|_, [x, _]| x == 0.0 || x == 6.0), kinks: "at a bound" };
            /// `x` between `min_val` and `max_val`, which it doesn't leave
            hardtanh Hardtanh(min_val, max_val) [x] |x| value::clamp(x, min_val, max_val),
                |x, y, g| R::select(x.less_equal(R::constant(min_val)) | x.greater_equal(R::constant(max_val)), R::constant(0.0), g),
                { exact: true, is_kink: Some(|options, [x, _]| options.contains(&x)), kinks: "at a bound" };
            /// `x` where positive, else `alpha · (eˣ - 1)`
            elu Elu(alpha) [x]
                |x| R::select(x.greater(R::constant(0.0)), x, R::select(x.greater(R::constant(0.0)), R::constant(0.0), x).expm1() * R::constant(alpha)),
                |x, y, g| {
                    let low = x.less_equal(R::constant(0.0));
                    R::select(low, g * R::constant(alpha) * R::select(low, x, R::constant(0.0)).exp(), g)
                },
                { is_kink: Some(|options, [x, _]| x == 0.0 && options != [1.0]), kinks: "at 0" };
            /// `elu` scaled so that activations keep mean 0 and variance 1 (Klambauer et al., 2017)
            selu Selu() [x] |x| value::elu(x, SELU_ALPHA) * R::constant(SELU_SCALE),
                |x, y, g| slope::elu(x, y, g, SELU_ALPHA) * R::constant(SELU_SCALE),
                { is_kink: Some(|_, [x, _]| x == 0.0), kinks: "at 0" };
            /// `x` where positive, else `alpha · (e^(x/alpha) - 1)`
            celu Celu(alpha) [x]
                |x| R::select(x.greater(R::constant(0.0)), x, R::select(x.greater(R::constant(0.0)), R::constant(0.0), x / R::constant(alpha)).expm1() * R::constant(alpha)),
                |x, y, g| {
                    let low = x.less_equal(R::constant(0.0));
                    R::select(low, g * R::select(low, x / R::constant(alpha), R::constant(0.0)).exp(), g)
                };
            /// `x · Φ(x)` with the distribution function of the normal distribution
            gelu Gelu() [x] |x| x * R::constant(0.5) * ((x * R::constant(std::f64::consts::FRAC_1_SQRT_2)).erf() + R::constant(1.0)),
                |x, y, g| {
                    let cdf = ((x * R::constant(std::f64::consts::FRAC_1_SQRT_2)).erf() + R::constant(1.0)) * R::constant(0.5);
                    let pdf = (x * x * R::constant(-0.5)).exp() * R::constant(0.5 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2);
                    g * (cdf + x * pdf)
                },
                { value: "a · Φ(a)", gradients: &["ȳ · (Φ(a) + a · φ(a))"], note: "Φ is the distribution function of the normal distribution, φ its density." };
            /// `gelu` by its approximation with tanh
            gelu_tanh GeluTanh() [x] |x| {
                    let inner = (x + x * x * x * R::constant(0.044715)) * R::constant(SQRT_2_OVER_PI);
                    x * R::constant(0.5) * (inner.tanh() + R::constant(1.0))
                },
                |x, y, g| {
                    let t = ((x + x * x * x * R::constant(0.044715)) * R::constant(SQRT_2_OVER_PI)).tanh();
                    let inner = (x * x * R::constant(3.0 * 0.044715) + R::constant(1.0)) * R::constant(SQRT_2_OVER_PI);
                    g * R::constant(0.5) * (t + R::constant(1.0) + x * (R::constant(1.0) - t * t) * inner)
                };
            /// `ln(1 + e^(beta·x)) / beta`; `x` itself where `beta·x > threshold`
            softplus Softplus(beta, threshold) [x] |x| {
                    let z = x * R::constant(beta);
                    let over = z.greater(R::constant(threshold));
                    R::select(over, x, R::select(over, R::constant(0.0), z).exp().log1p() / R::constant(beta))
                },
                |x, y, g| {
                    let z = x * R::constant(beta);
                    R::select(z.greater(R::constant(threshold)), g, g * z.sigmoid())
                },
                { value: "ln(1 + eᵃ)", gradients: &["ȳ · sigmoid(a)"] };
            /// `x · tanh(softplus(x))`
            mish Mish() [x] |x| x * value::softplus(x, 1.0, 20.0).tanh(),
                |x, y, g| {
                    let t = value::softplus(x, 1.0, 20.0).tanh();
                    g * (t + x * x.sigmoid() * (R::constant(1.0) - t * t))
                };
            /// `x · relu6(x + 3) / 6`; derivative 0 at -3, 1 at 3
            hardswish Hardswish() [x] |x| x * value::relu6(x + R::constant(3.0)) / R::constant(6.0),
                |x, y, g| R::select(x.less_equal(R::constant(-3.0)), R::constant(0.0),
                    R::select(x.less(R::constant(3.0)), g * (x / R::constant(3.0) + R::constant(0.5)), g)),
                { is_kink: Some(|_, [x, _]| x.abs() == 3.0), kinks: "at a bound" };
            /// `relu6(x + 3) / 6`
            hardsigmoid Hardsigmoid() [x] |x| value::relu6(x + R::constant(3.0)) / R::constant(6.0),
                |x, y, g| R::select(x.greater(R::constant(-3.0)) & x.less(R::constant(3.0)), g / R::constant(6.0), R::constant(0.0)),
                { is_kink: Some(|_, [x, _]| x.abs() == 3.0), kinks: "at a bound" };
            /// `ln(sigmoid(x))`, without overflow
            logsigmoid Logsigmoid() [x] |x| R::select(x.greater(R::constant(0.0)), R::constant(0.0), x) - (-x.abs()).exp().log1p(),
                |x, y, g| g * (-x).sigmoid();
            /// `x / (1 + |x|)`, NaN at infinity with its derivative, as in PyTorch
            softsign Softsign() [x] |x| x / (x.abs() + R::constant(1.0)),
                |x, y, g| { let d = x.abs() + R::constant(1.0); g / (d * d) + (d - d) };
            /// `x - tanh(x)`
            tanhshrink Tanhshrink() [x] |x| x - x.tanh(), |x, y, g| { let t = x.tanh(); g * t * t };
            /// `x` outside [-lambd, lambd], else 0
            hardshrink Hardshrink(lambd) [x]
                |x| R::select(x.greater_equal(R::constant(-lambd)) & x.less_equal(R::constant(lambd)), R::constant(0.0), x),
                |x, y, g| R::select(x.greater_equal(R::constant(-lambd)) & x.less_equal(R::constant(lambd)), R::constant(0.0), g),
                { exact: true, is_kink: Some(|options, [x, _]| options.contains(&x.abs())), kinks: "at a bound" };
            /// `x` moved towards 0 by `lambd`, 0 within [-lambd, lambd]
            softshrink Softshrink(lambd) [x]
                |x| R::select(x.greater(R::constant(lambd)), x - R::constant(lambd),
                    R::select(x.less(R::constant(-lambd)), x + R::constant(lambd), x * R::constant(0.0))),
                |x, y, g| R::select(x.greater_equal(R::constant(-lambd)) & x.less_equal(R::constant(lambd)), R::constant(0.0), g),
                { is_kink: Some(|options, [x, _]| options.contains(&x.abs())), kinks: "at a bound" };
            /// `x` where above the threshold, else `value`
            threshold Threshold(threshold, value) [x]
                |x| R::select(x.less_equal(R::constant(threshold)), R::constant(value), x),
                |x, y, g| R::select(x.less_equal(R::constant(threshold)), R::constant(0.0), g),
                { exact: true, is_kink: Some(|options, [x, _]| options.first() == Some(&x)), kinks: "at a bound" };
        }
        pairs {
            /// The larger of both, NaN if one is; on a tie each gets half of the gradient
            maximum Maximum [a b] [a b] |a, b| R::select(a.greater(b) | a.is_nan(), a, b),
                |a, b, y, g|
                R::select(a.equal(b), g * R::constant(0.5), R::select(a.less(b), R::constant(0.0), g)),
                R::select(a.equal(b), g * R::constant(0.5), R::select(b.less(a), R::constant(0.0), g)),
                { value: "max(a, b)", gradients: &["ȳ where a > b", "ȳ where b > a"], note: "On a tie each gets half.", exact: true, is_kink: Some(|_, [a, b]| a == b), kinks: "at a tie" };
            /// The smaller of both, NaN if one is; on a tie each gets half of the gradient
            minimum Minimum [a b] [a b] |a, b| R::select(a.less(b) | a.is_nan(), a, b),
                |a, b, y, g|
                R::select(a.equal(b), g * R::constant(0.5), R::select(a.greater(b), R::constant(0.0), g)),
                R::select(a.equal(b), g * R::constant(0.5), R::select(b.greater(a), R::constant(0.0), g)),
                { value: "min(a, b)", gradients: &["ȳ where a < b", "ȳ where b < a"], note: "On a tie each gets half.", exact: true, is_kink: Some(|_, [a, b]| a == b), kinks: "at a tie" };
            /// The larger of both, the other if one is NaN; on a tie each gets half of the gradient
            fmax Fmax [a b] [a b] |a, b| R::select(a.greater_equal(b) | b.is_nan(), a, b),
                |a, b, y, g|
                R::select(a.equal(b), g * R::constant(0.5), R::select(a.greater(b) | b.is_nan(), g, R::constant(0.0))),
                R::select(a.equal(b), g * R::constant(0.5), R::select(a.greater(b) | b.is_nan(), R::constant(0.0), g)),
                { exact: true, is_kink: Some(|_, [a, b]| a == b), kinks: "at a tie" };
            /// The smaller of both, the other if one is NaN; on a tie each gets half of the gradient
            fmin Fmin [a b] [a b] |a, b| R::select(a.less_equal(b) | b.is_nan(), a, b),
                |a, b, y, g|
                R::select(a.equal(b), g * R::constant(0.5), R::select(a.less(b) | b.is_nan(), g, R::constant(0.0))),
                R::select(a.equal(b), g * R::constant(0.5), R::select(a.less(b) | b.is_nan(), R::constant(0.0), g)),
                { exact: true, is_kink: Some(|_, [a, b]| a == b), kinks: "at a tie" };
            /// `√(a² + b²)`, without overflow
            hypot Hypot [a y] [b y] |a, b| {
                    let (a, b) = (a.abs(), b.abs());
                    // An infinite side is the longer one, also of NaN.
                    let swap = a.less(b) | b.equal(R::constant(f64::INFINITY));
                    let (large, small) = (R::select(swap, b, a), R::select(swap, a, b));
                    let ratio = small / R::select(large.equal(R::constant(0.0)), R::constant(1.0), large);
                    R::select(large.equal(R::constant(f64::INFINITY)), large, large * (ratio * ratio + R::constant(1.0)).sqrt())
                },
                |a, b, y, g| g * (a / y), g * (b / y);
            /// The remainder of `a / b` rounded down, with the sign of `b`
            remainder Remainder [] [a b] |a, b| {
                    let r = a.fmod(b);
                    let turn = (r.less(R::constant(0.0)) & b.greater(R::constant(0.0))) | (r.greater(R::constant(0.0)) & b.less(R::constant(0.0)));
                    R::select(turn, r + b, r)
                },
                |a, b, y, g| g, -(g * value::div_floor(a, b));
            /// `a · ln b`, 0 where `a` is 0 and `b` no NaN
            xlogy Xlogy [a b] [a b] |a, b| R::select(a.equal(R::constant(0.0)) & !b.is_nan(), R::constant(0.0), a * b.log()),
                |a, b, y, g|
                {
                    // 0 where 0 · ln b is 0 though there is no ln b; its derivative along b is 1 / b all the same.
                    let outside = a.equal(R::constant(0.0)) & b.less_equal(R::constant(0.0));
                    let inside = R::select(outside, R::select(b.equal(R::constant(0.0)), R::constant(1.0), -b), b);
                    let log = inside.log();
                    let log = R::select(outside, log - log.fixed(), log);
                    let none = g.equal(R::constant(0.0)) & log.abs().equal(R::constant(f64::INFINITY));
                    g * R::select(none, R::constant(0.0), log)
                },
                g * a / b;
            /// `ln(eᵃ + eᵇ)`, without overflow
            logaddexp Logaddexp [a b] [a b] |a, b| {
                    let top = R::select(a.greater(b), a, b);
                    let gap = R::select(a.equal(b), R::constant(0.0), -(a - b).abs());
                    R::select(a.is_nan(), a, top + gap.exp().log1p())
                },
                |a, b, y, g| g * (a - b).sigmoid(), g * (b - a).sigmoid();
            /// The size of `a` with the sign of `b`
            copysign Copysign [a y] [] |a, b| {
                    let negative = b.less(R::constant(0.0)) | (R::constant(1.0) / b).less(R::constant(0.0));
                    R::select(negative, -a.abs(), a.abs())
                },
                |a, b, y, g| g * (y / R::select(a.equal(R::constant(0.0)), R::constant(1.0), a)), g * R::constant(0.0),
                { exact: true };
            /// `a / b` rounded down; derivative 0
            div_floor DivFloor [] [] |a, b| {
                    let rest = a.fmod(b);
                    let whole = (a - rest) / b;
                    let below = (rest.less(R::constant(0.0)) & b.greater(R::constant(0.0))) | (rest.greater(R::constant(0.0)) & b.less(R::constant(0.0)));
                    let whole = R::select(below, whole - R::constant(1.0), whole).round();
                    R::select(b.equal(R::constant(0.0)) | whole.equal(R::constant(0.0)), R::select(b.equal(R::constant(0.0)), a / b, a / b * R::constant(0.0)), whole)
                },
                |a, b, y, g| g * R::constant(0.0), g * R::constant(0.0);
            /// `a / b` rounded towards zero; derivative 0
            div_trunc DivTrunc [] [] |a, b| (a / b).trunc(), |a, b, y, g| g * R::constant(0.0), g * R::constant(0.0);
        }
        operators {
            add Add [] [] |a, b| a + b, |a, b, y, g| g, g,
                { value: "a + b", gradients: &["ȳ", "ȳ"], note: "Where an operand was broadcast, its part is summed back to its shape." };
            sub Sub [] [] |a, b| a - b, |a, b, y, g| g, -g,
                { value: "a − b", gradients: &["ȳ", "−ȳ"], note: "Where an operand was broadcast, its part is summed back to its shape." };
            mul Mul [b] [a] |a, b| a * b, |a, b, y, g| g * b, g * a,
                { value: "a · b", gradients: &["ȳ · b", "ȳ · a"], note: "Each operand is kept for the other's derivative." };
            div Div [b] [b y] |a, b| a / b, |a, b, y, g| g / b, -(g * y / b),
                { value: "a / b", gradients: &["ȳ / b", "−ȳ · y / b"] };
            /// `self` to the power of `exponent`; at base 0 as in PyTorch
            pow Pow [a b] [a b y] |a, b| a.pow(b), |a, b, y, g|
                {
                    // 0 at exponent 0, whatever the base; at base 0 it doesn't depend on the exponent, as that of the
                    // exponent, which is 0 there, doesn't on the base.
                    let zero = b.equal(R::constant(0.0)) & (a.equal(R::constant(0.0)) | a.is_nan());
                    let base = R::select(zero, R::constant(1.0), a);
                    let held = R::select(a.equal(R::constant(0.0)) & b.greater_equal(R::constant(0.0)), b.fixed(), b);
                    g * (held * base.pow(held - R::constant(1.0)))
                },
                {
                    let base = R::select(a.equal(R::constant(0.0)) & b.greater_equal(R::constant(0.0)), R::constant(1.0), a);
                    g * (y * base.log())
                },
                { value: "aᵇ", gradients: &["ȳ · b · aᵇ⁻¹", "ȳ · y · ln a"] };
            /// The angle of the point (`x`, `self`), in radians; derivative 0 at the origin
            atan2 Atan2 [a b] [a b] |a, b| a.atan2(b), |a, b, y, g|
                {
                    let (r, zero) = (a * a + b * b, R::constant(0.0));
                    g * R::select(r.equal(zero), zero, b) / R::select(r.equal(zero), R::constant(1.0), r)
                },
                {
                    let (r, zero) = (a * a + b * b, R::constant(0.0));
                    -(g * R::select(r.equal(zero), zero, a) / R::select(r.equal(zero), R::constant(1.0), r))
                };
            /// The remainder of `self / other` rounded towards zero, with the sign of `self`
            fmod Fmod [] [a b] |a, b| a.fmod(b), |a, b, y, g| g, -(g * (a / b).trunc());
            /// `self` where positive, else `weight · self`
            prelu Prelu [a b] [a b] |a, b| R::select(a.greater(R::constant(0.0)), a, a * b), |a, b, y, g|
                R::select(a.greater(R::constant(0.0)), g, g * b),
                R::select(a.greater(R::constant(0.0)), R::constant(0.0), g * a),
                { is_kink: Some(|_, [x, _]| x == 0.0), kinks: "at 0" };
        }
    } };
}
pub(crate) use elementary;
