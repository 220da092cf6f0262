use kolmo::Tape;

fn main() {
    let mut tape = Tape::<f64>::new();
    let x = tape.input([1.0, 2.0]);
    let s = tape.scalar(1.0);
    // Values of the last step may still be in scope …
    tape.reset();
    // … but not in use.
    let _ = x.sum();
    let _ = s + s;
}
