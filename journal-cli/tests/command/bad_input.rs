//! Bad input of every kind: what happened, where, and what to do next.

use crate::process::Place;

#[test]
fn an_unknown_scheme_lists_the_known_ones() {
    let place = Place::new();
    let e = place.run(&["format", "gopher://x/y"], "").fails(1);
    assert!(e.contains("gopher") && e.contains("knows: "), "{e}");
    let compiled = [
        ("file", cfg!(feature = "local")),
        ("nfs", cfg!(feature = "nfs")),
        ("hdfs", cfg!(feature = "hdfs")),
        ("s3", cfg!(feature = "object")),
        ("gs", cfg!(feature = "object")),
        ("azblob", cfg!(feature = "object")),
        ("memory", true),
    ];
    let known = e.split("knows: ").nth(1).unwrap().trim();
    for (scheme, there) in compiled {
        assert_eq!(known.split(", ").any(|s| s == scheme), there, "{e}");
    }
}

#[test]
fn a_place_without_a_journal_names_the_command() {
    let place = Place::new();
    std::fs::create_dir(place.join("empty")).unwrap();
    for folder in ["empty", "missing"] {
        for command in ["append", "cat", "follow", "info", "verify"] {
            let e = place.run(&[command, folder], "x\n").fails(1);
            assert!(
                e.contains(&format!("journal format {folder}")),
                "{command}: {e}"
            );
        }
    }
    assert!(
        !place.join("missing").exists(),
        "nothing was made by reading"
    );
}

#[test]
fn a_journal_is_not_formatted_over_without_force() {
    let place = Place::formatted();
    place.run(&["append", "j"], "precious\n").succeeds();
    let e = place.run(&["format", "j"], "").fails(1);
    assert!(e.contains("--force"), "{e}");
    assert_eq!(
        place.run(&["cat", "j", "--raw"], "").succeeds(),
        "precious\n"
    );
    let out = place.run(&["format", "j", "--force"], "").succeeds();
    assert!(out.contains("erased"), "{out}");
    assert_eq!(place.run(&["cat", "j"], "").succeeds(), "");
    // Numbers of epochs are never used twice.
    place.run(&["append", "j"], "new\n").succeeds();
    let info = place.run(&["info", "j", "--json"], "").json();
    assert!(info["epoch"].as_u64().unwrap() > 2, "{info}");
}

#[test]
fn another_folder_is_not_formatted_over() {
    let place = Place::new();
    std::fs::create_dir(place.join("docs")).unwrap();
    std::fs::write(place.join("docs/thesis"), "years of work").unwrap();
    let e = place.run(&["format", "docs"], "").fails(1);
    assert!(e.contains("thesis"), "{e}");
    let e = place.run(&["demo", "docs"], "").fails(1);
    assert!(e.contains("thesis"), "{e}");
    assert_eq!(
        std::fs::read(place.join("docs/thesis")).unwrap(),
        b"years of work"
    );
}

#[test]
fn a_half_formatted_place_says_so() {
    let place = Place::formatted();
    place.run(&["append", "j"], "x\n").succeeds();
    std::fs::remove_file(place.join("j/FORMAT")).unwrap();
    for command in ["append", "info", "format"] {
        let e = place.run(&[command, "j"], "").fails(1);
        assert!(
            e.contains("no FORMAT") && e.contains("format --force j"),
            "{e}"
        );
    }
    place.run(&["format", "--force", "j"], "").succeeds();
    place.run(&["append", "j"], "x\n").succeeds();
}

