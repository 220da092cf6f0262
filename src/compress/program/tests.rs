//! The functions that are printed, and what is printed of whole models, run here without a compiler.
use super::{
    Standalone,
    functions::{erf_of, exp_of, log_of, sigmoid_of, sqrt_of, tanh_of},
    store::Stored,
};
use crate::{
    Random, Tape, Tensor, Var,
    compress::{all_params, quantize},
    nn::{BatchNorm2d, Conv2d, Embedding, Layer, LayerNorm, Linear},
    ops::{AttentionOptions, ConvOptions, PoolOptions},
    real::Arithmetic,
};

/// The largest difference between a program and the model.
fn apart(x: &Tensor<f32>, f: impl for<'t> Fn(&Var<'t, f32>) -> Var<'t, f32>) -> f32 {
    let program = Standalone::new(x, &f).unwrap();
    let other: Vec<f32> = x.to_vec().iter().enumerate().map(|(i, v)| (v + i as f32).sin() * 1.5).collect();
    let tape = Tape::inference();
    let y = f(&tape.constant(Tensor::new(x.shape(), other.clone()).unwrap())).to_vec().unwrap();
    let own = program.run(&other).unwrap();
    assert_eq!(own.len(), y.len());
    own.iter()
        .zip(&y)
        .map(|(a, b)| (a - b).abs() / b.abs().max(1.0))
        .fold(0.0, |most, d: f32| if d.is_nan() { f32::INFINITY } else { most.max(d) })
}

fn example(sizes: &[usize]) -> Tensor<f32> {
    Tensor::from_fn(sizes, |i| (i as f32 * 0.7).sin())
}

#[test]
fn printed_functions_are_as_near_as_they_say() {
    let near = |f: fn(f32) -> f32, g: fn(f64) -> f64, [from, to]: [f64; 2], relative: bool, error: f64| {
        for i in 0..=20_000 {
            let x = (from + (to - from) * i as f64 / 20_000.0) as f32;
            let (a, b) = (f(x) as f64, g(x as f64));
            let size = if relative { b.abs() } else { b.abs().max(1.0) };
            assert!((a - b).abs() <= error * size, "{x}: {a}, not {b}");
        }
    };
    near(exp_of, Arithmetic::exp, [-87.0, 88.0], true, 2e-7);
    near(sqrt_of, Arithmetic::sqrt, [1e-30, 1e5], true, 2e-7);
    near(log_of, Arithmetic::log, [1e-30, 3.0], false, 2e-7);
    near(log_of, Arithmetic::log, [3.0, 1e30], false, 2e-7);
    near(sigmoid_of, Arithmetic::sigmoid, [-50.0, 50.0], false, 2e-7);
    near(tanh_of, Arithmetic::tanh, [-12.0, 12.0], false, 3e-7);
    near(erf_of, Arithmetic::erf, [-6.0, 6.0], false, 6e-7);
    assert_eq!([exp_of(f32::NAN), exp_of(1e9)], [exp_of(-87.0), exp_of(88.0)]);
    assert_eq!([log_of(0.0), sqrt_of(0.0)], [f32::NEG_INFINITY, 0.0]);
}

fn conv<'t>(x: &Var<'t>, w: &Tensor, b: Option<&Tensor>, options: &ConvOptions) -> Var<'t> {
    let b = b.map(|b| x.tape().constant(b));
    x.conv2d(&x.tape().constant(w), b.as_ref(), options)
}

/// How far programs of functions of `[1, 4, 7, 6]` are from them.
macro_rules! near {
    ($rng:ident $x:ident $($name:literal $e:expr;)*) => {
        [$(($name, apart(&example(&[1, 4, 7, 6]), |$x| $e))),*]
    };
}

