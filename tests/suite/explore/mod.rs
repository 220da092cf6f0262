//! The page of the tape explorer in a real browser: it opens without errors, shows the tape's numbers, and
//! does what is asked of it. Without chromedriver and a browser the test is left out, except where `CI` is
//! set.
pub(crate) mod driver;
mod long;
mod reading;

use crate::Folder;
use driver::{Browser, Outcome};
use kolmo::{
    Random, Tape, Tensor,
    inspect::Explorer,
    nn::{Layer, Linear, Relu, Sequential},
};
use serde_json::{Value, json};
use std::path::PathBuf;

const RIGHT: &str = "\u{e014}";
const LEFT: &str = "\u{e012}";
const END: &str = "\u{e010}";

/// A page in a folder of its own.
struct Page(PathBuf, #[allow(dead_code, reason = "removed with the page")] Folder);

impl Page {
    fn new(name: &str) -> Page {
        let folder = Folder::new(name);
        Page(folder.join("page.html"), folder)
    }

    fn open(&self, browser: &Browser) -> Outcome<()> {
        browser.open(&format!("file://{}", self.0.display()))?;
        is(browser, "document.documentElement.dataset.ready", json!("true"))
    }
}

/// Whether an expression has a value on the page.
#[track_caller]
fn is(browser: &Browser, expression: &str, expected: Value) -> Outcome<()> {
    // JavaScript writes 1.0 as 1.
    fn same(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (a, b) => a == b,
        }
    }
    let found = browser.run(&format!("return {expression}"))?;
    if same(&found, &expected) {
        Ok(())
    } else {
        Err(format!("{expression}\n  is {found}\n  not {expected}"))
    }
}

fn text(row: u32, cell: &str) -> String {
    format!("document.querySelector('#row-{row} .{cell}')?.textContent.replace('−', '-')")
}

#[test]
fn the_page_shows_the_tape_and_does_what_is_asked() {
    let Some(browser) = Browser::for_test() else { return };
    for check in [
        scalars,
        folding_and_search,
        prediction,
        lessons,
        escaping,
        long::scrolling,
        long::comparing,
        reading::names_and_roles,
        reading::keyboard,
    ] {
        check(&browser).unwrap_or_else(|message| panic!("{message}"));
        let console = browser.console().unwrap_or_else(|message| panic!("{message}"));
        assert!(console.is_empty(), "{console:#?}");
    }
}

/// Numbers are the tape's; stepping fills values downwards and adjoints upwards, and lights what it reads and
/// writes.
fn scalars(browser: &Browser) -> Outcome<()> {
    let page = Page::new("scalars");
    let tape = Tape::<f64>::new();
    tape.set_observing(true);
    let x = tape.scalar(1.25); // %1
    let y = x * x; // %2: 1.5625
    let z = y + x; // %3: 2.8125
    let grads = z.backward().map_err(|e| e.to_string())?;
    tape.explore(&page.0).map_err(|e| e.to_string())?;
    page.open(browser)?;

    is(browser, "document.querySelectorAll('#rows .row').length", json!(3))?;
    is(browser, &text(1, "value"), json!(""))?;
    browser.press(RIGHT)?;
    is(browser, &text(1, "value"), json!("1.25"))?;
    is(browser, &text(2, "value"), json!(""))?;
    browser.press(&RIGHT.repeat(2))?;
    is(browser, &text(3, "value"), json!("2.8125"))?;
    is(browser, &text(3, "adjoint"), json!(""))?;
    // The seed, then %3 gives 1 to both of its operands, then %2 gives 1.25 twice.
    browser.press(RIGHT)?;
    is(browser, &text(3, "adjoint"), json!("1"))?;
    browser.press(RIGHT)?;
    is(browser, &text(2, "adjoint"), json!("1"))?;
    is(browser, &text(1, "adjoint"), json!("11/3"))?; // 1, of three parts one
    is(browser, "[...document.querySelectorAll('.read')].map(r => r.id)", json!(["row-3"]))?;
    is(browser, "[...document.querySelectorAll('.written')].map(r => r.id)", json!(["row-1", "row-2"]))?;
    browser.press(RIGHT)?;
    is(browser, &text(1, "adjoint .number"), json!("3.5"))?;
    is(
        browser,
        "document.querySelector('#row-1 .adjoint .number').title",
        json!(grads.scalar(x).to_string()),
    )?;
    is(
        browser,
        "document.querySelector('#formula .equation').textContent.includes('1 · 1.25 = 1.25')",
        json!(true),
    )?;
    is(
        browser,
        "document.getElementById('spoken').textContent.startsWith('Sweep, row 2, mul')",
        json!(true),
    )?;
    browser.press(LEFT)?;
    is(browser, &text(1, "adjoint .number"), json!("1"))?;
    browser.run(
        "const s = document.getElementById('head-slider'); s.value = 0; s.dispatchEvent(new Event('input'))",
    )?;
    is(browser, &text(1, "value"), json!(""))?;
    // Every number of every row, to the last digit.
    let seen = tape.observation();
    for row in &seen.rows {
        for (name, tensor) in [("value", &row.value), ("adjoint", &row.adjoint)] {
            let number = tensor.as_ref().and_then(|t| t.item().ok()).ok_or("no number")?;
            is(browser, &format!("whole.tape.byId.get({}).{name}.first[0]", row.row.id), json!(number))?;
        }
    }
    // The row opened: nothing of the adjoint before the sweep, then what has come, then differences beside it.
    browser.run("choose(1, {tab: 'statement'})")?;
    is(browser, "document.querySelector('.check')", json!(null))?;
    browser.run("moveTo(5); choose(1)")?;
    is(
        browser,
        "document.querySelector('#panel-statement .huge + .note').textContent",
        json!("1 of 3 contributions so far."),
    )?;
    is(browser, "document.querySelector('.check')", json!(null))?;
    browser.run("moveTo(state.tape.last); choose(1)")?;
    is(browser, "document.querySelector('.check td').textContent", json!("3.5"))
}

