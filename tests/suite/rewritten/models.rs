//! Random models of every layer there is, for tests of what holds for all of them.
use kolmo::{
    autodiff::Block,
    nn::*,
    ops::{InterpolateMode, InterpolateTo},
    *,
};
use std::collections::BTreeMap;

/// Random choices: the same for the same seed.
pub struct Dice {
    random: Random,
    drawn: u64,
}

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice { random: Random::new(seed), drawn: 0 }
    }

    /// From `low` to `high`, both included.
    pub fn int(&mut self, low: usize, high: usize) -> usize {
        self.drawn += 1;
        low + (self.random.bits_at(self.drawn) % (high - low + 1) as u64) as usize
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.int(0, 99) < percent
    }

    fn divisor(&mut self, n: usize) -> usize {
        let all: Vec<usize> = (1..=n).filter(|k| n.is_multiple_of(*k)).collect();
        all[self.int(0, all.len() - 1)]
    }
}

/// Layers that take a tensor and give one.
macro_rules! layers {
    ($($name:ident)*) => {
        #[derive(Clone, serde::Serialize)]
        pub enum Part {
            $($name($name),)*
            Sequential(Sequential<Vec<Part>>),
            Residual(Vec<Part>),
            Recurrent(Recurrent),
            MultiheadAttention(MultiheadAttention, bool),
            TransformerEncoder(TransformerEncoder),
            TransformerDecoder(TransformerDecoder),
        }

        impl Part {
            pub fn name(&self) -> &'static str {
                match self {
                    $(Part::$name(_) => stringify!($name),)*
                    Part::Sequential(_) => "Sequential",
                    Part::Residual(_) => "Residual",
                    Part::Recurrent(_) => "Recurrent",
                    Part::MultiheadAttention(..) => "MultiheadAttention",
                    Part::TransformerEncoder(_) => "TransformerEncoder",
                    Part::TransformerDecoder(_) => "TransformerDecoder",
                }
            }
        }

        pub const NAMES: &[&str] = &[
            $(stringify!($name),)*
            "Sequential", "Residual", "Recurrent", "MultiheadAttention", "TransformerEncoder", "TransformerDecoder",
        ];

        impl Layer for Part {
            fn forward<'t>(&self, x: &Var<'t>) -> Var<'t> {
                match self {
                    $(Part::$name(layer) => Layer::<f32>::forward(layer, x),)*
                    Part::Sequential(layers) => layers.forward(x),
                    Part::Residual(parts) => x + parts.iter().fold(x.clone(), |x, part| Layer::forward(part, &x)),
                    Part::Recurrent(layer) => {
                        let (y, end) = layer.forward(x, None);
                        y + end.hidden.mean()
                    }
                    Part::MultiheadAttention(layer, is_causal) => {
                        layer.forward(x, x, x, &AttentionMasks::new().is_causal(*is_causal))
                    }
                    Part::TransformerEncoder(layer) => layer.forward(x, &AttentionMasks::causal()),
                    Part::TransformerDecoder(layer) => {
                        layer.forward(x, &(x * 0.75), &AttentionMasks::causal(), &AttentionMasks::default())
                    }
                }
            }
        }
    };
}

layers! {
    Linear BatchNorm LayerNorm GroupNorm RmsNorm InstanceNorm Dropout Dropout2d Conv1d Conv2d ConvTranspose1d ConvTranspose2d
    MaxPool1d MaxPool2d AvgPool1d AvgPool2d AdaptiveAvgPool2d AdaptiveMaxPool2d Upsample Flatten PRelu Identity Relu Tanh Sigmoid
    Silu Gelu GeluTanh Relu6 Selu Softsign Hardsigmoid Hardswish Mish LogSigmoid Tanhshrink LeakyRelu Elu Celu Softplus Hardtanh
    Hardshrink Softshrink Glu Softmax LogSoftmax
}

/// A block that can be run again.
impl Block<f32> for Part {
    fn params(&self) -> Vec<Param> {
        named_params(self).into_iter().map(|(_, p)| p).collect()
    }
    fn forward<'t>(&self, x: &[Var<'t>]) -> Var<'t> {
        Layer::forward(self, &x[0])
    }
}

