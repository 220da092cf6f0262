//! Every operation while the system refuses whatever is larger than a few kilobytes: a result or an error, never the process's end.
use super::{ALONE, Full, catalogue};
use kolmo::*;
use std::sync::PoisonError;

fn told(error: Error) -> String {
    error.to_string()
}

/// The value and the gradients of an entry, each as bits in row-major order.
fn outcome(entry: &catalogue::Entry, limit: Option<usize>) -> Result<Vec<Vec<u64>>, String> {
    let tape = Tape::new();
    tape.seed(1);
    let x = catalogue::operands(&tape, entry.operands);
    let full = limit.map(Full::beyond);
    let y = (entry.run)(&x);
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

#[test]
fn every_operation_survives_that_memory_is_short() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut refused, mut tried) = (0, 0);
    for entry in catalogue::all() {
        let expected = outcome(entry, None).unwrap_or_else(|e| panic!("{}: {e}", entry.name));
        for limit in [4 << 10, 16 << 10, 40 << 10, 200 << 10] {
            // What an abort leaves behind says where it was.
            println!("{} with {limit} bytes at most", entry.name);
            tried += 1;
            match outcome(entry, Some(limit)) {
                Ok(found) => assert!(found == expected, "{}, {limit} bytes at most", entry.name),
                Err(why) => {
                    refused += 1;
                    let said = why.contains("bytes, which can't be had") || why.contains("memory for");
                    assert!(said, "{}, {limit} bytes at most: {why}", entry.name);
                }
            }
        }
        assert!(outcome(entry, None) == Ok(expected), "{}: with room again", entry.name);
    }
    assert!(refused * 3 > tried, "the limits let too much through: {refused} of {tried} refused");
}
