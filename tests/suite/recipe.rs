//! Experiments as files: what they say is done, in order, and what can't be done is told with its place.
use kolmo::{
    Random, Result, Tape, Tensor,
    compress::{
        Channels, prune,
        recipe::{Recipe, Schedule, Stage, Task, Work},
        scores::Scores,
    },
    nn::{Layer, Linear, Relu, Sequential},
};

type Net = Sequential<(Linear, Linear, Relu, Linear)>;

fn net() -> Net {
    let rng = &mut Random::new(0);
    let narrow = Linear::new(12, 8, rng).bias(false);
    Sequential((narrow, Linear::new(8, 20, rng), Relu, Linear::new(20, 4, rng)))
}

/// Notes what it is told, and nothing else.
#[derive(Default)]
struct Notes(Vec<(usize, &'static str, usize, usize, usize)>, Option<(f64, f64)>);

impl Work<Net> for Notes {
    fn train(&mut self, _: &Net, task: &Task) -> Result<()> {
        self.0.push((task.place, task.stage, task.round, task.rounds, task.epochs));
        self.1 = task.teacher;
        Ok(())
    }

    fn score(&mut self, net: &Net, scores: &mut Scores) -> Result<()> {
        let tape = Tape::new();
        let loss = net.forward(&tape.constant(Tensor::ones([3, 12]))).square().sum();
        scores.add(net, &loss.backward()?)
    }

    fn channels(&mut self, net: &Net) -> Result<Channels> {
        Channels::trace(net, &Tensor::ones([1, 12]), |x| net.forward(x))
    }
}

#[test]
fn stages_are_done_in_order_and_told_to_the_training() -> Result<()> {
    let recipe = Recipe::from_json(
        r#"{ "about": "all kinds",
            "stages": [
                {"stage": "train", "epochs": 3},
                {"stage": "low_rank", "first": "0.weight", "second": "1.weight", "rank": 6},
                {"stage": "channels", "keep": 0.8},
                {"stage": "distill", "temperature": 4.0},
                {"stage": "prune", "density": 0.5, "by": "taylor", "epochs": 1},
                {"stage": "prune", "density": 0.25, "rounds": 2, "schedule": "linear", "epochs": 2},
                {"stage": "codebook", "values": 4, "epochs": 1, "only": ["0.weight", "1.weight"]},
                {"stage": "steps", "bits": 4, "channels": true, "epochs": 1, "only": ["3.weight"]},
                {"stage": "half"}
            ] }"#,
    )?;
    let (net, mut notes) = (net(), Notes::default());
    let done = recipe.run(&net, &mut notes)?;
    let told = [
        (1, "train", 1, 1, 3),
        (5, "prune", 1, 1, 1),
        (6, "prune", 1, 2, 2),
        (6, "prune", 2, 2, 2),
        (7, "codebook", 1, 2, 1),
        (7, "codebook", 2, 2, 1),
        (8, "steps", 1, 1, 1),
    ];
    assert_eq!(notes.0, told);
    assert_eq!(notes.1, Some((4.0, 1.0)));
    // Rank 6 of 8, of which the channels leave 5, as 16 of the 20 hidden ones.
    assert_eq!(net.0.0.weight.shape()[..], [5, 12]);
    assert_eq!(net.0.1.weight.shape()[..], [16, 5]);
    assert_eq!(net.0.3.weight.shape()[..], [4, 16]);
    let matrices = 5 * 12 + 16 * 5 + 4 * 16;
    let left = prune::count(&net, kolmo::compress::matrices);
    assert_eq!((left.kept, left.total), (matrices / 4, matrices));
    assert!(net.0.0.weight.codebook().is_some() && net.0.3.weight.steps().is_some());
    let names: Vec<&str> = done.iter().map(|d| d.stage).collect();
    assert_eq!(
        names,
        ["train", "low_rank", "channels", "distill", "prune", "prune", "codebook", "steps", "half"]
    );
    assert!(done[8].bytes < done[5].bytes && done[5].bytes < done[0].bytes, "{done:?}");
    Ok(())
}

#[test]
fn a_lower_rank_is_the_nearest_product() -> Result<()> {
    let net = net();
    let x = kolmo::nn::init::normal([5, 12], 0.0, 1.0, &mut Random::new(1));
    let run = |net: &Net| net.forward(&Tape::inference().constant(&x)).to_vec();
    let before = run(&net)?;
    let stage = |rank| {
        let (first, second) = ("0.weight".to_string(), "1.weight".to_string());
        Recipe { about: String::new(), stages: vec![Stage::LowRank { first, second, rank, epochs: 0 }] }
    };
    stage(8).run(&net, &mut Notes::default())?;
    assert!(run(&net)?.iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-5));
    assert!(stage(9).run(&net, &mut Notes::default()).unwrap_err().to_string().contains("rank 9"));
    let second = Stage::LowRank { first: "1.weight".into(), second: "3.weight".into(), rank: 2, epochs: 0 };
    let error = Recipe { about: String::new(), stages: vec![second] }.run(&net, &mut Notes::default());
    assert!(error.unwrap_err().to_string().contains("1.bias stands between"));
    Ok(())
}

