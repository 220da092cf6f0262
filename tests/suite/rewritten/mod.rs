//! One model, computed in many ways, gives one set of bits: plainly, with blocks that are run again, within
//! budgets, as a recorded program, from a saved tape, and by a process that takes the run up from a file.
//! Values, gradients, and parameters and running statistics after some steps of an optimiser, on other inputs
//! in each step. What can't be recorded is refused.
//!
//! `KOLMO_REWRITTEN_MODELS=n` sets how many models there are, `KOLMO_REWRITTEN_SEED=n` which is the first.
pub mod models;

use crate::Folder;
use kolmo::{autodiff::MemoryBudget, inspect::SavedTape, nn::*, optim::*, train::*, *};
use models::{Dice, Model, NAMES, Part};
use std::{collections::BTreeMap, env, ops::Range, path::Path};

const STEPS: u64 = 4;
/// So many that every layer is in one.
const MODELS: u64 = 150;

fn number(name: &str, default: u64) -> u64 {
    env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
}

fn seeds() -> Range<u64> {
    let first = number("KOLMO_REWRITTEN_SEED", 0);
    first..first + number("KOLMO_REWRITTEN_MODELS", MODELS)
}

/// How a chain of parts is computed.
#[derive(Clone, Copy, Debug)]
enum Way {
    Plain,
    /// Those parts are run again whose bits are set.
    Checkpoints(u64),
    /// Within the least bytes that will do, and such a share of them more.
    MemoryBudget(f64),
}

fn chain<'t>(way: Way, parts: &[Part], x: &Var<'t>) -> Var<'t> {
    let plain = |x: Var<'t>, part: &Part| Layer::forward(part, &x);
    match way {
        Way::Plain => parts.iter().fold(x.clone(), plain),
        Way::Checkpoints(which) => {
            parts.iter().enumerate().fold(x.clone(), |x, (i, part)| match which >> i & 1 {
                1 => x.tape().checkpoint(part.clone(), &[&x]),
                _ => plain(x, part),
            })
        }
        Way::MemoryBudget(share) => {
            // Of too little it says how much it needs.
            let scratch = Tape::new();
            let none = MemoryBudget::new(0).run(parts, &scratch.input(x.value().unwrap()));
            let why = none.ok().err().map_or(String::new(), |e| e.to_string());
            let least =
                why.split("need ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok());
            let least = least.unwrap_or_else(|| panic!("{why}"));
            MemoryBudget::new((least * (1.0 + share)) as usize).run(parts, x)
        }
    }
}

/// What a run leaves behind.
#[derive(Debug, PartialEq)]
struct Found {
    losses: Vec<u32>,
    gradients: BTreeMap<String, Option<Vec<u32>>>,
    params: BTreeMap<String, Vec<u32>>,
}

fn bits(t: &Tensor) -> Vec<u32> {
    t.to_vec().iter().map(|v| v.to_bits()).collect()
}

fn gradients(model: &Model, grads: &Gradients) -> BTreeMap<String, Option<Vec<u32>>> {
    named_params(model).into_iter().map(|(name, p)| (name, grads.param(&p).map(bits))).collect()
}

/// A run: the model, its tape, whose stream of random numbers goes on from step to step, and how a step is
/// computed.
struct Run {
    model: Model,
    tape: Tape,
    way: Way,
}

impl Run {
    fn new(seed: u64, way: Way) -> Run {
        let tape = Tape::new();
        tape.seed(seed);
        Run { model: Model::new(seed), tape, way }
    }

    fn steps(&mut self, optimizer: &mut impl Optimizer, steps: Range<u64>) -> Result<Found> {
        let (mut losses, mut last) = (Vec::new(), BTreeMap::new());
        for step in steps {
            let (x, index, labels) = self.model.batch(step);
            self.tape.reset();
            let way = self.way;
            let loss =
                self.model.loss(&self.tape.input(&x), &index, &labels, |parts, x| chain(way, parts, x));
            losses.push(loss.item()?.to_bits());
            let grads = loss.backward()?;
            last = gradients(&self.model, &grads);
            optimizer.step(&self.model, &grads)?;
        }
        Ok(Found { losses, gradients: last, params: self.model.bits() })
    }
}

