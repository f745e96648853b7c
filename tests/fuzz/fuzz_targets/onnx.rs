//! `cargo fuzz run onnx`, from `tests/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mlp_tests::hostile::onnx(data));
