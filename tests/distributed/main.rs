//! Training by processes of MPI, which `mpirun` starts: the same bits as by one, whoever is killed when.
//! With words as arguments, the tests whose names have one of them; `KOLMO_KILLS=n` sets how often a
//! process is killed.
mod hosts;
mod proxy;
mod runs;

use kolmo::{
    Error, Random, Result,
    distributed::{Alone, Communicator, Mpi},
    nn::Linear,
    optim::Sgd,
    train::Trainer,
};
use runs::{ALL, End, Extra, run};
use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Within which a job must have ended after one of its processes has.
const END: Duration = Duration::from_secs(10);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let told = match arguments.first().map(String::as_str) {
        Some("child") => child(&arguments[1..]),
        Some("proxy") => {
            proxy::run(arguments[1].parse().unwrap());
            Ok(())
        }
        _ => {
            tests(&arguments);
            Ok(())
        }
    };
    if let Err(e) = told {
        // In one piece, as several processes write there.
        let _ = std::io::stderr().write_all(format!("{e}\n").as_bytes());
        std::process::exit(1);
    }
}

/// What a process of a job does: the runs of some names, in a folder, up to an end.
fn child(arguments: &[String]) -> Result<()> {
    let seconds = env::var("KOLMO_TEST_DEADLINE").map_or(60, |n| n.parse().unwrap());
    let world = Mpi::new()?.deadline(Duration::from_secs(seconds));
    let [what, rest @ ..] = arguments else { return Err(Error::custom("child of what?")) };
    match what.as_str() {
        "different" => return different(&world, &rest[0]),
        "silent" => return silent(world),
        _ => {}
    }
    let folder = rest.first().map(PathBuf::from);
    let end = rest.get(1).map(|end| {
        let parts: Vec<u64> = end.split(',').take(2).map(|n| n.parse().unwrap()).collect();
        let kind = match end.rsplit(',').next() {
            Some("kill") => End::Kill,
            Some("panic") => End::Panic,
            _ => End::Error,
        };
        (parts[0] as usize, parts[1], kind)
    });
    if let Some(folder) = &folder {
        fs::write(folder.join(format!("pid-{}", world.rank())), std::process::id().to_string()).unwrap();
    }
    let extra = Extra { folder, end };
    for name in what.split('+') {
        let hash = run(name, &world, &extra)?;
        // By all, not only by rank 0.
        let all = world.all_gather(hash.to_le_bytes().to_vec())?;
        assert!(all.iter().all(|other| **other == hash.to_le_bytes()), "{name}: ranks differ");
        if world.rank() == 0 {
            println!("{name} {hash:016x}");
        }
    }
    Ok(())
}

/// A run in which rank 1 has something else than the others.
fn different(world: &dyn Communicator, what: &str) -> Result<()> {
    let odd = world.rank() == 1;
    let other = |name| odd && what == name;
    let net =
        Linear::new(3, if other("shape") { 4 } else { 2 }, &mut Random::new(u64::from(other("values"))));
    let loader = kolmo::data::DataLoader::new(if other("loader") { 9 } else { 8 }, 4);
    let mut sgd = Sgd::new(if other("lr") { 0.2 } else { 0.1 });
    let made = |_: &[usize], _: &mut Random| Ok(());
    let mut trainer = Trainer::new(loader, 1).progress(false).communicator(world);
    if other("slots") {
        trainer = trainer.slots(5);
    }
    let told = trainer.fit(
        &net,
        &mut sgd,
        made,
        |tape, ()| tape.param(&net.weight).sum(),
        || Ok(Vec::<(String, f64)>::new()),
    );
    match told {
        Err(e) => println!("told {}: {e}", world.rank()),
        Ok(_) => println!("not told"),
    }
    Ok(())
}

/// Rank 1 does something else for ever, and the others don't wait so long.
fn silent(world: Mpi) -> Result<()> {
    let world = world.deadline(Duration::from_secs(1));
    if world.rank() == 1 {
        sleep(Duration::from_secs(3600));
    }
    world.barrier()
}

/// `mpirun` with so many processes of so many threads, which itself sometimes doesn't end when they have.
fn job(size: usize, threads: usize, arguments: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "300", "mpirun"]);
    command.args(["--oversubscribe", "--allow-run-as-root", "-n", &size.to_string()]);
    command.arg(env::current_exe().unwrap()).arg("child").args(arguments);
    command.env("KOLMO_NUM_THREADS", threads.to_string()).stdin(Stdio::null());
    command
}

