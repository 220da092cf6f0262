//! Models of all kinds: each layer, activations and operations together.
use super::{Result, networks};
use kolmo::{
    Random, Tape, Tensor, Var,
    data::write_npy,
    nn::*,
    onnx::Export,
    ops::{ConvOptions, InterpolateMode, InterpolateTo, PoolOptions},
    tensor::Element,
};
use serde::Serialize;
use std::{fs, path::Path};

/// Where models go, and the examples that they are given.
pub struct Folder<'a> {
    path: &'a Path,
    opset: u64,
    count: usize,
}

/// A size that is left open, and the axes that have it, each of an input and counted in it.
pub type Open<'a> = (&'a str, Vec<(usize, usize)>);

/// What a model gives.
pub type Function<'f> = &'f dyn for<'t> Fn(&'t Tape, &[Var<'t>], &[Tensor<u32>]) -> Vec<Var<'t>>;

/// Three times as long along some axes.
fn thrice<T: Element>(t: &Tensor<T>, axes: impl Iterator<Item = isize>) -> kolmo::Result<Tensor<T>> {
    axes.into_iter().try_fold(t.clone(), |t, axis| Tensor::cat(&[&t, &t, &t], axis))
}

pub fn noise(sizes: &[usize], seed: u64) -> Tensor {
    Tensor::randn(sizes, &mut Random::new(seed))
}

impl Folder<'_> {
    /// Writes a model, of any number of examples (the first axis of each input) if it takes them, with inputs and
    /// outputs.
    pub fn add(
        &mut self,
        name: &str,
        model: &impl Serialize,
        inputs: &[&Tensor],
        indices: &[&Tensor<u32>],
        open: bool,
        f: Function<'_>,
    ) -> Result<()> {
        let axes = (0..inputs.len() + indices.len()).map(|i| (i, 0)).collect();
        let open = if open { vec![("batch", axes)] } else { vec![] };
        self.add_open(name, model, inputs, indices, &open, f)
    }

    /// The same with some sizes left open.
    pub fn add_open(
        &mut self,
        name: &str,
        model: &impl Serialize,
        inputs: &[&Tensor],
        indices: &[&Tensor<u32>],
        open: &[Open<'_>],
        f: Function<'_>,
    ) -> Result<()> {
        let mut export = Export::new().opset_version(self.opset);
        for (size, axes) in open {
            export = export.dynamic_axes(*size, axes);
        }
        let path = self.path.join(format!("{name}.onnx"));
        let told = |e: kolmo::Error| format!("{name}: {e}");
        export.save(model, inputs, indices, f, &path).map_err(told)?;
        // Other sizes than it was recorded with.
        let axes = |i: usize| {
            let all = open.iter().flat_map(|(_, axes)| axes);
            all.filter(move |(input, _)| *input == i).map(|(_, axis)| *axis as isize)
        };
        let inputs = inputs.iter().enumerate().map(|(i, t)| thrice(t, axes(i)));
        let inputs: Vec<Tensor> = inputs.collect::<kolmo::Result<_>>()?;
        let indices = indices.iter().enumerate().map(|(i, t)| thrice(t, axes(inputs.len() + i)));
        let indices: Vec<Tensor<u32>> = indices.collect::<kolmo::Result<_>>()?;
        let tape = Tape::inference();
        let x: Vec<Var<'_>> = inputs.iter().map(|x| tape.constant(x)).collect();
        for (i, y) in f(&tape, &x, &indices).iter().enumerate() {
            write_npy(y.value()?.clone(), path.with_extension(format!("output_{i}.npy")))?;
        }
        for (i, x) in inputs.iter().enumerate() {
            write_npy(x.clone(), path.with_extension(format!("input_{i}.npy")))?;
        }
        for (i, x) in indices.iter().enumerate() {
            write_npy(x.cast::<i64>(), path.with_extension(format!("input_{}.npy", inputs.len() + i)))?;
        }
        self.count += 1;
        Ok(())
    }

    /// A layer of one input.
    fn layer(&mut self, name: &str, layer: &(impl Layer + Serialize), sizes: &[usize]) -> Result<()> {
        let x = noise(sizes, self.count as u64);
        self.add(name, layer, &[&x], &[], true, &|_, x, _| vec![layer.forward(&x[0])])
    }
}

pub fn write(folder: &Path, opset: u64) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let to = &mut Folder { path: folder, opset, count: 0 };
    let rng = &mut Random::new(1);
    layers(to, rng)?;
    sequences(to, rng)?;
    operations(to)?;
    networks::write(to, rng)?;
    println!("{} models are in {}", to.count, folder.display());
    Ok(())
}

/// Running statistics as if they came from training.
pub fn trained(norm: BatchNorm, rng: &mut Random) -> BatchNorm {
    let n = norm.running_mean.shape()[0];
    norm.running_mean.set(Tensor::randn([n], rng));
    norm.running_var.set(Tensor::rand([n], rng));
    for p in [&norm.weight, &norm.bias].into_iter().flatten() {
        p.set(Tensor::randn([n], rng));
    }
    norm
}

