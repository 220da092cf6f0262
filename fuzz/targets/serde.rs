//! JSON of every type that serde reads: the first byte of an input chooses the type, the rest is the text.
#![no_main]
use kolmo_fuzz::{
    Kind,
    mutate::{Numbers, mutate},
    with_kinds,
};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fn kind<'a>(kinds: &'a [Kind], bytes: &[u8]) -> &'a Kind {
    let first = usize::from(bytes.first().copied().unwrap_or(0));
    &kinds[first % kinds.len()]
}

fuzz_target!(|bytes: &[u8]| {
    let Some(Ok(text)) = bytes.get(1..).map(std::str::from_utf8) else { return };
    with_kinds(|kinds| (kind(kinds, bytes).read)(text));
});

// Half of the time what is JSON stays JSON.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Numbers(seed.into());
    if random.below(2) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let text = data.get(1..size).unwrap_or_default();
    let mut json = match serde_json::from_slice(text) {
        Ok(json) => json,
        Err(_) => with_kinds(|kinds| kind(kinds, data).whole.clone()),
    };
    mutate(&mut json, &mut random);
    let text = json.to_string();
    match data.get_mut(1..=text.len()) {
        Some(place) if text.len() < max_size => place.copy_from_slice(text.as_bytes()),
        _ => return fuzzer_mutate(data, size, max_size),
    }
    1 + text.len()
});
