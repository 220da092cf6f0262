//! Programs that run for many examples: what they take, what they refuse, and which gradients are told of.
use crate::Threads;
use kolmo::{
    Program, Random, Result, Tensor,
    nn::{
        BatchNorm, Conv2d, Embedding, Flatten, Layer, Linear, MaxPool2d, Param, Relu, Sequential, init,
        named_params,
    },
    optim::{Optimizer, Sgd},
};

type Network = Sequential<(Conv2d, Relu, MaxPool2d, Flatten, Linear)>;

fn network() -> Network {
    let rng = &mut Random::new(3);
    Sequential((Conv2d::new(1, 4, 3, rng), Relu, MaxPool2d::new(2), Flatten, Linear::new(36, 5, rng)))
}

fn batch(n: usize) -> (Tensor, Tensor<u32>) {
    let x = init::normal([n, 1, 8, 8], 0.0, 1.0, &mut Random::new(n as u64));
    (x, Tensor::from_fn([n], |i| (i * 7 % 5) as u32))
}

fn program(net: &Network) -> Result<Program> {
    let (x, label) = batch(1);
    Program::new(&[&x], &[&label], |_, x, labels| vec![net.forward(&x[0]).cross_entropy(&labels[0])])
}

fn far(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.shape(), b.shape());
    a.to_vec().iter().zip(b.to_vec()).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

#[test]
fn the_mean_of_all_gradients_is_that_of_the_mean_loss() -> Result<()> {
    let net = network();
    let (x, labels) = batch(6);
    let mut whole =
        Program::new(&[&x], &[&labels], |_, x, labels| vec![net.forward(&x[0]).cross_entropy(&labels[0])])?;
    let (_, mean) = whole.value_and_grad(&[&x], &[&labels])?;
    let mut each = program(&net)?;
    let (_, grads) = each.grad_each(&[&x], &[&labels])?;
    let (_, mut clipped) = each.clipped_grad(&[&x], &[&labels], 1e6)?;
    clipped.scale(1.0 / 6.0);
    for (name, p) in named_params(&net) {
        let (all, mean, clipped) = (grads.param(&p), mean.param(&p), clipped.param(&p));
        let (Some(all), Some(mean), Some(clipped)) = (all, mean, clipped) else { panic!("no {name}") };
        let tape = kolmo::Tape::inference();
        assert!(far(tape.constant(all).mean_dim(0, false).value()?, mean) < 1e-6, "{name}");
        assert!(far(clipped, mean) < 1e-6, "{name}");
    }
    // Optimisers take sums, and refuse what has an axis more.
    assert!(Sgd::new(0.1).step(&net, &grads).is_err());
    Sgd::new(0.1).step(&net, &clipped)
}

