//! What the documents say about the repository: links lead somewhere, excerpts are in the source, names
//! exist.
use kolmo::{Tape, inspect::Explorer};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn files(folder: &Path, ext: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            files(&entry, ext, found);
        } else if entry.extension().is_some_and(|e| e == ext) {
            found.push(entry);
        }
    }
}

/// The Markdown files of the repository, with their text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    files(&root().join("docs"), "md", &mut found);
    let top = fs::read_dir(root()).unwrap().map(|e| e.unwrap().path());
    found.extend(top.filter(|p| p.extension().is_some_and(|e| e == "md")));
    found.into_iter().map(|p| (p.clone(), fs::read_to_string(p).unwrap())).collect()
}

/// The source of the crate as one text.
fn source() -> String {
    let mut found = Vec::new();
    files(&root().join("src"), "rs", &mut found);
    found.iter().map(|p| fs::read_to_string(p).unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_link_leads_to_a_file() {
    let mut links = 0;
    for (path, text) in documents() {
        for part in text.split("](").skip(1) {
            let target = part.split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            links += 1;
            let file = path.parent().unwrap().join(target);
            assert!(file.exists(), "{}: {target} is not there", path.display());
        }
    }
    assert!(links > 100, "only {links} links were found");
}

/// The line of a file on which something is defined, counted from 1; a lesson of the explorer by its title.
fn line_of(text: &str, name: &str) -> Option<usize> {
    let lesson = text.lines().find_map(|line| line.trim().strip_prefix(&format!("(\"{name}\", ")));
    let last = name.rsplit("::").next().unwrap_or(name).trim_end_matches('!');
    let name = lesson.and_then(|rest| rest.split(',').next()).unwrap_or(last);
    let is_word = |line: &str, what: &str| {
        let next = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        line.match_indices(what).any(|(at, _)| next(&line[at + what.len()..]))
    };
    let kinds = ["fn", "struct", "enum", "trait", "macro_rules!", "const"];
    let defines = |line: &str| kinds.iter().any(|kind| is_word(line, &format!("{kind} {name}")));
    let row = |line: &str| line.trim_start().starts_with(&format!("{name} "));
    let tests: [&dyn Fn(&str) -> bool; 3] =
        [&defines, &|line| line.starts_with("impl") && is_word(line, &format!(" for {name}")), &row];
    let found = tests.iter().find_map(|test| text.lines().position(test));
    found.map(|line| line + 1)
}

/// Links to lines, `[name](file#L12)`: the document, the name, the file, and the line.
fn links_to_lines() -> Vec<(PathBuf, String, PathBuf, usize)> {
    let mut links = Vec::new();
    for (path, text) in documents() {
        let ends: Vec<(usize, &str)> = text.match_indices("](").collect();
        for (at, _) in ends {
            let target = text[at + 2..].split(')').next().unwrap_or_default();
            let Some((file, line)) = target.split_once("#L") else { continue };
            let name = text[..at].rsplit('[').next().unwrap_or_default().trim_matches('`');
            let line = line.parse().unwrap_or(0);
            links.push((path.clone(), name.replace('\n', " "), path.parent().unwrap().join(file), line));
        }
    }
    links
}

/// What a link to a line names is seen where the link leads. Lines move with each change above them, so it need not be
/// the very line; the test below sets all of them right.
#[test]
fn links_to_lines_lead_to_what_they_name() {
    let links = links_to_lines();
    for (path, name, file, line) in &links {
        let is = line_of(&fs::read_to_string(file).unwrap(), name);
        let told = format!("{}: {name} is at line {is:?} of {}, not {line}", path.display(), file.display());
        assert!(
            is.is_some_and(|is| (*line..line + 20).contains(&is) || (is..is + 8).contains(line)),
            "{told}"
        );
    }
    assert!(links.len() > 50, "only {} links were found", links.len());
}

/// `cargo test --test suite documents -- --ignored`
#[test]
#[ignore = "writes into the documents"]
fn lines_of_links_are_written_anew() {
    for (path, name, file, line) in links_to_lines() {
        let Some(is) = line_of(&fs::read_to_string(&file).unwrap(), &name) else { continue };
        let text = fs::read_to_string(&path).unwrap();
        let target = |line: usize| {
            let file = file.strip_prefix(path.parent().unwrap()).unwrap();
            format!("[{name}]({}#L{line})", file.display())
        };
        let code = |link: String| link.replacen('[', "[`", 1).replacen(']', "`]", 1);
        let text = text.replace(&target(line), &target(is)).replace(&code(target(line)), &code(target(is)));
        fs::write(&path, text).unwrap();
    }
}

#[test]
fn excerpts_are_in_the_source() {
    let squeeze =
        |line: &str| line.split("//").next().unwrap_or_default().split_whitespace().collect::<String>();
    let source: String = source().lines().map(squeeze).collect();
    let mut lines = 0;
    for (path, text) in documents() {
        for block in text.split("```rust,ignore\n").skip(1) {
            for line in block.split("```").next().unwrap_or_default().lines() {
                lines += 1;
                assert!(source.contains(&squeeze(line)), "{}: not in src/: {line}", path.display());
            }
        }
    }
    assert!(lines > 5, "only {lines} lines of excerpts were found");
}

/// The example of an operation is compiled and tested as `src/ops/centre.rs`.
#[test]
fn the_operation_that_contributing_adds_is_the_one_that_is_tested() {
    let squeeze = |line: &str| line.split_whitespace().collect::<String>();
    let tested = fs::read_to_string(root().join("src/ops/centre.rs")).unwrap();
    let tested: Vec<String> = tested.lines().map(squeeze).collect();
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let example = text.split("//! A tensor less its mean").nth(1).and_then(|rest| rest.split("```\n").next());
    // What the list has instead is imported here.
    let imports = ["list::{Centre,Float},", "tape::{Rule,Step,Var},", "usestd::borrow::Cow;"];
    let mut lines = 0;
    for line in example.unwrap().lines().skip(1).map(squeeze).filter(|l| !imports.contains(&l.as_str())) {
        lines += 1;
        assert!(tested.contains(&line), "not in src/ops/centre.rs: {line}");
    }
    assert!(lines > 50, "only {lines} lines were found");
}

#[test]
fn names_in_the_tables_from_others_exist() {
    let source = source();
    let words: std::collections::HashSet<&str> =
        source.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    // Which of the columns is kolmo's.
    let tables = [("from_pytorch.md", 2), ("from_jax.md", 2), ("from_burn_and_candle.md", 3)];
    let texts =
        tables.map(|(file, column)| (fs::read_to_string(root().join("docs").join(file)).unwrap(), column));
    let rows = texts.iter().flat_map(|(text, column)| text.lines().map(move |line| (line, *column)));
    let mut names = 0;
    for (row, column) in rows.filter(|(line, _)| line.starts_with("| ")) {
        let Some(kolmo) = row.split('|').nth(column) else { continue };
        // Code stands between backticks: every second part.
        for code in kolmo.split('`').skip(1).step_by(2) {
            for word in code.split(|c: char| !(c.is_alphanumeric() || c == '_')) {
                let own =
                    ["x", "y", "p", "q", "g", "f", "net", "model", "path", "serde_json", "json", "kolmo"];
                if word.len() < 2 || word.chars().all(|c| c.is_ascii_digit()) || own.contains(&word) {
                    continue;
                }
                names += 1;
                assert!(words.contains(word), "{word} of {code} is nowhere in src/");
            }
        }
    }
    assert!(names > 100, "only {names} names were found");
}

#[test]
fn exercises_have_hidden_answers_that_check_themselves() {
    let mut count = 0;
    for (path, text) in documents() {
        let exercises = text.matches("## Exercise").count() + text.matches("**Exercise.**").count();
        let answers: Vec<&str> = text.split("<details>").skip(1).collect();
        assert_eq!(exercises, answers.len(), "{}", path.display());
        for answer in &answers {
            let hidden = answer.split("</details>").next().unwrap();
            // Programs run with the tests of documents.
            let program = hidden.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
            assert!(program.is_some_and(|program| program.contains("assert")), "{}", path.display());
        }
        count += answers.len();
        let chapter = path.file_name().unwrap().to_string_lossy().starts_with(|c: char| c.is_ascii_digit());
        assert!(!chapter || !answers.is_empty(), "{} has no exercise", path.display());
    }
    assert!(count > 15, "only {count} exercises were found");
}

#[test]
fn lessons_and_chapters_name_each_other() {
    let tape = Tape::<f64>::new();
    tape.set_observing(true);
    let x = tape.scalar(1.0);
    let _ = (x * x).backward().unwrap();
    let page = Explorer::new(&tape).html().unwrap();
    let index = fs::read_to_string(root().join("docs/course/README.md")).unwrap();
    let rows = index.lines().skip_while(|line| !line.starts_with("| lesson")).skip(2);
    let titles = rows
        .take_while(|line| line.starts_with('|'))
        .flat_map(|row| row.split('|').nth(1).unwrap().split(';'));
    let titles: Vec<&str> = titles.map(str::trim).collect();
    for title in &titles {
        assert!(page.contains(&format!("\"title\":\"{title}\"")), "the explorer has no lesson {title}");
    }
    let chapters = page.split("More on this in the course: ").skip(1);
    // The lessons' own source is on the page as well.
    let chapters: Vec<&str> = chapters
        .map(|rest| rest.split(' ').next().unwrap())
        .filter(|chapter| !chapter.contains('{'))
        .collect();
    assert_eq!(titles.len(), chapters.len(), "lessons in the course's index, and in the explorer");
    for chapter in chapters {
        assert!(root().join(chapter).exists(), "{chapter} is not there");
    }
    // Back: the chapter that a lesson names leads to it.
    let lessons = fs::read_to_string(root().join("src/inspect/explore/lessons.rs")).unwrap();
    for title in titles {
        let row = lessons.lines().find(|line| line.trim().starts_with(&format!("(\"{title}\", "))).unwrap();
        let chapter = format!("docs/course/{}.md", row.rsplit('"').nth(1).unwrap());
        let text = fs::read_to_string(root().join(&chapter)).unwrap();
        assert!(
            text.contains(&format!("[{title}](../../src/")),
            "{chapter} has no link to the lesson {title}"
        );
    }
}

/// What rustdoc's search finds: names of items, and aliases. It looks neither at capitals nor at underlines.
fn found_by_search(source: &str) -> std::collections::HashSet<String> {
    let kinds = ["fn", "struct", "enum", "trait", "mod", "type", "macro_rules"];
    let mut found = std::collections::HashSet::new();
    for line in source.lines() {
        let words: Vec<&str> = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
        let words: Vec<&str> = words.into_iter().filter(|w| !w.is_empty()).collect();
        found.extend(words.windows(2).filter(|w| kinds.contains(&w[0])).map(|w| searched(w[1])));
        if line.contains("[doc(alias") {
            found.extend(line.split('"').skip(1).step_by(2).map(searched));
        }
    }
    found
}

fn searched(name: &str) -> String {
    name.to_lowercase().replace('_', "")
}

#[test]
fn names_of_pytorch_are_found_in_the_search() {
    let found = found_by_search(&source());
    // Python's, not PyTorch's.
    let others = ["class", "print"];
    let text = fs::read_to_string(root().join("docs/from_pytorch.md")).unwrap();
    let (mut names, mut missing) = (0, Vec::new());
    for row in text.lines().filter(|l| l.starts_with("| ")) {
        let (Some(theirs), Some(ours)) = (row.split('|').nth(1), row.split('|').nth(2)) else { continue };
        // What macros make has its name in the table itself.
        let same = ours.split(|c: char| !(c.is_alphanumeric() || c == '_')).map(searched);
        let same: std::collections::HashSet<String> = same.collect();
        if ours.trim().is_empty() {
            continue;
        }
        for code in theirs.split('`').skip(1).step_by(2) {
            // `torch.nn.Linear(4, 3)` is Linear, `p.requires_grad = False` is requires_grad.
            let path = code.split(['(', '[', '=', ' ']).next().unwrap_or_default();
            let name = path.rsplit('.').next().unwrap_or_default();
            if name.len() < 2 || !name.starts_with(char::is_alphabetic) || others.contains(&name) {
                continue;
            }
            names += 1;
            let name_searched = searched(name);
            if !found.contains(&name_searched) && !same.contains(&name_searched) {
                missing.push(name);
            }
        }
    }
    assert!(names > 100, "only {names} names were found");
    assert!(missing.is_empty(), "no #[doc(alias = …)] in src for {missing:?} of docs/from_pytorch.md");
}

/// The headings of the blocks that give `Var` methods; a block of public ones without a heading is its first
/// method.
fn headings_of_var() -> Vec<Result<String, String>> {
    let source = source();
    let lines: Vec<&str> = source.lines().collect();
    let mut headings = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let block = line.trim_start();
        if !block.starts_with("impl<'t, T: ") || !block.ends_with("> Var<'t, T> {") {
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - block.len()]);
        let body = lines[i..].iter().take_while(|l| **l != end);
        let Some(method) = body.map(|l| l.trim_start()).find(|l| l.starts_with("pub fn ")) else { continue };
        // The example of CONTRIBUTING.md is there in tests only.
        if method.starts_with("pub fn centre(") {
            continue;
        }
        let heading = lines[i - 1].trim_start().strip_prefix("/// # ");
        headings.push(heading.map(str::to_string).ok_or_else(|| method.to_string()));
    }
    headings
}

#[test]
fn the_front_page_has_the_headings_of_var() {
    let headings = headings_of_var();
    assert!(headings.len() > 30, "only {} headings were found", headings.len());
    let front = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for heading in headings {
        let heading =
            heading.unwrap_or_else(|method| panic!("no heading `/// # …` over the block of {method}"));
        let letters = heading.to_lowercase().replace(' ', "-");
        let anchor: String = letters.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect();
        assert!(front.contains(&format!("(Var#{anchor})")), "src/lib.rs doesn't lead to Var#{anchor}");
    }
}
