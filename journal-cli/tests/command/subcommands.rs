//! Each subcommand does what it says.

use crate::process::{Place, Writer, flip, logs};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;

#[test]
fn append_and_cat_give_back_what_was_appended() {
    let place = Place::formatted();
    let out = place.run(&["append", "j"], "one\n\ntwo\nlast").succeeds();
    assert!(out.contains("appended 4 entries (10 B)"), "{out}");
    assert!(out.contains("durable below 4"), "{out}");
    assert_eq!(
        place.run(&["cat", "j", "--raw"], "").succeeds(),
        "one\n\ntwo\nlast\n"
    );
    assert_eq!(
        place
            .run(&["cat", "j", "--from", "1", "--to", "3"], "")
            .succeeds(),
        "1\t\n2\ttwo\n"
    );
    assert_eq!(
        place.run(&["cat", "j", "--limit", "1"], "").succeeds(),
        "0\tone\n"
    );
    assert_eq!(place.run(&["cat", "j", "--limit", "0"], "").succeeds(), "");
}

#[test]
fn acks_are_numbers_in_order() {
    let place = Place::formatted();
    let input: String = (0..1000).map(|n| format!("{n}\n")).collect();
    let acks = place.run(&["append", "j", "--acks"], &input).succeeds();
    assert_eq!(acks, input, "sequence numbers are dense and begin at 0");
    let json = place
        .run(&["append", "j", "--acks", "--json"], "x\n")
        .succeeds();
    let ack: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&ack["seq"], &ack["epoch"]), (&1000.into(), &2.into()));
}

#[test]
fn an_ack_comes_while_stdin_stays_open() {
    let place = Place::formatted();
    let mut writer = place.writer(&["j"]);
    for n in 0..3 {
        writer.send("x\n");
        assert_eq!(writer.line(), n.to_string());
    }
    writer.end().succeeds();
}

#[test]
fn nothing_to_append_is_fine() {
    let place = Place::formatted();
    let out = place.run(&["append", "j", "--json"], "").succeeds();
    let out: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&out["appended"], &out["durable"]), (&0.into(), &0.into()));
}

#[test]
fn delimited_entries_go_from_one_journal_to_another() {
    let place = Place::formatted();
    let binary = b"\x03a\nb\x00\x02\xff\x00";
    place
        .run(&["append", "j", "--delimited"], binary)
        .succeeds();
    let copied = place.run(&["cat", "j", "--delimited"], "");
    assert_eq!(copied.stdout, binary);
    place.run(&["format", "k"], "").succeeds();
    place
        .run(&["append", "k", "--delimited"], copied.stdout)
        .succeeds();
    assert_eq!(place.run(&["cat", "k", "--delimited"], "").stdout, binary);
}

#[test]
fn cat_as_json_has_text_or_base64() {
    let place = Place::formatted();
    place
        .run(&["append", "j"], b"gr\xc3\xbc\xc3\x9fe\n\xff\n")
        .succeeds();
    let out = place.run(&["cat", "j", "--json"], "").succeeds();
    let rows: Vec<serde_json::Value> = out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(rows[0]["text"], "grüße");
    assert_eq!(rows[1]["base64"], "/w==");
    assert_eq!((&rows[1]["seq"], &rows[1]["epoch"]), (&1.into(), &1.into()));
    assert!(rows[0]["clock"].as_str().unwrap().ends_with('Z'));
    let e = place.run(&["cat", "j", "--json", "--raw"], "");
    assert!(
        e.code == Some(2) && e.stderr.contains("choose one"),
        "{e:?}"
    );
}

#[test]
fn undecided_entries_are_printed_and_counted() {
    let place = Place::formatted();
    let mut writer = place.writer(&["j", "--idle-mark", "1h"]);
    writer.send("a\n");
    writer.line();
    writer.send("b\n");
    writer.line();
    writer.signal(Signal::SIGKILL);
    writer.end();
    let out = place.run(&["cat", "j"], "");
    assert!(
        out.stderr.starts_with("note: the last 1 entry, from 1 on"),
        "{}",
        out.stderr
    );
    assert_eq!(out.succeeds(), "0\ta\n1\tb\n");
    let json = place.run(&["cat", "j", "--json"], "").succeeds();
    let durable: Vec<_> = json
        .lines()
        .map(|l| l.contains("\"durable\":true"))
        .collect();
    assert_eq!(durable, [true, false]);
}

#[test]
fn follow_prints_as_it_comes_and_ends_by_signal_or_limit() {
    let place = Place::formatted();
    place.run(&["append", "j"], "a\nb\n").succeeds();
    assert_eq!(
        place
            .run(&["follow", "j", "--from", "1", "--limit", "1"], "")
            .succeeds(),
        "1\tb\n"
    );
    let mut follower = Writer::start(place.command(&["follow", "j", "--raw"]));
    assert_eq!(follower.lines(2), ["a", "b"]);
    place.run(&["append", "j"], "c\n").succeeds();
    assert_eq!(follower.line(), "c");
    follower.signal(Signal::SIGTERM);
    let ended = follower.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(143), ""));
}

