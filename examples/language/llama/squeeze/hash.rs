//! A model's name in files that only this model reads.
use super::{super::folder::Fails, super::open::Source, vocabulary::Vocabulary};
use kolmo::{Tape, nn::named_params};
use sha2::{Digest, Sha256};

/// The beginning of SHA-256 over its tokens, its weights with the form in which they are held, and, as
/// sizes and what stands between weights and their use count too, the logits that it gives to a few tokens.
pub fn model_hash(source: &Source, vocabulary: &Vocabulary) -> Fails<[u8; 16]> {
    let mut hash = Sha256::new();
    for (id, bytes) in vocabulary.tokens() {
        hash.update(id.to_le_bytes());
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    let numbers = |hash: &mut Sha256, values: &[f32]| {
        for some in values.chunks(1024) {
            hash.update(some.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
        }
    };
    for (name, param) in named_params::<f32>(&source.model) {
        let value = param.value();
        hash.update(format!("{name} {} {:?};", value.shape(), value.packed()));
        numbers(&mut hash, &value.to_vec());
    }
    let (tape, tokens) = (Tape::inference(), vocabulary.tokens().map(|(id, _)| id));
    let some: Vec<u32> = tokens.step_by(vocabulary.len().div_ceil(16)).collect();
    numbers(&mut hash, &source.model.forward(&tape, some, &mut [], true).to_vec()?);
    Ok(hash.finalize().first_chunk().copied().unwrap_or_default())
}
