//! The two ways of reading elements by index, and their transposes that add into places: the foundation of
//! gathering, scattering, embeddings and codebooks. The derivative of each is the other, so all orders come
//! for free.
use super::{
    checks::{check_axes, check_shape, operands},
    list::{Float, Take},
};
use crate::{
    error::Checked,
    kernels::packed::{LANES, Packed},
    real::About,
    tape::{Rule, Step, Var},
    tensor::{Shape, Tensor},
    threads::for_chunks,
};
use std::{borrow::Cow, ops::Range};

/// The position of a place that has no value: it is zero and gives no gradient.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// Elements of a task.
const GRAIN: usize = 32 * 1024;

/// Where the elements of a stretch are among those of the list, and where in the tensor, if each slice has `row` of
/// them.
fn ranges(&[first, len, index]: &[u32; 3], row: usize) -> (Range<usize>, Range<usize>) {
    let from = |first: u32| first as usize * row..(first as usize + len as usize) * row;
    (from(first), if index == NOWHERE { usize::MAX..usize::MAX } else { from(index) })
}

/// Slices of a list of indices that are neighbours where they come from, too: they are copied in one go. Of each
/// stretch its place in the list, its length and the index of its first slice, or [`NOWHERE`] for all of it, in memory
/// of the pool.
struct Stretches(Tensor<u32>);

impl Stretches {
    /// Those of a list of indices, unless they would be short.
    fn find(list: &[u32], row: usize) -> Checked<Option<Stretches>> {
        // After `NOWHERE` comes the same.
        let follows = |a: u32, b: u32| b == a.saturating_add(1);
        let n = list.windows(2).filter(|w| !follows(w[0], w[1])).count() + 1;
        // Single elements are read faster than slices are copied.
        if list.len() < n * if row == 1 { 4 } else { 2 } || u32::try_from(list.len()).is_err() {
            return Ok(None);
        }
        let all = Tensor::build(Shape::new(&[n, 3]), |out| {
            let begins = (0..list.len()).filter(|&i| i == 0 || !follows(list[i - 1], list[i]));
            let ends = begins.clone().skip(1).chain([list.len()]);
            for (out, (first, end)) in out.as_chunks_mut().0.iter_mut().zip(begins.zip(ends)) {
                *out = [first as u32, (end - first) as u32, list[first]];
            }
        });
        Ok(Some(Stretches(all.made()?)))
    }

    fn all(&self) -> &[[u32; 3]] {
        self.0.as_slice().unwrap_or_default().as_chunks().0
    }
}

impl Take {
    /// Whether slices are taken by this very index, in whatever shape.
    pub fn index_is(&self, other: &Tensor<u32>) -> bool {
        match self {
            Take::Rows { index, .. } | Take::AddRows { index, .. } => {
                index.shares_data(other) && index.numel() == other.numel()
            }
            _ => false,
        }
    }

    /// Other indices, as many as there were.
    pub fn set_index(&mut self, other: &Tensor<u32>) {
        let index = match self {
            Take::Elements { positions, .. } | Take::AddElements { positions, .. } => positions,
            Take::Rows { index, .. } | Take::AddRows { index, .. } => index,
        };
        *index = other.contiguous().reshaped(&index.shape().clone());
    }
}

/// Rows of a matrix that is packed, which alone become floats.
fn packed_rows<T: Float>(w: &Packed<T>, shape: &Shape, index: &Tensor<u32>) -> Checked<Tensor<T>> {
    w.sound()?;
    let index = index.contiguous().made()?;
    let list = index.as_slice().unwrap_or_default();
    if let Some(bad) = list.iter().find(|&&i| i != NOWHERE && i as usize >= w.rows()) {
        return Err(format!("index {bad} is out of range for axis 0 of {shape}"));
    }
    Tensor::try_build([list.len(), w.cols()].into(), |out| {
        for_chunks(out, w.cols() * (GRAIN / LANES / w.cols()).max(1), |start, out| {
            for (out, &i) in out.chunks_exact_mut(w.cols()).zip(&list[start / w.cols()..]) {
                if i == NOWHERE { out.fill(T::default()) } else { w.row(i as usize, out) }
            }
        });
        Ok(())
    })
}

