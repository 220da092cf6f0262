//! The formulas of operations: what each computes and what its rule adds to the adjoint of each operand. `a`,
//! `b`, `c` are the operands, `y` the result, `ȳ` its adjoint.
use crate::real::written::derivatives;
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

const FORMULAS: &[(&str, &str, &[&str], &str)] = &[
    ("input", "", &[], "A value that gradients are taken with respect to. The sweep ends here."),
    ("param", "", &[], "A parameter of the model. The sweep ends here; an optimiser reads the adjoint."),
    ("add", "a + b", &["ȳ", "ȳ"], "Where an operand was broadcast, its part is summed back to its shape."),
    ("sub", "a − b", &["ȳ", "−ȳ"], "Where an operand was broadcast, its part is summed back to its shape."),
    ("mul", "a · b", &["ȳ · b", "ȳ · a"], "Each operand is kept for the other's derivative."),
    ("div", "a / b", &["ȳ / b", "−ȳ · y / b"], ""),
    ("pow", "aᵇ", &["ȳ · b · aᵇ⁻¹", "ȳ · y · ln a"], ""),
    ("neg", "−a", &["−ȳ"], ""),
    ("exp", "eᵃ", &["ȳ · y"], "The derivative of eᵃ is eᵃ: the result is kept, not the operand."),
    ("log", "ln a", &["ȳ / a"], ""),
    ("sqrt", "√a", &["ȳ / 2y"], "The result is kept. At 0 the derivative is infinite."),
    ("sin", "sin a", &["ȳ · cos a"], ""),
    ("cos", "cos a", &["−ȳ · sin a"], ""),
    ("tan", "tan a", &["ȳ · (1 + y²)"], "The result is kept."),
    ("tanh", "tanh a", &["ȳ · (1 − y²)"], "The result is kept."),
    ("sigmoid", "1 / (1 + e⁻ᵃ)", &["ȳ · y · (1 − y)"], "The result is kept."),
    (
        "relu",
        "max(a, 0)",
        &["ȳ where a > 0, else 0"],
        "At 0 any number from 0 to 1 is a subgradient; the rule takes 0.",
    ),
    ("abs", "|a|", &["ȳ · sign a"], "At 0 any number from −1 to 1 is a subgradient; the rule takes 0."),
    ("square", "a²", &["ȳ · 2a"], ""),
    ("reciprocal", "1 / a", &["−ȳ · y²"], "The result is kept."),
    ("rsqrt", "1 / √a", &["−ȳ · y³ / 2"], "The result is kept."),
    ("silu", "a · sigmoid(a)", &["ȳ · s · (1 + a · (1 − s)), s = sigmoid(a)"], ""),
    (
        "gelu",
        "a · Φ(a)",
        &["ȳ · (Φ(a) + a · φ(a))"],
        "Φ is the distribution function of the normal distribution, φ its density.",
    ),
    ("softplus", "ln(1 + eᵃ)", &["ȳ · sigmoid(a)"], ""),
    ("add_number", "a + number", &["ȳ"], "Nothing is kept."),
    ("mul_number", "a · number", &["ȳ · number"], "Nothing is kept."),
    ("div_number", "a / number", &["ȳ / number"], "Nothing is kept."),
    ("rsub_number", "number − a", &["−ȳ"], "Nothing is kept."),
    ("clamp", "min(max(a, min), max)", &["ȳ between the bounds, else 0"], ""),
    ("maximum", "max(a, b)", &["ȳ where a > b", "ȳ where b > a"], "On a tie each gets half."),
    ("minimum", "min(a, b)", &["ȳ where a < b", "ȳ where b < a"], "On a tie each gets half."),
    ("select", "one of a and b, by a mask", &["ȳ where a was taken", "ȳ where b was taken"], ""),
    ("where", "b where the mask a is true, else c", &["", "ȳ where a, else 0", "0 where a, else ȳ"], ""),
    ("dot", "Σ aᵢ · bᵢ", &["ȳ · the partner"], "One statement with as many arguments as there are factors."),
    ("sum_of_squares", "Σ aᵢ²", &["ȳ · 2aᵢ"], "One statement with as many arguments as there are terms."),
    ("at", "one element of a", &["ȳ, added to that element"], "From tensors to scalars."),
    (
        "stack_scalars",
        "scalars as one tensor",
        &["the element of ȳ at its place"],
        "From scalars to tensors.",
    ),
    (
        "matmul",
        "a · b",
        &["ȳ · bᵀ", "aᵀ · ȳ"],
        "Two products on the way back; each operand is kept for the other's.",
    ),
    (
        "linear",
        "a · bᵀ + c",
        &["ȳ · b", "ȳᵀ · a", "ȳ summed over the rows"],
        "b is the weight [out, in], c the bias. Two products on the way back.",
    ),
    ("sum", "Σ a", &["ȳ, spread over a's shape"], "Only the shape is needed on the way back."),
    ("mean", "Σ a / n", &["ȳ / n, spread over a's shape"], "Only the shape is needed on the way back."),
    ("prod", "∏ a", &["ȳ · y / a"], "For elements that aren't 0; else as a tree of products."),
    ("amax", "the largest of a", &["ȳ at the largest"], "Equal ones share it."),
    ("amin", "the smallest of a", &["ȳ at the smallest"], "Equal ones share it."),
    ("cumsum", "sums of a up to each element", &["sums of ȳ from each element on"], ""),
    ("reshape", "a in another shape", &["ȳ in a's shape"], "Nothing is computed."),
    ("permute", "a with its axes in another order", &["ȳ with its axes put back"], "Nothing is copied."),
    (
        "expand",
        "a repeated along axes",
        &["ȳ summed back to a's shape"],
        "What forward is copied, backward is summed.",
    ),
    ("slice", "part of a", &["zeros with ȳ put in at its place"], ""),
    ("unslice", "zeros with a put in at its place", &["the part of ȳ"], ""),
    ("flip", "a with axes reversed", &["ȳ with axes reversed"], ""),
    ("cat", "the operands one after the other", &["its part of ȳ"], ""),
    (
        "index_select",
        "slices of a, by index",
        &["ȳ, added at the indices"],
        "An index that occurs twice gets both parts: an embedding's rule.",
    ),
    ("index_select_transposed", "zeros, with slices of a added by index", &["slices of ȳ, by index"], ""),
    (
        "take",
        "elements of a, by position",
        &["ȳ, added at the positions"],
        "Max pooling, sorting and the like read by position.",
    ),
    ("take_transposed", "zeros, with elements of a added by position", &["elements of ȳ, by position"], ""),
    ("softmax", "eᵃ / Σ eᵃ", &["y · (ȳ − Σ ȳ · y)"], "The result is kept."),
    (
        "causal_softmax",
        "eᵃ / Σ eᵃ over what isn't later",
        &["y · (ȳ − Σ ȳ · y)"],
        "Row i sees its first i + 1 elements. The result is kept.",
    ),
    ("log_softmax", "a − ln Σ eᵃ", &["ȳ − eʸ · Σ ȳ"], "The result is kept."),
    ("logsumexp", "ln Σ eᵃ", &["ȳ · softmax(a)"], ""),
    (
        "cross_entropy",
        "mean of −ln softmax(a) at the labels",
        &["ȳ · (softmax(a) − one-hot) / n"],
        "Softmax and logarithm in one operation.",
    ),
    (
        "layer_norm",
        "(a − mean) / deviation · weight + bias",
        &[
            "the part of ȳ · b that changes neither mean nor deviation",
            "ȳ · the normalised a, summed",
            "ȳ, summed",
        ],
        "Mean and deviation are computed again on the way back.",
    ),
    (
        "attention",
        "softmax(a · bᵀ · scale) · c",
        &["through the scores, to queries", "through the scores, to keys", "scoresᵀ · ȳ, to values"],
        "The scores are computed again in blocks, not kept.",
    ),
    ("conv", "a ∗ b", &["ȳ, transposed convolution with b", "ȳ, correlated with a"], ""),
    ("conv_transpose", "transposed convolution of a with b", &["ȳ ∗ b", "a, correlated with ȳ"], ""),
    ("solve", "a⁻¹ · b", &["−a⁻ᵀȳ · yᵀ", "a⁻ᵀ · ȳ"], "The result is kept."),
    ("cholesky", "L with L·Lᵀ = a", &["L⁻ᵀ · sym(Lᵀȳ) · L⁻¹"], "The result is kept."),
    ("det", "det a", &["ȳ · adj(a)ᵀ"], ""),
    (
        "checkpoint",
        "one block of the program",
        &["the block run again, and swept"],
        "Nothing inside the block is kept: less memory for more time.",
    ),
    (
        "fused",
        "an expression, in one statement",
        &["ȳ · its partial derivative"],
        "Value and derivatives come from one run on dual numbers.",
    ),
    (
        "forward",
        "one block, on dual numbers",
        &["ȳ · its partial derivative"],
        "Nothing inside the block was recorded.",
    ),
    (
        "preaccumulate",
        "one block, made short",
        &["ȳ · its partial derivative"],
        "What the block recorded was replaced by this one statement.",
    ),
    ("statement", "value with its partial derivatives", &["ȳ · its partial derivative"], ""),
];

