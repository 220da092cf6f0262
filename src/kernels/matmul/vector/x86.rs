//! Vectors of x86-64: SSE2, which all of these processors have, AVX2 and AVX-512.
use super::{Job, Vector};
use std::arch::x86_64::*;

vectors! {
    F32x16: 16 f32 in __m512, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma" {
        _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_add_ps _mm512_mul_ps
        mul_add(a, b, c) _mm512_fmadd_ps(a, b, c);
        first(p, n) _mm512_maskz_loadu_ps(((1_u32 << n) - 1) as __mmask16, p);
        put(v, p, n) _mm512_mask_storeu_ps(p, ((1_u32 << n) - 1) as __mmask16, v);
        small(p, shift, mask) {
            let (bytes, mask) = (_mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast())), _mm512_set1_epi32(mask.into()));
            let shift = _mm_cvtsi32_si128(shift as i32);
            _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srl_epi32(bytes, shift), mask))
        };
        sum(v) _mm512_reduce_add_ps(v);
        8 transpose_8
    }
    F64x8: 8 f64 in __m512d, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma" {
        _mm512_set1_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_add_pd _mm512_mul_pd
        mul_add(a, b, c) _mm512_fmadd_pd(a, b, c);
        first(p, n) _mm512_maskz_loadu_pd(((1_u32 << n) - 1) as __mmask8, p);
        put(v, p, n) _mm512_mask_storeu_pd(p, ((1_u32 << n) - 1) as __mmask8, v);
        small(p, shift, mask) _mm512_cvtepi32_pd(eight(p, shift, mask));
        sum(v) _mm512_reduce_add_pd(v);
        4 transpose_4
    }
    F32x8: 8 f32 in __m256, "avx2,fma" {
        _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_add_ps _mm256_mul_ps
        mul_add(a, b, c) _mm256_fmadd_ps(a, b, c);
        first(p, n) _mm256_maskload_ps(p, first_of_8(n));
        put(v, p, n) _mm256_maskstore_ps(p, first_of_8(n), v);
        small(p, shift, mask) _mm256_cvtepi32_ps(eight(p, shift, mask));
        sum(v) sum_of_4(_mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v)));
        8 transpose_8
    }
    F64x4: 4 f64 in __m256d, "avx2,fma" {
        _mm256_set1_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_add_pd _mm256_mul_pd
        mul_add(a, b, c) _mm256_fmadd_pd(a, b, c);
        first(p, n) _mm256_maskload_pd(p, first_of_4(n));
        put(v, p, n) _mm256_maskstore_pd(p, first_of_4(n), v);
        small(p, shift, mask) {
            let (bytes, mask) = (_mm_cvtepu8_epi32(_mm_loadu_si32(p)), _mm_set1_epi32(mask.into()));
            let shift = _mm_cvtsi32_si128(shift as i32);
            _mm256_cvtepi32_pd(_mm_and_si128(_mm_srl_epi32(bytes, shift), mask))
        };
        sum(v) sum_of_2(_mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd::<1>(v)));
        4 transpose_4
    }
    // Without fused multiply-adds.
    F32x4: 4 f32 in __m128, "sse2" {
        _mm_set1_ps _mm_loadu_ps _mm_storeu_ps _mm_add_ps _mm_mul_ps
        mul_add(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c);
        sum(v) sum_of_4(v);
        4 turn_4
    }
    F64x2: 2 f64 in __m128d, "sse2" {
        _mm_set1_pd _mm_loadu_pd _mm_storeu_pd _mm_add_pd _mm_mul_pd
        mul_add(a, b, c) _mm_add_pd(_mm_mul_pd(a, b), c);
        sum(v) sum_of_2(v);
        2 turn_2
    }
}

/// Some bits of eight bytes.
#[inline(always)]
unsafe fn eight(p: *const u8, shift: u32, mask: u8) -> __m256i {
    // SAFETY: only called from AVX2 code, for bytes that are there.
    unsafe {
        let (bytes, mask) = (_mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast())), _mm256_set1_epi32(mask.into()));
        _mm256_and_si256(_mm256_srl_epi32(bytes, _mm_cvtsi32_si128(shift as i32)), mask)
    }
}

/// Halves onto each other.
#[inline(always)]
unsafe fn sum_of_4(v: __m128) -> f32 {
    // SAFETY: every x86-64 machine has these.
    unsafe {
        let two = _mm_add_ps(v, _mm_movehl_ps(v, v));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }
}

#[inline(always)]
unsafe fn sum_of_2(v: __m128d) -> f64 {
    // SAFETY: every x86-64 machine has these.
    unsafe { _mm_cvtsd_f64(_mm_add_sd(v, _mm_unpackhi_pd(v, v))) }
}