/// Calls a macro's body with the optimiser of a seed.
macro_rules! with_optimizer {
    ($seed:expr, |$optimizer:ident| $body:expr) => {
        match $seed % 3 {
            0 => {
                let $optimizer = &mut Sgd::new(0.05).momentum(0.9);
                $body
            }
            1 => {
                let $optimizer = &mut Adam::new(0.01);
                $body
            }
            _ => {
                let $optimizer = &mut RmsProp::new(0.01);
                $body
            }
        }
    };
}

fn trained(seed: u64, way: Way) -> Result<Found> {
    with_optimizer!(seed, |optimizer| Run::new(seed, way).steps(optimizer, 0..STEPS))
}

#[test]
fn blocks_that_are_run_again_and_budgets_change_no_bit() -> Result<()> {
    let mut hit = BTreeMap::new();
    for seed in seeds() {
        let model = Model::new(seed);
        model.parts.iter().for_each(|part| *hit.entry(part.name()).or_insert(0) += 1);
        let plain = trained(seed, Way::Plain)?;
        let d = &mut Dice::new(seed + 77);
        let which = d.int(0, 255) as u64;
        for way in [
            Way::Checkpoints(u64::MAX),
            Way::Checkpoints(which),
            Way::MemoryBudget(0.0),
            Way::MemoryBudget(0.3),
        ] {
            let found = trained(seed, way);
            assert!(
                found.as_ref().is_ok_and(|found| *found == plain),
                "seed {seed}, {way:?}: {}: {found:?}, not {plain:?}",
                model.chain()
            );
        }
    }
    println!("{hit:?}");
    let missing: Vec<_> = NAMES.iter().filter(|name| !hit.contains_key(*name)).collect();
    assert!(missing.is_empty() || seeds().count() < MODELS as usize, "no model has {missing:?}");
    Ok(())
}

#[test]
fn every_layer_is_in_some_model() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/nn/mod.rs")).unwrap();
    let public = text.split("pub use ").skip(1).filter_map(|part| part.split(';').next());
    let words = public.flat_map(|part| part.split(|c: char| !c.is_alphanumeric()));
    // What is no layer, what is another one's name or part, and the table that a model begins with.
    let others = "Layer Param Parametrize ParamId ParamState Form Steps Path State RecurrentMode AttentionMasks FeedForwardActivation TransformerOptions KvCache Sampling \
                  RecurrentOptions MultiheadAttentionOptions AdaptiveSize BatchNorm1d BatchNorm2d \
                  TransformerEncoderLayer TransformerDecoderLayer Embedding";
    let layers =
        words.filter(|w| w.starts_with(char::is_uppercase) && !others.split_whitespace().any(|o| o == *w));
    let missing: Vec<&str> = layers.filter(|w| !NAMES.contains(w)).collect();
    assert!(missing.is_empty(), "not in tests/suite/rewritten/models.rs: {missing:?}");
}

#[test]
fn programs_and_saved_tapes_change_no_bit_or_are_refused() -> Result<()> {
    let (folder, mut recorded) = (Folder::new("rewritten-saved"), 0);
    for seed in seeds() {
        let told = |what: &str| format!("seed {seed}, {what}: {}", Model::new(seed).chain());
        recorded += u64::from(replayed(seed)?);
        values_without_training(seed)?;
        saved(seed, &folder.join("tape.json")).unwrap_or_else(|e| panic!("{}: {e}", told("saved")));
    }
    assert!(recorded * 10 > seeds().count() as u64, "{recorded} models were recorded in training");
    Ok(())
}

