//! A small journal to be damaged, and what it must look like afterwards.

use super::state::{State, entry};
use super::{files, in_memory, memory_folder};
use flushproof::{Config, Error, Item, Recovery, SeqNo};
use std::path::{Path, PathBuf};

/// What was read of a journal: the number of the first entry, and the entries.
pub type Read = (u64, Vec<Vec<u8>>);

/// The small journal. Epoch 1 was closed, epoch 2 was killed: its last entry is
/// not attested. A candidate fenced epoch 2 and went away.
pub struct Small {
    pub folder: tempfile::TempDir,
    pub entries: Vec<Vec<u8>>,
}

/// Where its two checkpoints stand, and where its first epoch ends.
const CHECKPOINTS: [u64; 2] = [3, 5];
const CLOSED_AT: u64 = 8;

pub fn config(folder: &Path) -> Config {
    let mut config = in_memory(folder);
    config.idle_mark = std::time::Duration::from_secs(3600);
    config
}

async fn append(journal: &flushproof::Journal, state: &mut State) -> Vec<u8> {
    let bytes: Vec<u8> = entry((1, 1), state.count)[..24].to_vec();
    let receipt = journal.append(&bytes).await.unwrap();
    assert_eq!(receipt.seq.0, state.count);
    state.count += 1;
    bytes
}

pub async fn serve(config: &Config) -> flushproof::Journal {
    let mut recovery = config.primary().await.unwrap();
    read_all(&mut recovery).await.unwrap();
    recovery.start().await.unwrap()
}

/// Everything that a recovery gives; a checkpoint's entries are the entries.
pub async fn read_all(recovery: &mut Recovery) -> Result<Read, Error> {
    let mut read: Option<Read> = None;
    while let Some(item) = recovery.next().await? {
        match item {
            Item::Checkpoint(mut checkpoint) => {
                let mut entries = Vec::new();
                while let Some(bytes) = checkpoint.next().await? {
                    entries.push(bytes.to_vec());
                }
                assert_eq!(entries.len() as u64, checkpoint.next_seq().0);
                read = Some((0, entries));
            }
            Item::Entry(entry) => {
                let (first, entries) = read.get_or_insert_with(|| (entry.seq.0, Vec::new()));
                assert_eq!(entry.seq.0, *first + entries.len() as u64);
                entries.push(entry.bytes.to_vec());
            }
        }
    }
    Ok(read.unwrap_or_default())
}

impl Small {
    pub async fn new() -> Small {
        let folder = memory_folder();
        let config = config(folder.path());
        config.format(false).await.unwrap();
        let (mut state, mut entries) = (State::default(), Vec::<Vec<u8>>::new());
        let journal = serve(&config).await;
        while state.count < CLOSED_AT {
            if CHECKPOINTS.contains(&state.count) {
                // The state is all entries: so a checkpoint shows what it holds.
                let mut checkpoint = journal.checkpoint(SeqNo(state.count)).await.unwrap();
                for bytes in &entries {
                    checkpoint.entry(bytes).await.unwrap();
                }
                checkpoint.commit().await.unwrap();
            }
            entries.push(append(&journal, &mut state).await);
        }
        journal.close().await.unwrap();
        let journal = serve(&config).await;
        for _ in 0..4 {
            entries.push(append(&journal, &mut state).await);
        }
        drop(journal);
        while config.primary().await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        Small { folder, entries }
    }

    pub fn end(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The files that are damaged, relative to the folder.
    pub fn files(&self) -> Vec<PathBuf> {
        let relative = |f: PathBuf| f.strip_prefix(self.folder.path()).unwrap().to_owned();
        files(self.folder.path())
            .into_iter()
            .map(relative)
            .collect()
    }

    pub fn log(&self, epoch: u64) -> PathBuf {
        format!("log/{epoch:020}-{:020}.log", 0).into()
    }

    pub fn bytes(&self, file: &Path) -> Vec<u8> {
        std::fs::read(self.folder.path().join(file)).unwrap()
    }

    pub fn is_prefix(&self, (first, read): &Read) {
        let all = &self.entries[*first as usize..];
        assert!(
            read.len() <= all.len() && read[..] == all[..read.len()],
            "wrong data: {read:?}"
        );
    }
}

/// The frames of a log of the small journal, read without the engine: offset
/// of the end, number after the last entry, durable mark.
pub fn frames(bytes: &[u8]) -> Vec<(usize, u64, u64)> {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    (0..bytes.len())
        .step_by(4096)
        .take_while(|at| number(*at) != 0)
        .map(|at| {
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let end = (at + 64 + word(at + 8) as usize).next_multiple_of(4096);
            (
                end,
                number(at + 16) + u64::from(word(at + 24)),
                number(at + 40),
            )
        })
        .collect()
}
