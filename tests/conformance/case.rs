//! A case as a call of the library: its arguments as values on a tape, and how the families read them.
//! A getter takes the position and the keyword of an argument, as PyTorch's signature has them.
use crate::{
    layout::{layout, spread},
    read::{Case, Stored},
};
use kolmo::{Error, Float, Tape, Tensor, Var};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// An argument.
#[derive(Clone)]
pub enum Arg<'t, T: Float> {
    Var(Var<'t, T>),
    Ints(Tensor<i64>),
    Bools(Tensor<bool>),
    Num(f64),
    Int(i64),
    Bool(bool),
    /// A string, or the name of a dtype.
    Text(String),
    None,
    List(Vec<Arg<'t, T>>),
    Map(BTreeMap<String, Arg<'t, T>>),
    Slice(Option<i64>, Option<i64>, Option<i64>),
    Ellipsis,
}

/// A result.
pub enum Out<'t, T: Float> {
    Var(Var<'t, T>),
    Ints(Tensor<i64>),
    Bools(Tensor<bool>),
    Num(f64),
}

impl<'t, T: Float> From<Var<'t, T>> for Out<'t, T> {
    fn from(v: Var<'t, T>) -> Self {
        Out::Var(v)
    }
}
impl<T: Float> From<Tensor<u32>> for Out<'_, T> {
    fn from(t: Tensor<u32>) -> Self {
        Out::Ints(t.cast())
    }
}
impl<T: Float> From<Tensor<i64>> for Out<'_, T> {
    fn from(t: Tensor<i64>) -> Self {
        Out::Ints(t)
    }
}
impl<T: Float> From<Tensor<bool>> for Out<'_, T> {
    fn from(t: Tensor<bool>) -> Self {
        Out::Bools(t)
    }
}
impl<T: Float> From<f64> for Out<'_, T> {
    fn from(v: f64) -> Self {
        Out::Num(v)
    }
}

/// Why a call gave no result.
#[derive(Debug)]
pub enum Stop {
    /// The operation isn't known (an empty reason), or one of its options isn't.
    Unsupported(String),
    /// Rust's types make such a call impossible.
    Unrepresentable(String),
    /// The library reports an error.
    Failed(Error),
    /// The library panicked.
    Panicked(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// What a family's `call` gives.
pub type Outs<'t, T> = Result<Vec<Out<'t, T>>, Stop>;

/// The list of one result.
pub fn one<'t, T: Float>(out: impl Into<Out<'t, T>>) -> Outs<'t, T> {
    Ok(vec![out.into()])
}

/// For an operation that a family doesn't know.
pub fn unknown<'t, T: Float>() -> Outs<'t, T> {
    Err(Stop::Unsupported(String::new()))
}

/// A call of PyTorch's, to be mapped to the library's.
pub struct Call<'t, T: Float> {
    pub tape: &'t Tape<T>,
    pub op: String,
    pub args: Vec<Arg<'t, T>>,
    /// The keyword arguments, and `forward_kwargs`, `buffers` and other such keys of a case.
    pub kwargs: BTreeMap<String, Arg<'t, T>>,
}

fn wrong<V>(i: usize, name: &str, found: &str, wanted: &str) -> Result<V, Stop> {
    Err(Stop::Unrepresentable(format!("argument {i} ({name}) is {found}, not {wanted}")))
}

impl<'t, T: Float> Arg<'t, T> {
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Arg::Var(_) => "a float tensor",
            Arg::Ints(_) => "an integer tensor",
            Arg::Bools(_) => "a mask",
            Arg::Num(_) => "a number",
            Arg::Int(_) => "an integer",
            Arg::Bool(_) => "a bool",
            Arg::Text(_) => "a string",
            Arg::None => "nothing",
            Arg::List(_) => "a list",
            Arg::Map(_) => "a dictionary",
            Arg::Slice(..) => "a slice",
            Arg::Ellipsis => "an ellipsis",
        }
    }

    /// The number that this is, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Arg::Num(v) => Some(*v),
            Arg::Int(v) => Some(*v as f64),
            Arg::Bool(v) => Some(*v as u8 as f64),
            _ => None,
        }
    }
}

