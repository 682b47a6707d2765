//! Finding out early that a DataNode of a file's pipeline is dead.
//!
//! hdfs-native hangs when a DataNode behind the first one dies, or was dead before: it
//! keeps no watch over them, and the deadline of the call is all that ends it. But the
//! port of a process that was killed refuses connections at once. So when a write is
//! late, the DataNodes of its pipeline are asked for a connection each.
//!
//! A DataNode may be out of this machine's reach and well (only the first of a
//! pipeline has to be reached). So a refusal ends a write only if that DataNode took a
//! connection from here before; else it is a reason to try another file beside it.
//!
//! Which DataNodes those are only WebHDFS tells. Without it the deadlines remain, and
//! for a machine that is gone with its addresses, or a process that hangs: they refuse
//! nothing.

use crate::tries::Doubt;
use crate::webhdfs::{Location, Web};
use futures_util::future::join_all;
use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// A healthy write is over by then: 10 ms is usual, and 40 ms with a new pipeline.
pub(crate) const LATE: Duration = Duration::from_millis(150);
/// When a file that is tried beside others is looked at: it costs little to begin
/// another.
const NEW: Duration = Duration::from_millis(50);
/// The longest wait for one connection.
const CONNECT: Duration = Duration::from_millis(500);
/// The pause before the NameNode is asked again.
const AGAIN: Duration = Duration::from_millis(50);

/// What is known of the DataNodes.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    web: Option<Arc<Web>>,
    /// Those that took a connection from here.
    reached: Arc<Mutex<HashSet<String>>>,
}

impl Watch {
    pub fn new(web: Option<Arc<Web>>) -> Watch {
        Watch {
            web,
            reached: Arc::default(),
        }
    }

    /// Notes which DataNodes of a file's pipeline can be reached.
    pub async fn note(&self, name: &str) {
        let Some(web) = &self.web else { return };
        let Ok(all) = web.pipeline(name).await else {
            return;
        };
        join_all(all.into_iter().map(|node| async move {
            if let Ok(Ok(_)) = timeout(CONNECT, TcpStream::connect(&node.at)).await {
                self.lock().insert(node.at);
            }
        }))
        .await;
    }

    /// Ends when a DataNode of the pipeline of `name` refuses a connection that took one
    /// before, and says which; while there is none, never.
    pub async fn died(&self, name: &str) -> String {
        self.refused(name, LATE, |at| self.lock().contains(at))
            .await
    }

    /// Does `work`, which writes to the new file `name`, and raises a doubt when a
    /// DataNode of its pipeline refuses connections.
    pub async fn doubting<T>(&self, name: &str, doubt: &Doubt, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            at = self.refused(name, NEW, |_| true) => {
                tracing::debug!(name, datanode = at, "a DataNode refuses connections");
                doubt.raise();
            }
        }
        work.await
    }

    /// Waits until the NameNode would have a living DataNode recover the block of the
    /// file `name`: it chooses the one that it heard of last, and when that is dead, it
    /// chooses again after 30 s only. `doubtful` says that one of them may hang.
    pub async fn settle(&self, name: &str, doubtful: bool, limit: Duration) {
        let Some(web) = &self.web else { return };
        let mut before = None;
        let settled = async {
            loop {
                // Without an answer there is nothing to wait for.
                let Ok(all) = web.pipeline(name).await else {
                    return;
                };
                let asked = join_all(all.iter().map(refuses)).await;
                let heard = |dead: bool| {
                    let those = all
                        .iter()
                        .zip(&asked)
                        .filter(|(_, refuses)| **refuses == dead);
                    those.map(|(node, _)| node.heard).max()
                };
                let (living, dead) = (heard(false), heard(true));
                // Whoever is heard of from now on does not hang. A dead one is the whole doubt.
                let first = *before.get_or_insert(living.filter(|_| doubtful && dead.is_none()));
                if living.is_none() || living > first.max(dead) {
                    return;
                }
                sleep(AGAIN).await;
            }
        };
        if timeout(limit, settled).await.is_err() {
            let text = "no DataNode of the pipeline was heard of; it is recovered all the same";
            tracing::debug!(name, "{text}");
        }
    }

    /// Ends when a DataNode of the pipeline that `counts` refuses a connection; looks
    /// each time after `wait`.
    async fn refused(
        &self,
        name: &str,
        wait: Duration,
        counts: impl Fn(&String) -> bool,
    ) -> String {
        let Some(web) = &self.web else {
            return std::future::pending().await;
        };
        loop {
            sleep(wait).await;
            // A file gets its pipeline with its first byte: perhaps there is none yet.
            let Ok(all) = web.pipeline(name).await else {
                continue;
            };
            let asked = join_all(all.iter().map(refuses)).await;
            let refused = all.into_iter().zip(asked).filter(|(_, refused)| *refused);
            if let Some((node, _)) = refused.into_iter().find(|(node, _)| counts(&node.at)) {
                return node.at;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it refuses a connection.
async fn refuses(node: &Location) -> bool {
    match timeout(CONNECT, TcpStream::connect(&node.at)).await {
        Ok(Err(e)) => e.kind() == io::ErrorKind::ConnectionRefused,
        _ => false,
    }
}
