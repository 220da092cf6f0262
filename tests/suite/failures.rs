//! The first error is the one that is told, whatever is done with the failed value afterwards; lists keep
//! their length; nothing is left switched over by a panic.
use crate::catalogue::{all, operands};
use kolmo::{
    autodiff::CustomOp,
    number::Dual,
    ops::{MeshgridIndexing, PoolOptions},
    *,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

const FIRST: &str = "matmul: [2, 3] x [4, 5]: inner sizes 3 and 4 differ\n  at tests/suite/failures.rs:";

fn bad<'t>(tape: &'t Tape<f64>) -> Var<'t, f64> {
    tape.input(Tensor::ones([2, 3])).matmul(&tape.input(Tensor::ones([4, 5])))
}

/// Operations that the list has not, each for a reason.
const APART: &[(&str, &str)] = &[
    ("constant input param scalar", "make operands"),
    ("at scalars to_scalars stack_scalars lift preaccumulate", "go between tensors and scalars"),
    ("eq ne lt le gt ge isclose isfinite isinf isnan", "give masks"),
    ("logical_and logical_not logical_or logical_xor", "give masks"),
    ("pow_number replace_nonfinite", "are powf and nan_to_num"),
    ("max_pool1d_with_indices max_pool2d_with_indices", "are max_pool1d and max_pool2d"),
    ("checkpoint custom fake_quantize", "take a program's own code, or options that have no default"),
    ("grad vjp", "are asked of every entry"),
    ("centre", "is the example of CONTRIBUTING.md, and there in tests only"),
];

#[test]
fn every_entry_has_a_value_and_most_a_gradient() {
    for entry in all() {
        let tape = Tape::new();
        let x = operands(&tape, entry.operands);
        let y = (entry.run)(&x);
        assert!(y.value().is_ok(), "{}: {:?}", entry.name, y.value());
        let grads = y.sum().grad(&x.iter().collect::<Vec<_>>());
        assert!(grads.is_ok() || entry.name == "detach", "{}: {:?}", entry.name, grads.err());
    }
}

#[test]
fn the_catalogue_has_every_operation() {
    let listed: Vec<&str> =
        all().map(|entry| entry.name).chain(APART.iter().flat_map(|(names, _)| names.split(' '))).collect();
    let missing: Vec<String> =
        crate::operations::all().into_iter().filter(|name| !listed.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "not in tests/suite/catalogue.rs: {missing:?}");
}

#[test]
fn every_operation_passes_the_first_failure_on_from_every_place() {
    for entry in all() {
        for place in 0..entry.operands {
            let tape = Tape::new();
            let mut x = operands(&tape, entry.operands);
            x[place] = bad(&tape);
            let y = (entry.run)(&x);
            let error = y.value().expect_err(entry.name).to_string();
            assert!(error.starts_with(FIRST), "{}, operand {place}: {error}", entry.name);
            let error = y.sum().backward().expect_err(entry.name).to_string();
            assert!(error.starts_with(FIRST), "{}, operand {place}: {error}", entry.name);
        }
    }
}

#[test]
fn parts_of_a_failed_value_are_as_many_as_were_asked_for() {
    let tape = Tape::new();
    let x = bad(&tape);
    let told = |v: &Var<'_, f64>| v.value().unwrap_err().to_string().starts_with(FIRST);
    let lists = [
        (x.split(1, 2), 1),
        (x.split([1, 2, 3], 7), 3),
        (x.chunk(4, 1), 4),
        (x.tensor_split(5, 0), 5),
        (x.tensor_split([1, 2], 0), 3),
        (x.unbind(0), 1),
        (tape.meshgrid(&[&x, &tape.constant([1.0])], MeshgridIndexing::Ij), 2),
    ];
    for (parts, n) in lists {
        assert_eq!(parts.len(), n);
        // However many somebody thinks there are.
        assert!((0..9).all(|i| told(&parts[i])) && parts.iter().all(told));
    }
    let scalars = x.to_scalars();
    let error = (scalars[7] * 2.0).backward().unwrap_err().to_string();
    assert!(error.starts_with(FIRST), "{error}");
    assert!(scalars[3].value().is_nan());
    let lifted = tape.lift(scalars[3]).value().unwrap_err().to_string();
    assert!(lifted.starts_with(FIRST), "{lifted}");
    let good = tape.input([1.0, 2.0]);
    assert_eq!(good.to_scalars().len(), 2);
    let outside = tape.lift(good.at([5])).value().unwrap_err().to_string();
    assert!(outside.starts_with(FIRST), "the first failure of a scalar on this tape: {outside}");
}

#[test]
fn a_failed_scalar_tells_its_own_failure() {
    let tape = Tape::<f64>::new();
    let _ = bad(&tape);
    let error = tape.input([1.0, 2.0]).at([5]).sin().backward().unwrap_err().to_string();
    assert!(
        error.starts_with("at: index [5] is outside shape [2]\n  at tests/suite/failures.rs:"),
        "{error}"
    );
}

