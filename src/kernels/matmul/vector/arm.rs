//! Vectors of NEON, which all 64-bit ARM processors have: 128 bits, and 32 registers.
use super::{Job, Vector};
use std::arch::aarch64::*;

vectors! {
    F32x4: 4 f32 in float32x4_t, "neon" {
        vdupq_n_f32 vld1q_f32 vst1q_f32 vaddq_f32 vmulq_f32
        mul_add(a, b, c) vfmaq_f32(c, a, b);
        sum(v) vpadds_f32(vadd_f32(vget_low_f32(v), vget_high_f32(v)));
        spread(v) [
            Self(vdupq_laneq_f32::<0>(v)),
            Self(vdupq_laneq_f32::<1>(v)),
            Self(vdupq_laneq_f32::<2>(v)),
            Self(vdupq_laneq_f32::<3>(v)),
        ];
        4 turn_4
    }
    F64x2: 2 f64 in float64x2_t, "neon" {
        vdupq_n_f64 vld1q_f64 vst1q_f64 vaddq_f64 vmulq_f64
        mul_add(a, b, c) vfmaq_f64(c, a, b);
        sum(v) vpaddd_f64(v);
        spread(v) {
            let (low, high) = (Self(vdupq_laneq_f64::<0>(v)), Self(vdupq_laneq_f64::<1>(v)));
            [low, high, low, high]
        };
        2 turn_2
    }
}

#[inline(always)]
unsafe fn turn_4(from: *const f32, step: isize, to: *mut f32, to_step: usize) {
    // SAFETY: every one of these processors has the instructions; the squares lie in bounds.
    unsafe {
        let (first, second) = (vld1q_f32(from), vld1q_f32(from.offset(step)));
        let (third, fourth) = (vld1q_f32(from.offset(2 * step)), vld1q_f32(from.offset(3 * step)));
        // Columns 0 and 2, 1 and 3 of two rows each, as pairs.
        let a = vreinterpretq_f64_f32(vtrn1q_f32(first, second));
        let b = vreinterpretq_f64_f32(vtrn2q_f32(first, second));
        let c = vreinterpretq_f64_f32(vtrn1q_f32(third, fourth));
        let d = vreinterpretq_f64_f32(vtrn2q_f32(third, fourth));
        let columns = [vtrn1q_f64(a, c), vtrn1q_f64(b, d), vtrn2q_f64(a, c), vtrn2q_f64(b, d)];
        for (i, column) in columns.into_iter().enumerate() {
            vst1q_f32(to.add(i * to_step), vreinterpretq_f32_f64(column));
        }
    }
}

#[inline(always)]
unsafe fn turn_2(from: *const f64, step: isize, to: *mut f64, to_step: usize) {
    // SAFETY: every one of these processors has the instructions; the squares lie in bounds.
    unsafe {
        let (a, b) = (vld1q_f64(from), vld1q_f64(from.offset(step)));
        vst1q_f64(to, vtrn1q_f64(a, b));
        vst1q_f64(to.add(to_step), vtrn2q_f64(a, b));
    }
}
