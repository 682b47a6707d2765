//! A damaged segment: nothing is returned that was not written.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flushproof::format::fuzz_scanner(data));
