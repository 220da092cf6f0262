//! Weights that are rounded with an eye on what goes into them and on what the loss makes of them.
use crate::Threads;
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    compress::{
        Calibration, all_params, block_by_block, matrices, pack,
        quantize::{Budget, Gptq, WeightOnly},
    },
    nn::{Embedding, Layer, Linear, Param},
};
use serde::Serialize;

/// Inputs of which each resembles others.
pub fn inputs(rows: usize, n: usize, seed: u64) -> Tensor {
    let rng = &mut Random::new(seed);
    let (own, mix) = (Tensor::<f32>::randn([rows, n], rng), Tensor::<f32>::randn([n, n], rng));
    let tape = Tape::inference();
    let own = tape.constant(own);
    (own.matmul(&tape.constant(mix)) + own * 3.0).value().unwrap().clone()
}

pub fn layer(inputs: usize, outputs: usize, seed: u64) -> Linear {
    Linear::new(inputs, outputs, &mut Random::new(seed)).bias(false)
}

pub fn seen_by<M: Serialize>(
    model: &M,
    x: &Tensor,
    run: impl for<'t> Fn(&Var<'t>) -> Var<'t>,
) -> Calibration {
    let calibration = Calibration::new(model, matrices).unwrap();
    // In two parts, which are added.
    for half in [x.narrow(0, 0, x.dim(0) / 2), x.narrow(0, x.dim(0) / 2, x.dim(0) - x.dim(0) / 2)] {
        let tape = Tape::inference();
        calibration.observe(&tape, || run(&tape.constant(half.unwrap())).value().map(drop)).unwrap();
    }
    calibration
}

/// The sum of squares of what two weights make of inputs otherwise.
pub fn gap(x: &Tensor, a: &Tensor, b: &Tensor) -> f32 {
    let tape = Tape::inference();
    let gap = tape.constant(a) - tape.constant(b);
    tape.constant(x).linear(&gap, None).square().sum().item().unwrap()
}

/// The upper triangle U with `UᵀU = H⁻¹`, by the definitions.
fn upper(h: &[f64], n: usize) -> Vec<f64> {
    let mut both: Vec<Vec<f64>> = (0..n)
        .map(|i| {
            (0..2 * n).map(|j| if j < n { h[i * n + j] } else { f64::from(u8::from(j - n == i)) }).collect()
        })
        .collect();
    for k in 0..n {
        let pivot = both[k][k];
        both[k].iter_mut().for_each(|v| *v /= pivot);
        let row = both[k].clone();
        for (i, other) in both.iter_mut().enumerate().filter(|(i, _)| *i != k) {
            let factor = other[k];
            assert!(factor.is_finite(), "{i}");
            other.iter_mut().zip(&row).for_each(|(v, r)| *v -= factor * r);
        }
    }
    let inverse = |i: usize, j: usize| both[i][n + j];
    let mut u = vec![0.0; n * n];
    for i in 0..n {
        for j in i..n {
            let rest = inverse(i, j) - (0..i).map(|k| u[k * n + i] * u[k * n + j]).sum::<f64>();
            u[i * n + j] = if i == j { rest.sqrt() } else { rest / u[i * n + i] };
        }
    }
    u
}

/// The weight `[out, in]` as the paper has it rounded, column after column in this order: `round` is given a row's
/// number, the column's, the row as it is then, and U.
pub fn by_definition(
    w: &Tensor,
    x: &Tensor,
    order: &[usize],
    mut round: impl FnMut(usize, usize, &[f64], &[f64]) -> f64,
) -> Vec<f64> {
    let (n, x) = (w.dim(1), x.cast::<f64>());
    let tape = Tape::<f64>::inference();
    let x = tape.constant(x);
    let h = x.transpose(0, 1).matmul(&x).to_vec().unwrap();
    let mean = (0..n).map(|i| h[i * n + i]).sum::<f64>() / n as f64;
    let damped = |i: usize, j: usize| h[i * n + j] + if i == j { 0.01 * mean } else { 0.0 };
    let u = upper(&(0..n * n).map(|i| damped(order[i / n], order[i % n])).collect::<Vec<_>>(), n);
    let mut w: Vec<f64> = w.to_vec().iter().map(|v| f64::from(*v)).collect();
    for (row, w) in w.chunks_exact_mut(n).enumerate() {
        for k in 0..n {
            let rounded = round(row, order[k], w, &u);
            let error = (w[order[k]] - rounded) / u[k * n + k];
            w[order[k]] = rounded;
            (k + 1..n).for_each(|j| w[order[j]] -= error * u[k * n + j]);
        }
    }
    w
}

