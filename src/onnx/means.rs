//! Means of windows, and resized pictures, found among the operations that they are recorded as.
use super::{
    patterns::{Look, Pattern},
    pooling::{LEAD, Mode},
};
use crate::{
    compress::fit,
    ops::{
        NOWHERE,
        list::{Binary, Reduce, ShapeOp, Take, TensorOp},
    },
    tape::NodeId,
    tensor::Tensor,
};

impl Look<'_> {
    /// Means of equal windows: sums along one axis after the other, divided by how many each has.
    pub fn means(&self, id: NodeId) -> Option<Pattern> {
        let (mut at, mut counts) = (id, Vec::new());
        while let Some((x, by)) = self.by_constant(at, Binary::Div) {
            counts.push(by.to_vec());
            at = x;
        }
        let (rank, axes) = (self.shape(id).rank(), counts.len());
        if axes == 0 || rank != LEAD + axes {
            return None;
        }
        let (mut found, mut with_pads, mut without) = (Vec::new(), true, true);
        for (axis, counts) in (LEAD..rank).rev().zip(counts) {
            let TensorOp::Reduce(Reduce::Sum { axes, keep: false }) = self.tensor_op(at)? else {
                return None;
            };
            let apart = self.operand(at, 0)?;
            let TensorOp::Shape(ShapeOp::Reshape(_)) = self.tensor_op(apart)? else { return None };
            let &[count, most] = self.shape(apart).get(axis..axis + 2)? else { return None };
            let read = self.operand(apart, 0)?;
            let (inner, places) = match self.rows(read, axis) {
                Some((x, places)) => (x, places.to_vec()),
                None => (read, (0..(count * most) as u32).collect()),
            };
            if axes[..] != [axis + 1] || places.len() != count * most || most == 0 {
                return None;
            }
            let (mut first, mut last) = (Vec::new(), Vec::new());
            for window in places.chunks(most) {
                let own: Vec<usize> = window.iter().filter(|&&p| p != NOWHERE).map(|&p| p as usize).collect();
                let (start, end) = (*own.first()?, *own.last()?);
                if !own.iter().copied().eq(start..=end) {
                    return None;
                }
                first.push(start);
                last.push(end);
            }
            let windows = fit(&first, &last, *self.shape(inner).get(axis)?)?;
            with_pads &= counts.iter().all(|&n| n == windows.kernel as f32);
            let real = first.iter().zip(&last).map(|(start, end)| (end + 1 - start) as f32);
            without &= counts.iter().copied().eq(real);
            found.insert(0, windows);
            at = inner;
        }
        (with_pads || without).then_some(Pattern::Means { x: at, windows: found, with_pads })
    }

    /// A picture whose axes were resized one after the other.
    pub fn resized(&self, id: NodeId) -> Option<Pattern> {
        let shape = self.shape(id);
        let (rank, mut at) = (shape.rank(), id);
        if !(LEAD + 1..=LEAD + 3).contains(&rank) {
            return None;
        }
        let mut modes = vec![Mode::Nearest, Mode::Linear, Mode::Corners];
        for axis in (LEAD..rank).rev() {
            let (x, near) = match self.rows(at, axis) {
                Some((x, low)) => (x, low.to_vec().into_iter().map(|p| (p, 0.0)).collect()),
                None => self.between(at, axis)?,
            };
            let (size, out) = (self.shape(x)[axis], shape[axis]);
            // Of the nearest elements only whole repetitions are the same in every arithmetic.
            modes.retain(|&mode| {
                let plain = self.rows(at, axis).is_some();
                let fits = |(at, (low, part)): (usize, &(u32, f32))| {
                    let wanted = mode.place(at, size, out);
                    wanted.0 == *low as usize && (wanted.1 - f64::from(*part)).abs() < 1e-6
                };
                plain == (mode == Mode::Nearest)
                    && (mode != Mode::Nearest || out % size.max(1) == 0)
                    && near.len() == out
                    && near.iter().enumerate().all(fits)
            });
            at = x;
        }
        Some(Pattern::Resized { x: at, out: shape[LEAD..].to_vec(), mode: *modes.first()? })
    }

    /// `first · (1 - part) + second · part`: the operand, and for each place the element before it and the part.
    fn between(&self, id: NodeId, axis: usize) -> Option<(NodeId, Vec<(u32, f32)>)> {
        let [first, second] = self.binary(id, Binary::Add)?;
        let (first, rest) = self.by_constant(first, Binary::Mul)?;
        let (second, part) = self.by_constant(second, Binary::Mul)?;
        let ((x, low), (other, high)) = (self.rows(first, axis)?, self.rows(second, axis)?);
        let (low, high, rest, part) = (low.to_vec(), high.to_vec(), rest.to_vec(), part.to_vec());
        let last = u32::try_from(*self.shape(x).get(axis)?).ok()?.checked_sub(1)?;
        let fits = x == other
            && rest.len() == low.len()
            && part.len() == low.len()
            && low.iter().zip(&high).all(|(&low, &high)| high == (low + 1).min(last))
            && rest.iter().zip(&part).all(|(rest, part)| (rest + part - 1.0).abs() < 1e-6);
        fits.then(|| (x, low.into_iter().zip(part).collect()))
    }

    /// Slices along an axis, each of which is there or nowhere.
    fn rows(&self, id: NodeId, wanted: usize) -> Option<(NodeId, &Tensor<u32>)> {
        match self.tensor_op(id)? {
            TensorOp::Take(Take::Rows { axis, index, .. }) if *axis == wanted => {
                Some((self.operand(id, 0)?, index))
            }
            _ => None,
        }
    }
}
