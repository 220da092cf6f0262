//! Random programs against a naive evaluator: each operation's definition as plain loops, on numbers that
//! carry their derivatives. Values, gradients and gradients of gradients must agree, on every instruction set
//! that the machine has, and one thread and three must give the same bits.
//!
//! `cargo test --test random` runs a few seconds; `KOLMO_RANDOM_PROGRAMS=n` sets how many programs,
//! `KOLMO_RANDOM_SEED=n` the seed of the first, and without a number of programs reruns that one alone; words
//! after `--` choose operations (`-- conv2d softmax`), of which alone programs are made. A failure is made
//! smaller and printed with its seed. The table tells how often each operation was hit; an operation of the
//! crate that isn't in it is a failure, too. The last line is `random: N programs, S skipped, F failed`.
// Tables of functions have long types; a comparison that NaN fails is negated on purpose.
#![allow(clippy::type_complexity, clippy::neg_cmp_op_on_partial_ord, clippy::needless_range_loop)]
mod arr;
mod check;
mod classes;
mod conv;
mod coverage;
mod index;
mod joined;
mod layers;
mod loss;
mod norms;
mod number;
#[path = "../operations.rs"]
mod operations;
mod products;
mod program;
mod reduce;
mod scalars;
mod systems;
mod unary;
mod views;

use check::Verdict;
use kolmo::compress::coding::ArithmeticVersion;
use program::{Gen, Op, Program, What};
use std::{collections::BTreeMap, env, process::Command};

/// How many programs a run has that wasn't told: some seconds' worth.
const PROGRAMS: u64 = 600;

fn operations() -> Vec<Op> {
    let mut list = Vec::new();
    views::ops(&mut list);
    unary::ops(&mut list);
    reduce::ops(&mut list);
    products::ops(&mut list);
    systems::ops(&mut list);
    conv::ops(&mut list);
    norms::ops(&mut list);
    index::ops(&mut list);
    joined::ops(&mut list);
    loss::ops(&mut list);
    classes::ops(&mut list);
    layers::ops(&mut list);
    scalars::ops(&mut list);
    list
}

/// The program of a seed. `focus` is the one operation that it should have, if any; `longest` its longest
/// axis.
fn generate(seed: u64, list: &[Op], focus: Option<(&str, usize)>) -> Program {
    let mut g = Gen::new(seed, 3);
    g.longest = focus.map_or_else(|| g.choose(&[2, 3, 3, 4, 4, 5, 9]), |(_, longest)| longest);
    g.large = focus.is_none() && seed % 80 == 7;
    g.once = focus.is_some() || seed % 5 == 3;
    let wanted = match focus {
        Some(_) => 1,
        None if g.large => 5,
        None => g.int(5, 60),
    };
    let chosen: Vec<usize> =
        (0..list.len()).filter(|&i| focus.is_none_or(|(name, _)| list[i].name == name)).collect();
    let (mut made, mut tries) = (0, 0);
    while made < wanted && tries < 40 * wanted {
        let i = g.choose(&chosen);
        made += g.attempt(&list[i]) as usize;
        tries += 1;
    }
    g.finish()
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: a whole number is accepted")))
}

/// A failure made smaller: first its statements, then, where one operation alone fails at a smaller size,
/// that.
fn explain(program: &Program, list: &[Op], told: &mut BTreeMap<&'static str, usize>) -> String {
    let small = check::shrink(program);
    let op_of =
        |s: &program::Statement| if let What::Operation { op, .. } = s.what { Some(op) } else { None };
    let ops: Vec<&'static str> = small.statements.iter().filter_map(op_of).collect();
    let last = ops.last().copied().unwrap_or("leaf");
    let times = told.entry(last).or_default();
    *times += 1;
    if *times > 2 {
        return format!("    again {last}");
    }
    for (size, seed) in (1..4).flat_map(|size| (0..60).map(move |seed| (size, seed))) {
        let p = generate(seed, list, Some((last, size)));
        if matches!(check::check(&p), Verdict::Failed(_)) {
            let alone = check::report(&check::shrink(&p));
            return format!("{}\n  a smaller one with {last}:\n{alone}", check::report(&small));
        }
    }
    check::report(&small)
}

