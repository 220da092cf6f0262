//! Writing by index: each operation gives a new tensor in which chosen places have other values.
use super::{
    index::{along, list, true_positions, valid},
    list::Float,
    operand::Operand,
    take::NOWHERE,
};
use crate::{
    error::Checked,
    tape::Var,
    tensor::{Index, Shape, Tensor, room::filled},
};
use std::borrow::Cow;

/// How [`Var::scatter_reduce`] folds the values that go to one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scatter {
    /// Their sum.
    Sum,
    /// Their product.
    Prod,
    /// Their mean.
    Mean,
    /// The largest; equal ones share the gradient.
    Amax,
    /// The smallest; equal ones share the gradient.
    Amin,
}

/// For each of `n` slices the last that goes there, or [`NOWHERE`].
fn winners(rows: &Tensor<u32>, n: usize) -> Checked<Vec<u32>> {
    let mut winners = filled(n, NOWHERE)?;
    for (i, p) in rows.list()?.into_iter().enumerate() {
        if let Some(w) = winners.get_mut(p as usize) {
            *w = i as u32;
        }
    }
    Ok(winners)
}

/// A mask of this shape from a list.
fn mask_of<V: Copy>(shape: &Shape, list: &[V], f: impl Fn(V) -> bool) -> Tensor<bool> {
    Tensor::build(shape.clone(), |out| out.iter_mut().zip(list).for_each(|(o, &v)| *o = f(v)))
}

/// That a value to fill with is one number.
fn one_number<T: Float>(value: &Operand<'_, '_, T>) -> Checked<()> {
    let shape = match value {
        Operand::Var(v) if v.rank() > 0 && v.failed_id().is_none() => v.shape(),
        Operand::Tensor(v) if v.rank() > 0 && v.lack().is_none() => v.shape(),
        _ => return Ok(()),
    };
    Err(format!("fills with one number, a tensor of rank 0, not {shape}"))
}

/// # Writing into a copy
impl<'t, T: Float> Var<'t, T> {
    /// The part of `src` that an index of this shape names, as `scatter` reads it.
    #[track_caller]
    fn source(&self, name: &str, src: &Var<'t, T>, index: &Shape) -> Var<'t, T> {
        if src.failed_id().is_some() || self.failed_id().is_some() {
            return if self.failed_id().is_some() { self.clone() } else { src.clone() };
        }
        let fits = src.rank() == index.rank() && index.iter().zip(src.shape().iter()).all(|(i, s)| i <= s);
        if !fits && index.numel() > 0 {
            let message = format!("the index has shape {index}, larger than the source's {}", src.shape());
            return self.tape().fail_op(name, message, &[self, src]);
        }
        let mut part = src.clone();
        for (axis, &size) in index.iter().enumerate().take(src.rank()) {
            if part.dim(axis as isize) != size {
                part = part.narrow(axis as isize, 0, size);
            }
        }
        part
    }

    /// `y = x`, but `y[index[i][j]][j] = src[i][j]` for `dim` 0, and so on; or one number at all places of
    /// the index. Where an index names a place twice, the last value stays, and only it gets a gradient.
    ///
    /// ```
    /// use kolmo::Tensor;
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let (x, index) = (tape.constant([0.0, 0.0, 0.0]), Tensor::from([2u32, 0]));
    /// assert_eq!(x.scatter(0, &index, &Tensor::from([1.0, 2.0])).to_vec()?, [2.0, 0.0, 1.0]);
    /// assert_eq!(x.scatter(0, &index, 7.0).to_vec()?, [7.0, 0.0, 7.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn scatter<'a, I: Index>(
        &self,
        dim: isize,
        index: &Tensor<I>,
        src: impl Into<Operand<'a, 't, T>>,
    ) -> Var<'t, T>
    where
        't: 'a,
    {
        let src = match src.into() {
            Operand::Number(value) => {
                Cow::Owned(self.tape().constant(Tensor::full(index.shape(), T::from_f64(value))))
            }
            src => src.on(self.tape()),
        };
        let positions = valid!([self, &src], "scatter", along(self.shape(), dim, index));
        let src = self.source("scatter", &src, index.shape());
        if src.failed_id().is_some() || positions.numel() == 0 {
            return if src.failed_id().is_some() { src } else { self.clone() };
        }
        self.put(&positions, &src)
    }

