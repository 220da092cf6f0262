//! Models that are a chain of blocks, calibrated and changed one block after the other.
use super::calibration::Calibration;
use crate::{
    error::{Error, Result},
    tape::{Tape, Var},
    tensor::{Shape, Tensor},
};
use serde::Serialize;

/// Changes the blocks of a chain one after the other, each calibrated on what those before it, changed as
/// they are by then, make of `states`: what goes into the first block, an example or batch each. `run` runs
/// the block of a number; `change` is given a block and its calibration, for which `filter` picks the weights
/// by their names in the block. Each block runs twice on each state, and there are the statistics of one
/// block at a time. What comes out of the last block is returned.
///
/// ```
/// use kolmo::{Random, Tensor, compress::{block_by_block, matrices, quantize::Gptq}, nn::{Layer, Linear}};
/// let rng = &mut Random::new(0);
/// let blocks: Vec<Linear> = (0..3).map(|_| Linear::new(32, 32, rng)).collect();
/// let states: Vec<Tensor> = (0..4).map(|_| Tensor::randn([64, 32], rng)).collect();
/// let gptq = Gptq::new(4).groups(32);
/// block_by_block(&blocks, states, matrices, |i, x| blocks[i].forward(x).relu(), |b, seen| gptq.apply(b, seen))?;
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// Those of running and changing, with the number of the block; a filter that picks nothing of a block.
pub fn block_by_block<B: Serialize>(
    blocks: &[B],
    mut states: Vec<Tensor<f32>>,
    filter: impl Fn(&str, &Shape) -> bool,
    run: impl for<'t> Fn(usize, &Var<'t>) -> Var<'t>,
    mut change: impl FnMut(&B, &Calibration) -> Result<()>,
) -> Result<Vec<Tensor<f32>>> {
    let mut tape = Tape::inference();
    for (i, block) in blocks.iter().enumerate() {
        let numbered = |error: Error| Error::invalid("block_by_block", format!("block {i}: {error}"));
        let calibration = Calibration::new(block, &filter).map_err(numbered)?;
        for state in &states {
            tape.reset();
            calibration
                .observe(&tape, || run(i, &tape.constant(state)).value().map(drop))
                .map_err(numbered)?;
        }
        change(block, &calibration).map_err(numbered)?;
        drop(calibration);
        for state in &mut states {
            tape.reset();
            *state = run(i, &tape.constant(&*state)).value().map_err(numbered)?.clone();
        }
    }
    Ok(states)
}
