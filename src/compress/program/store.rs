//! The constants of a program of its own as one string of bytes, each tensor in the shortest of a few
//! forms. What is a code is seen by the numbers, wherever they come from: few different ones, or whole
//! steps.
use super::decoder::{CONTEXTS, codes, decoder, looked_up, numbers, stepped, steps as whole_steps, unpruned};
use crate::{compress::models::code_bits, tensor::Tensor};
use std::ops::Range;

/// The first context of the bits of numbers, behind those of codes.
const OF_NUMBERS: usize = 4096;

/// A call of the decoder on a range of the weights.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Numbers,
    Steps { bits: usize, zero: f32, step: f32, row: usize },
    Codes { bits: usize, back: usize },
    LookedUp { k: usize },
    Stepped { group: usize, zero: f32 },
    Unpruned,
}

/// What is stored.
#[derive(Default)]
pub(super) struct Stored {
    /// Letters of six bits each, from # to b, which a compressor takes for what they are.
    pub letters: Vec<u8>,
    /// The same, eight bits to a byte, and behind it what stands in the source as a number.
    pub data: Vec<u8>,
    /// How many contexts the decoder needs.
    pub contexts: usize,
    pub calls: Vec<(Range<usize>, Call)>,
}

/// The encoder to the printed decoder: what is written so far is a number of six-bit digits.
struct Writer {
    digits: Vec<u8>,
    range: u32,
    seen: Vec<[i32; 2]>,
    contexts: usize,
}

impl Writer {
    fn new() -> Writer {
        // As many digits as the decoder reads before its first bit.
        Writer { digits: vec![0; 5], range: 1 << 30, seen: vec![[0; 2]; CONTEXTS], contexts: 0 }
    }

    fn add(&mut self, number: u32) {
        let mut carry = number;
        for digit in self.digits.iter_mut().rev() {
            if carry == 0 {
                break;
            }
            carry += u32::from(*digit);
            *digit = (carry % 64) as u8;
            carry /= 64;
        }
    }

    fn bit(&mut self, one: bool, context: usize) {
        while self.range < 1 << 25 {
            self.range <<= 6;
            self.digits.push(0);
        }
        let Some([p, n]) = self.seen.get_mut(context) else { return };
        self.contexts = self.contexts.max(context + 1);
        let bound = (self.range >> 16) * ((*p + 2_097_152) / 64) as u32;
        *n += (*n < 254) as i32;
        *p += (if one { 2_097_088 } else { -2_097_088 } - *p) / (*n + 1);
        if one {
            self.range = bound;
        } else {
            self.range -= bound;
            self.add(bound);
        }
    }

    fn symbol(&mut self, symbol: usize, bits: usize, first: usize) {
        let mut node = 1;
        for bit in (0..bits).rev().map(|k| symbol >> k & 1) {
            self.bit(bit == 1, first + node);
            node = node * 2 + bit;
        }
    }

    fn numbers(&mut self, values: &[f32]) {
        for value in values {
            let bytes = value.to_bits().to_be_bytes();
            bytes.iter().enumerate().for_each(|(k, &byte)| {
                self.symbol(byte as usize, 8, OF_NUMBERS + (k << 8));
            });
        }
    }

    fn steps(&mut self, codes: &[usize], bits: usize, zero: usize, row: usize) {
        self.seen.fill([0; 2]);
        for (i, &code) in codes.iter().enumerate() {
            let before = |k: usize| usize::from(i >= k && codes[i - k] != zero);
            self.symbol(code, bits, (before(1) * 2 + before(row)) << bits);
        }
    }

    fn codes(&mut self, codes: &[usize], bits: usize, back: usize) {
        self.seen.fill([0; 2]);
        for (i, &code) in codes.iter().enumerate() {
            let before = if back > 0 && i >= back { codes[i - back] } else { 0 };
            self.symbol(code, bits, before << bits);
        }
    }

    /// The number in the last range that ends with the most zeros, without these.
    fn finish(mut self) -> Vec<u8> {
        let low = self.digits.iter().rev().take(5).rev().fold(0, |low, d| low << 6 | u64::from(*d));
        let most = (0..6).rev().find_map(|zeros| {
            let above = low.next_multiple_of(1 << (6 * zeros)) - low;
            (above < u64::from(self.range)).then_some(above as u32)
        });
        self.add(most.unwrap_or(0));
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        self.digits
    }
}

/// The form of a tensor: its codes, if it has some, with their number of bits; and what makes numbers
/// of them.
#[derive(Clone)]
struct Form {
    codes: Option<(Vec<usize>, usize)>,
    then: Call,
    numbers: Vec<f32>,
}

