//! Sizes that hang on what is left open, and how they are found from recordings with several sizes in its place.
use crate::error::Checked;

/// Most sizes that a file leaves open.
pub(super) const MOST: usize = 3;
/// Products of them: place `s` is that of the sizes whose bits `s` has, place 0 the number 1.
const TERMS: usize = 1 << MOST;

/// A size: a sum of products of what is left open, each so many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Dim([i64; TERMS]);

impl Dim {
    pub const ONE: Dim = Dim::number(1);

    pub const fn number(n: i64) -> Dim {
        let mut terms = [0; TERMS];
        terms[0] = n;
        Dim(terms)
    }

    /// The size, if it hangs on nothing.
    pub fn known(self) -> Option<i64> {
        (!self.is_open()).then_some(self.0[0])
    }

    pub fn is_open(self) -> bool {
        self.0[1..].iter().any(|&times| times != 0)
    }

    pub fn minus(self, other: Dim) -> Dim {
        Dim(std::array::from_fn(|s| self.0[s] - other.0[s]))
    }

    pub fn times(self, n: i64) -> Dim {
        Dim(self.0.map(|times| times * n))
    }

    /// How many times each product is in it, and which open sizes it is of; the number last.
    pub fn terms(self) -> impl Iterator<Item = (i64, Vec<usize>)> {
        let open = |s: usize| (0..MOST).filter(|k| s >> k & 1 == 1).collect();
        (1..TERMS).chain([0]).map(move |s| (self.0[s], open(s))).filter(|(times, _)| *times != 0)
    }

    /// The size where these are given.
    pub fn at(self, given: &[usize]) -> i64 {
        let product = |open: Vec<usize>| -> i64 {
            open.into_iter().map(|k| given.get(k).map_or(1, |&n| n as i64)).product()
        };
        self.terms().map(|(times, open)| times * product(open)).sum()
    }

    /// As text, with the names of what is left open: `2*batch*length+1`.
    pub fn text(self, names: &[&str]) -> String {
        let mut text = String::new();
        for (times, open) in self.terms() {
            let own = open.iter().filter_map(|&k| names.get(k).copied()).collect::<Vec<_>>().join("*");
            text += &match (times, own.is_empty()) {
                (_, true) => format!("{times:+}"),
                (1, _) => format!("+{own}"),
                (-1, _) => format!("-{own}"),
                _ => format!("{times:+}*{own}"),
            };
        }
        if text.is_empty() { "0".into() } else { text.strip_prefix('+').unwrap_or(&text).to_string() }
    }

    /// The size that was `sizes[i]` where `given[i]` was, the recordings being those of [`recordings`].
    pub fn of(sizes: &[usize], given: &[Vec<usize>]) -> Checked<Dim> {
        let [base, ..] = given else { return Err("nothing was recorded".into()) };
        let open = base.len().min(MOST);
        let size = |s: usize| sizes.get(s).map_or(0, |&n| n as i64);
        // Of a multilinear function the differences at the corners of a cube give all: in products of how far each
        // size is above the first one,
        let mut terms = [0; TERMS];
        for (s, term) in terms.iter_mut().enumerate().take(1 << open) {
            let signed = |t: usize| if (s ^ t).count_ones().is_multiple_of(2) { size(t) } else { -size(t) };
            *term = (0..=s).filter(|t| t & s == *t).map(signed).sum();
        }
        // and then, size by size, in products of the sizes.
        for (k, &first) in base.iter().enumerate().take(open) {
            for s in (0..1 << open).filter(|s| s >> k & 1 == 0) {
                terms[s] -= terms[s | 1 << k] * first as i64;
            }
        }
        let dim = Dim(terms);
        if sizes.len() == given.len() && sizes.iter().zip(given).all(|(&size, at)| dim.at(at) == size as i64)
        {
            return Ok(dim);
        }
        Err(format!("a size is {sizes:?} where {given:?} are given: it must stay or grow in proportion"))
    }
}

/// The sizes with which is recorded, of these ones that are left open: each by itself and all together one larger, and all
/// two larger, where it shows whether they grow in proportion.
pub(super) fn recordings(first: &[usize]) -> Vec<Vec<usize>> {
    // At sizes of 0 and 1 operations can do otherwise.
    let first: Vec<usize> = first.iter().map(|&n| n.max(2)).collect();
    let one = |s: usize| first.iter().enumerate().map(|(k, n)| n + (s >> k & 1)).collect();
    let more = if first.is_empty() { None } else { Some(first.iter().map(|n| n + 2).collect()) };
    (0..1 << first.len()).map(one).chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_open_sizes_are_found_from_recordings() {
        let given = recordings(&[2, 5]);
        assert_eq!(given, [[2, 5], [3, 5], [2, 6], [3, 6], [4, 7]]);
        let found = |f: fn(usize, usize) -> usize| {
            Dim::of(&given.iter().map(|at| f(at[0], at[1])).collect::<Vec<_>>(), &given)
        };
        let dim = found(|b, l| 3 * b * l + l + 4).unwrap();
        assert_eq!((dim.at(&[10, 20]), dim.known()), (624, None));
        assert_eq!(dim.text(&["batch", "length"]), "length+3*batch*length+4");
        assert_eq!(found(|_, _| 7).unwrap().known(), Some(7));
        assert_eq!(found(|b, _| 2 * b - 1).unwrap().text(&["n", "m"]), "2*n-1");
        // Not in proportion.
        assert!(found(|_, l| l * l).is_err());
        assert!(found(|b, _| b / 2).is_err());
    }

    #[test]
    fn without_open_sizes_there_is_one_recording() {
        assert_eq!(recordings(&[]), [[0usize; 0]]);
        assert_eq!(Dim::of(&[4], &recordings(&[])).unwrap(), Dim::number(4));
    }
}
