//! A text squeezed with a model beside what `squeeze` learns as it goes: the model's word for each bit is one
//! more that the mixer weighs. Pieces of the text are coded apart, several at a time, so that each costs the
//! model less.
//!
//! | bytes | what |
//! | --- | --- |
//! | 3 | `sqz` |
//! | 1 | version and form: 0x21, or 0x22 if adapters learn from what was coded |
//! | 1 | the arithmetic that the model ran on |
//! | 16 | the model's hash |
//! | 4 | CRC-32 of the bytes, low byte first |
//! | | the line ends that were taken out of the text |
//! | number | tokens that the model sees at most |
//! | | pieces: a byte, 1 if the model helped and 0 if it is a squeezed file; a number, its bytes; another, those of the text; until all is told |
//! | | the pieces themselves |
#[path = "../../../squeeze/file.rs"]
mod file;
mod guide;
mod hash;
mod learner;
#[path = "../../../squeeze/lines.rs"]
mod lines;
#[path = "../../../squeeze/parts.rs"]
mod parts;
#[path = "../../../squeeze/predictor/mod.rs"]
mod predictor;
mod stream;
#[cfg(test)]
mod tests;
mod vocabulary;

use super::{
    folder::{Fails, bar},
    open::Source,
};
use clap::Args;
use guide::Guide;
use hash::model_hash;
use kolmo::{
    compress::coding::{ArithmeticVersion, BitCoder, Decoder, Encoder},
    nn::named_params,
};
use learner::{EVERY, Learner};
use lines::Lines;
use parts::{checksum, put_lines, put_number, take, take_bytes, take_lines, take_number};
use std::{fs, path::PathBuf, time::Instant};
use stream::Stream;
use vocabulary::{Likely, Vocabulary};

#[derive(Args)]
pub struct Squeezing {
    /// Squeezes a file, with the model's help.
    #[arg(long, value_name = "FILE", requires = "to")]
    squeeze: Option<PathBuf>,
    /// Back from a squeezed file.
    #[arg(long, value_name = "FILE", requires = "to", conflicts_with = "squeeze")]
    expand: Option<PathBuf>,
    /// Where the result goes.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Tokens of the text that the model sees at most.
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u32).range(2..=1 << 20))]
    context: u32,
    /// Bytes of a piece, in thousands: more pieces are quicker, fewer are smaller.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    piece: u32,
    /// Adapters beside the model's weights learn from the text as it is told: smaller, and slower, as pieces
    /// come one after the other.
    #[arg(long, requires = "squeeze")]
    learn: bool,
}

impl Squeezing {
    /// Does what is asked for. Whether anything was.
    pub fn run(&self, source: &Source) -> Fails<bool> {
        let Some((path, to)) = self.squeeze.as_ref().or(self.expand.as_ref()).zip(self.to.as_ref()) else {
            return Ok(false);
        };
        let told = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let bytes = fs::read(path).map_err(|why| told(&why))?;
        let began = Instant::now();
        let (result, tokens) = match self.expand {
            Some(_) => expand(source, &bytes).map_err(|why| told(&why))?,
            None => {
                let (window, piece) = (self.context as usize, 1000 * self.piece as usize);
                squeeze(source, &bytes, window, piece, self.learn)?
            }
        };
        let (seconds, speed) = (began.elapsed().as_secs_f64(), tokens as f64 / began.elapsed().as_secs_f64());
        let (long, short) = (bytes.len().max(result.len()), bytes.len().min(result.len()));
        let bits = 8.0 * short as f64 / long.max(1) as f64;
        println!(
            "{long} bytes in {short}, {bits:.4} bits a byte; {tokens} tokens in {seconds:.1} s, {speed:.0} a second"
        );
        kolmo::data::write_file(result, to)?;
        Ok(true)
    }
}

const FORM: u8 = 0x21;
/// The same with a [`Learner`].
const LEARNING: u8 = 0x22;
/// Pieces that go through the model at a time.
const TOGETHER: usize = 8;
/// No byte takes fewer bits than this many make one of.
const DENSEST: u64 = 46_000;

/// A text that is coded, and where it is from.
struct Lane<C> {
    stream: Stream<C>,
    /// Places of its tokens in the vocabulary's order; none if they are to be found out.
    given: Vec<usize>,
    /// Its tokens and bytes.
    tokens: usize,
    length: usize,
}

impl<C: BitCoder> Lane<C> {
    fn new(coder: C, given: Vec<usize>, length: usize) -> Lane<C> {
        Lane { stream: Stream::new(coder, length as u64), given, tokens: 0, length }
    }

    /// Codes a token, if any are left.
    fn token(&mut self, likely: &Likely) -> Fails<Option<u32>> {
        let token = self.stream.token(likely, self.given.get(self.tokens).copied().unwrap_or(0));
        self.tokens += 1;
        let done = self.stream.bytes.len();
        if done > self.length || self.stream.coder.exhausted() {
            return Err(
                format!("the file is damaged: a piece ends after {done} of {} bytes", self.length).into()
            );
        }
        Ok((done < self.length).then_some(token))
    }
}

