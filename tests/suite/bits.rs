//! The same training gives the same bits on every machine: with vectors of any width, on any number of threads.
use crate::resume::this_program;
use kolmo::{
    Float, Random, Result, Tape, Tensor, Var,
    nn::{
        BatchNorm2d, Conv2d, Dropout, Embedding, Flatten, Gelu, Layer, LayerNorm, Linear, MaxPool2d,
        MultiheadAttention, MultiheadAttentionOptions, Recurrent, RecurrentMode, RecurrentOptions, Relu,
        Sequential, Silu, Tanh, init, visit_params,
    },
    optim::{Adam, AdamW, Optimizer, RmsProp, Sgd},
};
use serde::Serialize;
use std::process::Output;

/// A hash of numbers to the last bit (FNV-1a).
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bits: u64) {
        for byte in bits.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// A few steps, and the hash of all losses and, after them, of all weights.
fn train<T: Float, M: Serialize>(
    model: &M,
    optimizer: &mut impl Optimizer<T>,
    mut loss: impl for<'t> FnMut(&'t Tape<T>) -> Var<'t, T>,
) -> Result<u64> {
    let mut hash = Hash::new();
    let mut tape = Tape::new();
    for _ in 0..6 {
        tape.reset();
        let loss = loss(&tape);
        let gradients = loss.backward()?;
        hash.add(loss.item()?.to_f64().to_bits());
        optimizer.step(model, &gradients)?;
    }
    visit_params::<T, _>(model, |_, p| {
        p.value().to_vec().iter().for_each(|v| hash.add(v.to_f64().to_bits()));
    });
    Ok(hash.0)
}

fn mlp<T: Float>() -> Result<u64> {
    let rng = &mut Random::new(1);
    let net = Sequential((
        Linear::<T>::with_dtype(37, 61, rng),
        Gelu,
        Dropout::new(0.2),
        LayerNorm::with_dtype([61]),
        Linear::with_dtype(61, 33, rng),
        Tanh,
        Linear::with_dtype(33, 5, rng),
    ));
    let x: Tensor<T> = init::normal([29, 37], 0.0, 1.0, rng);
    let y = Tensor::from_fn([29], |i| (i * 7 % 5) as u32);
    // One row alone, a product with a vector.
    let row: Tensor<T> = init::normal([1, 37], 0.0, 1.0, rng);
    train(&net, &mut AdamW::new(1e-2), |tape| {
        let alone = net.forward(&tape.constant(&row));
        net.forward(&tape.constant(&x)).cross_entropy(&y) + alone.square().mean() * 0.1
    })
}

#[derive(Serialize)]
#[serde(bound = "")]
struct Cnn<T: Float> {
    conv: Conv2d<T>,
    norm: BatchNorm2d<T>,
    depthwise: Conv2d<T>,
    head: Linear<T>,
}

fn cnn<T: Float>() -> Result<u64> {
    let rng = &mut Random::new(2);
    let net = Cnn::<T> {
        conv: Conv2d::with_dtype(3, 12, 3, kolmo::ops::ConvOptions::default().padding(1), rng),
        norm: BatchNorm2d::with_dtype(12),
        depthwise: Conv2d::with_dtype(
            12,
            12,
            3,
            kolmo::ops::ConvOptions::default().groups(12).padding(1),
            rng,
        ),
        head: Linear::with_dtype(12 * 25, 4, rng),
    };
    let x: Tensor<T> = init::normal([6, 3, 11, 11], 0.0, 1.0, rng);
    let y = Tensor::from_fn([6], |i| (i % 4) as u32);
    train(&net, &mut Sgd::new(0.05).momentum(0.9), |tape| {
        let h = Silu.forward(&net.norm.forward(&net.conv.forward(&tape.constant(&x))));
        let h = MaxPool2d::new(2).forward(&Relu.forward(&net.depthwise.forward(&h)));
        net.head.forward(&Flatten.forward(&h)).cross_entropy(&y)
    })
}

