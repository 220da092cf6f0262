//! What was seen in each of many contexts: a history of bits for each place within a byte, in a hash table of
//! buckets, one for each half of a byte.

/// `[next after 0, next after 1, zeros, ones]` of a state, which stands for how many zeros and ones were
/// seen, roughly where there are many, and which came last where there are few of both. Opposite counts are
/// discounted: what is new counts more. After the states of M. Mahoney's ZPAQ.
pub struct States(pub Vec<[u8; 4]>);

/// The most ones beside 0, 1, ... zeros, and the other way round.
const BOUNDS: [i32; 6] = [20, 48, 15, 8, 6, 5];

/// How many states there are with these counts.
fn states_of(n0: i32, n1: i32) -> usize {
    let (less, more) = (n0.min(n1), n0.max(n1));
    match usize::try_from(less).ok().and_then(|less| BOUNDS.get(less)) {
        Some(&bound) if more <= bound => 1 + usize::from(less > 0 && n0 + n1 <= 17),
        _ => 0,
    }
}

/// Counts after another bit of the kind that `more` counts, where `more >= less` or not.
fn counted(mut seen: i32, mut other: i32) -> (i32, i32) {
    seen += 1;
    other = [1, 2, 3, 4, 5, 7, 8].iter().filter(|&&at| other >= at).count() as i32;
    while states_of(seen, other) == 0 {
        let (more, less) = if seen >= other { (&mut seen, &mut other) } else { (&mut other, &mut seen) };
        if *less < 2 {
            *more -= 1;
        } else {
            *more = (*more * (*less - 1) + *less / 2) / *less;
            *less -= 1;
        }
    }
    (seen, other)
}

impl States {
    pub fn new() -> States {
        let all: Vec<(i32, i32, bool)> = (0..50)
            .flat_map(|n| (0..=n).map(move |n1| (n - n1, n1)))
            .flat_map(|(n0, n1)| {
                [false, true].into_iter().take(states_of(n0, n1)).map(move |last| (n0, n1, last))
            })
            .collect();
        let find = |n0, n1, last| {
            let with = |last| all.iter().position(|&state| state == (n0, n1, last));
            with(last).or_else(|| with(false)).unwrap_or(0) as u8
        };
        let next = |&(n0, n1, _): &(i32, i32, bool)| {
            let (zeros, beside) = counted(n0, n1);
            let (ones, besides) = counted(n1, n0);
            [find(zeros, beside, false), find(besides, ones, true), n0 as u8, n1 as u8]
        };
        let mut table: Vec<[u8; 4]> = all.iter().map(next).collect();
        table.resize(256, [0; 4]);
        States(table)
    }

    /// Another bit in a history: its state in the low byte, its last seven bits under a leading one in the
    /// high.
    #[inline]
    pub fn after(&self, history: u16, bit: bool) -> u16 {
        let last = (history >> 8).max(1);
        let last =
            if last < 128 { last << 1 | u16::from(bit) } else { 128 | (last << 1 | u16::from(bit)) & 127 };
        last << 8 | u16::from(self.0[usize::from(history & 255)][usize::from(bit)])
    }
}

/// A check, and the histories of the 15 places within half a byte.
type Bucket = [u16; 16];

/// Buckets found by hash.
pub struct Table(Vec<Bucket>);

impl Table {
    /// `2^log2` buckets of 32 bytes.
    pub fn new(log2: u32) -> Table {
        Table(vec![[0; 16]; 1 << log2])
    }

    /// The bucket of a context: where it was, or in the place of the least used of three.
    #[inline]
    pub fn find(&mut self, hash: u64) -> usize {
        let mask = self.0.len() - 1;
        let first = (hash >> 20) as usize & mask;
        let check = (hash & 0xffff) as u16 | 1;
        let (mut least, mut uses) = (first, u16::MAX);
        for at in [first, first ^ 1, first ^ 2] {
            let at = at & mask;
            let bucket = &self.0[at];
            if bucket[0] == check {
                return at;
            }
            let used = bucket[1] & 255;
            if used < uses {
                (least, uses) = (at, used);
            }
        }
        self.0[least] = [0; 16];
        self.0[least][0] = check;
        least
    }

    #[inline]
    pub fn history(&self, bucket: usize, node: usize) -> u16 {
        self.0[bucket][node & 15]
    }

    #[inline]
    pub fn set(&mut self, bucket: usize, node: usize, history: u16) {
        self.0[bucket][node & 15] = history;
    }
}
