//! Activation functions: PyTorch's calls as the library's.
use crate::case::{Call, Outs, Stop, one, unknown};
use kolmo::Float;

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let Some(name) = c.op.strip_prefix("nn.functional.") else { return unknown() };
    let x = || c.var(0, "input");
    match name {
        "relu" => one(x()?.relu()),
        "relu6" => one(x()?.relu6()),
        "leaky_relu" => one(x()?.leaky_relu(c.num(1, "negative_slope", 0.01)?)),
        "elu" => one(x()?.elu(c.num(1, "alpha", 1.0)?)),
        "selu" => one(x()?.selu()),
        "celu" => one(x()?.celu(c.num(1, "alpha", 1.0)?)),
        "gelu" => match c.text(1, "approximate", "none")?.as_str() {
            "none" => one(x()?.gelu()),
            "tanh" => one(x()?.gelu_tanh()),
            other => {
                Err(Stop::Unrepresentable(format!("approximate {other:?}: there are gelu and gelu_tanh")))
            }
        },
        "silu" => one(x()?.silu()),
        "softplus" => one(x()?.softplus(c.num(1, "beta", 1.0)?, c.num(2, "threshold", 20.0)?)),
        "mish" => one(x()?.mish()),
        "hardtanh" => one(x()?.hardtanh(c.num(1, "min_val", -1.0)?, c.num(2, "max_val", 1.0)?)),
        "hardswish" => one(x()?.hardswish()),
        "hardsigmoid" => one(x()?.hardsigmoid()),
        "logsigmoid" => one(x()?.logsigmoid()),
        "softsign" => one(x()?.softsign()),
        "tanhshrink" => one(x()?.tanhshrink()),
        "hardshrink" => one(x()?.hardshrink(c.num(1, "lambd", 0.5)?)),
        "softshrink" => one(x()?.softshrink(c.num(1, "lambd", 0.5)?)),
        "threshold" => one(x()?.threshold(c.num(1, "threshold", None)?, c.num(2, "value", None)?)),
        "prelu" => one(x()?.prelu(&c.var(1, "weight")?)),
        "glu" => one(x()?.glu(c.int(1, "dim", -1)?)),
        "rrelu" if !c.flag(3, "training", false)? => {
            c.tape.set_training(false);
            one(x()?.rrelu(c.num(1, "lower", 1.0 / 8.0)?, c.num(2, "upper", 1.0 / 3.0)?))
        }
        "sigmoid" => one(x()?.sigmoid()),
        "tanh" => one(x()?.tanh()),
        _ => unknown(),
    }
}
