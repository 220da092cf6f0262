//! The element types of GGUF files, and what a block of each stands for: the layouts of ggml, as
//! `ggml-common.h` has them, and the arithmetic of its `dequantize_row_…` in the same order, so that values
//! have the same bits.
use crate::real::half::f16_bits_to_f32;

/// An element type.
#[derive(Debug)]
pub(super) struct Kind {
    number: u32,
    pub name: &'static str,
    /// None of a type that has a name and isn't read.
    pub block: Option<Block>,
}

/// So many values in so many bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub values: usize,
    pub bytes: usize,
    pub held: Held,
}

/// What the bytes of whole blocks are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    F32,
    F16,
    Bf16,
    Codes(Coded),
}

/// Codes of a few bits: each is worth `worth(code) · scale + offset`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coded {
    pub bits: u32,
    pub worth: Worth,
    /// Values that share a scale and an offset.
    pub group: usize,
    pub offsets: bool,
    pub take: fn(&[u8], Lists),
}

/// What a code is worth before it is scaled.
#[derive(Clone, Copy, Debug)]
pub(super) enum Worth {
    /// The code plus this.
    From(i32),
    Table(&'static [i8; 16]),
}
use Worth::{From, Table};

/// Codes, and the scales and offsets of their groups; no offsets where there are none.
pub(super) struct Lists<'a> {
    pub codes: &'a mut [u8],
    pub scales: &'a mut [f32],
    pub offsets: &'a mut [f32],
}

impl Block {
    /// The values of whole blocks.
    pub fn unpack(&self, bytes: &[u8], values: &mut [f32]) {
        let halves = bytes.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b));
        match &self.held {
            Held::F32 => {
                let floats = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
                values.iter_mut().zip(floats).for_each(|(v, float)| *v = float);
            }
            Held::F16 => values.iter_mut().zip(halves).for_each(|(v, bits)| *v = f16_bits_to_f32(bits)),
            Held::Bf16 => {
                values
                    .iter_mut()
                    .zip(halves)
                    .for_each(|(v, bits)| *v = f32::from_bits(u32::from(bits) << 16));
            }
            Held::Codes(coded) => coded.unpack(self, bytes, values),
        }
    }
}

impl Coded {
    fn unpack(&self, block: &Block, bytes: &[u8], values: &mut [f32]) {
        let (mut codes, mut scales, mut offsets) = ([0; 256], [0.0; 16], [0.0; 16]);
        let groups = block.values / self.group;
        for (bytes, values) in bytes.chunks_exact(block.bytes).zip(values.chunks_exact_mut(block.values)) {
            let codes = &mut codes[..block.values];
            let offsets = &mut offsets[..if self.offsets { groups } else { 0 }];
            (self.take)(bytes, Lists { codes, scales: &mut scales[..groups], offsets });
            for (i, (v, code)) in values.iter_mut().zip(codes).enumerate() {
                let worth = match self.worth {
                    From(low) => f32::from(*code) + low as f32,
                    Table(values) => f32::from(values[usize::from(*code & 15)]),
                };
                let scaled = scales[i / self.group] * worth;
                *v = offsets.get(i / self.group).map_or(scaled, |offset| scaled + offset);
            }
        }
    }
}

macro_rules! kinds {
    (floats: $($number:literal $name:ident in $size:literal by $held:expr;)*
     codes: $($code:literal $coded:ident $values:literal in $bytes:literal:
       $bits:literal by $group:literal $offsets:literal $one:ident, $worth:expr;)*
     unread: $($other:literal $its_name:ident)*) => {
        const KINDS: &[Kind] = &[
            $(Kind {
                number: $number,
                name: stringify!($name),
                block: Some(Block { values: 1, bytes: $size, held: $held }),
            },)*
            $(Kind {
                number: $code,
                name: stringify!($coded),
                block: Some(Block {
                    values: $values,
                    bytes: $bytes,
                    held: Held::Codes(Coded {
                        bits: $bits,
                        worth: $worth,
                        group: $group,
                        offsets: $offsets,
                        take: |bytes, lists| each::<$bytes>(bytes, lists, $values, $values / $group, $one),
                    }),
                }),
            },)*
            $(Kind { number: $other, name: stringify!($its_name), block: None },)*
        ];
    };
}
/// The values of `IQ4_NL`, `kvalues_iq4nl` in ggml.
const UNEVEN: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
/// Twice the numbers of 4 bits of the Open Compute Project's microscaling formats, E2M1.
const E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