    /// `y = x`, but `y[index[i][j]][j] += src[i][j]` for `dim` 0, and so on.
    ///
    /// ```
    /// use kolmo::Tensor;
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let (x, index) = (tape.constant([0.0, 0.0, 0.0]), Tensor::from([2u32, 0, 2]));
    /// let src = tape.constant([1.0, 2.0, 3.0]);
    /// assert_eq!(x.scatter_add(0, &index, &src).to_vec()?, [2.0, 0.0, 4.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    #[doc(alias = "index_put")]
    pub fn scatter_add<I: Index>(&self, dim: isize, index: &Tensor<I>, src: &Var<'t, T>) -> Var<'t, T> {
        let positions = valid!([self, src], "scatter_add", along(self.shape(), dim, index));
        let src = self.source("scatter_add", src, index.shape());
        if src.failed_id().is_some() || positions.numel() == 0 {
            return if src.failed_id().is_some() { src } else { self.clone() };
        }
        self + src.add_at(positions, self.shape())
    }

    /// Each place of this tensor folded with the elements of `src` that the index sends there, as in
    /// [`scatter`](Var::scatter); without the tensor's own value if `include_self` is false and something
    /// comes there.
    #[track_caller]
    pub fn scatter_reduce<I: Index>(
        &self,
        dim: isize,
        index: &Tensor<I>,
        src: &Var<'t, T>,
        reduce: Scatter,
        include_self: bool,
    ) -> Var<'t, T> {
        let positions = valid!([self, src], "scatter_reduce", along(self.shape(), dim, index));
        let src = self.source("scatter_reduce", src, index.shape());
        if src.failed_id().is_some() || positions.numel() == 0 {
            return if src.failed_id().is_some() { src } else { self.clone() };
        }
        let shape = self.shape().clone();
        let places = valid!([self, &src], "scatter_reduce", positions.list());
        let mut counts = valid!([self, &src], "scatter_reduce", filled(self.numel(), 0u32));
        for &p in &places {
            counts[p as usize] += 1;
        }
        let touched = || mask_of(&shape, &counts, |n| n > 0);
        let start = match reduce {
            _ if include_self => self.clone(),
            Scatter::Sum | Scatter::Mean => self.masked_fill(&touched(), 0.0),
            Scatter::Prod => self.masked_fill(&touched(), 1.0),
            Scatter::Amax => self.masked_fill(&touched(), f64::NEG_INFINITY),
            Scatter::Amin => self.masked_fill(&touched(), f64::INFINITY),
        };
        let neutral = match reduce {
            Scatter::Sum | Scatter::Mean => {
                let sum = start + src.add_at(positions, &shape);
                if reduce == Scatter::Sum {
                    return sum;
                }
                let own = include_self as u32;
                let n = Tensor::from_fn(&shape, |i| T::constant((counts[i] + own).max(1) as f64));
                return sum / self.tape().constant(n);
            }
            Scatter::Prod => 1.0,
            Scatter::Amax => f64::NEG_INFINITY,
            Scatter::Amin => f64::INFINITY,
        };
        // The first, second, third … element for each place, laid one over the other and folded.
        let (n, rounds) = (self.numel(), counts.iter().max().map_or(0, |&n| n as usize));
        let deep: Shape = [rounds].into_iter().chain(shape.iter().copied()).collect();
        let mut layers = valid!([self, &src], "scatter_reduce", Tensor::full(&deep, NOWHERE).made());
        let list = layers.as_mut_slice();
        // The counts go down again while the layers fill from the last to the first.
        for (i, &p) in places.iter().enumerate().rev() {
            counts[p as usize] -= 1;
            list[counts[p as usize] as usize * n + p as usize] = i as u32;
        }
        let none = mask_of(&deep, list, |i| i == NOWHERE);
        let layers = src.elements(layers).masked_fill(&none, neutral);
        let mut all = self.tape().cat(&[&start.unsqueeze(0), &layers], 0);
        let mut axis = 0;
        if rounds >= 31 {
            // From 32 on a line is folded in another order than layers are.
            (all, axis) = (all.movedim([0], [-1]), -1);
        }
        match reduce {
            Scatter::Amax => all.amax_dim(axis, false),
            Scatter::Amin => all.amin_dim(axis, false),
            _ => all.prod_dim(axis, false),
        }
    }

