//! Products of rows of bytes, exact in 32 bits: four rows of weights meet one or more rows of inputs at a
//! time, so that each load is used several times.
use crate::isa::{Isa, isa};

/// Rows of weights at a time.
pub(crate) const TILE: usize = 4;

/// Most bytes of a row: 2¹⁷ products of up to 127² fit 32 bits.
pub(crate) const LONGEST: usize = 1 << 17;

/// Bytes that lie between the ends of inputs' rows and the beginnings of the next, so that rows of a power of
/// two don't all fall into the same places of the cache.
pub(crate) const GAP: usize = 64;

/// Whether there is vector code for it.
pub(crate) fn is_fast() -> bool {
    isa() > Isa::Portable
}

/// `out[k·rows + row] = Σ x[row]·w[k]` for rows of `n` bytes from -127 to 127, at most [`LONGEST`]; those of
/// `x` have a [`GAP`] behind them.
pub(crate) fn products(x: &[i8], n: usize, w: &[i8], out: &mut [i32]) {
    #[cfg(target_arch = "x86_64")]
    {
        if isa() >= Isa::Avx512 && is_x86_feature_detected!("avx512vnni") {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { x86::all_vnni(x, n, w, out) };
        }
        if isa() >= Isa::Avx2 {
            // SAFETY: isa() reports Avx2 only where the processor has it.
            return unsafe { x86::all_avx2(x, n, w, out) };
        }
    }
    #[cfg(target_arch = "aarch64")]
    if isa() == Isa::Neon {
        if std::arch::is_aarch64_feature_detected!("dotprod") {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { arm::all_dot(x, n, w, out) };
        }
        // SAFETY: every one of these processors has NEON.
        return unsafe { arm::all_neon(x, n, w, out) };
    }
    all(x, n, w, out);
}

