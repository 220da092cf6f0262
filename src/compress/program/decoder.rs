//! What decodes the constants of a program of its own, as it is printed; here what was coded is read
//! back by it.

/// How many contexts bits are counted in: of the four bytes of numbers, and of codes.
pub(super) const CONTEXTS: usize = 5120;

/// An adaptive binary range decoder: for each context how many zeros and ones there were.
pub(super) struct Decoder<'a> {
    letters: &'a [u8],
    /// The next bit.
    at: usize,
    code: u32,
    range: u32,
    seen: [[u16; 2]; CONTEXTS],
}

pub(super) fn decoder(letters: &[u8]) -> Decoder<'_> {
    let mut d = Decoder { letters, at: 0, code: 0, range: !0, seen: [[0; 2]; CONTEXTS] };
    for _ in 0..4 {
        shift(&mut d);
    }
    d
}

/// Six bits: letters are those from # to b, and zeros follow them.
fn letter(d: &Decoder<'_>, i: usize) -> u32 {
    if i < d.letters.len() { d.letters[i] as u32 - 35 } else { 0 }
}

fn shift(d: &mut Decoder<'_>) {
    let i = d.at / 6;
    let twelve = letter(d, i) << 6 | letter(d, i + 1);
    d.code = d.code << 8 | (twelve >> (4 - d.at % 6) & 255);
    d.at += 8;
}

fn bit(d: &mut Decoder<'_>, context: usize) -> usize {
    let [a, b] = d.seen[context];
    let (zeros, ones) = (a as u32, b as u32);
    let p = ((2 * ones + 1) << 16) / (2 * (zeros + ones) + 2);
    let bound = ((d.range as u64 * p as u64) >> 16) as u32;
    let one = d.code < bound;
    if one {
        d.range = bound;
    } else {
        d.code -= bound;
        d.range -= bound;
    }
    while d.range < 1 << 24 {
        shift(d);
        d.range <<= 8;
    }
    d.seen[context][one as usize] += 1;
    if zeros + ones == 1023 {
        d.seen[context] = [a / 2, b / 2];
    }
    one as usize
}

fn symbol(d: &mut Decoder<'_>, bits: usize, first: usize) -> usize {
    let mut node = 1;
    for _ in 0..bits {
        node = node * 2 + bit(d, first + node);
    }
    node - (1 << bits)
}

fn number(d: &mut Decoder<'_>) -> f32 {
    let mut bits = 0;
    for k in 0..4 {
        bits = bits << 8 | symbol(d, 8, k << 8) as u32;
    }
    f32::from_bits(bits)
}

/// Numbers as they are.
pub(super) fn numbers(d: &mut Decoder<'_>, to: &mut [f32]) {
    for v in to {
        *v = number(d);
    }
}

/// Codes, each in the context of the one so far before it, if that isn't 0.
pub(super) fn codes(d: &mut Decoder<'_>, to: &mut [f32], bits: usize, back: usize) {
    for count in &mut d.seen[1024..] {
        *count = [0; 2];
    }
    for i in 0..to.len() {
        let before = if back > 0 && i >= back { to[i - back] as usize } else { 0 };
        to[i] = symbol(d, bits, 1024 + (before << bits)) as f32;
    }
}

/// The numbers that codes stand for.
pub(super) fn looked_up(d: &mut Decoder<'_>, to: &mut [f32], k: usize) {
    let mut table = [0.0; 256];
    numbers(d, &mut table[..k]);
    for v in to {
        *v = table[*v as usize];
    }
}

/// Codes less that of zero, times a step size for each so many.
pub(super) fn stepped(d: &mut Decoder<'_>, to: &mut [f32], group: usize, zero: f32) {
    for part in to.chunks_mut(group) {
        let step = number(d);
        for v in part {
            *v = (*v - zero) * step;
        }
    }
}

/// Numbers where codes aren't 0.
pub(super) fn unpruned(d: &mut Decoder<'_>, to: &mut [f32]) {
    for v in to {
        if *v != 0.0 {
            *v = number(d);
        }
    }
}
