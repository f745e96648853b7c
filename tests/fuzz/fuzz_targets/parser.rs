//! `cargo fuzz run parser --no-default-features`, from `tests/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| language::parser(data));
