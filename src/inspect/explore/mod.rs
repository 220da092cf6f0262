//! The tape explorer: a page that shows a recorded tape statement by statement, with its values, its reverse
//! sweep and its memory. One file that needs no network; what it shows was recorded, nothing is computed from
//! a model of the program.
//!
//! `data` is what the page knows, `picture` a tensor in a small space, `rules` the formulas, `compare` what two
//! steps have in common, `lessons` small tapes with a text each. The page itself is in `page/`: plain
//! JavaScript, put together here.
mod compare;
mod data;
mod lessons;
mod picture;
mod rules;

use crate::{
    error::{Error, Result},
    files::write_atomically,
    inspect::Observation,
    ops::Float,
    tape::Tape,
};
use compare::{Change, changes};
use data::Data;
use serde::Serialize;
use std::{fmt, path::Path};

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPTS: [&str; 13] = [
    include_str!("page/core.js"),
    include_str!("page/format.js"),
    include_str!("page/picture.js"),
    include_str!("page/steps.js"),
    include_str!("page/folds.js"),
    include_str!("page/table.js"),
    include_str!("page/formula.js"),
    include_str!("page/detail.js"),
    include_str!("page/graph.js"),
    include_str!("page/side.js"),
    include_str!("page/predict.js"),
    include_str!("page/compare.js"),
    include_str!("page/main.js"),
];

/// Writes a page on which a recorded tape can be walked through, see [`Tape::explore`].
///
/// ```
/// use kolmo::{Random, Tape, Tensor, inspect::Explorer, nn::{Layer, Linear}};
/// let net = Linear::new(3, 1, &mut Random::new(0));
/// let tape = Tape::new();
/// tape.set_observing(true);
/// let loss = net.forward(&tape.constant(Tensor::ones([4, 3]))).square().mean();
/// let _ = loss.backward()?;
/// let page = Explorer::new(&tape).title("A line").with_names(&net).html()?;
/// assert!(page.contains("weight"));
/// # Ok::<(), kolmo::Error>(())
/// ```
#[must_use = "no page is made until `save` or `html` is called"]
pub struct Explorer<'t, T: Float> {
    tape: &'t Tape<T>,
    observation: Observation,
    title: String,
    lessons: bool,
    /// Names and texts of source files.
    sources: Vec<(String, String)>,
    other: Option<(Data, Vec<Change>)>,
}

impl<T: Float> fmt::Debug for Explorer<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explorer { tape, observation: _, title, lessons, sources: _, other } = self;
        let mut shown = f.debug_struct("Explorer");
        shown.field("title", title).field("lessons", lessons).field("compared", &other.is_some());
        shown.field("tape", tape).finish_non_exhaustive()
    }
}

impl<'t, T: Float> Explorer<'t, T> {
    /// Of what the tape holds now. It must have been [observed](Tape::set_observing) while it recorded.
    pub fn new(tape: &'t Tape<T>) -> Explorer<'t, T> {
        let observation = tape.observation();
        let title = "A recorded tape".into();
        Explorer { tape, observation, title, lessons: true, sources: Vec::new(), other: None }
    }

    /// The heading of the page.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// With the names that parameters have in a model, and statements put together by its layers.
    pub fn with_names<M: Serialize + ?Sized>(mut self, model: &M) -> Self {
        self.observation = self.observation.with_names(model);
        self
    }

    /// Whether the page brings the lessons on automatic differentiation; it does by default.
    pub fn lessons(mut self, on: bool) -> Self {
        self.lessons = on;
        self
    }

    /// The text of a source file, by the name that `file!()` has in it. Other files are read where the page is
    /// written, if they can be; in a browser none can.
    pub fn source(mut self, file: impl Into<String>, text: impl Into<String>) -> Self {
        self.sources.push((file.into(), text.into()));
        self
    }

    /// A second step beside this one, which the page can turn to. Statements that do the same at the same source
    /// line are matched, the first with the first and so on; the page tells how far apart their values and
    /// adjoints are, ‖a - b‖ / max(‖a‖, ‖b‖), and lists the largest changes.
    ///
    /// ```
    /// use kolmo::{Tape, inspect::Explorer};
    /// let step = |x: f64| -> kolmo::Result<Tape<f64>> {
    ///     let tape = Tape::new();
    ///     tape.set_observing(true);
    ///     tape.scalar(x).square().backward()?;
    ///     Ok(tape)
    /// };
    /// let (first, later) = (step(2.0)?, step(1.5)?);
    /// let first = Explorer::new(&first).title("first");
    /// let page = Explorer::new(&later).title("later").compare(&first).html()?;
    /// assert!(page.contains(r#"{"id":1,"other":1,"value":0.25,"adjoint":0.25}"#));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn compare<U: Float>(mut self, other: &Explorer<'_, U>) -> Self {
        self.other = Some((other.data(), changes(&self.observation, &other.observation)));
        self
    }