#[test]
fn a_wrong_recipe_names_stage_and_field() {
    let told = |stage: &str, part: &str| {
        let text = format!(r#"{{"stages": [{{"stage": "half"}}, {stage}]}}"#);
        let message = Recipe::from_json(&text).unwrap_err().to_string();
        assert!(message.starts_with("recipe: stage 2") && message.contains(part), "{message}");
    };
    told(r#"{"stage": "prune", "density": 1.5}"#, "(prune): density 1.5 is not between 0 and 1");
    told(r#"{"stage": "prune", "density": 0}"#, "(prune): density is 0");
    told(r#"{"stage": "prune"}"#, "missing field `density`");
    told(r#"{"stage": "prune", "density": "half"}"#, "(prune): density: ");
    told(r#"{"stage": "prune", "density": 0.5, "rounds": -1}"#, "(prune): rounds: ");
    told(r#"{"stage": "prune", "density": 0.5, "what": {"blocks": 0}}"#, "(prune): what: blocks of 0");
    told(r#"{"stage": "prune", "density": 0.5, "by": "snip", "what": "layerwise"}"#, "(prune): what: ");
    told(r#"{"stage": "prune", "density": 0.5, "densty": 1}"#, "unknown field `densty`");
    told(r#"{"stage": "codebook", "values": 300}"#, "(codebook): values 300");
    told(r#"{"stage": "steps", "bits": 1}"#, "(steps): bits 1");
    told(r#"{"stage": "steps", "bits": 4, "channels": true, "group": 8}"#, "group and channels");
    told(r#"{"stage": "distill", "temperature": 0}"#, "(distill): temperature 0");
    told(r#"{"stage": "low_rank", "first": "a", "second": "b", "rank": 0}"#, "(low_rank): rank is 0");
    told(r#"{"stage": "prun"}"#, "(prun): unknown variant `prun`");
    told(r#"{"density": 1}"#, "missing field `stage`");
    for text in ["", "[]", r#"{"stages": 3}"#, r#"{"about": 1, "stages": []}"#, r#"{"stages": [], "x": 1}"#] {
        assert!(Recipe::from_json(text).is_err(), "{text}");
    }
}

#[test]
fn what_training_cannot_do_is_told_with_its_stage() -> Result<()> {
    let recipe = Recipe::from_json(
        r#"{"stages": [{"stage": "train", "epochs": 1}, {"stage": "prune", "density": 0.5, "by": "snip"}]}"#,
    )?;
    let error = recipe.run(&net(), &mut |_: &Net, _: &Task| Ok(())).unwrap_err().to_string();
    assert!(error.contains("stage 2 (prune)") && error.contains("score()"), "{error}");
    Ok(())
}

#[test]
fn a_recipe_goes_through_json() {
    let recipe = Recipe {
        about: "there and back".into(),
        stages: vec![
            Stage::Prune {
                density: 0.1,
                by: Default::default(),
                what: Default::default(),
                rounds: 3,
                schedule: Schedule::Geometric,
                epochs: 2,
                only: vec!["weight".into()],
            },
            Stage::Half,
        ],
    };
    assert_eq!(Recipe::from_json(&serde_json::to_string(&recipe).unwrap()).unwrap(), recipe);
}