fn layers(to: &mut Folder<'_>, rng: &mut Random) -> Result<()> {
    let image = &[2, 4, 9, 8][..];
    to.layer("linear", &Linear::new(5, 3, rng), &[2, 5])?;
    to.layer("linear_of_sequences", &Linear::new(5, 3, rng).bias(false), &[2, 7, 5])?;
    to.layer("conv1d", &Conv1d::new(4, 6, 3, rng).padding(1), &[2, 4, 9])?;
    let options = ConvOptions::new().stride([2, 1]).padding([1, 2]).dilation([1, 2]).groups(2);
    to.layer("conv2d", &Conv2d::with_options(4, 6, 3, options, rng), image)?;
    to.layer("conv2d_same", &Conv2d::new(4, 6, 4, rng).padding(kolmo::ops::Padding::Same), image)?;
    to.layer("conv_transpose1d", &ConvTranspose1d::new(4, 3, 3, rng), &[2, 4, 9])?;
    let options = ConvOptions::new().stride(2).padding(1).output_padding(1);
    to.layer("conv_transpose2d", &ConvTranspose2d::with_options(4, 3, 3, options, rng), image)?;
    to.layer("max_pool1d", &MaxPool1d::new(2), &[2, 4, 9])?;
    to.layer("max_pool2d", &MaxPool2d::new(2), image)?;
    to.layer("avg_pool1d", &AvgPool1d::new(3), &[2, 4, 9])?;
    to.layer("avg_pool2d", &AvgPool2d::new(2), image)?;
    to.layer("adaptive_avg_pool2d", &AdaptiveAvgPool2d::new([Some(3), Some(1)]), image)?;
    let bilinear = InterpolateMode::Linear { align_corners: false };
    to.layer("upsample", &Upsample::new(InterpolateTo::Scale(2.0), bilinear), image)?;
    to.layer("upsample_nearest", &Upsample::new(InterpolateTo::Scale(2.0), InterpolateMode::Nearest), image)?;
    to.layer("batch_norm", &trained(BatchNorm2d::new(4), rng), image)?;
    to.layer("batch_norm_of_rows", &trained(BatchNorm1d::new(5), rng), &[3, 5])?;
    to.layer("instance_norm", &InstanceNorm::new().affine(4), image)?;
    to.layer("group_norm", &GroupNorm::new(2, 4), image)?;
    to.layer("layer_norm", &LayerNorm::new([9, 8]), image)?;
    to.layer("rms_norm", &RmsNorm::new([8]), image)?;
    to.layer("prelu", &PRelu::new(4), image)?;
    to.layer("glu", &Glu::default(), image)?;
    to.layer("flatten", &Sequential((Dropout::new(0.5), Flatten)), image)?;
    let table = Embedding::new(11, 6, rng);
    let index = Tensor::from([[1u32, 4, 10], [0, 4, 7]]);
    to.add("embedding", &table, &[], &[&index], true, &|tape, _, index| vec![table.forward(&index[0], tape)])
}

fn sequences(to: &mut Folder<'_>, rng: &mut Random) -> Result<()> {
    let modes = [
        ("lstm", RecurrentMode::Lstm),
        ("gru", RecurrentMode::Gru),
        ("rnn", RecurrentMode::RnnTanh),
        ("rnn_relu", RecurrentMode::RnnRelu),
    ];
    for (name, mode) in modes {
        let options = RecurrentOptions::new().num_layers(2).bidirectional(true);
        let layer = Recurrent::with_options(mode, 4, 5, options, rng);
        let x = noise(&[7, 3, 4], 1);
        to.add(name, &layer, &[&x], &[], false, &|_, x, _| {
            let (y, end) = layer.forward(&x[0], None);
            [Some(y), Some(end.hidden), end.cell].into_iter().flatten().collect()
        })?;
    }
    let attention = MultiheadAttention::new(8, 2, rng)?;
    let x = noise(&[2, 5, 8], 2);
    to.add("attention", &attention, &[&x], &[], true, &|_, x, _| {
        vec![attention.forward(&x[0], &x[0], &x[0], &AttentionMasks::new())]
    })?;
    let encoder = TransformerEncoder::new(8, 2, 2, rng)?;
    to.add("transformer_encoder", &encoder, &[&x], &[], true, &|_, x, _| {
        vec![encoder.forward(&x[0], &AttentionMasks::new().is_causal(true))]
    })?;
    let decoder = TransformerDecoder::new(8, 2, 1, rng)?;
    let memory = noise(&[2, 4, 8], 3);
    to.add("transformer_decoder", &decoder, &[&x, &memory], &[], true, &|_, x, _| {
        vec![decoder.forward(&x[0], &x[1], &AttentionMasks::new(), &AttentionMasks::new())]
    })
}

