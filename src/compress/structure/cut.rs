//! A parameter with fewer indices along an axis: its tensor, and all that stands between it and its use.
use crate::{
    error::{Error, Result},
    nn::{Param, steps::Groups, walk::shown},
    tape::Float,
    tensor::{Element, Tensor},
};

/// What a parameter will hold.
pub(super) struct Cut<T: Float> {
    name: String,
    value: Tensor<T>,
    mask: Option<Tensor<bool>>,
    codebook: Option<(Tensor<u32>, Param<T>)>,
    steps: Option<Steps<T>>,
}

/// Bits, group and sizes; the sizes' own parameter goes on to be the one that is trained.
struct Steps<T: Float> {
    bits: u32,
    group: usize,
    sizes: Tensor<T>,
    param: Param<T>,
}

impl<T: Float> Cut<T> {
    /// All of a parameter.
    pub fn of(name: &str, p: &Param<T>) -> Result<Cut<T>> {
        if p.has_custom() {
            let message =
                format!("{} has operations of its own, which can't be cut: bake it first", shown(name));
            return Err(Error::invalid("shrink", message));
        }
        let steps = p.steps().map(|(bits, group, param)| Steps { bits, group, sizes: param.value(), param });
        Ok(Cut { name: name.to_string(), value: p.value(), mask: p.mask(), codebook: p.codebook(), steps })
    }

    /// With these indices of an axis.
    pub fn along(mut self, axis: usize, keep: &[usize]) -> Result<Cut<T>> {
        let before = self.value.shape().clone();
        self.value = select(&self.value, axis, keep)?;
        self.mask = self.mask.map(|mask| select(&mask, axis, keep)).transpose()?;
        self.codebook = self
            .codebook
            .map(|(codes, values)| select(&codes, axis, keep).map(|codes| (codes, values)))
            .transpose()?;
        let Some(steps) = &mut self.steps else { return Ok(self) };
        if steps.group == 0 {
            return Ok(self);
        }
        let (old, new) = (Groups::new(&before, steps.group), Groups::new(self.value.shape(), steps.group));
        let rows = axis == 0 && before.rank() > 1;
        if rows {
            let each = old.count() / old.rows().max(1);
            let sizes = steps.sizes.reshape([old.rows() as isize, each as isize])?;
            steps.sizes = select(&sizes, 0, keep)?.reshape([-1])?;
        } else if steps.group < old.cols() {
            let message = format!(
                "{} has step sizes for groups of {} of {} neighbours, of which some would go: settle and bake it first",
                shown(&self.name),
                steps.group,
                old.cols()
            );
            return Err(Error::invalid("shrink", message));
        } else {
            // One for each row, which is shorter now.
            steps.group = new.cols().max(1);
        }
        Ok(self)
    }

    /// Makes it what the parameter holds.
    pub fn set(self, p: &Param<T>) -> Result<()> {
        p.set_mask(None)?;
        p.remove_codebook();
        p.remove_steps();
        p.set(self.value);
        if let Some((codes, values)) = self.codebook {
            p.set_codebook(codes, values)?;
        }
        if let Some(Steps { bits, group, sizes, param }) = self.steps {
            param.set(sizes);
            p.set_steps(bits, group, param)?;
        }
        p.set_mask(self.mask.as_ref())
    }
}

/// These indices of an axis.
pub(super) fn select<A: Element>(t: &Tensor<A>, axis: usize, keep: &[usize]) -> Result<Tensor<A>> {
    let axis = axis as isize;
    t.transpose(0, axis)?.contiguous().rows(keep)?.transpose(0, axis).map(|t| t.contiguous())
}
