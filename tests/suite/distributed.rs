//! Training by several processes, here threads of one: the same bits as by one.
#[path = "../distributed/runs.rs"]
pub mod runs;

use crate::Folder;
use kolmo::{
    Random, Result,
    data::{self, DataLoader},
    distributed::{Alone, Communicator, Local},
    nn::{Layer, Linear, Relu, Sequential},
    optim::Sgd,
    runtime::set_num_threads,
    train::Trainer,
};
use runs::{ALL, End, Extra, run};
use std::{fs, path::Path};

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