fn elementwise(d: &mut Dice, even: bool) -> Part {
    match d.int(0, if even { 23 } else { 22 }) {
        0 => Part::Relu(Relu),
        1 => Part::Tanh(Tanh),
        2 => Part::Sigmoid(Sigmoid),
        3 => Part::Silu(Silu),
        4 => Part::Gelu(Gelu),
        5 => Part::GeluTanh(GeluTanh),
        6 => Part::Relu6(Relu6),
        7 => Part::Selu(Selu),
        8 => Part::Softsign(Softsign),
        9 => Part::Hardsigmoid(Hardsigmoid),
        10 => Part::Hardswish(Hardswish),
        11 => Part::Mish(Mish),
        12 => Part::LogSigmoid(LogSigmoid),
        13 => Part::Tanhshrink(Tanhshrink),
        14 => Part::LeakyRelu(LeakyRelu::default()),
        15 => Part::Elu(Elu::default()),
        16 => Part::Celu(Celu::default()),
        17 => Part::Softplus(Softplus::default()),
        18 => Part::Hardtanh(Hardtanh::default()),
        19 => Part::Hardshrink(Hardshrink::default()),
        20 => Part::Softshrink(Softshrink::default()),
        21 => Part::Softmax(Softmax::default()),
        22 => Part::LogSoftmax(LogSoftmax::default()),
        _ => Part::Glu(Glu::default()),
    }
}

fn norm(d: &mut Dice, shape: &[usize]) -> Part {
    let (channels, last) = (shape[1], shape[shape.len() - 1]);
    let inner: usize = shape[2..].iter().product();
    match d.int(0, 4) {
        0 | 1 if shape.len() > 2 && inner > 1 => {
            let plain = InstanceNorm::new();
            Part::InstanceNorm(match d.int(0, 2) {
                0 => plain,
                1 => plain.affine(channels),
                _ => plain.affine(channels).track_running_stats(channels),
            })
        }
        0 => Part::BatchNorm(BatchNorm::new(channels)),
        1 => Part::BatchNorm(BatchNorm { momentum: None, ..BatchNorm::new(channels) }),
        2 => Part::GroupNorm(GroupNorm::new(d.divisor(channels), channels)),
        3 => Part::RmsNorm(RmsNorm::new([last])),
        _ => Part::LayerNorm(LayerNorm::new([last])),
    }
}

fn transformer(d: &mut Dice) -> TransformerOptions {
    let dropout = if d.chance(50) { 0.0 } else { 0.2 };
    let activation = if d.chance(50) { FeedForwardActivation::Relu } else { FeedForwardActivation::Gelu };
    let norm_first = d.chance(50);
    TransformerOptions::new()
        .dim_feedforward(6)
        .dropout(dropout)
        .activation(activation)
        .norm_first(norm_first)
}

/// A layer for values of this shape, `[n, …]`, if one comes to mind.
fn layer(d: &mut Dice, rng: &mut Random, shape: &[usize]) -> Option<Part> {
    let (channels, last, out) = (shape[1], shape[shape.len() - 1], d.int(2, 5));
    let small = shape[2..].iter().all(|&s| s <= 4);
    Some(match (shape.len(), d.int(0, 13)) {
        (_, 0 | 1) => elementwise(d, last.is_multiple_of(2)),
        (_, 2) => norm(d, shape),
        (_, 3) => match d.int(0, 2) {
            0 => Part::Dropout2d(Dropout2d { p: 0.3 }),
            1 => Part::Dropout(Dropout::new(0.3)),
            _ => Part::PRelu(PRelu::new(if d.chance(50) { 1 } else { channels })),
        },
        (_, 4) if d.chance(50) => Part::Flatten(Flatten),
        (_, 4) => Part::Identity(Identity),
        (_, 5) => Part::Residual(vec![elementwise(d, false), norm(d, shape)]),
        (_, 6) => Part::Sequential(Sequential(vec![elementwise(d, false), norm(d, shape)])),
        (2, _) => Part::Linear(Linear::new(last, out, rng)),
        (3, 7) => Part::Conv1d(Conv1d::new(channels, out, last.min(2), rng)),
        (3, 8) => Part::ConvTranspose1d(ConvTranspose1d::new(channels, out, 2, rng)),
        (3, 9) if last > 1 => match d.chance(50) {
            true => Part::MaxPool1d(MaxPool1d::new(2)),
            false => Part::AvgPool1d(AvgPool1d::new(2)),
        },
        (3, 10) => {
            let cell =
                [RecurrentMode::RnnTanh, RecurrentMode::RnnRelu, RecurrentMode::Lstm, RecurrentMode::Gru]
                    [d.int(0, 3)];
            let layer = Recurrent::with_options(
                cell,
                last,
                out,
                RecurrentOptions::new().num_layers(d.int(1, 2)).bidirectional(d.chance(50)),
                rng,
            );
            Part::Recurrent(Recurrent { dropout: if d.chance(30) { 0.2 } else { 0.0 }, ..layer })
        }
        (3, 11) => {
            let layer = MultiheadAttention::new(last, d.divisor(last), rng).ok()?;
            Part::MultiheadAttention(layer, d.chance(50))
        }
        (3, 12) => {
            let options = transformer(d);
            Part::TransformerEncoder(
                TransformerEncoder::with_options(last, d.divisor(last), 1, options, rng).ok()?,
            )
        }
        (3, 13) => {
            let options = transformer(d);
            Part::TransformerDecoder(
                TransformerDecoder::with_options(last, d.divisor(last), 1, options, rng).ok()?,
            )
        }
        (3, _) => Part::Linear(Linear::new(last, out, rng)),
        (4, 7) if small => Part::Upsample(Upsample {
            to: InterpolateTo::Scale(2.0),
            mode: if d.chance(50) {
                InterpolateMode::Nearest
            } else {
                InterpolateMode::Linear { align_corners: false }
            },
        }),
        (4, 8) if small => Part::ConvTranspose2d(ConvTranspose2d::new(channels, out, 2, rng)),
        (4, 9) if shape[2..].iter().all(|&s| s > 1) => match d.chance(50) {
            true => Part::MaxPool2d(MaxPool2d::new(2)),
            false => Part::AvgPool2d(AvgPool2d::new(2)),
        },
        (4, 10) => match d.chance(50) {
            true => Part::AdaptiveAvgPool2d(AdaptiveAvgPool2d::new([Some(2), None])),
            false => Part::AdaptiveMaxPool2d(AdaptiveMaxPool2d::new([2, 3])),
        },
        (4, _) => Part::Conv2d(Conv2d::new(channels, out, 3, rng).padding(1)),
        _ => return None,
    })
}