#[test]
fn every_operation_gives_what_the_tape_gives() {
    let rng = &mut Random::new(3);
    let [w, one, up] = [[6, 2, 3, 3], [5, 4, 1, 1], [4, 1, 2, 2]].map(|s| Tensor::<f32>::randn(s, rng));
    let [b, b4, flat] = [vec![6], vec![4], vec![5, 168]].map(|s| Tensor::<f32>::randn(s, rng));
    let places = Tensor::<f32>::randn([7, 6], rng);
    let behind = AttentionOptions::new().causal_lower_right(true);
    let dilated = ConvOptions::new().stride([2, 1]).padding([2, 3]).dilation(2).groups(2);
    let norm = BatchNorm2d::new(4);
    norm.running_mean.set(Tensor::randn([4], rng));
    norm.running_var.set(Tensor::from([0.5, 2.0, 1.5, 0.25]));
    norm.weight.as_ref().unwrap().set(Tensor::randn([4], rng));
    let (plain, before) = (Conv2d::new(4, 4, 3, rng), Conv2d::new(4, 4, 3, rng));
    quantize::codebooks(&before, 4, all_params).unwrap();
    let pool = |k: usize| PoolOptions::new(k);
    let all = near! { rng x
        "conv with all options" conv(x, &w, Some(&b), &dilated).relu();
        "conv of one element" conv(x, &one, None, &ConvOptions::new().padding(1));
        "conv by channel" conv(x, &up, Some(&b4), &ConvOptions::new().groups(4));
        "norm" norm.forward(x).tanh();
        "norm into weights" norm.forward(&plain.forward(x)).relu();
        "norm behind codes" norm.forward(&before.forward(x)).relu();
        "norm twice" norm.forward(&norm.forward(&plain.forward(x)));
        "largest" x.max_pool2d(&pool(2));
        "largest, overlapping" x.max_pool2d(&pool(3).stride(2).padding(1));
        "largest, beyond the end" x.max_pool2d(&pool(2).ceil_mode(true));
        "largest of lines" x.reshape([4, 7, 6]).max_pool1d(&pool(3));
        "means" x.avg_pool2d(&pool(2));
        "mean of all" x.adaptive_avg_pool2d(&[Some(1), Some(1)]).flatten(1, -1);
        "linear" x.flatten(1, -1).linear(&x.tape().constant(&flat), None).log_softmax(-1);
        "linear, scaled" (x.flatten(1, -1).linear(&x.tape().constant(&flat), None) * 0.25 + 3.0).softmax(-1);
        "moved" x.permute([0, 2, 3, 1]).flip([1]).reshape([7, 24]).transpose(0, 1);
        "parts" x.narrow(2, 1, 5).narrow(3, 2, 3).exp();
        "joined" x.tape().cat(&[x, &x.relu(), &(x * 2.0 - 1.0)], 1);
        "product of both" x.matmul(&x.transpose(2, 3)) / 10.0;
        "residual" (x + x.sigmoid()).gelu() - x.relu() * x;
        "numbers" (2.0 - x) / (x.square() + 1.0) * -(x / 3.0);
        "sums" x.sum_dim([1, 3], false) + x.mean_dim([1, 3], false);
        "extremes" x.amax_dim([2], true) - x.amin_dim([2, 3], true);
        "activations" x.silu() + x.elu(0.7) + x.leaky_relu(0.1) + x.gelu_tanh();
        "more activations" x.softplus(1.0, 20.0) + x.mish() + x.clamp(-0.5, 0.25) + x.abs().sqrt();
        "gates" x.hardswish() + x.hardsigmoid() + x.relu6() + x.softsign();
        "layer norm" x.layer_norm(&[7, 6], Some(&x.tape().constant(&places)), None, 1e-5);
        "group norm" x.group_norm(2, None, None, 1e-3).relu();
        "instance norm" (x * 2.0).instance_norm(None, Some(&x.tape().constant(&b4)), None, 1e-5);
        "attention" x.scaled_dot_product_attention(&x.relu(), &(x + 1.0), &AttentionOptions::new());
        "attention to what came before"
            x.narrow(2, 2, 5).scaled_dot_product_attention(x, x, &behind);
        "by itself" x.reshape([28, 6]);
    };
    let far: Vec<_> = all.iter().filter(|(_, far)| *far > 1e-5).collect();
    assert!(far.is_empty(), "{far:?}");
}

