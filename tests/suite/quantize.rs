//! Quantisation that training feels, made permanent, packed, and loaded again: the weights stay what they
//! were.
use kolmo::{
    Random, Result, Tape, Tensor,
    compress::{
        Affine, Along, Artifact, EntryData, matrices, pack,
        prune::{self, Amount},
        quantize::{self, Quantizer, convert},
        unpack,
    },
    data,
    metrics::accuracy,
    nn::{Conv2d, Flatten, Layer, Linear, Param, Relu, Sequential, named_params},
    optim::{Adam, Optimizer},
};

type Net = Sequential<(Conv2d, Relu, Flatten, Linear, Relu, Linear)>;

/// For images of 8 × 8.
fn net(seed: u64) -> Net {
    let rng = &mut Random::new(seed);
    Sequential((
        Conv2d::new(1, 4, 3, rng),
        Relu,
        Flatten,
        Linear::new(144, 20, rng),
        Relu,
        Linear::new(20, 10, rng),
    ))
}

fn weights(net: &Net) -> Result<Vec<Vec<f32>>> {
    [&net.0.0.weight, &net.0.3.weight, &net.0.5.weight].iter().map(|p| Ok(p.effective()?.to_vec())).collect()
}

fn train(net: &Net, steps: usize) -> Result<()> {
    let (x, y) = data::digits();
    let x = x.reshape([-1, 1, 8, 8])?;
    let (mut adam, mut tape, rng) = (Adam::new(3e-3), Tape::new(), &mut Random::new(3));
    let mut step = 0;
    while step < steps {
        for rows in data::batches(1500, 50, rng).take(steps - step) {
            adam.set_lr(3e-3 * (1.0 - step as f64 / steps as f64));
            let pixels = tape.constant(x.rows(&rows)?) / 16.0;
            let grads = net.forward(&pixels).cross_entropy(&y.rows(&rows)?).backward()?;
            adam.step(net, &grads)?;
            tape.reset();
            step += 1;
        }
    }
    Ok(())
}

fn score(net: &Net) -> Result<f64> {
    let (x, y) = data::digits();
    let test: Vec<usize> = (1500..1797).collect();
    let tape = Tape::inference();
    let x = tape.constant(x.rows(&test)?.reshape([-1, 1, 8, 8])?) / 16.0;
    accuracy(net.forward(&x).value()?, &y.rows(&test)?)
}

#[test]
fn what_is_packed_is_what_was_trained() -> Result<()> {
    let kinds = [
        Quantizer::new(8),
        Quantizer::new(4).channels(),
        Quantizer::new(3).groups(16),
        Quantizer::new(2).groups(7).learned(false),
    ];
    for (i, kind) in kinds.into_iter().enumerate() {
        let net = net(1);
        if i % 2 == 1 {
            prune::global(&net, Amount::Density(0.5), matrices)?;
        }
        kind.attach(&net, matrices)?;
        train(&net, 20)?;
        let trained = weights(&net)?;
        let training = pack(&net, &[])?.to_bytes()?;
        convert(&net)?;
        assert_eq!(weights(&net)?, trained, "{kind:?}: made permanent");
        let bytes = pack(&net, &[])?.to_bytes()?;
        assert_eq!(bytes, training, "{kind:?}: another file before and after");

        let copy = self::net(2);
        let artifact = Artifact::from_bytes(&bytes)?;
        unpack(&artifact, &copy)?;
        assert_eq!(weights(&copy)?, trained, "{kind:?}: loaded");
        assert_eq!(pack(&copy, &[])?.to_bytes()?, bytes);
        assert!(matches!(artifact.entries[0].data, EntryData::Scaled { .. }));

        // Through serde too, and training of what was loaded keeps the whole numbers.
        let text = serde_json::to_string(&copy).unwrap();
        let again: Net = serde_json::from_str(&text).unwrap();
        assert_eq!(weights(&again)?, trained);
        train(&again, 5)?;
        quantize::thaw(&copy);
        train(&copy, 5)?;
        assert_eq!(weights(&again)?, weights(&copy)?);
        for (new, old) in weights(&copy)?.iter().zip(&trained) {
            assert!(new.iter().zip(old).all(|(a, b)| a.signum() == b.signum() || *a == 0.0 && *b == 0.0));
            assert!(new.iter().zip(old).all(|(a, b)| (*a == 0.0) == (*b == 0.0)));
            assert_ne!(new, old, "{kind:?}: step sizes of a loaded model learn");
        }
    }
    Ok(())
}

#[test]
fn step_sizes_learn_unless_they_are_fixed() -> Result<()> {
    for (kind, learns) in
        [(Quantizer::new(3).channels(), true), (Quantizer::new(3).channels().learned(false), false)]
    {
        let net = net(1);
        kind.attach(&net, matrices)?;
        let sizes = |net: &Net| {
            let all = named_params::<f32>(net);
            let found = all.iter().filter(|(name, _)| name.ends_with("weight.steps"));
            found.map(|(_, p)| p.value().to_vec()).collect::<Vec<_>>()
        };
        let before = sizes(&net);
        assert_eq!(before.iter().map(Vec::len).collect::<Vec<_>>(), [4, 20, 10]);
        train(&net, 10)?;
        assert_eq!(sizes(&net) != before, learns);
    }
    Ok(())
}

