//! Line ends taken out of a text before it is predicted. Where paragraphs are wrapped at a width, each break
//! becomes a space, and which spaces are breaks is coded by itself: the words behind are known then, and with
//! them where a line had to end.
use kolmo::compress::coding::{BitCoder, Decoder, Encoder, Predictor};

/// What was taken out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lines {
    /// Whether lines end in `\r\n`, all of them.
    pub returns: bool,
    /// Of wrapped paragraphs, the spaces that lines begin with, and the coded breaks.
    pub wrapped: Option<(u8, Vec<u8>)>,
}

/// Spaces that lines begin with, at most.
pub const MOST_SPACES: u8 = 32;
/// Breaks are left in the text unless they take less than this many bits each: where they take more, lines
/// end for reasons of their own, of which the text's predictor makes more than can be told beside it.
const WORTH: usize = 1;
/// Fewer breaks aren't worth looking at.
const FEWEST: usize = 16;

impl Lines {
    /// Takes out of a text what can be told in fewer bits by itself; the text without it.
    pub fn take(bytes: &[u8]) -> (Lines, Vec<u8>) {
        let count = |wanted| bytes.iter().filter(|&&byte| byte == wanted).count();
        let ends = bytes.windows(2).filter(|two| two == b"\r\n").count();
        let returns = ends > 0 && ends == count(b'\r') && ends == count(b'\n');
        let mut text = bytes.to_vec();
        if returns {
            text.retain(|&byte| byte != b'\r');
        }
        let mut often = [0usize; MOST_SPACES as usize + 1];
        for at in 0..text.len() {
            if let Some(spaces) = break_at(&text, at) {
                often[spaces] += 1;
            }
        }
        let (spaces, count) =
            often.into_iter().enumerate().fold((0, 0), |most, one| if one.1 > most.1 { one } else { most });
        if count < FEWEST {
            return (Lines { returns, wrapped: None }, text);
        }
        let (mut plain, mut breaks, mut at) = (Vec::with_capacity(text.len()), Vec::new(), 0);
        while at < text.len() {
            if break_at(&text, at) == Some(spaces) {
                breaks.push(plain.len());
                plain.push(b' ');
                at += 1 + spaces;
            } else {
                plain.push(text[at]);
                at += 1;
            }
        }
        let (mut coder, mut rest) = (Encoder::new(), breaks.iter().peekable());
        code_breaks(&mut coder, &plain, spaces, |at| rest.next_if_eq(&&at).is_some());
        let coded = coder.finish();
        if 8 * coded.len() < WORTH * breaks.len() {
            (Lines { returns, wrapped: Some((spaces as u8, coded)) }, plain)
        } else {
            (Lines { returns, wrapped: None }, text)
        }
    }

    /// Puts it back into the text. None if the coded breaks are damaged.
    pub fn put(&self, text: Vec<u8>) -> Option<Vec<u8>> {
        let mut all = text;
        if let Some((spaces, coded)) = &self.wrapped {
            let mut coder = Decoder::new(coded);
            let breaks = code_breaks(&mut coder, &all, usize::from(*spaces), |_| false);
            if coder.exhausted() || coder.unread() > 0 {
                return None;
            }
            let mut breaks = breaks.into_iter().peekable();
            let mut lines = Vec::with_capacity(all.len());
            for (at, &byte) in all.iter().enumerate() {
                if breaks.next_if_eq(&at).is_some() {
                    lines.push(b'\n');
                    lines.resize(lines.len() + usize::from(*spaces), b' ');
                } else {
                    lines.push(byte);
                }
            }
            all = lines;
        }
        if self.returns {
            let ends = all.iter().filter(|&&byte| byte == b'\n').count();
            let mut bytes = Vec::with_capacity(all.len() + ends);
            for byte in all {
                if byte == b'\n' {
                    bytes.push(b'\r');
                }
                bytes.push(byte);
            }
            all = bytes;
        }
        Some(all)
    }
}

/// Whether a byte is part of a word, so that a space or a break beside it stands between words.
fn solid(byte: u8) -> bool {
    !matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// The spaces behind a line end between words.
fn break_at(text: &[u8], at: usize) -> Option<usize> {
    let (before, rest) = text.split_at_checked(at)?;
    let rest = rest.strip_prefix(b"\n")?;
    let spaces = rest.iter().take(usize::from(MOST_SPACES) + 1).take_while(|&&byte| byte == b' ').count();
    let words = before.last().is_some_and(|&byte| solid(byte)) && rest.get(spaces).is_some_and(|&b| solid(b));
    (words && spaces <= usize::from(MOST_SPACES)).then_some(spaces)
}

/// Codes which of the single spaces between words are breaks, and gives their places. A line goes on until
/// the next word would pass its end, which lines before this one tell.
fn code_breaks<C: BitCoder>(
    coder: &mut C,
    text: &[u8],
    spaces: usize,
    mut given: impl FnMut(usize) -> bool,
) -> Vec<usize> {
    let mut predictor = Predictor::<4>::new([256, 1 << 12, 1 << 12, 1 << 14], 1);
    let (mut breaks, mut column, mut word) = (Vec::new(), 0usize, 0usize);
    // The longest of the last lines, and the shortest that the next word would have made.
    let (mut longest, mut shortest) = (0usize, 255usize);
    for (at, &byte) in text.iter().enumerate() {
        let between = byte == b' '
            && at.checked_sub(1).is_some_and(|before| solid(text[before]))
            && text.get(at + 1).is_some_and(|&next| solid(next));
        if !between {
            column = if byte == b'\n' { 0 } else { column + 1 };
            continue;
        }
        // Places are asked for in order, so that each word is measured once.
        word = word.max(at + 1);
        while text.get(word).is_some_and(|&byte| solid(byte)) {
            word += 1;
        }
        let (now, then) = (column.min(255), (column + word - at).min(255));
        let over = (then + 16).saturating_sub(longest).min(63);
        let under = (then + 16).saturating_sub(shortest).min(63);
        let last = text[at - 1];
        let contexts =
            [then, over << 6 | under, now << 4 | (word - at).min(15), over << 8 | usize::from(last)];
        if predictor.code(coder, given(at), contexts, 0) {
            breaks.push(at);
            // Both are forgotten in time, as a text may have several widths.
            longest = if now >= longest { now } else { longest - usize::from(breaks.len() % 8 == 0) };
            shortest = if then <= shortest { then } else { shortest + usize::from(breaks.len() % 8 == 0) };
            column = spaces;
        } else {
            column += 1;
        }
        if coder.exhausted() {
            break;
        }
    }
    breaks
}
