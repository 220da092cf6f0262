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
    /// The values of whole blocks.
    pub unpack: fn(&[u8], &mut [f32]),
}

macro_rules! kinds {
    ($($number:literal $name:ident $values:literal in $bytes:literal by $one:expr;)*
     unread: $($other:literal $its_name:ident)*) => {
        const KINDS: &[Kind] = &[
            $(Kind {
                number: $number,
                name: stringify!($name),
                block: Some(Block {
                    values: $values,
                    bytes: $bytes,
                    unpack: |from, to| each::<$bytes, $values>(from, to, $one),
                }),
            },)*
            $(Kind { number: $other, name: stringify!($its_name), block: None },)*
        ];
    };
}
kinds! {
    0 F32 1 in 4 by |b, [v]| *v = f32::from_le_bytes(*b);
    1 F16 1 in 2 by |b, [v]| *v = half(b, 0);
    30 BF16 1 in 2 by |b, [v]| *v = f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16);
    2 Q4_0 32 in 18 by q4_0;
    3 Q4_1 32 in 20 by q4_1;
    6 Q5_0 32 in 22 by q5_0;
    7 Q5_1 32 in 24 by q5_1;
    8 Q8_0 32 in 34 by q8_0;
    10 Q2_K 256 in 84 by q2_k;
    11 Q3_K 256 in 110 by q3_k;
    12 Q4_K 256 in 144 by q4_k;
    13 Q5_K 256 in 176 by q5_k;
    14 Q6_K 256 in 210 by q6_k;
    unread: 9 Q8_1 15 Q8_K 16 IQ2_XXS 17 IQ2_XS 18 IQ3_XXS 19 IQ1_S 20 IQ4_NL 21 IQ3_S 22 IQ2_S 23 IQ4_XS
        24 I8 25 I16 26 I32 27 I64 28 F64 29 IQ1_M 34 TQ1_0 35 TQ2_0 39 MXFP4 40 NVFP4 41 Q1_0
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

fn each<const B: usize, const V: usize>(from: &[u8], to: &mut [f32], one: impl Fn(&[u8; B], &mut [f32; V])) {
    for (block, values) in from.as_chunks::<B>().0.iter().zip(to.as_chunks_mut::<V>().0) {
        one(block, values);
    }
}

fn half(block: &[u8], at: usize) -> f32 {
    f16_bits_to_f32(u16::from_le_bytes([block[at], block[at + 1]]))
}

fn fill<const V: usize>(values: &mut [f32; V], value: impl Fn(usize) -> f32) {
    values.iter_mut().enumerate().for_each(|(i, v)| *v = value(i));
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

/// A scale; codes from -8.
fn q4_0(b: &[u8; 18], values: &mut [f32; 32]) {
    let d = half(b, 0);
    fill(values, |i| d * (f32::from(nibble(&b[2..], 16, i)) - 8.0));
}

/// A scale and the least value; codes from 0.
fn q4_1(b: &[u8; 20], values: &mut [f32; 32]) {
    let (d, min) = (half(b, 0), half(b, 2));
    fill(values, |i| d * f32::from(nibble(&b[4..], 16, i)) + min);
}

/// A scale, fifth bits; codes from -16.
fn q5_0(b: &[u8; 22], values: &mut [f32; 32]) {
    let d = half(b, 0);
    fill(values, |i| d * (f32::from(nibble(&b[6..], 16, i) | fifth(&b[2..], i)) - 16.0));
}

/// A scale, the least value, fifth bits; codes from 0.
fn q5_1(b: &[u8; 24], values: &mut [f32; 32]) {
    let (d, min) = (half(b, 0), half(b, 2));
    fill(values, |i| d * f32::from(nibble(&b[8..], 16, i) | fifth(&b[4..], i)) + min);
}

/// A scale; bytes with sign.
fn q8_0(b: &[u8; 34], values: &mut [f32; 32]) {
    let d = half(b, 0);
    fill(values, |i| d * f32::from(b[2 + i] as i8));
}

/// Scales and minima of 16 values each in 4 bits, codes of 2 bits, and the scales of both.
fn q2_k(b: &[u8; 84], values: &mut [f32; 256]) {
    let (d, min) = (half(b, 80), half(b, 82));
    let scales: [f32; 16] = std::array::from_fn(|j| d * f32::from(b[j] & 15));
    let minima: [f32; 16] = std::array::from_fn(|j| min * f32::from(b[j] >> 4));
    fill(values, |i| scales[i / 16] * f32::from(pair(&b[16..], i)) - minima[i / 16]);
}

/// Third bits, which take 4 off where they are missing; codes of 2 bits; scales of 16 values each from -32,
/// whose lower 4 bits come before the upper 2; their scale.
fn q3_k(b: &[u8; 110], values: &mut [f32; 256]) {
    let (packed, d) = (&b[96..108], half(b, 108));
    let scales: [f32; 16] = std::array::from_fn(|j| {
        let upper = packed[8 + j % 4] >> (2 * (j / 4)) & 3;
        d * (f32::from(nibble(packed, 8, j) | upper << 4) - 32.0)
    });
    fill(values, |i| scales[i / 16] * (f32::from(pair(&b[32..], i) | bit(b, i) << 2) - 4.0));
}

/// The scales and the minima of 32 values each: a scale of the ones and of the others, and 8 pairs of 6 bits
/// in 12 bytes. The first four pairs have the lower 6 bits of the first 8 bytes; of the others the lower 4 bits
/// are in the last 4 bytes, and the upper 2 above those of the first.
fn scales_and_minima(b: &[u8]) -> [(f32, f32); 8] {
    let (d, min, packed) = (half(b, 0), half(b, 2), &b[4..16]);
    std::array::from_fn(|j| {
        let (scale, least) = if j < 4 {
            (packed[j] & 63, packed[j + 4] & 63)
        } else {
            let lower = packed[j + 4];
            (lower & 15 | packed[j - 4] >> 6 << 4, lower >> 4 | packed[j] >> 6 << 4)
        };
        (d * f32::from(scale), min * f32::from(least))
    })
}

/// Scales and minima; codes of 4 bits.
fn q4_k(b: &[u8; 144], values: &mut [f32; 256]) {
    let groups = scales_and_minima(b);
    fill(values, |i| {
        let (scale, min) = groups[i / 32];
        scale * f32::from(nibble(&b[16..], 32, i)) - min
    });
}

/// Scales and minima; fifth bits; codes of 4 bits.
fn q5_k(b: &[u8; 176], values: &mut [f32; 256]) {
    let groups = scales_and_minima(b);
    fill(values, |i| {
        let (scale, min) = groups[i / 32];
        scale * f32::from(nibble(&b[48..], 32, i) | bit(&b[16..], i) << 4) - min
    });
}

/// The lower 4 bits of codes from -32, their upper 2; scales of 16 values each with sign; their scale.
fn q6_k(b: &[u8; 210], values: &mut [f32; 256]) {
    let d = half(b, 208);
    let scales: [f32; 16] = std::array::from_fn(|j| d * f32::from(b[192 + j] as i8));
    fill(values, |i| scales[i / 16] * (f32::from(nibble(b, 64, i) | pair(&b[128..], i) << 4) - 32.0));
}
