//! The models of the workloads, with the weights that all peers have.
use crate::{
    gpt::{Config, Gpt},
    timing::fill,
};
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    nn::{
        BatchNorm2d, Conv2d, Embedding, Flatten, Layer, Linear, MaxPool2d, Param, Recurrent, Relu,
        Sequential, named_params,
    },
    tensor::Shape,
};
use serde::Serialize;

pub fn tensor(seed: u32, shape: impl Into<Shape>, scale: f32) -> Tensor {
    let shape = shape.into();
    let data = fill(seed, shape.numel(), scale);
    Tensor::from_fn(shape, |i| data[i])
}

/// Layer number `l` of a multilayer perceptron, with the peers' weights.
pub fn linear(l: u32, inputs: usize, outputs: usize) -> Linear {
    let scale = 1.0 / (inputs as f32).sqrt();
    Linear {
        weight: Param::new(tensor(2 * l, [outputs, inputs], scale)),
        bias: Some(Param::new(tensor(2 * l + 1, [outputs], scale))),
    }
}

pub fn mlp(s: [usize; 4]) -> Sequential<(Linear, Relu, Linear, Relu, Linear)> {
    Sequential((linear(0, s[0], s[1]), Relu, linear(1, s[1], s[2]), Relu, linear(2, s[2], s[3])))
}

/// A convolution with the peers' weights.
pub fn conv(l: u32, inputs: usize, outputs: usize, kernel: usize) -> Conv2d {
    let scale = 1.0 / ((inputs * kernel * kernel) as f32).sqrt();
    let layer = Conv2d::new(inputs, outputs, kernel, &mut Random::new(0));
    layer.weight.set(tensor(2 * l, [outputs, inputs, kernel, kernel], scale));
    Conv2d { bias: Some(Param::new(tensor(2 * l + 1, [outputs], scale))), ..layer }
}

pub type Lenet = Sequential<(Conv2d, MaxPool2d, Conv2d, MaxPool2d, Flatten, Linear, Relu, Linear)>;

pub fn lenet() -> Lenet {
    let (first, second) = (conv(0, 1, 20, 5), conv(1, 20, 50, 5));
    let pool = || MaxPool2d::new(2);
    Sequential((first, pool(), second, pool(), Flatten, linear(2, 800, 500), Relu, linear(3, 500, 10)))
}

type Part = Sequential<(Conv2d, BatchNorm2d, Relu, MaxPool2d)>;

#[derive(Serialize)]
pub struct Cnn {
    parts: Vec<Part>,
    last: Linear,
}

pub fn cnn() -> Cnn {
    let part = |(l, (inputs, outputs)): (u32, (usize, usize))| {
        let conv = Conv2d::new(inputs, outputs, 3, &mut Random::new(0)).padding(1);
        let scale = 1.0 / ((inputs * 9) as f32).sqrt();
        conv.weight.set(tensor(4 * l, [outputs, inputs, 3, 3], scale));
        Sequential((Conv2d { bias: None, ..conv }, BatchNorm2d::new(outputs), Relu, MaxPool2d::new(2)))
    };
    let sizes = [(3, 32), (32, 64), (64, 128)];
    Cnn { parts: (0..).zip(sizes).map(part).collect(), last: linear(25, 128, 10) }
}

impl Cnn {
    pub fn forward<'t>(&self, x: &Var<'t>) -> Var<'t> {
        self.last.forward(&self.parts.forward(x).mean_dim([2, 3], false))
    }
}

/// Four layers of width 128 with an output matrix of their own.
pub fn gpt_nano() -> Result<Gpt> {
    let config = Config { vocabulary: 65, block_size: 64, layers: 4, heads: 4, width: 128, dropout: 0.0 };
    let mut gpt = Gpt::new(config, &mut Random::new(0))?;
    let own = 1.0 / 128f32.sqrt();
    gpt.lm_head.weight = Param::new(tensor(5, [65, 128], own));
    gpt.wte.weight.set(tensor(0, [65, 128], 0.1));
    gpt.wpe.weight.set(tensor(1, [64, 128], 0.1));
    for (block, seed) in gpt.blocks.iter().zip((10..).step_by(10)) {
        let weights = named_params::<f32>(block).into_iter().filter(|(name, _)| !name.starts_with("ln_"));
        for ((name, p), seed) in weights.zip(seed..) {
            let inputs = if name == "proj.weight" { 512f32 } else { 128.0 };
            let scale = if name.ends_with("bias") { 0.05 } else { 1.0 / inputs.sqrt() };
            p.set(tensor(seed, p.shape(), scale));
        }
    }
    Ok(gpt)
}

#[derive(Serialize)]
pub struct GruChar {
    embedding: Embedding,
    gru: Recurrent,
    last: Linear,
}

impl GruChar {
    pub fn new() -> GruChar {
        let rng = &mut Random::new(0);
        let scale = 1.0 / 256f32.sqrt();
        let net = GruChar {
            embedding: Embedding::new(65, 128, rng),
            gru: Recurrent::gru(128, 256, rng),
            last: Linear::new(256, 65, rng),
        };
        net.embedding.weight.set(tensor(0, [65, 128], 0.1));
        for (name, seed) in [("weight_ih_l0", 1), ("weight_hh_l0", 2), ("bias_ih_l0", 3), ("bias_hh_l0", 4)] {
            net.gru.params[name].update(|w| *w = tensor(seed, w.shape(), scale));
        }
        net.last.weight.set(tensor(5, [65, 256], scale));
        net.last.bias.iter().for_each(|b| b.set(tensor(6, [65], scale)));
        net
    }

    pub fn forward<'t>(&self, tape: &'t Tape, x: &Tensor<u32>) -> Var<'t> {
        self.last.forward(&self.gru.forward(&self.embedding.forward(x, tape), None).0)
    }
}