/// The formula of an operation: from the list, or as the table of elementary functions writes its derivative.
pub(super) fn formula(op: &str) -> Option<Formula> {
    let text = |s: &str| s.to_string();
    let known = if matches!(op, "batch_norm" | "group_norm" | "instance_norm") { "layer_norm" } else { op };
    if let Some((_, value, gives, note)) = FORMULAS.iter().find(|(name, ..)| *name == known) {
        let gives = gives.iter().map(|g| text(g)).collect();
        return Some(Formula { value: text(value), gives, note: text(note) });
    }
    let gives: Vec<String> = derivatives(op)?.iter().map(|code| plain(code)).collect();
    let operands = ["a", "b"].get(..gives.len()).unwrap_or_default().join(", ");
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

    #[test]
    fn every_elementary_function_has_a_formula() {
        let erf = formula("atan").unwrap();
        assert_eq!((erf.value.as_str(), erf.gives[0].as_str()), ("atan(a)", "ȳ / (a · a + 1)"));
        assert_eq!(formula("log2").unwrap().gives, ["ȳ / (a · LN_2)"]);
        assert_eq!(formula("atan2").unwrap().gives.len(), 2);
        assert_eq!(formula("exp").unwrap().gives, ["ȳ · y"]);
        assert_eq!(formula("a_user's"), None);
    }
}