fn main() {
    if env::args().any(|a| a == "--list") {
        return println!("random: test");
    }
    let chosen: Vec<String> = env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let mut list = operations();
    let gaps = coverage::gaps(&list);
    gaps.iter().for_each(|gap| println!("{gap}"));
    check::hush_panics();
    list.retain(|op| chosen.is_empty() || chosen.iter().any(|name| name == op.name));
    if list.is_empty() {
        return println!("random: 0 programs, 0 skipped, 0 failed");
    }
    let (first, programs) = (number("KOLMO_RANDOM_SEED"), number("KOLMO_RANDOM_PROGRAMS"));
    let count = programs.unwrap_or(if first.is_some() { 1 } else { PROGRAMS });
    let seeds = first.unwrap_or(0)..first.unwrap_or(0).saturating_add(count);
    let (mut skipped, mut failed, mut statements) = (0, gaps.len(), 0);
    let mut told = BTreeMap::new();
    let mut used: BTreeMap<&str, usize> = list.iter().map(|op| (op.name, 0)).collect();
    for seed in seeds.clone() {
        let p = generate(seed, &list, None);
        for s in &p.statements {
            if let What::Operation { op, .. } = s.what {
                *used.entry(op).or_default() += 1;
                statements += 1;
            }
        }
        match check::check(&p) {
            Verdict::Passed => {}
            Verdict::Skipped => skipped += 1,
            Verdict::Failed(why) => {
                failed += 1;
                println!("seed {seed}: {why}");
                println!("{}", explain(&p, &list, &mut told));
            }
        }
    }
    if count == 1 {
        println!("{}", check::report(&generate(seeds.start, &list, None)));
    }
    let rarest = used.iter().min_by_key(|(_, n)| **n).map_or(String::new(), |(op, n)| format!("{op} {n}"));
    println!("{} operations, {statements} statements, the rarest {rarest}:", used.len());
    let cells: Vec<String> = used.iter().map(|(name, n)| format!("{name} {n}")).collect();
    cells.chunks(6).for_each(|row| println!("  {}", row.join(", ")));
    println!("{}, bits {:016x}", ArithmeticVersion::here(), check::bits());
    if env::var_os("KOLMO_ISA").is_none() {
        let lesser = ["exact", "portable", "avx2"]
            .into_iter()
            .take_while(|&isa| isa != kolmo::runtime::instruction_set())
            .filter(|&isa| isa != "avx2" || cfg!(target_arch = "x86_64"));
        failed += lesser.map(with_isa).sum::<usize>();
    }
    println!("random: {count} programs, {skipped} skipped, {failed} failed");
    std::process::exit((failed > 0) as i32);
}

/// The whole run in a process of its own, since the instruction set is chosen once; gives its failures.
fn with_isa(isa: &str) -> usize {
    let executable = env::current_exe().unwrap_or_else(|e| panic!("the path of this program: {e}"));
    let output = Command::new(executable).args(env::args().skip(1)).env("KOLMO_ISA", isa).output();
    let output = output.unwrap_or_else(|e| panic!("running for {isa}: {e}"));
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or("no output");
    println!("KOLMO_ISA={isa}: {last}");
    let failed = last.rsplit_once(" failed").and_then(|(head, _)| head.rsplit(' ').next()?.parse().ok());
    let mut failed = failed.unwrap_or(1);
    if failed > 0 {
        print!("{text}");
    }
    // The same arithmetic gives the same bits.
    let told = text.lines().rev().nth(1).unwrap_or("no bits");
    let here = format!("{}, bits {:016x}", ArithmeticVersion::here(), check::bits());
    let arithmetic = |line: &str| line.split(',').next().map(str::to_string);
    if arithmetic(told) == arithmetic(&here) && told != here {
        println!("KOLMO_ISA={isa}: {told}, here {here}");
        failed += 1;
    }
    failed
}