/// Parts of the decoder: a source has those that its forms need. Of each, about what `xz` makes of it in a
/// compact source.
const PARTS: [(usize, usize); 7] =
    [(NUMBER, 48), (NUMBERS, 20), (CODES, 36), (LOOKED_UP, 48), (STEPPED, 52), (UNPRUNED, 28), (STEPS, 72)];
const NUMBER: usize = 1;
const NUMBERS: usize = 2;
const CODES: usize = 4;
const LOOKED_UP: usize = 8;
const STEPPED: usize = 16;
const UNPRUNED: usize = 32;
const STEPS: usize = 64;

/// What these parts take.
fn bytes_of(parts: usize) -> usize {
    PARTS.iter().filter(|(part, _)| parts & part != 0).map(|(_, bytes)| bytes).sum()
}

impl Call {
    /// The parts of the decoder that the form needs which ends in this call.
    fn parts(&self) -> usize {
        match self {
            Call::Numbers => NUMBER | NUMBERS,
            Call::Steps { .. } => STEPS,
            Call::Codes { .. } => CODES,
            Call::LookedUp { .. } => NUMBER | NUMBERS | CODES | LOOKED_UP,
            Call::Stepped { .. } => NUMBER | CODES | STEPPED,
            Call::Unpruned => NUMBER | CODES | UNPRUNED,
        }
    }
}

/// A form of a tensor, how far back its codes look, and how many bytes it takes by itself.
struct Written {
    form: Form,
    back: usize,
    bytes: usize,
}

/// The forms of a tensor, each as short as it gets.
fn written(tensor: &Tensor<f32>) -> Vec<Written> {
    let columns = tensor.numel() / tensor.dim(0).max(1);
    let shortest = |form: Form| {
        let bits = form.codes.as_ref().map_or(0, |(_, bits)| *bits);
        let plain = bits == 0 || 2 * bits > 12 || matches!(form.then, Call::Steps { .. });
        // A context for each earlier code, where there is room for them.
        let backs: &[usize] = if plain { &[0] } else { &[0, 1, columns] };
        let length = |back: usize| {
            let mut alone = Writer::new();
            form.write(&mut alone, back);
            bytes(&alone.finish()).len() + form.beside()
        };
        let (bytes, back) = backs.iter().map(|&back| (length(back), back)).min()?;
        Some(Written { form, back, bytes })
    };
    forms(tensor).into_iter().filter_map(shortest).collect()
}

/// The shortest form of each tensor for which a decoder has these parts, and all their bytes.
fn shortest(all: &[Vec<Written>], parts: usize) -> Option<(usize, Vec<&Written>)> {
    let fits = |w: &&Written| w.form.then.parts() & !parts == 0;
    let least = all.iter().map(|forms| forms.iter().filter(fits).min_by_key(|w| w.bytes));
    let chosen = least.collect::<Option<Vec<_>>>()?;
    Some((chosen.iter().map(|w| w.bytes).sum::<usize>() + bytes_of(parts), chosen))
}

impl Form {
    /// Numbers that stand in the source itself, four bytes each.
    fn beside(&self) -> usize {
        4 * usize::from(matches!(self.then, Call::Steps { .. }))
    }

