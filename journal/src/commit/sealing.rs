//! Rolling on stores that show a log only when it is sealed: mark, seal, go on.

use super::core::Core;
use super::detached::{hung, within};
use super::state::{ActiveLog, State};
use crate::format::FrameKind;
use crate::hidden::hides;
use flushproof_api::Result;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

impl Core {
    /// Whether the store hides what is not sealed.
    pub(crate) fn hides(&self) -> bool {
        hides(&self.context)
    }

    /// In what time the present log is to be sealed so that others see its
    /// entries; `None` when there are none, or the next log is not ready.
    pub(crate) fn seal_in(&self, state: &State) -> Option<Duration> {
        if !self.hides() || state.prepared.is_none() {
            return None;
        }
        state.fill.hidden_since.map(|since| self.left(since))
    }

    /// Whether the log that is being written is to be sealed now.
    pub(crate) fn is_seal_due(&self, log: &ActiveLog) -> bool {
        let due = |since| self.left(since).is_zero();
        self.hides() && log.hidden_since.is_some_and(due) && self.state().prepared.is_some()
    }

    fn left(&self, since: Instant) -> Duration {
        let interval = self.context.config.seal_interval;
        interval.saturating_sub(since.elapsed())
    }

    /// Before a roll, every flush of `log` being Ok: seals it where nobody sees it
    /// otherwise. Its last frame then says that all of it is durable, because the
    /// next header, which says so too, is not seen for a while.
    pub(crate) async fn seal_before_roll(&self, log: &mut ActiveLog) -> Result<()> {
        if !self.hides() {
            return Ok(());
        }
        let limit = self.context.config.flush_timeout;
        if log.attested < self.durable() {
            let frame = self.control_frame(log, FrameKind::Mark, &[]);
            self.counters.flushes.fetch_add(1, Relaxed);
            within(limit, log.writer.flush(frame)).await?;
            log.durable_offset = log.offset;
            self.counters.marks.fetch_add(1, Relaxed);
        }
        match tokio::time::timeout(limit, log.writer.seal()).await {
            Ok(sealed) => sealed.map(|_| ()),
            Err(_) => Err(hung(limit)),
        }
    }
}
