//! What a user asks of a program for many examples: results, gradients of each example, their norms, and
//! sums of clipped ones.
use super::{
    batch::Batch,
    derivative::Derivative,
    each::{Asked, Found},
    run::Program,
};
use crate::{
    error::{Error, Result},
    ops::{Float, examples::many},
    tape::{Gradients, Leaf, NodeId},
    tensor::Tensor,
};

/// # Many examples at once
///
/// A program that was recorded for one example runs for many: every input and every index then has an axis of
/// examples in front, `[n, …]` of what was recorded. An input that was recorded as a batch of one, `[1,
/// …]`, also takes a batch `[n, …]` as it is. Since one example alone was recorded, examples can't mix: a
/// layer that needs a whole batch, such as batch normalisation in training, is refused when the program is
/// recorded.
///
/// Values and gradients are those of one run for each example, up to rounding, and the same bits on any
/// number of threads. Operations take all examples in one go; where one can't, it alone runs once for each,
/// and where the derivative of one can't be recorded (an embedding with a padding index), the sweep does.
impl<T: Float> Program<T> {
    /// The results of each example, `[n, …]`.
    ///
    /// ```
    /// use kolmo::{Program, Tensor};
    /// let x = Tensor::from([1.0f64, 2.0]);
    /// let mut norm = Program::new(&[&x], &[], |_, x, _| vec![x[0].norm_dim(2.0, [], false)])?;
    /// let points = Tensor::from([[3.0, 4.0], [0.0, 1.0], [6.0, 8.0]]);
    /// assert_eq!(norm.run_each(&[&points], &[])?[0].to_vec(), [5.0, 1.0, 10.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[doc(alias("vmap", "batched", "map"))]
    pub fn run_each(&mut self, inputs: &[&Tensor<T>], indices: &[&Tensor<u32>]) -> Result<Vec<Tensor<T>>> {
        let batch = self.batch(inputs, indices)?;
        Ok(self.found(&batch, Asked::Nothing)?.0)
    }

    /// The results of each example, and the gradient of each example's first result, a single element, with
    /// respect to all parameters that were trainable: `[n, …]`, where the parameter is `[…]`.
    ///
    /// ```
    /// use kolmo::{Program, Random, Tensor, nn::{Layer, Linear}};
    /// let net = Linear::new(2, 3, &mut Random::new(0));
    /// let (x, label) = (Tensor::from([[1.0, -1.0]]), Tensor::from([2u32])); // a batch of one
    /// let mut program = Program::new(&[&x], &[&label], |_, x, labels| {
    ///     vec![net.forward(&x[0]).cross_entropy(&labels[0])]
    /// })?;
    /// let batch = Tensor::from([[1.0, -1.0], [0.5, 2.0], [3.0, 0.0], [1.0, 1.0]]);
    /// let labels = Tensor::from([2u32, 0, 1, 1]);
    /// let (values, grads) = program.grad_each(&[&batch], &[&labels])?;
    /// assert_eq!((values[0].shape().to_vec(), grads.param(&net.weight).unwrap().shape().to_vec()),
    /// (vec![4], vec![4, 3, 2]));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[doc(alias("grad_sample", "per_sample_gradients", "GradSampleModule"))]
    pub fn grad_each(
        &mut self,
        inputs: &[&Tensor<T>],
        indices: &[&Tensor<u32>],
    ) -> Result<(Vec<Tensor<T>>, Gradients<T>)> {
        let batch = self.batch(inputs, indices)?;
        let (results, _, leaves) = self.found(&batch, Asked::Each)?;
        Ok((results, Gradients::new(&self.tape, Vec::new(), leaves)))
    }

    /// The results of each example, and the 2-norm of the gradient of each example's first result, over all
    /// parameters as one vector: `[n]`. Gradients of weights in linear layers aren't made for that: the
    /// norm of a product of two vectors is the product of theirs.
    ///
    /// What it is good for: examples drawn by how much they teach (importance sampling), and outliers found.
    #[doc(alias("ghost norm", "importance sampling", "per_sample_norms"))]
    pub fn grad_norms(
        &mut self,
        inputs: &[&Tensor<T>],
        indices: &[&Tensor<u32>],
    ) -> Result<(Vec<Tensor<T>>, Tensor<T>)> {
        let batch = self.batch(inputs, indices)?;
        let (results, norms, _) = self.found(&batch, Asked::Norms(None))?;
        let norms = Tensor::from_fn([batch.n], |i| T::from_f64(norms[i]));
        norms.ok()?;
        Ok((results, norms))
    }

