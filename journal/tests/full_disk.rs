//! A full disk (FC-12), on a small file system of its own, mounted by loop: while
//! appending, while rolling, while a segment is filled with zeros, while a
//! checkpoint is written. The error says so, nothing acknowledged is lost, and the
//! journal opens again when there is room.
//!
//! Needs root and mkfs.ext4. Without root set `FLUSHPROOF_NO_MOUNT=1` to leave
//! these tests out.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod support;

use flushproof::{Config, Error, ErrorKind, Journal, OnUnknown, Result, Verdict};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::state::{LONG, State, Writer, entry};
use support::{local, memory_folder, runtime};

fn run(program: &str, args: &[&str]) {
    let done = Command::new(program).args(args).output();
    let done = done.unwrap_or_else(|e| {
        panic!("{program}: {e}; install it with: apt-get install -y e2fsprogs mount")
    });
    let text = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "{program} {args:?} failed: {text}; these tests need root"
    );
}

/// A mounted ext4 of 16 MiB; unmounted when it is dropped.
struct Small {
    folder: tempfile::TempDir,
}

impl Small {
    /// `None`: left out on request.
    fn new() -> Option<Small> {
        if std::env::var_os("FLUSHPROOF_NO_MOUNT").is_some() {
            println!("left out: FLUSHPROOF_NO_MOUNT is set");
            return None;
        }
        let folder = memory_folder();
        let image = folder.path().join("image");
        File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let image = image.to_str().unwrap();
        run(
            "mkfs.ext4",
            &["-q", "-F", "-m", "0", "-O", "^has_journal", image],
        );
        let small = Small { folder };
        std::fs::create_dir(small.root()).unwrap();
        run(
            "mount",
            &["-o", "loop", image, small.root().to_str().unwrap()],
        );
        Some(small)
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    fn journal(&self) -> PathBuf {
        self.root().join("journal")
    }

    fn filler(&self) -> PathBuf {
        self.root().join("filler")
    }

    /// Fills it but for `left` bytes.
    fn fill(&self, left: u64) {
        let mut filler = File::create(self.filler()).unwrap();
        for piece in [vec![1; 256 << 10], vec![1; 4096]] {
            while filler.write_all(&piece).is_ok() {}
        }
        let len = filler.metadata().unwrap().len();
        filler.set_len(len.saturating_sub(left)).unwrap();
        // What is still in the cache has got no blocks yet.
        run("sync", &["-f", self.filler().to_str().unwrap()]);
    }

    fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let root = self.root();
        // A blocking thread may still be closing a file.
        for _ in 0..50 {
            let done = Command::new("umount").arg(&root).output();
            if done.is_ok_and(|d| d.status.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = Command::new("umount").arg("-l").arg(&root).output();
    }
}

/// What was accepted, and which entries were acknowledged.
#[derive(Default)]
struct Told {
    state: State,
    acked: Vec<(Writer, u64)>,
}

impl Told {
    async fn append(&mut self, journal: &Journal, writer: Writer) -> Result<()> {
        let n = self.state.next.get(&writer).copied().unwrap_or(0);
        let bytes = entry(writer, n);
        let ack = journal.reserve(bytes.len()).await?.append(&bytes)?;
        self.state.apply(ack.seq(), &bytes);
        ack.await?;
        self.acked.push((writer, n));
        Ok(())
    }

    /// Opens the journal; all that was acknowledged is there.
    async fn open(&mut self, config: &Config) -> Result<Journal> {
        let mut recovery = config.primary().await?;
        let state = State::recover(&mut recovery).await?;
        for (writer, n) in &self.acked {
            assert!(state.has(*writer, *n), "{writer:?} {n} is lost");
        }
        let journal = recovery.start().await?;
        self.state = state;
        Ok(journal)
    }
}

fn is_full(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    assert!(
        error.to_string().contains("df "),
        "it does not say what to do: {error}"
    );
}

/// Appends until the disk is full, for each of several places to be full at;
/// then makes room and opens again. Says how often appending and opening failed.
async fn fill_again_and_again(small: &Small, mut config: Config, task: u64) -> (u64, u64) {
    config.format(true).await.unwrap();
    let mut told = Told::default();
    let (mut appends, mut opens) = (0, 0);
    for round in 0..24u64 {
        config.on_unknown = [OnUnknown::Stop, OnUnknown::Reopen][round as usize % 2];
        small.fill(round * 16 * 1024);
        match told.open(&config).await {
            Err(error) => {
                is_full(&error);
                opens += 1;
            }
            Ok(journal) => {
                let error = loop {
                    match told.append(&journal, (round, task)).await {
                        Ok(()) => {}
                        Err(error) => break error,
                    }
                    assert!(told.acked.len() < 100_000, "the disk is never full");
                };
                is_full(&error);
                is_full(&told.append(&journal, (round, task)).await.unwrap_err());
                appends += 1;
            }
        }
        small.make_room();
        let journal = told.open(&config).await.unwrap();
        told.append(&journal, (round, task)).await.unwrap();
        let trimmed = checkpoint(&journal, &told.state).await;
        trimmed.unwrap();
        journal.close().await.unwrap();
        let report = config
            .reader()
            .await
            .unwrap()
            .verify(|_, _| {})
            .await
            .unwrap();
        assert!(report.verdict() < Verdict::Corrupt, "{report:?}");
    }
    (appends, opens)
}

async fn checkpoint(journal: &Journal, state: &State) -> Result<()> {
    let mut writer = journal.checkpoint(journal.accepted()).await?;
    for entry in state.entries() {
        writer.entry(&entry).await?;
    }
    writer.commit().await.map(|_| ())
}

fn config(folder: &Path) -> Config {
    let mut config = local(folder);
    config.take_over = true;
    config.keep_checkpoints = 1;
    config
}

#[test]
fn fc_12_a_full_disk_while_appending_rolling_and_zero_filling() {
    let Some(small) = Small::new() else { return };
    runtime().block_on(async {
        for (segment, task) in [(64 << 10, 1), (256 << 10, LONG)] {
            let mut config = config(&small.journal());
            config.segment_size = segment;
            let (appends, opens) = fill_again_and_again(&small, config, task).await;
            println!(
                "segments of {segment}: {appends} full while appending, {opens} while opening"
            );
            assert!(appends > 3 && opens > 3);
        }
    });
}

#[test]
fn fc_12_a_full_disk_while_a_checkpoint_is_written_does_not_stop_the_journal() {
    let Some(small) = Small::new() else { return };
    runtime().block_on(async {
        let config = config(&small.journal());
        config.format(false).await.unwrap();
        let mut told = Told::default();
        let journal = told.open(&config).await.unwrap();
        for _ in 0..3 {
            told.append(&journal, (1, 1)).await.unwrap();
        }
        small.fill(0);
        let mut writer = journal.checkpoint(journal.accepted()).await.unwrap();
        let error = async {
            for _ in 0..20_000 {
                writer.entry(&[7; 1000]).await?;
            }
            writer.commit().await.map(|_| ())
        };
        is_full(&error.await.unwrap_err());
        // The segment has zeros left: it goes on, and the disk is not its concern.
        told.append(&journal, (1, 1)).await.unwrap();
        small.make_room();
        checkpoint(&journal, &told.state).await.unwrap();
        told.append(&journal, (1, 1)).await.unwrap();
        journal.close().await.unwrap();
        told.open(&config).await.unwrap();
    });
}

#[test]
fn fc_12_formatting_on_a_full_disk_leaves_nothing_half() {
    let Some(small) = Small::new() else { return };
    runtime().block_on(async {
        let config = config(&small.journal());
        for left in [0, 4096, 16 << 10] {
            small.fill(left);
            if let Err(error) = config.format(false).await {
                is_full(&error);
            }
            small.make_room();
            match config.format(false).await {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}"),
            }
            Told::default()
                .open(&config)
                .await
                .unwrap()
                .close()
                .await
                .unwrap();
            std::fs::remove_dir_all(small.journal()).unwrap();
        }
    });
}
