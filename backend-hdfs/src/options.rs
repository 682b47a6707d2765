//! Options of this backend, and Hadoop's own keys beside them.

use flushproof_api::{Error, ErrorKind, Options, Result};
use std::path::PathBuf;
use std::time::Duration;

/// What begins a key of Hadoop's, handed on as it is.
const HADOOP: [&str; 4] = ["dfs.", "fs.", "hadoop.", "ipc."];

const OWN: [&str; 9] = [
    "conf_dir",
    "user",
    "replication",
    "log_size",
    "timeout",
    "flush_timeout",
    "fence_timeout",
    "webhdfs",
    "check_pipeline",
];

/// Lengths are multiples of this: the usual least block of a NameNode.
pub(crate) const MIB: u64 = 1 << 20;

/// Where WebHDFS is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Web {
    /// As the Hadoop configuration says.
    #[default]
    Configured,
    /// Not to be used.
    Off,
    /// `host:port` of NameNodes.
    At(Vec<String>),
}

/// The options, read.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub conf_dir: Option<PathBuf>,
    pub user: Option<String>,
    /// `None`: `dfs.replication` of the configuration, else the NameNode's default.
    pub replication: Option<u32>,
    /// The longest log and its block, in bytes.
    pub log_size: u64,
    /// For one call to the NameNode.
    pub timeout: Duration,
    /// For one flush of a few bytes.
    pub flush_timeout: Duration,
    /// For a fence.
    pub fence_timeout: Duration,
    pub web: Web,
    /// Look after each flush how many DataNodes have it.
    pub check_pipeline: bool,
    /// Keys of Hadoop's.
    pub hadoop: Vec<(String, String)>,
}

/// Values of Hadoop's keys may be secrets: only the keys are shown.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hadoop: Vec<_> = self.hadoop.iter().map(|(key, _)| key).collect();
        f.debug_struct("Settings")
            .field("conf_dir", &self.conf_dir)
            .field("user", &self.user)
            .field("replication", &self.replication)
            .field("log_size", &self.log_size)
            .field("web", &self.web)
            .field("hadoop", &hadoop)
            .finish_non_exhaustive()
    }
}

impl Settings {
    pub fn read(options: &Options) -> Result<Settings> {
        let foreign = |key: &&str| HADOOP.iter().any(|prefix| key.starts_with(prefix));
        let mut known: Vec<&str> = OWN.to_vec();
        known.extend(options.keys().filter(foreign));
        options.check_known(&known)?;
        let time = |key: &str, default: u64| {
            let time = options
                .duration(key)?
                .unwrap_or(Duration::from_secs(default));
            match time.is_zero() {
                true => wrong(format!("option {key} must be longer than 0")),
                false => Ok(time),
            }
        };
        let replication = options.u64("replication")?;
        if replication.is_some_and(|n| n == 0 || n > 512) {
            return wrong("option replication takes a number from 1 to 512".into());
        }
        let log_size = options.u64("log_size")?.unwrap_or(64 * MIB);
        if !(8 * MIB..=1 << 40).contains(&log_size) {
            return wrong(format!(
                "option log_size takes a length in bytes from {} to {}, not {log_size}",
                8 * MIB,
                1u64 << 40
            ));
        }
        let pair = |key: &str| Some((key.to_owned(), options.get(key)?.to_owned()));
        Ok(Settings {
            conf_dir: options.get("conf_dir").map(PathBuf::from),
            user: options.get("user").map(str::to_owned),
            replication: replication.map(|n| n as u32),
            log_size: log_size.next_multiple_of(MIB),
            timeout: time("timeout", 5)?,
            flush_timeout: time("flush_timeout", 2)?,
            fence_timeout: time("fence_timeout", 50)?,
            web: web(options.get("webhdfs"))?,
            check_pipeline: options.bool("check_pipeline")?.unwrap_or(false),
            hadoop: options.keys().filter(foreign).filter_map(pair).collect(),
        })
    }

    /// How long a flush of `len` bytes may take: each 4 MiB get a second more.
    pub fn flush_limit(&self, len: usize) -> Duration {
        self.flush_timeout + Duration::from_millis(len as u64 / 4096)
    }

    /// How long a reading, or a call that moves `len` bytes, may take.
    pub fn limit(&self, len: u64) -> Duration {
        self.timeout + Duration::from_millis(len / 4096)
    }
}

fn web(value: Option<&str>) -> Result<Web> {
    let Some(value) = value.map(str::trim) else {
        return Ok(Web::Configured);
    };
    if value == "off" {
        return Ok(Web::Off);
    }
    let addresses: Vec<String> = value.split(',').map(|a| a.trim().to_owned()).collect();
    let fine = |a: &String| {
        let port = a
            .rsplit_once(':')
            .map(|(host, port)| (host, port.parse::<u16>()));
        matches!(port, Some((host, Ok(1..))) if !host.is_empty() && !host.contains('/'))
    };
    match addresses.iter().all(fine) {
        true => Ok(Web::At(addresses)),
        false => wrong(format!(
            "option webhdfs takes off or host:port of the NameNode's HTTP server (several with a \
             comma), not {value:?}"
        )),
    }
}

fn wrong<T>(text: String) -> Result<T> {
    Err(Error::new(ErrorKind::InvalidInput, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(key: &str, value: &str) -> String {
        let options = Options::new().with(key, value);
        Settings::read(&options).unwrap_err().to_string()
    }

    #[test]
    fn fc_11_wrong_options_say_what_is_right() {
        assert!(error("flush_timout", "1s").contains("did you mean flush_timeout"));
        assert!(error("timeout", "0s").contains("longer than 0"));
        assert!(error("replication", "0").contains("from 1 to 512"));
        assert!(error("log_size", "1000").contains("8388608"));
        for wrong in ["", "host", ":1", "host:0", "host:x", "http://host:1/"] {
            assert!(error("webhdfs", wrong).contains("host:port"), "{wrong}");
        }
    }

    #[test]
    fn hadoops_keys_are_handed_on_and_not_shown() {
        let options = Options::new()
            .with("dfs.replication", "2")
            .with("hadoop.secret", "hunter2")
            .with("webhdfs", "a:1, b:2")
            .with("log_size", "8388609");
        let settings = Settings::read(&options).unwrap();
        assert_eq!(settings.hadoop.len(), 2);
        assert_eq!(settings.web, Web::At(vec!["a:1".into(), "b:2".into()]));
        assert_eq!(settings.log_size, 9 * MIB);
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn fc_12_long_batches_get_more_time() {
        let settings = Settings::read(&Options::new()).unwrap();
        assert_eq!(settings.flush_limit(0), Duration::from_secs(2));
        let long = settings.flush_limit(8 << 20);
        assert!(Duration::from_secs(4) < long && long < Duration::from_millis(4200));
    }
}
