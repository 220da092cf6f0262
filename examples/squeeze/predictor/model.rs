//! The predictor of the next bit: what contexts, matches and the recurrent network say, mixed and refined.
use super::{
    contexts::{CONTEXTS, Text, mix},
    evidence::{EACH, Evidence},
    maps::{Counter, Refine},
    matches::Match,
    mixer::{Mixer, Rate},
    numbers::{LANES, Stretch, squash},
    recurrent::Recurrent,
};
use std::ops::RangeInclusive;

/// Sizes of the table of histories that there can be: powers of two.
pub const BUCKETS: RangeInclusive<u32> = 10..=31;

const MATCHES: usize = 3;
/// Beside contexts, matches and plain counters: two small counters, a constant, two of the network.
const MORE: usize = 5;
const OWN: usize = CONTEXTS * EACH + MATCHES * 2 + MORE + DIRECT.len() * 2;
/// What a guest adds: its log-odds and its probability.
const GUEST: usize = 2;
const INPUTS: usize = (OWN + GUEST).next_multiple_of(LANES);
/// Sets of weights by each selector of the two layers; `Model::predict` has what selects.
const SETS: [usize; 15] = [512, 2048, 256, 256, 256, 4096, 128, 512, 2048, 2048, 2048, 2048, 4096, 1, 256];
const LAST: [usize; 3] = [256, 2048, 256];
/// How sure a guest can be, in steps of one half of its log-odds.
pub const SURE: usize = 48;
/// Sets of weights by a guest: of the first layer by how sure it is and where it is, of the last by the first.
const GUEST_SETS: [usize; 2] = [SURE * PLACES, SURE];
pub const PLACES: usize = 32;

/// How far the two layers' weights go. Beside a guest, who is right as a rule, there is less to be found out.
const RATES: [Rate; 2] = [Rate { calm: 0.0015, first: 0.012 }, Rate { calm: 0.002, first: 0.01 }];
const GUEST_RATES: [Rate; 2] = [Rate { calm: 0.0004, first: 0.002 }, Rate { calm: 0.0015, first: 0.003 }];
/// What the mixer's own word weighs, and each that is refined.
const SHARES: (f32, [f32; 4]) = (0.4, [0.1, 0.2, 0.15, 0.15]);
const GUEST_SHARES: (f32, [f32; 4]) = (0.76, [0.04, 0.08, 0.06, 0.06]);

/// Contexts that have plain counters beside their histories: orders 2 to 5, the word, the word after another.
const DIRECT: [usize; 6] = [1, 2, 3, 4, 8, 9];
/// Counters of each, at most.
const DIRECT_LOG2: u32 = 22;

/// What somebody else says of the next bit, such as a language model.
#[derive(Clone, Copy, Default)]
pub struct Guest {
    /// Log-odds of a one.
    pub odds: f32,
    /// What its word may depend on, below [`PLACES`].
    pub place: usize,
}

impl Guest {
    /// The step of its log-odds.
    pub fn sure(self) -> usize {
        ((self.odds.clamp(-11.9, 11.9) + 12.0) * 2.0) as usize
    }
}

pub struct Model {
    /// Whether somebody else has a say.
    guest: bool,
    stretch: Stretch,
    text: Text,
    evidence: Evidence,
    matches: [Match; MATCHES],
    recurrent: Recurrent,
    hashes: [u64; CONTEXTS],
    direct: Vec<Counter>,
    direct_at: [usize; DIRECT.len()],
    order0: Vec<Counter>,
    order1: Vec<Counter>,
    mixer: Mixer,
    refined: [Refine; 4],
    /// What the mixer was given.
    inputs: [f32; INPUTS],
    /// The bits of this byte so far under a leading one, and how many.
    node: usize,
    bits: usize,
}

impl Model {
    /// With `2^log2` buckets of histories; all else that grows with the text is small beside them. A guest,
    /// where there is one, is trusted at first.
    pub fn new(log2: u32, guest: bool) -> Model {
        let contexts = 1 << log2.min(16);
        let refine = |contexts| Refine::new(contexts, 1023);
        let mut weights = vec![if guest { 0.004 } else { 0.02 }; INPUTS];
        let (mut sets, mut last, mut past) = (SETS.to_vec(), LAST.to_vec(), Vec::new());
        if guest {
            weights[OWN] = 0.9;
            sets.push(GUEST_SETS[0]);
            last.push(GUEST_SETS[1]);
            past.push(0.3);
        }
        let mut model = Model {
            guest,
            stretch: Stretch::new(),
            text: Text::new(),
            evidence: Evidence::new(log2),
            matches: [4, 7, 12].map(|least| Match::new(least, log2.min(22))),
            recurrent: Recurrent::new(),
            direct: vec![Counter::new(0.5, 0); DIRECT.len() << DIRECT_LOG2.min(log2)],
            direct_at: [0; DIRECT.len()],
            hashes: [0; CONTEXTS],
            order0: vec![Counter::new(0.5, 0); 256],
            order1: vec![Counter::new(0.5, 0); contexts],
            mixer: Mixer::new(weights, &sets, &last, &past, if guest { GUEST_RATES } else { RATES }),
            refined: [refine(256), refine(contexts), refine(contexts), refine(contexts)],
            inputs: [0.0; INPUTS],
            node: 1,
            bits: 0,
        };
        model.begin();
        model
    }

