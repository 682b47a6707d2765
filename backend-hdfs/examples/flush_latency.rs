//! One flush beside bare hdfs-native `write_bytes` and `hsync`, in turns:
//!
//! `HADOOP_CONF_DIR=… cargo run --release -p flushproof-backend-hdfs --example flush_latency -- hdfs://…`

use flushproof_api::bytes::Bytes;
use flushproof_api::{
    Error, ErrorKind, JournalStore, LogOptions, Mode, Options, Result, StorePath, StoreUri,
};
use flushproof_backend_hdfs::HdfsStore;
use flushproof_backend_hdfs::floor::Floor;
use std::time::{Duration, Instant};

const LEN: usize = 512;
const BLOCKS: usize = 60;
const EACH: usize = 50;

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::main]
async fn main() -> Result<()> {
    let usage = || Error::new(ErrorKind::InvalidInput, "usage: flush_latency hdfs://…");
    let uri = std::env::args().nth(1).ok_or_else(usage)?;
    let uri = StoreUri::parse(&uri)?;
    let store = HdfsStore::open(&uri, &Options::new(), Mode::ReadWrite).await?;
    println!("{}", store.contract().mechanism);
    let path = StorePath::new(format!("latency-{}", std::process::id()))?;
    let began = Instant::now();
    let mut log = store.create_log(&path, LogOptions::default()).await?;
    let created = began.elapsed();
    let batch = Bytes::from(vec![7; LEN]);
    let began = Instant::now();
    log.flush(batch.clone()).await?;
    println!("create_log {created:?}, first flush {:?}", began.elapsed());
    let mut floor = Floor::new(&store, LEN).await?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for block in 0..BLOCKS {
        for _ in 0..EACH {
            let began = Instant::now();
            floor.write().await?;
            bare.push(began.elapsed());
        }
        for _ in 0..EACH {
            let began = Instant::now();
            log.flush(batch.clone()).await?;
            ours.push(began.elapsed());
        }
        if block == 9 {
            (ours, bare) = (Vec::new(), Vec::new()); // warm now
        }
    }
    let (ours, bare) = (median(&mut ours), median(&mut bare));
    let times = ours.as_secs_f64() / bare.as_secs_f64();
    println!("{LEN} bytes, median: bare {bare:?}, flush {ours:?}, {times:.3} times");
    let began = Instant::now();
    log.seal().await?;
    println!("seal {:?}", began.elapsed());
    floor.remove().await?;
    store.delete(&path).await
}
