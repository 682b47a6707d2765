//! `journal demo`: the promise, shown on real processes.
//!
//! | module | is about |
//! | --- | --- |
//! | `place` | a journal of its own; never another's data |
//! | `input` | real input: what a namespace master would journal for the files of this machine |
//! | `writer` | a process of this program that appends |
//! | `story` | what happens, and what is checked |
//! | `narrator` | telling it |

mod input;
mod narrator;
mod place;
mod story;
mod writer;

use crate::args::{Common, Place};
use crate::config;
use crate::failure::{FAILED, Failure, Result};
use crate::output::Out;
use crate::signals::Signals;
use narrator::Narrator;
use std::time::Instant;
use story::Story;

/// Where the demo goes when no place is named; a configured journal is not it.
const DEFAULT_PLACE: &str = "journal-demo";

/// Tells the story; fails if any check does.
pub async fn run(common: &Common, place: &Place, out: &mut Out) -> Result<()> {
    let mut signals = Signals::listen()?;
    let mut sources = common.sources(place);
    sources.uri.get_or_insert_with(|| DEFAULT_PLACE.to_owned());
    let story = Story {
        config: config::load(&sources)?,
        common: common.clone(),
    };
    let began = Instant::now();
    let mut narrator = Narrator::new(out);
    // The processes of a story that is dropped are killed.
    signals.or(story.tell(&mut narrator)).await?;
    match narrator.end(began.elapsed())? {
        true => Ok(()),
        false => Err(Failure::Said(FAILED)),
    }
}