    fn begin(&mut self) {
        (self.node, self.bits) = (1, 0);
        let longest = self
            .matches
            .iter()
            .rev()
            .find_map(|m| Some((m.step() as u64 + 1) << 8 | u64::from(m.foretold()?)));
        self.hashes = self.text.hashes(longest.unwrap_or(0));
        self.evidence.begin(self.hashes);
    }

    /// The byte that followed the longest stretch that ended as the text does, if there was one.
    pub fn foretold(&self) -> Option<u8> {
        self.matches.iter().rev().find_map(Match::foretold)
    }

    /// A small context of the last byte and the bits so far.
    fn order1(&self) -> usize {
        (self.text.byte(1) << 8 | self.node) & (self.order1.len() - 1)
    }

    /// The probability of a one in 65536ths. What a guest says counts only where one was announced.
    pub fn predict(&mut self, guest: Guest) -> u32 {
        let (node, bits) = (self.node, self.bits);
        let (contexts, rest) = self.inputs.split_at_mut(CONTEXTS * EACH);
        let known = self.evidence.predict(node, bits, contexts);
        for (m, two) in self.matches.iter_mut().zip(rest.chunks_exact_mut(2)) {
            two.copy_from_slice(&m.inputs(&self.stretch, node, bits));
        }
        let order0 = self.stretch.of(self.order0[node].probability());
        let order1 = self.stretch.of(self.order1[self.order1()].probability());
        let p = self.recurrent.predict(node);
        let more = [order0, order1, 0.4, self.stretch.of_float(p), (p - 0.5) * 2.0];
        self.inputs[CONTEXTS * EACH + MATCHES * 2..][..more.len()].copy_from_slice(&more);

        let each = self.direct.len() / DIRECT.len();
        for (k, i) in DIRECT.into_iter().enumerate() {
            let at = k * each + ((mix(self.hashes[i], node as u64) >> 30) as usize & (each - 1));
            self.direct_at[k] = at;
            let c = self.direct[at];
            let x = self.stretch.of(c.probability());
            let at = CONTEXTS * EACH + MATCHES * 2 + MORE + 2 * k;
            self.inputs[at] = x;
            self.inputs[at + 1] = if c.count() < 4 { 0.0 } else { x };
        }
        let [c1, c2, c3] = [1, 2, 3].map(|back| self.text.byte(back));
        let kinds = self.text.kinds();
        let expected = self.matches.iter().rev().find_map(|m| Some((m.step(), m.bit(node, bits)?)));
        let (step, side) = expected.map_or((0, 0), |(step, bit)| (step, 1 + usize::from(bit)));
        let foretold = self.foretold().map_or(0, usize::from);
        let familiar = (kinds & 15) << 7 | known << 3 | bits;
        let pair = (mix(self.text.last & 0xffff, 0) >> 40) as usize & 2047;
        let word = (mix(self.text.word(), node as u64) >> 40) as usize & 4095;
        let mut sets = [0; SETS.len() + 1];
        sets[..SETS.len()].copy_from_slice(&[
            (step << 3 | bits) << 2 | side,
            node << 3 | known.saturating_sub(1),
            c1,
            c2,
            c3,
            kinds,
            self.text.letters().min(15) << 3 | bits,
            foretold | usize::from(side > 0) << 8,
            familiar,
            self.text.open() << 3 | bits,
            self.text.place() << 3 | bits,
            pair,
            word,
            0,
            self.recurrent.best(),
        ]);
        let mut last = [node, familiar, c1, 0];
        let odds = if self.guest {
            self.inputs[OWN] = guest.odds;
            self.inputs[OWN + 1] = (squash(guest.odds) - 0.5) * 2.0;
            (sets[SETS.len()], last[LAST.len()]) = (guest.sure() * PLACES + guest.place, guest.sure());
            self.mixer.predict(&self.inputs, &sets, &last, &[guest.odds])
        } else {
            self.mixer.predict(&self.inputs, &sets[..SETS.len()], &last[..LAST.len()], &[])
        };

        let hashed = |bytes: u64| (mix(bytes, node as u64) >> 40) as usize & (self.order1.len() - 1);
        let (two, three) = (hashed(self.text.last & 0xffff), hashed(self.text.last & 0xff_ffff | 1 << 24));
        let places = [node, self.order1(), two, three];
        let (share, shares) = if self.guest { GUEST_SHARES } else { SHARES };
        let mut p = squash(odds) * share;
        for ((refine, place), share) in self.refined.iter_mut().zip(places).zip(shares) {
            p += refine.refine(odds, place) * share;
        }
        ((p * 65_536.0) as u32).clamp(1, 65_535)
    }

    /// Learns from a bit.
    pub fn update(&mut self, bit: bool) {
        let order1 = self.order1();
        self.order0[self.node].update(bit, 250);
        self.order1[order1].update(bit, 250);
        for at in self.direct_at {
            self.direct[at].update(bit, 250);
        }
        self.mixer.update(&self.inputs, bit);
        for refine in &mut self.refined {
            refine.update(bit);
        }
        for m in &mut self.matches {
            m.update(bit);
        }
        self.evidence.update(self.node, self.bits, bit);
        self.node = self.node << 1 | usize::from(bit);
        self.bits += 1;
        if self.bits == 8 {
            let byte = self.node as u8;
            self.evidence.end(byte);
            self.text.push(byte);
            self.recurrent.push(byte);
            for m in &mut self.matches {
                m.push(self.text.bytes());
            }
            self.begin();
        }
    }
}
