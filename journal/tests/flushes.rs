//! Flushes are counted, not timed: no more reach the device than groups were
//! acknowledged, marks written, and four for each roll.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use async_trait::async_trait;
use flushproof::{Config, Journal, Mode, Options, Registry, Result, SeqNo, StoreUri};
use flushproof_api::{JournalStore, StoreFactory};
use flushproof_backend_local::LocalStore;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{disk_folder, local, runtime};

/// Opens the folder and keeps the store at hand, to ask it for its count.
struct Counting(Arc<Mutex<Vec<Arc<LocalStore>>>>);

#[async_trait]
impl StoreFactory for Counting {
    fn schemes(&self) -> &[&str] {
        &["file"]
    }

    async fn open(&self, uri: &StoreUri, o: &Options, mode: Mode) -> Result<Arc<dyn JournalStore>> {
        let folder = PathBuf::from(uri.path());
        let store = Arc::new(LocalStore::open(&folder, o, mode).await?);
        self.0.lock().unwrap().push(store.clone());
        Ok(store)
    }
}

/// Serves with the given method; says the journal and the store below it.
async fn serve(config: &Config, method: &str) -> (Journal, Arc<LocalStore>) {
    let stores = Arc::new(Mutex::new(Vec::new()));
    let mut config = config.clone();
    config.registry = Registry::new().with(Counting(stores.clone()));
    config.options = Options::new().with("method", method);
    config.take_over = true;
    let mut recovery = config.primary().await.unwrap();
    while recovery.next().await.unwrap().is_some() {}
    let journal = recovery.start().await.unwrap();
    let store = stores.lock().unwrap().pop().unwrap();
    (journal, store)
}

fn check(what: &str, journal: &Journal, store: &LocalStore, before: u64) {
    let counts = journal.counts();
    let flushes = store.device_flushes() - before;
    let most = counts.groups + counts.marks + 4 * counts.rolls;
    println!("{what}: {flushes} flushes, at most {most}; {counts:?}");
    // One segment may be prepared and not yet used: that roll is half done.
    assert!(flushes <= most + 3, "{what}: {flushes} flushes, {counts:?}");
    assert!(
        flushes >= counts.groups,
        "{what}: {flushes} flushes, {counts:?}"
    );
}

#[test]
fn device_flushes_are_no_more_than_groups_marks_and_four_a_roll() {
    let folder = disk_folder();
    let config = local(folder.path());
    runtime().block_on(async {
        config.format(false).await.unwrap();
        for method in ["dsync", "fdatasync", "auto"] {
            // One at a time, idle now and then: marks.
            let (journal, store) = serve(&config, method).await;
            let before = store.device_flushes();
            for n in 0..60u64 {
                journal.append(&n.to_le_bytes()).await.unwrap();
                if n % 20 == 19 {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            let counts = journal.counts();
            assert_eq!(counts.groups, 60);
            assert!(counts.marks <= 3, "{counts:?}");
            check(
                &format!("{method}, one at a time"),
                &journal,
                &store,
                before,
            );

            // Many at once: far fewer groups than entries, many rolls.
            let (journal, store) = serve(&config, method).await;
            let (before, first) = (store.device_flushes(), journal.accepted().0);
            // A burst may be over before the next log is prepared: again, until it rolled.
            let mut bursts = 0;
            while journal.counts().rolls == 0 && bursts < 100 {
                let mut tasks = tokio::task::JoinSet::new();
                for _ in 0..64 {
                    let journal = journal.clone();
                    tasks.spawn(async move {
                        for _ in 0..30 {
                            journal.append(&[7; 256]).await.unwrap();
                        }
                    });
                }
                tasks.join_all().await;
                bursts += 1;
            }
            let entries = bursts * 64 * 30;
            assert_eq!(journal.durable(), SeqNo(first + entries));
            assert!(journal.counts().rolls > 0);
            check(&format!("{method}, 64 at once"), &journal, &store, before);
            assert!(
                journal.counts().groups < entries / 4,
                "{:?}",
                journal.counts()
            );
        }
    });
}
