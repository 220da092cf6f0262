//! Tensors of an ONNX file, of all element types that are read; numbers of fields are those of `onnx.proto`.
use crate::{
    error::Checked,
    protobuf::{Field, Fields, Message},
    tensor::{Shape, Tensor},
};
use serde::{Deserialize, Serialize};

/// The most axes of a tensor.
const AXES: usize = 32;
/// The most elements of a tensor without bytes of its own, such as one whose sizes have a 0.
const EMPTY: usize = 1 << 20;

/// Element types by their numbers.
pub(super) mod kind {
    pub const FLOAT: u32 = 1;
    pub const UINT8: u32 = 2;
    pub const INT8: u32 = 3;
    pub const UINT16: u32 = 4;
    pub const INT16: u32 = 5;
    pub const INT32: u32 = 6;
    pub const INT64: u32 = 7;
    pub const BOOL: u32 = 9;
    pub const FLOAT16: u32 = 10;
    pub const DOUBLE: u32 = 11;
    pub const UINT32: u32 = 12;
    pub const UINT64: u32 = 13;
    pub const BFLOAT16: u32 = 16;
    pub const UINT4: u32 = 21;
    pub const INT4: u32 = 22;
    pub const UINT2: u32 = 25;
    pub const INT2: u32 = 26;

    /// Bits of an element, and its name.
    pub fn about(kind: u32) -> Option<(usize, &'static str)> {
        Some(match kind {
            FLOAT => (32, "float"),
            UINT8 => (8, "uint8"),
            INT8 => (8, "int8"),
            UINT16 => (16, "uint16"),
            INT16 => (16, "int16"),
            INT32 => (32, "int32"),
            INT64 => (64, "int64"),
            BOOL => (8, "bool"),
            FLOAT16 => (16, "float16"),
            DOUBLE => (64, "double"),
            UINT32 => (32, "uint32"),
            UINT64 => (64, "uint64"),
            BFLOAT16 => (16, "bfloat16"),
            UINT4 => (4, "uint4"),
            INT4 => (4, "int4"),
            UINT2 => (2, "uint2"),
            INT2 => (2, "int2"),
            _ => return None,
        })
    }

    pub fn is_signed(kind: u32) -> bool {
        matches!(kind, INT8 | INT16 | INT32 | INT64 | INT4 | INT2)
    }

    pub fn is_float(kind: u32) -> bool {
        matches!(kind, FLOAT | FLOAT16 | DOUBLE | BFLOAT16)
    }
}

/// The elements of a tensor, whatever their number of bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Data {
    Float(Tensor<f32>),
    Int(Tensor<i64>),
    Bool(Tensor<bool>),
}

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Constant {
    pub name: String,
    /// The element type in the file.
    pub kind: u32,
    pub data: Data,
}

impl Data {
    pub fn shape(&self) -> &Shape {
        match self {
            Data::Float(t) => t.shape(),
            Data::Int(t) => t.shape(),
            Data::Bool(t) => t.shape(),
        }
    }
}

impl Constant {
    /// The elements as they lie in a file.
    fn raw(&self) -> Vec<u8> {
        match &self.data {
            Data::Float(t) => t.to_vec().iter().flat_map(|v| v.to_le_bytes()).collect(),
            Data::Bool(t) => t.to_vec().into_iter().map(u8::from).collect(),
            Data::Int(t) => {
                let (bits, values) = (kind::about(self.kind).map_or(64, |about| about.0), t.to_vec());
                match bits {
                    2 | 4 => values
                        .chunks(8 / bits)
                        .map(|part| {
                            let place = |(i, v): (usize, &i64)| (*v as u8 & ((1 << bits) - 1)) << (i * bits);
                            part.iter().enumerate().map(place).fold(0, |byte, code| byte | code)
                        })
                        .collect(),
                    _ => values.iter().flat_map(|v| v.to_le_bytes().into_iter().take(bits / 8)).collect(),
                }
            }
        }
    }

    pub fn message(&self) -> Message {
        let sizes = self.data.shape().iter();
        let message = sizes.fold(Message::default(), |m, &size| m.int(1, size as u64));
        message.int(2, self.kind.into()).bytes(8, &self.name).bytes(9, self.raw())
    }

