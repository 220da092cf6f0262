//! The order of the crate's parts: each uses those before it, so that they can be read, and changed, one
//! after the other. No files use each other in a circle, and the system is met at its doors.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::{fs, path::Path};

/// From the ground up; what stands on one line may use each other. A folder in a part can be one of its own.
const ORDER: &[&[&str]] = &[
    &[
        "arithmetic",
        "checked",
        "clock",
        "error",
        "files",
        "ids",
        "isa",
        "numbers",
        "options",
        "protobuf",
        "threads",
    ],
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
    &["distributed"],
    &["search"],
    &["compress"],
    &["onnx"],
    &["train"],
    &["inspect"],
    &["inspect/explore"],
    &["plot"],
];

/// What of the standard library only one file or folder names, but for the type of a thread's own variable.
const DOORS: &[(&str, &str)] = &[
    ("std::fs", "files"),
    ("std::thread", "threads/"),
    ("std::time::Instant", "clock.rs"),
    ("std::time::SystemTime", "clock.rs"),
];
const OPEN: &str = "std::thread::LocalKey";

/// A path, name by name. Those from the crate's root stand for modules and so for their files.
type Names = Vec<String>;

#[derive(Default)]
struct Source {
    file: String,
    /// What it imports, by the name that it has here.
    uses: BTreeMap<String, Names>,
    globs: Vec<Names>,
    /// All paths in it.
    paths: BTreeSet<Names>,
    /// What it defines, but for what macros make.
    items: BTreeSet<String>,
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Words, `::` and other characters of a source without comments and tests.
fn tokens(text: &str) -> Vec<String> {
    let text = text.split("\nmod tests {").next().unwrap_or_default();
    let text: String =
        text.lines().map(|line| line.split("//").next().unwrap_or_default().to_string() + " ").collect();
    let spaced = |c: char| if is_word(&c.to_string()) { c.to_string() } else { format!(" {c} ") };
    let text: String = text.chars().map(spaced).collect();
    text.replace(" :  : ", " :: ").split_whitespace().map(String::from).collect()
}

impl Source {
    fn read(file: String, text: &str) -> Source {
        let (mut source, tokens, mut i) = (Source { file, ..Source::default() }, tokens(text), 0);
        while let Some(token) = tokens.get(i) {
            let before = i.checked_sub(1).map_or("", |i| &tokens[i]);
            i += 1;
            match token.as_str() {
                "use" if ";{}])".contains(before) || before == "pub" => source.tree(&tokens, &mut i, &[]),
                "struct" | "enum" | "trait" | "fn" | "const" | "static" | "type" | "union" | "!" => {
                    source.items.extend(tokens.get(i).filter(|name| is_word(name)).cloned());
                }
                word if is_word(word) => {
                    let rest = tokens[i..].chunks_exact(2).take_while(|t| t[0] == "::" && is_word(&t[1]));
                    let path: Names = [token].into_iter().chain(rest.map(|t| &t[1])).cloned().collect();
                    i += 2 * (path.len() - 1);
                    // A macro's own paths are those of whoever uses it, and `pub(in …)` uses nothing.
                    if path.len() > 1 && !["::", "$", "in"].contains(&before) {
                        source.paths.insert(path);
                    }
                }
                _ => {}
            }
        }
        source
    }

    /// What a `use` brings, from behind one of its names to the end of the list or statement that it stands
    /// in.
    fn tree(&mut self, tokens: &[String], i: &mut usize, start: &[String]) {
        let (mut path, mut name) = (start.to_vec(), None);
        while let Some(token) = tokens.get(*i) {
            *i += 1;
            match token.as_str() {
                "::" => {}
                "{" => self.tree(tokens, i, &path),
                "*" => {
                    self.paths.insert(path.clone());
                    self.globs.push(path.clone());
                }
                "as" => (name, *i) = (tokens.get(*i).cloned(), *i + 1),
                "self" if !start.is_empty() => {}
                word if is_word(word) => path.push(word.into()),
                end => {
                    // Not behind a list or a star.
                    if let Some(last) = path.last().filter(|_| path.len() > 1 && is_word(&tokens[*i - 2])) {
                        self.uses.insert(name.take().unwrap_or(last.clone()), path.clone());
                        self.paths.insert(path);
                    }
                    path = start.to_vec();
                    if end != "," {
                        return;
                    }
                }
            }
        }
    }
}

/// All files by their modules.
struct Crate(BTreeMap<Names, Source>);

impl Crate {
    fn read() -> Crate {
        let src = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../src"));
        let (mut files, mut paths) = (BTreeMap::new(), vec![src.to_path_buf()]);
        while let Some(path) = paths.pop() {
            if path.is_dir() {
                paths.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let names =
                path.strip_prefix(src).unwrap().iter().map(|name| name.to_string_lossy().into_owned());
            let (names, file) = (names.clone(), names.collect::<Names>().join("/"));
            if file.ends_with(".rs") && !file.ends_with("tests.rs") && file != "documents.rs" {
                let names = names.map(|name| name.trim_end_matches(".rs").to_string());
                let module = names.filter(|name| !["lib", "mod"].contains(&name.as_str())).collect();
                files.insert(module, Source::read(file, &fs::read_to_string(path).unwrap()));
            }
        }
        Crate(files)
    }

    /// A path from the crate's root; `None` if it begins in another crate.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Names> {
        let above = path.iter().take_while(|name| *name == "super").count();
        let (base, rest) = match path.first()?.as_str() {
            "crate" => (&[][..], &path[1..]),
            "self" => (module, &path[1..]),
            "super" => (&module[..module.len().checked_sub(above)?], &path[above..]),
            first => {
                let here = self.0.contains_key(&[module, &path[..1]].concat());
                (module, if here || self.0[module].uses.contains_key(first) { path } else { return None })
            }
        };
        Some([base, rest].concat())
    }

