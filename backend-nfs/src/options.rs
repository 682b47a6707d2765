//! Options of this backend.
//!
//! | option | takes | default |
//! | --- | --- | --- |
//! | `timeout` | how long one operation may take: `10s`; at least 100 ms | 10 s |
//! | `port` | the port of the NFS service; one in the URI wins | the portmapper's word, or 2049 |
//! | `mount_port` | the port of the MOUNT service, where there is no portmapper | the portmapper's word, or the NFS port |
//! | `portmap_port` | the port of the portmapper | 111 |
//! | `uid`, `gid`, `groups` | as whom to call (AUTH_SYS); `groups` is a list with commas | those of the process |
//! | `source_port` | `auto`: a reserved one (below 1024) where the system gives one; `any` | `auto` |

use flushproof_api::{Error, ErrorKind, Options, Result};
use std::time::Duration;

const KNOWN: [&str; 8] = [
    "timeout",
    "port",
    "mount_port",
    "portmap_port",
    "uid",
    "gid",
    "groups",
    "source_port",
];
const TIMEOUT: Duration = Duration::from_secs(10);
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);
const PORTMAP: u16 = 111;

/// The options, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The deadline of an operation.
    pub timeout: Duration,
    pub port: Option<u16>,
    pub mount_port: Option<u16>,
    pub portmap_port: u16,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    /// Try to get a reserved source port.
    pub reserved: bool,
}

impl Settings {
    pub fn read(options: &Options) -> Result<Settings> {
        options.check_known(&KNOWN)?;
        let timeout = options.duration("timeout")?.unwrap_or(TIMEOUT);
        if timeout < SHORTEST_TIMEOUT {
            return Err(wrong("timeout", "at least 100ms"));
        }
        let reserved = match options.get("source_port").map(str::trim) {
            None | Some("auto") => true,
            Some("any") => false,
            Some(_) => return Err(wrong("source_port", "auto or any")),
        };
        Ok(Settings {
            timeout,
            port: port(options, "port")?,
            mount_port: port(options, "mount_port")?,
            portmap_port: port(options, "portmap_port")?.unwrap_or(PORTMAP),
            uid: id(options, "uid")?.unwrap_or_else(|| nix::unistd::geteuid().as_raw()),
            gid: id(options, "gid")?.unwrap_or_else(|| nix::unistd::getegid().as_raw()),
            groups: groups(options)?,
            reserved,
        })
    }
}

fn wrong(key: &str, takes: &str) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("option {key} takes {takes}"),
    )
}

fn port(options: &Options, key: &str) -> Result<Option<u16>> {
    let Some(n) = options.u64(key)? else {
        return Ok(None);
    };
    match u16::try_from(n) {
        Ok(port) if port != 0 => Ok(Some(port)),
        _ => Err(wrong(key, "a port, 1 to 65535")),
    }
}

fn id(options: &Options, key: &str) -> Result<Option<u32>> {
    let Some(n) = options.u64(key)? else {
        return Ok(None);
    };
    let id = u32::try_from(n).map_err(|_| wrong(key, "a number of 32 bits"))?;
    Ok(Some(id))
}

/// Those of the process, unless it calls as another user.
fn groups(options: &Options) -> Result<Vec<u32>> {
    let Some(text) = options.get("groups") else {
        let other = options.get("uid").is_some() || options.get("gid").is_some();
        let own = if other {
            Vec::new()
        } else {
            nix::unistd::getgroups().unwrap_or_default()
        };
        return Ok(own.into_iter().map(nix::unistd::Gid::as_raw).collect());
    };
    let numbers = text.split(',').map(str::trim).filter(|t| !t.is_empty());
    let groups: Option<Vec<u32>> = numbers.map(|t| t.parse().ok()).collect();
    match groups {
        Some(groups) if groups.len() <= 16 => Ok(groups),
        _ => Err(wrong("groups", "at most 16 numbers with commas between")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fc_11_wrong_options_say_what_is_right() {
        for (key, value, says) in [
            ("mont_port", "1", "did you mean mount_port"),
            ("port", "0", "1 to 65535"),
            ("mount_port", "65536", "1 to 65535"),
            ("uid", "4294967296", "32 bits"),
            ("gid", "x", "whole number"),
            ("groups", "1,x", "commas"),
            ("timeout", "5ms", "at least 100ms"),
            ("source_port", "low", "auto or any"),
        ] {
            let e = Settings::read(&Options::new().with(key, value)).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidInput);
            assert!(e.to_string().contains(says), "{e}");
        }
    }

    #[test]
    fn another_user_does_not_bring_our_groups() {
        let options = Options::new().with("uid", "7").with("gid", "8");
        let settings = Settings::read(&options).unwrap();
        assert_eq!((settings.uid, settings.gid), (7, 8));
        assert!(settings.groups.is_empty());
        let settings = Settings::read(&options.with("groups", "1, 2")).unwrap();
        assert_eq!(settings.groups, [1, 2]);
    }
}
