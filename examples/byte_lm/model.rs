//! A recurrent network that foretells the next byte: a table of bytes, a GRU, scores of all 256.
use crate::Result;
use kolmo::{
    Random, Tape, Tensor, Var,
    compress::{Artifact, Standalone, pack, quantize, unpack},
    nn::{Embedding, Layer, Linear, Recurrent, State},
};
use serde::Serialize;
use std::path::Path;

pub const BYTES: usize = 256;
/// Numbers that stand for a byte.
const EMBEDDED: usize = 32;

#[derive(Serialize)]
pub struct ByteLm {
    embedding: Embedding,
    gru: Recurrent,
    scores: Linear,
}

impl ByteLm {
    pub fn new(width: usize, rng: &mut Random) -> ByteLm {
        ByteLm {
            embedding: Embedding::new(BYTES, EMBEDDED, rng),
            gru: Recurrent::gru(EMBEDDED, width, rng),
            scores: Linear::new(width, BYTES, rng),
        }
    }

    pub fn width(&self) -> usize {
        self.gru.hidden_size
    }

    /// Weights of a network of this width.
    pub fn weights(width: usize) -> usize {
        BYTES * EMBEDDED + 3 * width * (EMBEDDED + width + 2) + BYTES * (width + 1)
    }

    /// Scores `[steps · n, 256]` of the byte after each of `[steps, n]`, and the state at the end.
    pub fn forward<'t>(
        &self,
        tape: &'t Tape,
        bytes: &Tensor<u32>,
        state: Option<&Tensor>,
        dropout: f64,
    ) -> (Var<'t>, State<'t>) {
        // From the last batch only a value comes: no gradient flows there.
        let state = state.map(|s| State { hidden: tape.constant(s), cell: None });
        let (y, end) =
            self.gru.forward(&self.embedding.forward(bytes, tape).dropout(dropout), state.as_ref());
        let width = y.dim(-1) as isize;
        (self.scores.forward(&y.dropout(dropout).reshape([-1, width])), end)
    }

    /// One step in operations that a program of its own can do: of `[1, 256 + width]`, a one at the byte's place
    /// and the state before, to `[1, 256 + width]`, the scores and the state behind it.
    fn step<'t>(&self, x: &Var<'t>) -> Var<'t> {
        let (tape, width) = (x.tape(), self.width());
        let (byte, state) = (x.narrow(-1, 0, BYTES), x.narrow(-1, BYTES, width));
        let given = byte.matmul(&tape.param(&self.embedding.weight));
        let side = |x: &Var<'t>, part: &str| {
            let [weight, bias] =
                ["weight", "bias"].map(|kind| &self.gru.params[&format!("{kind}_{part}_l0")]);
            x.linear(&tape.param(weight), Some(&tape.param(bias)))
        };
        let (from_byte, from_state) = (side(&given, "ih"), side(&state, "hh"));
        let gate = |x: &Var<'t>, i: usize| x.narrow(-1, i * width, width);
        let [reset, keep] = [0, 1].map(|i| (gate(&from_byte, i) + gate(&from_state, i)).sigmoid());
        let new = (gate(&from_byte, 2) + reset * gate(&from_state, 2)).tanh();
        let state = &new + keep * (&state - &new);
        tape.cat(&[&self.scores.forward(&state), &state], -1)
    }

    /// The network as a program of its own.
    pub fn program(&self) -> Result<Standalone> {
        let example = Tensor::from_fn([1, BYTES + self.width()], |i| if i == 10 { 1.0 } else { 0.0 });
        Ok(Standalone::new(&example, |x| self.step(x))?.compact(true))
    }

    /// Bits of a text that a line end stands before.
    pub fn bits(&self, text: &[u8]) -> Result<f64> {
        const LENGTH: usize = 256;
        let (tape, mut state, mut nats) = (Tape::inference(), None::<Tensor>, 0.0);
        let mut before = b'\n';
        for part in text.chunks(LENGTH) {
            let seen = [&[before], &part[..part.len() - 1]].concat();
            before = part[part.len() - 1];
            let column = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).collect::<Vec<_>>();
            let x = Tensor::from(column(&seen)).reshape([-1, 1])?;
            let (scores, end) = self.forward(&tape, &x, state.as_ref(), 0.0);
            nats += f64::from(scores.cross_entropy(&Tensor::from(column(part))).item()?) * part.len() as f64;
            state = Some(end.hidden.value()?.clone());
        }
        Ok(nats / std::f64::consts::LN_2)
    }

    /// Writes the network to a file, from which it can be made again without knowing anything else.
    pub fn save(&self, path: &Path) -> Result<()> {
        Ok(pack(self, &[("width", &self.width().to_string())])?.save(path)?)
    }

    /// The network in a file.
    pub fn load(path: &Path) -> Result<ByteLm> {
        let artifact = Artifact::load(path)?;
        let text = artifact.meta.get("width").map(String::as_str).unwrap_or_default();
        let width = text.parse().ok().filter(|width| (1..=1 << 14).contains(width));
        let width = width.ok_or_else(|| format!("{}: width {text:?}", path.display()))?;
        let net = ByteLm::new(width, &mut Random::new(0));
        unpack(&artifact, &net)?;
        quantize::thaw(&net);
        Ok(net)
    }
}