/// Methods for reading arguments; a type that the library's signature doesn't take is unrepresentable.
impl<'t, T: Float> Call<'t, T> {
    /// The argument, if it is given and not None.
    pub fn get(&self, i: usize, name: &str) -> Option<&Arg<'t, T>> {
        self.args.get(i).or_else(|| self.kwargs.get(name)).filter(|a| !matches!(a, Arg::None))
    }

    fn need<V>(&self, i: usize, name: &str, wanted: &str, value: Option<V>) -> Result<V, Stop> {
        match (value, self.get(i, name)) {
            (Some(value), _) => Ok(value),
            (None, found) => wrong(i, name, found.map_or("missing", Arg::kind), wanted),
        }
    }

    /// A tensor of floats.
    pub fn var(&self, i: usize, name: &str) -> Result<Var<'t, T>, Stop> {
        let found = self.get(i, name).and_then(|a| if let Arg::Var(v) = a { Some(v.clone()) } else { None });
        self.need(i, name, "a float tensor", found)
    }

    /// A tensor of floats, or nothing.
    pub fn var_opt(&self, i: usize, name: &str) -> Result<Option<Var<'t, T>>, Stop> {
        if self.get(i, name).is_none() { Ok(None) } else { self.var(i, name).map(Some) }
    }

    /// Several tensors of floats: a list, or one.
    pub fn vars(&self, i: usize, name: &str) -> Result<Vec<Var<'t, T>>, Stop> {
        match self.get(i, name) {
            Some(Arg::List(items)) => items
                .iter()
                .map(|item| match item {
                    Arg::Var(v) => Ok(v.clone()),
                    other => wrong(i, name, other.kind(), "a float tensor"),
                })
                .collect(),
            _ => Ok(vec![self.var(i, name)?]),
        }
    }

    /// A tensor of integers.
    pub fn ints(&self, i: usize, name: &str) -> Result<Tensor<i64>, Stop> {
        let found = self.get(i, name).and_then(|a| if let Arg::Ints(v) = a { Some(v.clone()) } else { None });
        self.need(i, name, "an integer tensor", found)
    }

    /// A mask.
    pub fn bools(&self, i: usize, name: &str) -> Result<Tensor<bool>, Stop> {
        let found =
            self.get(i, name).and_then(|a| if let Arg::Bools(v) = a { Some(v.clone()) } else { None });
        self.need(i, name, "a mask", found)
    }

    /// A number; the default where it isn't given. `None` as default demands one.
    pub fn num(&self, i: usize, name: &str, default: impl Into<Option<f64>>) -> Result<f64, Stop> {
        match self.get(i, name) {
            None => self.need(i, name, "a number", default.into()),
            Some(arg) => self.need(i, name, "a number", arg.number()),
        }
    }

    /// A number, or nothing.
    pub fn num_opt(&self, i: usize, name: &str) -> Result<Option<f64>, Stop> {
        if self.get(i, name).is_none() { Ok(None) } else { self.num(i, name, None).map(Some) }
    }

    /// An integer such as an axis; the default where it isn't given.
    pub fn int(&self, i: usize, name: &str, default: impl Into<Option<isize>>) -> Result<isize, Stop> {
        let found = match self.get(i, name) {
            None => default.into(),
            Some(Arg::Int(v)) => Some(*v as isize),
            Some(_) => None,
        };
        self.need(i, name, "an integer", found)
    }

    /// An integer, or nothing.
    pub fn int_opt(&self, i: usize, name: &str) -> Result<Option<isize>, Stop> {
        if self.get(i, name).is_none() { Ok(None) } else { self.int(i, name, None).map(Some) }
    }

    /// A size or count: an integer that is not negative.
    pub fn size(&self, i: usize, name: &str, default: impl Into<Option<usize>>) -> Result<usize, Stop> {
        let value = self.int(i, name, default.into().map(|v| v as isize))?;
        usize::try_from(value).or_else(|_| wrong(i, name, "negative", "a size"))
    }

    /// A switch.
    pub fn flag(&self, i: usize, name: &str, default: bool) -> Result<bool, Stop> {
        match self.get(i, name) {
            None => Ok(default),
            Some(Arg::Bool(v)) => Ok(*v),
            Some(Arg::Int(v)) => Ok(*v != 0),
            Some(other) => wrong(i, name, other.kind(), "a bool"),
        }
    }

    /// A string.
    pub fn text(&self, i: usize, name: &str, default: &str) -> Result<String, Stop> {
        match self.get(i, name) {
            None => Ok(default.to_string()),
            Some(Arg::Text(v)) => Ok(v.clone()),
            Some(other) => wrong(i, name, other.kind(), "a string"),
        }
    }

    /// Integers such as axes or sizes: a list, or one; nothing if not given.
    pub fn dims(&self, i: usize, name: &str) -> Result<Option<Vec<isize>>, Stop> {
        let whole = |arg: &Arg<'t, T>| match arg {
            Arg::Int(v) => Ok(*v as isize),
            other => wrong(i, name, other.kind(), "an integer"),
        };
        match self.get(i, name) {
            None => Ok(None),
            Some(Arg::List(items)) => items.iter().map(whole).collect::<Result<_, _>>().map(Some),
            Some(one) => Ok(Some(vec![whole(one)?])),
        }
    }

    /// A list.
    pub fn list(&self, i: usize, name: &str) -> Result<&[Arg<'t, T>], Stop> {
        let found =
            self.get(i, name).and_then(|a| if let Arg::List(v) = a { Some(v.as_slice()) } else { None });
        self.need(i, name, "a list", found)
    }
}

