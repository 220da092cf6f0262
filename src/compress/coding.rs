//! The binary arithmetic coder and the adaptive predictor that feeds it, in integers only, so that every
//! machine writes and reads the same bytes. What is predicted from what (the contexts) is in `models`.
//!
//! A model is written once, over [`BitCoder`]: with an [`Encoder`] it writes its bits, with a [`Decoder`] the
//! same code reads them back, so that the two can't drift apart. What is decoded by running a network besides
//! begins with the [`ArithmeticVersion`] that it runs on.
pub use crate::arithmetic::ArithmeticVersion;

/// Bits of a probability as the coder takes it: `p / 65536` that the next bit is one.
const PROBABILITY_BITS: u32 = 16;
/// A probability of one half.
const HALF: u32 = 1 << (PROBABILITY_BITS - 1);
/// The predictor never claims more certainty than `1 - FLOOR / 65536`, about 0.0014 bits for a sure thing.
const FLOOR: i32 = 64;
/// More decisions than this never come out of one byte: `8 / -log2(1 - 64 / 65536)`, rounded up.
const DECISIONS_PER_BYTE: u64 = 5_680;
/// Zero bytes that an encoder may leave out at the end. A limit, so that a length says how much can be
/// inside.
const TRIM: usize = 4;

/// The most decisions of a [`Predictor`] that `bytes` bytes can hold: what claims more is damaged.
pub(crate) fn max_decisions(bytes: usize) -> u64 {
    (bytes as u64 + 8).saturating_mul(DECISIONS_PER_BYTE)
}

/// One direction of the coder. An encoder writes `bit` and returns it; a decoder ignores it and returns the
/// bit that it read. `p1` is the probability of a one, in 65536ths, from 1 to 65535.
pub trait BitCoder {
    /// Codes one binary decision.
    fn code(&mut self, bit: bool, p1: u32) -> bool;

    /// Codes the low `count` bits of `value`, highest first, at one bit each.
    fn code_raw(&mut self, value: u64, count: u32) -> u64 {
        (0..count).rev().fold(0, |read, i| read << 1 | u64::from(self.code(value >> i & 1 == 1, HALF)))
    }

    /// Whether a decoder has been asked for more than its bytes can hold. Loops ask now and then, to stop
    /// early.
    fn exhausted(&self) -> bool {
        false
    }
}

/// Writes decisions into bytes: a range coder with a 32-bit range and carry propagation.
///
/// ```
/// use kolmo::compress::coding::{BitCoder, Decoder, Encoder};
///
/// let mut encoder = Encoder::new();
/// for i in 0..1000 {
///     encoder.code(i % 100 == 0, 655); // a one in a hundred
/// }
/// let bytes = encoder.finish();
/// assert!(bytes.len() <= 12); // 1000 decisions of 0.08 bits
/// let mut decoder = Decoder::new(&bytes);
/// assert!((0..1000).all(|i| decoder.code(false, 655) == (i % 100 == 0)));
/// ```
#[derive(Debug)]
pub struct Encoder {
    low: u64,
    range: u32,
    out: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        Encoder::new()
    }
}

impl Encoder {
    /// An encoder that has written nothing.
    pub fn new() -> Encoder {
        Encoder { low: 0, range: u32::MAX, out: Vec::new() }
    }

    /// Whole bytes written so far; some bits are still in the coder's state.
    pub fn written(&self) -> usize {
        self.out.len()
    }

    /// Ends the stream in as few bytes as possible. The decoder reads zeros behind the end, so the number in
    /// the final interval with the most trailing zeros is taken, and up to four zero bytes are left out.
    pub fn finish(mut self) -> Vec<u8> {
        const STEP: u64 = 1 << 24; // the range is at least this, so a multiple of it lies inside
        let target = (self.low + STEP - 1) & !(STEP - 1);
        self.low = if self.low + u64::from(self.range) > 1 << 32 { 1 << 32 } else { target };
        self.carry();
        self.out.push((self.low >> 24) as u8);
        for _ in 0..TRIM {
            if self.out.last() == Some(&0) {
                self.out.pop();
            }
        }
        self.out
    }

