#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kolmo_fuzz::file("cifar10", bytes));
