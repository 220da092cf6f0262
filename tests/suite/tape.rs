//! The tape itself: recording, sweeping, failing, higher orders, scalars and tensors together.
use kolmo::{
    autodiff::{Block, GradCheck, gradcheck, jacobian, jvp},
    number::{Arithmetic, Dual},
    *,
};

#[test]
fn a_shared_value_collects_gradients_from_every_use() -> Result<()> {
    let tape = Tape::<f64>::new();
    let x = tape.input([3.0]);
    let y = (&x * &x + &x * 2.0 - &x).sum();
    assert_eq!(y.backward()?.get(&x).unwrap().to_vec(), [7.0]);
    Ok(())
}

#[test]
fn gradients_of_gradients_of_gradients() -> Result<()> {
    let tape = Tape::<f64>::new();
    let x = tape.input(0.7);
    let y = x.tanh() * x.exp() / (&x + 2.0);
    let d1 = y.grad(&[&x])?.remove(0);
    let d2 = d1.grad(&[&x])?.remove(0);
    let d3 = d2.grad(&[&x])?.remove(0);
    // The same by dual numbers of dual numbers of dual numbers.
    type D<R> = Dual<R, 1>;
    let v = Dual {
        re: Dual { re: Dual::variable(0.7, 0), eps: [Dual::constant(1.0)] },
        eps: [Dual::constant(Dual::constant(1.0))],
    };
    let y: D<D<D<f64>>> = v.tanh() * v.exp() / (v + 2.0);
    assert!((d1.item()? - y.re.re.eps[0]).abs() < 1e-12);
    assert!((d2.item()? - y.re.eps[0].eps[0]).abs() < 1e-12);
    assert!((d3.item()? - y.eps[0].eps[0].eps[0]).abs() < 1e-11);
    Ok(())
}

#[test]
fn broadcasting_sums_back() -> Result<()> {
    gradcheck(
        |x| (&x[0] * &x[1] + &x[2]) / (&x[0] * &x[0] + 1.0),
        &[
            Tensor::linspace(-1.0, 1.0, 6).reshape([2, 3])?,
            Tensor::from([0.5, 1.5, -0.5]),
            Tensor::from([[0.3], [0.4]]),
        ],
    )
}

#[test]
fn matrix_products_of_every_rank() -> Result<()> {
    let t = |shape: &[isize]| {
        let n: isize = shape.iter().product();
        Tensor::linspace(-1.0, 2.0, n as usize).reshape(shape)
    };
    for (a, b, shape) in [
        (&[3, 4][..], &[4, 2][..], &[3, 2][..]),
        (&[4], &[4], &[]),
        (&[4], &[4, 2], &[2]),
        (&[3, 4], &[4], &[3]),
        (&[2, 3, 4], &[4, 2], &[2, 3, 2]),
        (&[2, 1, 3, 4], &[5, 4, 2], &[2, 5, 3, 2]),
        (&[4], &[2, 4, 3], &[2, 3]),
        (&[2, 3, 4], &[4], &[2, 3]),
    ] {
        let (a, b) = (t(a)?, t(b)?);
        let tape = Tape::new();
        let y = tape.constant(&a).matmul(&tape.constant(&b));
        assert_eq!(y.shape()[..], *shape, "{:?} x {:?}", a.shape(), b.shape());
        GradCheck::new().second_order(true).check(|x| x[0].matmul(&x[1]).tanh(), &[a, b])?;
    }
    Ok(())
}

