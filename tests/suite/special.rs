//! Special points: infinities, ties, zeros and nothing at all. Values by PyTorch in f64 unless said
//! otherwise.
use kolmo::{
    Random, Result, Tape, Tensor, Var, fuse,
    loss::{BceWithLogitsLoss, MseLoss, Reduction},
    nn::{AttentionMasks, MultiheadAttention, MultiheadAttentionOptions},
    ops::{AttentionMask, AttentionOptions},
};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// Equal, or both NaN.
fn same(found: &[f64], expected: &[f64]) {
    let near = |(a, b): (&f64, &f64)| {
        a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() < 1e-12 * b.abs().max(1.0)
    };
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(near),
        "{found:?}, not {expected:?}"
    );
}

/// The gradient of the sum of what a function gives.
fn gradient(x: &[f64], f: impl for<'t> Fn(&Var<'t, f64>) -> Var<'t, f64>) -> Vec<f64> {
    let tape = Tape::new();
    let x = tape.input(Tensor::from(x));
    let y = f(&x).sum();
    let recorded = y.grad(&[&x]).unwrap()[0].to_vec().unwrap();
    let plain = y.backward().unwrap().get(&x).map_or(vec![0.0; x.numel()], Tensor::to_vec);
    same(&plain, &recorded);
    plain
}

/// Both mixed second derivatives of a function of two numbers.
fn mixed(a: f64, b: f64, f: impl for<'t> Fn(&Var<'t, f64>, &Var<'t, f64>) -> Var<'t, f64>) -> [f64; 2] {
    let tape = Tape::new();
    let (a, b) = (tape.input(a), tape.input(b));
    let y = f(&a, &b);
    let d = y.grad(&[&a, &b]).unwrap();
    let ab = d[0].grad(&[&b]).unwrap()[0].item().unwrap();
    let ba = d[1].grad(&[&a]).unwrap()[0].item().unwrap();
    [ab, ba]
}

type Pair = for<'t> fn(&Var<'t, f64>, &Var<'t, f64>) -> Var<'t, f64>;

const PAIRS: [(&str, Pair); 19] = [
    ("add", |a, b| a + b),
    ("sub", |a, b| a - b),
    ("mul", |a, b| a * b),
    ("div", |a, b| a / b),
    ("pow", |a, b| a.pow(b)),
    ("atan2", |a, b| a.atan2(b)),
    ("hypot", |a, b| a.hypot(b)),
    ("xlogy", |a, b| a.xlogy(b)),
    ("logaddexp", |a, b| a.logaddexp(b)),
    ("maximum", |a, b| a.maximum(b)),
    ("minimum", |a, b| a.minimum(b)),
    ("fmax", |a, b| a.fmax(b)),
    ("fmin", |a, b| a.fmin(b)),
    ("remainder", |a, b| a.remainder(b)),
    ("fmod", |a, b| a.fmod(b)),
    ("copysign", |a, b| a.copysign(b)),
    ("prelu", |a, b| a.prelu(&b.reshape([1]))),
    ("div_floor", |a, b| a.div_floor(b)),
    ("div_trunc", |a, b| a.div_trunc(b)),
];

#[test]
fn second_derivatives_are_symmetric_at_special_points_too() {
    let points = [-23.0, -2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 3.0, 23.0];
    for (name, f) in PAIRS {
        for (a, b) in points.iter().flat_map(|a| points.map(|b| (*a, b))) {
            let [ab, ba] = mixed(a, b, |a, b| f(&a.reshape([1]), b).sum());
            // Where the first derivative is infinite there is no second.
            let near = (ab - ba).abs() <= 1e-12 * ab.abs().max(1.0);
            assert!(near || !ab.is_finite() || !ba.is_finite(), "{name} at {a}, {b}: {ab} and {ba}");
        }
    }
    same(&mixed(23.0, 0.0, |a, b| a.pow(b)), &[1.0 / 23.0; 2]);
    same(&mixed(0.0, -2.0, |a, b| a.xlogy(b)), &[-0.5; 2]);
    same(&mixed(0.0, 1.0, |a, b| a.pow(b)), &[0.0; 2]);
    same(&mixed(0.0, 0.0, |a, b| a.atan2(b)), &[0.0; 2]);
}

