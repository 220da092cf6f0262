//! What serde reads is refused where its numbers can't be, and whatever is accepted works or fails with an error: valid JSON of
//! every type is changed at random, read, and used.
use kolmo::{
    ConvOptions, Interpolation, Listing, PoolOptions, Random, Resize, Result, Tape, Tensor, Var,
    compress::{Recipe, matrices, quantize::Quantizer},
    data::{Augment, Characters, Loader, MinMax, Standardize},
    inspect::{By, SavedTape, summary},
    nn::*,
    optim::*,
    train::{EarlyStopping, History},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Numbers without order that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

/// Another number in the place of one; those in the middle would only ask for more memory than a test should take.
fn number(random: &mut Numbers) -> Value {
    match random.below(14) {
        0 | 1 => json!(0),
        2 => json!(1),
        3 => json!(2),
        4 => json!(3),
        5 => json!(7),
        6 => json!(-1),
        7 => json!(0.5),
        8 => json!(-0.5),
        9 => json!(1e300),
        10 => json!(u64::MAX),
        11 => json!(i64::MIN),
        12 => json!(1u64 << 62),
        _ => Value::Null,
    }
}

/// All places of a value.
fn places(value: &Value, path: String, all: &mut Vec<String>) {
    match value {
        Value::Array(parts) => {
            // Of long lists the first places say as much as the others.
            parts.iter().enumerate().take(5).for_each(|(i, part)| places(part, format!("{path}/{i}"), all));
        }
        Value::Object(parts) => parts.iter().for_each(|(key, part)| {
            let key = key.replace('~', "~0").replace('/', "~1");
            places(part, format!("{path}/{key}"), all);
        }),
        _ => {}
    }
    all.push(path);
}

fn mutate(value: &mut Value, random: &mut Numbers) {
    let mut all = Vec::new();
    places(value, String::new(), &mut all);
    let place = all[random.below(all.len())].clone();
    let other = value.pointer(&all[random.below(all.len())]).cloned().unwrap_or(Value::Null);
    let Some(at) = value.pointer_mut(&place) else { return };
    match at {
        Value::Number(_) => *at = number(random),
        Value::Array(parts) => match random.below(5) {
            0 => drop(parts.pop()),
            1 => parts.extend(parts.first().cloned()),
            2 => parts.push(number(random)),
            3 => parts.reverse(),
            _ => parts.clear(),
        },
        Value::Object(parts) => {
            let keys: Vec<String> = parts.keys().cloned().collect();
            let [a, b] = [0, 1].map(|_| keys.get(random.below(keys.len())).cloned().unwrap_or_default());
            match random.below(3) {
                0 => drop(parts.remove(&a)),
                1 => {
                    let one = parts.get(&a).cloned().unwrap_or(Value::Null);
                    let two = parts.insert(b, one).unwrap_or(Value::Null);
                    parts.insert(a, two);
                }
                _ => drop(parts.insert(a, number(random))),
            }
        }
        Value::Bool(on) => *on = !*on,
        Value::Null => *at = number(random),
        Value::String(_) if random.below(2) == 0 => *at = json!("0"),
        Value::String(_) => *at = other,
    }
}

/// Changes the JSON of a value in many ways, and uses what can be read.
fn changed<V: Serialize + DeserializeOwned>(name: &str, value: &V, tries: usize, work: impl Fn(&V)) {
    let whole = serde_json::to_value(value).unwrap();
    let same: V = serde_json::from_value(whole.clone()).unwrap_or_else(|e| panic!("{name} as it is: {e}"));
    work(&same);
    let mut random = Numbers(name.len() as u64);
    let mut refused = 0;
    for round in 0..tries {
        let mut json = whole.clone();
        (0..1 + random.below(3)).for_each(|_| mutate(&mut json, &mut random));
        let text = json.to_string();
        let Ok(read) = serde_json::from_str::<V>(&text) else {
            refused += 1;
            continue;
        };
        let used = catch_unwind(AssertUnwindSafe(|| work(&read)));
        assert!(used.is_ok(), "{name}, round {round}: {}", text.chars().take(3000).collect::<String>());
    }
    assert!(refused > 0, "{name}: nothing was refused");
}

fn numbers(shape: &[usize]) -> Tensor {
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

fn layer<L: Layer + Serialize + DeserializeOwned>(name: &str, layer: &L, shapes: &[&[usize]]) {
    changed(name, layer, 250, |layer| shapes.iter().for_each(|shape| run(shape, |x| layer.forward(x))));
}

#[test]
fn changed_layers_are_refused_or_work() -> Result<()> {
    let rng = &mut Random::new(0);
    layer("Linear", &Linear::new(3, 2, rng), &[&[4, 3], &[0, 3]]);
    let quantised = Linear::new(3, 2, rng);
    Quantizer::new(4).groups(2).attach(&quantised, matrices)?;
    layer("Linear in steps", &quantised, &[&[4, 3]]);
    let tied = Linear::new(3, 2, rng);
    tied.weight.set_codebook(Tensor::from([[0u32, 1, 0], [1, 0, 1]]), Tensor::from([0.5f32, 1.0]))?;
    tied.weight.set_mask(Some(&Tensor::from([[true, false, true], [true, true, true]])))?;
    layer("Linear with a codebook", &tied, &[&[4, 3]]);
    layer("Conv1d", &Conv1d::new(2, 4, 3, rng), &[&[2, 2, 6], &[2, 6]]);
    let options = ConvOptions::new().padding(1).stride(2).groups(2);
    layer("Conv2d", &Conv2d::with(2, 4, 3, options.clone(), rng), &[&[2, 2, 5, 6]]);
    layer("ConvTranspose1d", &ConvTranspose1d::new(2, 4, 3, rng), &[&[2, 2, 6]]);
    layer("ConvTranspose2d", &ConvTranspose2d::with(2, 4, 3, options, rng), &[&[2, 2, 5, 6]]);
    layer("BatchNorm", &BatchNorm::new(3), &[&[4, 3], &[2, 3, 4, 4], &[0, 3]]);
    layer("LayerNorm", &LayerNorm::new([2, 3]), &[&[4, 2, 3], &[0, 2, 3]]);
    layer("GroupNorm", &GroupNorm::new(2, 4), &[&[3, 4, 5], &[0, 4, 5]]);
    let instance = InstanceNorm::new().affine(3).track_running_stats(3);
    layer("InstanceNorm", &instance, &[&[2, 3, 4], &[0, 3, 4]]);
    layer("RmsNorm", &RmsNorm::new([3]), &[&[4, 3]]);
    layer("PRelu", &PRelu::new(3), &[&[2, 3], &[3]]);
    layer("Dropout", &Dropout::new(0.5), &[&[4, 3]]);
    layer("Dropout2d", &Dropout2d { p: 0.5 }, &[&[2, 3, 4, 4]]);
    layer("LeakyRelu", &LeakyRelu::default(), &[&[4, 3]]);
    layer("Elu", &Elu::default(), &[&[4, 3]]);
    layer("Celu", &Celu::default(), &[&[4, 3]]);
    layer("Softplus", &Softplus::default(), &[&[4, 3]]);
    layer("Hardtanh", &Hardtanh::default(), &[&[4, 3]]);
    layer("Hardshrink", &Hardshrink::default(), &[&[4, 3]]);
    layer("Softshrink", &Softshrink::default(), &[&[4, 3]]);
    layer("Glu", &Glu::default(), &[&[3, 4], &[]]);
    layer("Softmax", &Softmax::default(), &[&[4, 3], &[0, 3], &[]]);
    layer("LogSoftmax", &LogSoftmax::default(), &[&[4, 3], &[0, 3], &[]]);
    layer("Sequential", &Sequential((Linear::new(3, 4, rng), Tanh, Linear::new(4, 2, rng))), &[&[5, 3]]);
    let pool = |by| PoolOptions::new(by).stride(1).padding(1).divisor_override(3.0);
    layer("MaxPool1d", &MaxPool1d(pool(3)), &[&[2, 2, 6]]);
    layer("MaxPool2d", &MaxPool2d(pool(3)), &[&[2, 2, 6, 5]]);
    layer("AvgPool1d", &AvgPool1d(pool(2)), &[&[2, 2, 6]]);
    layer("AvgPool2d", &AvgPool2d(pool(2)), &[&[2, 2, 6, 5]]);
    layer("AdaptiveAvgPool2d", &AdaptiveAvgPool2d([Some(2), None]), &[&[2, 2, 6, 5]]);
    layer("AdaptiveMaxPool2d", &AdaptiveMaxPool2d([Some(2), None]), &[&[2, 2, 6, 5]]);
    let mode = Interpolation::Linear { align_corners: false };
    layer("Upsample by", &Upsample { to: Resize::Scale(2.0), mode }, &[&[2, 2, 3, 4]]);
    layer("Upsample to", &Upsample { to: Resize::Size([5, 6].into()), mode }, &[&[2, 2, 3, 4]]);
    changed("Embedding", &Embedding::<f32>::new(5, 3, rng), 250, |layer| {
        let tape = Tape::new();
        let y = layer.forward(&tape, &Tensor::from([[0u32, 4], [2, 9]]));
        let _ = y.sum().backward().map(drop);
        let y = layer.forward(&tape, &Tensor::from([0u32, 1]));
        let _ = y.sum().backward().map(drop);
    });
    Ok(())
}

#[test]
fn changed_blocks_are_refused_or_work() -> Result<()> {
    let rng = &mut Random::new(0);
    let mut attention = MultiheadAttention::<f32>::new(4, 2, rng)?;
    attention.bias_k = Some(Param::new(numbers(&[1, 1, 4])));
    attention.bias_v = Some(Param::new(numbers(&[1, 1, 4])));
    changed("MultiheadAttention", &attention, 600, |layer| {
        for shape in [&[2, 3, 4][..], &[3, 4], &[0, 3, 4], &[2, 0, 4]] {
            run(shape, |x| layer.forward(x, x, x, &Masks::causal()));
            run(shape, |x| layer.forward_with_weights(x, x, x, &Masks::default()).1);
        }
    });
    for cell in [Cell::Tanh, Cell::Relu, Cell::Lstm, Cell::Gru] {
        let layer = Recurrent::<f32>::new(cell, 3, 2, 2, cell != Cell::Relu, rng);
        changed("Recurrent", &layer, 250, |layer| {
            [&[3, 2, 3][..], &[3, 3], &[3, 0, 3]].iter().for_each(|s| run(s, |x| layer.forward(x, None).0));
        });
    }
    let options = TransformerOptions { dim_feedforward: 6, norm_first: true, ..Default::default() };
    changed("TransformerEncoder", &TransformerEncoder::<f32>::new(4, 2, 2, options, rng)?, 400, |layer| {
        [&[2, 3, 4][..], &[3, 4]].iter().for_each(|s| run(s, |x| layer.forward(x, &Masks::default())));
    });
    changed("TransformerDecoder", &TransformerDecoder::<f32>::new(4, 2, 1, options, rng)?, 400, |layer| {
        let none = Masks::default;
        [&[2, 3, 4][..], &[3, 4]].iter().for_each(|s| run(s, |x| layer.forward(x, x, &none(), &none())));
    });
    Ok(())
}

#[test]
fn changed_optimisers_and_schedules_are_refused_or_work() -> Result<()> {
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
        changed("schedule", &schedule, 300, |schedule| {
            for step in [0, 1, 2, 3, 4, 8, 100, u64::MAX] {
                let _ = schedule.lr(step);
            }
        });
    }
    changed("ReduceLrOnPlateau", &ReduceLrOnPlateau::new(0.1).patience(1), 300, |schedule| {
        let mut schedule = schedule.clone();
        let rates = [1.0, 2.0, f64::NAN, 0.5, 3.0].map(|figure| schedule.step(figure));
        assert!(rates.iter().flatten().all(|lr| lr.is_finite()));
    });
    let p = Param::new(Tensor::from([1.0f32, 2.0]));
    let mut adam = Adam::new(0.1);
    let grads = Tape::new().param(&p).square().sum().backward()?;
    adam.step(&p, &grads)?;
    changed("OptimState", &adam.state(&p), 400, |state| {
        let mut adam = Adam::new(0.1);
        if adam.load_state(&p, state.clone()).is_ok() {
            let _ = adam.step(&p, &grads);
        }
    });
    p.set([1.0, 2.0]);
    let mut ema: Ema = Ema::new(0.9);
    ema.update(&p)?;
    changed("Ema", &ema, 200, |ema| {
        let mut ema = ema.clone();
        p.set([1.0, 2.0]);
        let _ = ema.update(&p).and_then(|()| ema.swap(&p));
    });
    let q = Param::<f64>::new(Tensor::from([1.0, 2.0]));
    let mut lbfgs = Lbfgs::new(1.0).max_iter(3);
    let loss = |tape: &Tape<f64>| tape.param(&q).square().sum().item();
    lbfgs.minimize(&q, |tape| (tape.param(&q) - 1.0).square().sum() * (1.0 + loss(tape).unwrap_or(0.0)))?;
    q.set([1.0, 2.0]);
    changed("Lbfgs", &lbfgs.clone(), 300, |lbfgs| {
        // How long it may go on is a number like any other.
        q.set([1.0, 2.0]);
        let mut lbfgs = lbfgs.clone().max_iter(3).max_eval(5);
        let _ = lbfgs.minimize(&q, |tape| (tape.param(&q) - 1.0).square().sum());
    });
    Ok(())
}

#[test]
fn changed_data_and_recipes_are_refused_or_work() -> Result<()> {
    changed("Loader", &Loader::new(10, 3).drop_last(true), 300, |loader| {
        let mut seen = 0;
        if loader.len() < 1000 {
            loader.batches_from(1, 1, |rows, _| Ok(rows.len())).for_each(|n| seen += n.unwrap_or(0));
        }
        assert!(loader.is_empty() || seen <= 10_000);
    });
    let x = numbers(&[4, 3]);
    changed("Standardize", &Standardize::fit(&x)?, 300, |scaler| drop(scaler.apply(&x)));
    changed("MinMax", &MinMax::fit(&x)?, 300, |scaler| drop(scaler.apply(&x)));
    changed("Characters", &Characters::of("abcd"), 300, |characters| {
        let numbers = characters.encode("abca").unwrap_or_default();
        assert!(characters.decode(&numbers).is_ok());
    });
    let augment = Augment { translate: 1.0, degrees: 5.0, crop: 1, noise: 0.1, ..Augment::default() };
    changed("Augment", &augment, 300, |augment| {
        let _ = augment.apply(&numbers(&[2, 1, 5, 4]), &mut Random::new(0));
    });
    changed("EarlyStopping", &EarlyStopping::new(3), 300, |stopping| {
        let mut stopping = *stopping;
        let _ = [1.0, f64::NAN, 0.5].map(|v| stopping.should_stop(v));
    });
    changed("Quantizer", &Quantizer::new(4).groups(2), 200, |quantizer| {
        let layer = Linear::<f32>::new(4, 2, &mut Random::new(0));
        if quantizer.attach(&layer, matrices).is_ok() {
            run(&[3, 4], |x| layer.forward(x));
        }
    });
    let text = r#"{"about": "", "stages": [{"stage": "prune", "density": 0.5, "rounds": 2, "epochs": 1},
        {"stage": "steps", "bits": 4, "group": 2}, {"stage": "half"}]}"#;
    let recipe: Recipe = serde_json::from_str(text).unwrap();
    changed("Recipe", &recipe, 300, |recipe| {
        let net = Linear::<f32>::new(4, 2, &mut Random::new(0));
        let _ = recipe.run(&net, &mut |_: &Linear, _: &kolmo::compress::Task| Ok(()));
    });
    let history = json!([{"epoch": 1, "step": 2, "lr": 0.1, "loss": 0.5, "metrics": [["accuracy", 0.5]]}]);
    changed("History", &serde_json::from_value::<History>(history).unwrap(), 200, |history| {
        let _ = (history.last(), history.column("loss"), history.column("accuracy"));
    });
    changed("Tensor", &numbers(&[2, 3]), 300, |x| drop(Tape::new().constant(x).sum().item()));
    changed("Random", &Random::new(3), 100, |random| {
        let tape = Tape::<f32>::new();
        tape.set_random(*random);
        let _ = tape.constant(numbers(&[4])).dropout(0.5).to_vec();
    });
    Ok(())
}

