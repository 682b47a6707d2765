//! The rules.

use super::source::Source;

/// Lines of a file, and who may have more.
const FILE_LINES: usize = 500;
const LONG_FILES: [(&str, usize); 2] = [
    // One test after the other, each of a clause of the contract.
    ("backend-local/tests/clauses.rs", 700),
    ("backend-local/tests/crash.rs", 550),
];

/// Lines of a function, and who may have more.
const FUNCTION_LINES: usize = 70;
const LONG_FUNCTIONS: [(&str, &str, usize); 1] = [
    // One value, field by field.
    ("journal/src/info.rs", "try_info", 75),
];

/// The one module that makes bytes durable.
const SYNCS: &str = "backend-local/src/disk/real.rs";

/// What makes bytes durable, and what opens files.
const SYNC_CALLS: [&str; 7] = [
    "fsync(",
    "fdatasync(",
    "syncfs(",
    "sync_file_range(",
    "OFlag::O_SYNC",
    "OFlag::O_DSYNC",
    "unistd::sync",
];

/// What the engine and the API may not know.
const FILES: [&str; 5] = ["std::fs", "tokio::fs", "std::os::fd", "nix::", "libc::"];

/// Words of other systems for our things, in names.
const WORDS: [(&str, &str); 5] = [
    ("snapshot", "checkpoint"),
    ("ledger", "segment"),
    ("lsn", "seq"),
    ("zxid", "seq"),
    ("slave", "standby"),
];

/// The clauses of the flush contract.
const CLAUSES: std::ops::RangeInclusive<usize> = 1..=13;

/// Rules of a file by itself.
pub fn of_a_file(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(file_length(source));
    found.extend(function_lengths(source));
    found.extend(unfinished(source));
    found.extend(panics(source));
    found.extend(syncs(source));
    found.extend(layers(source));
    found.extend(words(source));
    found.extend(missing_docs(source));
    found
}

/// Rules of all files together.
pub fn of_all(sources: &[Source]) -> Vec<String> {
    let tests: Vec<&str> = sources
        .iter()
        .filter(|s| !s.path.starts_with("xtask/"))
        .flat_map(|s| s.functions().filter(|f| s.lines[f.first].test))
        .map(|f| f.name)
        .collect();
    CLAUSES
        .filter(|n| !tests.iter().any(|name| cites(name, *n)))
        .map(|n| format!("FC-{n} is cited by no test: name one fc_{n}_…"))
        .collect()
}

/// Whether the name of a test cites clause `n`.
fn cites(name: &str, n: usize) -> bool {
    let wanted = format!("fc_{n}");
    name.match_indices(&wanted)
        .any(|(at, _)| !name[at + wanted.len()..].starts_with(|c: char| c.is_ascii_digit()))
}

fn file_length(source: &Source) -> Option<String> {
    let most = LONG_FILES
        .iter()
        .find(|(path, _)| *path == source.path)
        .map_or(FILE_LINES, |(_, most)| *most);
    let len = source.lines.len();
    (len > most).then(|| format!("{}: {len} lines, over {most}: split it", source.path))
}

fn function_lengths(source: &Source) -> Vec<String> {
    let most = |name: &str| {
        LONG_FUNCTIONS
            .iter()
            .find(|(path, long, _)| *path == source.path && *long == name)
            .map_or(FUNCTION_LINES, |(_, _, most)| *most)
    };
    source
        .functions()
        .filter(|f| f.len > most(f.name))
        .map(|f| {
            let (at, name, len) = (source.at(f.first), f.name, f.len);
            format!(
                "{at}: {name} has {len} lines, over {}: split it",
                most(name)
            )
        })
        .collect()
}

/// Lines of code that contain one of these.
fn lines_with<'a>(
    source: &'a Source,
    words: &'a [&str],
    tests: bool,
) -> impl Iterator<Item = (String, &'a str)> {
    let lines = source.lines.iter().enumerate();
    lines
        .filter(move |(_, l)| tests || !l.test)
        .filter_map(|(at, line)| {
            let word = words.iter().find(|w| line.code.contains(**w))?;
            Some((source.at(at), *word))
        })
}

fn unfinished(source: &Source) -> Vec<String> {
    let words = ["todo!(", "unimplemented!(", "#[ignore"];
    lines_with(source, &words, true)
        .map(|(at, word)| format!("{at}: {word}: finish it or take it out"))
        .collect()
}

fn panics(source: &Source) -> Vec<String> {
    lines_with(source, &[".unwrap()", ".expect("], false)
        .map(|(at, word)| format!("{at}: {word} outside tests: return an error"))
        .collect()
}

