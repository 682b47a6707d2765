//! `cargo xtask soak`: the scenarios on every store with large counts, and a
//! table of what they did.

use crate::run::{self, Part, Step};
use crate::servers;
use std::path::{Path, PathBuf};

/// The package of the scenarios.
pub const STORES: &str = "flushproof-store-tests";

/// How often, unless the environment says otherwise; and the macros with which a
/// test file has the scenario.
const COUNTS: [(&str, &str, &[&str]); 3] = [
    ("FLUSHPROOF_ROUNDS", "30", &["processes!(", "server!("]),
    (
        "FLUSHPROOF_ZOMBIE_ROUNDS",
        "20",
        &["processes!(", "server!("],
    ),
    ("FLUSHPROOF_SERVER_KILLS", "20", &["server!("]),
];

/// The scenarios on the stores of these names, on all of them when there are none.
pub fn step(names: &[&str]) -> Step {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let again = format!("cargo xtask soak {}", names.join(" "));
    Step::code("stores", Part::Test, &again, move || soak(&names))
}

fn soak(names: &[String]) -> Result<(), String> {
    let names = chosen(names, &known()?)?;
    names
        .iter()
        .try_for_each(|name| servers::install_if_server(name))?;
    let mut table = Vec::new();
    let mut red = Vec::new();
    for name in &names {
        println!("\n-- {name}");
        let (rows, failed) = one(name)?;
        table.extend(rows.iter().map(|row| line(name, row)));
        for why in &failed {
            table.push(format!("{name:<8} RED: {why}"));
        }
        if !failed.is_empty() {
            red.push(name.as_str());
        }
    }
    println!("\n{}", head());
    for line in &table {
        println!("{line}");
    }
    println!(
        "(a line says that no acknowledged entry was lost and no fenced primary acknowledged)"
    );
    match red.is_empty() {
        true => Ok(()),
        false => Err(format!("red: {}", red.join(", "))),
    }
}

fn tests() -> PathBuf {
    run::root().join("store-tests/tests")
}

/// The stores that have scenarios: the test files of the package.
fn known() -> Result<Vec<String>, String> {
    let folder = tests();
    let failed = |e| format!("{}: {e}", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let rust = path.extension().is_some_and(|e| e == "rs");
        names.extend(stem.filter(|_| rust).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn chosen(names: &[String], known: &[String]) -> Result<Vec<String>, String> {
    if names.is_empty() {
        return Ok(known.to_vec());
    }
    match names.iter().find(|name| !known.contains(name)) {
        None => Ok(names.to_vec()),
        Some(name) => Err(format!(
            "there are no scenarios for {name}; there are for {}",
            known.join(", ")
        )),
    }
}

/// Runs the scenarios of one store: what they noted, and what is red.
fn one(name: &str) -> Result<(Vec<Row>, Vec<String>), String> {
    let file = figures(name)?;
    let test = tests().join(name).with_extension("rs");
    let test = std::fs::read_to_string(&test).map_err(|e| format!("{}: {e}", test.display()))?;
    let mut command = run::cargo();
    command
        .args(["test", "--release", "-p", STORES, "--test", name])
        .args(["--", "--nocapture"])
        .env("FLUSHPROOF_FIGURES", &file);
    let mut asked = Vec::new();
    for (variable, default, macros) in COUNTS {
        let value = std::env::var(variable).unwrap_or_else(|_| default.into());
        command.env(variable, &value);
        if macros.iter().any(|name| test.contains(name)) {
            asked.push((variable, value));
        }
    }
    let mut red: Vec<String> = run::run_tests(command).err().into_iter().collect();
    let noted = std::fs::read_to_string(&file).unwrap_or_default();
    let rows: Vec<Row> = noted.lines().map(Row::read).collect();
    red.extend(missing(&asked, &rows));
    Ok((rows, red))
}

/// An empty place for the figures of one store.
fn figures(name: &str) -> Result<PathBuf, String> {
    let folder = target().join("soak");
    let failed = |at: &Path, e: std::io::Error| format!("{}: {e}", at.display());
    std::fs::create_dir_all(&folder).map_err(|e| failed(&folder, e))?;
    let file = folder.join(format!("{name}.tsv"));
    match std::fs::remove_file(&file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed(&file, e)),
        _ => Ok(file),
    }
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| run::root().join("target"), PathBuf::from)
}

/// What was asked for and is not among the figures.
fn missing(asked: &[(&str, String)], rows: &[Row]) -> Vec<String> {
    let ran = |(variable, value): &&(&str, String)| {
        let found = |row: &Row| row.get("variable") == *variable && row.get("rounds") == value;
        rows.iter().any(found)
    };
    let not = asked.iter().filter(|asked| !ran(asked));
    not.map(|(variable, value)| format!("not done: {variable}={value}"))
        .collect()
}

/// What a scenario noted: `KEY=VALUE` and tabs between.
struct Row(Vec<(String, String)>);

impl Row {
    fn read(line: &str) -> Row {
        let pairs = line.split('\t').filter_map(|pair| pair.split_once('='));
        Row(pairs.map(|(k, v)| (k.into(), v.into())).collect())
    }

    fn get(&self, key: &str) -> &str {
        let found = self.0.iter().find(|(k, _)| k == key);
        found.map_or("", |(_, v)| v)
    }
}

fn head() -> String {
    format!(
        "{:<8} {:<30} {:>6} {:>9}",
        "store", "scenario", "rounds", "acks"
    )
}

fn line(store: &str, row: &Row) -> String {
    let own = ["what", "variable", "rounds", "acks"];
    let more = row.0.iter().filter(|(key, _)| !own.contains(&key.as_str()));
    let more: Vec<_> = more.map(|(key, value)| format!("{key} {value}")).collect();
    format!(
        "{store:<8} {:<30} {:>6} {:>9}  {}",
        row.get("what"),
        row.get("rounds"),
        row.get("acks"),
        more.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTED: &str =
        "what=kill -9 of a writer\tvariable=FLUSHPROOF_ROUNDS\trounds=30\tacks=7\tcheckpoints=2";

    #[test]
    fn a_line_of_the_table() {
        let line = line("nfs", &Row::read(NOTED));
        let words: Vec<_> = line.split_whitespace().collect();
        let wanted = [
            "nfs",
            "kill",
            "-9",
            "of",
            "a",
            "writer",
            "30",
            "7",
            "checkpoints",
            "2",
        ];
        assert_eq!(words, wanted);
    }

    #[test]
    fn what_was_not_done_is_red() {
        let rows = [Row::read(NOTED)];
        let asked = |n: &str| vec![("FLUSHPROOF_ROUNDS", n.to_owned())];
        assert!(missing(&asked("30"), &rows).is_empty());
        assert_eq!(
            missing(&asked("31"), &rows),
            ["not done: FLUSHPROOF_ROUNDS=31"]
        );
        assert_eq!(missing(&asked("30"), &[]).len(), 1);
    }

    #[test]
    fn only_stores_that_have_scenarios() {
        let known = known().unwrap_or_default();
        for name in ["hdfs", "local", "nfs"] {
            assert!(known.contains(&name.to_owned()), "{known:?}");
        }
        assert!(chosen(&["floppy".into()], &known).is_err());
        assert_eq!(chosen(&[], &known).as_ref(), Ok(&known));
    }
}
