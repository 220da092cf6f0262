//! What decodes the constants of a program of its own, as it is printed; here what was coded is read
//! back by it.

/// How many contexts bits are counted in: those of codes, then those of the four bytes of numbers. As many
/// are printed as are used.
pub(super) const CONTEXTS: usize = 5120;

/// An adaptive binary range decoder: for each context by how much a one is likelier than a zero, and how many
/// bits there were.
pub(super) struct Decoder<'a> {
    letters: &'a [u8],
    at: usize,
    code: u32,
    range: u32,
    seen: [[i32; 2]; CONTEXTS],
}

pub(super) fn decoder(letters: &[u8]) -> Decoder<'_> {
    Decoder { letters, at: 0, code: 0, range: 1, seen: [[0; 2]; CONTEXTS] }
}

fn bit(d: &mut Decoder<'_>, context: usize) -> usize {
    // Six bits: letters are those from # to b, and zeros follow them.
    while d.range < 1 << 25 {
        let six = if d.at < d.letters.len() { d.letters[d.at] as u32 - 35 } else { 0 };
        d.code = d.code << 6 | six;
        d.range <<= 6;
        d.at += 1;
    }
    let [p, n] = &mut d.seen[context];
    let bound = (d.range >> 16) * ((*p + 2097152) / 64) as u32;
    let one = d.code < bound;
    if one {
        d.range = bound;
    } else {
        d.code -= bound;
        d.range -= bound;
    }
    *n += (*n < 254) as i32;
    *p += (if one { 2097088 } else { -2097088 } - *p) / (*n + 1);
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
        bits = bits << 8 | symbol(d, 8, 4096 + (k << 8)) as u32;
    }
    f32::from_bits(bits)
}

/// Numbers as they are.
pub(super) fn numbers(d: &mut Decoder<'_>, to: &mut [f32]) {
    for v in to {
        *v = number(d);
    }
}

/// Whole steps of one size, each in the context of whether the one before it and the one above it are 0.
pub(super) fn steps(d: &mut Decoder<'_>, to: &mut [f32], bits: usize, zero: f32, step: f32, row: usize) {
    d.seen = [[0; 2]; CONTEXTS];
    for i in 0..to.len() {
        let before = |k: usize| (i >= k && to[i - k] != 0.0) as usize;
        let first = (before(1) * 2 + before(row)) << bits;
        to[i] = (symbol(d, bits, first) as f32 - zero) * step;
    }
}

/// Codes, each in the context of the one so far before it, if that isn't 0.
pub(super) fn codes(d: &mut Decoder<'_>, to: &mut [f32], bits: usize, back: usize) {
    d.seen = [[0; 2]; CONTEXTS];
    for i in 0..to.len() {
        let before = if back > 0 && i >= back { to[i - back] as usize } else { 0 };
        to[i] = symbol(d, bits, before << bits) as f32;
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