/// How a run turns the stored tensors into values.
#[derive(Clone, Copy, Default)]
pub struct Form {
    /// Floats are rounded to what `f32` can hold.
    pub rounded: bool,
    /// Every tensor of floats is a strided view, whatever the case says.
    pub strided: bool,
}

/// Reads a case's arguments onto a tape.
pub struct Reader<'c, 't, T: Float> {
    case: &'c Case,
    tape: &'t Tape<T>,
    form: Form,
    /// Names of the tensors that are differentiated.
    inputs: Vec<String>,
    vars: HashMap<String, Var<'t, T>>,
}

impl<'c, 't, T: Float> Reader<'c, 't, T> {
    pub fn new(case: &'c Case, tape: &'t Tape<T>, form: Form) -> Self {
        let inputs = wanted(case).into_iter().map(|(name, _)| name).collect();
        Reader { case, tape, form, inputs, vars: HashMap::new() }
    }

    /// The whole call.
    pub fn call(&mut self) -> Call<'t, T> {
        let json = &self.case.json;
        let args = self.case.items("args").iter().map(|a| self.arg(a)).collect();
        let mut kwargs = BTreeMap::new();
        for (name, item) in json["kwargs"].as_object().into_iter().flatten() {
            kwargs.insert(name.clone(), self.arg(item));
        }
        // Other keys of a case that the call depends on.
        for key in ["forward_kwargs", "buffers", "groups", "lr_by_step", "schedules", "milestones"] {
            if let Some(item) = json.get(key) {
                kwargs.insert(key.to_string(), self.arg(item));
            }
        }
        // A minimiser makes as many steps, a schedule is asked for as many rates, as the case has.
        kwargs.insert("steps".to_string(), Arg::Int(self.case.items("outputs").len() as i64));
        if let Some(Stored::Floats(rates)) =
            self.case.items("outputs").first().and_then(|item| self.case.stored(item))
        {
            kwargs.insert("rates".to_string(), Arg::Int(rates.numel() as i64));
        }
        Call { tape: self.tape, op: self.case.op.clone(), args, kwargs }
    }

    /// The values that are differentiated, in the case's order; all must be arguments of the call.
    pub fn inputs(&self) -> Vec<Var<'t, T>> {
        let find = |name: &String| {
            self.vars.get(name).cloned().unwrap_or_else(|| panic!("{}: {name} is no argument", self.case.id))
        };
        self.inputs.iter().map(find).collect()
    }

    /// A tensor of the case as a constant: a cotangent, a direction.
    pub fn constant(&self, item: &Value) -> Option<Var<'t, T>> {
        match self.case.stored(item)? {
            Stored::Floats(t) => Some(self.tape.constant(self.floats(t, item))),
            Stored::Ints(t) => Some(self.tape.constant(t.cast::<T>())),
            Stored::Bools(t) => Some(self.tape.constant(t.cast::<T>())),
        }
    }

    fn arg(&mut self, item: &Value) -> Arg<'t, T> {
        match self.case.stored(item) {
            Some(Stored::Floats(t)) => {
                let name = item["t"].as_str().unwrap_or_default();
                if let Some(known) = self.vars.get(name) {
                    return Arg::Var(known.clone());
                }
                let value = self.floats(t, item);
                let input = self.inputs.iter().any(|i| i == name);
                let var = if input { self.tape.input(value) } else { self.tape.constant(value) };
                self.vars.insert(name.to_string(), var.clone());
                return Arg::Var(var);
            }
            Some(Stored::Ints(t)) => return Arg::Ints(layout(t.clone(), item)),
            Some(Stored::Bools(t)) => return Arg::Bools(layout(t.clone(), item)),
            None => {}
        }
        match item {
            Value::Null => Arg::None,
            Value::Bool(v) => Arg::Bool(*v),
            Value::Number(v) => v.as_i64().map_or_else(|| Arg::Num(v.as_f64().unwrap_or(f64::NAN)), Arg::Int),
            Value::String(v) => Arg::Text(v.clone()),
            Value::Array(items) => Arg::List(items.iter().map(|i| self.arg(i)).collect()),
            Value::Object(map) => {
                let only = |key: &str| map.get(key).filter(|_| map.len() == 1);
                if let Some(number) = only("float") {
                    Arg::Num(number.as_str().and_then(|s| s.parse().ok()).unwrap_or(f64::NAN))
                } else if let Some(slice) = only("slice") {
                    Arg::Slice(slice[0].as_i64(), slice[1].as_i64(), slice[2].as_i64())
                } else if only("ellipsis").is_some() {
                    Arg::Ellipsis
                } else if let Some(name) = only("dtype").and_then(Value::as_str) {
                    Arg::Text(name.to_string())
                } else {
                    Arg::Map(map.iter().map(|(k, v)| (k.clone(), self.arg(v))).collect())
                }
            }
        }
    }

    fn floats(&self, t: &Tensor<f64>, item: &Value) -> Tensor<T> {
        let rounded = if self.form.rounded { t.cast::<f32>().cast() } else { t.cast::<T>() };
        if self.form.strided && item.get("layout").is_none() {
            spread(&rounded)
        } else {
            layout(rounded, item)
        }
    }
}