fn network(page: &Page) -> Outcome<()> {
    let rng = &mut Random::new(3);
    let net = Sequential((Linear::new(4, 6, rng), Relu, Linear::new(6, 2, rng)));
    let tape = Tape::new();
    tape.set_observing(true);
    let x = tape.constant(Tensor::from_fn([5, 4], |i| (i as f32).sin()));
    let loss = net.forward(&x).cross_entropy(&Tensor::from([0u32, 1, 1, 0, 1]));
    let _ = loss.backward().map_err(|e| e.to_string())?;
    Explorer::new(&tape).with_names(&net).save(&page.0).map_err(|e| e.to_string())
}

fn folding_and_search(browser: &Browser) -> Outcome<()> {
    let page = Page::new("network");
    network(&page)?;
    page.open(browser)?;
    let shown = "[...document.querySelectorAll('#rows .row')].map(r => Number(r.id.slice(4)))";
    is(browser, shown, json!([1, 2, 3, 4, 5, 6, 7, 8]))?;
    is(browser, "[...document.querySelectorAll('.fold-title')].map(t => t.textContent)", json!(["0", "2"]))?;
    browser.run("document.querySelector('.fold').click()")?;
    is(browser, shown, json!([5, 6, 7, 8]))?;
    is(browser, "document.querySelector('.fold').getAttribute('aria-expanded')", json!("false"))?;
    // The play head opens what it goes into.
    browser.run("document.activeElement.blur()")?;
    browser.press(&RIGHT.repeat(2))?;
    is(browser, shown, json!([1, 2, 3, 4, 5, 6, 7, 8]))?;
    let fold = |how: &str| {
        format!(
            "const f = document.getElementById('fold'); f.value = '{how}'; f.dispatchEvent(new Event('change'))"
        )
    };
    browser.run(&fold("none"))?;
    is(browser, "document.querySelectorAll('.fold').length", json!(0))?;
    browser.run(&fold("line"))?;
    is(browser, "document.querySelectorAll('.fold').length > 0", json!(true))?;
    browser.run("document.activeElement.blur()")?;
    browser.press("/weight")?;
    is(browser, shown, json!([1, 5]))?;
    is(browser, "document.getElementById('found').textContent", json!("2 of 8"))?;
    browser.run("change({query: 'nowhere'})")?;
    is(browser, "document.querySelector('#rows .none').textContent.startsWith('No row has')", json!(true))?;
    browser.run("document.activeElement.blur(); change({query: ''})")?;
    // All panels draw themselves.
    for (key, inside) in
        [("2", ".node"), ("3", "table.source"), ("4", "svg.memory"), ("5", ".lesson"), ("1", "h2")]
    {
        browser.press(key)?;
        is(
            browser,
            &format!("document.querySelectorAll('.panel:not([hidden]) {inside}').length > 0"),
            json!(true),
        )?;
    }
    browser.press(END)?;
    is(browser, "document.querySelectorAll('#row-1 .adjoint svg.heat path').length > 0", json!(true))
}

