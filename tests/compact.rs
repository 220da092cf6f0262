//! Layers in compact forms give what the layers give that they were made of.
use kolmo::{
    Random, Result, Tape, Tensor,
    compress::{
        Int8Linear, SparseLinear, matrices,
        prune::{self, Amount},
    },
    nn::{Layer, Linear, init},
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
            let layer = Linear::<f32>::new(inputs, outputs, rng);
            match blocks {
                true => prune::blocks(&layer, Amount::Density(density), 16, matrices)?,
                false => prune::global(&layer, Amount::Density(density), matrices)?,
            };
            let sparse = SparseLinear::of(&layer)?;
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
    let layer = Linear::<f32>::new(50, 40, &mut Random::new(0));
    let left = prune::blocks(&layer, Amount::Density(0.1), 16, matrices)?;
    assert!((left.density() - 0.1).abs() < 0.01, "{left:?}");
    let mask = layer.weight.mask().unwrap().to_vec();
    for (input, first) in (0..50).flat_map(|input| [0, 16, 32].map(|first| (input, first))) {
        let block: Vec<bool> = (first..40.min(first + 16)).map(|row| mask[row * 50 + input]).collect();
        assert!(block.iter().all(|&k| k == block[0]));
    }
    // What is stored are the blocks, the last of which have 8 rows only.
    let stored = SparseLinear::of(&layer)?.stored();
    assert!(stored >= left.kept && stored <= 2 * left.kept, "{stored} {left:?}");
    assert!(prune::blocks(layer.bias.as_ref().unwrap(), Amount::Density(0.1), 16, |_, _| true).is_err());
    Ok(())
}

#[test]
fn integers_come_near_to_floats_on_any_number_of_threads() -> Result<()> {
    let rng = &mut Random::new(0);
    for (inputs, outputs) in [(784, 300), (1000, 257), (3, 2)] {
        let layer = Linear::<f32>::new(inputs, outputs, rng);
        let compact = Int8Linear::of(&layer)?;
        for n in [1, 5, 64] {
            let x: Tensor = init::normal([n, inputs], 0.0, 1.0, rng);
            kolmo::set_threads(1);
            let one = compact.forward(&x)?.to_vec();
            kolmo::set_threads(2);
            assert_eq!(compact.forward(&x)?.to_vec(), one);
            let expected = dense(&layer, &x);
            let size = (expected.iter().map(|v| v * v).sum::<f32>() / expected.len() as f32).sqrt();
            assert!(gap(&one, &expected) < 0.06 * size.max(0.1), "{inputs} by {outputs}, {n} rows");
        }
        assert!(compact.forward(&Tensor::zeros([1, inputs + 1])).is_err());
    }
    Ok(())
}
