//! Logistic mixing: log-odds are added with weights that a gradient step on the code length of each bit
//! improves. Several sets of weights, each chosen by a context of its own, give predictions that a second
//! layer mixes in the same way.
use super::numbers::{LANES, add_scaled, dot, squash};

/// One layer: for each selector a table of weight sets over the same inputs.
pub struct Layer {
    inputs: usize,
    weights: Vec<f32>,
    /// What the weights begin with. Memory that was never asked for stays untouched until a set is chosen.
    weight: f32,
    used: Vec<bool>,
    /// Where the sets of each selector begin.
    starts: Vec<usize>,
    chosen: Vec<usize>,
    /// The probability that each chosen set gives.
    outputs: Vec<f32>,
}

impl Layer {
    /// `inputs` is rounded up to whole lanes; `sets` is the number of weight sets of each selector.
    pub fn new(inputs: usize, sets: &[usize], weight: f32) -> Layer {
        let inputs = inputs.next_multiple_of(LANES);
        let starts = sets.iter().scan(0, |at, n| Some(std::mem::replace(at, *at + n))).collect();
        let count = sets.iter().sum();
        let (weights, used) = (vec![0.0; inputs * count], vec![false; count]);
        Layer {
            weight,
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
                self.weights[self.chosen[i]..][..self.inputs].fill(self.weight);
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

/// Two layers. The second one's sets are averaged.
pub struct Mixer {
    first: Layer,
    second: Layer,
    middle: Vec<f32>,
    ends: Vec<f32>,
    seen: u32,
}

impl Mixer {
    pub fn new(inputs: usize, sets: &[usize], last: &[usize], weight: f32) -> Mixer {
        let first = Layer::new(inputs, sets, weight);
        let second = Layer::new(sets.len(), last, 1.0 / sets.len() as f32);
        let middle = vec![0.0; sets.len().next_multiple_of(LANES)];
        Mixer { first, second, middle, ends: vec![0.0; last.len()], seen: 0 }
    }

    /// Log-odds of the next bit.
    pub fn predict(&mut self, x: &[f32], sets: &[usize], last: &[usize]) -> f32 {
        self.first.predict(x, sets, &mut self.middle);
        self.second.predict(&self.middle, last, &mut self.ends);
        self.ends.iter().sum::<f32>() / self.ends.len() as f32
    }

    pub fn update(&mut self, x: &[f32], bit: bool) {
        // Quick to start, calm later.
        let t = self.seen as f32;
        self.seen = (self.seen + 1).min(1 << 24);
        self.first.update(x, bit, 0.0015 + 0.012 / (1.0 + t / 4000.0));
        self.second.update(&self.middle, bit, 0.002 + 0.01 / (1.0 + t / 4000.0));
    }
}