    pub fn read(bytes: &[u8]) -> Checked<Constant> {
        let (mut sizes, mut kind, mut name) = (Vec::new(), 0, String::new());
        let (mut raw, mut floats, mut ints, mut doubles) = (None, Vec::new(), Vec::new(), Vec::new());
        let mut fields = Fields(bytes);
        while let Some((number, field)) = fields.next_field()? {
            match (number, field) {
                (1, field) => integers(field, &mut sizes)?,
                (2, Field::Int(v)) => kind = u32::try_from(v).unwrap_or(0),
                (4, field) => floats_of(field, &mut floats)?,
                (5 | 7 | 11, field) => integers(field, &mut ints)?,
                (8, Field::Bytes(b)) => name = text(b)?,
                (9, Field::Bytes(b)) => raw = Some(b),
                (10, Field::Bytes(b)) => {
                    let (all, _) = b.as_chunks::<8>();
                    doubles.extend(all.iter().map(|&b| f64::from_le_bytes(b) as f32));
                }
                (14, Field::Int(1)) => {
                    return Err(format!(
                        "tensor {name:?}: its elements are in a file beside, which isn't read"
                    ));
                }
                _ => {}
            }
        }
        let told = |message: String| format!("tensor {name:?}: {message}");
        let (bits, about) = kind::about(kind).ok_or_else(|| {
            told(format!("its element type has number {kind}; floats and integers are read"))
        })?;
        if sizes.len() > AXES || sizes.iter().any(|&size| size < 0) {
            return Err(told(format!("{} axes {sizes:?}: up to {AXES} of 0 or more are read", sizes.len())));
        }
        let shape: Shape = sizes.iter().map(|&size| usize::try_from(size).unwrap_or(usize::MAX)).collect();
        let n = shape.numel();
        let there = match raw {
            Some(raw) => raw.len().saturating_mul(8) / bits,
            None => floats.len().max(ints.len()).max(doubles.len()),
        };
        let packed = raw.is_none() && bits < 8;
        let wanted = if packed { n.div_ceil(8 / bits) } else { n };
        if (n == 0 && sizes.iter().any(|&size| size as usize > EMPTY)) || wanted > there {
            return Err(told(format!("has {there} elements of {about}, its shape {shape} asks for {n}")));
        }
        let new = |message: crate::Error| told(message.to_string());
        let data = match raw {
            _ if kind::is_float(kind) => {
                let values = match (raw, kind) {
                    (Some(raw), _) => floats_in(raw, kind, n),
                    (None, kind::DOUBLE) => doubles,
                    (None, kind::FLOAT) => floats,
                    // Halves as whole numbers that have their bits.
                    (None, _) => {
                        let bytes: Vec<u8> = ints.iter().flat_map(|v| (*v as u16).to_le_bytes()).collect();
                        floats_in(&bytes, kind, n)
                    }
                };
                Data::Float(Tensor::new(shape, values.into_iter().take(n).collect()).map_err(new)?)
            }
            None if packed => {
                let bytes: Vec<u8> = ints.iter().map(|v| *v as u8).collect();
                Data::Int(Tensor::new(shape, integers_in(&bytes, kind, bits, n)).map_err(new)?)
            }
            Some(raw) if kind == kind::BOOL => {
                Data::Bool(Tensor::new(shape, raw.iter().take(n).map(|b| *b != 0).collect()).map_err(new)?)
            }
            None if kind == kind::BOOL => {
                Data::Bool(Tensor::new(shape, ints.iter().take(n).map(|v| *v != 0).collect()).map_err(new)?)
            }
            Some(raw) => Data::Int(Tensor::new(shape, integers_in(raw, kind, bits, n)).map_err(new)?),
            None => Data::Int(Tensor::new(shape, ints.into_iter().take(n).collect()).map_err(new)?),
        };
        Ok(Constant { name, kind, data })
    }
}

