//! A recurrent layer in one direction over all its steps, as one operation or as those that it stands for.
use super::{
    linalg::{linear_into, matrix, multiply, walkable},
    list::{Float, Recurrence},
};
use crate::{
    error::{Checked, Error},
    kernels::recurrent::{Cell, Layer, Run, Slopes, Sum},
    real::About,
    tape::{BESIDE, RESULT, Rule, Step, Var},
    tensor::{Shape, Tensor, Unfilled},
};
use smallvec::SmallVec;
use std::borrow::Cow;

/// The operands by their names.
struct Operands<'a, V> {
    /// `[steps, n, input]`, or the inputs' part of the gates, `[steps, n, gates · hidden]`.
    x: &'a V,
    /// `[states, n, hidden]`: the state at the beginning, and the cell of an LSTM.
    state: &'a V,
    w_hh: &'a V,
    /// `w_ih` and `b_ih`, if `x` is the input itself.
    input: Option<[&'a V; 2]>,
    b_hh: Option<&'a V>,
}

/// What comes out of [`Recurrence::run`]: the result, and the gates with what is kept beside them.
type Found<T> = (Tensor<T>, Option<Tensor<T>>);

impl Recurrence {
    const X: usize = 0;
    const STATE: usize = 1;
    const W_HH: usize = 2;
    const W_IH: usize = 3;
    const B_IH: usize = 4;

    fn b_hh(&self) -> usize {
        if self.projects { 5 } else { 3 }
    }

