//! `cargo fuzz run source`, from `tests/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mlp_tests::hostile::source(data));
