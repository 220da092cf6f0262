//! The constants of a program of its own as one string of bytes, each tensor in the shortest of a few
//! forms. What is a code is seen by the numbers, wherever they come from: few different ones, or whole
//! steps.
use super::decoder::{CONTEXTS, codes, decoder, looked_up, numbers, stepped, unpruned};
use crate::{
    compress::{
        coding::{BitCoder, Encoder},
        models::code_bits,
    },
    tensor::Tensor,
};
use std::ops::Range;

/// Contexts of the bits of numbers; those of codes follow.
const OF_NUMBERS: usize = 1024;

/// A call of the decoder on a range of the weights.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Numbers,
    Codes { bits: usize, back: usize },
    LookedUp { k: usize },
    Stepped { group: usize, zero: f32 },
    Unpruned,
}

/// What is stored.
#[derive(Default)]
pub(super) struct Stored {
    pub data: Vec<u8>,
    /// The same as letters of six bits each, which a compressor takes for what they are.
    pub letters: Vec<u8>,
    pub calls: Vec<(Range<usize>, Call)>,
}

/// Counts of zeros and ones as in the printed decoder, and the same probabilities.
struct Writer {
    coder: Encoder,
    seen: Vec<[u16; 2]>,
}

impl Writer {
    fn new() -> Writer {
        Writer { coder: Encoder::new(), seen: vec![[0; 2]; CONTEXTS] }
    }

    fn symbol(&mut self, symbol: usize, bits: usize, first: usize) {
        let mut node = 1;
        for bit in (0..bits).rev().map(|k| symbol >> k & 1) {
            if let Some(seen) = self.seen.get_mut(first + node) {
                let [zeros, ones] = seen.map(u32::from);
                self.coder.code(bit == 1, ((2 * ones + 1) << 16) / (2 * (zeros + ones) + 2));
                seen[bit] += 1;
                if zeros + ones == 1023 {
                    *seen = [(zeros / 2) as u16, (ones / 2) as u16];
                }
            }
            node = node * 2 + bit;
        }
    }

    fn numbers(&mut self, values: &[f32]) {
        for value in values {
            let bytes = value.to_bits().to_be_bytes();
            bytes.iter().enumerate().for_each(|(k, &byte)| self.symbol(byte as usize, 8, k << 8));
        }
    }

    fn codes(&mut self, codes: &[usize], bits: usize, back: usize) {
        self.seen[OF_NUMBERS..].fill([0; 2]);
        for (i, &code) in codes.iter().enumerate() {
            let before = if back > 0 && i >= back { codes[i - back] } else { 0 };
            self.symbol(code, bits, OF_NUMBERS + (before << bits));
        }
    }
}

/// The form of a tensor: its codes, if it has some, with their number of bits; and what makes numbers
/// of them.
struct Form {
    codes: Option<(Vec<usize>, usize)>,
    then: Call,
    numbers: Vec<f32>,
}

impl Form {
    fn write(&self, writer: &mut Writer, back: usize) {
        if let Some((codes, bits)) = &self.codes {
            writer.codes(codes, *bits, back);
        }
        writer.numbers(&self.numbers);
    }
}

/// Codes into a table of the different numbers, 0 first, if they are few.
fn table(values: &[f32]) -> Option<Form> {
    let mut table: Vec<u32> = vec![0];
    for bits in values.iter().map(|v| v.to_bits()) {
        if !table.contains(&bits) {
            table.push(bits);
        }
        if table.len() > 256 {
            return None;
        }
    }
    if !values.iter().any(|v| v.to_bits() == 0) {
        table.remove(0);
    }
    let numbers: Vec<f32> = table.iter().map(|&bits| f32::from_bits(bits)).collect();
    let codes = values.iter().filter_map(|v| table.iter().position(|bits| *bits == v.to_bits())).collect();
    Some(Form {
        codes: Some((codes, code_bits(table.len()) as usize)),
        then: Call::LookedUp { k: table.len() },
        numbers,
    })
}

/// The step size that all numbers are at most 127 whole times of.
fn step_of(values: &[f32]) -> Option<f32> {
    let least = values.iter().map(|v| v.abs()).filter(|v| *v > 0.0).fold(f32::INFINITY, f32::min);
    if !least.is_finite() {
        return values.iter().all(|v| *v == 0.0).then_some(0.0);
    }
    let fits = |step: f32| {
        values.iter().all(|v| {
            let k = (v / step).round();
            k.abs() <= 127.0 && k * step == *v
        })
    };
    let near = |k: usize| {
        let bits = (least / k as f32).to_bits();
        [bits, bits.wrapping_sub(1), bits.wrapping_add(1)].map(f32::from_bits)
    };
    (1..=127).flat_map(near).find(|&step| step > 0.0 && fits(step))
}

