//! Training by several processes, here threads of one: the same bits as by one.
#[path = "../distributed/runs.rs"]
pub mod runs;

use crate::Folder;
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    autodiff::CustomOp,
    compress::{Calibration, matrices, pack, quantize::Gptq},
    data::{self, DataLoader},
    distributed::{Alone, Bytes, Communicator, Local, Traffic},
    nn::{BatchNorm1d, Layer, Linear, Param, Relu, Sequential, Tanh, visit_params},
    optim::{Adam, Sgd, StepLr},
    runtime::set_num_threads,
    train::{Control, Trainer},
};
use runs::{ALL, End, Extra, run};
use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

fn on(size: usize, name: &'static str, extra: Extra) -> Result<Vec<u64>> {
    Local::run(size, move |world| run(name, &world, &extra))
}

#[test]
fn any_number_of_processes_and_threads_trains_the_same_bits() {
    for name in ALL {
        let alone = run(name, &Alone, &Extra::default()).unwrap();
        for (size, threads) in [(1, 2), (2, 1), (3, 2), (4, 1), (8, 2)] {
            set_num_threads(threads);
            let found = on(size, name, Extra::default()).unwrap();
            assert_eq!(found, vec![alone; size], "{name} by {size} processes of {threads} threads");
        }
    }
    let alone = run("wide", &Alone, &Extra::default()).unwrap();
    assert_eq!(on(3, "wide", Extra::default()).unwrap(), [alone; 3]);
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    ["run.checkpoint", "best.safetensors", "history.jsonl"].map(|f| fs::read(folder.join(f)).unwrap()).into()
}

#[test]
fn a_run_goes_on_with_another_number_of_processes() {
    for name in ALL {
        let whole = Folder::new(&format!("distributed-{name}"));
        let extra = |folder: &Path, end| Extra { folder: Some(folder.into()), end };
        let unbroken = on(2, name, extra(&whole, None)).unwrap()[0];
        let broken = Folder::new(&format!("distributed-broken-{name}"));
        for (size, end) in [(4, (3, 2, End::Error)), (3, (0, 3, End::Panic)), (8, (5, 4, End::Error))] {
            let error = on(size, name, extra(&broken, Some(end))).unwrap_err().to_string();
            let told = if matches!(end.2, End::Panic) { "panicked: on purpose" } else { "no more paper" };
            assert_eq!(error, format!("rank {}: {told}", end.0));
        }
        // The last alone, by way of the trainer's own default.
        assert_eq!(run(name, &Alone, &extra(&broken, None)).unwrap(), unbroken, "{name}");
        assert!(files(&broken) == files(&whole), "{name}");
    }
}

/// Three steps of a plain net, and its weights.
fn plain(slots: Option<usize>, world: Option<&dyn Communicator>) -> Vec<f32> {
    let rng = &mut Random::new(1);
    let net = Sequential((Linear::new(64, 20, rng), Relu, Linear::new(20, 10, rng)));
    let (x, y) = data::digits();
    let mut trainer = Trainer::new(DataLoader::new(150, 50), 1).progress(false);
    if let Some(slots) = slots {
        trainer = trainer.slots(slots);
    }
    if let Some(world) = world {
        trainer = trainer.communicator(world);
    }
    let mut sgd = Sgd::new(0.1);
    trainer
        .fit(
            &net,
            &mut sgd,
            move |rows, _| Ok((x.rows(rows)?, y.rows(rows)?)),
            |tape, (x, y)| net.forward(&tape.constant(x)).cross_entropy(y),
            || Ok(Vec::<(String, f64)>::new()),
        )
        .unwrap();
    net.0.0.weight.value().to_vec()
}

#[test]
fn slots_make_the_steps_that_there_are_without() {
    let without = plain(None, None);
    assert_eq!(plain(Some(1), None), without, "one slot, to the bit");
    let by_three = Local::run(3, |world| Ok(plain(Some(1), Some(&world)))).unwrap();
    assert!(by_three.iter().all(|weights| *weights == without));
    for slots in [2, 7, 8, 64] {
        // A few roundings of weights of about 1/8.
        let near = plain(Some(slots), None).iter().zip(&without).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near && plain(Some(slots), None) != without, "{slots}");
    }
}