fn operations(to: &mut Folder<'_>) -> Result<()> {
    let (x, y) = (noise(&[2, 4, 6], 4), noise(&[2, 4, 6], 5));
    let none = ();
    to.add("activations", &none, &[&x], &[], true, &|_, x, _| {
        let x = &x[0];
        let all = [
            x.relu(),
            x.leaky_relu(0.1),
            x.elu(0.7),
            x.celu(1.3),
            x.selu(),
            x.gelu(),
            x.gelu_tanh(),
            x.silu(),
            x.mish(),
            x.softplus(2.0, 20.0),
            x.softsign(),
            x.hardswish(),
            x.hardsigmoid(),
            x.hardtanh(-0.5, 0.5),
            x.relu6(),
            x.logsigmoid(),
            x.tanhshrink(),
            x.hardshrink(0.5),
            x.softshrink(0.5),
            x.threshold(0.1, -1.0),
            x.sigmoid(),
            x.tanh(),
            x.softmax(-1),
            x.log_softmax(1),
        ];
        vec![x.tape().cat(&all.iter().collect::<Vec<_>>(), 1)]
    })?;
    to.add("functions", &none, &[&x], &[], true, &|_, x, _| {
        let (x, up) = (&x[0], x[0].abs() + 0.5);
        let all = [
            x.exp(),
            x.exp2(),
            x.expm1(),
            up.log(),
            up.log1p(),
            up.log2(),
            up.log10(),
            up.sqrt(),
            x.sin(),
            x.cos(),
            x.atan(),
            x.sinh(),
            x.cosh(),
            x.asinh(),
            up.rsqrt(),
            up.reciprocal(),
            x.sign(),
            x.floor(),
            x.ceil(),
            (x * 3.0).round(),
            x.trunc(),
            x.frac(),
            x.erf(),
            x.erfc(),
            x.square(),
            x.sinc(),
            x.clamp(-0.5, 0.25),
            x.clamp_min(-0.5),
            x.clamp_max(0.5),
            up.powf(1.5),
            2.0 - x,
            2.0 / &up,
            -x,
            x.deg2rad(),
            up.pow(x),
        ];
        vec![x.tape().cat(&all.iter().collect::<Vec<_>>(), 1)]
    })?;
    to.add("pairs", &none, &[&x, &y], &[], true, &|_, x, _| {
        let [x, y] = x else { return Vec::new() };
        let all = [
            x + y,
            x - y,
            x * y,
            x / (y.abs() + 1.0),
            x.maximum(y),
            x.minimum(y),
            x.fmax(y),
            x.fmin(y),
            x.hypot(y),
            x.logaddexp(y),
            x.copysign(y),
            x.remainder(&(y.abs() + 0.5)),
            x.fmod(&(y.abs() + 0.5)),
            x.abs().xlogy(&(y.abs() + 0.5)),
            x.matmul(&y.transpose(1, 2)).matmul(y),
            x.cdist(y, 2.0).matmul(y),
            x.cdist(y, 1.0).matmul(y),
        ];
        vec![x.tape().cat(&all.iter().collect::<Vec<_>>(), 1)]
    })?;
    to.add("reductions", &none, &[&x], &[], true, &|_, x, _| {
        let x = &x[0];
        vec![
            x.sum_dim(1, false) + x.mean_dim([1], false) + x.prod_dim(1, false) + x.logsumexp([1], false),
            x.amax_dim([1, 2], true) - x.amin_dim([1, 2], true),
            x.var_dim([2], 1.0, true) + x.std_dim([2], 0.0, true),
            x.norm_dim(2.0, [2], false) + x.norm_dim(1.0, [2], false),
            x.cumsum(1),
        ]
    })?;
    to.add("moved", &none, &[&x], &[], true, &|tape, x, _| {
        let x = &x[0];
        let part = x.narrow(1, 1, 2).flip([2]);
        let padded = x.pad(&[1, 2], kolmo::ops::Pad::Reflect).narrow(2, 0, 6);
        let picked = x.index_select(1, &Tensor::from([3u32, 0, 3]));
        let turned = x.permute([0, 2, 1]).reshape([-1, 4, 6]);
        let rolled = x.roll([2], [2]).tril(0);
        vec![tape.cat(
            &[
                &part,
                &padded,
                &picked,
                &turned,
                &rolled,
                &x.unfold(2, 3, 1).mean_dim([3], false).pad(&[0, 2], kolmo::ops::Pad::Constant(0.0)),
            ],
            1,
        )]
    })?;
    let image = noise(&[2, 3, 8, 10], 6);
    let filter = Param::new(noise(&[3, 1, 3, 3], 7));
    let pool = PoolOptions::new(3).stride(2).padding(1);
    to.add("pooled", &filter, &[&image], &[], true, &|tape, x, _| {
        let y = x[0].conv2d(&tape.param(&filter), None, &ConvOptions::new().groups(3).padding(1));
        vec![
            y.max_pool2d(&pool),
            y.avg_pool2d(&pool.clone().count_include_pad(false)),
            y.max_pool2d(&PoolOptions::new(3).ceil_mode(true)),
        ]
    })?;
    Ok(())
}
