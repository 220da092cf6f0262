//! GradBench's protocol: what a message asks, and the line that answers it.
use crate::{Result, modules};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::time::Instant;

#[derive(Deserialize)]
struct Message {
    id: u64,
    #[serde(flatten)]
    kind: Kind,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Kind {
    Start,
    Define {
        module: String,
    },
    Evaluate {
        module: String,
        function: String,
        input: Value,
    },
    /// What an answer was found to be, or whatever a later version tells.
    #[serde(other)]
    Other,
}

/// What goes back: of a message that asks nothing, only its number.
#[derive(Default, Serialize)]
pub struct Answer {
    pub id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timings: Vec<Timing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Serialize)]
pub struct Timing {
    pub name: &'static str,
    pub nanoseconds: u64,
}

/// How often a function is to run, and how long each run took.
#[derive(Default)]
pub struct Runs {
    min_runs: usize,
    min_seconds: f64,
    taken: Vec<u64>,
}

impl Runs {
    /// Runs a function at least once and as often as it is asked for; gives what it gave last.
    pub fn time<V, E>(&mut self, mut run: impl FnMut() -> Result<V, E>) -> Result<V, E> {
        let mut total = 0.0;
        loop {
            let begin = Instant::now();
            let value = run()?;
            let time = begin.elapsed();
            self.taken.push(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
            total += time.as_secs_f64();
            if self.taken.len() >= self.min_runs && total >= self.min_seconds {
                return Ok(value);
            }
        }
    }
}

/// An input of the form that a function takes.
pub fn read<I: DeserializeOwned>(input: Value) -> Result<I> {
    serde_json::from_value(input).map_err(|e| format!("the input isn't what the function takes: {e}").into())
}

/// The answer to a message. What can't be computed is an answer, too; only what is no message is an error.
pub fn answer(line: &str) -> Result<Answer> {
    let message: Message =
        serde_json::from_str(line).map_err(|e| format!("\"{line}\" is no message of GradBench: {e}"))?;
    let mut answer = Answer { id: message.id, ..Answer::default() };
    match message.kind {
        Kind::Start => answer.tool = Some("kolmo"),
        Kind::Define { module } => {
            answer.success = Some(modules::find(&module).is_some());
        }
        Kind::Evaluate { module, function, input } => match evaluate(&module, &function, input) {
            Ok((output, taken)) => {
                let timing = |nanoseconds| Timing { name: "evaluate", nanoseconds };
                answer.success = Some(true);
                answer.output = Some(output);
                answer.timings = taken.into_iter().map(timing).collect();
            }
            Err(e) => {
                answer.success = Some(false);
                answer.error = Some(e.to_string());
            }
        },
        Kind::Other => {}
    }
    Ok(answer)
}

fn evaluate(module: &str, function: &str, input: Value) -> Result<(Value, Vec<u64>)> {
    let evaluate = modules::find(module).ok_or_else(|| format!("there is no module \"{module}\" here"))?;
    // The number that `hello` gets has no say in how often.
    let mut runs = Runs::default();
    if let Value::Object(fields) = &input {
        let said = |name: &str| fields.get(name).cloned().unwrap_or(0.into());
        (runs.min_runs, runs.min_seconds) = (read(said("min_runs"))?, read(said("min_seconds"))?);
    }
    let output = evaluate(function, input, &mut runs)?;
    Ok((output, runs.taken))
}