/// Three steps of a net with batch normalisation; its weights and statistics.
fn normalised(slots: Option<usize>, size: usize) -> Result<Vec<f64>> {
    let train = move |world: Local| {
        let rng = &mut Random::new(1);
        let net = Sequential((
            Linear::<f64>::with_dtype(64, 20, rng),
            BatchNorm1d::<f64>::with_dtype(20),
            Tanh,
            Linear::with_dtype(20, 10, rng),
        ));
        let (x, y) = data::digits();
        let x = x.cast::<f64>();
        let trainer = Trainer::new(DataLoader::new(150, 50), 1).progress(false);
        let mut trainer = match slots {
            Some(slots) => trainer.slots(slots).communicator(&world),
            None => trainer,
        };
        trainer.fit_synchronized(
            &net,
            &mut Sgd::new(0.1),
            move |rows, _| Ok((x.rows(rows)?, y.rows(rows)?)),
            |tape, (x, y)| net.forward(&tape.constant(x)).cross_entropy(y),
            || Ok(Vec::<(String, f64)>::new()),
        )?;
        let (mut all, norm) = (net.0.0.weight.value().to_vec(), &net.0.1);
        for p in [&norm.running_mean, &norm.running_var, &norm.num_batches_tracked] {
            all.extend(p.value().to_vec());
        }
        all.extend(
            [norm.weight.as_ref(), norm.bias.as_ref()].into_iter().flatten().flat_map(|p| p.value().to_vec()),
        );
        Ok(all)
    };
    Ok(Local::run(size, train)?.remove(0))
}

#[test]
fn synchronised_statistics_make_the_steps_that_there_are_without_slots() {
    let without = normalised(None, 1).unwrap();
    for size in [1, 3] {
        assert_eq!(normalised(Some(1), size).unwrap(), without, "one slot, to the bit");
        for slots in [2, 7, 8, 50] {
            let found = normalised(Some(slots), size).unwrap();
            // A few roundings of numbers up to 100.
            let near = found.iter().zip(&without).all(|(a, b)| (a - b).abs() < 1e-12 * b.abs().max(1.0));
            assert!(near && found != without, "{slots} slots, {size} processes");
        }
    }
}

#[test]
fn slots_that_do_not_normalise_alike_are_an_error_of_all() {
    for (rank, what) in [(0, "error"), (1, "error"), (0, "fewer"), (1, "fewer"), (0, "panic"), (1, "panic")] {
        let told = Local::run(2, move |world| {
            let norm = BatchNorm1d::new(3);
            let own = world.rank() == rank;
            let done = Trainer::new(DataLoader::new(8, 8), 1)
                .progress(false)
                .slots(4)
                .communicator(&world)
                .fit_synchronized(
                    &norm,
                    &mut Sgd::new(0.1),
                    |rows, _| Ok(rows[0]),
                    |tape, row| {
                        let x = tape.constant(Tensor::from_fn([2, 3], |i| (i * i + row) as f32));
                        let y = norm.forward(&x);
                        match what {
                            _ if !own => norm.forward(&y).sum(),
                            "fewer" => y.sum(),
                            "panic" => panic!("on purpose"),
                            _ => norm.forward(&y.reshape([7])).sum(),
                        }
                    },
                    || Ok(Vec::<(String, f64)>::new()),
                );
            done.map(drop)
        });
        let told = told.unwrap_err().to_string();
        let expected = match what {
            "error" => "reshape",
            "fewer" => "don't all normalise as often",
            _ => "panicked: on purpose",
        };
        assert!(told.contains(expected), "{rank} {what}: {told}");
    }
}

/// Bytes that each process sends in a step with 8 slots, for a model of one block of 1,024 after the other.
fn bytes_of_a_step(size: usize) -> Vec<u64> {
    let step = |world: Local| {
        let net = Linear::new(256, 512, &mut Random::new(1));
        let mut seen = Vec::new();
        Trainer::new(DataLoader::new(40, 8), 1)
            .progress(false)
            .communicator(&world)
            .clip_norm(1.0)
            .on_step(|_| {
                seen.push(world.traffic().bytes);
                Ok(())
            })
            .fit(
                &net,
                &mut Sgd::new(0.1),
                |rows, _| Ok(Tensor::ones([rows.len(), 256])),
                |tape, x| net.forward(&tape.constant(x)).square().mean(),
                || Ok(Vec::<(String, f64)>::new()),
            )?;
        assert!(seen.windows(2).skip(1).all(|w| w[1] - w[0] == seen[2] - seen[1]), "{seen:?}");
        Ok(seen[2] - seen[1])
    };
    Local::run(size, step).unwrap()
}