    fn write(&self, writer: &mut Writer, back: usize) {
        match (&self.codes, &self.then) {
            (Some((codes, bits)), Call::Steps { zero, row, .. }) => {
                writer.steps(codes, *bits, *zero as usize, *row)
            }
            (Some((codes, bits)), _) => writer.codes(codes, *bits, back),
            (None, _) => {}
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

/// Whole numbers of a step size for each group, and the sizes.
fn whole(values: &[f32], group: usize) -> Option<(Vec<i32>, Vec<f32>)> {
    let steps = values.chunks(group.max(1)).map(step_of).collect::<Option<Vec<f32>>>()?;
    let all = values.chunks(group.max(1)).zip(&steps);
    let whole = all.flat_map(|(part, &step)| {
        part.iter().map(move |v| if step > 0.0 { (v / step).round() as i32 } else { 0 })
    });
    Some((whole.collect(), steps))
}

/// Whole numbers as codes from the least on, and the code of 0.
fn codes_of(whole: &[i32]) -> ((Vec<usize>, usize), f32) {
    // 0 is a code, whether it is there or not.
    let (least, most) = whole.iter().fold((0, 0), |(least, most), &k| (least.min(k), most.max(k)));
    let bits = code_bits((most - least) as usize + 1) as usize;
    ((whole.iter().map(|&k| (k - least) as usize).collect(), bits), -least as f32)
}

/// The numbers of a tensor; -0 is stored as 0.
fn values_of(tensor: &Tensor<f32>) -> Vec<f32> {
    tensor.to_vec().iter().map(|v| v + 0.0).collect()
}

fn forms(tensor: &Tensor<f32>) -> Vec<Form> {
    let values = values_of(tensor);
    let row = values.len() / tensor.dim(0).max(1);
    let mut all = Vec::new();
    if values.len() > 1
        && let Some((numbers, steps)) = whole(&values, values.len())
        && let [step] = steps[..]
    {
        let (codes, zero) = codes_of(&numbers);
        // A vector has nothing above.
        let row = if row > 1 { row } else { values.len() };
        let then = Call::Steps { bits: codes.1, zero, step, row };
        all.push(Form { codes: Some(codes), then, numbers: Vec::new() });
    }
    let kept: Vec<usize> = values.iter().map(|v| (v.to_bits() != 0) as usize).collect();
    let left = values.iter().copied().filter(|v| *v != 0.0).collect();
    all.push(Form { codes: None, then: Call::Numbers, numbers: values.clone() });
    if kept.contains(&0) {
        all.push(Form { codes: Some((kept, 1)), then: Call::Unpruned, numbers: left });
    }
    all.extend(table(&values));
    if tensor.rank() > 1 && row > 1 {
        // A step size for each row, or for shorter runs.
        let groups = [row, 256, 128, 64, 32, 16]
            .into_iter()
            .filter(|group| *group <= row && row.is_multiple_of(*group));
        let found = groups.into_iter().find_map(|group| Some((whole(&values, group)?, group)));
        all.extend(found.map(|((numbers, steps), group)| {
            let (codes, zero) = codes_of(&numbers);
            Form { codes: Some(codes), then: Call::Stepped { group, zero }, numbers: steps }
        }));
    }
    all
}

/// Whether a tensor's numbers are codes, which factors would destroy.
pub(super) fn is_coded(tensor: &Tensor<f32>) -> bool {
    let all = forms(tensor);
    all.iter().any(|form| matches!(form.then, Call::Steps { .. } | Call::Stepped { .. }))
        || all
            .iter()
            .any(|form| form.numbers.len() * 2 < tensor.numel() && matches!(form.then, Call::LookedUp { .. }))
}

/// Eight bits to a byte of digits of six.
fn bytes(digits: &[u8]) -> Vec<u8> {
    let bit = |k: usize| digits.get(k / 6).map_or(0, |digit| digit >> (5 - k % 6) & 1);
    let byte = |i: usize| (8 * i..8 * i + 8).fold(0, |byte, k| byte << 1 | bit(k));
    (0..(6 * digits.len()).div_ceil(8)).map(byte).collect()
}

impl Stored {
    /// All tensors, one after the other, in forms that are shortest together with what decodes them.
    pub fn new<'a>(tensors: impl IntoIterator<Item = &'a Tensor<f32>>) -> Stored {
        let tensors: Vec<&Tensor<f32>> = tensors.into_iter().collect();
        let all: Vec<Vec<Written>> = tensors.iter().map(|tensor| written(tensor)).collect();
        let sets = (0..1 << PARTS.len()).filter_map(|parts| shortest(&all, parts));
        let chosen = sets.min_by_key(|(bytes, _)| *bytes).map_or_else(Vec::new, |(_, chosen)| chosen);
        let mut writer = Writer::new();
        let (mut calls, mut start) = (Vec::new(), 0);
        for (tensor, Written { form, back, .. }) in tensors.into_iter().zip(chosen) {
            let all = start..start + tensor.numel();
            form.write(&mut writer, *back);
            if let (Some((_, bits)), false) = (&form.codes, matches!(form.then, Call::Steps { .. })) {
                calls.push((all.clone(), Call::Codes { bits: *bits, back: *back }));
            }
            calls.push((all.clone(), form.then.clone()));
            start = all.end;
        }
        let contexts = writer.contexts;
        let digits = writer.finish();
        let mut data = bytes(&digits);
        data.extend(calls.iter().flat_map(|(_, call)| match call {
            Call::Steps { step, .. } => step.to_le_bytes().to_vec(),
            _ => Vec::new(),
        }));
        Stored { data, letters: digits.iter().map(|d| 35 + d).collect(), contexts, calls }
    }

    /// Read back by the decoder that is printed.
    pub fn decoded(&self, size: usize) -> Vec<f32> {
        let mut weights = vec![0.0; size];
        let mut d = decoder(&self.letters);
        for (range, call) in &self.calls {
            let Some(to) = weights.get_mut(range.clone()) else { continue };
            match *call {
                Call::Numbers => numbers(&mut d, to),
                Call::Steps { bits, zero, step, row } => whole_steps(&mut d, to, bits, zero, step, row),
                Call::Codes { bits, back } => codes(&mut d, to, bits, back),
                Call::LookedUp { k } => looked_up(&mut d, to, k),
                Call::Stepped { group, zero } => stepped(&mut d, to, group, zero),
                Call::Unpruned => unpruned(&mut d, to),
            }
        }
        weights
    }
}
