//! Weights in a file: as codes where they are codes.
use super::{
    emit::{Arg, Emitter, int},
    proto::{Data, kind},
    weights::same,
};
use crate::{
    compress::{Affine, Along},
    error::Checked,
    kernels::packed::Packed,
    param::Groups,
    tensor::{Shape, Tensor},
};

/// Whole numbers that stand for weights: each less its group's zero point, times a scale, plus an offset.
struct Codes {
    codes: Vec<i64>,
    group: usize,
    scales: Vec<f32>,
    zeros: Option<Vec<i64>>,
    offsets: Option<Vec<f32>>,
}

impl Codes {
    /// The type of the fewest bits that has all of them, if one of a byte or less does.
    fn kind(&self, opset: u64) -> Option<u32> {
        let all = || self.codes.iter().chain(self.zeros.iter().flatten());
        let (low, high) = (all().min().copied().unwrap_or(0), all().max().copied().unwrap_or(0));
        let kinds =
            [(kind::INT4, -8, 7), (kind::UINT4, 0, 15), (kind::INT8, -128, 127), (kind::UINT8, 0, 255)];
        let kinds = kinds.iter().skip(if opset >= 21 { 0 } else { 2 });
        kinds.copied().find(|&(_, from, to)| from <= low && high <= to).map(|(kind, ..)| kind)
    }
}

/// Zero points that are worth these offsets, if all of them are whole numbers of steps of a code's range.
fn whole(offsets: &[f32], scales: &[f32], most: i64) -> Option<Vec<i64>> {
    let zero = |(&offset, &scale): (&f32, &f32)| {
        let zero = if offset == 0.0 { 0.0 } else { (-offset / scale).round() };
        ((0.0..=most as f32).contains(&zero) && -zero * scale == offset).then_some(zero as i64)
    };
    offsets.iter().zip(scales).map(zero).collect()
}

/// What a packed tensor is made of, if its codes are whole numbers of steps.
fn steps_of(packed: &Packed<f32>) -> Option<Codes> {
    let codes = packed.codes()?;
    let (list, pruned) = (codes.to_vec(), codes.pruned());
    let worth = |code: u8| if Some(code) == pruned { 0.0 } else { codes.value(code) };
    let values: Vec<f32> = (0..=u8::MAX).take(1 << codes.bits()).map(worth).collect();
    let used = list.iter().all(|&code| {
        let v = values.get(usize::from(code)).copied().unwrap_or(f32::NAN);
        v.fract() == 0.0 && (-128.0..256.0).contains(&v)
    });
    if !used {
        return None;
    }
    let (scales, mut offsets) = (codes.scales().unwrap_or_else(|| vec![1.0]), codes.offsets());
    let mut zeros = codes.zero_points().map(|zeros| zeros.into_iter().map(i64::from).collect());
    if zeros.is_none()
        && let Some(points) = offsets.as_ref().and_then(|all| whole(all, &scales, (1 << codes.bits()) - 1))
    {
        (zeros, offsets) = (Some(points), None);
    }
    let codes_of = list.iter().map(|&code| values[usize::from(code)] as i64).collect();
    Some(Codes { codes: codes_of, group: codes.group(), scales, zeros, offsets })
}

impl Emitter {
    /// A constant that is made of these parameters, perhaps of none.
    pub fn weight(&mut self, value: &Tensor<f32>, made_of: &[usize]) -> Checked<String> {
        let known = |used: &Tensor<f32>| {
            used.numel() == value.numel() && {
                let own = value.in_memory().map(|v| v.reshaped(used.shape()));
                own.is_ok_and(|own| same(&own, used))
            }
        };
        let place = made_of
            .iter()
            .copied()
            .find(|&i| self.weights.all.get(i).is_some_and(|weight| known(&weight.used)));
        if let Some(place) = place {
            let name = self.parameter(place)?;
            let shape = self.weights.all.get(place).map(|weight| weight.used.shape().clone());
            if shape.as_ref() == Some(value.shape()) {
                return Ok(name);
            }
            let sizes: Vec<i64> = value.shape().iter().map(|&n| n as i64).collect();
            let sizes = self.integers(&sizes);
            return Ok(self.plain("Reshape", &[&name, &sizes]));
        }
        let turned = |used: &Tensor<f32>| {
            let own = |v: &Tensor<f32>| v.transpose(0, 1).is_ok_and(|own| same(&own, used));
            value.rank() == 2 && value.in_memory().is_ok_and(|v| own(&v))
        };
        let turned = |i: &usize| self.weights.all.get(*i).is_some_and(|weight| turned(&weight.used));
        if let Some(place) = made_of.iter().copied().find(turned) {
            let name = self.parameter(place)?;
            return Ok(self.permuted(&name, [1, 0]));
        }
        let Some(first) = made_of.first().and_then(|&i| self.weights.all.get(i)) else {
            return Ok(self.floats(value));
        };
        if let Some((_, name)) = self.weights.folded.iter().find(|(known, _)| same(known, value)) {
            return Ok(name.clone());
        }
        let wanted = format!("{}.folded", first.name);
        let name = self.constant(&wanted, kind::FLOAT, Data::Float(value.clone()));
        self.weights.folded.push((value.clone(), name.clone()));
        Ok(name)
    }

