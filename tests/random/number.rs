//! Numbers of the naive evaluator: a value, its derivatives along two directions, and the second derivative
//! along both. One evaluation on them gives what a program's value, its gradient and its gradient's gradient
//! must agree with.
//!
//! Whatever compares says how near it came to deciding otherwise, so that programs keep away from kinks and
//! ties.
use std::{
    cell::Cell,
    f64::consts::{FRAC_2_SQRT_PI, PI},
    ops::{Add, Div, Mul, Neg, Sub},
};

/// A value `v`, its derivatives `a` and `b` along two directions, and `ab` along both.
#[derive(Clone, Copy, Debug, Default)]
pub struct N {
    pub v: f64,
    pub a: f64,
    pub b: f64,
    pub ab: f64,
}

thread_local! {
    static MARGIN: Cell<f64> = const { Cell::new(f64::INFINITY) };
}

/// A decision that a change of this size would turn.
pub fn near(gap: f64) {
    MARGIN.with(|m| m.set(m.get().min(gap.abs())));
}

/// The nearest such decision since the last call.
pub fn margin() -> f64 {
    MARGIN.with(|m| m.replace(f64::INFINITY))
}

/// A constant.
pub const fn n(v: f64) -> N {
    N { v, a: 0.0, b: 0.0, ab: 0.0 }
}

impl N {
    /// A function of one argument: its value and first two derivatives.
    fn by(self, v: f64, d: f64, dd: f64) -> N {
        let second = |x: f64| if x == 0.0 { 0.0 } else { dd * x };
        N { v, a: d * self.a, b: d * self.b, ab: d * self.ab + second(self.a * self.b) }
    }

    pub fn less(self, other: N) -> bool {
        near(self.v - other.v);
        self.v < other.v
    }

    pub fn positive(self) -> bool {
        n(0.0).less(self)
    }

    pub fn max(self, other: N) -> N {
        if self.less(other) { other } else { self }
    }

    pub fn min(self, other: N) -> N {
        if self.less(other) { self } else { other }
    }

    pub fn exp(self) -> N {
        let y = self.v.exp();
        self.by(y, y, y)
    }

    pub fn ln(self) -> N {
        self.by(self.v.ln(), 1.0 / self.v, -1.0 / (self.v * self.v))
    }

    pub fn sqrt(self) -> N {
        let y = self.v.sqrt();
        self.by(y, 0.5 / y, -0.25 / (y * y * y))
    }

    pub fn sin(self) -> N {
        self.by(self.v.sin(), self.v.cos(), -self.v.sin())
    }

    pub fn cos(self) -> N {
        self.by(self.v.cos(), -self.v.sin(), -self.v.cos())
    }

    pub fn asin(self) -> N {
        let s = 1.0 - self.v * self.v;
        self.by(self.v.asin(), s.powf(-0.5), self.v * s.powf(-1.5))
    }

    pub fn atan(self) -> N {
        let s = 1.0 + self.v * self.v;
        self.by(self.v.atan(), 1.0 / s, -2.0 * self.v / (s * s))
    }

    pub fn tanh(self) -> N {
        let y = self.v.tanh();
        let s = 1.0 - y * y;
        self.by(y, s, -2.0 * y * s)
    }

    pub fn erf(self) -> N {
        let d = FRAC_2_SQRT_PI * (-self.v * self.v).exp();
        self.by(libm::erf(self.v), d, -2.0 * self.v * d)
    }

    pub fn lgamma(self) -> N {
        self.by(libm::lgamma(self.v), polygamma(0, self.v), polygamma(1, self.v))
    }

    pub fn polygamma(self, order: i32) -> N {
        let [v, d, dd] = [0, 1, 2].map(|i| polygamma(order + i, self.v));
        self.by(v, d, dd)
    }

    pub fn powf(self, e: f64) -> N {
        let d = |order: f64, factor: f64| if factor == 0.0 { 0.0 } else { factor * self.v.powf(e - order) };
        self.by(self.v.powf(e), d(1.0, e), d(2.0, e * (e - 1.0)))
    }

    /// Of a positive base.
    pub fn pow(self, e: N) -> N {
        (self.ln() * e).exp()
    }