kinds! {
    floats:
    0 F32 in 4 by Held::F32;
    1 F16 in 2 by Held::F16;
    30 BF16 in 2 by Held::Bf16;
    codes:
    2 Q4_0 32 in 18: 4 by 32 false q4_0, From(-8);
    3 Q4_1 32 in 20: 4 by 32 true q4_1, From(0);
    6 Q5_0 32 in 22: 5 by 32 false q5_0, From(-16);
    7 Q5_1 32 in 24: 5 by 32 true q5_1, From(0);
    8 Q8_0 32 in 34: 8 by 32 false q8_0, From(-128);
    10 Q2_K 256 in 84: 2 by 16 true q2_k, From(0);
    11 Q3_K 256 in 110: 3 by 16 false q3_k, From(-4);
    12 Q4_K 256 in 144: 4 by 32 true q4_k, From(0);
    13 Q5_K 256 in 176: 5 by 32 true q5_k, From(0);
    14 Q6_K 256 in 210: 6 by 16 false q6_k, From(-32);
    20 IQ4_NL 32 in 18: 4 by 32 false q4_0, Table(&UNEVEN);
    23 IQ4_XS 256 in 136: 4 by 32 false iq4_xs, Table(&UNEVEN);
    39 MXFP4 32 in 17: 4 by 32 false mxfp4, Table(&E2M1);
    unread: 9 Q8_1 15 Q8_K 16 IQ2_XXS 17 IQ2_XS 18 IQ3_XXS 19 IQ1_S 21 IQ3_S 22 IQ2_S 24 I8 25 I16 26 I32 27 I64
        28 F64 29 IQ1_M 34 TQ1_0 35 TQ2_0 40 NVFP4 41 Q1_0
}

impl Kind {
    /// The type of a number, if there is one.
    pub fn of(number: u32) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.number == number)
    }
}

/// The names of the types that are read.
pub(super) fn read() -> String {
    let names: Vec<&str> = KINDS.iter().filter(|kind| kind.block.is_some()).map(|kind| kind.name).collect();
    names.join(", ")
}

/// Block after block, with the codes and groups that are its.
fn each<const B: usize>(
    bytes: &[u8],
    lists: Lists,
    values: usize,
    groups: usize,
    one: impl Fn(&[u8; B], Lists),
) {
    let Lists { codes, scales, mut offsets } = lists;
    let own = codes.chunks_exact_mut(values).zip(scales.chunks_exact_mut(groups));
    for (block, (codes, scales)) in bytes.as_chunks::<B>().0.iter().zip(own) {
        let (first, rest) = offsets.split_at_mut(groups.min(offsets.len()));
        one(block, Lists { codes, scales, offsets: first });
        offsets = rest;
    }
}

fn half(block: &[u8], at: usize) -> f32 {
    f16_bits_to_f32(u16::from_le_bytes([block[at], block[at + 1]]))
}

fn fill<V>(list: &mut [V], value: impl Fn(usize) -> V) {
    list.iter_mut().enumerate().for_each(|(i, v)| *v = value(i));
}

/// The `i`-th of codes of 4 bits, of which the lower halves of `n` bytes come before the upper halves.
fn nibble(codes: &[u8], n: usize, i: usize) -> u8 {
    codes[i / (2 * n) * n + i % n] >> (4 * (i / n % 2)) & 15
}

/// The same of codes of 2 bits, in 32 bytes at a time.
fn pair(codes: &[u8], i: usize) -> u8 {
    codes[i / 128 * 32 + i % 32] >> (2 * (i / 32 % 4)) & 3
}

/// The same of single bits, in 32 bytes.
fn bit(bits: &[u8], i: usize) -> u8 {
    bits[i % 32] >> (i / 32) & 1
}

/// The fifth bits of 32 codes, one after the other.
fn fifth(bits: &[u8], i: usize) -> u8 {
    (bits[i / 8] >> (i % 8) & 1) << 4
}

/// A scale; codes from -8, or of a table.
fn q4_0(b: &[u8; 18], to: Lists) {
    to.scales[0] = half(b, 0);
    fill(to.codes, |i| nibble(&b[2..], 16, i));
}

/// A scale and the least value; codes from 0.
fn q4_1(b: &[u8; 20], to: Lists) {
    (to.scales[0], to.offsets[0]) = (half(b, 0), half(b, 2));
    fill(to.codes, |i| nibble(&b[4..], 16, i));
}

/// A scale, fifth bits; codes from -16.
fn q5_0(b: &[u8; 22], to: Lists) {
    to.scales[0] = half(b, 0);
    fill(to.codes, |i| nibble(&b[6..], 16, i) | fifth(&b[2..], i));
}

