//! Sums of products by subscripts, as pairwise matrix products.
use super::list::Float;
use crate::{
    error::Checked,
    tape::{Tape, Var},
    tensor::Shape,
};

/// A letter, or an axis that an ellipsis stands for.
type Label = u32;
/// Labels of an ellipsis' axes, counted from the last one.
const ELLIPSIS: Label = 0x11_0000;

/// The labels of a term for an operand of this rank. An ellipsis stands for what the letters leave.
fn labels(term: &str, rank: Option<usize>) -> Checked<Vec<Label>> {
    let (before, after) = match term.split_once("...") {
        Some((before, after)) => (before, Some(after)),
        None => (term, None),
    };
    let letters = |part: &str| -> Checked<Vec<Label>> {
        let one = |c: char| match c {
            'a'..='z' | 'A'..='Z' => Ok(c as Label),
            _ => Err(format!("'{c}' in the term \"{term}\" is neither a letter nor part of one ellipsis")),
        };
        part.chars().filter(|c| *c != ' ').map(one).collect()
    };
    let mut found = letters(before)?;
    let behind = letters(after.unwrap_or(""))?;
    let named = found.len() + behind.len();
    if let Some(rank) = rank {
        let left = rank.checked_sub(named).filter(|&left| left == 0 || after.is_some());
        let left =
            left.ok_or_else(|| format!("the term \"{term}\" doesn't fit an operand with {rank} axes"))?;
        found.extend((0..left as Label).rev().map(|i| ELLIPSIS + i));
    }
    found.extend(behind);
    Ok(found)
}

/// An operand with the labels of its axes.
struct Term<'t, T: Float> {
    value: Var<'t, T>,
    labels: Vec<Label>,
}

impl<'t, T: Float> Term<'t, T> {
    fn size(&self, label: Label) -> Option<usize> {
        self.labels.iter().position(|&l| l == label).map(|a| self.value.shape()[a])
    }

    /// Axes with the same label become one, their diagonal.
    #[track_caller]
    fn without_repeats(mut self) -> Checked<Self> {
        let mut a = 0;
        while a < self.labels.len() {
            let Some(b) = (a + 1..self.labels.len()).find(|&b| self.labels[b] == self.labels[a]) else {
                a += 1;
                continue;
            };
            let (m, n) = (self.value.shape()[a], self.value.shape()[b]);
            if m != n {
                let letter = char::from_u32(self.labels[a]).unwrap_or('…');
                return Err(format!("subscript {letter} is repeated, but the sizes {m} and {n} differ"));
            }
            self.value = self.value.diagonal(0, a as isize, b as isize);
            let label = self.labels.remove(b);
            self.labels.remove(a);
            self.labels.push(label);
        }
        Ok(self)
    }

    /// The axes that nobody needs any more summed away.
    #[track_caller]
    fn summed(mut self, needed: impl Fn(Label) -> bool) -> Self {
        let gone: Vec<isize> =
            (0..self.labels.len()).filter(|&a| !needed(self.labels[a])).map(|a| a as isize).collect();
        if !gone.is_empty() {
            self.value = self.value.sum_dim(&gone, false);
            self.labels.retain(|&l| needed(l));
        }
        self
    }

    /// The axes in this order as one tensor of these three sizes, with sizes of 1 widened.
    #[track_caller]
    fn arranged(&self, groups: [&[Label]; 3], size: impl Fn(Label) -> usize) -> Var<'t, T> {
        let order: Vec<isize> = groups
            .concat()
            .iter()
            .filter_map(|l| self.labels.iter().position(|m| m == l))
            .map(|a| a as isize)
            .collect();
        let wide: Shape = groups.concat().iter().map(|&l| size(l)).collect();
        let flat: Shape = groups.iter().map(|g| g.iter().map(|&l| size(l)).product::<usize>()).collect();
        self.value.permute(&order).expand_to(&wide).reshape_to(&flat)
    }

    /// The product of two terms, summed over the labels that both have and nobody else needs.
    #[track_caller]
    fn joined(self, other: Self, needed: impl Fn(Label) -> bool) -> Self {
        let (a, b) = (self.summed(|l| needed(l) || other.labels.contains(&l)), &other);
        let b = Term { value: b.value.clone(), labels: b.labels.clone() }
            .summed(|l| needed(l) || a.labels.contains(&l));
        let size = |l: Label| match (a.size(l), b.size(l)) {
            (Some(m), Some(n)) => {
                if m == 1 {
                    n
                } else {
                    m
                }
            }
            (m, n) => m.or(n).unwrap_or(1),
        };
        let shared: Vec<Label> = a.labels.iter().copied().filter(|l| b.labels.contains(l)).collect();
        let (batch, contracted): (Vec<Label>, Vec<Label>) = shared.iter().partition(|&&l| needed(l));
        let own = |x: &Term<'t, T>| -> Vec<Label> {
            x.labels.iter().copied().filter(|l| !shared.contains(l)).collect()
        };
        let (left, right) = (own(&a), own(&b));
        let product = a
            .arranged([&batch, &left, &contracted], size)
            .matmul(&b.arranged([&batch, &contracted, &right], size));
        let labels = [batch, left, right].concat();
        let shape: Shape = labels.iter().map(|&l| size(l)).collect();
        Term { value: product.reshape_to(&shape), labels }
    }
}

