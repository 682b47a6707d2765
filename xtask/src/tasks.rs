//! What each command runs.

use crate::run::{self, Failed, Part, Step};
use crate::soak::{self, STORES};
use crate::{deny, needs, semver, servers, tidy};

/// How long the fuzz driver runs in `ci`.
const FUZZ_SECONDS: &str = "20";

/// Counts of `soak`, unless the environment sets them.
const SOAK: [(&str, &str); 4] = [
    ("FLUSHPROOF_ROUNDS", "200"),
    ("FLUSHPROOF_ZOMBIE_ROUNDS", "50"),
    ("FLUSHPROOF_CUTS", "20"),
    ("FLUSHPROOF_FUZZ_SECONDS", "600"),
];

/// The packages whose tests start real servers.
const ON_SERVERS: [&str; 4] = [
    "flushproof-backend-nfs",
    "flushproof-backend-hdfs",
    "flushproof-backend-object",
    STORES,
];

/// Everything that must pass. Tests come last, so that theirs are the closing lines.
pub fn ci() -> Result<(), Failed> {
    run::steps(vec![
        needs::step(),
        install_servers(),
        fmt(),
        tidy::step(),
        deny::step(),
        lint(),
        doc(),
        build_release(),
        Step::cargo(
            "build",
            Part::Build,
            &["test", "--workspace", "--no-run"],
            &[],
        ),
        msrv(),
        semver::step_if_there(),
        model(&[]),
        fuzz(FUZZ_SECONDS),
        tests(),
    ])
}

/// The module of the command's tests that need real servers.
const SERVERS: &str = "servers::";

/// The fast loop: everything that needs no server.
pub fn test() -> Result<(), Failed> {
    let mut args = vec!["test", "--workspace"];
    for package in ON_SERVERS {
        args.extend(["--exclude", package]);
    }
    args.extend(["--", "--skip", SERVERS]);
    println!(
        "left out, because they need servers: {}, and the command's tests in {SERVERS}",
        ON_SERVERS.join(", ")
    );
    run::steps(vec![
        tidy::step(),
        Step::cargo("tests", Part::Test, &args, &[]),
    ])
}

/// The same tests with larger counts. With names, only the scenarios on those stores.
pub fn soak(stores: &[&str]) -> Result<(), Failed> {
    if !stores.is_empty() {
        return alone(soak::step(stores));
    }
    let all = ["test", "--release", "--workspace", "--exclude", STORES];
    let printed = ["--", "--nocapture"];
    run::steps(vec![
        needs::step(),
        install_servers(),
        Step::cargo(
            "tests",
            Part::Test,
            &[&all[..], &printed].concat(),
            &unset(&SOAK),
        ),
        soak::step(&[]),
        model(&["--large"]),
    ])
}

/// Those of the counts that the environment does not set.
fn unset(counts: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let set = |key: &&str| std::env::var_os(key).is_some();
    counts
        .iter()
        .filter(|(key, _)| !set(key))
        .copied()
        .collect()
}

/// The real servers of the tests, into the cache.
fn install_servers() -> Step {
    let again = "cargo xtask servers install";
    Step::code("servers", Part::Build, again, servers::install_all)
}

/// One step alone.
pub fn alone(step: Step) -> Result<(), Failed> {
    run::steps(vec![step])
}

/// The formatting.
pub fn fmt() -> Step {
    Step::cargo("fmt", Part::Build, &["fmt", "--all", "--check"], &[])
}

/// Clippy on everything that is built.
pub fn lint() -> Step {
    let args = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    Step::cargo("lint", Part::Build, &args, &[])
}

/// The documentation: no broken link, nothing undocumented.
pub fn doc() -> Step {
    let env = [("RUSTDOCFLAGS", "-D warnings")];
    Step::cargo(
        "doc",
        Part::Build,
        &["doc", "--workspace", "--no-deps"],
        &env,
    )
}

/// What is run in release: the command, the model, the benches.
fn build_release() -> Step {
    let args = [
        "build",
        "--release",
        "-p",
        "flushproof-cli",
        "-p",
        "flushproof-model",
        "-p",
        "flushproof-bench",
    ];
    Step::cargo("release", Part::Build, &args, &[])
}

fn tests() -> Step {
    // One red test must not hide those behind it.
    let all = ["test", "--workspace", "--no-fail-fast"];
    Step::cargo("tests", Part::Test, &all, &[])
}

/// The model, in release.
pub fn model(args: &[&str]) -> Step {
    let mut all = vec![
        "run",
        "--quiet",
        "--release",
        "-p",
        "flushproof-model",
        "--",
    ];
    all.extend_from_slice(args);
    Step::cargo("model", Part::Test, &all, &[])
}

/// The fuzz driver on stable Rust, for a bounded time. `--workspace` keeps the
/// features of the other builds, so that nothing is compiled again.
pub fn fuzz(seconds: &str) -> Step {
    let args = ["test", "--workspace", "--test", "format_fuzz"];
    let env = [("FLUSHPROOF_FUZZ_SECONDS", seconds)];
    Step::cargo("fuzz", Part::Test, &args, &env)
}

/// Benches beside their floors.
pub fn bench(args: &[&str]) -> Step {
    let mut all = vec![
        "run",
        "--quiet",
        "--release",
        "-p",
        "flushproof-bench",
        "--",
    ];
    all.extend_from_slice(args);
    Step::cargo("bench", Part::Test, &all, &[])
}

/// Benches beside other logs.
pub fn peers(args: &[&str]) -> Step {
    let manifest = "bench/peers/Cargo.toml";
    let mut all = vec!["run", "--release", "--manifest-path", manifest, "--"];
    all.extend_from_slice(args);
    Step::cargo("peers", Part::Test, &all, &[])
}

/// The oldest Rust: checked where that toolchain is installed. Otherwise
/// clippy's `incompatible_msrv` (in `lint`) and the resolver watch over it.
fn msrv() -> Step {
    const OLDEST: &str = "1.85";
    let check = "check -p flushproof-api -p flushproof -p flushproof-backend-local";
    let again = format!("cargo +{OLDEST} {check}");
    let shown = again.clone();
    Step::code("msrv", Part::Build, &again, move || {
        let listed = std::process::Command::new("rustup")
            .args(["toolchain", "list"])
            .output();
        let listed = listed.map_or_else(
            |_| String::new(),
            |out| String::from_utf8_lossy(&out.stdout).into_owned(),
        );
        if !listed.lines().any(|l| l.starts_with(OLDEST)) {
            println!(
                "Rust {OLDEST} is the oldest for api, engine and local backend; it is not \
                 installed here, so only clippy's incompatible_msrv has looked. With it: {shown}"
            );
            return Ok(());
        }
        let mut command = std::process::Command::new("cargo");
        command
            .env_remove("RUSTUP_TOOLCHAIN")
            .current_dir(run::root());
        command.arg(format!("+{OLDEST}")).args(check.split(' '));
        flushproof_testbed::install::run(command)
    })
}
