//! Every public type that serde reads: JSON to begin with, and what is done with what was read.
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    compress::{Lora, Recipe, matrices, quantize::Quantizer},
    data::{Augment, CharTokenizer, DataLoader, MinMaxScaler, StandardScaler},
    inspect::{GroupBy, Listing, SavedTape, summary},
    nn::*,
    ops::{ConvOptions, InterpolateMode, InterpolateTo, PoolOptions},
    optim::*,
    train::{EarlyStopping, History},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// A type that serde reads.
pub struct Kind {
    pub name: &'static str,
    /// A value of it.
    pub whole: Value,
    /// How often a short run changes it.
    pub tries: usize,
    /// Reads a text and uses the value, or says that there is none. Errors are as good as values.
    pub read: Box<dyn Fn(&str) -> bool>,
}

trait Kinds {
    fn kind<V>(&mut self, name: &'static str, value: &V, tries: usize, work: impl Fn(&V) + 'static)
    where
        V: Serialize + DeserializeOwned;
    fn layer<L>(&mut self, name: &'static str, layer: &L, shapes: &'static [&'static [usize]])
    where
        L: Layer + Serialize + DeserializeOwned;
}

impl Kinds for Vec<Kind> {
    fn kind<V>(&mut self, name: &'static str, value: &V, tries: usize, work: impl Fn(&V) + 'static)
    where
        V: Serialize + DeserializeOwned,
    {
        let whole = serde_json::to_value(value).unwrap();
        let read = Box::new(move |text: &str| serde_json::from_str(text).map(|value| work(&value)).is_ok());
        self.push(Kind { name, whole, tries, read });
    }

    fn layer<L>(&mut self, name: &'static str, layer: &L, shapes: &'static [&'static [usize]])
    where
        L: Layer + Serialize + DeserializeOwned,
    {
        let work = move |layer: &L| shapes.iter().for_each(|shape| run(shape, |x| layer.forward(x)));
        self.kind(name, layer, 250, work);
    }
}

pub fn numbers(shape: &[usize]) -> Tensor {
    Tensor::from_fn(shape, |i| (i as f32 * 0.7).sin())
}

/// Forward in both modes and back; errors are as good as values.
fn run(shape: &[usize], forward: impl for<'t> Fn(&Var<'t>) -> Var<'t>) {
    for training in [true, false] {
        let tape = Tape::new();
        tape.set_training(training);
        let y = forward(&tape.input(numbers(shape)));
        let _ = y.square().sum().backward().map(drop);
        let _ = y.to_vec();
    }
}

/// All of them.
pub fn all() -> Result<Vec<Kind>> {
    let groups = [layers(), blocks(), optimisers(), data(), tapes(), reports()];
    Ok(groups.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

pub fn layers() -> Result<Vec<Kind>> {
    let mut list = Vec::new();
    let rng = &mut Random::new(0);
    list.layer("Linear", &Linear::new(3, 2, rng), &[&[4, 3], &[0, 3]]);
    let quantised = Linear::new(3, 2, rng);
    Quantizer::new(4).groups(2).attach(&quantised, matrices)?;
    list.layer("Linear in steps", &quantised, &[&[4, 3]]);
    let tied = Linear::new(3, 2, rng);
    tied.weight.set_codebook(Tensor::from([[0u32, 1, 0], [1, 0, 1]]), Tensor::from([0.5f32, 1.0]))?;
    tied.weight.set_mask(Some(&Tensor::from([[true, false, true], [true, true, true]])))?;
    list.layer("Linear with a codebook", &tied, &[&[4, 3]]);
    list.layer("Conv1d", &Conv1d::new(2, 4, 3, rng), &[&[2, 2, 6], &[2, 6]]);
    let options = ConvOptions::new().padding(1).stride(2).groups(2);
    list.layer("Conv2d", &Conv2d::with_options(2, 4, 3, options.clone(), rng), &[&[2, 2, 5, 6]]);
    list.layer("ConvTranspose1d", &ConvTranspose1d::new(2, 4, 3, rng), &[&[2, 2, 6]]);
    list.layer("ConvTranspose2d", &ConvTranspose2d::with_options(2, 4, 3, options, rng), &[&[2, 2, 5, 6]]);
    list.layer("BatchNorm", &BatchNorm::new(3), &[&[4, 3], &[2, 3, 4, 4], &[0, 3]]);
    list.layer("LayerNorm", &LayerNorm::new([2, 3]), &[&[4, 2, 3], &[0, 2, 3]]);
    list.layer("GroupNorm", &GroupNorm::new(2, 4), &[&[3, 4, 5], &[0, 4, 5]]);
    let instance = InstanceNorm::new().affine(3).track_running_stats(3);
    list.layer("InstanceNorm", &instance, &[&[2, 3, 4], &[0, 3, 4]]);
    list.layer("RmsNorm", &RmsNorm::new([3]), &[&[4, 3]]);
    list.layer("PRelu", &PRelu::new(3), &[&[2, 3], &[3]]);
    list.layer("Dropout", &Dropout::new(0.5), &[&[4, 3]]);
    list.layer("Dropout2d", &Dropout2d { p: 0.5 }, &[&[2, 3, 4, 4]]);
    list.layer("LeakyRelu", &LeakyRelu::default(), &[&[4, 3]]);
    list.layer("Elu", &Elu::default(), &[&[4, 3]]);
    list.layer("Celu", &Celu::default(), &[&[4, 3]]);
    list.layer("Softplus", &Softplus::default(), &[&[4, 3]]);
    list.layer("Hardtanh", &Hardtanh::default(), &[&[4, 3]]);
    list.layer("Hardshrink", &Hardshrink::default(), &[&[4, 3]]);
    list.layer("Softshrink", &Softshrink::default(), &[&[4, 3]]);
    list.layer("Glu", &Glu::default(), &[&[3, 4], &[]]);
    list.layer("Softmax", &Softmax::default(), &[&[4, 3], &[0, 3], &[]]);
    list.layer("LogSoftmax", &LogSoftmax::default(), &[&[4, 3], &[0, 3], &[]]);
    list.layer("Sequential", &Sequential((Linear::new(3, 4, rng), Tanh, Linear::new(4, 2, rng))), &[&[5, 3]]);
    let pool = |by| PoolOptions::new(by).stride(1).padding(1).divisor_override(3.0);
    list.layer("MaxPool1d", &MaxPool1d(pool(3)), &[&[2, 2, 6]]);
    list.layer("MaxPool2d", &MaxPool2d(pool(3)), &[&[2, 2, 6, 5]]);
    list.layer("AvgPool1d", &AvgPool1d(pool(2)), &[&[2, 2, 6]]);
    list.layer("AvgPool2d", &AvgPool2d(pool(2)), &[&[2, 2, 6, 5]]);
    list.layer("AdaptiveAvgPool2d", &AdaptiveAvgPool2d::new([Some(2), None]), &[&[2, 2, 6, 5]]);
    list.layer("AdaptiveMaxPool2d", &AdaptiveMaxPool2d::new([Some(2), None]), &[&[2, 2, 6, 5]]);
    let mode = InterpolateMode::Linear { align_corners: false };
    list.layer("Upsample by", &Upsample::new(InterpolateTo::Scale(2.0), mode), &[&[2, 2, 3, 4]]);
    list.layer("Upsample to", &Upsample::new(InterpolateTo::Size([5, 6].into()), mode), &[&[2, 2, 3, 4]]);
    list.kind("Embedding", &Embedding::new(5, 3, rng), 250, move |layer| {
        let tape = Tape::new();
        let y = layer.forward(&Tensor::from([[0u32, 4], [2, 9]]), &tape);
        let _ = y.sum().backward().map(drop);
        let y = layer.forward(&Tensor::from([0u32, 1]), &tape);
        let _ = y.sum().backward().map(drop);
    });
    Ok(list)
}

pub fn blocks() -> Result<Vec<Kind>> {
    let mut list = Vec::new();
    let rng = &mut Random::new(0);
    let mut attention = MultiheadAttention::new(4, 2, rng)?;
    attention.bias_k = Some(Param::new(numbers(&[1, 1, 4])));
    attention.bias_v = Some(Param::new(numbers(&[1, 1, 4])));
    list.kind("MultiheadAttention", &attention, 600, move |layer| {
        for shape in [&[2, 3, 4][..], &[3, 4], &[0, 3, 4], &[2, 0, 4]] {
            run(shape, |x| layer.forward(x, x, x, &AttentionMasks::causal()));
            run(shape, |x| layer.forward_with_weights(x, x, x, &AttentionMasks::default()).1);
        }
    });
    for cell in [RecurrentMode::RnnTanh, RecurrentMode::RnnRelu, RecurrentMode::Lstm, RecurrentMode::Gru] {
        let layer = Recurrent::with_options(
            cell,
            3,
            2,
            RecurrentOptions::new().num_layers(2).bidirectional(cell != RecurrentMode::RnnRelu),
            rng,
        );
        list.kind("Recurrent", &layer, 250, move |layer| {
            [&[3, 2, 3][..], &[3, 3], &[3, 0, 3]].iter().for_each(|s| run(s, |x| layer.forward(x, None).0));
        });
    }
    let options = TransformerOptions::new().dim_feedforward(6).norm_first(true);
    list.kind(
        "TransformerEncoder",
        &TransformerEncoder::with_options(4, 2, 2, options, rng)?,
        400,
        move |layer| {
            [&[2, 3, 4][..], &[3, 4]]
                .iter()
                .for_each(|s| run(s, |x| layer.forward(x, &AttentionMasks::default())));
        },
    );
    list.kind(
        "TransformerDecoder",
        &TransformerDecoder::with_options(4, 2, 1, options, rng)?,
        400,
        move |layer| {
            let none = AttentionMasks::default;
            [&[2, 3, 4][..], &[3, 4]].iter().for_each(|s| run(s, |x| layer.forward(x, x, &none(), &none())));
        },
    );
    Ok(list)
}

pub fn optimisers() -> Result<Vec<Kind>> {
    let mut list = Vec::new();
    let schedules: [AnySchedule; 13] = [
        StepLr::new(0.1, 3).into(),
        MultiStepLr::new(0.1, vec![2, 5]).into(),
        ExponentialLr::new(0.1, 0.9).into(),
        ConstantLr::new(0.1).into(),
        LinearLr::new(0.1).into(),
        PolynomialLr::new(0.1, 5).into(),
        CosineAnnealingLr::new(0.1, 7).into(),
        CosineAnnealingWarmRestarts::new(0.1, 3).t_mult(2).into(),
        OneCycleLr::new(0.1, 10).three_phase(true).into(),
        CyclicLr::new(0.1, 0.3).step_size_up(3).mode(CyclicMode::ExpRange(0.9)).into(),
        WarmupCosineLr::new(0.1, 3, 9).into(),
        SequentialLr::new(LinearLr::new(0.1)).then(3, StepLr::new(0.1, 3)).into(),
        ChainedLr::new(ExponentialLr::new(0.1, 0.5)).and(LinearLr::new(1.0)).into(),
    ];
    for schedule in schedules {
        list.kind("schedule", &schedule, 300, move |schedule| {
            for step in [0, 1, 2, 3, 4, 8, 100, u64::MAX] {
                let _ = schedule.lr(step);
            }
        });
    }
    list.kind("ReduceLrOnPlateau", &ReduceLrOnPlateau::new(0.1).patience(1), 300, move |schedule| {
        let mut schedule = schedule.clone();
        let rates = [1.0, 2.0, f64::NAN, 0.5, 3.0].map(|figure| schedule.step(figure));
        assert!(rates.iter().flatten().all(|lr| lr.is_finite()));
    });
    let p = Param::new(Tensor::from([1.0f32, 2.0]));
    let mut adam = Adam::new(0.1);
    let grads = Tape::new().param(&p).square().sum().backward()?;
    adam.step(&p, &grads)?;
    let of = p.clone();
    list.kind("OptimState", &adam.state(&p), 400, move |state| {
        let (mut adam, p) = (Adam::new(0.1), &of);
        if adam.load_state(p, state.clone()).is_ok() {
            let _ = adam.step(p, &grads);
        }
    });
    p.set([1.0, 2.0]);
    let mut ema: Ema = Ema::new(0.9);
    ema.update(&p)?;
    list.kind("Ema", &ema, 200, move |ema| {
        let mut ema = ema.clone();
        p.set([1.0, 2.0]);
        let _ = ema.update(&p).and_then(|()| ema.swap(&p));
    });
    let q = Param::<f64>::new(Tensor::from([1.0, 2.0]));
    let mut lbfgs = Lbfgs::new(1.0).max_iter(3);
    let loss = |tape: &Tape<f64>| tape.param(&q).square().sum().item();
    lbfgs.minimize(&q, |tape| (tape.param(&q) - 1.0).square().sum() * (1.0 + loss(tape).unwrap_or(0.0)))?;
    q.set([1.0, 2.0]);
    list.kind("Lbfgs", &lbfgs.clone(), 300, move |lbfgs| {
        // How long it may go on is a number like any other.
        q.set([1.0, 2.0]);
        let mut lbfgs = lbfgs.clone().max_iter(3).max_eval(5);
        let _ = lbfgs.minimize(&q, |tape| (tape.param(&q) - 1.0).square().sum());
    });
    Ok(list)
}

pub fn data() -> Result<Vec<Kind>> {
    let mut list = Vec::new();
    list.kind("DataLoader", &DataLoader::new(10, 3).drop_last(true), 300, move |loader| {
        let mut seen = 0;
        if loader.len() < 1000 {
            loader.batches_from(1, 1, |rows, _| Ok(rows.len())).for_each(|n| seen += n.unwrap_or(0));
        }
        assert!(loader.is_empty() || seen <= 10_000);
    });
    let x = || numbers(&[4, 3]);
    list.kind("Standardize", &StandardScaler::fit(&x())?, 300, move |scaler| drop(scaler.apply(&x())));
    list.kind("MinMax", &MinMaxScaler::fit(&x())?, 300, move |scaler| drop(scaler.apply(&x())));
    list.kind("CharTokenizer", &CharTokenizer::fit("abcd"), 300, move |characters| {
        let numbers = characters.encode("abca").unwrap_or_default();
        assert!(characters.decode(&numbers).is_ok());
    });
    let augment = Augment::new().translate(1.0).degrees(5.0).crop(1).noise(0.1);
    list.kind("Augment", &augment, 300, move |augment| {
        let _ = augment.apply(&numbers(&[2, 1, 5, 4]), &mut Random::new(0));
    });
    list.kind("EarlyStopping", &EarlyStopping::new(3), 300, move |stopping| {
        let mut stopping = stopping.clone();
        let _ = [1.0, f64::NAN, 0.5].map(|v| stopping.update(v));
    });
    list.kind("Quantizer", &Quantizer::new(4).groups(2), 200, move |quantizer| {
        let layer = Linear::new(4, 2, &mut Random::new(0));
        if quantizer.attach(&layer, matrices).is_ok() {
            run(&[3, 4], |x| layer.forward(x));
        }
    });
    let text = r#"{"about": "", "stages": [{"stage": "prune", "density": 0.5, "rounds": 2, "epochs": 1},
        {"stage": "steps", "bits": 4, "group": 2}, {"stage": "half"}]}"#;
    let recipe: Recipe = serde_json::from_str(text).unwrap();
    list.kind("Recipe", &recipe, 300, move |recipe| {
        let net = Linear::new(4, 2, &mut Random::new(0));
        let _ = recipe.run(&net, &mut |_: &Linear, _: &kolmo::compress::Task| Ok(()));
    });
    let history = json!([{"epoch": 1, "step": 2, "lr": 0.1, "loss": 0.5, "metrics": [["accuracy", 0.5]]}]);
    list.kind("History", &serde_json::from_value::<History>(history).unwrap(), 200, move |history| {
        let _ = (history.last(), history.column("loss"), history.column("accuracy"));
    });
    list.kind("Tensor", &numbers(&[2, 3]), 300, move |x| drop(Tape::new().constant(x).sum().item()));
    list.kind("Random", &Random::new(3), 100, move |random| {
        let tape = Tape::<f32>::new();
        tape.set_random(*random);
        let _ = tape.constant(numbers(&[4])).dropout(0.5).to_vec();
    });
    Ok(list)
}

pub fn tapes() -> Result<Vec<Kind>> {
    let mut list = Vec::new();
    let tape = Tape::<f64>::new();
    tape.set_observing(true);
    let x = tape.input(Tensor::from_fn([2, 3], |i| i as f64));
    let w = tape.input(Tensor::from_fn([3, 3], |i| i as f64 * 0.1));
    let y = x.matmul(&w).softmax(-1).max_dim(0, false).0.narrow(0, 1, 2).flip(0).cumsum(0);
    let y = y.reshape([2, 1]).expand([2, 4]).sum_dim(0, false) * tape.scalar(2.0);
    let saved = SavedTape::from_var(&y.sum())?;
    list.kind("SavedTape", &saved, 1500, move |saved| drop(saved.replay::<f64>()));
    list.kind("Listing", &tape.listing(), 300, move |listing: &Listing| drop(listing.to_string()));
    Ok(list)
}

/// Reports are for reading: any numbers can be in them, and they can be printed and added up.
pub fn reports() -> Result<Vec<Kind>> {
    let mut list = Vec::new();
    let net =
        Sequential((Linear::new(3, 4, &mut Random::new(0)), Relu, Linear::new(4, 2, &mut Random::new(1))));
    let tape = Tape::new();
    tape.set_observing(true);
    let y = net.forward(&tape.input(numbers(&[2, 3])));
    let (memory, kinks, dead) = (tape.memory(), tape.kinks(), tape.dead_units()?);
    let _ = y.square().sum().backward()?;
    let all = [GroupBy::Operation, GroupBy::Layer, GroupBy::Line];
    list.kind("Memory", &memory, 300, move |m| {
        drop((m.to_string(), m.bytes(), all.map(|by| m.group_by(by)), m.largest().len()))
    });
    list.kind("Profile", &tape.profile(), 300, move |p| drop((p.to_string(), all.map(|by| p.group_by(by)))));
    list.kind("Kinks", &kinks, 300, move |kinks| drop(kinks.to_string()));
    list.kind("DeadUnits", &dead, 300, move |dead| drop((dead.to_string(), dead.count())));
    let summary = summary(&net).with_operations(&net, &tape);
    list.kind("Summary", &summary, 300, move |s| {
        drop((s.to_string(), s.numbers(), s.bytes(), s.multiply_adds(), s.pruned()))
    });
    list.kind("Lora", &Lora::new(2).lora_dropout(0.1), 300, |lora| {
        let net = Linear::new(3, 2, &mut Random::new(0));
        if lora.attach::<f32, _>(&net, matrices, &mut Random::new(1)).is_ok() {
            let tape = Tape::new();
            let _ = net.forward(&tape.input(numbers(&[2, 3]))).square().sum().backward();
        }
    });
    Ok(list)
}
