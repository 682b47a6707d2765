//! What goes for object stores only: consent to slow flushes, credentials, secrets.

use crate::process::{Ran, run};
use crate::stores::Journal;
use flushproof_store_tests::Store;
use std::process::Command;

/// Without consent nothing is written that counts, and it is said what to set and
/// what it costs; reading needs none.
pub fn consent(store: &Store) {
    let journal = Journal::fresh(store);
    let refused = |args: &[&str]| {
        let e = run(journal.command(args), "x\n").fails(1);
        let how = [
            "--accept-slow-flush",
            "JOURNAL_ACCEPT_SLOW_FLUSH",
            "journal.accept_slow_flush",
        ];
        let costs = ["each flush is one new object", "ms", "US dollars"];
        for word in how.into_iter().chain(costs) {
            assert!(e.contains(word), "{args:?}: {word}: {e}");
        }
    };
    refused(&["format"]);
    refused(&["demo"]);
    run(journal.command(&["format", "--accept-slow-flush"]), "").succeeds();
    refused(&["append"]);
    refused(&["format", "--force"]);
    let out = run(journal.command(&["append", "--json"]), "x\n");
    let e: serde_json::Value = serde_json::from_str(&out.stderr).unwrap();
    assert_eq!(e["error"]["kind"], "contract-too-weak");

    let report = run(journal.command(&["doctor", "--time", "50ms"]), "");
    assert_eq!(report.code, Some(1), "{report:?}");
    let report = String::from_utf8(report.stdout).unwrap();
    assert!(
        report.contains("verdict: not fit") && report.contains("--accept-slow-flush"),
        "{report}"
    );

    // As a file says it.
    journal.configure("[journal]\naccept_slow_flush = true\n");
    run(journal.command(&["append"]), "y\n").succeeds();
    journal.configure("");
    let only_y = run(journal.command(&["cat", "--raw"]), "").succeeds();
    assert_eq!(only_y, "y\n");
    for reading in ["info", "verify"] {
        run(journal.command(&[reading]), "").succeeds();
    }
}

/// Without, or with wrong credentials, the error says what is missing, soon.
/// `without` and `wrong` change the environment; `names` is what must be named.
pub fn credentials(
    store: &Store,
    names: &[&str],
    without: &dyn Fn(&mut Command),
    wrong: &dyn Fn(&mut Command),
) {
    let journal = Journal::fresh(store);
    let fails = |args: &[&str], change: &dyn Fn(&mut Command)| {
        let mut command = journal.command(args);
        command.env("JOURNAL_ACCEPT_SLOW_FLUSH", "true");
        change(&mut command);
        let e = run(command, "").fails(1);
        assert!(!e.contains("hunter2") && !e.contains("aHVudGVy"), "{e}");
        e
    };
    for args in [["info"], ["format"], ["append"], ["doctor"]] {
        let e = fails(&args, without);
        assert!(names.iter().all(|name| e.contains(name)), "{args:?}: {e}");
        let e = fails(&args, wrong);
        assert!(e.contains("credentials are wrong"), "{args:?}: {e}");
    }
}

/// A bucket or container that is not there.
pub fn no_bucket(store: &Store, scheme: &str, commands: &[&str], says: &str) {
    let journal = Journal::fresh(store).at(&format!("{scheme}://no-such-place/j"));
    for command in commands {
        let e = journal.run(&[command], "").fails(1);
        assert!(
            e.contains("no-such-place") && e.contains(says),
            "{command}: {e}"
        );
    }
}

/// No output of any subcommand holds the secret, however much is asked to be said.
pub fn secrets(store: &Store, secret: &str) {
    let journal = Journal::fresh(store);
    let silent = |ran: Ran, args: &[&str]| {
        let stdout = String::from_utf8_lossy(&ran.stdout);
        for text in [&stdout, ran.stderr.as_str()] {
            assert!(!text.contains(secret), "{args:?}: {text}");
            assert!(
                !text.contains("AWS4-HMAC") && !text.contains("SharedKey"),
                "{args:?}: {text}"
            );
        }
        ran
    };
    let loud = |args: &[&str], code: i32| {
        let mut command = journal.command(args);
        command.env("JOURNAL_ACCEPT_SLOW_FLUSH", "true");
        command.envs([("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full")]);
        let ran = silent(run(command, "x\n"), args);
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
    };
    for (args, code) in [
        (&["info"][..], 1),
        (&["info", "--json"], 1),
        (&["format", "--json"], 0),
        (&["format"], 1),
        (&["append", "--acks"], 0),
        (&["cat", "--json"], 0),
        (&["cat", "--from", "99"], 1),
        (&["info"], 0),
        (&["info", "--json"], 0),
        (&["verify", "--json"], 0),
        (&["doctor", "--time", "20ms", "--require=nothing"], 0),
        (&["append", "--backend=timeout=never"], 1),
        (&["append", "--backend=no_such_option=1", "--json"], 1),
    ] {
        loud(args, code);
    }
    // Nor where it is given in a file.
    journal.configure(&format!(
        "[backend]\naccount_key = \"{secret}\"\nsecret_access_key = \"{secret}\"\n"
    ));
    loud(&["info"], 1); // one of them is no option of this scheme
    journal.configure(&format!("[backend]\nsecret_access_key = {secret}\n"));
    loud(&["info", "--json"], 2);
}
