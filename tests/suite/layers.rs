//! The order of the crate's parts: each uses those before it, so that they can be read, and changed, one after the other.
use std::{collections::BTreeMap, fs, path::Path};

/// From the ground up; what stands on one line may use each other.
const ORDER: &[&[&str]] = &[
    &["checked", "clock", "error", "files", "ids", "numbers", "threads"],
    &["real"],
    &["tensor"],
    &["kernels"],
    &["tape"],
    &["ops"],
    &["param"],
    &["autodiff"],
    &["program"],
    &["nn"],
    &["loss"],
    &["optim"],
    &["metrics"],
    &["data"],
    &["compress"],
    &["train"],
    &["inspect"],
    &["explore"],
    &["plot"],
];

/// What still goes against the order.
const EXCEPTIONS: &[(&str, &str)] = &[];

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for path in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push((path.display().to_string(), fs::read_to_string(path).unwrap()));
        }
    }
}

/// A source without comments and tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The first names of all paths that begin at the crate, in `use` and anywhere else.
fn names(code: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    // A macro's own paths are those of whoever uses it.
    for rest in code.replace("$crate::", "").split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            found.push(word(rest));
            continue;
        };
        // What begins at the outermost level of the braces.
        let (mut depth, mut begins) = (0, true);
        for (i, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                c if begins && !c.is_whitespace() => {
                    found.push(word(&list[i..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn parts_use_those_before_them_only() {
    let src = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../src"));
    let mut files = Vec::new();
    sources(src, &mut files);
    let rank = |part: &str| ORDER.iter().position(|layer| layer.contains(&part));
    // Where the names stand that the crate's root has again.
    let root = code(&fs::read_to_string(src.join("lib.rs")).unwrap());
    let mut again = BTreeMap::new();
    for line in root.split("pub use ").skip(1) {
        let (part, rest) = line.split(';').next().unwrap().split_once("::").unwrap();
        if rank(part).is_none() {
            continue;
        }
        for name in rest.split(|c: char| !c.is_alphanumeric() && c != '_') {
            again.insert(name.to_string(), part.to_string());
        }
    }
    let (mut wrong, mut used, mut paths) = (Vec::new(), Vec::new(), 0);
    for (path, text) in files {
        let inside = path.rsplit_once("/src/").or(path.rsplit_once("\\src\\")).unwrap().1.to_string();
        let part = inside.split(['/', '\\', '.']).next().unwrap().to_string();
        if ["lib", "documents"].contains(&part.as_str()) || inside.ends_with("tests.rs") {
            continue;
        }
        let Some(own) = rank(&part) else {
            wrong.push(format!("{inside}: the order lacks {part}"));
            continue;
        };
        for name in names(&code(&text)) {
            let to = again.get(&name).unwrap_or(&name);
            // A macro of the crate is none of its parts.
            let Some(other) = rank(to) else { continue };
            paths += 1;
            if other <= own {
                continue;
            }
            match EXCEPTIONS.iter().position(|&(from, up)| (from, up) == (part.as_str(), to.as_str())) {
                Some(exception) => used.push(exception),
                None => wrong.push(format!("{inside} uses {to}, which comes after {part}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(paths > 500, "only {paths} paths were found");
    let unused = (0..EXCEPTIONS.len()).find(|i| !used.contains(i));
    assert!(unused.is_none(), "no exception any more: {:?}", unused.map(|i| EXCEPTIONS[i]));
}
