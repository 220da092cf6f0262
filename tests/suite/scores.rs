//! What weights are worth, against what can be computed by hand.
use kolmo::{
    Random, Result, Tape, Tensor,
    compress::{
        all_params, matrices,
        prune::{self, Amount},
        scores::{ScoreCriterion, Scores, Snapshot, synflow},
    },
    nn::{Layer, Linear, Param, Relu, Sequential},
};

/// Gradients of `Σ x·w` in two batches are the two x.
fn scored(criterion: ScoreCriterion) -> Result<Vec<f64>> {
    let w = Param::new(Tensor::from([2.0f64, -1.0, 3.0]));
    let mut scores = Scores::new(criterion);
    for x in [[1.0, 1.0, -2.0], [-0.5, 3.0, -1.0]] {
        let tape = Tape::new();
        let loss = (tape.param(&w) * tape.constant(x)).sum();
        scores.add(&w, &loss.backward()?)?;
    }
    Ok(scores.get("").unwrap())
}

#[test]
fn scores_add_up_over_batches() -> Result<()> {
    // The products g·w: [2, -1, -6], then [-1, -3, -3].
    assert_eq!(scored(ScoreCriterion::Taylor)?, [3.0, 4.0, 9.0]);
    assert_eq!(scored(ScoreCriterion::Movement)?, [-1.0, 4.0, 9.0]);
    assert_eq!(scored(ScoreCriterion::Snip)?, [1.0, 4.0, 9.0]);
    assert_eq!(scored(ScoreCriterion::Fisher)?, [2.5, 5.0, 22.5]);
    Ok(())
}

#[test]
fn the_second_derivatives_of_a_diagonal_quadratic_are_exact() -> Result<()> {
    let w = Param::new(Tensor::from([2.0f64, -1.0]));
    let scores = Scores::second_order(&w, 2, &mut Random::new(0), |tape: &Tape<f64>| {
        (tape.param(&w).square() * tape.constant([1.5, 0.5])).sum()
    })?;
    assert_eq!(scores.get("").unwrap(), [6.0, 0.5]); // h w² / 2 with h = [3, 1]
    Ok(())
}

#[test]
fn synflow_leaves_something_of_every_layer() -> Result<()> {
    let rng = &mut Random::new(0);
    let net = Sequential((
        Linear::new(64, 100, rng),
        Relu,
        Linear::new(100, 50, rng),
        Relu,
        Linear::new(50, 10, rng),
    ));
    let left =
        synflow(&net, 0.01, 50, matrices, |tape: &Tape| net.forward(&tape.constant(Tensor::ones([1, 64]))))?;
    assert_eq!(left.kept, ((64 * 100 + 100 * 50 + 50 * 10) as f64 * 0.01).round() as usize);
    for layer in [&net.0.0, &net.0.2, &net.0.4] {
        assert!(layer.weight.mask().unwrap().to_vec().contains(&true));
    }
    Ok(())
}

#[test]
fn a_ticket_goes_back_to_its_first_weights_and_keeps_its_mask() -> Result<()> {
    let net = Linear::new(4, 3, &mut Random::new(0));
    let start: Snapshot = Snapshot::new(&net);
    let first = net.weight.value();
    net.weight.update(|w| w.as_mut_slice().reverse());
    prune::global(&net, Amount::Density(0.5), matrices)?;
    start.restore(&net)?;
    assert_eq!(net.weight.value(), first);
    assert_eq!(net.weight.mask().unwrap().to_vec().iter().filter(|&&k| k).count(), 6);
    let other = Linear::new(5, 3, &mut Random::new(0));
    assert!(start.restore(&other).unwrap_err().to_string().contains("no weight of shape [3, 5]"));
    Ok(())
}

#[test]
fn only_what_was_scored_is_pruned() -> Result<()> {
    let (a, b) = (Param::new(Tensor::from([1.0f32, 2.0])), Param::new(Tensor::from([0.1f32])));
    let tape = Tape::new();
    let mut scores = Scores::new(ScoreCriterion::Taylor);
    scores.add(&a, &(tape.param(&a) * tape.constant([3.0, 1.0])).sum().backward()?)?;
    assert_eq!(prune::by_scores(&a, &scores, Amount::Count(1), all_params)?.kept, 1);
    assert_eq!(a.effective()?.to_vec(), [1.0, 0.0]);
    assert!(prune::by_scores(&b, &scores, Amount::Count(1), all_params).is_err());
    Ok(())
}
