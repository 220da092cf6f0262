//! To which layer a statement belongs: told by the names of the parameters that it and its operands use.
use super::{
    listing::{Argument, Row, name_rows},
    observation::Observation,
};
use serde::Serialize;

impl Observation {
    /// The observation with the parameters' names in a model, and with layers by them. A statement belongs
    /// where its parameters do, `blocks.0.attn` for `blocks.0.attn.weight`; one without parameters to
    /// what its operands have in common, of blocks one after the other to the last. Statements in a
    /// [scope](crate::Tape::scope) keep its name.
    pub fn with_names(mut self, model: &(impl Serialize + ?Sized)) -> Observation {
        name_rows(self.rows.iter_mut().map(|r| &mut r.row), model);
        let layers = layers(self.rows.iter().map(|seen| &seen.row));
        for (seen, layer) in self.rows.iter_mut().zip(layers) {
            seen.layer = seen.layer.take().or(layer);
        }
        self
    }
}

/// The layer of each statement of a tape, told by the parameters' names.
pub(crate) fn layers<'a>(rows: impl Iterator<Item = &'a Row> + Clone) -> Vec<Option<String>> {
    let params: Vec<bool> = rows.clone().map(|row| row.name.is_some()).collect();
    let mut layers: Vec<Option<String>> = Vec::with_capacity(params.len());
    for row in rows {
        let own = row.name.as_ref().filter(|n| !n.starts_with('#'));
        let layer = match own {
            Some(name) => Some(name.rsplit_once('.').map_or("", |(layer, _)| layer).to_string()),
            None => {
                let ids = row.arguments.iter().filter_map(|a| match a {
                    Argument::Value(id) | Argument::Partial(id, _) => Some((*id as usize).wrapping_sub(1)),
                    Argument::Constant => None,
                });
                let ids: Vec<usize> = ids.collect();
                let is_param = |&i: &usize| params.get(i).copied().unwrap_or(false);
                let used: Vec<usize> = ids.iter().copied().filter(is_param).collect();
                let from = if used.is_empty() { &ids } else { &used };
                let found = from.iter().filter_map(|&i| Some((i, layers.get(i)?.as_deref()?)));
                let found: Vec<(usize, &str)> = found.collect();
                let last = found.iter().max_by_key(|(i, _)| *i).map(|(_, l)| *l);
                let common = found.iter().map(|(_, l)| l.to_string()).reduce(|a, b| common(&a, &b));
                last.zip(common).map(|(last, common)| numbered(last, &common))
            }
        };
        layers.push(layer);
    }
    layers.into_iter().map(|layer| layer.filter(|l| !l.is_empty())).collect()
}

/// What a layer's name begins with: the segments in common, and the next if it is the number of a block. With
/// nothing in common, up to the first such number, or all.
fn numbered(layer: &str, common: &str) -> String {
    let segments: Vec<&str> = layer.split('.').collect();
    let is_number = |s: &&str| s.bytes().all(|b| b.is_ascii_digit());
    let shared = if common.is_empty() { 0 } else { common.split('.').count() };
    let n = match (shared, segments.get(shared).is_some_and(is_number)) {
        (0, false) => segments.iter().position(is_number).map_or(segments.len(), |i| i + 1),
        (_, true) => shared + 1,
        _ => shared,
    };
    segments[..n].join(".")
}

/// The segments that two dotted names begin with.
fn common(a: &str, b: &str) -> String {
    let same = a.split('.').zip(b.split('.')).take_while(|(a, b)| a == b);
    same.map(|(a, _)| a).collect::<Vec<_>>().join(".")
}