#[test]
fn columns_are_rounded_as_the_paper_has_it() -> Result<()> {
    // More columns than are settled together, and rows.
    let (n, rows) = (200, 70);
    let x = inputs(600, n, 1);
    let squares: Vec<f64> =
        (0..n).map(|k| x.to_vec().iter().skip(k).step_by(n).map(|v| f64::from(*v).powi(2)).sum()).collect();
    for (bits, group, symmetric, act_order) in
        [(4, 40, false, false), (3, 32, true, false), (2, usize::MAX, false, true), (4, 7, false, true)]
    {
        let net = layer(n, rows, 2);
        let w = net.weight.value();
        let grid = WeightOnly::new(bits).groups(group).symmetric(symmetric);
        let plain = grid.pack(&w)?;
        let packed = plain.packed().unwrap();
        let codes = packed.codes().unwrap();
        let (scales, zeros) = (codes.scales().unwrap(), codes.zero_points());
        let each = n.div_ceil(group.min(n));
        let most = if symmetric { (1 << (bits - 1)) - 1 } else { (1 << bits) - 1 };
        let round = |row: usize, column: usize, w: &[f64], _: &[f64]| {
            let v = w[column];
            let at = row * each + column / group.min(n);
            let (scale, zero) =
                (f64::from(scales[at]), zeros.as_ref().map_or(0.0, |zeros| f64::from(zeros[at])));
            let low = if symmetric { -f64::from(most) } else { 0.0 };
            (((v / scale).round_ties_even() + zero).clamp(low, f64::from(most)) - zero) * scale
        };
        let mut order: Vec<usize> = (0..n).collect();
        if act_order {
            order.sort_by(|&a, &b| squares[b].total_cmp(&squares[a]));
        }
        let expected = by_definition(&w, &x, &order, round);
        let calibration = seen_by(&net, &x, |x| net.forward(x));
        let gptq = Gptq::new(bits).groups(group).symmetric(symmetric).act_order(act_order);
        gptq.apply(&net, &calibration)?;
        let found = net.weight.value();
        let other =
            found.to_vec().iter().zip(&expected).filter(|(a, b)| (f64::from(**a) - **b).abs() > 1e-4).count();
        // Where a value lies in the middle of two codes, the last bit decides, and what follows it.
        assert!(other * 50 < n * rows, "{bits} bits: {other} of {}", n * rows);
        assert!(gap(&x, &w, &found) < 0.75 * gap(&x, &w, &plain), "{bits} bits");
    }
    Ok(())
}

#[test]
fn a_weight_on_the_right_of_a_product_is_seen_as_well() -> Result<()> {
    let x = inputs(300, 48, 3);
    let p = Param::new(Tensor::<f32>::randn([48, 20], &mut Random::new(4)));
    let w = p.value();
    let calibration = seen_by(&p, &x, |x| x.matmul(&x.tape().param(&p)));
    let moments = calibration.second_moments(&p).unwrap();
    let tape = Tape::inference();
    let xv = tape.constant(&x);
    let expected = xv.transpose(0, 1).matmul(&xv).to_vec()?;
    let close = moments.to_vec().iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.01 * b.abs().max(10.0));
    assert!(close);
    let means = calibration.mean_magnitudes(&p).unwrap();
    let first: f64 = x.to_vec().iter().step_by(48).map(|v| f64::from(v.abs())).sum::<f64>() / 300.0;
    assert!((means[0] - first).abs() < 1e-6 * first);
    let turned = |w: &Tensor| w.transpose(0, 1).unwrap();
    let plain = WeightOnly::new(3).groups(10).pack(&w)?;
    Gptq::new(3).groups(10).apply(&p, &calibration)?;
    let (one, other) = (gap(&x, &turned(&w), &turned(&p.value())), gap(&x, &turned(&w), &turned(&plain)));
    assert!(one < 0.75 * other, "{one} {other}");
    p.set(w.clone());
    Budget::bytes(48 * 20 * 3 / 8 + 140).apply(&p, &calibration)?;
    let bounded = gap(&x, &turned(&w), &turned(&p.value()));
    assert!(bounded < 0.75 * other, "{bounded} {other}");
    Ok(())
}

#[test]
fn rows_of_batches_are_seen_as_those_of_one() -> Result<()> {
    let (x, net) = (inputs(60, 24, 3), layer(24, 8, 4));
    let seen = |x: Tensor| seen_by(&net, &x, |x| net.forward(x)).second_moments(&net.weight);
    let (rows, batches) = (seen(x.clone()).unwrap(), seen(x.reshape([10, 6, 24])?).unwrap());
    let close =
        rows.to_vec().iter().zip(batches.to_vec()).all(|(a, b)| (a - b).abs() < 1e-3 * a.abs().max(100.0));
    assert!(close);
    assert_eq!(seen(x.reshape([60, 1, 24])?), Some(rows));
    Ok(())
}

