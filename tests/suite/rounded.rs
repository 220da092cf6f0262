//! Products with stored weights whose inputs are rounded to bytes.
use kolmo::{
    Random, Result, Tape, Tensor,
    compress::{
        Activations, Artifact, HalfFloat, MappedModel, matrices, pack,
        quantize::{self, WeightOnly, set_activations, store_half},
        save_mapped, unpack,
    },
    nn::{Layer, Linear, deep_copy, init},
};

fn stored(bits: u32, group: usize) -> Result<Linear> {
    let layer = Linear::new(300, 70, &mut Random::new(2));
    WeightOnly::new(bits).groups(group).apply(&layer, matrices)?;
    set_activations(&layer, Activations::Int8, matrices)?;
    Ok(layer)
}

fn noise(shape: impl Into<kolmo::tensor::Shape>) -> Tensor {
    let number = |i: usize| ((i.wrapping_mul(2_654_435_761) >> 7) % 2001) as f32 / 1000.0 - 1.0;
    Tensor::from_fn(shape, number)
}

#[test]
fn results_are_near_and_gradients_those_of_plain_inputs() -> Result<()> {
    for (bits, group) in [(2, 32), (3, 64), (4, 32), (5, 300), (6, 32), (7, 96), (8, 1000)] {
        let layer = stored(bits, group)?;
        let run = |layer: &Linear| -> Result<(Vec<f32>, Vec<f32>)> {
            let tape = Tape::new();
            let x = tape.input(noise([6, 300]));
            let y = layer.forward(&x);
            let slope = (&y * tape.constant(noise([6, 70]))).sum().backward()?.get(&x).unwrap().to_vec();
            Ok((y.to_vec()?, slope))
        };
        let (rounded, slope) = run(&layer)?;
        set_activations(&layer, Activations::Float, matrices)?;
        let (plain, expected) = run(&layer)?;
        assert_eq!(slope, expected, "{bits} bits");
        // A step is 1/127 at most, its error half of that, of 300 weights of 0.03 in the mean.
        let most = rounded.iter().zip(&plain).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(most > 0.0 && most < 0.01, "{bits} bits: {most}");
    }
    Ok(())
}

#[test]
fn a_row_gives_the_same_alone_and_on_any_machine() -> Result<()> {
    let mut all = 0u64;
    for bits in 1..=8 {
        // Numbers that no instruction set rounds in another way.
        let layer = Linear::from_weights(noise([70, 300]), Some(noise([70])))?;
        WeightOnly::new(bits).groups(32).apply(&layer, matrices)?;
        set_activations(&layer, Activations::Int8, matrices)?;
        let (tape, x) = (Tape::inference(), noise([40, 300]));
        let y = layer.forward(&tape.constant(&x)).to_vec()?;
        for (row, y) in y.chunks(70).enumerate() {
            let one = layer.forward(&tape.constant(x.narrow(0, row, 1)?)).to_vec()?;
            assert_eq!(one, y, "{bits} bits, row {row}");
        }
        for v in y {
            all = (all.rotate_left(5) ^ u64::from(v.to_bits())).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }
    assert_eq!(all, 0x9f7f_2d2f_75c5_06a8, "{all:#x}");
    Ok(())
}

#[test]
fn it_is_how_a_model_runs_and_not_what_files_hold() -> Result<()> {
    let folder = crate::Folder::new("rounded");
    let layer = stored(4, 32)?;
    let how = |layer: &Linear| layer.weight.value().packed().unwrap().activations();
    assert_eq!(how(&deep_copy(&layer)?), Activations::Int8);
    let other = Linear::new(300, 70, &mut Random::new(0));
    unpack(&Artifact::from_bytes(&pack(&layer, &[])?.to_bytes()?)?, &other)?;
    assert_eq!((how(&other), other.weight.value()), (Activations::Float, layer.weight.value()));
    save_mapped(&layer, &[], folder.join("model.kolmo"))?;
    MappedModel::open(folder.join("model.kolmo"))?.load(&other)?;
    assert_eq!((how(&other), other.weight.value()), (Activations::Float, layer.weight.value()));
    // What is mapped runs so, too.
    set_activations(&other, Activations::Int8, matrices)?;
    let tape = Tape::inference();
    let run = |layer: &Linear| layer.forward(&tape.constant(noise([3, 300]))).to_vec();
    assert_eq!(run(&other)?, run(&layer)?);
    Ok(())
}

#[test]
fn weights_in_other_forms_are_refused_and_nothing_has_changed() -> Result<()> {
    let rng = &mut Random::new(0);
    let net: Vec<Linear> = (0..2).map(|_| Linear::new(64, 16, rng)).collect();
    WeightOnly::new(4).groups(32).apply(&net[0], matrices)?;
    let told = |part: &str| {
        let why = set_activations(&net, Activations::Int8, matrices).unwrap_err().to_string();
        assert!(why.contains("1.weight") && why.contains(part), "{why}: expected {part}");
        assert_eq!(net[0].weight.value().packed().unwrap().activations(), Activations::Float);
    };
    told("isn't packed");
    let plain = net[1].weight.value();
    store_half(&net[1], HalfFloat::Bf16, matrices)?;
    told("16 bits");
    net[1].weight.set(plain.clone());
    WeightOnly::new(4).groups(24).apply(&net[1], matrices)?;
    told("groups of 24 codes");
    net[1].weight.set(init::normal([16, 64], 0.0, 1.0, rng));
    quantize::codebooks(&net[1], 7, matrices)?;
    quantize::freeze(&net[1])?;
    told("values of a table");
    WeightOnly::new(4).groups(64).apply(&net[1], matrices)?;
    set_activations(&net, Activations::Int8, matrices)?;
    assert!(set_activations(&net, Activations::Int8, |name, _| name == "x").is_err());
    Ok(())
}