#[test]
fn an_infinite_entry_of_a_sum_of_exponentials_does_not_spoil_the_others() {
    same(&gradient(&[1.0, INF], |x| x.logsumexp(0, false)), &[0.0, NAN]);
    same(&gradient(&[1.0, -INF], |x| x.logsumexp(0, false)), &[1.0, 0.0]);
    same(&gradient(&[-INF, -INF], |x| x.logsumexp(0, false)), &[NAN, NAN]);
    same(&gradient(&[1e308, 1e308, -1e308], |x| x.logsumexp(0, false)), &[1.0, 1.0, 0.0]);
    let scanned = gradient(&[1.0, INF, 2.0], |x| x.logcumsumexp(0));
    same(&[scanned[0], scanned[2]], &[1.0, 0.0]);
    same(&gradient(&[0.0, -INF], |x| x.log_softmax(0).narrow(0, 0, 1)), &[0.0, 0.0]);
    let tape = Tape::<f64>::new();
    let x = tape.input([1.0, 2.0, -INF]);
    let first = x.logsumexp(0, false).grad(&[&x]).unwrap();
    let second = first[0].narrow(0, 0, 1).sum().grad(&[&x]).unwrap()[0].to_vec().unwrap();
    let p = 1.0 / (1.0 + 1f64.exp());
    same(&second, &[p * (1.0 - p), -p * (1.0 - p), 0.0]);
    // Large numbers of the same size are told apart precisely.
    let tape = Tape::<f32>::new();
    let x = tape.input([10000.0, 10001.0]);
    let shares = x.logsumexp(0, false).backward().unwrap().get(&x).unwrap().to_vec();
    assert!((shares[0] + shares[1] - 1.0).abs() < 1e-6, "{shares:?}");
}

#[test]
fn extremes_of_nan_share_as_pytorch_has_it() {
    let x = [NAN, 2.0, NAN, 1.0];
    same(&gradient(&x, |x| x.amax_dim(0, false)), &[NAN; 4]);
    same(&gradient(&x, |x| x.max()), &[0.5, 0.0, 0.5, 0.0]);
    same(&gradient(&x, |x| x.min()), &[0.5, 0.0, 0.5, 0.0]);
    same(&gradient(&[3.0, 3.0, 1.0], |x| x.amax_dim(0, false)), &[0.5, 0.5, 0.0]);
}

#[test]
fn functions_of_two_numbers_at_infinity() {
    let tape = Tape::<f64>::new();
    let row = |v: &[f64]| tape.constant(Tensor::from(v));
    let (a, b) = (row(&[INF, NAN, -INF, 3.0, 1.0]), row(&[NAN, INF, 1.0, 4.0, NAN]));
    same(&a.hypot(&b).to_vec().unwrap(), &[INF, INF, INF, 5.0, NAN]);
    let (a, b) = (row(&[1.0, -1.0, 7.0, -7.0, 1.0]), row(&[-INF, INF, 2.0, 2.0, 0.0]));
    same(&a.div_floor(&b).to_vec().unwrap(), &[-1.0, -1.0, 3.0, -4.0, INF]);
    same(&gradient(&[-INF, 3.0], |b| b.tape().constant([1.0, 7.0]).remainder(b)), &[1.0, -2.0]);
    same(
        &gradient(&[INF, 0.0, -2.0], |a| a.copysign(&a.tape().constant([1.0, 1.0, 1.0]))),
        &[NAN, 0.0, -1.0],
    );
    same(&row(&[-0.0, -INF, 4.0]).powf(0.5).to_vec().unwrap(), &[0.0, NAN, 2.0]);
    same(&row(&[-0.0, -INF, 4.0]).powf(-0.5).to_vec().unwrap(), &[-INF, NAN, 0.5]);
    same(&row(&[1e308, -1e308]).asinh().to_vec().unwrap(), &[709.889355822726, -709.889355822726]);
}

#[test]
fn what_a_value_does_not_depend_on_can_be_infinite() {
    // Along x, 1 - t stands still; 0 · ∞ is not a part of the derivative.
    let tape = Tape::<f64>::new();
    let (x, t) = (tape.input([INF, 2.0]), tape.input([1.0, 0.0]));
    let y = fuse!(|x, t| (1.0 - t) * x - x.logsigmoid()).apply([&x, &t]);
    same(&y.sum().backward().unwrap().get(&x).unwrap().to_vec(), &[0.0, 1.0 - 1.0 / (1.0 + 2f64.exp())]);
    let loss = BceWithLogitsLoss::new().reduction(Reduction::Sum).apply(&x, &t.detach());
    same(&loss.backward().unwrap().get(&x).unwrap().to_vec(), &[0.0, 1.0 / (1.0 + (-2f64).exp())]);
}

