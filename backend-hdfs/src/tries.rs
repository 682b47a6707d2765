//! Several tries of one thing, the next begun before the last one has failed.
//!
//! A pipeline with a dead DataNode in it is refused at once or hangs, and which it will
//! be nobody says beforehand; a healthy one on a busy cluster is slow. So what takes
//! longer than a healthy pipeline is not given up: another is tried beside it,
//! and the first that works counts.

use crate::connect::Io;
use crate::watch::LATE;
use flushproof_api::Result;
use flushproof_api::{Error, ErrorKind};
use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// The pause after one that failed.
const AGAIN: Duration = Duration::from_millis(20);
/// How many are begun at once where the first is not alone.
const TOGETHER: u32 = 3;
/// How many may be under way: they must not be what makes a busy machine slow.
const MOST: usize = 8;
/// How many with those that are doubted.
const MOST_IN_ALL: usize = 16;

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

/// When the next is begun, and when no more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// No more are begun after that. Each bounds itself.
    pub limit: Duration,
    /// How long the first has to itself, unless it fails or is doubted; if none, several
    /// are begun together.
    pub alone: Duration,
}

/// With this a try says that there is little hope for it: the next is begun at once,
/// and it counts when it works all the same.
#[derive(Clone, Debug)]
pub(crate) struct Doubt {
    of: u32,
    doubts: mpsc::UnboundedSender<u32>,
}

impl Doubt {
    /// For something that is tried once.
    pub fn unheard() -> Doubt {
        let (doubts, _) = mpsc::unbounded_channel();
        Doubt { of: 0, doubts }
    }

    pub fn raise(&self) {
        let _ = self.doubts.send(self.of);
    }
}

/// The first of several tries that works, and which one it was. The `n`th is made by
/// `begin`, which bounds it in time.
///
/// The first error is returned when all failed: it is what a later one should have
/// avoided. Tries that are under way when this ends go on and are discarded.
pub(crate) async fn first<T: Made, F>(
    io: &Arc<Io>,
    pace: Pace,
    begin: impl Fn(u32, Doubt) -> F,
) -> Result<(u32, T)>
where
    F: Future<Output = Tried<T>> + Send + 'static,
{
    let (ended, mut results) = mpsc::unbounded_channel();
    let outcome = race(io, pace, begin, ended, &mut results).await;
    // What comes later is discarded by its own task.
    results.close();
    while let Ok((_, late)) = results.try_recv() {
        if let Ok(late) = late {
            io.spawn(late.discard());
        }
    }
    outcome
}

type Tried<T> = std::result::Result<T, Failed>;

/// Those that have not ended.
#[derive(Default)]
struct Running {
    all: HashSet<u32>,
    doubted: HashSet<u32>,
}

impl Running {
    fn hopeful(&self) -> usize {
        self.all.len() - self.doubted.len()
    }

    fn may_begin(&self) -> bool {
        self.hopeful() < MOST && self.all.len() < MOST_IN_ALL
    }

    fn end(&mut self, n: u32) {
        self.all.remove(&n);
        self.doubted.remove(&n);
    }

    /// False if it has ended or was doubted before.
    fn doubt(&mut self, n: u32) -> bool {
        self.all.contains(&n) && self.doubted.insert(n)
    }
}

async fn race<T: Made, F: Future<Output = Tried<T>> + Send + 'static>(
    io: &Arc<Io>,
    pace: Pace,
    begin: impl Fn(u32, Doubt) -> F,
    ended: mpsc::UnboundedSender<(u32, Tried<T>)>,
    results: &mut mpsc::UnboundedReceiver<(u32, Tried<T>)>,
) -> Result<(u32, T)> {
    let end = Instant::now() + pace.limit;
    let (doubts, mut doubted) = mpsc::unbounded_channel();
    let (mut begun, mut running) = (0, Running::default());
    let mut next = Instant::now();
    let mut first_error = None;
    loop {
        let more = Instant::now() < end || begun == 0;
        if more && running.may_begin() && Instant::now() >= next {
            let doubt = Doubt {
                of: begun,
                doubts: doubts.clone(),
            };
            send_to(io, begun, begin(begun, doubt), ended.clone());
            next = Instant::now() + pause(&pace, begun, running.hopeful());
            running.all.insert(begun);
            begun += 1;
        }
        if running.all.is_empty() && !more {
            return Err(first_error.unwrap_or_else(|| broken(&"none was begun")));
        }
        tokio::select! {
            biased;
            Some((n, result)) = results.recv(), if !running.all.is_empty() => {
                running.end(n);
                match result {
                    Ok(made) => return Ok((n, made)),
                    Err(Failed::Finally(error)) => return Err(error),
                    Err(Failed::Again(error)) => {
                        first_error.get_or_insert(error);
                    }
                }
                next = next.min(Instant::now() + AGAIN);
            }
            Some(n) = doubted.recv() => {
                if running.doubt(n) {
                    next = next.min(Instant::now());
                }
            }
            () = sleep_until(next), if more && running.may_begin() => {}
        }
    }
}

