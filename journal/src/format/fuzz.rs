//! placeholder
/// x
#[doc(hidden)]
pub fn fuzz_scanner(_d: &[u8]) {}
