//! Codes with bytes by instructions that add four products at once, in floats of 32 bits: what
//! [`dots`](super::dots) and its sums do, with all of a block in registers.
use super::{
    super::prefetch::prefetch,
    codes::{Codes, Worth},
    dots::{AHEAD, BLOCK, Row, WORDS},
    panels::LANES,
    scales::Groups,
};
use crate::isa::{Isa, isa};
use std::arch::x86_64::*;

/// Codes that such products are for, and where their lists lie.
pub(super) struct Floats<'a> {
    cols: usize,
    bits: u32,
    /// Blocks that share scales.
    blocks: usize,
    lower: &'a [[u8; LANES]],
    upper: &'a [[u8; LANES]],
    worth: Worth<'a, f32>,
}

impl Floats<'_> {
    /// Nothing where the machine or the codes are others.
    pub(super) fn new(codes: &Codes<f32>) -> Option<Floats<'_>> {
        let there = isa() >= Isa::Avx512
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("avx512vbmi");
        // The bits of a second plane come above those of the first.
        let (lower, upper) = match &codes.planes[..] {
            [lower] => (lower, &[][..]),
            [lower, upper] => (lower, &upper.bytes[..]),
            _ => return None,
        };
        let each = if codes.group == 0 { codes.cols } else { codes.group };
        let (cols, bits, blocks) = (codes.cols, codes.bits, each.div_ceil(BLOCK));
        there.then(|| Floats { cols, bits, blocks, lower: &lower.bytes, upper, worth: codes.worth() })
    }

    /// A panel's codes in a plane of so many bits.
    #[inline(always)]
    fn plane<'a>(&self, all: &'a [[u8; LANES]], bits: usize, panel: usize) -> &'a [[u8; LANES]] {
        let width = self.cols.div_ceil(8 / bits);
        &all[panel * width..(panel + 1) * width]
    }
}

/// The sums of some rows with a panel of 16 outputs, which begin with `start`.
pub(super) fn sums<const R: usize>(
    codes: &Floats,
    panel: usize,
    x: &[Row; R],
    start: &[f32; LANES],
) -> [[f32; LANES]; R] {
    // SAFETY: the processor has what the functions are compiled for, as there are `Floats`.
    unsafe {
        match codes.bits {
            8 => all::<8, 0, R>(codes, panel, x, start),
            6 => all::<4, 2, R>(codes, panel, x, start),
            5 => all::<4, 1, R>(codes, panel, x, start),
            4 => all::<4, 0, R>(codes, panel, x, start),
            3 => all::<2, 1, R>(codes, panel, x, start),
            2 => all::<2, 0, R>(codes, panel, x, start),
            _ => all::<1, 0, R>(codes, panel, x, start),
        }
    }
}

