//! `journal backup`, `restore`, `copy` and `repair`, as an operator runs them.

use crate::process::{Place, Ran, flip, logs};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::PathBuf;
use std::process::Command;

fn lines(range: std::ops::Range<u64>) -> String {
    range.map(|n| format!("line {n}\n")).collect()
}

/// A journal `j` with 57 entries.
fn filled() -> Place {
    let place = Place::formatted();
    place.run(&["append", "j"], lines(0..57)).succeeds();
    place
}

/// Takes a backup and says its path.
#[track_caller]
fn backup(place: &Place, more: &[&str]) -> String {
    let args = [&["backup", "j", "--json"], more].concat();
    let ran = place.run(&args, "");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.json()["uri"].as_str().unwrap().to_owned()
}

fn cat(place: &Place, journal: &str) -> String {
    place.run(&["cat", journal, "--raw"], "").succeeds()
}

#[test]
fn a_backup_restores_and_says_the_true_number() {
    let place = filled();
    let out = place.run(&["backup", "j"], "").succeeds();
    assert!(out.starts_with("Backed up 57 entries to "), "{out}");
    assert!(out.contains("journal_backups/journal-backup-20"), "{out}");
    assert!(out.contains("verified"), "{out}");
    let file = backup(&place, &[]);
    let dry = place.run(
        &["restore", &file, "--to", "k", "--format", "--dry-run"],
        "",
    );
    assert!(
        dry.succeeds()
            .starts_with("Would restore 57 entries from backup")
    );
    assert!(!place.join("k").exists());
    let out = place
        .run(&["restore", &file, "--to", "k", "--format"], "")
        .succeeds();
    assert!(
        out.starts_with("Restored 57 entries from backup\nposition 57; "),
        "{out}"
    );
    assert_eq!(cat(&place, "k"), cat(&place, "j"));
    place.run(&["verify", "k"], "").succeeds();
    let error = place.run(&["restore", &file, "--to", "k"], "").fails(1);
    assert!(error.contains("holds a journal with entries"), "{error}");
    let zcat = Command::new("zcat")
        .arg(place.join(&file))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&zcat.stdout).into_owned();
    assert!(zcat.status.success() && text.contains("line 56"), "{text}");
}

#[test]
fn a_backup_of_a_journal_in_use_and_of_an_earlier_point() {
    let place = filled();
    let mut writer = place.writer(&["j"]);
    writer.send(&lines(57..60));
    writer.lines(3);
    let file = backup(&place, &[]);
    let out = place.run(&["cat", &file, "--from", "58"], "").succeeds();
    assert_eq!(out, "58\tline 58\n59\tline 59\n");
    let file = backup(&place, &["--at", "10"]);
    assert_eq!(
        place.run(&["cat", &file], "").succeeds().lines().count(),
        10
    );
    writer.end().succeeds();
    let error = place.run(&["backup", "j", "--at", "61"], "").fails(1);
    assert!(error.contains("ends at 60"), "{error}");
    let error = place.run(&["backup", "j", "--at", "soon"], "").fails(2);
    assert!(error.contains("2026-01-31T12:00:00Z"), "{error}");
    let error = place.run(&["backup", "j", "--to", "j/b"], "").fails(1);
    assert!(error.contains("beside it"), "{error}");
}

#[test]
fn the_configuration_says_where_backups_go_and_how_many_are_kept() {
    let place = filled();
    let folder = place.join("elsewhere");
    let text = format!(
        "[journal]\nfolder='j'\n[backup]\ndirectory='{}'\nprefix='mine'\nkeep=2\nverify=false",
        folder.display()
    );
    std::fs::write(place.join("journal.toml"), text).unwrap();
    for n in 1..=4 {
        let ran = place.run(&["backup", "--json"], "");
        assert_eq!(ran.json()["verified"], false, "{}", ran.stderr);
        let files: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|f| f.unwrap())
            .collect();
        let names = files.iter().map(|f| f.file_name().into_string().unwrap());
        let backups = names.filter(|n| n.starts_with("mine-20")).count();
        assert_eq!(backups, n.min(2));
    }
    let error = place.run(&["backup", "--backup-keep", "0"], "").fails(2);
    assert!(error.contains("backup.keep"), "{error}");
    let error = place
        .run(&["backup", "--backup-schedule", "soon"], "")
        .fails(2);
    assert!(error.contains("02:30"), "{error}");
}

#[test]
fn a_damaged_backup_is_refused_with_its_place() {
    let place = filled();
    let file = backup(&place, &[]);
    place.run(&["format", "k"], "").succeeds();
    flip(&place.join(&file), 300);
    let error = place.run(&["restore", &file, "--to", "k"], "").fails(5);
    assert!(error.contains(&file) && error.contains("offset"), "{error}");
    assert_eq!(cat(&place, "k"), "");
    // And verify tells it of the journal.
    let ran = place.run(&["verify", "j", "--json"], "");
    assert_eq!(ran.code, Some(13), "{}", ran.stderr);
    assert_eq!(ran.json()["findings"][0]["kind"], "backup");
    let ran = place.run(&["cat", &file], "");
    let named = format!("error: {file}: the part at offset");
    assert!(
        ran.code == Some(5) && ran.stderr.contains(&named),
        "{}",
        ran.stderr
    );
}