    pub fn abs(self) -> N {
        if self.positive() { self } else { -self }
    }

    pub fn sigmoid(self) -> N {
        n(1.0) / ((-self).exp() + 1.0)
    }

    pub fn square(self) -> N {
        self * self
    }

    /// Constant between steps, which are where `distance` is 0.
    pub fn step(self, value: f64, distance: f64) -> N {
        near(distance);
        n(value)
    }

    pub fn floor(self) -> N {
        self.step(self.v.floor(), self.v - self.v.round())
    }

    pub fn trunc(self) -> N {
        self.step(self.v.trunc(), self.v - self.v.round())
    }
}

/// The derivative of `order` of digamma, for positive x: up by recurrence, then the asymptotic series.
fn polygamma(order: i32, x: f64) -> f64 {
    const BERNOULLI: [f64; 8] = [
        1.0 / 6.0,
        -1.0 / 30.0,
        1.0 / 42.0,
        -1.0 / 30.0,
        5.0 / 66.0,
        -691.0 / 2730.0,
        7.0 / 6.0,
        -3617.0 / 510.0,
    ];
    let factorial = |k: i32| (1..=k).map(f64::from).product::<f64>();
    let sign = if order % 2 == 0 { -1.0 } else { 1.0 };
    let (mut x, mut sum) = (x, 0.0);
    while x < 20.0 {
        sum += sign * factorial(order) / x.powi(order + 1);
        x += 1.0;
    }
    sum += match order {
        0 => x.ln() - 0.5 / x,
        _ => sign * (factorial(order - 1) / x.powi(order) + factorial(order) / (2.0 * x.powi(order + 1))),
    };
    for (i, b) in BERNOULLI.into_iter().enumerate() {
        let k = 2 * (i as i32 + 1);
        let rising = factorial(k + order - 1) / factorial(k);
        sum += sign * b * rising / x.powi(k + order);
    }
    sum
}

impl Add for N {
    type Output = N;
    fn add(self, o: N) -> N {
        N { v: self.v + o.v, a: self.a + o.a, b: self.b + o.b, ab: self.ab + o.ab }
    }
}

impl Neg for N {
    type Output = N;
    fn neg(self) -> N {
        N { v: -self.v, a: -self.a, b: -self.b, ab: -self.ab }
    }
}

impl Sub for N {
    type Output = N;
    fn sub(self, o: N) -> N {
        self + -o
    }
}

impl Mul for N {
    type Output = N;
    fn mul(self, o: N) -> N {
        N {
            v: self.v * o.v,
            a: self.a * o.v + self.v * o.a,
            b: self.b * o.v + self.v * o.b,
            ab: self.ab * o.v + self.a * o.b + self.b * o.a + self.v * o.ab,
        }
    }
}

impl Div for N {
    type Output = N;
    fn div(self, o: N) -> N {
        // Not by the reciprocal: its rounding would be a second one.
        let v = self.v / o.v;
        let a = (self.a - v * o.a) / o.v;
        let b = (self.b - v * o.b) / o.v;
        N { v, a, b, ab: (self.ab - a * o.b - b * o.a - v * o.ab) / o.v }
    }
}

impl Add<f64> for N {
    type Output = N;
    fn add(self, o: f64) -> N {
        self + n(o)
    }
}

impl Sub<f64> for N {
    type Output = N;
    fn sub(self, o: f64) -> N {
        self - n(o)
    }
}

impl Mul<f64> for N {
    type Output = N;
    fn mul(self, o: f64) -> N {
        self * n(o)
    }
}

impl Div<f64> for N {
    type Output = N;
    fn div(self, o: f64) -> N {
        self / n(o)
    }
}

impl std::iter::Sum for N {
    fn sum<I: Iterator<Item = N>>(terms: I) -> N {
        terms.fold(n(0.0), |a, b| a + b)
    }
}

impl std::iter::Product for N {
    fn product<I: Iterator<Item = N>>(factors: I) -> N {
        factors.fold(n(1.0), |a, b| a * b)
    }
}

/// `sin(πx) / (πx)`, away from 0.
pub fn sinc(x: N) -> N {
    near(x.v);
    (x * PI).sin() / (x * PI)
}