    /// The module whose file defines what a path from the root leads to, through all that have it again.
    fn definer(&self, path: &[String], depth: usize) -> Names {
        let mut module = Names::new();
        for (i, name) in path.iter().enumerate() {
            let (source, child) = (&self.0[&module], [&module[..], &path[i..=i]].concat());
            if self.0.contains_key(&child) {
                module = child;
                continue;
            }
            // What comes from another crate is this file's to give.
            let target = source.uses.get(name).and_then(|target| self.absolute(&module, target));
            if let Some(target) = target.filter(|target| *target != child && depth < 12) {
                return self.definer(&[&target[..], &path[i + 1..]].concat(), depth + 1);
            }
            let known = |target: &Names| self.0.get(target).is_some_and(|source| source.items.contains(name));
            let mut globs = source.globs.iter().filter_map(|glob| self.absolute(&module, glob)).filter(known);
            let from = if source.items.contains(name) { None } else { globs.next() };
            return from.unwrap_or(module);
        }
        module
    }

    /// What each file but the root uses, and by which path.
    fn edges(&self) -> BTreeMap<&Names, BTreeMap<Names, String>> {
        let mut edges = BTreeMap::new();
        for (module, source) in self.0.iter().filter(|(module, _)| !module.is_empty()) {
            let used: &mut BTreeMap<_, _> = edges.entry(module).or_default();
            for path in &source.paths {
                let to = self.absolute(module, path).map(|path| self.definer(&path, 0));
                used.extend(to.filter(|to| !to.is_empty() && to != module).map(|to| (to, path.join("::"))));
            }
        }
        edges
    }
}

#[test]
fn parts_use_those_before_them_only() {
    let all = Crate::read();
    let place = |part: &[String]| ORDER.iter().position(|layer| layer.contains(&&*part.join("/")));
    let rank = |path: &[String]| path.get(..2).and_then(place).or_else(|| place(&path[..1]));
    let (mut wrong, mut count) = (BTreeSet::new(), 0);
    for (module, used) in all.edges() {
        count += used.len();
        let (file, own) = (&all.0[module].file, rank(module));
        // Also by way of a part that has it again.
        let named = all.0[module].paths.iter().filter(|path| path[0] == "crate");
        let named = named.map(|path| (path[1..].to_vec(), path.join("::")));
        // A folder's own file may have again what its parts define.
        for (to, path) in used.into_iter().filter(|(to, _)| !to.starts_with(module)).chain(named) {
            if own.is_none() || rank(&to) > own {
                wrong.insert(format!("{file} uses {} ({path}), which doesn't come before it", to.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", Vec::from_iter(wrong).join("\n"));
    assert!(count > 1000, "only {count} uses were found");
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let all = Crate::read();
    let edges = all.edges();
    let (mut circles, mut told) = (Vec::new(), BTreeSet::new());
    for &start in edges.keys() {
        // The shortest way back to where it began, but for files whose circle was told.
        let (mut before, mut next) = (BTreeMap::new(), VecDeque::from([start]));
        while let Some(module) = next.pop_front() {
            for to in edges[module].keys().filter(|to| !told.contains(*to)) {
                before.entry(to).or_insert_with(|| (next.push_back(to), module).1);
            }
        }
        let (mut chain, mut at) = (String::new(), start);
        while let Some(from) = before.get(at).filter(|_| before.contains_key(start)) {
            chain = format!(" -> {} ({}){chain}", all.0[at].file, edges[from][at]);
            (at, _) = (from, told.insert(*from));
            if at == start {
                circles.push(format!("{}{chain}", all.0[start].file));
                break;
            }
        }
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn the_system_is_met_at_its_doors() {
    let mut wrong = Vec::new();
    for source in Crate::read().0.values() {
        for path in source.paths.iter().map(|path| path.join("::")).filter(|path| path != OPEN) {
            let door = DOORS.iter().find(|(what, _)| path.starts_with(what));
            if let Some((_, door)) = door.filter(|(_, door)| !source.file.starts_with(door)) {
                wrong.push(format!("{} names {path}, which is the business of {door}", source.file));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
