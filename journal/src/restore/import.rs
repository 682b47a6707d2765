//! Import: a backup is restored when a primary opens a journal that is formatted and
//! empty. Of several openers one imports; the others wait for it and find it done.

use super::run::{Backup, fill};
use crate::backup::parts::is_empty;
use crate::commit::serving::Context;
use crate::format::names::{self, CHECKPOINT_FOLDER, LOG_FOLDER};
use crate::objects::{list_epochs, read_epoch};
use flushproof_api::{Epoch, ErrorKind, Result, StoreUri};
use std::time::{Duration, Instant};

/// How long another's import may stand still before it counts as given up.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often one looks.
const LOOK: Duration = Duration::from_millis(100);
/// How often an import begins again because another process was faster.
const ATTEMPTS: u32 = 20;

/// Imports the configured backup, if the journal is empty. Says whether it did.
pub(crate) async fn import_once(context: &Context, from: &StoreUri) -> Result<bool> {
    let mut attempt = 0;
    loop {
        if !is_empty(context).await? {
            return Ok(false);
        }
        wait_for_other(context).await?;
        if !is_empty(context).await? {
            return Ok(false);
        }
        match try_import(context, from).await {
            Ok(()) => return Ok(true),
            // Another one was faster, or has just begun.
            Err(e)
                if attempt < ATTEMPTS
                    && matches!(e.kind(), ErrorKind::Fenced | ErrorKind::AlreadyExists) =>
            {
                tracing::info!(error = %e, "another process may have imported; looking again");
                attempt += 1;
            }
            Err(e) => return Err(e.context(format!("importing {from}"))),
        }
    }
}

async fn try_import(context: &Context, from: &StoreUri) -> Result<()> {
    let backup = Backup::open(&context.config, from, None).await?;
    let plan = backup.plan(&context.config, None, &mut |_| {}).await?;
    let done = fill(context, &backup, &plan, &mut |_| {}).await;
    let closed = backup.directory.io.close().await;
    if done.is_ok() {
        let header = &plan.checked.header;
        tracing::info!(%from, source = %header.journal, end = %plan.end, "imported a backup");
    }
    done.and(closed)
}

/// Waits while another process fills the journal, as long as that moves.
async fn wait_for_other(context: &Context) -> Result<()> {
    let mut seen = None;
    let mut since = Instant::now();
    loop {
        let now = look(context).await?;
        if now.is_none() || !is_empty(context).await? {
            return Ok(());
        }
        if now != seen {
            seen = now;
            since = Instant::now();
        } else if since.elapsed() > PATIENCE {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// How far the highest epoch has come, if it is being filled.
async fn look(context: &Context) -> Result<Option<(Epoch, u64)>> {
    let io = context.io();
    let Some(epoch) = list_epochs(&io).await?.last().copied() else {
        return Ok(None);
    };
    let claim = read_epoch(&io, context.journal, epoch).await?;
    if claim.is_none_or(|c| c.fill.is_none()) {
        return Ok(None);
    }
    let start = io.get(&names::start_path(epoch)?).await?;
    if start.is_some() {
        return Ok(None); // done, or decided against
    }
    let mut written = 0;
    for folder in [LOG_FOLDER, CHECKPOINT_FOLDER] {
        let rows = io.list(&names::folder(folder)?).await?;
        written += rows.iter().map(|r| r.len + 1).sum::<u64>();
    }
    Ok(Some((epoch, written)))
}
