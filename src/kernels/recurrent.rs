//! A recurrent layer over all its steps, there and back. Each step is a product and one pass over the
//! elements; what the way back reads is what the gates became, in the place where their inputs were, and is
//! replaced by its gradients there.
mod cells;

use super::{
    FloatElement,
    matmul::{Blocks, Mat, MatMut, Misfit, add_blocks, is_one_chain, matmul, matmul_bias},
    reduce::{self, fold_middle},
};
use crate::{
    error::Checked,
    tensor::{Shape, Unfilled},
    threads,
};

/// What happens in a step.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Cell {
    Tanh,
    Relu,
    Lstm,
    Gru,
}

impl Cell {
    /// Rows of the weights for each element of the state.
    pub fn gates(self) -> usize {
        match self {
            Cell::Tanh | Cell::Relu => 1,
            Cell::Gru => 3,
            Cell::Lstm => 4,
        }
    }

    /// Whether gates are kept that the state doesn't tell, and one number beside them for each element of it:
    /// the cell of an LSTM, of a GRU the state's part of the last gate.
    pub fn is_gated(self) -> bool {
        self.gates() > 1
    }

    /// Tensors that a state is made of.
    pub fn states(self) -> usize {
        if self == Cell::Lstm { 2 } else { 1 }
    }
}

/// A layer in one direction.
pub(crate) struct Layer<'a, T> {
    pub cell: Cell,
    /// Steps, sequences, length of the state.
    pub sizes: [usize; 3],
    /// Whether it begins at the last step.
    pub reverse: bool,
    /// `[gates · hidden, hidden]`
    pub weight: Mat<'a, T>,
    pub bias: Option<&'a [T]>,
    /// `[states, n, hidden]`, before the first step.
    pub state: &'a [T],
}

/// What a layer computes and what it keeps for the way back.
pub(crate) struct Run<'a, T> {
    /// The inputs' parts of the gates `[steps, n, gates · hidden]`, which become the gates; where there are
    /// no gates, nothing.
    pub gates: &'a mut [T],
    /// What is kept beside them, `[steps, n, hidden]`; or of two steps, if nothing is.
    pub beside: &'a mut [T],
    /// The states of all steps, and the last cell; without gates, the inputs' parts at first.
    pub out: &'a mut [T],
}

/// Where gradients of a layer go.
pub(crate) struct Slopes<'a, T> {
    /// The gates, which become the gradients of the inputs' parts; without gates, these alone.
    pub gates: &'a mut [T],
    pub weight: Option<Sum<'a, T>>,
    pub bias: Option<Sum<'a, T>>,
    pub state: Option<&'a mut [T]>,
}

/// A sum over the steps.
pub(crate) struct Sum<'a, T> {
    pub to: &'a mut [T],
    /// Whether it goes on from what is there.
    pub begun: bool,
}

/// Bytes that stay in a cache while a weight passes by.
const NEAR: usize = 256 << 10;
/// Fewest elements of a state worth a task of their own: some microseconds.
const GRAIN: usize = 2048;

/// Some of a step's rows.
#[derive(Clone, Copy)]
struct Rows {
    from: usize,
    to: usize,
}

impl Rows {
    fn of<T>(self, data: &[T], width: usize) -> &[T] {
        &data[self.from * width..self.to * width]
    }
}

