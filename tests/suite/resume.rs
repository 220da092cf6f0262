//! A run that is killed, several times and at any moment, ends with the very bits of an unbroken one,
//! whatever the number of threads before and after.
use crate::Folder;
use kolmo::{
    Random, Result, Tape,
    compress::{
        matrices,
        prune::{self, Amount},
        quantize::{Quantizer, share_values},
    },
    data::{self, Augment, DataLoader},
    metrics::accuracy,
    nn::{BatchNorm1d, Dropout, Layer, Linear, Relu, Sequential},
    optim::{AdamW, OneCycleLr},
    train::{EarlyStopping, Trainer, load_checkpoint, save_checkpoint, save_safetensors},
};
use std::{
    env, fs,
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread::sleep,
    time::Duration,
};

const FOLDER: &str = "KOLMO_TEST_RESUME";
const FILES: [&str; 4] = ["weights.safetensors", "best.safetensors", "history.jsonl", "run.checkpoint"];

/// A run with everything that has a state: random batches, dropout, running statistics, moments, a schedule,
/// a mask that comes in the middle.
fn train(folder: &Path) -> Result<()> {
    let (x, y) = data::digits();
    let rng = &mut Random::new(1);
    let net = Sequential((
        Linear::new(64, 32, rng),
        BatchNorm1d::new(32),
        Relu,
        Dropout::new(0.2),
        Linear::new(32, 10, rng),
    ));
    let augment = Augment::new().noise(0.5);
    let schedule = OneCycleLr::new(1e-2, 225);
    let rows = (x.clone(), y.clone());
    Trainer::new(DataLoader::new(1450, 50).seed(2), 15)
        .seed(3)
        .progress(false)
        .schedule(&schedule)
        .accumulate_grad_batches(2)
        .clip_norm(1.0)
        .early_stopping(EarlyStopping::new(100).maximize(true))
        .save_best(folder.join("best.safetensors"))
        .save_history(folder.join("history.jsonl"))
        .checkpoint(folder.join("run.checkpoint"), 2)
        .fit(
            &net,
            &mut AdamW::new(1e-2),
            move |index, rng| {
                let images = rows.0.rows(index)?.reshape([-1, 1, 8, 8])?;
                Ok((augment.apply(&images, rng)?.reshape([-1, 64])?, rows.1.rows(index)?))
            },
            |tape, (x, y)| net.forward(&tape.constant(x)).cross_entropy(y),
            || {
                // Something new after each of the first epochs.
                if net.0.0.weight.mask().is_none() {
                    prune::global(&net, Amount::Density(0.5), matrices)?;
                } else if net.0.4.weight.steps().is_none() {
                    Quantizer::new(6).attach(&net, |name, _| name == "4.weight")?;
                } else if net.0.0.weight.codebook().is_none() {
                    share_values(&net.0.0.weight, 32)?;
                }
                let (tape, held) = (Tape::inference(), (1450..1797).collect::<Vec<_>>());
                let scores = net.forward(&tape.constant(x.rows(&held)?));
                Ok(vec![("accuracy", accuracy(scores.value()?, &y.rows(&held)?)?)])
            },
        )?;
    save_safetensors(&net, folder.join("weights.safetensors"))
}

/// The process that is killed. Alone it does nothing.
#[test]
#[ignore = "run by the test beside it"]
fn child() {
    if let Some(folder) = env::var_os(FOLDER) {
        train(Path::new(&folder)).unwrap();
    }
}

/// This program, to be run with other arguments.
pub fn this_program() -> Command {
    let program = env::current_exe().unwrap();
    // Where cargo runs programs of another processor by an emulator, so does this.
    let runner = env::vars().find(|(name, _)| {
        let target = format!("CARGO_TARGET_{}_", env::consts::ARCH.to_uppercase());
        name.starts_with(&target) && name.ends_with("_RUNNER")
    });
    match runner {
        Some((_, runner)) => {
            let mut command = Command::new(runner);
            command.arg(program);
            command
        }
        None => Command::new(program),
    }
}

