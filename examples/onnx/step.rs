//! A small language model with its cache: keys and values of the tokens before go in and come out, longer by the new
//! tokens. How many texts, new tokens and tokens before there are is left open.
use super::{
    Result,
    models::{Folder, noise},
};
use kolmo::{
    Random, Tape, Tensor, Var,
    nn::{Embedding, Layer, Linear, Param, RmsNorm},
    ops::AttentionOptions,
};
use serde::Serialize;

/// A step of a small Llama: some tokens more, whose keys and values go behind those of the tokens before them.
#[derive(Serialize)]
struct Step {
    table: Embedding,
    /// Cosines and sines of rotary positions, by place.
    angles: [Param; 2],
    blocks: Vec<StepBlock>,
    norm: RmsNorm,
}

#[derive(Serialize)]
struct StepBlock {
    norms: [RmsNorm; 2],
    /// Queries, keys, values, results.
    attention: [Linear; 4],
    /// Gate, up, down.
    feed_forward: [Linear; 3],
}

/// Heads of queries, heads of keys and values, and the size of each.
const HEADS: [usize; 3] = [4, 2, 6];

impl StepBlock {
    fn new(rng: &mut Random) -> StepBlock {
        let [heads, kept, size] = HEADS;
        let width = heads * size;
        let mut linear = |from, to| Linear::new(from, to, rng).bias(false);
        let sizes = [heads, kept, kept].map(|n| linear(width, n * size));
        let [queries, keys, values] = sizes;
        StepBlock {
            norms: [RmsNorm::new([width]), RmsNorm::new([width])],
            attention: [queries, keys, values, linear(width, width)],
            feed_forward: [linear(width, 32), linear(width, 32), linear(32, width)],
        }
    }

    /// `[texts, tokens, width]`, and keys and values of the tokens before, `[texts, heads, before, size]`.
    fn forward<'t>(&self, x: &Var<'t>, past: [&Var<'t>; 2], angles: &[Var<'t>; 2]) -> [Var<'t>; 3] {
        let [texts, tokens, size] = [x.dim(0), x.dim(1), HEADS[2]].map(|n| n as isize);
        let tape = x.tape();
        let y = self.norms[0].forward(x);
        let [queries, keys, values] = [0, 1, 2]
            .map(|i| self.attention[i].forward(&y).reshape([texts, tokens, -1, size]).transpose(1, 2));
        let [cos, sin] = angles;
        let turned = |x: &Var<'t>| {
            let (a, b) = (x.narrow(-1, 0, HEADS[2] / 2), x.narrow(-1, HEADS[2] / 2, HEADS[2] / 2));
            x * cos + tape.cat(&[&-b, &a], -1) * sin
        };
        let keys = tape.cat(&[past[0], &turned(&keys)], 2);
        let values = tape.cat(&[past[1], &values], 2);
        // A new token sees those before it, and itself.
        let options = AttentionOptions::new().causal_lower_right(true);
        let seen = turned(&queries).scaled_dot_product_attention(&keys, &values, &options);
        let x = x + self.attention[3].forward(&seen.transpose(1, 2).reshape([texts, tokens, -1]));
        let y = self.norms[1].forward(&x);
        let [gate, up, down] = &self.feed_forward;
        [&x + down.forward(&(gate.forward(&y).silu() * up.forward(&y))), keys, values]
    }
}

impl Step {
    /// Scores, then keys and values of each block; indices are the tokens and their places.
    fn forward<'t>(&self, tape: &'t Tape, past: &[Var<'t>], indices: &[Tensor<u32>]) -> Vec<Var<'t>> {
        let angles = self.angles.each_ref().map(|table| tape.param(table).index_select(0, &indices[1]));
        let mut x = self.table.forward(&indices[0], tape);
        let mut kept = Vec::new();
        for (block, past) in self.blocks.iter().zip(past.chunks(2)) {
            let [y, keys, values] = block.forward(&x, [&past[0], &past[1]], &angles);
            (x, kept) = (y, [kept, vec![keys, values]].concat());
        }
        let scores = self.norm.forward(&x).linear(&tape.param(&self.table.weight), None);
        [vec![scores], kept].concat()
    }
}

pub fn write(to: &mut Folder<'_>, rng: &mut Random) -> Result<()> {
    let [heads, kept, size] = HEADS;
    let half = size / 2;
    let angle = |i: usize| (i / size) as f32 / 100f32.powf((i % half) as f32 / half as f32);
    let angles = [f32::cos, f32::sin].map(|f| Param::new(Tensor::from_fn([64, size], |i| f(angle(i)))));
    let step = Step {
        table: Embedding::new(19, heads * size, rng),
        angles,
        blocks: vec![StepBlock::new(rng), StepBlock::new(rng)],
        norm: RmsNorm::new([heads * size]),
    };
    let past: Vec<Tensor> = (0..4).map(|i| noise(&[2, kept, 5, size], 20 + i)).collect();
    let along = |axis: usize| -> Vec<(usize, usize)> { (0..4).map(|i| (i, axis)).collect() };
    let (tokens, places) = (Tensor::from([[7u32, 0, 18], [3, 3, 1]]), Tensor::from([5u32, 6, 7]));
    let past: Vec<&Tensor> = past.iter().collect();
    let open =
        [("batch", [along(0), vec![(4, 0)]].concat()), ("tokens", vec![(4, 1), (5, 0)]), ("past", along(2))];
    to.add_open("llama_with_cache", &step, &past, &[&tokens, &places], &open, &|tape, past, indices| {
        step.forward(tape, past, indices)
    })
}