    fn operands<'a, V>(&self, x: &'a [V]) -> Checked<Operands<'a, V>> {
        let wanted = self.b_hh() + usize::from(self.biased);
        match x {
            [x, state, w_hh, rest @ ..] if rest.len() + 3 == wanted => {
                let input = if let [w, b, ..] = rest { self.projects.then_some([w, b]) } else { None };
                Ok(Operands { x, state, w_hh, input, b_hh: rest.last().filter(|_| self.biased) })
            }
            _ => Err(format!("takes {wanted} operands, not {}", x.len())),
        }
    }

    /// Steps, sequences and length of the state.
    fn sizes<T: Float>(&self, x: &Operands<'_, &Tensor<T>>) -> Checked<[usize; 3]> {
        let (n, size) = (x.x.dim(1), x.w_hh.dim(1));
        let rows = size.saturating_mul(self.cell.gates());
        let input = x.input.map(|[w, b]| w.shape()[..] == [rows, x.x.dim(2)] && b.shape()[..] == [rows]);
        let fits = x.x.rank() == 3
            && x.x.dim(0) > 0
            && x.w_hh.shape()[..] == [rows, size]
            && size > 0
            && x.state.shape()[..] == [self.cell.states(), n, size]
            && input.unwrap_or(x.x.dim(2) == rows)
            && x.b_hh.is_none_or(|b| b.shape()[..] == [rows]);
        if fits {
            return Ok([x.x.dim(0), n, size]);
        }
        let rest = x.input.into_iter().flatten().chain(x.b_hh).map(|t| format!(", {}", t.shape()));
        Err(format!(
            "input {}, state {}, weights {}{} don't fit a {}: [steps, n, input], [{}, n, hidden] and \
             [{} · hidden, hidden] are needed",
            x.x.shape(),
            x.state.shape(),
            x.w_hh.shape(),
            rest.collect::<String>(),
            Rule::<T>::name(self),
            self.cell.states(),
            self.cell.gates(),
        ))
    }

    fn layer<'a, T: Float>(
        &self,
        sizes: [usize; 3],
        weight: &'a Tensor<T>,
        bias: Option<&'a Tensor<T>>,
        state: &'a Tensor<T>,
    ) -> Layer<'a, T> {
        Layer {
            cell: self.cell,
            sizes,
            reverse: self.reverse,
            weight: matrix(weight, weight.layout().offset, false),
            bias: bias.and_then(Tensor::as_slice),
            state: state.as_slice().unwrap_or_default(),
        }
    }

    /// The states, and what the way back reads, if it is to be kept.
    fn run<T: Float>(&self, x: &[&Tensor<T>], keep: bool) -> Checked<Found<T>> {
        let x = self.operands(x)?;
        let sizes @ [steps, n, size] = self.sizes(&x)?;
        let (weight, state) = (walkable(x.w_hh)?, x.state.contiguous().made()?);
        let bias = x.b_hh.map(|b| b.contiguous().made()).transpose()?;
        let layer = self.layer(sizes, &weight, bias.as_ref(), &state);
        let (rows, each) = (steps.saturating_mul(n), n.saturating_mul(size));
        let cols = self.cell.gates() * size;
        let source = match x.input {
            Some(_) => x.x.reshaped(&Shape::from([rows, x.x.dim(2)])).made()?,
            None => x.x.contiguous().made()?,
        };
        let inputs = |to: &mut [T]| match x.input {
            Some([w, b]) => linear_into(&source, w, b, to),
            None => {
                to.copy_from_slice(source.as_slice().unwrap_or_default());
                Ok(())
            }
        };
        let mut scratch = Unfilled::new(Shape::from([layer.room()])).made()?;
        let mut out =
            Unfilled::new(Shape::from([steps.saturating_add(self.cell.states() - 1), n, size])).made()?;
        if !self.cell.is_gated() {
            inputs(out.as_mut_slice())?;
            let run = Run { gates: &mut [], beside: &mut [], out: out.as_mut_slice() };
            layer.forward(run, scratch.as_mut_slice())?;
            return Ok((out.filled(), None));
        }
        let beside = if keep { steps } else { steps.min(2) }.saturating_mul(each);
        let mut kept =
            Unfilled::new(Shape::from([rows.saturating_mul(cols).saturating_add(beside)])).made()?;
        let (gates, beside) = kept.as_mut_slice().split_at_mut(rows * cols);
        inputs(gates)?;
        layer.forward(Run { gates, beside, out: out.as_mut_slice() }, scratch.as_mut_slice())?;
        Ok((out.filled(), keep.then(|| kept.filled())))
    }

    /// The gradients as a program over the tape.
    fn recorded<'t, T: Float>(&self, step: &mut Step<'_, 't, T>) -> Checked<()> {
        let (tape, floor, g) = (step.tape(), step.tape().mark().0, step.take_grad());
        let x: SmallVec<[Var<'t, T>; 6]> = (0..step.inputs()).map(|i| step.input(i).alias()).collect();
        let y = {
            let x = self.operands(&x)?;
            let inputs = x.input.map_or_else(|| x.x.clone(), |[w, b]| x.x.linear(w, Some(b)));
            let cell = (self.cell == Cell::Lstm).then(|| x.state.select(0, 1));
            let by_hand = ByHand { cell: self.cell, reverse: self.reverse, w_hh: x.w_hh, b_hh: x.b_hh };
            let (y, _, cell) = by_hand.run(&inputs, None, (x.state.select(0, 0), cell));
            cell.map_or(y.clone(), |cell| tape.cat(&[&y, &cell.unsqueeze(0)], 0))
        };
        match tape.vjp(&[&y], &[&g], &x.iter().collect::<SmallVec<[&Var<'t, T>; 6]>>(), true, Some(floor)) {
            Ok(grads) => grads.into_iter().enumerate().for_each(|(i, d)| step.give(i, d)),
            Err(error) => step.fail(error),
        }
        Ok(())
    }

    /// The gradients in one pass over the steps.
    fn swept<T: Float>(&self, step: &mut Step<'_, '_, T>) -> Checked<()> {
        let tape = step.tape();
        let (x, out): (SmallVec<[Var<'_, T>; 6]>, _) =
            ((0..step.inputs()).map(|i| step.input(i)).collect(), step.output());
        let tensors: SmallVec<[&Tensor<T>; 6]> = x.iter().map(Var::tensor).collect();
        let x = self.operands(&x)?;
        let all = self.operands(&tensors)?;
        let sizes @ [steps, n, size] = self.sizes(&all)?;
        let (rows, cols) = (steps.saturating_mul(n), self.cell.gates() * size);
        let (weight, state) = (walkable(all.w_hh)?, all.state.contiguous().made()?);
        let layer = self.layer(sizes, &weight, None, &state);
        let g = step.take_grad().tensor().contiguous().made()?;
        let out = out.tensor().contiguous().made()?;
        // Without gates there is nothing that the gradients could take the place of.
        let mut kept = match step.take_beside() {
            Some(kept) => kept,
            None if self.cell.is_gated() => self.run(&tensors, true)?.1.unwrap_or_else(|| Tensor::zeros([0])),
            None => Unfilled::new(Shape::from([rows * cols])).filled().made()?,
        };
        let shape_of =
            |i: usize| if i == Self::W_HH { Shape::from([cols, size]) } else { Shape::from([cols]) };
        let mut sum = |i: usize| -> Checked<(Tensor<T>, bool)> {
            match step.take_sum(i) {
                Some(mut sum) => match sum.as_mut_slice().len() == shape_of(i).numel() {
                    true => Ok((sum, true)),
                    false => Err("there is no room for the gradient of a weight".into()),
                },
                None if step.wants(i) => Ok((Unfilled::new(shape_of(i)).filled().made()?, false)),
                None => Ok((Tensor::zeros([0]), false)),
            }
        };
        let mut weight = sum(Self::W_HH)?;
        let mut bias = if self.biased { sum(self.b_hh())? } else { (Tensor::zeros([0]), false) };
        let begin = step.wants(Self::STATE).then(|| Unfilled::new(state.shape().clone()).made());
        let mut begin = begin.transpose()?;
        let mut scratch = Unfilled::new(Shape::from([layer.room()])).made()?;
        let data = kept.as_mut_slice();
        if data.len() < rows * cols {
            return Err("there is no room for the gradients of the gates".into());
        }
        let (gates, beside) = data.split_at_mut(rows * cols);
        let to = Slopes {
            gates,
            weight: running(&mut weight),
            bias: running(&mut bias),
            state: begin.as_mut().map(Unfilled::as_mut_slice),
        };
        let given = [&out, &g].map(|t| t.as_slice().unwrap_or_default());
        layer.backward([given[0], beside, given[1]], to, scratch.as_mut_slice())?;
        drop((scratch, out, g));
        step.give(Self::W_HH, tape.constant(weight.0));
        if self.biased {
            step.give(self.b_hh(), tape.constant(bias.0));
        }
        if let Some(begin) = begin {
            step.give(Self::STATE, tape.constant(begin.filled()));
        }
        let part = kept.view(kept.layout().slice(0, 0, rows * cols, 1)?);
        let deltas = tape.constant(part.reshaped(&Shape::from([rows, cols])));
        drop((kept, part));
        // As the rule of `linear` has it.
        let Some([w, _]) = x.input else {
            step.give(Self::X, deltas.reshape_to(x.x.shape()));
            return Ok(());
        };
        if step.wants(Self::X) {
            step.give(Self::X, multiply(&deltas, false, w, false).reshape_to(x.x.shape()));
        }
        if step.wants(Self::W_IH) {
            let flat = x.x.reshape_to(&Shape::from([rows, x.x.dim(2)]));
            step.give(Self::W_IH, multiply(&deltas, true, &flat, false));
        }
        if step.wants(Self::B_IH) {
            step.give(Self::B_IH, deltas.sum_dim(0, false));
        }
        Ok(())
    }
}

/// A gradient that is summed over the steps, if it is wanted.
fn running<T: Float>((to, begun): &mut (Tensor<T>, bool)) -> Option<Sum<'_, T>> {
    let begun = *begun;
    Some(to.as_mut_slice()).filter(|to| !to.is_empty()).map(|to| Sum { to, begun })
}

impl<T: Float> Rule<T> for Recurrence {
    fn name(&self) -> &str {
        match self.cell {
            Cell::Tanh => "rnn_tanh",
            Cell::Relu => "rnn_relu",
            Cell::Lstm => "lstm",
            Cell::Gru => "gru",
        }
    }

    fn about(&self) -> About {
        let value = match self.cell {
            Cell::Tanh => "h = tanh(a + h · cᵀ), step by step",
            Cell::Relu => "h = max(a + h · cᵀ, 0), step by step",
            Cell::Lstm => "c = σ(f)·c + σ(i)·tanh(g), h = σ(o)·tanh(c), step by step",
            Cell::Gru => "n = tanh(a + r · h), h = (1 − z)·n + z·h, step by step",
        };
        About::formula(
            value,
            &["back through all steps"],
            "a is the input, b the state at the beginning, c the weight [gates · hidden, hidden]; then those of \
             the input, and biases.",
        )
    }

    fn options(&self) -> Cow<'static, str> {
        Cow::Borrowed(if self.reverse { "reverse" } else { "" })
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        Ok(self.run(x, false)?.0)
    }

    fn forward_beside(&self, x: &[&Tensor<T>]) -> Checked<Found<T>> {
        self.run(x, true)
    }

    fn keeps(&self, _: u32) -> u32 {
        RESULT | 0b11_1111 | if self.cell.is_gated() { BESIDE } else { 0 }
    }

    fn check(&self, x: &[&Tensor<T>], _: &Shape) -> Checked<()> {
        self.sizes(&self.operands(x)?).map(drop)
    }

    fn multiply_adds(&self, operands: &[Option<Shape>], result: &Shape) -> Option<usize> {
        let x = operands.first()?.as_ref()?;
        let (rows, size) = (x.dim(0) * x.dim(1), result.dim(2));
        let width = if self.projects { x.dim(2) } else { 0 };
        Some(rows * self.cell.gates() * size * (size + width))
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let done = if step.graph() { self.recorded(step) } else { self.swept(step) };
        if let Err(message) = done {
            step.fail(Error::op(Rule::<T>::name(self), message, None));
        }
    }
}