/// Whether training could be recorded, in which case it has given the bits of the plain run.
fn replayed(seed: u64) -> Result<bool> {
    let plain = Run::new(seed, Way::Plain);
    let (x, index, labels) = plain.model.batch(9);
    let (before, random) = (plain.model.bits(), plain.tape.random());
    plain.model.loss(&plain.tape.input(&x), &index, &labels, |parts, x| chain(Way::Plain, parts, x)).ok()?;
    let varies = plain.tape.random() != random || plain.model.bits() != before;
    let model = Model::new(seed);
    // Indices that no operation takes are refused.
    let program =
        Program::new(&[&x], &[&index, &labels][model.embedding.is_none() as usize..], |_, x, indices| {
            let labels = &indices[indices.len() - 1];
            vec![model.loss(&x[0], &indices[0], labels, |parts, x| chain(Way::Plain, parts, x))]
        });
    assert_eq!(model.bits(), before, "seed {seed}: recording moved something");
    let mut program = match (program, varies) {
        (Ok(program), false) => program,
        (Err(why), true)
            if why.to_string().contains("random numbers") || why.to_string().contains("statistics") =>
        {
            return Ok(false);
        }
        (other, _) => panic!("seed {seed}, {}: varies {varies}, {:?}", model.chain(), other.err()),
    };
    with_optimizer!(seed, |optimizer| {
        let mut found = Found { losses: vec![], gradients: BTreeMap::new(), params: BTreeMap::new() };
        for step in 0..STEPS {
            let (x, index, labels) = model.batch(step);
            // At first everything is kept, in the end nothing.
            program.limit_recomputation(step as f64 / (STEPS - 1) as f64);
            let (values, grads) =
                program.value_and_grad(&[&x], &[&index, &labels][model.embedding.is_none() as usize..])?;
            found.losses.push(values[0].item()?.to_bits());
            found.gradients = gradients(&model, &grads);
            optimizer.step(&model, &grads)?;
        }
        found.params = model.bits();
        assert_eq!(found, trained(seed, Way::Plain)?, "seed {seed}: {}", model.chain());
    });
    Ok(true)
}

/// In evaluation every model can be recorded, and does the same on other inputs; unless it looks at values.
fn values_without_training(seed: u64) -> Result<()> {
    let model = Model::new(seed);
    let (x, index, labels) = model.batch(0);
    let with = model.embedding.is_none() as usize;
    let (runs, trick) = (std::cell::Cell::new(0.0), std::cell::Cell::new(0));
    let record = || {
        Program::new(&[&x], &[&index, &labels][with..], |tape, x, indices| {
            tape.set_training(false);
            let labels = &indices[indices.len() - 1];
            let run = || model.loss(&x[0], &indices[0], labels, |parts, x| chain(Way::Plain, parts, x));
            let y = run();
            vec![match trick.get() {
                0 => y,
                1 if y.item().unwrap() > 1.0 => y * 2.0,
                2 => x[0].where_(&x[0].gt(0.1).unwrap(), &(&x[0] * 2.0)).sum() + y,
                3 => y + x[0].index_select(0, &x[0].flatten(1, -1).max_dim(0, false).1).sum(),
                4 => tape.no_grad(run),
                5 => y * runs.replace(runs.get() + 1.0),
                6 => tape.lift(y.at([]) * 2.0),
                7 => {
                    let slope = y.backward_retain_graph().map(|g| g.get(&x[0]).cloned()).unwrap();
                    y * tape.constant(slope.unwrap_or_else(|| Tensor::scalar(1.0))).mean()
                }
                _ => y,
            }]
        })
    };
    let mut program = record()?;
    for step in 0..STEPS {
        let (x, index, labels) = model.batch(step);
        let tape = Tape::new();
        tape.set_training(false);
        let y = model.loss(&tape.input(&x), &index, &labels, |parts, x| chain(Way::Plain, parts, x));
        let again = program.run(&[&x], &[&index, &labels][with..])?;
        assert_eq!(
            again[0].item()?.to_bits(),
            y.item()?.to_bits(),
            "seed {seed}, step {step}: {}",
            model.chain()
        );
    }
    // One trick for each model.
    trick.set(1 + seed % 7);
    let refused = record();
    assert!(refused.is_err(), "seed {seed}, trick {}: frozen: {}", trick.get(), model.chain());
    Ok(())
}

/// Each example of a batch, by a program of one example that runs for all at once and by one run for each.
#[test]
fn a_program_for_many_examples_gives_what_it_gives_for_each() -> Result<()> {
    let (mut models, mut all) = (0, Compared::default());
    for seed in seeds() {
        for training in [true, false] {
            models += u64::from(examples(seed, training, &mut all)?);
        }
    }
    assert!(models * 2 > 3 * seeds().count() as u64, "{models} models were recorded");
    // Some models are so made that gradients are the small rest of large numbers.
    let Compared { near, far } = all;
    assert!(far.len() * 2000 <= near, "{} of {near}: {:?}", far.len(), far.first());
    Ok(())
}

