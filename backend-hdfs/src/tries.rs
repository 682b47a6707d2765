//! Several tries of one thing, the next begun before the last one has failed.
//!
//! A pipeline with a dead DataNode in it is refused at once or hangs, and which it will
//! be nobody says beforehand; a healthy one on a busy cluster is slow. So what takes
//! longer than a healthy pipeline is not given up: another is tried beside it,
//! and the first that works counts.

use crate::connect::Io;
use flushproof_api::Result;
use flushproof_api::{Error, ErrorKind};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// A healthy pipeline has answered by then: 40 ms is usual.
const HEALTHY: Duration = Duration::from_millis(150);
/// The pause after one that failed.
const AGAIN: Duration = Duration::from_millis(20);
/// How many may be under way: they must not be what makes a busy machine slow.
const MOST: u32 = 8;

/// How a try failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Another may work.
    Again(Error),
    /// No other will.
    Finally(Error),
}

/// What a try made; removed when another was first.
pub(crate) trait Made: Send + 'static {
    /// Removes it; what can't be removed is left to `sweep`.
    fn discard(self) -> impl Future<Output = ()> + Send;
}

/// The first of several tries that works. The `n`th is made by `begin`, which bounds it in
/// time; no more are begun after `limit`.
///
/// The first error is returned when all failed: it is what a later one should have
/// avoided. Tries that are under way when this ends go on and are discarded.
pub(crate) async fn first<T: Made, F>(
    io: &Arc<Io>,
    limit: Duration,
    begin: impl Fn(u32) -> F,
) -> Result<T>
where
    F: Future<Output = Tried<T>> + Send + 'static,
{
    let (ended, mut results) = mpsc::unbounded_channel();
    let outcome = race(io, limit, begin, ended, &mut results).await;
    // What comes later is discarded by its own task.
    results.close();
    while let Ok(late) = results.try_recv() {
        if let Ok(late) = late {
            io.spawn(late.discard());
        }
    }
    outcome
}

type Tried<T> = std::result::Result<T, Failed>;

async fn race<T: Made, F: Future<Output = Tried<T>> + Send + 'static>(
    io: &Arc<Io>,
    limit: Duration,
    begin: impl Fn(u32) -> F,
    ended: mpsc::UnboundedSender<Tried<T>>,
    results: &mut mpsc::UnboundedReceiver<Tried<T>>,
) -> Result<T> {
    let end = Instant::now() + limit;
    let (mut begun, mut running) = (0, 0);
    let mut next = Instant::now();
    let mut first_error = None;
    loop {
        let more = Instant::now() < end || begun == 0;
        if more && running < MOST && Instant::now() >= next {
            next = Instant::now() + HEALTHY * (running + 1).min(4);
            let (work, ended) = (io.spawn(begin(begun)), ended.clone());
            io.spawn(async move {
                let result = work
                    .await
                    .unwrap_or_else(|e| Err(Failed::Again(broken(&e))));
                if let Err(mpsc::error::SendError(Ok(late))) = ended.send(result) {
                    late.discard().await;
                }
            });
            (begun, running) = (begun + 1, running + 1);
        }
        if running == 0 && !more {
            return Err(first_error.unwrap_or_else(|| broken(&"none was begun")));
        }
        let result = tokio::select! {
            result = results.recv(), if running > 0 => result,
            () = sleep_until(next), if more && running < MOST => continue,
        };
        running -= 1;
        match result {
            Some(Ok(made)) => return Ok(made),
            Some(Err(Failed::Finally(error))) => return Err(error),
            Some(Err(Failed::Again(error))) => {
                first_error.get_or_insert(error);
            }
            None => return Err(broken(&"none is left")),
        }
        next = next.min(Instant::now() + AGAIN);
    }
}

/// Only a panic inside a try can do this.
fn broken(why: &dyn std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Io,
        format!("a call to HDFS did not end: {why}; report it"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// The number of a try, noted when it is discarded.
    #[derive(Debug)]
    struct Piece(u32, Arc<Mutex<Vec<u32>>>);

    impl Made for Piece {
        async fn discard(self) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    fn again() -> Failed {
        Failed::Again(Error::new(ErrorKind::TimedOut, "again"))
    }

    #[tokio::test]
    async fn fc_12_a_try_that_hangs_does_not_hold_the_next_one_up() {
        let io = Io::start().unwrap();
        let gone = Arc::new(Mutex::new(Vec::new()));
        let began = std::time::Instant::now();
        let first = first(&io, Duration::from_secs(60), |n| {
            let gone = gone.clone();
            async move {
                match n {
                    0 | 1 => std::future::pending().await,
                    2 => Err(again()),
                    3 => panic!("inside the library"),
                    n => Ok(Piece(n, gone)),
                }
            }
        });
        assert_eq!(first.await.unwrap().0, 4);
        assert!(began.elapsed() < Duration::from_secs(30));
        assert!(gone.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_comes_too_late_is_discarded() {
        let io = Io::start().unwrap();
        let gone = Arc::new(Mutex::new(Vec::new()));
        let (slow, hold) = tokio::sync::watch::channel(());
        let first = first(&io, Duration::from_secs(60), |n| {
            let (gone, mut hold) = (gone.clone(), hold.clone());
            async move {
                if n < 2 {
                    let _ = hold.changed().await; // slow, and good all the same
                }
                Ok(Piece(n, gone))
            }
        });
        assert_eq!(first.await.unwrap().0, 2);
        drop(slow);
        while gone.lock().unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn fc_12_tries_end_with_the_time_and_with_what_no_other_helps_against() {
        let io = Io::start().unwrap();
        let begun = Arc::new(AtomicU32::new(0));
        let tries = |limit, last: u32| {
            begun.store(0, Ordering::SeqCst);
            let begun = begun.clone();
            first::<Piece, _>(&io, limit, move |n| {
                begun.store(n + 1, Ordering::SeqCst);
                async move {
                    match n == last {
                        true => Err(Failed::Finally(Error::new(ErrorKind::NoSpace, "full"))),
                        false => Err(again()),
                    }
                }
            })
        };
        let limit = Duration::from_millis(200);
        assert_eq!(
            tries(limit, 99).await.unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        assert!(begun.load(Ordering::SeqCst) > 1);
        assert_eq!(
            tries(limit, 1).await.unwrap_err().kind(),
            ErrorKind::NoSpace
        );
        // Once at least.
        let none = tries(Duration::ZERO, 99).await.unwrap_err();
        assert_eq!(
            (none.kind(), begun.load(Ordering::SeqCst)),
            (ErrorKind::TimedOut, 1)
        );
    }
}