/// A scale, the least value, fifth bits; codes from 0.
fn q5_1(b: &[u8; 24], to: Lists) {
    (to.scales[0], to.offsets[0]) = (half(b, 0), half(b, 2));
    fill(to.codes, |i| nibble(&b[8..], 16, i) | fifth(&b[4..], i));
}

/// A scale; bytes with sign.
fn q8_0(b: &[u8; 34], to: Lists) {
    to.scales[0] = half(b, 0);
    fill(to.codes, |i| b[2 + i] ^ 0x80);
}

/// Scales and minima of 16 values each in 4 bits, codes of 2 bits, and the scales of both.
fn q2_k(b: &[u8; 84], to: Lists) {
    let (d, min) = (half(b, 80), half(b, 82));
    fill(to.scales, |j| d * f32::from(b[j] & 15));
    fill(to.offsets, |j| -(min * f32::from(b[j] >> 4)));
    fill(to.codes, |i| pair(&b[16..], i));
}

/// Third bits, which take 4 off where they are missing; codes of 2 bits; scales of 16 values each from -32,
/// whose lower 4 bits come before the upper 2; their scale.
fn q3_k(b: &[u8; 110], to: Lists) {
    let (packed, d) = (&b[96..108], half(b, 108));
    fill(to.scales, |j| {
        let upper = packed[8 + j % 4] >> (2 * (j / 4)) & 3;
        d * (f32::from(nibble(packed, 8, j) | upper << 4) - 32.0)
    });
    fill(to.codes, |i| pair(&b[32..], i) | bit(b, i) << 2);
}

/// The scales and the minima of 32 values each: a scale of the ones and of the others, and 8 pairs of 6 bits
/// in 12 bytes. The first four pairs have the lower 6 bits of the first 8 bytes; of the others the lower 4
/// bits are in the last 4 bytes, and the upper 2 above those of the first.
fn scales_and_minima(b: &[u8], to: &mut Lists) {
    let (d, min, packed) = (half(b, 0), half(b, 2), &b[4..16]);
    let pair = |j: usize| {
        if j < 4 {
            (packed[j] & 63, packed[j + 4] & 63)
        } else {
            let lower = packed[j + 4];
            (lower & 15 | packed[j - 4] >> 6 << 4, lower >> 4 | packed[j] >> 6 << 4)
        }
    };
    fill(to.scales, |j| d * f32::from(pair(j).0));
    fill(to.offsets, |j| -(min * f32::from(pair(j).1)));
}

/// Scales and minima; codes of 4 bits.
fn q4_k(b: &[u8; 144], mut to: Lists) {
    scales_and_minima(b, &mut to);
    fill(to.codes, |i| nibble(&b[16..], 32, i));
}

/// Scales and minima; fifth bits; codes of 4 bits.
fn q5_k(b: &[u8; 176], mut to: Lists) {
    scales_and_minima(b, &mut to);
    fill(to.codes, |i| nibble(&b[48..], 32, i) | bit(&b[16..], i) << 4);
}

/// The lower 4 bits of codes from -32, their upper 2; scales of 16 values each with sign; their scale.
fn q6_k(b: &[u8; 210], to: Lists) {
    let d = half(b, 208);
    fill(to.scales, |j| d * f32::from(b[192 + j] as i8));
    fill(to.codes, |i| nibble(b, 64, i) | pair(&b[128..], i) << 4);
}

/// A scale of the scales, of 32 values each from -32: their upper 2 bits, their lower 4; codes of a table.
fn iq4_xs(b: &[u8; 136], to: Lists) {
    let (d, upper) = (half(b, 0), u16::from_le_bytes([b[2], b[3]]));
    fill(to.scales, |j| {
        let (lower, upper) = (b[4 + j / 2] >> (4 * (j % 2)) & 15, (upper >> (2 * j) & 3) as u8);
        d * (f32::from(lower | upper << 4) - 32.0)
    });
    fill(to.codes, |i| nibble(&b[8..], 16, i));
}

/// A power of two, by its exponent plus 127, which is halved as the table has twice the values; codes of a table.
fn mxfp4(b: &[u8; 17], to: Lists) {
    let exponent = u32::from(b[0]);
    to.scales[0] = f32::from_bits(if exponent < 2 { 0x0020_0000 << exponent } else { (exponent - 1) << 23 });
    fill(to.codes, |i| nibble(&b[1..], 16, i));
}
