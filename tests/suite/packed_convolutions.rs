//! Convolutions run on weights that are held in few bits as on the floats that these stand for.
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    compress::{
        HalfFloat, matrices,
        quantize::{WeightOnly, store_half},
    },
    nn::{Param, init},
    ops::ConvOptions,
};

/// The axes of a convolution, and whether it is the transposed one.
#[derive(Clone, Copy)]
struct Convolution(usize, bool);

impl Convolution {
    fn of<'t>(self, x: &Var<'t>, w: &Var<'t>, bias: Option<&Var<'t>>, options: &ConvOptions) -> Var<'t> {
        match self {
            Convolution(1, false) => x.conv1d(w, bias, options),
            Convolution(2, false) => x.conv2d(w, bias, options),
            Convolution(3, false) => x.conv3d(w, bias, options),
            _ => x.conv_transpose2d(w, bias, options),
        }
    }
}

/// A name, shapes of input and weight, options, and which convolution it is.
type Case = (&'static str, Vec<usize>, Vec<usize>, ConvOptions, Convolution);

fn cases() -> Vec<Case> {
    let o = ConvOptions::new;
    vec![
        ("1 axis", vec![3, 5, 20], vec![7, 5, 3], o().padding(1), Convolution(1, false)),
        ("2 axes", vec![2, 3, 9, 9], vec![20, 3, 3, 3], o(), Convolution(2, false)),
        (
            "one sample without its axis",
            vec![3, 9, 9],
            vec![20, 3, 3, 3],
            o().stride(2),
            Convolution(2, false),
        ),
        ("3 axes", vec![2, 3, 5, 6, 4], vec![6, 3, 2, 3, 2], o(), Convolution(3, false)),
        ("groups", vec![2, 12, 8, 8], vec![18, 4, 3, 3], o().groups(3).dilation(2), Convolution(2, false)),
        (
            "each channel by itself",
            vec![2, 40, 8, 8],
            vec![40, 1, 3, 3],
            o().groups(40).padding(1),
            Convolution(2, false),
        ),
        ("single elements", vec![2, 33, 6, 6], vec![17, 33, 1, 1], o(), Convolution(2, false)),
        // More weights than become floats at a time, by outputs and by inputs, also of groups.
        ("wide", vec![2, 130, 6, 6], vec![150, 130, 3, 3], o().padding(1), Convolution(2, false)),
        (
            "wide groups",
            vec![1, 260, 5, 5],
            vec![140, 130, 3, 3],
            o().groups(2).stride(2),
            Convolution(2, false),
        ),
        ("transposed", vec![2, 12, 5, 5], vec![12, 7, 3, 3], o().stride(2), Convolution(2, true)),
        ("transposed, wide", vec![1, 140, 4, 4], vec![140, 130, 2, 2], o().groups(2), Convolution(2, true)),
    ]
}

fn near(a: &[f32], b: &[f32]) -> bool {
    let most = b.iter().fold(0f32, |most, v| most.max(v.abs()));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * most)
}

#[test]
fn values_and_gradients_are_those_of_the_floats() -> Result<()> {
    let rng = &mut Random::new(0);
    for (name, input, weight, options, convolve) in cases() {
        let x: Tensor = init::normal(&input[..], 0.0, 1.0, rng);
        let plain: Tensor = init::normal(&weight[..], 0.0, 1.0, rng);
        let with_bias = !name.starts_with("single");
        for bits in [3, 4, 8, 16] {
            let w = Param::new(plain.clone());
            match bits {
                16 => store_half(&w, HalfFloat::Bf16, matrices)?,
                _ => WeightOnly::new(bits).groups(8).apply(&w, matrices)?,
            }
            assert!(w.value().packed().is_some());
            let floats = Param::new(Tensor::new(&weight[..], w.value().to_vec())?);
            floats.set_trainable(false);
            let run = |w: &Param| -> Result<[Vec<f32>; 3]> {
                let tape = Tape::new();
                let x = tape.input(&x);
                let w = tape.param(w);
                let bias =
                    tape.constant(Tensor::from_fn([convolved(&x, &w, convolve, &options)], |i| i as f32));
                let y = convolve.of(&x, &w, with_bias.then_some(&bias), &options);
                // The gradient of the input, and a gradient of that.
                let slope = y.square().sum().grad(&[&x])?.remove(0);
                let second = slope.square().sum().backward()?;
                Ok([y.to_vec()?, slope.to_vec()?, second.get(&x).unwrap().to_vec()])
            };
            let (found, expected) = (run(&w)?, run(&floats)?);
            for (what, (a, b)) in ["value", "gradient", "second"].iter().zip(found.iter().zip(&expected)) {
                assert!(near(a, b), "{name}, {bits} bits: {what}");
            }
            // Off the tape as on it.
            let tape = Tape::inference();
            let bias =
                Tensor::from_fn([convolved(&tape.constant(&x), &tape.param(&w), convolve, &options)], |i| {
                    i as f32
                });
            let bias = tape.constant(bias);
            let y = convolve.of(&tape.constant(&x), &tape.param(&w), with_bias.then_some(&bias), &options);
            assert_eq!(y.to_vec()?, found[0], "{name}, {bits} bits");
        }
    }
    Ok(())
}

/// Channels of the result.
fn convolved<'t>(x: &Var<'t>, w: &Var<'t>, convolve: Convolution, options: &ConvOptions) -> usize {
    let y = convolve.of(x, w, None, options);
    y.dim(if x.rank() == w.rank() { 1 } else { 0 })
}

#[test]
fn the_number_of_threads_changes_no_bit() -> Result<()> {
    let rng = &mut Random::new(1);
    let (x, w): (Tensor, Param) = (
        init::normal([3, 130, 6, 6], 0.0, 1.0, rng),
        Param::new(init::normal([150, 130, 3, 3], 0.0, 1.0, rng)),
    );
    WeightOnly::new(4).groups(32).apply(&w, matrices)?;
    let run = || -> Result<[Vec<f32>; 2]> {
        let tape = Tape::new();
        let x = tape.input(&x);
        let y = x.conv2d(&tape.param(&w), None, &ConvOptions::new().padding(1));
        let slope = y.square().sum().backward()?.get(&x).unwrap().to_vec();
        Ok([y.to_vec()?, slope])
    };
    let before = kolmo::runtime::num_threads();
    let mut all = Vec::new();
    for threads in [1, 2, 3] {
        kolmo::runtime::set_num_threads(threads);
        all.push(run()?);
    }
    kolmo::runtime::set_num_threads(before);
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    Ok(())
}

#[test]
fn weights_seen_in_another_way_become_floats() -> Result<()> {
    let rng = &mut Random::new(2);
    let (x, w): (Tensor, Param) =
        (init::normal([2, 6, 5, 5], 0.0, 1.0, rng), Param::new(init::normal([6, 6, 3, 3], 0.0, 1.0, rng)));
    WeightOnly::new(8).apply(&w, matrices)?;
    let tape = Tape::inference();
    let (x, packed) = (tape.constant(&x), tape.param(&w));
    let floats = tape.constant(Tensor::new([6, 6, 3, 3], w.value().to_vec())?);
    for turn in [|w: &Var| w.transpose(0, 1).to_vec(), |w: &Var| w.transpose(2, 3).to_vec()] {
        assert_eq!(turn(&packed)?, turn(&floats)?);
    }
    let options = ConvOptions::new();
    for (a, b) in [(0, 1), (2, 3)] {
        let [y, expected] = [&packed, &floats].map(|w| x.conv2d(&w.transpose(a, b), None, &options).to_vec());
        assert!(near(&y?, &expected?));
    }
    Ok(())
}
