//! Small runs that several processes share, each with what could tell how many they are: random numbers,
//! statistics, norms, moments, batches that don't divide.
use kolmo::{
    Error, Random, Result, Tape, Tensor, Var,
    data::{self, Augment, DataLoader},
    distributed::Communicator,
    nn::{
        AttentionMasks, BatchNorm1d, BatchNorm2d, Conv2d, Dropout, Embedding, Flatten, Layer, LayerNorm,
        Linear, MaxPool2d, MultiheadAttention, Relu, Sequential, visit_params,
    },
    optim::{Adam, AdamW, Group, NAdam, OneCycleLr, Optimizer, Sgd},
    train::{EarlyStopping, StepInfo, Trainer},
};
use serde::Serialize;
use std::path::PathBuf;

/// What a run is to do beside training.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// A folder for its checkpoint, written every step or so, and for the other files.
    pub folder: Option<PathBuf>,
    /// A rank and a step after which it does something else.
    pub end: Option<(usize, u64, End)>,
}

#[derive(Clone, Copy, Debug)]
pub enum End {
    Error,
    Panic,
    /// The process is no more: only where each has one.
    #[allow(dead_code, reason = "only what `mpirun` starts is killed")]
    Kill,
}

impl Extra {
    fn act(&self, rank: usize, step: &StepInfo) -> Result<()> {
        match self.end {
            Some((who, when, end)) if who == rank && when == step.step => match end {
                End::Error => Err(Error::custom("no more paper")),
                End::Panic => panic!("on purpose"),
                End::Kill => {
                    let pid = std::process::id().to_string();
                    std::process::Command::new("kill").args(["-9", &pid]).status().unwrap();
                    loop {
                        std::thread::park();
                    }
                }
            },
            _ => Ok(()),
        }
    }

    fn trainer<'a>(&'a self, loader: DataLoader, epochs: u64, world: &'a dyn Communicator) -> Trainer<'a> {
        let trainer = Trainer::new(loader.seed(5), epochs).seed(6).progress(false).communicator(world);
        let trainer = trainer.on_step(|info| self.act(world.rank(), info));
        let Some(folder) = &self.folder else { return trainer };
        let trainer = trainer.early_stopping(EarlyStopping::new(50).maximize(true));
        let trainer = trainer.save_best(folder.join("best.safetensors"));
        trainer.save_history(folder.join("history.jsonl")).checkpoint(folder.join("run.checkpoint"), 1)
    }
}

/// The names of the small runs. There is also `wide`, whose parameters are sent in two parts.
pub const ALL: [&str; 5] = ["mlp", "cnn", "gpt", "odd", "sync"];

/// Trains, and gives a hash of all parameters.
pub fn run(name: &str, world: &dyn Communicator, extra: &Extra) -> Result<u64> {
    match name {
        "mlp" => mlp(world, extra),
        "cnn" => cnn(world, extra),
        "gpt" => gpt(world, extra),
        "odd" => odd(world, extra),
        "sync" => sync(world, extra),
        "wide" => wide(world, extra),
        other => Err(Error::custom(format!("no run is called {other}: {ALL:?}, wide"))),
    }
}

/// FNV-1a of all bits.
pub fn hash(model: &impl Serialize) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    visit_params(model, |_, p: &kolmo::nn::Param| {
        let bits = p.value().to_vec();
        bits.iter().for_each(|v| hash = (hash ^ u64::from(v.to_bits())).wrapping_mul(0x0100_0000_01b3));
    });
    hash
}

fn mlp(world: &dyn Communicator, extra: &Extra) -> Result<u64> {
    let rng = &mut Random::new(1);
    let net = Sequential((Linear::new(64, 32, rng), Relu, Dropout::new(0.3), Linear::new(32, 10, rng)));
    let noise = Augment::new().noise(0.5);
    let schedule = OneCycleLr::new(1e-2, 20);
    let (x, y) = data::digits();
    let rows = (x.clone(), y.clone());
    let trainer = extra.trainer(DataLoader::new(230, 48), 3, world);
    trainer.schedule(&schedule).fit(
        &net,
        &mut NAdam::new(1e-2),
        move |index, rng| {
            let images = noise.apply(&x.rows(index)?.reshape([-1, 1, 8, 8])?, rng)?;
            Ok((images.reshape([-1, 64])?, y.rows(index)?))
        },
        |tape, (x, y)| net.forward(&tape.constant(x)).cross_entropy(y),
        || {
            let (tape, held) = (Tape::inference(), (1700..1797).collect::<Vec<_>>());
            let scores = net.forward(&tape.constant(rows.0.rows(&held)?));
            Ok(vec![("accuracy", kolmo::metrics::accuracy(scores.value()?, &rows.1.rows(&held)?)?)])
        },
    )?;
    Ok(hash(&net))
}

fn cnn(world: &dyn Communicator, extra: &Extra) -> Result<u64> {
    let rng = &mut Random::new(2);
    let net = Sequential((
        Conv2d::new(1, 6, 3, rng).padding(1),
        BatchNorm2d::new(6),
        Relu,
        MaxPool2d::new(2),
        Flatten,
        Linear::new(96, 10, rng),
    ));
    fit(
        &net,
        &mut Sgd::new(0.05).momentum(0.9),
        extra.trainer(DataLoader::new(96, 32), 3, world),
        |tape, x| net.forward(&tape.constant(x.reshape([-1, 1, 8, 8]).unwrap())),
    )
}

