//! Products with weights in compact forms. Loops that the compiler turns into vector code, compiled for the
//! instructions of the machine.
use super::vectorised::for_machine;

/// Rows of a block: what one or two vector registers hold.
pub(crate) const ROWS: usize = 16;

/// Adds to `out` the blocks of 16 rows and one column: those of rows `16 g..` are `starts[g]..starts[g + 1]`.
pub(crate) fn block_rows(
    x: &[f32],
    starts: &[u32],
    inputs: &[u16],
    weights: &[[f32; ROWS]],
    out: &mut [f32],
) {
    for_machine!(blocks(x: &[f32], starts: &[u32], inputs: &[u16], weights: &[[f32; ROWS]], out: &mut [f32]))
}

#[inline(always)]
fn blocks(x: &[f32], starts: &[u32], inputs: &[u16], weights: &[[f32; ROWS]], out: &mut [f32]) {
    for (out, ends) in out.chunks_mut(ROWS).zip(starts.windows(2)) {
        let range = ends[0] as usize..ends[1] as usize;
        let (inputs, weights) = (&inputs[range.clone()], &weights[range]);
        // Four sums at a time, since one waits for itself.
        let mut sums = [[0.0f32; ROWS]; 4];
        let (mut at, mut of) = (inputs.chunks_exact(4), weights.chunks_exact(4));
        for (at, of) in (&mut at).zip(&mut of) {
            for ((sum, &input), weights) in sums.iter_mut().zip(at).zip(of) {
                let v = x[input as usize];
                sum.iter_mut().zip(weights).for_each(|(s, w)| *s += v * w);
            }
        }
        for (&input, weights) in at.remainder().iter().zip(of.remainder()) {
            let v = x[input as usize];
            sums[0].iter_mut().zip(weights).for_each(|(s, w)| *s += v * w);
        }
        for (k, out) in out.iter_mut().enumerate() {
            *out += (sums[0][k] + sums[1][k]) + (sums[2][k] + sums[3][k]);
        }
    }
}

/// A sparse matrix, column by column: those of input `i` are `starts[i]..starts[i + 1]`.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    starts: Vec<u32>,
    /// All below `rows`.
    outputs: Vec<u16>,
    weights: Vec<f32>,
    rows: usize,
}

impl Columns {
    /// The weights that aren't 0 of a matrix `[rows, inputs]` in row-major order; at most 2¹⁶ rows.
    pub(crate) fn new(w: &[f32], rows: usize, inputs: usize) -> Columns {
        let mut columns = Columns { starts: vec![0], outputs: Vec::new(), weights: Vec::new(), rows };
        for input in 0..inputs {
            for output in (0..rows.min(1 << 16)).filter(|o| w[o * inputs + input] != 0.0) {
                columns.outputs.push(output as u16);
                columns.weights.push(w[output * inputs + input]);
            }
            columns.starts.push(columns.weights.len() as u32);
        }
        columns
    }

    /// Number of weights.
    pub(crate) fn len(&self) -> usize {
        self.weights.len()
    }

    /// Adds to `out`, which has an element for each row, the columns of the inputs that aren't 0.
    pub(crate) fn add(&self, x: &[f32], out: &mut [f32]) {
        assert!(out.len() >= self.rows, "{} results for {} rows", out.len(), self.rows);
        for (&v, ends) in x.iter().zip(self.starts.windows(2)) {
            if v == 0.0 {
                continue;
            }
            let range = ends[0] as usize..ends[1] as usize;
            let (outputs, rest) = self.outputs[range.clone()].as_chunks::<4>();
            let (weights, last) = self.weights[range].as_chunks::<4>();
            let mut add = |output: u16, w: f32| {
                // SAFETY: outputs are below rows since `new`, and `out` is at least as long.
                unsafe { *out.get_unchecked_mut(usize::from(output)) += v * w }
            };
            for (outputs, weights) in outputs.iter().zip(weights) {
                (0..4).for_each(|k| add(outputs[k], weights[k]));
            }
            rest.iter().zip(last).for_each(|(&output, &w)| add(output, w));
        }
    }

    /// Up to [`LANES`] rows of inputs at once, to as many rows of results.
    pub(crate) fn many_rows(&self, x: &[f32], inputs: usize, bias: &[f32], out: &mut [f32]) {
        many_rows(x, inputs, &self.starts, &self.outputs, &self.weights, bias, out);
    }
}

/// Rows of a batch that one weight is multiplied with at a time.
pub(crate) const LANES: usize = 16;

#[allow(clippy::too_many_arguments)]
fn many_rows(
    x: &[f32],
    inputs: usize,
    starts: &[u32],
    outputs: &[u16],
    weights: &[f32],
    bias: &[f32],
    out: &mut [f32],
) {
    for_machine!(lanes(x: &[f32], inputs: usize, starts: &[u32], outputs: &[u16], weights: &[f32], bias: &[f32], out: &mut [f32]))
}

#[inline(always)]
fn lanes(
    x: &[f32],
    inputs: usize,
    starts: &[u32],
    outputs: &[u16],
    weights: &[f32],
    bias: &[f32],
    out: &mut [f32],
) {
    let rows = out.len() / bias.len().max(1);
    // Results with the rows side by side, so that a weight meets all of them in a register.
    let mut sums: Vec<[f32; LANES]> = bias.iter().map(|&b| [b; LANES]).collect();
    for (input, ends) in starts.windows(2).enumerate() {
        let lane: [f32; LANES] =
            std::array::from_fn(|row| if row < rows { x[row * inputs + input] } else { 0.0 });
        let range = ends[0] as usize..ends[1] as usize;
        for (&output, w) in outputs[range.clone()].iter().zip(&weights[range]) {
            if let Some(sum) = sums.get_mut(output as usize) {
                sum.iter_mut().zip(&lane).for_each(|(s, v)| *s += v * w);
            }
        }
    }
    for (row, out) in out.chunks_exact_mut(bias.len().max(1)).enumerate() {
        out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = sum[row]);
    }
}

/// Codes as floats.
pub(crate) fn to_floats(codes: &[i8], out: &mut [f32]) {
    for_machine!(floats(codes: &[i8], out: &mut [f32]))
}

#[inline(always)]
fn floats(codes: &[i8], out: &mut [f32]) {
    out.iter_mut().zip(codes).for_each(|(out, &code)| *out = f32::from(code));
}

/// Rounds a row of numbers to bytes from -127 to 127 and gives the size of a step; NaN if one isn't finite.
pub(crate) fn to_bytes(x: &[f32], codes: &mut [i8]) -> f32 {
    for_machine!(bytes(x: &[f32], codes: &mut [i8]) -> f32)
}

#[inline(always)]
pub(super) fn bytes(x: &[f32], codes: &mut [i8]) -> f32 {
    // Magnitudes in the order of their bits, NaN last.
    let most = f32::from_bits(x.iter().map(|v| v.to_bits() & 0x7fff_ffff).max().unwrap_or(0));
    let scale = if most == 0.0 { 1.0 } else { most / 127.0 };
    // A number below 2²² plus 3·2²² has its rounded value, halves to even, in the last bits.
    const MIDDLE: f32 = 12_582_912.0;
    for (code, v) in codes.iter_mut().zip(x) {
        *code = (v / scale + MIDDLE).to_bits().wrapping_sub(MIDDLE.to_bits()) as i8;
    }
    if most.is_finite() { scale } else { f32::NAN }
}
