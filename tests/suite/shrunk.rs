//! Random small models run after channels were cut out, and compute what they compute with zeros in their
//! place.
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    compress::{
        Channels, matrices,
        prune::{self, Amount},
        quantize::{Quantizer, codebooks, convert},
    },
    nn::*,
    ops::PoolOptions,
};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};

#[derive(Serialize)]
enum Block {
    Linear(Linear),
    Conv(Conv2d),
    BatchNorm(BatchNorm2d),
    LayerNorm(LayerNorm),
    GroupNorm(GroupNorm),
    RmsNorm(RmsNorm),
    PRelu(PRelu),
    Attention(MultiheadAttention),
    Recurrent(Recurrent),
    Relu,
    Sigmoid,
    Pool,
    Flatten,
    /// A reshape with the number of channels written down.
    Halves(usize),
    Residual(Vec<Block>),
    Beside(Vec<Block>, Vec<Block>),
}

fn run<'t>(blocks: &[Block], x: &Var<'t>) -> Var<'t> {
    blocks.iter().fold(x.clone(), |x, block| match block {
        Block::Linear(layer) => layer.forward(&x),
        Block::Conv(layer) => layer.forward(&x),
        Block::BatchNorm(layer) => layer.forward(&x),
        Block::LayerNorm(layer) => layer.forward(&x),
        Block::GroupNorm(layer) => layer.forward(&x),
        Block::RmsNorm(layer) => layer.forward(&x),
        Block::PRelu(layer) => layer.forward(&x),
        Block::Attention(layer) => layer.forward(&x, &x, &x, &AttentionMasks::default()),
        Block::Recurrent(layer) => layer.forward(&x, None).0,
        Block::Relu => x.relu(),
        Block::Sigmoid => x.sigmoid(),
        Block::Pool => x.max_pool2d(&PoolOptions::new(2)),
        Block::Flatten => x.flatten(1, -1),
        Block::Halves(n) => {
            let (rows, d) = (x.dim(0) as isize, *n as isize);
            x.reshape([rows, 2, d / 2]).transpose(1, 2).reshape([rows, d])
        }
        Block::Residual(inner) => &x + run(inner, &x),
        Block::Beside(a, b) => x.tape().cat(&[&run(a, &x), &run(b, &x)], 1),
    })
}

/// What a value is between blocks.
#[derive(Clone, Copy)]
enum Kind {
    Rows(usize),
    Sequences(usize),
    Images(usize, usize),
}

struct Maker {
    rng: Random,
    state: u64,
}

impl Maker {
    fn below(&mut self, n: usize) -> usize {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % n
    }

    fn width(&mut self) -> usize {
        [4, 6, 8][self.below(3)]
    }

    /// A few blocks from one kind of value to another.
    fn blocks(&mut self, mut kind: Kind, count: usize) -> (Vec<Block>, Kind) {
        let mut blocks = Vec::new();
        for _ in 0..count {
            let (block, next) = self.block(kind, count);
            blocks.push(block);
            kind = next;
        }
        (blocks, kind)
    }

    fn block(&mut self, kind: Kind, depth: usize) -> (Block, Kind) {
        let (choice, m) = (self.below(10), self.width());
        match (kind, choice) {
            (_, 0) => (Block::Relu, kind),
            (_, 1) => (Block::Sigmoid, kind),
            (Kind::Rows(n), 2) => (Block::LayerNorm(LayerNorm::new([n])), kind),
            (Kind::Rows(n), 3) => (Block::PRelu(PRelu::new(n)), kind),
            (Kind::Rows(n), 4) if depth > 1 => {
                let (inner, end) = self.blocks(kind, depth / 2);
                let Kind::Rows(last) = end else { return (Block::Relu, kind) };
                let back = Block::Linear(Linear::new(last, n, &mut self.rng));
                (Block::Residual(inner.into_iter().chain([back]).collect()), kind)
            }
            (Kind::Rows(_), 5) if depth > 1 => {
                let ((a, Kind::Rows(n)), (b, Kind::Rows(m))) =
                    (self.blocks(kind, depth / 2), self.blocks(kind, 1))
                else {
                    return (Block::Relu, kind);
                };
                (Block::Beside(a, b), Kind::Rows(n + m))
            }
            (Kind::Rows(n), 6) if n % 2 == 0 => (Block::Halves(n), kind),
            (Kind::Rows(n), 7) => (Block::BatchNorm(BatchNorm::new(n)), kind),
            (Kind::Rows(n), _) => (Block::Linear(Linear::new(n, m, &mut self.rng)), Kind::Rows(m)),
            (Kind::Sequences(n), 2) => (Block::LayerNorm(LayerNorm::new([n])), kind),
            (Kind::Sequences(n), 3) => (Block::RmsNorm(RmsNorm::new([n])), kind),
            (Kind::Sequences(n), 4 | 5) => {
                (Block::Attention(MultiheadAttention::new(n, 2, &mut self.rng).unwrap()), kind)
            }
            (Kind::Sequences(n), 6) => {
                let cell = [RecurrentMode::RnnTanh, RecurrentMode::Lstm, RecurrentMode::Gru][self.below(3)];
                (Block::Recurrent(Recurrent::new(cell, n, m, &mut self.rng)), Kind::Sequences(m))
            }
            (Kind::Sequences(n), _) => (Block::Linear(Linear::new(n, m, &mut self.rng)), Kind::Sequences(m)),
            (Kind::Images(n, _), 2) => (Block::BatchNorm(BatchNorm::new(n)), kind),
            (Kind::Images(n, _), 3) => (Block::GroupNorm(GroupNorm::new(2, n)), kind),
            (Kind::Images(n, side), 4) if side > 3 => (Block::Pool, Kind::Images(n, side / 2)),
            (Kind::Images(n, side), 5) => (Block::Flatten, Kind::Rows(n * side * side)),
            (Kind::Images(n, _), 6) => {
                let inner = vec![Block::Conv(Conv2d::new(n, n, 3, &mut self.rng).padding(1)), Block::Relu];
                (Block::Residual(inner), kind)
            }
            (Kind::Images(n, side), _) => {
                (Block::Conv(Conv2d::new(n, m, 3, &mut self.rng).padding(1)), Kind::Images(m, side))
            }
        }
    }
}

