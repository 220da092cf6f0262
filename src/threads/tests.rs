use super::{
    job::Offer,
    number::MAX_THREADS,
    pool::AWAKE,
    sync::{AtomicPtr, AtomicU64, AtomicUsize, Ordering::Relaxed},
    *,
};
use std::{panic::catch_unwind, ptr::null_mut, thread};

#[test]
fn every_task_runs_once() {
    for n in [1, 2, 3, 8] {
        set_num_threads(n);
        for tasks in [0, 1, 2, 3, 7, 50] {
            let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            parallel_for(tasks, &|i| {
                counts[i].fetch_add(1, Relaxed);
            });
            assert!(counts.iter().all(|c| c.load(Relaxed) == 1), "{tasks} tasks on {n} threads");
        }
    }
}

#[test]
fn without_workers_the_caller_does_it_all() {
    let offer = Offer { state: AtomicU64::new(0), job: AtomicPtr::new(null_mut()) };
    let (count, caller) = (AtomicUsize::new(0), thread::current().id());
    let task = |_| {
        assert_eq!(thread::current().id(), caller);
        count.fetch_add(1, Relaxed);
    };
    assert!(offer.run(&task, 50, &[]).is_none());
    assert_eq!(count.into_inner(), 50);
}

#[test]
fn writes_of_tasks_are_seen_by_the_caller() {
    set_num_threads(4);
    let mut out = [0_usize; 103];
    for round in 1..20 {
        for_chunks(&mut out, 10, |start, part| {
            for (i, o) in part.iter_mut().enumerate() {
                *o += (start + i) * round;
            }
        });
    }
    let sum: usize = (1..20).sum();
    assert!(out.iter().enumerate().all(|(i, &o)| o == i * sum));
}

#[test]
fn parts_of_several_outputs_go_together() {
    set_num_threads(3);
    let (mut a, mut b) = ([0_u32; 20], [0_u32; 15]);
    for_parts(&mut [&mut a, &mut b], 20, 8, &|start, end, [a, b]| {
        assert_eq!(a.len(), end - start);
        assert_eq!(b.len(), end.min(15) - start.min(15));
        a.fill(start as u32 + 1);
        b.fill(start as u32 + 1);
    });
    assert_eq!(a, [1, 1, 1, 1, 1, 1, 1, 1, 9, 9, 9, 9, 9, 9, 9, 9, 17, 17, 17, 17]);
    assert_eq!(b, a[..15]);
    for_parts(&mut [&mut a], 0, 0, &|_, _, _| unreachable!("there is no part"));
}

#[test]
fn nested_calls_run_in_the_task() {
    set_num_threads(3);
    let total = AtomicUsize::new(0);
    parallel_for(5, &|i| {
        parallel_for(4, &|j| {
            total.fetch_add(10 * i + j, Relaxed);
        });
    });
    assert_eq!(total.into_inner(), 4 * 100 + 5 * 6);
}

#[test]
fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
    set_num_threads(3);
    for bad in [0, 5, 9] {
        let caught = catch_unwind(|| {
            parallel_for(10, &|i| assert_ne!(i, bad, "this task fails"));
        });
        assert!(caught.is_err());
        // Every task at once: all panics but one are swallowed.
        assert!(catch_unwind(|| parallel_for(10, &|i| panic!("task {i} fails"))).is_err());
    }
    let sum = AtomicUsize::new(0);
    parallel_for(10, &|i| {
        sum.fetch_add(i, Relaxed);
    });
    assert_eq!(sum.into_inner(), 45);
}

#[test]
fn callers_on_several_threads_at_once_while_the_number_changes() {
    let rounds = if cfg!(miri) { 5 } else { 2000 };
    thread::scope(|scope| {
        for caller in 0..3_usize {
            scope.spawn(move || {
                for round in 0..rounds {
                    set_num_threads(1 + (round + caller) % 4);
                    let mut out = [0_usize; 24];
                    for_chunks(&mut out, 1 + round % 6, |start, part| {
                        for (i, o) in part.iter_mut().enumerate() {
                            *o = round ^ (start + i);
                        }
                    });
                    assert!(out.iter().enumerate().all(|(i, &o)| o == round ^ i));
                    if round % 512 == 1 {
                        // Long enough for workers to fall asleep.
                        thread::sleep(AWAKE * 4);
                    }
                }
            });
        }
    });
}

#[test]
fn the_number_of_threads_is_kept_within_bounds() {
    assert!((1..=MAX_THREADS).contains(&num_threads()));
}