#[derive(Serialize)]
#[serde(bound = "")]
struct Gpt<T: Float> {
    tokens: Embedding<T>,
    norm: LayerNorm<T>,
    attention: MultiheadAttention<T>,
    up: Linear<T>,
    down: Linear<T>,
    head: Linear<T>,
}

fn gpt<T: Float>() -> Result<u64> {
    let rng = &mut Random::new(3);
    let net = Gpt::<T> {
        tokens: Embedding::with_dtype(23, 24, rng),
        norm: LayerNorm::with_dtype([24]),
        attention: MultiheadAttention::with_dtype(24, 3, MultiheadAttentionOptions::new(), rng)?,
        up: Linear::with_dtype(24, 50, rng),
        down: Linear::with_dtype(50, 24, rng),
        head: Linear::with_dtype(24, 23, rng),
    };
    let at = Tensor::from_fn([2, 19], |i| (i * i % 23) as u32);
    let next = Tensor::from_fn([38], |i| (i * i * 3 % 23) as u32);
    train(&net, &mut Adam::new(1e-2), |tape| {
        let x = net.tokens.forward(&at, tape);
        let h = net.norm.forward(&x);
        let h = x + net.attention.forward(&h, &h, &h, &kolmo::nn::AttentionMasks::causal());
        let h = &h + net.down.forward(&net.up.forward(&h).gelu_tanh());
        net.head.forward(&h).reshape([38, 23]).cross_entropy(&next)
    })
}

#[derive(Serialize)]
#[serde(bound = "")]
struct Lstm<T: Float> {
    cells: Recurrent<T>,
    head: Linear<T>,
}

fn lstm<T: Float>() -> Result<u64> {
    let rng = &mut Random::new(4);
    let net = Lstm::<T> {
        cells: Recurrent::with_dtype(
            RecurrentMode::Lstm,
            9,
            21,
            RecurrentOptions::new().num_layers(2).bidirectional(true),
            rng,
        ),
        head: Linear::with_dtype(42, 1, rng),
    };
    let x: Tensor<T> = init::normal([7, 3, 9], 0.0, 1.0, rng);
    train(&net, &mut RmsProp::new(1e-2), |tape| {
        let (y, state) = net.cells.forward(&tape.constant(&x), None);
        let y = net.head.forward(&y);
        y.sin().exp().mean() + state.hidden.square().sum() * 0.01 + (y.square() + 1.0).log().sum()
    })
}

/// Long sums and products, whose order of additions is seen in the last bits.
fn sums<T: Float>() -> Result<u64> {
    let mut hash = Hash::new();
    let tape = Tape::<T>::inference();
    let rng = &mut Random::new(5);
    for [m, k, n] in
        [[1, 5000, 3], [3, 5000, 1], [2, 300, 2], [1, 777, 40], [5, 4097, 7], [17, 600, 33], [8, 65, 8]]
    {
        let (a, b): (Tensor<T>, Tensor<T>) =
            (init::normal([m, k], 0.0, 1.0, rng), init::normal([k, n], 0.0, 1.0, rng));
        let (a, b) = (tape.constant(a), tape.constant(b));
        let turned = tape.constant(b.value()?.transpose(0, 1)?.contiguous());
        for y in [a.matmul(&b), b.t().matmul(&a.t()), turned.matmul(&a.t())] {
            y.to_vec()?.iter().for_each(|v| hash.add(v.to_f64().to_bits()));
        }
    }
    let x: Tensor<T> = init::normal([41, 1031], 0.0, 1.0, rng);
    let x = tape.constant(x);
    for y in [
        x.sum(),
        x.sum_dim(0, false),
        x.sum_dim(1, false),
        x.var_dim(1, 1.0, false),
        x.softmax(1).cumsum(0),
        x.logsumexp(1, false),
    ] {
        y.to_vec()?.iter().for_each(|v| hash.add(v.to_f64().to_bits()));
    }
    Ok(hash.0)
}

