//! Arithmetic and comparisons of two tensors: PyTorch's calls as the library's.
use crate::case::{Arg, Call, Outs, Stop, one, unknown};
use kolmo::{Float, Tensor, Var, ops::IsCloseOptions};

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let (x, y) = (|| c.var(0, "input"), || c.operand(1, "other"));
    // A number in the second place where the library has a method for it.
    let number = c.get(1, "other").and_then(Arg::number);
    match (c.op.as_str(), number) {
        ("add", Some(n)) => one(x()? + n * c.num(2, "alpha", 1.0)?),
        ("sub" | "subtract", Some(n)) => one(x()? - n * c.num(2, "alpha", 1.0)?),
        ("mul" | "multiply", Some(n)) => one(x()? * n),
        ("div.no_rounding_mode" | "true_divide", Some(n)) => one(x()? / n),
        ("add", None) => one(x()? + c.scaled(1, "other", 2)?),
        ("sub" | "subtract", None) => one(x()? - c.scaled(1, "other", 2)?),
        ("mul" | "multiply", None) => one(x()? * y()?),
        ("div.no_rounding_mode" | "div.floor_rounding" | "div.trunc_rounding" | "div" | "true_divide", _) => {
            match c.text(2, "rounding_mode", "")?.as_str() {
                "" => one(x()? / y()?),
                "floor" => one(x()?.div_floor(&y()?)),
                "trunc" => one(x()?.div_trunc(&y()?)),
                other => Err(Stop::Unrepresentable(format!("rounding_mode {other:?}"))),
            }
        }
        ("floor_divide", _) => one(x()?.div_floor(&y()?)),
        ("maximum", _) => one(x()?.maximum(&y()?)),
        ("minimum", _) => one(x()?.minimum(&y()?)),
        ("fmax", _) => one(x()?.fmax(&y()?)),
        ("fmin", _) => one(x()?.fmin(&y()?)),
        ("atan2" | "arctan2", _) => one(x()?.atan2(&y()?)),
        ("hypot", _) => one(x()?.hypot(&y()?)),
        ("fmod", _) => one(x()?.fmod(&y()?)),
        ("remainder", _) => one(x()?.remainder(&y()?)),
        ("xlogy" | "special.xlogy", _) => one(x()?.xlogy(&y()?)),
        ("logaddexp", _) => one(x()?.logaddexp(&y()?)),
        ("copysign", _) => one(x()?.copysign(&y()?)),
        ("where", _) => {
            let (this, mask, other) =
                (c.operand(0, "self")?, c.bools(1, "condition")?, c.operand(2, "other")?);
            one(this.where_(&mask, &other))
        }
        ("lerp", _) => match c.get(2, "weight").and_then(Arg::number) {
            Some(weight) => one(x()?.lerp(&c.var(1, "end")?, weight)),
            None => one(x()?.lerp(&c.var(1, "end")?, &c.var(2, "weight")?)),
        },
        ("addcmul", _) => {
            one(x()?.addcmul(&c.operand(1, "tensor1")?, &c.operand(2, "tensor2")?, c.num(3, "value", 1.0)?))
        }
        ("addcdiv", _) => {
            one(x()?.addcdiv(&c.operand(1, "tensor1")?, &c.operand(2, "tensor2")?, c.num(3, "value", 1.0)?))
        }
        ("isclose", _) => {
            let close = IsCloseOptions::default().rtol(c.num(2, "rtol", 1e-5)?).atol(c.num(3, "atol", 1e-8)?);
            one(x()?.isclose(&c.var(1, "other")?, close.equal_nan(c.flag(4, "equal_nan", false)?))?)
        }
        (op, number) => compare(c, op, number),
    }
}

/// Comparisons with a tensor or a number, and logic of tensors or masks.
fn compare<'t, T: Float>(c: &Call<'t, T>, op: &str, number: Option<f64>) -> Outs<'t, T> {
    if let (Some(Arg::Bools(a)), Some(Arg::Bools(b))) = (c.get(0, "input"), c.get(1, "other")) {
        return match op {
            "logical_and" => one(a.logical_and(b)?),
            "logical_or" => one(a.logical_or(b)?),
            "logical_xor" => one(a.logical_xor(b)?),
            _ => unknown(),
        };
    }
    macro_rules! masks {
        ($($name:ident)*) => {
            match (op, number) {
                $(
                    (stringify!($name), Some(n)) => one(c.var(0, "input")?.$name(n)?),
                    (stringify!($name), None) => one(c.var(0, "input")?.$name(&c.operand(1, "other")?)?),
                )*
                _ => unknown(),
            }
        };
    }
    masks!(eq ne lt le gt ge logical_and logical_or logical_xor)
}

/// What the families read besides plain tensors and numbers.
impl<'t, T: Float> Call<'t, T> {
    /// A tensor, or a number or integers as a constant.
    pub fn operand(&self, i: usize, name: &str) -> Result<Var<'t, T>, Stop> {
        match self.get(i, name) {
            Some(Arg::Ints(t)) => Ok(self.tape.constant(t.cast::<T>())),
            Some(arg) if arg.number().is_some() => {
                Ok(self.tape.constant(Tensor::scalar(self.num(i, name, None)?).cast::<T>()))
            }
            _ => self.var(i, name),
        }
    }

    /// A tensor times `alpha`, if that is given.
    pub fn scaled(&self, i: usize, name: &str, alpha: usize) -> Result<Var<'t, T>, Stop> {
        let x = if i == 0 { self.var(i, name)? } else { self.operand(i, name)? };
        Ok(match self.num_opt(alpha, "alpha")? {
            Some(alpha) => x * alpha,
            None => x,
        })
    }
}