/// The tiles of all rows, `$rows` rows of inputs at a time.
macro_rules! tiles {
    ($(#[$features:meta])* $all:ident, $tile:ident, $rows:literal) => {
        $(#[$features])*
        pub(super) fn $all(x: &[i8], n: usize, w: &[i8], out: &mut [i32]) {
            if n == 0 {
                return out.fill(0);
            }
            let stride = n + super::GAP;
            let rows = x.len() / stride;
            for (w, out) in w.chunks(super::TILE * n).zip(out.chunks_mut(super::TILE * rows.max(1))) {
                let last = w.len() / n - 1;
                // Fewer than four are made up to four by the last one.
                let weights = [0, 1, 2, 3].map(|k: usize| &w[k.min(last) * n..][..n]);
                let mut row = 0;
                while rows - row >= $rows {
                    let mut inputs = [&x[..n]; $rows];
                    for (i, input) in inputs.iter_mut().enumerate() {
                        *input = &x[(row + i) * stride..][..n];
                    }
                    let sums = $tile::<$rows>(&inputs, &weights, n);
                    for (i, sums) in sums.iter().enumerate() {
                        for (k, sum) in sums.iter().enumerate().take(last + 1) {
                            out[k * rows + row + i] = *sum;
                        }
                    }
                    row += $rows;
                }
                while row < rows {
                    let sums = $tile::<1>(&[&x[row * stride..][..n]], &weights, n);
                    for (k, sum) in sums[0].iter().enumerate().take(last + 1) {
                        out[k * rows + row] = *sum;
                    }
                    row += 1;
                }
            }
        }
    };
}

mod portable {
    tiles!(all, tile, 1);

    fn tile<const R: usize>(x: &[&[i8]; R], w: &[&[i8]; super::TILE], _: usize) -> [[i32; super::TILE]; R] {
        x.map(|x| w.map(|w| x.iter().zip(w).map(|(&a, &b)| i32::from(i16::from(a) * i16::from(b))).sum()))
    }
}
use portable::all;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::TILE;
    use std::arch::x86_64::*;

    tiles!(
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        all_vnni,
        vnni,
        4
    );
    tiles!(
        #[target_feature(enable = "avx2")]
        all_avx2,
        avx2,
        2
    );

    /// Unsigned times signed bytes: inputs are 128 more, and 128 times the sum of the weights is taken off
    /// again.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn vnni<const R: usize>(x: &[&[i8]; R], w: &[&[i8]; TILE], n: usize) -> [[i32; TILE]; R] {
        let mut sums = [[_mm512_setzero_si512(); TILE]; R];
        let mut excess = [_mm512_setzero_si512(); TILE];
        let (flip, more) = (_mm512_set1_epi8(i8::MIN), _mm512_set1_epi8(i8::MIN));
        let mut i = 0;
        while i < n {
            let left = n - i;
            let mask = if left >= 64 { !0 } else { (1u64 << left) - 1 };
            // SAFETY: the mask keeps what is read within the rows, which are n long.
            unsafe {
                let mut weights = [_mm512_setzero_si512(); TILE];
                for k in 0..TILE {
                    weights[k] = _mm512_maskz_loadu_epi8(mask, w[k].as_ptr().add(i));
                    excess[k] = _mm512_dpbusd_epi32(excess[k], more, weights[k]);
                }
                for r in 0..R {
                    let input = _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, x[r].as_ptr().add(i)), flip);
                    for k in 0..TILE {
                        sums[r][k] = _mm512_dpbusd_epi32(sums[r][k], input, weights[k]);
                    }
                }
            }
            i += 64;
        }
        let mut out = [[0; TILE]; R];
        for k in 0..TILE {
            for r in 0..R {
                out[r][k] = _mm512_reduce_add_epi32(_mm512_sub_epi32(sums[r][k], excess[k]));
            }
        }
        out
    }

    /// Magnitudes times weights with the inputs' signs: pairs of these products fit 16 bits.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn avx2<const R: usize>(x: &[&[i8]; R], w: &[&[i8]; TILE], n: usize) -> [[i32; TILE]; R] {
        let mut sums = [[_mm256_setzero_si256(); TILE]; R];
        let ones = _mm256_set1_epi16(1);
        let whole = n / 32 * 32;
        let mut i = 0;
        while i < whole {
            // SAFETY: i + 32 is at most n, the length of the rows.
            unsafe {
                for r in 0..R {
                    let input = _mm256_loadu_si256(x[r].as_ptr().add(i).cast());
                    let size = _mm256_abs_epi8(input);
                    for k in 0..TILE {
                        let weight = _mm256_loadu_si256(w[k].as_ptr().add(i).cast());
                        let pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(weight, input));
                        sums[r][k] = _mm256_add_epi32(sums[r][k], _mm256_madd_epi16(pairs, ones));
                    }
                }
            }
            i += 32;
        }
        let mut out = [[0; TILE]; R];
        for r in 0..R {
            for k in 0..TILE {
                let mut parts = [0i32; 8];
                // SAFETY: the array is as long as the vector.
                unsafe { _mm256_storeu_si256(parts.as_mut_ptr().cast(), sums[r][k]) };
                let rest = x[r][whole..].iter().zip(&w[k][whole..]);
                let rest: i32 = rest.map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
                out[r][k] = parts.iter().sum::<i32>() + rest;
            }
        }
        out
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use super::TILE;
    use std::arch::{aarch64::*, asm};

    tiles!(
        #[target_feature(enable = "neon,dotprod")]
        all_dot,
        dot,
        4
    );
    tiles!(
        #[target_feature(enable = "neon")]
        all_neon,
        neon,
        4
    );

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    fn dot<const R: usize>(x: &[&[i8]; R], w: &[&[i8]; TILE], n: usize) -> [[i32; TILE]; R] {
        sums::<R, true>(x, w, n)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn neon<const R: usize>(x: &[&[i8]; R], w: &[&[i8]; TILE], n: usize) -> [[i32; TILE]; R] {
        sums::<R, false>(x, w, n)
    }

    /// With `DOT`, only within functions that are compiled for dot products.
    #[inline(always)]
    fn sums<const R: usize, const DOT: bool>(
        x: &[&[i8]; R],
        w: &[&[i8]; TILE],
        n: usize,
    ) -> [[i32; TILE]; R] {
        let whole = n / 16 * 16;
        let mut out = [[0; TILE]; R];
        // SAFETY: i + 16 is at most n, the length of the rows; the instructions are those of the caller.
        unsafe {
            let mut sums = [[vdupq_n_s32(0); TILE]; R];
            for i in (0..whole).step_by(16) {
                let mut weights = [vdupq_n_s8(0); TILE];
                for k in 0..TILE {
                    weights[k] = vld1q_s8(w[k].as_ptr().add(i));
                }
                for r in 0..R {
                    let input = vld1q_s8(x[r].as_ptr().add(i));
                    for k in 0..TILE {
                        let (sum, weight) = (&mut sums[r][k], weights[k]);
                        if DOT {
                            // Four neighbours' products to each lane.
                            asm!(
                                "sdot {sum:v}.4s, {input:v}.16b, {weight:v}.16b",
                                sum = inout(vreg) *sum, input = in(vreg) input, weight = in(vreg) weight,
                                options(pure, nomem, nostack, preserves_flags)
                            );
                        } else {
                            // Two products of up to 127² fit 16 bits.
                            let low = vmull_s8(vget_low_s8(input), vget_low_s8(weight));
                            *sum = vpadalq_s16(*sum, vmlal_high_s8(low, input, weight));
                        }
                    }
                }
            }
            for r in 0..R {
                for k in 0..TILE {
                    out[r][k] = vaddvq_s32(sums[r][k]);
                }
            }
        }
        for r in 0..R {
            for k in 0..TILE {
                let rest = x[r][whole..].iter().zip(&w[k][whole..]);
                out[r][k] += rest.map(|(&a, &b)| i32::from(a) * i32::from(b)).sum::<i32>();
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_gives_the_exact_sums() {
        let byte = |i: usize| (((i * 2_654_435_761) >> 7) % 255) as i64 as i16;
        for (rows, outputs, n) in [(1, 4, 64), (3, 7, 100), (9, 5, 33), (4, 1, 1), (2, 3, 200), (0, 2, 5)] {
            let x: Vec<i8> = (0..rows * (n + GAP)).map(|i| (byte(i) - 127) as i8).collect();
            let w: Vec<i8> = (0..outputs * n).map(|i| (byte(i + 999) - 127) as i8).collect();
            let expected: Vec<i32> = (0..outputs * rows)
                .map(|i| {
                    let (w, x) = (&w[i / rows * n..][..n], &x[i % rows * (n + GAP)..][..n]);
                    w.iter().zip(x).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
                })
                .collect();
            type Way = unsafe fn(&[i8], usize, &[i8], &mut [i32]);
            #[allow(unused_mut, reason = "other ways are those of one processor")]
            let mut ways: Vec<Way> = vec![|x, n, w, out| all(x, n, w, out)];
            #[cfg(target_arch = "x86_64")]
            {
                if is_x86_feature_detected!("avx2") {
                    ways.push(x86::all_avx2);
                }
                if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bw") {
                    ways.push(x86::all_vnni);
                }
            }
            #[cfg(target_arch = "aarch64")]
            {
                ways.push(arm::all_neon);
                if std::arch::is_aarch64_feature_detected!("dotprod") {
                    ways.push(arm::all_dot);
                }
            }
            for (k, way) in ways.into_iter().enumerate() {
                let mut out = vec![0; outputs * rows];
                // SAFETY: only ways that the processor has.
                unsafe { way(&x, n, &w, &mut out) };
                assert_eq!(out, expected, "way {k}: {rows} rows, {outputs} outputs, {n} bytes");
            }
        }
    }

    /// The largest sums: nothing is cut off on the way.
    #[test]
    fn extremes_fit() {
        for sign in [-1i8, 1] {
            let (x, w) = (vec![127i8; 512 + GAP], vec![127 * sign; 512 * 4]);
            let mut out = [0; 4];
            products(&x, 512, &w, &mut out);
            assert_eq!(out, [512 * 127 * 127 * i32::from(sign); 4]);
        }
    }
}