#[test]
fn variances_of_too_few_numbers_are_pytorchs() {
    let tape = Tape::<f64>::new();
    same(&[tape.constant([3.0]).var(1.0).item().unwrap()], &[NAN]);
    same(&[tape.constant([1.0, 2.0]).var(3.0).item().unwrap()], &[INF]);
    same(&[tape.constant(Tensor::zeros([0])).var(1.0).item().unwrap()], &[NAN]);
    same(&gradient(&[3.0], |x| x.var(1.0)), &[NAN]);
    same(&gradient(&[1.0, 2.0, 3.0], |x| x.var(3.0)), &[INF, NAN, INF]);
    same(&gradient(&[1.0, 2.0], |x| x.var_dim(0, 2.0, false)), &[-INF, INF]);
    same(&gradient(&[1.0, 2.0], |x| x.var_dim(0, 3.0, false)), &[1.0, -1.0]);
    same(&gradient(&[2.0, 2.0], |x| x.std(1.0)), &[0.0, 0.0]);
    same(&gradient(&[1.0, 3.0], |x| x.var(1.0)), &[-2.0, 2.0]);
}

#[test]
fn attention_to_nothing_is_zero_whatever_the_mask_is_made_of() {
    fn check<T: kolmo::Float>() {
        let x = Tensor::<T>::from_fn([2, 3, 4], |i| T::from_f64((i as f64 * 0.7).sin()));
        let seen = [true, false, true, false, false, false, true, true, true];
        let keep = Tensor::from_fn([3, 3], |i| seen[i]);
        let bias = Tensor::from_fn([3, 3], |i| T::from_f64(if seen[i] { 0.0 } else { -INF }));
        let run = |mask: &dyn for<'t> Fn(&'t Tape<T>) -> AttentionMask<'t, T>| {
            let tape = Tape::new();
            let x = tape.input(&x);
            let y = x.scaled_dot_product_attention(&x, &x, &AttentionOptions::new().attn_mask(mask(&tape)));
            let value: Vec<f64> = y.to_vec().unwrap().iter().map(|v| v.to_f64()).collect();
            let grads = y.square().sum().grad(&[&x]).unwrap();
            let twice = grads[0].square().sum().backward().unwrap();
            let list = |t: &Tensor<T>| t.to_vec().iter().map(|v| v.to_f64()).collect::<Vec<_>>();
            (value, list(grads[0].value().unwrap()), list(twice.get(&x).unwrap()))
        };
        let by_bools = run(&|_| AttentionMask::Bool(keep.clone()));
        let by_numbers = run(&|tape| AttentionMask::Additive(tape.input(&bias)));
        assert_eq!(by_bools.0, by_numbers.0);
        for (a, b) in [(&by_bools.1, &by_numbers.1), (&by_bools.2, &by_numbers.2)] {
            // Scores are scaled before or after the product.
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + a.abs())), "{a:?} {b:?}");
        }
        assert_eq!(by_bools.0[4..8], [0.0; 4]);
        let all = by_bools.0.iter().chain(&by_bools.1).chain(&by_bools.2);
        assert!(all.into_iter().all(|v| v.is_finite()));
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn a_layer_of_attention_stays_finite_where_nothing_is_seen() -> Result<()> {
    let layer =
        MultiheadAttention::<f64>::with_dtype(4, 2, MultiheadAttentionOptions::new(), &mut Random::new(1))?;
    let tape = Tape::new();
    let x = tape.input(Tensor::from_fn([2, 3, 4], |i| (i as f64).cos()));
    let bias = tape.input([[-INF, -INF, -INF], [0.0, -INF, 1.0], [0.5, 0.0, 0.0]]);
    let masks = AttentionMasks::new()
        .pair_mask(&bias)
        .key_mask(Tensor::from([[true, true, true], [false, true, false]]));
    let (y, weights) = layer.forward_with_weights(&x, &x, &x, &masks);
    assert_eq!(weights.to_vec()?[..3], [0.0; 3]);
    // Of the second sequence, the second query sees only what its bias forbids.
    assert_eq!(weights.select(0, 1).select(1, 1).to_vec()?, [0.0; 6]);
    let grads = y.square().sum().backward()?;
    for part in [&x, &bias] {
        assert!(grads.get(part).unwrap().to_vec().iter().all(|v| v.is_finite()));
    }
    assert!(
        grads.param(layer.in_proj_weight.as_ref().unwrap()).unwrap().to_vec().iter().all(|v| v.is_finite())
    );
    Ok(())
}

#[test]
fn what_a_teacher_holds_for_impossible_costs_a_student_nothing() {
    let tape = Tape::<f64>::new();
    let student = tape.input([[1.0, 2.0, -1.0]]);
    let teacher = tape.constant([[3.0, -INF, -2.0]]);
    let loss =
        kolmo::compress::distill::soft_target_loss(&student, &teacher, &Tensor::from([0u32]), 2.0, 1.0);
    same(&[loss.item().unwrap()], &[3.645814404049254]);
    let grads = loss.grad(&[&student]).unwrap();
    assert!(grads[0].to_vec().unwrap().iter().all(|v| v.is_finite()));
    let twice = grads[0].square().sum().backward().unwrap();
    assert!(twice.get(&student).unwrap().to_vec().iter().all(|v| v.is_finite()));
}