/// What was compared, and where it differs.
#[derive(Default)]
struct Compared {
    near: usize,
    far: Vec<String>,
}

impl Compared {
    fn compare(&mut self, a: &[f32], b: &[f32], told: impl Fn() -> String) {
        let most = b.iter().fold(0.1f32, |most, b| most.max(b.abs()));
        match a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-3 * most) {
            true => self.near += 1,
            false => self.far.push(format!("{}: {a:?}, not {b:?}", told())),
        }
    }
}

/// Whether the model could be recorded for one example.
fn examples(seed: u64, training: bool, all: &mut Compared) -> Result<bool> {
    let model = Model::new(seed);
    let told = |what: &str| format!("seed {seed}, training {training}, {what}: {}", model.chain());
    let of = |t: &Tensor, i: usize| t.narrow(0, i, 1).unwrap();
    let named = |t: &Tensor<u32>, i: usize| t.narrow(0, i, 1).unwrap();
    let with = model.embedding.is_none() as usize;
    let (x, index, labels) = model.batch(1);
    let program =
        Program::new(&[&of(&x, 0)], &[&named(&index, 0), &named(&labels, 0)][with..], |tape, x, indices| {
            tape.set_training(training);
            let labels = &indices[indices.len() - 1];
            vec![model.loss(&x[0], &indices[0], labels, |parts, x| chain(Way::Plain, parts, x))]
        });
    let mut program = match program {
        Ok(program) => program,
        // What a whole batch decides can't be recorded, and the message names it.
        Err(why) => {
            let why = why.to_string();
            let known = ["random numbers", "running statistics", "batch_norm", "instance_norm"];
            assert!(training && known.iter().any(|k| why.contains(k)), "{}", told(&why));
            return Ok(false);
        }
    };
    // Equal numbers, as other steps have them, are all rounding once they are normalised.
    for step in [0, 2, 5] {
        let (x, index, labels) = model.batch(step);
        let (n, given) = (x.dim(0), (&[&x][..], &[&index, &labels][with..]));
        let (values, grads) = program.grad_each(given.0, given.1)?;
        let (again, norms) = program.grad_norms(given.0, given.1)?;
        let (values, norms) = (values[0].to_vec(), norms.to_vec());
        assert_eq!((&values, values.len()), (&again[0].to_vec(), n), "{}", told("values"));
        let most = norms[0] as f64;
        let (_, clipped) = program.clipped_grad(given.0, given.1, most)?;
        let mut sum: Option<Gradients> = None;
        for i in 0..n {
            let (x, index, labels) = (of(&x, i), named(&index, i), named(&labels, i));
            let (value, mut one) = program.value_and_grad(&[&x], &[&index, &labels][with..])?;
            all.compare(&values[i..=i], &value[0].to_vec(), || told("value"));
            for (name, p) in named_params::<f32>(&model) {
                let (a, b) = (grads.param(&p), one.param(&p));
                assert_eq!(a.is_some(), b.is_some(), "{}", told(&name));
                if let (Some(a), Some(b)) = (a, b) {
                    all.compare(&a.select(0, i as isize)?.to_vec(), &b.to_vec(), || told(&name));
                }
            }
            all.compare(&norms[i..=i], &[one.clip_norm(most, 2.0)? as f32], || told("norm"));
            match &mut sum {
                Some(sum) => sum.accumulate(&one)?,
                None => sum = Some(one),
            }
        }
        for (name, p) in named_params::<f32>(&model) {
            if let (Some(a), Some(b)) = (clipped.param(&p), sum.as_ref().and_then(|s| s.param(&p))) {
                let mean = |t: &Tensor| t.to_vec().iter().map(|v| v / n as f32).collect::<Vec<_>>();
                all.compare(&mean(a), &mean(b), || told(&format!("{name}, clipped")));
            }
        }
    }
    Ok(true)
}

