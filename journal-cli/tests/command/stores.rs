//! Every subcommand, on any kind of store.

use crate::process::{self, Place, Ran};
use flushproof::Registry;
use flushproof_store_tests::{Root, Store};
use std::process::Command;

/// A place of a store where nothing is yet, and the command for it.
pub struct Journal {
    place: Place,
    root: Root,
    slow: bool,
}

impl Journal {
    pub fn fresh(store: &Store) -> Journal {
        Journal {
            place: Place::new(),
            root: store.fresh(),
            slow: store.slow,
        }
    }

    /// The same at another place of the same store.
    pub fn at(mut self, uri: &str) -> Journal {
        self.root.access.uri = uri.to_owned();
        self
    }

    /// Writes the configuration's file.
    pub fn configure(&self, text: &str) {
        std::fs::write(self.place.join("journal.toml"), text).unwrap();
    }

    /// The command with this journal's place behind its arguments, and what the
    /// store needs in its environment; consent to slow flushes is not in it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.place.command(args);
        command.arg(&self.root.access.uri);
        command.envs(self.root.access.variables());
        command.env("JOURNAL_REQUIRE", "writer-crash");
        command
    }

    /// Runs it; slow flushes are accepted where the store is slow.
    pub fn run(&self, args: &[&str], stdin: impl AsRef<[u8]>) -> Ran {
        let mut command = self.command(args);
        if self.slow {
            command.env("JOURNAL_ACCEPT_SLOW_FLUSH", "true");
        }
        process::run(command, stdin)
    }
}

/// Every subcommand but `demo`, on an empty place.
pub fn all_subcommands(store: &Store) {
    let journal = Journal::fresh(store);
    let e = journal.run(&["info"], "");
    assert_ne!(e.code, Some(0));
    assert!(e.stderr.contains("journal format"), "{}", e.stderr);

    journal.run(&["format"], "").succeeds();
    let e = journal.run(&["format"], "").fails(1);
    assert!(e.contains("--force"), "{e}");
    let lines: String = (0..200).map(|n| format!("line {n}\n")).collect();
    let acks = journal.run(&["append", "--acks"], &lines).succeeds();
    assert_eq!(acks.lines().count(), 200);
    assert_eq!(journal.run(&["cat", "--raw"], "").succeeds(), lines);
    let followed = journal.run(&["follow", "--raw", "--limit", "200"], "");
    assert_eq!(followed.succeeds(), lines);
    let info = journal.run(&["info", "--json"], "").json();
    assert_eq!(
        (&info["end"], &info["closed"]),
        (&200.into(), &true.into()),
        "{info}"
    );
    let report = journal.run(&["verify", "--json"], "");
    assert_eq!(report.code, Some(0), "{report:?}");
    assert_eq!(report.json()["entries"], 200);

    let report = journal.run(&["doctor", "--time", "200ms", "--json"], "");
    assert_eq!(report.code, Some(0), "{report:?}");
    assert_eq!(report.json()["writers"][2]["writers"], 64);
    // The journal is as it was.
    let info = journal.run(&["info", "--json"], "").json();
    assert_eq!((&info["end"], &info["epoch"]), (&200.into(), &1.into()));
    let out = journal.run(&["format", "--force"], "").succeeds();
    assert!(out.contains("erased"), "{out}");
    assert_eq!(journal.run(&["cat"], "").succeeds(), "");
}

/// The demo, twice in the same place.
pub fn demo(store: &Store) {
    let journal = Journal::fresh(store);
    for _ in 0..2 {
        let told = journal.run(&["demo", "--json"], "");
        assert_eq!(told.code, Some(0), "{told:?}");
        let told = told.json();
        assert_eq!(told["ok"], true, "{told}");
        assert!(told["checks"].as_array().unwrap().len() >= 8, "{told}");
    }
}

#[cfg(feature = "local")]
mod local {
    use super::*;
    use std::path::Path;

    fn store() -> Store {
        Store::folder(Registry::new(), Path::new(env!("CARGO_TARGET_TMPDIR")))
    }

    #[test]
    fn every_subcommand_on_a_local_disk() {
        all_subcommands(&store());
    }

    #[test]
    fn demo_on_a_local_disk() {
        demo(&store());
    }
}
