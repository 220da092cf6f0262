//! The page that learns digits in a browser, `docs/play/index.html`: it is what its parts make, its module
//! runs in Node.js and writes files that are read here, and the page does what it says. Without Node.js, or a
//! browser, what needs it is left out, except where `CI` is set.
#[path = "../../examples/play/assemble.rs"]
mod assemble;

use crate::{
    Folder,
    explore::driver::{Browser, Outcome},
};
use kolmo::{
    Random, Tape,
    compress::{Artifact, unpack},
    data,
    metrics::accuracy,
    nn::{Layer, Linear},
};
use serde::Serialize;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn page() -> String {
    fs::read_to_string(root().join("docs/play/index.html")).unwrap()
}

/// The module in a page, as it stands there.
fn module_of(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once(r#"<script type="text/plain" id="module">"#)?;
    Some(rest.split_once("</script>")?.0)
}

#[test]
fn the_page_is_what_its_parts_make_and_not_large() {
    let page = page();
    let native = fs::read_to_string(root().join("examples/play/native.json")).unwrap();
    let made = assemble::assemble(module_of(&page).unwrap(), &native);
    assert!(page == made, "docs/play/index.html is older than its parts: see docs/browser.md");
    assert!(page.len() <= 1_500_000, "{} bytes", page.len());
    // One file, which fetches nothing.
    for outside in ["http://", "https://", " src=", "@import", "fetch("] {
        let own = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!own.contains(outside), "{outside}");
    }
}

/// The network of `examples/play`.
#[derive(Serialize)]
struct Net {
    hidden: Linear,
    scores: Linear,
}

