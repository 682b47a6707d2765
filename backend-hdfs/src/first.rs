//! The first flush of a log while a DataNode is suspected dead.
//!
//! A block's DataNodes are chosen at the first write, and can't be chosen again:
//! asked once more, the NameNode gives the same ones. So the batch is written into
//! temporaries until one has a pipeline that works; that one is renamed over the
//! log's file, still open.
//!
//! The log's own file must be one to which nothing was ever sent: then whoever
//! fenced it has found it empty and built on nothing of it. And the writer looks for
//! the fence after the rename. A fencer marks first and closes by name then: it
//! closes the file that took the place, or its mark is found.

use crate::fault::{fault, is_pipeline, late};
use crate::log::options;
use crate::retire;
use crate::store::{InUse, Shared};
use crate::tries::{self, Doubt, Failed, Made, Pace};
use bytes::Bytes;
use flushproof_api::{Advice, Result, StorePath};
use hdfs_native::HdfsError;
use hdfs_native::file::FileWriter;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The file that took the log's place.
pub(crate) struct Placed {
    pub file: FileWriter,
    /// How many copies it should have, if it was created with fewer.
    pub make_up: Option<u32>,
}

/// A temporary that has the batch.
struct Written {
    name: InUse,
    file: FileWriter,
    make_up: Option<u32>,
}

impl Made for Written {
    async fn discard(self) {
        retire::close(self.file).await;
        self.name.remove().await;
    }
}

/// Makes `batch` durable at the beginning of the log `at`.
pub(crate) async fn place(
    shared: &Arc<Shared>,
    at: &str,
    batch: Bytes,
    limit: Duration,
) -> Result<Placed> {
    let pace = Pace {
        limit,
        alone: Duration::ZERO,
    };
    let tried = tries::first(&shared.nn.io, pace, |n, doubt| {
        try_one(shared.clone(), batch.clone(), limit, n, doubt)
    });
    let what = "can't make the log's bytes durable";
    let (_, written) = tried
        .await
        .map_err(|e| e.context(what).with_advice(Advice::Reopen))?;
    rename(shared, &written.name, at).await?;
    Ok(Placed {
        file: written.file,
        make_up: written.make_up,
    })
}

async fn try_one(
    shared: Arc<Shared>,
    batch: Bytes,
    limit: Duration,
    n: u32,
    doubt: Doubt,
) -> std::result::Result<Written, Failed> {
    let name = || shared.names.temporary(&StorePath::new("log")?);
    let name = InUse::new(&shared, name().map_err(Failed::Finally)?);
    let (copies, make_up) = shared.copies.of_try(n);
    let write = write(&shared, name.name(), copies, batch, limit);
    match shared.watch.doubting(name.name(), &doubt, write).await {
        Ok(file) => Ok(Written {
            name,
            file,
            make_up,
        }),
        Err(failed) => {
            name.remove().await;
            Err(failed)
        }
    }
}

async fn write(
    shared: &Arc<Shared>,
    name: &str,
    copies: Option<u32>,
    batch: Bytes,
    limit: Duration,
) -> std::result::Result<FileWriter, Failed> {
    let size = shared.settings.log_size;
    let created = shared.nn.call("can't create a file", name, |client| {
        let name = name.to_owned();
        async move { client.create(&name, &options(size, copies)).await }
    });
    let file = created.await.map_err(Failed::Finally)?;
    let what = "can't write it";
    match retire::sync(&shared.nn.io, file, batch, sleep(limit)).await {
        Ok((file, Ok(()))) => Ok(file),
        Ok((_, Err(e))) if is_pipeline(&e) => Err(Failed::Again(fault(what, name, &e))),
        Ok((_, Err(e))) => Err(Failed::Finally(
            shared.no_room(fault(what, name, &e), &e).await,
        )),
        Err(()) => Err(Failed::Again(late(what, name, limit, "flush_timeout"))),
    }
}

