//! Adapters of low rank that learn from a text while it is coded: the decoder, which knows the same tokens by then,
//! takes the same steps.
use super::super::{folder::Fails, model::Llama};
use kolmo::{
    Random, Tape, Tensor,
    compress::{Adapters, HalfFloat, Lora, quantize::store_half},
    nn::{Param, named_params},
    optim::{Adam, Optimizer},
};

/// Tokens between two steps.
pub const EVERY: usize = 512;
const RANK: usize = 16;
const RATE: f64 = 2e-3;
/// What gets adapters, of each block.
const ADAPTED: [&str; 4] = ["attn_q.weight", "attn_v.weight", "attn_output.weight", "ffn_down.weight"];

pub struct Learner {
    adapters: Adapters,
    adam: Adam,
    tape: Tape,
    params: Vec<Param>,
    /// What they have learnt: in full, where the model uses halves, whose products don't depend on how many rows
    /// there are.
    learnt: Vec<Tensor>,
}

impl Learner {
    /// Puts adapters beside a model's weights, which change nothing yet.
    ///
    /// # Errors
    /// The model has adapters.
    pub fn beside(model: &Llama) -> Fails<Learner> {
        let adapted = |name: &str, _: &_| ADAPTED.iter().any(|end| name.ends_with(end));
        let adapters: Adapters = Lora::new(RANK).attach(model, adapted, &mut Random::new(0))?;
        let params: Vec<Param> = named_params(&adapters).into_iter().map(|(_, p)| p).collect();
        let learnt = params.iter().map(Param::value).collect();
        let learner = Learner { adapters, adam: Adam::new(RATE), tape: Tape::new(), params, learnt };
        learner.rounded()?;
        Ok(learner)
    }

    /// A step on tokens, the first of which was given.
    pub fn learn(&mut self, model: &Llama, tokens: &[u32]) -> Fails<()> {
        let Some((_, before)) = tokens.split_last().filter(|(_, before)| !before.is_empty()) else {
            return Ok(());
        };
        for (p, value) in self.params.iter().zip(&self.learnt) {
            p.set(value.clone());
            p.set_trainable(true);
        }
        let logits = model.forward(&self.tape, before, &mut [], false);
        let loss = logits.cross_entropy(&Tensor::from(&tokens[1..]));
        self.adam.step(&self.adapters, &loss.backward()?)?;
        drop((logits, loss));
        self.tape.reset();
        self.learnt = self.params.iter().map(Param::value).collect();
        self.rounded()
    }

    /// Halves for the model's use.
    fn rounded(&self) -> Fails<()> {
        Ok(store_half(&self.adapters, HalfFloat::F16, |_, _| true)?)
    }
}