#[test]
fn the_module_learns_in_node_and_its_file_is_read_here() {
    let folder = Folder::new("play");
    let file = folder.join("digits.kolmo");
    let mut node = Command::new("node");
    node.arg(root().join("examples/play/check.mjs")).arg(root().join("docs/play/index.html")).arg(&file);
    let output = match node.output() {
        Ok(output) => output,
        Err(e) => {
            assert!(std::env::var_os("CI").is_none(), "node: {e}");
            eprintln!("left out, since there is no Node.js: {e}");
            return;
        }
    };
    let (told, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}{error}");
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| told.iter().filter(|event| event["event"] == kind).collect::<Vec<_>>();
    let epochs = of("epoch");
    assert_eq!(epochs.len() as u64, epochs[0]["epochs"].as_u64().unwrap());
    let loss = |event: &Value| event["loss"].as_f64().unwrap();
    assert!(loss(epochs[4]) < 0.5 * loss(epochs[0]), "{} {}", epochs[0], epochs[4]);

    let files = of("file");
    let bytes = |i: usize| files[i]["bytes"].as_u64().unwrap();
    assert!(files.len() == 3 && bytes(1) < bytes(0) && bytes(2) < bytes(1), "{files:?}");
    let read = of("read")[0];
    let classes: Vec<f64> = read["classes"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).collect();
    assert!((classes.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{classes:?}"); // of probabilities in f32
    assert!(of("step")[0]["bytes"].as_u64().unwrap() > 50_000);

    // The last file, with this program: the same network, as good on the same images.
    let packed = fs::read(&*file).unwrap();
    assert_eq!(packed.len() as u64, bytes(2));
    let rng = &mut Random::new(1);
    let net = Net { hidden: Linear::new(64, 128, rng), scores: Linear::new(128, 10, rng) };
    unpack(&Artifact::from_bytes(&packed).unwrap(), &net).unwrap();
    let (x, y) = data::digits();
    let (_, test) = data::train_test_split(y.numel(), 0.25, &mut Random::new(0)).unwrap();
    let tape = Tape::inference();
    let x = tape.constant(x.rows(&test).unwrap()) * (1.0 / 16.0);
    let scores = net.scores.forward(&net.hidden.forward(&x).relu()).value().unwrap().clone();
    let here = accuracy(&scores, &y.rows(&test).unwrap()).unwrap();
    let there = files[2]["accuracy"].as_f64().unwrap();
    // Sums are rounded in another way there, which may turn an image that lies between two classes.
    assert!((here - there).abs() < 1.5 / test.len() as f64 && here > 0.8, "{here} here, {there} there");
}

/// Waits until an expression is true on the page.
fn wait(browser: &Browser, expression: &str) -> Outcome<()> {
    let began = Instant::now();
    while browser.run(&format!("return Boolean({expression})"))? != Value::Bool(true) {
        if began.elapsed() > Duration::from_secs(300) {
            return Err(format!("{expression} does not come true"));
        }
        sleep(Duration::from_millis(50));
    }
    Ok(())
}

const SPACE: &str = "\u{e00d}";
const DOWN: &str = "\u{e015}";

#[test]
fn the_page_learns_prunes_packs_and_reads_what_is_drawn() {
    let Some(browser) = Browser::for_test() else { return };
    whole_run(&browser).unwrap_or_else(|message| panic!("{message}"));
    let console = browser.console().unwrap_or_else(|message| panic!("{message}"));
    assert!(console.is_empty(), "{console:#?}");
}

fn whole_run(browser: &Browser) -> Outcome<()> {
    browser.open(&format!("file://{}#quick", root().join("docs/play/index.html").display()))?;
    wait(browser, "document.documentElement.dataset.ready")?;
    wait(browser, "document.querySelector('.sample').textContent !== '?'")?;
    // Other colours leave what images were taken for.
    let kept = browser.run("repaint(); return document.querySelector('.sample').textContent !== '?'")?;
    if kept != Value::Bool(true) {
        return Err("answers went with the colours".into());
    }
    // Something is read while the network learns.
    browser.run("document.querySelectorAll('.sample')[3].click()")?;
    wait(browser, "/It is read as \\d, with \\d+ %/.test(document.getElementById('reading').textContent)")?;
    wait(browser, "document.documentElement.dataset.done")?;
    wait(browser, "document.querySelectorAll('#bytes circle').length === 4")?;
    let bytes = browser.run(
        "return [...document.querySelectorAll('#files tr')].slice(0, 3)
             .map(r => Number(r.children[2].textContent.replaceAll(',', '')))",
    )?;
    let bytes: Vec<u64> = bytes.as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    if !(bytes.len() == 3 && bytes[0] > bytes[1] && bytes[1] > bytes[2] && bytes[2] > 500) {
        return Err(format!("bytes of the stages: {bytes:?}"));
    }
    // A straight line down, drawn with the keyboard, is a one.
    browser.run("document.getElementById('clear').click(); document.getElementById('pad').focus()")?;
    browser.press(&format!("{SPACE}{}{SPACE}", DOWN.repeat(14)))?;
    wait(browser, "document.getElementById('reading').textContent.startsWith('It is read as 1,')")?;
    // With a pointer: two dots are two strokes.
    browser.run(
        "const pad = document.getElementById('pad'), box = pad.getBoundingClientRect();
         document.getElementById('clear').click();
         for (const x of [0.3, 0.6]) for (const kind of ['pointerdown', 'pointerup']) {
             const at = {clientX: box.left + x * box.width, clientY: box.top + 50};
             pad.dispatchEvent(new PointerEvent(kind, at));
         }",
    )?;
    wait(browser, "document.getElementById('pad').getAttribute('aria-label').includes('2 strokes')")?;
    // The explorer of a step, in its frame, with the lines of the program.
    browser.run("document.getElementById('step').click()")?;
    browser.frame(Some(0))?;
    wait(browser, "document.documentElement.dataset.ready && whole.tape.rows.length > 5")?;
    wait(browser, "whole.tape.sources.some(s => s.file.endsWith('run.rs') && s.lines.length > 5)")?;
    browser.frame(None)?;
    // Again, and stopped on the way.
    browser.run("delete document.documentElement.dataset.done; document.getElementById('again').click()")?;
    wait(browser, "document.documentElement.dataset.done")
}