impl<T: Float> Rule<T> for Take {
    fn name(&self) -> &str {
        match self {
            Take::Elements { .. } => "take",
            Take::AddElements { .. } => "take_transposed",
            Take::Rows { .. } => "index_select",
            Take::AddRows { .. } => "index_select_transposed",
        }
    }

    fn takes_packed(&self) -> bool {
        true
    }

    fn looks_up(&self) -> bool {
        matches!(self, Take::Rows { axis: 0, .. })
    }

    fn about(&self) -> About {
        match self {
            Take::Elements { .. } => About::formula(
                "elements of a, by position",
                &["ȳ, added at the positions"],
                "Max pooling, sorting and the like read by position.",
            )
            .exact(),
            Take::AddElements { .. } => About::formula(
                "zeros, with elements of a added by position",
                &["elements of ȳ, by position"],
                "",
            ),
            Take::Rows { .. } => About::formula(
                "slices of a, by index",
                &["ȳ, added at the indices"],
                "An index that occurs twice gets both parts: an embedding's rule.",
            )
            .exact(),
            Take::AddRows { .. } => {
                About::formula("zeros, with slices of a added by index", &["slices of ȳ, by index"], "")
            }
        }
    }

    fn options(&self) -> Cow<'static, str> {
        Cow::Owned(match self {
            Take::Elements { positions, .. } | Take::AddElements { positions, .. } => {
                format!("index={}", positions.shape())
            }
            Take::Rows { axis, index, .. } | Take::AddRows { axis, index, .. } => {
                format!("dim={axis}, index={}", index.shape())
            }
        })
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let [x] = operands(x)?;
        match self {
            Take::Elements { positions: index, .. }
            | Take::AddElements { positions: index, .. }
            | Take::Rows { index, .. }
            | Take::AddRows { index, .. } => index.there()?,
        };
        if let Take::Rows { axis: 0, index, .. } = self
            && let Some((w, false)) = x.packed_matrix()
        {
            return packed_rows(&w, x.shape(), index);
        }
        let source = x.in_memory()?.contiguous().made()?;
        let values = source.as_slice().unwrap_or_default();
        match self {
            Take::Elements { positions, blocks } => {
                let positions = positions.contiguous().made()?;
                let list = positions.as_slice().unwrap_or_default();
                let outside = |p: &&u32| **p != NOWHERE && **p as usize >= values.len();
                // All are looked at, without a branch for each, before the first is looked for.
                let last = list.iter().fold(0, |last, p| p.wrapping_add(1).max(last));
                if last as usize > values.len()
                    && let Some(bad) = list.iter().find(outside)
                {
                    return Err(format!("there is no element {bad}: {} has {}", x.shape(), values.len()));
                }
                // NOWHERE is far outside, so one look tells both.
                Ok(Tensor::build(positions.shape().clone(), |out| {
                    for_chunks(out, list.len() / blocks, |start, out| {
                        for (o, &p) in out.iter_mut().zip(&list[start..]) {
                            *o = values.get(p as usize).copied().unwrap_or_default();
                        }
                    });
                }))
            }
            Take::AddElements { positions, shape, blocks } => {
                if x.shape() != positions.shape() {
                    return Err(format!(
                        "takes the shape of the index, {}, not {}",
                        positions.shape(),
                        x.shape()
                    ));
                }
                let positions = positions.contiguous().made()?;
                let list = positions.as_slice().unwrap_or_default();
                if list.len() > shape.numel() {
                    // Many small numbers may go into few sums: in f64, and always in the same order.
                    let mut sums = Tensor::<f64>::zeros(shape).made()?;
                    let sums = sums.as_mut_slice();
                    for (v, &p) in values.iter().zip(list) {
                        if let Some(sum) = sums.get_mut(p as usize) {
                            *sum += v.to_f64();
                        }
                    }
                    return Ok(Tensor::from_fn(shape.clone(), |i| T::from_f64(sums[i])));
                }
                let (block, each) = (shape.numel() / blocks, list.len() / blocks);
                Ok(Tensor::build(shape.clone(), |out| {
                    for_chunks(out, block, |start, out| {
                        out.fill(T::default());
                        let own = start / block.max(1) * each..;
                        for (&v, &p) in values[own.clone()].iter().zip(&list[own]).take(each) {
                            // NOWHERE is far outside.
                            if let Some(sum) = out.get_mut((p as usize).wrapping_sub(start)) {
                                *sum = *sum + v;
                            }
                        }
                    });
                }))
            }
            Take::Rows { axis, index, .. } => {
                let (mut shape, size) = (x.shape().clone(), x.dim(*axis as isize));
                let index = index.contiguous().made()?;
                let list = index.as_slice().unwrap_or_default();
                if let Some(bad) = list.iter().find(|&&i| i != NOWHERE && i as usize >= size) {
                    return Err(format!("index {bad} is out of range for axis {axis} of {}", x.shape()));
                }
                shape.set(*axis, list.len());
                let row: usize = shape[axis + 1..].iter().product();
                let (whole, stretches) = (row * list.len(), Stretches::find(list, row)?);
                let stretches = stretches.as_ref().map(Stretches::all);
                Ok(Tensor::build(shape, |out| {
                    if size == 0 || whole == 0 {
                        return out.fill(T::default());
                    }
                    for_chunks(out, (GRAIN / whole).max(1) * whole, |start, out| {
                        let blocks = values[start / whole * row * size..].chunks_exact(row * size);
                        let pairs = out.chunks_exact_mut(whole).zip(blocks);
                        match stretches {
                            Some(stretches) => pairs.for_each(|(out, block)| {
                                for s in stretches {
                                    let (own, other) = ranges(s, row);
                                    match block.get(other) {
                                        Some(slices) => out[own].copy_from_slice(slices),
                                        None => out[own].fill(T::default()),
                                    }
                                }
                            }),
                            None if row == 1 => pairs.for_each(|(out, block)| {
                                out.iter_mut().zip(list).for_each(|(o, &i)| {
                                    *o = block.get(i as usize).copied().unwrap_or_default();
                                });
                            }),
                            None => pairs.for_each(|(out, block)| {
                                out.chunks_exact_mut(row).zip(list).for_each(|(o, &i)| {
                                    match block.get(i as usize * row..(i as usize + 1) * row) {
                                        Some(slice) => o.copy_from_slice(slice),
                                        None => o.fill(T::default()),
                                    }
                                });
                            }),
                        }
                    });
                }))
            }
            Take::AddRows { axis, index, size } => {
                let mut shape = x.shape().clone();
                let index = index.contiguous().made()?;
                let list = index.as_slice().unwrap_or_default();
                if x.rank() <= *axis || x.shape()[*axis] != list.len() {
                    return Err(format!(
                        "{} doesn't have {} slices along axis {axis}",
                        x.shape(),
                        list.len()
                    ));
                }
                shape.set(*axis, *size);
                let row: usize = shape[axis + 1..].iter().product();
                let mut out = Tensor::zeros(shape).made()?;
                let (whole, stretches) = (row * size, Stretches::find(list, row)?);
                let stretches = stretches.as_ref().map(Stretches::all);
                if whole == 0 || list.is_empty() {
                    return Ok(out);
                }
                for_chunks(out.as_mut_slice(), (GRAIN / whole).max(1) * whole, |start, out| {
                    let blocks = values[start / whole * row * list.len()..].chunks_exact(row * list.len());
                    for (sums, block) in out.chunks_exact_mut(whole).zip(blocks) {
                        match &stretches {
                            Some(stretches) => stretches.iter().for_each(|s| {
                                let (own, other) = ranges(s, row);
                                let sums = sums.get_mut(other).unwrap_or_default();
                                sums.iter_mut().zip(&block[own]).for_each(|(sum, &v)| *sum = *sum + v);
                            }),
                            None if row == 1 => block.iter().zip(list).for_each(|(&v, &i)| {
                                if let Some(sum) = sums.get_mut(i as usize) {
                                    *sum = *sum + v;
                                }
                            }),
                            None => block.chunks_exact(row).zip(list).for_each(|(v, &i)| {
                                let own = i as usize * row..(i as usize + 1) * row;
                                let sums = sums.get_mut(own).unwrap_or_default();
                                sums.iter_mut().zip(v).for_each(|(sum, &v)| *sum = *sum + v);
                            }),
                        }
                    }
                });
                Ok(out)
            }
        }
    }

    fn keeps(&self, _: u32) -> u32 {
        0
    }

    fn check(&self, x: &[&Tensor<T>], y: &Shape) -> Checked<()> {
        let [x] = operands(x)?;
        let split = |n: usize, blocks: usize| blocks > 0 && n.is_multiple_of(blocks);
        match self {
            Take::Elements { positions, blocks }
                if split(positions.numel(), *blocks) && split(x.numel(), *blocks) =>
            {
                check_shape(positions.shape(), y)
            }
            Take::AddElements { positions, shape, blocks }
                if split(positions.numel(), *blocks) && split(shape.numel(), *blocks) =>
            {
                check_shape(shape, y)
            }
            Take::Elements { blocks, .. } | Take::AddElements { blocks, .. } => {
                Err(format!("{} and the index don't have {blocks} equal blocks", x.shape()))
            }
            Take::Rows { axis, .. } | Take::AddRows { axis, .. } => {
                check_axes(&[*axis], x.rank())?;
                let size = match self {
                    Take::AddRows { size, .. } => *size,
                    Take::Rows { index, .. } => index.numel(),
                    _ => 0,
                };
                let mut shape = x.shape().clone();
                shape.set(*axis, size);
                check_shape(&shape, y)
            }
        }
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let g = step.take_grad();
        let padded = matches!(self, Take::Rows { padding, .. } if *padding != NOWHERE);
        if padded && step.graph() {
            step.tape().not_replayable("the gradient of an embedding with padding was recorded");
        }
        let op = match self {
            Take::Elements { positions, blocks } => Take::AddElements {
                positions: positions.clone(),
                shape: step.input_shape(0),
                blocks: *blocks,
            },
            Take::AddElements { positions, blocks, .. } => {
                Take::Elements { positions: positions.clone(), blocks: *blocks }
            }
            Take::Rows { axis, index, padding } => {
                let kept = |index: &Tensor<u32>| {
                    let list = index.contiguous();
                    if list.lack().is_some() {
                        return list;
                    }
                    let list = list.as_slice().unwrap_or_default();
                    let kept = |i: usize| list.get(i).copied().filter(|i| i != padding).unwrap_or(NOWHERE);
                    Tensor::from_fn(index.shape(), kept)
                };
                let index = if *padding == NOWHERE { index.clone() } else { kept(index) };
                Take::AddRows { axis: *axis, index, size: step.input_shape(0)[*axis] }
            }
            Take::AddRows { axis, index, .. } => {
                Take::Rows { axis: *axis, index: index.clone(), padding: NOWHERE }
            }
        };
        step.give_by_positions(0, g.tape().apply(op, &[&g]));
    }
}