/// Which two terms to multiply first: those with the smallest product.
fn cheapest<T: Float>(terms: &[Term<'_, T>], needed: impl Fn(usize, usize, Label) -> bool) -> (usize, usize) {
    let mut best = (usize::MAX, (0, 1));
    for j in 1..terms.len() {
        for i in 0..j {
            let (a, b) = (&terms[i], &terms[j]);
            let mut all: Vec<Label> = a.labels.iter().chain(&b.labels).copied().collect();
            all.sort_unstable();
            all.dedup();
            let size = |l: Label| a.size(l).unwrap_or(1).max(b.size(l).unwrap_or(1));
            let left =
                all.into_iter().filter(|&l| needed(i, j, l)).map(size).fold(1usize, usize::saturating_mul);
            if left < best.0 {
                best = (left, (i, j));
            }
        }
    }
    best.1
}

/// # Sums of products by subscripts
impl<T: Float> Tape<T> {
    /// Sums of products by subscripts, as in NumPy and PyTorch: `"bij,bjk->bik"` multiplies matrices in
    /// batches. A letter that is not behind the arrow is summed over; without an arrow, those that occur
    /// once stay, in alphabetical order. A letter that a term repeats takes the diagonal; `...` stands
    /// for further axes, which broadcast. Sizes of 1 broadcast too. Of several operands those with the
    /// smallest product come first.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f32>::new();
    /// let (a, b) = (tape.input([[1.0, 2.0], [3.0, 4.0]]), tape.input([10.0, 1.0]));
    /// assert_eq!(tape.einsum("ij,j->i", &[&a, &b]).to_vec()?, [12.0, 34.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn einsum<'t>(&'t self, equation: &str, operands: &[&Var<'t, T>]) -> Var<'t, T> {
        if let Some(failed) = operands.iter().find(|v| v.failed_id().is_some()) {
            return (*failed).clone();
        }
        let (mut terms, output) = match read(equation, operands) {
            Ok(read) => read,
            Err(message) => return self.fail_op("einsum", format!("\"{equation}\": {message}"), operands),
        };
        while terms.len() > 1 {
            let elsewhere = |i: usize, j: usize, l: Label| {
                output.contains(&l)
                    || terms.iter().enumerate().any(|(k, t)| k != i && k != j && t.labels.contains(&l))
            };
            let (i, j) = cheapest(&terms, elsewhere);
            let b = terms.remove(j);
            let a = terms.remove(i);
            let joined = a.joined(b, |l| output.contains(&l) || terms.iter().any(|t| t.labels.contains(&l)));
            terms.push(joined);
        }
        let Some(last) = terms.pop() else {
            return self.fail_op("einsum", "no operands were given", &[]);
        };
        let last = last.summed(|l| output.contains(&l));
        let order: Vec<isize> = output
            .iter()
            .filter_map(|l| last.labels.iter().position(|m| m == l))
            .map(|a| a as isize)
            .collect();
        last.value.permute(&order)
    }
}

/// The terms with their labels, and the labels of the result.
#[track_caller]
fn read<'t, T: Float>(equation: &str, operands: &[&Var<'t, T>]) -> Checked<(Vec<Term<'t, T>>, Vec<Label>)> {
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation, None),
    };
    let texts: Vec<&str> = left.split(',').collect();
    if texts.len() != operands.len() {
        return Err(format!("{} terms, but {} operands", texts.len(), operands.len()));
    }
    let mut terms = Vec::with_capacity(operands.len());
    for (text, operand) in texts.iter().zip(operands) {
        let labels = labels(text, Some(operand.rank()))?;
        terms.push(Term { value: (*operand).clone(), labels }.without_repeats()?);
    }
    let mut all: Vec<Label> = terms.iter().flat_map(|t| t.labels.iter().copied()).collect();
    all.sort_unstable();
    let mut dots: Vec<Label> = all.iter().copied().filter(|&l| l >= ELLIPSIS).collect();
    dots.dedup();
    dots.reverse();
    let output = match right {
        Some(right) => {
            let (before, after) = right.split_once("...").map_or((right, None), |(b, a)| (b, Some(a)));
            let mut output = labels(before, None)?;
            if let Some(after) = after {
                output.extend(&dots);
                output.extend(labels(after, None)?);
            }
            output
        }
        None => {
            // Letters of an operand's diagonal occurred twice.
            let written: Vec<char> = left.chars().filter(char::is_ascii_alphabetic).collect();
            let once = |l: &Label| written.iter().filter(|&&c| c as Label == *l).count() == 1;
            let single = all.iter().copied().filter(|l| *l < ELLIPSIS && once(l));
            dots.iter().copied().chain(single).collect()
        }
    };
    for (i, &l) in output.iter().enumerate() {
        let letter = char::from_u32(l).unwrap_or('…');
        if !all.contains(&l) {
            return Err(format!("the result's subscript {letter} appears in no operand"));
        }
        if output[..i].contains(&l) {
            return Err(format!("the result's subscript {letter} appears twice"));
        }
    }
    all.dedup();
    for &l in &all {
        let mut sizes: Vec<usize> = terms.iter().filter_map(|t| t.size(l)).filter(|&s| s != 1).collect();
        sizes.dedup();
        if sizes.len() > 1 {
            let letter = char::from_u32(l).unwrap_or('…');
            return Err(format!("subscript {letter} has sizes {sizes:?}, which differ"));
        }
    }
    Ok((terms, output))
}
