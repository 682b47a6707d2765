//! `journal demo`.
use crate::args::{Common, Place};
use crate::failure::Result;
use crate::output::Out;

/// Tells the story.
pub async fn run(_common: &Common, _place: &Place, _out: &mut Out) -> Result<()> {
    Ok(())
}
