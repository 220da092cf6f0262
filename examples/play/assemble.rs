//! The page of `docs/play` out of its parts.

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const WORKER: &str = include_str!("page/worker.js");
const SCRIPTS: [&str; 5] = [
    include_str!("page/parts.js"),
    include_str!("page/charts.js"),
    include_str!("page/pad.js"),
    include_str!("page/native.js"),
    include_str!("page/main.js"),
];

/// The whole page, with a module (deflated, as text) and the times of the native program (JSON).
pub fn assemble(module: &str, native: &str) -> String {
    let mut page = String::with_capacity(PAGE.len() + module.len() + 100_000);
    for (i, part) in PAGE.split("@@").enumerate() {
        match (i % 2, part) {
            (0, text) => page.push_str(text),
            (_, "style") => page.push_str(STYLE),
            (_, "worker") => page.push_str(WORKER),
            (_, "native") => page.push_str(native.trim()),
            (_, "module") => page.push_str(module),
            _ => SCRIPTS.iter().for_each(|script| page.push_str(script)),
        }
    }
    page
}
