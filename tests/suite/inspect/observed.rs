//! Reports on what an observed tape did: profile, kinks, rounding, differences.
use super::noise;
use kolmo::{
    Random, Result, Tape, Tensor,
    inspect::{DifferenceKind, GroupBy, Observation, Profile},
    nn::{Layer, Linear, Param, Relu, Sequential},
    number::Arithmetic,
};

fn observed<T: kolmo::Float>() -> Tape<T> {
    let tape = Tape::new();
    tape.set_observing(true);
    tape
}

#[test]
fn a_profile_counts_each_operation_once_in_each_table() -> Result<()> {
    let rng = &mut Random::new(0);
    let net = Sequential((Linear::new(32, 16, rng), Relu, Linear::new(16, 4, rng)));
    let tape = observed();
    let y = net.forward(&tape.constant(Tensor::ones([8, 32])));
    let memory = tape.memory().bytes();
    let _ = y.square().mean().backward()?;
    let profile = tape.observation().with_names(&net).profile();
    let ops: Vec<&str> = profile.calls.iter().map(|c| c.origin.op.as_str()).collect();
    assert_eq!(ops, ["linear", "relu", "linear", "square", "mean"]);
    let (forward, sweep) = profile.nanos();
    assert!(forward > 0 && sweep > 0);
    for by in [GroupBy::Operation, GroupBy::Layer, GroupBy::Line] {
        let groups = profile.group_by(by);
        assert_eq!(groups.iter().map(|g| g.calls).sum::<usize>(), 5);
        assert_eq!(groups.iter().map(|g| g.nanos()).sum::<u64>(), forward + sweep);
    }
    // All that was kept, and what square kept besides.
    assert_eq!(profile.calls.iter().map(|c| c.bytes).sum::<usize>(), memory + 4 * 8 * 4);
    let layers: Vec<&str> = profile.calls.iter().filter_map(|c| c.origin.layer.as_deref()).collect();
    assert_eq!(layers, ["0", "0", "2", "2", "2"]);
    let copy: Profile = serde_json::from_str(&serde_json::to_string(&profile).unwrap()).unwrap();
    assert_eq!(copy, profile);
    Ok(())
}

#[test]
fn kinks_are_counted_where_the_sweep_came() -> Result<()> {
    let tape = observed::<f32>();
    let x = tape.input(Tensor::from_fn([64, 64], |i| if i < 12 { 0.0 } else { 1.0 }));
    let relu = x.relu();
    let tie = x.maximum(&tape.constant(Tensor::ones([64, 64])));
    let unused = x.abs();
    let _ = (relu.sum() + tie.sum()).backward()?;
    let kinks = tape.kinks();
    let found: Vec<(&str, usize, usize)> =
        kinks.statements.iter().map(|k| (k.origin.op.as_str(), k.elements, k.of)).collect();
    assert_eq!(found, [("relu", 12, 4096), ("maximum", 4084, 4096)]);
    let text = kinks.to_string();
    let line = "this gradient is a subgradient: relu at 0 in tests/suite/inspect/observed.rs:";
    assert!(
        text.starts_with(line) && text.contains(", 12 of 4,096\n") && text.contains("maximum at a tie"),
        "{text}"
    );
    drop(unused);
    let tape = observed::<f64>();
    let _ = tape.scalar(0.0).abs().backward()?;
    assert_eq!(tape.kinks().statements[0].origin.op, "abs");
    let tape = observed::<f64>();
    let _ = tape.scalar(0.5).abs().backward()?;
    assert!(tape.kinks().statements.is_empty());
    Ok(())
}

#[test]
fn the_error_of_a_long_program_in_f32_is_within_the_bound_and_near_it() -> Result<()> {
    fn program<R: Arithmetic>(x: &[R], y: &[R]) -> R {
        let mut sum = R::constant(0.0);
        for (x, y) in x.iter().zip(y) {
            sum = sum * R::constant(0.99) + *x * *y / (*x * *x + R::constant(1.5)) - *y * R::constant(0.3);
        }
        sum
    }
    // An error of one program may be anything up to the bound, also nothing. Those of 30 add up as in a
    // random walk: of some thousand roundings of equal size about a thirtieth of their sum is left, so
    // that all of them stay below a thousandth of it with a probability of less than (1/20)³⁰.
    let mut largest = 0.0f64;
    for seed in 0..30 {
        let (a, b) = (noise(2 * seed, 400), noise(2 * seed + 1, 400));
        let tape = observed::<f32>();
        let (x, y) = (tape.scalars(&a), tape.scalars(&b));
        let result = program(&x, &y);
        let _ = result.backward()?;
        let exact = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        // The constants are those that `f32` has.
        let truth = {
            let (x, y) = (exact(&a), exact(&b));
            let (forget, shift) = (f64::from(0.99f32), f64::from(0.3f32));
            x.iter().zip(&y).fold(0.0, |sum, (x, y)| sum * forget + x * y / (x * x + 1.5) - y * shift)
        };
        let error = (f64::from(result.value()) - truth).abs();
        let bound = tape.rounding().bound();
        assert!(error <= bound, "seed {seed}: an error of {error} is above the bound {bound}");
        largest = largest.max(error / bound);
    }
    assert!(largest > 1e-3, "errors of {largest} of the bound make it useless");
    Ok(())
}

