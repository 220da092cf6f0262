//! What is asked of the system's allocator: by a training step nothing, by a damaged file little.
mod allocations;
mod bounded;
#[path = "../suite/catalogue.rs"]
mod catalogue;
mod counting;
mod decoding;
mod pressure;
mod readers;
mod sizes;

use counting::{COUNT, Full, left, most};
use std::{fmt::Arguments, io::Write, panic::catch_unwind, process::ExitCode};

/// The side of the catalogue's operands.
const CATALOGUE: usize = 64;

macro_rules! tests {
    ($($(#[$on:meta])* $test:path,)*) => {
        &[$($(#[$on])* (stringify!($test), $test)),*]
    };
}

/// One after the other, in a process that does nothing else: counters and limits are the whole process's, and the
/// usual harness would allocate for itself beside a test, or be refused what the test is to be refused.
const TESTS: &[(&str, fn())] = tests![
    allocations::a_training_step_allocates_nothing_once_warm,
    allocations::stored_weights_are_never_all_floats,
    decoding::stored_convolutions_are_never_all_floats,
    decoding::decoding_holds_the_packed_weights_the_cache_and_little_more,
    allocations::adapters_of_stored_weights_make_no_gradient_of_their_size,
    allocations::what_a_model_was_loaded_with_goes_back,
    bounded::a_thousand_damaged_files_take_little_memory,
    bounded::damaged_files_of_every_kind_take_little_memory,
    #[cfg(feature = "images")]
    bounded::a_picture_takes_no_more_than_its_bytes_can_tell,
    bounded::shapes_and_counts_are_not_believed,
    bounded::names_that_share_a_long_beginning_take_little_memory,
    pressure::every_operation_survives_that_memory_runs_out,
    pressure::every_operation_survives_that_memory_is_short,
    sizes::sizes_beyond_memory_are_errors_that_tell_shapes_and_bytes,
    sizes::a_tensor_that_was_not_made_is_an_error_wherever_it_is_used,
    sizes::an_allocation_that_fails_is_an_error_and_leaves_the_books_right,
    sizes::what_is_needed_on_the_way_is_refused_as_results_are,
    sizes::what_numbers_ask_for_is_an_error_where_there_is_no_room,
];

/// Words among the arguments choose tests, as with the usual harness; `--nocapture` has them tell where they are,
/// which an abort doesn't say.
fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut failed = Vec::new();
    for (name, test) in TESTS {
        if !words.is_empty() && !words.iter().any(|word| name.contains(&**word)) {
            continue;
        }
        print!("test {name} ... ");
        let _ = std::io::stdout().flush();
        let passed = catch_unwind(test).is_ok();
        println!("{}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(name);
        }
    }
    println!("memory: {} failed {failed:?}", failed.len());
    ExitCode::from(u8::from(!failed.is_empty()))
}

/// Where a test is.
fn at(place: Arguments) {
    if std::env::args().any(|word| word == "--nocapture") {
        println!("{place}");
    }
}
