//! Adapters beside frozen weights: what they compute, that they alone are trained, and the way into files and
//! back into the weights.
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    compress::{
        Adapters, Lora, matrices,
        quantize::{WeightOnly, store_half},
    },
    nn::{Conv2d, Layer, Linear, MultiheadAttention, Param, Relu, Sequential, named_params},
    optim::{AdamW, Optimizer},
    train::{load_safetensors, save_safetensors},
};

type Net = Sequential<(Linear<f64>, Relu, Linear<f64>)>;

fn net(seed: u64) -> Net {
    let rng = &mut Random::new(seed);
    Sequential((Linear::with_dtype(6, 9, rng), Relu, Linear::with_dtype(9, 4, rng).bias(false)))
}

fn randomise(adapters: &Adapters<f64>) {
    for (i, (_, p)) in named_params::<f64>(adapters).into_iter().enumerate() {
        p.set(Tensor::from_fn(p.shape(), |k| ((i * 100 + k) as f64 * 1.3).sin()));
    }
}

fn near(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12)
}

fn input() -> Tensor<f64> {
    Tensor::from_fn([2, 5, 6], |i| (i as f64 * 0.7).cos())
}

fn loss<'t>(net: &Net, x: &Var<'t, f64>) -> Var<'t, f64> {
    net.forward(x).square().mean()
}

type Way = (&'static str, fn(&Net) -> Result<()>);
const WAYS: [Way; 3] = [
    ("floats", |_| Ok(())),
    ("4 bits", |net| WeightOnly::new(4).groups(3).apply(net, matrices)),
    ("bf16", |net| store_half(net, kolmo::compress::HalfFloat::Bf16, matrices)),
];

/// `W + α/r · B·A` is made of the parts by hand, and is the model's weight; gradients go to the parts.
#[test]
fn adapted_layers_compute_with_the_sum_and_give_its_gradients() -> Result<()> {
    for (name, store) in WAYS {
        let net = net(0);
        store(&net)?;
        let adapters: Adapters<f64> =
            Lora::new(2).lora_alpha(3.0).attach(&net, matrices, &mut Random::new(1))?;
        let tape = Tape::new();
        let x = tape.input(input());
        let first = loss(&net, &x).item()?;
        randomise(&adapters);
        let y = loss(&net, &x);
        assert!((y.item()? - first).abs() > 0.1, "{name}: B was zero");
        let found = y.backward()?;
        // The same with the weights themselves.
        let parts = named_params::<f64>(&adapters);
        let names: Vec<&str> = parts.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["0.lora_A.weight", "0.lora_B.weight", "2.lora_A.weight", "2.lora_B.weight"]);
        let leaves: Vec<_> = parts.iter().map(|(_, p)| tape.input(p.value())).collect();
        let sum =
            |p: &Param<f64>, at: usize| tape.constant(p.value()) + leaves[at + 1].matmul(&leaves[at]) * 1.5;
        let (first, second) = (&net.0.0, &net.0.2);
        let bias = tape.constant(first.bias.as_ref().unwrap().value());
        let hidden = x.linear(&sum(&first.weight, 0), Some(&bias)).relu();
        let expected = hidden.linear(&sum(&second.weight, 2), None).square().mean();
        assert!((y.item()? - expected.item()?).abs() < 1e-12, "{name}");
        let wanted = expected.backward()?;
        assert!(near(&found.get(&x).unwrap().to_vec(), &wanted.get(&x).unwrap().to_vec()), "{name}");
        for ((part, p), leaf) in parts.iter().zip(&leaves) {
            let (found, wanted) = (found.param(p).unwrap().to_vec(), wanted.get(leaf).unwrap().to_vec());
            assert!(near(&found, &wanted), "{name}, {part}: {found:?}, {wanted:?}");
        }
        assert!(found.param(&first.weight).is_none());
        // Outside a layer the weight is the sum.
        assert!(near(&first.weight.effective()?.to_vec(), &sum(&first.weight, 0).to_vec()?), "{name}");
    }
    Ok(())
}

/// A weight that is trained along, masked ones, and layers that don't know of thin products use the sum.
#[test]
fn where_the_sum_is_needed_it_is_made() -> Result<()> {
    let x = input();
    let outputs = |net: &Net| {
        let tape = Tape::inference();
        net.forward(&tape.constant(&x)).to_vec()
    };
    let net = net(0);
    let adapters = Lora::new(2).attach(&net, matrices, &mut Random::new(1))?;
    randomise(&adapters);
    let thin = outputs(&net)?;
    net.0.0.weight.set_trainable(true);
    assert!(near(&outputs(&net)?, &thin));
    net.0.0.weight.set_trainable(false);
    net.0.0.weight.set_mask(Some(&Tensor::from_fn([9, 6], |_| false)))?;
    let added = net.0.0.weight.effective()?.to_vec();
    assert!(added.iter().any(|v| *v != 0.0) && !near(&outputs(&net)?, &thin));
    // What stands for the weight stands for the sum.
    let tape = Tape::inference();
    tape.substitute(&net.0.0.weight, &tape.constant(Tensor::zeros([9, 6])));
    net.0.0.bias.as_ref().unwrap().set(Tensor::zeros([9]));
    assert!(net.forward(&tape.constant(&x)).to_vec()?.iter().all(|v| *v == 0.0));

    let rng = &mut Random::new(2);
    let attention = MultiheadAttention::with_dtype(8, 2, Default::default(), rng)?;
    let adapters: Adapters<f64> = Lora::new(1).attach(&attention, matrices, rng)?;
    let tape = Tape::new();
    let x = tape.constant(Tensor::from_fn([1, 3, 8], |i| (i as f64).sin()));
    let y = attention.forward(&x, &x, &x, &Default::default()).square().mean().backward()?;
    let trained = named_params::<f64>(&adapters);
    assert_eq!((trained.len(), trained.iter().filter(|(_, p)| y.param(p).is_some()).count()), (4, 4));
    Ok(())
}

