//! Operands without elements, without axes, with one element along an axis, and operands that are views of
//! other tensors: each operation has a value or an error, gradients are of the operands' shapes, and views
//! give what copies give.
use crate::catalogue::{Entry, all};
use kolmo::{
    loss::{MseLoss, Reduction},
    *,
};

/// Whether there is a value and then gradients of the right shapes.
fn checked<T: Float>(
    name: &str,
    run: for<'t> fn(&[Var<'t, T>]) -> Var<'t, T>,
    shapes: &[Vec<usize>],
) -> bool {
    let tape = Tape::<T>::new();
    let number = |i: usize| T::from_f64(((i * 29 + 5) % 41) as f64 / 41.0 * 1.7 + 0.3);
    let x: Vec<Var<'_, T>> =
        shapes.iter().map(|shape| tape.input(Tensor::from_fn(shape.as_slice(), number))).collect();
    let y = run(&x);
    let Ok(value) = y.value() else { return false };
    assert_eq!(value.shape(), y.shape());
    let total = y.sum();
    if !total.is_recorded() {
        return true;
    }
    match total.grad(&x.iter().collect::<Vec<_>>()) {
        Ok(grads) => {
            for (x, g) in x.iter().zip(&grads) {
                assert_eq!(x.shape(), g.shape(), "{name} of {shapes:?}");
            }
        }
        // A singular matrix.
        Err(error) => assert!(!error.to_string().contains("shape"), "{name} of {shapes:?}: {error}"),
    }
    if let Ok(grads) = total.backward() {
        for x in &x {
            assert!(grads.get(x).is_none_or(|g| g.shape() == x.shape()), "{name} of {shapes:?}");
        }
    }
    true
}

#[test]
fn operands_of_any_size_have_a_value_or_an_error() {
    let sizes: [&[usize]; 11] =
        [&[], &[0], &[1], &[4], &[0, 4], &[4, 0], &[0, 0], &[1, 4], &[4, 1], &[1, 1], &[2, 0, 4]];
    for Entry { name, operands, run, single } in all() {
        for size in sizes {
            let same = vec![size.to_vec(); *operands];
            assert_eq!(checked(name, *run, &same), checked(name, *single, &same), "{name} of {size:?}");
            for other in 1..*operands {
                let mut mixed = same.clone();
                mixed[other] = vec![4, 4];
                checked(name, *run, &mixed);
                mixed[0] = vec![4, 4];
                mixed[other] = size.to_vec();
                checked(name, *run, &mixed);
            }
        }
    }
}

/// The same numbers as views: backwards, turned, every second one, one row again and again.
fn views<T: Float>(operand: usize) -> Vec<Tensor<T>> {
    let number = move |i: usize| T::from_f64(((i * 29 + operand * 11 + 5) % 131) as f64 / 131.0 * 1.7 + 0.3);
    let whole = |shape: [usize; 2]| Tensor::from_fn(shape, number);
    let made = [
        whole([4, 4]).flip(0),
        whole([4, 4]).flip([0, 1]),
        whole([4, 4]).transpose(0, 1),
        whole([4, 8]).reshape([4, 4, 2]).and_then(|x| x.select(2, 1)),
        whole([8, 4]).reshape([4, 2, 4]).and_then(|x| x.select(1, 0)),
        whole([8, 8]).reshape([4, 2, 4, 2]).and_then(|x| x.select(3, 1)?.select(1, 1)),
        whole([1, 4]).expand([4, 4]),
        whole([4, 1]).expand([4, 4]),
    ];
    made.into_iter().map(|view| view.unwrap()).collect()
}

/// The value and the gradients, as bits of f64 with one NaN.
fn all_of<T: Float>(run: for<'t> fn(&[Var<'t, T>]) -> Var<'t, T>, x: &[Tensor<T>]) -> Option<Vec<f64>> {
    let tape = Tape::<T>::new();
    let x: Vec<Var<'_, T>> = x.iter().map(|x| tape.input(x)).collect();
    let y = run(&x);
    let mut all = y.to_vec().ok()?;
    let weights = tape.constant(Tensor::from_fn(y.shape(), |i| T::from_f64(1.0 + 0.1 * i as f64)));
    for g in (&y * weights).sum().grad(&x.iter().collect::<Vec<_>>()).ok()? {
        all.extend(g.to_vec().ok()?);
    }
    Some(all.into_iter().map(|v| v.to_f64()).collect())
}

fn alike<T: Float>(name: &str, run: for<'t> fn(&[Var<'t, T>]) -> Var<'t, T>, operands: usize, close: f64) {
    let made: Vec<Vec<Tensor<T>>> = (0..operands).map(views).collect();
    for kind in 0..made.first().map_or(0, Vec::len) {
        let x: Vec<Tensor<T>> = made.iter().map(|views| views[kind].clone()).collect();
        let copies: Vec<Tensor<T>> = x.iter().map(|x| Tensor::new(x.shape(), x.to_vec()).unwrap()).collect();
        let (a, b) = (all_of(run, &x), all_of(run, &copies));
        let same = |a: &f64, b: &f64| {
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= close * (1.0 + a.abs().max(b.abs()))
        };
        match (&a, &b) {
            (Some(a), Some(b)) => {
                let off = a.iter().zip(b).position(|(a, b)| !same(a, b));
                assert!(a.len() == b.len() && off.is_none(), "{name}, view {kind}: {off:?}\n{a:?}\n{b:?}");
            }
            _ => assert_eq!(a.is_none(), b.is_none(), "{name}, view {kind}"),
        }
    }
}

