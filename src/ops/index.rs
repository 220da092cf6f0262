//! Elements and slices chosen by tensors of indices. All come down to the two ways of reading in `take`.
use super::{
    checks::operands,
    list::{Float, Take},
    take::NOWHERE,
};
use crate::{
    error::Checked,
    real::About,
    tape::{Op, Rule, Step, Var},
    tensor::{
        Element, Index, Shape, Tensor,
        room::filled,
        shape::addressable,
        strided::{for_runs, merge_axes},
    },
};

/// The value of a check; where it failed, or an operand had failed before, the function returns that failure.
macro_rules! valid {
    ([$x:expr $(, $more:expr)*], $name:literal, $checked:expr) => {
        match $checked {
            Ok(value) if $x.failed_id().is_none() => value,
            checked => {
                let message = checked.err().unwrap_or_default();
                return $x.tape().fail_op($name, message, &[$x $(, $more)*]);
            }
        }
    };
    ($x:expr, $name:literal, $checked:expr) => {
        valid!([$x], $name, $checked)
    };
}
pub(crate) use valid;

impl<'t, T: Float> Var<'t, T> {
    /// The result of an operation that is composed of others, under its own name. Where one of those failed,
    /// it is this one that can't be done, with these operands.
    #[track_caller]
    pub(crate) fn named(self, name: &str, operands: &[&Var<'t, T>]) -> Var<'t, T> {
        if self.failed_id().is_none() || operands.iter().any(|v| v.failed_id().is_some()) {
            return self;
        }
        match self.failure() {
            Some(crate::Error::Op(inner)) if inner.op != name => {
                let shapes: Vec<String> = operands.iter().map(|v| v.shape().to_string()).collect();
                let message = format!("can't take {}: {}", shapes.join(", "), inner.message);
                self.tape().fail_op(name, message, operands)
            }
            _ => self,
        }
    }
}

/// Indices below `size`, of which negative ones may count from the end.
pub(crate) fn indices<I: Index>(index: &Tensor<I>, size: usize, negative: bool) -> Checked<Tensor<u32>> {
    let n = i64::try_from(size).unwrap_or(i64::MAX);
    let index = &index.contiguous().made()?;
    let list = index.as_slice().unwrap_or_default();
    let wrapped = |i: I| {
        let i = i.to_i64();
        if negative && i < 0 { i + n } else { i }
    };
    let outside = |&&i: &&I| wrapped(i) as u64 >= n as u64;
    let own = shared(index);
    // All are looked at, without a branch for each, before the first is looked for.
    let any = match own.as_ref().and_then(Tensor::as_slice) {
        Some(own) => own.iter().fold(0, |most, &i| i.max(most)) as usize >= size,
        None => list.iter().fold(false, |any, i| any | outside(&i)),
    };
    if any && let Some(bad) = list.iter().find(outside) {
        let from = if negative { -n } else { 0 };
        let range = if n == 0 { "none is".into() } else { format!("{from} to {} are", n - 1) };
        return Err(format!("index {} is out of range for size {n}: {range} accepted", bad.to_i64()));
    }
    small(&Shape::new(&[size]))?;
    match own {
        Some(own) => Ok(own),
        None => Tensor::from_fn(index.shape(), |i| wrapped(list[i]) as u32).made(),
    }
}

/// The index itself if it is of the type that operations keep, so that a [`Program`](crate::Program) knows it
/// again.
pub(crate) fn shared<I: Index>(index: &Tensor<I>) -> Option<Tensor<u32>> {
    (index as &dyn std::any::Any).downcast_ref::<Tensor<u32>>().map(Tensor::contiguous)
}

/// That positions fit into the 32 bits that they are kept in.
pub(crate) fn small(shape: &Shape) -> Checked<()> {
    addressable(shape)?;
    match u32::try_from(shape.numel()) {
        Ok(n) if n != NOWHERE => Ok(()),
        _ => Err(format!("{shape} has more elements than can be indexed, 2³² - 2")),
    }
}

/// Positions in a tensor of shape `shape` of the elements that `gather` takes: everywhere the place of the
/// index itself, except along `axis`.
pub(crate) fn positions(shape: &Shape, axis: usize, index: &Tensor<u32>) -> Checked<Tensor<u32>> {
    small(shape)?;
    index.there()?;
    let fits =
        shape.rank() == index.rank() && (0..shape.rank()).all(|a| a == axis || index.shape()[a] <= shape[a]);
    if !fits {
        return Err(format!(
            "the index has shape {}, but must have as many axes as {shape} and be no larger outside axis {axis}",
            index.shape()
        ));
    }
    if shape.rank() == 0 || index.numel() == 0 {
        return Ok(index.clone());
    }
    let mut strides = shape.contiguous_strides();
    // Positions are below 2³².
    let along = strides[axis] as u32;
    strides[axis] = 0;
    let axes = merge_axes(index.shape(), [&strides]);
    let (run, [step]) = axes[axes.len() - 1];
    let source = index.contiguous().made()?;
    let list = source.as_slice().unwrap_or_default();
    Tensor::build(index.shape().clone(), |out| {
        for_runs(&axes, [0], 0, list.len() / run, |i, [at]| {
            let part = i * run..(i + 1) * run;
            for ((o, &j), k) in out[part.clone()].iter_mut().zip(&list[part]).zip(0u32..) {
                let own = (at as u32).wrapping_add(k.wrapping_mul(step as u32));
                *o = own.wrapping_add(j.wrapping_mul(along));
            }
        });
    })
    .made()
}

/// The axis and the positions of `gather` and `scatter`.
pub(crate) fn along<I: Index>(shape: &Shape, dim: isize, index: &Tensor<I>) -> Checked<Tensor<u32>> {
    index.there()?;
    let axis = shape.axis(dim)?;
    let size = shape.get(axis).copied().unwrap_or(1);
    let index = if index.numel() == 0 { Tensor::zeros(index.shape()) } else { indices(index, size, false)? };
    if index.numel() == 0 && index.rank() != shape.rank() {
        return Ok(index);
    }
    if shape.rank() == 0 && index.rank() == 1 {
        return Ok(index);
    }
    if shape.rank() == 1 && index.rank() == 0 {
        return Ok(index);
    }
    positions(shape, axis, &index)
}

/// A list of indices: one axis, or none for a single index.
pub(crate) fn list<I: Index>(index: &Tensor<I>, size: usize) -> Checked<Tensor<u32>> {
    index.there()?;
    if index.rank() > 1 {
        return Err(format!("the index has shape {}, but must have one axis", index.shape()));
    }
    let index = indices(index, size, false)?;
    Ok(index.reshaped(&Shape::new(&[index.numel()])))
}

/// The positions where a mask, broadcast to `shape`, is true, in order.
pub(crate) fn true_positions(mask: &Tensor<bool>, shape: &Shape) -> Checked<Tensor<u32>> {
    small(shape)?;
    let mask = mask.view(mask.layout().expand(shape)?).contiguous().made()?;
    let mask = mask.as_slice().unwrap_or_default();
    let count = mask.iter().filter(|m| **m).count();
    // Every place is written down and stays where the mask is true: no branch that would be missed often.
    let mut found = filled(count + 1, 0)?;
    let mut n = 0;
    for (&m, i) in mask.iter().zip(0..) {
        found[n] = i;
        n += usize::from(m);
    }
    found.truncate(count);
    Ok(Tensor::from(found))
}

/// # Elements by tensors of indices
impl<'t, T: Float> Var<'t, T> {
    /// `y[i][j] = x[index[i][j]][j]` for `dim` 0, and so on: along `dim` the element that the index names,
    /// along all other axes the index's own place. The index has as many axes as `x` and is no larger,
    /// except along `dim`.
    ///
    /// ```
    /// use kolmo::{Tape, Tensor};
    /// let tape = Tape::<f32>::new();
    /// let x = tape.input([[1.0, 2.0], [3.0, 4.0]]);
    /// let y = x.gather(1, &Tensor::from([[0, 0], [1, 0]]));
    /// assert_eq!(y.to_vec()?, [1.0, 1.0, 4.0, 3.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn gather<I: Index>(&self, dim: isize, index: &Tensor<I>) -> Var<'t, T> {
        let positions = valid!(self, "gather", along(self.shape(), dim, index));
        self.elements(positions)
    }

    /// The slices along `dim` that a list of indices names, in its order; one may be named several times.
    ///
    /// ```
    /// use kolmo::Tensor;
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    /// assert_eq!(x.index_select(0, &Tensor::from([2u32, 0])).to_vec()?, [5.0, 6.0, 1.0, 2.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn index_select<I: Index>(&self, dim: isize, index: &Tensor<I>) -> Var<'t, T> {
        let axis = valid!(self, "index_select", self.shape().axis(dim));
        let size = self.shape().get(axis).copied().unwrap_or(1);
        let index = valid!(self, "index_select", list(index, size));
        if self.rank() == 0 {
            let message = "a tensor of rank 0 has one element to select";
            let one = if index.numel() == 1 { Ok(()) } else { Err(message.to_string()) };
            valid!(self, "index_select", one);
            return self.clone();
        }
        self.slices(axis, index)
    }

