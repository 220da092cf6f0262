//! Asymmetric numeral systems (J. Duda 2013; F. Giesen 2014) over adaptive frequencies: the coder of large
//! tensors. A symbol's frequencies are the mean of two contexts'.

/// Frequencies are in 65536ths.
const TOTAL: u32 = 1 << 16;
/// States that take turns.
const STATES: usize = 4;
/// No symbol's is less: what is sure takes 0.0026 bits.
const LEAST: u16 = 8;
/// A state lies between this and 2^32 times as much.
const LOW: u64 = 1 << 31;
/// A context that has seen this much learns no slower.
const MOST_SEEN: u16 = 383;

/// Adaptive frequencies of 16 symbols in `N` contexts.
#[derive(Clone)]
pub(crate) struct Contexts<const N: usize> {
    /// How often a symbol below each occurs.
    below: [[u16; 16]; N],
    /// How many symbols were seen.
    seen: [u16; N],
    /// What counts for the frequencies next to those of the other table, in 65536ths, where that is learnt.
    weight: [u16; N],
}

impl<const N: usize> Contexts<N> {
    /// Alike for all symbols.
    pub(crate) const NEW: Contexts<N> = {
        let (mut all, mut i) = ([0; 16], 0);
        while i < 16 {
            all[i] = 4096 * i as u16;
            i += 1;
        }
        Contexts { below: [all; N], seen: [0; N], weight: [1 << 15; N] }
    };

    /// Moves towards what was seen, by a share of the distance that falls from a half to 1/512.
    #[inline(always)]
    fn learn(&mut self, context: usize, symbol: usize) {
        let seen = self.seen[context];
        let shift = 17 - ((seen + 1) / 3).leading_zeros();
        let (target, down) = &TOWARDS[symbol & 15];
        let below = &mut self.below[context];
        for i in 0..16 {
            // Of what falls, the distance is turned round, so that both are rounded down.
            let way = (target[i].wrapping_sub(below[i]) ^ down[i]).wrapping_sub(down[i]);
            let step = way >> shift;
            below[i] = below[i].wrapping_add((step ^ down[i]).wrapping_sub(down[i]));
        }
        self.seen[context] = (seen + 1).min(MOST_SEEN);
    }
}

/// For each symbol, where the frequencies go, and all bits set of those that fall.
static TOWARDS: [([u16; 16], [u16; 16]); 16] = {
    let (mut all, mut symbol) = ([([0; 16], [0; 16]); 16], 0);
    while symbol < 16 {
        let mut i = 0;
        while i < 16 {
            let falls = i <= symbol;
            let room = if falls { i as u16 } else { 16 - i as u16 } * LEAST;
            all[symbol].0[i] = if falls { room } else { 0u16.wrapping_sub(room) };
            all[symbol].1[i] = if falls { u16::MAX } else { 0 };
            i += 1;
        }
        symbol += 1;
    }
    all
};

#[inline(always)]
fn mean(a: u16, b: u16) -> u16 {
    ((u32::from(a) + u32::from(b) + 1) >> 1) as u16
}

#[inline(always)]
fn weighed(a: u16, b: u16, weight: u16) -> u16 {
    let share = |x: u16, weight: u16| ((u32::from(x) * u32::from(weight)) >> 16) as u16;
    share(a, weight) + share(b, weight.wrapping_neg())
}

/// The frequency of a symbol.
#[inline(always)]
fn frequency(below: &[u16; 16], symbol: usize) -> u16 {
    let end = if symbol == 15 { 0 } else { below[(symbol + 1) & 15] };
    end.wrapping_sub(below[symbol & 15])
}

/// Moves a weight towards the table that expected the symbol more, by a 32nd of the difference next to what
/// was said.
#[inline(always)]
fn weigh(weight: &mut u16, a: u16, b: u16, said: u16) {
    let more = ((i32::from(a) - i32::from(b)) << 11) / i32::from(said.max(1));
    *weight = (i32::from(*weight) + more.clamp(-8192, 8192)).clamp(1 << 10, 63 << 10) as u16;
}

/// One direction of a model.
pub(crate) trait Coder {
    /// A symbol below 16 in two contexts, numbers in two tables, which learn it. Larger numbers wrap around. The
    /// tables count alike, or with weights that are learnt.
    fn symbol<const LEARNT: bool, const A: usize, const B: usize>(
        &mut self,
        tables: (&mut Contexts<A>, &mut Contexts<B>),
        contexts: (usize, usize),
        symbol: u8,
    ) -> u8;

    /// So many bits, at most 16, as they are.
    fn raw(&mut self, bits: u32, value: u32) -> u32;
}

/// Bytes that no writer has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsound;

/// Collects symbols, which are coded in reverse.
#[derive(Default)]
pub(crate) struct Writer {
    /// Start and frequency of each.
    symbols: Vec<(u16, u16)>,
}

