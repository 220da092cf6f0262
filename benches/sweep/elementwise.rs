//! Functions of each element: of one tensor, of two and more.
use crate::case::{BOTH, DOUBLE, List, rows, run};

/// Functions without options, which PyTorch has under the same name in the module named; smallest and largest argument.
macro_rules! functions {
    ($list:ident, $torch:literal, $range:literal, $($name:ident)*) => {
        $($list.add(
            "unary", stringify!($name), BOTH, &[concat!("f:256x256:", $range)],
            run!(|x| x[0].$name()), concat!($torch, ".", stringify!($name), "(x[0])"),
        );)*
    };
}

/// Some of them at all sizes, and in double precision.
macro_rules! sizes {
    ($list:ident, $torch:literal, $range:literal, $($name:ident)*) => {
        $($list.add(
            "unary", stringify!($name), DOUBLE,
            &[concat!("f:16:", $range), concat!("f:256x256:", $range), concat!("f:1024x1024:", $range)],
            run!(|x| x[0].$name()), concat!($torch, ".", stringify!($name), "(x[0])"),
        );)*
    };
}

pub fn cases(list: &mut List) {
    sizes!(list, "torch", "-4..4", exp tanh sin sigmoid relu);
    sizes!(list, "torch", "0.1..9", log sqrt);
    sizes!(list, "F", "-4..4", gelu);
    functions!(list, "torch", "-4..4", exp2 expm1 cos sinh cosh asinh atan square abs neg sign floor ceil round trunc frac
        erf erfc sinc deg2rad);
    functions!(list, "torch", "-0.9..0.9", tan asin acos atanh);
    functions!(list, "torch", "0.1..9", log1p log2 log10 rsqrt reciprocal lgamma digamma);
    functions!(list, "torch", "1.1..9", acosh);
    functions!(list, "F", "-4..4", silu selu relu6 mish hardswish hardsigmoid logsigmoid softsign tanhshrink);
    rows! { list, "unary";
        "gelu_tanh" BOTH ["f:256x256:-4..4"] |x| x[0].gelu_tanh(), "F.gelu(x[0], approximate='tanh')";
        "leaky_relu" BOTH ["f:256x256:-4..4"] |x| x[0].leaky_relu(0.1), "F.leaky_relu(x[0], 0.1)";
        "elu" BOTH ["f:256x256:-4..4"] |x| x[0].elu(1.0), "F.elu(x[0])";
        "celu" BOTH ["f:256x256:-4..4"] |x| x[0].celu(1.0), "F.celu(x[0])";
        "softplus" BOTH ["f:256x256:-4..4"] |x| x[0].softplus(1.0, 20.0), "F.softplus(x[0])";
        "threshold" BOTH ["f:256x256:-4..4"] |x| x[0].threshold(0.5, 0.1), "F.threshold(x[0], 0.5, 0.1)";
        "hardtanh" BOTH ["f:256x256:-4..4"] |x| x[0].hardtanh(-1.0, 1.0), "F.hardtanh(x[0])";
        "hardshrink" BOTH ["f:256x256:-4..4"] |x| x[0].hardshrink(0.5), "F.hardshrink(x[0])";
        "softshrink" BOTH ["f:256x256:-4..4"] |x| x[0].softshrink(0.5), "F.softshrink(x[0])";
        "glu" BOTH ["f:256x256:-4..4"] |x| x[0].glu(1), "F.glu(x[0])";
        "clamp" BOTH ["f:256x256:-4..4"] |x| x[0].clamp(-0.5, 1.5), "x[0].clamp(-0.5, 1.5)";
        "clamp_min" BOTH ["f:256x256:-4..4"] |x| x[0].clamp_min(0.5), "x[0].clamp_min(0.5)";
        "powf(1.7)" BOTH ["f:256x256:0.1..4"] |x| x[0].powf(1.7), "x[0] ** 1.7";
        "powf(3)" BOTH ["f:256x256:-4..4"] |x| x[0].powf(3.0), "x[0] ** 3";
        "logit" BOTH ["f:256x256:0.1..0.9"] |x| x[0].logit(0.1), "torch.logit(x[0], 0.1)";
        "polygamma(1)" BOTH ["f:256x256:0.5..9"] |x| x[0].polygamma(1.0), "torch.polygamma(1, x[0])";
        "nan_to_num" BOTH ["f:256x256"] |x| x[0].nan_to_num(0.0, None, None), "x[0].nan_to_num()";
        "round_decimals" FORWARD ["f:256x256"] |x| x[0].round_decimals(1), "x[0].round(decimals=1)";
        "add a number" BOTH ["f:256x256"] |x| &x[0] + 1.5, "x[0] + 1.5";
        "mul a number" DOUBLE ["f:16", "f:256x256", "f:1024x1024"] |x| &x[0] * 0.7, "x[0] * 0.7";
        "a number over" BOTH ["f:256x256:1..2"] |x| 1.7 / &x[0], "1.7 / x[0]";
        "exp of strided" BOTH ["t:256x256"] |x| x[0].exp(), "x[0].exp()";
        "tanh of a slice" BOTH ["f:512x512"] |x| x[0].narrow(1, 64, 256).tanh(), "x[0].narrow(1, 64, 256).tanh()";
        "dropout" CHANCE_BACKWARD ["f:16", "f:256x256", "f:1024x1024"] |x| x[0].dropout(0.3), "F.dropout(x[0], 0.3, True)";
        "rrelu" CHANCE_BACKWARD ["f:256x256"] |x| x[0].rrelu(0.1, 0.3), "F.rrelu(x[0], 0.1, 0.3, True)";
    }
    rows! { list, "binary";
        "add" DOUBLE ["f:16 f:16", "f:256x256 f:256x256", "f:1024x1024 f:1024x1024"] |x| &x[0] + &x[1], "x[0] + x[1]";
        "mul" DOUBLE ["f:16 f:16", "f:256x256 f:256x256", "f:1024x1024 f:1024x1024"] |x| &x[0] * &x[1], "x[0] * x[1]";
        "sub" BOTH ["f:256x256 f:256x256"] |x| &x[0] - &x[1], "x[0] - x[1]";
        "div" DOUBLE ["f:16 f:16:1..2", "f:256x256 f:256x256:1..2", "f:1024x1024 f:1024x1024:1..2"]
            |x| &x[0] / &x[1], "x[0] / x[1]";
        "add row" DOUBLE ["f:4x16 f:16", "f:256x256 f:256", "f:1024x1024 f:1024"] |x| &x[0] + &x[1], "x[0] + x[1]";
        "mul row" DOUBLE ["f:4x16 f:16", "f:256x256 f:256", "f:1024x1024 f:1024"] |x| &x[0] * &x[1], "x[0] * x[1]";
        "mul column" DOUBLE ["f:4x16 f:4x1", "f:256x256 f:256x1", "f:1024x1024 f:1024x1"] |x| &x[0] * &x[1], "x[0] * x[1]";
        "add column" BOTH ["f:256x256 f:256x1", "f:1024x1024 f:1024x1"] |x| &x[0] + &x[1], "x[0] + x[1]";
        "mul middle axis" BOTH ["f:32x64x128 f:32x1x128", "f:32x64x128 f:64x1", "f:32x64x128 f:32x1x1"]
            |x| &x[0] * &x[1], "x[0] * x[1]";
        "mul scalar tensor" BOTH ["f:256x256 f:"] |x| &x[0] * &x[1], "x[0] * x[1]";
        "mul column by row" BOTH ["f:256x1 f:256", "f:1024x1 f:1024"] |x| &x[0] * &x[1], "x[0] * x[1]";
        "sub pairs" BOTH ["f:128x1x16 f:128x16"] |x| &x[0] - &x[1], "x[0] - x[1]";
        "mul strided" DOUBLE ["f:16x16 t:16x16", "f:256x256 t:256x256", "f:1024x1024 t:1024x1024"]
            |x| &x[0] * &x[1], "x[0] * x[1]";
        "mul both strided" BOTH ["t:256x256 t:256x256"] |x| &x[0] * &x[1], "x[0] * x[1]";
        "pow" BOTH ["f:256x256:0.1..3 f:256x256:-2..2"] |x| x[0].pow(&x[1]), "x[0] ** x[1]";
        "atan2" BOTH ["f:256x256 f:256x256"] |x| x[0].atan2(&x[1]), "torch.atan2(x[0], x[1])";
        "maximum" BOTH ["f:256x256 f:256x256"] |x| x[0].maximum(&x[1]), "torch.maximum(x[0], x[1])";
        "minimum" BOTH ["f:256x256 f:256x256"] |x| x[0].minimum(&x[1]), "torch.minimum(x[0], x[1])";
        "fmax" BOTH ["f:256x256 f:256x256"] |x| x[0].fmax(&x[1]), "torch.fmax(x[0], x[1])";
        "hypot" BOTH ["f:256x256 f:256x256"] |x| x[0].hypot(&x[1]), "torch.hypot(x[0], x[1])";
        "fmod" BOTH ["f:256x256:-9..9 f:256x256:1..2"] |x| x[0].fmod(&x[1]), "torch.fmod(x[0], x[1])";
        "remainder" BOTH ["f:256x256:-9..9 f:256x256:1..2"] |x| x[0].remainder(&x[1]), "torch.remainder(x[0], x[1])";
        "div_floor" FORWARD ["f:256x256:-9..9 f:256x256:1..2"] |x| x[0].div_floor(&x[1]), "torch.div(x[0], x[1], rounding_mode='floor')";
        "logaddexp" BOTH ["f:256x256 f:256x256"] |x| x[0].logaddexp(&x[1]), "torch.logaddexp(x[0], x[1])";
        "copysign" BOTH ["f:256x256 f:256x256"] |x| x[0].copysign(&x[1]), "torch.copysign(x[0], x[1])";
        "xlogy" BOTH ["f:256x256 f:256x256:0.1..2"] |x| x[0].xlogy(&x[1]), "torch.xlogy(x[0], x[1])";
        "prelu" BOTH ["f:32x64x256 f:64:0.1..0.2"] |x| x[0].prelu(&x[1]), "F.prelu(x[0], x[1])";
        "gt" FORWARD ["f:16 f:16", "f:256x256 f:256x256", "f:1024x1024 f:1024x1024"] |x| x[0].gt(&x[1]), "x[0] > x[1]";
        "eq" FORWARD ["f:256x256 f:256x256"] |x| x[0].eq(&x[1]), "x[0] == x[1]";
        "isnan" FORWARD ["f:256x256"] |x| x[0].isnan(), "x[0].isnan()";
        "logical_and" FORWARD ["m:256x256 m:256x256"] |_x, _i, m| m[0].logical_and(&m[1]), "m[0].logical_and(m[1])";
        "where" BOTH ["f:16 f:16 m:16", "f:256x256 f:256x256 m:256x256", "f:1024x1024 f:1024x1024 m:1024x1024"]
            |x, _i, m| x[0].where_(&m[0], &x[1]), "torch.where(m[0], x[0], x[1])";
        "where row" BOTH ["f:256x256 f:256x256 m:256"] |x, _i, m| x[0].where_(&m[0], &x[1]), "torch.where(m[0], x[0], x[1])";
        "lerp" BOTH ["f:256x256 f:256x256"] |x| x[0].lerp(&x[1], 0.3), "torch.lerp(x[0], x[1], 0.3)";
        "addcmul" BOTH ["f:256x256 f:256x256 f:256x256"] |x| x[0].addcmul(&x[1], &x[2], 0.5), "torch.addcmul(x[0], x[1], x[2], value=0.5)";
        "addcdiv" BOTH ["f:256x256 f:256x256 f:256x256:1..2"] |x| x[0].addcdiv(&x[1], &x[2], 0.5), "torch.addcdiv(x[0], x[1], x[2], value=0.5)";
    }
}
