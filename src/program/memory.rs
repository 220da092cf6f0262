//! How much a program keeps for the way back, and a plan that stays within a number of bytes: the operations
//! are cut into parts where few values are alive, and the first parts are done again in the sweep, when what
//! later ones kept has been freed. Any operations will do: what a part reads from before it, however far, is
//! kept. The idea for chains is Chen et al. (2016), "Training deep nets with sublinear memory cost".
use super::{operand::Operand, plan::Part, run::Program};
use crate::{
    error::{Error, Result},
    ops::Float,
    tape::{EXTRA, NodeId, operand_in},
};

/// Into how many parts the operations are cut at most.
const PARTS: usize = 64;

/// A way to go, and what it takes.
struct Way {
    parts: Vec<Part>,
    bytes: usize,
    /// The share of the work that is done twice.
    share: f64,
}

/// What stages of a plan take and leave.
struct Costs {
    /// Bytes of each node's value; 0 of inputs and parameters, which are there anyway.
    bytes: Vec<usize>,
    /// The stage that computes a node; none for inputs and parameters.
    stage_of: Vec<Option<usize>>,
    /// What the derivatives of a stage read.
    keeps: Vec<Vec<NodeId>>,
    /// Bytes of what the operations of a stage keep beside operands and results.
    beside: Vec<usize>,
    /// What a stage reads of what other stages computed.
    reads: Vec<Vec<NodeId>>,
    /// Bytes that a stage reads and writes: what it takes, as far as one can tell without a clock.
    work: Vec<usize>,
}

/// # Memory
impl<T: Float> Program<T> {
    /// Bytes of values that are kept for derivatives at one time by
    /// [`value_and_grad`](Program::value_and_grad): when the sweep begins, or when a part has just been done
    /// again. Inputs, parameters and what an operation needs for itself are not counted; values that share a
    /// buffer are counted one by one.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        let costs = self.costs();
        costs.peak(&self.plans[1].parts, &mut vec![0; costs.bytes.len()])
    }

    /// Keeps at most so many bytes for derivatives, as [`kept_bytes`](Program::kept_bytes) counts them: some
    /// operations are done again in the sweep, as few as will do. Values and gradients stay the same to the
    /// bit. Returns the share of the work of all operations that is done twice, from 0 to 1.
    ///
    /// ```
    /// use kolmo::{Program, Tensor, nn::Param};
    /// let p = Param::new(Tensor::<f32>::ones([1000]));
    /// let mut program = Program::new(&[], &[], |tape, _, _| {
    ///     let x = tape.param(&p);
    ///     vec![(0..100).fold(x.clone(), |y, _| y.sin().cumsum(0) + &x).sum()]
    /// })?;
    /// let all = program.kept_bytes();
    /// assert!(program.limit_recomputation(1.0) * 4 < all);
    /// let share = program.limit_memory(all / 2)?;
    /// assert!(program.kept_bytes() <= all / 2 && share < 0.8);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// If no plan keeps so little; the message names the least. The plan stays what it was.
    #[doc(alias("checkpoint", "rematerialization", "activation checkpointing"))]
    pub fn limit_memory(&mut self, bytes: usize) -> Result<f64> {
        let ways = self.ways();
        let least = ways.iter().map(|way| way.bytes).min().unwrap_or(0);
        let fits = ways.into_iter().filter(|way| way.bytes <= bytes);
        let order = |a: &Way, b: &Way| a.share.total_cmp(&b.share).then(a.bytes.cmp(&b.bytes));
        let Some(best) = fits.min_by(order) else {
            let message =
                format!("{bytes} bytes are too few: the least that this program can keep is {least}");
            return Err(Error::invalid("limit_memory", message));
        };
        self.plans[1].parts = best.parts;
        Ok(best.share)
    }

    /// Does at most this share of the work of all operations again in the sweep, from 0 to 1, and keeps as
    /// little as that allows. Returns how many bytes that is. 0 keeps everything, as a new program does.
    pub fn limit_recomputation(&mut self, share: f64) -> usize {
        let allowed = self.ways().into_iter().filter(|way| way.share <= share.max(0.0));
        let best = allowed.min_by(|a, b| a.bytes.cmp(&b.bytes).then(a.share.total_cmp(&b.share)));
        best.map_or(0, |best| {
            self.plans[1].parts = best.parts;
            best.bytes
        })
    }

    fn costs(&self) -> Costs {
        let plan = &self.plans[1];
        let (nodes, kept) = (self.tape.tensors.nodes.borrow(), self.tape.tensors.kept.borrow());
        let mut stage_of = vec![None; nodes.len()];
        for (s, stage) in plan.stages.iter().enumerate() {
            stage.each(|i| stage_of[i.place()] = Some(s));
        }
        let size = |i: usize| nodes[i].shape.numel() * size_of::<T>();
        let own = |i: usize| if stage_of[i].is_some() { size(i) } else { 0 };
        let mut costs = Costs {
            bytes: (0..nodes.len()).map(own).collect(),
            keeps: vec![Vec::new(); plan.stages.len()],
            beside: vec![0; plan.stages.len()],
            reads: vec![Vec::new(); plan.stages.len()],
            work: vec![0; plan.stages.len()],
            stage_of,
        };
        for (i, node) in nodes.iter().enumerate() {
            let Some(s) = costs.stage_of[i] else { continue };
            let operands = self.operands[i].iter().filter_map(Operand::node);
            costs.reads[s].extend(operands.clone().filter(|j| costs.stage_of[j.place()] != Some(s)));
            costs.work[s] += size(i) + operands.map(|j| size(j.place())).sum::<usize>();
            for (slot, _) in kept.get(node.kept_range()).unwrap_or_default() {
                match operand_in(*slot) {
                    // Known when it is there: of recurrent layers at most five numbers for one of the result.
                    None if *slot == EXTRA => costs.beside[s] += 5 * size(i),
                    None => costs.keeps[s].push(NodeId::at(i)),
                    Some(operand) => {
                        costs.keeps[s].extend(self.operands[i].get(operand).and_then(Operand::node));
                    }
                }
            }
        }
        costs
    }

    /// All ways that are looked at: so many parts, of which so many are done again.
    fn ways(&self) -> Vec<Way> {
        let costs = self.costs();
        let stages = self.plans[1].stages.len();
        let total: usize = costs.work.iter().sum();
        let (alive, mut marks) = (costs.alive(), vec![0; costs.bytes.len()]);
        let mut ways = Vec::new();
        for count in 1..=PARTS.min(stages.max(1)) {
            let cuts = costs.cuts(&alive, count);
            for again in 0..cuts.len() {
                if again == 0 && count > 1 {
                    continue;
                }
                let parts = costs.parts(&cuts, again, stages);
                let done: usize = parts
                    .iter()
                    .filter(|p| p.again)
                    .map(|p| costs.work[p.stages.clone()].iter().sum::<usize>())
                    .sum();
                let bytes = costs.peak(&parts, &mut marks);
                ways.push(Way { parts, bytes, share: done as f64 / total.max(1) as f64 });
            }
        }
        ways
    }
}

