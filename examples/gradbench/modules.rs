//! The modules that this tool has, and `hello`, the simplest one.
use crate::{
    Result, nested, objectives,
    protocol::{Runs, read},
    tensors,
};
use kolmo::Tape;
use serde_json::Value;

/// Runs one of a module's functions on an input.
pub type Evaluate = fn(&str, Value, &mut Runs) -> Result<Value>;

pub const MODULES: [(&str, Evaluate); 12] = [
    ("ba", objectives::ba),
    ("det", objectives::det),
    ("gmm", objectives::gmm),
    ("hello", hello),
    ("ht", objectives::ht),
    ("kmeans", tensors::kmeans),
    ("llsq", tensors::llsq),
    ("lse", tensors::lse),
    ("lstm", objectives::lstm),
    ("ode", tensors::ode),
    ("particle", nested::particle),
    ("saddle", nested::saddle),
];

pub fn find(name: &str) -> Option<Evaluate> {
    MODULES.iter().find(|(known, _)| *known == name).map(|(_, evaluate)| *evaluate)
}

/// The error of a function that its module doesn't have.
pub fn unknown(function: &str) -> Result<Value> {
    Err(format!("there is no function \"{function}\" in this module").into())
}

/// x², and its derivative.
fn hello(function: &str, input: Value, runs: &mut Runs) -> Result<Value> {
    let x: f64 = read(input)?;
    match function {
        "square" => Ok(runs.time(|| Ok::<_, kolmo::Error>(x * x))?.into()),
        "double" => {
            let mut tape = Tape::<f64>::new();
            let slope = runs.time(|| {
                tape.reset();
                let x = tape.scalar(x);
                Ok::<_, kolmo::Error>((x * x).backward()?.scalar(x))
            })?;
            Ok(slope.into())
        }
        _ => unknown(function),
    }
}
