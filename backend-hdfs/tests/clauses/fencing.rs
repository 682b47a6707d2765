//! FC-9: stopping an old writer.

use crate::common::*;
use flushproof_api::*;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn fc_9_a_fenced_writer_never_acknowledges_again() {
    let uri = fresh(bed());
    let (old, new) = (open(bed(), &uri).await, open(bed(), &uri).await);
    for (name, blocks) in [("log/used", 3), ("log/empty", 0)] {
        let at = path(name);
        let mut log = create_log(&old, name).await.unwrap();
        let mut acknowledged = 0;
        if blocks > 0 {
            acknowledged = log.flush(batch(blocks, 1)).await.unwrap().len;
        }
        let len = new.fence_log(&at).await.unwrap();
        assert!(len >= acknowledged);
        for _ in 0..2 {
            let e = error(log.flush(batch(1, 2)).await);
            assert_eq!(
                (e.kind(), e.advice()),
                (ErrorKind::Fenced, Advice::StandDown),
                "{name}: {e}"
            );
        }
        assert_eq!(kind(log.seal().await), ErrorKind::Fenced);
        assert!(old.fence_log(&at).await.unwrap() >= len);
        let bytes = read_all(&new, &at).await;
        assert!(bytes[..acknowledged as usize].iter().all(|b| *b == 1));
        let mut never = create_log(&old, &format!("{name}-sealed")).await.unwrap();
        new.fence_log(&path(&format!("{name}-sealed")))
            .await
            .unwrap();
        assert_eq!(kind(never.seal().await), ErrorKind::Fenced);
    }
    for missing in ["log/9-9", "none/9-9"] {
        let e = error(new.fence_log(&path(missing)).await);
        assert_eq!(e.kind(), ErrorKind::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fc_9_every_acknowledged_byte_lies_below_the_fence() {
    let uri = fresh(bed());
    let old = Arc::new(open(bed(), &uri).await);
    let new = Arc::new(open(bed(), &uri).await);
    // Side by side: each waits for a heartbeat of a DataNode.
    let rounds = (0..8u64).map(|round| {
        let (old, new) = (old.clone(), new.clone());
        tokio::spawn(async move {
            let name = format!("log/{round}");
            let mut log = create_log(old.as_ref(), &name).await.unwrap();
            let (acks, mut seen) = tokio::sync::watch::channel(0);
            let task = tokio::spawn(async move {
                loop {
                    match log.flush(batch(8, 1)).await {
                        Ok(flushed) => acks.send_replace(flushed.len),
                        Err(e) => return (*acks.borrow(), e),
                    };
                }
            });
            seen.wait_for(|acknowledged| *acknowledged > 0)
                .await
                .unwrap();
            // At another moment of a flush in each round.
            tokio::time::sleep(Duration::from_millis(7 * round)).await;
            let len = new.fence_log(&path(&name)).await.unwrap();
            let bytes = read_all(new.as_ref(), &path(&name)).await;
            let (acknowledged, e) = task.await.unwrap();
            assert_eq!(e.kind(), ErrorKind::Fenced, "{e}");
            assert!(acknowledged <= len);
            assert_eq!(bytes.len() as u64, len);
            assert!(bytes.iter().all(|b| *b == 1));
            // Nothing comes after.
            assert_eq!(new.fence_log(&path(&name)).await.unwrap(), len);
            assert_eq!(read_all(new.as_ref(), &path(&name)).await, bytes);
        })
    });
    for round in rounds.collect::<Vec<_>>() {
        round.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fc_9_a_creation_that_races_with_a_fence_has_no_window() {
    let uri = fresh(bed());
    let old = Arc::new(open(bed(), &uri).await);
    let new = open(bed(), &uri).await;
    for round in 0..6u64 {
        let name = format!("log/{round}");
        let (creator, at) = (old.clone(), name.clone());
        let task = tokio::spawn(async move {
            let mut log = create_log(creator.as_ref(), &at).await?;
            log.flush(batch(1, 1)).await
        });
        let len = loop {
            match new.fence_log(&path(&name)).await {
                Ok(len) => break len,
                Err(e) => assert_eq!(e.kind(), ErrorKind::NotFound, "{e}"),
            }
        };
        match task.await.unwrap() {
            Ok(flushed) => assert!(flushed.len <= len),
            Err(e) => assert_eq!(e.kind(), ErrorKind::Fenced, "{e}"),
        }
    }
}
