//! The page for whoever has no mouse, or doesn't see it: what Chromium tells a screen reader, and where the
//! keyboard goes.
use super::{Browser, Outcome, Page, is, network};
use serde_json::{Value, json};

const TAB: &str = "\u{e004}";
const RIGHT: &str = "\u{e014}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

/// Role, name, and whether it can have the focus, of what a screen reader is told of.
fn told(browser: &Browser) -> Outcome<Vec<(String, String, bool)>> {
    let tree = browser.devtools("Accessibility.getFullAXTree", &json!({}))?;
    let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_string();
    let focusable = |node: &Value| {
        let mut all = node["properties"].as_array().into_iter().flatten();
        all.any(|p| p["name"] == "focusable" && p["value"]["value"] == true)
    };
    let nodes = tree["nodes"].as_array().ok_or("no tree")?.iter().filter(|node| node["ignored"] != true);
    Ok(nodes.map(|node| (text(&node["role"]), text(&node["name"]), focusable(node))).collect())
}

/// Each part has a role and, as has all that can be operated, a name.
pub fn names_and_roles(browser: &Browser) -> Outcome<()> {
    let page = Page::new("roles");
    network(&page)?;
    page.open(browser)?;
    for tab in ["statement", "graph", "source", "memory", "lessons"] {
        browser.run(&format!("moveTo(state.tape.last); choose(3, {{tab: '{tab}'}})"))?;
        let all = told(browser)?;
        let nameless: Vec<_> =
            all.iter().filter(|(_, name, focusable)| *focusable && name.is_empty()).collect();
        if !nameless.is_empty() {
            return Err(format!("{tab}: without a name: {nameless:?}"));
        }
        let many = |role: &str| all.iter().filter(|(found, ..)| found == role).count();
        for (role, count) in [
            ("banner", 1),
            ("main", 1),
            ("complementary", 1),
            ("tablist", 1),
            ("tab", 5),
            ("tabpanel", 1),
            ("searchbox", 1),
            ("slider", 1),
            ("combobox", 1),
        ] {
            if many(role) != count {
                return Err(format!("{tab}: {} of role {role}, not {count}", many(role)));
            }
        }
        // Pictures are told in words.
        let picture = all.iter().find(|(role, name, _)| role == "image" && name.is_empty());
        if let Some(picture) = picture {
            return Err(format!("{tab}: {picture:?}"));
        }
    }
    let all = told(browser)?;
    let named = |role: &str, name: &str| all.iter().any(|(r, n, _)| r == role && n == name);
    for (role, name) in [
        ("table", "Statements in recording order"),
        ("slider", "Play head"),
        ("searchbox", "Search rows"),
        ("combobox", "Fold"),
        ("complementary", "Beside the rows"),
        ("tab", "Memory"),
        ("button", "One step forward"),
    ] {
        if !named(role, name) {
            return Err(format!("no {role} is called {name}"));
        }
    }
    Ok(())
}

/// All is reached by the tab key, in the order in which it stands, and can be seen where it is.
pub fn keyboard(browser: &Browser) -> Outcome<()> {
    let page = Page::new("keyboard");
    network(&page)?;
    page.open(browser)?;
    let mut order = Vec::new();
    for _ in 0..20 {
        browser.press(TAB)?;
        let here = "(() => { const e = document.activeElement, b = e.getBoundingClientRect(), s = getComputedStyle(e); \
             return [e.id || e.className, b.width * b.height > 0 && s.outlineStyle !== 'none' && s.outlineWidth !== '0px'] })()";
        let found = browser.run(&format!("return {here}"))?;
        let name = found[0].as_str().unwrap_or_default().to_string();
        if found[1] != true {
            return Err(format!("the focus can't be seen on {name} after {order:?}"));
        }
        order.push(name);
        if order.last().is_some_and(|name| name.starts_with("panel-")) {
            break;
        }
    }
    let expected = [
        "fold",
        "search",
        "predict",
        "theme",
        "keys",
        "next",
        "turn",
        "end",
        "head-slider",
        "fold",
        "row-1",
        "fold",
        "tab-statement",
        "panel-statement",
    ];
    if order != expected {
        return Err(format!("the tab key goes to {order:?}, not {expected:?}"));
    }
    // From tab to tab with the arrows, and into a graph's node.
    browser.run("$('tab-statement').focus()")?;
    browser.press(RIGHT)?;
    is(browser, "[document.activeElement.id, state.tab]", json!(["tab-graph", "graph"]))?;
    browser.run("document.querySelectorAll('#panel-graph .node')[4].focus()")?;
    browser.press(" ")?;
    is(browser, "state.row", json!(5))?;
    // The help takes the focus, and gives it back.
    browser.run("$('keys').focus()")?;
    browser.press(ENTER)?;
    is(browser, "[$('help').open, $('help').contains(document.activeElement)]", json!([true, true]))?;
    browser.press(ESCAPE)?;
    is(browser, "[$('help').open, document.activeElement.id]", json!([false, "keys"]))
}
