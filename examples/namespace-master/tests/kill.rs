//! The service as processes: killed and taken over under load, its successor
//! has every change that was answered.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const CLIENTS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(30);

/// A process of the service; killed when it is dropped.
struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
    address: String,
}

impl Process {
    /// Starts one and waits until it listens.
    fn start(folder: &Path, arguments: &[&str]) -> Process {
        let mut child = Command::new(env!("CARGO_BIN_EXE_namespace-master"))
            .arg(folder)
            // The build's folder may lie on a file system that promises little.
            .args(["--require", "writer-crash", "--checkpoint-every", "100"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut process = Process {
            child,
            output,
            address: String::new(),
        };
        process.address = process.says("listening on ");
        process
    }

    /// Waits for a line of its output, which ends with the process.
    fn says(&mut self, what: &str) -> String {
        loop {
            let mut line = String::new();
            let n = self.output.read_line(&mut line).unwrap();
            assert!(n > 0, "the process ended and did not say {what:?}");
            if let Some(rest) = line.trim_end().strip_prefix(what) {
                return rest.to_owned();
            }
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap(); // SIGKILL
        self.child.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end; says the exit code.
    fn ended(&mut self) -> i32 {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the process did not end")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client's connection.
struct Client(BufReader<TcpStream>);

impl Client {
    fn open(address: &str) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client(BufReader::new(stream))
    }

    /// The answer; `None` when the service is gone.
    fn ask(&mut self, line: &str) -> Option<String> {
        self.0
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .ok()?;
        let mut answer = String::new();
        self.0.read_line(&mut answer).ok()?;
        answer.ends_with('\n').then(|| answer.trim_end().to_owned())
    }
}

/// Makes folders with names of its own until the service is gone; says which
/// were answered.
fn load(address: &str, round: usize) -> Vec<JoinHandle<Vec<String>>> {
    let client = |c: usize| {
        let mut client = Client::open(address);
        std::thread::spawn(move || {
            let mut answered = Vec::new();
            for n in 0.. {
                let name = format!("r{round}c{c}n{n}");
                match client.ask(&format!("mkdir /{name}")) {
                    Some(answer) => {
                        assert!(answer.starts_with("ok "), "{answer}");
                        answered.push(name);
                    }
                    None => break,
                }
            }
            answered
        })
    };
    (0..CLIENTS).map(client).collect()
}

fn answered(clients: Vec<JoinHandle<Vec<String>>>) -> BTreeSet<String> {
    let all = clients.into_iter().flat_map(|c| c.join().unwrap());
    all.collect()
}

fn listed(address: &str) -> BTreeSet<String> {
    let answer = Client::open(address).ask("list /").unwrap();
    let names = answer.strip_prefix("ok").unwrap();
    names.split_whitespace().map(str::to_owned).collect()
}

/// Every answered change is there, and of each client at most one more.
fn check(address: &str, answered: &BTreeSet<String>, unanswered: usize) {
    let found = listed(address);
    let lost: Vec<_> = answered.difference(&found).collect();
    assert!(lost.is_empty(), "answered, but lost: {lost:?}");
    let more = found.len() - answered.len();
    assert!(more <= unanswered, "{more} changes that nobody asked for");
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[test]
fn killed_under_load_its_successor_has_every_answered_change() {
    let folder = folder();
    let mut all = BTreeSet::new();
    for round in 0..3 {
        let first = if round == 0 { &["--format"][..] } else { &[] };
        let mut process = Process::start(folder.path(), first);
        process.says("serving: ");
        check(&process.address, &all, round * CLIENTS);
        let clients = load(&process.address, round);
        std::thread::sleep(Duration::from_millis(300));
        process.kill();
        let now = answered(clients);
        assert!(!now.is_empty(), "round {round}: nothing was answered");
        all.extend(now);
    }
    let mut last = Process::start(folder.path(), &[]);
    last.says("serving: ");
    check(&last.address, &all, 3 * CLIENTS);
}

#[test]
fn a_standby_takes_over_from_a_living_primary() {
    for told_by in ["a client", "a signal"] {
        let folder = folder();
        let mut primary = Process::start(folder.path(), &["--format"]);
        primary.says("serving: ");
        let mut standby = Process::start(folder.path(), &["--standby"]);
        standby.says("standing by");
        let clients = load(&primary.address, 0);
        std::thread::sleep(Duration::from_millis(300));
        let mut client = Client::open(&standby.address);
        assert!(client.ask("mkdir /x").unwrap().starts_with("error "));
        if told_by == "a client" {
            assert_eq!(client.ask("promote").unwrap(), "ok taking over");
        } else {
            standby.signal("-USR1");
        }
        standby.says("serving: ");
        // The old primary learns it from its next flush and ends; nobody else
        // was answered by it.
        assert_eq!(primary.ended(), 3, "told by {told_by}");
        check(&standby.address, &answered(clients), CLIENTS);
        let answer = client.ask("create /after").unwrap();
        assert!(answer.starts_with("ok "), "{answer}");
    }
}

#[test]
fn a_primary_that_was_stopped_finds_out_when_it_is_woken() {
    for asked in [true, false] {
        let folder = folder();
        let mut primary = Process::start(folder.path(), &["--format"]);
        primary.says("serving: ");
        let mut client = Client::open(&primary.address);
        assert_eq!(client.ask("mkdir /a").unwrap(), "ok 0");
        assert_eq!(client.ask("create /a/x").unwrap(), "ok 1");
        primary.signal("-STOP");
        let mut next = Process::start(folder.path(), &["--take-over"]);
        next.says("serving: ");
        let mut other = Client::open(&next.address);
        assert_eq!(other.ask("rename /a /b").unwrap(), "ok 2");
        primary.signal("-CONT");
        if asked {
            // Its change is not answered with ok.
            assert_eq!(client.ask("mkdir /zombie"), None);
        }
        assert_eq!(primary.ended(), 3);
        assert_eq!(other.ask("list /").unwrap(), "ok b");
        assert_eq!(other.ask("list /b").unwrap(), "ok x");
    }
}

#[test]
fn what_can_not_be_done_is_said_and_a_terminated_master_closes() {
    let folder = folder();
    let mut process = Process::start(folder.path(), &["--format"]);
    process.says("serving: ");
    let mut client = Client::open(&process.address);
    assert_eq!(client.ask("mkdir /a").unwrap(), "ok 0");
    for (line, why) in [
        ("mkdir /a", "error /a exists"),
        ("create /no/x", "error /no does not exist"),
        ("rename /a /a/b", "error /a/b lies in /a"),
        ("mkdir a", "error \"a\" is not a path such as /a/b"),
        ("hello", "error \"hello\" is no change of the name space"),
    ] {
        assert_eq!(client.ask(line).unwrap(), why);
    }
    assert_eq!(client.ask("create /a/x").unwrap(), "ok 1");
    assert_eq!(client.ask("delete /a").unwrap(), "error /a is not empty");
    process.signal("-TERM");
    assert_eq!(process.ended(), 0);
}
