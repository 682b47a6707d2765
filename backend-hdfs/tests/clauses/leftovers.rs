//! What a writer, a fencer or a sealer leaves when it is killed between two steps, made by
//! hand: whatever is listed as a log can be opened, and can be fenced.

use crate::common::*;
use flushproof_api::*;
use hdfs_native::{Client, ClientBuilder, WriteOptions};

/// A client beside the store, and the store's folder.
struct Hand {
    client: Client,
    root: String,
}

impl Hand {
    fn new(uri: &StoreUri) -> Hand {
        let url = format!("hdfs://{}", uri.authority());
        let client = ClientBuilder::new().with_url(&url).build().unwrap();
        let root = uri.path().to_owned();
        Hand { client, root }
    }

    fn name(&self, name: &str) -> String {
        format!("{}/log/{name}", self.root)
    }

    /// A file that its writer left open, as one that was killed does.
    async fn file(&self, name: &str, blocks: usize) {
        let options = WriteOptions::default();
        let mut file = self
            .client
            .create(&self.name(name), &options)
            .await
            .unwrap();
        if blocks > 0 {
            file.write_bytes(batch(blocks, 7)).await.unwrap();
            file.hsync().await.unwrap();
        }
    }

    async fn closed(&self, name: &str, blocks: usize) {
        let options = WriteOptions::default();
        let mut file = self
            .client
            .create(&self.name(name), &options)
            .await
            .unwrap();
        file.write_bytes(batch(blocks, 7)).await.unwrap();
        file.close().await.unwrap();
    }

    async fn folder(&self, name: &str) {
        self.client
            .mkdirs(&self.name(name), 0o755, true)
            .await
            .unwrap();
    }

    async fn rename(&self, from: &str, to: &str) {
        let (from, to) = (self.name(from), self.name(to));
        self.client.rename(&from, &to, true).await.unwrap();
    }
}

/// Names in the order of what was done, each with the length that is to be found.
async fn make_all(hand: &Hand) -> Vec<(&'static str, u64)> {
    // A writer: the file is created and nothing sent; bytes are flushed.
    hand.file("created.log", 0).await;
    hand.file("flushed.log", 2).await;
    // Its first flush while a DataNode is suspected: the temporary is not in the log's
    // place yet; it is.
    hand.file("first.log", 0).await;
    hand.file(".tmp-00000000000000000000000000000001", 1).await;
    hand.file("placed.log", 0).await;
    hand.file(".tmp-00000000000000000000000000000002", 1).await;
    hand.rename(".tmp-00000000000000000000000000000002", "placed.log")
        .await;
    // A sealer: closed, and the permission to write not taken away.
    hand.closed("closed.log", 3).await;
    // A fencer: marked; lease taken away; length noted. Then the log is deleted.
    hand.file("marked.log", 1).await;
    hand.folder("marked.fence").await;
    hand.file("taken.log", 2).await;
    hand.folder("taken.fence").await;
    let _ = hand
        .client
        .recover_lease(&hand.name("taken.log"))
        .await
        .unwrap();
    hand.closed("noted.log", 1).await;
    hand.folder("noted.fence/00000000000000000512").await;
    hand.folder("deleted.fence/00000000000000000512").await;
    // A creator that found the fence too late, and had to remove its file.
    hand.file("late.log", 0).await;
    hand.folder("late.fence/00000000000000000512").await;
    vec![
        ("created", 0),
        ("flushed", 2),
        ("first", 0),
        ("placed", 1),
        ("closed", 3),
        ("marked", 1),
        ("taken", 2),
        ("noted", 1),
        ("late", 0),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_6_whatever_is_left_and_listed_as_a_log_is_opened_and_fenced() {
    let uri = fresh(bed());
    let store = open(bed(), &uri).await;
    let logs = make_all(&Hand::new(&uri)).await;
    let rows = listed(&store).await;
    let listed = rows.iter().filter(|row| row.kind == ListedKind::Log);
    assert_eq!(listed.count(), logs.len(), "{rows:?}");
    for (name, blocks) in &logs {
        let at = path(&format!("log/{name}"));
        let reader = store.open(&at, Source::Medium).await.unwrap();
        assert_eq!(reader.len().await.unwrap(), blocks * BLOCK, "{name}");
        let bytes = reader.read(0..blocks * BLOCK).await.unwrap();
        assert!(bytes.iter().all(|b| *b == 7), "{name}");
        assert!(rows.iter().any(|row| row.path == at && !row.sealed));
        let e = error(create_log(&store, at.as_str()).await);
        let known = [ErrorKind::AlreadyExists, ErrorKind::Fenced];
        assert!(known.contains(&e.kind()), "{name}: {e}");
        let noted = if *name == "late" {
            BLOCK
        } else {
            blocks * BLOCK
        };
        assert_eq!(store.fence_log(&at).await.unwrap(), noted, "{name}");
        assert_eq!(read_all(&store, &at).await.len() as u64, blocks * BLOCK);
        assert_eq!(
            kind(create_log(&store, at.as_str()).await),
            ErrorKind::Fenced
        );
    }
    let deleted = path("log/deleted");
    assert_eq!(
        kind(store.open(&deleted, Source::Any).await),
        ErrorKind::NotFound
    );
    assert_eq!(store.fence_log(&deleted).await.unwrap(), BLOCK);
    assert_eq!(store.sweep(std::time::Duration::ZERO).await.unwrap(), 1);
}