#[test]
fn a_caught_panic_leaves_a_tape_as_it_was() -> Result<()> {
    struct Panics;
    impl CustomOp<f64> for Panics {
        fn name(&self) -> &str {
            "panics"
        }
        fn forward(&self, x: &[&Tensor<f64>]) -> Result<Tensor<f64>> {
            Ok(x[0].clone())
        }
        fn backward<'t>(
            &self,
            _: &[Var<'t, f64>],
            _: &Var<'t, f64>,
            _: &Var<'t, f64>,
        ) -> Vec<Option<Var<'t, f64>>> {
            std::panic::resume_unwind(Box::new("a user's mistake"))
        }
    }
    let tape = Tape::new();
    let x = tape.input([1.0, 2.0]);
    let caught = |f: &dyn Fn()| catch_unwind(AssertUnwindSafe(f)).is_err();
    assert!(caught(&|| tape.no_grad(|| std::panic::resume_unwind(Box::new("another")))));
    assert!(tape.is_recording());
    let y = tape.custom(Panics, &[&x]).sum();
    assert!(caught(&|| drop(y.backward())) && caught(&|| drop(y.grad(&[&x]))));
    assert!(tape.is_recording());
    assert_eq!((&x * &x).sum().backward()?.get(&x).map(Tensor::to_vec), Some(vec![2.0, 4.0]));
    Ok(())
}

#[test]
fn axes_of_one_element_have_no_direction() -> Result<()> {
    let tape = Tape::<f64>::new();
    let one = tape.input([[2.0]]);
    let list = tape.input([[1.0, 2.0, 3.0]]);
    let turned = |x: &Var<'_, f64>, dims: &[isize]| -> Result<Vec<f64>> {
        let (y, column) = (x.flip(dims), x.t().flip(dims));
        let mut all = y.matmul(&x.t()).to_vec()?;
        all.extend(x.matmul(&column).to_vec()?);
        all.extend(y.matmul(&x.select(0, 0).flip(0)).to_vec()?);
        all.extend(y.linear(x, Some(&tape.constant([0.5]))).to_vec()?);
        all.extend(column.matmul(&y).to_vec()?);
        Ok(all)
    };
    assert_eq!(turned(&one, &[0])?, [4.0, 4.0, 4.0, 4.5, 4.0]);
    assert_eq!(turned(&one, &[0, 1])?, [4.0, 4.0, 4.0, 4.5, 4.0]);
    // Of a row only the axis that has elements is walked backwards.
    assert_eq!(list.flip(0).matmul(&list.t()).to_vec()?, [14.0]);
    assert_eq!(list.flip([0, 1]).matmul(&list.t()).to_vec()?, [10.0]);
    for shape in [[1, 5], [5, 1], [1, 1]] {
        let x = Tensor::<f32>::from_fn(shape, |i| i as f32).flip([0, 1])?;
        assert!(x.shape().iter().zip(x.strides()).all(|(&n, &s)| n != 1 || s >= 0), "{:?}", x.strides());
    }
    Ok(())
}

#[test]
fn a_statement_has_any_number_of_arguments() -> Result<()> {
    fn sum<const N: usize>() -> Result<()> {
        let tape = Tape::<f64>::new();
        let x: [Scalar; N] = std::array::from_fn(|i| tape.scalar(i as f64));
        let value = x.iter().map(|x| x.value() * x.value()).sum();
        let y = Scalar::statement(value, x.map(|x| (x, 2.0 * x.value())));
        assert_eq!((y.value(), y.sin().value()), (value, value.sin()));
        let grads = (y * 3.0).backward()?;
        let wrong = x.iter().find(|x| grads.scalar(**x) != 6.0 * x.value());
        assert!(wrong.is_none(), "{N} arguments: {wrong:?}");
        Ok(())
    }
    sum::<1>()?;
    sum::<253>()?;
    sum::<254>()?;
    sum::<255>()?;
    sum::<256>()?;
    sum::<300>()?;
    sum::<1000>()
}

#[test]
fn many_duals_give_their_gradients() -> Result<()> {
    let gradients = || {
        let tape = Tape::<f64>::new();
        let x: [Scalar; 300] = std::array::from_fn(|i| tape.scalar(i as f64));
        let [y] = Scalar::forward(x, |x| [x.iter().fold(Dual::constant(0.0), |sum, &x| sum + x * x)]);
        let grads = y.backward()?;
        assert!(x.iter().all(|x| grads.scalar(*x) == 2.0 * x.value()));
        Ok(())
    };
    // Without optimisation the 720 kB of duals are copied a few times.
    std::thread::Builder::new().stack_size(32 << 20).spawn(gradients).unwrap().join().unwrap()
}

#[test]
fn a_window_of_padding_alone_is_an_error_and_a_huge_one_takes_no_time() -> Result<()> {
    let tape = Tape::<f64>::new();
    let x = tape.input(Tensor::ones([2, 3]));
    let error = x.max_pool1d(&PoolOptions::new(2).padding(1).dilation(4)).value().unwrap_err().to_string();
    assert!(error.starts_with("max_pool1d: window 0") && error.contains("only padding"), "{error}");
    let image = tape.input(Tensor::ones([1, 3, 3]));
    let options = PoolOptions::new([1, 2]).padding([0, 1]).dilation([1, 4]);
    assert!(image.max_pool2d(&options).value().is_err());
    const LONG: usize = 1 << 31;
    assert_eq!(x.max_pool1d(&PoolOptions::new(LONG).padding(LONG / 2)).to_vec()?, [1.0, 1.0]);
    assert_eq!(x.avg_pool1d(&PoolOptions::new(LONG).padding(LONG / 2)).shape()[..], [2, 1]);
    Ok(())
}
