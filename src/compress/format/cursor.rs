//! Reading fields from the bytes of a file: every count is checked before it is used, and errors know where
//! they are.
use crate::{
    compress::{
        coding::{BitCoder, Decoder, max_decisions},
        models::Exhausted,
    },
    error::{Error, Result},
};

pub(super) fn damaged(what: &str, offset: usize, expected: impl ToString, found: impl ToString) -> Error {
    let message = format!("expected {}, found {}", expected.to_string(), found.to_string());
    Error::format(what, format!("byte {offset}"), message)
}

/// Whether a decoder has used its section, all of it and no more.
pub(super) fn finish(decoder: &Decoder, what: &str, offset: usize) -> Result<()> {
    match decoder.unread() {
        _ if decoder.exhausted() => Err(damaged(what, offset, "enough bytes", "the end too early")),
        0 => Ok(()),
        unread => Err(damaged(what, offset, "no bytes left over", format!("{unread} more"))),
    }
}

/// Reads fields from bytes, and knows where it is for the errors.
pub(super) struct Cursor<'a> {
    /// The part of the file that is being read.
    pub(super) what: String,
    pub(super) bytes: &'a [u8],
    pub(super) position: usize,
    /// The file offset of `bytes`; `None` if they are decoded ones, in which case errors say so.
    pub(super) base: Option<usize>,
}

impl<'a> Cursor<'a> {
    pub(super) fn error(&self, expected: impl ToString, found: impl ToString) -> Error {
        match self.base {
            Some(base) => damaged(&self.what, base + self.position, expected, found),
            None => damaged(
                &format!("{} (offset in the decoded header)", self.what),
                self.position,
                expected,
                found,
            ),
        }
    }

    pub(super) fn take(&mut self, field: &str, length: usize) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.position..).unwrap_or(&[]);
        let taken = rest.get(..length);
        let error = || self.error(format!("{length} bytes of {field}"), format!("{} left", rest.len()));
        let taken = taken.ok_or_else(error)?;
        self.position += length;
        Ok(taken)
    }

    /// A number in groups of seven bits, at most `most`.
    pub(super) fn number(&mut self, field: &str, most: u64) -> Result<u64> {
        let start = self.position;
        let mut number = 0u64;
        for shift in (0..63).step_by(7) {
            let &[byte] = self.take(field, 1)? else { break };
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                if number > most {
                    self.position = start;
                    return Err(self.error(format!("{field} of at most {most}"), number));
                }
                return Ok(number);
            }
        }
        self.position = start;
        Err(self.error(format!("{field} in at most 9 bytes"), "more"))
    }

    pub(super) fn bytes(&mut self, field: &str) -> Result<&'a [u8]> {
        let length = self.number(field, self.bytes.len() as u64)?;
        self.take(field, length as usize)
    }

    pub(super) fn text(&self, bytes: Vec<u8>) -> Result<String> {
        String::from_utf8(bytes).map_err(|error| self.error("UTF-8", error))
    }

    pub(super) fn end(&self) -> Result<()> {
        match self.bytes.len() - self.position {
            0 => Ok(()),
            more => Err(self.error("the end", format!("{more} more bytes"))),
        }
    }

    /// A section's length, from the table; its bytes come later in the file.
    pub(super) fn later(&self, table: &mut Cursor, field: &str) -> Result<usize> {
        Ok(table.number(field, self.bytes.len() as u64)? as usize)
    }

    /// The next bytes of the file, and where they begin.
    pub(super) fn part(&mut self, field: &str, length: usize) -> Result<(usize, &'a [u8])> {
        let offset = self.position;
        Ok((offset, self.take(field, length)?))
    }

    pub(super) fn section(&mut self, table: &mut Cursor, field: &str) -> Result<(usize, &'a [u8])> {
        let length = self.later(table, field)?;
        self.part(field, length)
    }

    /// Refuses counts that the bytes can't hold, before anything is made for them: a flat section holds 8
    /// decisions in a byte (and the coder may leave out 4 bytes), a predicted one many more.
    pub(super) fn can_hold(&self, field: &str, section: &[u8], decisions: u64, flat: bool) -> Result<()> {
        let most = if flat { 8 * (section.len() as u64 + 8) } else { max_decisions(section.len()) };
        if decisions <= most {
            return Ok(());
        }
        let what = format!("{}: {field}", self.what);
        let found = format!("{decisions}");
        Err(damaged(
            &what,
            self.position,
            format!("at most {most} decisions in {} bytes", section.len()),
            found,
        ))
    }

    pub(super) fn decoded<V>(
        &self,
        field: &str,
        offset: usize,
        decoder: &Decoder,
        values: Result<V, Exhausted>,
    ) -> Result<V> {
        let what = format!("{}: {field}", self.what);
        match values {
            Ok(values) => finish(decoder, &what, offset).map(|()| values),
            Err(Exhausted) => Err(damaged(&what, offset, "enough bytes", "the end too early")),
        }
    }
}
