//! The line protocol on TCP: one request a line, one line of answer.

use crate::master::{Answer, Master};
use crate::namespace::Change;
use flushproof::{Error, ErrorKind, Result};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// The longest request.
const LONGEST: u64 = 64 * 1024;

/// What this process is, as its clients see it.
#[derive(Default)]
pub struct Role {
    /// None while it is a standby.
    master: Mutex<Option<Arc<Master>>>,
    /// What the standby has applied.
    pub applied: AtomicU64,
    /// A client asked the standby to take over.
    pub promote: Notify,
}

impl Role {
    pub fn serve(&self, master: Arc<Master>) {
        *self.master.lock().unwrap_or_else(PoisonError::into_inner) = Some(master);
    }

    fn master(&self) -> Option<Arc<Master>> {
        let master = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        master.clone()
    }
}

/// The journal failed, or another master took over. The state in memory may be
/// ahead of the journal, and clients were not answered: end at once, without any
/// clean-up. The next process has every change that was answered.
pub fn stand_down(error: &Error) -> ! {
    eprintln!(
        "{error} (outcome {:?}, advice {:?})",
        error.outcome(),
        error.advice()
    );
    let fenced = error.kind() == ErrorKind::Fenced;
    std::process::exit(if fenced { 3 } else { 1 })
}

/// Accepts clients until the process ends.
pub async fn accept(listener: TcpListener, role: Arc<Role>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let role = role.clone();
                tokio::spawn(async move {
                    let _ = converse(client, &role).await; // a client went away
                });
            }
            Err(e) => {
                eprintln!("no client could be accepted: {e}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(client: TcpStream, role: &Role) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (reading, mut writing) = client.into_split();
    let mut lines = BufReader::new(reading);
    loop {
        let mut line = String::new();
        if (&mut lines).take(LONGEST).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if !line.ends_with('\n') {
            return Ok(()); // cut off, or too long
        }
        let answer = match answer(line.trim(), role).await {
            Ok(Ok(text)) => format!("ok {text}\n"),
            Ok(Err(why)) => format!("error {why}\n"),
            Err(failure) => stand_down(&failure),
        };
        writing.write_all(answer.as_bytes()).await?;
    }
}

async fn answer(line: &str, role: &Role) -> Result<Answer> {
    let words: Vec<_> = line.split_whitespace().collect();
    match (role.master(), &words[..]) {
        (None, ["status"]) => Ok(Ok(format!(
            "standby applied={}",
            role.applied.load(Relaxed)
        ))),
        (None, ["promote"]) => {
            role.promote.notify_one();
            Ok(Ok("taking over".into()))
        }
        (None, _) => Ok(Err("this is a standby; ask the primary".into())),
        (Some(master), ["status"]) => Ok(Ok(master.status())),
        (Some(_), ["promote"]) => Ok(Err("this is the primary".into())),
        (Some(master), ["list", folder]) => master.list(folder).await,
        (Some(master), _) => match Change::parse(line) {
            Ok(change) => master.change(change).await,
            Err(why) => Ok(Err(why)),
        },
    }
}