/// Other numbers in all parameters, no two alike, those of statistics above 0.
fn shuffle(net: &[Block]) {
    let mut next = 0u32;
    visit_params(net, |_, p: &Param| {
        p.update(|w| {
            for v in w.as_mut_slice() {
                next += 1;
                let size = (f64::from(next) * 0.754_877_666_2).fract() * 0.8 + 0.2;
                *v = if next.is_multiple_of(3) { -size } else { size } as f32;
            }
        });
    });
    visit_params(net, |path, p: &Param| {
        if path.to_string().ends_with("running_var") {
            p.update(|w| w.as_mut_slice().iter_mut().for_each(|v| *v = v.abs()));
        }
    });
}

/// Zeros where the second model has nothing any more.
fn masked(before: &HashMap<String, Tensor>, net: &[Block]) -> HashMap<String, Tensor> {
    let mut after = HashMap::new();
    visit_params(net, |path, p: &Param| drop(after.insert(path.to_string(), p.value())));
    let cut = |(name, old): (&String, &Tensor)| {
        let (new, shape) = (&after[name], old.shape());
        if new.shape() == shape {
            return (name.clone(), old.clone());
        }
        let place: HashMap<u32, usize> =
            old.to_vec().iter().enumerate().map(|(i, v)| (v.to_bits(), i)).collect();
        let coordinates = |i: usize| -> Vec<usize> {
            let mut rest = i;
            let mut all: Vec<usize> = shape.iter().rev().map(|&n| (rest % n, rest /= n).0).collect();
            all.reverse();
            all
        };
        let mut kept = vec![BTreeSet::new(); shape.rank()];
        for v in new.to_vec() {
            for (axis, at) in coordinates(place[&v.to_bits()]).into_iter().enumerate() {
                kept[axis].insert(at);
            }
        }
        let values = old.to_vec();
        let whole = |i: usize| coordinates(i).iter().zip(&kept).all(|(at, kept)| kept.contains(at));
        (name.clone(), Tensor::from_fn(shape, |i| if whole(i) { values[i] } else { 0.0 }))
    };
    before.iter().map(cut).collect()
}

#[test]
fn random_models_compute_what_their_masked_ones_compute() -> Result<()> {
    let mut cut = 0;
    for seed in 0..120 {
        let mut maker = Maker { rng: Random::new(seed), state: seed * 77 + 1 };
        let start = match seed % 3 {
            0 => Kind::Rows(3),
            1 => Kind::Sequences(4),
            _ => Kind::Images(2, 6),
        };
        let shape: &[usize] = match start {
            Kind::Rows(n) => &[5, n],
            Kind::Sequences(n) => &[2, 3, n],
            Kind::Images(n, side) => &[2, n, side, side],
        };
        let (mut net, mut end) = maker.blocks(start, 4);
        if let Kind::Images(n, side) = end {
            net.push(Block::Flatten);
            end = Kind::Rows(n * side * side);
        }
        let (Kind::Rows(n) | Kind::Sequences(n) | Kind::Images(n, _)) = end;
        net.push(Block::Linear(Linear::new(n, 2, &mut maker.rng)));
        shuffle(&net);
        let x: Tensor = init::normal(shape, 0.0, 1.0, &mut maker.rng);
        let output = |net: &[Block]| run(net, &Tape::inference().constant(&x)).to_vec();
        output(&net)?;
        let channels = Channels::trace(&net, &x, |x| run(&net, x))?;
        let mut before = HashMap::new();
        visit_params(&net, |path, p: &Param| drop(before.insert(path.to_string(), p.value())));
        let gone = channels.shrink(&net, 0.5)?;
        assert_eq!(gone > 0, channels.families() > 0);
        cut += usize::from(gone > 0);
        let json = || serde_json::to_string(&net).unwrap();
        let found = output(&net).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let zeros = masked(&before, &net);
        visit_params(&net, |path, p: &Param| p.set(&zeros[&path.to_string()]));
        let expected = output(&net)?;
        let size = expected.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
        let near = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1e-3 * size);
        assert!(near, "seed {seed}: {found:?}, {expected:?}, {:.300}", json());
    }
    assert!(cut > 40, "{cut}");
    Ok(())
}

