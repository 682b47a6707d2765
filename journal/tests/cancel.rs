//! Dropping every future at every point where it waits (FC-10): nothing that was
//! acknowledged is lost, and the journal goes on.
//!
//! Each future is polled n times and dropped, n = 0, 1, 2, … until it ends
//! before. The store lets others run before and after each of its calls, so that
//! every call is such a point.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use flushproof::{Config, FollowItem, Item, Journal, SeqNo, StoreUri, Verdict};
use flushproof_api::MemoryStore;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::time::Duration;
use support::faulty::{Answers, Faulty};
use support::state::{State, entry};
use support::{in_memory, memory_folder, runtime};

/// Polls a future `n` times at the most, each time it asks for it. `None`: it
/// was dropped.
async fn polled<T>(n: u64, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = n;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Stores whose calls all have points to wait at.
fn stores() -> Vec<(&'static str, Config, Option<tempfile::TempDir>)> {
    let mut stores = Vec::new();
    for (name, answers) in [("inline", Answers::Inline), ("later", Answers::Later)] {
        let store = Faulty::new(Arc::new(MemoryStore::new()), answers);
        store.script.yields.store(true, SeqCst);
        let mut config = Config::new(StoreUri::parse("faulty:").unwrap());
        config.registry = store.registry();
        config.require = flushproof::Survives::NOTHING;
        stores.push((name, config, None));
    }
    let folder = memory_folder();
    stores.push(("local", in_memory(folder.path()), Some(folder)));
    for (_, config, _) in &mut stores {
        config.segment_size = 64 << 10;
        config.keep_checkpoints = 1;
        config.take_over = true;
        config.flush_timeout = Duration::from_secs(5);
        config.poll_interval = Duration::from_millis(1);
    }
    stores
}

/// A journal under test, and what was acknowledged.
struct Subject {
    config: Config,
    journal: Journal,
    state: State,
    /// Entries below it were acknowledged.
    acked: u64,
}

const WRITER: (u64, u64) = (1, 1);

impl Subject {
    async fn new(config: &Config) -> Subject {
        config.format(true).await.unwrap();
        let (journal, state) = open(config).await;
        Subject {
            config: config.clone(),
            journal,
            state,
            acked: 0,
        }
    }

    fn next(&self) -> Vec<u8> {
        let n = self.state.next.get(&WRITER).copied().unwrap_or(0);
        entry(WRITER, n)
    }

    /// Appends one and waits.
    async fn append(&mut self) {
        let bytes = self.next();
        let receipt = self.journal.append(&bytes).await.unwrap();
        self.state.apply(receipt.seq, &bytes);
        self.acked = receipt.seq.0 + 1;
    }

    /// Takes over; everything acknowledged is there, everything accepted may be.
    async fn reopen(&mut self, case: &str) {
        let (journal, state) = open(&self.config).await;
        assert!(
            state.count >= self.acked,
            "{case}: acknowledged entries are lost"
        );
        assert!(
            state.count <= self.state.count,
            "{case}: more than was accepted"
        );
        self.journal = journal;
        self.state = state;
        self.append().await;
    }

    async fn verify(&self, case: &str) {
        let report = self.config.reader().await.unwrap();
        let report = report.verify(|_, _| {}).await.unwrap();
        assert!(report.verdict() < Verdict::Corrupt, "{case}: {report:?}");
    }
}

async fn open(config: &Config) -> (Journal, State) {
    let mut recovery = config.primary().await.unwrap();
    let state = State::recover(&mut recovery).await.unwrap();
    (recovery.start().await.unwrap(), state)
}

/// Runs `case` with 0, 1, 2, … polls on each store until it says that the future
/// ended, and says how often it was dropped.
async fn drop_everywhere(
    what: &str,
    most: u64,
    case: impl AsyncFn(&mut Subject, u64, &str) -> bool,
) {
    for (store, config, _folder) in stores() {
        let mut subject = Subject::new(&config).await;
        let mut dropped = 0;
        for polls in 0..most {
            let name = format!("{what} on {store}, {polls} polls");
            let limit = Duration::from_secs(20);
            let ended = tokio::time::timeout(limit, case(&mut subject, polls, &name)).await;
            let ended = ended.unwrap_or_else(|_| panic!("{name}: the journal hangs"));
            subject.append().await;
            if ended {
                break;
            }
            dropped += 1;
        }
        subject.reopen(&format!("{what} on {store}")).await;
        subject.verify(&format!("{what} on {store}")).await;
        println!("{what} on {store}: dropped at {dropped} points");
        assert!(
            dropped > 0 && dropped < most,
            "{what} on {store}: {dropped}"
        );
    }
}

#[test]
fn fc_10_append_dropped_at_every_poll() {
    runtime().block_on(drop_everywhere("append", 1000, async |s, polls, _| {
        // The entry is the state's only if it was accepted.
        let bytes = s.next();
        let before = s.journal.accepted();
        let done = polled(polls, s.journal.append(&bytes)).await;
        if s.journal.accepted() > before {
            s.state.apply(before, &bytes);
        }
        if let Some(receipt) = &done {
            s.acked = receipt.as_ref().unwrap().seq.0 + 1;
        }
        // What was accepted becomes durable although nobody waits.
        s.journal
            .durable_through(SeqNo(s.state.count))
            .await
            .unwrap();
        done.is_some()
    }));
}

#[test]
fn fc_10_append_batch_dropped_at_every_poll() {
    runtime().block_on(drop_everywhere(
        "append_batch",
        1000,
        async |s, polls, case| {
            let place = s.state.next.get(&WRITER).copied().unwrap_or(0);
            let entries = [entry(WRITER, place), entry(WRITER, place + 1)];
            let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
            let before = s.journal.accepted();
            let done = polled(polls, s.journal.append_batch(&slices)).await;
            match s.journal.accepted().0 - before.0 {
                0 => assert!(done.is_none(), "{case}"),
                n => {
                    assert_eq!(n, 2, "{case}: half a batch");
                    for bytes in &entries {
                        s.state.apply(SeqNo(s.state.count), bytes);
                    }
                }
            }
            if done.is_some() {
                s.acked = s.state.count;
            }
            done.is_some()
        },
    ));
}

#[test]
fn fc_10_reserve_dropped_while_it_waits_takes_no_room() {
    runtime().block_on(async {
        for (store, mut config, _folder) in stores() {
            config.queue_bytes = 4096;
            config.max_entry = 4096;
            let mut subject = Subject::new(&config).await;
            let all = subject.journal.reserve(4000).await.unwrap();
            for round in 0..50 {
                let waits = polled(round % 2, subject.journal.reserve(4000)).await;
                assert!(waits.is_none(), "{store}: there was no room");
            }
            drop(all);
            // All of the room is there again.
            drop(subject.journal.reserve(4000).await.unwrap());
            drop(subject.journal.try_reserve(4000).unwrap());
            subject.append().await;
        }
    });
}

#[test]
fn fc_10_checkpoint_dropped_at_every_poll() {
    runtime().block_on(drop_everywhere("checkpoint", 2000, async |s, polls, _| {
        let (at, state) = (s.journal.accepted(), s.state.clone());
        let made = async {
            let mut writer = s.journal.checkpoint(at).await?;
            for entry in state.entries() {
                writer.entry(&entry).await?;
            }
            writer.commit().await
        };
        let done = polled(polls, made).await;
        if let Some(done) = &done {
            assert_eq!(done.as_ref().unwrap().next_seq, at);
        }
        // Or the checkpoints would grow as fast as the number of polls.
        s.journal.trim().await.unwrap();
        done.is_some()
    }));
}

#[test]
fn fc_10_trim_dropped_at_every_poll() {
    runtime().block_on(drop_everywhere("trim", 2000, async |s, polls, _| {
        let done = polled(polls, s.journal.trim()).await;
        if let Some(done) = &done {
            done.as_ref().unwrap();
        }
        done.is_some()
    }));
}

#[test]
fn fc_10_durable_through_dropped_at_every_poll() {
    runtime().block_on(drop_everywhere(
        "durable_through",
        1000,
        async |s, polls, _| {
            let bytes = s.next();
            let ack = s
                .journal
                .reserve(bytes.len())
                .await
                .unwrap()
                .append(&bytes)
                .unwrap();
            s.state.apply(ack.seq(), &bytes);
            drop(ack);
            let done = polled(polls, s.journal.durable_through(SeqNo(s.state.count))).await;
            done.is_some()
        },
    ));
}

#[test]
fn fc_10_primary_dropped_at_every_poll() {
    runtime().block_on(drop_everywhere("primary", 3000, async |s, polls, case| {
        // Or the chain would grow as fast as the number of polls.
        *s = Subject::new(&s.config.clone()).await;
        s.append().await;
        let done = polled(polls, s.config.primary()).await;
        let ended = done.is_some();
        drop(done.map(Result::unwrap));
        s.reopen(case).await;
        ended
    }));
}

#[test]
fn fc_10_recovery_dropped_at_every_poll_loses_no_item() {
    runtime().block_on(drop_everywhere(
        "recovery.next",
        3000,
        async |s, polls, case| {
            let mut recovery = s.config.primary().await.unwrap();
            let mut state = State::default();
            // Every single item's future is dropped after so many polls, then asked again.
            loop {
                let item = match polled(polls, recovery.next()).await {
                    Some(item) => item,
                    None => recovery.next().await,
                };
                match item.unwrap() {
                    None => break,
                    Some(Item::Entry(entry)) => state.apply(entry.seq, &entry.bytes),
                    Some(Item::Checkpoint(_)) => panic!("{case}: no checkpoint was made"),
                }
            }
            assert!(
                state.count >= s.acked && state.count <= s.state.count,
                "{case}"
            );
            s.journal = recovery.start().await.unwrap();
            s.state = state;
            polls > 40
        },
    ));
}

#[test]
fn fc_10_start_dropped_at_every_poll() {
    runtime().block_on(drop_everywhere(
        "recovery.start",
        3000,
        async |s, polls, case| {
            let mut recovery = s.config.primary().await.unwrap();
            State::recover(&mut recovery).await.unwrap();
            let done = polled(polls, recovery.start()).await;
            let ended = done.is_some();
            drop(done.map(Result::unwrap));
            s.reopen(case).await;
            ended
        },
    ));
}

#[test]
fn fc_10_follow_dropped_at_every_poll_loses_no_item() {
    runtime().block_on(drop_everywhere(
        "follow.next",
        3000,
        async |s, polls, case| {
            s.append().await;
            let reader = s.config.reader().await.unwrap();
            let mut follow = reader.follow(Some(SeqNo(0))).await.unwrap();
            let mut state = State::default();
            let durable = s.journal.durable().0;
            while state.count < durable {
                let item = match polled(polls, follow.next()).await {
                    Some(item) => item,
                    // Not after each: the follower must come forward.
                    None => follow.next().await,
                };
                match item.unwrap() {
                    FollowItem::Entry(entry) => state.apply(entry.seq, &entry.bytes),
                    FollowItem::CaughtUp => {}
                    FollowItem::Checkpoint(_) => panic!("{case}: no checkpoint was made"),
                }
            }
            polls > 40
        },
    ));
}

#[test]
fn fc_10_close_dropped_at_every_poll_can_be_called_again() {
    runtime().block_on(drop_everywhere("close", 1000, async |s, polls, case| {
        let bytes = s.next();
        let ack = s
            .journal
            .reserve(bytes.len())
            .await
            .unwrap()
            .append(&bytes)
            .unwrap();
        s.state.apply(ack.seq(), &bytes);
        let done = polled(polls, s.journal.clone().close()).await;
        let ended = done.is_some();
        if polls > 0 {
            let error = s.journal.append(b"more").await.unwrap_err();
            assert_eq!(
                error.kind(),
                flushproof::ErrorKind::Closed,
                "{case}: {error}"
            );
        }
        // Called again it ends what the first one began.
        let again = s.journal.clone().close().await;
        again.unwrap_or_else(|e| panic!("{case}: {e}"));
        s.acked = ack.await.unwrap().seq.0 + 1;
        s.reopen(case).await;
        ended
    }));
}
