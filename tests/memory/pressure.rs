//! Every operation while the system refuses whatever is larger than a few kilobytes, at once or after any
//! number of times that it didn't: a result or an error, never the process's end.
use super::{Full, at, catalogue};
use kolmo::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

fn told(error: Error) -> String {
    error.to_string()
}

/// The value and the gradients of an entry, each as bits in row-major order.
fn outcome(entry: &catalogue::Entry, full: impl FnOnce() -> Option<Full>) -> Result<Vec<Vec<u64>>, String> {
    let tape = Tape::new();
    // What lies about is too small for a result.
    runtime::release_memory();
    outcome_of(&catalogue::operands(&tape, entry.operands), entry, full)
}

/// The same operands in another order of memory: whoever wants them in rows makes a copy.
fn in_columns<'t>(tape: &'t Tape<f64>, entry: &catalogue::Entry) -> Vec<Var<'t, f64>> {
    let plain = catalogue::operands(tape, entry.operands);
    let columns = |x: &Var<'t, f64>| {
        let columns = x.value().unwrap().transpose(-1, -2).unwrap().contiguous();
        tape.input(columns.transpose(-1, -2).unwrap())
    };
    plain.iter().map(columns).collect()
}

fn outcome_of(
    x: &[Var<'_, f64>],
    entry: &catalogue::Entry,
    full: impl FnOnce() -> Option<Full>,
) -> Result<Vec<Vec<u64>>, String> {
    x[0].tape().seed(1);
    let full = full();
    let y = (entry.run)(x);
    // Gradients of the square, which need the value; of what nothing depends on there are none.
    let grads = (&y * &y).sum().backward();
    drop(full);
    let bits = |values: Vec<f64>| values.into_iter().map(f64::to_bits).collect::<Vec<_>>();
    let mut all = vec![bits(y.to_vec().map_err(told)?)];
    match grads {
        Ok(grads) => all.extend(x.iter().map(|x| grads.get(x).map_or(vec![], |g| bits(g.to_vec())))),
        Err(error) if entry.name != "detach" => return Err(told(error)),
        Err(_) => {}
    }
    Ok(all)
}

fn of_memory(why: &str) -> bool {
    why.contains("bytes, which can't be had") || why.contains("memory for")
}

/// What asks for less than was had before is not reached by a limit of size alone. The tape has room for its
/// statements.
pub fn every_operation_survives_that_memory_runs_out() {
    let mut wrong = Vec::new();
    for entry in catalogue::all() {
        let mut tape = Tape::new();
        let whole = outcome_of(&in_columns(&tape, entry), entry, || None);
        for times in 0.. {
            at(format_args!("{} with room for {times} lists", entry.name));
            tape.reset();
            runtime::release_memory();
            let x = in_columns(&tape, entry);
            let run = || outcome_of(&x, entry, || Some(Full::after(times, 4 << 10)));
            let found = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("panics".into()));
            let right = found == whole || found.as_ref().is_err_and(|why| of_memory(why));
            if !right {
                let found = found.map_or_else(|why| why, |_| "other numbers".into());
                wrong.push(format!("{}, room for {times}: {found}", entry.name));
            }
            if Full::refused_nothing() {
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

pub fn every_operation_survives_that_memory_is_short() {
    let (mut refused, mut tried) = (0, 0);
    for entry in catalogue::all() {
        let expected = outcome(entry, || None).unwrap_or_else(|e| panic!("{}: {e}", entry.name));
        for limit in [4 << 10, 16 << 10, 40 << 10, 200 << 10] {
            at(format_args!("{} with {limit} bytes at most", entry.name));
            tried += 1;
            match outcome(entry, || Some(Full::beyond(limit))) {
                Ok(found) => assert!(found == expected, "{}, {limit} bytes at most", entry.name),
                Err(why) => {
                    refused += 1;
                    assert!(of_memory(&why), "{}, {limit} bytes at most: {why}", entry.name);
                }
            }
        }
        assert!(outcome(entry, || None) == Ok(expected), "{}: with room again", entry.name);
    }
    assert!(refused * 3 > tried, "the limits let too much through: {refused} of {tried} refused");
}
