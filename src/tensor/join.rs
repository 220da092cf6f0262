//! Tensors put together, and slices of them taken.
use super::{Element, Index, Shape, Tensor, array::named, room::room};
use crate::error::{Checked, Result};
use std::borrow::Borrow;

/// # Tensors joined
impl<T: Element> Tensor<T> {
    /// Tensors of one shape along a new axis `dim`, which may be one past their last.
    ///
    /// ```
    /// use kolmo::Tensor;
    /// let (x, y) = (Tensor::from([1, 2]), Tensor::from([3, 4]));
    /// assert_eq!(Tensor::stack(&[&x, &y], 0)?, Tensor::from([[1, 2], [3, 4]]));
    /// assert_eq!(Tensor::stack(&[x, y], 1)?, Tensor::from([[1, 3], [2, 4]]));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// Without tensors, and if their shapes differ.
    pub fn stack<B: Borrow<Tensor<T>>>(tensors: &[B], dim: isize) -> Result<Tensor<T>> {
        let tensors: Vec<&Tensor<T>> = tensors.iter().map(B::borrow).collect();
        named("Tensor::stack", stacked(&tensors, dim))
    }

    /// Tensors one after the other along an axis; all other sizes agree. A tensor `[0]` is left out, whatever
    /// the others are.
    ///
    /// ```
    /// use kolmo::Tensor;
    /// let (x, y) = (Tensor::from([[1, 2]]), Tensor::from([[3, 4], [5, 6]]));
    /// assert_eq!(Tensor::cat(&[&x, &y], 0)?, Tensor::from([[1, 2], [3, 4], [5, 6]]));
    /// assert!(Tensor::cat(&[&x, &y], 1).is_err());
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// Without tensors, and if sizes other than along the axis differ.
    #[doc(alias("concat", "concatenate", "hstack", "vstack", "dstack", "column_stack"))]
    pub fn cat<B: Borrow<Tensor<T>>>(tensors: &[B], dim: isize) -> Result<Tensor<T>> {
        let tensors: Vec<&Tensor<T>> = tensors.iter().map(B::borrow).collect();
        named("Tensor::cat", joined(&tensors, dim))
    }

    /// The slices along an axis that an index names, copied. As in PyTorch, negative indices are an error.
    ///
    /// ```
    /// use kolmo::Tensor;
    /// let x = Tensor::from([[1, 2, 3], [4, 5, 6]]);
    /// assert_eq!(x.index_select(1, &Tensor::from([2, 0]))?, Tensor::from([[3, 1], [6, 4]]));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is no such axis or slice, and if the index isn't a list.
    #[doc(alias = "take")]
    pub fn index_select<I: Index>(&self, dim: isize, index: &Tensor<I>) -> Result<Tensor<T>> {
        named("index_select", self.selected(dim, index))
    }

    fn selected<I: Index>(&self, dim: isize, index: &Tensor<I>) -> Checked<Tensor<T>> {
        self.there()?;
        let axis = self.shape().axis(dim)?;
        if self.rank() == 0 || index.rank() > 1 {
            return Err(format!(
                "takes a list of indices of an axis, not {} of {}",
                index.shape(),
                self.shape()
            ));
        }
        let (list, size) = (index.list()?, self.shape()[axis]);
        let mut slices = room(list.len())?;
        for i in list.into_iter().map(Index::to_i64) {
            let place = usize::try_from(i).ok().filter(|&place| place < size);
            slices.push(
                place.ok_or_else(|| format!("index {i} is out of range for axis {dim} of size {size}"))?,
            );
        }
        let (outer, inner) = around(self.shape(), axis);
        let mut shape = self.shape().clone();
        shape.set(axis, slices.len());
        let source = self.list()?;
        let blocks = (0..outer).flat_map(|o| slices.iter().map(move |s| (o * size + s) * inner));
        Tensor::try_build(shape, |out| {
            for (to, from) in out.chunks_exact_mut(inner.max(1)).zip(blocks) {
                to.copy_from_slice(&source[from..from + inner]);
            }
            Ok(())
        })
    }
}

/// How many slices there are before an axis, and how many elements behind it.
fn around(shape: &Shape, axis: usize) -> (usize, usize) {
    (shape[..axis].iter().product(), shape[axis + 1..].iter().product())
}

fn stacked<T: Element>(tensors: &[&Tensor<T>], dim: isize) -> Checked<Tensor<T>> {
    let first = tensors.first().ok_or("no tensors were given")?;
    if let Some(odd) = tensors.iter().find(|t| t.shape() != first.shape()) {
        return Err(format!("shapes {} and {} differ", first.shape(), odd.shape()));
    }
    let apart = |t: &&Tensor<T>| t.layout.unsqueeze(dim).map(|layout| t.view(layout));
    tensors.iter().try_for_each(|t| t.there())?;
    let apart = tensors.iter().map(apart).collect::<Checked<Vec<_>>>()?;
    joined(&apart.iter().collect::<Vec<_>>(), dim)
}

