//! The documents cite code; here the code is looked for.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The files below a folder that end so.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_str().unwrap().ends_with(end) {
            found.push(path);
        }
    }
    found
}

/// What stands between backticks.
fn quoted(document: &str) -> impl Iterator<Item = &str> {
    document.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_the_recovery_table_cites_exists() {
    let sources: String = files(&root().join("journal/tests"), ".rs")
        .iter()
        .map(|f| std::fs::read_to_string(f).unwrap())
        .collect();
    let document = text("docs/recovery.md");
    let is_test = |word: &&str| {
        word.matches('_').count() > 2 && word.chars().all(|c| c == '_' || c.is_ascii_lowercase())
    };
    let cited: BTreeSet<_> = quoted(&document).filter(is_test).collect();
    assert!(cited.len() > 40, "only {} tests are cited", cited.len());
    let missing: Vec<_> = cited
        .iter()
        .filter(|name| !sources.contains(&format!("fn {name}(")))
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
    // And the other way round: a row for each test of the table.
    let table =
        text("journal/tests/recovery_table.rs") + &text("journal/tests/recovery_standbys.rs");
    let tests = table.split("#[tokio::test]\nasync fn ").skip(1);
    for name in tests.map(|t| t.split('(').next().unwrap()) {
        assert!(cited.contains(name), "{name} has no row");
    }
}

/// All code below a folder of the repository.
fn sources(folder: &str) -> String {
    let all = files(&root().join(folder), ".rs");
    all.iter()
        .map(|f| std::fs::read_to_string(f).unwrap())
        .collect()
}

/// The backends, as the contract's page heads their sections.
const BACKENDS: [&str; 5] = [
    "journal-api",
    "backend-local",
    "backend-nfs",
    "backend-hdfs",
    "backend-object",
];

#[test]
fn every_test_that_the_durability_contract_cites_exists() {
    let document = text("docs/durability-contract.md");
    let above = sources("journal") + &sources("store-tests");
    let is_test = |word: &&str| {
        let letters = |c: char| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit();
        word.matches('_').count() > 2 && word.chars().all(letters)
    };
    let mut cited = 0;
    for section in document.split("\n## ") {
        let title = section.lines().next().unwrap();
        let own = BACKENDS.iter().find(|b| title.contains(*b));
        let own = own.map_or(String::new(), |backend| sources(backend));
        // A mount's file calls are those of the local backend.
        let own = match title.contains("nfs:///") {
            true => own + &sources("backend-local"),
            false => own,
        };
        for name in quoted(section).filter(is_test) {
            let function = format!("fn {name}(");
            let there = own.contains(&function) || above.contains(&function);
            assert!(there, "no test {name} of {title:?}");
            cited += 1;
        }
    }
    assert!(cited > 100, "only {cited} tests are cited");
}

#[test]
fn every_clause_is_worded_as_in_the_code() {
    let document = text("docs/durability-contract.md");
    let code = text("journal-api/src/contract.rs");
    let rows = code.lines().filter_map(|l| l.strip_prefix("//! | FC-"));
    let rows: Vec<_> = rows.map(|row| row.trim_end_matches(" |")).collect();
    assert_eq!(rows.len(), 13);
    for row in rows {
        assert!(document.contains(&format!("| FC-{row} | ")), "FC-{row}");
    }
}

#[test]
fn every_module_is_in_the_code_map() {
    let map = text("docs/architecture.md");
    for krate in [
        "journal",
        "journal-api",
        "backend-local",
        "backend-nfs",
        "backend-hdfs",
        "backend-object",
    ] {
        let (_, section) = map.split_once(&format!("### `{krate}`")).unwrap();
        let section = section.split("\n### ").next().unwrap();
        let known: BTreeSet<_> = quoted(section).collect();
        let sources = root().join(krate).join("src");
        for file in files(&sources, ".rs") {
            let name = file.strip_prefix(&sources).unwrap().with_extension("");
            let name = name.to_str().unwrap();
            let private = name == "lib" || name.ends_with("/tests");
            // A folder that is in the map as a whole covers what is in it.
            let mut path = Path::new(name).ancestors();
            let found = path.any(|p| known.contains(p.to_str().unwrap()));
            assert!(private || found, "{krate}: {name} is not in the map");
        }
    }
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let mut documents = files(&root().join("docs"), ".md");
    for name in ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"] {
        documents.push(root().join(name));
    }
    for folder in std::fs::read_dir(root()).unwrap() {
        let readme = folder.unwrap().path().join("README.md");
        if readme.exists() {
            documents.push(readme);
        }
    }
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .map(|l| l.split(')').next().unwrap())
        {
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            let place = format!("{}: {link}", document.display());
            assert!(target.exists(), "{place}");
            if !anchor.is_empty() {
                let target = std::fs::read_to_string(target).unwrap();
                let anchors: Vec<_> = target.lines().filter(|l| l.starts_with('#')).collect();
                let found = anchors.iter().any(|l| {
                    let title = l.trim_start_matches('#').trim().to_lowercase();
                    title.replace(' ', "-") == anchor
                });
                assert!(found, "{place}");
            }
        }
    }
}
