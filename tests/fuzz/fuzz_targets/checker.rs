//! `cargo fuzz run checker --no-default-features`, from `tests/`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| language::checker(data));
