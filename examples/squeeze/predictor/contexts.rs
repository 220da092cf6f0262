//! What the next byte is predicted from: hashes of the bytes before it, of words, of what stood above, of
//! what followed before.

/// How many contexts there are.
pub const CONTEXTS: usize = 34;

const K: u64 = 0x9e37_79b9_7f4a_7c15;

/// One value into a hash.
#[inline]
pub fn mix(hash: u64, value: u64) -> u64 {
    let h = (hash ^ value).wrapping_mul(K);
    h ^ h >> 29
}

/// The text so far, as contexts need it.
pub struct Text {
    bytes: Vec<u8>,
    /// The last eight bytes, the latest lowest; and the same in small letters.
    pub last: u64,
    small: u64,
    /// Hashes of the word that is being written and of those before it.
    words: [u64; 5],
    /// The place of the last line's beginning, and of the one before.
    lines: [usize; 2],
    /// Kinds of the last bytes, four bits each.
    kinds: u64,
    /// What followed after each byte, and after each pair: the latest lowest.
    after_one: Vec<u32>,
    after_two: Vec<u32>,
    /// What stood between the last two words.
    between: u64,
    /// The last two letters of the words before, and whether they are short.
    ends: [u64; 2],
    /// The brackets that are open.
    open: Vec<u8>,
    /// The first byte of the line.
    first: u8,
    /// Letters of the word so far.
    letters: usize,
}

/// A rough kind of a byte.
fn kind(byte: u8) -> u64 {
    match byte {
        b'a' | b'e' | b'i' | b'o' | b'u' => 1,
        b'a'..=b'z' => 2,
        b'A'..=b'Z' => 3,
        b'0'..=b'9' => 4,
        b' ' => 5,
        b'\n' | b'\r' => 6,
        b'.' | b'!' | b'?' => 7,
        b',' | b';' | b':' => 8,
        b'\'' | b'"' | b'`' => 9,
        b'(' | b'[' | b'{' | b'<' => 10,
        b')' | b']' | b'}' | b'>' => 11,
        b'-' | b'_' | b'/' | b'|' | b'=' | b'*' | b'&' | b'#' => 12,
        0..=31 => 13,
        128.. => 14,
        _ => 15,
    }
}

impl Text {
    pub fn new() -> Text {
        Text {
            bytes: Vec::new(),
            last: 0,
            small: 0,
            words: [0; 5],
            lines: [0; 2],
            kinds: 0,
            after_one: vec![0; 256],
            after_two: vec![0; 65_536],
            between: 0,
            ends: [0; 2],
            open: Vec::new(),
            first: 0,
            letters: 0,
        }
    }