/// A tape that was written, read and run again, on what it was recorded with and on other numbers.
fn saved(seed: u64, path: &Path) -> Result<()> {
    let direct = |step: u64, labels_of: u64| {
        let run = Run::new(seed, Way::Plain);
        run.tape.set_observing(true);
        let (x, _, _) = run.model.batch(step);
        let (_, index, labels) = run.model.batch(labels_of);
        (run, x, index, labels)
    };
    let (run, x, index, labels) = direct(0, 0);
    let input = run.tape.input(&x);
    let loss = run.model.loss(&input, &index, &labels, |parts, x| chain(Way::Plain, parts, x));
    SavedTape::from_var(&loss)?.with_names(&run.model).save(path)?;
    let loaded = SavedTape::load(path)?;
    let names: Vec<String> = loaded.leaves().iter().map(|(name, _)| name.to_string()).collect();
    let chosen = run.model.chain().contains("Max");
    for step in [0, 2, 3] {
        let (run, x, index, labels) = direct(step, 0);
        let input = run.tape.input(&x);
        let loss = run.model.loss(&input, &index, &labels, |parts, x| chain(Way::Plain, parts, x));
        let params: BTreeMap<_, _> = named_params::<f32>(&run.model).into_iter().collect();
        let leaves: Vec<Tensor> =
            names.iter().map(|name| params.get(name).map_or_else(|| x.clone(), Param::value)).collect();
        let again = match loaded.replay_on::<f32>(&leaves) {
            // Whose positions are found from values.
            Err(e) if step > 0 && chosen && e.to_string().contains("found from values") => continue,
            again => again?,
        };
        let same = |a: &Tensor, b: &Tensor| bits(a) == bits(b);
        assert!(
            same(&again.value, loss.value()?),
            "seed {seed}, numbers of step {step}: {}",
            run.model.chain()
        );
        let grads = loss.backward()?;
        for (name, p) in &params {
            if let (Some(a), Some(b)) = (again.gradient(name), grads.param(p)) {
                assert!(same(a, b), "seed {seed}, step {step}, {name}: {}", run.model.chain());
            }
        }
    }
    Ok(())
}

const FOLDER: &str = "KOLMO_TEST_REWRITTEN";

/// Two steps of every model that has some left, from its file and into it; after the last the parameters,
/// too.
fn two_steps(folder: &Path) -> Result<()> {
    for seed in seeds() {
        let path = folder.join(format!("{seed}.checkpoint"));
        let mut run = Run::new(seed, Way::Plain);
        with_optimizer!(seed, |optimizer| {
            let (mut step, mut random) = (0, run.tape.random());
            if path.exists() {
                (step, random) = load_checkpoint::<f32, _, _, (u64, Random)>(&run.model, optimizer, &path)?;
            }
            run.tape.set_random(random);
            let found = run.steps(optimizer, step..step + 2)?;
            save_checkpoint(&run.model, optimizer, &(step + 2, run.tape.random()), &path)?;
            let text = serde_json::to_string(&found.params).unwrap();
            std::fs::write(folder.join(format!("{seed}.{}", step + 2)), text).unwrap();
        });
    }
    Ok(())
}

/// The processes that take runs up. Alone it does nothing.
#[test]
#[ignore = "run by the test beside it"]
fn child() {
    if let Some(folder) = env::var_os(FOLDER) {
        two_steps(Path::new(&folder)).unwrap();
    }
}

#[test]
fn a_fresh_process_goes_on_with_the_same_bits() -> Result<()> {
    let folder = Folder::new("rewritten-resumed");
    for threads in ["1", "3"] {
        let mut child = crate::resume::this_program();
        child.args(["--exact", "rewritten::child", "--ignored"]).env(FOLDER, &*folder);
        let output = child.env("KOLMO_NUM_THREADS", threads).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    for seed in seeds() {
        let text = std::fs::read_to_string(folder.join(format!("{seed}.{STEPS}"))).unwrap();
        let params: BTreeMap<String, Vec<u32>> = serde_json::from_str(&text).unwrap();
        assert_eq!(params, trained(seed, Way::Plain)?.params, "seed {seed}: {}", Model::new(seed).chain());
    }
    Ok(())
}