    /// The elements at these positions of the flattened tensor, in the shape of the index; negative ones
    /// count from the end.
    #[track_caller]
    pub fn take<I: Index>(&self, index: &Tensor<I>) -> Var<'t, T> {
        valid!(self, "take", small(self.shape()));
        let positions = valid!(self, "take", indices(index, self.numel(), true));
        self.elements(positions)
    }

    /// As [`gather`](Var::gather), but index and tensor broadcast to each other outside `dim`; with no `dim`,
    /// the flattened index takes from the flattened tensor. What `argsort` gives is what this takes.
    #[track_caller]
    pub fn take_along_dim<I: Index>(&self, index: &Tensor<I>, dim: impl Into<Option<isize>>) -> Var<'t, T> {
        let Some(dim) = dim.into() else {
            return self.take(&index.reshaped(&Shape::new(&[index.numel()])));
        };
        let axis = valid!(self, "take_along_dim", index.there().and_then(|()| self.shape().axis(dim)));
        if self.rank() != index.rank() {
            let message = format!(
                "the index has shape {}, but must have as many axes as {}",
                index.shape(),
                self.shape()
            );
            return self.tape().fail_op("take_along_dim", message, &[self]);
        }
        let (mut ours, mut theirs) = (self.shape().clone(), index.shape().clone());
        if self.rank() > 0 {
            ours.set(axis, 1);
            theirs.set(axis, 1);
        }
        let both = valid!(self, "take_along_dim", crate::tensor::shape::broadcast(&ours, &theirs));
        (ours, theirs) = (both.clone(), both);
        if self.rank() > 0 {
            ours.set(axis, self.shape()[axis]);
            theirs.set(axis, index.shape()[axis]);
        }
        let index = valid!(self, "take_along_dim", index.layout().expand(&theirs).map(|l| index.view(l)));
        let size = ours.get(axis).copied().unwrap_or(1);
        let index = valid!(self, "take_along_dim", indices(&index, size, true));
        self.expand_to(&ours).gather(dim, &index)
    }

    /// The elements where a mask, which broadcasts, is true, as a list.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant([[1.0, -2.0], [-3.0, 4.0]]);
    /// assert_eq!(x.masked_select(&x.gt(0.0)?).to_vec()?, [1.0, 4.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn masked_select(&self, mask: &Tensor<bool>) -> Var<'t, T> {
        let both = mask.there().and_then(|()| crate::tensor::shape::broadcast(self.shape(), mask.shape()));
        let shape = valid!(self, "masked_select", both);
        let positions = valid!(self, "masked_select", true_positions(mask, &shape));
        self.expand_to(&shape).elements(positions)
    }

    /// A row of the table `[n, d]` for each index: `[…] -> […, d]`. With `padding_idx`, the row of that index
    /// gets no gradient.
    #[track_caller]
    pub fn embedding<I: Index>(
        &self,
        index: &Tensor<I>,
        padding_idx: impl Into<Option<isize>>,
    ) -> Var<'t, T> {
        if self.rank() != 2 && self.failed_id().is_none() {
            let message = format!("the table has shape {}, but must have two axes", self.shape());
            return self.tape().fail_op("embedding", message, &[self]);
        }
        let rows = valid!(self, "embedding", indices(index, self.dim(0), false));
        let n = self.dim(0) as isize;
        let shape: Shape = index.shape().iter().copied().chain([self.dim(1)]).collect();
        let padding = match padding_idx.into() {
            None => NOWHERE,
            Some(p) if p >= -n && p < n => p.rem_euclid(n) as u32,
            Some(p) => {
                let message = format!("padding_idx {p} is out of range: {} to {} are accepted", -n, n - 1);
                return self.tape().fail_op("embedding", message, &[self]);
            }
        };
        let index = rows.reshaped(&Shape::new(&[rows.numel()]));
        self.tape().apply(Take::Rows { axis: 0, index, padding }, &[self]).reshape_to(&shape)
    }

    /// This table `[n, …]`, but with the gradient of each row divided by how often the index names it:
    /// PyTorch's `scale_grad_by_freq` of an embedding, of which frequent rows then learn no faster than
    /// rare ones.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::new();
    /// let (table, index) = (tape.input([[1.0], [2.0]]), kolmo::Tensor::from([0u32, 1, 1, 1]));
    /// let rows = table.scale_grad_by_freq(&index).embedding(&index, None);
    /// assert_eq!(rows.sum().backward()?.get(&table).unwrap().to_vec(), [1.0, 1.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn scale_grad_by_freq<I: Index>(&self, index: &Tensor<I>) -> Var<'t, T> {
        let n = *valid!(self, "scale_grad_by_freq", self.shape().first().ok_or("takes a table of rows"));
        let rows = valid!(self, "scale_grad_by_freq", indices(index, n, false));
        let mut counts = valid!(self, "scale_grad_by_freq", filled(n, 0u32));
        valid!(self, "scale_grad_by_freq", rows.list()).into_iter().for_each(|row| counts[row as usize] += 1);
        let shape: Shape = (0..self.rank()).map(|axis| if axis == 0 { n } else { 1 }).collect();
        let shares = Tensor::from_fn(shape, |i| T::constant(1.0 / counts[i].max(1) as f64));
        self.tape().apply(Op::Custom(std::sync::Arc::new(RowShares(shares))), &[self])
    }
}