#[test]
fn clipped_gradients_are_no_longer_than_allowed() -> Result<()> {
    let net = network();
    let mut each = program(&net)?;
    let (x, labels) = batch(1);
    let (_, norms) = each.grad_norms(&[&x], &[&labels])?;
    let most = norms.to_vec()[0] as f64 / 3.0;
    let (_, clipped) = each.clipped_grad(&[&x], &[&labels], most)?;
    assert!((clipped.norm() / most - 1.0).abs() < 1e-4, "{} for {most}", clipped.norm());
    assert!(each.clipped_grad(&[&x], &[&labels], f64::NAN).is_err());
    Ok(())
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() -> Result<()> {
    let net = network();
    let (x, labels) = batch(40);
    let threads = Threads::lock();
    let found: Vec<Vec<Vec<u32>>> = [1, 2, 3]
        .into_iter()
        .map(|n| {
            threads.set(n);
            let mut each = program(&net)?;
            let (_, grads) = each.grad_each(&[&x], &[&labels])?;
            let (values, clipped) = each.clipped_grad(&[&x], &[&labels], 0.5)?;
            let (_, norms) = each.grad_norms(&[&x], &[&labels])?;
            let params = named_params(&net);
            let of = |p: &Param| [grads.param(p), clipped.param(p)];
            let all = params.iter().flat_map(|(_, p)| of(p)).flatten().chain([&values[0], &norms]);
            Ok(all.map(|t| t.to_vec().iter().map(|v| v.to_bits()).collect()).collect())
        })
        .collect::<Result<_>>()?;
    assert!(found.iter().all(|other| *other == found[0]));
    Ok(())
}

/// The gradient that comes to the table is a constant, put at rows that each example has of its own.
#[test]
fn constants_go_to_the_places_of_each_example() -> Result<()> {
    let p = Param::new(init::normal([5, 2], 0.0, 1.0, &mut Random::new(4)));
    let (x, row) = (Tensor::ones([1, 4]), Tensor::from([3u32]));
    let mut program = Program::new(&[&x], &[&row], |tape, x, row| {
        let p = tape.param(&p);
        let largest = (x[0].reshape([1, 1, 4]) * p.sum()).max_pool1d(&kolmo::ops::PoolOptions::new(4));
        vec![p.embedding(&row[0], None).sum() + largest.sum()]
    })?;
    let (x, rows) = (Tensor::from([[1.0, 2.0, 3.0, 4.0], [9.0, 8.0, 7.0, 6.0]]), Tensor::from([1u32, 4]));
    let (_, grads) = program.grad_each(&[&x], &[&rows])?;
    let sign = p.value().to_vec().iter().sum::<f32>() > 0.0;
    let chosen = if sign { [4.0, 9.0] } else { [1.0, 6.0] };
    let expected = Tensor::from_fn([2, 5, 2], |i| {
        let (example, row) = (i / 10, i % 10 / 2);
        chosen[example] + f32::from(row == [1, 4][example])
    });
    assert!(far(grads.param(&p).unwrap(), &expected) < 1e-6, "{:?}", grads.param(&p));
    Ok(())
}

#[test]
fn of_no_examples_there_are_zeros() -> Result<()> {
    let net = network();
    let mut each = program(&net)?;
    let (x, labels) = (Tensor::zeros([0, 1, 8, 8]), Tensor::new([0], Vec::new())?);
    let (values, grads) = each.grad_each(&[&x], &[&labels])?;
    let weight = grads.param(&net.0.4.weight).unwrap();
    assert_eq!((&values[0].shape()[..], &weight.shape()[..]), (&[0][..], &[0, 5, 36][..]));
    let (_, clipped) = each.clipped_grad(&[&x], &[&labels], 1.0)?;
    assert_eq!((clipped.norm(), &clipped.param(&net.0.4.weight).unwrap().shape()[..]), (0.0, &[5, 36][..]));
    assert_eq!(each.grad_norms(&[&x], &[&labels])?.1.shape()[..], [0]);
    Ok(())
}

#[test]
fn what_does_not_fit_is_told() -> Result<()> {
    let net = network();
    let mut each = program(&net)?;
    let (x, labels) = batch(4);
    let mut message = |x: &Tensor, labels: &Tensor<u32>| {
        each.grad_each(&[x], &[labels]).map(|_| ()).unwrap_err().to_string()
    };
    let wrong = message(&Tensor::zeros([4, 8, 8]), &labels);
    assert!(wrong.contains("[n, 1, 1, 8, 8] or [n, 1, 8, 8], not [4, 8, 8]"), "{wrong}");
    let fewer = message(&x, &Tensor::from([0u32, 1]));
    assert!(fewer.contains("index 0 has 2 examples, what came before has 4"), "{fewer}");
    let outside = message(&x, &Tensor::from([0u32, 5, 1, 1]));
    assert!(outside.contains("target 5 is out of range: 0 to 4") && outside.contains("each.rs"), "{outside}");
    assert!(message(&x, &labels.reshape([2, 2])?).contains("[n, 1] or [n], not [2, 2]"));
    let mut alone = Program::new(&[], &[], |tape, _, _| vec![tape.param(&net.0.4.weight).sum()])?;
    assert!(alone.run_each(&[], &[]).unwrap_err().to_string().contains("there are no examples"));
    let mut long = Program::new(&[&x], &[], |_, x, _| vec![net.forward(&x[0])])?;
    let none = long.grad_each(&[&x.unsqueeze(0)?], &[]).map(|_| ()).unwrap_err().to_string();
    assert!(none.contains("must be a single element"), "{none}");
    // What a whole batch decides is refused with its name and line.
    let norm = BatchNorm::new(1);
    let mixed = Program::new(&[&batch(1).0], &[], |_, x, _| vec![norm.forward(&x[0]).sum()]);
    let mixed = mixed.map(|_| ()).unwrap_err().to_string();
    assert!(mixed.contains("batch_norm") && mixed.contains("tests/suite/each.rs"), "{mixed}");
    Ok(())
}

/// A table whose row 2 stands for nothing, read twice, and a layer whose weight is used twice.
#[derive(serde::Serialize)]
struct Words {
    table: Embedding,
    twice: Linear,
}

#[test]
fn rows_that_are_read_twice_and_weights_that_are_used_twice_add_up() -> Result<()> {
    let rng = &mut Random::new(1);
    for padding in [false, true] {
        let mut net = Words { table: Embedding::new(6, 3, rng), twice: Linear::new(3, 3, rng) };
        if padding {
            net.table.padding_idx = Some(2);
        }
        let (words, label) = (Tensor::from([[1u32, 2, 1, 5]]), Tensor::from([2u32]));
        let mut program = Program::new(&[], &[&words, &label], |tape, _, index| {
            let x = net.table.forward(&index[0], tape);
            let y = net.twice.forward(&net.twice.forward(&x).tanh());
            vec![y.mean_dim(1, false).cross_entropy(&index[1])]
        })?;
        let all = Tensor::from([[1u32, 2, 1, 5], [0, 0, 0, 0], [2, 2, 3, 4]]);
        let labels = Tensor::from([2u32, 0, 1]);
        let (_, grads) = program.grad_each(&[], &[&all, &labels])?;
        let (_, norms) = program.grad_norms(&[], &[&all, &labels])?;
        let (_, clipped) = program.clipped_grad(&[], &[&all, &labels], 0.1)?;
        let mut sum = None;
        for i in 0..3 {
            let (words, label) = (all.narrow(0, i, 1)?, labels.narrow(0, i, 1)?);
            let (_, mut one) = program.value_and_grad(&[], &[&words, &label])?;
            for (name, p) in named_params(&net) {
                let own = grads.param(&p).unwrap().select(0, i as isize)?;
                assert!(far(&own, one.param(&p).unwrap()) < 1e-6, "{name} of {i}, padding {padding}");
            }
            assert!((norms.to_vec()[i] - one.clip_norm(0.1, 2.0)? as f32).abs() < 1e-6);
            match &mut sum {
                None => sum = Some(one),
                Some(sum) => sum.accumulate(&one)?,
            }
        }
        for (name, p) in named_params(&net) {
            let sum = sum.as_ref().and_then(|sum| sum.param(&p)).unwrap();
            assert!(far(clipped.param(&p).unwrap(), sum) < 1e-6, "{name}, padding {padding}");
        }
    }
    Ok(())
}

#[test]
fn noise_has_its_deviation_and_the_same_seed_gives_the_same() -> Result<()> {
    let p = Param::new(Tensor::<f32>::zeros([10_000]));
    let noisy = |seed: u64, std: f64| {
        let tape = kolmo::Tape::new();
        let mut grads = tape.param(&p).sum().backward()?;
        grads.add_noise(std, &mut Random::new(seed))?;
        Ok::<_, kolmo::Error>(grads.param(&p).map_or(Vec::new(), |g| g.to_vec()))
    };
    let found = noisy(1, 0.5)?;
    let (mean, n) = (found.iter().sum::<f32>() / 1e4, 1e4);
    let std = (found.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / n).sqrt();
    assert!((mean - 1.0).abs() < 0.02 && (std - 0.5).abs() < 0.02, "{mean} {std}");
    assert!(noisy(1, 0.5)? == found && noisy(2, 0.5)? != found);
    assert!([-1.0, f64::NAN, f64::INFINITY].into_iter().all(|std| noisy(1, std).is_err()));
    Ok(())
}
