//! Vectors of floats for the products' inner loops, one type per instruction set and element.
//! Knows nothing of matrices.

/// Most lanes of vectors that have no instruction for some of them.
const FEW: usize = 4;

/// A register full of floats.
///
/// # Safety
/// All functions: the machine must have the type's instructions. Those with a pointer: it must be valid for
/// as many elements as the function touches.
pub trait Vector: Copy {
    type T: Copy + Default + From<u8>;
    const LANES: usize;
    /// `x` in every lane.
    unsafe fn splat(x: Self::T) -> Self;
    /// Reads `LANES` elements.
    unsafe fn load(p: *const Self::T) -> Self;
    /// Reads the first `n <= LANES` elements and nothing behind them; the other lanes are zero.
    #[inline(always)]
    unsafe fn load_first(p: *const Self::T, n: usize) -> Self {
        const { assert!(Self::LANES <= FEW) }
        let mut lanes = [Self::T::default(); FEW];
        for (i, lane) in lanes.iter_mut().enumerate().take(n) {
            // SAFETY: the caller's pointer has n elements.
            *lane = unsafe { *p.add(i) };
        }
        // SAFETY: there are as many lanes and more.
        unsafe { Self::load(lanes.as_ptr()) }
    }
    /// Writes `LANES` elements.
    unsafe fn store(self, p: *mut Self::T);
    /// Writes the first `n <= LANES` elements and nothing behind them.
    #[inline(always)]
    unsafe fn store_first(self, p: *mut Self::T, n: usize) {
        const { assert!(Self::LANES <= FEW) }
        let mut lanes = [Self::T::default(); FEW];
        // SAFETY: there are as many lanes and more.
        unsafe { self.store(lanes.as_mut_ptr()) };
        for (i, lane) in lanes.into_iter().enumerate().take(n) {
            // SAFETY: the caller's pointer has n elements.
            unsafe { *p.add(i) = lane };
        }
    }
    /// Whether a multiply-add can take one lane of a vector for all of them, so that `spread` costs nothing.
    const BY_LANE: bool = false;
    /// Each of the first four lanes, as far as there are as many, in all lanes of a vector of its own.
    unsafe fn spread(self) -> [Self; 4] {
        [self; 4]
    }
    /// Some bits of `LANES` bytes, as numbers.
    #[inline(always)]
    unsafe fn small(p: *const u8, shift: u32, mask: u8) -> Self {
        const { assert!(Self::LANES <= FEW) }
        let mut lanes = [Self::T::default(); FEW];
        for (i, lane) in lanes.iter_mut().enumerate().take(Self::LANES) {
            // SAFETY: the caller's pointer has as many bytes.
            *lane = unsafe { *p.add(i) >> shift & mask }.into();
        }
        // SAFETY: there are as many lanes and more.
        unsafe { Self::load(lanes.as_ptr()) }
    }
    unsafe fn add(self, b: Self) -> Self;
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
pub trait Job {
    /// # Safety
    /// The machine must have the instructions of the job's vectors; the rest is said there.
    unsafe fn run(&self);
}

/// Implements [`Vector`] by intrinsics.
#[allow(unused_macros, reason = "some targets have none")]
macro_rules! vectors {
    ($($name:ident: $lanes:literal $t:ident in $raw:ident, $features:literal {
        $splat:ident $load:ident $store:ident $add:ident $mul:ident
        mul_add($fa:ident, $fb:ident, $fc:ident) $mul_add:expr;
        $(
            first($p:ident, $n:ident) $load_first:expr;
            put($v:ident, $q:ident, $m:ident) $store_first:expr;
            small($bytes:ident, $shift:ident, $mask:ident) $small:expr;
        )?
        sum($x:ident) $sum:expr;
        $(spread($s:ident) $spread:expr;)?
        $square:literal $transpose:path
    })*) => {$(
        #[derive(Clone, Copy)]
        pub(in crate::kernels::matmul) struct $name($raw);

        // SAFETY of the unsafe blocks: the trait's contract is that of the instructions.
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
            unsafe fn store(self, p: *mut $t) {
                unsafe { $store(p, self.0) }
            }
            $(
                #[inline(always)]
                unsafe fn load_first($p: *const $t, $n: usize) -> Self {
                    unsafe { Self($load_first) }
                }
                #[inline(always)]
                unsafe fn store_first(self, $q: *mut $t, $m: usize) {
                    let $v = self.0;
                    unsafe { $store_first }
                }
                #[inline(always)]
                unsafe fn small($bytes: *const u8, $shift: u32, $mask: u8) -> Self {
                    unsafe { Self($small) }
                }
            )?
            $(
                const BY_LANE: bool = true;
                #[inline(always)]
                unsafe fn spread(self) -> [Self; 4] {
                    let $s = self.0;
                    unsafe { $spread }
                }
            )?
            #[inline(always)]
            unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                let ($fa, $fb, $fc) = (self.0, b.0, c.0);
                unsafe { Self($mul_add) }
            }
            #[inline(always)]
            unsafe fn add(self, b: Self) -> Self {
                unsafe { Self($add(self.0, b.0)) }
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

/// Turns a square of `N` rows, element by element.
#[inline(always)]
unsafe fn turn<T: Copy, const N: usize>(from: *const T, from_step: isize, to: *mut T, to_step: usize) {
    for j in 0..N {
        for i in 0..N {
            // SAFETY: the caller's squares lie in bounds.
            unsafe { *to.add(i * to_step + j) = *from.offset(j as isize * from_step + i as isize) };
        }
    }
}

#[cfg(target_arch = "aarch64")]
pub(super) mod arm;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[allow(unused_unsafe, reason = "only its intrinsics with pointers are unsafe")]
pub(super) mod wasm;
#[cfg(target_arch = "x86_64")]
pub(super) mod x86;

/// 128 bits of whatever vectors the target has, left to the compiler, which finds few of them; with `EXACT`,
/// multiply-adds are fused where that is no instruction, too.
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
            unsafe fn store(self, p: *mut $t) {
                unsafe { p.cast::<[$t; $lanes]>().write(self.0) }
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
            unsafe fn add(self, b: Self) -> Self {
                Self(std::array::from_fn(|i| self.0[i] + b.0[i]))
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
                unsafe { turn::<$t, $lanes>(from, from_step, to, to_step) }
            }
            #[inline(never)]
            unsafe fn run(job: &impl Job) {
                unsafe { job.run() }
            }
        }
    )*};
}

plain! { f32 4 f64 2 }