/// Puts the open file in the log's place. Not tried again: a rename whose answer
/// was lost may come late.
async fn rename(shared: &Arc<Shared>, from: &InUse, at: &str) -> Result<()> {
    let (name, to) = (from.name().to_owned(), at.to_owned());
    let what = "can't put a file in the log's place";
    let limit = shared.settings.timeout;
    let renamed = shared.nn.ask(what, at, limit, |client| async move {
        client.rename(&name, &to, true).await
    });
    let error = match renamed.await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(e @ HdfsError::RPCError(..))) => {
            from.remove().await;
            fault(what, at, &e)
        }
        Ok(Err(e)) => fault(what, at, &e),
        Err(e) => e,
    };
    Err(error.with_advice(Advice::Reopen))
}

#[cfg(test)]
mod tests {
    use crate::{HdfsStore, copies};
    use bytes::Bytes;
    use flushproof_api::*;
    use flushproof_testbed::Bed;
    use flushproof_testbed::hdfs::Hdfs;
    use std::sync::Arc;

    async fn open(uri: &StoreUri) -> HdfsStore {
        let conf = Hdfs.conf(Bed::shared(&Hdfs).place());
        let options = Options::new().with("conf_dir", conf.display().to_string());
        HdfsStore::open(uri, &options, Mode::ReadWrite)
            .await
            .unwrap()
    }

    fn fresh() -> StoreUri {
        StoreUri::parse(&Bed::shared(&Hdfs).fresh_uri()).unwrap()
    }

    fn batch(fill: u8) -> Bytes {
        Bytes::from(vec![fill; 512])
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn fc_1_a_log_whose_file_was_put_in_its_place_is_a_log() {
        let uri = fresh();
        let store = open(&uri).await;
        let path = StorePath::new("log/1-0").unwrap();
        copies::suspect(store.shared());
        let mut log = store
            .create_log(&path, LogOptions::default())
            .await
            .unwrap();
        for n in 1..=3 {
            assert_eq!(log.flush(batch(n)).await.unwrap().len, u64::from(n) * 512);
        }
        assert_eq!(log.seal().await.unwrap(), 3 * 512);
        let reader = store.open(&path, Source::Medium).await.unwrap();
        let bytes = reader.read(0..3 * 512).await.unwrap();
        assert!((0..3).all(|n| bytes[n * 512] == n as u8 + 1));
        assert_eq!(store.sweep(std::time::Duration::ZERO).await.unwrap(), 0);
        // The copy that was left out is asked for soon.
        let name = store.shared().names.log(&path);
        while store
            .shared()
            .nn
            .info(&name)
            .await
            .unwrap()
            .unwrap()
            .replication
            != Some(3)
        {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn fc_9_a_file_that_takes_the_logs_place_has_no_window() {
        let uri = fresh();
        let old = open(&uri).await;
        let new = Arc::new(open(&uri).await);
        let (mut acknowledged, mut fenced) = (0, 0);
        for round in 0..12u64 {
            copies::suspect(old.shared());
            let path = StorePath::new(format!("log/{round}")).unwrap();
            let mut log = old.create_log(&path, LogOptions::default()).await.unwrap();
            let (fencer, at) = (new.clone(), path.clone());
            let flush = log.flush(batch(7));
            // At another moment of the flush in each round.
            tokio::time::sleep(std::time::Duration::from_millis(4 * round)).await;
            let fence = tokio::spawn(async move { fencer.fence_log(&at).await });
            let flushed = flush.await;
            let len = fence.await.unwrap().unwrap();
            match flushed {
                Ok(flushed) => {
                    assert!(flushed.len <= len);
                    let reader = new.open(&path, Source::Medium).await.unwrap();
                    assert_eq!(reader.read(0..512).await.unwrap(), batch(7));
                    acknowledged += 1;
                }
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::Fenced, "{e}");
                    fenced += 1;
                }
            }
            let late = log.flush(batch(8)).await.unwrap_err();
            assert_eq!(late.kind(), ErrorKind::Fenced, "{late}");
            assert!(new.fence_log(&path).await.unwrap() >= len);
        }
        assert!(acknowledged > 0 && fenced > 0, "{acknowledged} {fenced}");
    }
}
