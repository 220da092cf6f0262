//! Models pruned, tied to shared values, trained on, and taken through a file.
use kolmo::{
    Random, Result, Tape, Tensor,
    compress::{
        Artifact, EntryData, all_params, description_length,
        distill::soft_target_loss,
        matrices, pack,
        prune::{self, Amount},
        quantize, unpack,
    },
    nn::{Layer, Linear, Param, Relu, Sequential, named_params},
    optim::{Adam, Optimizer, Sgd},
};

type Net = Sequential<(Linear, Relu, Linear)>;

fn net(seed: u64) -> Net {
    let rng = &mut Random::new(seed);
    Sequential((Linear::new(12, 20, rng), Relu, Linear::new(20, 4, rng)))
}

fn bits(t: &Tensor) -> Vec<u32> {
    t.to_vec().iter().map(|v| v.to_bits()).collect()
}

/// The weights as the model uses them, by name.
fn effective(net: &Net) -> Result<Vec<(String, Vec<u32>)>> {
    named_params(net)
        .into_iter()
        .map(|(name, p): (String, Param)| Ok((name, bits(&p.effective()?))))
        .collect()
}

fn train(net: &Net, optimizer: &mut impl Optimizer, steps: usize) -> Result<()> {
    let mut tape = Tape::new();
    let labels = Tensor::from_fn([8], |i| i as u32 % 4);
    for step in 0..steps {
        let x = tape.constant(Tensor::from_fn([8, 12], |i| ((i * 7 + step) % 11) as f32 / 5.0 - 1.0));
        let grads = net.forward(&x).cross_entropy(&labels).backward()?;
        optimizer.step(net, &grads)?;
        tape.reset();
    }
    Ok(())
}

#[test]
fn what_is_pruned_stays_zero_whatever_trains_it() -> Result<()> {
    let adam = |net: &Net| train(net, &mut Adam::new(0.05), 30);
    let sgd = |net: &Net| train(net, &mut Sgd::new(0.1).momentum(0.9).weight_decay(0.1), 30);
    for (name, run) in [("adam", &adam as &dyn Fn(&Net) -> Result<()>), ("sgd", &sgd)] {
        let net = net(1);
        train(&net, &mut Sgd::new(0.1).momentum(0.9), 5)?; // weights that move before they are pruned
        prune::layerwise(&net, Amount::Density(0.2), matrices)?;
        let before = effective(&net)?;
        run(&net)?;
        let mut moved = 0;
        for ((param, before), (_, after)) in before.iter().zip(effective(&net)?) {
            for (i, (&old, &new)) in before.iter().zip(&after).enumerate() {
                assert!(old != 0 || new == 0 || param.ends_with("bias"), "{name}: {param}[{i}] came back");
                moved += usize::from(old != new);
            }
        }
        assert!(moved > 30, "{name}: only {moved} values were trained");
    }
    Ok(())
}

#[test]
fn tied_weights_stay_tied_and_their_values_learn() -> Result<()> {
    let net = net(2);
    prune::layerwise(&net, Amount::Fraction(0.5), matrices)?;
    quantize::codebooks(&net, 4, all_params)?;
    let groups = |net: &Net| -> Result<Vec<Vec<usize>>> {
        let first = |all: &[u32]| all.iter().map(|v| all.iter().position(|w| w == v).unwrap()).collect();
        Ok(effective(net)?.iter().map(|(_, values)| first(values)).collect())
    };
    let (before, values) = (groups(&net)?, effective(&net)?);
    train(&net, &mut Adam::new(0.01), 20)?;
    assert_eq!(before, groups(&net)?, "two weights with one value have two now, or the other way round");
    assert_ne!(values, effective(&net)?, "no shared value learned");
    for (name, all) in effective(&net)? {
        let mut different = all;
        different.sort();
        different.dedup();
        assert!(different.len() <= 5, "{name} has {} values: 4 and zero were allowed", different.len());
    }
    Ok(())
}

#[test]
fn of_equal_weights_the_first_go_and_what_is_gone_counts() -> Result<()> {
    let p = Param::new(Tensor::from([0.5f32, -0.5, 0.5, 1.0, -0.5, 0.5]));
    prune::global(&p, Amount::Count(2), all_params)?;
    assert_eq!(p.effective()?.to_vec(), [0.0, 0.0, 0.5, 1.0, -0.5, 0.5]);
    prune::global(&p, Amount::Fraction(0.5), all_params)?; // of the four that are left
    assert_eq!(p.effective()?.to_vec(), [0.0, 0.0, 0.0, 1.0, 0.0, 0.5]);
    let weights = prune::global(&p, Amount::Density(0.9), all_params)?; // fewer are there already
    assert_eq!((weights.kept, weights.total), (2, 6));
    Ok(())
}

