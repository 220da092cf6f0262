//! What is held while a model runs on weights in few bits.
use super::{left, most};
use kolmo::{
    Random, Tape, Tensor, Var,
    compress::{
        Activations, Artifact, matrices, pack,
        quantize::{WeightOnly, set_activations},
        save_mapped, unpack,
    },
    nn::{Conv2d, Embedding, KvCache, Layer, Linear, RmsNorm, init},
    ops::AttentionOptions,
};
use serde::Serialize;

pub fn stored_convolutions_are_never_all_floats() {
    let net = Conv2d::new(512, 512, 3, &mut Random::new(0)).padding(1);
    WeightOnly::new(4).groups(32).apply(&net, matrices).unwrap();
    kolmo::runtime::release_memory();
    let x = Tensor::ones([1, 512, 6, 6]);
    let ((), most) = most(|| {
        let tape = Tape::new();
        let x = tape.input(&x);
        let _ = net.forward(&x).square().mean().backward().unwrap();
    });
    // Two buffers for some of the weights and one for windows; as floats they would have 9.4 MB.
    assert!(most < 7 << 19, "{most} bytes");
}

/// A language model of Llama's kind.
#[derive(Serialize)]
struct Model {
    tokens: Embedding,
    blocks: Vec<Block>,
    norm: RmsNorm,
}

#[derive(Serialize)]
struct Block {
    norms: [RmsNorm; 2],
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    gate: Linear,
    up: Linear,
    down: Linear,
}

const VOCABULARY: usize = 8192;
const WIDTH: usize = 512;
const WIDE: usize = 1536;
/// Numbers of all heads of keys, and of one head.
const KEYS: usize = 128;
const HEAD: isize = 64;
const BLOCKS: usize = 3;

impl Model {
    /// With weights of this kind.
    fn new(mut weight: impl FnMut(usize, usize) -> Tensor) -> Model {
        let mut linear = |inputs, outputs| Linear::from_weights(weight(outputs, inputs), None).unwrap();
        let blocks = (0..BLOCKS).map(|_| Block {
            norms: [RmsNorm::new([WIDTH]), RmsNorm::new([WIDTH])],
            query: linear(WIDTH, WIDTH),
            key: linear(WIDTH, KEYS),
            value: linear(WIDTH, KEYS),
            output: linear(WIDTH, WIDTH),
            gate: linear(WIDTH, WIDE),
            up: linear(WIDTH, WIDE),
            down: linear(WIDE, WIDTH),
        });
        let blocks = blocks.collect();
        let tokens = Embedding::from_weights(weight(VOCABULARY, WIDTH)).unwrap();
        Model { tokens, blocks, norm: RmsNorm::new([WIDTH]) }
    }

    fn forward<'t>(&self, tape: &'t Tape, token: u32, caches: &mut [KvCache]) -> Var<'t> {
        let mut x = self.tokens.forward(&Tensor::from([token]), tape);
        for (block, cache) in self.blocks.iter().zip(caches) {
            let (start, h) = (cache.len(), block.norms[0].forward(&x));
            let heads = |y: Var<'t>| y.reshape([1, -1, HEAD]).transpose(0, 1);
            let q = heads(block.query.forward(&h)).rotary(start, 1e4);
            let k = heads(block.key.forward(&h)).rotary(start, 1e4);
            let (k, v) = cache.append(&k, &heads(block.value.forward(&h)));
            let options = AttentionOptions::new().causal_lower_right(true);
            let seen = q.scaled_dot_product_attention(&k, &v, &options).transpose(0, 1).reshape([1, -1]);
            x = &x + block.output.forward(&seen);
            let h = block.norms[1].forward(&x);
            x = &x + block.down.forward(&(block.gate.forward(&h).silu() * block.up.forward(&h)));
        }
        self.norm.forward(&x).linear(&tape.param(&self.tokens.weight), None)
    }
}

pub fn decoding_holds_the_packed_weights_the_cache_and_little_more() {
    const TOKENS: usize = 80;
    kolmo::runtime::set_num_threads(1);
    let path = std::env::temp_dir().join(format!("kolmo-decoding-{}.kolmo", std::process::id()));
    let (coded, file) = {
        let rng = &mut Random::new(0);
        let model = Model::new(|outputs, inputs| init::normal([outputs, inputs], 0.0, 0.04, rng));
        let embedding = |name: &str| name.starts_with("tokens");
        WeightOnly::new(4).groups(32).apply(&model, |n, s| matrices(n, s) && !embedding(n)).unwrap();
        WeightOnly::new(8).groups(32).apply(&model, |n, _| embedding(n)).unwrap();
        save_mapped(&model, &[], &path).unwrap();
        (pack(&model, &[]).unwrap().to_bytes().unwrap(), std::fs::metadata(&path).unwrap().len() as isize)
    };
    std::fs::remove_file(&path).unwrap();
    for activations in [Activations::Float, Activations::Int8] {
        kolmo::runtime::release_memory();
        // Without weights of its own.
        let blank = |outputs, inputs| Tensor::zeros([1, 1]).expand([outputs, inputs]).unwrap();
        let (model, weights) = left(|| {
            let model = Model::new(blank);
            unpack(&Artifact::from_bytes(&coded).unwrap(), &model).unwrap();
            set_activations(&model, activations, matrices).unwrap();
            kolmo::runtime::release_memory();
            model
        });
        let ((), running) = most(|| {
            let (mut tape, mut token) = (Tape::inference(), 1);
            let mut caches: Vec<KvCache> = (0..BLOCKS).map(|_| KvCache::new()).collect();
            for _ in 0..TOKENS {
                tape.reset();
                let logits = model.forward(&tape, token, &mut caches).to_vec().unwrap();
                token = (0..VOCABULARY).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap() as u32;
            }
        });
        // Keys and values in floats, with room for up to twice as many, and the old ones while they move.
        let cache = (3 * 2 * BLOCKS * TOKENS * KEYS * 4) as isize;
        let all = weights + running;
        assert!(weights > file * 9 / 10, "{weights} bytes of weights");
        assert!(all <= file + file / 4 + cache, "{weights} and {running} bytes beside a file of {file}");
    }
}