/// Of codes with `A` bits in one plane, and `B` above them in another if that isn't 0.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
fn all<const A: usize, const B: usize, const R: usize>(
    codes: &Floats,
    panel: usize,
    x: &[Row; R],
    start: &[f32; LANES],
) -> [[f32; LANES]; R] {
    let count = codes.cols.div_ceil(BLOCK);
    let lower = codes.plane(codes.lower, A, panel);
    let upper = if B > 0 { codes.plane(codes.upper, B, panel) } else { &[] };
    let worth = &codes.worth;
    let first = _mm512_set1_ps(worth.first.unwrap_or(0) as f32);
    let (mut low, mut scale, mut offset) = (first, _mm512_set1_ps(1.0), _mm512_setzero_ps());
    let (mut place, mut next) = (worth.place(panel, 0), 0);
    // SAFETY: arrays are as long as what is read and written.
    unsafe {
        let mut sums = [_mm512_loadu_ps(start.as_ptr()); R];
        for block in 0..count {
            if block == next {
                if let Some(zeros) = worth.zeros {
                    let zeros = _mm512_cvtepu8_epi32(_mm_loadu_si128(zeros[place].as_ptr().cast()));
                    low = _mm512_sub_ps(first, _mm512_cvtepi32_ps(zeros));
                }
                if let Some(scales) = worth.scales {
                    scale = read(scales, place);
                }
                if let Some(offsets) = worth.offsets {
                    offset = read(offsets, place);
                }
                (place, next) = (place + 1, block + codes.blocks);
            }
            let mut dots = [_mm512_setzero_si512(); R];
            add::<A, R>(lower, block, x.map(|row| &row.bytes[block]), &mut dots);
            if B > 0 {
                let mut above = [_mm512_setzero_si512(); R];
                add::<B, R>(upper, block, x.map(|row| &row.bytes[count + block]), &mut above);
                for (dots, above) in dots.iter_mut().zip(above) {
                    let above = _mm512_sll_epi32(above, _mm_cvtsi32_si128(A as i32));
                    *dots = _mm512_add_epi32(*dots, above);
                }
            }
            for ((sums, dots), row) in sums.iter_mut().zip(dots).zip(x) {
                let step = _mm512_set1_ps(f32::from_bits(row.steps[block] as u32));
                let sum = _mm512_set1_ps(row.sums[block] as f32);
                let whole = _mm512_add_ps(_mm512_cvtepi32_ps(dots), _mm512_mul_ps(low, sum));
                let worth = _mm512_add_ps(_mm512_mul_ps(whole, scale), _mm512_mul_ps(offset, sum));
                *sums = _mm512_add_ps(*sums, _mm512_mul_ps(step, worth));
            }
        }
        let mut out = [[0.0; LANES]; R];
        for (out, sums) in out.iter_mut().zip(sums) {
            _mm512_storeu_ps(out.as_mut_ptr(), sums);
        }
        out
    }
}

/// # Safety
/// The machine must have AVX-512F.
#[inline(always)]
unsafe fn read(scales: Groups<'_, f32>, place: usize) -> __m512 {
    // SAFETY: the caller's instructions; each place has 16.
    unsafe {
        match scales {
            Groups::Full(all) => _mm512_loadu_ps(all[place].as_ptr()),
            Groups::F16(all) => _mm512_cvtph_ps(_mm256_loadu_si256(all[place].as_ptr().cast())),
        }
    }
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

/// Adds the products of a block's codes in a plane of `BITS` bits.
///
/// # Safety
/// The machine must have the instructions of [`all`].
#[inline(always)]
unsafe fn add<const BITS: usize, const R: usize>(
    codes: &[[u8; LANES]],
    block: usize,
    x: [&[i32; WORDS]; R],
    sums: &mut [__m512i; R],
) {
    let codes = &codes[4 * BITS * block..];
    let ahead = codes.as_ptr().cast::<u8>().wrapping_add(AHEAD);
    prefetch::<_, 3>(ahead, 64 * BITS);
    // The last block may be shorter.
    let mut rest;
    let codes = if codes.len() < 4 * BITS {
        rest = [[0; LANES]; BLOCK];
        rest[..codes.len()].copy_from_slice(codes);
        &rest
    } else {
        codes
    };
    let each = 8 / BITS;
    // SAFETY: the caller's instructions; there are as many codes as a block has, and a word for each four.
    unsafe {
        let turn = _mm512_loadu_si512(TURN.as_ptr().cast());
        let mask = _mm512_set1_epi8(((1u32 << BITS) - 1) as i8);
        // One for each four, since a sum waits for itself.
        let mut own = [[_mm512_setzero_si512(); 2]; R];
        for four in 0..BITS {
            // Four bytes of each row side by side.
            let bytes = _mm512_loadu_si512(codes.as_ptr().add(4 * four).cast());
            let bytes = _mm512_permutexvar_epi8(turn, bytes);
            for i in 0..each {
                let count = _mm_cvtsi32_si128((i * BITS) as i32);
                let codes = _mm512_and_si512(_mm512_srl_epi16(bytes, count), mask);
                for (own, x) in own.iter_mut().zip(x) {
                    let own = &mut own[four % 2];
                    *own = _mm512_dpbusd_epi32(*own, codes, _mm512_set1_epi32(x[four * each + i]));
                }
            }
        }
        for (sums, [a, b]) in sums.iter_mut().zip(own) {
            *sums = _mm512_add_epi32(*sums, _mm512_add_epi32(a, b));
        }
    }
}
