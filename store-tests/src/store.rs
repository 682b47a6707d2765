//! What differs between stores: where a fresh place comes from, and which of a
//! server's processes are killed and stopped.

use crate::access::Access;
use flushproof::Registry;
use flushproof_testbed::{Bed, Server};
use std::path::PathBuf;
use std::time::Duration;

/// One kind of store, as the scenarios see it.
#[derive(Clone, Debug)]
pub struct Store {
    /// Its name in what the tests print.
    pub name: &'static str,
    /// The backends of the test binary.
    pub registry: Registry,
    /// Where journals are made.
    pub place: Place,
    /// The backend's options.
    pub options: Vec<(&'static str, String)>,
    /// Flushes take so long that less of them are asked for.
    pub slow: bool,
}

/// Where journals are made.
#[derive(Clone, Debug)]
pub enum Place {
    /// In the memory of this process.
    Memory,
    /// In new folders below this one.
    Folder(PathBuf),
    /// On a server.
    Server(ServerPlace),
}

/// A server, and how its failures are made.
#[derive(Clone, Copy)]
pub struct ServerPlace {
    /// The server of the test bed.
    pub server: &'static dyn Server,
    /// The processes of which one is killed in mid-stream.
    pub killed: &'static [&'static str],
    /// The processes without which nothing is answered.
    pub stopped: &'static [&'static str],
    /// Appends go on while one of [`killed`](Self::killed) is dead.
    pub replicated: bool,
    /// How long appends may take to go on: after the server is back, or, on a
    /// replicated one, after the kill.
    pub goes_on: Duration,
}

impl std::fmt::Debug for ServerPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.server.name())
    }
}

/// An empty place; a folder goes with it.
#[derive(Debug)]
pub struct Root {
    /// How it is opened.
    pub access: Access,
    _folder: Option<tempfile::TempDir>,
}

impl Store {
    /// Journals in the memory of this process.
    pub fn memory(registry: Registry) -> Store {
        Store {
            name: "memory",
            registry,
            place: Place::Memory,
            options: Vec::new(),
            slow: false,
        }
    }

    /// Journals in folders below this one, which lies on a real disk.
    pub fn folder(registry: Registry, below: impl Into<PathBuf>) -> Store {
        Store {
            name: "local",
            registry,
            place: Place::Folder(below.into()),
            options: Vec::new(),
            slow: false,
        }
    }

    /// Journals on a server of the test bed.
    pub fn server(registry: Registry, place: ServerPlace) -> Store {
        Store {
            name: place.server.name(),
            registry,
            place: Place::Server(place),
            options: Vec::new(),
            slow: false,
        }
    }

    /// A place that nobody used yet; on a server that all tests share.
    pub fn fresh(&self) -> Root {
        match &self.place {
            Place::Server(place) => self.fresh_on(Bed::shared(place.server)),
            Place::Memory => {
                static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
                let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                self.root(format!("memory:{n}"), Vec::new(), None)
            }
            Place::Folder(below) => {
                let folder = tempfile::Builder::new()
                    .prefix("flushproof-")
                    .tempdir_in(below)
                    .unwrap();
                let journal = folder.path().join("journal");
                self.root(journal.to_str().unwrap().into(), Vec::new(), Some(folder))
            }
        }
    }

    /// A place that nobody used yet, on this server.
    pub fn fresh_on(&self, bed: &Bed) -> Root {
        self.root(bed.fresh_uri(), bed.env(), None)
    }

    /// What the `journal` command finds in its environment is, as far as it is
    /// an option of the backend, an option here.
    fn root(
        &self,
        uri: String,
        env: Vec<(String, String)>,
        folder: Option<tempfile::TempDir>,
    ) -> Root {
        let mut access = Access::new(uri, self.registry.clone());
        access.options = self
            .options
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.clone()))
            .collect();
        for (name, value) in env {
            // This process finds it as an option: without it, it would see less than
            // its children.
            if name == "HADOOP_CONF_DIR" {
                access.options.push(("conf_dir".into(), value.clone()));
            }
            match name.strip_prefix("JOURNAL_BACKEND_") {
                Some(option) => access.options.push((option.to_lowercase(), value)),
                None => access.env.push((name, value)),
            }
        }
        Root {
            access,
            _folder: folder,
        }
    }
}
