//! What this backend costs beside the bare system calls, in a given folder:
//! `cargo run --release -p flushproof-backend-local --example measure -- FOLDER`

use flushproof_api::bytes::Bytes;
use flushproof_api::{JournalStore, LogOptions, Mode, Options, Result, Source, StorePath};
use flushproof_backend_local::{LocalStore, Method, floor::Floor};
use nix::fcntl::AtFlags;
use nix::unistd::AccessFlags;
use std::time::{Duration, Instant};

const ROUNDS: usize = 2000;

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let root = std::path::Path::new(&folder).join("measure-scratch");
    let mut opens = Vec::new();
    for _ in 0..10 {
        let began = Instant::now();
        LocalStore::open(&root, &Options::new(), Mode::ReadWrite).await?;
        opens.push(began.elapsed());
    }
    println!(
        "open with its probe      {:>10.1?} median of 10",
        median(opens)
    );
    let store = LocalStore::open(&root, &Options::new(), Mode::ReadWrite).await?;
    println!("contract                 {:?}", store.contract());
    for method in Method::ALL {
        if let Ok(mut floor) = Floor::with_method(&root, 256, method) {
            let times = (0..ROUNDS / 4).map(|_| timed(|| floor.write()));
            let times = times.collect::<Result<Vec<_>>>()?;
            println!("floor, {method:<17} {:>10.1?} median", median(times));
        }
    }
    flushes(&store, &root).await?;
    reads(&store).await?;
    fence_check(&root);
    let _ = std::fs::remove_dir_all(&root);
    Ok(())
}

/// Flushes and the floor in turns.
async fn flushes(store: &LocalStore, root: &std::path::Path) -> Result<()> {
    let mut floor = Floor::with_method(root, 256, store.method())?;
    let options = LogOptions::default().with_size_hint(16 << 20);
    let mut log = store.create_log(&StorePath::new("log/a")?, options).await?;
    let block = store.contract().block;
    let bytes = Bytes::from(vec![7; 2 * block]);
    let skip = bytes.as_ptr().addr().wrapping_neg() % block;
    let batch = bytes.slice(skip..skip + block);
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(timed(|| floor.write())?);
        let began = Instant::now();
        log.flush(batch.clone()).await?;
        ours.push(began.elapsed());
    }
    let (bare, ours) = (median(bare), median(ours));
    let ratio = bare.as_secs_f64() / ours.as_secs_f64();
    println!("bare {bare:.1?}, flush {ours:.1?}: ratio {ratio:.3} (in turns)");
    Ok(())
}

async fn reads(store: &LocalStore) -> Result<()> {
    let path = StorePath::new("log/b")?;
    let len: u64 = 256 << 20;
    let options = LogOptions::default().with_size_hint(len);
    let began = Instant::now();
    store.create_log(&path, options).await?;
    let rate = |t: Duration| len as f64 / t.as_secs_f64() / 1e9;
    println!(
        "zero-filling             {:>10.2} GB/s",
        rate(began.elapsed())
    );
    for (name, from) in [
        ("first, page cache", Source::Any),
        ("page cache", Source::Any),
        ("medium", Source::Medium),
    ] {
        let reader = store.open(&path, from).await?;
        let began = Instant::now();
        for at in (0..len).step_by(1 << 20) {
            reader.read(at..at + (1 << 20)).await?;
        }
        println!(
            "reads of 1 MiB, {name:<18} {:.2} GB/s",
            rate(began.elapsed())
        );
    }
    Ok(())
}

/// The look for a name that is not there.
fn fence_check(root: &std::path::Path) {
    let Ok(folder) = std::fs::File::open(root.join("log")) else {
        return;
    };
    let rounds = 200_000;
    let look = || {
        let flags = AtFlags::empty();
        nix::unistd::faccessat(&folder, "a.fence", AccessFlags::F_OK, flags).is_err()
    };
    let began = Instant::now();
    let absent = (0..rounds).filter(|_| look()).count();
    let access = began.elapsed() / rounds;
    let began = Instant::now();
    let stat = || nix::sys::stat::fstatat(&folder, "a.fence", AtFlags::empty()).is_err();
    let again = (0..rounds).filter(|_| stat()).count();
    let stat = began.elapsed() / rounds;
    println!("fence check: faccessat {access:.0?}, fstatat {stat:.0?} ({absent}, {again} absent)");
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