    /// Moves an overflow of `low` into the bytes already written.
    fn carry(&mut self) {
        if self.low >> 32 != 0 {
            self.low &= 0xffff_ffff;
            for byte in self.out.iter_mut().rev() {
                *byte = byte.wrapping_add(1);
                if *byte != 0 {
                    break;
                }
            }
        }
    }
}

impl BitCoder for Encoder {
    fn code(&mut self, bit: bool, p1: u32) -> bool {
        let bound = split(self.range, p1);
        if bit {
            self.range = bound;
        } else {
            self.low += u64::from(bound);
            self.range -= bound;
            self.carry();
        }
        while self.range < 1 << 24 {
            self.out.push((self.low >> 24) as u8);
            self.low = self.low << 8 & 0xffff_ffff;
            self.range <<= 8;
        }
        bit
    }
}

/// The part of the range that stands for a one: never empty and never all of it, as `range >= 2^24`.
#[inline]
fn split(range: u32, p1: u32) -> u32 {
    ((u64::from(range) * u64::from(p1.clamp(1, 65_535))) >> PROBABILITY_BITS) as u32
}

/// Reads the decisions of an [`Encoder`] back, given the same probabilities. Any bytes decode to something;
/// [`Decoder::exhausted`](BitCoder::exhausted) and [`Decoder::unread`] tell whether they can have been meant
/// so.
#[derive(Debug)]
pub struct Decoder<'a> {
    code: u32,
    range: u32,
    bytes: &'a [u8],
    /// Bytes taken, counting the zeros behind the end.
    taken: usize,
}

impl<'a> Decoder<'a> {
    /// A decoder at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Decoder<'a> {
        let mut decoder = Decoder { code: 0, range: u32::MAX, bytes, taken: 0 };
        for _ in 0..4 {
            decoder.shift();
        }
        decoder
    }

    /// Bytes that no decision has looked at yet: more than 0 after the last decision means a wrong length.
    pub fn unread(&self) -> usize {
        self.bytes.len().saturating_sub(self.taken)
    }

    fn shift(&mut self) {
        self.code = self.code << 8 | u32::from(self.bytes.get(self.taken).copied().unwrap_or(0));
        self.taken += 1;
    }
}

impl BitCoder for Decoder<'_> {
    fn code(&mut self, _: bool, p1: u32) -> bool {
        let bound = split(self.range, p1);
        let bit = self.code < bound;
        if bit {
            self.range = bound;
        } else {
            self.code -= bound;
            self.range -= bound;
        }
        while self.range < 1 << 24 {
            self.shift();
            self.range <<= 8;
        }
        bit
    }

    /// A decoder is 3 bytes ahead of the encoder's last one, and the encoder leaves out up to four.
    fn exhausted(&self) -> bool {
        self.taken > self.bytes.len() + TRIM + 3
    }
}

/// The logistic function at `-8, -7.5, ..., 8`, in 65536ths.
const LOGISTIC: [i32; 33] = [
    22, 36, 60, 98, 162, 267, 439, 724, 1179, 1922, 3108, 4971, 7812, 11955, 17625, 24743, 32768, 40793,
    47911, 53581, 57724, 60565, 62428, 63614, 64357, 64812, 65097, 65269, 65374, 65438, 65476, 65500, 65514,
];

/// `65536 / (1 + exp(-x / 256))`, linear between the points of [`LOGISTIC`].
const fn squash(x: i32) -> i32 {
    let x = if x < -2047 {
        1
    } else if x > 2047 {
        4095
    } else {
        x + 2048
    };
    let (k, f) = ((x >> 7) as usize, x & 127);
    (LOGISTIC[k] * (128 - f) + LOGISTIC[k + 1] * f + 64) >> 7
}

/// The inverse of [`squash`]: entry `i` is the smallest `x` whose probability is at least
/// `(16 i + 8) / 65536`.
static STRETCH: [i16; 4096] = {
    let (mut table, mut x, mut i) = ([0; 4096], -2047, 0);
    while i < 4096 {
        while x < 2047 && squash(x) < 16 * i as i32 + 8 {
            x += 1;
        }
        table[i] = x as i16;
        i += 1;
    }
    table
};