impl<T: FloatElement> Layer<'_, T> {
    /// Elements of a state, and of all gates of a step.
    fn each(&self) -> [usize; 2] {
        let [_, n, size] = self.sizes;
        [n * size, n * size * self.cell.gates()]
    }

    /// Steps whose share in the gradient of the weight is computed at a time: what is read for them stays in
    /// the cache.
    fn group(&self) -> usize {
        let [each, all] = self.each();
        (NEAR / size_of::<T>() / (each + all).max(1)).clamp(1, self.sizes[0])
    }

    /// Numbers that are worked with.
    pub fn room(&self) -> usize {
        let [each, all] = self.each();
        self.group() * all + self.cell.gates() * self.sizes[2] + 2 * each
    }

    /// Where the step lies that is done after `k` others.
    fn place(&self, k: usize) -> usize {
        if self.reverse { self.sizes[0] - 1 - k } else { k }
    }

    /// A step's `n` rows.
    fn rows<'b>(&self, data: &'b [T], cols: usize) -> Mat<'b, T> {
        Mat { data, rows: self.sizes[1], cols, row_stride: cols as isize, col_stride: 1 }
    }

    /// Shares a step's rows among threads, if they are many enough.
    fn share<const M: usize>(
        &self,
        out: &mut [&mut [T]; M],
        widths: [usize; M],
        f: impl Fn(Rows, [&mut [T]; M]) + Sync,
    ) {
        let [_, n, size] = self.sizes;
        let parts = threads::num_threads().min(n * size / GRAIN).max(1);
        threads::for_rows(out, widths, n, n.div_ceil(parts), &|from, to, out| f(Rows { from, to }, out));
    }

    /// All states, and the last cell.
    pub fn forward(&self, run: Run<T>, scratch: &mut [T]) -> Result<(), Misfit> {
        let ([steps, n, size], [each, all], Run { gates, beside, out }) = (self.sizes, self.each(), run);
        let cols = self.cell.gates() * size;
        let h = &mut scratch[..all];
        let turned = Mat {
            rows: self.weight.cols,
            cols: self.weight.rows,
            row_stride: self.weight.col_stride,
            col_stride: self.weight.row_stride,
            ..self.weight
        };
        // Where only two steps are there, they take turns.
        let few = beside.len() < steps * each;
        let slot = |k: usize| if few { k % 2 } else { self.place(k) };
        let last = slot(steps - 1) * each;
        for k in 0..steps {
            let (before, out) = match k {
                0 => (&self.state[..each], &mut out[self.place(0) * each..][..each]),
                _ => neighbours(out, each, self.place(k - 1), self.place(k)),
            };
            let (state, product) = (self.rows(before, size), MatMut::dense(h, n, cols));
            match self.bias {
                Some(bias) => matmul_bias(state, turned, bias, product)?,
                None => matmul(T::constant(1.0), state, turned, T::constant(0.0), product)?,
            }
            let own = self.place(k) * all;
            let h = &*h;
            match self.cell {
                Cell::Tanh | Cell::Relu => self.share(&mut [out], [size], |rows, [out]| {
                    cells::simple(self.cell == Cell::Relu, out, rows.of(h, size));
                }),
                Cell::Lstm => {
                    let (cell, now) = match k {
                        0 => (&self.state[each..], &mut beside[slot(0) * each..][..each]),
                        _ => neighbours(beside, each, slot(k - 1), slot(k)),
                    };
                    let to = &mut [&mut gates[own..][..all], now, out];
                    self.share(to, [cols, size, size], |rows, [gates, now, out]| {
                        cells::lstm(size, gates, rows.of(h, cols), rows.of(cell, size), now, out);
                    });
                }
                Cell::Gru => {
                    let to = &mut [&mut gates[own..][..all], &mut beside[slot(k) * each..][..each], out];
                    self.share(to, [cols, size, size], |rows, [gates, parts, out]| {
                        cells::gru(size, gates, rows.of(h, cols), rows.of(before, size), parts, out);
                    });
                }
            }
        }
        if self.cell == Cell::Lstm {
            out[steps * each..].copy_from_slice(&beside[last..][..each]);
        }
        Ok(())
    }

    /// The gradients, from those of the results. `out` is what the layer gave, `beside` what it kept.
    pub fn backward(
        &self,
        [out, beside, grads]: [&[T]; 3],
        mut to: Slopes<T>,
        scratch: &mut [T],
    ) -> Checked<()> {
        let ([steps, n, size], [each, all]) = (self.sizes, self.each());
        let cols = self.cell.gates() * size;
        let (group, (room, rest)) = (self.group(), scratch.split_at_mut(self.group() * all));
        let (sums, rest) = rest.split_at_mut(cols);
        let (dh, carry) = rest.split_at_mut(each);
        let carry = &mut carry[..each];
        dh.fill(T::constant(0.0));
        match grads.get(steps * each..) {
            Some(cells) if self.cell == Cell::Lstm => carry.copy_from_slice(cells),
            _ => carry.fill(T::constant(0.0)),
        }
        let whole = match &mut to.weight {
            Some(sum) => !self.in_chains(&room[..all], sum.to)?,
            None => false,
        };
        for k in (0..steps).rev() {
            let done = steps - 1 - k;
            let (at, previous) = (self.place(k), k.checked_sub(1).map(|k| self.place(k) * each));
            let before = previous.map_or(&self.state[..each], |at| &out[at..][..each]);
            let (y, grad) = (&out[at * each..][..each], &grads[at * each..][..each]);
            let own = &mut to.gates[at * all..][..all];
            let from = &*dh;
            let deltas = match self.cell {
                Cell::Tanh | Cell::Relu => {
                    self.share(&mut [&mut *own], [size], |rows, [out]| {
                        let [y, grad, dh] = [y, grad, from].map(|data| rows.of(data, size));
                        cells::simple_back(self.cell == Cell::Relu, y, grad, dh, out);
                    });
                    &*own
                }
                Cell::Lstm => {
                    let cell = &beside[at * each..][..each];
                    let old = previous.map_or(&self.state[each..], |at| &beside[at..][..each]);
                    self.share(&mut [&mut *own, &mut *carry], [cols, size], |rows, [gates, carry]| {
                        let [cell, old, grad, dh] = [cell, old, grad, from].map(|data| rows.of(data, size));
                        cells::lstm_back(size, gates, cell, old, grad, dh, carry);
                    });
                    &*own
                }
                Cell::Gru => {
                    let parts = &beside[at * each..][..each];
                    let deltas = &mut room[done % group * all..][..all];
                    let to = &mut [own, &mut *carry, &mut *deltas];
                    self.share(to, [cols, size, cols], |rows, [gates, carry, deltas]| {
                        let [parts, before, grad, dh] =
                            [parts, before, grad, from].map(|data| rows.of(data, size));
                        cells::gru_back(size, gates, parts, before, grad, dh, carry, deltas);
                    });
                    &*deltas
                }
            };
            if k > 0 || to.state.is_some() {
                let (a, c) = (self.rows(deltas, cols), MatMut::dense(dh, n, size));
                matmul(T::constant(1.0), a, self.weight, T::constant(0.0), c)?;
            }
            // Each step's sums by themselves, and then added to those of the steps behind it.
            if let Some(sum) = &mut to.bias {
                fold_middle(reduce::Sum, deltas, [1, n, cols], sums);
                if done == 0 && !sum.begun {
                    sum.to.copy_from_slice(sums);
                } else {
                    sum.to.iter_mut().zip(&*sums).for_each(|(sum, row)| *sum = *sum + *row);
                }
            }
            let Some(sum) = &mut to.weight else { continue };
            if whole {
                self.add_product(deltas, before, done == 0 && !sum.begun, sum.to)?;
                continue;
            }
            if (done + 1) % group == 0 || k == 0 {
                let first = done / group * group;
                let deltas = match self.cell {
                    Cell::Gru => Blocks { data: &*room, start: 0, step: all as isize },
                    _ => self.blocks(to.gates, steps - 1 - first, all),
                };
                self.add_products(deltas, out, [first, done + 1], first == 0 && !sum.begun, sum.to)?;
            }
        }
        if let Some(state) = to.state {
            let (hidden, cells) = state.split_at_mut(each);
            match self.cell {
                Cell::Gru => (0..each).for_each(|i| hidden[i] = carry[i] + dh[i]),
                _ => hidden.copy_from_slice(dh),
            }
            cells.copy_from_slice(&carry[..cells.len()]);
        }
        Ok(())
    }
}