fn floats_in(raw: &[u8], kind: u32, n: usize) -> Vec<f32> {
    match kind {
        kind::DOUBLE => raw.as_chunks().0.iter().take(n).map(|&b| f64::from_le_bytes(b) as f32).collect(),
        kind::FLOAT16 => raw.as_chunks().0.iter().take(n).map(|&b| half(u16::from_le_bytes(b))).collect(),
        kind::BFLOAT16 => {
            let wide = |&b: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16);
            raw.as_chunks().0.iter().take(n).map(wide).collect()
        }
        _ => raw.as_chunks().0.iter().take(n).map(|&b| f32::from_le_bytes(b)).collect(),
    }
}

/// A float of 16 bits, IEEE 754's binary16.
fn half(bits: u16) -> f32 {
    let (sign, exponent, rest) =
        (u32::from(bits >> 15) << 31, u32::from(bits >> 10 & 31), u32::from(bits & 1023));
    match exponent {
        // Whole multiples of 2⁻²⁴.
        0 => f32::from_bits(sign | (rest as f32 / 16_777_216.0).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | rest << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | rest << 13),
    }
}

fn integers_in(raw: &[u8], kind: u32, bits: usize, n: usize) -> Vec<i64> {
    let signed = kind::is_signed(kind);
    let value = |v: u64| {
        let unused = 64 - bits;
        if signed { (v << unused) as i64 >> unused } else { v as i64 }
    };
    if bits < 8 {
        let each = 8 / bits;
        let code = |i: usize| u64::from(raw[i / each] >> (i % each * bits)) & ((1 << bits) - 1);
        return (0..n).map(|i| value(code(i))).collect();
    }
    let number = |b: &[u8]| b.iter().rev().fold(0u64, |v, &byte| v << 8 | u64::from(byte));
    raw.chunks_exact(bits / 8).take(n).map(|b| value(number(b))).collect()
}

pub(super) fn text(bytes: &[u8]) -> Checked<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a name is not UTF-8".into())
}

/// Whole numbers, one or several in a row.
pub(super) fn integers(field: Field<'_>, to: &mut Vec<i64>) -> Checked<()> {
    match field {
        Field::Int(v) => to.push(v as i64),
        Field::Bytes(b) => {
            let mut rest = Fields(b);
            while !rest.0.is_empty() {
                to.push(rest.varint()? as i64);
            }
        }
        _ => return Err("whole numbers of another encoding than theirs".into()),
    }
    Ok(())
}

pub(super) fn floats_of(field: Field<'_>, to: &mut Vec<f32>) -> Checked<()> {
    match field {
        Field::Fixed32(v) => to.push(f32::from_bits(v)),
        Field::Bytes(b) => to.extend(b.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b))),
        _ => return Err("floats of another encoding than theirs".into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_the_numbers_that_the_standard_says() {
        let cases = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_6e-5),
            (0x0001, 5.960_464_5e-8),
            (0x8000, -0.0),
            (0x7c00, f32::INFINITY),
        ];
        for (bits, value) in cases {
            assert_eq!(half(bits).to_bits(), value.to_bits(), "{bits:x}");
        }
        assert!(half(0x7e00).is_nan());
    }

    #[test]
    fn constants_of_all_kinds_come_back() {
        let ints = |kind: u32, values: &[i64]| Constant {
            name: "t".into(),
            kind,
            data: Data::Int(Tensor::new([values.len()], values.to_vec()).unwrap()),
        };
        let all = [
            ints(kind::INT4, &[-8, 7, 0, -1, 3]),
            ints(kind::UINT4, &[0, 15, 7]),
            ints(kind::INT2, &[-2, 1, 0, -1, 1]),
            ints(kind::INT8, &[-128, 127]),
            ints(kind::UINT8, &[0, 255]),
            ints(kind::INT32, &[i64::from(i32::MIN), 5]),
            ints(kind::INT64, &[i64::MIN, i64::MAX]),
            Constant {
                name: "f".into(),
                kind: kind::FLOAT,
                data: Data::Float(Tensor::from([[1.5], [-0.0]])),
            },
            Constant { name: "b".into(), kind: kind::BOOL, data: Data::Bool(Tensor::from([true, false])) },
        ];
        for constant in all {
            assert_eq!(Constant::read(&constant.message().0), Ok(constant));
        }
    }
}