#[test]
fn what_is_refused_is_named_with_its_line() {
    let x = example(&[1, 4]);
    let refused = |f: &dyn for<'t> Fn(&Var<'t>) -> Var<'t>| Standalone::new(&x, f).unwrap_err().to_string();
    let error = refused(&|x| x.relu().cumsum(1));
    assert!(error.starts_with("cumsum: can't be done by a program of its own"), "{error}");
    assert!(error.contains("program/tests.rs:"), "{error}");
    let error = refused(&|x| x.reshape([2, 2]).max_pool1d(&PoolOptions::new(2).dilation(3)));
    assert!(error.contains("doesn't fit"), "{error}");
    let error = refused(&|x| x.sort(1, false).0);
    assert!(error.contains("can't"), "{error}");
    let error = refused(&|x| x.tape().constant([1.0, 2.0]));
    assert!(error.contains("doesn't depend"), "{error}");
    // The first of two queries comes before the only key.
    let q = example(&[1, 1, 2, 4]);
    let behind = AttentionOptions::new().causal_lower_right(true);
    let refused = Standalone::new(&q, |q| {
        let k = q.narrow(2, 1, 1);
        q.scaled_dot_product_attention(&k, &k, &behind)
    });
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("a query that sees no key can't be done"), "{error}");
    // A table that is worked out from the input, and indices that are changed before they are used.
    let table = Tensor::<f32>::ones([6, 2]);
    let refused = Standalone::of_indices(&Tensor::from([1u32, 2, 5]), |tape, index| {
        tape.constant(&table).embedding(&index.narrow(0, 1, 2).unwrap(), None)
    });
    assert!(refused.is_err());
    let error = Standalone::new(&x, |x| x.relu()).unwrap().run(&[1.0]).unwrap_err().to_string();
    assert_eq!(error, "Standalone::run: takes 4 numbers, not 1");
}

#[test]
fn indices_are_looked_up_and_the_largest_is_found() {
    let rng = &mut Random::new(8);
    let (words, places) = (Embedding::new(11, 6, rng), Tensor::<f32>::randn([4, 6], rng));
    let (norm, scores) = (LayerNorm::new([6]), Linear::new(6, 11, rng));
    quantize::codebooks(&words, 8, all_params).unwrap();
    let index = Tensor::from([[3u32, 0, 7, 10]]);
    let causal = AttentionOptions::new().is_causal(true);
    // One block of a language model, whose table also gives the scores.
    macro_rules! model {
        ($tape:ident, $index:ident) => {{
            let x = words.forward($index, $tape) + $tape.constant(&places);
            let q = norm.forward(&x);
            let x = x + q.scaled_dot_product_attention(&q, &q, &causal);
            x.linear(&$tape.param(&words.weight), None) + scores.forward(&x)
        }};
    }
    let program = Standalone::of_indices(&index, |tape, index| model!(tape, index)).unwrap();
    let own = Tensor::from([[10u32, 10, 1, 5]]);
    let input = [10.0, 10.0, 1.0, 5.0];
    let (tape, index) = (&Tape::inference(), &own);
    let y = model!(tape, index);
    let (y, given) = (y.value().unwrap().clone(), program.run(&input).unwrap());
    let far = y.to_vec().iter().zip(&given).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(given.len() == 44 && far < 1e-4, "{far}");
    // What is beyond the table is its last row, what is below or no number the first.
    let beyond = program.run(&[99.0, 1e9, 1.0, 5.0]).unwrap();
    assert_eq!(beyond, given);
    assert_eq!(
        program.run(&[f32::NAN, -3.0, 1.0, 5.0]).unwrap(),
        program.run(&[0.0, 0.0, 1.0, 5.0]).unwrap()
    );

    let classes: Vec<f32> = y.argmax(-1, false).unwrap().to_vec().iter().map(|&k| k as f32).collect();
    assert_eq!(program.argmax().run(&input).unwrap(), classes);
    // The first of equals; of what is no number nothing is found.
    let x = example(&[2, 3]);
    let plain = Standalone::new(&x, |x| x * 1.0).unwrap().argmax();
    assert_eq!(plain.run(&[1.0, 2.0, 2.0, -5.0, -7.0, -5.0]).unwrap(), [1.0, 0.0]);
    assert_eq!(plain.run(&[f32::NAN, 2.0, f32::NAN, f32::NAN, f32::NAN, f32::NAN]).unwrap(), [1.0, 0.0]);
    let one = Standalone::new(&example(&[3, 1]), |x| x.relu()).unwrap().argmax();
    assert_eq!(one.run(&[1.0, 2.0, 3.0]).unwrap(), [0.0; 3]);
}

