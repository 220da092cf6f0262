//! Heads, hidden units and blocks cut out of a model, which then learns from the whole one.
use crate::{
    fit::{count, fit},
    folder::{Fails, busy},
    model::{Bert, Filled, Sentences},
    pruning::{Pruning, thaw},
};
use kolmo::{
    Tape, Tensor,
    compress::{
        Channels,
        scores::{ScoreCriterion, Scores},
    },
    nn::init,
    ops::AttentionOptions,
    tensor::Shape,
};
use std::collections::BTreeMap;

/// Names of the parameters that have hidden units, and heads.
const PARTS: [&str; 2] = [".intermediate.", ".key."];

impl Sentences {
    /// Cuts out what these lines need least, and trains what is left towards the vectors that they had.
    pub fn prune(&mut self, how: &Pruning, lines: &[&str], batch: usize) -> Fails<()> {
        thaw(&self.bert);
        let wanted = self.embed(lines, batch)?;
        if how.prune_blocks > 0 {
            let influence = busy("blocks", || self.influence(lines, batch))?;
            let gone = how.blocks(&influence)?;
            for &block in &gone {
                self.bert.encoder.layer.remove(block);
            }
            eprintln!("without the blocks {gone:?}");
        }
        if how.prunes_channels() {
            let scores = busy("scores", || self.scores(lines, batch))?;
            let (bert, tape) = (&self.bert, Tape::inference());
            let example = bert.embedded(&self.tokens(lines[0])?, &tape).value()?.clone();
            let channels = busy("channels", || {
                Channels::trace(bert, &example, |x| bert.blocks(x, &AttentionOptions::new(), |_, _| {}))
            })?;
            how.cut(bert, &channels, &scores, PARTS)?;
        }
        let weights: usize =
            kolmo::nn::named_params::<f32>(&self.bert).iter().map(|(_, p)| p.shape().numel()).sum();
        eprintln!("{weights} weights are left");
        self.distill(how, lines, &wanted)
    }

    /// How much each block changes what goes through it: 1 less the mean cosine of before and after (Men et al.,
    /// 2024).
    fn influence(&self, lines: &[&str], batch: usize) -> Fails<Vec<f64>> {
        let mut sums = vec![0.0; self.bert.encoder.layer.len()];
        for some in lines.chunks(batch.max(1)) {
            let (tape, filled) = (Tape::inference(), self.filled(some)?);
            let options = AttentionOptions::new().attn_mask(filled.keys()?);
            let there = tape.constant(filled.there.cast::<f32>());
            let mut each = Vec::new();
            let _ = self.bert.blocks(&self.bert.embedded(&filled.ids, &tape), &options, |before, after| {
                each.push(((1.0 - before.cosine_similarity(after, -1, 1e-8)) * &there).sum());
            });
            for (sum, change) in sums.iter_mut().zip(&each) {
                *sum += f64::from(change.item()?);
            }
        }
        Ok(sums)
    }

    /// By the derivatives of vectors along random directions.
    fn scores(&self, lines: &[&str], batch: usize) -> Fails<Scores> {
        let rng = &mut kolmo::Random::new(0);
        let (mut scores, mut tape) = (Scores::new(ScoreCriterion::Taylor), Tape::new());
        self.each_batch(lines, batch, &mut tape, |tape, _, run| {
            let vectors = run()?;
            let along: Tensor = init::normal(&vectors.shape()[..], 0.0, 1.0, rng);
            Ok(scores.add(&self.bert, &(&vectors * tape.constant(along)).sum().backward()?)?)
        })?;
        Ok(scores)
    }

    /// Towards as much likeness of each line's vector to its own before as can be had.
    fn distill(&self, how: &Pruning, lines: &[&str], wanted: &Tensor) -> Fails<()> {
        how.train(&self.bert, |tape, rng| {
            let some: Vec<usize> = (0..how.distill_batch.max(1))
                .map(|_| rng.randint(0..lines.len()))
                .collect::<kolmo::Result<_>>()?;
            let filled = self.filled(&some.iter().map(|&i| lines[i]).collect::<Vec<_>>())?;
            let index = Tensor::from(some.iter().map(|&i| i as u32).collect::<Vec<_>>());
            let wanted = tape.constant(wanted).index_select(0, &index);
            Ok(1.0 - (self.vectors(&filled, tape)? * wanted).sum_dim(1, false).mean())
        })
    }

    fn filled(&self, lines: &[&str]) -> Fails<Filled> {
        let tokens = self.tokenizer.encode_batch(lines.to_vec(), true)?;
        Ok(Filled::new(&tokens.iter().map(|line| line.get_ids()).collect::<Vec<_>>()))
    }
}

impl Bert {
    /// Makes the model ready for the weights of a file, whose model may have been pruned.
    pub fn fit(&mut self, file: &BTreeMap<String, Shape>) -> Fails<()> {
        self.encoder.layer.truncate(count(file, "encoder.layer.").max(1));
        fit(self, file, |name| {
            let ends = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
            match () {
                () if ends(&[".query.", ".key.", ".value.", ".intermediate."]) => Some(0),
                () if name.ends_with("output.dense.weight") => Some(1),
                () => None,
            }
        })?;
        for (i, block) in self.encoder.layer.iter().enumerate() {
            let (parts, width) = (&block.attention.parts, block.head_width as usize);
            let [q, k, v] = [&parts.query, &parts.key, &parts.value].map(|layer| layer.weight.shape()[0]);
            let (attended, units) =
                (block.attention.output.dense.weight.shape()[1], block.intermediate.dense.weight.shape()[0]);
            let taken = block.output.dense.weight.shape()[1];
            if [k, v, attended] != [q; 3] || q == 0 || q % width != 0 || units != taken {
                let why = format!("queries of {q}, keys of {k}, values of {v}, {units} units, {taken} taken");
                return Err(format!("sizes in layer {i} of the file don't fit each other: {why}").into());
            }
        }
        Ok(())
    }
}