    /// A parameter as a model uses it.
    fn parameter(&mut self, place: usize) -> Checked<String> {
        let weight = self.weights.all.get(place).ok_or("a parameter that the model doesn't have")?;
        if let Some(name) = &weight.value {
            return Ok(name.clone());
        }
        let (name, p, used) = (weight.name.clone(), weight.param.clone(), weight.used.clone());
        let failed = |e: crate::Error| format!("{name}: {e}");
        let state = p.state();
        let value = if let Some(packed) = state.value.held() {
            match steps_of(&packed) {
                Some(codes) => self.dequantized(&name, &used, codes)?,
                None => self.constant(&name, kind::FLOAT, Data::Float(used)),
            }
        } else if let Some((numbers, scales)) = p.numbers().map_err(failed)? {
            let steps = p.steps().ok_or("step sizes that went away")?;
            let codes = numbers.to_vec().into_iter().map(i64::from).collect();
            let codes = Codes { codes, group: steps.group, scales, zeros: None, offsets: None };
            self.dequantized(&name, &used, codes)?
        } else if let Some((codes, values)) = p.codebook().filter(|_| !p.has_custom()) {
            let mut values = values.effective().map_err(failed)?.to_vec();
            let (codes, mask) = (codes.to_vec(), state.mask.map(|mask| mask.to_vec()));
            let zero = values.len() as i64;
            if mask.is_some() {
                values.push(0.0);
            }
            let kept = |i: usize| mask.as_ref().is_none_or(|mask| mask.get(i).copied().unwrap_or(true));
            let codes = codes.iter().enumerate().map(|(i, &c)| if kept(i) { i64::from(c) } else { zero });
            self.looked_up(&name, used.shape(), codes.collect(), &values)?
        } else {
            self.constant(&name, kind::FLOAT, Data::Float(used))
        };
        if let Some(weight) = self.weights.all.get_mut(place) {
            weight.value = Some(value.clone());
        }
        Ok(value)
    }

    /// Values that are whole numbers of steps: to codes and back.
    pub fn fake_quantized(&mut self, x: &Arg, codes: &Affine) -> Checked<String> {
        let (along, range) = codes.places_and_codes();
        let (low, high) = (i64::from(*range.start()), i64::from(*range.end()));
        let rank = x.shape.len();
        let (sizes, axis) = match along {
            Along::Tensor => (Shape::new(&[]), None),
            Along::Axis(axis) => {
                (Shape::new(&[codes.scales().len()]), Some(axis.rem_euclid(rank.max(1) as isize) as i64))
            }
            Along::Groups(_) => return Err("by groups of a value that isn't a weight".into()),
        };
        let kinds = [
            (kind::UINT8, 0, 255),
            (kind::INT8, -128, 127),
            (kind::UINT16, 0, 65_535),
            (kind::INT16, -32_768, 32_767),
        ];
        let fits = |&&(kind, from, to): &&(u32, i64, i64)| {
            from <= low && high <= to && (self.opset >= 21 || matches!(kind, kind::UINT8 | kind::INT8))
        };
        let &(own, from, to) =
            kinds.iter().find(fits).ok_or_else(|| format!("codes from {low} to {high}: no type has them"))?;
        let failed = |e: crate::Error| e.to_string();
        let (scales, zeros) = (codes.scales(), codes.zero_points());
        let scale = Tensor::new(&sizes, scales.iter().map(|&s| s as f32).collect()).map_err(failed)?;
        let zero = Tensor::new(&sizes, zeros.iter().map(|&z| i64::from(z)).collect()).map_err(failed)?;
        let mut name = self.read(x)?;
        // Codes that the type has and the range doesn't.
        for (op, end, whole) in [("Max", low, from), ("Min", high, to)] {
            if end != whole {
                let worth = |i: usize| ((end - i64::from(zeros[i])) as f64 * scales[i]) as f32;
                let mut column: Shape = (0..rank).map(|_| 1).collect();
                if let Some(axis) = axis {
                    column.set(axis as usize, scales.len());
                }
                let ends = Tensor::from_fn(if axis.is_some() { column } else { Shape::new(&[]) }, worth);
                let ends = self.floats(&ends);
                name = self.plain(op, &[&name, &ends]);
            }
        }
        let (scale, zero) = (self.floats(&scale), self.constant("", own, Data::Int(zero)));
        let attributes = || axis.map(|axis| int("axis", axis));
        let coded = self.node("QuantizeLinear", &[&name, &scale, &zero], attributes());
        Ok(self.node("DequantizeLinear", &[&coded, &scale, &zero], attributes()))
    }

