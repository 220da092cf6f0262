//! One piece of a text, token by token: what the model says of a token's next bit goes into the mixer beside
//! all that `squeeze` knows, and whether a token ends where it might is coded in between.
use super::{
    predictor::{
        contexts::mix,
        maps::Counter,
        mixer::Layer,
        model::{Guest, Model, SURE},
        numbers::{LANES, Stretch, squash},
    },
    vocabulary::Likely,
};
use kolmo::compress::coding::BitCoder;

/// Codes tokens with one coder, to or fro.
pub struct Stream<C> {
    pub coder: C,
    model: Model,
    ends: Ends,
    last: u32,
    /// The bytes so far.
    pub bytes: Vec<u8>,
}

impl<C: BitCoder> Stream<C> {
    /// Of about so many bytes.
    pub fn new(coder: C, length: u64) -> Stream<C> {
        let log2 = length.saturating_mul(16).clamp(1 << 10, 1 << 22).ilog2();
        Stream { coder, model: Model::new(log2, true), ends: Ends::new(), last: 0, bytes: Vec::new() }
    }

    /// Codes one token; `given` is its place in the vocabulary's order, of which a decoder knows nothing.
    pub fn token(&mut self, likely: &Likely, given: usize) -> u32 {
        let vocabulary = likely.vocabulary;
        let (mut range, mut depth, mut prefix) = (0..vocabulary.len(), 0, 0);
        loop {
            // The token that ends here, if there is one, stands first of those that begin so.
            let (first, bytes) = vocabulary.token(range.start);
            if depth > 0 && bytes.len() == depth {
                let longer = range.start + 1..range.end;
                if longer.is_empty() {
                    self.last = first;
                    return first;
                }
                let guest = likely.guest(range.start..longer.start, longer.clone(), depth.min(3));
                // Whether what followed the same text before goes on with the token.
                let goes_on = self.model.foretold().map(|byte| vocabulary.has(&longer, depth, byte));
                let goes_on = goes_on.map_or(0, |on| 1 + u64::from(on));
                let contexts = [prefix, mix(prefix, self.last.into()), goes_on];
                if self.ends.code(&mut self.coder, given == range.start, guest, contexts) {
                    self.last = first;
                    return first;
                }
                range = longer;
            }
            let mut node = 1;
            for bits in 0..8 {
                let ones = vocabulary.ones(&range, depth, node, bits);
                let guest = likely.guest(ones..range.end, range.start..ones, depth.min(3) << 3 | bits);
                let p = self.model.predict(guest);
                // Where no token has the other bit, nothing is left to be said.
                let bit = match (ones == range.start, ones == range.end) {
                    (true, _) => true,
                    (_, true) => false,
                    _ => self.coder.code(given >= ones, p),
                };
                self.model.update(bit);
                node = node << 1 | usize::from(bit);
                range = if bit { ones..range.end } else { range.start..ones };
            }
            self.bytes.push(node as u8);
            prefix = mix(prefix, node as u64);
            depth += 1;
        }
    }
}

/// Counters of each context.
const COUNTERS: usize = 1 << 16;
const CONTEXTS: usize = 3;

/// Whether a token ends: the model's word, mixed with what happened in a few contexts.
struct Ends {
    stretch: Stretch,
    counters: Vec<Counter>,
    layer: Layer,
    inputs: [f32; LANES],
}

impl Ends {
    fn new() -> Ends {
        let mut weights = vec![0.0; LANES];
        weights[0] = 1.0;
        Ends {
            stretch: Stretch::new(),
            counters: vec![Counter::new(0.5, 0); CONTEXTS * COUNTERS],
            layer: Layer::new(weights, &[1, SURE * 4, 3]),
            inputs: [0.0; LANES],
        }
    }

    fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        end: bool,
        guest: Guest,
        contexts: [u64; CONTEXTS],
    ) -> bool {
        let sure = guest.sure();
        let seen = contexts[2] as usize;
        let hashes = [contexts[0], contexts[1], mix(contexts[2], sure as u64)];
        let mut at = [0; CONTEXTS];
        for (i, hash) in hashes.into_iter().enumerate() {
            at[i] = i * COUNTERS + (mix(hash, i as u64) >> 40) as usize % COUNTERS;
            let counter = self.counters[at[i]];
            let odds = self.stretch.of(counter.probability());
            self.inputs[1 + 2 * i] = odds;
            self.inputs[2 + 2 * i] = if counter.count() < 3 { 0.0 } else { odds };
        }
        self.inputs[0] = guest.odds;
        self.inputs[7] = 0.3;
        let mut odds = [0.0; 3];
        self.layer.predict(&self.inputs, &[0, sure << 2 | guest.place, seen], &mut odds);
        let p = squash(odds.iter().sum::<f32>() / 3.0);
        let end = coder.code(end, ((p * 65_536.0) as u32).clamp(1, 65_535));
        self.layer.update(&self.inputs, end, 0.002);
        for at in at {
            self.counters[at].update(end, 250);
        }
        end
    }
}
