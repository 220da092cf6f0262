//! The printed program foretells what the network does; files come to the size that was asked for.
use super::{
    Options, Result,
    model::{BYTES, ByteLm},
    trained,
};
use clap::Parser;
use kolmo::{Random, Tape, Tensor};

const TEXT: &[u8] = b"the cat sat on the mat, the dog on the log, and both were quite content. ";

#[test]
fn the_program_goes_through_a_text_as_the_network_does() -> Result<()> {
    let net = ByteLm::new(12, &mut Random::new(1));
    let program = net.program()?;
    let mut state = vec![0.0; 12];
    for (i, &byte) in TEXT.iter().enumerate() {
        let one = (0..BYTES).map(|b| if b == usize::from(byte) { 1.0 } else { 0.0 });
        let y = program.run(&one.chain(state).collect::<Vec<f32>>())?;
        let column = Tensor::from(TEXT[..=i].iter().map(|&b| u32::from(b)).collect::<Vec<u32>>());
        let tape = Tape::inference();
        let (scores, end) = net.forward(&tape, &column.reshape([-1, 1])?, None, 0.0);
        let last = scores.select(0, i as isize).to_vec()?;
        let theirs = last.into_iter().chain(end.hidden.to_vec()?);
        assert!(y.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-5), "byte {i}");
        state = y[BYTES..].to_vec();
    }
    Ok(())
}

#[test]
fn files_come_to_their_size_and_tell_their_text() -> Result<()> {
    let text = TEXT.repeat(120);
    let path = std::env::temp_dir().join(format!("kolmo-byte-lm-{}.kolmo", std::process::id()));
    let words = ["byte_lm", "--width", "24", "--epochs", "60", "--dropout", "0", "--lr", "0.02"];
    let net = trained(&Options::try_parse_from(words)?, &text, 8.0 * 2000.0)?;
    net.save(&path)?;
    let (bytes, loaded) = (std::fs::metadata(&path)?.len(), ByteLm::load(&path));
    std::fs::remove_file(&path)?;
    let (own, bits) = (net.bits(&text)?, loaded?.bits(&text)?);
    assert!((1700..2300).contains(&bytes), "{bytes} bytes");
    assert!((own - bits).abs() < 1e-3 * own && bits < 1.0 * text.len() as f64, "{own} {bits}");
    Ok(())
}