impl Costs {
    /// Bytes of what was computed up to each stage and is read by a later one.
    fn alive(&self) -> Vec<usize> {
        let mut last: Vec<usize> = self.stage_of.iter().map(|s| s.unwrap_or(0)).collect();
        for (s, reads) in self.reads.iter().enumerate() {
            reads.iter().for_each(|i| last[i.place()] = last[i.place()].max(s));
        }
        let mut alive = vec![0; self.work.len()];
        for (i, &own) in self.stage_of.iter().enumerate() {
            if let Some(own) = own {
                alive[own..last[i]].iter_mut().for_each(|bytes| *bytes += self.bytes[i]);
            }
        }
        alive
    }

    /// Where `count` parts begin that keep about as much, at places near by where little is alive; fewer
    /// where two would begin at one.
    fn cuts(&self, alive: &[usize], count: usize) -> Vec<usize> {
        let mut sums = Vec::with_capacity(self.keeps.len());
        let mut sum = 0.0;
        for (keeps, beside) in self.keeps.iter().zip(&self.beside) {
            // A little for each stage, so that there is an order where nothing is kept.
            let kept = keeps.iter().map(|i| self.bytes[i.place()]).sum::<usize>() + beside;
            sum += 1.0 + kept as f64;
            sums.push(sum);
        }
        let mut cuts = vec![0];
        for k in 1..count {
            let [from, to] = [k as f64 - 0.5, k as f64 + 0.5].map(|at| {
                let target = sum * at / count as f64;
                sums.partition_point(|s| *s < target)
            });
            let near = from..(to + 1).min(alive.len());
            if let Some(stage) = near.min_by_key(|&s| alive[s])
                && stage + 1 > cuts[cuts.len() - 1]
                && stage + 1 < self.keeps.len()
            {
                cuts.push(stage + 1);
            }
        }
        cuts
    }

