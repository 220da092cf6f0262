//! One model trained by several processes, to the same bits as by one: LeNet-5 on the digits, or a small
//! GPT on kolmo's source. It prints a hash of the weights.
//!
//! ```sh
//! cargo run --release --example distributed                     # alone
//! cargo run --release --example distributed -- --processes 4    # threads of this process as processes
//! # by MPI: apt-get install libopenmpi-dev openmpi-bin libclang-dev
//! cargo build --release --example distributed --features kolmo-examples/mpi
//! mpirun -n 4 target/release/examples/distributed
//! ```
#[path = "char_gpt/model.rs"]
mod model;
#[path = "common/text.rs"]
mod text;

use clap::{Parser, ValueEnum};
use kolmo::{
    Error, Random, Result, Tape, Tensor, Var,
    data::{self, CharTokenizer, DataLoader, random_windows},
    distributed::{Communicator, Local, world},
    nn::{Conv2d, Flatten, Layer, Linear, MaxPool2d, Param, Relu, Sequential, visit_params},
    optim::AdamW,
    train::Trainer,
};
use model::{Config, Gpt};
use serde::Serialize;
use std::{path::PathBuf, time::Instant};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Model {
    Lenet5,
    Gpt,
}

#[derive(Clone, Debug, Parser)]
struct Options {
    #[arg(long, value_enum, default_value_t = Model::Lenet5)]
    model: Model,
    /// Threads that take the place of processes
    #[arg(long)]
    processes: Option<usize>,
    /// Parts of a batch whose gradients are added; 0: a plain run of one process
    #[arg(long, default_value_t = 8)]
    slots: usize,
    #[arg(long, default_value_t = 100)]
    steps: usize,
    /// A file to go on from, and to save to after every 20 steps
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    match options.processes {
        Some(size) => Local::run(size, move |world| train(&world, &options)).map(drop),
        None => train(&*world()?, &options),
    }
}

fn train(world: &dyn Communicator, options: &Options) -> Result<()> {
    match options.model {
        Model::Lenet5 => lenet5(world, options),
        Model::Gpt => gpt(world, options),
    }
}

fn lenet5(world: &dyn Communicator, options: &Options) -> Result<()> {
    let rng = &mut Random::new(0);
    let net = Sequential((
        Conv2d::new(1, 20, 5, rng),
        MaxPool2d::new(2),
        Conv2d::new(20, 50, 5, rng),
        MaxPool2d::new(2),
        Flatten,
        Linear::new(800, 500, rng),
        Relu,
        Linear::new(500, 10, rng),
    ));
    let (images, labels) = data::digits();
    let (n, pixels) = (labels.numel(), images.to_vec());
    // 28 by 28, as LeNet-5 has them.
    let large = Tensor::from_fn([n, 1, 28, 28], |i| {
        let (image, y, x) = (i / 784, i / 28 % 28, i % 28);
        pixels[image * 64 + y * 8 / 28 * 8 + x * 8 / 28] / 16.0
    });
    fit(
        (world, options, &net, 64),
        move |rows, _| {
            let rows: Vec<usize> = rows.iter().map(|row| row % n).collect();
            Ok((large.rows(&rows)?, labels.rows(&rows)?))
        },
        |tape, (x, y): &(Tensor, Tensor<u32>)| net.forward(&tape.constant(x)).cross_entropy(y),
    )
}

fn gpt(world: &dyn Communicator, options: &Options) -> Result<()> {
    let learnt = text::source().map_err(Error::custom)?;
    let tokens = CharTokenizer::fit(&learnt).encode(&learnt)?;
    let vocabulary = tokens.iter().max().map_or(1, |&most| most as usize + 1);
    let config = Config { vocabulary, block_size: 64, layers: 4, heads: 4, width: 128, dropout: 0.0 };
    let net = Gpt::new(config, &mut Random::new(0))?;
    fit(
        (world, options, &net, 12),
        move |rows, rng| random_windows(&tokens, rows.len(), 64, rng),
        |tape, (x, y)| net.loss(tape, x, y),
    )
}

/// All that has to do with processes: `communicator`, and what is printed by one of them.
fn fit<M: Serialize, B: Send + 'static>(
    (world, options, net, batch): (&dyn Communicator, &Options, &M, usize),
    make: impl FnMut(&[usize], &mut Random) -> Result<B> + Clone + Send + 'static,
    loss: impl for<'t> FnMut(&'t Tape, &B) -> Var<'t>,
) -> Result<()> {
    let mut trainer = Trainer::new(DataLoader::new(options.steps * batch, batch), 1).progress(false);
    if options.slots > 0 {
        trainer = trainer.slots(options.slots).communicator(world);
    }
    if let Some(path) = &options.checkpoint {
        trainer = trainer.checkpoint(path, 20);
    }
    let begun = Instant::now();
    let mut times = Vec::new();
    let mut trainer = trainer.on_step(|_| {
        times.push(begun.elapsed().as_secs_f64());
        Ok(())
    });
    let history = trainer.fit(net, &mut AdamW::new(1e-3), make, loss, || Ok(Vec::<(String, f64)>::new()))?;
    drop(trainer);
    if world.rank() > 0 {
        return Ok(());
    }
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    visit_params(net, |_, p: &Param| {
        for v in p.value().to_vec() {
            hash = (hash ^ u64::from(v.to_bits())).wrapping_mul(0x0100_0000_01b3);
        }
    });
    let mut steps: Vec<f64> = times.windows(2).map(|two| two[1] - two[0]).collect();
    steps.sort_by(f64::total_cmp);
    let (sent, loss) = (world.traffic(), history.last().map_or(f64::NAN, |last| last.loss));
    println!("{:?} by {} processes: mean loss {loss:.4}, weights {hash:016x}", options.model, world.size());
    println!(
        "{:.2} ms a step (median); of {:.1} s {:.2} s were waiting; rank 0 sent {} bytes in {} messages",
        1000.0 * steps.get(steps.len() / 2).copied().unwrap_or_default(),
        begun.elapsed().as_secs_f64(),
        sent.waited.as_secs_f64(),
        sent.bytes,
        sent.messages
    );
    Ok(())
}
