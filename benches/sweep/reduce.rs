//! What runs along an axis: sums, extremes, running sums, softmax, sorting.
use crate::case::{BOTH, DOUBLE, FORWARD, List, rows, run};

/// A function along each axis of a contiguous tensor, and along both of a transposed one.
macro_rules! along {
    ($list:ident, $family:literal; $($name:literal $passes:ident |$x:ident, $d:ident| $e:expr, $torch:literal;)*) => {
        $(for $d in [0, 1, 2] {
            let torch = $torch.replace("DIM", &$d.to_string());
            let name = format!("{}({})", $name, $d);
            $list.add($family, &name, $passes, &["f:64x64x64"], run!(|$x| $e), &torch);
            if $d < 2 {
                $list.add($family, &name, $passes, &["f:1024x1024", "t:512x512"], run!(|$x| $e), &torch);
            }
        })*
    };
}

/// The same along the last axis only, at three sizes.
macro_rules! last {
    ($list:ident, $family:literal; $($name:literal $passes:ident |$x:ident, $d:ident| $e:expr, $torch:literal;)*) => {
        $({
            let $d = -1;
            let (name, torch) = (format!("{}(-1)", $name), $torch.replace("DIM", "-1"));
            $list.add($family, &name, $passes, &["f:4x16", "f:64x1000", "f:1000x1000"], run!(|$x| $e), &torch);
        })*
    };
}