fn prediction(browser: &Browser) -> Outcome<()> {
    let page = Page::new("predict");
    let tape = Tape::<f64>::new();
    tape.set_observing(true);
    let x = tape.scalar(2.0);
    let _ = (x * 3.0).square().backward().map_err(|e| e.to_string())?; // 9x²: 36
    tape.explore(&page.0).map_err(|e| e.to_string())?;
    page.open(browser)?;
    browser.press("p")?;
    browser.press(RIGHT)?; // the turn of %3: v̄₂ = 12
    is(browser, &text(2, "adjoint"), json!("?"))?;
    is(browser, "document.getElementById('formula').textContent.includes('12 · ')", json!(false))?;
    let answer = |text: &str| {
        format!(
            "document.getElementById('guess').value = '{text}'; document.querySelector('.question').requestSubmit()"
        )
    };
    browser.run(&answer("11"))?;
    is(browser, "document.getElementById('verdict').textContent", json!("Not that. Again?"))?;
    is(browser, &text(2, "adjoint"), json!("?"))?;
    browser.run(&answer("12"))?;
    is(browser, "document.getElementById('verdict').textContent", json!("Right: 12."))?;
    is(browser, &text(2, "adjoint"), json!("12"))
}

fn lessons(browser: &Browser) -> Outcome<()> {
    let page = Page::new("lessons");
    network(&page)?;
    page.open(browser)?;
    is(browser, "whole.lessons.length", json!(13))?;
    for i in 0..13 {
        browser.run(&format!("change({{tab: 'lessons'}}); openLesson({i}); moveTo(state.tape.last)"))?;
        // Each leads to rows that are there, and its sweep comes to an end.
        is(
            browser,
            "[...document.querySelectorAll('.lesson-text .link')].every(b => state.tape.byId.has(Number(b.textContent.slice(1))))",
            json!(true),
        )?;
        is(browser, "state.tape.seed !== null && state.position === state.tape.last", json!(true))?;
    }
    browser.run("openLesson(2); moveTo(state.tape.last)")?;
    is(browser, &text(1, "adjoint .number"), json!("7"))?;
    browser.run("openLesson(10); moveTo(state.tape.last)")?;
    // H · v with H = diag(6x).
    is(browser, "state.tape.byId.get(1).adjoint.first", json!([6.0, 0.0, -18.0]))?;
    // The second sweep knows nothing of the first.
    browser.run("openLesson(3); moveTo(state.tape.last)")?;
    is(
        browser,
        "[1, 3, 5].map(i => state.tape.byId.get(i).adjoint?.first[0] ?? null)",
        json!([-2.0, 0.0, 1.0]),
    )?;
    // A block that runs again holds what the three rows above it keep, but for its operand; of buffers all.
    browser.run("openLesson(9); moveTo(0); change({tab: 'memory'})")?;
    is(browser, "[3200, 3840].map(n => state.tape.byId.get(5).again >= n)", json!([true, false]))?;
    is(browser, "Math.max(...state.tape.peaks) > Math.max(...curveOf(state.tape))", json!(true))?;
    // Doubled twice, and a sum that has lost its 1 beside one that has not.
    browser.run("openLesson(11); moveTo(state.tape.last)")?;
    is(browser, &text(1, "adjoint .number"), json!("4"))?;
    browser.run("openLesson(12); moveTo(state.tape.last)")?;
    is(browser, "[5, 7].map(i => state.tape.byId.get(i).value.first[0])", json!([0.0, 1.0]))?;
    browser.run("openLesson(-1)")?;
    is(browser, "state.tape === whole.tape", json!(true))
}

fn escaping(browser: &Browser) -> Outcome<()> {
    let page = Page::new("escaping");
    let tape = Tape::<f64>::new();
    tape.set_observing(true);
    let x = tape.scalar(f64::INFINITY);
    let y = tape.scope("</script><img src=x onerror=alert(1)>", || x - x * 2.0);
    let _ = y.backward().map_err(|e| e.to_string())?;
    Explorer::new(&tape).title("<b>").save(&page.0).map_err(|e| e.to_string())?;
    page.open(browser)?;
    browser.press(END)?;
    is(browser, "document.getElementById('title').textContent", json!("<b>"))?;
    is(browser, "document.querySelectorAll('img, h1 *').length", json!(0))?;
    is(
        browser,
        "document.querySelector('.fold-title').textContent",
        json!("</script><img src=x onerror=alert(1)>"),
    )?;
    is(browser, &text(3, "value"), json!("NaN"))?;
    is(browser, "document.querySelector('#row-1 .badge.nan').textContent", json!("first NaN or ∞"))
}
