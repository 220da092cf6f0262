//! A training step of fixed shapes asks the system for no memory once the pool has what it needs.
use super::{COUNT, left, most};
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    compress::{Adapters, Lora, matrices, quantize::WeightOnly},
    nn::{
        AttentionMasks, BatchNorm2d, Conv2d, Embedding, Flatten, Layer, LayerNorm, Linear, MaxPool2d,
        MultiheadAttention, Recurrent, RecurrentMode, RecurrentOptions, Relu, Sequential, init, named_params,
    },
    optim::{Adam, Optimizer},
    train::{load_safetensors, save_safetensors},
};
use serde::Serialize;
use std::sync::atomic::Ordering;

/// Allocations of each of thirty training steps.
fn counts<M: Serialize>(net: &M, loss: impl for<'t> Fn(&M, &'t Tape) -> Var<'t>) -> Result<Vec<usize>> {
    let mut adam = Adam::new(1e-3);
    let mut tape = Tape::new();
    let mut counts = Vec::new();
    for _ in 0..30 {
        let before = COUNT.load(Ordering::Relaxed);
        tape.reset();
        let loss = loss(net, &tape);
        let grads = loss.backward()?;
        adam.step(net, &grads)?;
        counts.push(COUNT.load(Ordering::Relaxed) - before);
    }
    Ok(counts)
}

#[derive(Serialize)]
struct Transformer {
    tokens: Embedding,
    norm: LayerNorm,
    attention: MultiheadAttention,
    scores: Linear,
}

#[derive(Serialize)]
struct Spelling {
    letters: Embedding,
    cells: Recurrent,
    scores: Linear,
}

impl Spelling {
    fn loss<'t>(&self, text: &Tensor<u32>, labels: &Tensor<u32>, tape: &'t Tape) -> Var<'t> {
        let (h, _) = self.cells.forward(&self.letters.forward(text, tape), None);
        self.scores.forward(&h).reshape([-1, 10]).cross_entropy(labels)
    }
}

pub fn a_training_step_allocates_nothing_once_warm() {
    training_steps().unwrap_or_else(|e| panic!("{e}"));
}

fn training_steps() -> Result<()> {
    let rng = &mut Random::new(0);
    let labels: Tensor<u32> = Tensor::from_fn([16], |i| i as u32 % 10);
    let mlp = Sequential((
        Linear::new(784, 300, rng),
        Relu,
        Linear::new(300, 100, rng),
        Relu,
        Linear::new(100, 10, rng),
    ));
    let images: Tensor = init::normal([16, 1, 28, 28], 0.0, 1.0, rng);
    let flat = images.reshape([16, 784])?;
    let cnn = Sequential((
        Conv2d::new(1, 8, 5, rng),
        MaxPool2d::new(2),
        Conv2d::new(8, 16, 3, rng).padding(1).bias(false),
        BatchNorm2d::new(16),
        Relu,
        MaxPool2d::new(2),
        Flatten,
        Linear::new(576, 10, rng),
    ));
    let transformer = Transformer {
        tokens: Embedding::new(10, 32, rng),
        norm: LayerNorm::new([32]),
        attention: MultiheadAttention::new(32, 4, rng)?,
        scores: Linear::new(32, 10, rng),
    };
    let text = labels.reshape([2, 8])?;
    let [gru, lstm] = [(RecurrentMode::Gru, false), (RecurrentMode::Lstm, true)].map(|(mode, two_ways)| {
        let options = RecurrentOptions::new().bidirectional(two_ways);
        Spelling {
            letters: Embedding::new(10, 24, rng),
            cells: Recurrent::with_options(mode, 24, 40, options, rng),
            scores: Linear::new(if two_ways { 80 } else { 40 }, 10, rng),
        }
    });
    for threads in [1, 2] {
        kolmo::runtime::set_num_threads(threads);
        let networks = [
            ("perceptron", counts(&mlp, |net, t| net.forward(&t.constant(&flat)).cross_entropy(&labels))?),
            (
                "convolutions",
                counts(&cnn, |net, t| net.forward(&t.constant(&images)).cross_entropy(&labels))?,
            ),
            (
                "transformer",
                counts(&transformer, |net, tape| {
                    let h = net.norm.forward(&net.tokens.forward(&text, tape));
                    let h = &h + net.attention.forward(&h, &h, &h, &AttentionMasks::causal());
                    net.scores.forward(&h.gelu_tanh()).reshape([-1, 10]).cross_entropy(&labels)
                })?,
            ),
            ("GRU", counts(&gru, |net, tape| net.loss(&text, &labels, tape))?),
            ("LSTM of both ways", counts(&lstm, |net, tape| net.loss(&text, &labels, tape))?),
        ];
        for (name, counts) in networks {
            assert!(counts[0] > 0, "the counter counts");
            // With two, each needs buffers of its own when it first takes part in an operation, whenever that
            // is.
            let warm = match threads {
                1 => counts[3..].iter().all(|&n| n == 0),
                _ => counts.windows(3).any(|steps| steps == [0; 3]),
            };
            assert!(warm, "allocations of the {name} by step, {threads} threads: {counts:?}");
        }
    }
    Ok(())
}

pub fn what_a_model_was_loaded_with_goes_back() {
    let path = std::env::temp_dir().join(format!("kolmo-loaded-{}.safetensors", std::process::id()));
    let net: Vec<Linear> = (0..8).map(|_| Linear::new(512, 512, &mut Random::new(0))).collect();
    save_safetensors(&net, &path).unwrap();
    let (loaded, more) = left(|| load_safetensors(&net, &path));
    std::fs::remove_file(&path).unwrap();
    loaded.unwrap();
    // The model has 8 MB; one of its matrices may wait to be used again.
    assert!(more < 2 << 20, "{more} bytes more than before");
}

pub fn stored_weights_are_never_all_floats() {
    let net: Vec<Linear> = (0..2).map(|_| Linear::new(1024, 1024, &mut Random::new(0))).collect();
    WeightOnly::new(4).groups(32).apply(&net, matrices).unwrap();
    kolmo::runtime::release_memory();
    let held: usize = net.iter().map(|l| l.weight.value().packed().unwrap().bytes()).sum();
    assert!(held < (1 << 20) * 5 / 4, "{held} bytes of two matrices of 4 MB");
    for rows in [1, 16, 64] {
        let x = Tensor::ones([rows, 1024]);
        let ((), most) = most(|| {
            let tape = Tape::new();
            let x = tape.input(&x);
            let y = net[1].forward(&net[0].forward(&x).relu()).square().mean();
            let _ = y.backward().unwrap();
        });
        // A few results of 256 kB at most, and a panel for each thread.
        assert!(most < 5 << 19, "{most} bytes for {rows} rows");
    }
}

pub fn adapters_of_stored_weights_make_no_gradient_of_their_size() {
    let net: Vec<Linear> = (0..2).map(|_| Linear::new(1024, 1024, &mut Random::new(0))).collect();
    WeightOnly::new(4).groups(32).apply(&net, matrices).unwrap();
    let adapters: Adapters = Lora::new(8).attach(&net, matrices, &mut Random::new(1)).unwrap();
    kolmo::runtime::release_memory();
    let x = Tensor::ones([16, 1024]);
    let (grads, most) = most(|| {
        let tape = Tape::new();
        let x = tape.constant(&x);
        net[1].forward(&net[0].forward(&x).relu()).square().mean().backward().unwrap()
    });
    assert_eq!(named_params(&adapters).iter().filter(|(_, p)| grads.param(p).is_some()).count(), 4);
    assert!(most < 5 << 19, "{most} bytes, and a matrix of floats has 4 MB");
}