fn joined<T: Element>(tensors: &[&Tensor<T>], dim: isize) -> Checked<Tensor<T>> {
    tensors.iter().try_for_each(|t| t.there())?;
    let first =
        *tensors.iter().find(|t| t.shape()[..] != [0]).or(tensors.first()).ok_or("no tensors were given")?;
    let mut shape = first.shape().clone();
    let axis = shape.axis(dim)?;
    if shape.rank() == 0 {
        return Err("tensors of rank 0 have no axis; stack makes a list of them".into());
    }
    let parts: Vec<&Tensor<T>> =
        tensors.iter().copied().filter(|t| t.shape()[..] != [0] || shape.rank() == 1).collect();
    for part in &parts {
        let mut fit = part.shape().clone();
        if fit.rank() == shape.rank() {
            fit.set(axis, shape[axis]);
        }
        if fit != *first.shape() {
            return Err(format!("{} and {} differ other than along axis {dim}", first.shape(), part.shape()));
        }
    }
    let sizes = parts.iter().map(|t| t.shape()[axis]);
    let total =
        sizes.clone().try_fold(0usize, |sum, size| sum.checked_add(size)).ok_or("too many elements")?;
    shape.set(axis, total);
    let (outer, inner) = around(&shape, axis);
    let lists = parts.iter().map(|t| t.list()).collect::<Checked<Vec<_>>>()?;
    Tensor::try_build(shape, |out| {
        let mut rest = out;
        for o in 0..outer {
            for (list, size) in lists.iter().zip(sizes.clone()) {
                let n = size * inner;
                let (to, behind) = rest.split_at_mut(n);
                to.copy_from_slice(&list[o * n..(o + 1) * n]);
                rest = behind;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tape;

    #[test]
    fn tensors_are_joined_as_on_a_tape() -> Result<()> {
        let tape = Tape::<f64>::inference();
        let x = Tensor::from_fn([2, 3, 2], |i| i as f64).transpose(0, 2)?;
        let y = Tensor::from_fn([2, 3, 2], |i| -(i as f64));
        for dim in -3..3 {
            let z = x.narrow(dim, 0, 1)?;
            let [a, b, c] = [&x, &y, &z].map(|t| tape.constant(t));
            assert_eq!(Tensor::cat(&[&x, &z, &y], dim)?, *tape.cat(&[&a, &c, &b], dim).value()?);
        }
        for dim in -4..4 {
            let [a, b] = [&x, &y].map(|t| tape.constant(t));
            assert_eq!(Tensor::stack(&[&x, &y], dim)?, *tape.stack(&[&a, &b], dim).value()?);
        }
        for dim in -3..3 {
            let index = Tensor::from([1i64, 0, 0, 1]);
            let found = tape.constant(&x).index_select(dim, &index);
            assert_eq!(x.index_select(dim, &index)?, *found.value()?);
        }
        Ok(())
    }

    #[test]
    fn what_is_empty_or_does_not_fit() -> Result<()> {
        let (x, none) = (Tensor::from([[1u32, 2]]), Tensor::<u32>::zeros([0]));
        assert_eq!(Tensor::cat(&[&none, &x, &none], 0)?, x);
        assert_eq!(Tensor::cat(&[&none, &none], 0)?, none);
        assert_eq!(
            Tensor::cat(&[Tensor::<u32>::zeros([2, 0]), Tensor::ones([2, 1])], 1)?,
            Tensor::ones([2, 1])
        );
        assert_eq!(x.index_select(0, &Tensor::<u32>::zeros([0]))?.shape(), &[0, 2]);
        let told = |e: Result<Tensor<u32>>| e.unwrap_err().to_string();
        assert!(told(Tensor::cat::<Tensor<u32>>(&[], 0)).contains("no tensors"));
        assert!(told(Tensor::stack::<Tensor<u32>>(&[], 0)).contains("no tensors"));
        assert!(
            told(Tensor::cat(&[&x, &Tensor::ones([1, 2, 1])], 0)).contains("[1, 2] and [1, 2, 1] differ")
        );
        assert!(told(Tensor::stack(&[&x, &none], 0)).contains("shapes [1, 2] and [0] differ"));
        assert!(told(Tensor::stack(&[&x], 4)).contains("4"));
        assert!(told(Tensor::cat(&[&Tensor::scalar(1u32)], 0)).contains("rank 0"));
        assert!(
            told(x.index_select(1, &Tensor::from([2])))
                .contains("index 2 is out of range for axis 1 of size 2")
        );
        assert!(told(x.index_select(1, &Tensor::from([-1]))).contains("index -1"));
        assert!(told(x.index_select(2, &Tensor::from([0]))).contains("2"));
        assert!(told(x.index_select(0, &Tensor::from([[0]]))).contains("a list of indices"));
        let lacking = Tensor::<u32>::zeros([1 << 40, 1 << 20]);
        assert!(told(Tensor::cat(&[&x, &lacking], 0)).contains("bytes"));
        Ok(())
    }
}