#[test]
fn quantising_a_parameter_costs_what_is_foretold() -> Result<()> {
    let slopes = Tensor::new([64], noise(100, 64))?;
    for bits in [3, 5] {
        let (mut squares, mut foretold) = (0.0, 0.0);
        let rounds = 300;
        for round in 0..rounds {
            let mut w = noise(200 + round as u64, 64);
            (w[0], w[63]) = (-1.0, 1.0);
            let tape = observed::<f32>();
            let p = tape.input(Tensor::from(w.clone()));
            let _ = (&p * tape.constant(&slopes)).sum().backward()?;
            let rounding = tape.rounding();
            let report = &rounding.statements[0];
            foretold = report.quantized(bits);
            let step = 2.0 / (2f32.powi(bits as i32) - 1.0);
            let moved: f32 = w
                .iter()
                .zip(slopes.to_vec())
                .map(|(w, slope)| slope * (((w + 1.0) / step).round() * step - 1.0 - w))
                .sum();
            assert!(f64::from(moved.abs()) <= report.quantized_bound(bits) + 1e-5);
            squares += f64::from(moved).powi(2) / f64::from(rounds);
        }
        let measured = squares.sqrt();
        // 300 samples tell a root mean square to about 4 %; the ends of the range aren't rounded.
        assert!((measured / foretold - 1.0).abs() < 0.15, "{bits} bits: {measured}, foretold {foretold}");
    }
    Ok(())
}

#[test]
fn bits_that_are_shared_out_cost_less_than_equal_ones() -> Result<()> {
    let params: Vec<Param<f32>> =
        [64, 16, 256].map(|n| Param::new(Tensor::from(noise(n as u64, n)))).to_vec();
    let tape = observed::<f32>();
    let terms = params.iter().zip([0.01, 10.0, 1.0]).map(|(p, by)| (tape.param(p) * by).square().sum());
    let _ = terms.reduce(|a, b| a + b).unwrap().backward()?;
    let rounding = tape.observation().with_names(&params).rounding();
    let shares = rounding.share_bits(4.0);
    assert_eq!(shares.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["0", "1", "2"]);
    let rows: Vec<_> = rounding.statements.iter().filter(|s| s.name.is_some()).collect();
    let cost = |bits: &[u32]| rows.iter().zip(bits).map(|(r, &b)| r.quantized(b).powi(2)).sum::<f64>().sqrt();
    let bits: Vec<u32> = shares.iter().map(|(_, b)| *b).collect();
    let used: usize = rows.iter().zip(&bits).map(|(r, &b)| r.numel * b as usize).sum();
    assert!(used <= 4 * 336 && used > 4 * 336 - 256, "{bits:?}");
    assert!(cost(&bits) < 0.5 * cost(&[4, 4, 4]), "{bits:?}: {} of {}", cost(&bits), cost(&[4, 4, 4]));
    Ok(())
}

fn run(change: impl Fn(&mut [f32]), scale: f64, kind: usize) -> Tape<f32> {
    let tape = observed();
    let mut data = noise_of_one_seed();
    change(&mut data);
    let x = tape.input(Tensor::new([4, 6], data).unwrap());
    let y = (x * scale).tanh();
    let _ = match kind {
        0 => y.sum().backward().unwrap(),
        1 => y.exp().sum().backward().unwrap(),
        _ => y.narrow(1, 0, 3).sum().backward().unwrap(),
    };
    tape
}

fn noise_of_one_seed() -> Vec<f32> {
    let random = Random::new(99);
    (0..24).map(|i| random.uniform_at(i) as f32).collect()
}

#[test]
fn the_first_difference_is_found_wherever_it_is() {
    let same = |_: &mut [f32]| ();
    assert!(run(same, 2.0, 0).diff(&run(same, 2.0, 0)).is_none());

    let moved = |data: &mut [f32]| data[9] += 0.25;
    let difference = run(same, 2.0, 0).diff(&run(moved, 2.0, 0)).unwrap();
    assert_eq!((difference.id, difference.what), (1, DifferenceKind::Value));
    let text = difference.to_string();
    assert!(text.starts_with("%1 = input (tests/suite/inspect/observed.rs:"), "{text}");
    assert!(
        text.contains("element [1, 3] is") && text.contains("1 of 24 elements differ, by up to 0.250"),
        "{text}"
    );

    let difference = run(same, 2.0, 0).diff(&run(same, 2.5, 0)).unwrap();
    assert_eq!((difference.id, difference.origin.op.as_str()), (2, "mul_number"));

    let difference = run(same, 2.0, 0).diff(&run(same, 2.0, 1)).unwrap();
    assert_eq!((difference.id, difference.what), (4, DifferenceKind::Operation));
    assert!(difference.message.contains("sum(%3)") && difference.message.contains("exp(%3)"), "{difference}");

    let shorter = observed::<f32>();
    let _ = shorter.input(Tensor::new([4, 6], noise_of_one_seed()).unwrap());
    let difference = shorter.diff(&run(same, 2.0, 2)).unwrap();
    assert_eq!((difference.id, difference.what), (2, DifferenceKind::Length));
}

#[test]
fn gradients_are_compared_where_all_values_are_equal() -> Result<()> {
    // The same statements, differentiated from another one.
    let last = |seed: bool| -> Result<Observation> {
        let tape = observed::<f32>();
        let x = tape.input([1.0, 2.0]);
        let y = x.square().sum();
        let z = &y * 3.0;
        let _ = if seed { z.backward()? } else { y.backward()? };
        Ok(tape.observation())
    };
    let difference = last(true)?.diff(&last(false)?, 0.0).unwrap();
    assert_eq!((difference.id, difference.what), (4, DifferenceKind::Gradient));
    assert!(difference.message.contains("in the first run only"), "{difference}");
    Ok(())
}

#[test]
fn a_tolerance_lets_small_differences_pass() {
    let nearly = |data: &mut [f32]| data[0] *= 1.000001;
    let (a, b) = (run(|_| (), 2.0, 0).observation(), run(nearly, 2.0, 0).observation());
    assert!(a.diff(&b, 0.0).is_some());
    assert!(a.diff(&b, 1e-4).is_none());
}
