//! `format`: makes a place a journal, or makes it a new one.

use crate::Config;
use crate::claim::{claim, confirm};
use crate::commit::state::now_ms;
use crate::format::object::FormatObject;
use crate::format::{JournalId, names};
use crate::objects::{Bounded, FOLDERS, Root, half_formatted, list_logs, look};
use flushproof_api::{Epoch, Error, ErrorKind, HostLock, ListedKind, Mode, Result, StorePath};

/// A journal that was formatted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formatted {
    /// Its identity.
    pub id: JournalId,
    /// Whether something was erased for it.
    pub erased: bool,
}

impl Config {
    /// Makes the folder an empty journal. With `force` what is there is erased:
    /// its primary is fenced first, then everything but claims and fences goes.
    ///
    /// # Errors
    /// `AlreadyExists` over a journal or a folder that is not empty,
    /// `HalfFormatted` (both without `force`), `ContractTooWeak`, the store's.
    /// # Cancel safety
    /// A place that was being erased may be half-formatted: format it again.
    pub async fn format(&self, force: bool) -> Result<Formatted> {
        let store = self.open_store(Mode::ReadWrite).await?;
        let io = Bounded::new(store, self.store_timeout);
        let formatted = if force {
            self.format_by_force(&io).await
        } else {
            self.format_empty(&io).await
        };
        let closed = io.close().await;
        let formatted = formatted?;
        closed?;
        Ok(formatted)
    }

    async fn format_empty(&self, io: &Bounded) -> Result<Formatted> {
        match look(io).await.map_err(|e| e.context(&self.folder))? {
            Root::Journal(id, _) => {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    format!(
                        "{} holds the journal {id}. To erase it: journal format --force {}",
                        self.folder, self.folder
                    ),
                ));
            }
            Root::Half => return Err(half_formatted(&self.folder)),
            Root::Empty => {}
        }
        if let Some(row) = io.list(&StorePath::root()).await?.first() {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!(
                    "{} is not empty: it holds {}. Choose an empty folder, or say --force to make \
                     the journal beside it",
                    self.folder, row.path
                ),
            ));
        }
        let id = publish(io).await?;
        Ok(Formatted { id, erased: false })
    }

    async fn format_by_force(&self, io: &Bounded) -> Result<Formatted> {
        // A damaged or newer FORMAT is erased too.
        let erased = !matches!(look(io).await, Ok(Root::Empty));
        if erased {
            io.host_lock(HostLock::TakeOver).await?;
            self.erase(io).await?;
        }
        let id = publish(io).await?;
        Ok(Formatted { id, erased })
    }

    /// Becomes a candidate (claims, fences, confirms), then deletes: `FORMAT`
    /// first, so that a place that is erased half-way says so.
    async fn erase(&self, io: &Bounded) -> Result<()> {
        // The claim's owner: an identity that no journal has.
        let id = JournalId::random()?;
        let mine = claim(io, id, self, None).await?;
        let starts = io.list(&names::folder(names::START_FOLDER)?).await?;
        let head = crate::objects::objects(starts, names::parse_start)
            .last()
            .copied()
            .unwrap_or(Epoch::NONE);
        // Those of older epochs were fenced before the head was published.
        for (segment, _) in list_logs(io).await? {
            if segment.epoch >= head {
                match io.fence(segment).await {
                    Err(e) if e.kind() == ErrorKind::NotFound => {} // trimmed meanwhile
                    other => drop(other?),
                }
            }
        }
        confirm(io, id, &mine).await?;
        io.delete(&names::format_path()?).await?;
        for folder in FOLDERS {
            if folder != names::EPOCH_FOLDER {
                erase_folder(io, folder).await?;
            }
        }
        Ok(())
    }
}

async fn erase_folder(io: &Bounded, folder: &str) -> Result<()> {
    for row in io.list(&names::folder(folder)?).await? {
        let ours = match folder {
            names::LOG_FOLDER => names::parse_log(&row.path).is_some(),
            names::START_FOLDER => names::parse_start(&row.path).is_some(),
            names::CHECKPOINT_FOLDER => names::parse_checkpoint(&row.path).is_some(),
            _ => names::parse_request(&row.path).is_some(),
        };
        if ours && row.kind != ListedKind::Fence {
            io.delete(&row.path).await?;
        }
    }
    Ok(())
}

async fn publish(io: &Bounded) -> Result<JournalId> {
    let id = JournalId::random()?;
    let format = FormatObject {
        created_ms: now_ms(),
    };
    io.put(&names::format_path()?, format.encode(id)).await?;
    Ok(id)
}
