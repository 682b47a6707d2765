//! Steps: running them one behind the other, what each took, and what failed.

use flushproof_testbed::install::run;
use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Which budget a step is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Installing, checking, compiling.
    Build,
    /// Running tests.
    Test,
}

impl Part {
    /// What CI may take for it, in minutes.
    fn budget(self) -> u64 {
        match self {
            Part::Build => 40,
            Part::Test => 35,
        }
    }
}

/// One step: its name, how to run it alone, and what it does.
pub struct Step {
    name: &'static str,
    part: Part,
    again: String,
    work: Box<dyn FnOnce() -> Result<Tests, String>>,
}

impl Step {
    /// A step that is code of this program.
    pub fn code(
        name: &'static str,
        part: Part,
        again: &str,
        work: impl FnOnce() -> Result<(), String> + 'static,
    ) -> Step {
        Step {
            name,
            part,
            again: again.into(),
            work: Box::new(move || work().map(|()| Tests::default())),
        }
    }

    /// A step that runs `cargo` with these arguments and variables.
    pub fn cargo(
        name: &'static str,
        part: Part,
        args: &[&str],
        env: &[(&'static str, &str)],
    ) -> Step {
        let set: String = env.iter().map(|(k, v)| format!("{k}='{v}' ")).collect();
        let again = format!("{set}cargo {}", args.join(" "));
        let shown = again.clone();
        let mut command = cargo();
        command.args(args);
        for (key, value) in env {
            command.env(key, value);
        }
        let counts = args.first() == Some(&"test") && !args.contains(&"--no-run");
        let work = move || {
            println!("$ {shown}");
            if counts {
                run_tests(command)
            } else {
                run(command).map(|()| Tests::default())
            }
        };
        Step {
            name,
            part,
            again,
            work: Box::new(work),
        }
    }
}

/// How many tests ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tests {
    passed: u64,
    failed: u64,
}

/// A failed step.
pub struct Failed {
    name: &'static str,
    why: String,
    again: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\nFAILED: {}: {}\nrun it again with: {}",
            self.name, self.why, self.again
        )
    }
}

/// Runs the steps until one fails; then says what each took, and the sums.
pub fn steps(steps: Vec<Step>) -> Result<(), Failed> {
    let mut took = Vec::new();
    let mut tests = Tests::default();
    let mut failed = None;
    for step in steps {
        println!("\n== {}", step.name);
        let began = Instant::now();
        let done = (step.work)();
        took.push((step.name, step.part, began.elapsed()));
        match done {
            Ok(ran) => {
                tests.passed += ran.passed;
                tests.failed += ran.failed;
            }
            Err(why) => {
                failed = Some(Failed {
                    name: step.name,
                    why,
                    again: step.again,
                });
                break;
            }
        }
    }
    if took.len() > 1 {
        table(&took);
    }
    if let Some(failed) = failed {
        return Err(failed);
    }
    if tests.passed > 0 {
        println!("\n{} passed, {} failed", tests.passed, tests.failed);
    }
    Ok(())
}

fn table(took: &[(&str, Part, Duration)]) {
    println!("\n{:<12} {:>8}", "step", "seconds");
    for (name, _, time) in took {
        println!("{name:<12} {:>8.1}", time.as_secs_f64());
    }
    for part in [Part::Build, Part::Test] {
        let sum: Duration = took
            .iter()
            .filter(|(_, p, _)| *p == part)
            .map(|(_, _, t)| *t)
            .sum();
        let over = sum > Duration::from_secs(part.budget() * 60);
        println!(
            "{:<12} {:>8.1}  of {} minutes{}",
            format!("{part:?} total").to_lowercase(),
            sum.as_secs_f64(),
            part.budget(),
            if over { ": OVER THE BUDGET" } else { "" }
        );
    }
    let sum: Duration = took.iter().map(|(_, _, t)| *t).sum();
    println!("{:<12} {:>8.1}", "total", sum.as_secs_f64());
}

/// The repository's root, from wherever it is called.
pub fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().map(Path::to_owned).unwrap_or(here)
}

/// The cargo that runs this program, in the repository's root.
pub fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(root());
    command
}

/// Runs `cargo test`, shows what it prints and adds up its results.
pub fn run_tests(mut command: Command) -> Result<Tests, String> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| cannot_start(&command, &e))?;
    let mut tests = Tests::default();
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).split(b'\n') {
            let mut line = line.map_err(|e| format!("can't read what cargo test prints: {e}"))?;
            if let Some(ran) = result_line(&String::from_utf8_lossy(&line)) {
                tests.passed += ran.passed;
                tests.failed += ran.failed;
            }
            line.push(b'\n');
            let shown = std::io::stdout().write_all(&line);
            shown.map_err(|e| format!("can't print: {e}"))?;
        }
    }
    let status = child.wait().map_err(|e| cannot_start(&command, &e))?;
    if !status.success() || tests.failed > 0 {
        return Err(format!("cargo test: {status}"));
    }
    if tests.passed == 0 {
        return Err("cargo test ran no test".into());
    }
    Ok(tests)
}

/// What one `test result: ok. 3 passed; 0 failed; …` says.
fn result_line(line: &str) -> Option<Tests> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let of = |what: &str| {
        let count = counts.split("; ").find_map(|c| c.strip_suffix(what))?;
        count.parse().ok()
    };
    Some(Tests {
        passed: of(" passed")?,
        failed: of(" failed")?,
    })
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!("can't run {}: {error}", name(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted() {
        let line = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out";
        let all = Tests {
            passed: 12,
            failed: 0,
        };
        assert_eq!(result_line(line), Some(all));
        let line = "test result: FAILED. 1 passed; 2 failed; 0 ignored";
        assert_eq!(result_line(line).map(|t| t.failed), Some(2));
        assert_eq!(result_line("running 3 tests"), None);
    }

    #[test]
    fn the_first_failure_ends_the_run() {
        let later = Step::code("later", Part::Test, "b", || {
            unreachable!("it runs after a failure")
        });
        let first = Step::code("first", Part::Build, "cargo xtask a", || Err("no".into()));
        let failed = steps(vec![first, later]).err().map(|f| f.to_string());
        assert_eq!(
            failed.as_deref(),
            Some("\nFAILED: first: no\nrun it again with: cargo xtask a")
        );
    }
}
