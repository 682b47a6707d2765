//! A process of this program that appends what it is fed.

use super::input::Files;
use crate::args::Common;
use crate::failure::Result;
use flushproof::{Config, Error, ErrorKind};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long anything in the demo may take; a take-over on HDFS some seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a writer is told to do.
pub struct Job<'a> {
    pub config: &'a Config,
    pub common: &'a Common,
    pub files: &'a Arc<Files>,
    /// Its name, in each of its entries.
    pub name: &'static str,
    /// Its first line, if that is a special one.
    pub first: Option<&'static str>,
    /// How many lines it is fed.
    pub lines: usize,
    pub take_over: bool,
}

/// A running writer. Dropped, it is killed, stopped or not.
pub struct Writer {
    child: Child,
    pid: Pid,
    acks: watch::Receiver<Vec<u64>>,
    sent: Arc<AtomicUsize>,
    stderr: JoinHandle<String>,
    reading: JoinHandle<()>,
}

/// A writer that ended.
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// The numbers of the entries that it was told are durable, in order.
    pub acks: Vec<u64>,
    /// How many lines it was sent, at most.
    pub sent: usize,
    /// What it said on stderr.
    pub stderr: String,
}

impl Writer {
    pub fn start(job: &Job<'_>) -> Result<Writer> {
        let failed = |e| Error::io("can't start a process of this program", e);
        let mut child = command(job)
            .map_err(failed)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let gone = || Error::new(ErrorKind::Io, "a process of this program ended at once");
        let pid = Pid::from_raw(child.id().ok_or_else(gone)? as i32);
        let stdin = child.stdin.take().ok_or_else(gone)?;
        let stdout = child.stdout.take().ok_or_else(gone)?;
        let mut stderr = child.stderr.take().ok_or_else(gone)?;
        let (sender, acks) = watch::channel(Vec::new());
        let sent = Arc::new(AtomicUsize::new(0));
        tokio::spawn(feed(
            stdin,
            job.files.clone(),
            job.name,
            job.first,
            job.lines,
            sent.clone(),
        ));
        Ok(Writer {
            child,
            pid,
            acks,
            sent,
            stderr: tokio::spawn(async move {
                let mut text = String::new();
                let _ = stderr.read_to_string(&mut text).await;
                text
            }),
            reading: tokio::spawn(read_acks(stdout, sender)),
        })
    }

    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// How many acks came so far.
    pub fn acks(&self) -> usize {
        self.acks.borrow().len()
    }

    /// Waits until so many acks came, or the process ended.
    pub async fn acked(&mut self, n: usize) -> Result<()> {
        let enough = self.acks.wait_for(|acks| acks.len() >= n);
        match tokio::time::timeout(PATIENCE, enough).await {
            Ok(_) => Ok(()),
            Err(_) => Err(late("acknowledged too little")),
        }
    }

    /// Stops, wakes or kills it.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid, signal).map_err(|e| Error::io(format!("can't send {signal}"), e.into()))?;
        Ok(())
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Result<Ended> {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = status
            .map_err(|_| late("did not end"))?
            .map_err(|e| Error::io("can't wait for a process of this program", e))?;
        // What it had printed before its end is still in the pipes.
        let _ = self.reading.await;
        let acks = self.acks.borrow().clone();
        Ok(Ended {
            status,
            acks,
            sent: self.sent.load(SeqCst),
            stderr: self.stderr.await.unwrap_or_default(),
        })
    }
}

fn late(what: &str) -> crate::failure::Failure {
    let text = format!("a writer of the demo {what} within {PATIENCE:?}; is the store very slow?");
    Error::new(ErrorKind::TimedOut, text).into()
}

fn command(job: &Job<'_>) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("append").arg("--acks");
    if job.take_over {
        command.arg("--take-over");
    }
    if let Some(file) = &job.common.config {
        command.arg("--config").arg(file);
    }
    command.args(job.common.flags.to_args());
    command.arg("--").arg(job.config.folder.to_string());
    Ok(command)
}

/// Sends lines until all are sent or nobody reads them.
async fn feed(
    mut to: ChildStdin,
    files: Arc<Files>,
    name: &'static str,
    first: Option<&'static str>,
    lines: usize,
    sent: Arc<AtomicUsize>,
) {
    let mut buffer = String::new();
    let mut n = 0;
    while n < lines {
        buffer.clear();
        let end = (n + 100).min(lines);
        while n < end {
            buffer.push_str(&expected(&files, name, first, n));
            buffer.push('\n');
            n += 1;
        }
        sent.store(n, SeqCst);
        if to.write_all(buffer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The entry that line `n` of a writer makes.
pub fn expected(files: &Files, name: &str, first: Option<&str>, n: usize) -> String {
    match first {
        Some(line) if n == 0 => line.to_owned(),
        _ => files.line(name, n),
    }
}

async fn read_acks(from: ChildStdout, to: watch::Sender<Vec<u64>>) {
    let mut from = BufReader::new(from);
    let mut line = String::new();
    while let Ok(1..) = from.read_line(&mut line).await {
        // A line without its end was cut short when the process was killed: "12" of
        // 1234. Something else than a number is no ack; the checks will miss it.
        let whole = line.strip_suffix('\n');
        if let Some(Ok(seq)) = whole.map(str::parse) {
            to.send_modify(|acks| acks.push(seq));
        }
        line.clear();
    }
}