/// Factorisations, in one block and in several.
fn systems<T: Float>() -> Result<u64> {
    let mut hash = Hash::new();
    for n in [3, 11, 40, 70] {
        let tape = Tape::<T>::new();
        let rng = &mut Random::new(6);
        let (a, b): (Tensor<T>, Tensor<T>) =
            (init::normal([n, n], 0.0, 1.0, rng), init::normal([n, 21], 0.0, 1.0, rng));
        let a = tape.input(a);
        let square = a.matmul(&a.t()) + tape.constant(Tensor::eye(n));
        for y in [a.solve(&b), a.inv(), square.cholesky(false), a.slogdet().1, a.svdvals()] {
            let gradient = y.square().sum().grad(&[&a])?;
            for y in [&y, &gradient[0]] {
                y.to_vec()?.iter().for_each(|v| hash.add(v.to_f64().to_bits()));
            }
        }
    }
    Ok(hash.0)
}

fn all<T: Float>() -> Result<[u64; 6]> {
    Ok([mlp::<T>()?, cnn::<T>()?, gpt::<T>()?, lstm::<T>()?, sums::<T>()?, systems::<T>()?])
}

/// Prints what this process computes.
#[test]
#[ignore = "run by the test beside it"]
fn print() {
    println!("bits {:x?} {:x?}", all::<f32>().unwrap(), all::<f64>().unwrap());
}

/// Of the MLP, the CNN, the GPT, the LSTM, the sums and the factorisations, in f32 and in f64. They change with the
/// arithmetic: then `ArithmeticVersion` counts up.
const BITS: &str = "[fa77d33ffabc840c, be170ce74aef8526, 912a3fdd4252df74, eee821100b38f1e2, 80a5867657d5eec6, 88bdd5c3e53a77ee] \
                    [497bd2d2b2a0c6d, d8fa0d336dc8e7ca, fbbcdba37b54b000, 68247b74507aa44b, 952b96def3782f2f, f44b066225fc45be]";

#[test]
fn vectors_threads_and_machines_leave_no_trace() {
    let run = |isa: &str, threads: &str| {
        let mut command = this_program();
        command.args(["--exact", "bits::print", "--ignored", "--nocapture"]);
        command.env("KOLMO_ISA", isa).env("KOLMO_NUM_THREADS", threads);
        let Output { stdout, .. } = command.output().unwrap();
        let text = String::from_utf8(stdout).unwrap();
        text.lines().find_map(|l| Some(l.split_once("bits ")?.1.to_string())).unwrap_or(text)
    };
    // On a machine that has less, the best that it has.
    let mut all = vec![("avx512", "1"), ("avx512", "3"), ("avx2", "1"), ("avx2", "3"), ("exact", "2")];
    match kolmo::runtime::instruction_set() {
        // Without NEON's own kernels, too.
        "neon" => all.push(("portable", "1")),
        "portable" if !cfg!(target_arch = "aarch64") => all.retain(|(isa, _)| *isa == "exact"),
        _ => {}
    }
    for (isa, threads) in all {
        assert_eq!(run(isa, threads), BITS, "KOLMO_ISA={isa} on {threads} threads");
    }
}

#[test]
fn a_file_of_another_arithmetic_is_refused_by_name() {
    use kolmo::compress::coding::ArithmeticVersion;
    let here = ArithmeticVersion::here().byte();
    assert!(ArithmeticVersion::check(here).is_ok());
    let [other, later] =
        [here ^ 0x80, here + 1].map(|byte| ArithmeticVersion::check(byte).unwrap_err().to_string());
    let number = format!("arithmetic {} with", here & 0x7f);
    assert!(other.contains(&format!("{number} unfused")) && other.contains("KOLMO_ISA="), "{other}");
    assert!(later.contains(&number) && later.contains("another version of the crate"), "{later}");
}
