//! What doesn't fit is refused by the name of the layer, and what would do nothing is an error that says what
//! there is.
use kolmo::{
    Float, Random, Result, Tape, Tensor, Var,
    compress::{
        Artifact, Channels, CostReport, EntryData, Gate, Gates, Variational, all_params, description_length,
        matrices, pack,
        prune::{self, Amount},
        quantize::{Quantizer, binary, codebooks, convert, ternary},
        rate,
        scores::{ScoreCriterion, Scores, Snapshot},
    },
    nn::*,
    optim::{Adam, Ema, Group, Lbfgs, Optimizer, Sgd},
};
use std::panic::{AssertUnwindSafe, catch_unwind};

type Run = Box<dyn for<'t> Fn(&Var<'t>) -> Var<'t>>;

/// A layer, its name, an input that it takes, and its parameters.
struct Case {
    name: &'static str,
    takes: Vec<usize>,
    params: Vec<Param>,
    run: Run,
}

fn case<L: serde::Serialize + 'static>(
    name: &'static str,
    takes: &[usize],
    layer: L,
    run: impl for<'t> Fn(&L, &Var<'t>) -> Var<'t> + 'static,
) -> Case {
    let params = named_params(&layer).into_iter().map(|(_, p)| p).collect();
    Case { name, takes: takes.to_vec(), params, run: Box::new(move |x| run(&layer, x)) }
}

fn cases() -> Result<Vec<Case>> {
    let rng = &mut Random::new(0);
    let options = TransformerOptions::new().dim_feedforward(6);
    let recurrent = |cell, rng: &mut Random| {
        Recurrent::with_options(cell, 3, 2, RecurrentOptions::new().num_layers(2).bidirectional(true), rng)
    };
    Ok(vec![
        case("Linear", &[4, 3], Linear::new(3, 2, rng), |l, x| l.forward(x)),
        case("Conv1d", &[2, 2, 6], Conv1d::new(2, 4, 3, rng), |l, x| l.forward(x)),
        case("Conv2d", &[2, 2, 5, 6], Conv2d::new(2, 4, 3, rng), |l, x| l.forward(x)),
        case("ConvTranspose1d", &[2, 2, 6], ConvTranspose1d::new(2, 4, 3, rng), |l, x| l.forward(x)),
        case("ConvTranspose2d", &[2, 2, 5, 6], ConvTranspose2d::new(2, 4, 3, rng), |l, x| l.forward(x)),
        case("BatchNorm", &[4, 3], BatchNorm::new(3), |l, x| l.forward(x)),
        case("LayerNorm", &[4, 2, 3], LayerNorm::new([2, 3]), |l, x| l.forward(x)),
        case("GroupNorm", &[3, 4, 5], GroupNorm::new(2, 4), |l, x| l.forward(x)),
        case("InstanceNorm", &[2, 3, 4], InstanceNorm::new().affine(3).track_running_stats(3), |l, x| {
            l.forward(x)
        }),
        case("RmsNorm", &[4, 3], RmsNorm::new([3]), |l, x| l.forward(x)),
        case("PRelu", &[2, 3], PRelu::new(3), |l, x| l.forward(x)),
        case("MultiheadAttention", &[2, 3, 4], MultiheadAttention::new(4, 2, rng)?, |l, x| {
            l.forward(x, x, x, &AttentionMasks::causal())
        }),
        case(
            "TransformerEncoderLayer",
            &[2, 3, 4],
            TransformerEncoderLayer::with_options(4, 2, options, rng)?,
            |l, x| l.forward(x, &AttentionMasks::default()),
        ),
        case(
            "TransformerDecoderLayer",
            &[2, 3, 4],
            TransformerDecoderLayer::with_options(4, 2, options, rng)?,
            |l, x| l.forward(x, x, &AttentionMasks::default(), &AttentionMasks::default()),
        ),
        case("Recurrent", &[3, 2, 3], recurrent(RecurrentMode::RnnTanh, rng), |l, x| l.forward(x, None).0),
        case("Recurrent", &[3, 2, 3], recurrent(RecurrentMode::Lstm, rng), |l, x| l.forward(x, None).0),
        case("Recurrent", &[3, 2, 3], recurrent(RecurrentMode::Gru, rng), |l, x| l.forward(x, None).1.hidden),
    ])
}

