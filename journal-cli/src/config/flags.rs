//! A flag for each key, made from the table of keys.

use super::Values;
use super::keys::{KEYS, Key};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;

/// The values that were given as flags.
#[derive(Clone, Default)]
pub struct Flags {
    keys: Vec<(&'static str, String)>,
    backend: Vec<(String, String)>,
}

impl Flags {
    pub(super) fn add_to(&self, values: &mut Values) {
        for (key, value) in &self.keys {
            values.add("journal", key, value.clone(), &format!("--{}", dashed(key)));
        }
        for (key, value) in &self.backend {
            values.add("backend", key, value.clone(), "--backend");
        }
    }

    /// The same flags for a process of the same program.
    pub fn to_args(&self) -> Vec<OsString> {
        let keys = self
            .keys
            .iter()
            .map(|(k, v)| format!("--{}={v}", dashed(k)));
        let backend = self
            .backend
            .iter()
            .map(|(k, v)| format!("--backend={k}={v}"));
        keys.chain(backend).map(OsString::from).collect()
    }
}

/// Values may be secrets: only the keys are shown.
impl std::fmt::Debug for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys = self.keys.iter().map(|(k, _)| *k);
        f.debug_set().entries(keys).finish()
    }
}

fn dashed(key: &str) -> String {
    key.replace('_', "-")
}

/// The keys that have a flag: the place is an argument instead.
fn flagged() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|k| k.name != "folder")
}

fn flag(key: &Key) -> Arg {
    let arg = Arg::new(key.name)
        .long(dashed(key.name))
        .help(key.help)
        .help_heading("Configuration")
        .global(true)
        .hide_short_help(!matches!(key.name, "require"));
    match key.placeholder {
        "" => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("true|false"),
        placeholder => arg.value_name(placeholder),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        // The text may be a secret, so it is not repeated.
        _ => Err("say KEY=VALUE".into()),
    }
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        let command = flagged().fold(command, |c, key| c.arg(flag(key)));
        command.arg(
            Arg::new("backend")
                .long("backend")
                .value_name("KEY=VALUE")
                .help("An option of the backend; secrets belong in the file or in a variable")
                .help_heading("Configuration")
                .action(ArgAction::Append)
                .value_parser(pair)
                .global(true)
                .hide_short_help(true),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Flags, clap::Error> {
        let mut flags = Flags::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.keys = flagged()
            .filter_map(|k| Some((k.name, matches.get_one::<String>(k.name)?.clone())))
            .collect();
        let backend = matches.get_many::<(String, String)>("backend");
        self.backend = backend.into_iter().flatten().cloned().collect();
        Ok(())
    }
}