#[test]
fn an_input_of_several_weights_is_added_up_once() -> Result<()> {
    let (x, pair) = (inputs(64, 24, 5), [layer(24, 8, 6), layer(24, 16, 7)]);
    let calibration = seen_by(&pair, &x, |x| pair[0].forward(x).sum() + pair[1].forward(x).sum());
    assert_eq!(format!("{calibration:?}"), "Calibration(2 weights, 1 inputs)");
    assert_eq!(calibration.second_moments(&pair[0].weight), calibration.second_moments(&pair[1].weight));
    // Not looked at, and no use of a weight.
    let tape = Tape::new();
    let _ = pair[0].forward(&tape.constant(&x)).square().sum().backward()?;
    let before = calibration.second_moments(&pair[0].weight);
    calibration.observe(&tape, || tape.param(&pair[0].weight).sum().item())?;
    assert_eq!(before, calibration.second_moments(&pair[0].weight));
    // One of them has another input from here on.
    calibration.observe(&tape, || pair[1].forward(&tape.constant(inputs(3, 24, 8))).value().map(drop))?;
    let told = Gptq::new(4).apply(&pair, &calibration).unwrap_err().to_string();
    assert!(told.contains("64 of 67 rows") || told.contains("67"), "{told}");
    assert!(pair[0].weight.value().packed().is_none());
    Ok(())
}

/// A model whose embedding is its output as well.
#[derive(Serialize)]
struct Tied {
    tokens: Embedding,
    hidden: Linear,
}

impl Tied {
    fn new() -> Tied {
        let rng = &mut Random::new(9);
        Tied { tokens: Embedding::new(60, 32, rng), hidden: Linear::new(32, 32, rng) }
    }

    fn loss<'t>(&self, tape: &'t Tape, seed: u64) -> Var<'t> {
        let tokens: Vec<u32> = (0..80).map(|i| ((i * i + 7 * seed) % 60) as u32).collect();
        let x = self.tokens.forward(&Tensor::from(&tokens[..79]), tape);
        let x = &x + self.hidden.forward(&x).tanh();
        x.linear(&tape.param(&self.tokens.weight), None).cross_entropy(&Tensor::from(&tokens[1..]))
    }

    fn calibrated(&self) -> Result<Calibration> {
        let calibration = Calibration::new(self, matrices)?;
        let mut tape = Tape::new();
        for seed in 0..3 {
            tape.reset();
            calibration.observe(&tape, || self.loss(&tape, seed).backward().map(drop))?;
        }
        Ok(calibration)
    }
}

#[test]
fn a_budget_is_kept_to_and_finer_steps_lose_less() -> Result<()> {
    let mut before = f32::INFINITY;
    for bytes in [1000, 1500, 2500] {
        let model = Tied::new();
        let (tape, packed) = (Tape::inference(), model.tokens.weight.value());
        let outputs = |tokens: &Tensor, hidden: &Tensor| gap(&inputs(90, 32, 1), tokens, hidden);
        let spent = Budget::bytes(bytes).apply(&model, &model.calibrated()?)?;
        assert!(spent.file <= bytes && spent.file * 100 > bytes * 95, "{spent:?}");
        assert_eq!(spent.weights[0].0, "tokens.weight");
        assert_eq!(spent.file, pack(&model, &[])?.to_bytes()?.len());
        let gap = outputs(&packed, &model.tokens.weight.value());
        assert!(gap < before, "{bytes}: {gap} {before}");
        before = gap;
        assert!(model.loss(&tape, 1).item()?.is_finite());
    }
    Ok(())
}

#[test]
fn rows_that_are_looked_up_count_whether_they_are_trained_or_not() -> Result<()> {
    let run = |trained: bool, looked_up: bool| -> Result<Tensor> {
        let model = Tied::new();
        model.tokens.weight.set_trainable(trained);
        let calibration = match looked_up {
            true => model.calibrated()?,
            false => {
                seen_by(&model, &inputs(90, 32, 1), |x| x.linear(&x.tape().param(&model.tokens.weight), None))
            }
        };
        Budget::bytes(1500).apply(&model, &calibration)?;
        Ok(model.tokens.weight.value())
    };
    assert_eq!(run(true, true)?, run(false, true)?);
    assert_ne!(run(true, true)?, run(true, false)?);
    Ok(())
}

#[test]
fn gptq_rounds_what_is_looked_up_unless_it_knows_what_that_counts() -> Result<()> {
    let (model, plain) = (Tied::new(), Tied::new());
    WeightOnly::new(3).groups(16).apply(&plain, matrices)?;
    let calibration = Calibration::new(&model, matrices)?;
    let tape = Tape::inference();
    calibration.observe(&tape, || model.loss(&tape, 0).item())?;
    Gptq::new(3).groups(16).apply(&model, &calibration)?;
    assert_eq!(model.tokens.weight.value(), plain.tokens.weight.value());
    assert_ne!(model.hidden.weight.value(), plain.hidden.weight.value());
    let model = Tied::new();
    Gptq::new(3).groups(16).apply(&model, &model.calibrated()?)?;
    assert_ne!(model.tokens.weight.value(), plain.tokens.weight.value());
    Ok(())
}

