//! That random programs have every operation there is.
use super::{operations, program::Op};
use std::collections::BTreeSet;

/// Operations that stand in the table by another name.
const OTHERWISE: &[(&str, &str)] = &[
    ("add number", "add_number"),
    ("mul number", "mul_number"),
    ("div number", "div_number"),
    ("number sub", "rsub_number"),
    ("number div", "rdiv_number"),
    ("powf", "pow_number"),
    ("nan_to_num", "replace_nonfinite"),
    ("attention", "scaled_dot_product_attention"),
    ("at and stack_scalars", "stack_scalars"),
    ("scalar exp", "to_scalars"),
];

/// What is no statement of a program, with the reason.
const WITHOUT: &[(&str, &str)] = &[
    ("constant", "every program has some"),
    ("input", "every program has some"),
    ("grad", "is asked of every program"),
    ("centre", "is the example of CONTRIBUTING.md, and there in tests only"),
    ("vjp", "`grad` of a sum of products, which is what every program is differentiated by"),
    ("param", "is an input that a model holds; recurrent layers' are substituted"),
    ("scalar", "an input that is a number; elements of inputs are taken"),
    ("scalars", "several of them"),
];

/// What is wrong with a list of operations.
pub fn gaps(list: &[Op]) -> Vec<String> {
    let all = operations::all();
    let other = |name: &'static str| OTHERWISE.iter().filter(move |(op, _)| *op == name).map(|(_, m)| *m);
    let plain = |name: &'static str| name.split(['(', ' ', '!']).next().unwrap_or(name);
    let names = list.iter().flat_map(|op| other(op.name).chain([plain(op.name)]));
    let known: BTreeSet<&str> = names.chain(WITHOUT.iter().map(|(name, _)| *name)).collect();
    let missing = all.iter().filter(|name| !known.contains(name.as_str()));
    let mut wrong: Vec<String> =
        missing.map(|name| format!("{name} is in no random program: tests/random")).collect();
    for (name, _) in WITHOUT.iter().filter(|(name, _)| !all.contains(*name)) {
        wrong.push(format!("{name} is excused in tests/random/coverage.rs, but there is no such operation"));
    }
    // Scalars have the table's functions, too.
    let on_scalars: BTreeSet<&str> = list.iter().filter_map(|op| op.name.strip_prefix("scalar ")).collect();
    let under = |name: &str| OTHERWISE.iter().any(|(op, m)| *m == name && on_scalars.contains(op));
    for name in operations::elementary() {
        let made_of = ["prelu", "replace_nonfinite"].contains(&name.as_str());
        if !made_of && !on_scalars.contains(name.as_str()) && !under(&name) {
            wrong.push(format!("{name} of scalars is in no random program: tests/random/scalars.rs"));
        }
    }
    wrong
}
