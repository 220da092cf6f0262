//! Where a model comes from and what it is worth, in words that stand in its file.
use std::{collections::BTreeMap, fmt};

/// What the keys of a card begin with among a file's others.
const START: &str = "card.";
/// The order in which lines are shown that most cards have; others follow by their names.
const ORDER: [&str; 7] = ["data", "seed", "commit", "command", "accuracy", "bytes", "bits"];

/// A model card: what whoever made a model says of it, in lines of the file that it is in. Texts are the
/// user's own and nobody reads them but people; customary keys are `data`, `seed`, `commit`, `command`,
/// `accuracy`, `bytes` and `bits`. `cargo run --example inspect_file` shows it.
///
/// In [`Artifact::meta`](super::Artifact::meta) a line is the text of the key `card.<key>`.
///
/// ```
/// use kolmo::{Random, compress::{Artifact, ModelCard, pack}, nn::Linear};
/// let mut artifact = pack(&Linear::new(4, 2, &mut Random::new(7)), &[])?;
/// let card = ModelCard::new().with("data", "digits, 1500 of 1797").with("seed", 7);
/// artifact.meta.extend(card.meta());
///
/// let read = ModelCard::of(&Artifact::from_bytes(&artifact.to_bytes()?)?.meta);
/// assert_eq!(read, card);
/// assert_eq!(read.to_string(), "data  digits, 1500 of 1797\nseed  7\n");
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a card is made to be written into a file's meta data"]
pub struct ModelCard(BTreeMap<String, String>);

impl ModelCard {
    /// Without a line.
    pub fn new() -> ModelCard {
        ModelCard::default()
    }

    /// A line more, or another text for one that is there.
    pub fn with(mut self, key: impl Into<String>, text: impl fmt::Display) -> ModelCard {
        self.0.insert(key.into(), text.to_string());
        self
    }

    /// The text of a line.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lines as keys and texts of a file.
    pub fn meta(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().map(|(key, text)| (format!("{START}{key}"), text.clone()))
    }

    /// The card among the texts of a file, [`Artifact::meta`](super::Artifact::meta) or
    /// [`MappedModel::meta`](super::MappedModel::meta); without a line if there is none.
    pub fn of(meta: &BTreeMap<String, String>) -> ModelCard {
        let lines = meta.iter().filter_map(|(key, text)| Some((key.strip_prefix(START)?, text)));
        ModelCard(lines.map(|(key, text)| (key.to_string(), text.clone())).collect())
    }
}

/// One line each, the customary ones first.
impl fmt::Display for ModelCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<_> = self.0.iter().collect();
        lines.sort_by_key(|(key, _)| ORDER.iter().position(|known| known == key).unwrap_or(ORDER.len()));
        let width = self.0.keys().map(|key| key.chars().count()).max().unwrap_or(0);
        lines.iter().try_for_each(|(key, text)| writeln!(f, "{key:<width$}  {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_kept_beside_other_texts_and_shown_in_its_order() {
        let card = ModelCard::new().with("note", "ours").with("bits", 4).with("seed", 1).with("seed", 2);
        let mut meta: BTreeMap<_, _> = card.meta().collect();
        meta.insert("sizes".into(), "[4, 2]".into());
        let read = ModelCard::of(&meta);
        assert_eq!((read.get("seed"), read.get("sizes"), meta.len()), (Some("2"), None, 4));
        assert_eq!(read.to_string(), "seed  2\nbits  4\nnote  ours\n");
        assert!(read == card && ModelCard::of(&BTreeMap::new()).is_empty());
    }
}