/// After the `n`th was begun beside `hopeful` others: with each that is slow it is more
/// likely that all are.
fn pause(pace: &Pace, n: u32, hopeful: usize) -> Duration {
    match n {
        0 if !pace.alone.is_zero() => pace.alone,
        // Of three pipelines with two of three DataNodes each, two have the dead one.
        n if n + 1 < TOGETHER => Duration::ZERO,
        _ => LATE * u32::try_from(hopeful.clamp(1, 3)).unwrap_or(1),
    }
}

/// Runs a try and sends what became of it, or discards it when nobody waits any more.
fn send_to<T: Made>(
    io: &Arc<Io>,
    n: u32,
    work: impl Future<Output = Tried<T>> + Send + 'static,
    ended: mpsc::UnboundedSender<(u32, Tried<T>)>,
) {
    let work = io.spawn(work);
    io.spawn(async move {
        let result = work
            .await
            .unwrap_or_else(|e| Err(Failed::Again(broken(&e))));
        if let Err(mpsc::error::SendError((_, Ok(late)))) = ended.send((n, result)) {
            late.discard().await;
        }
    });
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

    fn together(limit: u64) -> Pace {
        Pace {
            limit: Duration::from_millis(limit),
            alone: Duration::ZERO,
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
        let first = first(&io, together(60_000), |n, _| {
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
        let (n, piece) = first.await.unwrap();
        assert_eq!((n, piece.0), (4, 4));
        assert!(began.elapsed() < Duration::from_secs(30));
        assert!(gone.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_comes_too_late_is_discarded() {
        let io = Io::start().unwrap();
        let gone = Arc::new(Mutex::new(Vec::new()));
        let (slow, hold) = tokio::sync::watch::channel(());
        let first = first(&io, together(60_000), |n, _| {
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
        let tries = |limit: u64, last: u32| {
            begun.store(0, Ordering::SeqCst);
            let begun = begun.clone();
            first::<Piece, _>(&io, together(limit), move |n, _| {
                begun.store(n + 1, Ordering::SeqCst);
                async move {
                    match n == last {
                        true => Err(Failed::Finally(Error::new(ErrorKind::NoSpace, "full"))),
                        false => Err(again()),
                    }
                }
            })
        };
        let limit = 200;
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
        let none = tries(0, 99).await.unwrap_err();
        assert_eq!(
            (none.kind(), begun.load(Ordering::SeqCst)),
            (ErrorKind::TimedOut, 1)
        );
    }

    #[tokio::test]
    async fn fc_12_the_first_is_alone_until_it_is_doubted() {
        let io = Io::start().unwrap();
        let pace = |alone| Pace {
            limit: Duration::from_secs(60),
            alone: Duration::from_millis(alone),
        };
        let gone = Arc::new(Mutex::new(Vec::new()));
        let tries = |pace, doubts: u32| {
            let gone = gone.clone();
            first(&io, pace, move |n, doubt| {
                let gone = gone.clone();
                async move {
                    if n < doubts {
                        doubt.raise();
                        std::future::pending::<()>().await;
                    }
                    Ok(Piece(n, gone))
                }
            })
        };
        let began = std::time::Instant::now();
        // More than may be under way: a doubted one holds no place.
        let hopeless = u32::try_from(MOST).unwrap() + 2;
        assert_eq!(tries(pace(60_000), hopeless).await.unwrap().0, hopeless);
        assert!(began.elapsed() < Duration::from_secs(30));
        // One that is slow is waited for.
        let slow = first(&io, pace(60_000), |n, _| {
            let gone = gone.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(300)).await;
                Ok(Piece(n, gone))
            }
        });
        assert_eq!(slow.await.unwrap().0, 0);
    }

    #[tokio::test]
    async fn fc_12_one_that_is_doubted_counts_when_it_works() {
        let io = Io::start().unwrap();
        let gone = Arc::new(Mutex::new(Vec::new()));
        let tried = first(&io, together(60_000), |n, doubt| {
            let gone = gone.clone();
            async move {
                doubt.raise();
                doubt.raise();
                match n {
                    3 => Ok(Piece(n, gone)),
                    _ => std::future::pending().await,
                }
            }
        });
        assert_eq!(tried.await.unwrap().0, 3);
    }
}