/// Linear layers around attention, with nothing that mixes channels between them.
#[test]
fn attention_without_a_norm_runs_after_shrinking() -> Result<()> {
    let rng = &mut Random::new(0);
    let (first, attention, last) =
        (Linear::new(3, 4, rng), MultiheadAttention::new(4, 2, rng)?, Linear::new(4, 2, rng));
    let net = (&first, &attention, &last);
    fn forward<'t>(net: &(&Linear, &MultiheadAttention, &Linear), x: &Var<'t>) -> Var<'t> {
        let h = net.0.forward(x);
        net.2.forward(&net.1.forward(&h, &h, &h, &AttentionMasks::default()))
    }
    let x: Tensor = init::normal([2, 5, 3], 0.0, 1.0, rng);
    Channels::trace(&net, &x, |x| forward(&net, x))?.shrink(&net, 0.5)?;
    assert_eq!(forward(&net, &Tape::inference().constant(&x)).to_vec()?.len(), 20);
    Ok(())
}

type Net<T> = Sequential<(Linear<T>, Relu, Linear<T>)>;

fn net<T: kolmo::Float>() -> Net<T> {
    let rng = &mut Random::new(0);
    Sequential((Linear::with_dtype(4, 8, rng), Relu, Linear::with_dtype(8, 3, rng)))
}

#[test]
fn models_of_f64_shrink() -> Result<()> {
    let net = net::<f64>();
    let x: Tensor<f64> = init::normal([5, 4], 0.0, 1.0, &mut Random::new(1));
    let channels = Channels::trace(&net, &x, |x| net.forward(x))?;
    assert_eq!(channels.shrink(&net, 0.5)?, 4);
    assert_eq!(net.forward(&Tape::inference().constant(&x)).value()?.shape()[..], [5, 3]);
    Ok(())
}

#[test]
fn codes_steps_and_masks_are_cut_with_their_weights() -> Result<()> {
    type Prepare = fn(&Net<f32>) -> Result<()>;
    let ways: [(&str, Prepare); 6] = [
        ("codebook", |net| codebooks(net, 4, matrices)),
        ("steps", |net| Quantizer::new(4).attach(net, matrices)),
        ("channels", |net| Quantizer::new(4).channels().attach(net, matrices)),
        ("settled", |net| Quantizer::new(4).channels().attach(net, matrices).and_then(|()| convert(net))),
        ("rows in groups", |net| Quantizer::new(4).groups(2).attach(net, |name, _| name == "0.weight")),
        ("mask", |net| prune::global(net, Amount::Density(0.6), matrices).map(drop)),
    ];
    for (name, prepare) in ways {
        let net = net::<f32>();
        prepare(&net)?;
        let x: Tensor = init::normal([5, 4], 0.0, 1.0, &mut Random::new(1));
        let before = net.0.0.weight.effective()?.to_vec();
        let channels = Channels::trace(&net, &x, |x| net.forward(x))?;
        assert_eq!(channels.families(), 1, "{name}");
        assert_eq!(channels.shrink(&net, 0.5)?, 4, "{name}");
        assert_eq!(net.forward(&Tape::inference().constant(&x)).value()?.shape()[..], [5, 3], "{name}");
        // The rows that are left are what they were.
        let after = net.0.0.weight.effective()?.to_vec();
        let rows: Vec<&[f32]> = before.chunks(4).collect();
        assert!(after.chunks(4).all(|row| rows.contains(&row)), "{name}");
        let p = &net.0.0.weight;
        assert_eq!(p.codebook().is_some(), ["codebook", "settled"].contains(&name));
        assert_eq!(p.steps().is_some(), ["steps", "channels", "settled", "rows in groups"].contains(&name));
        assert_eq!(p.mask().is_some(), name == "mask");
    }
    Ok(())
}

#[test]
fn what_cannot_be_cut_is_an_error_and_changes_nothing() -> Result<()> {
    struct Twice;
    impl Parametrize<f32> for Twice {
        fn apply<'t>(&self, weight: &Var<'t>) -> Var<'t> {
            weight * 2.0
        }
    }
    let x: Tensor = init::normal([5, 4], 0.0, 1.0, &mut Random::new(1));
    type Prepare = fn(&Net<f32>) -> Result<()>;
    let ways: [(&str, Prepare); 2] = [
        ("operations of its own", |net| {
            net.0.2.weight.parametrize(Twice);
            Ok(())
        }),
        ("groups of 3", |net| Quantizer::new(4).groups(3).attach(net, |name, _| name == "2.weight")),
    ];
    for (says, prepare) in ways {
        let net = net::<f32>();
        prepare(&net)?;
        let channels = Channels::trace(&net, &x, |x| net.forward(x))?;
        let error = channels.shrink(&net, 0.5).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("2.weight"), "{error}");
        assert_eq!(net.0.0.weight.shape()[..], [8, 4]);
    }
    Ok(())
}
