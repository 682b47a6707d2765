//! `journal verify`: each kind of fault has its exit code; what does no harm has none, unless
//! it is to be strict.

use crate::process::{Place, flip, logs};
use std::path::{Path, PathBuf};

/// A journal of two epochs, each with one segment of its own.
struct Two {
    place: Place,
    /// The entry of the first segment stands here.
    frame: usize,
}

impl Two {
    fn new() -> Two {
        let place = Place::new();
        for name in ["j", "other"] {
            place.run(&["format", name], "").succeeds();
            place.run(&["append", name], "first\n").succeeds();
            place.run(&["append", name], "second\n").succeeds();
        }
        let bytes = std::fs::read(&logs(&place.join("j"))[0]).unwrap();
        let entry = bytes.windows(5).position(|w| w == b"first").unwrap();
        // The entry's length and the frame's header stand before it.
        let frame = entry - 65;
        Two { place, frame }
    }

    fn log(&self, n: usize) -> PathBuf {
        logs(&self.place.join("j"))[n].clone()
    }

    /// The exit code, and the kinds that are printed.
    #[track_caller]
    fn verify(&self, flags: &[&str]) -> (i32, Vec<String>) {
        let args: Vec<_> = ["verify", "j", "--json"]
            .iter()
            .chain(flags)
            .copied()
            .collect();
        let out = self.place.run(&args, "");
        let findings = out.json()["findings"].clone();
        let kinds = findings.as_array().unwrap().iter();
        let kinds = kinds.map(|f| f["kind"].as_str().unwrap().to_owned());
        (out.code.unwrap(), kinds.collect())
    }

    /// Both the whole and the fast look end so.
    #[track_caller]
    fn both(&self, code: i32, kind: &str) {
        for flags in [&[][..], &["--fast"]] {
            let (found, kinds) = self.verify(flags);
            assert_eq!(found, code, "{flags:?}: {kinds:?}");
            assert!(kinds.iter().any(|k| k == kind), "{flags:?}: {kinds:?}");
        }
    }
}

fn overwrite(path: &Path, at: usize, with: &[u8]) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at..at + with.len()].copy_from_slice(with);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn verify_has_an_exit_code_for_each_kind() {
    let two = Two::new();
    assert_eq!(two.verify(&[]), (0, vec![]));
    assert_eq!(two.verify(&["--fast", "--strict"]), (0, vec![]));
    let (first, second) = (two.log(0), two.log(1));
    let whole = std::fs::read(&first).unwrap();

    std::fs::copy(&second, &first).unwrap();
    two.both(12, "wrong-name");
    std::fs::copy(&logs(&two.place.join("other"))[0], &first).unwrap();
    two.both(10, "foreign");
    std::fs::remove_file(&first).unwrap();
    two.both(8, "gap");
    two.place.run(&["cat", "j"], "").fails(5);

    // In the frames of a closed segment: not to be seen by the fast look.
    std::fs::write(&first, &whole).unwrap();
    let strange = std::fs::read(&second).unwrap();
    overwrite(&first, two.frame, &strange[two.frame..two.frame + 64]);
    assert_eq!(two.verify(&[]), (11, vec!["stale".into()]));
    assert_eq!(two.verify(&["--fast"]), (0, vec![]));
    std::fs::write(&first, &whole).unwrap();
    flip(&first, two.frame + 66);
    assert_eq!(two.verify(&[]), (5, vec!["damaged".into()]));
    assert_eq!(two.verify(&["--fast"]), (0, vec![]));

    // The worst of several.
    let epoch = two.place.join("j/epoch/00000000000000000001");
    std::fs::copy(two.place.join("j/epoch/00000000000000000002"), epoch).unwrap();
    let (code, mut kinds) = two.verify(&[]);
    kinds.sort();
    assert_eq!(
        (code, kinds),
        (5, vec!["damaged".into(), "wrong-name".into()])
    );
    assert_eq!(two.verify(&["--fast"]).0, 12);
}

#[test]
fn what_does_no_harm_is_a_fault_only_when_strict() {
    let two = Two::new();
    std::fs::write(two.place.join("j/notes"), "a stray").unwrap();
    two.both(0, "wrong-name");
    assert_eq!(two.verify(&["--strict"]).0, 12);
    let other = "start/00000000000000000002";
    let from = two.place.join("other").join(other);
    let name = "start/00000000000000000009";
    std::fs::copy(from, two.place.join("j").join(name)).unwrap();
    two.both(0, "foreign");
    assert_eq!(two.verify(&["--strict", "--fast"]).0, 10);
    let text = two.place.run(&["verify", "j"], "").succeeds();
    assert!(text.contains("clean       foreign     start/"), "{text}");
    assert!(text.contains("verdict: clean"), "{text}");
    let text = two.place.run(&["verify", "j", "--fast"], "").succeeds();
    assert!(text.contains("names and marks of 2 segments"), "{text}");
}

#[test]
fn the_help_has_the_exit_codes_of_the_manual() {
    let help = Place::new().run(&["--help"], "").succeeds();
    let (_, help) = help.split_once("Exit codes:").unwrap();
    let digits = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    let first = |line: &str| line.split_whitespace().next().unwrap_or("").to_owned();
    let in_help: Vec<_> = help.lines().map(first).filter(|w| digits(w)).collect();
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/command.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let (_, manual) = manual.split_once("## Exit codes").unwrap();
    let manual = manual.split("\n## ").next().unwrap();
    let code = |line: &str| {
        line.split(['|', ','])
            .nth(1)
            .unwrap_or("")
            .trim()
            .to_owned()
    };
    let in_manual: Vec<_> = manual.lines().map(code).filter(|w| digits(w)).collect();
    assert!(in_help.len() > 14, "{in_help:?}");
    assert_eq!(in_help, in_manual);
}