/// What a text begins with, as the model has seen it.
fn first(source: &Source) -> u32 {
    source.tokenizer.token_to_id("<|endoftext|>").or(source.ends.first().copied()).unwrap_or(0)
}

/// Codes one text whose tokens are known, to the bytes of [`code`] where all matrices are packed.
fn code_known(
    source: &Source,
    vocabulary: &Vocabulary,
    window: usize,
    lane: &mut Lane<Encoder>,
    mut learner: Option<&mut Learner>,
) -> Fails<()> {
    let mut guide = Guide::new(&source.model, 1, first(source), window);
    let mut likely = Likely::new(vocabulary);
    let tokens: Vec<u32> = lane.given.iter().map(|&place| vocabulary.token(place).0).collect();
    let bar = bar(tokens.len(), "tokens");
    while lane.tokens < tokens.len() {
        let end = match learner {
            Some(_) => tokens.len().min((lane.tokens / EVERY + 1) * EVERY),
            None => tokens.len(),
        };
        for logits in guide.logits_of(&tokens[lane.tokens..end])? {
            likely.set(&logits)?;
            lane.token(&likely)?;
            bar.inc(1);
        }
        if let Some(learner) = &mut learner
            && lane.tokens == end
            && end < tokens.len()
        {
            learner.learn(&source.model, guide.recent(EVERY + 1))?;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Codes texts side by side, or one with a learner.
fn code<C: BitCoder>(
    source: &Source,
    vocabulary: &Vocabulary,
    window: usize,
    lanes: &mut [Lane<C>],
    mut learner: Option<&mut Learner>,
) -> Fails<()> {
    let mut lanes: Vec<&mut Lane<C>> = lanes.iter_mut().filter(|lane| lane.length > 0).collect();
    let mut guide = Guide::new(&source.model, lanes.len(), first(source), window);
    let mut likely = Likely::new(vocabulary);
    let bar = bar(lanes.iter().map(|lane| lane.length).sum(), "bytes");
    while !lanes.is_empty() {
        let logits = guide.logits()?;
        let mut tokens = Vec::with_capacity(lanes.len());
        for (lane, logits) in lanes.iter_mut().zip(&logits) {
            likely.set(logits)?;
            let before = lane.stream.bytes.len();
            tokens.push(lane.token(&likely)?);
            bar.inc((lane.stream.bytes.len() - before) as u64);
        }
        guide.push(&tokens)?;
        let mut tokens = tokens.iter();
        lanes.retain(|_| tokens.next().is_some_and(Option::is_some));
        if let (Some(learner), [lane]) = (&mut learner, &lanes[..])
            && lane.tokens.is_multiple_of(EVERY)
        {
            learner.learn(&source.model, guide.recent(EVERY + 1))?;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// The places of a text's tokens, if these make the text again.
fn tokens(source: &Source, vocabulary: &Vocabulary, text: &[u8]) -> Option<Vec<usize>> {
    let tokens = source.tokenizer.encode(std::str::from_utf8(text).ok()?, false).ok()?;
    let places: Vec<usize> =
        tokens.get_ids().iter().map(|&id| vocabulary.place(id)).collect::<Option<_>>()?;
    let mut rest = text;
    for &place in &places {
        rest = rest.strip_prefix(vocabulary.token(place).1)?;
    }
    rest.is_empty().then_some(places)
}

/// Cuts a text into pieces of at most so many bytes, before a space or behind a line where there is one.
fn cut(mut text: &[u8], most: usize) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while text.len() > most {
        let line = text[..most].iter().rposition(|&byte| byte == b'\n').map(|at| at + 1);
        let space = || text[..most].iter().rposition(|&byte| byte == b' ').filter(|&at| at > 0);
        let letter = || (most.saturating_sub(4).max(1)..=most).rev().find(|&at| text[at] & 0xc0 != 0x80);
        let at = line.or_else(space).or_else(letter).unwrap_or(most);
        let (piece, rest) = text.split_at(at);
        pieces.push(piece);
        text = rest;
    }
    pieces.push(text);
    pieces
}

/// A file of these bytes, and how many tokens they are; one learns from them if that is wanted.
fn squeeze(
    source: &Source,
    bytes: &[u8],
    window: usize,
    piece: usize,
    learn: bool,
) -> Fails<(Vec<u8>, usize)> {
    let vocabulary = Vocabulary::of(&source.tokenizer)?;
    let hash = model_hash(source, &vocabulary)?;
    let mut learner = if learn { Some(Learner::beside(&source.model)?) } else { None };
    let (lines, text) = Lines::take(bytes);
    let pieces = cut(&text, piece);
    let mut coded: Vec<(bool, Vec<u8>)> = vec![(false, Vec::new()); pieces.len()];
    let known: Vec<Option<Vec<usize>>> =
        pieces.iter().map(|text| tokens(source, &vocabulary, text)).collect();
    let count = known.iter().flatten().map(Vec::len).sum();
    let (helped, plain): (Vec<usize>, Vec<usize>) = (0..pieces.len()).partition(|&i| known[i].is_some());
    for i in plain {
        coded[i].1 = file::encode(pieces[i], &[], MEMORY, |_| {});
    }
    // Rows of products with packed matrices don't depend on how many there are.
    let matrices = named_params::<f32>(&source.model).into_iter().filter(|(_, p)| p.shape().rank() > 1);
    let packed = matrices.map(|(_, p)| p.value()).all(|value| value.packed().is_some());
    let together = if learner.is_some() { 1 } else { TOGETHER };
    for some in helped.chunks(together) {
        let lane =
            |&i: &usize| Lane::new(Encoder::new(), known[i].clone().unwrap_or_default(), pieces[i].len());
        let mut lanes: Vec<Lane<Encoder>> = some.iter().map(lane).collect();
        if packed {
            for lane in &mut lanes {
                code_known(source, &vocabulary, window, lane, learner.as_mut())?;
            }
        } else {
            code(source, &vocabulary, window, &mut lanes, learner.as_mut())?;
        }
        for (&i, lane) in some.iter().zip(lanes) {
            coded[i] = (true, lane.stream.coder.finish());
        }
    }
    let form = if learner.is_some() { LEARNING } else { FORM };
    let mut file = [file::MAGIC, &[form, ArithmeticVersion::here().byte()]].concat();
    file.extend(hash);
    file.extend(checksum(bytes));
    put_lines(&mut file, &lines);
    put_number(&mut file, window as u64);
    put_number(&mut file, pieces.len() as u64);
    for ((helped, coded), piece) in coded.iter().zip(&pieces) {
        file.push(u8::from(*helped));
        put_number(&mut file, coded.len() as u64);
        put_number(&mut file, piece.len() as u64);
    }
    coded.iter().for_each(|(_, coded)| file.extend(coded));
    Ok((file, count))
}

/// What the table of a piece that the model doesn't help with may take, in MiB.
const MEMORY: u64 = 1024;

/// What [`squeeze`] was given, and how many tokens it was.
fn expand(source: &Source, file: &[u8]) -> Fails<(Vec<u8>, usize)> {
    let Some([form @ (FORM | LEARNING), rest @ ..]) = file.strip_prefix(file::MAGIC) else {
        return Ok((file::decode(file, &[], MEMORY, |_, _| {})?, 0));
    };
    let mut rest = rest;
    ArithmeticVersion::check(take(&mut rest)?)?;
    let vocabulary = Vocabulary::of(&source.tokenizer)?;
    let (theirs, ours) = (take_bytes(&mut rest, 16)?, model_hash(source, &vocabulary)?);
    if theirs != ours {
        let hex = |hash: &[u8]| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (theirs, ours) = (hex(theirs), hex(&ours));
        return Err(format!("the file was written with another model: {theirs}, this one is {ours}").into());
    }
    let sum = take_bytes(&mut rest, 4)?;
    let lines = take_lines(&mut rest)?;
    let window = take_number(&mut rest)?;
    let pieces = take_number(&mut rest)?;
    if !(2..=1 << 20).contains(&window) || pieces > rest.len() as u64 {
        return Err(format!("the file is damaged: {pieces} pieces, windows of {window} tokens").into());
    }
    let mut table = Vec::new();
    for _ in 0..pieces {
        table.push((take(&mut rest)?, take_number(&mut rest)?, take_number(&mut rest)?));
    }
    let mut texts: Vec<Vec<u8>> = vec![Vec::new(); table.len()];
    let mut helped = Vec::new();
    for (i, (kind, coded, length)) in table.into_iter().enumerate() {
        let coded = take_bytes(&mut rest, coded)?;
        if kind > 1 || length > (coded.len() as u64 + 8).saturating_mul(DENSEST) {
            let coded = coded.len();
            return Err(
                format!("the file is damaged: a piece of {length} bytes in {coded}, kind {kind}").into()
            );
        }
        match kind {
            0 => texts[i] = file::decode(coded, &[], MEMORY, |_, _| {})?,
            _ => helped.push((i, coded, length as usize)),
        }
    }
    let mut count = 0;
    let mut learner = if *form == LEARNING { Some(Learner::beside(&source.model)?) } else { None };
    for some in helped.chunks(if learner.is_some() { 1 } else { TOGETHER }) {
        let mut lanes: Vec<Lane<Decoder>> = some
            .iter()
            .map(|&(_, coded, length)| Lane::new(Decoder::new(coded), Vec::new(), length))
            .collect();
        code(source, &vocabulary, window as usize, &mut lanes, learner.as_mut())?;
        for (&(i, ..), lane) in some.iter().zip(lanes) {
            if lane.stream.coder.unread() > 0 {
                return Err("the file is damaged: a piece has bytes behind its last".into());
            }
            count += lane.tokens;
            texts[i] = lane.stream.bytes;
        }
    }
    let bytes = lines.put(texts.concat()).ok_or("the file is damaged: its line ends don't fit its text")?;
    if !rest.is_empty() || checksum(&bytes) != *sum {
        return Err("the file is damaged: its bytes have another checksum".into());
    }
    Ok((bytes, count))
}