/// Fewer slots than some processes; gradients that a hook changes before they are clipped.
fn odd(world: &dyn Communicator, extra: &Extra) -> Result<u64> {
    let rng = &mut Random::new(4);
    let net = Sequential((Linear::new(64, 40, rng), Relu, BatchNorm1d::new(40), Linear::new(40, 10, rng)));
    let trainer = extra.trainer(DataLoader::new(47, 12).drop_last(true), 4, world).slots(3);
    let trainer = trainer.on_gradients(|_, grads| grads.clip_value(0.05)).clip_norm(0.8);
    fit(&net, &mut Adam::new(1e-2).amsgrad(true), trainer, |tape, x| net.forward(&tape.constant(x)))
}

/// Batch normalisation by all slots of a step, of which some are empty in the last one of an epoch.
fn sync(world: &dyn Communicator, extra: &Extra) -> Result<u64> {
    let rng = &mut Random::new(8);
    let net = Sequential((
        Conv2d::new(1, 5, 3, rng).padding(1),
        BatchNorm2d::new(5),
        Relu,
        MaxPool2d::new(4),
        Flatten,
        Dropout::new(0.2),
        Linear::new(20, 12, rng),
        BatchNorm1d::new(12),
        Linear::new(12, 10, rng),
    ));
    let (x, y) = data::digits();
    extra.trainer(DataLoader::new(46, 20), 3, world).clip_norm(0.5).fit_synchronized(
        &net,
        &mut Adam::new(1e-2),
        move |index, _| Ok((x.rows(index)?.reshape([-1, 1, 8, 8])?, y.rows(index)?)),
        |tape, (x, y)| net.forward(&tape.constant(x)).cross_entropy(y),
        || Ok(vec![("none", 0.0)]),
    )?;
    Ok(hash(&net))
}

/// More parameters than are sent at once, and some that have no gradient in any slot.
fn wide(world: &dyn Communicator, extra: &Extra) -> Result<u64> {
    let rng = &mut Random::new(7);
    let net = Sequential((
        Linear::new(64, 1100, rng),
        Relu,
        Linear::new(1100, 1000, rng),
        Linear::new(1000, 10, rng),
    ));
    let unused = kolmo::nn::Param::new([1.0f32; 3]);
    let both = (&unused, &net);
    fit(&both, &mut Sgd::new(0.1), extra.trainer(DataLoader::new(24, 8), 2, world).slots(4), |tape, x| {
        net.forward(&tape.constant(x))
    })
}

/// Training on digits.
fn fit<M: Serialize>(
    net: &M,
    optimizer: &mut impl Optimizer,
    mut trainer: Trainer<'_>,
    forward: impl for<'t> Fn(&'t Tape, &Tensor) -> Var<'t>,
) -> Result<u64> {
    let (x, y) = data::digits();
    trainer.fit(
        net,
        optimizer,
        move |index, _| Ok((x.rows(index)?, y.rows(index)?)),
        |tape, (x, y)| forward(tape, x).cross_entropy(y),
        || Ok(vec![("none", 0.0)]),
    )?;
    Ok(hash(net))
}

#[derive(Serialize)]
struct Gpt {
    tokens: Embedding,
    norm: LayerNorm,
    attention: MultiheadAttention,
    up: Linear,
    down: Linear,
    head: Linear,
}

/// Accumulated batches, clipping, moments in two groups, and parameters that reach over several blocks.
fn gpt(world: &dyn Communicator, extra: &Extra) -> Result<u64> {
    let rng = &mut Random::new(3);
    let net = Gpt {
        tokens: Embedding::new(31, 40, rng),
        norm: LayerNorm::new([40]),
        attention: MultiheadAttention::new(40, 4, rng)?,
        up: Linear::new(40, 90, rng),
        down: Linear::new(90, 40, rng),
        head: Linear::new(40, 31, rng),
    };
    let mut adam =
        AdamW::new(1e-2).weight_decay(0.1).group(Group::new(kolmo::nn::filter::biases).weight_decay(0.0));
    let trainer = extra.trainer(DataLoader::new(50, 9), 3, world);
    trainer.slots(2).accumulate_grad_batches(4).clip_norm(0.3).fit(
        &net,
        &mut adam,
        |index, rng| {
            let shift = rng.randint(0..31u32)?;
            Ok(Tensor::from_fn([index.len(), 12], |i| ((index[i / 12] + i * i) as u32 + shift) % 31))
        },
        |tape, text| {
            let x = net.tokens.forward(text, tape);
            let h = net.norm.forward(&x);
            let h = x + net.attention.forward(&h, &h, &h, &AttentionMasks::causal()).dropout(0.1);
            let h = &h + net.down.forward(&net.up.forward(&h).gelu_tanh());
            let n = (text.numel()) as isize;
            let scores = net.head.forward(&h).reshape([n, 31]);
            scores.cross_entropy(&text.reshape([n]).unwrap())
        },
        || Ok(vec![("none", 0.0)]),
    )?;
    Ok(hash(&net))
}