/// A counter moves by `1 / (n + 1.5)` of its error at its `n`-th bit, and not slower than at the last `n`.
const COUNT_LIMIT: u32 = 1023;
static RATE: [i32; COUNT_LIMIT as usize + 1] = {
    let (mut table, mut n) = ([0; COUNT_LIMIT as usize + 1], 0);
    while n < table.len() {
        table[n] = (2 * 65_536 / (2 * n + 3)) as i32;
        n += 1;
    }
    table
};

/// An adaptive probability: 22 bits of it, and 10 bits that count what it has seen. Kept with the top bit
/// flipped, so that a fresh one (one half, nothing seen) is zero and big tables come from the system as they
/// are.
#[derive(Clone, Copy, Debug, Default)]
struct Counter(u32);

impl Counter {
    const FLIP: u32 = 1 << 31;

    /// The probability of a one in 22 bits.
    #[inline]
    fn probability(self) -> u32 {
        (self.0 ^ Self::FLIP) >> 10
    }

    #[inline]
    fn update(&mut self, bit: bool) {
        let (p, n) = (self.probability() as i32, (self.0 & 1023).min(COUNT_LIMIT));
        let target = if bit { (1 << 22) - 1 } else { 0 };
        let step = (i64::from(target - p) * i64::from(RATE[n as usize])) >> 16;
        self.0 = (((p + step as i32) as u32) << 10 | (n + 1).min(COUNT_LIMIT)) ^ Self::FLIP;
    }
}

/// Weights of the mixer are in 65536ths; beyond this they do no good, and sums could overflow.
const WEIGHT_LIMIT: i64 = 1 << 22;

/// Predicts a bit from `N` contexts at once. Each context selects one adaptive counter; the mixer adds up
/// their log-odds with weights that it learns by gradient descent on the code length, one set of weights for
/// each of a few situations (logistic mixing, as in M. Mahoney's PAQ).
#[derive(Debug)]
pub struct Predictor<const N: usize> {
    tables: [Vec<u32>; N],
    weights: Vec<[i32; N]>,
    coded: i32,
}

impl<const N: usize> Predictor<N> {
    /// A predictor whose context `i` takes values below `sizes[i]`, and whose mixer has `sets` sets of
    /// weights. Larger values wrap around: they share counters, and nothing breaks.
    pub fn new(sizes: [usize; N], sets: usize) -> Predictor<N> {
        let weight = 65_536 / N.max(1) as i32; // the mean of the contexts' log-odds, to begin with
        Predictor {
            tables: sizes.map(|size| vec![0; size.next_power_of_two()]),
            weights: vec![[weight; N]; sets.max(1)],
            coded: 0,
        }
    }

    /// Codes one bit in the given contexts with the given set of weights, and learns from it.
    #[inline]
    pub fn code<C: BitCoder>(&mut self, coder: &mut C, bit: bool, contexts: [usize; N], set: usize) -> bool {
        let mut inputs = [0i32; N];
        let mut slots = [0usize; N];
        for (((input, slot), table), context) in
            inputs.iter_mut().zip(&mut slots).zip(&self.tables).zip(contexts)
        {
            *slot = context & (table.len() - 1);
            *input = i32::from(STRETCH[(Counter(table[*slot]).probability() >> 10) as usize]);
        }
        let last = self.weights.len() - 1;
        let weights = &mut self.weights[set.min(last)];
        let sum: i64 = weights.iter().zip(&inputs).map(|(&w, &x)| i64::from(w) * i64::from(x)).sum();
        let p = squash((sum >> 16) as i32);
        let bit = coder.code(bit, p.clamp(FLOOR, 65_536 - FLOOR) as u32);

        // The step goes from 14 to 5 (in 2^-18ths) over the first 4096 bits: quick to start, calm later.
        let rate = 14 - 9 * self.coded.min(4096) / 4096;
        self.coded = (self.coded + 1).min(4096);
        let error = i64::from(if bit { 65_536 } else { 0 } - p) * i64::from(rate);
        for (weight, &x) in weights.iter_mut().zip(&inputs) {
            let step = (i64::from(x) * error + (1 << 17)) >> 18;
            *weight = (i64::from(*weight) + step).clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT) as i32;
        }
        for (table, slot) in self.tables.iter_mut().zip(slots) {
            let mut counter = Counter(table[slot]);
            counter.update(bit);
            table[slot] = counter.0;
        }
        bit
    }
}