#[test]
fn no_process_sends_more_than_the_documentation_says() {
    let n: u64 = 256 * 512 + 512;
    assert_eq!(bytes_of_a_step(1), [0]);
    for size in [2, 3, 4, 8] {
        // Subtrees of the slots of the one that has most: of three processes, slots 2 to 4 are {2, 3} and {4}.
        let subtrees = if size == 3 { 2 } else { 1 };
        let others = size as u64 - 1;
        // Of each of the two parameters it may have a block more than its share.
        let own = n / size as u64 + 2 * 1024;
        // Sums of subtrees to the owners of ranges, the own weights to all; and then what is small: losses,
        // which parameters have gradients, squares of blocks, and that a step's hook went well.
        let most = 4 * (subtrees * (n - n / size as u64 + 2 * 1024) + others * own);
        let small = others * (8 * (8 + own / 1024) + 16);
        for (rank, bytes) in bytes_of_a_step(size).into_iter().enumerate() {
            assert!(bytes <= most + small, "rank {rank} of {size} sent {bytes}, at most {most} + {small}");
            assert!(bytes > most / 2, "rank {rank} of {size} sent {bytes} only");
        }
    }
}

#[test]
fn what_differs_is_refused_by_all() {
    for (what, difference) in [
        ("shape", "weight is [4, 3] of f32, trained here, [2, 3] of f32, trained on rank 0"),
        ("values", "the hash of weight is "),
        ("loader", "the loader is DataLoader { n: 9"),
        ("slots", "the number of slots is 5 here, 8 on rank 0"),
        ("momentum", "momentum: 0.9"),
        ("schedule", "the schedule is [0.1, "),
    ] {
        let told = Local::run(3, move |world| {
            let other = |name| world.rank() == 1 && what == name;
            let (out, seed) = (if other("shape") { 4 } else { 2 }, u64::from(other("values")));
            let net = Linear::new(3, out, &mut Random::new(seed));
            let trainer = Trainer::new(DataLoader::new(if other("loader") { 9 } else { 8 }, 4), 1);
            let schedule = StepLr::new(0.1, 1).gamma(if other("schedule") { 0.5 } else { 0.1 });
            let trainer = trainer.schedule(&schedule);
            let told =
                trainer.progress(false).slots(if other("slots") { 5 } else { 8 }).communicator(&world).fit(
                    &net,
                    &mut Sgd::new(0.1).momentum(if other("momentum") { 0.9 } else { 0.5 }),
                    |_, _| Ok(()),
                    |tape, ()| tape.param(&net.weight).sum(),
                    || Ok(Vec::<(String, f64)>::new()),
                );
            Ok(told.unwrap_err().to_string())
        });
        for told in told.unwrap() {
            assert!(told.starts_with("rank 1: ") && told.contains(difference), "{told}");
        }
    }
}

/// Bytes that each of three processes sends for the checkpoint of a step of Adam, where those of some ranks are
/// elsewhere; and the file of rank 0.
fn saved(folder: &Path, elsewhere: &'static [usize]) -> (Vec<u64>, Vec<u8>) {
    let there = folder.to_path_buf();
    let _ = fs::remove_file(folder.join("run"));
    let sent = Local::run(3, move |world| {
        let net = Linear::new(256, 512, &mut Random::new(1));
        let folder = if elsewhere.contains(&world.rank()) { Path::new("/nowhere") } else { &there };
        let mut before = 0;
        Trainer::new(DataLoader::new(8, 8), 1)
            .progress(false)
            .communicator(&world)
            .checkpoint(folder.join("run"), 1)
            .on_step(|_| {
                before = world.traffic().bytes;
                Ok(())
            })
            .on_epoch(|_| Ok(Control::Stop))
            .fit(
                &net,
                &mut Adam::new(0.1),
                |rows, _| Ok(Tensor::ones([rows.len(), 256])),
                |tape, x| net.forward(&tape.constant(x)).square().mean(),
                || Ok(Vec::<(String, f64)>::new()),
            )?;
        Ok(world.traffic().bytes - before)
    });
    (sent.unwrap(), fs::read(folder.join("run")).unwrap())
}

#[test]
fn each_process_writes_its_part_of_a_checkpoint() {
    let folder = Folder::new("distributed-saved");
    let (sent, file) = saved(&folder, &[]);
    // Where the file is, what has become of it, and what all agree on.
    assert!(sent.iter().all(|&bytes| bytes < 2000), "{sent:?}");
    let (sent, brought) = saved(&folder, &[2]);
    assert!(brought == file);
    // Twice, after the step and after the epoch, a third of the weights and of both moments.
    let part = 2 * 3 * 4 * (256 * 512 + 512) / 3;
    assert!(sent[1] < 2000 && (part - 20_000..part + 20_000).contains(&sent[2]), "{sent:?}, {part}");
    assert_eq!(fs::read_dir(&*folder).unwrap().count(), 1, "what was begun is gone");
}

