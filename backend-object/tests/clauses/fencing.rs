//! FC-9: stopping an old writer.

use crate::common::*;
use flushproof_api::*;
use flushproof_testbed::Bed;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use std::sync::Arc;
use std::time::Duration;

on_each_server! {
    fc_9_a_fenced_writer_never_acknowledges_again,
    fc_9_every_acknowledged_byte_lies_below_the_fence,
    fc_9_a_creation_that_races_with_a_fence_has_no_window,
    fc_9_fencers_agree,
}

async fn fc_9_a_fenced_writer_never_acknowledges_again(bed: &Bed) {
    let uri = fresh(bed);
    let (old, new) = (open(bed, &uri).await, open(bed, &uri).await);
    for (name, flushes) in [("log/used", 3), ("log/empty", 0)] {
        let at = path(name);
        let mut log = create_log(&old, name).await.unwrap();
        let mut acknowledged = 0;
        for _ in 0..flushes {
            acknowledged = log.flush(batch(100, 1)).await.unwrap().len;
        }
        let len = new.fence_log(&at).await.unwrap();
        assert_eq!(len, acknowledged, "nothing was under way");
        for _ in 0..2 {
            let e = error(log.flush(batch(1, 2)).await);
            assert_eq!(
                (e.kind(), e.advice()),
                (ErrorKind::Fenced, Advice::StandDown),
                "{name}: {e}"
            );
        }
        assert_eq!(kind(log.seal().await), ErrorKind::Fenced);
        for by in [&old, &new] {
            assert_eq!(by.fence_log(&at).await.unwrap(), len);
        }
        assert_eq!(read_all(&new, &at).await, batch(len as usize, 1));
        let name = format!("{name}-sealed");
        let mut never = create_log(&old, &name).await.unwrap();
        new.fence_log(&path(&name)).await.unwrap();
        assert_eq!(kind(never.seal().await), ErrorKind::Fenced);
    }
    for missing in ["log/9-9", "none/9-9"] {
        let e = error(new.fence_log(&path(missing)).await);
        assert_eq!(e.kind(), ErrorKind::NotFound);
    }
}

/// A writer with several flushes in flight, fenced at another moment in each round.
async fn fc_9_every_acknowledged_byte_lies_below_the_fence(bed: &Bed) {
    let uri = fresh(bed);
    let old = Arc::new(open_with(bed, &uri, &[("inflight", "8")]).await);
    let new = open(bed, &uri).await;
    for round in 0..8u64 {
        let name = format!("log/{round}");
        let mut log = create_log(old.as_ref(), &name).await.unwrap();
        let (acks, mut seen) = tokio::sync::watch::channel(0);
        let task = tokio::spawn(async move {
            let mut under_way = FuturesOrdered::new();
            let mut errors = Vec::new();
            while errors.is_empty() || !under_way.is_empty() {
                while errors.is_empty() && under_way.len() < 8 {
                    under_way.push_back(log.flush(batch(100, 1)));
                }
                match under_way.next().await {
                    Some(Ok(flushed)) => {
                        assert!(errors.is_empty(), "an Ok behind an error");
                        acks.send_replace(flushed.len);
                    }
                    Some(Err(e)) => errors.push(e.kind()),
                    None => {}
                }
            }
            (*acks.borrow(), errors)
        });
        seen.wait_for(|acknowledged| *acknowledged > 0)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(5 * round)).await;
        let len = new.fence_log(&path(&name)).await.unwrap();
        let bytes = read_all(&new, &path(&name)).await;
        let (acknowledged, errors) = task.await.unwrap();
        assert!(errors.iter().all(|e| *e == ErrorKind::Fenced), "{errors:?}");
        assert!(acknowledged <= len, "{acknowledged} {len}");
        assert_eq!(bytes, batch(len as usize, 1));
        // Nothing comes after.
        assert_eq!(new.fence_log(&path(&name)).await.unwrap(), len);
        assert_eq!(read_all(&new, &path(&name)).await, bytes);
        let rows = listed(&new).await;
        let row = rows.iter().find(|r| r.path.as_str() == name).unwrap();
        assert_eq!((row.kind, row.len), (ListedKind::Log, len));
    }
}

async fn fc_9_a_creation_that_races_with_a_fence_has_no_window(bed: &Bed) {
    let uri = fresh(bed);
    let old = Arc::new(open(bed, &uri).await);
    let new = open(bed, &uri).await;
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

/// Two candidates fence a living writer at the same moment.
async fn fc_9_fencers_agree(bed: &Bed) {
    let uri = fresh(bed);
    let old = open(bed, &uri).await;
    let (one, two) = (open(bed, &uri).await, open(bed, &uri).await);
    for round in 0..4 {
        let name = format!("log/{round}");
        let mut log = create_log(&old, &name).await.unwrap();
        log.flush(batch(10, 1)).await.unwrap();
        let writer = tokio::spawn(async move {
            loop {
                if let Err(e) = log.flush(batch(10, 1)).await {
                    return e.kind();
                }
            }
        });
        let at = path(&name);
        let (first, second) = tokio::join!(one.fence_log(&at), two.fence_log(&at));
        assert_eq!(first.unwrap(), second.unwrap());
        assert_eq!(writer.await.unwrap(), ErrorKind::Fenced);
    }
}
