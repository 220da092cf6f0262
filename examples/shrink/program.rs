//! The last network as a program of its own, in Rust and in C. What its sources weigh with their
//! constants in them tells `xz -9e --keep --stdout model.rs | wc --bytes`; compiled they are by
//!
//! ```sh
//! rustc --edition 2021 -O --crate-type lib model.rs
//! cc -std=c99 -O2 -c model.c
//! ```
use crate::{Result, images::Set, model::Mlp, report::thousands};
use kolmo::{Tensor, compress::Standalone, data::write_file, metrics::accuracy};
use std::path::Path;

/// Writes both sources, and says how long they are and how far their answers are from the network's.
pub fn write(net: &Mlp, test: &Set, folder: &Path) -> Result<String> {
    let program = Standalone::new(&test.images.narrow(0, 0, 1)?, |x| net.forward(x))?;
    let (rust, c) = (program.rust(), program.c());
    let scores = net.scores(&test.images)?;
    let images = test.images.to_vec();
    let mut own = Vec::new();
    for image in images.chunks(images.len() / test.len()) {
        own.extend(program.run(image)?);
    }
    let apart = own.iter().zip(scores.to_vec()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let own = Tensor::new(scores.shape(), own)?;
    let wrong = |scores: &Tensor| -> Result<f64> { Ok(100.0 * (1.0 - accuracy(scores, &test.labels)?)) };
    let text = format!(
        "model.rs has {} bytes, model.c {}, {} of them data; of the test images {:.2} % go wrong, with the \
         network {:.2} %; scores differ by {apart:.1e} at most",
        thousands(rust.len()),
        thousands(c.len()),
        thousands(program.data().len()),
        wrong(&own)?,
        wrong(&scores)?,
    );
    write_file(rust, folder.join("model.rs"))?;
    write_file(c, folder.join("model.c"))?;
    Ok(text)
}
