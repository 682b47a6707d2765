//! The command on every store that it is built with.

use crate::process::{Place, Ran, run};
use flushproof::Registry;
use flushproof_store_tests::{Access, Store};
use std::path::Path;

/// The command on one journal, wherever that lives.
struct Command<'a> {
    place: Place,
    access: &'a Access,
}

impl Command<'_> {
    fn run(&self, args: &[&str], stdin: impl AsRef<[u8]>) -> Ran {
        let mut command = self.place.command(args);
        command.envs(self.access.variables());
        command.env("JOURNAL_REQUIRE", "writer-crash");
        command.env("JOURNAL_ACCEPT_SLOW_FLUSH", "true");
        run(command, stdin)
    }
}

/// Every subcommand, on an empty place.
fn all_subcommands(store: &Store) {
    let root = store.fresh();
    let journal = Command {
        place: Place::new(),
        access: &root.access,
    };
    let uri = root.access.uri.as_str();
    let e = journal.run(&["info", uri], "");
    assert_ne!(e.code, Some(0));
    assert!(e.stderr.contains("journal format"), "{}", e.stderr);

    journal.run(&["format", uri], "").succeeds();
    let lines: String = (0..200).map(|n| format!("line {n}\n")).collect();
    let acks = journal.run(&["append", "--acks", uri], &lines).succeeds();
    assert_eq!(acks.lines().count(), 200);
    assert_eq!(journal.run(&["cat", "--raw", uri], "").succeeds(), lines);
    let followed = journal.run(&["follow", "--raw", "--limit", "200", uri], "");
    assert_eq!(followed.succeeds(), lines);
    let info = journal.run(&["info", "--json", uri], "").json();
    assert_eq!(
        (&info["end"], &info["closed"]),
        (&200.into(), &true.into()),
        "{info}"
    );
    let report = journal.run(&["verify", "--json", uri], "");
    assert_eq!(report.code, Some(0), "{report:?}");
    assert_eq!(report.json()["entries"], 200);

    let report = journal.run(&["doctor", "--time", "200ms", "--json", uri], "");
    assert_eq!(report.code, Some(0), "{report:?}");
    assert_eq!(report.json()["writers"][2]["writers"], 64);
    // It has left no trace, and the journal is as it was.
    let info = journal.run(&["info", "--json", uri], "").json();
    assert_eq!(info["end"], 200);

    let demo = store.fresh();
    let journal = Command {
        place: Place::new(),
        access: &demo.access,
    };
    for _ in 0..2 {
        let told = journal.run(&["demo", "--json", &demo.access.uri], "");
        assert_eq!(told.code, Some(0), "{told:?}");
        assert_eq!(told.json()["ok"], true);
    }
}

#[cfg(feature = "local")]
#[test]
fn every_subcommand_on_a_local_disk() {
    let below = Path::new(env!("CARGO_TARGET_TMPDIR"));
    all_subcommands(&Store::folder(Registry::new(), below));
}
