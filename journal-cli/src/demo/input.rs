//! Real input: one entry for each file of this machine, as a namespace master
//! journals them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The first entry of a demo's journal; a journal that begins so may be erased.
pub const MARK: &str = "flushproof demo: this journal may be erased by the next demo";

/// Enough for variety; then they begin anew.
const MOST: usize = 20_000;
const LONGEST: Duration = Duration::from_secs(1);

/// Paths and sizes of files.
#[derive(Debug)]
pub struct Files(Vec<(String, u64)>);

impl Files {
    /// Finds files below `/usr`, at least this program.
    pub fn find() -> Files {
        let began = Instant::now();
        let mut files = Vec::new();
        let mut folders = vec![PathBuf::from("/usr")];
        while let Some(folder) = folders.pop() {
            if files.len() >= MOST || began.elapsed() > LONGEST {
                break;
            }
            add(&folder, &mut folders, &mut files);
        }
        if files.is_empty() {
            files.push(("/usr/bin/journal".into(), 0));
        }
        Files(files)
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The line of number `n` of a writer. No two are equal.
    pub fn line(&self, writer: &str, n: usize) -> String {
        let (path, size) = &self.0[n % self.0.len()];
        format!("create {path} size={size} by={writer} n={n}")
    }
}

/// Adds a folder's files, and its folders to those yet to be read.
fn add(folder: &Path, folders: &mut Vec<PathBuf>, files: &mut Vec<(String, u64)>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return; // not ours to read
    };
    for entry in entries.flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        let path = entry.path();
        match path.to_str() {
            Some(text) if meta.is_file() && !text.contains('\n') => {
                files.push((text.to_owned(), meta.len()));
            }
            _ if meta.is_dir() => folders.push(path),
            _ => {}
        }
    }
}
