//! The smallest program: numbers, a formula, its derivatives, and what the tape wrote down.
//!
//! ```sh
//! cargo run --example scalar
//! ```
use kolmo::Tape;

fn main() -> kolmo::Result<()> {
    let tape = Tape::<f64>::new();
    let [x, y] = [2.0, 3.0].map(|v| tape.scalar(v));
    let z = (x * y).sin() + x;
    let grads = z.backward()?;
    println!("z = sin(x·y) + x = {:.4} at x = 2, y = 3", z.value());
    println!("∂z/∂x = {:.4}, by hand y·cos(x·y) + 1 = {:.4}", grads.scalar(x), 3.0 * 6f64.cos() + 1.0);
    println!("∂z/∂y = {:.4}, by hand x·cos(x·y)     = {:.4}\n", grads.scalar(y), 2.0 * 6f64.cos());
    println!("{}", tape.listing());
    Ok(())
}
