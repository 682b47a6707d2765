//! cargo-semver-checks: the frozen trait crate against the tag at which it was
//! frozen.
//!
//! `journal-api/frozen.txt` names the tag and its commit, because a checkout may
//! come without tags. There is no compiled package of the program, so it is
//! compiled once, into the cache.

use crate::run::{Part, Step, cargo, root};
use flushproof_testbed::cache;
use flushproof_testbed::install::{run, show_and_run};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const VERSION: &str = "0.51.0";

/// Checks that nothing that was frozen is broken.
pub fn step() -> Step {
    Step::code("semver", Part::Build, "cargo xtask semver", || {
        compare(&baseline()?)
    })
}

/// The same in `ci`. A copy of the sources without history can't be compared, and says
/// so; `journal-api/tests/frozen.rs` is compiled there all the same.
pub fn step_if_there() -> Step {
    Step::code(
        "semver",
        Part::Build,
        "cargo xtask semver",
        || match baseline() {
            Err(why) if !has_history() => {
                println!("NOT COMPARED: {why}");
                Ok(())
            }
            baseline => compare(&baseline?),
        },
    )
}

fn has_history() -> bool {
    let git = root().join(".git");
    git.exists() && !git.join("shallow").exists()
}

fn compare(baseline: &str) -> Result<(), String> {
    let program = program()?;
    let mut command = Command::new(program);
    command.current_dir(root());
    command.args(["semver-checks", "--package", "flushproof-api"]);
    command.args(["--baseline-rev", baseline, "--release-type", "minor"]);
    println!("$ cargo semver-checks -p flushproof-api --baseline-rev {baseline}");
    run(command)
}

/// The tag, or else the commit that it names.
fn baseline() -> Result<String, String> {
    let file = root().join("journal-api").join("frozen.txt");
    let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    let mut words = text
        .lines()
        .filter(|l| !l.starts_with('#'))
        .flat_map(str::split_whitespace);
    let (Some(tag), Some(commit)) = (words.next(), words.next()) else {
        return Err(format!(
            "{}: a tag and a commit are expected",
            file.display()
        ));
    };
    [tag, commit]
        .into_iter()
        .find(|rev| is_there(rev))
        .map(str::to_owned)
        .ok_or_else(|| {
            format!(
                "neither the tag {tag} nor its commit {commit} is in this checkout, so the frozen \
                 trait can't be compared; get them with: git fetch --unshallow --tags"
            )
        })
}

fn is_there(rev: &str) -> bool {
    let mut git = Command::new("git");
    git.current_dir(root()).args(["cat-file", "-e"]);
    git.arg(format!("{rev}^{{commit}}")).stderr(Stdio::null());
    git.status().is_ok_and(|s| s.success())
}

fn program() -> Result<PathBuf, String> {
    let folder = cache()?
        .join("tools")
        .join(format!("cargo-semver-checks-{VERSION}"));
    let ours = folder.join("bin").join("cargo-semver-checks");
    if !is_right(&ours) {
        println!("cargo-semver-checks {VERSION} is missing: compiling it, for 5 to 12 minutes");
        let mut install = cargo();
        // Nobody debugs it.
        install.env("CARGO_PROFILE_DEV_DEBUG", "0");
        install.args([
            "install",
            "--quiet",
            "--locked",
            "--debug",
            "--version",
            VERSION,
        ]);
        install
            .arg("--root")
            .arg(&folder)
            .arg("cargo-semver-checks");
        show_and_run(install)?;
    }
    Ok(ours)
}

fn is_right(program: &Path) -> bool {
    let mut command = Command::new(program);
    command.args(["semver-checks", "--version"]);
    command
        .output()
        .is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains(VERSION))
}