/// By hand, from the formulas of the paper: with s = 0.5 and codes from -1 to 1, x / s = 0.6 is rounded to 1,
/// 3 is cut off, and so is 1.2, although 1 is what it would be rounded to.
#[test]
fn gradients_go_straight_through_and_to_the_step_size() -> Result<()> {
    let p = Param::new(Tensor::from([0.3f64, 1.5, 0.6]));
    p.set_steps(2, 0, Tensor::from([0.5]))?;
    let tape = Tape::new();
    let y = tape.param(&p);
    assert_eq!(y.to_vec()?, [0.5, 0.5, 0.5]);
    let grads = (y * tape.constant([1.0, 10.0, 3.0])).sum().backward()?;
    assert_eq!(grads.param(&p).unwrap().to_vec(), [1.0, 0.0, 0.0]);
    let sizes = p.steps().unwrap().sizes;
    let expected = ((1.0 - 0.6) + 10.0 + 3.0) / 3f64.sqrt();
    assert!((grads.param(&sizes).unwrap().to_vec()[0] - expected).abs() < 1e-12);
    Ok(())
}

#[test]
fn training_that_feels_two_bits_beats_rounding_afterwards() -> Result<()> {
    let net = net(1);
    train(&net, 200)?;
    let dense = score(&net)?;
    Quantizer::new(2).channels().attach(&net, matrices)?;
    let rounded = score(&net)?;
    train(&net, 200)?;
    convert(&net)?;
    let trained = score(&net)?;
    assert!(trained > rounded + 0.02 && trained > dense - 0.03, "{dense}, {rounded}, {trained}");
    Ok(())
}

/// Training may bring a step size across 0, and a model is saved as it is then.
#[test]
fn a_negative_step_size_counts_by_its_magnitude() -> Result<()> {
    let p = Param::new(Tensor::from([0.3f32, -0.7, 1.2]));
    p.set_steps(4, 0, Tensor::from([0.25f32]))?;
    let q = Param::new(p.value());
    q.set_steps(4, 0, Tensor::from([-0.25f32]))?;
    assert_eq!(p.effective()?, q.effective()?);
    let read: Param = serde_json::from_str(&serde_json::to_string(&q).unwrap()).unwrap();
    assert_eq!(read.steps().map(|steps| steps.sizes.value().to_vec()), Some(vec![-0.25]));
    assert_eq!(read.effective()?, p.effective()?);
    Ok(())
}

/// Each row has parts of other sizes: the finer the step sizes, the smaller the error.
#[test]
fn groups_lose_less_than_channels_and_these_less_than_a_tensor() -> Result<()> {
    let w = Tensor::from_fn([6, 40], |i| {
        (i as f64 * 0.7).sin() * (1 + i / 40) as f64 * if i % 40 < 16 { 0.1 } else { 1.0 }
    });
    let error = |q: &Affine| -> Result<f64> {
        let y: Tensor<f64> = q.dequantize(&q.quantize(&w)?)?;
        Ok(w.to_vec().iter().zip(y.to_vec()).map(|(a, b)| (a - b).powi(2)).sum())
    };
    for bits in [2, 4, 8] {
        let errors = [Along::Tensor, Along::Axis(0), Along::Groups(16)].map(|along| {
            [Affine::symmetric(&w, along, bits), Affine::min_max(&w, along, bits)]
                .map(|q| q.and_then(|q| error(&q)))
        });
        let [tensor, channel, group] = errors.map(|pair| pair.map(|e| e.unwrap_or(f64::NAN)));
        assert!(
            (0..2).all(|k| group[k] < channel[k] && channel[k] < tensor[k]),
            "{tensor:?} {channel:?} {group:?}"
        );
    }
    // 40 is two groups of 16 and one of 8.
    let q = Affine::symmetric(&w, Along::Groups(16), 8)?;
    assert_eq!(q.scales().len(), 18);
    assert!(q.quantize(&Tensor::<f64>::zeros([6, 50])).unwrap_err().to_string().contains("takes 24"));
    assert!(Affine::symmetric(&w, Along::Groups(0), 8).is_err());
    Ok(())
}

#[test]
fn what_cannot_be_quantised_says_why() -> Result<()> {
    let net = net(1);
    let told = |result: Result<()>, part: &str| {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    };
    told(Quantizer::new(9).attach(&net, matrices), "9 bits: takes 2 to 8");
    let p = Param::new(Tensor::from([[1.0f32, 2.0], [3.0, 4.0]]));
    told(p.set_steps(4, 1, Tensor::from([0.1f32; 2])), "takes [4]");
    told(p.set_steps(4, 2, Tensor::from([0.1f32, 0.0])), "step size 0.0 is not a finite number other than 0");
    p.set_codebook(Tensor::full([2, 2], 0), Tensor::from([1.0f32]))?;
    told(Quantizer::new(4).attach(&p, matrices), "codebook already");
    // A file whose scales are too few leaves the model as it was.
    Quantizer::new(4).channels().attach(&net, matrices)?;
    let mut artifact = pack(&net, &[])?;
    if let EntryData::Scaled { scales, .. } = &mut artifact.entries[4].data {
        scales.pop();
    }
    let before = weights(&net)?;
    told(unpack(&artifact, &net), "scales");
    assert_eq!(weights(&net)?, before);
    Ok(())
}
