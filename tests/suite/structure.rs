//! Channels cut out of a model: what goes belongs together, and what is left computes what it did.
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    compress::{
        Channels, prune,
        scores::{ScoreCriterion, Scores},
    },
    nn::{
        AttentionMasks, BatchNorm2d, Conv2d, Flatten, GroupNorm, Layer, LayerNorm, Linear, MaxPool2d,
        MultiheadAttention, Param, Relu, Sequential, init,
    },
    ops::{AttentionOptions, ConvOptions},
};
use serde::Serialize;

fn normal(shape: &[usize], seed: u64) -> Tensor {
    init::normal(shape, 0.0, 1.0, &mut Random::new(seed))
}

/// Sets the odd outputs of a layer to nothing at all.
fn silence(weight: &Param, bias: Option<&Param>) {
    let odd = |p: &Param| {
        p.update(|w| {
            let each = w.numel() / w.dim(0);
            w.as_mut_slice().chunks_mut(each).skip(1).step_by(2).for_each(|row| row.fill(0.0));
        });
    };
    odd(weight);
    bias.into_iter().for_each(odd);
}

fn output(net: &impl Layer, x: &Tensor) -> Vec<f32> {
    net.forward(&Tape::inference().constant(x)).to_vec().unwrap()
}

fn close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?}\n{b:?}");
}

#[test]
fn convolutions_lose_filters_and_what_reads_them_loses_columns() -> Result<()> {
    let rng = &mut Random::new(0);
    let net = Sequential((
        Conv2d::new(1, 4, 3, rng),
        MaxPool2d::new(2),
        Relu,
        Conv2d::new(4, 6, 3, rng),
        Relu,
        Flatten,
        Linear::new(6 * 9, 10, rng),
        Relu,
        Linear::new(10, 3, rng),
    ));
    silence(&net.0.0.weight, net.0.0.bias.as_ref());
    silence(&net.0.3.weight, net.0.3.bias.as_ref());
    silence(&net.0.6.weight, net.0.6.bias.as_ref());
    let x = normal(&[2, 1, 12, 12], 1);
    let before = output(&net, &x);
    let channels = Channels::trace(&net, &x, |x| net.forward(x))?;
    assert_eq!(channels.families(), 3);
    assert_eq!(channels.shrink(&net, 0.5)?, 2 + 3 + 5);
    assert_eq!(net.0.0.weight.shape()[..], [2, 1, 3, 3]);
    assert_eq!(net.0.3.weight.shape()[..], [3, 2, 3, 3]);
    assert_eq!(net.0.6.weight.shape()[..], [5, 27]);
    assert_eq!(net.0.8.weight.shape()[..], [3, 5]);
    close(&output(&net, &x), &before);
    Ok(())
}

#[derive(Serialize)]
struct Residual {
    first: Linear,
    inner: Linear,
    outer: Linear,
    last: Linear,
}

impl Residual {
    fn forward<'t>(&self, x: &Var<'t>) -> Var<'t> {
        let x = self.first.forward(x);
        let x = &x + self.outer.forward(&self.inner.forward(&x).relu());
        self.last.forward(&x)
    }
}

#[test]
fn a_residual_connection_ties_what_it_adds() -> Result<()> {
    let rng = &mut Random::new(0);
    let net = Residual {
        first: Linear::new(3, 8, rng),
        inner: Linear::new(8, 6, rng),
        outer: Linear::new(6, 8, rng),
        last: Linear::new(8, 2, rng),
    };
    for layer in [&net.first, &net.outer, &net.inner] {
        silence(&layer.weight, layer.bias.as_ref());
    }
    let x = normal(&[5, 3], 1);
    let before = net.forward(&Tape::inference().constant(&x)).to_vec()?;
    let channels = Channels::trace(&net, &x, |x| net.forward(x))?;
    assert_eq!(channels.families(), 2);
    channels.shrink(&net, 0.5)?;
    assert_eq!(net.first.weight.shape()[..], [4, 3]);
    assert_eq!(net.inner.weight.shape()[..], [3, 4]);
    assert_eq!(net.outer.weight.shape()[..], [4, 3]);
    assert_eq!(net.last.weight.shape()[..], [2, 4]);
    close(&net.forward(&Tape::inference().constant(&x)).to_vec()?, &before);
    Ok(())
}

#[test]
fn batch_normalisation_goes_along() -> Result<()> {
    let rng = &mut Random::new(0);
    let net = Sequential((
        Conv2d::new(2, 4, 3, rng).padding(1),
        BatchNorm2d::new(4),
        Relu,
        Conv2d::new(4, 2, 3, rng),
    ));
    silence(&net.0.0.weight, net.0.0.bias.as_ref());
    let x = normal(&[3, 2, 6, 6], 1);
    let before = output(&net, &x);
    let channels = Channels::trace(&net, &x, |x| net.forward(x))?;
    channels.shrink(&net, 0.5)?;
    assert_eq!(net.0.1.running_mean.shape()[..], [2]);
    assert_eq!(net.0.3.weight.shape()[..], [2, 2, 3, 3]);
    close(&output(&net, &x), &before);
    // And it trains.
    let tape = Tape::new();
    let grads = net.forward(&tape.constant(&x)).square().sum().backward()?;
    assert_eq!(grads.param(&net.0.0.weight).unwrap().shape()[..], [2, 2, 3, 3]);
    Ok(())
}