pub fn cases(list: &mut List) {
    rows! { list, "reduce";
        "sum" DOUBLE ["f:16", "f:256x256", "f:1024x1024", "t:512x512"] |x| x[0].sum(), "x[0].sum()";
        "mean" BOTH ["f:256x256"] |x| x[0].mean(), "x[0].mean()";
        "var" BOTH ["f:16", "f:256x256", "f:1024x1024"] |x| x[0].var(1.0), "x[0].var()";
        "std" BOTH ["f:256x256"] |x| x[0].std(1.0), "x[0].std()";
        "prod" BOTH ["f:1024:0.9..1.1"] |x| x[0].prod(), "x[0].prod()";
        "max" BOTH ["f:16", "f:256x256", "f:1024x1024"] |x| x[0].max(), "x[0].max()";
        "min" BOTH ["f:256x256"] |x| x[0].min(), "x[0].min()";
        "median" BOTH ["f:17", "f:255x257"] |x| x[0].median(), "x[0].median()";
        "argmax" FORWARD ["f:16", "f:256x256", "f:1024x1024"] |x| x[0].value().and_then(|x| x.argmax(None, false)), "x[0].argmax()";
        "sum(0, 2)" BOTH ["f:64x64x64"] |x| x[0].sum_dim([0, 2], false), "x[0].sum((0, 2))";
        "mean(2, 3)" BOTH ["f:32x64x14x14"] |x| x[0].mean_dim([2, 3], false), "x[0].mean((2, 3))";
        "mean(0, 2, 3)" BOTH ["f:32x64x14x14"] |x| x[0].mean_dim([0, 2, 3], false), "x[0].mean((0, 2, 3))";
        "any" FORWARD ["m:256x256"] |_x, _i, m| m[0].any(1, false), "m[0].any(1)";
        "all" FORWARD ["m:256x256"] |_x, _i, m| m[0].all(0, false), "m[0].all(0)";
        "count_nonzero" FORWARD ["m:256x256"] |_x, _i, m| m[0].count_nonzero(1), "m[0].count_nonzero(1)";
        "nansum(1)" BOTH ["f:256x256"] |x| x[0].nansum_dim(1, false), "x[0].nansum(1)";
        "nanmean(1)" BOTH ["f:256x256"] |x| x[0].nanmean_dim(1, false), "x[0].nanmean(1)";
        "diff(1)" BOTH ["f:256x256"] |x| x[0].diff(1, 1), "x[0].diff(dim=1)";
    }
    along! { list, "reduce";
        "sum" BOTH |x, d| x[0].sum_dim(d, false), "x[0].sum(DIM)";
        "var" BOTH |x, d| x[0].var_dim(d, 1.0, false), "x[0].var(DIM)";
        "amax" BOTH |x, d| x[0].amax_dim(d, false), "x[0].amax(DIM)";
        "max" BOTH |x, d| x[0].max_dim(d, false), "x[0].max(DIM)[0]";
        "norm" BOTH |x, d| x[0].norm_dim(2.0, d, false), "x[0].norm(2, DIM)";
        "argmax" FORWARD |x, d| x[0].value().and_then(|x| x.argmax(d, false)), "x[0].argmax(DIM)";
    }
    last! { list, "reduce";
        "sum" DOUBLE |x, d| x[0].sum_dim(d, false), "x[0].sum(DIM)";
        "mean" BOTH |x, d| x[0].mean_dim(d, false), "x[0].mean(DIM)";
        "std" BOTH |x, d| x[0].std_dim(d, 1.0, false), "x[0].std(DIM)";
        "amin" BOTH |x, d| x[0].amin_dim(d, false), "x[0].amin(DIM)";
        "norm1" BOTH |x, d| x[0].norm_dim(1.0, d, false), "x[0].norm(1, DIM)";
        "norm3" BOTH |x, d| x[0].norm_dim(3.0, d, false), "x[0].norm(3, DIM)";
    }
    rows! { list, "reduce";
        "prod(0)" BOTH ["f:64x64x64:0.9..1.1"] |x| x[0].prod_dim(0, false), "x[0].prod(0)";
        "prod(2)" BOTH ["f:64x64x64:0.9..1.1"] |x| x[0].prod_dim(2, false), "x[0].prod(2)";
        "median(1)" BOTH ["f:4x17", "f:64x1001"] |x| x[0].median_dim(1, false), "x[0].median(1)[0]";
        "median(0)" BOTH ["f:1001x64"] |x| x[0].median_dim(0, false), "x[0].median(0)[0]";
    }
    along! { list, "scan";
        "cumsum" BOTH |x, d| x[0].cumsum(d), "x[0].cumsum(DIM)";
    }
    last! { list, "scan";
        "cumsum" DOUBLE |x, d| x[0].cumsum(d), "x[0].cumsum(DIM)";
        "logcumsumexp" BOTH |x, d| x[0].logcumsumexp(d), "x[0].logcumsumexp(DIM)";
        "cummax" BOTH |x, d| x[0].cummax(d), "x[0].cummax(DIM)[0]";
    }
    rows! { list, "scan";
        "cumprod(-1)" BOTH ["f:4x16:0.9..1.1", "f:64x1000:0.99..1.01"] |x| x[0].cumprod(-1), "x[0].cumprod(-1)";
        "cumprod(0)" BOTH ["f:256x256:0.99..1.01"] |x| x[0].cumprod(0), "x[0].cumprod(0)";
    }
    along! { list, "softmax";
        "softmax" BOTH |x, d| x[0].softmax(d), "x[0].softmax(DIM)";
        "log_softmax" BOTH |x, d| x[0].log_softmax(d), "x[0].log_softmax(DIM)";
        "logsumexp" BOTH |x, d| x[0].logsumexp(d, false), "x[0].logsumexp(DIM)";
    }
    last! { list, "softmax";
        "softmax" DOUBLE |x, d| x[0].softmax(d), "x[0].softmax(DIM)";
        "log_softmax" DOUBLE |x, d| x[0].log_softmax(d), "x[0].log_softmax(DIM)";
        "logsumexp" DOUBLE |x, d| x[0].logsumexp(d, false), "x[0].logsumexp(DIM)";
    }
    rows! { list, "softmax";
        "softmax of few" BOTH ["f:4096x10", "f:16384x4"] |x| x[0].softmax(-1), "x[0].softmax(-1)";
    }
    rows! { list, "sort";
        "sort(-1)" DOUBLE ["f:4x16", "f:64x1000", "f:1000x1000"] |x| x[0].sort(-1, false), "x[0].sort(-1)[0]";
        "sort(0)" BOTH ["f:1000x64"] |x| x[0].sort(0, true), "x[0].sort(0, descending=True)[0]";
        "sort one" BOTH ["f:100000"] |x| x[0].sort(0, false), "x[0].sort(0)[0]";
        "argsort(-1)" FORWARD ["f:64x1000"] |x| x[0].value().and_then(|x| x.argsort(-1, false)), "x[0].argsort(-1)";
        "topk(10)" BOTH ["f:4x16", "f:64x1000", "f:64x20000"] |x| x[0].topk(10, -1, true), "x[0].topk(10, -1)[0]";
        "kthvalue(5)" BOTH ["f:4x16", "f:64x1000"] |x| x[0].kthvalue(5, -1, false), "x[0].kthvalue(5, -1)[0]";
        "unique" FORWARD ["i:100:0..20", "i:10000:0..1000", "i:100000:0..50000"] |_x, i| i[0].unique(None).map(|u| u.counts),
            "torch.unique(i[0], return_inverse=True, return_counts=True)[2]";
        "bincount" FORWARD ["i:100:0..20", "i:100000:0..1000"] |_x, i| i[0].bincount(1000), "torch.bincount(i[0], minlength=1000)";
        "searchsorted" FORWARD ["f:1000 f:10000"] |x| x[0].sort(0, false).0.value().and_then(|s| s.searchsorted(x[1].value()?, false, None)),
            "torch.searchsorted(x[0].sort(0)[0], x[1])";
        "nonzero" FORWARD ["m:16x16", "m:256x256", "m:1024x1024"] |_x, _i, m| m[0].nonzero(), "m[0].nonzero()";
    }
}
