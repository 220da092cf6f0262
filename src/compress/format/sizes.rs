//! Where the bytes of a file go.
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a stretch of a file's bytes is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// Magic, version, lengths, names, shapes and kinds.
    Header,
    /// Keys and values of [`Artifact::meta`](super::Artifact::meta).
    Meta,
    /// Which weights of an entry are kept.
    Mask,
    /// The centroids of an entry.
    Codebook,
    /// The step sizes that an entry's values are multiplied by.
    Scales,
    /// The codes of an entry's kept weights.
    Codes,
    /// Floating-point elements of an entry.
    Values,
    /// The checksum over all of it.
    Checksum,
}

/// One line of a [`Sizes`] ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PartSize {
    /// The entry's name; `None` for what belongs to the whole file.
    pub entry: Option<String>,
    /// What the bytes are for.
    pub part: Part,
    /// How many they are.
    pub bytes: usize,
}

/// Where the bytes of a file go: its lines add up to the file's length.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
#[non_exhaustive]
pub struct Sizes {
    /// In the order of the file.
    pub parts: Vec<PartSize>,
}

impl Sizes {
    /// The file's length in bytes.
    pub fn total(&self) -> usize {
        self.parts.iter().map(|line| line.bytes).sum()
    }

    /// All bytes of one kind, over all entries.
    pub fn part(&self, part: Part) -> usize {
        self.parts.iter().filter(|line| line.part == part).map(|line| line.bytes).sum()
    }

    /// All bytes of one entry, without its share of the header.
    pub fn entry(&self, name: &str) -> usize {
        self.parts.iter().filter(|line| line.entry.as_deref() == Some(name)).map(|line| line.bytes).sum()
    }
}

/// A table: bytes, part and entry on each line, the total at the end.
impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for PartSize { entry, part, bytes } in &self.parts {
            let part = format!("{part:?}").to_lowercase();
            writeln!(
                f,
                "{bytes:>10}  {}",
                format!("{part:<8}  {}", entry.as_deref().unwrap_or("")).trim_end()
            )?;
        }
        write!(f, "{:>10}  total", self.total())
    }
}
