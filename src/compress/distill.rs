//! Distillation: losses that let a small model learn from a large one (Hinton, Vinyals and Dean, 2015). The large model runs
//! on constants; its output is never differentiated.
use crate::{
    tape::{Float, Var},
    tensor::{Index, Tensor},
};

/// `alpha · T² · KL(softmax(teacher / T) ‖ softmax(student / T)) + (1 - alpha) · cross_entropy(student, targets)`,
/// both means over the batch: `[n, classes], [n, classes], [n] -> []`.
///
/// A temperature `T` above 1 shows which wrong classes the teacher holds for likely; `T²` keeps the size of the
/// gradients. Gradients flow to the student only.
///
/// ```
/// use kolmo::{Tape, Tensor, compress::distill::soft_target};
/// let tape = Tape::<f64>::new();
/// let student = tape.input([[2.0, 0.0, -1.0]]);
/// let teacher = tape.constant([[3.0, 1.0, -2.0]]);
/// let loss = soft_target(&student, &teacher, &Tensor::from([0u32]), 2.0, 0.5);
/// assert!((loss.item()? - 0.1574).abs() < 1e-4);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[track_caller]
pub fn soft_target<'t, T: Float, I: Index>(
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
        &scaled - scaled.logsumexp(&[1], true)
    };
    let (expected, got) = (log_softmax(&teacher.detach()), log_softmax(student));
    (expected.exp() * (expected - got)).sum() / student.dim(0) as f64
}
