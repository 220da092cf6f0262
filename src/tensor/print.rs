//! Tensors as text: nested brackets, long axes cut in the middle.
use super::{Element, Tensor};
use std::fmt;

/// Indices shown at each end of an axis that is longer than twice this.
const EDGE: usize = 3;

impl<T: Element> fmt::Display for Tensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_axis(self, f, &mut Vec::new())
    }
}

impl<T: Element> fmt::Debug for Tensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} ", T::NAME, self.shape())?;
        write_axis(self, f, &mut Vec::new())
    }
}

fn write_axis<T: Element>(t: &Tensor<T>, f: &mut fmt::Formatter<'_>, index: &mut Vec<usize>) -> fmt::Result {
    let depth = index.len();
    if depth == t.rank() {
        return match (t.get(&index), f.precision()) {
            (Some(v), Some(digits)) => write!(f, "{:.digits$}", v.to_f64()),
            (Some(v), None) => write!(f, "{v:?}"),
            (None, _) => Ok(()),
        };
    }
    let n = t.shape()[depth];
    write!(f, "[")?;
    for i in 0..n {
        if n > 2 * EDGE && i == EDGE {
            write!(f, ", …")?;
        }
        if n > 2 * EDGE && (EDGE..n - EDGE).contains(&i) {
            continue;
        }
        if i > 0 {
            write!(f, ",")?;
            if depth + 1 < t.rank() {
                write!(f, "\n{:depth$} ", "")?;
            } else {
                write!(f, " ")?;
            }
        }
        index.push(i);
        write_axis(t, f, index)?;
        index.pop();
    }
    write!(f, "]")
}
