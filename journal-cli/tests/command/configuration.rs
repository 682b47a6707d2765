//! `journal.toml`, then variables, then flags.

use crate::process::{Place, run};

fn configured(text: &str) -> Place {
    let place = Place::formatted();
    std::fs::write(place.join("journal.toml"), text).unwrap();
    place
}

#[test]
fn the_journal_is_found_in_the_configuration() {
    let place = configured("[journal]\nfolder = \"j\"\n");
    place.run(&["append"], "a\n").succeeds();
    assert_eq!(place.run(&["cat"], "").succeeds(), "0\ta\n");
    place.run(&["format", "k"], "").succeeds();
    assert_eq!(
        place.run(&["cat", "k"], "").succeeds(),
        "",
        "an argument wins"
    );
    let mut command = place.command(&["cat"]);
    command.env("JOURNAL_FOLDER", "k");
    assert_eq!(
        run(command, "").succeeds(),
        "",
        "a variable wins over the file"
    );
}

#[test]
fn variables_win_over_the_file_and_flags_over_variables() {
    let place = configured("[journal]\nfolder = 'j'\nmax_entry = 2\n");
    let append = |variable: Option<&str>, flag: &[&str]| {
        let mut command = place.command(&[&["append"], flag].concat());
        if let Some(value) = variable {
            command.env("JOURNAL_MAX_ENTRY", value);
        }
        run(command, "123\n").code
    };
    assert_eq!(append(None, &[]), Some(1));
    assert_eq!(append(Some("3B"), &[]), Some(0));
    assert_eq!(append(Some("3"), &["--max-entry", "1"]), Some(1));
    assert_eq!(append(None, &["--max-entry=1KiB"]), Some(0));
}

#[test]
fn which_file_is_read() {
    let place = configured("[journal]\nfolder = 'nowhere'\n");
    std::fs::write(place.join("other.toml"), "[journal]\nfolder = 'j'\n").unwrap();
    place.run(&["info"], "").fails(1);
    place
        .run(&["info", "--config", "other.toml"], "")
        .succeeds();
    let mut command = place.command(&["info"]);
    command.env("JOURNAL_CONFIG", "other.toml");
    run(command, "").succeeds();
    let e = place
        .run(&["info", "--config", "missing.toml"], "")
        .fails(2);
    assert!(e.contains("missing.toml"), "{e}");
}

#[test]
fn an_unknown_key_names_the_nearest() {
    for (text, says) in [
        ("[journal]\nreqiure = 'x'", "did you mean require?"),
        ("[jurnal]\nfolder = 'j'", "did you mean journal?"),
        (
            "[journal]\nfolder = 'j'\n[backend]\nmehtod = 'direct'",
            "did you mean method?",
        ),
    ] {
        let place = configured(text);
        let out = place.run(&["info"], "");
        assert!(matches!(out.code, Some(1 | 2)), "{out:?}");
        assert!(out.stderr.contains(says), "{}", out.stderr);
    }
    let place = Place::formatted();
    let mut command = place.command(&["info", "j"]);
    command.env("JOURNAL_REQIURE", "nothing");
    let e = run(command, "").fails(2);
    assert!(e.contains("did you mean JOURNAL_REQUIRE?"), "{e}");
    let mut command = place.command(&["info", "j"]);
    command.env("JOURNAL_STREAM", "8:1234");
    run(command, "").succeeds();
}

#[test]
fn options_of_the_backend_reach_it_from_everywhere() {
    let place = configured("[backend]\nmethod = 'nonsense'\n");
    let e = place.run(&["append", "j"], "").fails(1);
    assert!(e.contains("fdatasync"), "{e}");
    let mut command = place.command(&["append", "j"]);
    command.env("JOURNAL_BACKEND_METHOD", "fdatasync");
    run(command, "x\n").succeeds();
    place
        .run(&["append", "j", "--backend", "method=dsync"], "x\n")
        .succeeds();
    let e = place.run(&["info", "j", "--backend", "hunter2"], "");
    assert!(e.code == Some(2) && e.stderr.contains("KEY=VALUE"), "{e:?}");
}

#[test]
fn secrets_are_not_printed() {
    let place = configured("[journal]\nfolder='j'\n[backend]\nsecret_key = 'hunter2'\n");
    let e = place.run(&["info"], "").fails(1);
    assert!(e.contains("secret_key") && !e.contains("hunter2"), "{e}");
    let place = configured("[backend]\nsecret_key = hunter2\n");
    let e = place.run(&["info", "j"], "").fails(2);
    assert!(e.contains("line 2") && !e.contains("hunter2"), "{e}");
}

#[test]
fn wrong_values_say_what_is_right() {
    let place = Place::formatted();
    for (flag, says) in [
        ("--segment-size=big", "64MiB"),
        ("--flush-timeout=soon", "500ms"),
        ("--require=everything", "store-power"),
        ("--on-unknown=panic", "reopen"),
        ("--keep-checkpoints=0", "at least 1"),
        ("--max-entry=1GiB", "max_entry must be"),
        ("--accept-slow-flush=perhaps", "true or false"),
    ] {
        let e = place.run(&["append", "j", flag], "").fails(2);
        assert!(e.contains(says), "{flag}: {e}");
    }
    place
        .run(
            &["append", "j", "--accept-slow-flush", "--heartbeat", "1s"],
            "",
        )
        .succeeds();
}