    /// Codes that choose among values.
    fn looked_up(&mut self, name: &str, shape: &Shape, codes: Vec<i64>, values: &[f32]) -> Checked<String> {
        let own = match values.len() {
            0..=16 if self.opset >= 21 => kind::UINT4,
            0..=256 => kind::UINT8,
            _ => kind::INT32,
        };
        let codes = Tensor::new(shape, codes).map_err(|e| e.to_string())?;
        let codes = self.constant(name, own, Data::Int(codes));
        let values = Tensor::from_fn([values.len()], |i| values[i]);
        let values = self.constant(&format!("{name}.centroids"), kind::FLOAT, Data::Float(values));
        let index = if own == kind::INT32 {
            codes
        } else {
            self.node("Cast", &[&codes], [int("to", kind::INT32.into())])
        };
        Ok(self.node("Gather", &[&values, &index], [int("axis", 0)]))
    }

    /// Whole numbers times step sizes, where a type has them and all blocks are of one size; else their values.
    fn dequantized(&mut self, name: &str, used: &Tensor<f32>, of: Codes) -> Checked<String> {
        let shape = used.shape();
        let groups = Groups::new(shape, of.group);
        let (rows, cols) = (groups.rows(), groups.cols());
        let each = if of.group == 0 { 1 } else { cols.div_ceil(of.group) };
        let ragged = each > 1 && !cols.is_multiple_of(of.group);
        let Some(own) = of.kind(self.opset).filter(|_| !ragged) else {
            return Ok(self.constant(name, kind::FLOAT, Data::Float(used.clone())));
        };
        let Codes { codes, group, scales, zeros, offsets } = of;
        let blocks = each > 1 && self.opset >= 21 && offsets.is_none();
        // As the sizes of the scales, and the sizes that the codes have for them.
        let (sizes, laid): (Shape, Shape) = match (group, each) {
            (0, _) => (Shape::new(&[]), shape.clone()),
            (_, 1) if shape.rank() > 1 => (Shape::new(&[rows]), shape.clone()),
            _ if blocks && shape.rank() > 1 => (Shape::new(&[rows, each]), Shape::new(&[rows, cols])),
            _ => (Shape::new(&[rows * each]), Shape::new(&[rows * each, cols / each])),
        };
        let axis = i64::from(sizes.rank() == 2);
        let failed = |e: crate::Error| format!("{name}: {e}");
        let codes = Data::Int(Tensor::new(&laid, codes).map_err(failed)?);
        let codes = self.constant(name, own, codes);
        let scales = Data::Float(Tensor::new(&sizes, scales).map_err(failed)?);
        let scales = self.constant(&format!("{name}.scale"), kind::FLOAT, scales);
        let mut inputs = vec![codes, scales];
        if let Some(zeros) = zeros {
            let zeros = Data::Int(Tensor::new(&sizes, zeros).map_err(failed)?);
            inputs.push(self.constant(&format!("{name}.zero_point"), own, zeros));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let mut attributes = Vec::new();
        if sizes.rank() > 0 {
            attributes.push(int("axis", axis));
        }
        if sizes.rank() == 2 {
            attributes.push(int("block_size", group as i64));
        }
        let mut y = self.node("DequantizeLinear", &inputs, attributes);
        if let Some(offsets) = offsets {
            // Of each row of codes, along its other axes.
            let ones = laid.rank() - sizes.rank();
            let sizes: Shape = sizes.iter().copied().chain(std::iter::repeat_n(1, ones)).collect();
            let offsets = Data::Float(Tensor::new(sizes, offsets).map_err(failed)?);
            let offsets = self.constant(&format!("{name}.offset"), kind::FLOAT, offsets);
            y = self.plain("Add", &[&y, &offsets]);
        }
        if laid == *shape {
            return Ok(y);
        }
        let sizes: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        let sizes = self.integers(&sizes);
        Ok(self.plain("Reshape", &[&y, &sizes]))
    }
}
