//! The operations there are, read from the sources: what a list of them must be complete against.
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries.flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => sources(&path, out),
            false if path.extension().is_some_and(|e| e == "rs") => out.push(path),
            false => {}
        }
    }
}

fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

/// What stands between this line and a line that is its closing brace.
fn body<'a>(text: &'a str, open: &str, close: &str) -> &'a str {
    let rest = text.split_once(open).map_or("", |(_, rest)| rest);
    rest.split_once(close).map_or(rest, |(body, _)| body)
}

/// Names of the methods that the macros make which write methods of `Var`, by the file.
fn of_macro(file: &str, text: &str) -> Vec<String> {
    let lowercase = |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase());
    let words = |body: &str| {
        let lines = body.lines().filter(|line| !line.trim_start().starts_with("//"));
        let outside = lines.flat_map(|line| line.split('"').step_by(2)).collect::<Vec<_>>().join(" ");
        let words = outside.split([' ', ';', '\n']).filter(lowercase);
        words.map(String::from).collect::<Vec<_>>()
    };
    match file {
        "conv.rs" => words(body(text, "\nconvolutions! {", "\n}")),
        "pool.rs" => words(body(text, "\npools! {", "\n}")),
        "compare.rs" => {
            let lines = body(text, "    comparisons! {", "\n    }\n").lines().map(str::trim);
            lines.filter(|line| line.contains(" |a, b| ")).map(|line| first_word(line).into()).collect()
        }
        _ => Vec::new(),
    }
}

/// The functions of each element in `src/real/table.rs`: a name and a variant at the head of a row.
pub fn elementary() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/real/table.rs");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let row = |line: &str| {
        let line = line.strip_prefix("            ")?;
        let name = first_word(line);
        let variant = line.strip_prefix(name)?.strip_prefix(' ')?;
        let rest = variant.strip_prefix(first_word(variant))?.trim_start();
        let named = name.starts_with(|c: char| c.is_ascii_lowercase())
            && variant.starts_with(|c: char| c.is_ascii_uppercase());
        (named && rest.starts_with(['(', '['])).then(|| name.to_string())
    };
    let names: BTreeSet<String> = text.lines().filter_map(row).collect();
    assert!(names.len() > 70, "rows of {}: {names:?}", path.display());
    names
}

/// Every public method of `Var` and `Tape` that gives a `Var`, a scalar or a mask.
pub fn all() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let (mut files, mut names, mut made) = (Vec::new(), elementary(), Vec::new());
    sources(&root, &mut files);
    for path in files {
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = path.file_name().and_then(|f| f.to_str()).unwrap_or_default();
        if text.contains("pub fn $") && text.contains("> Var<'t, T> {") {
            made.push(file.to_string());
            names.extend(of_macro(file, &text));
        }
        // Losses of a target: a name before a bracket and, behind it, the type.
        let losses = body(&text, "\nof_target! {", "\n}").lines();
        let losses = losses.filter(|line| line.ends_with(';') && !line.trim_start().starts_with("//"));
        names.extend(losses.map(|line| first_word(line.trim_start()).to_string()));
        for part in text.split("\nimpl<").skip(1) {
            let (head, rest) = part.split_once(" {\n").unwrap_or((part, ""));
            let (var, tape) = (head.ends_with("> Var<'t, T>"), head.ends_with("> Tape<T>"));
            if !var && !tape {
                continue;
            }
            let block = rest.split_once("\n}\n").map_or(rest, |(block, _)| block);
            for method in block.split("\n    pub fn ").skip(1) {
                let head = method.split_once(" {\n").map_or(method, |(head, _)| head);
                let result = head.rsplit_once("-> ").map_or("", |(_, result)| result);
                let given = ["Var<", "Scalar<", "Tensor<bool>"].iter().any(|kind| result.contains(kind));
                if given && !result.starts_with('&') {
                    names.insert(first_word(method).into());
                }
            }
        }
    }
    made.sort();
    let known = ["binary.rs", "compare.rs", "conv.rs", "options.rs", "pool.rs", "unary.rs"];
    assert_eq!(made, known, "files with macros that write methods, whose names have to be found");
    assert!(names.len() > 200, "{names:?}");
    names
}
