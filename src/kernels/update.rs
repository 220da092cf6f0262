//! An optimiser's step over one parameter: one pass over the parameter, its state and its gradient.
use super::{FloatElement, vectorised::vectorised};
use crate::threads;

/// What happens to one element: the parameter and its state, given the gradient.
pub(crate) trait Update<const M: usize>: Copy + Sync {
    fn step<T: FloatElement>(&self, state: [T; M], grad: T) -> [T; M];
}

/// Elements per task; splitting never changes a result.
const GRAIN: usize = 16 * 1024;

/// Applies the update to every element.
pub(crate) fn update<T: FloatElement, U: Update<M>, const M: usize>(
    u: U,
    mut state: [&mut [T]; M],
    grad: &[T],
) {
    let n = grad.len();
    let parts = threads::num_threads().min(n / GRAIN).max(1);
    if parts == 1 {
        return run(u, state, grad);
    }
    let size = n.div_ceil(parts).next_multiple_of(64);
    threads::for_parts(&mut state, n, size, &|from, to, state| run(u, state, &grad[from..to]));
}

vectorised! {
    fn run [U: Update<M>, const M: usize] (u: U, state: [&mut [T]; M], grad: &[T]) {
        let n = grad.len();
        let mut state = state.map(|s| &mut s[..n]);
        for i in 0..n {
            let next = u.step(state.each_ref().map(|s| s[i]), grad[i]);
            for (s, v) in state.iter_mut().zip(next) {
                s[i] = v;
            }
        }
    }
}