/// The operand itself; the gradient of each of its rows is multiplied by a number.
struct RowShares<T: Float>(Tensor<T>);

impl<T: Float> Rule<T> for RowShares<T> {
    fn name(&self) -> &str {
        "scale_grad_by_freq"
    }

    fn about(&self) -> About {
        About::NOTHING.exact()
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let [x] = operands(x)?;
        Ok(x.clone())
    }

    fn keeps(&self, _: u32) -> u32 {
        0
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let g = step.take_grad();
        step.give(0, &g * g.tape().constant(&self.0));
    }
}

/// # Labels
impl<I: Index> Tensor<I> {
    /// For each class label `[…]` a row `[…, num_classes]` of zeros with a one at the label. By default there
    /// are as many classes as the largest label needs.
    ///
    /// # Errors
    /// If a label is negative or not below `num_classes`.
    pub fn one_hot<T: Element>(&self, num_classes: impl Into<Option<usize>>) -> crate::Result<Tensor<T>> {
        let named = |m| crate::Error::invalid("one_hot", m);
        let most = self.list().map_err(named)?.into_iter().map(Index::to_i64).max();
        let classes = match (num_classes.into(), most) {
            (Some(classes), _) => classes,
            (None, Some(most)) => most.saturating_add(1).max(0) as usize,
            (None, None) => {
                return Err(crate::Error::invalid(
                    "one_hot",
                    "without labels the number of classes must be given",
                ));
            }
        };
        let index = indices(self, classes, false).map_err(|m| crate::Error::invalid("one_hot", m))?;
        let shape: Shape = self.shape().iter().copied().chain([classes]).collect();
        small(&shape).map_err(|m| crate::Error::invalid("one_hot", m))?;
        let mut out = Tensor::<T>::zeros(shape).made().map_err(named)?;
        if classes > 0 {
            for (row, &i) in out.as_mut_slice().chunks_exact_mut(classes).zip(&index.list().map_err(named)?) {
                if let Some(place) = row.get_mut(i as usize) {
                    *place = T::from_f64(1.0);
                }
            }
        }
        Ok(out)
    }
}