#[test]
fn each_of_several_failures_is_reported_as_itself() {
    let tape = Tape::<f32>::new();
    let x = tape.input([1.0, 2.0, 3.0]);
    let failed = [x.reshape([4]), x.softmax(5), x.narrow(0, 2, 2), x.reshape([7])];
    let messages = failed.map(|y| y.ok().unwrap_err().to_string());
    for (message, part) in messages.iter().zip(["[4]", "axis 5", "start 2", "[7]"]) {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_failed_value_reports_the_first_error_with_its_line() {
    let tape = Tape::<f32>::new();
    let x = tape.input(Tensor::zeros([64, 784]));
    let w = tape.input(Tensor::zeros([300, 100]));
    let y = x.relu().matmul(&w).tanh().sum();
    assert_eq!((y.dim(0), y.shape()[5], y.dims::<2>()), (0, 0, [0, 0]));
    let text = y.backward().err().unwrap().to_string();
    assert!(
        text.starts_with(
            "matmul: [64, 784] x [300, 100]: inner sizes 784 and 300 differ\n  at tests/suite/tape.rs:"
        ),
        "{text}"
    );
    assert!(text.ends_with(", on %3 = relu [64, 784], %2 = input [300, 100]"), "{text}");
}

#[test]
fn values_of_two_tapes_do_not_mix() {
    let (a, b) = (Tape::<f64>::new(), Tape::<f64>::new());
    let y = a.input([1.0]) + b.input([1.0]);
    assert!(y.value().unwrap_err().to_string().contains("two tapes"));
    let s = a.scalar(1.0) + b.scalar(1.0);
    assert!(s.backward().is_err());
}

#[test]
fn scalars_and_tensors_meet_in_one_sweep() -> Result<()> {
    let tape = Tape::<f64>::new();
    let x = tape.input([[1.0, 2.0], [3.0, 4.0]]);
    let s = x.at([0, 1]).sin() * x.at([1, 0]);
    let y = (s * &x).sum() + tape.stack_scalars(&[s, s * 2.0], [2]).sum();
    let grads = y.backward()?;
    // y = s · (Σx + 3), s = sin(x01) x10
    let (s, total) = (2f64.sin() * 3.0, 13.0);
    let expected = [s, s + total * 2f64.cos() * 3.0, s + total * 2f64.sin(), s];
    for (g, e) in grads.get(&x).unwrap().to_vec().iter().zip(expected) {
        assert!((g - e).abs() < 1e-12, "{g} {e}");
    }
    assert!(y.grad(&[&x]).is_err(), "a gradient through scalars can't be differentiated again");
    Ok(())
}

#[test]
fn scalars_reach_second_order_by_duals_and_by_nesting() -> Result<()> {
    fn f<R: Number>(x: R, y: R) -> R {
        (x * y).sin() * x.exp() + y / x
    }
    let (x, y) = (0.8, 1.7);
    // ∂²f/∂x∂y from a tape of duals along x …
    let tape = Tape::<Dual<f64, 1>>::new();
    let (a, b) = (tape.scalar(Dual::variable(x, 0)), tape.scalar(Dual::constant(y)));
    let by_duals = f(a, b).backward()?.scalar(b).eps[0];
    // … and from a tape on a tape.
    let outer = Tape::<f64>::new();
    let (ox, oy) = (outer.scalar(x), outer.scalar(y));
    let inner = Tape::<Scalar<f64>>::new();
    let (a, b) = (inner.scalar(ox), inner.scalar(oy));
    let dy = f(a, b).backward()?.scalar(b);
    let by_nesting = dy.backward()?.scalar(ox);
    let expected = x.exp() * ((x * y).cos() * (1.0 + x) - (x * y).sin() * x * y) - 1.0 / (x * x);
    assert!((by_duals - expected).abs() < 1e-12 && (by_nesting - expected).abs() < 1e-12);
    Ok(())
}

#[test]
fn fused_expressions_agree_with_single_operations() -> Result<()> {
    let c = 0.3;
    let f = fuse!([c] | x, w, b | (x * w + b).tanh() * x.sigmoid() + c * w / 2.0);
    let inputs =
        [Tensor::linspace(-2.0, 2.0, 6).reshape([2, 3])?, Tensor::from([0.4, -0.2, 1.0]), Tensor::from(0.1)];
    let tape = Tape::<f64>::new();
    let [x, w, b] = inputs.each_ref().map(|t| tape.input(t));
    let fused = f.apply([&x, &w, &b]);
    let plain = (&x * &w + &b).tanh() * x.sigmoid() + c * &w / 2.0;
    for (a, b) in fused.to_vec()?.iter().zip(plain.to_vec()?) {
        assert!((a - b).abs() < 1e-14);
    }
    let (gf, gp) = (fused.sum().backward()?, plain.sum().backward()?);
    for v in [&x, &w, &b] {
        for (a, b) in gf.get(v).unwrap().to_vec().iter().zip(gp.get(v).unwrap().to_vec()) {
            assert!((a - b).abs() < 1e-13);
        }
    }
    GradCheck::new().second_order(true).check(|x| f.apply([&x[0], &x[1], &x[2]]), &inputs)?;
    // The same operand twice.
    GradCheck::new().second_order(true).check(|x| f.apply([&x[0], &x[0], &x[0]]), &inputs[..1])?;
    let s = tape.scalars(&[0.5, 0.4, 0.1]);
    let y = f.apply([s[0], s[1], s[2]]);
    assert_eq!(y.value(), f.apply([0.5, 0.4, 0.1]));
    let g = y.backward()?;
    let h = 1e-6;
    let expected = (f.apply([0.5, 0.4 + h, 0.1]) - f.apply([0.5, 0.4 - h, 0.1])) / (2.0 * h);
    assert!((g.scalar(s[1]) - expected).abs() < 1e-8);
    Ok(())
}

#[test]
fn a_second_sweep_over_freed_values_is_an_error() -> Result<()> {
    let tape = Tape::<f64>::new();
    let x = tape.input([1.0, 2.0]);
    let y = (&x * &x).sum();
    let _ = y.backward_retain_graph()?;
    let _ = y.backward()?;
    let text = y.backward().err().unwrap().to_string();
    assert!(text.contains("backward_retain_graph"), "{text}");
    Ok(())
}

struct Layer {
    w: nn::Param<f64>,
}

impl Block<f64> for Layer {
    fn params(&self) -> Vec<nn::Param<f64>> {
        vec![self.w.clone()]
    }
    fn forward<'t>(&self, x: &[Var<'t, f64>]) -> Var<'t, f64> {
        let w = x[0].tape().param(&self.w);
        (x[0].matmul(&w).tanh() * &x[0]).exp()
    }
}

