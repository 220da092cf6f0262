//! Vectors of WebAssembly's `simd128`, without fused multiply-adds.
use super::{Job, Vector, turn};
use std::arch::wasm32::*;

vectors! {
    F32x4: 4 f32 in v128, "simd128" {
        f32x4_splat load store f32x4_add f32x4_mul
        mul_add(a, b, c) f32x4_add(f32x4_mul(a, b), c);
        sum(v) {
            let two = f32x4_add(v, i64x2_shuffle::<1, 0>(v, v));
            f32x4_extract_lane::<0>(two) + f32x4_extract_lane::<1>(two)
        };
        4 turn::<f32, 4>
    }
    F64x2: 2 f64 in v128, "simd128" {
        f64x2_splat load store f64x2_add f64x2_mul
        mul_add(a, b, c) f64x2_add(f64x2_mul(a, b), c);
        sum(v) f64x2_extract_lane::<0>(v) + f64x2_extract_lane::<1>(v);
        2 turn::<f64, 2>
    }
}

#[inline(always)]
unsafe fn load<T>(p: *const T) -> v128 {
    // SAFETY: the caller's pointer has 16 bytes.
    unsafe { v128_load(p.cast()) }
}

#[inline(always)]
unsafe fn store<T>(p: *mut T, v: v128) {
    // SAFETY: the caller's pointer has 16 bytes.
    unsafe { v128_store(p.cast(), v) }
}
