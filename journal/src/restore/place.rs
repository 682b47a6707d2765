//! The place of a journal that is to be filled: it must be formatted and empty.

use super::not_empty;
use crate::Config;
use crate::backup::parts;
use crate::commit::serving::Context;
use crate::objects::{Bounded, Root, look};
use crate::recovery::lock_host;
use flushproof_api::{Error, ErrorKind, Fencing, Mode, Result};
use std::sync::Arc;

/// What may be done to make it so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Format it, if it is no journal yet.
    pub format: bool,
    /// With `format`: erase the journal that is there.
    pub force: bool,
}

impl Config {
    /// Whether the place could be filled; writes nothing.
    pub(crate) async fn could_fill(&self, how: Place) -> Result<()> {
        let opened = self.open_store(Mode::ReadOnly).await;
        let store = match opened {
            // A folder that is missing is made by a format.
            Err(e) if e.kind() == ErrorKind::NotFound && how.format => return Ok(()),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!("{e}. To make it an empty journal first: --format, or journal format"),
                ));
            }
            other => other?,
        };
        if store.contract().fencing != Fencing::None {
            self.check_contract(store.contract())?; // else it is found out by a trial
        }
        let io = Bounded::new(store.clone(), self.store_timeout);
        let place = match look(&io).await? {
            Root::Journal(journal, _) => {
                let config = Arc::new(self.clone());
                let context = Context {
                    store,
                    config,
                    journal,
                    around: None,
                };
                match how.format && how.force {
                    true => Ok(()), // whatever is there
                    false => match parts::is_empty(&context).await {
                        Ok(true) => Ok(()),
                        Ok(false) => Err(not_empty(&context)),
                        Err(e) => Err(e),
                    },
                }
            }
            Root::Empty if how.format => Ok(()),
            _ if how.format && how.force => Ok(()),
            _ => crate::objects::journal_id(&io, &self.folder)
                .await
                .map(|_| ()),
        };
        let closed = io.close().await;
        place.and(closed)
    }

    /// The journal to be filled, formatted if that was asked for.
    pub(crate) async fn make_ready(&self, how: Place) -> Result<Context> {
        if how.format {
            self.format_to_fill(how.force).await?;
        }
        let (context, uri) = self.open_journal(Mode::ReadWrite).await?;
        lock_host(&context, self.take_over)
            .await
            .map_err(|e| e.context(uri))?;
        Ok(context)
    }

    async fn format_to_fill(&self, force: bool) -> Result<()> {
        match self.format(false).await {
            Ok(_) => Ok(()),
            Err(e)
                if e.kind() == ErrorKind::AlreadyExists || e.kind() == ErrorKind::HalfFormatted =>
            {
                let (context, _) = match self.open_journal(Mode::ReadOnly).await {
                    Ok(opened) => opened,
                    Err(_) if force => return self.format(true).await.map(|_| ()),
                    Err(_) => return Err(e),
                };
                let empty = parts::is_empty(&context).await;
                context.io().close().await?;
                match empty {
                    Ok(true) => Ok(()),
                    _ if force => self.format(true).await.map(|_| ()),
                    Ok(false) => Err(not_empty(&context)),
                    Err(e) => Err(e),
                }
            }
            Err(e) => Err(e),
        }
    }
}