fn numbers(shape: &[usize]) -> Tensor {
    Tensor::from_fn(shape, |i| (i as f32 * 0.7).sin())
}

/// The error of a layer's forward and backward pass, in both modes; the line that it names is the caller's.
fn outcome(case: &Case, shape: &[usize]) -> Option<String> {
    let run = || {
        let mut error = None;
        for training in [true, false] {
            let tape = Tape::new();
            tape.set_training(training);
            let y = (case.run)(&tape.input(numbers(shape)));
            error = error.or(y.square().sum().backward().err().map(|e| e.to_string()));
        }
        error
    };
    let found = catch_unwind(AssertUnwindSafe(run));
    found.unwrap_or_else(|_| panic!("{} of {shape:?} with {:?}", case.name, case.params))
}

/// Shapes that aren't one, but nearly: other ranks, widths, and empty axes.
fn others(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut all =
        vec![Vec::new(), vec![shape.iter().product()], [shape, &[1]].concat(), [&[1], shape].concat()];
    all.push([&[1, 1, 1], shape].concat());
    all.push(shape.iter().skip(1).copied().collect());
    for axis in 0..shape.len() {
        for size in [0, 1, shape[axis] + 1, 2 * shape[axis], 3 * shape[axis]] {
            let mut other = shape.to_vec();
            other[axis] = size;
            all.push(other);
        }
    }
    all.retain(|other| other != shape);
    all
}

#[test]
fn layers_refuse_what_they_cannot_take_by_their_name() -> Result<()> {
    for case in cases()? {
        assert_eq!(outcome(&case, &case.takes), None, "{}", case.name);
        let mut refused = 0;
        for shape in others(&case.takes) {
            if let Some(message) = outcome(&case, &shape) {
                // What is no value for each channel is the operation's own business.
                let variance = message.contains("more than one value") || message.contains("no variance");
                let window = message.contains("doesn't fit") || message.contains("empty");
                assert!(
                    message.starts_with(case.name) || variance || window,
                    "{} {shape:?}: {message}",
                    case.name
                );
                assert!(message.contains(file!()), "{message}");
                if message.starts_with(case.name) {
                    assert!(message.contains(&format!("{shape:?}")), "{shape:?}: {message}");
                    refused += 1;
                }
            }
        }
        assert!(refused > 0, "{} takes anything", case.name);
    }
    Ok(())
}

#[test]
fn layers_refuse_parameters_of_another_shape_by_their_name() -> Result<()> {
    for case in cases()? {
        for p in &case.params {
            let (value, mut refused) = (p.value(), 0);
            for shape in others(value.shape()) {
                p.set(numbers(&shape));
                if let Some(message) = outcome(&case, &case.takes) {
                    let window = message.contains("doesn't fit");
                    assert!(message.starts_with(case.name) || window, "{} {shape:?}: {message}", case.name);
                    assert!(message.contains(file!()), "{message}");
                    refused += 1;
                }
            }
            assert!(refused > 0 || value.rank() == 0, "{} takes anything for {}", case.name, value.shape());
            p.set(value);
        }
        assert_eq!(outcome(&case, &case.takes), None, "{}", case.name);
    }
    Ok(())
}

#[test]
fn masks_of_another_shape_are_refused_with_what_is_taken() -> Result<()> {
    let layer = MultiheadAttention::new(4, 2, &mut Random::new(0))?;
    let tape = Tape::new();
    let (x, y) = (tape.input(numbers(&[2, 3, 4])), tape.input(numbers(&[2, 5, 4])));
    let told =
        |masks: &AttentionMasks<'_>| layer.forward(&x, &y, &y, masks).to_vec().err().map(|e| e.to_string());
    let pairs = |shape: &[usize]| Tensor::full(shape, true);
    for shape in [&[3, 5][..], &[1, 5], &[5], &[2, 1, 3, 5], &[2, 2, 3, 5]] {
        assert_eq!(told(&AttentionMasks::new().pair_mask(pairs(shape))), None, "{shape:?}");
    }
    for shape in [&[5, 3][..], &[3, 4], &[3], &[4, 1, 3, 5], &[3, 2, 3, 5], &[1, 1, 1, 3, 5], &[0, 5]] {
        let message = told(&AttentionMasks::new().pair_mask(pairs(shape))).unwrap();
        assert!(message.starts_with("MultiheadAttention: the mask of pairs"), "{message}");
        assert!(message.contains(&format!("{shape:?}")) && message.contains("[3, 5]"), "{message}");
        let added = tape.constant(numbers(shape));
        assert!(told(&AttentionMasks::new().pair_mask(added)).is_some());
    }
    let keys = |shape: &[usize]| AttentionMasks::new().key_mask(Tensor::full(shape, true));
    assert_eq!(told(&keys(&[2, 5])), None);
    for shape in [&[2, 3][..], &[5, 2], &[3, 5], &[2, 1, 5], &[]] {
        let message = told(&keys(shape)).unwrap();
        assert!(message.contains("the mask of keys") && message.contains("[2, 5]"), "{message}");
    }
    Ok(())
}

