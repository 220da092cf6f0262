//! Products of codes with bytes, added in integers: 16 rows of a packed matrix side by side, 32 columns at a time.
use super::{super::prefetch::prefetch, panels::LANES, planes::Plane};

/// Neighbours of a row of bytes that share the size of a step.
pub(super) const BLOCK: usize = 32;
/// Words of four bytes in a block.
pub(super) const WORDS: usize = BLOCK / 4;
/// Most planes of a code: 7 bits are 4, 2 and 1.
const PLANES: usize = 3;
/// How far ahead codes are asked for, in bytes: what is read by itself ends with each page of memory.
pub(super) const AHEAD: usize = 8192;

/// A row in bytes.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    /// For each block the bits of a step's size, and the sum of the bytes.
    pub steps: &'a [i32],
    pub sums: &'a [i32],
    /// For one plane of the codes after the other the bytes of all blocks, four in a word. Of codes that share
    /// bytes, the first ones of four bytes come first, then their second ones.
    pub bytes: &'a [[i32; WORDS]],
}

/// What is made of a block's products while they are in registers.
pub(super) trait Sums<const R: usize>: Copy {
    fn add(&mut self, block: usize, dots: &[[i32; LANES]; R]);
}

/// For each block of 32 columns and each row of bytes its products with the codes of a panel's rows, to `sums`.
pub(super) fn dots<const R: usize>(
    planes: &[Plane],
    cols: usize,
    panel: usize,
    x: &[Row; R],
    sums: &mut impl Sums<R>,
) {
    #[cfg(target_arch = "x86_64")]
    {
        use crate::isa::{Isa, isa};
        if isa() >= Isa::Avx2 {
            // SAFETY: isa() reports Avx2 only where the processor has it.
            return unsafe { x86::avx2(planes, cols, panel, x, sums) };
        }
    }
    // SAFETY: it needs no special instructions.
    unsafe { all::<Plain, R>(planes, cols, panel, x, sums) }
}

/// How products are added.
trait Add {
    /// Adds to the sums of `R` rows of bytes, `shift` bits higher, those of a block's codes in a plane of `BITS`,
    /// `4 · BITS` bytes of each of 16 rows.
    ///
    /// # Safety
    /// The machine must have the instructions.
    unsafe fn add<const BITS: usize, const R: usize>(
        codes: &[[u8; LANES]],
        shift: u32,
        x: [&[i32; WORDS]; R],
        sums: &mut [[i32; LANES]; R],
    );
}

/// # Safety
/// The machine must have the instructions of `A`.
#[inline(always)]
unsafe fn all<A: Add, const R: usize>(
    planes: &[Plane],
    cols: usize,
    panel: usize,
    x: &[Row; R],
    sums: &mut impl Sums<R>,
) {
    // In registers, which the caller's place isn't.
    let mut own = *sums;
    let count = cols.div_ceil(BLOCK);
    let mut codes = [&[][..]; PLANES];
    for (codes, plane) in codes.iter_mut().zip(planes) {
        let width = cols.div_ceil((8 / plane.bits) as usize);
        *codes = &plane.bytes[panel * width..(panel + 1) * width];
    }
    for block in 0..count {
        let mut dots = [[0; LANES]; R];
        for (i, (plane, codes)) in planes.iter().zip(codes).enumerate() {
            let size = 4 * plane.bits as usize;
            let codes = &codes[block * size..codes.len().min((block + 1) * size)];
            prefetch::<_, 3>(codes.as_ptr().wrapping_byte_add(AHEAD), codes.len());
            // The last block may be shorter.
            let mut rest;
            let codes = if codes.len() < size {
                rest = [[0; LANES]; BLOCK];
                rest[..codes.len()].copy_from_slice(codes);
                &rest[..size]
            } else {
                codes
            };
            let x = x.map(|row| &row.bytes[i * count + block]);
            // SAFETY: the caller's.
            unsafe {
                match plane.bits {
                    8 => A::add::<8, R>(codes, plane.shift, x, &mut dots),
                    4 => A::add::<4, R>(codes, plane.shift, x, &mut dots),
                    2 => A::add::<2, R>(codes, plane.shift, x, &mut dots),
                    _ => A::add::<1, R>(codes, plane.shift, x, &mut dots),
                }
            }
        }
        own.add(block, &dots);
    }
    *sums = own;
}

