//! Logistic mixing: log-odds are added with weights that a gradient step on the code length of each bit
//! improves. Several sets of weights, each chosen by a context of its own, give predictions that a second
//! layer mixes in the same way.
use super::numbers::{LANES, add_scaled, dot, squash};

/// One layer: for each selector a table of weight sets over the same inputs.
pub struct Layer {
    inputs: usize,
    weights: Vec<f32>,
    /// What the weights of a set begin with. Memory that was never asked for stays untouched until a set is
    /// chosen.
    first: Vec<f32>,
    used: Vec<bool>,
    /// Where the sets of each selector begin.
    starts: Vec<usize>,
    chosen: Vec<usize>,
    /// The probability that each chosen set gives.
    outputs: Vec<f32>,
}

impl Layer {
    /// The weights that every set begins with, one for each input, are rounded up to whole lanes; `sets` is
    /// the number of weight sets of each selector.
    pub fn new(mut first: Vec<f32>, sets: &[usize]) -> Layer {
        let inputs = first.len().next_multiple_of(LANES);
        first.resize(inputs, 0.0);
        let starts = sets.iter().scan(0, |at, n| Some(std::mem::replace(at, *at + n))).collect();
        let count = sets.iter().sum();
        let (weights, used) = (vec![0.0; inputs * count], vec![false; count]);
        Layer {
            first,
            used,
            inputs,
            weights,
            starts,
            chosen: vec![0; sets.len()],
            outputs: vec![0.5; sets.len()],
        }
    }

    /// The log-odds that each selector's set gives, into `to`.
    pub fn predict(&mut self, x: &[f32], selected: &[usize], to: &mut [f32]) {
        for (i, (&set, to)) in selected.iter().zip(to).enumerate() {
            let set = self.starts[i] + set;
            self.chosen[i] = set * self.inputs;
            if !std::mem::replace(&mut self.used[set], true) {
                self.weights[self.chosen[i]..][..self.inputs].copy_from_slice(&self.first);
            }
            let sum = dot(&self.weights[self.chosen[i]..][..self.inputs], x).clamp(-11.0, 11.0);
            self.outputs[i] = squash(sum);
            *to = sum;
        }
    }

    /// A step against the gradient of `-log p(bit)` for each chosen set: `∂/∂wᵢ = (p - bit) xᵢ`.
    pub fn update(&mut self, x: &[f32], bit: bool, rate: f32) {
        let target = f32::from(u8::from(bit));
        for (&at, p) in self.chosen.iter().zip(&self.outputs) {
            let step = (target - p) * rate;
            if step.abs() > 1e-7 {
                add_scaled(&mut self.weights[at..][..self.inputs], step, x);
            }
        }
    }
}

/// Two layers. The second one, whose sets are averaged, is also given some log-odds past the first.
pub struct Mixer {
    first: Layer,
    second: Layer,
    middle: Vec<f32>,
    ends: Vec<f32>,
    rates: [Rate; 2],
    seen: u32,
}

/// How far a layer's weights go: quick to start, calm later.
#[derive(Clone, Copy)]
pub struct Rate {
    pub calm: f32,
    /// What is added at the beginning, of which half is left after 4,000 bits.
    pub first: f32,
}

impl Rate {
    fn after(self, bits: f32) -> f32 {
        self.calm + self.first / (1.0 + bits / 4000.0)
    }
}

impl Mixer {
    /// With the weights that the first layer's sets begin with, and `past` those of what goes past it; all
    /// else of the second layer begins alike, so that its weights add up to 1.
    pub fn new(weights: Vec<f32>, sets: &[usize], last: &[usize], past: &[f32], rates: [Rate; 2]) -> Mixer {
        let first = Layer::new(weights, sets);
        let each = (1.0 - past.iter().sum::<f32>()) / sets.len() as f32;
        let begin: Vec<f32> = sets.iter().map(|_| each).chain(past.iter().copied()).collect();
        let middle = vec![0.0; begin.len().next_multiple_of(LANES)];
        let second = Layer::new(begin, last);
        Mixer { first, second, middle, ends: vec![0.0; last.len()], rates, seen: 0 }
    }

    /// Log-odds of the next bit.
    pub fn predict(&mut self, x: &[f32], sets: &[usize], last: &[usize], past: &[f32]) -> f32 {
        self.first.predict(x, sets, &mut self.middle);
        self.middle[sets.len()..][..past.len()].copy_from_slice(past);
        self.second.predict(&self.middle, last, &mut self.ends);
        self.ends.iter().sum::<f32>() / self.ends.len() as f32
    }

    pub fn update(&mut self, x: &[f32], bit: bool) {
        let [first, second] = self.rates.map(|rate| rate.after(self.seen as f32));
        self.seen = (self.seen + 1).min(1 << 24);
        self.first.update(x, bit, first);
        self.second.update(&self.middle, bit, second);
    }
}