#[derive(Serialize)]
struct Beside {
    left: Linear,
    right: Linear,
    last: Linear,
}

#[test]
fn concatenated_channels_go_by_their_own_families() -> Result<()> {
    let rng = &mut Random::new(0);
    let net =
        Beside { left: Linear::new(3, 4, rng), right: Linear::new(3, 6, rng), last: Linear::new(10, 2, rng) };
    for layer in [&net.left, &net.right] {
        silence(&layer.weight, layer.bias.as_ref());
    }
    fn run<'t>(net: &Beside, x: &Var<'t>) -> Var<'t> {
        net.last.forward(&x.tape().cat(&[&net.left.forward(x), &net.right.forward(x)], 1).relu())
    }
    let x = normal(&[5, 3], 1);
    let before = run(&net, &Tape::inference().constant(&x)).to_vec()?;
    let channels = Channels::trace(&net, &x, |x| run(&net, x))?;
    assert_eq!(channels.families(), 2);
    channels.shrink(&net, 0.5)?;
    assert_eq!([&net.left, &net.right].map(|layer| layer.weight.shape()[0]), [2, 3]);
    assert_eq!(net.last.weight.shape()[..], [2, 5]);
    close(&run(&net, &Tape::inference().constant(&x)).to_vec()?, &before);
    Ok(())
}

#[test]
fn what_is_mixed_stays_and_masks_go_along() -> Result<()> {
    let rng = &mut Random::new(0);
    let net = Sequential((
        Linear::new(4, 6, rng),
        LayerNorm::new([6]),
        Linear::new(6, 8, rng),
        Relu,
        Linear::new(8, 2, rng),
    ));
    prune::global(&net, prune::Amount::Density(0.7), kolmo::compress::matrices)?;
    let x = normal(&[5, 4], 1);
    let channels = Channels::trace(&net, &x, |x| net.forward(x))?;
    assert_eq!(channels.families(), 1, "a layer's mean and variance are over all its channels");
    channels.shrink(&net, 0.25)?;
    assert_eq!(net.0.0.weight.shape()[..], [6, 4]);
    assert_eq!(net.0.2.weight.shape()[..], [6, 6]);
    assert_eq!(net.0.4.weight.mask().unwrap().shape()[..], [2, 6]);
    assert!(channels.shrink(&net, 0.25).is_err(), "the model isn't what it was");
    assert!(channels.shrink(&net, 1.5).is_err());
    Ok(())
}

/// Self-attention whose number of heads follows from the weights: a head is four channels.
#[derive(Serialize)]
struct Heads {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
}

impl Heads {
    /// `[n, length, 6] -> [n, length, 6]`
    fn forward<'t>(&self, x: &Var<'t>) -> Var<'t> {
        let heads = |layer: &Linear| {
            let y = layer.forward(x);
            let heads = (y.dim(2) / 4) as isize;
            y.reshape([y.dim(0) as isize, y.dim(1) as isize, heads, 4]).transpose(1, 2)
        };
        let attention = kolmo::ops::AttentionOptions::default();
        let y = heads(&self.query).scaled_dot_product_attention(
            &heads(&self.key),
            &heads(&self.value),
            &attention,
        );
        let y = y.transpose(1, 2);
        let width = (y.dim(2) * y.dim(3)) as isize;
        x + self.out.forward(&y.reshape([y.dim(0) as isize, y.dim(1) as isize, width]))
    }
}

#[test]
fn heads_of_attention_go_as_a_whole() -> Result<()> {
    let rng = &mut Random::new(0);
    let net = Heads {
        query: Linear::new(6, 16, rng),
        key: Linear::new(6, 16, rng),
        value: Linear::new(6, 16, rng),
        out: Linear::new(16, 6, rng),
    };
    // Heads 0 and 2 give nothing, and their other weights are small.
    let head = |i: usize| (i / 4).is_multiple_of(2);
    for (layer, factor) in [(&net.query, 0.1), (&net.key, 0.1), (&net.value, 0.0)] {
        for (p, each) in [(&layer.weight, 6), (layer.bias.as_ref().unwrap(), 1)] {
            p.update(|w| {
                let values = w.as_mut_slice().iter_mut().enumerate();
                values.filter(|(i, _)| head(i / each)).for_each(|(_, v)| *v *= factor);
            });
        }
    }
    let x = normal(&[2, 5, 6], 1);
    let run = |net: &Heads| net.forward(&Tape::inference().constant(&x)).to_vec();
    let before = run(&net)?;
    let channels = Channels::trace(&net, &x, |x| net.forward(x))?;
    assert_eq!(channels.families(), 1, "four heads");
    assert_eq!(channels.shrink(&net, 0.5)?, 2);
    for layer in [&net.query, &net.key, &net.value] {
        assert_eq!(layer.weight.shape()[..], [8, 6]);
        assert_eq!(layer.bias.as_ref().unwrap().shape()[..], [8]);
    }
    assert_eq!(net.out.weight.shape()[..], [6, 8]);
    close(&run(&net)?, &before);
    Ok(())
}

