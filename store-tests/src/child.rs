//! A writer or a follower in a process of its own, to be killed or stopped.
//!
//! A test binary runs itself again; its test that is named `child` then calls
//! [`main`]. What was acknowledged, or followed, comes through a pipe.

use crate::access::Access;
use crate::runtime::runtime;
use crate::state::{State, Writer, entry, who};
use flushproof::{Config, ErrorKind, FollowItem, Journal, OnUnknown, Registry, Result};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const ROLE: &str = "FLUSHPROOF_CHILD_ROLE";
const RUN: &str = "FLUSHPROOF_CHILD_RUN";
const ARGUMENTS: [&str; 4] = ["--exact", "child", "--nocapture", "--test-threads=1"];

/// The tasks that append one entry at a time.
const TASKS: u64 = 5;
/// The task that appends atomic batches of [`BATCH`] entries.
pub const BATCHER: u64 = 9;
/// How many entries such a batch has.
pub const BATCH: u64 = 3;

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Serves, appends and checkpoints for ever.
    Write,
    /// The same, and takes over from itself after a flush of unknown outcome.
    WriteAndReopen,
    /// Follows the journal for ever.
    Follow,
    /// Formats the place, and ends.
    Format,
    /// Asks once to become primary, and ends.
    Claim,
}

/// What the child does, if this process is one. `false`: it is not.
pub fn main(registry: Registry) -> bool {
    let (Some(access), Ok(role)) = (Access::of_this_process(registry), std::env::var(ROLE)) else {
        return false;
    };
    let run: u64 = std::env::var(RUN).unwrap().parse().unwrap();
    let mut config = access.config();
    config.keep_checkpoints = 1 + run as usize % 2;
    say(String::new()); // ends the line that the test harness has begun
    match role.as_str() {
        "Follow" => runtime().block_on(follow(config)),
        "Format" => match runtime().block_on(config.format(false)) {
            Ok(_) => say("formatted".into()),
            Err(error) => say(format!("refused {} {error}", error.kind())),
        },
        "Claim" => match runtime().block_on(config.primary()) {
            Ok(recovery) => say(format!("claimed {}", recovery.summary().end)),
            Err(error) => say(format!("refused {} {error}", error.kind())),
        },
        "WriteAndReopen" => {
            config.on_unknown = OnUnknown::Reopen;
            runtime().block_on(write(config, run));
        }
        _ => runtime().block_on(write(config, run)),
    }
    true
}

async fn follow(config: Config) {
    let reader = config.reader().await.unwrap();
    let mut follow = reader.follow(None).await.unwrap();
    say(format!("following {}", config.folder));
    loop {
        match follow.next().await {
            Ok(FollowItem::Entry(entry)) => {
                let ((run, task), n) = who(&entry.bytes);
                say(format!("entry {run} {task} {n} {}", entry.seq));
            }
            Ok(FollowItem::Checkpoint(c)) => say(format!("checkpoint {}", c.next_seq())),
            Ok(FollowItem::CaughtUp) => say(format!("caught-up {}", follow.cursor())),
            Err(error) => return say(format!("error {} {error}", error.kind())),
        }
    }
}

/// Whole lines only: what a killed process leaves unfinished does not count.
fn say(line: String) {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(format!("{line}\n").as_bytes());
    written.and_then(|()| out.flush()).unwrap();
}

async fn write(config: Config, run: u64) {
    let began = Instant::now();
    let mut recovery = loop {
        match config.primary().await {
            Ok(recovery) => break recovery,
            // The parent has dropped its journal, whose thread is just ending.
            Err(e) if e.kind() == ErrorKind::Busy && began.elapsed().as_secs() < 10 => {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Err(error) => return say(format!("refused {} {error}", error.kind())),
        }
    };
    let state = State::recover(&mut recovery).await.unwrap();
    let state = Arc::new(Mutex::new(state));
    let journal = recovery.start().await.unwrap();
    say(format!("serving {}", journal.epoch()));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let (journal, state) = (journal.clone(), state.clone());
        tasks.spawn(async move { append(&journal, &state, (run, task), 1).await });
    }
    let (batcher, its_state) = (journal.clone(), state.clone());
    tasks.spawn(async move { append(&batcher, &its_state, (run, BATCHER), BATCH).await });
    tasks.spawn(async move { checkpoint(&journal, &state).await });
    while let Some(ended) = tasks.join_next().await {
        let error = ended.unwrap().unwrap_err();
        say(format!("error {} {error}", error.kind()));
    }
}

/// Appends for ever; the order of the journal is the order of the state.
async fn append(journal: &Journal, state: &Mutex<State>, writer: Writer, batch: u64) -> Result<()> {
    for first in (0..).step_by(batch as usize) {
        let entries: Vec<_> = (first..first + batch).map(|n| entry(writer, n)).collect();
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        let permit = journal
            .reserve_batch(entries.iter().map(|e| e.len()))
            .await?;
        let ack = {
            let mut state = state.lock().unwrap();
            let ack = permit.append_batch(&entries)?;
            for (seq, bytes) in (ack.first().0..).zip(&entries) {
                state.apply(flushproof::SeqNo(seq), bytes);
            }
            ack
        };
        let receipt = ack.await?;
        let last = first + batch - 1;
        say(format!(
            "ack {} {} {last} {}",
            writer.0, writer.1, receipt.seq
        ));
    }
    Ok(())
}

