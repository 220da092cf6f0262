//! Products with weights in compact forms. Loops that the compiler turns into vector code, compiled for the instructions of the
//! machine.
use super::isa::{Isa, isa};

const ROWS: usize = crate::compress::ROWS;

/// Compiles a loop for AVX-512, for AVX2 and for whatever there is, and takes the best.
macro_rules! for_machine {
    ($body:ident($($arg:ident: $t:ty),*) $(-> $out:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,fma")]
            fn widest($($arg: $t),*) $(-> $out)? { $body($($arg),*) }
            #[target_feature(enable = "avx2,fma")]
            fn wide($($arg: $t),*) $(-> $out)? { $body($($arg),*) }
            if isa() >= Isa::Avx512 {
                // SAFETY: isa() reports Avx512 only where the processor has these.
                return unsafe { widest($($arg),*) };
            }
            if isa() >= Isa::Avx2 {
                // SAFETY: isa() reports Avx2 only where the processor has avx2 and fma.
                return unsafe { wide($($arg),*) };
            }
        }
        $body($($arg),*)
    }};
}

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

/// Adds to `out` the columns of the inputs that aren't 0.
pub(crate) fn columns(x: &[f32], starts: &[u32], outputs: &[u16], weights: &[f32], out: &mut [f32]) {
    for (&v, ends) in x.iter().zip(starts.windows(2)) {
        if v == 0.0 {
            continue;
        }
        let range = ends[0] as usize..ends[1] as usize;
        for (&output, w) in outputs[range.clone()].iter().zip(&weights[range]) {
            if let Some(out) = out.get_mut(output as usize) {
                *out += v * w;
            }
        }
    }
}

/// Rows of a batch that one weight is multiplied with at a time.
pub(crate) const LANES: usize = 16;

/// Up to [`LANES`] rows of `inputs` elements at once, to as many rows of results.
#[allow(clippy::too_many_arguments)]
pub(crate) fn many_rows(
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
fn bytes(x: &[f32], codes: &mut [i8]) -> f32 {
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