#[test]
fn a_file_gives_the_same_bits_to_any_model_of_the_same_shapes() -> Result<()> {
    for (density, values, half) in
        [(1.0, 0, false), (1.0, 0, true), (0.3, 0, false), (0.3, 5, true), (0.1, 16, false)]
    {
        let net = net(3);
        train(&net, &mut Adam::new(0.01), 5)?;
        prune::global(&net, Amount::Density(density), matrices)?;
        if values > 0 {
            quantize::codebooks(&net, values, all_params)?;
        }
        if half {
            quantize::to_half(&net);
        }
        let bytes = pack(&net, &[("made by", "a test")])?.to_bytes()?;
        assert_eq!(bytes, pack(&net, &[("made by", "a test")])?.to_bytes()?, "not the same file twice");
        let artifact = Artifact::from_bytes(&bytes)?;
        assert_eq!(artifact.meta["made by"], "a test");

        let scores = |net: &Net| -> Result<Vec<u32>> {
            let tape = Tape::inference();
            let x = tape.constant(Tensor::from_fn([3, 12], |i| i as f32 / 9.0));
            Ok(bits(net.forward(&x).value()?))
        };
        let copy = self::net(99);
        unpack(&artifact, &copy)?;
        let other = self::net(98);
        unpack(&artifact, &other)?;
        let scored = scores(&copy)?;
        assert_eq!(scored, scores(&other)?);
        quantize::thaw(&copy);
        assert_eq!(effective(&copy)?, effective(&net)?, "density {density}, {values} values, half {half}");
        // What came from the file trains on as what it was made of would.
        assert_eq!(scores(&copy)?, scores(&net)?);
        train(&net, &mut Sgd::new(0.1), 3)?;
        train(&copy, &mut Sgd::new(0.1), 3)?;
        if values > 0 {
            assert_eq!(effective(&copy)?, effective(&net)?);
        }
    }
    Ok(())
}

#[test]
fn a_shorter_model_has_a_shorter_description() -> Result<()> {
    let net = net(4);
    let length = |net: &Net| -> Result<u64> {
        assert_eq!(description_length(net)?, 8 * pack(net, &[])?.to_bytes()?.len() as u64);
        description_length(net)
    };
    let dense = length(&net)?;
    quantize::to_half(&net);
    let half = length(&net)?;
    prune::global(&net, Amount::Density(0.2), matrices)?;
    let sparse = length(&net)?;
    quantize::codebooks(&net, 4, matrices)?;
    let tied = length(&net)?;
    assert!(dense > half && half > sparse && sparse > tied, "{dense}, {half}, {sparse}, {tied} bits");
    Ok(())
}

#[test]
fn a_refused_change_leaves_the_model_as_it_was() -> Result<()> {
    let net = net(5);
    prune::global(&net, Amount::Density(0.5), matrices)?;
    let before = effective(&net)?;
    let errors = [
        prune::global(&net, Amount::Fraction(1.5), matrices).unwrap_err(),
        prune::global(&net, Amount::Count(100_000), matrices).unwrap_err(),
        prune::layerwise(&net, Amount::Density(f64::NAN), matrices).unwrap_err(),
        quantize::codebooks(&net, 0, all_params).unwrap_err(),
        quantize::codebooks(&net, 257, all_params).unwrap_err(),
        unpack(&pack(&net.0.0, &[])?, &net).unwrap_err(),
        unpack(&pack(&Linear::new(3, 2, &mut Random::new(0)), &[])?, &net.0.0).unwrap_err(),
    ];
    let told = ["1.5", "100000 weights", "NaN", "0 values", "257 values", "missing", "[20, 12] in the model"];
    for (error, part) in errors.iter().zip(told) {
        assert!(error.to_string().contains(part), "{error}: expected to read {part}");
    }
    let mut artifact = pack(&net, &[])?;
    artifact.entries[3].data = EntryData::Dense(vec![1.0; 3]); // the last of four: the others fit
    assert!(unpack(&artifact, &net).unwrap_err().to_string().contains("3 values"));
    assert_eq!(before, effective(&net)?);
    Ok(())
}

#[test]
fn a_student_learns_what_its_teacher_answers() -> Result<()> {
    let (teacher, student) = (net(6), net(7));
    train(&teacher, &mut Adam::new(0.02), 60)?;
    let mut tape = Tape::new();
    let mut adam = Adam::new(0.02);
    let labels = Tensor::from_fn([8], |i| i as u32 % 4);
    let mut losses = Vec::new();
    for _ in 0..80 {
        let x = tape.constant(Tensor::from_fn([8, 12], |i| (i * 7 % 11) as f32 / 5.0 - 1.0));
        let answer = teacher.forward(&x);
        let loss = soft_target_loss(&student.forward(&x), &answer, &labels, 3.0, 1.0);
        losses.push(loss.item()?);
        let grads = loss.backward()?;
        assert!(grads.param(&teacher.0.0.weight).is_none(), "a gradient reached the teacher");
        adam.step(&student, &grads)?;
        tape.reset();
    }
    // A divergence is not negative but for the rounding of its terms, which are of size 1 in f32.
    assert!(losses[79] < 0.02 * losses[0] && losses[79] > -1e-6, "{} -> {}", losses[0], losses[79]);
    Ok(())
}
