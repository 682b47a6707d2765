//! The host lock: a file in the root that its holder keeps locked (`flock`), so
//! that a second starter hears "in use by pid N" early.
//!
//! A courtesy: safety rests on fences. The kernel gives the lock back when the
//! process ends in whatever way; a stopped process keeps it. Who takes over puts
//! a new file, locked already, over the old name: the next starter then finds
//! the new holder, and the old one's lock is on a file that nobody sees.

use crate::disk::{File, Folder, How, LockGuard, host, read_full, write_all};
use crate::fault::{fault, refusal, refused};
use crate::names::LOCK;
use crate::temp::{InUse, Temp};
use flushproof_api::{Error, ErrorKind, HostLock, Result};
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The name may change hands while we look; not this often.
const TRIES: usize = 100;
/// More than [`note`] ever writes.
const LONGEST_NOTE: usize = 1024;

/// Takes the lock, held until the guard is dropped. Where the lock is the only
/// fence (`only`), a live holder is never passed over. Blocking.
pub(crate) fn take(
    root: &Arc<dyn Folder>,
    in_use: &InUse,
    how: HostLock,
    only: bool,
) -> Result<Box<dyn LockGuard>> {
    let at = root.path().join(LOCK);
    let failed = |e| refused("can't take the host lock", &at, e);
    for _ in 0..TRIES {
        let file = match root.open(LOCK, How::WRITE) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                match place(root, in_use, false).map_err(failed)? {
                    Some(guard) => return Ok(guard),
                    None => continue, // another one was faster
                }
            }
            Err(e) => return Err(failed(e)),
        };
        if let Some(guard) = file.try_lock().map_err(failed)? {
            let ours = file.stat().map_err(failed)?.id;
            match root.stat(LOCK) {
                Ok(meta) if meta.id == ours => {}
                _ => continue, // the name went to another file meanwhile
            }
            note(file.as_ref()).map_err(failed)?;
            return Ok(guard);
        }
        if only || how != HostLock::TakeOver {
            return Err(busy(root.as_ref(), file.as_ref(), only));
        }
        if let Some(guard) = place(root, in_use, true).map_err(failed)? {
            return Ok(guard);
        }
    }
    let text = "can't take the host lock: it changes hands all the time";
    Err(refusal(ErrorKind::Busy, &at, text))
}

/// Puts a new lock file in place, locked already; `None` when the name was taken.
fn place(
    root: &Arc<dyn Folder>,
    in_use: &InUse,
    over: bool,
) -> io::Result<Option<Box<dyn LockGuard>>> {
    let (mut temp, file) = Temp::create(root, in_use, How::WRITE, None)?;
    let Some(guard) = file.try_lock()? else {
        return Ok(None);
    };
    note(file.as_ref())?;
    let placed = match over {
        true => temp.publish_over(LOCK),
        false => temp.publish(LOCK),
    };
    match placed {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        other => other?,
    }
    root.sync()?;
    Ok(Some(guard))
}

/// Writes down who holds the lock, for the one that asks next.
fn note(file: &dyn File) -> io::Result<()> {
    let program = std::env::current_exe()
        .ok()
        .and_then(|p| Some(p.file_name()?.to_str()?.to_owned()));
    let program = program.as_deref().unwrap_or("unknown program");
    let text = format!(
        "pid {}\nprogram {:.200}\nsince {}\nhost {:.200}\n",
        std::process::id(),
        program.escape_default().to_string(),
        utc(SystemTime::now()),
        host().escape_default().to_string(),
    );
    file.set_len(0)?;
    write_all(file, &[text.as_bytes()], 0).map_err(|s| s.error)
}

fn busy(root: &dyn Folder, file: &dyn File, only: bool) -> Error {
    let mut bytes = [0; LONGEST_NOTE];
    let n = match read_full(file, &mut bytes, 0, 1) {
        Ok(n) => n,
        Err(e) => return fault("can't read who holds the host lock", root.path(), e),
    };
    let note = String::from_utf8_lossy(&bytes[..n]);
    let field = |key: &str| {
        let value = note.lines().find_map(|l| l.strip_prefix(key));
        value.map(str::trim).unwrap_or("unknown").to_owned()
    };
    let there = field("host ");
    let place = match there == host().escape_default().to_string() || there == "unknown" {
        true => String::new(),
        false => format!(" on the host {there}"),
    };
    let advice = match only {
        true => "stop that process first: it can't be fenced here",
        false => "stop that process, or take over from it with --take-over",
    };
    let text = format!(
        "in use by pid {}{place} ({}, since {}); {advice}",
        field("pid "),
        field("program "),
        field("since ")
    );
    refusal(ErrorKind::Busy, root.path(), &text)
}

/// A time as `2026-01-31T12:00:00Z`.
fn utc(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.unwrap_or(Duration::ZERO).as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to a date in eras of 400 years that begin on 1 March (H. Hinnant,
    // "chrono-compatible low-level date algorithms", civil_from_days).
    let z = days + 719_468;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + z / 146_097 * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let of = |s| utc(SystemTime::UNIX_EPOCH + Duration::from_secs(s));
        assert_eq!(of(0), "1970-01-01T00:00:00Z");
        assert_eq!(of(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(of(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(of(1_767_225_599), "2025-12-31T23:59:59Z");
    }
}
