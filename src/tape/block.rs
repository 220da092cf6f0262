//! Blocks of scalar statements made short: a part of a program with few arguments and few results leaves one
//! statement per result, whatever happened inside. Less memory, and every later sweep passes over it in one
//! go.
use super::{
    ids::StatementId,
    parts::{Tape, TapeNumber},
    scalar::Scalar,
    statements::Note,
};
use crate::real::Dual;
use std::{array, panic::Location};

/// # Fewer statements
impl<T: TapeNumber> Tape<T> {
    /// Runs `block` and replaces what it recorded by one statement per result, whose partial derivatives are
    /// found by a reverse sweep over the block. Pays where results and outside arguments are few and the
    /// statements between them many.
    ///
    /// Values inside the block must not be used after it. A block with tensors in it stays as it was
    /// recorded.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::new();
    /// let x = tape.scalar(2.0);
    /// let [y] = tape.preaccumulate(|| {
    ///     let mut y = x;
    ///     for _ in 0..10 {
    ///         y = y * x + 1.0;
    ///     }
    ///     [y]
    /// });
    /// assert_eq!(tape.len(), 2); // x and y
    /// // 11 x¹⁰ + 9 x⁸ + 8 x⁷ + … + 1
    /// let expected = 11.0 * 1024.0 + (0..9).map(|k| (k + 1) as f64 * 2f64.powi(k)).sum::<f64>();
    /// assert_eq!(y.backward()?.scalar(x), expected);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn preaccumulate<'t, const M: usize>(
        &'t self,
        block: impl FnOnce() -> [Scalar<'t, T>; M],
    ) -> [Scalar<'t, T>; M] {
        let (floor, site) = (self.mark(), Location::caller());
        let results = block();
        let mut local = self.stash.local.take();
        let ids = results.map(|y| if y.tape().is_some() { y.statement_id() } else { StatementId::CONSTANT });
        let short = self.statements.shorten(&mut local, floor, &ids);
        let ids: [StatementId; M] = array::from_fn(|i| if short { local.ids[i] } else { ids[i] });
        self.stash.local.replace(local);
        array::from_fn(|i| match ids[i] {
            StatementId::CONSTANT => Scalar::constant(results[i].value()),
            id => {
                if short && id.place() >= floor.0 {
                    let value = results[i].value().primal();
                    let note = || Note { name: "preaccumulate", value, site: Some(site), ..Note::default() };
                    self.statements.renote(id, note);
                }
                Scalar::recorded(self, results[i].value(), id)
            }
        })
    }
}

impl<'t, T: TapeNumber> Scalar<'t, T> {
    /// Runs `f` on dual numbers and leaves one statement per result: all partial derivatives come with the
    /// values, nothing inside is recorded. Like [`fuse!`](crate::fuse) with several results; pays for up
    /// to about twenty arguments. The N duals of N + 1 numbers lie on the stack, in a build without
    /// optimisation several times.
    ///
    /// ```
    /// use kolmo::{Scalar, Tape, number::{Arithmetic, Dual}};
    /// let tape = Tape::<f64>::new();
    /// let polar = [tape.scalar(2.0), tape.scalar(0.5)];
    /// let [x, y] = Scalar::forward(polar, |[r, phi]| [r * phi.cos(), r * phi.sin()]);
    /// assert_eq!(tape.len(), 4);
    /// assert_eq!((x * y).backward()?.scalar(polar[1]), 4.0 * (0.5f64.cos().powi(2) - 0.5f64.sin().powi(2)));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[inline(always)]
    #[track_caller]
    pub fn forward<const N: usize, const M: usize>(
        x: [Self; N],
        f: impl FnOnce([Dual<T, N>; N]) -> [Dual<T, N>; M],
    ) -> [Self; M] {
        // Loops: of many arguments the functions of arrays are calls.
        let mut duals = [Dual::constant(T::constant(0.0)); N];
        for (i, dual) in duals.iter_mut().enumerate() {
            *dual = Dual::variable(x[i].value(), i);
        }
        let y = f(duals);
        let mut results = [Scalar::constant(T::constant(0.0)); M];
        for (result, y) in results.iter_mut().zip(&y) {
            *result = Scalar::with_slopes("forward", y.re, &x, &y.eps);
        }
        results
    }
}