#[test]
fn a_form_that_no_other_tensor_has_must_save_what_its_decoder_takes() {
    let rng = &mut Random::new(2);
    let noise = Tensor::<f32>::randn([30, 30], rng).to_vec();
    let steps = Tensor::from_fn([30, 30], |i| (noise[i] * 2.0).round().clamp(-7.0, 7.0) * 0.1371);
    // Four values that are no whole steps, and four that are, but of seven bits.
    let of = |n: usize, four: [f32; 4]| Tensor::from_fn([n], |i| four[(noise[i].abs() * 9.0) as usize % 4]);
    let far = |n: usize| of(n, [-1.7193, 0.0, 0.5371, 2.377]);
    let wide = of(60, [-31.5, 0.0, 0.5, 32.0]);
    let names = |tensors: &[&Tensor<f32>]| -> Vec<String> {
        let stored = Stored::new(tensors.iter().copied());
        let all = tensors.iter().flat_map(|t| t.to_vec()).map(|v| v + 0.0).collect::<Vec<f32>>();
        assert_eq!(stored.decoded(all.len()), all);
        let calls = stored.calls.iter().map(|(_, call)| format!("{call:?}"));
        calls.map(|text| text.split([' ', '{']).next().unwrap_or_default().to_string()).collect()
    };
    let few = far(20);
    assert_eq!(names(&[&few]), ["Numbers"]);
    assert_eq!(names(&[&steps, &wide]), ["Steps", "Steps"]);
    assert_eq!(names(&[&steps, &Tensor::new([900], noise.clone()).unwrap()]), ["Steps", "Numbers"]);
    // What is there for one serves the others.
    assert_eq!(
        names(&[&far(900), &few, &wide]),
        ["Codes", "LookedUp", "Codes", "LookedUp", "Codes", "LookedUp"]
    );
    assert_eq!(names(&[]).len(), 0);
}

#[test]
fn each_form_of_a_constant_is_chosen_where_it_is_short_and_comes_back() {
    let rng = &mut Random::new(1);
    let dense = Tensor::<f32>::randn([40, 50], rng);
    let values = dense.to_vec();
    let row = |i: usize| 0.01 + (i / 50) as f32 * 0.001;
    let forms: [(&str, Tensor<f32>, usize); 6] = [
        ("Numbers", dense.clone(), 2 * 4000),
        ("Unpruned", Tensor::from_fn([40, 50], |i| if i % 10 == 3 { values[i] } else { 0.0 }), 1100),
        (
            "LookedUp",
            Tensor::from_fn([40, 50], |i| [0.0, 0.5371, -1.7193][(values[i].abs() * 1.4) as usize % 3]),
            450,
        ),
        ("Stepped", Tensor::from_fn([40, 50], |i| (values[i] * 4.0).round().clamp(-7.0, 7.0) * row(i)), 1250),
        ("Steps", Tensor::from_fn([40, 50], |i| (values[i] * 4.0).round().clamp(-7.0, 7.0) * 0.125), 1080),
        ("Numbers", Tensor::zeros([3, 2]), 9),
    ];
    for (name, tensor, most) in forms {
        let stored = Stored::new([&tensor]);
        assert!(stored.data.len() <= most, "{name}: {} bytes", stored.data.len());
        let (_, call) = stored.calls.last().unwrap();
        assert!(format!("{call:?}").starts_with(name), "{call:?}, not {name}");
        let bits = |v: Vec<f32>| v.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let zeros = tensor.to_vec().iter().map(|v| v + 0.0).collect();
        assert_eq!(bits(stored.decoded(tensor.numel())), bits(zeros));
    }
}
