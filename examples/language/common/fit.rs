//! Models made ready for files of models that were pruned.
use kolmo::{Result, Tensor, nn::named_params, tensor::Shape};
use serde::Serialize;
use std::collections::BTreeMap;

/// Makes parameters ready for a file's, of which some have been cut along the axis that `axis` tells by their
/// names.
pub fn fit<M: Serialize + ?Sized>(
    model: &M,
    file: &BTreeMap<String, Shape>,
    axis: impl Fn(&str) -> Option<usize>,
) -> Result<()> {
    for (name, p) in named_params::<f32>(model) {
        let (own, Some(found), Some(axis)) = (p.shape(), file.get(&name), axis(&name)) else { continue };
        let same = |a: usize| a == axis || own.get(a) == found.get(a);
        if own != *found && own.rank() == found.rank() && (0..own.rank()).all(same) {
            p.set(Tensor::zeros(vec![1; own.rank()]).expand(&found[..])?);
        }
    }
    Ok(())
}

/// How many blocks a file has, whose parameters' names begin with a prefix and a number.
pub fn count(file: &BTreeMap<String, Shape>, prefix: &str) -> usize {
    let number = |name: &String| name.strip_prefix(prefix)?.split('.').next()?.parse::<usize>().ok();
    file.keys().filter_map(number).max().map_or(0, |last| last + 1)
}
