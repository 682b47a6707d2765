//! A fence that comes between any two system calls of a writer (FC-9).

use super::*;
use crate::{LocalStore, Method, SimulatedDisk};
use bytes::Bytes;
use flushproof_api::{JournalStore, LogOptions, LogWriter, Mode, Options, Source};
use std::sync::{Arc, Mutex};

async fn open(disk: &SimulatedDisk, method: Method) -> LocalStore {
    let options = Options::new().with("method", method.as_str());
    LocalStore::open_simulated(disk, &options, Mode::ReadWrite)
        .await
        .unwrap()
}

fn at() -> StorePath {
    StorePath::new("log/1-0").unwrap()
}

async fn create(store: &LocalStore) -> Result<Box<dyn LogWriter>> {
    let block = store.contract().block as u64;
    let options = LogOptions::default().with_size_hint(2 * block);
    store.create_log(&at(), options).await
}

/// Flushes (the third outgrows the segment) and a seal; how many bytes were
/// acknowledged.
async fn write(store: &LocalStore, log: &mut dyn LogWriter) -> u64 {
    let block = store.contract().block;
    let mut acknowledged = 0;
    for _ in 0..4 {
        let batch = Bytes::from(vec![7; block]);
        acknowledged = log.flush(batch).await.map_or(acknowledged, |f| f.len);
    }
    let sealed = log.seal().await;
    assert!(sealed.is_err() || sealed.is_ok_and(|len| len == acknowledged));
    acknowledged
}

/// What a fence found, what could then be read, and the disk as a power cut
/// right after it leaves it.
type Found = Arc<Mutex<Option<(u64, Vec<u8>, SimulatedDisk)>>>;

/// All that can be read of the log past the cache.
fn medium(shared: &Shared) -> Vec<u8> {
    let direct = How {
        direct: true,
        ..How::READ
    };
    let folder = crate::folders::find(&shared.root, &at().parent());
    let file = folder.unwrap().unwrap().open(&names::log(&at()), direct);
    let file = file.unwrap();
    let len = file.stat().unwrap().len.next_multiple_of(4096) as usize;
    let mut buffer = crate::buffer::AlignedBuf::new(len);
    let n = crate::disk::read_full(file.as_ref(), buffer.as_mut(), 0, 512).unwrap();
    buffer.as_ref()[..n].to_vec()
}

/// Lets `fencer` fence the log before the call `call`.
fn fence_before(disk: &SimulatedDisk, call: u64, fencer: &LocalStore) -> Found {
    let found = Found::default();
    let (shared, here, note) = (fencer.shared(), disk.clone(), found.clone());
    disk.run_before(call, move || {
        if let Ok(len) = fence(&shared, &at()) {
            *note.lock().unwrap() = Some((len, medium(&shared), here.power_cut()));
        }
    });
    found
}

/// FC-9 (a), (b), (d), (e) for what a writer had acknowledged in the end.
async fn check(found: Found, acknowledged: u64, fencer: &LocalStore, method: Method, why: &str) {
    let (len, readable, after) = found.lock().unwrap().take().unwrap();
    assert!(acknowledged <= len, "(a) {why}");
    let reader = fencer.open(&at(), Source::Medium).await.unwrap();
    assert_eq!(
        reader.read(0..len).await.unwrap().len() as u64,
        len,
        "{why}"
    );
    assert!(fencer.fence_log(&at()).await.unwrap() >= len, "(e) {why}");
    // (b): all of it was durable when the fence returned.
    let store = open(&after, method).await;
    let reader = store.open(&at(), Source::Medium).await.unwrap();
    let bytes = reader.read(0..acknowledged).await.unwrap();
    assert!(bytes.iter().all(|b| *b == 7), "(b) {why}");
    assert_eq!(medium(&store.shared()), readable, "(c) {why}");
    assert!(
        store.fence_log(&at()).await.unwrap() >= acknowledged,
        "(d) {why}"
    );
}