/// Vectors of indices beside the input, if it is `[n, length, 4]`; parts in a chain; a linear layer at the
/// end.
#[derive(serde::Serialize)]
pub struct Model {
    pub embedding: Option<Embedding>,
    pub parts: Vec<Part>,
    pub head: Linear,
    #[serde(skip)]
    pub shape: Vec<usize>,
}

/// Labels, `0` to one less.
pub const CLASSES: usize = 3;

impl Model {
    /// The model of a seed: the same weights each time.
    pub fn new(seed: u64) -> Model {
        let (mut d, mut rng) = (Dice::new(seed), Random::new(seed ^ 0x5eed));
        let shape = match d.int(0, 2) {
            0 => vec![4, 6],
            1 => vec![4, 3, 4],
            _ => vec![4, 2, 4, 5],
        };
        let embedding = (shape.len() == 3 && d.chance(50)).then(|| Embedding::new(7, 4, &mut rng));
        let (mut parts, mut now) = (Vec::new(), shape.clone());
        let (wanted, mut tries) = (d.int(2, 7), 0);
        while parts.len() < wanted && tries < 50 {
            tries += 1;
            let Some(part) = layer(&mut d, &mut rng, &now) else { continue };
            let tape = Tape::inference();
            let y = Layer::forward(&part, &tape.constant(Tensor::ones(&now[..])));
            if let Ok(y) = y.value()
                && (1..600).contains(&y.numel())
            {
                now = y.shape().to_vec();
                parts.push(part);
            }
        }
        let head = Linear::new(now[1..].iter().product(), CLASSES, &mut rng);
        Model { embedding, parts, head, shape }
    }

    /// Numbers, indices and labels of a step. Some are zeros or equal.
    pub fn batch(&self, step: u64) -> (Tensor, Tensor<u32>, Tensor<u32>) {
        let rng = &mut Random::new(1000 + step);
        let x: Tensor = match step % 4 {
            3 => Tensor::full(&self.shape[..], 0.5),
            2 => init::normal(&self.shape[..], 0.0, 3.0, rng),
            _ => init::normal(&self.shape[..], 0.0, 1.0, rng),
        };
        let index = Tensor::from_fn(&self.shape[..2], |i| ((i as u64 * 5 + step) % 7) as u32);
        (x, index, Tensor::from_fn([self.shape[0]], |i| ((i as u64 * 7 + step) % CLASSES as u64) as u32))
    }

    /// The loss, where `run` applies the chain of parts.
    pub fn loss<'t>(
        &self,
        x: &Var<'t>,
        index: &Tensor<u32>,
        labels: &Tensor<u32>,
        run: impl FnOnce(&[Part], &Var<'t>) -> Var<'t>,
    ) -> Var<'t> {
        let x = match &self.embedding {
            Some(table) => x + table.forward(index, x.tape()),
            None => x.clone(),
        };
        self.head.forward(&run(&self.parts, &x).flatten(1, -1)).cross_entropy(labels)
    }

    pub fn bits(&self) -> BTreeMap<String, Vec<u32>> {
        let bits = |p: &Param| p.value().to_vec().iter().map(|v| v.to_bits()).collect();
        named_params(self).into_iter().map(|(name, p)| (name, bits(&p))).collect()
    }

    pub fn chain(&self) -> String {
        self.parts.iter().map(Part::name).collect::<Vec<_>>().join(", ")
    }
}
