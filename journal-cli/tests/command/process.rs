//! Running the command.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(180);
/// How the names of variables begin that would configure the command.
const CONFIGURING: [&str; 6] = ["JOURNAL_", "AWS_", "AZURE_", "GOOGLE_", "HADOOP_", "RUST_"];

/// A folder on a disk (`/tmp` may be memory), removed with its owner.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Place {
        Place(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    /// With an empty journal `j` in it.
    pub fn formatted() -> Place {
        let place = Place::new();
        place.run(&["format", "j"], "").succeeds();
        place
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The command, with this as its current folder and its home, and no
    /// configuration around it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_journal"));
        command.args(args).current_dir(self.path());
        command.env("HOME", self.path());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if CONFIGURING.iter().any(|begin| text.starts_with(begin)) {
                command.env_remove(name);
            }
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str], stdin: impl AsRef<[u8]>) -> Ran {
        run(self.command(args), stdin)
    }

    /// A writer that goes on as long as its stdin is open.
    pub fn writer(&self, args: &[&str]) -> Writer {
        let mut all = vec!["append", "--acks"];
        all.extend(args);
        Writer::start(self.command(&all))
    }
}

/// Runs a command to its end.
pub fn run(command: Command, stdin: impl AsRef<[u8]>) -> Ran {
    run_within(PATIENCE, command, stdin)
}

/// Runs a command, which must have ended by itself when this time is over.
pub fn run_within(limit: Duration, mut command: Command, stdin: impl AsRef<[u8]>) -> Ran {
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_raw(child.id() as i32);
    let mut to = child.stdin.take().unwrap();
    let bytes = stdin.as_ref().to_vec();
    let feeder = std::thread::spawn(move || drop(to.write_all(&bytes)));
    let (ended, wait) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let late = wait.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
        late && kill(pid, Signal::SIGKILL).is_ok()
    });
    let out = child.wait_with_output().unwrap();
    drop(ended);
    let killed = watch.join().unwrap();
    assert!(!killed, "{command:?} did not end within {limit:?}: {out:?}");
    feeder.join().unwrap();
    Ran {
        code: out.status.code(),
        stdout: out.stdout,
        stderr: String::from_utf8(out.stderr).unwrap(),
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ran {
    /// It must have ended with 0; its stdout.
    #[track_caller]
    pub fn succeeds(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        String::from_utf8(self.stdout).unwrap()
    }

    /// It must have failed with this code; its stderr, which says why.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
        self.stderr
    }

    /// Its stdout as one JSON value.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap()
    }
}

/// A running `append --acks`. Dropped, it is killed.
pub struct Writer {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Writer {
    pub fn start(mut command: Command) -> Writer {
        let mut child = command.spawn().unwrap();
        Writer {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends lines; a writer that is gone does not matter.
    pub fn send(&mut self, text: &str) {
        let _ = self.stdin.as_mut().unwrap().write_all(text.as_bytes());
    }

    /// Sends numbered lines for ever, on a thread.
    pub fn send_for_ever(&mut self) {
        let mut stdin = self.stdin.take().unwrap();
        std::thread::spawn(move || {
            for n in 0u64.. {
                if writeln!(stdin, "line {n}").is_err() {
                    return;
                }
            }
        });
    }

    /// The next line of stdout.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        if self.stdout.read_line(&mut line).unwrap() == 0
            && let Some(stderr) = &mut self.child.stderr
        {
            // It ended: the test that fails next should say why.
            let mut why = String::new();
            stderr.read_to_string(&mut why).unwrap();
            eprintln!("{} has ended: {why}", self.child.id());
        }
        line.trim_end().to_owned()
    }

    /// So many lines of stdout.
    pub fn lines(&mut self, n: usize) -> Vec<String> {
        (0..n).map(|_| self.line()).collect()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).unwrap();
    }

    /// Closes its stdin and waits for its end; its stdout is what was not read yet.
    pub fn end(mut self) -> Ran {
        drop(self.stdin.take());
        let mut stdout = Vec::new();
        self.stdout.read_to_end(&mut stdout).unwrap();
        let mut stderr = String::new();
        let mut from = self.child.stderr.take().unwrap();
        from.read_to_string(&mut stderr).unwrap();
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let code = status.code();
                return Ran {
                    code,
                    stdout,
                    stderr,
                };
            }
            assert!(began.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The logs of a journal, by name.
pub fn logs(journal: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(journal.join("log"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "log"))
        .collect();
    all.sort();
    all
}

/// Changes a byte of a file.
pub fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    std::fs::write(path, bytes).unwrap();
}