#[test]
fn a_checkpoint_gives_the_same_gradients_of_first_and_second_order() -> Result<()> {
    let w = nn::Param::new(Tensor::from([[0.3, -0.2], [0.1, 0.4]]));
    let run = |checkpoint: bool| -> Result<(Tensor<f64>, Tensor<f64>, Tensor<f64>)> {
        let tape = Tape::new();
        let x = tape.input([[1.0, 2.0], [-1.0, 0.5]]);
        let layer = || Layer { w: w.clone() };
        // The same parameter in two blocks, one upon the other.
        let mut y = &x * 0.1;
        for _ in 0..2 {
            y = if checkpoint { tape.checkpoint(layer(), &[&y]) } else { layer().forward(&[y]) };
        }
        let y = y.sum();
        let wv = tape.param(&w);
        let g = y.grad(&[&x, &wv])?;
        let second = (&g[0] * &g[0]).sum() + g[1].sum();
        let gg = second.grad(&[&wv])?.remove(0);
        let gg = gg.value()?.clone();
        let grads = y.backward()?;
        Ok((grads.get(&x).unwrap().clone(), grads.param(&w).unwrap().clone(), gg))
    };
    let (a, b) = (run(true)?, run(false)?);
    for (a, b) in [(&a.0, &b.0), (&a.1, &b.1), (&a.2, &b.2)] {
        for (a, b) in a.to_vec().iter().zip(b.to_vec()) {
            assert!((a - b).abs() < 1e-12 * (1.0 + b.abs()), "{a} {b}");
        }
    }
    Ok(())
}

#[test]
fn anomalies_are_named() {
    let tape = Tape::<f64>::new();
    tape.set_detect_anomaly(true);
    let y = (tape.input([1.0, 0.0]) - 1.0).log();
    assert!(y.value().unwrap_err().to_string().contains("log: the value has NaN or infinity"));
    let x = tape.input([0.0]);
    let text = x.sqrt().sum().backward().err().unwrap().to_string();
    assert!(text.starts_with("sqrt: the gradient of an operand has NaN or infinity"), "{text}");
}

#[test]
fn jacobians_and_directional_derivatives_agree() -> Result<()> {
    fn g<'t>(x: &Var<'t, f64>) -> Var<'t, f64> {
        x.tanh().matmul(&x.exp().t())
    }
    let x = Tensor::from([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]);
    let v = Tensor::from([[1.0, -1.0, 0.5], [0.0, 2.0, 1.0]]);
    let j = jacobian(g, &x)?;
    assert_eq!(j.shape(), &[2, 2, 2, 3]);
    let (_, along) = jvp(g, &x, &v)?;
    let product: Vec<f64> =
        j.to_vec().chunks(6).map(|row| row.iter().zip(v.to_vec()).map(|(a, b)| a * b).sum()).collect();
    for (a, b) in along.to_vec().iter().zip(product) {
        assert!((a - b).abs() < 1e-12);
    }
    Ok(())
}
