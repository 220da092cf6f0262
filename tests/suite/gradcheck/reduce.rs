//! Reductions, norms, scans, softmax.
use super::{check_all, numbers, positive};
use kolmo::Tensor;

#[test]
fn reductions() {
    check_all(&[
        ("sum", |x| x[0].tanh().sum_dim([0, 2], true).tanh(), vec![numbers([2, 3, 2])]),
        ("mean", |x| x[0].tanh().mean_dim(1, false).tanh(), vec![numbers([2, 3, 2])]),
        ("var", |x| x[0].var_dim([0, 2], 1.0, false), vec![numbers([2, 3, 2])]),
        ("std", |x| x[0].std_dim(1, 0.0, true), vec![numbers([2, 3])]),
        ("prod", |x| x[0].prod(), vec![positive([2, 3])]),
        (
            "prod with zeros",
            |x| x[0].prod_dim(1, false),
            vec![Tensor::from([[0.0, 2.0, 3.0], [0.0, 1.5, 0.0]])],
        ),
        ("amax", |x| x[0].amax_dim(1, false).tanh(), vec![numbers([2, 4])]),
        ("amin", |x| x[0].amin_dim([0, 1], true).tanh(), vec![numbers([2, 4])]),
        ("max", |x| x[0].max().tanh(), vec![numbers([5])]),
        ("max_dim", |x| x[0].max_dim(0, false).0.tanh(), vec![numbers([3, 2])]),
        ("min_dim", |x| x[0].min_dim(-1, true).0.tanh(), vec![numbers([3, 2])]),
        ("median", |x| x[0].median().tanh(), vec![numbers([6])]),
        ("median_dim", |x| x[0].median_dim(1, false).0.tanh(), vec![numbers([2, 3])]),
        ("nansum", |x| x[0].tanh().nansum_dim(1, false), vec![numbers([2, 3])]),
        ("nanmean", |x| x[0].tanh().nanmean_dim([], true), vec![numbers([2, 3])]),
        ("diff", |x| x[0].tanh().diff(2, 1), vec![numbers([2, 5])]),
    ]);
}

#[test]
fn norms() {
    check_all(&[
        ("norm 2", |x| x[0].norm_dim(2.0, 1, false), vec![numbers([2, 3])]),
        ("norm 1", |x| x[0].norm_dim(1.0, [], false).tanh(), vec![numbers([2, 3])]),
        ("norm 3", |x| x[0].norm_dim(3.0, 0, true), vec![numbers([2, 3])]),
        ("norm 0.5", |x| x[0].norm_dim(0.5, 0, true), vec![numbers([2, 3])]),
        ("norm -2", |x| x[0].norm_dim(-2.0, [], false), vec![numbers([2, 3])]),
        ("norm inf", |x| x[0].norm_dim(f64::INFINITY, [1], false).tanh(), vec![numbers([2, 3])]),
        ("norm -inf", |x| x[0].norm_dim(f64::NEG_INFINITY, [1], false).tanh(), vec![numbers([2, 3])]),
        ("norm 0", |x| x[0].norm_dim(0.0, 1, false), vec![numbers([2, 3])]),
    ]);
}

#[test]
fn scans_and_softmax() {
    check_all(&[
        ("cumsum", |x| x[0].cumsum(1).tanh(), vec![numbers([2, 4])]),
        ("cumprod", |x| x[0].cumprod(0), vec![positive([4, 2])]),
        ("cumprod with a zero", |x| x[0].cumprod(0), vec![Tensor::from([1.5, 0.0, -2.0, 0.7])]),
        ("logcumsumexp", |x| x[0].logcumsumexp(1), vec![numbers([2, 5])]),
        ("cummax", |x| x[0].cummax(1).0.tanh(), vec![numbers([2, 5])]),
        ("cummin", |x| x[0].cummin(0).0.tanh(), vec![numbers([5])]),
        ("softmax", |x| x[0].softmax(1), vec![numbers([2, 3, 2])]),
        ("log_softmax", |x| x[0].log_softmax(0), vec![numbers([3, 2])]),
        ("logsumexp", |x| x[0].logsumexp([0, 2], true), vec![numbers([2, 3, 2])]),
    ]);
}
