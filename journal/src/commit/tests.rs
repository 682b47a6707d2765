//! Group commit against stores that cost nothing, hang or fail.

use super::serving::{Context, Serving};
use crate::format::{JournalId, Nonce};
use crate::{Ack, Config, Journal, OnUnknown};
use async_trait::async_trait;
use bytes::Bytes;
use flushproof_api::*;
use futures_util::FutureExt;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What a test store does with a flush.
#[derive(Default)]
struct Script {
    /// Flush number `n` fails.
    fail_at: Option<u64>,
    /// Flush number `n` hangs until released.
    hang_at: Option<u64>,
    released: Mutex<bool>,
    wake: Condvar,
    flushes: AtomicU64,
}

/// A log that keeps nothing: the null sink.
struct Sink {
    script: Arc<Script>,
    len: u64,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

#[async_trait]
impl LogWriter for Sink {
    fn flush(&mut self, batch: Bytes) -> Flush {
        let n = self.script.flushes.fetch_add(1, SeqCst);
        if self.script.hang_at == Some(n) {
            let mut released = self.script.released.lock().unwrap();
            while !*released {
                released = self.script.wake.wait(released).unwrap();
            }
        }
        if self.script.fail_at.is_some_and(|at| n >= at) {
            return Flush::ready(Err(Error::new(ErrorKind::Io, "the disk is broken")));
        }
        self.len += batch.len() as u64;
        Flush::ready(Ok(Flushed::new(self.len, Survives::NOTHING)))
    }

    async fn seal(&mut self) -> Result<u64> {
        Ok(self.len)
    }
}

async fn serve(script: Arc<Script>, change: impl FnOnce(&mut Config)) -> Journal {
    let mut config = Config::new(StoreUri::parse("memory:").unwrap());
    config.require = Survives::NOTHING;
    change(&mut config);
    let context = Context {
        store: Arc::new(MemoryStore::new()),
        config: Arc::new(config),
        journal: JournalId([7; 16]),
        around: None,
    };
    Journal::serve(Serving {
        context,
        epoch: Epoch(1),
        nonce: Nonce([9; 16]),
        writer: Box::new(Sink { script, len: 0 }),
        index: 0,
        grain: 64,
        offset: 256,
        next_seq: SeqNo(0),
        survives: Survives::NOTHING,
    })
    .await
    .unwrap()
}

async fn many(journal: &Journal, tasks: u64, each: u64) {
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        let journal = journal.clone();
        set.spawn(async move {
            for _ in 0..each {
                journal.append(&[1; 256]).await.unwrap();
            }
        });
    }
    while let Some(done) = set.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_append_of_many_tasks_is_acknowledged_in_order() {
    let journal = serve(Arc::default(), |_| {}).await;
    many(&journal, 64, 500).await;
    assert_eq!(journal.durable(), SeqNo(32_000));
    let counts = journal.counts();
    assert_eq!(counts.entries, 32_000);
    assert!(counts.flushes <= counts.groups + counts.marks + counts.rolls);
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_current_thread_runtime_is_served_by_the_flusher() {
    let journal = serve(Arc::default(), |_| {}).await;
    many(&journal, 8, 50).await;
    journal.close().await.unwrap();
}

#[test]
fn a_local_set_on_a_multi_thread_runtime_does_not_block_in_place() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let journal = serve(Arc::default(), |_| {}).await;
        let inner = journal.clone();
        let task = tokio::task::spawn_local(async move { inner.append(b"x").await.unwrap() });
        assert_eq!(task.await.unwrap().seq, SeqNo(0));
    });
}

#[test]
fn plain_threads_append_and_wait() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let journal = runtime.block_on(serve(Arc::default(), |_| {}));
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..200 {
                    journal.blocking_append(b"entry").unwrap();
                }
            });
        }
    });
    assert_eq!(journal.durable(), SeqNo(800));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_acks_leave_no_one_waiting() {
    let journal = serve(Arc::default(), |_| {}).await;
    let mut last = SeqNo(0);
    for i in 0..1000u32 {
        let ack = journal
            .reserve(4)
            .await
            .unwrap()
            .append(&i.to_le_bytes())
            .unwrap();
        last = ack.seq();
    }
    journal.durable_through(last.next()).await.unwrap();
    // The same without anybody who waits: the keeper flushes.
    drop(journal.reserve(4).await.unwrap().append(b"last").unwrap());
    let began = std::time::Instant::now();
    while journal.durable() <= last.next() && began.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(journal.durable(), SeqNo(1001));
}