/// Checkpoints, and so trims, again and again.
async fn checkpoint(journal: &Journal, state: &Mutex<State>) -> Result<()> {
    loop {
        tokio::time::sleep(Duration::from_millis(12)).await;
        let (at, copy) = {
            let state = state.lock().unwrap();
            (journal.accepted(), state.clone())
        };
        let made = async {
            let mut writer = journal.checkpoint(at).await?;
            for entry in copy.entries() {
                writer.entry(&entry).await?;
            }
            writer.commit().await
        };
        match made.await {
            Ok(done) => say(format!(
                "checkpoint {} {}",
                done.next_seq, done.trimmed.segments
            )),
            // A primary that was superseded learns it here at the latest.
            Err(error) if error.kind() == ErrorKind::Busy => {
                journal.append(b"").await?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// What runs a child of this role in a shell elsewhere; `program` is this very
/// test binary there.
pub fn command_line(program: &str, access: &Access, run: u64, role: Role) -> String {
    let mut command = Command::new(program);
    command.env(ROLE, format!("{role:?}"));
    command.env(RUN, run.to_string());
    access.pass_to(&mut command);
    let quoted = |text: &std::ffi::OsStr| format!("'{}'", text.to_str().unwrap());
    let variables = command
        .get_envs()
        .filter_map(|(key, value)| Some(format!("{}={}", key.to_str()?, quoted(value?))));
    let variables: Vec<_> = variables.collect();
    format!("{} {program} {}", variables.join(" "), ARGUMENTS.join(" "))
}

/// What it said, if `key` is before it: the words behind `key`.
fn behind(key: &str, line: &str) -> Option<String> {
    Some(line.strip_prefix(key)?.strip_prefix(' ')?.to_owned())
}

/// The acknowledged entries among lines that children said.
pub fn acked_in(lines: &[String]) -> Vec<Acked> {
    let words = lines.iter().filter_map(|line| behind("ack", line));
    words.map(parse).collect()
}

fn parse(words: String) -> Acked {
    let n: Vec<u64> = words.split(' ').map(|w| w.parse().unwrap()).collect();
    Acked {
        writer: (n[0], n[1]),
        n: n[2],
        seq: n[3],
    }
}

/// An acknowledged entry: the writer, its place in the row, its number.
#[derive(Clone, Copy, Debug)]
pub struct Acked {
    /// Who appended it.
    pub writer: Writer,
    /// Its place in the writer's row.
    pub n: u64,
    /// Its sequence number.
    pub seq: u64,
}

/// A child as its parent sees it. Dropped, it is killed.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Child {
    /// Runs this very test binary again, with a test `child` that calls [`main`].
    pub fn spawn(access: &Access, run: u64, role: Role) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(ARGUMENTS)
            .env(ROLE, format!("{role:?}"))
            .env(RUN, run.to_string())
            .stdout(Stdio::piped());
        access.pass_to(&mut command);
        let mut process = command.spawn().unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = lines.clone();
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            while out.read_line(&mut line).unwrap() > 0 {
                // A line without its end was being written when the process was killed.
                if let Some(whole) = line.strip_suffix('\n') {
                    kept.lock().unwrap().push(whole.to_owned());
                }
                line.clear();
            }
        });
        Child {
            process,
            lines,
            reader: Some(reader),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.pid() as i32);
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// The words behind `key` of all lines that begin with it.
    pub fn said(&self, key: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter_map(|l| behind(key, l)).collect()
    }

    /// Waits until a line begins with `key`.
    pub fn wait_for(&mut self, key: &str) {
        let began = Instant::now();
        while self.said(key).is_empty() {
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "the child ended: {:?}", self.lines.lock());
            assert!(began.elapsed() < Duration::from_secs(30), "no {key:?}");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Every entry that it said to be acknowledged.
    pub fn acked(&self) -> Vec<Acked> {
        self.entries("ack")
    }

    /// Every entry that it followed.
    pub fn followed(&self) -> Vec<Acked> {
        self.entries("entry")
    }

    fn entries(&self, key: &str) -> Vec<Acked> {
        self.said(key).into_iter().map(parse).collect()
    }

    /// Kills it (SIGKILL) and waits for its end; it must have lived so long.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        let status = self.end();
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!(
            signal,
            Some(9),
            "it ended by itself: {:?}",
            self.said("error")
        );
    }

    /// Waits for its end, at most half a minute, and for all that it said.
    pub fn end(&mut self) -> std::process::ExitStatus {
        let began = Instant::now();
        let status = loop {
            match self.process.try_wait().unwrap() {
                Some(status) => break status,
                None if began.elapsed() > Duration::from_secs(30) => {
                    self.process.kill().unwrap();
                    panic!("the child does not end: {:?}", self.said("error"));
                }
                None => std::thread::sleep(Duration::from_micros(500)),
            }
        };
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
