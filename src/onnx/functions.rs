//! Functions element by element as nodes: of one operand, of two, and comparisons.
use super::emit::{Emitter, float, int, word};
use crate::{
    error::Checked,
    ops::list::{Binary, Test, Unary},
};
use std::f64::consts;

/// What of an operation is refused.
pub(super) const REFUSED: &str = "has no form in an ONNX file. Layers have one, and what evaluation needs else; not losses, \
                                  gradients, adding by index, solvers of equations and operations of a program's own";

impl Emitter {
    /// An operator with a number on its right.
    fn by(&mut self, op: &str, x: &str, number: f64) -> String {
        let number = self.number(number);
        self.plain(op, &[x, &number])
    }

    /// An operator with a number on its left.
    fn of(&mut self, op: &str, number: f64, x: &str) -> String {
        let number = self.number(number);
        self.plain(op, &[&number, x])
    }

    fn clip(&mut self, x: &str, low: f64, high: f64) -> String {
        let (low, high) = (self.number(low), self.number(high));
        self.plain("Clip", &[x, &low, &high])
    }

    /// `a` where a condition holds, else `b`.
    fn choose(&mut self, condition: &str, a: &str, b: &str) -> String {
        self.plain("Where", &[condition, a, b])
    }

    /// ln(1 + x)
    fn log1p(&mut self, x: &str) -> String {
        let y = self.by("Add", x, 1.0);
        self.plain("Log", &[&y])
    }

