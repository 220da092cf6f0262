//! Layers that run in the form that they are stored in: sparse weights without their zeros, codes of eight
//! bits without being made floats.
use super::{Affine, Along};
use crate::{
    error::{Checked, Error, Result},
    kernels::{
        bytes::{self, GAP, TILE},
        compact::{Columns, LANES, ROWS, block_rows, to_bytes, to_floats},
        matmul::{Mat, MatMut, matmul},
    },
    tensor::{Tensor, Unfilled, room::filled},
    threads::for_chunks,
};

/// A linear layer `x·Wᵀ + b` that leaves the zeros of its weight out.
///
/// Weights whose zeros come in blocks of 16 outputs for one input ([`prune::blocks`](super::prune::blocks))
/// are kept as such blocks, which vector code runs at full speed. Others are kept column by column, and the
/// columns of inputs that are 0 are not looked at: behind a ReLU, or for images with a blank background, that
/// is most of them.
///
/// ```
/// use kolmo::{Random, Tensor, compress::{SparseLinear, matrices, prune::{self, Amount}}, nn::Linear};
/// let layer = Linear::new(64, 32, &mut Random::new(0));
/// prune::global(&layer, Amount::Density(0.1), matrices)?;
/// let sparse = SparseLinear::from_linear(&layer)?;
/// let y = sparse.forward(&Tensor::ones([1, 64]))?;
/// assert_eq!(y.shape()[..], [1, 32]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SparseLinear {
    inputs: usize,
    outputs: usize,
    form: Form,
    bias: Vec<f32>,
}

#[derive(Clone, Debug)]
enum Form {
    /// For each 16 rows where their blocks begin; each block's input; 16 weights of each.
    Blocks {
        starts: Vec<u32>,
        inputs: Vec<u16>,
        weights: Vec<[f32; ROWS]>,
    },
    Columns(Columns),
}

/// Without vector code for bytes: rows of the input from which on codes become floats, and outputs whose
/// codes do at a time.
const FLOATS_FROM: usize = 8;
const PANEL: usize = 64;

/// A linear layer, by its weight `[outputs, inputs]` and its bias.
fn parts(layer: &crate::nn::Linear) -> Result<(Tensor<f32>, Vec<f32>)> {
    let weight = layer.weight.effective()?;
    let bias = layer.bias.as_ref().map(|b| b.effective()).transpose()?;
    let bias = bias.map_or_else(|| vec![0.0; weight.dim(0)], |b| b.to_vec());
    if weight.rank() != 2 || bias.len() != weight.dim(0) {
        let message = format!(
            "takes a weight [outputs, inputs] and a bias [outputs], not {} and [{}]",
            weight.shape(),
            bias.len()
        );
        return Err(Error::invalid("Linear", message));
    }
    Ok((weight, bias))
}

fn check(x: &Tensor<f32>, inputs: usize) -> Result<()> {
    if x.rank() == 2 && x.dim(1) == inputs {
        return Ok(());
    }
    Err(Error::invalid("forward", format!("takes [n, {inputs}], not {}", x.shape())))
}

impl SparseLinear {
    /// The layer as its model uses it: masked, with shared values, or however it is parametrised.
    ///
    /// # Errors
    /// Another shape than that of a linear layer; more than 65,536 inputs or outputs; a parametrisation that
    /// fails.
    pub fn from_linear(layer: &crate::nn::Linear) -> Result<SparseLinear> {
        let (weight, bias) = parts(layer)?;
        SparseLinear::new(&weight, bias)
    }

