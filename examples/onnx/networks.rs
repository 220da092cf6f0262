//! Networks: of images, of words, and small ones whose weights are shrunk.
use super::{
    Result,
    models::{Folder, noise, trained},
    step,
};
use kolmo::{
    Random, Tape, Tensor, Var,
    compress::{
        Affine, Along, all_params, matrices,
        prune::{self, Amount},
        quantize::{self, Quantizer, WeightOnly, convert},
    },
    data::{Gguf, GgufTensor},
    nn::*,
    ops::PoolOptions,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Convolutions with normalisation and a residual, as in image networks.
#[derive(Serialize)]
struct Residual {
    stem: Conv2d,
    norms: [BatchNorm; 2],
    conv: Conv2d,
    head: Linear,
}

impl Residual {
    fn new(rng: &mut Random) -> Residual {
        let norms = [trained(BatchNorm2d::new(8), rng), trained(BatchNorm2d::new(8), rng)];
        Residual {
            stem: Conv2d::new(3, 8, 3, rng).padding(1).bias(false),
            norms,
            conv: Conv2d::new(8, 8, 3, rng).padding(1),
            head: Linear::new(8 * 16, 10, rng),
        }
    }

    fn forward<'t>(&self, x: &Var<'t>) -> Var<'t> {
        let x = self.norms[0].forward(&self.stem.forward(x)).relu().max_pool2d(&PoolOptions::new(2));
        let y = (self.norms[1].forward(&self.conv.forward(&x)) + &x).relu();
        self.head.forward(&y.flatten(1, -1))
    }
}

/// A small language model: positions, causal attention, tied weights.
#[derive(Serialize)]
struct Words {
    table: Embedding,
    places: Param,
    blocks: TransformerEncoder,
    norm: RmsNorm,
}

impl Words {
    fn forward<'t>(&self, tape: &'t Tape, index: &Tensor<u32>) -> Var<'t> {
        let x = self.table.forward(index, tape);
        let x = x + tape.param(&self.places).narrow(0, 0, index.dim(1));
        let x = self.norm.forward(&self.blocks.forward(&x, &AttentionMasks::new().is_causal(true)));
        x.linear(&tape.param(&self.table.weight), None)
    }
}

/// The network that is quantised.
type Net = Sequential<(Linear, Relu, Linear)>;

/// A network whose inputs, weights, values and results are all codes.
fn codes(to: &mut Folder<'_>, rng: &mut Random) -> Result<()> {
    let net: Net = Sequential((Linear::new(64, 48, rng), Relu, Linear::new(48, 10, rng)));
    Quantizer::new(8).channels().attach(&net, matrices)?;
    let x = noise(&[4, 64], 11);
    for (name, bits) in [("mlp_codes_of_8_bits", 8), ("mlp_codes_of_4_bits", 4)] {
        let most = (1 << (bits - 1)) - 1;
        let [given, hidden] = [Affine::from_range(-3.0, 3.5, bits)?, Affine::from_range(0.0, 2.0, bits)?];
        let scales: [f64; 10] = std::array::from_fn(|i| (1.0 + 0.1 * i as f64) / f64::from(most));
        let results = Affine::new(scales, [0; 10], Along::Axis(1), -most..=most)?;
        to.add(name, &net, &[&x], &[], true, &|_, x, _| {
            let y = net.0.0.forward(&x[0].fake_quantize(&given)).relu().fake_quantize(&hidden);
            vec![net.0.2.forward(&y).fake_quantize(&results)]
        })?;
    }
    Ok(())
}

/// Matrices as a GGUF file holds them, one of each type.
fn types(to: &mut Folder<'_>) -> Result<()> {
    let file = Gguf::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/gguf/types.gguf"))?;
    let held = |t: &GgufTensor| Ok((t.name().to_string(), Param::new(file.packed_tensor::<f32>(t.name())?)));
    let all: BTreeMap<String, Param> = file.tensors().iter().map(held).collect::<kolmo::Result<_>>()?;
    let widest = all.values().map(|p| p.shape()[1]).max().unwrap_or(0);
    to.add("types_of_gguf", &all, &[&noise(&[2, widest], 12)], &[], true, &|tape, x, _| {
        let cut = |p: &Param| x[0].narrow(1, 0, p.shape()[1]).linear(&tape.param(p), None);
        all.values().map(cut).collect()
    })
}

pub fn write(to: &mut Folder<'_>, rng: &mut Random) -> Result<()> {
    let net = |rng: &mut Random| Sequential((Linear::new(64, 48, rng), Relu, Linear::new(48, 10, rng)));
    let x = noise(&[4, 64], 8);
    let mut quantised = |name: &str, change: &dyn Fn(&Net) -> kolmo::Result<()>| {
        let net = net(rng);
        change(&net)?;
        to.add(name, &net, &[&x], &[], true, &|_, x, _| vec![net.forward(&x[0])])
    };
    quantised("mlp", &|_| Ok(()))?;
    quantised("mlp_pruned", &|net| prune::global(net, Amount::Fraction(0.8), matrices).map(|_| ()))?;
    quantised("mlp_codebook", &|net| quantize::codebooks(net, 16, all_params).map(|_| ()))?;
    quantised("mlp_8_bits", &|net| Quantizer::new(8).attach(net, matrices))?;
    quantised("mlp_4_bits_by_row", &|net| {
        Quantizer::new(4).channels().attach(net, matrices)?;
        convert(net)
    })?;
    quantised("mlp_4_bits_by_group", &|net| Quantizer::new(4).groups(16).attach(net, matrices))?;
    quantised("mlp_pruned_2_bits", &|net| {
        prune::global(net, Amount::Fraction(0.5), matrices)?;
        Quantizer::new(2).groups(16).attach(net, matrices)
    })?;
    quantised("mlp_frozen", &|net| {
        Quantizer::new(4).groups(16).attach(net, matrices)?;
        named_params::<f32>(net).iter().try_for_each(|(_, p)| p.freeze())
    })?;
    quantised("mlp_8_bits_zero_points", &|net| WeightOnly::new(8).apply(net, matrices))?;
    quantised("mlp_4_bits_zero_points", &|net| WeightOnly::new(4).groups(16).apply(net, matrices))?;
    codes(to, rng)?;
    types(to)?;
    let images = noise(&[2, 3, 8, 8], 9);
    let residual = Residual::new(rng);
    to.add("residual", &residual, &[&images], &[], true, &|_, x, _| vec![residual.forward(&x[0])])?;
    Quantizer::new(8).channels().attach(&residual, matrices)?;
    to.add("residual_8_bits", &residual, &[&images], &[], true, &|_, x, _| vec![residual.forward(&x[0])])?;
    let words = Words {
        table: Embedding::new(17, 8, rng),
        places: Param::new(noise(&[16, 8], 10)),
        blocks: TransformerEncoder::with_options(
            8,
            2,
            2,
            TransformerOptions::new().dim_feedforward(16).norm_first(true),
            rng,
        )?,
        norm: RmsNorm::new([8]),
    };
    let index = Tensor::from([[3u32, 1, 4, 1, 5], [9, 2, 6, 5, 3]]);
    let open = [("batch", vec![(0, 0)]), ("length", vec![(0, 1)])];
    to.add_open("words", &words, &[], &[&index], &open, &|tape, _, index| {
        vec![words.forward(tape, &index[0])]
    })?;
    step::write(to, rng)
}