#[test]
fn changed_tapes_are_refused_or_work() -> Result<()> {
    let tape = Tape::<f64>::new();
    tape.observe(true);
    let x = tape.input(Tensor::from_fn([2, 3], |i| i as f64));
    let w = tape.input(Tensor::from_fn([3, 3], |i| i as f64 * 0.1));
    let y = x.matmul(&w).softmax(-1).max_dim(0, false).0.narrow(0, 1, 2).flip(&[0]).cumsum(0);
    let y = y.reshape([2, 1]).expand([2, 4]).sum_dim(&[0], false) * tape.scalar(2.0);
    let saved = SavedTape::of(&y.sum())?;
    changed("SavedTape", &saved, 1500, |saved| drop(saved.replay::<f64>()));
    changed("Listing", &tape.listing(), 300, |listing: &Listing| drop(listing.to_string()));
    Ok(())
}

/// Reports are for reading: any numbers can be in them, and they can be printed and added up.
#[test]
fn changed_reports_can_be_read() -> Result<()> {
    let net = Sequential((
        Linear::<f32>::new(3, 4, &mut Random::new(0)),
        Relu,
        Linear::new(4, 2, &mut Random::new(1)),
    ));
    let tape = Tape::new();
    tape.observe(true);
    let y = net.forward(&tape.input(numbers(&[2, 3])));
    let (memory, kinks, dead) = (tape.memory(), tape.kinks(), tape.dead_units()?);
    y.square().sum().backward()?;
    let all = [By::Operation, By::Layer, By::Line];
    changed("Memory", &memory, 300, |m| {
        drop((m.to_string(), m.bytes(), all.map(|by| m.by(by)), m.largest().len()))
    });
    changed("Profile", &tape.profile(), 300, |p| drop((p.to_string(), all.map(|by| p.by(by)))));
    changed("Kinks", &kinks, 300, |kinks| drop(kinks.to_string()));
    changed("DeadUnits", &dead, 300, |dead| drop((dead.to_string(), dead.count())));
    let summary = summary::<f32, _>(&net).with_operations(&tape, &net);
    changed("Summary", &summary, 300, |s| {
        drop((s.to_string(), s.numbers(), s.bytes(), s.multiply_adds(), s.pruned()))
    });
    Ok(())
}