    /// Of a weight `[outputs, inputs]` and as many biases as outputs.
    pub(super) fn new(weight: &Tensor<f32>, bias: Vec<f32>) -> Result<SparseLinear> {
        let (outputs, inputs) = (weight.dim(0), weight.dim(1));
        if outputs.max(inputs) > 1 << 16 {
            let message = format!("{outputs} by {inputs} weights: at most 65,536 to each side");
            return Err(Error::invalid("SparseLinear", message));
        }
        let w = weight.to_vec();
        let block = |group: usize, input: usize| -> [f32; ROWS] {
            std::array::from_fn(|k| w.get((group * ROWS + k) * inputs + input).copied().unwrap_or(0.0))
        };
        let (mut starts, mut at, mut weights) = (vec![0], Vec::new(), Vec::new());
        for group in 0..outputs.div_ceil(ROWS) {
            for input in 0..inputs {
                let block = block(group, input);
                if block.iter().any(|&v| v != 0.0) {
                    at.push(input as u16);
                    weights.push(block);
                }
            }
            starts.push(at.len() as u32);
        }
        let nonzero = w.iter().filter(|&&v| v != 0.0).count();
        // Blocks cost about as much as four single weights.
        let form = if weights.len() <= nonzero / 4 {
            Form::Blocks { starts, inputs: at, weights }
        } else {
            Form::Columns(Columns::new(&w, outputs, inputs))
        };
        Ok(SparseLinear { inputs, outputs, form, bias })
    }

    /// `[n, inputs] -> [n, outputs]`
    ///
    /// # Errors
    /// Another shape.
    pub fn forward(&self, x: &Tensor<f32>) -> Result<Tensor<f32>> {
        check(x, self.inputs)?;
        let source = x.contiguous();
        let data = source.as_slice().unwrap_or_default();
        let (inputs, outputs) = (self.inputs, self.outputs);
        Ok(Tensor::build([x.dim(0), outputs].into(), |out| {
            if let Form::Columns(columns) = &self.form
                && x.dim(0) >= LANES
            {
                for_chunks(out, LANES * outputs.max(1), |start, out| {
                    let x = &data[start / outputs.max(1) * inputs..];
                    columns.many_rows(x, inputs, &self.bias, out);
                });
                return;
            }
            // A task is worth its while from some ten thousand weights on.
            let rows = (1 << 15) / self.stored().max(1) + 1;
            for_chunks(out, rows * outputs.max(1), |start, out| {
                let first = start / outputs.max(1);
                for (i, out) in out.chunks_exact_mut(outputs.max(1)).enumerate() {
                    let x = &data[(first + i) * inputs..][..inputs];
                    out.copy_from_slice(&self.bias);
                    match &self.form {
                        Form::Blocks { starts, inputs, weights } => {
                            block_rows(x, starts, inputs, weights, out)
                        }
                        Form::Columns(columns) => columns.add(x, out),
                    }
                }
            });
        }))
    }

    /// Weights that are stored, zeros in blocks included.
    pub fn stored(&self) -> usize {
        match &self.form {
            Form::Blocks { weights, .. } => ROWS * weights.len(),
            Form::Columns(columns) => columns.len(),
        }
    }
}

/// A linear layer whose weights are codes of eight bits, with a scale for each output. Inputs become codes of
/// eight bits as they come in, with a scale for each row, so that products and sums are of integers: exact,
/// from a quarter of the memory, and with AVX2 or AVX-512's VNNI more at a time than of floats. Without
/// these, codes become floats from eight rows on.
///
/// ```
/// use kolmo::{Random, Tensor, compress::Int8Linear, nn::{Layer, Linear}};
/// let layer = Linear::new(64, 32, &mut Random::new(0));
/// let x = Tensor::from_fn([2, 64], |i| (i as f32 * 0.1).sin());
/// let y = Int8Linear::from_linear(&layer)?.forward(&x)?;
/// let tape = kolmo::Tape::inference();
/// let exact = layer.forward(&tape.constant(&x)).to_vec()?;
/// assert!(y.to_vec().iter().zip(exact).all(|(a, b)| (a - b).abs() < 0.02));
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "quantize_dynamic")]
pub struct Int8Linear {
    inputs: usize,
    codes: Vec<i8>,
    scales: Vec<f32>,
    bias: Vec<f32>,
}

impl Int8Linear {
    /// The layer with each row of its weight rounded to 255 steps around 0.
    ///
    /// # Errors
    /// Another shape than that of a linear layer; more than 131,072 inputs, whose sum might not fit 32 bits;
    /// a weight that is not finite; a parametrisation that fails.
    pub fn from_linear(layer: &crate::nn::Linear) -> Result<Int8Linear> {
        let (weight, bias) = parts(layer)?;
        if weight.dim(1) > 1 << 17 {
            let message = format!("{} inputs: at most 131,072", weight.dim(1));
            return Err(Error::invalid("Int8Linear", message));
        }
        let affine = Affine::symmetric(&weight, Along::Axis(0), 8)?;
        let codes = affine.quantize(&weight)?.to_vec().iter().map(|&code| code as i8).collect();
        let scales = affine.scales().iter().map(|&s| s as f32).collect();
        Int8Linear::new(weight.dim(1), codes, scales, bias)
    }