    /// The parts that begin there; the first `again` are done again, and the rest is one.
    fn parts(&self, cuts: &[usize], again: usize, stages: usize) -> Vec<Part> {
        let ends = cuts.iter().skip(1).copied().chain([stages]);
        let mut parts: Vec<Part> = cuts
            .iter()
            .zip(ends)
            .take(again)
            .map(|(&start, end)| Part {
                stages: start..end,
                again: true,
                reads: self.read_before(start, end),
            })
            .collect();
        let start = parts.last().map_or(0, |part| part.stages.end);
        parts.push(Part { stages: start..stages, again: false, reads: Vec::new() });
        parts
    }

    /// What these stages read of what was there before.
    fn read_before(&self, start: usize, end: usize) -> Vec<NodeId> {
        let before = |i: &&NodeId| self.stage_of[i.place()].is_none_or(|s| s < start);
        let mut reads: Vec<NodeId> =
            self.reads[start..end].iter().flatten().filter(before).copied().collect();
        reads.sort_unstable();
        reads.dedup();
        reads
    }

    /// The most bytes that are kept at one time. `marks` are of an earlier call or zeros.
    fn peak(&self, parts: &[Part], marks: &mut [usize]) -> usize {
        let mut mark = marks.iter().max().copied().unwrap_or(0);
        // Each once.
        let mut sum = |nodes: &mut dyn Iterator<Item = NodeId>, before: usize, mark: usize| {
            nodes.fold(before, |sum, i| {
                let new = marks[i.place()] != mark;
                marks[i.place()] = mark;
                sum + if new { self.bytes[i.place()] } else { 0 }
            })
        };
        let mut most = 0;
        for now in 0..parts.len() {
            mark += 1;
            let mut held = 0;
            for part in &parts[..=now] {
                held = sum(&mut part.reads.iter().copied(), held, mark);
            }
            let keeps = self.keeps[parts[now].stages.clone()].iter().flatten().copied();
            let beside = self.beside[parts[now].stages.clone()].iter().sum::<usize>();
            most = most.max(sum(&mut keeps.into_iter(), held, mark) + beside);
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{param::Param, tensor::Tensor};
    use std::collections::BTreeMap;

    /// Twenty layers, and a value that is read again behind the last.
    fn program(x: &Tensor, w: &Param) -> Program {
        Program::new(&[x], &[], |tape, x, _| {
            let w = tape.param(w);
            let first = (&x[0] * &w).exp();
            let layer = |y, _| w.matmul(&y).cumsum(0).tanh() * 0.5;
            let last = (0..20).fold(first.clone(), layer);
            vec![(last + first.square()).sum()]
        })
        .unwrap()
    }

    /// Bytes of what there is when the sweep begins, but for the inputs.
    fn held(program: &mut Program, x: &Tensor, w: &Param) -> usize {
        program.release();
        program.forward(&[x], &[], 1).unwrap();
        let kept = program.tape.tensors.kept.borrow();
        let all = kept.iter().filter_map(|(_, t)| t.as_ref()).chain(program.held.iter().flatten());
        let inputs = [x.buffer().as_ptr(), w.value().buffer().as_ptr()];
        let buffers: BTreeMap<_, _> = all.map(|t| (t.buffer().as_ptr(), size_of_val(t.buffer()))).collect();
        buffers.iter().filter(|(at, _)| !inputs.contains(at)).map(|(_, bytes)| bytes).sum()
    }

    #[test]
    fn what_is_planned_is_what_is_kept() {
        let x = Tensor::from_fn([32, 32], |i| (i as f32).sin());
        let w = Param::new(Tensor::from_fn([32, 32], |i| (i as f32).cos() * 0.2));
        let mut program = program(&x, &w);
        let all = program.kept_bytes();
        assert_eq!(held(&mut program, &x, &w), all);
        assert_eq!(all, 40 * 4096, "of each layer two values");
        let mut last = all;
        for share in [0.3, 0.6, 1.0] {
            let bytes = program.limit_recomputation(share);
            assert!(bytes < last && bytes == program.kept_bytes(), "{share}: {bytes} after {last}");
            let held = held(&mut program, &x, &w);
            assert!(held <= bytes, "{share}: {held}, planned {bytes}");
            last = bytes;
        }
        assert!(last * 3 < all, "{last} of {all}");
        let told = program.limit_memory(last - 1).unwrap_err().to_string();
        assert!(told.contains(&format!("the least that this program can keep is {last}")), "{told}");
        assert!(program.limit_memory(all).unwrap() == 0.0 && program.kept_bytes() == all);
    }
}