impl Writer {
    /// The bytes: the last states, then what a reader takes from them, in its order.
    pub(crate) fn finish(self) -> Vec<u8> {
        let (mut states, mut words) = ([LOW; STATES], Vec::with_capacity(self.symbols.len() / 8));
        for (i, &(start, frequency)) in self.symbols.iter().enumerate().rev() {
            let (state, frequency) = (&mut states[i % STATES], u64::from(frequency));
            if *state >= frequency << 47 {
                words.push(*state as u32);
                *state >>= 32;
            }
            *state = ((*state / frequency) << 16) + *state % frequency + u64::from(start);
        }
        let states = states.iter().flat_map(|state| state.to_le_bytes());
        states.chain(words.iter().rev().flat_map(|word| word.to_le_bytes())).collect()
    }
}

impl Coder for Writer {
    #[inline(always)]
    fn symbol<const LEARNT: bool, const A: usize, const B: usize>(
        &mut self,
        (one, other): (&mut Contexts<A>, &mut Contexts<B>),
        (i, j): (usize, usize),
        symbol: u8,
    ) -> u8 {
        let (i, j, at) = (i % A, j % B, usize::from(symbol & 15));
        let (a, b) = (&one.below[i], &other.below[j]);
        let weight = one.weight[i];
        let of = |at| if LEARNT { weighed(a[at], b[at], weight) } else { mean(a[at], b[at]) };
        let start = of(at);
        let length = if at == 15 { 0 } else { of(at + 1) }.wrapping_sub(start);
        self.symbols.push((start, length));
        if LEARNT {
            weigh(&mut one.weight[i], frequency(a, at), frequency(b, at), length);
        }
        one.learn(i, at);
        other.learn(j, at);
        symbol
    }

    fn raw(&mut self, bits: u32, value: u32) -> u32 {
        if bits > 0 {
            self.symbols.push(((value << (16 - bits)) as u16, (TOTAL >> bits) as u16));
        }
        value
    }
}

/// Reads what a [`Writer`] wrote. Any bytes give something; [`end`](Reader::end) tells whether they were
/// meant so.
pub(crate) struct Reader<'a> {
    states: [u64; STATES],
    /// Whose turn it is.
    turn: usize,
    words: std::slice::Iter<'a, [u8; 4]>,
    sound: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        let (first, rest) = bytes.split_at_checked(8 * STATES).unwrap_or((&[], bytes));
        let (mut states, (words, more)) = ([0; STATES], rest.as_chunks());
        let read = first.as_chunks().0.iter().map(|state| u64::from_le_bytes(*state));
        states.iter_mut().zip(read).for_each(|(state, read)| *state = read);
        let sound = more.is_empty() && states.iter().all(|state| (LOW..LOW << 32).contains(state));
        Reader { states, turn: 0, words: words.iter(), sound }
    }

    /// What the state whose turn it is says.
    #[inline(always)]
    fn slot(&self) -> u16 {
        self.states[self.turn % STATES] as u16
    }

    /// Takes what the slot meant from the state, and gives the turn to the next.
    #[inline(always)]
    fn take(&mut self, start: u16, frequency: u32) {
        let state = &mut self.states[self.turn % STATES];
        let left = (*state as u16).wrapping_sub(start);
        *state = u64::from(frequency) * (*state >> 16) + u64::from(left);
        if *state < LOW {
            let word = self.words.next();
            self.sound &= word.is_some();
            *state = *state << 32 | u64::from(u32::from_le_bytes(*word.unwrap_or(&[0; 4])));
        }
        self.turn += 1;
    }

    /// Whether all came to where the writer began, with nothing left.
    pub(crate) fn end(&self) -> Result<(), Unsound> {
        let done = self.states.iter().all(|&state| state == LOW) && self.words.len() == 0;
        if self.sound && done { Ok(()) } else { Err(Unsound) }
    }
}

impl Coder for Reader<'_> {
    #[inline(always)]
    fn symbol<const LEARNT: bool, const A: usize, const B: usize>(
        &mut self,
        (one, other): (&mut Contexts<A>, &mut Contexts<B>),
        (i, j): (usize, usize),
        _: u8,
    ) -> u8 {
        let (i, j) = (i % A, j % B);
        let (a, b) = (&one.below[i], &other.below[j]);
        let (slot, weight) = (self.slot(), one.weight[i]);
        let mut starts = [0u16; 17];
        let mut below = 0u16;
        for (start, (&a, &b)) in starts.iter_mut().zip(a.iter().zip(b)) {
            *start = if LEARNT { weighed(a, b, weight) } else { mean(a, b) };
        }
        for &start in &starts[..16] {
            below += u16::from(start <= slot);
        }
        let symbol = usize::from(below - 1) & 15;
        let start = starts[symbol];
        let length = starts[symbol + 1].wrapping_sub(start);
        if LEARNT {
            weigh(&mut one.weight[i], frequency(a, symbol), frequency(b, symbol), length);
        }
        self.take(start, length.into());
        one.learn(i, symbol);
        other.learn(j, symbol);
        symbol as u8
    }

    #[inline(always)]
    fn raw(&mut self, bits: u32, _: u32) -> u32 {
        if bits == 0 {
            return 0;
        }
        let value = u32::from(self.slot()) >> (16 - bits);
        self.take((value << (16 - bits)) as u16, TOTAL >> bits);
        value
    }
}
