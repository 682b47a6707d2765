//! [`View`]: the chain of a journal that may be in use, and [`settled`]: looking
//! again while others change it.

use crate::chain::Tail;
use crate::checkpoint::{Found, list_counting};
use crate::commit::serving::Context;
use crate::format::object::StartObject;
use crate::hidden::visible_tail;
use crate::objects::{Starts, list_logs};
use flushproof_api::{ErrorKind, Result, SeqNo, Source};

/// The whole chain of a journal that may be in use: nothing is fenced.
pub(crate) struct View {
    pub starts: Starts,
    pub head: Option<StartObject>,
    /// The checkpoints that count, newest first; not verified.
    pub checkpoints: Vec<Found>,
    /// None: no epoch was served yet, or nothing can be seen behind the newest checkpoint.
    pub tail: Option<Tail>,
}

/// How often a look at a journal begins again because it changed meanwhile.
pub(crate) const ATTEMPTS: u32 = 8;

impl View {
    /// Looks at the journal as it is now; call it within [`settled`].
    pub(crate) async fn load(context: &Context) -> Result<View> {
        View::load_from(context, Source::Any).await
    }

    /// The same; the last segment is read from `source`.
    pub(crate) async fn load_from(context: &Context, source: Source) -> Result<View> {
        let io = context.io();
        let starts = Starts::list(&io, context.journal).await?;
        let head = starts.head().await?;
        let checkpoints = list_counting(context, &starts).await?;
        let tail = match &head {
            None => None,
            Some(head) => {
                let logs = list_logs(&io).await?;
                let trimmed = checkpoints.first().map_or(SeqNo::ZERO, |c| c.id.next_seq);
                visible_tail(context, &starts, head, &logs, source, trimmed).await?
            }
        };
        Ok(View {
            starts,
            head,
            checkpoints,
            tail,
        })
    }

    /// The next number of the newest checkpoint that counts.
    pub(crate) fn newest(&self) -> SeqNo {
        self.checkpoints
            .first()
            .map_or(SeqNo::ZERO, |c| c.id.next_seq)
    }
}

/// Runs `f`, which looks at a journal that others may change meanwhile.
///
/// While a log goes away it begins again. It also begins again when it finds
/// damage: a higher epoch or a trim may have moved what it looked at between two
/// lists. Only damage that is found twice in the same words is damage.
pub(crate) async fn settled<T, F: Future<Output = Result<T>>>(f: impl Fn() -> F) -> Result<T> {
    let mut damage = None;
    let mut attempt = 0;
    loop {
        let error = match f().await {
            Err(e) if attempt < ATTEMPTS => e,
            other => return other,
        };
        match error.kind() {
            ErrorKind::NotFound => {}
            ErrorKind::Corrupt if damage.as_ref() != Some(&error.to_string()) => {
                damage = Some(error.to_string());
            }
            _ => return Err(error),
        }
        attempt += 1;
        tokio::time::sleep(std::time::Duration::from_millis(5 << attempt)).await;
    }
}