#[inline(always)]
unsafe fn turn_4(from: *const f32, step: isize, to: *mut f32, to_step: usize) {
    // SAFETY: every x86-64 machine has these; the squares lie in bounds.
    unsafe {
        let (mut a, mut b) = (_mm_loadu_ps(from), _mm_loadu_ps(from.offset(step)));
        let (mut c, mut d) = (_mm_loadu_ps(from.offset(2 * step)), _mm_loadu_ps(from.offset(3 * step)));
        _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
        for (i, row) in [a, b, c, d].into_iter().enumerate() {
            _mm_storeu_ps(to.add(i * to_step), row);
        }
    }
}

#[inline(always)]
unsafe fn turn_2(from: *const f64, step: isize, to: *mut f64, to_step: usize) {
    // SAFETY: every x86-64 machine has these; the squares lie in bounds.
    unsafe {
        let (a, b) = (_mm_loadu_pd(from), _mm_loadu_pd(from.offset(step)));
        _mm_storeu_pd(to, _mm_unpacklo_pd(a, b));
        _mm_storeu_pd(to.add(to_step), _mm_unpackhi_pd(a, b));
    }
}

#[inline(always)]
unsafe fn first_of_8(n: usize) -> __m256i {
    // SAFETY: only called from AVX2 code.
    unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
}

#[inline(always)]
unsafe fn first_of_4(n: usize) -> __m256i {
    // SAFETY: only called from AVX2 code.
    unsafe { _mm256_cmpgt_epi64(_mm256_set1_epi64x(n as i64), _mm256_setr_epi64x(0, 1, 2, 3)) }
}

// No closures here: one that the compiler doesn't inline would lose the caller's instructions.
#[inline(always)]
unsafe fn transpose_8(from: *const f32, step: isize, to: *mut f32, to_step: usize) {
    // SAFETY: only called from AVX2 code, for squares that lie in bounds.
    unsafe {
        let low = four_rows(from, step);
        let high = four_rows(from.offset(4 * step), step);
        for i in 0..4 {
            _mm256_storeu_ps(to.add(i * to_step), _mm256_permute2f128_ps::<0x20>(low[i], high[i]));
            _mm256_storeu_ps(to.add((i + 4) * to_step), _mm256_permute2f128_ps::<0x31>(low[i], high[i]));
        }
    }
}

/// Vector i holds columns i and i + 4 of four rows of eight.
#[inline(always)]
unsafe fn four_rows(from: *const f32, step: isize) -> [__m256; 4] {
    // SAFETY: the caller's.
    unsafe {
        let first = _mm256_loadu_ps(from);
        let second = _mm256_loadu_ps(from.offset(step));
        let third = _mm256_loadu_ps(from.offset(2 * step));
        let fourth = _mm256_loadu_ps(from.offset(3 * step));
        let (a, b) = (_mm256_unpacklo_ps(first, second), _mm256_unpackhi_ps(first, second));
        let (c, d) = (_mm256_unpacklo_ps(third, fourth), _mm256_unpackhi_ps(third, fourth));
        [
            _mm256_shuffle_ps::<0x44>(a, c),
            _mm256_shuffle_ps::<0xee>(a, c),
            _mm256_shuffle_ps::<0x44>(b, d),
            _mm256_shuffle_ps::<0xee>(b, d),
        ]
    }
}

#[inline(always)]
unsafe fn transpose_4(from: *const f64, step: isize, to: *mut f64, to_step: usize) {
    // SAFETY: only called from AVX2 code, for squares that lie in bounds.
    unsafe {
        let first = _mm256_loadu_pd(from);
        let second = _mm256_loadu_pd(from.offset(step));
        let third = _mm256_loadu_pd(from.offset(2 * step));
        let fourth = _mm256_loadu_pd(from.offset(3 * step));
        let (a, b) = (_mm256_unpacklo_pd(first, second), _mm256_unpackhi_pd(first, second));
        let (c, d) = (_mm256_unpacklo_pd(third, fourth), _mm256_unpackhi_pd(third, fourth));
        _mm256_storeu_pd(to, _mm256_permute2f128_pd::<0x20>(a, c));
        _mm256_storeu_pd(to.add(to_step), _mm256_permute2f128_pd::<0x20>(b, d));
        _mm256_storeu_pd(to.add(2 * to_step), _mm256_permute2f128_pd::<0x31>(a, c));
        _mm256_storeu_pd(to.add(3 * to_step), _mm256_permute2f128_pd::<0x31>(b, d));
    }
}