#[test]
fn info_says_what_there_is() {
    let place = Place::formatted();
    place.run(&["append", "j"], "a\nb\n").succeeds();
    let text = place.run(&["info", "j"], "").succeeds();
    for word in ["2 entries from 0 to 2", "closed by its primary", "survive"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let info = place.run(&["info", "j", "--json"], "").json();
    assert_eq!((&info["end"], &info["durable"]), (&2.into(), &2.into()));
    assert_eq!(info["closed"], true);
    assert_eq!(info["epochs"][0]["served"], true);
    assert!(info["contract"]["survives"].as_array().unwrap().len() == 4);
}

#[test]
fn verify_has_an_exit_code_for_each_verdict() {
    let place = Place::formatted();
    place.run(&["append", "j"], "first\n").succeeds();
    let mut writer = place.writer(&["j", "--idle-mark", "1h"]);
    for _ in 0..3 {
        writer.send("second\n");
        writer.line();
    }
    writer.signal(Signal::SIGKILL);
    writer.end();
    place.run(&["verify", "j"], "").succeeds();
    let logs = logs(&place.join("j"));

    // The last batch, attested by nothing: torn. The next primary cuts it.
    copy(&place.join("j"), &place.join("torn"));
    let last = place.join("torn/log").join(logs[1].file_name().unwrap());
    let bytes = std::fs::read(&last).unwrap();
    flip(&last, bytes.iter().rposition(|b| *b != 0).unwrap());
    let out = place.run(&["verify", "torn"], "");
    let text = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.code, Some(3), "{text}");
    assert!(text.contains("verdict: torn"), "{text}");
    let json = place.run(&["verify", "torn", "--json"], "").json();
    assert_eq!(json["verdict"], "torn");
    assert_eq!(json["end"], 3, "one of four entries is cut");
    place.run(&["append", "torn"], "third\n").succeeds();
    place.run(&["verify", "torn"], "").succeeds();

    // An entry below a durable mark: corrupt, with the place; nothing goes on.
    copy(&place.join("j"), &place.join("rotten"));
    let closed = place.join("rotten/log").join(logs[0].file_name().unwrap());
    let at = find(&std::fs::read(&closed).unwrap(), b"first");
    flip(&closed, at);
    let out = place.run(&["verify", "rotten"], "");
    let text = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.code, Some(5), "{text}");
    assert!(
        text.contains("corrupt     damaged     log/") && text.contains("at offset"),
        "{text}"
    );
    let json = place.run(&["verify", "rotten", "--json"], "").json();
    assert_eq!(json["verdict"], "corrupt");
    let e = place.run(&["cat", "rotten"], "").fails(5);
    assert!(e.contains("journal verify"), "{e}");
}

#[test]
fn info_says_when_the_end_is_damaged() {
    let place = Place::formatted();
    place.run(&["append", "j"], "first\nsecond\n").succeeds();
    let json = place.run(&["info", "j", "--json"], "").json();
    assert!(json["damage"].is_null(), "{json}");
    let log = std::fs::read_dir(place.join("j/log")).unwrap();
    let log = log.map(|e| e.unwrap().path()).find(|p| {
        let bytes = std::fs::read(p).unwrap();
        bytes.windows(5).any(|w| w == b"first")
    });
    let log = log.unwrap();
    flip(&log, find(&std::fs::read(&log).unwrap(), b"first"));
    let text = String::from_utf8(place.run(&["info", "j"], "").stdout).unwrap();
    assert!(
        text.contains("DAMAGED") && text.contains("journal verify"),
        "{text}"
    );
    let json = place.run(&["info", "j", "--json"], "").json();
    let damage = json["damage"].as_str().unwrap();
    assert!(damage.contains("at offset"), "{json}");
}

#[test]
fn reading_beside_a_writer_finds_no_fault() {
    let place = Place::formatted();
    let mut writer = place.writer(&["j"]);
    writer.send_for_ever();
    writer.lines(100);
    // Its pipe is read on, so that it writes on.
    let pid = Pid::from_raw(writer.pid() as i32);
    let reader = std::thread::spawn(move || while !writer.line().is_empty() {});
    for _ in 0..15 {
        let out = place.run(&["verify", "j"], "");
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(matches!(out.code, Some(0 | 4)), "{text} {}", out.stderr);
        place.run(&["info", "j"], "").succeeds();
        place.run(&["cat", "j", "--limit", "10"], "").succeeds();
    }
    kill(pid, Signal::SIGKILL).unwrap();
    reader.join().unwrap();
}

#[test]
fn completions_and_help() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["completions", shell], "").succeeds();
        assert!(script.contains("take-over"), "{shell}");
    }
    let help = place.run(&["--help"], "").succeeds();
    for text in ["Exit codes", "corrupt", "journal.toml"] {
        assert!(help.contains(text), "{text}");
    }
    let help = place.run(&["append", "--help"], "").succeeds();
    assert!(help.contains("--flush-timeout") && help.contains("--take-over"));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|w| w == what).unwrap()
}