    fn data(&self) -> Data {
        Data::of(&self.title, self.tape, &self.observation, &self.sources)
    }

    /// The page.
    ///
    /// # Errors
    /// If the tape was not observed, or there is nothing on it.
    pub fn html(&self) -> Result<String> {
        if self.observation.rows.iter().all(|row| row.value.is_none()) {
            let message = "no values to show: call tape.set_observing(true) before the program is recorded";
            return Err(Error::invalid("explore", message));
        }
        #[derive(Serialize)]
        struct Whole<'a> {
            tape: Data,
            changes: &'a [Change],
        }
        let (other, changes) = self.other.as_ref().map_or((None, &[][..]), |(data, c)| (Some(data), &c[..]));
        let lessons = if self.lessons { lessons::all()? } else { Vec::new() };
        let whole = Whole { tape: self.data(), changes };
        Ok(assemble(&self.title, [json(&whole)?, json(&other)?, json(&lessons)?]))
    }

    /// Writes the page to a file.
    ///
    /// # Errors
    /// As [`html`](Explorer::html), and if the file can't be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_at(path.as_ref())
    }

    fn save_at(&self, path: &Path) -> Result<()> {
        let written = write_atomically(path, self.html()?.as_bytes());
        written.map_err(|e| Error::invalid("explore", format!("{}: {e}", path.display())))
    }
}

/// # A page that shows the tape
impl<T: Float> Tape<T> {
    /// Writes a page that shows this tape: every statement with its value, its rule, its adjoint and its
    /// source line, forward and in the reverse sweep, step by step. One file, which works without a
    /// network.
    ///
    /// The tape must have been [observed](Tape::set_observing). [`Explorer`] has options: a title, the
    /// parameters' names.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::new();
    /// tape.set_observing(true);
    /// let x = tape.scalar(2.0);
    /// (x * x + x).backward()?;
    /// let path = std::env::temp_dir().join(format!("kolmo-step-{}.html", std::process::id()));
    /// tape.explore(&path)?;
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the tape was not observed, or the file can't be written.
    pub fn explore(&self, path: impl AsRef<Path>) -> Result<()> {
        Explorer::new(self).save(path)
    }
}

/// Data for a script element, in which only `<` could end it or begin a comment.
fn json<V: Serialize>(value: &V) -> Result<String> {
    let json = serde_json::to_string(value).map_err(|e| Error::invalid("explore", e.to_string()))?;
    Ok(json.replace('<', "\\u003c"))
}

