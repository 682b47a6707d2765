//! Where beds and installed programs have their files.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// The folder of one bed and its ports.
#[derive(Debug)]
pub struct Place {
    /// Configuration and data; `log` and `run` are in it.
    pub folder: PathBuf,
    /// As many as [`crate::Server::ports`] asked for, all on 127.0.0.1.
    pub ports: Vec<u16>,
}

impl Place {
    /// The file that gets the output of a process.
    pub fn log(&self, id: &str) -> PathBuf {
        self.folder.join("log").join(format!("{id}.log"))
    }

    /// What a process printed last, for error messages.
    pub fn last_words(&self, id: &str) -> String {
        let bytes = fs::read(self.log(id)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.lines().rev().take(15).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn pid_file(&self, id: &str) -> PathBuf {
        self.folder.join("run").join(format!("{id}.pid"))
    }

    fn make(&self) -> Result<(), String> {
        for sub in ["log", "run"] {
            let folder = self.folder.join(sub);
            fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        Ok(())
    }

    /// A folder of this process alone.
    pub(crate) fn private(name: &str, ports: Vec<u16>) -> Result<Place, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("{name}-{}-{n}", std::process::id());
        let folder = cache()?.join("beds").join(folder);
        let _ = fs::remove_dir_all(&folder); // of a dead process that had this pid
        let place = Place { folder, ports };
        place.make()?;
        Ok(place)
    }

    /// The folder of the one that `cargo xtask servers up` starts.
    pub(crate) fn of_user(name: &str) -> Result<PathBuf, String> {
        Ok(cache()?.join("servers").join(name))
    }

    /// Takes up a folder that was [made](Place::keep) before.
    pub(crate) fn known(folder: PathBuf) -> Option<Place> {
        let text = fs::read_to_string(folder.join("ports")).ok()?;
        let ports: Option<Vec<u16>> = text.split_whitespace().map(|p| p.parse().ok()).collect();
        Some(Place {
            folder,
            ports: ports?,
        })
    }

    /// Makes a folder that outlives this process.
    pub(crate) fn keep(folder: PathBuf, ports: Vec<u16>) -> Result<Place, String> {
        let place = Place { folder, ports };
        place.make()?;
        let text: Vec<_> = place.ports.iter().map(u16::to_string).collect();
        let file = place.folder.join("ports");
        fs::write(&file, text.join(" ")).map_err(|e| format!("{}: {e}", file.display()))?;
        Ok(place)
    }
}

/// Where programs and beds are kept: `FLUSHPROOF_CACHE`, or `flushproof` in the
/// user's cache folder. It should lie on a disk, not in memory.
///
/// # Errors
/// There is no home folder, or the cache can't be created.
pub fn cache() -> Result<PathBuf, String> {
    let set = |key: &str| std::env::var_os(key).filter(|v| !v.is_empty());
    let folder = set("FLUSHPROOF_CACHE")
        .map(PathBuf::from)
        .or_else(|| set("XDG_CACHE_HOME").map(|v| PathBuf::from(v).join("flushproof")))
        .or_else(|| set("HOME").map(|v| PathBuf::from(v).join(".cache").join("flushproof")))
        .ok_or("there is no home folder: set FLUSHPROOF_CACHE to a folder on a disk")?;
    fs::create_dir_all(&folder).map_err(|e| {
        let folder = folder.display();
        format!("{folder}: {e}; set FLUSHPROOF_CACHE to a folder that can be written")
    })?;
    Ok(folder)
}