/// Whole numbers of a step size for each group.
fn steps(values: &[f32], group: usize) -> Option<Form> {
    let steps = values.chunks(group).map(step_of).collect::<Option<Vec<f32>>>()?;
    let all = values.chunks(group).zip(&steps);
    let whole: Vec<i32> = all
        .flat_map(|(part, &step)| {
            part.iter().map(move |v| if step > 0.0 { (v / step).round() as i32 } else { 0 })
        })
        .collect();
    let (least, most) = (whole.iter().copied().min()?, whole.iter().copied().max()?);
    // Codes begin at 0, which is the code of 0 where there is nothing below.
    let (least, most) = (least.min(0), most.max(0));
    let bits = code_bits((most - least) as usize + 1) as usize;
    let codes = whole.iter().map(|&k| (k - least) as usize).collect();
    Some(Form {
        codes: Some((codes, bits)),
        then: Call::Stepped { group, zero: -least as f32 },
        numbers: steps,
    })
}

fn forms(tensor: &Tensor<f32>) -> Vec<Form> {
    // -0 is stored as 0.
    let values: Vec<f32> = tensor.to_vec().iter().map(|v| v + 0.0).collect();
    let row = values.len() / tensor.dim(0).max(1);
    let kept: Vec<usize> = values.iter().map(|v| (v.to_bits() != 0) as usize).collect();
    let pruned = kept.contains(&0);
    let left = values.iter().copied().filter(|v| *v != 0.0).collect();
    let mut all = vec![Form { codes: None, then: Call::Numbers, numbers: values.clone() }];
    if pruned {
        all.push(Form { codes: Some((kept, 1)), then: Call::Unpruned, numbers: left });
    }
    all.extend(table(&values));
    if tensor.rank() > 1 && row > 1 {
        // A step size for each row, or for shorter runs.
        let groups = [row, 256, 128, 64, 32, 16]
            .into_iter()
            .filter(|group| *group <= row && row.is_multiple_of(*group));
        all.extend(groups.into_iter().find_map(|group| steps(&values, group)));
    }
    all
}

/// Whether a tensor's numbers are codes, which factors would destroy.
pub(super) fn is_coded(tensor: &Tensor<f32>) -> bool {
    let all = forms(tensor);
    all.iter().any(|form| matches!(form.then, Call::Stepped { .. }))
        || all
            .iter()
            .any(|form| form.numbers.len() * 2 < tensor.numel() && matches!(form.then, Call::LookedUp { .. }))
}

/// Six bits a letter, from # to b.
fn letters(data: &[u8]) -> Vec<u8> {
    let bit = |k: usize| data.get(k / 8).map_or(0, |byte| byte >> (7 - k % 8) & 1);
    let letter = |i: usize| 35 + (6 * i..6 * i + 6).fold(0, |six, k| six << 1 | bit(k));
    (0..(8 * data.len()).div_ceil(6)).map(letter).collect()
}

impl Stored {
    /// All tensors, one after the other.
    pub fn new<'a>(tensors: impl IntoIterator<Item = &'a Tensor<f32>>) -> Stored {
        let mut writer = Writer::new();
        let (mut calls, mut start) = (Vec::new(), 0);
        for tensor in tensors {
            let all = start..start + tensor.numel();
            let columns = tensor.numel() / tensor.dim(0).max(1);
            let mut best: Option<(usize, Form, usize)> = None;
            for form in forms(tensor) {
                let bits = form.codes.as_ref().map_or(0, |(_, bits)| *bits);
                // A context for each earlier code, where there is room for them.
                let backs: &[usize] = if bits == 0 || 2 * bits > 12 { &[0] } else { &[0, 1, columns] };
                for &back in backs {
                    let mut alone = Writer::new();
                    form.write(&mut alone, back);
                    let bytes = alone.coder.finish().len();
                    if best.as_ref().is_none_or(|(least, ..)| bytes < *least) {
                        let form = Form {
                            codes: form.codes.clone(),
                            then: form.then.clone(),
                            numbers: form.numbers.clone(),
                        };
                        best = Some((bytes, form, back));
                    }
                }
            }
            if let Some((_, form, back)) = best {
                form.write(&mut writer, back);
                if let Some((_, bits)) = form.codes {
                    calls.push((all.clone(), Call::Codes { bits, back }));
                }
                calls.push((all.clone(), form.then));
            }
            start = all.end;
        }
        let data = writer.coder.finish();
        Stored { letters: letters(&data), data, calls }
    }

    /// Read back by the decoder that is printed.
    pub fn decoded(&self, size: usize) -> Vec<f32> {
        let mut weights = vec![0.0; size];
        let mut d = decoder(&self.letters);
        for (range, call) in &self.calls {
            let Some(to) = weights.get_mut(range.clone()) else { continue };
            match *call {
                Call::Numbers => numbers(&mut d, to),
                Call::Codes { bits, back } => codes(&mut d, to, bits, back),
                Call::LookedUp { k } => looked_up(&mut d, to, k),
                Call::Stepped { group, zero } => stepped(&mut d, to, group, zero),
                Call::Unpruned => unpruned(&mut d, to),
            }
        }
        weights
    }
}
