//! Mistakes that the compiler catches, with the messages that a user sees.

#[test]
fn a_value_cannot_be_used_after_its_tape_was_reset() {
    trybuild::TestCases::new().compile_fail("tests/compile_errors/*.rs");
}
