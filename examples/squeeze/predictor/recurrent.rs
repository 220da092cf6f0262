//! A small recurrent network (an LSTM whose gate for what is new is one less that for what is kept) that
//! learns to foretell bytes as they come: truncated backpropagation by hand, with sums in a fixed order.
use super::numbers::{add_scaled, dot, exp, squash, tanh};

/// Cells; the three gates of all of them stand in one row.
const CELLS: usize = 96;
const GATES: usize = 3 * CELLS;
/// Bytes of one pass backwards.
const STEPS: usize = 20;

/// What a step leaves for the pass backwards.
#[derive(Clone)]
struct Step {
    byte: usize,
    gates: Vec<f32>,
    cells: Vec<f32>,
    bent: Vec<f32>,
    hidden: Vec<f32>,
    /// The loss by `hidden`.
    slope: Vec<f32>,
}

/// Weights with the moments of their gradients (Adam).
struct Weights {
    values: Vec<f32>,
    gradients: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
}

impl Weights {
    fn new(count: usize, scale: f32, seed: &mut u64) -> Weights {
        let mut draw = || {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((*seed >> 40) as f32 / 8_388_608.0 - 1.0) * scale
        };
        let zeros = || vec![0.0; count];
        Weights {
            values: (0..count).map(|_| draw()).collect(),
            gradients: zeros(),
            mean: zeros(),
            square: zeros(),
        }
    }

    fn step(&mut self, row: std::ops::Range<usize>, rate: f32, warm: [f32; 2]) {
        const BETAS: [f32; 2] = [0.9, 0.999];
        let all = self.values[row.clone()].iter_mut().zip(&mut self.gradients[row.clone()]);
        for (((w, g), m), s) in all.zip(&mut self.mean[row.clone()]).zip(&mut self.square[row]) {
            *m = BETAS[0] * *m + (1.0 - BETAS[0]) * *g;
            *s = BETAS[1] * *s + (1.0 - BETAS[1]) * (*g * *g);
            *w -= rate * (*m * warm[0]) / ((*s * warm[1]).sqrt() + 1e-5);
            *g = 0.0;
        }
    }
}

pub struct Recurrent {
    inputs: Weights,
    between: Weights,
    output: Vec<f32>,
    bias: Vec<f32>,
    past: Vec<Step>,
    at: usize,
    updates: u32,
    decays: [f32; 2],
    /// Probabilities of subtrees of bytes: node 1 is all of them, node 256 + b is byte b.
    tree: Vec<f32>,
}

impl Recurrent {
    pub fn new() -> Recurrent {
        let mut seed = 1;
        let blank = Step {
            byte: 0,
            gates: vec![0.0; GATES],
            cells: vec![0.0; CELLS],
            bent: vec![0.0; CELLS],
            hidden: vec![0.0; CELLS],
            slope: vec![0.0; CELLS],
        };
        let mut model = Recurrent {
            inputs: Weights::new(256 * GATES, 0.1, &mut seed),
            between: Weights::new(CELLS * GATES, 0.1, &mut seed),
            output: Weights::new(CELLS * 256, 0.05, &mut seed).values,
            bias: vec![0.0; 256],
            past: vec![blank; STEPS + 1],
            at: 0,
            updates: 0,
            decays: [1.0; 2],
            tree: vec![0.0; 512],
        };
        model.foretell();
        model
    }

    /// The probability that the next bit is a one, after the bits of this byte so far.
    pub fn predict(&self, node: usize) -> f32 {
        self.tree[2 * node + 1] / self.tree[node]
    }

    pub fn best(&self) -> usize {
        let p = &self.tree[256..];
        (0..256).fold(0, |best, i| if p[i] > p[best] { i } else { best })
    }

    /// Learns from a byte and takes it in.
    pub fn push(&mut self, byte: u8) {
        // The output's weights take a step at once; the rest when so many bytes have come.
        let rate = 0.12;
        let now = &mut self.past[self.at];
        let mut error: Vec<f32> = self.tree[256..].to_vec();
        error[usize::from(byte)] -= 1.0;
        for (j, row) in self.output.chunks_exact_mut(256).enumerate() {
            now.slope[j] = dot(row, &error);
            add_scaled(row, -rate * now.hidden[j], &error);
        }
        add_scaled(&mut self.bias, -rate, &error);
        if self.at == STEPS {
            self.learn();
            self.past.swap(0, STEPS);
            self.at = 0;
        }
        self.forward(usize::from(byte));
        self.foretell();
    }

