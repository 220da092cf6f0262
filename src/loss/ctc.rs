//! Connectionist temporal classification: labels for sequences without saying which belongs to which step.
use super::{Reduction, options::options};
use crate::{
    error::Checked,
    ops::{Float, Pad, index::valid, list::Test},
    tape::Var,
    tensor::{Index, Tensor, room::listed},
};

/// The logarithm of what can't be. Not -∞, whose differences are NaN: e to this is 0 all the same.
const NEVER: f64 = -1e30;

/// Sequences and their labels, checked.
struct Labels {
    /// Of each sequence the labels with a blank before, between and after them.
    padded: Vec<Vec<i64>>,
    /// The longest of those lists.
    width: usize,
}

impl Labels {
    fn new<I: Index>(
        [steps, n, classes]: [usize; 3],
        targets: &Tensor<I>,
        input_lengths: &[usize],
        target_lengths: &[usize],
        blank: usize,
    ) -> Checked<Labels> {
        targets.there()?;
        if blank >= classes {
            return Err(format!("blank {blank} is none of the {classes} classes"));
        }
        if [input_lengths.len(), target_lengths.len()] != [n, n] {
            let (a, b) = (input_lengths.len(), target_lengths.len());
            return Err(format!("takes {n} lengths of inputs and of targets, not {a} and {b}"));
        }
        if let Some(long) = input_lengths.iter().find(|&&l| l > steps) {
            return Err(format!("an input length is {long}, but there are {steps} steps"));
        }
        let list = listed(targets.numel(), targets.list()?.into_iter().map(Index::to_i64))?;
        let total = target_lengths.iter().fold(0usize, |sum, &len| sum.saturating_add(len));
        let starts: Vec<usize> = match targets.shape()[..] {
            [rows, columns] if rows == n && target_lengths.iter().all(|&l| l <= columns) => {
                (0..n).map(|i| i * columns).collect()
            }
            // One after the other.
            [all] if total <= all => target_lengths
                .iter()
                .scan(0, |at, &len| {
                    *at += len;
                    Some(*at - len)
                })
                .collect(),
            _ => {
                let lengths = "as long as the target lengths";
                return Err(format!(
                    "takes targets [{n}, {lengths}] or [{lengths} together], not {}",
                    targets.shape()
                ));
            }
        };
        let mut padded = Vec::with_capacity(n);
        for (&start, &len) in starts.iter().zip(target_lengths) {
            let own = &list[start..start + len];
            if let Some(bad) = own.iter().find(|&&l| l < 0 || l >= classes as i64) {
                return Err(format!("label {bad} is none of the {classes} classes"));
            }
            let blank = blank as i64;
            let own = [blank].into_iter().chain(own.iter().flat_map(|&l| [l, blank]));
            padded.push(listed(2 * len + 1, own)?);
        }
        let width = padded.iter().map(Vec::len).max().unwrap_or(1);
        Ok(Labels { padded, width })
    }

    /// A tensor `[n, width]` of what `f` says of a sequence's list and a place in it or behind it.
    fn table<V: crate::tensor::Element>(&self, f: impl Fn(&[i64], usize) -> V) -> Tensor<V> {
        let n = self.padded.len();
        Tensor::from_fn([n, self.width], |i| f(&self.padded[i / self.width], i % self.width))
    }
}

options! {
    /// [`Var::ctc_loss`] with its options.
    ///
    /// ```
    /// use kolmo::{Tape, Tensor, loss::{CtcLoss, Reduction}};
    /// let tape = Tape::<f64>::new();
    /// let x = tape.input(Tensor::zeros([2, 1, 3])); // two steps, three classes, each as likely as the others
    /// let how = CtcLoss::new().reduction(Reduction::Sum);
    /// let loss = how.apply(&x.log_softmax(-1), &Tensor::from([[1u32]]), &[2], &[1]);
    /// // Three of nine ways: "1 1", "1 -" and "- 1".
    /// assert!((loss.item()? - 3f64.ln()).abs() < 1e-12);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[doc(alias = "CTCLoss")]
    CtcLoss {
        /// The class that is no label. 0 by default.
        blank: usize = 0;
        /// Whether a sequence too short for its labels costs nothing, not ∞.
        zero_infinity: bool = false;
    }
}

