//! The `.kolmo` file: what an artifact holds, what it weighs, and its way to disk and back. Bytes are made in
//! `write` and taken apart in `read` and `cursor`, by what `layout` and `bits` say; large tensors are `cut` into
//! pieces and `joined` again. `docs/format.md` describes them for readers in other languages.
mod artifact;
mod bits;
mod cursor;
mod cut;
mod joined;
mod layout;
mod parts;
mod piece;
mod read;
mod sections;
mod sizes;
mod write;

pub(super) use artifact::stored;
pub use artifact::{Artifact, Entry, EntryData, Shift};
pub(super) use bits::crc32;
pub(super) use cut::LARGE;
pub use sizes::{Part, PartSize, Sizes};

use crate::{
    distributed::{Alone, Communicator},
    error::{Error, Result},
    files::{self, write_atomically},
};
use std::path::Path;

impl Artifact {
    /// The bytes of the artifact as a file.
    ///
    /// # Errors
    /// [`Error::Invalid`] if lengths don't fit shapes, a name occurs twice, a code has no centroid, or a
    /// value is too large for half precision.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        write::encode(self, &Alone).map(|(bytes, _)| bytes)
    }

    /// The same bytes by several processes that each have the artifact: a process codes some of the entries, or
    /// of the pieces of large ones, and all have the file.
    ///
    /// ```
    /// use kolmo::{Random, compress::{matrices, pack, quantize}, distributed::Local, nn::Linear};
    /// let artifact = || {
    ///     let rng = &mut Random::new(0);
    ///     let net = (Linear::new(64, 32, rng), Linear::new(32, 10, rng));
    ///     quantize::codebooks(&net, 16, matrices)?;
    ///     pack(&net, &[])
    /// };
    /// let files = Local::run(2, move |world| artifact()?.to_bytes_together(&world))?;
    /// assert!(files.iter().all(|file| *file == artifact().unwrap().to_bytes().unwrap()));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`to_bytes`](Artifact::to_bytes) on any process, on all; artifacts that differ.
    pub fn to_bytes_together(&self, world: &dyn Communicator) -> Result<Vec<u8>> {
        write::encode(self, world).map(|(bytes, _)| bytes)
    }

    /// Reads an artifact. Values stored in 16 bits come back rounded.
    ///
    /// # Errors
    /// [`Error::Format`] if the bytes are not exactly one intact artifact.
    pub fn from_bytes(bytes: &[u8]) -> Result<Artifact> {
        read::decode(bytes, &|_| true)
    }

    /// Writes the artifact to a file: under a temporary name beside it first, flushed to the disk, then
    /// renamed. A crash leaves the old file or the new one.
    ///
    /// # Errors
    /// As [`to_bytes`](Artifact::to_bytes), and [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_at(path.as_ref())
    }

    fn save_at(&self, path: &Path) -> Result<()> {
        let bytes = self.to_bytes()?;
        // What can be read is not replaced by what can't.
        // Pieces are looked at when they are wanted.
        let small = bytes.get(4) == Some(&1);
        read::decode(&bytes, &|_| small).map_err(|e| {
            Error::invalid("Artifact", format!("what would be written can't be read again: {e}"))
        })?;
        write_atomically(path, &bytes).map_err(|e| Error::io(path, e))
    }

    /// Reads an artifact from a file.
    ///
    /// # Errors
    /// As [`from_bytes`](Artifact::from_bytes), and [`Error::Io`].
    pub fn load(path: impl AsRef<Path>) -> Result<Artifact> {
        Self::load_at(path.as_ref())
    }

    fn load_at(path: &Path) -> Result<Artifact> {
        let bytes = files::read(path)?;
        Artifact::from_bytes(&bytes).map_err(|error| of_file(path, error))
    }

    /// Reads those of the entries that `wanted` says by their names. Of a large model, whose tensors are in
    /// pieces, nothing else is decoded, nor read from the disk.
    ///
    /// # Errors
    /// As [`load`](Artifact::load), but for what is wrong with pieces of others.
    pub fn load_some(path: impl AsRef<Path>, wanted: impl Fn(&str) -> bool) -> Result<Artifact> {
        let path = path.as_ref();
        let map = files::Map::open(path)?;
        read::decode(map.bytes(), &wanted).map_err(|error| of_file(path, error))
    }

    /// Where the bytes of [`to_bytes`](Artifact::to_bytes) go. Encodes the artifact to find out.
    ///
    /// # Errors
    /// As [`to_bytes`](Artifact::to_bytes).
    pub fn sizes(&self) -> Result<Sizes> {
        write::encode(self, &Alone).map(|(_, sizes)| sizes)
    }
}

/// An error of a format with the file that it is in.
fn of_file(path: &Path, error: Error) -> Error {
    match error {
        Error::Format { what, offset, message } => {
            Error::Format { what: format!("{}: {what}", path.display()), offset, message }
        }
        other => other,
    }
}
