//! How a journal is opened; told to other processes through their environment.

use crate::credentials;
use flushproof::{Config, Registry, StoreUri, Survives};
use std::process::Command;

const URI: &str = "FLUSHPROOF_CHILD_URI";
const OPTIONS: &str = "FLUSHPROOF_CHILD_OPTIONS";
const SLOW: &str = "FLUSHPROOF_CHILD_SLOW";

/// Everything that opens one journal, here or in another process.
#[derive(Clone, Debug)]
pub struct Access {
    /// The journal's place.
    pub uri: String,
    /// The backend's options, besides what [`env`](Self::env) says.
    pub options: Vec<(String, String)>,
    /// What the `journal` command needs in its environment. Here, and in the
    /// children, they are options of the backend.
    pub env: Vec<(String, String)>,
    /// Flushes are slow, and that is accepted.
    pub slow: bool,
    /// The backends of this test binary.
    pub registry: Registry,
}

impl Access {
    /// A place that needs nothing but its URI.
    pub fn new(uri: impl Into<String>, registry: Registry) -> Access {
        Access {
            uri: uri.into(),
            options: Vec::new(),
            env: Vec::new(),
            slow: false,
            registry,
        }
    }

    /// A configuration with segments of 64 KiB, so that they roll often. It
    /// requires no more than that a writer may crash: tests kill processes.
    pub fn config(&self) -> Config {
        let mut config = Config::new(StoreUri::parse(&self.uri).unwrap());
        config.registry = self.registry.clone();
        config.require = Survives::parse("writer-crash").unwrap();
        if config.folder.scheme() == "memory" {
            config.require = Survives::NOTHING;
        }
        config.accept_slow_flush = self.slow;
        config.segment_size = 64 << 10;
        for (key, value) in self.all_options() {
            config.options.set(key, value);
        }
        config
    }

    /// The backend's options, those from the environment's rows first.
    fn all_options(&self) -> Vec<(String, String)> {
        let env = self.env.iter();
        let env = env.flat_map(|(name, value)| credentials::options(name, value));
        env.chain(self.options.iter().cloned()).collect()
    }

    /// Tells a process of this test binary where the journal is.
    pub(crate) fn pass_to(&self, command: &mut Command) {
        let options = self.all_options().into_iter();
        let options: Vec<_> = options.map(|(k, v)| format!("{k}={v}")).collect();
        command
            .env(URI, &self.uri)
            .env(OPTIONS, options.join("\n"))
            .env(SLOW, self.slow.to_string());
    }

    /// What this process was told, if it is a child.
    pub(crate) fn of_this_process(registry: Registry) -> Option<Access> {
        let uri = std::env::var(URI).ok()?;
        let options = std::env::var(OPTIONS).unwrap_or_default();
        let pair = |line: &str| {
            let (key, value) = line.split_once('=').unwrap();
            (key.to_owned(), value.to_owned())
        };
        Some(Access {
            options: options.lines().map(pair).collect(),
            slow: std::env::var(SLOW).is_ok_and(|slow| slow == "true"),
            ..Access::new(uri, registry)
        })
    }

    /// The options, as the command finds them in its environment.
    pub fn variables(&self) -> Vec<(String, String)> {
        let option = |(key, value): &(String, String)| {
            (
                format!("JOURNAL_BACKEND_{}", key.to_uppercase()),
                value.clone(),
            )
        };
        let options = self.options.iter().map(option);
        options.chain(self.env.iter().cloned()).collect()
    }
}