fn start(folder: &Path, threads: u64) -> Child {
    let mut command = this_program();
    command.args(["--exact", "resume::child", "--ignored"]).env(FOLDER, folder);
    command.env("KOLMO_NUM_THREADS", threads.to_string());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The files of an unbroken run.
fn unbroken() -> &'static [Vec<u8>; 4] {
    static FOUND: OnceLock<[Vec<u8>; 4]> = OnceLock::new();
    FOUND.get_or_init(|| {
        let whole = Folder::new("whole");
        assert!(start(&whole, 2).wait().unwrap().success());
        whole_files(&whole)
    })
}

/// A run's files, beside which there is nothing half written: what a killed run had begun, the next one has
/// cleared.
fn whole_files(folder: &Path) -> [Vec<u8>; 4] {
    let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|n| !FILES.contains(&n.as_str())).collect::<Vec<_>>(), [""; 0]);
    FILES.map(|file| fs::read(folder.join(file)).unwrap())
}

fn ends_as_unbroken(folder: &Path, what: &str) {
    let found = whole_files(folder);
    for (file, (a, b)) in FILES.iter().zip(unbroken().iter().zip(&found)) {
        assert!(a == b, "{file} differs {what}");
    }
}

/// `KOLMO_KILLS=n` sets how often, in as many runs as that takes.
#[test]
fn a_killed_run_ends_as_an_unbroken_one() {
    let wanted = env::var("KOLMO_KILLS").map_or(6, |n| n.parse().unwrap());
    let moments = Random::new(std::process::id().into());
    let (mut kills, mut runs) = (0, 0);
    while kills < wanted {
        let broken = Folder::new(&format!("broken-{runs}"));
        let checkpoint = broken.join("run.checkpoint");
        let before_it = kills;
        while kills < wanted {
            let before = fs::read(&checkpoint).ok();
            let mut run = start(&broken, 1 + kills % 2);
            // It has gone on when the checkpoint is another one; then it dies within some steps. Now and then
            // at once, whatever it does.
            let at_once = moments.bits_at(1000 + kills).is_multiple_of(4);
            while !at_once && fs::read(&checkpoint).ok() == before && run.try_wait().unwrap().is_none() {
                sleep(Duration::from_millis(1));
            }
            sleep(Duration::from_micros(moments.bits_at(kills) % 40_000));
            if run.try_wait().unwrap().is_some() {
                break;
            }
            run.kill().unwrap();
            run.wait().unwrap();
            kills += 1;
        }
        assert!(start(&broken, 1).wait().unwrap().success());
        assert!(kills > before_it, "the run was over before it could be killed");
        ends_as_unbroken(&broken, &format!("after {kills} kills, run {runs}"));
        runs += 1;
    }
    println!("{kills} kills in {runs} runs");
}

#[test]
fn two_processes_in_one_folder_end_as_one() {
    let both = Folder::new("two");
    let mut runs = [start(&both, 1), start(&both, 2)];
    assert!(runs.iter_mut().all(|run| run.wait().unwrap().success()));
    ends_as_unbroken(&both, "after two at once");
    // One of them is killed.
    let both = Folder::new("one-killed");
    let mut runs = [start(&both, 1), start(&both, 2)];
    while !both.join("run.checkpoint").exists() {
        sleep(Duration::from_millis(1));
    }
    runs[0].kill().unwrap();
    runs[0].wait().unwrap();
    assert!(runs[1].wait().unwrap().success());
    assert!(start(&both, 1).wait().unwrap().success());
    ends_as_unbroken(&both, "after one of two was killed");
}

