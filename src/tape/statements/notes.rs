//! What is noted of scalar statements while the tape is observed: the buffer itself holds partial derivatives
//! only.
use super::{
    super::ids::StatementId,
    buffer::Statements,
    told::{NO_CONSTANT, Note, Told},
};
use crate::real::Arithmetic;
use smallvec::SmallVec;
use std::panic::Location;

impl<T: Arithmetic> Statements<T> {
    /// Starts or ends the notes.
    pub fn set_observing(&self, on: bool) {
        self.with(|b| {
            b.notes = on.then(Vec::new);
            b.limit = if on { 0 } else { b.ids.capacity() };
        });
    }

    /// Notes the statement that was just pushed, if statements are observed.
    #[inline(always)]
    pub(super) fn noted(&self, id: StatementId, told: Told<'_>) -> StatementId {
        let Told { name, site, value, constant: (position, constant), options } = told;
        if id != StatementId::CONSTANT {
            self.note_last(name, site, value, position, constant, options);
        }
        id
    }

    #[cold]
    #[inline(never)]
    fn note_last(
        &self,
        name: &'static str,
        site: Option<&'static Location<'static>>,
        value: f64,
        position: u8,
        constant: f64,
        options: &[(&'static str, f64)],
    ) {
        let constants = (position != NO_CONSTANT).then_some((position, constant)).into_iter().collect();
        let note = || Note { name, value, constants, options: SmallVec::from_slice(options), site };
        self.renote(StatementId::at(self.len().0 - 1), note);
    }

    /// Notes which operands of a statement are constants, of their ids and values.
    #[cold]
    pub fn note_constants(&self, id: StatementId, operands: impl IntoIterator<Item = (StatementId, f64)>) {
        let known =
            (0..).zip(operands).filter(|(_, (id, _))| *id == StatementId::CONSTANT).map(|(i, (_, v))| (i, v));
        let known = known.collect();
        self.with(|b| {
            if let Some(note) = b.notes.as_mut().and_then(|notes| notes.get_mut(id.place())) {
                note.constants = known;
            }
        });
    }

    /// The note of a statement.
    pub fn note(&self, id: StatementId) -> Option<Note> {
        let note = self.with(|b| b.notes.as_ref().and_then(|notes| notes.get(id.place()).cloned()));
        note.filter(|note| !note.name.is_empty())
    }

    /// Notes a statement, in place of what was noted before; if statements are observed.
    pub fn renote(&self, id: StatementId, note: impl FnOnce() -> Note) {
        if self.with(|b| b.notes.is_some()) {
            let note = note();
            self.with(|b| {
                let Some(notes) = &mut b.notes else { return };
                if notes.len() <= id.place() {
                    notes.resize(id.place() + 1, Note::default());
                }
                notes[id.place()] = note;
            });
        }
    }
}