#[test]
fn fake_quantisation_keeps_nan() -> Result<()> {
    let q = kolmo::compress::Affine::new([0.5], [0], kolmo::compress::Along::Tensor, -4..=3)?;
    let tape = Tape::<f64>::new();
    let x = tape.input([NAN, 0.6, 9.0, -INF]);
    same(&x.fake_quantize(&q).to_vec()?, &[NAN, 0.5, 1.5, -2.0]);
    let error = q.quantize(x.value()?).unwrap_err().to_string();
    assert!(error.contains("value 0 is NaN"), "{error}");
    same(&x.fake_quantize_learned(&tape.input(0.5), -4.0, 3.0).to_vec()?, &[NAN, 0.5, 1.5, -2.0]);
    Ok(())
}

#[test]
fn answers_and_targets_of_two_shapes_are_not_broadcast() {
    let tape = Tape::<f64>::new();
    let (column, row) = (tape.input(Tensor::zeros([6, 1])), tape.constant(Tensor::zeros([6])));
    let losses = [
        ("mse_loss", column.mse_loss(&row)),
        ("l1_loss", column.l1_loss(&row)),
        ("smooth_l1_loss", column.smooth_l1_loss(&row)),
        ("huber_loss", column.huber_loss(&row)),
    ];
    for (name, loss) in losses {
        let error = loss.value().unwrap_err().to_string();
        assert!(error.starts_with(name) && error.contains("[6, 1]") && error.contains("[6, 6]"), "{error}");
    }
    let square = |v: &Var<'_, f64>| v.shape().to_string();
    let (a, b) = (column.expand([6, 6]), row.expand([6, 6]));
    assert_eq!(square(&MseLoss::new().reduction(Reduction::None).apply(&a, &b)), "[6, 6]");
}

#[test]
fn the_logarithm_of_a_singular_determinant_is_infinite_and_its_gradient_an_error() {
    let tape = Tape::<f64>::new();
    let x = tape.input([[1.0, 2.0], [2.0, 4.0]]);
    let (sign, log) = x.slogdet();
    same(&[sign.item().unwrap(), log.item().unwrap()], &[0.0, -INF]);
    let error = log.backward().map(|_| ()).unwrap_err().to_string();
    assert!(
        error.starts_with("slogdet: ") && error.contains("singular") && error.contains("special.rs"),
        "{error}"
    );
    let error = tape.input([[1.0, 2.0], [2.0, 4.0]]).inv().value().unwrap_err().to_string();
    assert!(error.starts_with("inv: ") && error.contains("singular"), "{error}");
}

#[test]
fn rows_taken_often_may_learn_no_faster() -> Result<()> {
    let tape = Tape::<f64>::new();
    let (table, index) = (tape.input([[1.0], [2.0], [3.0]]), Tensor::from([1u32, 1, 1, 0]));
    let rows = table.scale_grad_by_freq(&index).embedding(&index, None);
    assert_eq!(rows.to_vec()?, [2.0, 2.0, 2.0, 1.0]);
    same(
        &(rows * tape.constant([[1.0], [2.0], [6.0], [5.0]])).sum().backward()?.get(&table).unwrap().to_vec(),
        &[5.0, 3.0, 0.0],
    );
    assert!(table.scale_grad_by_freq(&Tensor::from([3u32])).value().is_err());
    Ok(())
}

#[test]
fn values_to_fill_with_get_their_gradient() -> Result<()> {
    let tape = Tape::<f64>::new();
    let (x, v) = (tape.input([1.0, 2.0, 3.0]), tape.input(7.0));
    let y = x.index_fill(0, &Tensor::from([0u32, 2]), &v);
    assert_eq!(y.to_vec()?, [7.0, 2.0, 7.0]);
    assert_eq!(y.sum().backward()?.get(&v).unwrap().item()?, 2.0);
    let y = x.masked_fill(&Tensor::from([true, false, false]), &v);
    assert_eq!(y.sum().backward()?.get(&v).unwrap().item()?, 1.0);
    let error = x.masked_fill(&Tensor::from([true; 3]), &x).value().unwrap_err().to_string();
    assert!(error.starts_with("masked_fill: fills with one number"), "{error}");
    Ok(())
}

#[test]
fn a_list_may_begin_with_nothing() -> Result<()> {
    let tape = Tape::<f64>::new();
    let (nothing, x) = (tape.input(Tensor::zeros([0])), tape.input([[1.0, 2.0]]));
    assert_eq!(*tape.cat(&[&nothing, &x, &x], 1).shape(), [1, 4]);
    assert_eq!(*tape.cat(&[&nothing, &nothing], 0).shape(), [0]);
    assert!(tape.cat(&[&tape.input([1.0]), &x], 1).value().is_err());
    Ok(())
}
