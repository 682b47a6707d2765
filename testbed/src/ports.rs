//! Loopback ports that no other bed has.
//!
//! They lie below the range from which the system takes ports for outgoing
//! connections, so nothing takes one while its server restarts. A lock file for
//! each keeps other test processes away from it.

use crate::place::cache;
use std::fs::{File, TryLockError};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 20_000;
const COUNT: u32 = 10_000;

/// Ports, held until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    pub(crate) numbers: Vec<u16>,
    /// Locked while they are open.
    _locks: Vec<File>,
}

/// Takes `count` free ports.
pub(crate) fn take(count: usize) -> Result<Ports, String> {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let folder = cache()?.join("ports");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut ports = Ports::default();
    // Processes begin at different places, so that they rarely meet.
    let begin = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        if ports.numbers.len() == count {
            return Ok(ports);
        }
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + begin.wrapping_add(tried) % COUNT;
        let port = u16::try_from(port).map_err(|e| e.to_string())?;
        let file = folder.join(port.to_string());
        let file = File::create(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(e)) => return Err(format!("{}: {e}", folder.display())),
        }
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            ports.numbers.push(port);
            ports._locks.push(file);
        }
    }
    Err(format!("there are no {count} free ports on 127.0.0.1"))
}