/// The page with its parts in their places.
fn assemble(title: &str, [data, other, lessons]: [String; 3]) -> String {
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    let size = PAGE.len() + STYLE.len() + data.len() + other.len() + lessons.len() + 100_000;
    let mut page = String::with_capacity(size);
    for (i, part) in PAGE.split("@@").enumerate() {
        match (i % 2, part) {
            (0, text) => page.push_str(text),
            (_, "title") => page.push_str(&title),
            (_, "style") => page.push_str(STYLE),
            (_, "data") => page.push_str(&data),
            (_, "other") => page.push_str(&other),
            (_, "lessons") => page.push_str(&lessons),
            _ => SCRIPTS.iter().for_each(|script| page.push_str(script)),
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::{data::WORK, *};

    fn data(page: &str) -> serde_json::Value {
        let start = page.find(r#"<script type="application/json" id="data">"#).unwrap();
        let json = page[start..].split_once('>').unwrap().1;
        serde_json::from_str(json.split_once("</script>").unwrap().0).unwrap()
    }

    #[test]
    fn numbers_on_the_page_are_those_of_the_tape() -> Result<()> {
        let tape = Tape::<f64>::new();
        tape.set_observing(true);
        let x = tape.scalar(0.3);
        let y = (x.exp() * x + 1.0).log();
        let grads = y.backward()?;
        let data = data(&Explorer::new(&tape).html()?);
        let rows = data["tape"]["rows"].as_array().unwrap();
        assert_eq!(rows[0]["value"]["first"][0], 0.3);
        assert_eq!(rows[0]["adjoint"]["first"][0], grads.scalar(x));
        assert_eq!(rows[4]["value"]["first"][0], y.value());
        assert_eq!(rows[2]["arguments"][1]["partial"], 0.3f64.exp());
        assert_eq!(rows[3]["arguments"][1]["constant"]["first"][0], 1.0);
        let check = &rows[0]["check"];
        let (rule, difference) = (check["rule"].as_f64().unwrap(), check["difference"].as_f64().unwrap());
        assert_eq!(rule, grads.scalar(x));
        assert!((rule - difference).abs() < 1e-8 * rule.abs(), "{check}"); // h² of a smooth function
        Ok(())
    }

    #[test]
    fn differences_agree_with_rules_through_tensors_and_scalars() -> Result<()> {
        let tape = Tape::<f64>::new();
        tape.set_observing(true);
        let w = tape.input([[0.5, -0.2], [0.1, 0.8]]);
        let s = tape.scalar(1.5);
        let h = w.matmul(&w).tanh();
        let t = tape.stack_scalars(&[h.at([0, 1]) * s, s.sin()], [2]);
        let loss = (h.softmax(1) * t + &w).square().sum();
        let _ = loss.backward()?;
        let seen = tape.observation();
        let checks = tape.differences(&seen, WORK);
        assert_eq!(checks.len(), seen.rows.len());
        for (id, check) in checks {
            let check = check.unwrap();
            assert!((check.rule - check.difference).abs() < 1e-7 * check.rule.abs().max(1.0), "%{id}");
        }
        Ok(())
    }

    #[test]
    fn nothing_in_the_data_can_end_the_script() -> Result<()> {
        let tape = Tape::<f64>::new();
        tape.set_observing(true);
        let x = tape.scalar(f64::NAN);
        let y = tape.scope("</script><script>alert(1)//<!--@@data@@", || x * x);
        let _ = y.backward()?;
        let page = Explorer::new(&tape).title("a </title> & b").lessons(false).html()?;
        assert_eq!(page.matches("</script>").count(), 4);
        assert!(page.contains("<title>a &lt;/title> &amp; b"));
        let data = data(&page);
        assert_eq!(data["tape"]["rows"][1]["layer"], "</script><script>alert(1)//<!--@@data@@");
        assert_eq!(data["tape"]["rows"][0]["value"]["first"][0], "NaN");
        Ok(())
    }

    #[test]
    fn a_tape_that_was_not_observed_is_an_error() {
        let tape = Tape::<f64>::new();
        let _ = tape.scalar(1.0);
        let error = Explorer::new(&tape).html().unwrap_err().to_string();
        assert!(error.contains("tape.set_observing(true)"), "{error}");
    }
}
