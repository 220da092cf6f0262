//! A training step of fixed shapes asks the system for no memory from its third time on.
use kolmo::{
    Random, Result, Tape, Tensor,
    nn::{Layer, Linear, Relu, Sequential, init},
    optim::{Adam, Optimizer},
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_training_step_allocates_nothing_from_the_third_on() -> Result<()> {
    for threads in [1, 2] {
        kolmo::set_threads(threads);
        let rng = &mut Random::new(0);
        let net = Sequential((
            Linear::<f32>::new(784, 300, rng),
            Relu,
            Linear::new(300, 100, rng),
            Relu,
            Linear::new(100, 10, rng),
        ));
        let x: Tensor = init::normal([64, 784], 0.0, 1.0, rng);
        let y: Tensor<u32> = Tensor::from_fn([64], |i| i as u32 % 10);
        let mut adam = Adam::new(1e-3);
        let mut tape = Tape::new();
        let mut counts = Vec::new();
        for _ in 0..6 {
            let before = COUNT.load(Ordering::Relaxed);
            tape.reset();
            let loss = net.forward(&tape.constant(&x)).cross_entropy(&y);
            let grads = loss.backward()?;
            adam.step(&net, &grads)?;
            counts.push(COUNT.load(Ordering::Relaxed) - before);
        }
        assert!(counts[0] > 0, "the counter counts");
        assert_eq!(counts[2..], [0; 4], "allocations by step with {threads} threads: {counts:?}");
    }
    Ok(())
}
