//! Files as memory: what isn't looked at isn't read.
use crate::error::{Error, Result};
use std::{fmt, fs::File, path::Path};

/// A file that is mapped to be read; what can't be mapped, as on systems without it or of a pipe, was read.
pub(crate) struct Map(Held);

enum Held {
    Mapped(memmap2::Mmap),
    Read(Vec<u8>),
}

impl Map {
    pub(crate) fn open(path: &Path) -> Result<Map> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        // SAFETY: nothing in this process writes into files that may be mapped: they are replaced as a whole,
        // and new ones written before they are mapped. That nobody else does as long as one is mapped is asked
        // of the user where a map is made.
        let map = unsafe { memmap2::Mmap::map(&file) };
        let held = map.map(Held::Mapped).or_else(|_| std::fs::read(path).map(Held::Read));
        held.map(Map).map_err(|e| Error::io(path, e))
    }

    /// Memory in a file's place.
    pub(crate) fn of_bytes(bytes: Vec<u8>) -> Map {
        Map(Held::Read(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.0 {
            Held::Mapped(map) => map,
            Held::Read(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Map({} bytes)", self.bytes().len())
    }
}
