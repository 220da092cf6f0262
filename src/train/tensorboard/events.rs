//! The bytes of an event file: records with checksums, in which messages of protocol buffers are. Numbers of fields
//! are those of TensorFlow's `event.proto`, `summary.proto`, `tensor.proto`, `tensor_shape.proto`, `graph.proto`,
//! `node_def.proto` and `attr_value.proto`.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_their_standard() {
        // RFC 3720, B.4: the CRC of 32 zeros is 0x8a9136aa, of 32 bytes of ones 0x62a8ab43.
        let unmasked =
            |bytes: &[u8]| u32::from_le_bytes(masked(bytes)).wrapping_sub(0xa282_ead8).rotate_left(15);
        assert_eq!((unmasked(&[0; 32]), unmasked(&[0xff; 32])), (0x8a91_36aa, 0x62a8_ab43));
    }
}
