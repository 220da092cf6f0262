//! JSON changed at random, so that it stays JSON.
use serde_json::{Value, json};

/// Numbers without order that are the same in every run.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

/// Another number in the place of one; those in the middle would only ask for more memory than a test should
/// take.
fn number(random: &mut Numbers) -> Value {
    match random.below(14) {
        0 | 1 => json!(0),
        2 => json!(1),
        3 => json!(2),
        4 => json!(3),
        5 => json!(7),
        6 => json!(-1),
        7 => json!(0.5),
        8 => json!(-0.5),
        9 => json!(1e300),
        10 => json!(u64::MAX),
        11 => json!(i64::MIN),
        12 => json!(1u64 << 62),
        _ => Value::Null,
    }
}

/// All places of a value.
fn places(value: &Value, path: String, all: &mut Vec<String>) {
    match value {
        Value::Array(parts) => {
            // Of long lists the first places say as much as the others.
            parts.iter().enumerate().take(5).for_each(|(i, part)| places(part, format!("{path}/{i}"), all));
        }
        Value::Object(parts) => parts.iter().for_each(|(key, part)| {
            let key = key.replace('~', "~0").replace('/', "~1");
            places(part, format!("{path}/{key}"), all);
        }),
        _ => {}
    }
    all.push(path);
}

pub fn mutate(value: &mut Value, random: &mut Numbers) {
    let mut all = Vec::new();
    places(value, String::new(), &mut all);
    let place = all[random.below(all.len())].clone();
    let other = value.pointer(&all[random.below(all.len())]).cloned().unwrap_or(Value::Null);
    let Some(at) = value.pointer_mut(&place) else { return };
    match at {
        Value::Number(_) => *at = number(random),
        Value::Array(parts) => match random.below(5) {
            0 => drop(parts.pop()),
            1 => parts.extend(parts.first().cloned()),
            2 => parts.push(number(random)),
            3 => parts.reverse(),
            _ => parts.clear(),
        },
        Value::Object(parts) => {
            let keys: Vec<String> = parts.keys().cloned().collect();
            let [a, b] = [0, 1].map(|_| keys.get(random.below(keys.len())).cloned().unwrap_or_default());
            match random.below(3) {
                0 => drop(parts.remove(&a)),
                1 => {
                    let one = parts.get(&a).cloned().unwrap_or(Value::Null);
                    let two = parts.insert(b, one).unwrap_or(Value::Null);
                    parts.insert(a, two);
                }
                _ => drop(parts.insert(a, number(random))),
            }
        }
        Value::Bool(on) => *on = !*on,
        Value::Null => *at = number(random),
        Value::String(_) if random.below(2) == 0 => *at = json!("0"),
        Value::String(_) => *at = other,
    }
}