/// Drops the ack future after each possible number of polls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fc_10_an_ack_dropped_at_any_poll_loses_nothing() {
    let journal = serve(Arc::default(), |_| {}).await;
    for round in 0..200u64 {
        let mut acks: Vec<Ack> = Vec::new();
        for _ in 0..4 {
            acks.push(
                journal
                    .reserve(8)
                    .await
                    .unwrap()
                    .append(&round.to_le_bytes())
                    .unwrap(),
            );
        }
        for (polls, ack) in acks.iter_mut().enumerate() {
            for _ in 0..polls {
                let _ = std::future::poll_fn(|cx| {
                    std::task::Poll::Ready(std::pin::Pin::new(&mut *ack).poll(cx))
                })
                .await;
            }
        }
        let last = acks.pop().unwrap();
        drop(acks);
        last.await.unwrap();
    }
    assert_eq!(journal.durable(), SeqNo(800));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fc_4_nothing_is_acknowledged_after_a_failed_flush() {
    for fail_at in 0..20 {
        let script = Arc::new(Script {
            fail_at: Some(fail_at),
            ..Script::default()
        });
        let journal = serve(script.clone(), |_| {}).await;
        let mut acknowledged = 0;
        let error = loop {
            match journal.append(b"entry").await {
                Ok(receipt) => acknowledged = receipt.seq.0 + 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert_eq!(journal.durable().0, acknowledged);
        let after = journal.append(b"entry").await.unwrap_err();
        assert_eq!(after.outcome(), Outcome::NotWritten);
        assert!(
            script.flushes.load(SeqCst) <= fail_at + 1,
            "flushed again after a failure"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fc_12_a_hung_store_gives_an_error_in_bounded_time() {
    let script = Arc::new(Script {
        hang_at: Some(3),
        ..Script::default()
    });
    let journal = serve(script.clone(), |c| {
        c.flush_timeout = Duration::from_millis(100)
    })
    .await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let journal = journal.clone();
            tokio::spawn(async move { while journal.append(b"entry").await.is_ok() {} })
        })
        .collect();
    // The one whose thread is inside the hung write ends when the write does.
    for (i, task) in tasks.into_iter().enumerate() {
        if tokio::time::timeout(Duration::from_secs(5), task)
            .await
            .is_err()
        {
            assert!(i < 8);
        }
    }
    let error = journal.append(b"entry").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    let durable = journal.durable();
    *script.released.lock().unwrap() = true;
    script.wake.notify_all();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(journal.durable(), durable, "a late Ok was acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_makes_reserve_wait_and_try_reserve_fail() {
    let script = Arc::new(Script {
        hang_at: Some(0),
        ..Script::default()
    });
    let journal = serve(script.clone(), |c| {
        c.queue_bytes = 4096;
        c.queue_entries = 4;
        c.max_entry = 4096;
    })
    .await;
    let acks: Vec<_> = (0..4)
        .map(|_| journal.try_reserve(8).unwrap().append(b"12345678").unwrap())
        .collect();
    assert_eq!(journal.try_reserve(8).unwrap_err().kind(), ErrorKind::Full);
    let waits = tokio::time::timeout(Duration::from_millis(20), journal.reserve(8)).await;
    assert!(waits.is_err());
    *script.released.lock().unwrap() = true;
    script.wake.notify_all();
    for ack in acks {
        ack.await.unwrap();
    }
    drop(journal.reserve(8).await.unwrap());
    assert_eq!(
        journal.reserve(4097).await.unwrap_err().kind(),
        ErrorKind::TooLarge
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_idle_mark_is_flushed_once() {
    let journal = serve(Arc::default(), |c| c.on_unknown = OnUnknown::Stop).await;
    journal.append(b"entry").await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(journal.counts().marks, 1);
    journal.append(b"entry").await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(journal.counts().marks, 2);
}

/// Two leaders, one behind the other: the first may be slow to wake its group.
#[test]
fn a_later_ack_never_resolves_before_an_earlier_one() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let journal = runtime.block_on(serve(Arc::default(), |_| {}));
    let append = || {
        let room = journal.blocking_reserve(5).unwrap();
        room.append(b"entry").unwrap()
    };
    let (early, last) = (AtomicU64::new(0), SeqNo(300_000));
    std::thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| while append().wait().unwrap().seq < last {});
        }
        s.spawn(|| {
            while journal.durable() < last {
                let first = append();
                while journal.submitted() <= first.seq() {
                    std::hint::spin_loop();
                }
                append().wait().unwrap();
                early.fetch_add(first.now_or_never().is_none().into(), SeqCst);
            }
        });
    });
    assert_eq!(early.into_inner(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permit_that_outlives_the_journal_appends_durably_or_not_at_all() {
    let journal = serve(Arc::default(), |_| {}).await;
    let permits = [
        journal.reserve(5).await.unwrap(),
        journal.reserve(5).await.unwrap(),
    ];
    drop(journal);
    let [soon, late] = permits;
    if let Ok(ack) = soon.append(b"entry") {
        ack.await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let error = late.append(b"entry").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert_eq!(error.outcome(), Outcome::NotWritten);
}

/// Whoever closes may look at any moment of the keeper's ending.
#[test]
fn whoever_closes_learns_how_closing_went() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let closed = |journal: &Journal| loop {
        if let Some(answer) = journal.clone().close().now_or_never() {
            return answer;
        }
    };
    for round in 0..500 {
        let journal = runtime.block_on(serve(Arc::default(), |_| {}));
        drop(journal.blocking_reserve(5).unwrap().append(b"entry"));
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| closed(&journal).unwrap_or_else(|e| panic!("round {round}: {e}")));
            }
        });
    }
}

#[tokio::test]
async fn no_length_overflows() {
    let journal = serve(Arc::default(), |_| {}).await;
    for lens in [vec![usize::MAX], vec![usize::MAX - 9; 3], vec![1 << 20; 64]] {
        let error = journal.reserve_batch(lens).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    }
}

/// Not a bar of time: prints the rate for the curious.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_null_sink_takes_many_entries() {
    let journal = serve(Arc::default(), |_| {}).await;
    for tasks in [1u64, 64, 1024] {
        let each = 200_000 / tasks;
        let began = std::time::Instant::now();
        many(&journal, tasks, each).await;
        let rate = (tasks * each) as f64 / began.elapsed().as_secs_f64();
        println!(
            "{tasks} tasks: {:.2} M entries/s, {:?}",
            rate / 1e6,
            journal.counts()
        );
    }
    journal.close().await.unwrap();
}
