//! The workloads that kolmo is compared on with its peers: `suite WORKLOADS [THREADS]`, workloads separated
//! by commas. Each prints one line of JSON with the median and least time of a step, a checksum of what was
//! computed, and the most bytes that were in use. `$BENCH_BUDGET` is the time to spend on each in seconds. Models are built as a user of the
//! crate would.
#![allow(clippy::disallowed_methods)]
#[path = "suite/adbench.rs"]
mod adbench;
#[path = "suite/counting.rs"]
mod counting;
#[path = "../examples/char_gpt/model.rs"]
mod gpt;
#[path = "suite/measure.rs"]
mod measure;
#[path = "suite/models.rs"]
mod models;
#[path = "suite/scalar.rs"]
mod scalar;
#[path = "suite/timing.rs"]
mod timing;

use kolmo::{
    Gradients, Program, Result, Tape, Tensor, Var, fuse,
    nn::{Layer, Sequential, Tanh},
    ops::AttentionOptions,
    optim::{Adam, AdamW, Optimizer, Sgd},
    tensor::Shape,
};
use measure::measure;
use models::{GruChar, cnn, gpt_nano, lenet, linear, mlp, tensor};
use serde::Serialize;
use timing::labels;

fn main() {
    // Cargo passes --bench; what is left are the words of the user.
    let words: Vec<String> = std::env::args().skip(1).filter(|w| !w.starts_with("--")).collect();
    let all = "mlp_tiny,mlp300,mlp1200,lenet5,cnn3,gpt_nano,gru_char,mlp300_grads,mlp300_each,mlp300_norms,mlp300_clipped,lenet5_grads,lenet5_each,lenet5_norms,lenet5_clipped,elementwise,matmul1024,infer_mlp300_b1,infer_mlp300_b64,infer_lenet5_b1,\
               infer_lenet5_b64,attention1024,mlp_tiny_replayed,gpt_nano_bf16,gpt_nano_replayed,gpt_nano_half,gpt_nano_least,gelu_by_hand,gelu_by_hand_replayed,sums_recorded,sums_computed,scalar_chain,scalar_chain_fused,scalar_chain_replayed,scalar_paths,adbench_gmm_scalars,adbench_gmm_mixed,\
               adbench_gmm_tensors,adbench_gmm_replayed,adbench_lstm,adbench_lstm_replayed,adbench_ba,adbench_ba_plain,adbench_ba_preaccumulated,adbench_ba_replayed,adbench_hand,adbench_hand_tensors";
    let threads = words.get(1).and_then(|t| t.parse().ok()).unwrap_or_else(kolmo::runtime::num_threads);
    kolmo::runtime::set_num_threads(threads);
    for workload in words.first().map_or(all, String::as_str).split(',') {
        if let Err(error) = run(workload, threads) {
            println!(
                "{{\"peer\":\"kolmo\",\"workload\":\"{workload}\",\"threads\":{threads},\"error\":{:?}}}",
                error.to_string()
            );
        }
    }
}