#[test]
fn a_newer_format_is_not_called_corrupt() {
    let place = Place::formatted();
    let path = place.join("j/FORMAT");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[12..16].copy_from_slice(&2u32.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let out = place.run(&["append", "j", "--json"], "x\n");
    assert_eq!(out.code, Some(1));
    let e: serde_json::Value = serde_json::from_str(&out.stderr).unwrap();
    assert_eq!(e["error"]["kind"], "newer-format");
    let e = place.run(&["cat", "j"], "").fails(1);
    assert!(e.contains('2') && e.contains("newer"), "{e}");
    // Without its checksum it is corrupt.
    bytes[12] = 3;
    std::fs::write(&path, &bytes).unwrap();
    assert_ne!(place.run(&["info", "j"], "").code, Some(0));
}

#[test]
fn an_entry_over_the_limit_ends_the_append_but_loses_nothing() {
    let place = Place::formatted();
    let args = ["append", "j", "--max-entry", "10", "--acks"];
    let out = place.run(&args, "0123456789\nshort\n0123456789+\nnever\n");
    assert_eq!(String::from_utf8_lossy(&out.stdout), "0\n1\n");
    let e = out.fails(1);
    assert!(
        e.contains("entry 2 of stdin") && e.contains("--max-entry"),
        "{e}"
    );
    assert!(e.contains("note: 2 entries acknowledged"), "{e}");
    assert_eq!(
        place.run(&["cat", "j", "--raw"], "").succeeds(),
        "0123456789\nshort\n"
    );
    let endless = vec![b'x'; 2 << 20];
    let e = place.run(&["append", "j"], endless).fails(1);
    assert!(e.contains("1048576"), "{e}");
}

#[test]
fn delimited_input_that_is_cut_short_or_none_at_all() {
    let place = Place::formatted();
    let e = place
        .run(&["append", "j", "--delimited"], b"\x01a\x05b")
        .fails(1);
    assert!(e.contains("ends inside entry 1"), "{e}");
    let e = place
        .run(&["append", "j", "--delimited"], [0xff; 16])
        .fails(1);
    assert!(e.contains("no varint"), "{e}");
    assert_eq!(place.run(&["cat", "j", "--raw"], "").succeeds(), "a\n");
}

#[test]
fn a_range_that_is_not_there() {
    let place = Place::formatted();
    place.run(&["append", "j"], "a\n").succeeds();
    let e = place.run(&["cat", "j", "--from", "7"], "").fails(1);
    assert!(e.contains("ends at 1"), "{e}");
    let e = place
        .run(&["cat", "j", "--from", "1", "--to", "0"], "")
        .fails(2);
    assert!(e.contains("--to"), "{e}");
}

#[test]
fn a_path_that_is_no_folder_or_can_not_be_written() {
    let place = Place::new();
    std::fs::write(place.join("file"), "x").unwrap();
    for command in ["format", "append", "info", "doctor"] {
        let e = place.run(&[command, "file"], "").fails(1);
        assert!(e.contains("file"), "{command}: {e}");
    }
    // Even root can't make files there.
    for command in ["format", "doctor"] {
        let e = place.run(&[command, "/proc/sys/journal"], "").fails(1);
        assert!(e.contains("/proc/sys"), "{command}: {e}");
    }
}

#[test]
fn a_store_that_promises_too_little_names_the_option() {
    let place = Place::new();
    let shm = tempfile::tempdir_in("/dev/shm").unwrap();
    let folder = shm.path().join("j");
    let folder = folder.to_str().unwrap();
    let e = place.run(&["format", folder], "").fails(1);
    assert!(e.contains("--require") && e.contains("tmpfs"), "{e}");
    let require = ["--require", "writer-crash"];
    let format = [&["format", folder][..], &require].concat();
    place.run(&format, "").succeeds();
    let e = place.run(&["append", folder], "x\n").fails(1);
    assert!(e.contains("JOURNAL_REQUIRE"), "{e}");
    let append = [&["append", folder][..], &require].concat();
    place.run(&append, "x\n").succeeds();
    // Reading requires nothing.
    assert_eq!(place.run(&["cat", folder, "--raw"], "").succeeds(), "x\n");
}

#[test]
fn errors_are_json_when_json_is_asked_for() {
    let place = Place::formatted();
    let error = |args: &[&str]| {
        let out = place.run(args, "");
        assert!(out.stdout.is_empty(), "{out:?}");
        let e: serde_json::Value = serde_json::from_str(&out.stderr).unwrap();
        (out.code.unwrap(), e["error"].clone())
    };
    let (code, e) = error(&["format", "j", "--json"]);
    assert_eq!((code, &e["kind"]), (1, &"already-exists".into()));
    for field in ["outcome", "advice", "text"] {
        assert!(e[field].is_string(), "{e}");
    }
    let (code, e) = error(&["cat", "--json", "--no-such-flag"]);
    assert_eq!((code, &e["kind"]), (2, &"usage".into()));
    let (code, e) = error(&["cat", "--json"]);
    assert_eq!((code, &e["kind"]), (2, &"usage".into()));
}

#[test]
fn credentials_in_a_uri_are_refused_and_not_repeated() {
    let place = Place::new();
    let e = place
        .run(&["info", "s3://key:hunter2@bucket/x"], "")
        .fails(2);
    assert!(e.contains("credentials") && !e.contains("hunter2"), "{e}");
}
