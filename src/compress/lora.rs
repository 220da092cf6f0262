//! Fine-tuning by what is added to frozen weights: two thin matrices each, trained and kept apart from the
//! model.
use super::filter::{each_field, picks_some};
use crate::{
    checked::{Check, checked, probability},
    error::{Checked, Error, Result},
    nn::init,
    ops::Float,
    param::{Param, Parametrize, shown, visit_fields},
    tape::{Random, Var},
    tensor::{Shape, Tensor},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Adapters of low rank (Hu et al., 2021): a weight `W`, frozen in whatever form it is held, is used as
/// `W + α/r · B·A` with `A` `[r, in]`, `B` `[out, r]`. Options have peft's names, defaults and meaning.
///
/// The model needs nothing for it. In a [`Linear`](crate::nn::Linear) layer the adapter is two thin products
/// beside the one with `W`, which may be packed and stays so (Dettmers et al., 2023): no gradient of its size
/// is made. Everywhere else the sum is made, and its dropout left out.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, compress::{Adapters, Lora, matrices, quantize::WeightOnly}};
/// use kolmo::{nn::{Layer, Linear}, optim::{AdamW, Optimizer}};
/// let (rng, net) = (&mut Random::new(0), Linear::new(64, 32, &mut Random::new(1)));
/// WeightOnly::new(4).groups(32).apply(&net, matrices)?;
/// let adapters: Adapters = Lora::new(2).lora_alpha(4.0).attach(&net, matrices, rng)?;
/// let (mut adam, mut losses) = (AdamW::new(0.01), Vec::new());
/// let mut tape = Tape::new();
/// for _ in 0..20 {
///     let y = net.forward(&tape.constant(Tensor::ones([1, 64])));
///     let loss = y.square().mean();
///     losses.push(loss.item()?);
///     adam.step(&adapters, &loss.backward()?)?; // the adapters are what is trained
///     tape.reset();
/// }
/// assert!(losses[19] < 0.5 * losses[0] && net.weight.value().packed().is_some());
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[must_use = "it does nothing until it is attached to a model"]
#[doc(alias("LoraConfig", "get_peft_model", "qlora"))]
pub struct Lora {
    r: usize,
    lora_alpha: f64,
    lora_dropout: f64,
}

checked!(Lora { r: usize, lora_alpha: f64, lora_dropout: f64 });

impl Check for Lora {
    fn check(&self) -> Checked<()> {
        if self.r == 0 {
            return Err("rank 0: takes 1 or more".into());
        }
        if !self.lora_alpha.is_finite() {
            return Err(format!("lora_alpha is {}", self.lora_alpha));
        }
        probability("lora_dropout", self.lora_dropout)
    }
}

impl Default for Lora {
    fn default() -> Lora {
        Lora::new(8)
    }
}

/// What [`Lora`] adds to a model's weights, by their names: a model in itself, which optimisers train, and
/// [`save_safetensors`](crate::train::save_safetensors) writes to a file of its own. Names are peft's after
/// its prefix: what adapts `q_proj.weight` is `q_proj.lora_A.weight` and `q_proj.lora_B.weight`.
#[derive(Clone, Debug, Serialize)]
pub struct Adapters<T: Float = f32>(BTreeMap<String, Adapter<T>>);

/// Two thin matrices, and what their product is multiplied by.
#[derive(Clone, Debug, Serialize)]
struct Adapter<T: Float> {
    #[serde(rename = "lora_A")]
    a: Thin<T>,
    #[serde(rename = "lora_B")]
    b: Thin<T>,
    #[serde(skip)]
    scale: f64,
    #[serde(skip)]
    dropout: f64,
}

#[derive(Clone, Debug, Serialize)]
struct Thin<T: Float> {
    weight: Param<T>,
}

impl Lora {
    /// Adapters of this rank, `lora_alpha` 8, without dropout.
    pub fn new(r: usize) -> Lora {
        Lora { r, lora_alpha: 8.0, lora_dropout: 0.0 }
    }

    /// What the product is multiplied by, times the rank.
    pub fn lora_alpha(self, lora_alpha: f64) -> Lora {
        Lora { lora_alpha, ..self }
    }

    /// The probability that an input of `A` is dropped in training.
    pub fn lora_dropout(self, lora_dropout: f64) -> Lora {
        Lora { lora_dropout, ..self }
    }

    /// Freezes a model, and puts adapters between those of its matrices that `filter` picks and their use:
    /// `A` uniform within ±1/√in, `B` zero, so that at first nothing is changed.
    ///
    /// # Errors
    /// Rank 0, a probability that is none; a filter that picks nothing, or a parameter that isn't
    /// `[out, in]`, or has operations of its own already. Nothing has changed then.
    pub fn attach<T: Float, M: Serialize + ?Sized>(
        self,
        model: &M,
        filter: impl Fn(&str, &Shape) -> bool,
        rng: &mut Random,
    ) -> Result<Adapters<T>> {
        let wrong = |why: String| Error::invalid("Lora", why);
        self.check().map_err(wrong)?;
        let mut picked = Vec::new();
        visit_fields(model, |path, p: &Param<T>| {
            let name = path.to_string();
            if filter(&name, &p.shape()) {
                picked.push((name, p.clone()));
            }
        });
        picks_some("Lora", model, picked.len())?;
        let mut all = BTreeMap::new();
        for (name, p) in &picked {
            let (shape, named) = (p.shape(), shown(name));
            let [outputs, inputs] = shape[..] else {
                return Err(wrong(format!("{named} has shape {shape}, not [out, in]")));
            };
            if p.has_custom() {
                return Err(wrong(format!("{named} has an operation of its own: bake it first")));
            }
            let adapter =
                self.adapter(inputs, outputs, rng).map_err(|why| wrong(format!("{named}: {why}")))?;
            all.insert(module(name).to_string(), adapter);
        }
        each_field!(model, |_name, p| p.set_trainable(false));
        for (name, p) in &picked {
            all.get(module(name)).into_iter().for_each(|adapter| p.parametrize(adapter.clone()));
        }
        Ok(Adapters(all))
    }

    fn adapter<T: Float>(self, inputs: usize, outputs: usize, rng: &mut Random) -> Checked<Adapter<T>> {
        let bound = 1.0 / (inputs.max(1) as f64).sqrt();
        let thin = |weight: Tensor<T>| weight.made().map(|weight| Thin { weight: Param::new(weight) });
        Ok(Adapter {
            a: thin(init::uniform([self.r, inputs], -bound, bound, rng))?,
            b: thin(Tensor::zeros([outputs, self.r]))?,
            scale: self.lora_alpha / self.r as f64,
            dropout: self.lora_dropout,
        })
    }
}

/// The name of what has a weight of this name.
fn module(name: &str) -> &str {
    name.strip_suffix(".weight").unwrap_or(name)
}

impl<T: Float> Adapters<T> {
    /// Makes what they add part of a model's weights, which become floats:
    /// [`WeightOnly`](super::quantize::WeightOnly) or [`store_half`](super::quantize::store_half) gives them
    /// a form again.
    ///
    /// # Errors
    /// A weight that they were attached to isn't there, or there is no room; those before it are floats then.
    #[doc(alias = "merge_and_unload")]
    pub fn merge<M: Serialize + ?Sized>(&self, model: &M) -> Result<()> {
        let mut adapted = BTreeMap::new();
        visit_fields(model, |path, p: &Param<T>| {
            let name = path.to_string();
            if p.has_custom() && self.0.contains_key(module(&name)) {
                adapted.insert(module(&name).to_string(), p.clone());
            }
        });
        for name in self.0.keys() {
            let none = || Error::invalid("Adapters::merge", format!("nothing is attached to {name}"));
            adapted.get(name).ok_or_else(none)?.bake()?;
        }
        Ok(())
    }
}

impl<T: Float> Parametrize<T> for Adapter<T> {
    fn apply<'t>(&self, weight: &Var<'t, T>) -> Var<'t, T> {
        let [a, b] = [&self.a, &self.b].map(|thin| weight.tape().param(&thin.weight));
        weight + b.matmul(&a) * self.scale
    }

    fn product<'t>(&self, x: &Var<'t, T>) -> Option<Var<'t, T>> {
        let [a, b] = [&self.a, &self.b].map(|thin| x.tape().param(&thin.weight));
        Some((x.dropout(self.dropout).linear(&a, None) * self.scale).linear(&b, None))
    }
}
