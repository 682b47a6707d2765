//! The open-time probe: one small file, written, synced and removed. It finds out
//! what can't be asked: whether DataNodes take a block, whether the folder may be
//! written, whether its files can be synced at all, and their replication.

use crate::connect::NameNode;
use crate::copies;
use crate::fault::{fault, late};
use crate::names::Names;
use crate::options::{MIB, Settings};
use crate::retire;
use crate::tries::{self, Doubt, Failed, Made, Pace};
use crate::watch::Watch;
use bytes::Bytes;
use flushproof_api::{Error, ErrorKind, Outcome, Result, StorePath};
use hdfs_native::{Client, HdfsError, WriteOptions};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the library may look for another pipeline; nobody waits for it so long.
const LONGEST: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probed {
    /// How many copies files get.
    pub replication: Option<u32>,
    /// It worked with one copy fewer only.
    pub fewer: bool,
}

/// Tries until it works or the time is over. A store that is just opened knows of no
/// DataNode that has died; so when the first file that should get all copies can't be
/// written, others are tried, most with one copy fewer: the dead one is in pipelines
/// for some time yet.
pub(crate) async fn probe(
    nn: &Arc<NameNode>,
    names: &Names,
    settings: &Settings,
    watch: &Watch,
    replication: Option<u32>,
) -> Result<Probed> {
    let pace = Pace {
        // A cluster that was just started, or has much else to do, needs more than one call's time.
        limit: settings.timeout * 3,
        alone: settings.flush_timeout,
    };
    // One that is slow holds no other up.
    let patient = settings.flush_timeout * 2;
    let tried = tries::first(&nn.io, pace, |n, doubt| {
        let (copies, fewer) = match n {
            0 => (replication, None),
            n => copies::of_try(n - 1, replication, replication),
        };
        let (nn, names, watch) = (nn.clone(), names.clone(), watch.clone());
        async move {
            match once(&nn, &names, patient, copies, (&watch, &doubt)).await {
                Ok(found) => Ok(Probed {
                    replication: fewer.or(found),
                    fewer: fewer.is_some(),
                }),
                Err(e) if again(&e) => Err(Failed::Again(e)),
                Err(e) => Err(Failed::Finally(e)),
            }
        }
    });
    let tried = tried.await.map_err(|e| e.with_outcome(Outcome::NotWritten));
    tried.map(|(_, probed)| probed)
}

/// Its file is removed already.
impl Made for Probed {
    async fn discard(self) {}
}

/// Whether another pipeline may do better.
pub(crate) fn again(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Io | ErrorKind::Unreachable | ErrorKind::TimedOut
    )
}

/// One try; says how many copies files get. Removes what it made, also when it
/// fails.
pub(crate) async fn once(
    nn: &Arc<NameNode>,
    names: &Names,
    limit: Duration,
    replication: Option<u32>,
    (watch, doubt): (&Watch, &Doubt),
) -> Result<Option<u32>> {
    let temp = names.temporary(&StorePath::new("probe")?)?;
    let probing = try_probe(nn, &temp, names.root(), limit, replication);
    let result = watch.doubting(&temp, doubt, probing).await;
    if let Err(e) = nn.remove(&temp).await {
        tracing::warn!(name = temp, error = %e, "probe left to sweep");
    }
    result
}

async fn try_probe(
    nn: &Arc<NameNode>,
    temp: &str,
    root: &str,
    limit: Duration,
    replication: Option<u32>,
) -> Result<Option<u32>> {
    let options = WriteOptions {
        block_size: Some(MIB),
        replication,
        ..WriteOptions::default()
    };
    let name = temp.to_owned();
    let what = "can't write and sync a file in the journal's folder";
    let written = nn.ask(what, root, limit, |client| write(client, name, options));
    match written.await? {
        Ok(()) => {}
        Err(e @ HdfsError::OperationFailed(_)) => {
            let text = format!(
                "{}; if the folder is erasure coded, take another one or give it copies: hdfs ec \
                 -setPolicy -replicate -path {root}",
                fault(what, root, &e)
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        Err(e) => return Err(fault(what, root, &e)),
    }
    let info = nn.info(temp).await?;
    Ok(info.and_then(|info| info.replication))
}

/// Goes on when it is dropped, to end its writer as [`retire`] does.
async fn write(client: Client, name: String, options: WriteOptions) -> hdfs_native::Result<()> {
    let work = tokio::spawn(async move {
        let mut file = client.create(&name, &options).await?;
        let synced = async {
            file.write_bytes(Bytes::from_static(b"probe")).await?;
            file.hsync().await
        };
        let synced = timeout(LONGEST, synced).await;
        retire::close(file).await;
        synced.unwrap_or_else(|late| Err(HdfsError::IOError(late.into())))
    });
    let ended = |e| HdfsError::InternalError(format!("it did not end: {e}"));
    work.await.map_err(ended)?
}

/// The reason why a folder with this erasure coding policy can't hold a journal.
pub(crate) fn erasure_coded(root: &str, policy: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "{root}: the folder is erasure coded ({policy}), and HDFS can't sync such files \
             before they are closed; take another folder or give it copies: hdfs ec -setPolicy \
             -replicate -path {root}"
        ),
    )
    .with_outcome(Outcome::NotWritten)
}

/// What the HTTP server says, bounded.
pub(crate) async fn bounded<T>(
    limit: Duration,
    at: &str,
    work: impl Future<Output = T>,
) -> Result<T> {
    timeout(limit, work)
        .await
        .map_err(|_| late("asking the NameNode's HTTP server", at, limit, "timeout"))
}
