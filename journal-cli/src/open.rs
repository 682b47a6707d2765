//! Opening a journal, to look at it or to write.

use crate::failure::{Failure, Result};
use crate::output::note;
use flushproof::{Config, ErrorKind, Item, Journal, JournalReader};

/// Opens the journal for reading. A place that is not there is told how to become one.
pub async fn reader(config: &Config) -> Result<JournalReader> {
    config.reader().await.map_err(|e| match e.kind() {
        ErrorKind::NotFound => Failure::from(e).note(format!(
            "make a journal with: journal format {}",
            config.folder
        )),
        _ => e.into(),
    })
}

/// Becomes primary: reads what is there to its end.
pub async fn primary(config: &Config) -> Result<Journal> {
    // A place that holds no journal is refused before anything is created there.
    reader(config).await?;
    let mut recovery = config.primary().await?;
    for damaged in &recovery.summary().damaged_checkpoints {
        note(format_args!(
            "a damaged checkpoint was passed over: {damaged}"
        ));
    }
    while let Some(item) = recovery.next().await? {
        if let Item::Checkpoint(mut entries) = item {
            while entries.next().await?.is_some() {}
        }
    }
    Ok(recovery.start().await?)
}