#[test]
fn masks_do_not_prune_codes_of_another_shape() -> Result<()> {
    let p = Param::new(Tensor::<f32>::zeros([4]));
    p.set_codebook(Tensor::from([0u32, 1, 0, 1]), Tensor::from([0.5f32, -0.5]))?;
    p.set(Tensor::from([1.0f32, 2.0]));
    told(p.set_mask(Some(&Tensor::from([true, false]))), &["set_mask", "[2]", "[4]"]);
    assert!(p.mask().is_none());
    let p = Param::new(Tensor::<f32>::zeros([2]));
    p.set_mask(Some(&Tensor::from([true, false])))?;
    p.set(Tensor::<f32>::zeros([4]));
    let codes = Tensor::from([0u32, 1, 0, 1]);
    told(p.set_codebook(codes, Tensor::from([0.5f32, -0.5])), &["set_codebook", "[2]", "[4]"]);
    assert!(p.codebook().is_none());
    Ok(())
}

#[test]
fn a_parameter_is_not_made_of_itself() -> Result<()> {
    let param = || Param::new(Tensor::from([2.0f32]));
    let (p, q, r) = (param(), param(), param());
    told(p.set_steps(4, 0, p.clone()), &["set_steps", "can't be made of this parameter"]);
    p.set_steps(4, 0, q.clone())?;
    q.set_codebook(Tensor::from([0u32]), r.clone())?;
    told(r.set_steps(4, 0, p.clone()), &["set_steps"]);
    told(r.set_codebook(Tensor::from([0u32]), p.clone()), &["set_codebook", "be made of this parameter"]);
    told(p.set_codebook(Tensor::from([0u32]), p.clone()), &["set_codebook"]);
    p.set_trainable(false);
    assert!(!q.is_trainable() && !r.is_trainable());
    assert_eq!(p.effective()?.to_vec(), [2.0]);
    Ok(())
}

/// Reads and changes the parameter that it belongs to.
struct Touch(Param<f32>);

impl Parametrize<f32> for Touch {
    fn apply<'t>(&self, weight: &Var<'t>) -> Var<'t> {
        let norm = self.0.value().numel() as f64;
        self.0.set_trainable(true);
        weight * norm
    }
}

#[test]
fn what_stands_between_may_use_the_parameter() -> Result<()> {
    let p = Param::new(Tensor::from([1.0f32, 2.0]));
    p.parametrize(Touch(p.clone()));
    assert_eq!(p.effective()?.to_vec(), [2.0, 4.0]);
    Ok(())
}

#[test]
fn batch_norm_says_what_it_takes_and_what_it_got() -> Result<()> {
    let tape = Tape::<f32>::new();
    let y = BatchNorm::new(5).forward(&tape.constant(numbers(&[2, 3, 4, 4])));
    let message = y.to_vec().unwrap_err().to_string();
    assert!(message.starts_with("BatchNorm: takes [n, 5, …], not [2, 3, 4, 4]\n"), "{message}");
    Ok(())
}

fn told<V>(result: Result<V>, parts: &[&str]) {
    let message = result.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(parts.iter().all(|part| message.contains(part)), "{message:?} without {parts:?}");
}

fn gradients<T: Float>(p: &Param<T>) -> Result<kolmo::Gradients<T>> {
    Tape::new().param(p).square().sum().backward()
}

