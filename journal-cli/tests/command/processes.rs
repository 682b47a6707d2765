//! Several processes, signals, and closed pipes.

use crate::process::{Place, Writer};
use nix::sys::signal::Signal;
use std::collections::HashMap;
use std::io::Read;
use std::time::Duration;

#[test]
fn a_second_primary_hears_who_is_first() {
    let place = Place::formatted();
    let mut first = place.writer(&["j"]);
    first.send("a\n");
    first.line();
    let e = place.run(&["append", "j"], "b\n").fails(7);
    assert!(e.contains(&format!("in use by pid {}", first.pid())), "{e}");
    assert!(e.contains("--take-over"), "{e}");
    first.send("c\n");
    assert_eq!(first.line(), "1", "the first one was not disturbed");
    first.end().succeeds();
    assert_eq!(place.run(&["cat", "j", "--raw"], "").succeeds(), "a\nc\n");
}

#[test]
fn a_stopped_then_woken_primary_acknowledges_nothing_more() {
    for round in 0..5 {
        let place = Place::formatted();
        let mut old = place.writer(&["j"]);
        old.send_for_ever();
        let mut acked = old.lines(200 + 37 * round).len();
        old.signal(Signal::SIGSTOP);
        let acks = place
            .run(&["append", "j", "--acks", "--take-over"], "new\n")
            .succeeds();
        let new: usize = acks.trim().parse().unwrap();
        old.signal(Signal::SIGCONT);
        let ended = old.end();
        acked += ended.stdout.iter().filter(|b| **b == b'\n').count();
        let e = ended.fails(6);
        assert!(e.contains("another primary"), "{e}");
        assert!(
            acked <= new,
            "{acked} were acknowledged, but the new one begins at {new}"
        );
        let all = place.run(&["cat", "j", "--raw"], "").succeeds();
        let expected: String = (0..new).map(|n| format!("line {n}\n")).collect();
        assert_eq!(all, expected + "new\n");
    }
}

#[test]
fn format_by_force_fences_the_primary_first() {
    let place = Place::formatted();
    let mut old = place.writer(&["j"]);
    old.send("a\n");
    old.line();
    place.run(&["format", "--force", "j"], "").succeeds();
    old.send("b\n");
    let ended = old.end();
    assert!(
        ended.stdout.is_empty(),
        "nothing was acknowledged afterwards"
    );
    ended.fails(6);
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let place = Place::formatted();
    let mut expected: HashMap<u64, String> = HashMap::new();
    for round in 0..5u64 {
        let mut writer = place.writer(&["j"]);
        writer.send_for_ever();
        let mut acks = writer.lines(50 + 777 * round as usize);
        writer.signal(Signal::SIGKILL);
        let rest = String::from_utf8(writer.end().stdout).unwrap();
        // A line that was cut by the kill has no newline.
        acks.extend(
            rest.split_inclusive('\n')
                .filter_map(|l| Some(l.strip_suffix('\n')?.into())),
        );
        for (n, seq) in acks.iter().enumerate() {
            let taken = expected.insert(seq.parse().unwrap(), format!("line {n}"));
            assert_eq!(taken, None, "a number was given twice");
        }
    }
    let out = place.run(&["cat", "j"], "").succeeds();
    let found: HashMap<u64, String> = out
        .lines()
        .map(|l| l.split_once('\t').unwrap())
        .map(|(seq, text)| (seq.parse().unwrap(), text.to_owned()))
        .collect();
    for (seq, text) in &expected {
        assert_eq!(found.get(seq), Some(text), "entry {seq}");
    }
    assert!(matches!(place.run(&["verify", "j"], "").code, Some(0 | 3)));
}

#[test]
fn a_signal_ends_an_append_cleanly() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let place = Place::formatted();
        let mut writer = place.writer(&["j"]);
        writer.send("a\nb\n");
        writer.lines(2);
        writer.signal(signal);
        std::thread::sleep(Duration::from_millis(50));
        let ended = writer.end();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(code), ""));
        let info = place.run(&["info", "j", "--json"], "").json();
        assert_eq!(
            (&info["closed"], &info["durable"]),
            (&true.into(), &2.into())
        );
    }
}

#[test]
fn a_closed_stdout_ends_quietly() {
    let place = Place::formatted();
    let lines: String = (0..200_000).map(|n| format!("{n}\n")).collect();
    place.run(&["append", "j"], &lines).succeeds();
    for args in [&["cat", "j"][..], &["follow", "j"]] {
        let mut child = place.command(args).spawn().unwrap();
        let mut some = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut some).unwrap();
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(141), "{stderr}");
        assert_eq!(stderr, "");
    }
}

#[test]
fn an_append_whose_acks_nobody_reads_keeps_what_it_accepted() {
    let place = Place::formatted();
    let mut child = place.command(&["append", "j", "--acks"]).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    std::thread::spawn(move || {
        use std::io::Write;
        while stdin.write_all(b"x\n").is_ok() {}
    });
    assert_eq!(child.wait().unwrap().code(), Some(141));
    let info = place.run(&["info", "j", "--json"], "").json();
    assert_eq!(info["closed"], true, "it was closed properly: {info}");
    assert!(info["end"].as_u64().unwrap() > 0);
}

#[test]
fn a_follower_goes_on_through_a_take_over() {
    let place = Place::formatted();
    let mut old = place.writer(&["j"]);
    old.send("a\n");
    old.line();
    let mut follower = Writer::start(place.command(&["follow", "j", "--raw"]));
    assert_eq!(follower.line(), "a");
    place.run(&["append", "j", "--take-over"], "b\n").succeeds();
    assert_eq!(follower.line(), "b");
}
