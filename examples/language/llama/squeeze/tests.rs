//! Any bytes come back from what a tiny model helped to squeeze, whoever's threads and windows; and what is
//! not the same model, or damaged, is told.
use super::{
    super::tests::{Folder, both},
    EVERY, cut, expand, squeeze,
    vocabulary::{Vocabulary, ln},
};
use kolmo::compress::{matrices, quantize::WeightOnly};
use std::str;

const TEXT: &str = "the cat and the dog, the theme of the other day: \r\nthe end\r\n";

#[test]
fn texts_and_other_bytes_come_back_with_the_models_help() {
    let folder = Folder::new("squeeze");
    for source in both(&folder) {
        let text = TEXT.repeat(6);
        let mut odd = text.clone().into_bytes();
        odd[200] = 0xff;
        for (bytes, helped) in [
            (text.as_bytes(), true),
            (b"", false),
            ("ein Wort mit Ümläuten, 漢字 und 😀, ".repeat(3).as_bytes(), true),
            (b"<|im_start|> stands for no text", false),
            (&odd, true),
        ] {
            let (file, tokens) = squeeze(&source, bytes, 16, 100, false).unwrap();
            assert_eq!(tokens > 0, helped, "{:?}", str::from_utf8(bytes));
            let (back, expanded) = expand(&source, &file).unwrap();
            assert!(back == bytes && tokens == expanded);
        }
    }
}

#[test]
fn tokens_at_once_and_one_by_one_give_a_packed_model_the_same_bytes() {
    let folder = Folder::new("squeeze-packed");
    for source in both(&folder) {
        WeightOnly::new(4).groups(8).apply(&source.model, matrices).unwrap();
        let text = TEXT.repeat(20);
        // All windows slide, and pieces end at different tokens.
        let (file, _) = squeeze(&source, text.as_bytes(), 70, 333, false).unwrap();
        let (back, tokens) = expand(&source, &file).unwrap();
        assert!(back == text.as_bytes() && tokens > 400);
    }
}

#[test]
fn what_learns_from_a_text_is_learnt_by_the_decoder_too() {
    let folder = Folder::new("squeeze-learns");
    for packed in [false, true] {
        // A model whose adapters have learnt is another one.
        let [plain, learns, decodes] = [(), (), ()].map(|()| {
            let [source, _] = both(&folder);
            if packed {
                WeightOnly::new(8).groups(8).apply(&source.model, matrices).unwrap();
            }
            source
        });
        // A step within the first piece, which the second one knows of.
        let text = TEXT.repeat(14);
        let (without, _) = squeeze(&plain, text.as_bytes(), 600, 700, false).unwrap();
        let (file, tokens) = squeeze(&learns, text.as_bytes(), 600, 700, true).unwrap();
        assert!(tokens > EVERY && file[4..] != without[4..]);
        assert!(expand(&decodes, &file).unwrap().0 == text.as_bytes());
    }
}

#[test]
fn texts_are_cut_between_lines_words_and_letters() {
    let of = |text: &str, most| -> Vec<String> {
        cut(text.as_bytes(), most)
            .into_iter()
            .map(|piece| String::from_utf8(piece.to_vec()).unwrap())
            .collect()
    };
    assert_eq!(of("one\ntwo three\nfour", 9), ["one\n", "two", " three\n", "four"]);
    assert_eq!(of("one two three", 8), ["one two", " three"]);
    assert_eq!(of("漢字漢字", 7), ["漢字", "漢字"]);
    assert_eq!(of("", 7), [""]);
    assert_eq!(cut(&[0x80; 10], 4).concat(), [0x80; 10]);
}

#[test]
fn another_model_and_damage_are_told() {
    let folder = Folder::new("squeeze-damage");
    let sources = both(&folder);
    let (file, _) = squeeze(&sources[0], TEXT.as_bytes(), 16, 1000, false).unwrap();
    let why = expand(&sources[1], &file).unwrap_err().to_string();
    let hex = |word: &str| {
        word.trim_end_matches(',').len() == 32
            && word.trim_end_matches(',').chars().all(|c| c.is_ascii_hexdigit())
    };
    assert!(why.contains("another model") && why.split(' ').filter(|word| hex(word)).count() == 2, "{why}");
    let mut wrong = 0;
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(expand(&sources[0], &damaged).is_err_and(|why| !why.to_string().is_empty()), "byte {at}");
        wrong += 1;
        if at > 0 {
            assert!(expand(&sources[0], &file[..at]).is_err(), "cut at {at}");
        }
    }
    assert_eq!(wrong, file.len());
    let why = expand(&sources[0], b"sqz\x77").unwrap_err().to_string();
    assert!(why.contains("cut") || why.contains("0x77"), "{why}");
}

#[test]
fn tokens_stand_in_the_order_of_their_bytes() {
    let folder = Folder::new("vocabulary");
    let source = &both(&folder)[0];
    let vocabulary = Vocabulary::of(&source.tokenizer).unwrap();
    // All bytes and two pairs; not those that stand for no text.
    assert_eq!(vocabulary.len(), 258);
    let tokens: Vec<&[u8]> = vocabulary.tokens().map(|(_, bytes)| bytes).collect();
    assert!(tokens.is_sorted() && tokens.contains(&&b"the"[..]) && tokens.contains(&&b"\xff"[..]));
    for (id, bytes) in vocabulary.tokens() {
        assert_eq!(vocabulary.token(vocabulary.place(id).unwrap()), (id, bytes));
    }
    let ones = vocabulary.ones(&(0..258), 0, 1, 0);
    assert!(tokens[ones - 1][0] < 128 && tokens[ones][0] >= 128);
    for i in -800..800 {
        let x = (f64::from(i) / 10.0).exp() as f32;
        assert!((f64::from(ln(x)) - f64::from(i) / 10.0).abs() < 2e-5, "{i} {}", ln(x));
    }
}
