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
