//! The golden journal, changed, on a memory store.

use super::*;
use flushproof::{
    Config, Item, JournalStore, Recovery, RecoverySummary, StorePath, StoreUri, Survives, Verdict,
    Verification,
};
use flushproof_api::{LogOptions, MemoryStore, Mode, ObjectOptions, Options, StoreFactory};

/// Serves one store under the scheme `table`.
struct Fixed(MemoryStore);

#[async_trait::async_trait]
impl StoreFactory for Fixed {
    fn schemes(&self) -> &[&str] {
        &["table"]
    }

    async fn open(&self, _: &StoreUri, _: &Options, _: Mode) -> Result<Arc<dyn JournalStore>> {
        Ok(Arc::new(self.0.clone()))
    }
}

/// The golden journal as names and bytes, to be changed.
pub struct Journal(pub BTreeMap<String, Vec<u8>>);

pub fn golden() -> Journal {
    let files = files();
    Journal(files.into_iter().map(|(n, b)| (n, b.to_vec())).collect())
}

/// The golden journal as epoch 1 left it: two segments, entry 4 undecided.
pub fn epoch_one() -> Journal {
    golden().without(&[EPOCH_2, START_2, SEGMENTS[2]])
}

pub const EPOCH_2: &str = "epoch/00000000000000000002";
pub const START_1: &str = "start/00000000000000000001";
pub const START_2: &str = "start/00000000000000000002";
pub const NEXT: &str = "log/00000000000000000001-00000000000000000002.log";

impl Journal {
    pub fn without(mut self, names: &[&str]) -> Journal {
        for name in names {
            self.0.remove(*name).unwrap();
        }
        self
    }

    pub fn with(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Journal {
        self.0.insert(name.to_owned(), bytes.into());
        self
    }

    pub fn flip(mut self, name: &str, at: usize) -> Journal {
        self.0.get_mut(name).unwrap()[at] ^= 1;
        self
    }

    pub fn cut(mut self, name: &str, len: usize) -> Journal {
        self.0.get_mut(name).unwrap().truncate(len);
        self
    }

    pub async fn store(&self) -> (MemoryStore, Config) {
        let store = MemoryStore::new();
        for (name, bytes) in &self.0 {
            put(&store, name, bytes).await;
        }
        let mut config = Config::new(StoreUri::parse("table:").unwrap());
        config.registry.register(Fixed(store.clone()));
        config.require = Survives::NOTHING;
        (store, config)
    }

    pub async fn config(&self) -> Config {
        self.store().await.1
    }

    /// What the next primary finds; it reads to the end.
    pub async fn recover(&self) -> Result<(RecoverySummary, Vec<u64>)> {
        let mut recovery = self.config().await.primary().await?;
        let entries = read(&mut recovery).await?;
        Ok((recovery.summary().clone(), entries))
    }

    pub async fn verify(&self) -> Verification {
        let reader = self.config().await.reader().await.unwrap();
        reader.verify(|_, _| {}).await.unwrap()
    }

    /// Both the next primary and `verify` must say corrupt; gives what the first says.
    pub async fn corrupt(&self) -> String {
        let error = match self.recover().await {
            Err(error) => error,
            Ok(found) => panic!("recovered: {found:?}"),
        };
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        let report = self.verify().await;
        assert_eq!(report.verdict(), Verdict::Corrupt, "{report:?}");
        error.to_string()
    }
}

pub async fn put(store: &MemoryStore, name: &str, bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Some(log) = name.strip_suffix(".log") {
        let path = StorePath::new(log).unwrap();
        let mut log = store
            .create_log(&path, LogOptions::default())
            .await
            .unwrap();
        if !bytes.is_empty() {
            log.flush(bytes).await.unwrap();
        }
        return;
    }
    let path = StorePath::new(name).unwrap();
    let options = ObjectOptions::default();
    let mut object = store.create_object(&path, options).await.unwrap();
    object.write(bytes).await.unwrap();
    object.commit().await.unwrap();
}

/// The numbers of the entries, after the checkpoint if there is one.
pub async fn read(recovery: &mut Recovery) -> Result<Vec<u64>> {
    let mut entries = Vec::new();
    while let Some(item) = recovery.next().await? {
        match item {
            Item::Checkpoint(mut c) => while c.next().await?.is_some() {},
            Item::Entry(e) => {
                assert_eq!(e.bytes, ENTRIES[e.seq.0 as usize], "entry {}", e.seq);
                entries.push(e.seq.0);
            }
        }
    }
    Ok(entries)
}

pub fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}