fn run(workload: &str, threads: usize) -> Result<()> {
    match workload {
        "mlp_tiny" => {
            let net = Sequential((linear(0, 2, 16), Tanh, linear(1, 16, 16), Tanh, linear(2, 16, 1)));
            let (x, y) = (tensor(100, [32, 2], 1.0), tensor(101, [32, 1], 1.0));
            train(workload, threads, net, Sgd::new(0.05), move |net, tape| {
                let d = net.forward(&tape.constant(&x)) - tape.constant(&y);
                (&d * &d).mean()
            })
        }
        "mlp300" => {
            let (x, y) = (tensor(100, [64, 784], 1.0), Tensor::from(labels(64, 10, 7, 3)));
            train(workload, threads, mlp([784, 300, 100, 10]), Adam::new(1e-3), move |net, tape| {
                net.forward(&tape.constant(&x)).cross_entropy(&y)
            })
        }
        "mlp1200" => {
            let (x, y) = (tensor(100, [128, 784], 1.0), Tensor::from(labels(128, 10, 7, 3)));
            let sgd = Sgd::new(0.02).momentum(0.9);
            train(workload, threads, mlp([784, 1200, 1200, 10]), sgd, move |net, tape| {
                net.forward(&tape.constant(&x)).cross_entropy(&y)
            })
        }
        "elementwise" => {
            let n = 1 << 20;
            let [x, w, b] = [1, 2, 3].map(|seed| tensor(seed, [n], 1.0));
            let f = fuse!(|x, w, b| (x * w + b).tanh() * x.sigmoid());
            let mut tape = Tape::new();
            measure("kolmo", workload, threads, || {
                tape.reset();
                let [x, w, b] = [&x, &w, &b].map(|t| tape.input(t));
                let y = f.apply([&x, &w, &b]).sum();
                let _: Gradients<f32> = y.backward()?;
                Ok(y.item()? / n as f32)
            })
        }
        "matmul1024" => {
            let [a, b] = [1, 2].map(|seed| tensor(seed, [1024, 1024], 1.0));
            let mut tape = Tape::new();
            measure("kolmo", workload, threads, || {
                tape.reset();
                let (a, b) = (tape.input(&a), tape.input(&b));
                let y = a.matmul(&b).square().sum();
                let _: Gradients<f32> = y.backward()?;
                Ok(y.item()? / 1024f32.powi(3))
            })
        }
        "lenet5" => {
            let (x, y) = (tensor(100, [64, 1, 28, 28], 1.0), Tensor::from(labels(64, 10, 7, 3)));
            train(workload, threads, lenet(), Sgd::new(0.02).momentum(0.9), move |net, tape| {
                net.forward(&tape.constant(&x)).cross_entropy(&y)
            })
        }
        "cnn3" => {
            let (x, y) = (tensor(100, [32, 3, 32, 32], 1.0), Tensor::from(labels(32, 10, 7, 3)));
            train(workload, threads, cnn(), Adam::new(1e-3), move |net, tape| {
                net.forward(&tape.constant(&x)).cross_entropy(&y)
            })
        }
        "gpt_nano" | "gpt_nano_bf16" => {
            let [x, y] = [(31, 7), (17, 5)].map(|(a, b)| Tensor::from(labels(12 * 64, 65, a, b)));
            let (x, y) = (x.reshape([12, 64])?, y.reshape([12, 64])?);
            let adam = AdamW::new(1e-3).weight_decay(0.01);
            let halves = workload == "gpt_nano_bf16";
            train(workload, threads, gpt_nano()?, adam, move |net, tape| {
                tape.set_half_activations(halves);
                net.loss(tape, &x, &y)
            })
        }
        "gru_char" => {
            let [x, y] = [(31, 7), (17, 5)].map(|(a, b)| Tensor::from(labels(16 * 64, 65, a, b)));
            // Steps first.
            let (x, y) = (x.reshape([16, 64])?.transpose(0, 1)?, y.reshape([16, 64])?.transpose(0, 1)?);
            let y = y.contiguous().reshape([-1])?;
            train(workload, threads, GruChar::new(), Adam::new(1e-3), move |net, tape| {
                net.forward(tape, &x).reshape([-1, 65]).cross_entropy(&y)
            })
        }
        "infer_mlp300_b1" => infer(workload, threads, mlp([784, 300, 100, 10]), [1, 784]),
        "infer_mlp300_b64" => infer(workload, threads, mlp([784, 300, 100, 10]), [64, 784]),
        "infer_lenet5_b1" => infer(workload, threads, lenet(), [1, 1, 28, 28]),
        "infer_lenet5_b64" => infer(workload, threads, lenet(), [64, 1, 28, 28]),
        // The gradients of a batch: their sum, those of each example, their norms, and the sum of clipped
        // ones.
        "mlp300_grads" | "mlp300_each" | "mlp300_norms" | "mlp300_clipped" => {
            examples(workload, threads, mlp([784, 300, 100, 10]), tensor(100, [64, 784], 1.0))
        }
        "lenet5_grads" | "lenet5_each" | "lenet5_norms" | "lenet5_clipped" => {
            examples(workload, threads, lenet(), tensor(100, [64, 1, 28, 28], 1.0))
        }
        // A thousand sums of 16 elements, recorded and not: the difference is what recording costs.
        // The step of mlp_tiny, and a program of many operations element by element, recorded once and run
        // again.
        "mlp_tiny_replayed" => {
            let net = Sequential((linear(0, 2, 16), Tanh, linear(1, 16, 16), Tanh, linear(2, 16, 1)));
            let (x, y) = (tensor(100, [32, 2], 1.0), tensor(101, [32, 1], 1.0));
            let mut sgd = Sgd::new(0.05);
            let mut program = Program::new(&[&x, &y], &[], |_, x, _| {
                let d = net.forward(&x[0]) - &x[1];
                vec![(&d * &d).mean()]
            })?;
            measure("kolmo", workload, threads, || {
                let (values, grads) = program.value_and_grad(&[&x, &y], &[])?;
                sgd.step(&net, &grads)?;
                values[0].item()
            })
        }
        // The step of gpt_nano as a program that keeps everything, the half and the least.
        "gpt_nano_replayed" | "gpt_nano_half" | "gpt_nano_least" => {
            let [x, y] = [(31, 7), (17, 5)].map(|(a, b)| Tensor::from(labels(12 * 64, 65, a, b)));
            let (x, y, net) = (x.reshape([12, 64])?, y.reshape([12, 64])?, gpt_nano()?);
            let mut adam = AdamW::new(1e-3).weight_decay(0.01);
            let mut program = Program::new(&[], &[&x, &y], |tape, _, x| vec![net.loss(tape, &x[0], &x[1])])?;
            match workload {
                "gpt_nano_half" => program.limit_memory(program.kept_bytes() / 2).map(drop)?,
                "gpt_nano_least" => drop(program.limit_recomputation(1.0)),
                _ => {}
            }
            measure("kolmo", workload, threads, || {
                let (values, grads) = program.value_and_grad(&[], &[&x, &y])?;
                adam.step(&net, &grads)?;
                values[0].item()
            })
        }
        "gelu_by_hand" => {
            let x = tensor(1, [1 << 20], 1.0);
            let tape = Tape::inference();
            measure("kolmo", workload, threads, || gelu(&tape.constant(&x)).sum().item())
        }
        "gelu_by_hand_replayed" => {
            let x = tensor(1, [1 << 20], 1.0);
            let mut program = Program::new(&[&x], &[], |_, x, _| vec![gelu(&x[0]).sum()])?;
            measure("kolmo", workload, threads, || program.run(&[&x], &[])?[0].item())
        }
        // Eight heads of 1,024 places that see what is before them, and all gradients.
        "attention1024" => {
            let x = [1, 2, 3].map(|seed| tensor(seed, [8, 1024, 64], 1.0));
            let options = AttentionOptions::new().is_causal(true);
            let mut tape = Tape::new();
            measure("kolmo", workload, threads, || {
                tape.reset();
                let [q, k, v] = x.each_ref().map(|x| tape.input(x));
                let y = q.scaled_dot_product_attention(&k, &v, &options).square().mean();
                let _: Gradients<f32> = y.backward()?;
                y.item()
            })
        }
        "sums_recorded" | "sums_computed" => {
            let recorded = workload == "sums_recorded";
            let x = tensor(1, [16], 1.0);
            let mut tape = Tape::new();
            measure("kolmo", workload, threads, || {
                tape.reset();
                let x = if recorded { tape.input(&x) } else { tape.constant(&x) };
                (0..1000).fold(x.clone(), |sum, _| sum + &x).sum().item()
            })
        }
        "scalar_chain" => scalar::chain(false),
        "scalar_chain_fused" => scalar::chain(true),
        "scalar_chain_replayed" => scalar::chain_replayed(threads),
        "scalar_paths" => scalar::paths(threads),
        _ => adbench::run(workload, threads).unwrap_or_else(|| {
            let error = format!("no workload of that name; there are those of the help text of {}", file!());
            println!(
                "{{\"peer\":\"kolmo\",\"workload\":\"{workload}\",\"threads\":{threads},\"error\":{error:?}}}"
            );
            Ok(())
        }),
    }
}

