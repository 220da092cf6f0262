//! Memory that is asked for before it is needed.

/// Asks for elements that will soon be needed to be brought near; none of them is read.
#[inline(always)]
pub(super) fn prefetch<T, const HINT: i32>(data: *const T, len: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..len * size_of::<T>()).step_by(64) {
        use std::arch::x86_64::_mm_prefetch;
        // SAFETY: every x86-64 machine has the instruction, and it reads nothing, whatever the address.
        unsafe { _mm_prefetch::<HINT>(data.cast::<i8>().wrapping_add(line)) };
    }
    // Elsewhere there is no stable way to ask.
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (data, len);
}
