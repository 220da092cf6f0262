//! Random numbers that depend on a seed and a position alone, so that they are the same on any number of
//! threads.

/// A stream of random numbers: a seed and how many were drawn. Saved and restored, it goes on where it was.
///
/// ```
/// use kolmo::Random;
/// let stream = Random::new(7);
/// assert_eq!(stream.uniform(3), Random::new(7).uniform(3)); // by place, in any order
/// assert_ne!(stream.bits(0), Random::new(8).bits(0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Random {
    seed: u64,
    drawn: u64,
}

impl Random {
    /// The stream of a seed, from its start.
    #[doc(alias("manual_seed", "Generator"))]
    pub fn new(seed: u64) -> Random {
        Random { seed, drawn: 0 }
    }

    /// Sets `n` numbers aside and gives the stream that starts with them.
    pub(crate) fn split(&mut self, n: usize) -> Random {
        let part = *self;
        self.drawn = self.drawn.wrapping_add(n as u64);
        part
    }

    /// 64 random bits for position `i` of this stream (SplitMix64 of Steele, Lea and Flood, 2014).
    #[inline(always)]
    pub fn bits(&self, i: u64) -> u64 {
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        let key = mix(self.seed.wrapping_add(GOLDEN));
        mix(key.wrapping_add(self.drawn.wrapping_add(i).wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// A number uniform in [0, 1) for position `i`.
    #[inline(always)]
    pub fn uniform(&self, i: u64) -> f64 {
        (self.bits(i) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

/// A stream is also a generator for the `rand` and `rand_distr` crates: each draw is the next position.
impl rand::TryRng for Random {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok((self.split(1).bits(0) >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.split(1).bits(0))
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in target.chunks_mut(8) {
            let bytes = self.split(1).bits(0).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

#[inline(always)]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