fn output(mut command: Command) -> Output {
    command.output().unwrap_or_else(|e| panic!("mpirun: {e}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Standard output of a job that must succeed.
fn succeeds(command: Command) -> String {
    let found = output(command);
    assert!(found.status.success(), "{}{}", text(&found.stdout), text(&found.stderr));
    text(&found.stdout)
}

/// A folder of a test's own, gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn files(&self) -> Vec<Vec<u8>> {
        ["run.checkpoint", "best.safetensors", "history.jsonl"]
            .map(|f| fs::read(self.0.join(f)).unwrap())
            .into()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("any_number_of_processes_and_threads_trains_the_same_bits", same_bits),
    ("a_killed_process_ends_the_job_and_another_number_goes_on", killed),
    ("what_differs_is_refused_by_all", refused),
    ("who_is_silent_ends_the_job", deadline),
    ("hosts_of_their_own_train_the_same_bits_and_a_cut_cable_ends_the_job", hosts::test),
    ("connections_that_are_late_change_nothing_and_cut_ones_end_the_job", hosts::late_and_cut),
    ("many_kills_at_random_moments_change_nothing", kills),
];

fn tests(words: &[String]) {
    for (name, test) in TESTS {
        if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
            let began = Instant::now();
            test();
            println!("{name} ... ok, {:.1} s", began.elapsed().as_secs_f64());
        }
    }
}

fn same_bits() {
    let expected: String = ALL
        .iter()
        .map(|name| format!("{name} {:016x}\n", run(name, &Alone, &Extra::default()).unwrap()))
        .collect();
    for (size, threads) in [(1, 1), (2, 1), (2, 2), (3, 1), (4, 2), (8, 1)] {
        assert_eq!(succeeds(job(size, threads, &[&ALL.join("+")])), expected, "{size} of {threads} threads");
    }
    let wide = format!("wide {:016x}\n", run("wide", &Alone, &Extra::default()).unwrap());
    assert_eq!(succeeds(job(2, 1, &["wide"])), wide);
}

fn killed() {
    let (whole, broken) = (Folder::new("whole"), Folder::new("broken"));
    let expected = run("gpt", &Alone, &Extra { folder: Some(whole.0.clone()), end: None }).unwrap();
    for (size, end) in [(4, "2,2,kill"), (3, "0,3,kill"), (3, "2,3,panic"), (2, "1,4,error")] {
        let began = Instant::now();
        let found = output(job(size, 1, &["gpt", broken.name(), end]));
        assert!(
            !found.status.success() && began.elapsed() < END,
            "{:?} {}",
            found.status,
            text(&found.stderr)
        );
        let told = text(&found.stderr);
        let expected = match end.rsplit(',').next() {
            Some("kill") => "signal 9",
            Some("panic") => "rank 2: has left",
            _ => "rank 1: no more paper",
        };
        assert!(told.contains(expected), "{told}");
    }
    assert_eq!(succeeds(job(1, 2, &["gpt", broken.name()])), format!("gpt {expected:016x}\n"));
    assert!(broken.files() == whole.files());
}

fn refused() {
    for (what, difference) in [
        ("shape", "weight is [4, 3] of f32, trained here, [2, 3] of f32, trained on rank 0"),
        ("values", "the hash of weight is "),
        ("loader", "the loader is DataLoader { n: 9"),
        ("slots", "the number of slots is 5 here, 8 on rank 0"),
        ("lr", "the learning rate is 0.2 here, 0.1 on rank 0"),
    ] {
        let told = succeeds(job(3, 1, &["different", what]));
        for rank in 0..3 {
            let line = told.lines().find(|line| line.starts_with(&format!("told {rank}: rank 1: ")));
            assert!(line.is_some_and(|line| line.contains(difference)), "{what}: {told}");
        }
    }
}

fn deadline() {
    let began = Instant::now();
    let found = output(job(3, 1, &["silent"]));
    assert!(!found.status.success() && began.elapsed() < END, "{:?}", found.status);
    let told = text(&found.stderr);
    assert!(told.contains("rank 1: has sent nothing to rank"), "{told}");
}

fn kills() {
    let wanted: u64 = env::var("KOLMO_KILLS").map_or(4, |n| n.parse().unwrap());
    let whole = Folder::new("whole-kills");
    let expected = run("cnn", &Alone, &Extra { folder: Some(whole.0.clone()), end: None }).unwrap();
    let moments = Random::new(std::process::id().into());
    let (mut kills, mut round) = (0, 0);
    while kills < wanted {
        let broken = Folder::new(&format!("kills-{round}"));
        round += 1;
        loop {
            let size = 1 + moments.bits_at(3 * kills) % 4;
            let (rank, wait) =
                (moments.bits_at(3 * kills + 1) % size, moments.bits_at(3 * kills + 2) % 100_000);
            let file = broken.0.join(format!("pid-{rank}"));
            let _ = fs::remove_file(&file);
            let mut run = job(size as usize, 1, &["cnn", broken.name()]);
            let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let pid = loop {
                match fs::read_to_string(&file) {
                    Ok(pid) if !pid.is_empty() => break pid,
                    _ if run.try_wait().unwrap().is_some() => panic!("no rank {rank} of {size}"),
                    _ => sleep(Duration::from_millis(1)),
                }
            };
            sleep(Duration::from_micros(wait));
            if kills >= wanted || run.try_wait().unwrap().is_some_and(|status| status.success()) {
                assert!(run.wait().unwrap().success());
                break;
            }
            let killed = Command::new("kill").args(["-9", &pid]).stderr(Stdio::null()).status().unwrap();
            let began = Instant::now();
            let status = run.wait().unwrap();
            assert!(began.elapsed() < END, "the job has not ended");
            if status.success() {
                break;
            }
            assert!(killed.success(), "{status:?}");
            kills += 1;
        }
        let end = succeeds(job(2, 1, &["cnn", broken.name()]));
        assert_eq!(end, format!("cnn {expected:016x}\n"), "after {kills} kills, run {round}");
        assert!(broken.files() == whole.files(), "after {kills} kills, run {round}");
    }
    println!("{kills} kills in {round} runs");
}