    pub fn unary(&mut self, op: &Unary, x: &str) -> Checked<String> {
        let direct = match op {
            Unary::Neg => "Neg",
            Unary::Exp {} => "Exp",
            Unary::Log {} => "Log",
            Unary::Sqrt {} => "Sqrt",
            Unary::Sin {} => "Sin",
            Unary::Cos {} => "Cos",
            Unary::Tan {} => "Tan",
            Unary::Asin {} => "Asin",
            Unary::Acos {} => "Acos",
            Unary::Atan {} => "Atan",
            Unary::Sinh {} => "Sinh",
            Unary::Cosh {} => "Cosh",
            Unary::Tanh {} => "Tanh",
            Unary::Asinh {} => "Asinh",
            Unary::Acosh {} => "Acosh",
            Unary::Atanh {} => "Atanh",
            Unary::Sigmoid {} => "Sigmoid",
            Unary::Abs {} => "Abs",
            Unary::Sign {} => "Sign",
            Unary::Floor {} => "Floor",
            Unary::Ceil {} => "Ceil",
            Unary::Round {} => "Round",
            Unary::Erf {} => "Erf",
            Unary::Reciprocal {} => "Reciprocal",
            Unary::Relu {} => "Relu",
            Unary::Softsign {} => "Softsign",
            Unary::Selu {} => "Selu",
            Unary::Hardswish {} => "HardSwish",
            Unary::Mish {} if self.opset >= 18 => "Mish",
            _ => "",
        };
        if !direct.is_empty() {
            return Ok(self.plain(direct, &[x]));
        }
        Ok(match *op {
            Unary::Exp2 {} => self.of("Pow", 2.0, x),
            Unary::Expm1 {} => {
                let y = self.plain("Exp", &[x]);
                self.by("Sub", &y, 1.0)
            }
            Unary::Log1p {} => self.log1p(x),
            Unary::Log2 {} => {
                let y = self.plain("Log", &[x]);
                self.by("Mul", &y, consts::LOG2_E)
            }
            Unary::Log10 {} => {
                let y = self.plain("Log", &[x]);
                self.by("Mul", &y, consts::LOG10_E)
            }
            Unary::Trunc {} => {
                let (sign, size) = (self.plain("Sign", &[x]), self.plain("Abs", &[x]));
                let whole = self.plain("Floor", &[&size]);
                self.plain("Mul", &[&sign, &whole])
            }
            Unary::Frac {} => {
                let whole = self.unary(&Unary::Trunc {}, x)?;
                self.plain("Sub", &[x, &whole])
            }
            Unary::Erfc {} => {
                let y = self.plain("Erf", &[x]);
                self.of("Sub", 1.0, &y)
            }
            Unary::Square {} => self.plain("Mul", &[x, x]),
            Unary::Rsqrt {} => {
                let y = self.plain("Sqrt", &[x]);
                self.plain("Reciprocal", &[&y])
            }
            Unary::LeakyRelu { negative_slope } => {
                self.node("LeakyRelu", &[x], [float("alpha", negative_slope)])
            }
            Unary::Silu {} => {
                let y = self.plain("Sigmoid", &[x]);
                self.plain("Mul", &[x, &y])
            }
            Unary::AddNumber { number } => self.by("Add", x, number),
            Unary::MulNumber { number } => self.by("Mul", x, number),
            Unary::DivNumber { number } => self.by("Div", x, number),
            Unary::RsubNumber { number } => self.of("Sub", number, x),
            Unary::RdivNumber { number } => self.of("Div", number, x),
            Unary::Deg2rad {} => self.by("Mul", x, consts::PI / 180.0),
            Unary::Rad2deg {} => self.by("Mul", x, 180.0 / consts::PI),
            Unary::Sinc {} => {
                let zero = self.by("Equal", x, 0.0);
                let turned = self.by("Mul", x, consts::PI);
                let sine = self.plain("Sin", &[&turned]);
                let ratio = self.plain("Div", &[&sine, &turned]);
                let one = self.number(1.0);
                self.choose(&zero, &one, &ratio)
            }
            Unary::Logit { eps } => {
                let x = if eps < 0.0 { x.to_string() } else { self.clip(x, eps, 1.0 - eps) };
                let rest = self.of("Sub", 1.0, &x);
                let odds = self.plain("Div", &[&x, &rest]);
                self.plain("Log", &[&odds])
            }
            Unary::ReplaceNonfinite { nan, posinf, neginf } => {
                let is_nan = self.plain("IsNaN", &[x]);
                let number = self.number(nan);
                let mut y = self.choose(&is_nan, &number, x);
                for (sign, number) in [(1, posinf), (0, neginf)] {
                    let which = [int("detect_positive", sign), int("detect_negative", 1 - sign)];
                    let infinite = self.node("IsInf", &[x], which);
                    let number = self.number(number);
                    y = self.choose(&infinite, &number, &y);
                }
                y
            }
            Unary::Clamp { min, max } | Unary::Hardtanh { min_val: min, max_val: max } => {
                self.clip(x, min, max)
            }
            Unary::ClampMin { min } => {
                let min = self.number(min);
                self.plain("Clip", &[x, &min])
            }
            Unary::ClampMax { max } => {
                let max = self.number(max);
                self.plain("Clip", &[x, "", &max])
            }
            Unary::PowNumber { exponent } => self.by("Pow", x, exponent),
            Unary::Relu6 {} => self.clip(x, 0.0, 6.0),
            Unary::Elu { alpha } => self.node("Elu", &[x], [float("alpha", alpha)]),
            Unary::Celu { alpha } => self.node("Celu", &[x], [float("alpha", alpha)]),
            Unary::Gelu {} if self.opset >= 20 => self.plain("Gelu", &[x]),
            Unary::GeluTanh {} if self.opset >= 20 => self.node("Gelu", &[x], [word("approximate", "tanh")]),
            Unary::Gelu {} => {
                let y = self.by("Mul", x, consts::FRAC_1_SQRT_2);
                let y = self.plain("Erf", &[&y]);
                self.half(x, &y)
            }
            Unary::GeluTanh {} => {
                let square = self.plain("Mul", &[x, x]);
                let y = self.by("Mul", &square, 0.044715);
                let y = self.by("Add", &y, 1.0);
                let y = self.plain("Mul", &[x, &y]);
                let y = self.by("Mul", &y, (2.0 / consts::PI).sqrt());
                let y = self.plain("Tanh", &[&y]);
                self.half(x, &y)
            }
            Unary::Softplus { beta: 1.0, .. } => self.plain("Softplus", &[x]),
            Unary::Softplus { beta, .. } => {
                let y = self.by("Mul", x, beta);
                let y = self.plain("Softplus", &[&y]);
                self.by("Div", &y, beta)
            }
            Unary::Mish {} => {
                let y = self.plain("Softplus", &[x]);
                let y = self.plain("Tanh", &[&y]);
                self.plain("Mul", &[x, &y])
            }
            Unary::Hardsigmoid {} => {
                self.node("HardSigmoid", &[x], [float("alpha", 1.0 / 6.0), float("beta", 0.5)])
            }
            Unary::Logsigmoid {} => {
                let y = self.plain("Neg", &[x]);
                let y = self.plain("Softplus", &[&y]);
                self.plain("Neg", &[&y])
            }
            Unary::Tanhshrink {} => {
                let y = self.plain("Tanh", &[x]);
                self.plain("Sub", &[x, &y])
            }
            Unary::Hardshrink { lambd } => {
                self.node("Shrink", &[x], [float("lambd", lambd), float("bias", 0.0)])
            }
            Unary::Softshrink { lambd } => {
                self.node("Shrink", &[x], [float("lambd", lambd), float("bias", lambd)])
            }
            Unary::Threshold { threshold, value } => {
                let above = self.by("Greater", x, threshold);
                let value = self.number(value);
                self.choose(&above, x, &value)
            }
            _ => return Err(REFUSED.into()),
        })
    }