#[test]
fn adapters_alone_are_trained_and_go_through_a_small_file() -> Result<()> {
    let lora = Lora::new(3).lora_dropout(0.1);
    let train = || -> Result<(Net, Adapters<f64>, Vec<f64>)> {
        let net = net(0);
        WeightOnly::new(4).apply(&net, matrices)?;
        let adapters = lora.attach(&net, matrices, &mut Random::new(1))?;
        let (mut adam, mut losses) = (AdamW::new(0.02), Vec::new());
        let mut tape = Tape::new();
        for _ in 0..40 {
            let y = loss(&net, &tape.constant(input()));
            losses.push(y.item()?);
            adam.step(&adapters, &y.backward()?)?;
            tape.reset();
        }
        Ok((net, adapters, losses))
    };
    let (net, adapters, losses) = train()?;
    assert!(losses[39] < 0.3 * losses[0], "{losses:?}");
    let again = train()?.2;
    assert_eq!(losses, again);
    let folder = crate::Folder::new("lora");
    let path = folder.join("adapters.safetensors");
    save_safetensors(&adapters, &path)?;
    let other = crate::lora::net(0);
    WeightOnly::new(4).apply(&other, matrices)?;
    let loaded: Adapters<f64> = lora.attach(&other, matrices, &mut Random::new(9))?;
    load_safetensors(&loaded, &path)?;
    let tape = Tape::inference();
    let [a, b] = [&net, &other].map(|net| net.forward(&tape.constant(input())).to_vec().unwrap());
    assert_eq!(a, b);
    // Merged they compute the same, but for rounding, and are of any form again.
    loaded.merge(&other)?;
    let merged = other.forward(&tape.constant(input())).to_vec()?;
    assert!(near(&merged, &a) && other.0.0.weight.value().packed().is_none());
    WeightOnly::new(8).apply(&other, matrices)?;
    let error = loaded.merge(&other).unwrap_err().to_string();
    assert!(error.contains("Adapters::merge: nothing is attached to 0"), "{error}");
    Ok(())
}

#[test]
fn dropout_is_for_training_alone() -> Result<()> {
    let net = Linear::<f64>::with_dtype(6, 4, &mut Random::new(0));
    let adapters = Lora::new(2).lora_dropout(0.5).attach(&net, matrices, &mut Random::new(1))?;
    randomise(&adapters);
    let tape = Tape::inference();
    let [a, b] = [0, 1].map(|_| net.forward(&tape.constant(input())).to_vec().unwrap());
    assert_eq!(a, b);
    let tape = Tape::new();
    let dropped = net.forward(&tape.constant(input())).to_vec()?;
    assert!(!near(&a, &dropped));
    Ok(())
}

#[test]
fn what_can_not_be_adapted_is_told_and_changes_nothing() {
    let rng = &mut Random::new(0);
    let refused = |result: Result<Adapters>, part: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.starts_with("Lora: ") && error.contains(part), "{error}: expected {part}");
    };
    let net = Linear::new(4, 3, &mut Random::new(0));
    refused(Lora::new(0).attach(&net, matrices, rng), "rank 0: takes 1 or more");
    refused(Lora::new(1).lora_dropout(1.5).attach(&net, matrices, rng), "lora_dropout");
    refused(Lora::new(1).lora_alpha(f64::NAN).attach(&net, matrices, rng), "lora_alpha is NaN");
    refused(
        Lora::new(1).attach(&net, |_, _| false, rng),
        "the filter picks no parameter: the model has weight",
    );
    refused(Lora::new(1).attach(&net, |_, _| true, rng), "bias has shape [3], not [out, in]");
    let conv = Conv2d::new(1, 2, 3, &mut Random::new(0));
    refused(Lora::new(1).attach(&conv, matrices, rng), "weight has shape [2, 1, 3, 3], not [out, in]");
    assert!(net.weight.is_trainable() && conv.weight.is_trainable());
    let _: Adapters = Lora::new(1).attach(&net, matrices, rng).unwrap();
    refused(Lora::new(1).attach(&net, matrices, rng), "weight has an operation of its own: bake it first");
}