    pub fn push(&mut self, byte: u8) {
        let (one, two) = ((self.last & 0xff) as usize, (self.last & 0xffff) as usize);
        self.after_one[one] = self.after_one[one] << 8 | u32::from(byte);
        self.after_two[two] = self.after_two[two] << 8 | u32::from(byte);
        self.bytes.push(byte);
        self.last = self.last << 8 | u64::from(byte);
        let small = byte.to_ascii_lowercase();
        self.small = self.small << 8 | u64::from(small);
        self.kinds = self.kinds << 4 | kind(byte);
        if small.is_ascii_lowercase() || byte >= 128 || byte.is_ascii_digit() {
            if self.letters == 0 {
                self.words.copy_within(0..4, 1);
                self.words[0] = 0;
            }
            self.words[0] = mix(self.words[0], u64::from(small) + 1);
            self.letters += 1;
        } else {
            if self.letters > 0 {
                self.ends = [self.small >> 8 & 0xffff | (self.letters.min(4) as u64) << 16, self.ends[0]];
                self.between = 0;
                self.letters = 0;
            }
            self.between = mix(self.between, u64::from(byte) + 1);
        }
        if byte == b'\n' {
            self.lines = [self.bytes.len(), self.lines[0]];
            self.first = 0;
        } else if self.bytes.len() == self.lines[0] + 1 {
            self.first = byte;
        }
        match byte {
            b'(' | b'[' | b'{' | b'<' | b'"' if self.open.last() != Some(&b'"') || byte != b'"' => {
                if self.open.len() >= 16 {
                    self.open.clear();
                }
                self.open.push(byte);
            }
            b')' | b']' | b'}' | b'>' | b'"' => {
                self.open.pop();
            }
            _ => {}
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The byte so many places back, from 1 to 8.
    pub fn byte(&self, back: usize) -> usize {
        (self.last >> (8 * (back - 1)) & 255) as usize
    }

    /// Letters of the word so far.
    pub fn letters(&self) -> usize {
        self.letters
    }

    /// The bracket that is open.
    pub fn open(&self) -> usize {
        usize::from(self.open.last().copied().unwrap_or(0))
    }

    /// Bytes since the line began, up to 255.
    pub fn place(&self) -> usize {
        self.column().min(255)
    }

    /// The word so far, or what stands behind the last one.
    pub fn word(&self) -> u64 {
        if self.letters > 0 { self.words[0] } else { self.between }
    }

    /// Bytes since the line began.
    fn column(&self) -> usize {
        self.bytes.len() - self.lines[0]
    }

    /// The byte above the next one, in the line before.
    fn above(&self) -> u64 {
        let place = self.lines[1] + self.column();
        if place < self.lines[0] { u64::from(self.bytes[place]) } else { 10 }
    }

    /// Kinds of the last three bytes.
    pub fn kinds(&self) -> usize {
        (self.kinds & 0xfff) as usize
    }

    /// Hashes of all contexts; `expected` is what the longest match foretells, with how sure it is.
    pub fn hashes(&self, expected: u64) -> [u64; CONTEXTS] {
        let c = self.last;
        let s = self.small;
        // The word so far, or 0 between words; then the words before it.
        let (w, before) = if self.letters > 0 {
            (self.words[0], [self.words[1], self.words[2], self.words[3]])
        } else {
            (0, [self.words[0], self.words[1], self.words[2]])
        };
        let one = c & 0xff;
        let w = if w == 0 { mix(77, self.between) } else { w };
        let follow_one = u64::from(self.after_one[one as usize]);
        let follow_two = u64::from(self.after_two[(c & 0xffff) as usize]);
        let open = u64::from(self.open.last().copied().unwrap_or(0));
        let parts: [u64; CONTEXTS] = [
            one,
            c & 0xffff,
            c & 0xff_ffff,
            c & 0xffff_ffff,
            c & 0xff_ffff_ffff,
            c & 0xffff_ffff_ffff,
            c & 0xff_ffff_ffff_ffff,
            mix(c, u64::from(self.bytes.len().checked_sub(9).map_or(0, |at| self.bytes[at]))),
            // Words.
            w,
            mix(w, before[0]),
            mix(mix(w, before[0]), before[1]),
            mix(w, before[1]),
            mix(mix(w, before[1]), before[2]),
            mix(w, mix(one, open)),
            mix(before[0], c & 0xffff),
            mix(w, self.first.into()),
            mix(mix(w, before[2]), 5),
            mix(w, mix(self.between, 3)),
            // Some bytes left out.
            c & 0xff00,
            c & 0xff_ff00,
            c & 0xffff_ff00,
            c & 0xff_0000,
            c & 0xff_00ff,
            c & 0xffff_0000,
            // Small letters, kinds.
            s & 0xffff_ffff,
            mix(self.kinds & 0xffff_ffff, one),
            mix(self.kinds & 0xffff_ffff_ffff, 1),
            // The line.
            mix(self.above(), mix(one, self.column().min(255) as u64)),
            mix(self.column() as u64, self.first.into()),
            // What followed before.
            mix(follow_one & 0xffff, one),
            mix(follow_two & 0xff_ffff, c & 0xffff),
            mix(expected, one),
            c & 0xffff_00ff,
            mix(mix(w, self.ends[0]), mix(self.ends[1], 9)),
        ];
        let mut i = 0;
        parts.map(|part| {
            i += 1;
            mix(mix(i, part), part >> 32)
        })
    }
}