    /// Of codes `[outputs, inputs]` from -127 to 127, and a scale and a bias for each output.
    pub(super) fn new(inputs: usize, codes: Vec<i8>, scales: Vec<f32>, bias: Vec<f32>) -> Result<Int8Linear> {
        if inputs > bytes::LONGEST {
            let message = format!("{inputs} inputs: sums of up to {} fit 32 bits", bytes::LONGEST);
            return Err(Error::invalid("Int8Linear", message));
        }
        Ok(Int8Linear { inputs, codes, scales, bias })
    }

    /// `[n, inputs] -> [n, outputs]`
    ///
    /// # Errors
    /// Another shape.
    pub fn forward(&self, x: &Tensor<f32>) -> Result<Tensor<f32>> {
        check(x, self.inputs)?;
        let source = x.contiguous();
        let data = source.as_slice().unwrap_or_default();
        let (rows, inputs, outputs) = (x.dim(0), self.inputs, self.scales.len());
        if rows >= FLOATS_FROM && !bytes::is_fast() {
            return self.in_floats(data, rows).map_err(|why| Error::invalid("Int8Linear", why));
        }
        let invalid = |message| Error::invalid("Int8Linear", message);
        let mut codes = filled(rows.saturating_mul(inputs + GAP), 0i8).map_err(invalid)?;
        let each = codes.chunks_exact_mut(inputs + GAP).enumerate();
        let scales: Vec<f32> = each
            .map(|(row, codes)| to_bytes(&data[row * inputs..][..inputs], &mut codes[..inputs]))
            .collect();
        // For each output the sums of all rows.
        let mut sums = filled(rows.saturating_mul(outputs), 0i32).map_err(invalid)?;
        let panel = ((1 << 16) / (rows * inputs).max(1) + 1).next_multiple_of(TILE);
        for_chunks(&mut sums, panel * rows.max(1), |start, sums| {
            let weights = &self.codes[start / rows.max(1) * inputs..][..sums.len() / rows.max(1) * inputs];
            bytes::products(&codes, inputs, weights, sums);
        });
        Ok(Tensor::build([rows, outputs].into(), |out| {
            for (row, out) in out.chunks_exact_mut(outputs.max(1)).enumerate() {
                for (k, out) in out.iter_mut().enumerate() {
                    *out = sums[k * rows + row] as f32 * (scales[row] * self.scales[k]) + self.bias[k];
                }
            }
        }))
    }

    /// The layer for many rows, a panel of outputs after the other.
    fn in_floats(&self, x: &[f32], n: usize) -> Checked<Tensor<f32>> {
        let (inputs, outputs) = (self.inputs, self.scales.len());
        let x = Mat { data: x, rows: n, cols: inputs, row_stride: inputs as isize, col_stride: 1 };
        let mut panel = Unfilled::<f32>::new([PANEL.min(outputs), inputs].into()).made()?;
        Tensor::try_build([n, outputs].into(), |out| {
            for first in (0..outputs).step_by(PANEL) {
                let rows = PANEL.min(outputs - first);
                let weights = &mut panel.as_mut_slice()[..rows * inputs];
                to_floats(&self.codes[first * inputs..(first + rows) * inputs], weights);
                let turned = Mat {
                    data: weights,
                    rows: inputs,
                    cols: rows,
                    row_stride: 1,
                    col_stride: inputs as isize,
                };
                let data = &mut out[first..];
                let c = MatMut { data, rows: n, cols: rows, row_stride: outputs as isize, col_stride: 1 };
                matmul(1.0, x, turned, 0.0, c)?;
            }
            for row in out.chunks_exact_mut(outputs.max(1)) {
                for ((v, scale), bias) in row.iter_mut().zip(&self.scales).zip(&self.bias) {
                    *v = *v * scale + bias;
                }
            }
            Ok(())
        })
    }
}