fn train<M: Serialize>(
    workload: &str,
    threads: usize,
    model: M,
    mut optimizer: impl Optimizer,
    loss: impl for<'t> Fn(&M, &'t Tape) -> Var<'t>,
) -> Result<()> {
    let mut tape = Tape::new();
    measure("kolmo", workload, threads, || {
        tape.reset();
        let loss = loss(&model, &tape);
        let grads = loss.backward()?;
        optimizer.step(&model, &grads)?;
        loss.item()
    })
}

fn examples(workload: &str, threads: usize, net: impl Layer, x: Tensor) -> Result<()> {
    let y = Tensor::from(labels(64, 10, 7, 3));
    let what = workload.split_once('_').map_or("", |(_, what)| what);
    let (one, label) = (x.narrow(0, 0, 1)?, y.narrow(0, 0, 1)?);
    let (x, y) = (&[&x], &[&y]);
    let recorded = if what == "grads" { (&x[..], &y[..]) } else { (&[&one][..], &[&label][..]) };
    let mut program =
        Program::new(recorded.0, recorded.1, |_, x, y| vec![net.forward(&x[0]).cross_entropy(&y[0])])?;
    measure("kolmo", workload, threads, || {
        let values = match what {
            "grads" => program.value_and_grad(x, y).map(|(values, _)| values),
            "each" => program.grad_each(x, y).map(|(values, _)| values),
            "norms" => program.grad_norms(x, y).map(|(values, _)| values),
            _ => program.clipped_grad(x, y, 1.0).map(|(values, _)| values),
        };
        let values = values?[0].to_vec();
        Ok(values.iter().sum::<f32>() / values.len() as f32)
    })
}

/// An activation as one writes it down, eight operations.
fn gelu<'t>(x: &Var<'t>) -> Var<'t> {
    let inner = (x + x * x * x * 0.044715) * 0.797_884_6;
    x * 0.5 * (inner.tanh() + 1.0)
}

fn infer(workload: &str, threads: usize, net: impl Layer, shape: impl Into<Shape>) -> Result<()> {
    let x = tensor(100, shape, 1.0);
    let tape = Tape::inference();
    measure("kolmo", workload, threads, || net.forward(&tape.constant(&x)).sum().item())
}