impl<'t, T: Float> Var<'t, T> {
    /// The elements at these positions of the flattened tensor, zero at [`NOWHERE`].
    #[track_caller]
    pub(crate) fn elements(&self, positions: Tensor<u32>) -> Var<'t, T> {
        self.elements_in_blocks(positions, 1)
    }

    /// The elements at positions of the flattened tensor, where both are as many equal blocks that belong to each
    /// other.
    #[track_caller]
    pub(crate) fn elements_in_blocks(&self, positions: Tensor<u32>, blocks: usize) -> Var<'t, T> {
        self.tape().apply(Take::Elements { positions, blocks: blocks.max(1) }, &[self])
    }

    /// The elements at the positions that a function of the values chooses, and these positions; a
    /// [`Program`](crate::Program) chooses anew.
    #[track_caller]
    pub(crate) fn chosen_elements(
        &self,
        blocks: usize,
        choose: impl Fn(&Tensor<T>) -> Tensor<u32> + 'static,
    ) -> (Var<'t, T>, Tensor<u32>) {
        let positions = choose(self.tensor());
        let y = self.elements_in_blocks(positions.clone(), blocks);
        self.tape().note_choice(&y, choose);
        (y, positions)
    }

    /// The transpose of [`Var::elements`]: zeros of a shape with each element added at its position.
    #[track_caller]
    pub(crate) fn add_at(&self, positions: Tensor<u32>, shape: &Shape) -> Var<'t, T> {
        self.tape().apply(Take::AddElements { positions, shape: shape.clone(), blocks: 1 }, &[self])
    }

    /// The slices with these indices, which are known to be in range, along an axis.
    #[track_caller]
    pub(crate) fn slices(&self, axis: usize, index: Tensor<u32>) -> Var<'t, T> {
        self.tape().apply(Take::Rows { axis, index, padding: NOWHERE }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tape, autodiff::GradCheck};

    #[test]
    fn places_with_one_position_share_value_and_gradient() {
        let codes = Tensor::new([2, 3], vec![0, 2, NOWHERE, 2, 2, 1]).unwrap();
        let tape = Tape::<f64>::new();
        let values = tape.input([10.0, 20.0, 30.0]);
        let w = values.elements(codes.clone());
        assert_eq!(w.to_vec().unwrap(), [10.0, 30.0, 0.0, 30.0, 30.0, 20.0]);
        let weights = tape.constant([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]]);
        let grads = (w * weights).sum().backward().unwrap();
        assert_eq!(grads.get(&values).unwrap().to_vec(), [1.0, 32.0, 26.0]);
        GradCheck::new()
            .second_order(true)
            .check(
                move |x| x[0].elements(codes.clone()).tanh() * &x[1],
                &[Tensor::from([0.3, -0.2, 0.9]), Tensor::linspace(-1.0, 1.0, 6).reshape([2, 3]).unwrap()],
            )
            .unwrap();
    }

    #[test]
    fn slices_in_stretches_are_those_one_by_one() {
        let lists: [&[u32]; 5] = [
            &[0, 1, 2, 3, 4, 5, 6],
            &[NOWHERE, 0, 1, 2, 3, 4, 5, 6, NOWHERE, NOWHERE],
            &[3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0, 1],
            &[6, 0, 0, 3],
            &[2],
        ];
        for (list, axis) in lists.into_iter().flat_map(|list| (0..3).map(move |axis| (list, axis))) {
            let x = Tensor::from_fn([7, 7, 7], |i| i as f64 + 1.0);
            let tape = Tape::new();
            let input = tape.input(&x);
            let y = input.slices(axis, Tensor::from(list.to_vec()));
            let weights = Tensor::from_fn(y.shape(), |i| (i % 13) as f64);
            let grads = (&y * tape.constant(&weights)).sum().backward().unwrap();
            let (front, back) = ([axis as isize], [0]);
            let turned = |t: Tensor<f64>| tape.constant(t).movedim(front, back).value().unwrap().to_vec();
            let (x, y, weights) = (turned(x), turned(y.value().unwrap().clone()), turned(weights));
            let found = turned(grads.get(&input).unwrap().clone());
            let mut sums = vec![0.0; x.len()];
            for (k, &i) in list.iter().enumerate() {
                for j in 0..49 {
                    let own = k * 49 + j;
                    let from = (i != NOWHERE).then(|| i as usize * 49 + j);
                    assert_eq!(y[own], from.map_or(0.0, |at| x[at]), "{list:?} {axis}");
                    from.into_iter().for_each(|at| sums[at] += weights[own]);
                }
            }
            assert_eq!(found, sums, "{list:?} {axis}");
        }
    }

    #[test]
    fn a_position_outside_is_an_error() {
        let tape = Tape::<f32>::new();
        let w = tape.input([1.0, 2.0]).elements(Tensor::from([0u32, 2]));
        assert!(w.value().unwrap_err().to_string().contains("no element 2: [2] has 2"));
    }
}
