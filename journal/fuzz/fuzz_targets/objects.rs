//! Bodies of objects, and names: read as they are written, or not at all.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flushproof::format::fuzz_objects(data));
