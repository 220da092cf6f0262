//! Vectors for things that have numbers.
use super::{
    fit::{sizes_of, sound},
    init,
};
use crate::{
    checked::{Check, checked},
    error::{Checked, Result},
    ops::Float,
    param::Param,
    tape::{Random, Tape, Var},
    tensor::{Index, Tensor},
};
use serde::Serialize;

/// A vector for each of a number of things: indices `[…] -> […, dim]`.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, nn::Embedding};
/// let letters = Embedding::new(26, 8, &mut Random::new(0));
/// let tape = Tape::new();
/// assert_eq!(letters.forward(&Tensor::from([[7u32, 4], [11, 11]]), &tape).shape(), &[2, 2, 8]);
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Embedding<T: Float = f32> {
    /// `[number of things, dim]`
    pub weight: Param<T>,
    /// The vector of this index gets no gradient.
    pub padding_idx: Option<isize>,
}

checked!(Embedding<T> { weight: Param<T>, padding_idx: Option<isize> });

impl<T: Float> Check for Embedding<T> {
    fn check(&self) -> Checked<()> {
        let weight = sizes_of(&self.weight)?;
        let [n, _] = weight[..] else {
            return Err(format!("weight has shape {weight}, expected [number of things, dim]"));
        };
        match self.padding_idx {
            Some(at) if at >= n as isize || at < -(n as isize) => {
                Err(format!("padding_idx {at} is out of range for {n} vectors"))
            }
            _ => Ok(()),
        }
    }
}

impl Embedding {
    /// Normal vectors, as PyTorch's.
    pub fn new(num_embeddings: usize, embedding_dim: usize, rng: &mut Random) -> Self {
        Embedding::with_dtype(num_embeddings, embedding_dim, rng)
    }
}

impl<T: Float> Embedding<T> {
    /// The same with numbers of another type: `Embedding::<f64>::with_dtype(26, 8, rng)`.
    pub fn with_dtype(num_embeddings: usize, embedding_dim: usize, rng: &mut Random) -> Self {
        Embedding {
            weight: Param::new(init::normal([num_embeddings, embedding_dim], 0.0, 1.0, rng)),
            padding_idx: None,
        }
    }

    /// A layer of these vectors, `[number of things, dim]`. They are trained unless
    /// [`set_trainable`](Param::set_trainable) says otherwise, where PyTorch's `from_pretrained` freezes them.
    ///
    /// # Errors
    /// The shape is another.
    #[doc(alias = "from_pretrained")]
    pub fn from_weights(weight: Tensor<T>) -> Result<Self> {
        sound("Embedding", Embedding { weight: Param::new(weight), padding_idx: None })
    }

    /// The vectors of the indices.
    #[track_caller]
    pub fn forward<'t, I: Index>(&self, index: &Tensor<I>, tape: &'t Tape<T>) -> Var<'t, T> {
        if let Err(message) = self.check() {
            return tape.fail_op("Embedding", message, &[]);
        }
        tape.param(&self.weight).embedding(index, self.padding_idx)
    }
}
