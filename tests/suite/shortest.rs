//! The page with the shortest program, `docs/play/shortest.html`: it is what its parts make, and reads what
//! is drawn. Without a browser, what needs it is left out, except where `CI` is set.
#[path = "../../examples/shortest/assemble.rs"]
mod assemble;

use crate::explore::driver::{Browser, Outcome};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

fn place() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/play/shortest.html").canonicalize().unwrap()
}

/// What stands in an element of the page.
fn part<'p>(page: &'p str, id: &str) -> &'p str {
    let (_, rest) = page.split_once(&format!("id=\"{id}\">")).unwrap();
    rest.split_once("</script>").unwrap().0
}

#[test]
fn the_page_with_the_shortest_program_is_what_its_parts_make_and_short() {
    let page = fs::read_to_string(place()).unwrap();
    let made = assemble::assemble(part(&page, "module"), part(&page, "facts"));
    assert!(page == made, "docs/play/shortest.html is older than its parts: see docs/browser.md");
    assert!(page.len() <= 20_000, "{} bytes", page.len());
    for outside in ["http://", "https://", " src=", "@import", "fetch("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(assemble::base64(b"\x00asm\xff"), "AGFzbf8=");
    assert!(part(&page, "module").starts_with("AGFzbQEAAAAB"));
}

#[test]
fn the_page_with_the_shortest_program_reads_what_is_drawn() {
    let Some(browser) = Browser::for_test() else { return };
    drawn(&browser).unwrap_or_else(|message| panic!("{message}"));
    let console = browser.console().unwrap_or_else(|message| panic!("{message}"));
    assert!(console.is_empty(), "{console:#?}");
}

fn wait(browser: &Browser, expression: &str) -> Outcome<()> {
    let began = Instant::now();
    while browser.run(&format!("return Boolean({expression})"))? != Value::Bool(true) {
        if began.elapsed() > Duration::from_secs(60) {
            return Err(format!("{expression} does not come true"));
        }
        sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn drawn(browser: &Browser) -> Outcome<()> {
    browser.open(&format!("file://{}", place().display()))?;
    wait(browser, "document.documentElement.dataset.ready")?;
    // All bytes are shown, and how many they are.
    let length = browser.run(
        "const bytes = document.getElementById('bytes').textContent.split(' ').length;
         const about = document.getElementById('about').textContent;
         return about.includes(bytes.toLocaleString('en') + ' bytes') && bytes",
    )?;
    if !(2_000..8_000).contains(&length.as_u64().unwrap_or(0)) {
        return Err(format!("bytes of the module: {length}"));
    }
    // A straight line down, drawn with the keyboard, is a one.
    browser.run("document.getElementById('pad').focus()")?;
    let (space, down) = ("\u{e00d}", "\u{e015}");
    browser.press(&format!("{space}{}{space}", down.repeat(14)))?;
    wait(browser, "document.getElementById('reading').textContent.startsWith('It is read as 1,')")?;
    // With a pointer, a ring is a zero, and a bar with a slanted line below it a seven.
    let stroke = |points: &str| {
        browser.run(&format!(
            "const pad = document.getElementById('pad'), box = pad.getBoundingClientRect();
             document.getElementById('clear').click();
             const points = {points};
             const send = (kind, [x, y]) => pad.dispatchEvent(new PointerEvent(kind,
                 {{clientX: box.left + x * box.width, clientY: box.top + y * box.height}}));
             send('pointerdown', points[0]);
             for (const p of points) send('pointermove', p);
             send('pointerup', points.at(-1))"
        ))
    };
    stroke(
        "Array.from({length: 41}, (_, i) => [0.5 + 0.22 * Math.sin(i * 0.157), 0.5 - 0.35 * Math.cos(i * 0.157)])",
    )?;
    wait(browser, "document.getElementById('answer').textContent === '0'")?;
    stroke("[[0.25, 0.2], [0.72, 0.2], [0.45, 0.85]]")?;
    wait(browser, "document.getElementById('answer').textContent === '7'")?;
    browser.run("document.getElementById('clear').click()")?;
    wait(browser, "document.getElementById('answer').textContent === ''")
}