/// The same as single operations, and for sequences of different lengths.
pub(crate) struct ByHand<'a, 't, T: Float> {
    pub cell: Cell,
    pub reverse: bool,
    pub w_hh: &'a Var<'t, T>,
    pub b_hh: Option<&'a Var<'t, T>>,
}

/// The state, and the cell of an LSTM, which is nothing at first if it is missing.
pub(crate) type States<'t, T> = (Var<'t, T>, Option<Var<'t, T>>);

impl<'t, T: Float> ByHand<'_, 't, T> {
    /// The next state from `[n, gates · hidden]` of both parts and the state before.
    fn step(&self, x: &Var<'t, T>, h: &Var<'t, T>, (hidden, memory): &States<'t, T>) -> States<'t, T> {
        let size = hidden.dim(-1);
        let gate = |v: &Var<'t, T>, i: usize| v.strided(1, i * size, size, 1);
        match self.cell {
            Cell::Tanh => ((x + h).tanh(), None),
            Cell::Relu => ((x + h).relu(), None),
            Cell::Lstm => {
                let all = x + h;
                let [i, f, o] = [0, 1, 3].map(|k| gate(&all, k).sigmoid());
                let new = i * gate(&all, 2).tanh();
                let cell = memory.as_ref().map_or_else(|| new.clone(), |c| f * c + &new);
                (o * cell.tanh(), Some(cell))
            }
            Cell::Gru => {
                let [r, z] = [0, 1].map(|k| (gate(x, k) + gate(h, k)).sigmoid());
                let n = (gate(x, 2) + r * gate(h, 2)).tanh();
                (&n + z * (hidden - &n), None)
            }
        }
    }

    /// The states of all steps `[steps, n, hidden]`, and those at the end, from the inputs' parts.
    pub fn run(
        &self,
        inputs: &Var<'t, T>,
        lengths: Option<&[usize]>,
        begin: States<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>, Option<Var<'t, T>>) {
        let (tape, steps, mut state) = (inputs.tape(), inputs.dim(0), begin);
        let zeros = || tape.constant(Tensor::zeros([inputs.dim(1), self.w_hh.dim(1)]));
        let mut outs = Vec::with_capacity(steps);
        for k in 0..steps {
            let at = if self.reverse { steps - 1 - k } else { k };
            let h = state.0.linear(self.w_hh, self.b_hh);
            let next = self.step(&inputs.select(0, at as isize), &h, &state);
            let running = |length: &usize| at < *length;
            match lengths {
                Some(lengths) if !lengths.iter().all(running) => {
                    let running = |i: usize| lengths.get(i).is_some_and(running);
                    let running = Tensor::from_fn([lengths.len(), 1], running);
                    outs.push(next.0.where_(&running, &zeros()));
                    // Where a sequence has ended or, on the way back, not begun, the state stays.
                    let cell = next.1.map(|new| {
                        let old = state.1.unwrap_or_else(zeros);
                        new.where_(&running, &old)
                    });
                    state = (next.0.where_(&running, &state.0), cell);
                }
                _ => {
                    outs.push(next.0.clone());
                    state = next;
                }
            }
        }
        if self.reverse {
            outs.reverse();
        }
        (tape.stack(&outs.iter().collect::<Vec<_>>(), 0), state.0, state.1)
    }
}

#[cfg(test)]
mod tests;