/// The gradient of the weight: each step's product is a sum by itself, which is added to those of the steps
/// behind it.
impl<T: FloatElement> Layer<'_, T> {
    /// The product of a step.
    fn product<'a>(&self, deltas: &'a [T], before: &'a [T]) -> [Mat<'a, T>; 2] {
        let [_, n, size] = self.sizes;
        let cols = self.cell.gates() * size;
        let turned = Mat { data: deltas, rows: cols, cols: n, row_stride: 1, col_stride: cols as isize };
        [turned, self.rows(before, size)]
    }

    /// Whether the elements of these products are sums that [`add_blocks`] computes.
    fn in_chains(&self, deltas: &[T], sum: &mut [T]) -> Result<bool, Misfit> {
        let ([_, n, size], [each, _]) = (self.sizes, self.each());
        let [a, b] = self.product(deltas, &self.state[..each]);
        Ok(n > 0 && is_one_chain(a, b, MatMut::dense(sum, a.rows, size))?)
    }

    fn add_product(&self, deltas: &[T], before: &[T], first: bool, sum: &mut [T]) -> Checked<()> {
        let (size, [a, b], [zero, one]) =
            (self.sizes[2], self.product(deltas, before), [0.0, 1.0].map(T::constant));
        if first {
            return Ok(matmul(one, a, b, zero, MatMut::dense(sum, a.rows, size))?);
        }
        let mut own = Unfilled::new(Shape::from([a.rows, size])).made()?;
        let own = own.as_mut_slice();
        matmul(one, a, b, zero, MatMut::dense(own, a.rows, size))?;
        sum.iter_mut().zip(own).for_each(|(sum, own)| *sum = *sum + *own);
        Ok(())
    }

    /// What each step has of a tensor, from the step on that is done after `k` others, to the one done first.
    fn blocks<'b>(&self, data: &'b [T], k: usize, each: usize) -> Blocks<'b, T> {
        let step = if self.reverse { each as isize } else { -(each as isize) };
        Blocks { data, start: self.place(k) * each, step }
    }

    /// The products of steps of which `from..to` others are done after them.
    fn add_products(
        &self,
        deltas: Blocks<T>,
        out: &[T],
        [from, to]: [usize; 2],
        first: bool,
        sum: &mut [T],
    ) -> Result<(), Misfit> {
        let ([steps, n, size], [each, _]) = (self.sizes, self.each());
        let rows = self.cell.gates() * size;
        // The step done first begins with another state than that of a step.
        let behind = to.min(steps - 1) - from;
        if behind > 0 {
            let states = self.blocks(out, steps - 2 - from, each);
            add_blocks(deltas, states, behind, n, first, MatMut::dense(sum, rows, size))?;
        }
        if to == steps {
            let start = deltas.start.wrapping_add_signed(deltas.step * behind as isize);
            let state = Blocks { data: self.state, start: 0, step: 0 };
            add_blocks(
                Blocks { start, ..deltas },
                state,
                1,
                n,
                first && behind == 0,
                MatMut::dense(sum, rows, size),
            )?;
        }
        Ok(())
    }
}

/// Of pieces of one length, one to read and another to write.
fn neighbours<T>(data: &mut [T], each: usize, read: usize, write: usize) -> (&[T], &mut [T]) {
    let (low, high) = data.split_at_mut(read.max(write) * each);
    let (low, high) = (&mut low[read.min(write) * each..][..each], &mut high[..each]);
    if read < write { (low, high) } else { (high, low) }
}
