//! The rows of `docs/recovery.md` that are about standbys.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod golden_support;

use flushproof::{Config, Error, ErrorKind, FollowItem, JournalStore, SeqNo, Standby, StorePath};
use golden_support::changed::*;
use golden_support::*;

/// A standby that has applied everything.
async fn caught_up(config: &Config) -> Standby {
    let mut standby = config.standby().await.unwrap();
    loop {
        match standby.next().await.unwrap() {
            FollowItem::CaughtUp => return standby,
            FollowItem::Checkpoint(mut c) => while c.next().await.unwrap().is_some() {},
            FollowItem::Entry(_) => {}
        }
    }
}

/// Everything that a new standby is given: the checkpoint's number, and the entries'.
async fn given(config: &Config) -> Result<(Option<u64>, Vec<u64>), Error> {
    let mut standby = config.standby().await?;
    let (mut checkpoint, mut entries) = (None, Vec::new());
    loop {
        match standby.next().await? {
            FollowItem::CaughtUp => return Ok((checkpoint, entries)),
            FollowItem::Checkpoint(mut c) => {
                checkpoint = Some(c.next_seq().0);
                while c.next().await?.is_some() {}
            }
            FollowItem::Entry(e) => entries.push(e.seq.0),
        }
    }
}

/// The segments behind the one before it are needed then, too.
#[tokio::test]
async fn a_standby_passes_over_a_damaged_checkpoint_and_misses_no_entry() {
    let newer = "checkpoint/00000000000000000005-00000000000000000002";
    let two = || golden().with(newer, checkpoint(flushproof::Epoch(2), 5));
    let whole = given(&two().config().await).await.unwrap();
    assert_eq!(whole, (Some(5), vec![5]));
    let damaged = given(&two().flip(newer, 100).config().await).await.unwrap();
    assert_eq!(damaged, (Some(3), vec![3, 4, 5]));
    // Without any that is whole, everything, if it is there.
    let none = two().flip(newer, 100).flip(CHECKPOINT, 100);
    let none = given(&none.config().await).await.unwrap();
    assert_eq!(none, (None, vec![0, 1, 2, 3, 4, 5]));
    // What was trimmed for the newest is missing.
    let trimmed = two().flip(newer, 100).without(&SEGMENTS[..2]);
    let error = given(&trimmed.config().await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

async fn promote(standby: Standby) -> Error {
    match standby.promote().await {
        Err(error) => error,
        Ok(recovery) => panic!("{recovery:?}"),
    }
}

#[tokio::test]
async fn a_standby_ahead_of_the_journal_is_corrupt() {
    let journal = golden();
    let (store, config) = journal.store().await;
    let standby = caught_up(&config).await;
    assert_eq!(standby.cursor(), SeqNo(6));
    // The last entries are lost meanwhile, the start is there.
    let log = SEGMENTS[2].strip_suffix(".log").unwrap();
    store.delete(&StorePath::new(log).unwrap()).await.unwrap();
    put(&store, SEGMENTS[2], &journal.0[SEGMENTS[2]][..320]).await;
    let error = promote(standby).await;
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    says(&error.to_string(), &["below 6", "ends at 5"]);
}

#[tokio::test]
async fn a_standby_of_a_journal_that_lost_its_starts_is_corrupt() {
    let (store, config) = golden().store().await;
    let other = caught_up(&config).await;
    let standby = caught_up(&config).await;
    for name in [START_1, START_2] {
        store.delete(&StorePath::new(name).unwrap()).await.unwrap();
    }
    let error = promote(standby).await;
    says(&error.to_string(), &[START_1, "is missing"]);
    // Without the traces too.
    for name in SEGMENTS.into_iter().chain([CHECKPOINT]) {
        let name = name.strip_suffix(".log").unwrap_or(name);
        store.delete(&StorePath::new(name).unwrap()).await.unwrap();
    }
    let error = promote(other).await;
    says(&error.to_string(), &["below 6", "the journal is empty"]);
}
