//! Vectors of floats for the products' inner loops, one type per instruction set and element.
//! Knows nothing of matrices.
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A register full of floats.
///
/// # Safety
/// All functions: the machine must have the type's instructions. Those with a pointer: it must be valid for
/// as many elements as the function touches.
pub(super) trait Vector: Copy {
    type T: Copy;
    const LANES: usize;
    /// `x` in every lane.
    unsafe fn splat(x: Self::T) -> Self;
    /// Reads `LANES` elements.
    unsafe fn load(p: *const Self::T) -> Self;
    /// Reads the first `n <= LANES` elements and nothing behind them; the other lanes are zero.
    unsafe fn load_first(p: *const Self::T, n: usize) -> Self;
    /// Writes `LANES` elements.
    unsafe fn store(self, p: *mut Self::T);
    /// Writes the first `n <= LANES` elements and nothing behind them.
    unsafe fn store_first(self, p: *mut Self::T, n: usize);
    /// `self * b + c`.
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    unsafe fn mul(self, b: Self) -> Self;
    /// The sum of all lanes, in a fixed order.
    unsafe fn sum(self) -> Self::T;
    /// Side of the squares that `transpose` turns.
    const SQUARE: usize;
    /// `to[i * to_step + j] = from[j * from_step + i]` for a square.
    unsafe fn transpose(from: *const Self::T, from_step: isize, to: *mut Self::T, to_step: usize);
    /// Does a job in a function of its own that is compiled for the type's instructions. (The one with the
    /// instructions would be inlined in spite of `inline(never)`, which the compiler drops there.)
    unsafe fn run(job: &impl Job);
}

/// A piece of a kernel that isn't inlined: code that is takes part in the optimisation of every function around
/// it, one after the other, which was a third of the time that the crate took to compile.
pub(super) trait Job {
    /// # Safety
    /// The machine must have the instructions of the job's vectors; the rest is said there.
    unsafe fn run(&self);
}

macro_rules! x86 {
    ($($name:ident $t:ident $lanes:literal $raw:ident $features:literal {
        $splat:ident $load:ident $store:ident $fma:ident $mul:ident
        first($p:ident, $n:ident) $load_first:expr;
        put($v:ident, $q:ident, $m:ident) $store_first:expr;
        sum($x:ident) $sum:expr;
        $square:literal $transpose:ident
    })*) => {$(
        #[cfg(target_arch = "x86_64")]
        #[derive(Clone, Copy)]
        pub(super) struct $name($raw);

        // SAFETY of the unsafe blocks: the trait's contract is that of the instructions.
        #[cfg(target_arch = "x86_64")]
        impl Vector for $name {
            type T = $t;
            const LANES: usize = $lanes;
            #[inline(always)]
            unsafe fn splat(x: $t) -> Self {
                unsafe { Self($splat(x)) }
            }
            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self {
                unsafe { Self($load(p)) }
            }
            #[inline(always)]
            unsafe fn load_first($p: *const $t, $n: usize) -> Self {
                unsafe { Self($load_first) }
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                unsafe { $store(p, self.0) }
            }
            #[inline(always)]
            unsafe fn store_first(self, $q: *mut $t, $m: usize) {
                let $v = self.0;
                unsafe { $store_first }
            }
            #[inline(always)]
            unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                unsafe { Self($fma(self.0, b.0, c.0)) }
            }
            #[inline(always)]
            unsafe fn mul(self, b: Self) -> Self {
                unsafe { Self($mul(self.0, b.0)) }
            }
            #[inline(always)]
            unsafe fn sum(self) -> $t {
                let $x = self.0;
                unsafe { $sum }
            }
            const SQUARE: usize = $square;
            #[inline(always)]
            unsafe fn transpose(from: *const $t, from_step: isize, to: *mut $t, to_step: usize) {
                unsafe { $transpose(from, from_step, to, to_step) }
            }
            #[inline(never)]
            unsafe fn run(job: &impl Job) {
                #[target_feature(enable = $features)]
                unsafe fn outlined(job: &impl Job) {
                    unsafe { job.run() }
                }
                unsafe { outlined(job) }
            }
        }
    )*};
}

