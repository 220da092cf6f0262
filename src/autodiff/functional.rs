//! Derivatives of functions rather than of values: products with the Jacobian and the Hessian, and these
//! whole. All are programs over the reverse sweep.
use crate::{
    error::{Error, Result},
    ops::Float,
    tape::{Tape, Var},
    tensor::{Shape, Tensor},
};

/// The value of `f` at `x` and the product of its Jacobian with `v`: the derivative along `v`. `v` has the
/// shape of `x`.
///
/// Computed as the gradient of `u ↦ vᵀ(uᵀJ)`, so it takes no rules of its own.
///
/// ```
/// use kolmo::{Tensor, autodiff::jvp};
/// let x = Tensor::<f64>::from([1.0, 2.0]);
/// let (y, dy) = jvp(|x| x * x, &x, &Tensor::from([1.0, 0.0]))?;
/// assert_eq!((y.to_vec(), dy.to_vec()), (vec![1.0, 4.0], vec![2.0, 0.0]));
/// # Ok::<(), kolmo::Error>(())
/// ```
pub fn jvp<T: Float>(
    f: impl for<'t> Fn(&Var<'t, T>) -> Var<'t, T>,
    x: &Tensor<T>,
    v: &Tensor<T>,
) -> Result<(Tensor<T>, Tensor<T>)> {
    same_shape("jvp", x, v)?;
    let tape = Tape::new();
    let x = tape.input(x);
    let y = f(&x);
    let u = tape.input(Tensor::zeros(y.shape()));
    let back = y.vjp(&u, &[&x])?.remove(0);
    let along = back.vjp(&tape.constant(v), &[&u])?.remove(0);
    Ok((y.value()?.clone(), along.value()?.clone()))
}

/// The value of `f`, its gradient, and the product of its Hessian with `v`. `f` gives a single element.
///
/// ```
/// use kolmo::{Tensor, autodiff::hvp};
/// let x = Tensor::<f64>::from([1.0, 2.0]);
/// let (y, g, hv) = hvp(|x| (x * x * x).sum(), &x, &Tensor::from([1.0, 1.0]))?;
/// assert_eq!((y, g.to_vec(), hv.to_vec()), (9.0, vec![3.0, 12.0], vec![6.0, 12.0]));
/// # Ok::<(), kolmo::Error>(())
/// ```
pub fn hvp<T: Float>(
    f: impl for<'t> Fn(&Var<'t, T>) -> Var<'t, T>,
    x: &Tensor<T>,
    v: &Tensor<T>,
) -> Result<(T, Tensor<T>, Tensor<T>)> {
    same_shape("hvp", x, v)?;
    let tape = Tape::new();
    let x = tape.input(x);
    let y = f(&x);
    let g = y.grad(&[&x])?.remove(0);
    let hv = g.vjp(&tape.constant(v), &[&x])?.remove(0);
    Ok((y.item()?, g.value()?.clone(), hv.value()?.clone()))
}

/// The Jacobian of `f` at `x`: shape of the result followed by the shape of `x`. One sweep per element of the
/// result.
///
/// ```
/// use kolmo::{Tensor, autodiff::jacobian};
/// let j = jacobian(|x| x * x.sum(), &Tensor::<f64>::from([1.0, 2.0]))?; // xᵢ · Σ x
/// assert_eq!(j, Tensor::from([[4.0, 1.0], [2.0, 5.0]]));
/// # Ok::<(), kolmo::Error>(())
/// ```
#[doc(alias("jacrev", "jacfwd"))]
pub fn jacobian<T: Float>(f: impl for<'t> Fn(&Var<'t, T>) -> Var<'t, T>, x: &Tensor<T>) -> Result<Tensor<T>> {
    let tape = Tape::new();
    let x = tape.input(x);
    rows(&f(&x), &x)
}

/// The Hessian of `f` at `x`: the shape of `x` twice. `f` gives a single element. One sweep per element of
/// `x`.
///
/// ```
/// use kolmo::{Tensor, autodiff::hessian};
/// let h = hessian(|x| (x * x * x).sum(), &Tensor::<f64>::from([1.0, 2.0]))?;
/// assert_eq!(h.to_vec(), [6.0, 0.0, 0.0, 12.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
pub fn hessian<T: Float>(f: impl for<'t> Fn(&Var<'t, T>) -> Var<'t, T>, x: &Tensor<T>) -> Result<Tensor<T>> {
    let tape = Tape::new();
    let x = tape.input(x);
    let g = f(&x).grad(&[&x])?.remove(0);
    rows(&g, &x)
}

/// The Jacobian of a recorded value, row by row.
fn rows<T: Float>(y: &Var<'_, T>, x: &Var<'_, T>) -> Result<Tensor<T>> {
    let (m, n) = (y.value()?.numel(), x.numel());
    let shape: Shape = y.shape().iter().chain(x.shape().iter()).copied().collect();
    let (mut all, mut seed) = (Tensor::zeros(shape), Tensor::zeros(y.shape()));
    all.ok()?;
    seed.ok()?;
    for i in 0..m {
        seed.as_mut_slice()[i] = T::constant(1.0);
        let row = y.tape().vjp(&[y], &[&y.tape().constant(&seed)], &[x], false, None)?.remove(0);
        let row = row.value()?.contiguous();
        row.ok()?;
        all.as_mut_slice()[i * n..(i + 1) * n].copy_from_slice(row.as_slice().unwrap_or_default());
        seed.as_mut_slice()[i] = T::constant(0.0);
    }
    Ok(all)
}

fn same_shape<T: Float>(what: &'static str, x: &Tensor<T>, v: &Tensor<T>) -> Result<()> {
    if x.shape() == v.shape() {
        return Ok(());
    }
    Err(Error::invalid(what, format!("the direction has shape {}, the point {}", v.shape(), x.shape())))
}
