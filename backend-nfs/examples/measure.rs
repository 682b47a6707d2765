//! One writer's flush beside the bare WRITE FILE_SYNC, in alternated blocks:
//! `cargo run --release -p flushproof-backend-nfs --features bench --example measure -- nfs://server/export/folder [mount_port=N …]`

use flushproof_api::bytes::Bytes;
use flushproof_api::{
    Error, ErrorKind, JournalStore, LogOptions, Mode, Options, Result, StorePath, StoreUri,
};
use flushproof_backend_nfs::NfsStore;
use flushproof_backend_nfs::bare::BareFile;
use std::time::Instant;

const BLOCKS: usize = 200;
const CALLS: usize = 20;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let usage = || {
        Error::new(
            ErrorKind::InvalidInput,
            "usage: measure URI [OPTION=VALUE]...",
        )
    };
    let uri = StoreUri::parse(&args.next().ok_or_else(usage)?)?;
    let mut options = Options::new();
    for arg in args {
        let (key, value) = arg.split_once('=').ok_or_else(usage)?;
        options.set(key, value);
    }
    let store = NfsStore::open(&uri, &options, Mode::ReadWrite).await?;
    let path = StorePath::new("measured")?;
    for size in [4096, 65_536, 1 << 20] {
        let bytes = Bytes::from(vec![7; size]);
        let mut bare = BareFile::create(&uri, &options).await?;
        let mut log = store.create_log(&path, LogOptions::default()).await?;
        let (mut bares, mut flushes) = (Vec::new(), Vec::new());
        let calls = if size > 65_536 { CALLS / 10 } else { CALLS };
        for _ in 0..BLOCKS {
            for _ in 0..calls {
                let began = Instant::now();
                bare.write(bytes.clone()).await?;
                bares.push(began.elapsed());
            }
            for _ in 0..calls {
                let began = Instant::now();
                log.flush(bytes.clone()).await?;
                flushes.push(began.elapsed());
            }
        }
        bares.sort();
        flushes.sort();
        let of = |times: &[std::time::Duration], n: usize| times[times.len() * n / 100];
        println!(
            "{size:8} B: bare p50 {:?} p99 {:?}, flush p50 {:?} p99 {:?}: {:.3} x",
            of(&bares, 50),
            of(&bares, 99),
            of(&flushes, 50),
            of(&flushes, 99),
            of(&flushes, 50).as_secs_f64() / of(&bares, 50).as_secs_f64()
        );
        bare.remove().await?;
        store.delete(&path).await?;
    }
    Ok(())
}