impl CtcLoss {
    /// The loss of logarithms of probabilities, `[steps, n, classes]` or `[steps, classes]`, and labels.
    #[track_caller]
    pub fn apply<'t, T: Float, I: Index>(
        &self,
        input: &Var<'t, T>,
        targets: &Tensor<I>,
        input_lengths: &[usize],
        target_lengths: &[usize],
    ) -> Var<'t, T> {
        let (tape, blank) = (input.tape(), self.blank);
        if input.rank() == 2 && input.failed_id().is_none() {
            let one = input.unsqueeze(1);
            let losses = self.apply(&one, targets, input_lengths, target_lengths);
            return if self.reduction == Reduction::None { losses.squeeze(0) } else { losses };
        }
        let sizes = <[usize; 3]>::try_from(&input.shape()[..])
            .map_err(|_| format!("takes [steps, n, classes], not {}", input.shape()));
        let [steps, n, classes] = valid!(input, "ctc_loss", sizes);
        let labels = Labels::new([steps, n, classes], targets, input_lengths, target_lengths, blank);
        let labels = valid!(input, "ctc_loss", labels);

        // Of all steps the logarithms of the labels, `[steps, n, width]`; behind a list's end any.
        let label = labels.table(|list, s| list.get(s).copied().unwrap_or(blank as i64));
        let all = label.unsqueeze(0).and_then(|l| l.expand([steps, n, labels.width]));
        let all = valid!(input, "ctc_loss", all.map_err(|e| e.to_string()));
        let emitted = input.gather(2, &all).clamp_min(NEVER);
        // A label may follow the one before the blank before it, if it isn't the same.
        let skip = labels.table(|list, s| {
            let may = s >= 2 && s < list.len() && list[s] != blank as i64 && list[s] != list[s - 2];
            T::from_f64(if may { 0.0 } else { NEVER })
        });
        let skip = tape.constant(skip);
        // The logarithm of the probability to stand at each place: before the first step, before the first
        // blank.
        let mut at = tape.constant(labels.table(|_, s| T::from_f64(if s == 0 { 0.0 } else { NEVER })));
        for step in 0..steps {
            let before = at.pad(&[2, 0], Pad::Constant(NEVER));
            let back = |by: isize| before.narrow(1, 2 - by as usize, labels.width);
            let ways = tape.stack(&[&back(0), &back(1), &(back(2) + &skip)], 0).logsumexp(0, false);
            let next = (ways + emitted.select(0, step as isize)).clamp_min(NEVER);
            // Sequences that have ended stay where they are.
            let goes_on: Vec<bool> = input_lengths.iter().map(|&l| step < l).collect();
            at = if goes_on.contains(&false) {
                next.where_(&Tensor::from_fn([n, 1], |i| goes_on[i]), &at)
            } else {
                next
            };
        }
        // It ends at the last label or at the blank after it.
        let end = labels.table(|list, s| s < list.len() && s + 2 >= list.len());
        let outside = tape.constant(T::from_f64(NEVER));
        let losses = -at.where_(&end, &outside).logsumexp(1, false);
        let possible = losses.test(Test::Less, -NEVER / 2.0);
        let [zero, one, infinite] = [0.0, 1.0, f64::INFINITY].map(|v| tape.constant(T::constant(v)));
        // Adds nothing to the value; to the gradient what log_softmax would take away again.
        let counted = Tensor::from_fn([steps, n], |i| input_lengths[i % n] > i / n);
        let mass = input.exp().sum_dim(2, false).where_(&counted, &zero).sum_dim(0, false);
        let (losses, mass) = if self.zero_infinity {
            (losses.where_one(&possible, &zero), mass.where_one(&possible, &zero))
        } else {
            (losses * one.where_one(&possible, &infinite), mass)
        };
        let losses = losses + (&mass - mass.held());
        match self.reduction {
            Reduction::Mean => {
                let lengths = Tensor::from_fn([n], |i| T::from_f64(target_lengths[i].max(1) as f64));
                (losses / tape.constant(lengths)).mean()
            }
            other => other.of(losses),
        }
    }
}

/// # Losses: sequences
impl<'t, T: Float> Var<'t, T> {
    /// The negative logarithm of the probability that a sequence has these labels, summed over all ways to
    /// spread them, and blanks between them, over its steps (Graves et al., 2006).
    ///
    /// `self` are logarithms of probabilities, `[steps, n, classes]` or `[steps, classes]`, as log_softmax
    /// gives them: as with PyTorch the gradient is that of the scores before it, `p - (share of the
    /// ways)`. Targets are `[n, longest]` or all in one list. The mean is taken of losses divided by the
    /// targets' lengths. The blank is class 0, and a sequence too short for its labels costs ∞: [`CtcLoss`]
    /// has the options.
    #[track_caller]
    pub fn ctc_loss<I: Index>(
        &self,
        targets: &Tensor<I>,
        input_lengths: &[usize],
        target_lengths: &[usize],
    ) -> Var<'t, T> {
        CtcLoss::new().apply(self, targets, input_lengths, target_lengths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tape, autodiff::GradCheck};

    fn scores() -> Tensor<f64> {
        Tensor::from_fn([5, 3, 4], |i| 2.0 * (1.7 * i as f64).sin())
    }

    fn targets() -> Tensor<u32> {
        Tensor::from([[1, 1, 2], [3, 2, 1], [2, 0, 0]])
    }