#[test]
fn what_is_held_in_codes_may_stay_as_it_is() -> Result<()> {
    let model = Tied::new();
    WeightOnly::new(4).groups(32).apply(&model.hidden, matrices)?;
    let held = model.hidden.weight.value();
    let calibration = model.calibrated()?;
    let spent = Budget::bytes(2200).apply(&model, &calibration)?;
    assert_eq!(model.hidden.weight.value(), held);
    assert!((400..600).contains(&spent.weights[1].1), "{spent:?}");
    Budget::bytes(700).apply(&model, &calibration)?;
    assert_ne!(model.hidden.weight.value(), held);
    Ok(())
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() -> Result<()> {
    let threads = Threads::lock();
    let run = |n: usize| -> Result<Vec<u32>> {
        threads.set(n);
        let (x, model) = (inputs(300, 150, 10), Tied::new());
        let net = layer(150, 140, 11);
        let calibration = seen_by(&net, &x, |x| net.forward(x));
        let moments = calibration.second_moments(&net.weight).unwrap();
        Gptq::new(3).groups(50).apply(&net, &calibration)?;
        Budget::bytes(1500).apply(&model, &model.calibrated()?)?;
        let all = [moments, net.weight.value(), model.tokens.weight.value(), model.hidden.weight.value()];
        Ok(all.iter().flat_map(|t| t.to_vec()).map(f32::to_bits).collect())
    };
    assert_eq!(run(1)?, run(3)?);
    Ok(())
}

#[test]
fn blocks_are_calibrated_on_what_those_before_them_have_become() -> Result<()> {
    let blocks = [layer(32, 32, 12), layer(32, 32, 13), layer(32, 32, 14)];
    let states = vec![inputs(100, 32, 15), inputs(60, 32, 16)];
    let mut seen = Vec::new();
    let out = block_by_block(
        &blocks,
        states.clone(),
        matrices,
        |i, x| blocks[i].forward(x).tanh(),
        |block, calibration| {
            // Statistics of one block, whatever came before.
            assert_eq!(format!("{calibration:?}"), "Calibration(1 weights, 1 inputs)");
            Gptq::new(3).groups(16).apply(block, calibration)?;
            seen.push(calibration.second_moments(&block.weight).unwrap());
            Ok(())
        },
    )?;
    let tape = Tape::inference();
    let mut x = tape.constant(&states[1]);
    for (i, moments) in seen.iter().enumerate() {
        let other = tape.constant(&states[0]);
        let other = (0..i).fold(other, |x, k| blocks[k].forward(&x).tanh());
        let both = [&x, &other].map(|x| x.transpose(0, 1).matmul(x));
        let expected = (&both[0] + &both[1]).to_vec()?;
        let close =
            moments.to_vec().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3 * b.abs().max(100.0));
        assert!(close, "block {i}");
        x = blocks[i].forward(&x).tanh();
    }
    assert_eq!(out[1].to_vec(), x.to_vec()?);
    Ok(())
}

#[test]
fn what_cannot_be_done_is_told_and_nothing_changes() -> Result<()> {
    let net = layer(16, 8, 17);
    let told = |result: Result<()>, what: &str| {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(what), "{message}");
        assert!(net.weight.value().packed().is_none());
    };
    told(Calibration::new(&net, |name, _| name == "x").map(drop), "picks");
    let calibration = Calibration::new(&net, all_params)?;
    let tape = Tape::inference();
    calibration
        .observe(&tape, || net.forward(&tape.constant(Tensor::<f32>::zeros([4, 16]))).value().map(drop))?;
    told(Gptq::new(4).apply(&net, &calibration), "weight: the inputs' mean square is 0");
    told(Gptq::new(9).apply(&net, &calibration), "9 bits: takes 1 to 8");
    told(Gptq::new(4).groups(0).apply(&net, &calibration), "groups of 0");
    told(Gptq::new(4).damping(-1.0).apply(&net, &calibration), "damping -1: takes 0 or more");
    told(Gptq::new(4).apply(&layer(16, 8, 1), &calibration), "picks no parameter");
    told(Budget::bytes(17).apply(&net, &calibration).map(drop), "17 bytes for 128 weights: takes 18 or more");
    let calibration = seen_by(&net, &inputs(5, 16, 18), |x| net.forward(x));
    told(Gptq::new(4).damping(0.0).apply(&net, &calibration), "not positive definite");
    Ok(())
}
