//! A model of others made smaller: pruned, its weights whole numbers of steps, and written again.
use super::{Options, Result};
use kolmo::{
    Tensor,
    compress::{
        matrices, pack,
        prune::{self, Amount},
        quantize::{Quantizer, convert},
    },
    nn::named_params,
    onnx::{Export, Model},
};
use std::{fs, path::Path};

/// The number of examples that is recorded where the file leaves it open.
const EXAMPLES: usize = 2;

pub fn shrink(path: &Path, out: &Path, options: &Options) -> Result<()> {
    let model = Model::load(path)?;
    println!("{model:#?}");
    if options.prune > 0.0 {
        prune::global(&model, Amount::Fraction(options.prune), matrices)?;
    }
    let quantizer = Quantizer::new(options.bits);
    match options.group {
        0 => quantizer.channels().attach(&model, matrices)?,
        group => quantizer.groups(group).attach(&model, matrices)?,
    }
    convert(&model)?;
    let weights: usize = named_params::<f32>(&model).iter().map(|(_, p)| p.shape().numel()).sum();
    let names: Vec<String> = model.input_names().iter().map(|name| name.to_string()).collect();
    let examples: Vec<Tensor> = names
        .iter()
        .map(|name| {
            let sizes =
                model.input_sizes(name).ok_or_else(|| format!("input {name}: the file says no sizes"))?;
            let size = |(axis, size): (usize, Option<usize>)| {
                size.unwrap_or(if axis == 0 { EXAMPLES } else { options.size })
            };
            let sizes: Vec<usize> = sizes.into_iter().enumerate().map(size).collect();
            Ok(Tensor::from_fn(sizes, |i| ((i as f32) * 0.7).sin()))
        })
        .collect::<Result<_>>()?;
    let open: Vec<(usize, usize)> = names
        .iter()
        .enumerate()
        .filter(|(_, name)| model.input_sizes(name).and_then(|sizes| sizes.first().copied()) == Some(None))
        .map(|(i, _)| (i, 0))
        .collect();
    let mut export = Export::new().input_names(names).output_names(model.output_names());
    if !open.is_empty() {
        export = export.dynamic_axes("batch", &open);
    }
    let inputs: Vec<&Tensor> = examples.iter().collect();
    export.save(&model, &inputs, &[], |tape, x, indices| model.forward(tape, x, indices), out)?;
    let (before, after) = (fs::metadata(path)?.len(), fs::metadata(out)?.len());
    let coded = pack(&model, &[])?.to_bytes()?.len();
    println!(
        "{weights} numbers; {before} bytes, shrunk {after}; as a .kolmo file, without the graph, {coded}"
    );
    Ok(())
}