#[test]
fn cat_prints_a_segment_by_its_uri() {
    let place = filled();
    let log = logs(&place.join("j"))[0].clone();
    let out = place.run(&["cat", log.to_str().unwrap(), "--to", "2"], "");
    assert!(out.stderr.contains("note: segment 1-0"), "{}", out.stderr);
    assert_eq!(out.succeeds(), "0\tline 0\n1\tline 1\n");
    let error = place.run(&["cat", "journal_backups/none.gz"], "").fails(1);
    assert!(
        error.contains("none.gz") || error.contains("journal_backups"),
        "{error}"
    );
}

#[test]
fn a_killed_backup_leaves_no_file_and_a_killed_restore_an_empty_journal() {
    let place = Place::formatted();
    place.run(&["append", "j"], lines(0..200_000)).succeeds();
    let file = backup(&place, &[]);
    let whole = cat(&place, "j");
    for ms in [5, 20, 40, 60, 80, 100, 150] {
        let wait = || std::thread::sleep(std::time::Duration::from_millis(ms));
        let mut child = place
            .command(&["backup", "j", "--to", "b"])
            .spawn()
            .unwrap();
        wait();
        kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        for found in gz_files(&place.join("b")) {
            let found = found.to_str().unwrap().to_owned();
            place
                .run(
                    &["restore", &found, "--to", "x", "--format", "--dry-run"],
                    "",
                )
                .succeeds();
        }
        let args = ["restore", &file, "--to", "k", "--format", "--force"];
        let mut child = place.command(&args).spawn().unwrap();
        wait();
        kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        let ran: Ran = place.run(&["cat", "k", "--raw"], "");
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(text.is_empty() || text == whole, "{} bytes", text.len());
    }
    place
        .run(&["restore", &file, "--to", "k", "--format", "--force"], "")
        .succeeds();
    assert_eq!(cat(&place, "k"), whole);
}

fn gz_files(folder: &std::path::Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|e| e.unwrap().path());
    paths
        .filter(|p| p.extension().is_some_and(|e| e == "gz"))
        .collect()
}

#[test]
fn copy_gives_the_same_journal_elsewhere() {
    let place = filled();
    let out = place.run(&["copy", "j", "k", "--format"], "").succeeds();
    assert!(out.starts_with("Copied 57 entries (0 to 57)"), "{out}");
    assert_eq!(cat(&place, "k"), cat(&place, "j"));
    let error = place.run(&["copy", "j", "k"], "").fails(1);
    assert!(error.contains("holds a journal with entries"), "{error}");
    place
        .run(&["copy", "j", "m", "--from", "50", "--format"], "")
        .succeeds();
    let out = place.run(&["cat", "m"], "").succeeds();
    assert!(out.starts_with("50\tline 50\n"), "{out}");
    let error = place.run(&["copy", "j", "j", "--format"], "").code;
    assert_ne!(error, Some(0));
}

#[test]
fn repair_looks_first_and_writes_when_the_loss_is_accepted() {
    let place = Place::formatted();
    for n in 0..4 {
        place
            .run(&["append", "j"], lines(n * 10..n * 10 + 10))
            .succeeds();
    }
    let log = logs(&place.join("j"))[1].clone();
    let bytes = std::fs::read(&log).unwrap();
    let at = bytes.windows(7).position(|w| w == b"line 12").unwrap();
    flip(&log, at);
    assert_eq!(place.run(&["verify", "j"], "").code, Some(5));
    let before = std::fs::read(&log).unwrap();
    let ran = place.run(&["repair", "j", "--to", "k"], "");
    assert_eq!(ran.code, Some(5), "{}", ran.stderr);
    let out = String::from_utf8(ran.stdout).unwrap();
    let lost = out
        .lines()
        .find(|l| l.starts_with("lost: entries "))
        .unwrap();
    let n: u64 = out
        .rsplit("--accept-loss ")
        .next()
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!((1..=10).contains(&n) && lost.contains("("), "{out}");
    assert!(!place.join("k").exists(), "it wrote");
    let wrong = (n + 1).to_string();
    let error = place
        .run(&["repair", "j", "--to", "k", "--accept-loss", &wrong], "")
        .fails(1);
    assert!(error.contains(&format!("{n} entries")), "{error}");
    let right = n.to_string();
    let out = place
        .run(&["repair", "j", "--to", "k", "--accept-loss", &right], "")
        .succeeds();
    assert!(out.contains("was not touched"), "{out}");
    assert_eq!(std::fs::read(&log).unwrap(), before);
    place.run(&["verify", "k"], "").succeeds();
    let saved = place.run(&["cat", "k"], "").succeeds();
    assert_eq!(saved.lines().count() as u64, 40 - n, "{saved}");
    for line in saved.lines() {
        let (seq, text) = line.split_once('\t').unwrap();
        assert_eq!(text, format!("line {seq}"));
    }
    // The new journal serves and is backed up, gaps and all.
    let acks = place.run(&["append", "k", "--acks"], "more\n").succeeds();
    assert_eq!(acks, "40\n");
    place.run(&["backup", "k", "--to", "b"], "").succeeds();
    let file = gz_files(&place.join("b"))[0].to_str().unwrap().to_owned();
    place
        .run(&["restore", &file, "--to", "m", "--format"], "")
        .succeeds();
    assert_eq!(cat(&place, "m"), cat(&place, "k"));
}

#[test]
fn a_primary_imports_into_an_empty_journal_once() {
    let place = filled();
    let file = backup(&place, &[]);
    place.run(&["format", "k"], "").succeeds();
    for n in 57..60 {
        let args = ["append", "k", "--acks", "--import", &file];
        let acks = place.run(&args, format!("line {n}\n")).succeeds();
        assert_eq!(acks, format!("{n}\n"));
    }
    assert_eq!(cat(&place, "k"), lines(0..60));
}