/// What the compiler makes of it.
struct Plain;

impl Add for Plain {
    #[inline(always)]
    unsafe fn add<const BITS: usize, const R: usize>(
        codes: &[[u8; LANES]],
        shift: u32,
        x: [&[i32; WORDS]; R],
        sums: &mut [[i32; LANES]; R],
    ) {
        let (each, mask) = (8 / BITS, ((1u32 << BITS) - 1) as u8);
        for (x, sums) in x.iter().zip(sums) {
            let mut own = [0i32; LANES];
            for (at, codes) in codes.iter().enumerate() {
                for i in 0..each {
                    let byte = x[at / 4 * each + i].to_le_bytes()[at % 4] as i8;
                    for (own, code) in own.iter_mut().zip(codes) {
                        // Of eight bits with seven and a sign: it fits.
                        *own += i32::from(i16::from(code >> (i * BITS) & mask) * i16::from(byte));
                    }
                }
            }
            sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += own << shift);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use crate::kernels::packed::dots::{Add, LANES, Plane, Row, Sums, WORDS, all};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2")]
    pub(super) fn avx2<const R: usize>(
        planes: &[Plane],
        cols: usize,
        panel: usize,
        x: &[Row; R],
        sums: &mut impl Sums<R>,
    ) {
        // SAFETY: the function is compiled for these instructions.
        unsafe { all::<Avx2, R>(planes, cols, panel, x, sums) }
    }

    /// Pairs of products fit 16 bits, as codes have four bits at most; of eight bits they are two of four.
    struct Avx2;

    impl Add for Avx2 {
        #[inline(always)]
        unsafe fn add<const BITS: usize, const R: usize>(
            codes: &[[u8; LANES]],
            shift: u32,
            x: [&[i32; WORDS]; R],
            sums: &mut [[i32; LANES]; R],
        ) {
            // SAFETY: the caller's instructions; arrays are as long as what is read and written.
            unsafe {
                let (each, parts) = (8 / BITS, if BITS == 8 { 2 } else { 8 / BITS });
                let mask = _mm256_set1_epi8(((1u32 << BITS.min(4)) - 1) as i8);
                let mut own = [[_mm256_setzero_si256(); 2]; R];
                assert!(codes.len() >= 4 * BITS);
                for four in 0..BITS {
                    let of = |i: usize| _mm_loadu_si128(codes[4 * four + i].as_ptr().cast());
                    let [a, b, c, d] = [of(0), of(1), of(2), of(3)];
                    let low = [_mm_unpacklo_epi8(a, b), _mm_unpacklo_epi8(c, d)];
                    let high = [_mm_unpackhi_epi8(a, b), _mm_unpackhi_epi8(c, d)];
                    let bytes = [low, high].map(|[ab, cd]| {
                        _mm256_set_m128i(_mm_unpackhi_epi16(ab, cd), _mm_unpacklo_epi16(ab, cd))
                    });
                    for i in 0..parts {
                        let count = _mm_cvtsi32_si128((i * BITS.min(4)) as i32);
                        let worth = _mm256_set1_epi16(if BITS == 8 && i > 0 { 16 } else { 1 });
                        for (half, bytes) in bytes.into_iter().enumerate() {
                            let codes = _mm256_and_si256(_mm256_srl_epi16(bytes, count), mask);
                            for (own, x) in own.iter_mut().zip(x) {
                                let x = _mm256_set1_epi32(x[four * each + i % each]);
                                let pairs = _mm256_madd_epi16(_mm256_maddubs_epi16(codes, x), worth);
                                own[half] = _mm256_add_epi32(own[half], pairs);
                            }
                        }
                    }
                }
                for (own, sums) in own.into_iter().zip(sums) {
                    let (halves, count) = (sums.as_chunks_mut::<8>().0, _mm_cvtsi32_si128(shift as i32));
                    for (own, sums) in own.into_iter().zip(halves) {
                        let before = _mm256_loadu_si256(sums.as_ptr().cast());
                        let own = _mm256_sll_epi32(own, count);
                        _mm256_storeu_si256(sums.as_mut_ptr().cast(), _mm256_add_epi32(before, own));
                    }
                }
            }
        }
    }
}