/// Where no file may have more than four kilobytes: a write fails, with an error where the signal is ignored,
/// else by the death of the process.
#[cfg(unix)]
#[test]
fn a_run_that_cannot_write_leaves_the_last_good_file() {
    let full = Folder::new("full");
    let checkpoint = full.join("run.checkpoint");
    let mut run = start(&full, 1);
    while !checkpoint.exists() {
        sleep(Duration::from_millis(1));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    for ignored in ["trap '' XFSZ; ", ""] {
        let good = fs::read(&checkpoint).unwrap();
        let command = this_program();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{ignored}ulimit -f 8; exec \"$0\" \"$@\"")]).arg(command.get_program());
        shell.args(command.get_args()).args(["--exact", "resume::child", "--ignored", "--nocapture"]);
        let output = shell.env(FOLDER, &*full).output().unwrap();
        assert!(!output.status.success());
        assert!(fs::read(&checkpoint).unwrap() == good, "the last good checkpoint is gone");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            ignored.is_empty() || told.contains("run.checkpoint") || told.contains("history.jsonl"),
            "{told}"
        );
    }
    assert!(start(&full, 2).wait().unwrap().success());
    ends_as_unbroken(&full, "after writes that failed");
    // A device without room.
    let device = Path::new("/dev/full");
    if device.exists() {
        let net = Linear::new(3, 2, &mut Random::new(0));
        let error = save_safetensors(&net, device).unwrap_err().to_string();
        assert!(error.contains("/dev/full"), "{error}");
    }
}

/// `KOLMO_SMALL_DISK` names a folder on a file system of its own, of a few megabytes, which is filled up to
/// different sizes.
#[test]
fn a_full_disk_leaves_the_last_good_file() {
    let Some(disk) = env::var_os("KOLMO_SMALL_DISK") else { return };
    let filler = Path::new(&disk).join("filler");
    for kilobytes in (0..120).step_by(8) {
        let folder = Folder::within(Path::new(&disk), "full-disk");
        let mut file = fs::File::create(&filler).unwrap();
        let mut size = 0;
        while let Ok(written @ 1..) = file.write(&[0; 1 << 10]) {
            size += written as u64;
            assert!(size < 1 << 28, "{} is no small disk", filler.display());
        }
        file.set_len(size.saturating_sub(kilobytes << 10)).unwrap();
        drop(file);
        let mut command = this_program();
        command.args(["--exact", "resume::child", "--ignored", "--nocapture"]).env(FOLDER, &*folder);
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || told.contains(&*folder.to_string_lossy()), "{told}");
        println!("{kilobytes} KB free: success {}", output.status.success());
        fs::remove_file(&filler).unwrap();
        assert!(start(&folder, 2).wait().unwrap().success());
        ends_as_unbroken(&folder, "after the disk was full");
    }
}

#[test]
fn a_checkpoint_that_does_not_fit_changes_nothing() {
    let folder = Folder::new("unfit");
    let path = folder.join("run.checkpoint");
    let small = Linear::new(3, 2, &mut Random::new(0));
    save_checkpoint(&small, &AdamW::<f32>::new(0.1), &"here", &path).unwrap();
    let large = Linear::new(4, 2, &mut Random::new(1));
    let before = large.weight.value().to_vec();
    let mut adam = AdamW::<f32>::new(0.5);
    let error = load_checkpoint::<f32, _, _, String>(&large, &mut adam, &path).unwrap_err().to_string();
    assert!(error.contains("weight is [2, 3] in the file, [2, 4] in the model"), "{error}");
    assert_eq!(large.weight.value().to_vec(), before);
    let bare = Linear::new(3, 2, &mut Random::new(1)).bias(false);
    let error = load_checkpoint::<f32, _, _, String>(&bare, &mut adam, &path).unwrap_err().to_string();
    assert!(error.contains("not in the model: model.bias"), "{error}");
    let run: String = load_checkpoint(&small, &mut adam, &path).unwrap();
    assert_eq!((run.as_str(), kolmo::optim::Optimizer::<f32>::lr(&adam)), ("here", 0.1));
    // Cut off or changed anywhere, it is an error and not a panic.
    let bytes = fs::read(&path).unwrap();
    for cut in 0..bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        assert!(load_checkpoint::<f32, _, _, String>(&small, &mut adam, &path).is_err());
    }
}
