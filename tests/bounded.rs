//! Damaged and hostile files take little memory, whatever they say of themselves.
use kolmo::compress::{Artifact, Entry, EntryData};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// Counts what this thread has in use, and the most it had.
struct Counting;

thread_local! {
    static IN_USE: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that ends may free what it has after its counters are gone.
    let _ = IN_USE.try_with(|in_use| {
        in_use.set(in_use.get() + bytes);
        MOST.with(|most| most.set(most.get().max(in_use.get())));
    });
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn artifact() -> Artifact {
    let entry = |name: &str, shape: &[usize], data| Entry { name: name.into(), shape: shape.to_vec(), data };
    let codebook = |n: usize, mask: bool, k: usize| EntryData::Codebook {
        mask: mask.then(|| (0..n).map(|i| i % 3 == 0).collect()),
        codes: (0..if mask { n.div_ceil(3) } else { n }).map(|i| (i * i % k) as u32).collect(),
        centroids: (0..k).map(|i| i as f32 - 2.0).collect(),
        centroid_bits: 16,
    };
    let scaled = EntryData::Scaled {
        weights: Box::new(codebook(120, false, 5)),
        group: 4,
        scales: (0..30).map(|i| i as f32 + 1.0).collect(),
        scale_bits: 16,
    };
    let values = (0..40).map(|i| (i as f32).sin()).collect();
    Artifact {
        meta: [("made by".into(), "a test".into())].into(),
        entries: vec![
            entry("dense", &[5, 8], EntryData::Dense(values)),
            entry("masked", &[20, 15], codebook(300, true, 7)),
            entry("all", &[10, 20], codebook(200, false, 16)),
            entry("scaled", &[10, 12], scaled),
        ],
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

/// The sections' predictors take a few megabytes at most; a thousand files of less than a kilobyte never took more, those with a
/// right checksum and large numbers in their headers included.
#[test]
fn a_thousand_damaged_files_take_little_memory() {
    const BOUND: isize = 64 << 20;
    let bytes = artifact().to_bytes().unwrap();
    assert!(bytes.len() < 1000, "{}", bytes.len());
    let body = &bytes[..bytes.len() - 4];
    let mut state = 7u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let mut errors = 0;
    for round in 0..1000 {
        let mut file = body.to_vec();
        match round % 4 {
            0 => file.truncate(5 + random(file.len() - 5)),
            // The largest number that has so many bytes, in the place of others.
            1 => {
                let at = 5 + random(file.len() - 5);
                let number = [&vec![0xff; random(5)][..], &[0x7f]].concat();
                file.splice(at..at, number);
            }
            _ => {
                let at = 5 + random(file.len() - 5);
                file[at] = random(256) as u8;
            }
        }
        let checksum = crc32(&file).to_le_bytes();
        file.extend(checksum);
        let before = IN_USE.get();
        MOST.set(before);
        errors += usize::from(Artifact::from_bytes(&file).is_err());
        let most = MOST.get() - before;
        assert!(most < BOUND, "round {round}: {most} bytes for a file of {}", file.len());
    }
    assert!(errors > 500, "{errors}");
}