fn syncs(source: &Source) -> Vec<String> {
    let ours = ["backend-local/", "journal", "bench/src"];
    if source.path == SYNCS || !ours.iter().any(|o| source.path.starts_with(o)) {
        return Vec::new();
    }
    lines_with(source, &SYNC_CALLS, false)
        .map(|(at, word)| format!("{at}: {word}: only {SYNCS} makes bytes durable"))
        .collect()
}

/// The engine and the API know nothing of files; of the local backend, only `disk` does.
fn layers(source: &Source) -> Vec<String> {
    let path = source.path.as_str();
    let none = path.starts_with("journal/src/") || path.starts_with("journal-api/src/");
    let disk =
        path.starts_with("backend-local/src/") && !path.starts_with("backend-local/src/disk/");
    if !none && !disk {
        return Vec::new();
    }
    let errors = |line: &str| line.contains("nix::errno") || line.contains("libc::E");
    lines_with(source, &FILES, false)
        .filter(|(at, _)| !errors(&line_at(source, at).code))
        .map(|(at, word)| format!("{at}: {word}: files are reached through the trait below only"))
        .collect()
}

fn line_at<'a>(source: &'a Source, at: &str) -> &'a super::source::Line {
    let number = at.rsplit(':').next().and_then(|n| n.parse::<usize>().ok());
    &source.lines[number.unwrap_or(1) - 1]
}

fn words(source: &Source) -> Vec<String> {
    if ["bench/peers/", "xtask/"]
        .iter()
        .any(|p| source.path.starts_with(p))
    {
        return Vec::new(); // the words of others, and these
    }
    let mut found = Vec::new();
    for (at, line) in source.lines.iter().enumerate() {
        let code = line.code.to_lowercase();
        let mut names = code.split(|c: char| !c.is_alphanumeric());
        if let Some((word, ours)) = names.find_map(|name| WORDS.iter().find(|(w, _)| *w == name)) {
            found.push(format!(
                "{}: {word}: here it is called {ours}",
                source.at(at)
            ));
        }
    }
    found
}

fn missing_docs(source: &Source) -> Option<String> {
    let library = source.path.ends_with("/src/lib.rs");
    let has = |l: &super::source::Line| {
        l.code.starts_with("#![warn(missing_docs") || l.code.starts_with("#![deny(missing_docs")
    };
    (library && !source.lines.iter().any(has))
        .then(|| format!("{}: a library without #![warn(missing_docs)]", source.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        of_a_file(&Source::new(path, text)).len()
    }

    #[test]
    fn what_is_forbidden_is_found() {
        assert_eq!(found("a/src/x.rs", "fn a() {\n    b.unwrap();\n}\n"), 1);
        assert_eq!(found("a/tests/x.rs", "fn a() {\n    b.unwrap();\n}\n"), 0);
        assert_eq!(found("a/tests/x.rs", "#[ignore]\nfn a() {}\n"), 1);
        assert_eq!(found("a/src/x.rs", "// b.unwrap()\n"), 0);
        assert_eq!(found("a/src/x.rs", &"\n".repeat(501)), 1);
        assert_eq!(
            found(
                "a/src/x.rs",
                &format!("fn a() {{\n{}}}\n", "    b;\n".repeat(70))
            ),
            1
        );
        assert_eq!(found("a/src/lib.rs", "pub mod a;\n"), 1);
        assert_eq!(
            found("a/src/x.rs", "struct Snapshot;\nlet max_lsn = 1;\n"),
            2
        );
    }

    #[test]
    fn bytes_become_durable_in_one_module() {
        let call = "fn a() {\n    fsync(&fd);\n}\n";
        assert_eq!(found("backend-local/src/log.rs", call), 1);
        assert_eq!(found(SYNCS, call), 0);
    }

    #[test]
    fn the_engine_knows_no_files() {
        let call = "use std::fs::File;\n";
        assert_eq!(found("journal/src/a.rs", call), 1);
        assert_eq!(found("backend-local/src/log.rs", call), 1);
        assert_eq!(found("backend-local/src/disk/a.rs", call), 0);
        assert_eq!(
            found("backend-local/src/fault.rs", "use nix::errno::Errno;\n"),
            0
        );
    }

    #[test]
    fn a_clause_is_cited_by_its_whole_number() {
        assert!(cites("fc_1_a", 1) && cites("fc_1_fc_2_both", 2) && cites("fc_13", 13));
        assert!(!cites("fc_13_a", 1));
    }
}