    /// `y = x`, but slice `index[i]` along `dim` has `alpha` times slice `i` of `source` added.
    ///
    /// ```
    /// use kolmo::Tensor;
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let (x, source) = (tape.constant(Tensor::zeros([3, 2])), tape.constant([[1.0, 2.0], [3.0, 4.0]]));
    /// let y = x.index_add(0, &Tensor::from([2u32, 2]), &source, 1.0);
    /// assert_eq!(y.to_vec()?, [0.0, 0.0, 0.0, 0.0, 4.0, 6.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn index_add<I: Index>(
        &self,
        dim: isize,
        index: &Tensor<I>,
        source: &Var<'t, T>,
        alpha: f64,
    ) -> Var<'t, T> {
        let (axis, rows) = valid!([self, source], "index_add", self.slices_of(dim, index));
        let source = self.rows_of("index_add", axis, &rows, source);
        if source.failed_id().is_some() {
            return source;
        }
        let source = if alpha == 1.0 { source } else { source * alpha };
        if self.rank() == 0 {
            return self + source.sum();
        }
        let op = super::list::Take::AddRows { axis, index: rows, size: self.shape()[axis] };
        self + self.tape().apply(op, &[&source])
    }

    /// `y = x`, but slice `index[i]` along `dim` is slice `i` of `source`; of several for one place the last
    /// stays.
    #[track_caller]
    pub fn index_copy<I: Index>(&self, dim: isize, index: &Tensor<I>, source: &Var<'t, T>) -> Var<'t, T> {
        let (axis, rows) = valid!([self, source], "index_copy", self.slices_of(dim, index));
        let source = self.rows_of("index_copy", axis, &rows, source);
        if source.failed_id().is_some() || rows.numel() == 0 {
            return if source.failed_id().is_some() { source } else { self.clone() };
        }
        if self.rank() == 0 {
            return source.reshape_to(self.shape());
        }
        let winners = valid!([self, &source], "index_copy", winners(&rows, self.shape()[axis]));
        let mask = self.mask_along(axis, |i| winners[i] != NOWHERE);
        let chosen = Tensor::from_fn([winners.len()], |i| if winners[i] == NOWHERE { 0 } else { winners[i] });
        source.slices(axis, chosen).where_(&mask, self)
    }

    /// `y = x`, but the slices along `dim` that the index names hold one number: an `f64`, or a tensor of
    /// rank 0, which gets the sum of their gradients.
    #[track_caller]
    pub fn index_fill<'a, I: Index>(
        &self,
        dim: isize,
        index: &Tensor<I>,
        value: impl Into<Operand<'a, 't, T>>,
    ) -> Var<'t, T>
    where
        't: 'a,
    {
        let value = value.into();
        let (axis, rows) = valid!(self, "index_fill", self.slices_of(dim, index));
        valid!(self, "index_fill", one_number(&value));
        if self.rank() == 0 {
            return self.masked_fill(&Tensor::full(Shape::default(), rows.numel() > 0), value);
        }
        let winners = valid!(self, "index_fill", winners(&rows, self.shape()[axis]));
        self.masked_fill(&self.mask_along(axis, |i| winners[i] != NOWHERE), value)
    }

    /// `y = x`, but one number where the mask, which broadcasts, is true: an `f64`, or a tensor of rank 0,
    /// which gets the sum of the gradients there.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant([1.0, -2.0, 3.0]);
    /// assert_eq!(x.masked_fill(&x.lt(0.0)?, 0.0).to_vec()?, [1.0, 0.0, 3.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn masked_fill<'a>(&self, mask: &Tensor<bool>, value: impl Into<Operand<'a, 't, T>>) -> Var<'t, T>
    where
        't: 'a,
    {
        let value = value.into();
        valid!(self, "masked_fill", one_number(&value));
        value.on(self.tape()).where_(mask, self)
    }

    /// `y = x`, but where the mask, which broadcasts to `x`, is true, the elements of `source`, one after the
    /// other.
    #[track_caller]
    pub fn masked_scatter(&self, mask: &Tensor<bool>, source: &Var<'t, T>) -> Var<'t, T> {
        let shape = valid!(
            [self, source],
            "masked_scatter",
            mask.there().and_then(|()| crate::tensor::shape::broadcast(self.shape(), mask.shape()))
        );
        let x = self.expand_to(&shape);
        let places = valid!([self, source], "masked_scatter", true_positions(mask, &shape));
        if source.failed_id().is_some() {
            return source.clone();
        }
        if places.numel() > source.numel() {
            let message =
                format!("the mask chooses {} places, but the source has {}", places.numel(), source.shape());
            return self.tape().fail_op("masked_scatter", message, &[self, source]);
        }
        x.put(&places, &source.reshape([-1]).narrow(0, 0, places.numel()))
    }

    fn slices_of<I: Index>(&self, dim: isize, index: &Tensor<I>) -> Checked<(usize, Tensor<u32>)> {
        let axis = self.shape().axis(dim)?;
        Ok((axis, list(index, self.shape().get(axis).copied().unwrap_or(1))?))
    }

    /// A source with this tensor's shape but as many slices along the axis as there are indices.
    #[track_caller]
    fn rows_of(&self, name: &str, axis: usize, rows: &Tensor<u32>, source: &Var<'t, T>) -> Var<'t, T> {
        if source.failed_id().is_some() {
            return source.clone();
        }
        let mut shape = self.shape().clone();
        if self.rank() == 0 {
            shape = source.shape().clone();
        } else {
            shape.set(axis, rows.numel());
        }
        let scalar = source.rank() == 0 && shape.numel() == 1;
        if source.numel() != shape.numel()
            || (*source.shape() != shape && !scalar)
            || shape.numel() < rows.numel()
        {
            let message = format!("the source has shape {}, but must have {shape}", source.shape());
            return self.tape().fail_op(name, message, &[self, source]);
        }
        source.reshape_to(&shape)
    }

    fn mask_along(&self, axis: usize, f: impl Fn(usize) -> bool) -> Tensor<bool> {
        let shape: Shape = (0..self.rank()).map(|a| if a == axis { self.shape()[a] } else { 1 }).collect();
        Tensor::from_fn(shape, f)
    }
}
