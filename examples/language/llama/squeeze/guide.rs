//! The model beside several texts at once, each of which it sees a window of.
use super::super::{folder::Fails, model::Llama};
use kolmo::{Tape, Tensor, nn::KvCache};

/// Tokens of a known text that go through the model at a time.
const AHEAD: usize = 64;

pub struct Guide<'a> {
    model: &'a Llama,
    tape: Tape,
    caches: Vec<KvCache>,
    /// Tokens that are seen of each text, all equally many; the last ones are not in the caches yet.
    seen: Vec<Vec<u32>>,
    /// How many are at most.
    window: usize,
}

impl<'a> Guide<'a> {
    /// Of so many texts, each of which begins with the same token.
    pub fn new(model: &'a Llama, texts: usize, first: u32, window: usize) -> Guide<'a> {
        let caches = model.caches();
        Guide { model, tape: Tape::inference(), caches, seen: vec![vec![first]; texts], window }
    }

    /// The logits of each text's next token. Where a window is full, its latter half is gone through again
    /// as if the text had begun there.
    pub fn logits(&mut self) -> Fails<Vec<Vec<f32>>> {
        self.tape.reset();
        let mut places = self.seen.first().map_or(0, Vec::len);
        let mut new = 1;
        if places > self.window {
            new = self.window.div_ceil(2);
            self.caches = self.model.caches();
            self.seen.iter_mut().for_each(|seen| drop(seen.drain(..places - new)));
            places = new;
        }
        let tokens: Vec<u32> = self.seen.iter().flat_map(|seen| &seen[places - new..]).copied().collect();
        let tokens = Tensor::from(tokens).reshape([self.seen.len() as isize, new as isize])?;
        let logits = self.model.forward(&self.tape, tokens, &mut self.caches, true).value()?.to_vec();
        Ok(logits.chunks(logits.len() / self.seen.len().max(1)).map(<[f32]>::to_vec).collect())
    }

    /// The same of one text whose next tokens are known: logits of as many of these as go at a time.
    pub fn logits_of(&mut self, next: &[u32]) -> Fails<Vec<Vec<f32>>> {
        let places = self.seen.first().map_or(0, Vec::len);
        if places > self.window || next.len() < 2 {
            let logits = self.logits()?;
            self.seen.iter_mut().for_each(|seen| seen.extend(next.first()));
            return Ok(logits);
        }
        self.tape.reset();
        let new = next.len().min(AHEAD).min(self.window - places + 1);
        let pending = self.seen.iter().filter_map(|seen| seen.last()).copied();
        let tokens: Vec<u32> = pending.chain(next[..new - 1].iter().copied()).collect();
        let tokens = Tensor::from(tokens).reshape([1, new as isize])?;
        let logits = self.model.forward_apart(&self.tape, tokens, &mut self.caches).value()?.to_vec();
        self.seen.iter_mut().for_each(|seen| seen.extend(&next[..new]));
        Ok(logits.chunks(logits.len() / new).map(<[f32]>::to_vec).collect())
    }

    /// So many of the first text's last tokens, or what is seen of them.
    pub fn recent(&self, count: usize) -> &[u32] {
        let seen = self.seen.first().map_or(&[][..], Vec::as_slice);
        &seen[seen.len().saturating_sub(count)..]
    }

    /// What each text goes on with, in turn; those that go on with nothing are left from then on.
    pub fn push(&mut self, tokens: &[Option<u32>]) -> Fails<()> {
        let stay: Vec<u32> = (0..).zip(tokens).filter_map(|(i, token)| token.map(|_| i)).collect();
        for (seen, token) in self.seen.iter_mut().zip(tokens) {
            seen.extend(token);
        }
        if stay.len() < tokens.len() {
            let stays = |i: usize| tokens.get(i).is_some_and(Option::is_some);
            let mut i = 0;
            self.seen.retain(|_| {
                i += 1;
                stays(i - 1)
            });
            let stay = Tensor::from(stay);
            self.caches.iter_mut().try_for_each(|cache| cache.index_select(&stay))?;
        }
        Ok(())
    }
}
