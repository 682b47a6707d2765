//! Steps 1 and 7 of becoming primary: claim an epoch, and make sure that it is
//! still the highest.

use crate::commit::serving::Context;
use crate::commit::state::now_ms;
use crate::format::object::{EpochObject, Fill};
use crate::format::{JournalId, Nonce, names};
use crate::objects::{Bounded, list_epochs, read_epoch};
use flushproof_api::{Epoch, Error, ErrorKind, Outcome, Result};
use std::time::Duration;

/// An epoch that this process claimed, and the secret that proves it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub epoch: Epoch,
    pub nonce: Nonce,
}

/// How often a claim is tried while others are faster.
const RACES: u32 = 100;
/// How often it is tried after an answer that says neither yes nor no.
const DOUBTS: u32 = 4;

/// Claims the next epoch. A name that is taken, or an answer that says neither
/// yes nor no: list again and go higher.
pub(crate) async fn claim_epoch(context: &Context) -> Result<Claim> {
    claim(&context.io(), context.journal, &context.config, None).await
}

/// The same; with `fill` the epoch is claimed to be filled, not to serve.
pub(crate) async fn claim(
    io: &Bounded,
    id: JournalId,
    config: &crate::Config,
    fill: Option<Fill>,
) -> Result<Claim> {
    let mut doubts = 0;
    for race in 0..RACES {
        let highest = list_epochs(io)
            .await?
            .last()
            .copied()
            .unwrap_or(Epoch::NONE);
        if highest.0 == u64::MAX {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "{} is the highest epoch that there can be, so none can be claimed; no primary \
                     made it: remove it",
                    names::epoch_path(highest)?
                ),
            ));
        }
        let claim = Claim {
            epoch: highest.next(),
            nonce: Nonce::random()?,
        };
        let object = EpochObject {
            epoch: claim.epoch,
            nonce: claim.nonce,
            claimed_ms: now_ms(),
            who: config.who.clone(),
            address: config.address.clone(),
            fill,
        };
        let path = names::epoch_path(claim.epoch)?;
        match io.put(&path, object.encode(id)).await {
            Ok(()) => return Ok(claim),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => back_off(race).await?,
            Err(e) if e.outcome() == Outcome::Unknown && may_pass(&e) && doubts < DOUBTS => {
                tracing::warn!(error = %e, "the claim of an epoch is in doubt; going higher");
                doubts += 1;
                back_off(doubts).await?;
            }
            Err(e) => return Err(e.context("claiming an epoch")),
        }
    }
    Err(Error::new(
        ErrorKind::Busy,
        format!("{RACES} claims of an epoch lost their race; too many processes start at once"),
    ))
}

/// Whether trying again may help.
fn may_pass(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Io | ErrorKind::TimedOut | ErrorKind::Unreachable | ErrorKind::Busy
    )
}

/// Waits a random time, longer with every try, so that racing candidates part.
async fn back_off(tries: u32) -> Result<()> {
    let random = u64::from(Nonce::random()?.0[0]);
    let most = 5u64 << tries.min(6);
    tokio::time::sleep(Duration::from_millis(random * most / 256)).await;
    Ok(())
}

/// Step 7: my claim must be the highest, and still my own object.
///
/// # Errors
/// `Fenced` when another candidate went higher.
pub(crate) async fn confirm_epoch(context: &Context, claim: &Claim) -> Result<()> {
    confirm(&context.io(), context.journal, claim).await
}

pub(crate) async fn confirm(io: &Bounded, id: JournalId, claim: &Claim) -> Result<()> {
    let highest = list_epochs(io)
        .await?
        .last()
        .copied()
        .unwrap_or(Epoch::NONE);
    let mine = highest == claim.epoch
        && read_epoch(io, id, highest)
            .await?
            .is_some_and(|object| object.is_claim_of(claim.epoch, &claim.nonce));
    if mine {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Fenced,
        format!(
            "epoch {highest} was claimed by another process while this one took over as epoch {}; \
             this one stands down",
            claim.epoch
        ),
    ))
}
