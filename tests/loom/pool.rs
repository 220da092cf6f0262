//! All orders in which threads let go of a buffer that they share: nobody's elements are written while they are read.
use kolmo_loom::{shared_buffers_go_back, what_is_shared_is_not_written};

#[test]
fn two_threads_and_a_buffer_that_goes_back() {
    shared_buffers_go_back(2);
}

#[test]
fn three_threads_and_a_buffer_that_goes_back() {
    shared_buffers_go_back(3);
}

#[test]
fn a_buffer_is_written_in_place_only_by_its_last_owner() {
    what_is_shared_is_not_written();
}
