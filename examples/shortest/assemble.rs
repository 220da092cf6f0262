//! The page of `docs/play/shortest.html` out of its parts.

const PAGE: &str = include_str!("page.html");
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The whole page, with a module as text in base 64 and what is said of it (JSON).
pub fn assemble(module: &str, facts: &str) -> String {
    PAGE.replace("@@facts@@", facts).replace("@@module@@", module)
}

/// Bytes in base 64.
#[allow(dead_code)] // A test reads what is there already.
pub fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0, |n, &byte| n << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        let digit = |i: usize| char::from(DIGITS[(number >> (18 - 6 * i)) as usize % 64]);
        text.extend((0..4).map(|i| if i <= three.len() { digit(i) } else { '=' }));
    }
    text
}