    fn forward(&mut self, byte: usize) {
        let (before, now) = self.past.split_at_mut(self.at + 1);
        let (before, now) = (&before[self.at], &mut now[0]);
        self.at += 1;
        now.byte = byte;
        now.gates.copy_from_slice(&self.inputs.values[byte * GATES..][..GATES]);
        for (row, &h) in self.between.values.chunks_exact(GATES).zip(&before.hidden) {
            add_scaled(&mut now.gates, h, row);
        }
        for i in 0..CELLS {
            let keep = squash(now.gates[i] + 1.0);
            let new = tanh(now.gates[CELLS + i]);
            let show = squash(now.gates[2 * CELLS + i]);
            now.gates[i] = keep;
            now.gates[CELLS + i] = new;
            now.gates[2 * CELLS + i] = show;
            now.cells[i] = keep * before.cells[i] + (1.0 - keep) * new;
            now.bent[i] = tanh(now.cells[i]);
            now.hidden[i] = show * now.bent[i];
        }
    }

    fn foretell(&mut self) {
        let mut odds = self.bias.clone();
        for (row, &h) in self.output.chunks_exact(256).zip(&self.past[self.at].hidden) {
            add_scaled(&mut odds, h, row);
        }
        let most = odds.iter().fold(f32::MIN, |a, &b| a.max(b));
        for (to, x) in self.tree[256..].iter_mut().zip(&odds) {
            *to = exp(x - most) + 1e-6;
        }
        for node in (1..256).rev() {
            self.tree[node] = self.tree[2 * node] + self.tree[2 * node + 1];
        }
        let all = self.tree[1];
        for p in &mut self.tree {
            *p /= all;
        }
    }

    /// Backwards through the last bytes, and a step of Adam.
    fn learn(&mut self) {
        let mut by_hidden = vec![0f32; CELLS];
        let mut by_cells = vec![0f32; CELLS];
        let mut by_gates = vec![0f32; GATES];
        for t in (1..=STEPS).rev() {
            let (now, before) = (&self.past[t], &self.past[t - 1]);
            for i in 0..CELLS {
                let (keep, new, show) = (now.gates[i], now.gates[CELLS + i], now.gates[2 * CELLS + i]);
                let slope = by_hidden[i] + now.slope[i];
                let cell = by_cells[i] + slope * show * (1.0 - now.bent[i] * now.bent[i]);
                by_gates[i] = cell * (before.cells[i] - new) * keep * (1.0 - keep);
                by_gates[CELLS + i] = cell * (1.0 - keep) * (1.0 - new * new);
                by_gates[2 * CELLS + i] = slope * now.bent[i] * show * (1.0 - show);
                by_cells[i] = cell * keep;
            }
            add_scaled(&mut self.inputs.gradients[now.byte * GATES..][..GATES], 1.0, &by_gates);
            let rows =
                self.between.values.chunks_exact(GATES).zip(self.between.gradients.chunks_exact_mut(GATES));
            for ((row, slopes), (to, &h)) in rows.zip(by_hidden.iter_mut().zip(&before.hidden)) {
                *to = dot(row, &by_gates);
                add_scaled(slopes, h, &by_gates);
            }
        }
        self.updates += 1;
        self.decays = [self.decays[0] * 0.9, self.decays[1] * 0.999];
        let warm = self.decays.map(|decay| 1.0 / (1.0 - decay));
        let rate = 0.002 + 0.008 / (1.0 + self.updates as f32 / 500.0);
        self.between.step(0..CELLS * GATES, rate, warm);
        let mut bytes: Vec<usize> = self.past[1..].iter().map(|step| step.byte).collect();
        bytes.sort_unstable();
        bytes.dedup();
        for byte in bytes {
            self.inputs.step(byte * GATES..(byte + 1) * GATES, rate, warm);
        }
    }
}
