//! Two steps beside each other: which statements of them are the same, and how far apart their numbers are.
use super::picture::Num;
use crate::inspect::{Numbers, Observation, Observed};
use serde::Serialize;
use std::collections::HashMap;

/// A statement that both steps have.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Change {
    pub id: u32,
    /// Its number in the other step.
    pub other: u32,
    /// ‖a - b‖ over the larger of both norms; `None` where one is missing or has another shape.
    pub value: Option<Num>,
    pub adjoint: Option<Num>,
}

/// Statements are the same if they do the same at the same source line for the same time.
pub(super) fn changes(own: &Observation, other: &Observation) -> Vec<Change> {
    fn keys(seen: &Observation) -> impl Iterator<Item = ((&str, Option<&str>, usize), &Observed)> {
        let mut times: HashMap<(&str, Option<&str>), usize> = HashMap::new();
        seen.rows.iter().map(move |row| {
            let (op, site) = (row.row.op.as_str(), row.row.site.as_deref());
            let n = times.entry((op, site)).or_default();
            *n += 1;
            ((op, site, *n), row)
        })
    }
    let others: HashMap<_, _> = keys(other).collect();
    let change = |(key, a): ((&str, Option<&str>, usize), &Observed)| {
        let b = others.get(&key)?;
        Some(Change {
            id: a.row.id,
            other: b.row.id,
            value: apart(a.value.as_ref(), b.value.as_ref()),
            adjoint: apart(a.adjoint.as_ref(), b.adjoint.as_ref()),
        })
    };
    keys(own).filter_map(change).collect()
}

fn apart(a: Option<&Numbers>, b: Option<&Numbers>) -> Option<Num> {
    let (a, b) = (a?, b?);
    if a.shape() != b.shape() {
        return None;
    }
    let (a, b) = (a.to_vec(), b.to_vec());
    let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let between = a.iter().zip(&b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt();
    Some(Num(if between == 0.0 { 0.0 } else { between / norm(&a).max(norm(&b)) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Result, Tape, Tensor};

    #[test]
    fn statements_are_matched_by_what_they_do_where_and_for_which_time() -> Result<()> {
        let run = |turns: usize, skip: bool, by: f64| -> Result<Observation> {
            let tape = Tape::<f64>::new();
            tape.set_observing(true);
            let mut x = tape.input([3.0, 4.0]);
            if !skip {
                x = x.tanh();
            }
            for _ in 0..turns {
                x = x * by;
            }
            let _ = x.sum().backward()?;
            Ok(tape.observation())
        };
        // Rows: input, tanh, mul, mul, sum beside input, mul, mul, mul, sum.
        let found = changes(&run(2, false, 2.0)?, &run(3, true, 2.0)?);
        let ids: Vec<(u32, u32)> = found.iter().map(|c| (c.id, c.other)).collect();
        assert_eq!(ids, [(1, 1), (3, 2), (4, 3), (5, 5)]);
        assert_eq!(found[0].value, Some(Num(0.0)));
        // (3, 4)·4 beside (3, 4)·3·3: 20 to 45, and adjoints 1 beside 3 of the first product.
        let found = changes(&run(2, true, 2.0)?, &run(2, true, 3.0)?);
        assert_eq!(found[2].value, Some(Num((45.0 - 20.0) / 45.0)));
        assert_eq!(found[1].adjoint, Some(Num(1.0 - 2.0 / 3.0)));
        Ok(())
    }

    #[test]
    fn what_has_another_shape_is_not_compared() {
        let [a, b] = [Tensor::from([1.0, 2.0]), Tensor::from([1.0])].map(Numbers::F64);
        assert_eq!(apart(Some(&a), Some(&b)), None);
        assert_eq!(apart(Some(&a), None), None);
        assert_eq!(apart(Some(&a), Some(&a)), Some(Num(0.0)));
    }
}
