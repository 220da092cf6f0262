//! Files as memory: what isn't looked at isn't read.
use crate::error::{Error, Result};
use std::{fmt, fs::File, path::Path};

/// A file that is mapped to be read.
pub(crate) struct Map(memmap2::Mmap);

impl Map {
    pub(crate) fn open(path: &Path) -> Result<Map> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        // SAFETY: nothing in this process writes files in place: they are replaced as a whole. That nobody
        // else does as long as one is mapped is asked of the user where a map is made.
        let map = unsafe { memmap2::Mmap::map(&file) };
        map.map(Map).map_err(|e| Error::io(path, e))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Map({} bytes)", self.0.len())
    }
}
