//! A parameter with fewer indices along an axis: its tensor, and all that stands between it and its use.
use crate::{
    error::{Error, Result},
    ops::Float,
    param::{Form, Groups, Param, ParamState, shown},
    tensor::{Element, Tensor},
};

/// What a parameter will hold.
pub(super) struct Cut<T: Float> {
    name: String,
    state: ParamState<T>,
    /// The step sizes, if there are some; their own parameter goes on to be the one that is trained.
    sizes: Option<Tensor<T>>,
}

impl<T: Float> Cut<T> {
    /// All of a parameter.
    pub fn of(name: &str, p: &Param<T>) -> Result<Cut<T>> {
        if p.has_custom() {
            let message =
                format!("{} has operations of its own, which can't be cut: bake it first", shown(name));
            return Err(Error::invalid("shrink", message));
        }
        let state = p.state();
        let sizes = state.steps().map(|steps| steps.sizes.value());
        Ok(Cut { name: name.to_string(), state, sizes })
    }

    /// With these indices of an axis.
    pub fn along(mut self, axis: usize, keep: &[usize]) -> Result<Cut<T>> {
        let state = &mut self.state;
        let before = state.value.shape().clone();
        state.value = select(&state.value, axis, keep)?;
        state.mask = state.mask.as_ref().map(|mask| select(mask, axis, keep)).transpose()?;
        if let Form::Codebook { codes, .. } = &mut state.form {
            *codes = select(codes, axis, keep)?;
        }
        let (Form::Codes(steps) | Form::Codebook { steps: Some(steps), .. }) = &mut state.form else {
            return Ok(self);
        };
        if steps.group == 0 {
            return Ok(self);
        }
        let (old, new) = (Groups::new(&before, steps.group), Groups::new(state.value.shape(), steps.group));
        let rows = axis == 0 && before.rank() > 1;
        if rows {
            let each = old.count() / old.rows().max(1);
            if let Some(sizes) = &mut self.sizes {
                let by_row = sizes.reshape([old.rows() as isize, each as isize])?;
                *sizes = select(&by_row, 0, keep)?.reshape([-1])?;
            }
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
        if let (Some(steps), Some(sizes)) = (self.state.steps(), self.sizes) {
            steps.sizes.set(sizes);
        }
        p.set_state(self.state)
    }
}

/// These indices of an axis.
pub(super) fn select<A: Element>(t: &Tensor<A>, axis: usize, keep: &[usize]) -> Result<Tensor<A>> {
    let axis = axis as isize;
    t.transpose(0, axis)?.contiguous().rows(keep)?.transpose(0, axis).map(|t| t.contiguous())
}
