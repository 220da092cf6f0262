//! Layers with one input and one output: linear, dropout, and layers in a row.
use super::{
    fit::{refused, shaped_if, sizes_of, sound},
    init,
};
use crate::{
    checked::{Check, checked, probability},
    error::{Checked, Result},
    ops::Float,
    param::Param,
    tape::{Random, Var},
    tensor::Tensor,
};
use serde::{Deserialize, Serialize};

/// One value in, one value out: what [`Sequential`] is made of. Models themselves need no trait.
///
/// ```
/// use kolmo::{Tape, Tensor, Var, nn::{Layer, Param, Sequential, Tanh}};
/// #[derive(serde::Serialize)]
/// struct Scale {
///     factor: Param,
/// }
/// impl Layer for Scale {
///     fn forward<'t>(&self, x: &Var<'t>) -> Var<'t> {
///         x * x.tape().param(&self.factor)
///     }
/// }
/// let net = Sequential((Scale { factor: Param::new(Tensor::from([0.5f32])) }, Tanh));
/// let tape = Tape::new();
/// assert_eq!(net.forward(&tape.constant([0.0, 2.0])).to_vec()?[0], 0.0);
/// # Ok::<(), kolmo::Error>(())
/// ```
pub trait Layer<T: Float = f32> {
    /// The layer's value.
    fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T>;
}

/// `x·Wᵀ + b`: `[…, in] -> […, out]`.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, nn::{Layer, Linear}};
/// let layer = Linear::new(3, 2, &mut Random::new(0));
/// let tape = Tape::new();
/// assert_eq!(layer.forward(&tape.constant(Tensor::ones([5, 3]))).shape(), &[5, 2]);
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Linear<T: Float = f32> {
    /// `[out, in]`
    pub weight: Param<T>,
    /// `[out]`
    pub bias: Option<Param<T>>,
}

checked!(Linear<T> { weight: Param<T>, bias: Option<Param<T>> });

impl<T: Float> Check for Linear<T> {
    fn check(&self) -> Checked<()> {
        let weight = sizes_of(&self.weight)?;
        match weight[..] {
            [outputs, _] => shaped_if("bias", &self.bias, &[outputs]),
            _ => Err(format!("weight has shape {weight}, expected [out, in]")),
        }
    }
}

impl Linear {
    /// A layer with PyTorch's starting values: weight and bias uniform within ±1/√in.
    pub fn new(in_features: usize, out_features: usize, rng: &mut Random) -> Self {
        Linear::with_dtype(in_features, out_features, rng)
    }
}

impl<T: Float> Linear<T> {
    /// The same with numbers of another type: `Linear::<f64>::with_dtype(3, 2, rng)`.
    pub fn with_dtype(in_features: usize, out_features: usize, rng: &mut Random) -> Self {
        let bound = 1.0 / (in_features.max(1) as f64).sqrt();
        Linear {
            weight: Param::new(init::uniform([out_features, in_features], -bound, bound, rng)),
            bias: Some(Param::new(init::uniform([out_features], -bound, bound, rng))),
        }
    }

    /// A layer of weights `[out, in]` and, unless it has none, a bias `[out]`.
    ///
    /// ```
    /// use kolmo::{Tape, Tensor, nn::{Layer, Linear}};
    /// let sum = Linear::from_weights(Tensor::from([[1.0, 1.0]]), Some(Tensor::from([0.5])))?;
    /// assert_eq!(sum.forward(&Tape::<f64>::new().constant([[2.0, 3.0]])).to_vec()?, [5.5]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// The shapes are others.
    pub fn from_weights(weight: Tensor<T>, bias: Option<Tensor<T>>) -> Result<Self> {
        sound("Linear", Linear { weight: Param::new(weight), bias: bias.map(Param::new) })
    }

    /// With `false`, the layer without its bias.
    pub fn bias(self, bias: bool) -> Self {
        Linear { bias: self.bias.filter(|_| bias), ..self }
    }

    /// The layer's value without making the weight, where operations before its use let it.
    #[track_caller]
    fn adapted<'t>(&self, x: &Var<'t, T>) -> Option<Var<'t, T>> {
        let fits = || self.check().is_ok() && x.shape().last() == self.weight.shape().last();
        if self.weight.has_custom() && fits() { self.weight.product(x, &self.bias) } else { None }
    }
}

