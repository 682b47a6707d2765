//! The bytes on storage: frames, segments, objects and names.
//!
//! This module knows nothing of files and nothing of the protocol. It turns
//! values into bytes and bytes, which are hostile, back into values, and it
//! classifies the end of a segment. The layout is specified in
//! `docs/format.md`, the classification in `docs/recovery.md`.
//!
//! * [`seal_frame`], [`put_entry`]: the write path, without allocation;
//! * [`Scanner`], [`read_segment_header`]: the read path of one segment;
//! * [`classify_tail`]: clean, torn or corrupt;
//! * [`object`]: the envelope of small objects and their bodies;
//! * [`checkpoint`]: a row of entries as an object;
//! * [`names`]: what everything is called.

pub mod backup;
pub mod checkpoint;
pub(crate) mod codec;
mod entries;
mod frame;
mod fuzz;
mod ids;
pub mod names;
pub mod object;
pub(crate) mod scan;
mod segment;
mod tail;

pub use entries::{Entries, entry_overhead, put_entry};
pub use frame::{BadFrame, FrameHeader, FrameKind, check_body, parse_header, seal_frame};
#[doc(hidden)]
pub use fuzz::{fuzz_objects, fuzz_scanner};
pub use ids::{JournalId, Nonce, SegmentId, SegmentKey};
pub use scan::{Frame, HeaderVerdict, Scanned, Scanner, read_segment_header};
pub use segment::{Prev, SEGMENT_HEADER_BODY, SegmentHeader};
pub use tail::{Claim, LastGood, TailVerdict, classify_tail};

/// Bytes of a frame before its body.
pub const FRAME_HEADER: usize = 64;
/// The longest frame: header, body and padding.
pub const MAX_FRAME: usize = 8 * 1024 * 1024;
/// The longest body of a frame.
pub const MAX_BODY: usize = MAX_FRAME - FRAME_HEADER;
/// The version that this code writes, and the highest that it reads.
pub const FORMAT_VERSION: u32 = 1;
/// The smallest grain, and the step of resynchronisation.
pub const MIN_GRAIN: u64 = 64;
/// The largest grain.
pub const MAX_GRAIN: u64 = 1024 * 1024;
/// The index that stands for "in a checkpoint" in a [`SegmentKey`].
pub const CHECKPOINT_INDEX: u64 = u64::MAX;

/// Whether `grain` may stand in a segment header: a power of two from
/// [`MIN_GRAIN`] to [`MAX_GRAIN`].
pub fn valid_grain(grain: u64) -> bool {
    grain.is_power_of_two() && (MIN_GRAIN..=MAX_GRAIN).contains(&grain)
}

/// `offset` rounded up to the grain; `None` when it does not fit or the grain
/// is not [valid](valid_grain).
pub fn align_up(offset: u64, grain: u64) -> Option<u64> {
    if !valid_grain(grain) {
        return None;
    }
    Some(offset.checked_add(grain - 1)? & !(grain - 1))
}