/// The number of groups and of heads stands in the layer: a model with fewer channels there would not run.
#[test]
fn what_the_options_of_a_layer_count_stays() -> Result<()> {
    let rng = &mut Random::new(0);
    let groups = |n| ConvOptions::new().groups(n);
    let depthwise = Sequential((
        Conv2d::new(2, 4, 3, rng),
        Relu,
        Conv2d::with_options(4, 4, 3, groups(4), rng),
        Conv2d::new(4, 6, 1, rng),
        GroupNorm::new(2, 6),
        Conv2d::new(6, 8, 1, rng),
        Relu,
        Conv2d::new(8, 2, 1, rng),
    ));
    let x = normal(&[2, 2, 7, 7], 1);
    let channels = Channels::trace(&depthwise, &x, |x| depthwise.forward(x))?;
    assert_eq!(channels.families(), 1, "only the last eight");
    channels.shrink(&depthwise, 0.5)?;
    assert_eq!(depthwise.0.0.weight.shape()[..], [4, 2, 3, 3]);
    assert_eq!(depthwise.0.5.weight.shape()[..], [4, 6, 1, 1]);
    assert_eq!(output(&depthwise, &x).len(), 2 * 2 * 9);

    let attention = MultiheadAttention::new(8, 2, rng)?;
    let x = normal(&[2, 5, 8], 1);
    let channels =
        Channels::trace(&attention, &x, |x| attention.forward(x, x, x, &AttentionMasks::default()))?;
    assert_eq!(channels.families(), 0);
    Ok(())
}

/// Attention in which two heads of queries share one of keys, and gated units behind it.
#[derive(Serialize)]
struct Grouped {
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Grouped {
    fn forward<'t>(&self, x: &Var<'t>) -> Var<'t> {
        let [q, k, v] = [&self.q, &self.k, &self.v]
            .map(|layer| layer.forward(x).reshape([1, x.dim(1) as isize, -1, 4]).transpose(1, 2));
        let y =
            q.rotary(0, 1e4).scaled_dot_product_attention(&k.rotary(0, 1e4), &v, &AttentionOptions::new());
        let x = x + self.out.forward(&y.transpose(1, 2).flatten(2, -1));
        &x + self.down.forward(&(self.gate.forward(&x).silu() * self.up.forward(&x)))
    }
}

#[test]
fn heads_that_share_keys_go_together_and_by_scores() -> Result<()> {
    let rng = &mut Random::new(0);
    let mut linear = |inputs, outputs| Linear::new(inputs, outputs, rng);
    let net = Grouped {
        q: linear(8, 24),
        k: linear(8, 12),
        v: linear(8, 12),
        out: linear(24, 8),
        gate: linear(8, 10),
        up: linear(8, 10),
        down: linear(10, 8),
    };
    // The second head of keys and the odd units give nothing, however large the weights before them are.
    let nothing = |p: &Param, gone: &dyn Fn(usize) -> bool| {
        p.update(|w| {
            let columns = w.dim(1);
            let each = w.as_mut_slice().iter_mut().enumerate();
            each.filter(|(i, _)| gone(i % columns)).for_each(|(_, v)| *v = 0.0);
        });
    };
    nothing(&net.out.weight, &|column| (8..16).contains(&column));
    nothing(&net.down.weight, &|column| column % 2 == 1);
    for p in [&net.k.weight, &net.up.weight] {
        p.update(|w| w.as_mut_slice().iter_mut().for_each(|v| *v *= 0.1));
        p.update(|w| w.as_mut_slice()[8..64].iter_mut().for_each(|v| *v *= 100.0));
    }
    let x = normal(&[1, 5, 8], 1);
    let run = |net: &Grouped| net.forward(&Tape::inference().constant(&x)).to_vec();
    let before = run(&net)?;
    let channels = Channels::trace(&net, &x, |x| net.forward(x))?;
    assert_eq!(channels.families(), 2);
    let mut scores = Scores::new(ScoreCriterion::Taylor);
    scores.add(&net, &net.forward(&Tape::new().constant(&x)).square().sum().backward()?)?;
    assert_eq!(
        channels.clone().pick(|name| name.starts_with("k.")).shrink_by_scores(&net, 0.34, &scores)?,
        1
    );
    assert_eq!([&net.q, &net.k, &net.v].map(|layer| layer.weight.shape()[0]), [16, 8, 8]);
    assert_eq!(net.out.weight.shape()[1], 16);
    close(&run(&net)?, &before);
    assert_eq!(channels.pick(|name| name.starts_with("up.")).shrink_by_scores(&net, 0.5, &scores)?, 5);
    assert_eq!((net.gate.weight.shape()[0], net.down.weight.shape()[1]), (5, 5));
    close(&run(&net)?, &before);
    let message = Channels::trace(&net, &x, |x| net.forward(x))?.shrink_by_scores(&net, 0.5, &scores);
    assert!(message.unwrap_err().to_string().contains("192 scores for"), "shapes are others");
    Ok(())
}