    /// The results of each example, and the sum of the gradients of their first results, each scaled so
    /// that its norm is at most `max_norm`: the factor is `min(1, max_norm / (norm + 1e-6))`, as in
    /// [`clip_norm`](Gradients::clip_norm). With noise and divided by the (expected) number of examples
    /// this is a step of private training (Abadi et al., 2016, "Deep learning with differential privacy"):
    ///
    /// ```
    /// use kolmo::{Program, Random, Tensor, nn::{Layer, Linear}, optim::{Optimizer, Sgd}};
    /// let rng = &mut Random::new(0);
    /// let net = Linear::new(2, 3, rng);
    /// let (x, label) = (Tensor::from([[1.0, -1.0]]), Tensor::from([2u32]));
    /// let mut program = Program::new(&[&x], &[&label], |_, x, labels| {
    ///     vec![net.forward(&x[0]).cross_entropy(&labels[0])]
    /// })?;
    /// let (batch, labels) = (Tensor::from([[1.0, -1.0], [0.5, 2.0]]), Tensor::from([2u32, 0]));
    /// let (max_norm, noise_multiplier) = (1.0, 1.1);
    /// let (_, mut grads) = program.clipped_grad(&[&batch], &[&labels], max_norm)?;
    /// grads.add_noise(noise_multiplier * max_norm, rng)?;
    /// grads.scale(1.0 / 2.0);
    /// Sgd::new(0.1).step(&net, &grads)?;
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// The sum takes one more product for each layer, not the gradients of each example. Of no examples, as
    /// drawing each with some probability may give, it is zeros.
    #[doc(alias("DP-SGD", "differential privacy", "DPOptimizer", "max_grad_norm"))]
    pub fn clipped_grad(
        &mut self,
        inputs: &[&Tensor<T>],
        indices: &[&Tensor<u32>],
        max_norm: f64,
    ) -> Result<(Vec<Tensor<T>>, Gradients<T>)> {
        if max_norm.is_nan() || max_norm < 0.0 {
            return Err(Error::invalid("clipped_grad", format!("max_norm {max_norm} is not at least 0")));
        }
        let batch = self.batch(inputs, indices)?;
        let factor = |norm: f64| {
            let factor = max_norm / (norm + 1e-6);
            if factor < 1.0 || factor.is_nan() { factor } else { 1.0 }
        };
        let (results, _, leaves) = self.found(&batch, Asked::Norms(Some(&factor)))?;
        Ok((results, Gradients::new(&self.tape, Vec::new(), leaves)))
    }

    fn found(&mut self, batch: &Batch<T>, asked: Asked<'_>) -> Result<Found<T>> {
        if batch.n == 0 {
            return self.of_none(&asked);
        }
        if !matches!(asked, Asked::Nothing) {
            if matches!(self.derivative, Derivative::Unknown) {
                let (x, i) = batch.example(0)?;
                self.derive(&x.iter().collect::<Vec<_>>(), &i.iter().collect::<Vec<_>>())?;
            }
            if matches!(self.derivative, Derivative::Swept) {
                return self.swept(batch, &asked);
            }
        }
        self.pass(batch, asked)
    }

    /// Results and gradients of no examples.
    fn of_none(&mut self, asked: &Asked<'_>) -> Result<Found<T>> {
        let results = self.outputs.iter().map(|o| match o {
            super::Operand::Constant(value) => Tensor::zeros(many(0, value.shape())),
            super::Operand::Node(i) => {
                Tensor::zeros(many(0, &self.tape.tensors.nodes.borrow()[i.place()].shape))
            }
        });
        let (results, mut leaves) = (results.collect(), Vec::new());
        let Some(super::Operand::Node(y)) = self.outputs.first() else {
            return Ok((results, Vec::new(), leaves));
        };
        let reached = self.reached(*y);
        for (node, p) in self.params.iter().filter(|(i, p)| p.is_trainable() && reached[i.place()]) {
            let (shape, nodes) = (p.tensor().shape().clone(), self.tape.tensors.nodes.borrow());
            let crate::tape::Op::Param(id) = nodes[node.place()].op else { continue };
            let grad = match asked {
                Asked::Each => Tensor::zeros(many(0, &shape)),
                _ => Tensor::zeros(shape),
            };
            leaves.push(Leaf { node: NodeId::NONE, param: Some(id), grad });
        }
        Ok((results, Vec::new(), leaves))
    }

    /// One sweep for each example.
    fn swept(&mut self, batch: &Batch<T>, asked: &Asked<'_>) -> Result<Found<T>> {
        let (mut results, mut norms, mut all) = (Vec::new(), Vec::new(), Vec::new());
        let mut sum: Option<Gradients<T>> = None;
        for i in 0..batch.n {
            let (x, index) = batch.example(i)?;
            let (x, index): (Vec<_>, Vec<_>) = (x.iter().collect(), index.iter().collect());
            let (values, mut grads) = self.value_and_grad(&x, &index)?;
            results.push(values);
            match asked {
                Asked::Norms(weigh) => {
                    norms.push(grads.norm());
                    if let Some(weigh) = weigh {
                        grads.scale(weigh(norms[i]));
                        match &mut sum {
                            Some(sum) => sum.accumulate(&grads)?,
                            None => sum = Some(grads),
                        }
                    }
                }
                _ => all.push(grads),
            }
        }
        let stacked =
            |of: &dyn Fn(usize) -> Tensor<T>| Tensor::stack(&(0..batch.n).map(of).collect::<Vec<_>>(), 0);
        let count = results.first().map_or(0, Vec::len);
        let results_of =
            (0..count).map(|k| stacked(&|i| results[i][k].clone())).collect::<Result<Vec<_>>>()?;
        let leaf = |leaf: &Leaf<T>, grad| Leaf { node: NodeId::NONE, param: leaf.param, grad };
        let mut leaves = Vec::new();
        if let Some(first) = all.first() {
            for (k, own) in first.leaves.iter().enumerate() {
                leaves.push(leaf(own, stacked(&|i| all[i].leaves[k].grad.clone())?));
            }
        }
        if let Some(sum) = sum {
            leaves.extend(sum.leaves.iter().map(|own| leaf(own, own.grad.clone())));
        }
        Ok((results_of, norms, leaves))
    }
}
