//! Layers in compact forms give what the layers give that they were made of.
use kolmo::{
    Random, Result, Tape, Tensor,
    compress::{
        Artifact, CostReport, Int8Linear, SparseLinear, matrices, pack,
        prune::{self, Amount},
        quantize::{Quantizer, codebooks, convert},
        unpack,
    },
    nn::{Conv2d, Flatten, Layer, Linear, MaxPool2d, Param, Relu, Sequential, init},
};

fn dense(layer: &Linear, x: &Tensor) -> Vec<f32> {
    layer.forward(&Tape::inference().constant(x)).to_vec().unwrap()
}

fn gap(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn sparse_layers_give_what_masked_ones_give() -> Result<()> {
    let rng = &mut Random::new(0);
    for (inputs, outputs, density) in
        [(784, 300, 0.08), (100, 10, 0.3), (37, 45, 1.0), (5, 1, 0.5), (20, 33, 0.0)]
    {
        for blocks in [false, true] {
            let layer = Linear::new(inputs, outputs, rng);
            match blocks {
                true => prune::blocks(&layer, Amount::Density(density), 16, matrices)?,
                false => prune::global(&layer, Amount::Density(density), matrices)?,
            };
            let sparse = SparseLinear::from_linear(&layer)?;
            for n in [1, 3, 64] {
                let x: Tensor = init::normal([n, inputs], 0.0, 1.0, rng);
                // A blank background.
                let values = x.to_vec();
                let x = Tensor::from_fn([n, inputs], |i| if i % 3 == 0 { 0.0 } else { values[i] });
                let (y, expected) = (sparse.forward(&x)?, dense(&layer, &x));
                assert_eq!(y.shape()[..], [n, outputs]);
                assert!(gap(&y.to_vec(), &expected) < 1e-5, "{inputs} by {outputs}, density {density}");
            }
        }
    }
    Ok(())
}

#[test]
fn blocks_go_as_a_whole() -> Result<()> {
    let layer = Linear::new(50, 40, &mut Random::new(0));
    let left = prune::blocks(&layer, Amount::Density(0.1), 16, matrices)?;
    assert!((left.density() - 0.1).abs() < 0.01, "{left:?}");
    let mask = layer.weight.mask().unwrap().to_vec();
    for (input, first) in (0..50).flat_map(|input| [0, 16, 32].map(|first| (input, first))) {
        let block: Vec<bool> = (first..40.min(first + 16)).map(|row| mask[row * 50 + input]).collect();
        assert!(block.iter().all(|&k| k == block[0]));
    }
    // What is stored are the blocks, the last of which have 8 rows only.
    let stored = SparseLinear::from_linear(&layer)?.stored();
    assert!(stored >= left.kept && stored <= 2 * left.kept, "{stored} {left:?}");
    assert!(prune::blocks(layer.bias.as_ref().unwrap(), Amount::Density(0.1), 16, |_, _| true).is_err());
    Ok(())
}

#[test]
fn blocks_bring_nothing_back_that_was_pruned_before() -> Result<()> {
    let p = Param::<f32>::new(Tensor::from([[1.0], [2.0], [3.0], [4.0]]));
    prune::global(&p, Amount::Count(1), matrices)?;
    assert_eq!(prune::blocks(&p, Amount::Count(0), 2, matrices)?.kept, 3);
    assert_eq!(p.effective()?.to_vec(), [0.0, 2.0, 3.0, 4.0]);
    Ok(())
}

#[test]
fn integers_come_near_to_floats_on_any_number_of_threads() -> Result<()> {
    let threads = crate::Threads::lock();
    let rng = &mut Random::new(0);
    for (inputs, outputs) in [(784, 300), (1000, 257), (3, 2)] {
        let layer = Linear::new(inputs, outputs, rng);
        let compact = Int8Linear::from_linear(&layer)?;
        for n in [1, 5, 64] {
            let x: Tensor = init::normal([n, inputs], 0.0, 1.0, rng);
            threads.set(1);
            let one = compact.forward(&x)?.to_vec();
            threads.set(2);
            assert_eq!(compact.forward(&x)?.to_vec(), one);
            let expected = dense(&layer, &x);
            let size = (expected.iter().map(|v| v * v).sum::<f32>() / expected.len() as f32).sqrt();
            assert!(gap(&one, &expected) < 0.06 * size.max(0.1), "{inputs} by {outputs}, {n} rows");
        }
        assert!(compact.forward(&Tensor::zeros([1, inputs + 1])).is_err());
        // What isn't finite is not hidden, and stays in its row.
        let x = Tensor::from_fn([2, inputs], |i| if i == 1 { f32::INFINITY } else { 1.0 });
        let y = compact.forward(&x)?.to_vec();
        assert!(y[..outputs].iter().all(|v| v.is_nan()) && y[outputs..].iter().all(|v| v.is_finite()));
        assert_eq!(compact.forward(&Tensor::zeros([0, inputs]))?.shape()[..], [0, outputs]);
    }
    Ok(())
}

type Net = Sequential<(Linear, Relu, Linear, Relu, Linear)>;

/// Sparse, whole numbers, and plain: one layer of each kind.
fn three_kinds() -> Result<Net> {
    let rng = &mut Random::new(0);
    let net = Sequential((
        Linear::new(60, 40, rng),
        Relu,
        Linear::new(40, 30, rng),
        Relu,
        Linear::new(30, 10, rng),
    ));
    prune::global(&net, Amount::Density(0.1), |name, shape| name == "0.weight" && matrices(name, shape))?;
    codebooks(&net, 8, |name, _| name == "0.weight")?;
    Quantizer::new(8).channels().attach(&net, |name, _| name == "2.weight")?;
    convert(&net)?;
    Ok(net)
}

#[test]
fn a_loaded_file_runs_in_the_form_that_it_is_stored_in() -> Result<()> {
    let net = three_kinds()?;
    let artifact = Artifact::from_bytes(&pack(&net, &[])?.to_bytes()?)?;
    let rng = &mut Random::new(7);
    let loaded: Net = Sequential((
        Linear::new(60, 40, rng),
        Relu,
        Linear::new(40, 30, rng),
        Relu,
        Linear::new(30, 10, rng),
    ));
    unpack(&artifact, &loaded)?;
    let bits = |layer: &Linear| layer.weight.value().packed().and_then(|p| Some(p.codes()?.bits()));
    assert_eq!([&loaded.0.0, &loaded.0.2, &loaded.0.4].map(bits), [Some(4), Some(8), None]);
    for n in [1, 3, 40] {
        let x: Tensor = init::normal([n, 60], 0.0, 1.0, &mut Random::new(1));
        let tape = Tape::inference();
        let (y, expected) = [&loaded, &net].map(|net| net.forward(&tape.constant(&x)).to_vec()).into();
        assert!(gap(&y?, &expected?) < 1e-5);
    }
    Ok(())
}

fn count(net: &(impl Layer + serde::Serialize), n: usize) -> Result<CostReport> {
    CostReport::measure(net, &Tensor::zeros([n, 1, 28, 28]), |x| net.forward(x))
}

#[test]
fn the_ledger_counts_bytes_and_products() -> Result<()> {
    let rng = &mut Random::new(0);
    let net = Sequential((
        Conv2d::new(1, 20, 5, rng),
        MaxPool2d::new(2),
        Conv2d::new(20, 50, 5, rng),
        MaxPool2d::new(2),
        Flatten,
        Linear::new(800, 500, rng),
        Relu,
        Linear::new(500, 10, rng),
    ));
    let dense = count(&net, 3)?;
    assert_eq!(dense.dense(), 20 * 24 * 24 * 25 + 50 * 64 * 500 + 800 * 500 + 5000);
    assert_eq!(dense.stored(), dense.dense());
    let names: Vec<&str> = dense.work.iter().map(|work| work.param.as_str()).collect();
    assert_eq!(names, ["0.weight", "2.weight", "5.weight", "7.weight"]);
    prune::layerwise(&net, Amount::Density(0.1), matrices)?;
    codebooks(&net, 4, |name, _| name == "5.weight")?;
    Quantizer::new(4).channels().attach(&net, |name, _| name == "7.weight")?;
    convert(&net)?;
    let small = count(&net, 1)?;
    assert_eq!(small.dense(), dense.dense());
    // Whole numbers may be 0 where the mask keeps a weight.
    assert_eq!(
        small.work[..3].iter().map(|w| w.stored).sum::<u64>(),
        (20 * 576 * 25 + 50 * 64 * 500 + 400_000) / 10
    );
    assert!(small.work[3].stored <= 500);
    assert_eq!(small.sizes.total(), pack(&net, &[])?.to_bytes()?.len());
    let timed = small.timed(|| Ok(()), || Ok(()))?;
    assert!(timed.latency.is_some() && timed.to_string().contains("microseconds"));
    let json = serde_json::to_value(&timed).unwrap();
    assert_eq!(json["work"][2]["dense"], 400_000);
    assert_eq!(json["sizes"][0]["part"], "header");
    Ok(())
}