#[test]
fn optimisers_say_when_nothing_matches() -> Result<()> {
    let rng = &mut Random::new(0);
    let (net, other) = (Linear::new(3, 2, rng), Linear::new(4, 2, rng));
    let grads = gradients(&net.weight)?;
    told(Adam::new(0.1).step(&other, &grads), &["Adam", "weight [2, 4]", "[2, 3]"]);
    told(Sgd::new(0.1).step(&(), &grads), &["Sgd", "no parameters"]);
    let double = Linear::<f64>::with_dtype(3, 2, rng);
    told(Adam::new(0.1).step(&double, &grads), &["weight [2, 3] of f64", "f32"]);
    // One without a gradient among others is left alone, and so are gradients of what isn't trained here.
    Adam::new(0.1).step(&net, &grads)?;
    let both = (Tape::new().param(&net.weight).sum(), ()).0.backward();
    assert!(both.is_ok());
    let none = Group::new(|name, _| name == "wieght").lr_factor(0.1);
    told(Adam::new(0.1).group(none).step(&net, &grads), &["group 1", "weight [2, 3]", "bias [2]"]);
    let shadow = Sgd::new(0.1).group(Group::new(|_, _| true)).group(Group::new(|name, _| name == "bias"));
    told(shadow.clone().step(&net, &grads), &["group 2"]);
    // The shape of what is remembered.
    let mut adam = Adam::new(0.1);
    let p = Param::new(numbers(&[3]));
    adam.step(&p, &gradients(&p)?)?;
    p.set(numbers(&[2]));
    told(adam.step(&p, &gradients(&p)?), &["the parameter", "[2]", "[3]"]);
    let mut ema: Ema = Ema::new(0.9);
    told(ema.swap(&net), &["no average of weight"]);
    told(ema.update(&double), &["f32", "f64"]);
    ema.update(&net)?;
    told(ema.update(&Param::new(numbers(&[2]))), &["weight", "the parameter [2]"]);
    told(Lbfgs::new(1.0).minimize(&net, |tape| tape.param(&other.weight).sum()), &["weight [2, 3]"]);
    told(Lbfgs::new(1.0).minimize::<f32, _>(&double, |tape| tape.constant(1.0).sum()), &["f64"]);
    Ok(())
}

#[test]
fn compression_says_when_nothing_matches() -> Result<()> {
    let rng = &mut Random::new(0);
    let net = Sequential((Linear::new(3, 4, rng), Relu, Linear::new(4, 2, rng)));
    let other = Linear::new(3, 2, rng);
    let none = |name: &str, _: &kolmo::tensor::Shape| name == "nothing";
    let there = ["0.weight [4, 3]", "2.bias [2]"];
    told(prune::global(&net, Amount::Density(0.5), none), &there);
    told(prune::layerwise(&net, Amount::Density(0.5), none), &there);
    told(prune::structured(&net, Amount::Density(0.5), prune::StructuredOptions::new(), none), &there);
    told(prune::blocks(&net, Amount::Density(0.5), 2, none), &there);
    told(prune::n_of_m(&net, 1, 2, none), &there);
    told(Quantizer::new(4).attach(&net, none), &there);
    told(codebooks(&net, 4, none), &there);
    told(convert(&net), &there);
    told(Gates::<f32>::new(&net, Gate::Weight, 0.5, none), &there);
    told(Variational::<f32>::new(&net, none), &there);
    let mut scores = Scores::new(ScoreCriterion::Taylor);
    told(scores.add(&other, &gradients(&net.0.0.weight)?), &["weight [2, 3]"]);
    scores.add(&net, &gradients(&net.0.0.weight)?)?;
    told(prune::by_scores(&net, &scores, Amount::Density(0.5), none), &there);
    told(prune::by_scores(&other, &scores, Amount::Density(0.5), all_params), &["weight [2, 3]"]);
    told(Snapshot::<f64>::new(&net).restore(&net), &["f64"]);
    let (gates, noise) =
        (Gates::<f32>::new(&net, Gate::Weight, 0.5, matrices)?, Variational::<f32>::new(&net, matrices)?);
    let tape = Tape::new();
    told(gates.sample(&other, &tape).item(), &["Gates", "0.weight", "weight [2, 3]"]);
    told(noise.sample(&other, &tape).item(), &["Variational", "0.weight", "weight [2, 3]"]);
    told(gates.prune(&other), &["0.weight"]);
    told(noise.prune(&other, 3.0), &["0.weight"]);
    told(CostReport::measure(&net, &numbers(&[1, 3]), |x| other.forward(x)), &there);
    told(Channels::trace(&net, &numbers(&[1, 3]), |x| other.forward(x)), &there);
    for text in [
        "prune\", \"density\": 0.5",
        "codebook\", \"values\": 4",
        "steps\", \"bits\": 4",
        "ternary\"",
        "binary\"",
    ] {
        let text = format!(
            "{{\"stages\": [{{\"stage\": \"{}, \"only\": [\"nothing\"]}}]}}",
            text.trim_end_matches('"')
        );
        let text = text.replace("ternary,", "ternary\",").replace("binary,", "binary\",");
        let recipe = kolmo::compress::Recipe::from_json(&text)?;
        let done =
            recipe.run(&net, &mut |_: &Sequential<(Linear, Relu, Linear)>, _: &kolmo::compress::Task| Ok(()));
        told(done, &there);
    }
    Ok(())
}

