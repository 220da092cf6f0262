//! A source as short as it gets: no comments, no space but between words, and names of one letter.

/// Names of the decoder, but for that of its data, and of functions, in the order in which letters are
/// given away, from A to Z and then with a digit.
const NAMES: &[&str] = &[
    "Decoder",
    "decoder",
    "letters",
    "CONTEXTS",
    "code",
    "range",
    "seen",
    "context",
    "bound",
    "one",
    "six",
    "node",
    "bits",
    "first",
    "symbol",
    "number",
    "numbers",
    "steps",
    "zero",
    "step",
    "codes",
    "back",
    "before",
    "looked_up",
    "table",
    "stepped",
    "group",
    "part",
    "unpruned",
    "bit",
    "max_of",
    "min_of",
    "abs_of",
    "exp_of",
    "log_of",
    "sqrt_of",
    "sigmoid_of",
    "tanh_of",
    "erf_of",
    "bits_of",
    "float_of",
    "forget",
    "isnt0",
    "row",
    "row_of",
    "rows",
];

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// One letter, or a letter and a digit.
fn short(word: &str) -> String {
    match NAMES.iter().position(|name| *name == word) {
        None => word.to_string(),
        Some(i) => {
            let letter = (b'A' + (i % 26) as u8) as char;
            if i < 26 { letter.to_string() } else { format!("{letter}{}", i / 26) }
        }
    }
}

/// The text without comments, and words that are next to each other only if they must be. Lines of the
/// preprocessor stay lines.
pub(super) fn compacted(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in text.lines() {
        let line = line.trim();
        inside |= line.starts_with("/*");
        if inside || line.starts_with("//") {
            inside &= !line.ends_with("*/");
            continue;
        }
        // What the file shows, nobody has to forbid.
        if line == "#![forbid(unsafe_code)]" {
            continue;
        }
        if line.starts_with('#') && !line.starts_with("#!") {
            out += &format!("{}{line}\n", if out.is_empty() || out.ends_with('\n') { "" } else { "\n" });
            continue;
        }
        let mut rest = line;
        // A line ends as a word would.
        let mut gap = true;
        while let Some(c) = rest.chars().next() {
            let end = match is_word(c) {
                true => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                false => c.len_utf8(),
            };
            let (token, after) = rest.split_at(end);
            rest = after;
            if c == ' ' {
                gap = true;
                continue;
            }
            // A field or a method of a number's name keeps it: only whole words are names of ours.
            if gap && is_word(c) && out.ends_with(is_word) {
                out.push(' ');
            }
            out += &short(token);
            gap = false;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::short;

    /// What is defined in a text: words behind others that say so, and in front of a type.
    fn defined(text: &str, before: &[&str]) -> Vec<String> {
        let code = text.lines().filter(|line| !line.trim().starts_with("//")).collect::<Vec<_>>().join(" ");
        let words: Vec<&str> =
            code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
        let pairs = words.windows(2).filter(|pair| before.contains(&pair[0]));
        pairs.map(|pair| pair[1].to_string()).collect()
    }

    #[test]
    fn whatever_is_printed_has_a_short_name() {
        let rust = [include_str!("decoder.rs"), include_str!("functions.rs")].concat();
        let c = [include_str!("decoder.c"), include_str!("functions.c")].concat();
        let names = defined(&rust, &["fn", "let"]);
        let names = [names, defined(&c, &["void", "float", "uint32_t", "int32_t"])].concat();
        assert!(names.len() > 50);
        // Two words of C for one type, and that of the data.
        let long = names
            .iter()
            .filter(|n| !["const", "mut", "data", "u"].contains(&n.as_str()) && short(n).len() > 2);
        assert_eq!(long.collect::<Vec<_>>(), Vec::<&String>::new());
    }
}