    fn close(a: &[f64], b: &[f64]) {
        let same = |(a, b): (&f64, &f64)| a == b || (a - b).abs() < 1e-11;
        assert!(a.len() == b.len() && a.iter().zip(b).all(same), "{a:?}\n{b:?}");
    }

    #[test]
    fn values_and_gradients_are_those_of_pytorch() {
        let tape = Tape::new();
        let x = tape.input(scores());
        let logs = x.log_softmax(-1);
        let loss =
            |reduction| CtcLoss::new().reduction(reduction).apply(&logs, &targets(), &[5, 4, 3], &[3, 2, 1]);
        let expected = [6.222964022270205, 1.975161593402948, 1.845492838766226];
        close(&loss(Reduction::None).to_vec().unwrap(), &expected);
        close(&[loss(Reduction::Mean).item().unwrap()], &[1.635798325408145]);
        let grads = loss(Reduction::Mean).backward().unwrap();
        let first = [0.011755544159, -0.021074523536, 0.007386035812, 0.001932943565, -0.09432222909];
        let found = grads.get(&x).unwrap().to_vec();
        close(&found[..5].iter().map(|v| (v * 1e12).round() / 1e12).collect::<Vec<_>>(), &first);
        // After the end of the last two sequences.
        assert_eq!(found[52..60], [0.0; 8]);
        // Of logarithms that are inputs themselves the gradient is the same.
        let logs = tape.input(logs.tensor().clone());
        let loss = CtcLoss::new().reduction(Reduction::Sum).apply(&logs, &targets(), &[5, 4, 3], &[3, 2, 1]);
        let found = loss.backward().unwrap().get(&logs).unwrap().to_vec();
        close(&[(found[0] * 1e12).round() / 1e12], &[0.105799897433]);
    }

    #[test]
    fn a_sequence_too_short_for_its_labels_costs_infinity_or_nothing() {
        let tape = Tape::new();
        let logs = tape.input(scores()).log_softmax(-1);
        let loss = |zero| {
            CtcLoss::new().zero_infinity(zero).reduction(Reduction::None).apply(
                &logs,
                &targets(),
                &[5, 1, 3],
                &[3, 2, 1],
            )
        };
        close(&loss(false).to_vec().unwrap(), &[6.222964022270205, f64::INFINITY, 1.845492838766226]);
        close(&loss(true).to_vec().unwrap(), &[6.222964022270205, 0.0, 1.845492838766226]);
        let x = tape.input(scores());
        let kept = CtcLoss::new().zero_infinity(true).reduction(Reduction::Sum).apply(
            &x.log_softmax(-1),
            &targets(),
            &[5, 1, 3],
            &[3, 2, 1],
        );
        let found = kept.backward().unwrap().get(&x).unwrap().to_vec();
        assert_eq!(found[4..8], [0.0; 4]);
        assert!(found[0] != 0.0 && found.iter().all(|v| v.is_finite()));
    }

    #[test]
    fn targets_may_come_one_after_the_other_and_be_none() {
        let tape = Tape::new();
        let logs = tape.input(scores()).log_softmax(-1);
        let all = Tensor::from([1i64, 1, 2, 0, 2]);
        let loss = CtcLoss::new().blank(3).reduction(Reduction::None).apply(&logs, &all, &[5; 3], &[2, 3, 0]);
        close(&loss.to_vec().unwrap(), &[3.708331865114363, 7.379352661000721, 11.326728982984838]);
        let wrong = |targets: &Tensor<i64>, inputs: &[usize], blank| {
            let tape = Tape::inference();
            let logs = tape.constant(scores()).log_softmax(-1);
            let loss = CtcLoss::new().blank(blank).reduction(Reduction::None).apply(
                &logs,
                targets,
                inputs,
                &[2, 3, 0],
            );
            loss.value().unwrap_err().to_string()
        };
        assert!(wrong(&all, &[5, 6, 5], 3).contains("an input length is 6"));
        let lengths = wrong(&all, &[5, 5], 3);
        assert!(lengths.contains("takes 3 lengths"), "{lengths}");
        assert!(wrong(&all, &[5; 3], 4).contains("blank 4"));
        assert!(wrong(&Tensor::from([1i64, 1, 2]), &[5; 3], 3).contains("not [3]"));
        assert!(wrong(&Tensor::from([1i64, 1, 2, 9, 0]), &[5; 3], 3).contains("label 9"));
    }

    #[test]
    fn gradients_of_both_orders_are_right() {
        GradCheck::new()
            .second_order(true)
            .check(
                |x| {
                    let logs = x[0].log_softmax(-1);
                    CtcLoss::new()
                        .reduction(Reduction::None)
                        .apply(&logs, &targets(), &[5, 4, 3], &[3, 2, 1])
                        .tanh()
                },
                &[scores()],
            )
            .unwrap();
    }
}
