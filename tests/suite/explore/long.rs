//! Tapes as long as those of real models, and two steps beside each other.
use super::{Browser, END, Outcome, Page, is, text};
use kolmo::{
    Random, Tape, Tensor,
    inspect::Explorer,
    nn::{Layer, Linear, Param, Relu, Sequential},
};
use serde_json::json;

const DOWN: &str = "\u{e015}";

/// Of ten thousand rows only those around the visible part are in the document; any can be come to.
pub fn scrolling(browser: &Browser) -> Outcome<()> {
    let page = Page::new("long");
    let tape = Tape::<f64>::new();
    tape.set_observing(true);
    let mut x = tape.scalar(0.5);
    for _ in 0..3333 {
        x = -(x * 1.0005) + 0.25; // so that an adjoint neither vanishes nor explodes
    }
    let _ = x.backward().map_err(|e| e.to_string())?;
    Explorer::new(&tape).lessons(false).save(&page.0).map_err(|e| e.to_string())?;
    page.open(browser)?;

    is(browser, "document.getElementById('statements').getAttribute('aria-rowcount')", json!("10001"))?;
    let few = "document.querySelectorAll('#rows tr').length < 150";
    is(browser, few, json!(true))?;
    browser.press(END)?;
    browser.run("choose(1)")?;
    is(browser, "document.querySelector('#row-1 .adjoint').textContent !== ''", json!(true))?;
    // By number, and from there with the keyboard.
    browser.run("choose(7000); document.activeElement.blur()")?;
    is(browser, few, json!(true))?;
    let seen = |row: u32| {
        format!(
            "(() => {{ const a = document.getElementById('row-{row}')?.getBoundingClientRect(), \
             b = document.getElementById('tape').getBoundingClientRect(); \
             return Boolean(a) && a.top >= b.top && a.bottom <= b.bottom }})()"
        )
    };
    is(browser, &seen(7000), json!(true))?;
    is(browser, "document.getElementById('row-7000').getAttribute('aria-rowindex')", json!("7001"))?;
    browser.press(&DOWN.repeat(60))?;
    is(browser, "state.row", json!(7060))?;
    is(browser, &seen(7060), json!(true))?;
    // By the scroll bar, to both ends.
    // Heights are known once what they belong to was seen.
    let scroll = |to: &str| {
        let there = format!("t.scrollTop = {to}; showWindow()");
        format!("const t = document.getElementById('tape'); {there}; {there}")
    };
    browser.run(&scroll("t.scrollHeight"))?;
    is(browser, &seen(10000), json!(true))?;
    is(browser, few, json!(true))?;
    browser.run(&scroll("0"))?;
    is(browser, &text(1, "value"), json!("0.5"))?;
    // By a search, whose rows are few.
    browser.press("/%4321")?;
    is(browser, "document.getElementById('found').textContent", json!("1 of 10000"))?;
    is(browser, "[...document.querySelectorAll('#rows .row')].map(r => r.id)", json!(["row-4321"]))?;
    browser.run("document.activeElement.blur(); change({query: ''})")?;
    // The loop as one line.
    browser.run(
        "const f = document.getElementById('fold'); f.value = 'loop'; f.dispatchEvent(new Event('change'))",
    )?;
    is(browser, "view.items.length < 10", json!(true))?;
    is(browser, "document.querySelector('.fold-title').textContent.includes('3333 turns')", json!(true))
}

/// Both steps are on the page, the same statements are matched, and what changed is told.
pub fn comparing(browser: &Browser) -> Outcome<()> {
    let page = Page::new("compare");
    let rng = &mut Random::new(3);
    let net = Sequential((Linear::new(4, 6, rng), Relu, Linear::new(6, 2, rng)));
    let step = |tape: &Tape| {
        tape.set_observing(true);
        let x = tape.constant(Tensor::from_fn([5, 4], |i| (i as f32).sin()));
        net.forward(&x).cross_entropy(&Tensor::from([0u32, 1, 1, 0, 1])).backward().map(drop)
    };
    let (first, second) = (Tape::new(), Tape::new());
    step(&first).map_err(|e| e.to_string())?;
    let first = Explorer::new(&first).title("first").with_names(&net);
    let double = |p: &Param| p.set(Tensor::from_fn(p.shape(), |i| 2.0 * p.value().to_vec()[i]));
    double(&net.0.2.weight);
    step(&second).map_err(|e| e.to_string())?;
    let page_of_both = Explorer::new(&second).title("second").with_names(&net).compare(&first);
    page_of_both.save(&page.0).map_err(|e| e.to_string())?;
    page.open(browser)?;

    is(browser, "document.getElementById('title').textContent", json!("second"))?;
    browser.press("6")?;
    is(browser, "document.getElementById('panel-changes').hidden", json!(false))?;
    browser.run("change({sorted: 'value'})")?;
    // The weight of the last layer is twice what it was: (2w - w) / 2w. What comes before is the same.
    let weight = "whole.tape.rows.find(r => r.name === '2.weight')";
    is(browser, &format!("changesOf(whole.tape).get({weight}.id).value"), json!(0.5))?;
    is(browser, "changesOf(whole.tape).get(1).value", json!(0.0))?;
    let listed =
        "[...document.querySelectorAll('#panel-changes tbody tr')].map(r => r.children[2].textContent)";
    is(browser, &format!("{listed}.includes('50 %') && !{listed}.includes('the same')"), json!(true))?;
    browser.run(&format!("choose({weight}.id, {{tab: 'statement'}})"))?;
    is(browser, "[...document.querySelectorAll('.beside .num')].map(c => c.textContent)[0]", json!("50 %"))?;
    // The other step opens at the same statement.
    browser.run("document.activeElement.blur()")?;
    browser.press("o")?;
    is(browser, "document.getElementById('title').textContent", json!("first"))?;
    is(browser, "document.getElementById('step').value", json!("other"))?;
    is(browser, "state.tape.byId.get(state.row).name", json!("2.weight"))?;
    browser.press("o")?;
    is(browser, "state.tape === whole.tape", json!(true))
}