#[test]
fn views_give_what_copies_give() {
    for entry in all() {
        // Matrices of equal rows are singular: what is left of them is rounding.
        if ["inv", "det", "slogdet", "solve", "cholesky", "svdvals"].contains(&entry.name) {
            continue;
        }
        alike(entry.name, entry.run, entry.operands, 1e-12);
        alike(entry.name, entry.single, entry.operands, 1e-5);
    }
}

#[test]
fn nothing_has_the_sum_0_the_product_1_and_no_mean() {
    type Function = for<'t> fn(&Var<'t, f64>) -> Var<'t, f64>;
    let of = |shape: &[usize], f: Function| {
        let tape = Tape::new();
        let x = tape.input(Tensor::zeros(shape));
        let y = f(&x);
        let value = y.value().map(|y| (y.shape().to_vec(), y.to_vec())).map_err(|e| e.to_string());
        if value.is_ok() {
            assert_eq!(y.sum().grad(&[&x]).unwrap()[0].shape()[..], *shape);
        }
        value
    };
    type Row = (&'static str, &'static [usize], Function, &'static [usize], f64);
    let values: [Row; 25] = [
        ("sum", &[0], |x| x.sum(), &[], 0.0),
        ("sum_dim", &[0, 2], |x| x.sum_dim(0, false), &[2], 0.0),
        ("prod", &[0], |x| x.prod(), &[], 1.0),
        ("prod_dim", &[2, 0], |x| x.prod_dim(1, false), &[2], 1.0),
        ("mean", &[0], |x| x.mean(), &[], f64::NAN),
        ("mean_dim", &[2, 0], |x| x.mean_dim(1, true), &[2, 1], f64::NAN),
        ("var", &[0], |x| x.var(1.0), &[], f64::NAN),
        ("std", &[0], |x| x.std(0.0), &[], f64::NAN),
        ("nansum", &[0], |x| x.nansum_dim([], false), &[], 0.0),
        ("nanmean", &[0], |x| x.nanmean_dim([], false), &[], f64::NAN),
        ("norm 2", &[0], |x| x.norm_dim(2.0, [], false), &[], 0.0),
        ("norm 1", &[2, 0], |x| x.norm_dim(1.0, 1, false), &[2], 0.0),
        ("norm 0", &[0], |x| x.norm_dim(0.0, [], false), &[], 0.0),
        ("norm 3", &[0], |x| x.norm_dim(3.0, [], false), &[], 0.0),
        ("logsumexp", &[2, 0], |x| x.logsumexp(1, false), &[2], f64::NEG_INFINITY),
        ("matmul", &[2, 0], |x| x.matmul(&x.t()), &[2, 2], 0.0),
        ("einsum", &[2, 0], |x| x.tape().einsum("ij,kj->ik", &[x, x]), &[2, 2], 0.0),
        ("dot", &[0], |x| x.dot(x), &[], 0.0),
        ("trace", &[0, 0], |x| x.trace(), &[], 0.0),
        ("det", &[0, 0], |x| x.det(), &[], 1.0),
        ("det of none", &[0, 3, 3], |x| x.det(), &[0], 0.0),
        ("softmax", &[2, 0], |x| x.softmax(1), &[2, 0], 0.0),
        ("cumsum", &[0, 2], |x| x.cumsum(0), &[0, 2], 0.0),
        ("mse_loss", &[0], |x| x.mse_loss(x), &[], f64::NAN),
        ("mse_loss, summed", &[0], |x| MseLoss::new().reduction(Reduction::Sum).apply(x, x), &[], 0.0),
    ];
    for (name, shape, f, expected, number) in values {
        let (found, list) = of(shape, f).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(found, expected, "{name}");
        assert!(
            list.iter().all(|v| v.to_bits() == number.to_bits() || (v.is_nan() && number.is_nan())),
            "{name}: {list:?}"
        );
    }
    let errors: [(&str, &[usize], Function); 8] = [
        ("max", &[0], |x| x.max()),
        ("amin", &[2, 0], |x| x.amin_dim(1, false)),
        ("max_dim", &[2, 0], |x| x.max_dim(1, false).0),
        ("median_dim", &[0], |x| x.median_dim(0, false).0),
        ("kthvalue", &[0], |x| x.kthvalue(1, 0, false).0),
        ("norm inf", &[0], |x| x.norm_dim(f64::INFINITY, [], false)),
        ("topk", &[0], |x| x.topk(1, 0, true).0),
        ("cross_entropy", &[2, 0], |x| x.cross_entropy(&Tensor::from([0u32, 0]))),
    ];
    for (name, shape, f) in errors {
        assert!(of(shape, f).is_err(), "{name}");
    }
    assert!(Tensor::<f64>::zeros([0]).argmax(None, false).is_err());
}
