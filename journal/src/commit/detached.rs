//! Flushing of a detached store: one task that keeps several flushes under way
//! and acknowledges them strictly in order.

use super::core::Core;
use super::state::ActiveLog;
use flushproof_api::{Error, ErrorKind, Flush, Flushed, Result, SeqNo};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, StreamExt};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// One flush under way.
struct Landed {
    /// The cursor behind its last entry.
    end: SeqNo,
    /// The offset behind its frame.
    offset: u64,
    result: Result<Flushed>,
    took: Duration,
}

/// What is known of a flush when it begins.
struct Flight {
    end: SeqNo,
    offset: u64,
    began: Instant,
}

impl Flight {
    async fn land(self, flush: Flush, limit: Duration) -> Landed {
        let left = limit.saturating_sub(self.began.elapsed());
        let result = match tokio::time::timeout(left, flush).await {
            Ok(result) => result,
            Err(_) => Err(hung(limit)),
        };
        Landed {
            end: self.end,
            offset: self.offset,
            result,
            took: self.began.elapsed(),
        }
    }
}

type UnderWay = FuturesOrdered<BoxFuture<'static, Landed>>;

/// Runs until the journal ends.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        if core.state().failure.is_some() {
            return;
        }
        let mut under_way = UnderWay::new();
        if let Some(alone) = core.adopt() {
            let (log, generation) = (alone.log, alone.generation);
            let limit = core.context.config.flush_timeout;
            let flight = Flight {
                end: alone.end,
                offset: log.offset,
                began: alone.began,
            };
            under_way.push_back(Box::pin(flight.land(alone.flush, limit)));
            serve(&core, log, generation, under_way).await;
            continue;
        }
        let busy = !core.state().queue.is_empty();
        match if busy { core.take_log() } else { None } {
            Some((log, generation)) => serve(&core, log, generation, under_way).await,
            None => core.flusher.notified().await,
        }
    }
}

/// Flushes until nothing waits and nothing is under way, then frees the log.
async fn serve(core: &Core, mut log: ActiveLog, generation: u64, mut under_way: UnderWay) {
    loop {
        if under_way.is_empty() && core.max_inflight == 1 {
            gather(core);
        }
        if let Err(error) = submit(core, &mut log, generation, &mut under_way).await {
            return core.fail(generation, error);
        }
        if under_way.is_empty() {
            if !core.return_log(log, generation) {
                return;
            }
            // An append between the look and the return has left a permit.
            return;
        }
        tokio::select! {
            biased;
            landed = under_way.next() => {
                let Some(landed) = landed else { continue };
                if let Err(error) = land(core, &mut log, landed, generation) {
                    return core.fail(generation, error);
                }
            }
            () = core.flusher.notified(), if under_way.len() < core.max_inflight => {}
        }
    }
}

/// Where one flush is under way at a time, waits until those of the last group came
/// again, at most half a flush: else two halves of them would take turns.
fn gather(core: &Core) {
    let target = core.target();
    if core.waiting() >= target {
        return;
    }
    let (began, patience) = (Instant::now(), core.gathering_time());
    while core.waiting() < target && began.elapsed() < patience {
        std::thread::yield_now();
    }
}

/// Starts flushes while batches wait and the store takes more.
async fn submit(
    core: &Core,
    log: &mut ActiveLog,
    generation: u64,
    under_way: &mut UnderWay,
) -> Result<()> {
    while under_way.len() < core.max_inflight {
        let len = match core.state().queue.front() {
            Some(batch) => (batch.buf.len() as u64).next_multiple_of(log.grain),
            None => return Ok(()),
        };
        if log.offset + len > log.limit || core.is_seal_due(log) {
            if !under_way.is_empty() {
                return Ok(()); // drain before rolling
            }
            roll(core, log, len, generation).await?;
        }
        let Some(batch) = core.take_batch(generation) else {
            return Ok(());
        };
        let end = SeqNo(batch.first.0 + u64::from(batch.count));
        let frame = core.build(log, batch, generation);
        core.counters.flushes.fetch_add(1, Relaxed);
        let flush = log.writer.flush(frame);
        let limit = core.context.config.flush_timeout;
        let flight = Flight {
            end,
            offset: log.offset,
            began: Instant::now(),
        };
        under_way.push_back(Box::pin(flight.land(flush, limit)));
    }
    Ok(())
}

/// Acknowledges the oldest flush.
fn land(core: &Core, log: &mut ActiveLog, landed: Landed, generation: u64) -> Result<()> {
    let got = landed.result?;
    core.note_flush_time(landed.took);
    log.durable_offset = landed.offset;
    let mut cut = log.cut(landed.end);
    cut.offset = landed.offset;
    let mut state = core.state();
    if state.generation != generation {
        return Ok(());
    }
    let acknowledged = core.acknowledge(&mut state, cut, got);
    state.fill = log.fill();
    drop(state);
    if let Some(group) = acknowledged {
        group.wake();
    }
    core.moved.notify_waiters();
    Ok(())
}

/// Goes on in the next log; waits for it when this one may not grow further.
async fn roll(core: &Core, log: &mut ActiveLog, len: u64, generation: u64) -> Result<()> {
    let began = Instant::now();
    let prepared = loop {
        if let Some(prepared) = core.take_prepared(generation) {
            break prepared;
        }
        let late = began.elapsed() > core.context.config.store_timeout;
        if core.may_outgrow(log, len).is_ok() || late {
            return core.may_outgrow(log, len);
        }
        core.keeper.notify_one();
        tokio::time::sleep(Duration::from_millis(1)).await;
        if core.state().generation != generation {
            return Ok(());
        }
    };
    core.seal_before_roll(log).await?;
    let (mut next, frame) = core.begin_log(log, prepared);
    core.counters.flushes.fetch_add(1, Relaxed);
    within(core.context.config.flush_timeout, next.writer.flush(frame)).await?;
    next.durable_offset = next.offset;
    core.counters.rolls.fetch_add(1, Relaxed);
    *log = next;
    core.keeper.notify_one();
    Ok(())
}

/// Bounds one flush in time; afterwards its outcome is unknown.
pub(crate) async fn within(
    limit: Duration,
    flush: impl Future<Output = Result<Flushed>>,
) -> Result<Flushed> {
    match tokio::time::timeout(limit, flush).await {
        Ok(result) => result,
        Err(_) => Err(hung(limit)),
    }
}

/// The error of a flush that did not answer in time.
pub(crate) fn hung(limit: Duration) -> Error {
    Error::new(
        ErrorKind::TimedOut,
        format!(
            "a flush did not answer within {limit:?} (flush_timeout); whether its entries are \
             durable is unknown. Look at the store; the journal can be opened again"
        ),
    )
}
