//! Tokens as bytes, in order, so that those that begin alike stand together; and what a model says of the next
//! byte, bit by bit.
use super::super::folder::Fails;
use super::predictor::{model::Guest, numbers::exp};
use std::ops::Range;
use tokenizers::Tokenizer;

/// The tokens that stand for bytes, sorted by these.
pub struct Vocabulary {
    ids: Vec<u32>,
    bytes: Vec<Vec<u8>>,
    /// The place of each id in that order, if it has one.
    places: Vec<Option<usize>>,
}

/// What a letter of byte-level byte pairs stands for: bytes that print stand for themselves, the others are
/// moved up, in order.
fn byte_of(letter: char) -> Option<u8> {
    let prints = |byte: &u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    match u32::from(letter) {
        code @ ..=255 => u8::try_from(code).ok().filter(prints),
        code => (0..=255).filter(|byte| !prints(byte)).nth(code as usize - 256),
    }
}

impl Vocabulary {
    /// # Errors
    /// The tokens aren't made of bytes.
    pub fn of(tokenizer: &Tokenizer) -> Fails<Vocabulary> {
        let letters: Vec<(char, u8)> =
            (0..512).filter_map(char::from_u32).filter_map(|c| Some((c, byte_of(c)?))).collect();
        let byte = |letter| {
            letters.binary_search_by_key(&letter, |(letter, _)| *letter).ok().map(|at| letters[at].1)
        };
        let mut tokens: Vec<(Vec<u8>, u32)> = tokenizer
            .get_vocab(false)
            .into_iter()
            .filter(|(_, id)| !tokenizer.get_added_tokens_decoder().contains_key(id))
            .filter_map(|(token, id)| Some((token.chars().map(byte).collect::<Option<Vec<u8>>>()?, id)))
            .filter(|(bytes, _)| !bytes.is_empty())
            .collect();
        tokens.sort_unstable();
        let (bytes, ids): (Vec<Vec<u8>>, Vec<u32>) = tokens.into_iter().unzip();
        if ids.len() < 64 {
            return Err(format!(
                "{} tokens stand for bytes: the model's tokens are to be made of them",
                ids.len()
            )
            .into());
        }
        let most = ids.iter().copied().max().unwrap_or(0) as usize;
        let mut places = vec![None; most + 1];
        ids.iter().enumerate().for_each(|(at, &id)| places[id as usize] = Some(at));
        Ok(Vocabulary { ids, bytes, places })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// A token's place in the order.
    pub fn place(&self, id: u32) -> Option<usize> {
        *self.places.get(id as usize)?
    }

    /// The token at a place, and its bytes.
    pub fn token(&self, place: usize) -> (u32, &[u8]) {
        (self.ids[place], &self.bytes[place])
    }

    /// All of them, for what depends on which there are.
    pub fn tokens(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (0..self.len()).map(|place| self.token(place))
    }

    /// Of tokens that begin alike, whether one has this byte next.
    pub fn has(&self, range: &Range<usize>, depth: usize, byte: u8) -> bool {
        let tokens = &self.bytes[range.clone()];
        tokens.get(tokens.partition_point(|bytes| bytes[depth] < byte)).is_some_and(|b| b[depth] == byte)
    }

    /// Of tokens that begin alike, those whose next byte begins with the bits of `node`, which are `bits`
    /// under a leading one, and then a one: where they begin.
    pub fn ones(&self, range: &Range<usize>, depth: usize, node: usize, bits: usize) -> usize {
        let least = (node << 1 | 1) << (7 - bits) & 255;
        let below = |bytes: &Vec<u8>| usize::from(bytes[depth]) < least;
        range.start + self.bytes[range.clone()].partition_point(below)
    }
}

/// How likely tokens are, added up in order: whole numbers, so that no sum depends on how it is made.
pub struct Likely<'a> {
    pub vocabulary: &'a Vocabulary,
    sums: Vec<u64>,
}

impl<'a> Likely<'a> {
    pub fn new(vocabulary: &'a Vocabulary) -> Likely<'a> {
        Likely { vocabulary, sums: vec![0; vocabulary.ids.len() + 1] }
    }

    /// Takes a model's logits, one for each id.
    ///
    /// # Errors
    /// There are too few, or one isn't a number.
    pub fn set(&mut self, logits: &[f32]) -> Fails<()> {
        if logits.len() < self.vocabulary.places.len() || logits.iter().any(|x| !x.is_finite()) {
            let (logits, tokens) = (logits.len(), self.vocabulary.places.len());
            return Err(
                format!("the model gives {logits} logits for {tokens} tokens, or infinite ones").into()
            );
        }
        let most = logits.iter().fold(f32::MIN, |a, &b| a.max(b));
        let mut sum = 0;
        for (to, &id) in self.sums[1..].iter_mut().zip(&self.vocabulary.ids) {
            sum += 1 + (exp(logits[id as usize] - most) * 4_294_967_296.0) as u64;
            *to = sum;
        }
        Ok(())
    }

    /// What it says of one range of tokens against another.
    pub fn guest(&self, ones: Range<usize>, zeros: Range<usize>, place: usize) -> Guest {
        let weight = |range: Range<usize>| (self.sums[range.end] - self.sums[range.start]).max(1) as f32;
        Guest { odds: ln(weight(ones)) - ln(weight(zeros)), place }
    }
}

/// `ln(x)` to about 6 digits, of a positive normal number: by its power of two and the series of the inverse
/// hyperbolic tangent, the same on every machine.
pub fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    // The rest lies around 1, from 0.7 to 1.4.
    let n = (bits.wrapping_sub(0x3f35_04f3) as i32) >> 23;
    let rest = f32::from_bits(bits.wrapping_sub((n << 23) as u32));
    let z = (rest - 1.0) / (rest + 1.0);
    let y = z * z;
    let series = 2.0 * z * (1.0 + y * (0.333_333_34 + y * (0.2 + y * (0.142_857_14 + y * 0.111_111_11))));
    n as f32 * std::f32::consts::LN_2 + series
}
