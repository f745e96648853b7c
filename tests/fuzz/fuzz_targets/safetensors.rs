//! `cargo fuzz run safetensors`, from `tests/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mlp_tests::hostile::safetensors(data));