/// The tensors that are differentiated, and their expected gradients.
pub fn wanted(case: &Case) -> Vec<(String, Value)> {
    let name = |item: &Value| item["t"].as_str().map(str::to_string);
    let args = case.items("args");
    // Without `wrt`, gradients are those of the first arguments.
    let first = Value::from_iter(0..case.items("grads").len());
    let wrt = case.json.get("wrt").unwrap_or(&first).as_array().map_or(&[][..], Vec::as_slice);
    let mut known = Vec::new();
    args.iter().for_each(|item| floats(item, &mut known));
    // A set may put the family before the names of its tensors.
    let full = |short: &str| {
        let end = format!(".{short}");
        let found = known.iter().find(|name| *name == short || name.ends_with(&end));
        found.cloned().unwrap_or_else(|| short.to_string())
    };
    let named = wrt.iter().zip(case.items("grads")).filter_map(|(wrt, grad)| {
        let at = wrt.as_u64().and_then(|i| args.get(i as usize));
        Some((at.map_or_else(|| wrt.as_str().map(full), name)?, grad.clone()))
    });
    let mut wanted: Vec<(String, Value)> = named.collect();
    wanted.extend(case.json.get("grad").and_then(|grad| Some((name(args.first()?)?, grad.clone()))));
    // Layers: gradients by position of the inputs and by name of the parameters, which are the last argument.
    if let Some((params, inputs)) = args.split_last() {
        let mut tensors = Vec::new();
        inputs.iter().for_each(|item| floats(item, &mut tensors));
        wanted.extend(
            tensors
                .into_iter()
                .zip(case.items("grads_inputs"))
                .filter(|(_, grad)| !grad.is_null())
                .map(|(name, grad)| (name, grad.clone())),
        );
        if let Some(grads) = case.json["grads_params"].as_object() {
            wanted.extend(grads.iter().filter_map(|(k, grad)| Some((name(params.get(k)?)?, grad.clone()))));
        }
    }
    wanted
}

/// Names of the tensors of an argument, in order.
fn floats(item: &Value, names: &mut Vec<String>) {
    match (item["t"].as_str(), item) {
        (Some(name), _) => names.push(name.to_string()),
        (None, Value::Array(items)) => items.iter().for_each(|i| floats(i, names)),
        _ => {}
    }
}