#[test]
fn statistics_are_those_of_kept_weights() -> Result<()> {
    let masked = |values: [f64; 4]| -> Result<Param<f64>> {
        let p = Param::new(Tensor::from(values));
        p.set_mask(Some(&Tensor::from([true, true, false, false])))?;
        Ok(p)
    };
    let p = masked([1.0, -3.0, 5.0, 5.0])?;
    binary(&p)?;
    assert_eq!(p.effective()?.to_vec(), [2.0, -2.0, 0.0, 0.0]);
    let p = masked([1.0, -3.0, 0.0, 0.0])?;
    ternary(&p)?; // the mean is 2, the threshold 1.4
    assert_eq!(p.effective()?.to_vec(), [0.0, -3.0, 0.0, 0.0]);
    let p = masked([1.0, -3.0, 50.0, 50.0])?;
    kolmo::compress::hash_weights(&p, 1, &mut Random::new(0))?;
    assert_eq!(p.effective()?.to_vec(), [-1.0, -1.0, 0.0, 0.0]);
    // The share of a step size's gradient counts the weights that have a part in it.
    let sizes = |p: &Param<f64>| -> Result<f64> {
        p.set_steps(2, 0, Tensor::from([1.0]))?;
        let tape = Tape::new();
        let grads = tape.param(p).sum().backward()?;
        Ok(grads.param(&p.steps().unwrap().sizes).unwrap().to_vec()[0])
    };
    let alone = sizes(&Param::new(Tensor::from([0.3, -0.4])))?;
    assert!((sizes(&masked([0.3, -0.4, 5.0, 5.0])?)? - alone).abs() < 1e-15);
    // Slices by their smallest weight: what is pruned is none.
    let p = Param::new(Tensor::from([[3.0, 9.0], [2.0, 2.0]]));
    p.set_mask(Some(&Tensor::from([[true, false], [true, true]])))?;
    prune::structured(
        &p,
        Amount::Count(1),
        prune::StructuredOptions::new().p(f64::NEG_INFINITY),
        all_params,
    )?;
    assert_eq!(p.effective()?.to_vec(), [3.0, 0.0, 0.0, 0.0]);
    // What is pruned already isn't expected to stay.
    let p = masked([1.0; 4])?;
    let gates = Gates::<f64>::new(&p, Gate::Weight, 0.5, all_params)?;
    assert!((gates.expected(&p, &Tape::new()).item()? - 1.0).abs() < 1e-12);
    Ok(())
}

#[test]
fn the_rate_of_a_masked_weight_is_near_the_file() -> Result<()> {
    let mut state = 5u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f64 / (1u64 << 24) as f64
    };
    let values: Vec<f64> = (0..4800).map(|_| (next() + next() + next() - 1.5) * 4.0).collect();
    let keep: Vec<bool> = (0..4800).map(|_| next() < 0.3).collect();
    let p = Param::new(Tensor::from_fn([60, 80], |i| values[i].round() * 0.125));
    p.set_mask(Some(&Tensor::from_fn([60, 80], |i| keep[i])))?;
    p.set_steps(4, 0, Tensor::from([0.125]))?;
    let estimate = rate(&p, &Tape::<f64>::inference()).item()?;
    convert(&p)?;
    let file = description_length(&p)? as f64 - 8.0 * 40.0; // header and checksum
    assert!((estimate / file - 1.0).abs() < 0.15, "estimate {estimate}, the file has {file}");
    Ok(())
}

