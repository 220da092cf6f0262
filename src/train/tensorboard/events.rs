//! The bytes of an event file: records with checksums, and in them the few messages that are needed, in the
//! encoding of protocol buffers. Numbers of fields are those of TensorFlow's `event.proto`, `summary.proto`,
//! `tensor.proto`, `tensor_shape.proto`, `graph.proto`, `node_def.proto` and `attr_value.proto`.

/// Remainders of CRC-32C (Castagnoli) for each value of a byte.
const TABLE: [u32; 256] = {
    let (mut table, mut i) = ([0; 256], 0);
    while i < 256 {
        let (mut crc, mut bit) = (i as u32, 0);
        while bit < 8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// CRC-32C, turned and moved so that the checksum of data that hold checksums is a good one, too.
fn masked(bytes: &[u8]) -> [u8; 4] {
    let step = |crc: u32, byte: &u8| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
    let crc = !bytes.iter().fold(!0, step);
    crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// A record as TFRecord files have it: its length, the length's checksum, the bytes, theirs.
pub(super) fn record(bytes: &[u8]) -> Vec<u8> {
    let len = (bytes.len() as u64).to_le_bytes();
    [&len[..], &masked(&len), bytes, &masked(bytes)].concat()
}

/// A message of protocol buffers, field by field.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(pub(super) Vec<u8>);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_and_numbers_are_those_of_their_standards() {
        // RFC 3720, B.4: the CRC of 32 zeros is 0x8a9136aa, of 32 bytes of ones 0x62a8ab43.
        let unmasked =
            |bytes: &[u8]| u32::from_le_bytes(masked(bytes)).wrapping_sub(0xa282_ead8).rotate_left(15);
        assert_eq!((unmasked(&[0; 32]), unmasked(&[0xff; 32])), (0x8a91_36aa, 0x62a8_ab43));
        // From the documentation of the encoding: field 1 is 150; field 2 is "testing".
        assert_eq!(Message::default().int(1, 150).0, [0x08, 0x96, 0x01]);
        assert_eq!(Message::default().bytes(2, "testing").0, b"\x12\x07testing");
    }
}
