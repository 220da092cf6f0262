//! Texts that a model goes on with, token by token: a prompt, or turns of a conversation.
use crate::{folder::Fails, open::Source};
use kolmo::{
    Random, Tape,
    nn::{KvCache, Sampling},
};
use std::{
    io::{BufRead, Write},
    time::Instant,
};
use tokenizers::Tokenizer;

/// What was said so far, in the model's caches.
pub struct Talk<'a> {
    source: &'a Source,
    caches: Vec<KvCache>,
    /// Said, and not in the caches yet.
    pending: Vec<u32>,
    tape: Tape,
    sampling: Sampling,
    rng: Random,
}

/// What was said, without the token that ended it.
pub struct Made {
    pub tokens: Vec<u32>,
    /// Seconds until the first token was known, and from then on.
    pub first: f64,
    pub rest: f64,
}

impl<'a> Talk<'a> {
    pub fn new(source: &'a Source, sampling: Sampling, seed: u64) -> Talk<'a> {
        let (caches, pending) = (source.model.caches(), Vec::new());
        Talk { source, caches, pending, tape: Tape::inference(), sampling, rng: Random::new(seed) }
    }

    /// Goes on after these tokens until one that `ends` the text, `most` at most, and gives `each` piece of
    /// text as it is known.
    pub fn go_on(
        &mut self,
        tokens: &[u32],
        most: usize,
        ends: &[u32],
        mut each: impl FnMut(&str) -> std::io::Result<()>,
    ) -> Fails<Made> {
        let (began, mut first) = (Instant::now(), 0.0);
        self.pending.extend(tokens);
        // A letter may be several tokens.
        let mut text = self.source.tokenizer.decode_stream(true);
        let mut made = Vec::new();
        while made.len() < most && !self.pending.is_empty() {
            self.tape.reset();
            let logits = self.source.model.forward(&self.tape, &self.pending[..], &mut self.caches, true);
            self.pending = self.sampling.sample(logits.value()?, &mut self.rng)?;
            if made.is_empty() {
                first = began.elapsed().as_secs_f64();
            }
            if self.pending.iter().any(|token| ends.contains(token)) {
                self.pending.clear();
                break;
            }
            made.extend(&self.pending);
            for token in &self.pending {
                if let Some(piece) = text.step(*token)? {
                    each(&piece)?;
                }
            }
        }
        Ok(Made { tokens: made, first, rest: began.elapsed().as_secs_f64() - first })
    }
}

/// Turns as ChatML has them: `<|im_start|>role`, a line, the text, `<|im_end|>`.
pub struct ChatMl {
    end: u32,
    /// What stands before the first turn if the user doesn't say.
    system: Option<String>,
}

const START: &str = "<|im_start|>";
const END: &str = "<|im_end|>";

impl ChatMl {
    /// The form of a model's own template, which must be this one.
    pub fn of(template: Option<&str>, tokenizer: &Tokenizer) -> Fails<ChatMl> {
        let template =
            template.ok_or("the model has no template of conversations: it isn't made for them")?;
        let end = tokenizer.token_to_id(END).filter(|_| template.contains(START) && template.contains(END));
        let end = end.ok_or("the model's template of conversations is not ChatML, which is known here")?;
        // Where a template has words for the beginning, they stand in it as they are.
        let [whole, written] = ["\n", "\\n"].map(|line| template.split_once(&format!("{START}system{line}")));
        let system =
            whole.or(written).and_then(|(_, rest)| rest.split_once(END)).map(|(words, _)| words.to_string());
        Ok(ChatMl { end, system: system.filter(|words| !words.contains(['{', '}', '\'', '+'])) })
    }

    /// What stands before the first turn.
    fn opening(&self, system: Option<&str>) -> String {
        let words = system.or(self.system.as_deref()).filter(|words| !words.is_empty());
        words.map_or(String::new(), |words| format!("{START}system\n{words}{END}\n"))
    }

    /// A turn of the user's, up to where the model goes on.
    fn turn(words: &str) -> String {
        format!("{START}user\n{words}{END}\n{START}assistant\n")
    }

    /// Answers each line of the input, going on from all that was said before.
    pub fn talk(
        &self,
        talk: &mut Talk,
        system: Option<&str>,
        most: usize,
        input: impl BufRead,
        output: &mut impl Write,
    ) -> Fails<()> {
        let mut before = self.opening(system);
        for line in input.lines() {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            let tokens = talk.source.tokenizer.encode(before + &ChatMl::turn(line.trim()), false)?;
            talk.go_on(tokens.get_ids(), most, &[self.end], |piece| {
                write!(output, "{piece}")?;
                output.flush()
            })?;
            writeln!(output)?;
            before = format!("{END}\n");
        }
        Ok(())
    }
}