/// What happens in a process, in its order.
type Events = Arc<Mutex<Vec<String>>>;

/// A communicator that writes down what it begins to send.
struct Watched(Local, Events);

impl Communicator for Watched {
    fn rank(&self) -> usize {
        self.0.rank()
    }
    fn size(&self) -> usize {
        self.0.size()
    }
    fn start(&self, messages: Vec<(usize, Bytes)>, from: Vec<usize>) -> Result<()> {
        let bytes: usize = messages.iter().map(|(_, bytes)| bytes.len()).sum();
        self.1.lock().unwrap().push(format!("sends {} MB", bytes >> 20));
        self.0.start(messages, from)
    }
    fn finish(&self) -> Result<Vec<Bytes>> {
        self.0.finish()
    }
    fn traffic(&self) -> Traffic {
        self.0.traffic()
    }
}

/// Writes down that the sweep has come here.
struct Passed(Events);

impl CustomOp<f32> for Passed {
    fn name(&self) -> &str {
        "passed"
    }
    fn forward(&self, x: &[&Tensor]) -> Result<Tensor> {
        Ok(x[0].clone())
    }
    fn backward<'t>(&self, _: &[Var<'t>], _: &Var<'t>, grad: &Var<'t>) -> Vec<Option<Var<'t>>> {
        self.0.lock().unwrap().push("passed".into());
        vec![Some(grad.clone())]
    }
}

#[test]
fn gradients_are_sent_while_the_sweep_still_runs() {
    let seen = Local::run(2, |world| {
        let world = Watched(world, Events::default());
        let rng = &mut Random::new(1);
        let net = Sequential((Linear::new(10, 1100, rng), Linear::new(1100, 1000, rng)));
        Trainer::new(DataLoader::new(8, 8), 1).progress(false).slots(4).communicator(&world).fit(
            &net,
            &mut Sgd::new(0.1),
            |rows, _| Ok(Tensor::ones([rows.len(), 10])),
            |tape, x| {
                let h = net.0.0.forward(&tape.constant(x));
                net.0.1.forward(&tape.custom(Passed(world.1.clone()), &[&h])).square().mean()
            },
            || Ok(Vec::<(String, f64)>::new()),
        )?;
        Ok(world.1.lock().unwrap().join(", "))
    });
    for seen in seen.unwrap() {
        // Two slots each; half of the 4.4 MB of the last layer before the first one's turn in the second.
        assert!(seen.contains("passed, sends 2 MB, passed, sends 0 MB"), "{seen}");
    }
}

/// Weights in 4 bits, by what they were multiplied with, and the bytes of two files of them.
fn compressed(world: &dyn Communicator) -> Result<(Vec<f32>, Vec<u8>, Vec<u8>)> {
    let rng = &mut Random::new(3);
    let net =
        Sequential((Linear::new(64, 48, rng), Relu, Linear::new(48, 20, rng), Linear::new(20, 10, rng)));
    let calibration = Calibration::new(&net, matrices)?;
    let tape = Tape::inference();
    let (x, _) = data::digits();
    let _ = calibration.observe(&tape, || net.forward(&tape.constant(x)));
    Gptq::new(4).groups(16).apply_together(world, &net, &calibration)?;
    let artifact = pack(&net, &[("made by", "several")])?;
    let bytes = artifact.to_bytes_together(world)?;
    let mut weights = Vec::new();
    visit_params(&net, |_, p: &Param| weights.extend(p.value().to_vec()));
    Ok((weights, bytes, artifact.in_pieces()?.to_bytes_together(world)?))
}

#[test]
fn layers_that_are_shared_out_are_compressed_to_the_same_bytes() {
    let alone = compressed(&Alone).unwrap();
    for size in [2, 3, 8] {
        let sent = Local::run(size, |world| Ok((compressed(&world)?, world.traffic().bytes))).unwrap();
        assert!(sent.iter().all(|(made, _)| *made == alone), "{size}");
        // More than one of them had something to do.
        assert!(sent.iter().filter(|(_, bytes)| *bytes > 2000).count() > 1, "{size}");
    }
    let told = Local::run(2, |world| {
        let net = Linear::new(8, 4, &mut Random::new(0));
        let calibration = Calibration::new(&net, matrices)?;
        let told = Gptq::new(3 + world.rank() as u32).apply_together(&world, &net, &calibration);
        Ok(told.unwrap_err().to_string())
    });
    for told in told.unwrap() {
        assert!(told.starts_with("rank 1: the quantiser is Gptq") && told.contains("bits: 4"), "{told}");
    }
}