#[test]
fn weights_on_the_bound_of_their_range_are_trained() -> Result<()> {
    for quantizer in [
        Quantizer::new(8).learned(false),
        Quantizer::new(8).groups(2).learned(false),
        Quantizer::new(8).channels().learned(false),
    ] {
        let p = Param::<f32>::new(Tensor::from([1.0, 0.2, -0.5, 0.1]));
        quantizer.attach(&p, all_params)?;
        let mut sgd = Sgd::new(0.05);
        for _ in 0..200 {
            let tape = Tape::new();
            let grads = (tape.param(&p) - 0.3).square().sum().backward()?;
            sgd.step(&p, &grads)?;
        }
        assert!(p.effective()?.to_vec().iter().all(|v| (v - 0.3).abs() < 0.01), "{:?}", p.effective()?);
    }
    // As PyTorch's fake quantisation: where the whole number is in the range, the halves beyond its ends that
    // are rounded to them included.
    let tape = Tape::<f64>::new();
    let x = tape.input([-5.0, -4.5, -4.4, 0.2, 3.0, 3.4, 3.5, 3.6]);
    let s = tape.input(1.0);
    let y = x.fake_quantize_learned(&s, -4.0, 3.0);
    assert_eq!(y.to_vec()?, [-4.0, -4.0, -4.0, 0.0, 3.0, 3.0, 3.0, 3.0]);
    let grads = y.sum().backward()?;
    assert_eq!(grads.get(&x).unwrap().to_vec(), [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
    let of_s = (-4.0 + 0.5 + 0.4 - 0.2 + 0.0 - 0.4 + 3.0 + 3.0) / (8.0f64 * 3.0).sqrt();
    assert!((grads.get(&s).unwrap().to_vec()[0] - of_s).abs() < 1e-12);
    let q = kolmo::compress::Affine::new([1.0], [0], kolmo::compress::Along::Tensor, -4..=3)?;
    let x = tape.input([f64::NAN, 7.0, 3.0]);
    let y = x.fake_quantize(&q);
    let values = y.to_vec()?;
    assert!(values[0].is_nan() && values[1..] == [3.0, 3.0]);
    assert!(q.quantize(&Tensor::from([f64::NAN])).is_err());
    Ok(())
}

#[test]
fn what_a_file_cannot_hold_is_named() -> Result<()> {
    let rng = &mut Random::new(0);
    let net = Linear::<f64>::with_dtype(3, 2, rng);
    net.weight.update(|w| w.as_mut_slice()[4] = 1e300);
    told(pack(&net, &[]), &["weight", "1e300"]);
    told(description_length(&net), &["weight", "1e300"]);
    net.weight.update(|w| w.as_mut_slice()[4] = 1.0);
    net.weight.set_codebook(Tensor::from([[0u32, 1, 0], [0, 0, 1]]), Tensor::from([1.0, -1e39]))?;
    told(pack(&net, &[]), &["weight", "-1e39"]);
    net.weight.remove_codebook();
    net.weight.set_steps(4, 0, Tensor::from([1e60]))?;
    told(pack(&net, &[]), &["weight", "1e60"]);
    net.weight.remove_steps();
    told(pack(&Param::new(Tensor::from([1e300])), &[]), &["the parameter"]);
    // What isn't finite is held as it is.
    net.weight.update(|w| w.as_mut_slice()[..2].copy_from_slice(&[f64::NAN, f64::NEG_INFINITY]));
    let artifact = Artifact::from_bytes(&pack(&net, &[])?.to_bytes()?)?;
    let EntryData::Dense(values) = &artifact.entries[0].data else { panic!("{artifact:?}") };
    assert!(values[0].is_nan() && values[1] == f32::NEG_INFINITY);
    Ok(())
}