impl<T: Float> Layer<T> for Linear<T> {
    #[track_caller]
    fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
        if let Some(y) = self.adapted(x) {
            return y;
        }
        let weight = x.tape().param(&self.weight);
        let bias = x.tape().optional_param(&self.bias);
        // The layer is only asked what is wrong when something is.
        let fits = match weight.shape()[..] {
            [outputs, inputs] => {
                let bias = bias.as_ref().is_none_or(|bias| bias.shape()[..] == [outputs]);
                bias && x.shape().last() == Some(&inputs)
            }
            _ => false,
        };
        let wrong = || {
            self.check()?;
            Err(format!("takes […, {}], not {}", weight.dim(1), x.shape()))
        };
        if fits {
            return x.linear(&weight, bias.as_ref());
        }
        let inputs = [Some(x), Some(&weight), bias.as_ref()];
        let inputs: Vec<&Var<'t, T>> = inputs.into_iter().flatten().collect();
        refused("Linear", &inputs, wrong).unwrap_or_else(|| x.clone())
    }
}

/// In training, sets each element to zero with probability `p` and scales the others by `1 / (1 - p)`; in
/// evaluation, does nothing. Mode and random numbers are the tape's.
///
/// ```
/// use kolmo::{Tape, Tensor, nn::{Dropout, Layer}};
/// let x = Tensor::<f32>::ones([1000]);
/// let tape = Tape::new(); // in training mode
/// let dropped = Dropout::new(0.4).forward(&tape.constant(&x)).to_vec()?;
/// assert!(dropped.iter().all(|&v| v == 0.0 || (v - 1.0 / 0.6).abs() < 1e-6));
/// let eval = Tape::inference();
/// assert_eq!(Dropout::new(0.4).forward(&eval.constant(&x)).value()?, &x);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Dropout {
    /// Probability of zero, from 0 to 1.
    pub p: f64,
}

checked!(Dropout { p: f64 });

impl Check for Dropout {
    fn check(&self) -> Checked<()> {
        probability("p", self.p)
    }
}

impl Dropout {
    /// Dropout with this probability of zero.
    pub fn new(p: f64) -> Self {
        Dropout { p }
    }
}

impl<T: Float> Layer<T> for Dropout {
    #[track_caller]
    fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
        x.dropout(self.p)
    }
}

/// # Dropout
impl<'t, T: Float> Var<'t, T> {
    /// See [`Dropout`].
    #[track_caller]
    pub fn dropout(&self, p: f64) -> Var<'t, T> {
        let tape = self.tape();
        if !(0.0..=1.0).contains(&p) {
            return tape.fail_op("dropout", format!("probability {p} is not between 0 and 1"), &[self]);
        }
        if !tape.is_training() || p == 0.0 || self.failed_id().is_some() {
            return self.clone();
        }
        let random = tape.draw(self.numel());
        let keep = if p < 1.0 { T::from_f64(1.0 / (1.0 - p)) } else { T::constant(0.0) };
        let mask = Tensor::from_fn(self.shape(), |i| {
            if random.uniform_at(i as u64) < p { T::constant(0.0) } else { keep }
        });
        self * tape.constant(mask)
    }
}

/// Layers one after the other: a tuple of up to twelve of any kinds, or a `Vec` of one kind.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, nn::{Layer, Linear, Relu, Sequential, named_params}};
/// let rng = &mut Random::new(0);
/// let net = Sequential((Linear::new(4, 8, rng), Relu, Linear::new(8, 2, rng)));
/// let tape = Tape::new();
/// assert_eq!(net.forward(&tape.constant(Tensor::ones([1, 4]))).shape(), &[1, 2]);
/// assert_eq!(named_params::<f32>(&net)[2].0, "2.weight");
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sequential<L>(pub L);

impl<T: Float, L: Layer<T>> Layer<T> for Sequential<L> {
    #[track_caller]
    fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
        self.0.forward(x)
    }
}

impl<T: Float, L: Layer<T>> Layer<T> for Vec<L> {
    #[track_caller]
    fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
        let mut x = x.clone();
        for layer in self {
            x = layer.forward(&x);
        }
        x
    }
}

macro_rules! tuples {
    ($($first:ident $($l:ident)*;)*) => {$(
        impl<T: Float, $first: Layer<T>, $($l: Layer<T>),*> Layer<T> for ($first, $($l,)*) {
            #[track_caller]
            #[allow(non_snake_case)]
            fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
                let ($first, $($l,)*) = self;
                let x = $first.forward(x);
                $(let x = $l.forward(&x);)*
                x
            }
        }
    )*};
}
tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
    A B C D E F G H I;
    A B C D E F G H I J;
    A B C D E F G H I J K;
    A B C D E F G H I J K L;
}
