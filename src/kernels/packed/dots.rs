//! Products of codes with bytes, added in integers: 16 rows of a packed matrix side by side, 32 columns at a time.
use super::{super::prefetch::prefetch, panels::LANES, planes::Plane};
use std::ops::Range;

/// Neighbours of a row of bytes that share the size of a step.
pub(super) const BLOCK: usize = 32;
/// Words of four bytes in a block.
pub(super) const WORDS: usize = BLOCK / 4;
/// Blocks of columns at a time.
pub(super) const SOME: usize = 16;
/// Most planes of a code: 7 bits are 4, 2 and 1.
const PLANES: usize = 3;
/// How far ahead codes are asked for, in bytes: what is read by itself ends with each page of memory.
const AHEAD: usize = 4096;

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

/// For each block of 32 columns and each row of bytes its products with the codes of a panel's rows.
pub(super) fn dots<const R: usize>(
    planes: &[Plane],
    cols: usize,
    panel: usize,
    blocks: Range<usize>,
    x: &[Row; R],
    out: &mut [[[i32; LANES]; R]; SOME],
) {
    #[cfg(target_arch = "x86_64")]
    {
        use crate::isa::{Isa, isa};
        let bytes = || is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vbmi");
        if isa() >= Isa::Avx512 && bytes() {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { x86::vnni(planes, cols, panel, blocks, x, out) };
        }
        if isa() >= Isa::Avx2 {
            // SAFETY: isa() reports Avx2 only where the processor has it.
            return unsafe { x86::avx2(planes, cols, panel, blocks, x, out) };
        }
    }
    // SAFETY: it needs no special instructions.
    unsafe { all::<Plain, R>(planes, cols, panel, blocks, x, out) }
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
    blocks: Range<usize>,
    x: &[Row; R],
    out: &mut [[[i32; LANES]; R]; SOME],
) {
    let count = cols.div_ceil(BLOCK);
    let mut codes = [&[][..]; PLANES];
    for (codes, plane) in codes.iter_mut().zip(planes) {
        let width = cols.div_ceil((8 / plane.bits) as usize);
        *codes = &plane.bytes[panel * width..(panel + 1) * width];
    }
    for (block, sums) in blocks.zip(out) {
        *sums = [[0; LANES]; R];
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
                    8 => A::add::<8, R>(codes, plane.shift, x, sums),
                    4 => A::add::<4, R>(codes, plane.shift, x, sums),
                    2 => A::add::<2, R>(codes, plane.shift, x, sums),
                    _ => A::add::<1, R>(codes, plane.shift, x, sums),
                }
            }
        }
    }
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
        for (at, codes) in codes.iter().enumerate() {
            for i in 0..each {
                for (x, sums) in x.iter().zip(&mut *sums) {
                    let byte = x[at / 4 * each + i].to_le_bytes()[at % 4] as i8;
                    for (sum, code) in sums.iter_mut().zip(codes) {
                        let code = i32::from(code >> (i * BITS) & mask);
                        *sum += (code * i32::from(byte)) << shift;
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use crate::kernels::packed::dots::{Add, LANES, Plane, Range, Row, SOME, WORDS, all};
    use std::arch::x86_64::*;

    macro_rules! compiled {
        ($($name:ident $add:ident $features:literal)*) => {$(
            #[target_feature(enable = $features)]
            pub(super) fn $name<const R: usize>(
                planes: &[Plane],
                cols: usize,
                panel: usize,
                blocks: Range<usize>,
                x: &[Row; R],
                out: &mut [[[i32; LANES]; R]; SOME],
            ) {
                // SAFETY: the function is compiled for these instructions.
                unsafe { all::<$add, R>(planes, cols, panel, blocks, x, out) }
            }
        )*};
    }
    compiled! {
        vnni Vnni "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi"
        avx2 Avx2 "avx2"
    }

    /// Where the bytes of four columns are of 16 rows, row after row.
    const TURN: [u8; 4 * LANES] = {
        let mut turn = [0; 4 * LANES];
        let mut i = 0;
        while i < turn.len() {
            turn[i] = (i % 4 * LANES + i / 4) as u8;
            i += 1;
        }
        turn
    };

    /// Four products at once are added to each of 16 sums.
    struct Vnni;

    impl Add for Vnni {
        #[inline(always)]
        unsafe fn add<const BITS: usize, const R: usize>(
            codes: &[[u8; LANES]],
            shift: u32,
            x: [&[i32; WORDS]; R],
            sums: &mut [[i32; LANES]; R],
        ) {
            // SAFETY: the caller's instructions; arrays are as long as what is read and written.
            unsafe {
                let each = 8 / BITS;
                let mask = _mm512_set1_epi8(((1u32 << BITS) - 1) as i8);
                // Four bytes of each row side by side.
                let turn = _mm512_loadu_si512(TURN.as_ptr().cast());
                let mut own = [_mm512_setzero_si512(); R];
                assert!(codes.len() >= 4 * BITS);
                for four in 0..BITS {
                    let bytes = _mm512_loadu_si512(codes[4 * four..4 * four + 4].as_ptr().cast());
                    let bytes = _mm512_permutexvar_epi8(turn, bytes);
                    for i in 0..each {
                        let count = _mm_cvtsi32_si128((i * BITS) as i32);
                        let codes = _mm512_and_si512(_mm512_srl_epi16(bytes, count), mask);
                        for (own, x) in own.iter_mut().zip(x) {
                            *own = _mm512_dpbusd_epi32(*own, codes, _mm512_set1_epi32(x[four * each + i]));
                        }
                    }
                }
                for (own, sums) in own.into_iter().zip(sums) {
                    let before = _mm512_loadu_si512(sums.as_ptr().cast());
                    let own = _mm512_sll_epi32(own, _mm_cvtsi32_si128(shift as i32));
                    _mm512_storeu_si512(sums.as_mut_ptr().cast(), _mm512_add_epi32(before, own));
                }
            }
        }
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
            // SAFETY: as above.
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
