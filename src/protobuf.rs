//! Messages in the encoding of protocol buffers (<https://protobuf.dev/programming-guides/encoding>), written field by
//! field and read the same way. What the fields of a format are is that format's business.
#[cfg(feature = "onnx")]
use crate::error::Checked;

/// A message of protocol buffers, field by field.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(pub Vec<u8>);

impl Message {
    fn varint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.0.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.0.push(v as u8);
    }

    fn key(&mut self, field: u32, wire: u64) {
        self.varint(u64::from(field) << 3 | wire);
    }

    /// An integer or a number of an enumeration.
    pub fn int(mut self, field: u32, v: u64) -> Message {
        self.key(field, 0);
        self.varint(v);
        self
    }

    pub fn double(mut self, field: u32, v: f64) -> Message {
        self.key(field, 1);
        self.0.extend(v.to_le_bytes());
        self
    }

    pub fn float(mut self, field: u32, v: f32) -> Message {
        self.key(field, 5);
        self.0.extend(v.to_le_bytes());
        self
    }

    pub fn bytes(mut self, field: u32, v: impl AsRef<[u8]>) -> Message {
        self.key(field, 2);
        self.varint(v.as_ref().len() as u64);
        self.0.extend(v.as_ref());
        self
    }

    pub fn message(self, field: u32, v: &Message) -> Message {
        self.bytes(field, &v.0)
    }

    /// Doubles one after the other.
    pub fn doubles(self, field: u32, v: &[f64]) -> Message {
        let bytes: Vec<u8> = v.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.bytes(field, bytes)
    }
}

/// What a field holds.
#[cfg(feature = "onnx")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Field<'a> {
    Int(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// The fields of a message, one after the other.
#[cfg(feature = "onnx")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub &'a [u8]);

#[cfg(feature = "onnx")]
impl<'a> Fields<'a> {
    pub fn varint(&mut self) -> Checked<u64> {
        let mut v = 0u64;
        for (i, &byte) in self.0.iter().enumerate().take(10) {
            v |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.0 = &self.0[i + 1..];
                return Ok(v);
            }
        }
        Err("a number doesn't end".into())
    }

    fn take(&mut self, n: u64) -> Checked<&'a [u8]> {
        let (taken, rest) = usize::try_from(n)
            .ok()
            .and_then(|n| self.0.split_at_checked(n))
            .ok_or_else(|| format!("{n} bytes are announced, {} are there", self.0.len()))?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next field: its number and what it holds.
    pub fn next_field(&mut self) -> Checked<Option<(u32, Field<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number =
            u32::try_from(key >> 3).map_err(|_| format!("field {} is not a number of one", key >> 3))?;
        let fixed = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |v, &byte| v << 8 | u64::from(byte));
        let field = match key & 7 {
            0 => Field::Int(self.varint()?),
            1 => Field::Fixed64(fixed(self.take(8)?)),
            2 => {
                let len = self.varint()?;
                Field::Bytes(self.take(len)?)
            }
            5 => Field::Fixed32(fixed(self.take(4)?) as u32),
            wire => return Err(format!("field {number} is of type {wire}, which there isn't")),
        };
        Ok(Some((number, field)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_those_of_the_encoding() {
        // From the documentation of the encoding: field 1 is 150; field 2 is "testing".
        assert_eq!(Message::default().int(1, 150).0, [0x08, 0x96, 0x01]);
        assert_eq!(Message::default().bytes(2, "testing").0, b"\x12\x07testing");
    }

    #[cfg(feature = "onnx")]
    #[test]
    fn what_was_written_is_read_and_what_is_cut_off_is_refused() {
        let message = Message::default().int(1, u64::MAX).double(2, -1.5).float(3, 2.5).bytes(400, "abc");
        let mut fields = Fields(&message.0);
        let expected = [
            (1, Field::Int(u64::MAX)),
            (2, Field::Fixed64((-1.5f64).to_bits())),
            (3, Field::Fixed32(2.5f32.to_bits())),
            (400, Field::Bytes(b"abc")),
        ];
        for field in expected {
            assert_eq!(fields.next_field(), Ok(Some(field)));
        }
        assert_eq!(fields.next_field(), Ok(None));
        let read = |bytes: &[u8]| {
            let mut fields = Fields(bytes);
            while fields.next_field()?.is_some() {}
            Checked::Ok(())
        };
        let ends = [11, 20, 25, message.0.len()];
        for n in (1..message.0.len()).filter(|n| !ends.contains(n)) {
            assert!(read(&message.0[..n]).is_err(), "{n} bytes");
        }
        assert!(read(&[0x80; 20]).is_err() && read(&[0x0b]).is_err());
    }
}
