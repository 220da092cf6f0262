//! Distillation: losses that let a small model learn from a large one (Hinton, Vinyals and Dean, 2015). The
//! large model runs on constants; its output is never differentiated.
use crate::{
    error::{Error, Result},
    fuse,
    ops::Float,
    real::Arithmetic,
    tape::Var,
    tensor::{Index, Tensor},
};

/// `alpha · T² · KL(softmax(teacher / T) ‖ softmax(student / T)) + (1 - alpha) · cross_entropy(student,
/// targets)`, both means over the batch: `[n, classes], [n, classes], [n] -> []`.
///
/// A temperature `T` above 1 shows which wrong classes the teacher holds for likely; `T²` keeps the size of
/// the gradients. Gradients flow to the student only.
///
/// ```
/// use kolmo::{Tape, Tensor, compress::distill::soft_target_loss};
/// let tape = Tape::<f64>::new();
/// let student = tape.input([[2.0, 0.0, -1.0]]);
/// let teacher = tape.constant([[3.0, 1.0, -2.0]]);
/// let loss = soft_target_loss(&student, &teacher, &Tensor::from([0u32]), 2.0, 0.5);
/// assert!((loss.item()? - 0.1574).abs() < 1e-4);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[track_caller]
pub fn soft_target_loss<'t, T: Float, I: Index>(
    student: &Var<'t, T>,
    teacher: &Var<'t, T>,
    targets: &Tensor<I>,
    temperature: f64,
    alpha: f64,
) -> Var<'t, T> {
    let hard = || student.cross_entropy(targets);
    if alpha == 0.0 {
        return hard();
    }
    let soft = divergence(student, teacher, temperature) * (alpha * temperature * temperature);
    if alpha == 1.0 { soft } else { soft + hard() * (1.0 - alpha) }
}

/// One set of scores for several teachers: at this temperature their softmax is the mean of the teachers'
/// probabilities. With one teacher it is that teacher's scores, up to a constant. A student of the same kind
/// as its only teacher is self-distillation.
///
/// ```
/// use kolmo::{Tape, compress::distill::ensemble};
/// let tape = Tape::<f64>::new();
/// let (a, b) = (tape.constant([[0.0, 0.0]]), tape.constant([[0.0, 3f64.ln()]]));
/// let both = ensemble(&[&a, &b], 1.0)?.softmax(1).to_vec()?;
/// assert!((both[0] - (0.5 + 0.25) / 2.0).abs() < 1e-12);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[track_caller]
pub fn ensemble<'t, T: Float>(teachers: &[&Var<'t, T>], temperature: f64) -> Result<Var<'t, T>> {
    let Some((first, rest)) = teachers.split_first() else {
        return Err(Error::invalid("ensemble", "takes at least one teacher"));
    };
    let probabilities = |v: &Var<'t, T>| (v.detach() / temperature).softmax(1);
    let sum = rest.iter().fold(probabilities(first), |sum, v| sum + probabilities(v));
    Ok((sum / teachers.len() as f64).log() * temperature)
}

/// A student's hidden features, brought to the teacher's width by a matrix that learns along, against the
/// teacher's: `mean((student · Wᵀ - teacher)²)` (Romero et al., 2015): `[n, s], [n, t], [t, s] -> []`.
///
/// ```
/// use kolmo::{Tape, compress::distill::hint_loss};
/// let tape = Tape::<f64>::new();
/// let (student, teacher) = (tape.input([[1.0, 2.0]]), tape.input([[3.0]]));
/// let regressor = tape.input([[1.0, 1.0]]);
/// assert_eq!(hint_loss(&student, &teacher, &regressor).item()?, 0.0);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[track_caller]
pub fn hint_loss<'t, T: Float>(
    student: &Var<'t, T>,
    teacher: &Var<'t, T>,
    regressor: &Var<'t, T>,
) -> Var<'t, T> {
    student.linear(regressor, None).mse_loss(&teacher.detach())
}

/// Where the channels of two convolutions are active: `Σ |a|ᵖ` over channels, each image's map divided by its
/// norm, the mean squared difference (Zagoruyko and Komodakis, 2017). `[n, c, …], [n, d, …] -> []` with the
/// same `…`.
#[track_caller]
pub fn attention_transfer_loss<'t, T: Float>(
    student: &Var<'t, T>,
    teacher: &Var<'t, T>,
    p: f64,
) -> Var<'t, T> {
    let map = |a: &Var<'t, T>| {
        let powers = if p == 1.0 { a.abs() } else { a.abs().powf(p) };
        let map = powers.sum_dim(1, false).flatten(1, -1);
        let norm = map.norm_dim(2.0, 1, true).clamp_min(1e-12);
        map / norm
    };
    map(student).mse_loss(&map(&teacher.detach()))
}

/// The distances between the examples of a batch, in units of their mean: the student's against the teacher's
/// by `smooth_l1_loss` (RKD-D of Park et al., 2019). `[n, s], [n, t] -> []`.
#[track_caller]
pub fn relational_distance_loss<'t, T: Float>(student: &Var<'t, T>, teacher: &Var<'t, T>) -> Var<'t, T> {
    let distances = |x: &Var<'t, T>| {
        let apart = (x.unsqueeze(1) - x.unsqueeze(0)).norm_dim(2.0, 2, false);
        apart.tape().note_read(&apart);
        let positive = apart.tensor().to_vec().iter().filter(|d| d.to_f64() > 0.0).count();
        let mean = apart.sum() / positive.max(1) as f64;
        if positive == 0 { apart } else { apart / mean }
    };
    distances(student).smooth_l1_loss(&distances(&teacher.detach()))
}

/// `KL(softmax(teacher / T) ‖ softmax(student / T))`, summed over classes, the mean over the batch.
#[track_caller]
fn divergence<'t, T: Float>(student: &Var<'t, T>, teacher: &Var<'t, T>, temperature: f64) -> Var<'t, T> {
    let tape = student.tape();
    if student.shape() != teacher.shape() || student.rank() != 2 {
        let message =
            format!("takes scores [n, classes] twice, not {} and {}", student.shape(), teacher.shape());
        return tape.fail_op("soft_target", message, &[student, teacher]);
    }
    if !(temperature > 0.0 && temperature.is_finite()) {
        return tape.fail_op("soft_target", format!("temperature {temperature} is not positive"), &[]);
    }
    let log_softmax = |scores: &Var<'t, T>| {
        let scaled = scores / temperature;
        &scaled - scaled.logsumexp(1, true)
    };
    let (expected, got) = (log_softmax(&teacher.detach()), log_softmax(student));
    // What the teacher holds for impossible counts nothing: 0 · log 0 is 0.
    let terms = fuse!(|p, e, g| Arithmetic::select(
        p.equal(Arithmetic::constant(0.0)),
        Arithmetic::constant(0.0),
        p * (e - g)
    ));
    terms.apply([&expected.exp(), &expected, &got]).sum() / student.dim(0) as f64
}
