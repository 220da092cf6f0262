//! Weights pruned at once, those that are left making up for it.
use crate::{
    Threads,
    calibrated::{by_definition, gap, inputs, layer, seen_by},
};
use kolmo::{
    Result, Tape, Tensor,
    compress::{
        matrices, pack,
        prune::{self, Amount, SparseGpt},
        unpack,
    },
    nn::{Layer, Param},
};

fn zeros(t: &Tensor) -> usize {
    t.to_vec().iter().filter(|v| **v == 0.0).count()
}

/// The places of the least among some columns of a row, by what they lose.
fn least(w: &[f64], u: &[f64], columns: std::ops::Range<usize>, count: usize) -> Vec<usize> {
    let n = w.len();
    let loss = |k: &usize| (w[*k] / u[*k * n + *k]).powi(2);
    let mut order: Vec<usize> = columns.collect();
    order.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
    order[..count].to_vec()
}

#[test]
fn weights_go_as_the_paper_has_it() -> Result<()> {
    // More columns than are fed back together, and rows.
    let (n, rows) = (200, 70);
    let x = inputs(600, n, 1);
    let order: Vec<usize> = (0..n).collect();
    for (how, width, share) in [
        (SparseGpt::n_of_m(2, 4), 4, 0.5),
        (SparseGpt::n_of_m(1, 8), 8, 0.875),
        (SparseGpt::new(0.5), 128, 0.5),
        (SparseGpt::new(0.25), 128, 0.25),
    ] {
        let net = layer(n, rows, 2);
        let w = net.weight.value();
        let mut gone = Vec::new();
        let expected = by_definition(&w, &x, &order, |_, k, w, u| {
            if k % width == 0 {
                let end = n.min(k + width);
                gone = least(w, u, k..end, (share * (end - k) as f64).round_ties_even() as usize);
            }
            if gone.contains(&k) { 0.0 } else { w[k] }
        });
        let weights = how.apply(&net, &seen_by(&net, &x, |x| net.forward(x)))?;
        let found = net.weight.effective()?;
        let other =
            found.to_vec().iter().zip(&expected).filter(|(a, b)| (f64::from(**a) - **b).abs() > 1e-3).count();
        // Where two lose as much, the last bit decides, and what follows it.
        assert!(other * 50 < n * rows, "{how:?}: {other} of {}", n * rows);
        assert_eq!((weights.kept + zeros(&found), weights.total), (n * rows, n * rows));
        let pruned = layer(n, rows, 2);
        prune::layerwise(&pruned, Amount::Density(weights.density()), matrices)?;
        let (own, plain) = (gap(&x, &w, &found), gap(&x, &w, &pruned.weight.effective()?));
        assert!(own < 0.9 * plain, "{how:?}: {own} {plain}");
    }
    Ok(())
}

#[test]
fn a_weight_on_the_right_of_a_product_is_pruned_by_its_inputs() -> Result<()> {
    let (x, w) = (inputs(300, 64, 3), inputs(64, 24, 4));
    let right = Param::new(w.clone());
    let seen = seen_by(&right, &x, |x| x.matmul(&x.tape().param(&right)));
    SparseGpt::n_of_m(2, 4).apply(&right, &seen)?;
    let net = layer(64, 24, 0);
    net.weight.set(w.transpose(0, 1)?.contiguous());
    SparseGpt::n_of_m(2, 4).apply(&net, &seen_by(&net, &x, |x| net.forward(x)))?;
    assert_eq!(right.effective()?.to_vec(), net.weight.effective()?.transpose(0, 1)?.to_vec());
    // What was pruned stays so in training, and in a file.
    let tape = Tape::new();
    let loss = net.forward(&tape.constant(&x)).square().sum();
    let grads = loss.backward()?;
    let grad = grads.param(&net.weight).unwrap().to_vec();
    let mask = net.weight.mask().unwrap().to_vec();
    assert!(grad.iter().zip(&mask).all(|(g, keep)| *keep || *g == 0.0));
    let copy = layer(64, 24, 5);
    unpack(&pack(&net, &[])?, &copy)?;
    assert_eq!(copy.weight.effective()?, net.weight.effective()?);
    Ok(())
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() -> Result<()> {
    let threads = Threads::lock();
    let run = |n: usize| -> Result<Vec<u32>> {
        threads.set(n);
        let (x, net) = (inputs(300, 150, 10), layer(150, 140, 11));
        SparseGpt::new(0.5).apply(&net, &seen_by(&net, &x, |x| net.forward(x)))?;
        Ok(net.weight.effective()?.to_vec().into_iter().map(f32::to_bits).collect())
    };
    assert_eq!(run(1)?, run(3)?);
    Ok(())
}

#[test]
fn what_cannot_be_pruned_is_told_and_nothing_changes() -> Result<()> {
    let (net, x) = (layer(18, 8, 17), inputs(60, 18, 18));
    let before = net.weight.value();
    let seen = seen_by(&net, &x, |x| net.forward(x));
    for (how, what) in [
        (SparseGpt::new(1.5), "sparsity 1.5 is not between 0 and 1"),
        (SparseGpt::new(f64::NAN), "sparsity NaN"),
        (SparseGpt::n_of_m(3, 2), "3 of 2: n is at most m"),
        (SparseGpt::n_of_m(0, 0), "0 of 0"),
        (SparseGpt::n_of_m(2, 3), "m divides 128"),
        (SparseGpt::n_of_m(2, 4), "weight: 2 of 4 doesn't fit 18 inputs"),
        (SparseGpt::new(0.5).damping(-1.0), "damping -1: takes 0 or more"),
    ] {
        let message = how.apply(&net, &seen).unwrap_err().to_string();
        assert!(message.contains(what), "{message}");
        assert!(net.weight.mask().is_none() && net.weight.value() == before);
    }
    Ok(())
}