x86! {
    F32x16 f32 16 __m512 "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma" {
        _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_fmadd_ps _mm512_mul_ps
        first(p, n) _mm512_maskz_loadu_ps(((1_u32 << n) - 1) as __mmask16, p);
        put(v, p, n) _mm512_mask_storeu_ps(p, ((1_u32 << n) - 1) as __mmask16, v);
        sum(v) _mm512_reduce_add_ps(v);
        8 transpose_8
    }
    F64x8 f64 8 __m512d "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma" {
        _mm512_set1_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_fmadd_pd _mm512_mul_pd
        first(p, n) _mm512_maskz_loadu_pd(((1_u32 << n) - 1) as __mmask8, p);
        put(v, p, n) _mm512_mask_storeu_pd(p, ((1_u32 << n) - 1) as __mmask8, v);
        sum(v) _mm512_reduce_add_pd(v);
        4 transpose_4
    }
    F32x8 f32 8 __m256 "avx2,fma" {
        _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_fmadd_ps _mm256_mul_ps
        first(p, n) _mm256_maskload_ps(p, first_of_8(n));
        put(v, p, n) _mm256_maskstore_ps(p, first_of_8(n), v);
        sum(v) {
            let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        };
        8 transpose_8
    }
    F64x4 f64 4 __m256d "avx2,fma" {
        _mm256_set1_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_fmadd_pd _mm256_mul_pd
        first(p, n) _mm256_maskload_pd(p, first_of_4(n));
        put(v, p, n) _mm256_maskstore_pd(p, first_of_4(n), v);
        sum(v) {
            let two = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd::<1>(v));
            _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
        };
        4 transpose_4
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn first_of_8(n: usize) -> __m256i {
    // SAFETY: only called from AVX2 code.
    unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn first_of_4(n: usize) -> __m256i {
    // SAFETY: only called from AVX2 code.
    unsafe { _mm256_cmpgt_epi64(_mm256_set1_epi64x(n as i64), _mm256_setr_epi64x(0, 1, 2, 3)) }
}

// No closures here: one that the compiler doesn't inline would lose the caller's instructions.
#[cfg(target_arch = "x86_64")]
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
#[cfg(target_arch = "x86_64")]
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

#[cfg(target_arch = "x86_64")]
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

/// 128 bits of whatever vectors the target has, left to the compiler; with `EXACT`, multiply-adds are fused
/// where that is no instruction, too.
#[derive(Clone, Copy)]
pub(super) struct Plain<T, const N: usize, const EXACT: bool>([T; N]);

macro_rules! plain {
    ($($t:ident $lanes:literal)*) => {$(
        // SAFETY of the unsafe blocks: the trait's contract on pointers; no special instructions are needed.
        impl<const EXACT: bool> Vector for Plain<$t, $lanes, EXACT> {
            type T = $t;
            const LANES: usize = $lanes;
            #[inline(always)]
            unsafe fn splat(x: $t) -> Self {
                Self([x; $lanes])
            }
            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self {
                unsafe { Self(p.cast::<[$t; $lanes]>().read()) }
            }
            #[inline(always)]
            unsafe fn load_first(p: *const $t, n: usize) -> Self {
                Self(std::array::from_fn(|i| if i < n { unsafe { *p.add(i) } } else { 0.0 }))
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                unsafe { p.cast::<[$t; $lanes]>().write(self.0) }
            }
            #[inline(always)]
            unsafe fn store_first(self, p: *mut $t, n: usize) {
                for (i, x) in self.0.into_iter().enumerate().take(n) {
                    unsafe { *p.add(i) = x }
                }
            }
            #[inline(always)]
            unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                Self(std::array::from_fn(|i| {
                    // Where it isn't an instruction, the fused form is a slow library call.
                    if EXACT || cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                        self.0[i].mul_add(b.0[i], c.0[i])
                    } else {
                        self.0[i] * b.0[i] + c.0[i]
                    }
                }))
            }
            #[inline(always)]
            unsafe fn mul(self, b: Self) -> Self {
                Self(std::array::from_fn(|i| self.0[i] * b.0[i]))
            }
            #[inline(always)]
            unsafe fn sum(self) -> $t {
                let (mut lanes, mut width) = (self.0, $lanes);
                while width > 1 {
                    width /= 2;
                    for i in 0..width {
                        lanes[i] += lanes[i + width];
                    }
                }
                lanes[0]
            }
            const SQUARE: usize = $lanes;
            #[inline(always)]
            unsafe fn transpose(from: *const $t, from_step: isize, to: *mut $t, to_step: usize) {
                for j in 0..$lanes {
                    for i in 0..$lanes {
                        unsafe { *to.add(i * to_step + j) = *from.offset(j as isize * from_step + i as isize) }
                    }
                }
            }
            #[inline(never)]
            unsafe fn run(job: &impl Job) {
                unsafe { job.run() }
            }
        }
    )*};
}

plain! { f32 4 f64 2 }
