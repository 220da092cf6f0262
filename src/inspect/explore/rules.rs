//! The formulas of operations: what each computes and what its rule adds to the adjoint of each operand. `a`,
//! `b`, `c` are the operands, `y` the result, `ȳ` its adjoint.
use crate::real::About;
use serde::Serialize;

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Formula {
    /// The value; empty if there is no short formula.
    pub value: String,
    /// What is added to the adjoint of each operand; the last one stands for all that follow.
    pub gives: Vec<String>,
    /// A remark on what is kept or how it is done.
    pub note: String,
}

/// The formula of an operation: as it is told, or as the table of elementary functions writes its derivative.
pub(super) fn formula(op: &str, about: &About) -> Option<Formula> {
    let text = |s: &str| s.to_string();
    if !(about.value.is_empty() && about.note.is_empty()) {
        let gives = about.gradients.iter().map(|g| text(g)).collect();
        return Some(Formula { value: text(about.value), gives, note: text(about.note) });
    }
    let gives: Vec<String> = about.written.iter().map(|code| plain(code)).collect();
    let operands = ["a", "b"].get(..gives.len()).filter(|operands| !operands.is_empty())?.join(", ");
    Some(Formula {
        value: format!("{op}({operands})"),
        gives,
        note: text("The rule as the source writes it."),
    })
}

/// Rust's expression with numbers instead of `R::constant(…)`, and with the names that formulas have here.
fn plain(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code.split_whitespace().collect::<Vec<_>>().join(" ").replace(" :: ", "::");
    while let Some(at) = rest.find("R::constant(") {
        out.push_str(&rest[..at]);
        let inside = rest[at + "R::constant(".len()..].to_string();
        let mut depth = 1;
        let end = inside.find(|c| {
            depth += (c == '(') as i32 - (c == ')') as i32;
            depth == 0
        });
        let end = end.unwrap_or(inside.len());
        let number = inside[..end].trim_end_matches(".0").rsplit("::").next().unwrap_or_default().to_string();
        out.push_str(&number);
        rest = inside.get(end + 1..).unwrap_or_default().to_string();
    }
    out.push_str(&rest);
    let mut words = String::new();
    let mut word = String::new();
    for c in out.chars().chain([' ']) {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        words.push_str(match word.as_str() {
            "g" => "ȳ",
            "x" => "a",
            other => other,
        });
        word.clear();
        words.push(if c == '*' { '·' } else { c });
    }
    words.trim().replace("R::select", "select").replace("value::", "").replace("slope::", "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::about::elementary;

    #[test]
    fn every_elementary_function_has_a_formula() {
        let of = |op: &str| formula(op, elementary(op).unwrap()).unwrap();
        let atan = of("atan");
        assert_eq!((atan.value.as_str(), atan.gives[0].as_str()), ("atan(a)", "ȳ / (a · a + 1)"));
        assert_eq!(of("log2").gives, ["ȳ / (a · LN_2)"]);
        assert_eq!(of("atan2").gives.len(), 2);
        assert_eq!(of("exp").gives, ["ȳ · y"]);
        assert_eq!(formula("a_user's", &About::NOTHING), None);
    }
}