    /// `x / 2 · (1 + y)`
    fn half(&mut self, x: &str, y: &str) -> String {
        let (x, y) = (self.by("Mul", x, 0.5), self.by("Add", y, 1.0));
        self.plain("Mul", &[&x, &y])
    }

    /// `fits` says whether the second operand broadcasts to the first one.
    pub fn binary(&mut self, op: Binary, a: &str, b: &str, fits: bool) -> Checked<String> {
        let direct = match op {
            Binary::Add => "Add",
            Binary::Sub => "Sub",
            Binary::Mul => "Mul",
            Binary::Div => "Div",
            Binary::Pow => "Pow",
            Binary::Maximum => "Max",
            Binary::Minimum => "Min",
            Binary::Prelu if fits => "PRelu",
            _ => "",
        };
        if !direct.is_empty() {
            return Ok(self.plain(direct, &[a, b]));
        }
        Ok(match op {
            Binary::Fmod => self.node("Mod", &[a, b], [int("fmod", 1)]),
            Binary::Fmax | Binary::Fmin => {
                let y = self.plain(if op == Binary::Fmax { "Max" } else { "Min" }, &[a, b]);
                let (no_a, no_b) = (self.plain("IsNaN", &[a]), self.plain("IsNaN", &[b]));
                let y = self.choose(&no_b, a, &y);
                self.choose(&no_a, b, &y)
            }
            Binary::Hypot => {
                let (a, b) = (self.plain("Mul", &[a, a]), self.plain("Mul", &[b, b]));
                let sum = self.plain("Add", &[&a, &b]);
                self.plain("Sqrt", &[&sum])
            }
            Binary::DivFloor => {
                let y = self.plain("Div", &[a, b]);
                self.plain("Floor", &[&y])
            }
            Binary::DivTrunc => {
                let y = self.plain("Div", &[a, b]);
                self.unary(&Unary::Trunc {}, &y)?
            }
            Binary::Remainder => {
                let whole = self.binary(Binary::DivFloor, a, b, fits)?;
                let whole = self.plain("Mul", &[&whole, b]);
                self.plain("Sub", &[a, &whole])
            }
            Binary::Xlogy => {
                let log = self.plain("Log", &[b]);
                let y = self.plain("Mul", &[a, &log]);
                let (zero, none) = (self.by("Equal", a, 0.0), self.number(0.0));
                self.choose(&zero, &none, &y)
            }
            Binary::Logaddexp => {
                let (top, gap) = (self.plain("Max", &[a, b]), self.plain("Sub", &[a, b]));
                let gap = self.plain("Abs", &[&gap]);
                let gap = self.plain("Neg", &[&gap]);
                let small = self.plain("Exp", &[&gap]);
                let small = self.log1p(&small);
                self.plain("Add", &[&top, &small])
            }
            Binary::Copysign => {
                let size = self.plain("Abs", &[a]);
                let (below, minus) = (self.by("Less", b, 0.0), self.plain("Neg", &[&size]));
                self.choose(&below, &minus, &size)
            }
            Binary::Prelu => {
                let (scaled, above) = (self.plain("Mul", &[a, b]), self.by("Greater", a, 0.0));
                self.choose(&above, a, &scaled)
            }
            _ => return Err(REFUSED.into()),
        })
    }

    /// A comparison as zeros and ones.
    pub fn test(&mut self, op: Test, a: &str, b: &str) -> String {
        let y = match op {
            Test::Less => self.plain("Less", &[a, b]),
            Test::LessEqual => self.plain("LessOrEqual", &[a, b]),
            Test::Equal => self.plain("Equal", &[a, b]),
            Test::Same => {
                let (no_a, no_b) = (self.plain("IsNaN", &[a]), self.plain("IsNaN", &[b]));
                let (none, equal) = (self.plain("And", &[&no_a, &no_b]), self.plain("Equal", &[a, b]));
                self.plain("Or", &[&none, &equal])
            }
        };
        self.node("Cast", &[&y], [int("to", 1)])
    }
}
