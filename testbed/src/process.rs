//! One process: its pid file, signals, and whether it lives.
//!
//! A pid file holds the pid and the time at which the kernel started it, so that
//! a pid that was given to another program is never signalled.

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// A process that leads its own group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    started: u64,
}

/// State and start time, as the kernel has them.
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let rest = text.rsplit_once(')')?.1;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let threads: u32 = fields.nth(16)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    // Its first thread may be gone while others still hold its files and ports.
    let state = if state == 'Z' && threads > 1 {
        'D'
    } else {
        state
    };
    Some((state, started))
}

impl Process {
    pub(crate) fn of(pid: u32) -> Option<Process> {
        let pid = i32::try_from(pid).ok()?;
        let (_, started) = stat(pid)?;
        Some(Process { pid, started })
    }

    pub(crate) fn read(file: &Path) -> Option<Process> {
        let text = fs::read_to_string(file).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        Some(Process {
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        })
    }

    pub(crate) fn write(self, file: &Path) -> Result<(), String> {
        fs::write(file, format!("{} {}\n", self.pid, self.started))
            .map_err(|e| format!("{}: {e}", file.display()))
    }

    /// `R`, `S`, `T` (stopped) …; none when it is gone or a zombie.
    pub(crate) fn state(self) -> Option<char> {
        let (state, started) = stat(self.pid)?;
        (started == self.started && state != 'Z' && state != 'X').then_some(state)
    }

    /// Signals the process and its children.
    pub(crate) fn signal(self, signal: Signal) -> Result<(), String> {
        if self.state().is_none() {
            return Err(format!("process {} is gone", self.pid));
        }
        match killpg(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(e) => Err(format!("{signal} to process {}: {e}", self.pid)),
        }
    }

    /// Waits until it is in the state.
    pub(crate) fn wait_for(
        self,
        what: &str,
        done: impl Fn(Option<char>) -> bool,
    ) -> Result<(), String> {
        let end = Instant::now() + Duration::from_secs(20);
        while !done(self.state()) {
            if Instant::now() > end {
                return Err(format!("process {} was not {what} within 20 s", self.pid));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}