#[tokio::test]
async fn fc_9_a_fence_between_any_two_calls_of_a_writer() {
    for method in Method::ALL {
        let disk = SimulatedDisk::new(0);
        let old = open(&disk, method).await;
        let mut log = create(&old).await.unwrap();
        let before = disk.calls();
        let whole = write(&old, log.as_mut()).await;
        assert_eq!(whole, 4 * old.contract().block as u64);
        let calls = disk.calls() - before;
        let mut least = u64::MAX;
        for call in 0..calls {
            let disk = SimulatedDisk::new(call);
            let (old, new) = (open(&disk, method).await, open(&disk, method).await);
            let mut log = create(&old).await.unwrap();
            let found = fence_before(&disk, disk.calls() + call, &new);
            let acknowledged = write(&old, log.as_mut()).await;
            least = least.min(acknowledged);
            let why = format!("fenced before call {call} ({method})");
            check(found, acknowledged, &new, method, &why).await;
        }
        assert_eq!(least, 0, "the first fence stops all");
    }
}

#[tokio::test]
async fn fc_9_a_fence_between_any_two_calls_of_a_creation() {
    let method = Method::Direct;
    let disk = SimulatedDisk::new(0);
    let old = open(&disk, method).await;
    let before = disk.calls();
    create(&old).await.map(|_| ()).unwrap();
    let calls = disk.calls() - before;
    let mut fenced = 0;
    for call in 0..calls {
        let disk = SimulatedDisk::new(call);
        let (old, new) = (open(&disk, method).await, open(&disk, method).await);
        let found = fence_before(&disk, disk.calls() + call, &new);
        let created = create(&old).await;
        let was_fenced = found.lock().unwrap().is_some();
        let acknowledged = match created {
            Ok(mut log) => write(&old, log.as_mut()).await,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Fenced);
                assert!(was_fenced);
                0
            }
        };
        if was_fenced {
            fenced += 1;
            assert_eq!(acknowledged, 0);
            let why = format!("fenced before call {call} of a creation");
            check(found, acknowledged, &new, method, &why).await;
        }
    }
    assert!(fenced > 0);
}

#[tokio::test]
async fn fc_9_a_writer_between_any_two_calls_of_a_fence() {
    for method in Method::ALL {
        let disk = SimulatedDisk::new(0);
        let new = open(&disk, method).await;
        drop(create(&new).await.unwrap());
        let before = disk.calls();
        new.fence_log(&at()).await.unwrap();
        let calls = disk.calls() - before;
        let mut most = 0;
        for call in 0..calls {
            let disk = SimulatedDisk::new(call);
            let (old, new) = (open(&disk, method).await, open(&disk, method).await);
            let mut log = create(&old).await.unwrap();
            let acknowledged = Arc::new(Mutex::new(0));
            let (note, block) = (acknowledged.clone(), old.contract().block);
            disk.run_before(disk.calls() + call, move || {
                for _ in 0..3 {
                    let flush = log.flush(Bytes::from(vec![7; block]));
                    if let Ok(Ok(flushed)) = flush.try_ready() {
                        *note.lock().unwrap() = flushed.len;
                    }
                }
            });
            let len = new.fence_log(&at()).await.unwrap();
            let found = Arc::new(Mutex::new(Some((
                len,
                medium(&new.shared()),
                disk.power_cut(),
            ))));
            let acknowledged = *acknowledged.lock().unwrap();
            most = most.max(acknowledged);
            let why = format!("written before call {call} of the fence ({method})");
            check(found, acknowledged, &new, method, &why).await;
        }
        assert_eq!(most, 3 * new.contract().block as u64);
    }
}

/// The fence of an earlier log of that name, set by who had seen that one.
#[tokio::test]
async fn fc_9_a_creation_looks_for_the_fence_once_more_at_its_end() {
    let method = Method::Direct;
    let disk = SimulatedDisk::new(0);
    let old = open(&disk, method).await;
    let before = disk.calls();
    create(&old).await.map(|_| ()).unwrap();
    let calls = disk.calls() - before;
    // After the last look there is only the log's `fstat`.
    for call in 3..calls - 1 {
        let disk = SimulatedDisk::new(call);
        let old = open(&disk, method).await;
        let shared = old.shared();
        disk.run_before(disk.calls() + call, move || {
            let path = at().parent();
            let folder = shared.folder_to_write(&at()).unwrap();
            assert_eq!(folder.path(), shared.root.path().join(path.as_str()));
            let fence = folder.create(&names::fence(&at()), How::WRITE, None);
            fence.map(|_| ()).unwrap();
        });
        let e = create(&old).await.err().unwrap();
        assert_eq!(e.kind(), ErrorKind::Fenced, "before call {call}");
    }
}
