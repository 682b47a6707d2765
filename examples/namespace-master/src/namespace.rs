//! The state: a name space of folders and files. It knows nothing of journals.
//!
//! What matters to a journal: a change is a value ([`Change`]) with an encoding,
//! whether it is possible is decided *before* it is appended
//! ([`Namespace::check`]), and applying it is deterministic, so that a replay
//! makes the same state.

use std::collections::BTreeMap;
use std::fmt;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
}

/// A change of the name space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Mkdir(String),
    Create(String),
    Delete(String),
    Rename(String, String),
}

impl Change {
    /// Reads a change: a request's line, and an entry of the journal.
    pub fn parse(line: &str) -> Result<Change, String> {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["mkdir", a] => Ok(Change::Mkdir(path(a)?)),
            ["create", a] => Ok(Change::Create(path(a)?)),
            ["delete", a] => Ok(Change::Delete(path(a)?)),
            ["rename", a, b] => Ok(Change::Rename(path(a)?, path(b)?)),
            _ => Err(format!("{line:?} is no change of the name space")),
        }
    }
}

/// The encoding: the line. (A real service takes a format with versions.)
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Mkdir(a) => write!(f, "mkdir {a}"),
            Change::Create(a) => write!(f, "create {a}"),
            Change::Delete(a) => write!(f, "delete {a}"),
            Change::Rename(a, b) => write!(f, "rename {a} {b}"),
        }
    }
}

/// A path other than the root, in its one form.
fn path(text: &str) -> Result<String, String> {
    let good = |rest: &str| rest.split('/').all(|part| !part.is_empty());
    match text.strip_prefix('/').is_some_and(good) {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is not a path such as /a/b")),
    }
}

/// The path above; the root's is empty.
fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(above, _)| above)
}

/// All names, by path.
#[derive(Clone, Debug, Default)]
pub struct Namespace {
    nodes: BTreeMap<String, Kind>,
}

impl Namespace {
    /// Whether a change is possible now.
    pub fn check(&self, change: &Change) -> Result<(), String> {
        match change {
            Change::Mkdir(a) | Change::Create(a) => self.check_free(a),
            Change::Delete(a) => {
                self.kind(a)?;
                match self.below(a).next() {
                    Some(_) => Err(format!("{a} is not empty")),
                    None => Ok(()),
                }
            }
            Change::Rename(a, b) => {
                self.kind(a)?;
                if b.starts_with(&format!("{a}/")) {
                    return Err(format!("{b} lies in {a}"));
                }
                self.check_free(b)
            }
        }
    }

    /// Makes a change that was [checked](Self::check).
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Mkdir(a) => {
                self.nodes.insert(a.clone(), Kind::Folder);
            }
            Change::Create(a) => {
                self.nodes.insert(a.clone(), Kind::File);
            }
            Change::Delete(a) => {
                self.nodes.remove(a);
            }
            Change::Rename(a, b) => {
                let mut moved: Vec<String> = self.below(a).cloned().collect();
                moved.push(a.clone());
                for old in moved {
                    if let Some(kind) = self.nodes.remove(&old) {
                        self.nodes.insert(format!("{b}{}", &old[a.len()..]), kind);
                    }
                }
            }
        }
    }

    /// The names in a folder.
    pub fn list(&self, folder: &str) -> Result<Vec<String>, String> {
        let folder = folder.trim_end_matches('/');
        if !folder.is_empty() && self.kind(folder)? == Kind::File {
            return Err(format!("{folder} is a file"));
        }
        let direct = self.below(folder).filter(|p| parent(p) == folder);
        Ok(direct.map(|p| p[folder.len() + 1..].to_owned()).collect())
    }

    /// Changes that recreate this state from an empty one: what a checkpoint
    /// holds. Folders come before what lies in them.
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        self.nodes.iter().map(|(path, kind)| match kind {
            Kind::Folder => Change::Mkdir(path.clone()),
            Kind::File => Change::Create(path.clone()),
        })
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    fn kind(&self, path: &str) -> Result<Kind, String> {
        let kind = self.nodes.get(path).copied();
        kind.ok_or_else(|| format!("{path} does not exist"))
    }

    fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = &'a String> {
        let prefix = format!("{folder}/");
        let from = self.nodes.range(prefix.clone()..).map(|(p, _)| p);
        from.take_while(move |p| p.starts_with(&prefix))
    }

    fn check_free(&self, path: &str) -> Result<(), String> {
        if self.nodes.contains_key(path) {
            return Err(format!("{path} exists"));
        }
        match parent(path) {
            "" => Ok(()),
            above if self.kind(above)? == Kind::Folder => Ok(()),
            above => Err(format!("{above} is a file")),
        }
    }
}
