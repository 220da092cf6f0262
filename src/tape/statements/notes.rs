//! What is noted of scalar statements while the tape is observed: the buffer itself holds partial derivatives only.
use super::Statements;
use crate::real::Number;
use smallvec::SmallVec;
use std::panic::Location;

/// A scalar statement as the program wrote it. Tensor statements have an empty one.
#[derive(Clone, Default)]
pub(crate) struct Note {
    /// The operation; empty if it is not known.
    pub name: &'static str,
    pub value: f64,
    /// Operands that are no statements: position and value.
    pub constants: SmallVec<[(u8, f64); 2]>,
    /// Options, by name.
    pub options: SmallVec<[(&'static str, f64); 2]>,
    pub site: Option<&'static Location<'static>>,
}

impl Note {
    /// An operation without constants and options.
    pub fn new(name: &'static str, value: f64, site: &'static Location<'static>) -> Note {
        Note { name, value, site: Some(site), ..Note::default() }
    }
}

impl<T: Number> Statements<T> {
    /// Starts or ends the notes.
    pub fn observe(&self, on: bool) {
        self.with(|b| {
            b.notes = on.then(Vec::new);
            b.limit = if on { 0 } else { b.ids.capacity() };
        });
    }

    /// Adds the note of the statement that was just pushed, if statements are observed.
    #[cold]
    #[inline(never)]
    pub(super) fn noted(&self, id: u32, note: impl FnOnce() -> Note) -> u32 {
        if id != 0 && self.with(|b| b.notes.is_some()) {
            let note = note();
            self.with(|b| {
                if let Some(notes) = &mut b.notes {
                    notes.resize(id as usize, Note::default());
                    notes.push(note);
                }
            });
        }
        id
    }

    /// The note of a statement.
    pub fn note(&self, id: u32) -> Option<Note> {
        let note = self.with(|b| b.notes.as_ref().and_then(|notes| notes.get(id as usize).cloned()));
        note.filter(|note| !note.name.is_empty())
    }

    /// Replaces the note of a statement, if statements are observed.
    pub fn renote(&self, id: u32, note: impl FnOnce() -> Note) {
        if self.with(|b| b.notes.is_some()) {
            let note = note();
            self.with(|b| {
                let Some(notes) = &mut b.notes else { return };
                if notes.len() <= id as usize {
                    notes.resize(id as usize + 1, Note::default());
                }
                notes[id as usize] = note;
            });
        }
    }
}