#[test]
fn what_is_refused_is_named() {
    fn told<V: DeserializeOwned>(json: Value, parts: &[&str]) {
        let error = serde_json::from_value::<V>(json).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(parts.iter().all(|part| error.contains(part)), "{error:?} without {parts:?}");
    }
    fn with<V: Serialize>(value: V, place: &str, by: Value) -> Value {
        let mut json = serde_json::to_value(value).unwrap();
        *json.pointer_mut(place).unwrap() = by;
        json
    }
    let rng = &mut Random::new(0);
    let attention = MultiheadAttention::<f32>::new(4, 2, rng).unwrap();
    told::<MultiheadAttention>(
        with(&attention, "/num_heads", json!(3)),
        &["MultiheadAttention", "num_heads 3", "4"],
    );
    told::<MultiheadAttention>(with(&attention, "/dropout", json!(1.5)), &["dropout is 1.5"]);
    told::<Dropout>(json!({"p": -0.5}), &["Dropout", "p is -0.5"]);
    told::<BatchNorm>(with(BatchNorm::<f32>::new(3), "/eps", json!(0)), &["BatchNorm", "eps is 0"]);
    let other = serde_json::to_value(Param::<f32>::new(numbers(&[4]))).unwrap();
    told::<BatchNorm>(
        with(BatchNorm::<f32>::new(3), "/running_var", other.clone()),
        &["running_var", "[4]", "[3]"],
    );
    told::<Linear>(with(Linear::<f32>::new(3, 2, rng), "/weight", other), &["Linear", "weight", "[4]"]);
    told::<Conv2d>(
        with(Conv2d::<f32>::new(1, 2, 3, rng), "/options/stride", json!([0])),
        &["ConvOptions", "stride"],
    );
    told::<StepLr>(with(StepLr::new(0.1, 3), "/step_size", json!(0)), &["StepLr", "step_size"]);
    told::<Loader>(with(Loader::new(10, 3), "/size", json!(0)), &["Loader", "size"]);
    let mut transformer =
        TransformerEncoder::<f32>::new(4, 2, 1, TransformerOptions::default(), rng).unwrap();
    transformer.layers[0].norm2 = LayerNorm::new([5]);
    let json = serde_json::to_value(&transformer).unwrap();
    told::<TransformerEncoder>(json, &["TransformerEncoderLayer", "norm2", "[5]", "[4]"]);
}
