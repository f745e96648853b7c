//! `cargo fuzz run tokenizer`, from `tests/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mlp_tests::hostile::tokenizer(data));
