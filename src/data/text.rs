//! Text as numbers, and blocks of it to learn from.
use crate::{
    checked::{Check, checked},
    error::{Checked, Error, Result},
    tape::Random,
    tensor::{Tensor, room::listed, shape::addressable},
};
use serde::Serialize;

/// A number for each character of a text, in the order of their code points.
///
/// ```
/// use kolmo::data::CharTokenizer;
/// let characters = CharTokenizer::fit("hello");
/// assert_eq!(characters.len(), 4); // e h l o
/// let tokens = characters.encode("hole")?;
/// assert_eq!(tokens, [1, 3, 2, 0]);
/// assert_eq!(characters.decode(&tokens)?, "hole");
/// assert!(characters.encode("world").is_err());
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CharTokenizer(Vec<char>);

checked!(CharTokenizer(Vec<char>));

impl Check for CharTokenizer {
    fn check(&self) -> Checked<()> {
        match self.0.windows(2).find(|pair| pair[0] >= pair[1]) {
            Some(pair) => {
                Err(format!("{:?} comes before {:?}, expected each once and in order", pair[0], pair[1]))
            }
            None => Ok(()),
        }
    }
}

impl CharTokenizer {
    /// The characters that occur in a text.
    pub fn fit(text: &str) -> CharTokenizer {
        let mut all: Vec<char> = text.chars().collect();
        all.sort_unstable();
        all.dedup();
        CharTokenizer(all)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The numbers of a text's characters.
    ///
    /// # Errors
    /// A character that is not among them.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let number = |(at, c): (usize, char)| match self.0.binary_search(&c) {
            Ok(i) => Ok(i as u32),
            Err(_) => {
                let message = format!("{c:?} at byte {at} is none of the {} known characters", self.0.len());
                Err(Error::invalid("CharTokenizer", message))
            }
        };
        text.char_indices().map(number).collect()
    }

    /// The text of some numbers.
    ///
    /// # Errors
    /// A number that no character has.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        let character = |&t: &u32| {
            let message = || format!("there is no character {t}, only {}", self.0.len());
            self.0.get(t as usize).ok_or_else(|| Error::invalid("CharTokenizer", message()))
        };
        tokens.iter().map(character).collect()
    }
}

/// A batch for a language model: `n` stretches of `length` tokens from random places, and of each the same
/// stretch one further on, both `[n, length]`: what is to be predicted from what.
///
/// ```
/// use kolmo::{Random, data::random_windows};
/// let tokens: Vec<u32> = (0..100).collect();
/// let (x, y) = random_windows(&tokens, 4, 8, &mut Random::new(0))?;
/// assert_eq!((x.shape().to_vec(), y.get([2, 0])), (vec![4, 8], x.get([2, 1])));
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// There are no more tokens than `length`.
pub fn random_windows(
    tokens: &[u32],
    n: usize,
    length: usize,
    rng: &mut Random,
) -> Result<(Tensor<u32>, Tensor<u32>)> {
    let Some(places) = tokens.len().checked_sub(length).filter(|&places| places > 0) else {
        let message = format!("{} tokens have no block of {length} and one more", tokens.len());
        return Err(Error::invalid("random_windows", message));
    };
    addressable(&[n, length]).map_err(|message| Error::invalid("random_windows", message))?;
    let starts = listed(n, (0..n).map(|_| rng.randint(0..places).unwrap_or_default()));
    let starts = starts.map_err(|message| Error::invalid("random_windows", message))?;
    let block =
        |shift: usize| Tensor::from_fn([n, length], |i| tokens[starts[i / length] + i % length + shift]);
    let blocks = (block(0), block(1));
    blocks.0.ok().and(blocks.1.ok())?;
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_can_come_and_none_leaves_the_text() {
        let tokens = [5u32, 6, 7, 8];
        let (x, y) = random_windows(&tokens, 100, 2, &mut Random::new(1)).unwrap();
        let starts: std::collections::BTreeSet<u32> = x.to_vec().into_iter().step_by(2).collect();
        assert_eq!(starts.into_iter().collect::<Vec<_>>(), [5, 6]);
        assert_eq!(x.to_vec().iter().map(|t| t + 1).collect::<Vec<_>>(), y.to_vec());
        assert!(random_windows(&tokens, 1, 4, &mut Random::new(1)).is_err());
        assert!(random_windows(&tokens, 1, 0, &mut Random::new(1)).is_ok());
    }
}
