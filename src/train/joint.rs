//! Checkpoints that several processes write together: each its ranges of all parameters, and of what the
//! optimiser remembers of them, into one file.
use super::weights::{Entry, header};
use crate::{
    distributed::{Communicator, Layout, put_bytes, take_bytes, told_by},
    error::{Error, Result},
    files::{NewFile, write_beside},
    ops::Float,
};
use std::{collections::HashMap, path::Path};

const WHAT: &str = "save_checkpoint";

/// What of a file this process has.
pub(super) struct Shares {
    /// Bytes, and their places behind the header.
    parts: Vec<(u64, Vec<u8>)>,
    /// Of all tensors.
    header: Vec<u8>,
    data_len: u64,
    /// A hash of their names, types and shapes.
    tensors: u64,
}

/// How a process tells rank 0 of its part.
const WRITTEN: u8 = 0;
const BROUGHT: u8 = 1;

impl Shares {
    /// The ranges that are this process's. What no layout divides is rank 0's.
    pub fn of<T: Float>(
        layout: &Layout<T>,
        mut entries: Vec<Entry>,
        metadata: HashMap<String, String>,
    ) -> Result<Shares> {
        let at: Vec<usize> = entries
            .iter_mut()
            .map(|entry| match divided(&entry.name).and_then(|name| layout.part(name)) {
                Some((shape, range)) => entry.cut(shape, range),
                None => {
                    if !layout.leads() {
                        entry.data.clear();
                    }
                    0
                }
            })
            .collect();
        let (_, starts) = header(WHAT, &entries, None)?;
        let tensors = entries.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, entry| entry.hash(hash));
        let data_len = entries.iter().map(|entry| entry.len() as u64).sum();
        let (header, _) = header(WHAT, &entries, Some(metadata))?;
        let places = starts.iter().zip(at).map(|(start, at)| (start + at) as u64);
        let parts = places.zip(entries).map(|(at, entry)| (at, entry.data)).collect();
        Ok(Shares { parts, header, data_len, tensors })
    }

    /// Writes the file: each process that sees it its own part, rank 0 those of the others. It is whole, and
    /// `read` can read it, or it isn't there.
    pub fn write(
        mut self,
        world: &dyn Communicator,
        path: &Path,
        read: impl FnOnce(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let wrong = |e| Error::io(path, e);
        let mut new = None;
        // Where the tensors begin, and the name that the file has until it is whole.
        let told = told_by(world, 0, || {
            let file = new.insert(NewFile::beside(path).map_err(wrong)?);
            let begin = self.header.len() as u64;
            file.set_len(begin + self.data_len).map_err(wrong)?;
            Ok([&begin.to_le_bytes(), file.name().as_bytes()].concat())
        })?;
        let (begin, name) = told.split_first_chunk().unwrap_or((&[0; 8], &[]));
        let begin = u64::from_le_bytes(*begin);
        self.parts.iter_mut().for_each(|(at, _)| *at += begin);
        let mut message = self.tensors.to_le_bytes().to_vec();
        if world.rank() > 0 {
            match write_beside(path, &String::from_utf8_lossy(name), &self.parts) {
                Ok(()) => message.push(WRITTEN),
                // Its file system isn't that of rank 0.
                Err(_) => {
                    message.push(BROUGHT);
                    for (at, part) in &self.parts {
                        message.extend(at.to_le_bytes());
                        put_bytes(&mut message, part);
                    }
                }
            }
        }
        let all = world.gather(0, message)?;
        told_by(world, 0, || {
            let (Some(mut file), Some(all)) = (new.take(), all) else { return Ok(Vec::new()) };
            file.write_at(0, &self.header).map_err(wrong)?;
            self.parts.iter().try_for_each(|(at, part)| file.write_at(*at, part)).map_err(wrong)?;
            for (rank, message) in all.iter().enumerate().skip(1) {
                let unfit = || Error::rank(rank, "has other tensors to save: has it another model?");
                let (tensors, rest) = message.split_first_chunk().ok_or_else(unfit)?;
                if u64::from_le_bytes(*tensors) != self.tensors {
                    return Err(unfit());
                }
                let mut rest = rest.get(1..).unwrap_or_default();
                while let Some((at, part)) = brought(&mut rest) {
                    file.write_at(at, part).map_err(wrong)?;
                }
            }
            read(file.map()?.bytes())?;
            file.finish().map_err(wrong)?;
            Ok(Vec::new())
        })
        .map(drop)
    }
}

/// The parameter whose ranges divide a tensor of the file.
fn divided(name: &str) -> Option<&str> {
    match name.split_once('.')? {
        ("model", name) => Some(name),
        ("optimizer", rest) => Some(rest.split_once('.')?.1),
        _ => None,
    }
}

/// Takes bytes, and their place, from the front of a message.
fn brought<'a>(rest: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let (at, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some((u64::from_le_bytes(*at), take_bytes(rest)?))
}
