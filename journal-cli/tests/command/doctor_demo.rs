//! `doctor` and `demo`.

use crate::process::{Place, Writer};
use nix::sys::signal::Signal;
use std::path::Path;
use std::time::Duration;

fn has_scratch(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().any(|e| {
        let name = e.unwrap().file_name();
        name.to_string_lossy().starts_with(".journal-doctor")
    })
}

#[test]
fn doctor_on_a_journal_in_use_leaves_no_trace() {
    let place = Place::formatted();
    let mut writer = place.writer(&["j"]);
    writer.send("a\n");
    writer.line();
    let report = place
        .run(&["doctor", "j", "--time", "200ms"], "")
        .succeeds();
    for text in [
        "store-power",
        "Does a flush reach",
        "bare (",
        "64",
        "verdict: fit",
    ] {
        assert!(report.contains(text), "{text}: {report}");
    }
    assert!(!has_scratch(&place.join("j")));
    writer.send("b\n");
    assert_eq!(writer.line(), "1");
    writer.end().succeeds();
    assert_eq!(place.run(&["cat", "j", "--raw"], "").succeeds(), "a\nb\n");
    place.run(&["verify", "j"], "").succeeds();
}

#[test]
fn doctor_where_no_journal_is_yet() {
    let place = Place::new();
    let out = place.run(&["doctor", "new/journal", "--time", "50ms", "--json"], "");
    let report = out.json();
    assert_eq!(report["fit"], true);
    assert_eq!(report["writers"][2]["writers"], 64);
    assert!(report["bare"]["median_us"].as_f64().unwrap() > 0.0);
    assert!(!place.join("new").exists() && !has_scratch(place.path()));
}

#[test]
fn doctor_on_tmpfs_says_that_a_power_loss_is_not_survived() {
    let place = Place::new();
    let shm = tempfile::tempdir_in("/dev/shm").unwrap();
    let folder = shm.path().to_str().unwrap();
    let out = place.run(&["doctor", folder, "--time", "50ms"], "");
    let text = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.code, Some(1), "{text}");
    assert!(
        text.contains("A power loss is not survived here."),
        "{text}"
    );
    assert!(
        text.contains("verdict: not fit") && text.contains("--require"),
        "{text}"
    );
    assert!(!has_scratch(shm.path()));
    let args = [
        "doctor",
        folder,
        "--time",
        "50ms",
        "--require",
        "writer-crash",
    ];
    let text = place.run(&args, "").succeeds();
    assert!(
        text.contains("A power loss is not survived here."),
        "{text}"
    );
}

#[test]
fn doctor_that_is_interrupted_cleans_up() {
    let place = Place::formatted();
    let doctor = Writer::start(place.command(&["doctor", "j", "--time", "20s"]));
    let began = std::time::Instant::now();
    while !has_scratch(&place.join("j")) {
        assert!(began.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    doctor.signal(Signal::SIGINT);
    let ended = doctor.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(130), ""));
    assert!(!has_scratch(&place.join("j")));
}

#[test]
fn the_demo_runs_twice_and_all_checks_hold() {
    let place = Place::new();
    let text = place.run(&["demo"], "").succeeds();
    for chapter in [
        "1. Format",
        "2. Append",
        "3. Reopen",
        "4. Stop",
        "5. Read",
        "fenced",
    ] {
        assert!(text.contains(chapter), "{chapter}: {text}");
    }
    assert!(text.contains("All 9 checks hold"), "{text}");
    place.run(&["verify", "journal-demo"], "").succeeds();
    let again = place.run(&["demo", "--json"], "").json();
    assert_eq!(again["ok"], true, "{again}");
}

#[test]
fn the_demo_runs_in_memory_when_less_is_required() {
    let place = Place::new();
    let shm = tempfile::tempdir_in("/dev/shm").unwrap();
    let folder = shm.path().join("demo");
    let folder = folder.to_str().unwrap();
    let e = place.run(&["demo", folder], "").fails(1);
    assert!(e.contains("--require"), "{e}");
    place
        .run(&["demo", folder, "--require", "writer-crash"], "")
        .succeeds();
}

#[test]
fn the_demo_erases_no_other_journal() {
    let place = Place::formatted();
    place.run(&["append", "j"], "precious\n").succeeds();
    let e = place.run(&["demo", "j"], "").fails(1);
    assert!(e.contains("left alone"), "{e}");
    assert_eq!(
        place.run(&["cat", "j", "--raw"], "").succeeds(),
        "precious\n"
    );
    // A configured journal is not where a demo goes.
    std::fs::write(place.join("journal.toml"), "[journal]\nfolder = 'j'\n").unwrap();
    place.run(&["demo"], "").succeeds();
    assert_eq!(
        place.run(&["cat", "j", "--raw"], "").succeeds(),
        "precious\n"
    );
}

#[test]
fn an_interrupted_demo_leaves_no_process() {
    let place = Place::new();
    let demo = Writer::start(place.command(&["demo"]));
    std::thread::sleep(Duration::from_millis(600));
    demo.signal(Signal::SIGINT);
    let ended = demo.end();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    let began = std::time::Instant::now();
    loop {
        let left = std::fs::read_dir("/proc").unwrap().flatten().any(|p| {
            let of = |file| std::fs::read_link(p.path().join(file)).ok();
            of("cwd").is_some_and(|c| c == place.path()) && of("exe").is_some()
        });
        if !left {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "a writer is left");
        std::thread::sleep(Duration::from_millis(20));
    }
}
