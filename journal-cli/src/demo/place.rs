//! A journal of the demo's own. A place is erased only when its first entry says
//! that a demo made it, or when it is a journal without any entry.

use super::input::MARK;
use crate::failure::{Failure, Result};
use flushproof::{Config, Error, ErrorKind, Formatted, Item, JournalReader, Outcome};

/// Makes the place an empty journal; that of an earlier demo is erased.
pub async fn prepare(config: &Config) -> Result<Formatted> {
    match config.reader().await {
        Ok(reader) if is_a_demos(&reader).await? => {
            // Whoever writes there is asked first: a second demo is refused.
            drop(config.primary().await?);
            Ok(config.format(true).await?)
        }
        Ok(_) => Err(Error::new(
            ErrorKind::AlreadyExists,
            format!(
                "{} holds a journal that no demo made; it is left alone. Name another place: \
                 journal demo PATH",
                config.folder
            ),
        )
        .with_outcome(Outcome::NotWritten)
        .into()),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotFormatted) => {
            Ok(config.format(false).await?)
        }
        Err(e) => Err(Failure::from(e).note(
            "the demo leaves it alone; name another place, or remove this one if nothing in it \
             is needed",
        )),
    }
}

async fn is_a_demos(reader: &JournalReader) -> Result<bool> {
    let mut entries = reader.entries(None).await?;
    let first = entries.next_seq().0;
    Ok(match entries.next().await? {
        None => first == 0,
        Some(Item::Entry(entry)) => entry.bytes == MARK.as_bytes(),
        Some(Item::Checkpoint(_)) => false,
    })
}
