//! A flag for each key, made from the table of keys.

use super::Values;
use super::keys::{BACKENDS, KEYS, Key};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;

/// The values that were given as flags.
#[derive(Clone, Default)]
pub struct Flags {
    keys: Vec<(&'static Key, String)>,
    /// Section, key and value of options.
    options: Vec<(&'static str, String, String)>,
}

impl Flags {
    pub(super) fn add_to(&self, values: &mut Values) {
        for (key, value) in &self.keys {
            let origin = format!("--{}", dashed(&key.full()));
            values.add(key.section, key.name, value.clone(), &origin);
        }
        for (section, key, value) in &self.options {
            values.add(
                section,
                key,
                value.clone(),
                &format!("--{}", dashed(section)),
            );
        }
    }

    /// The same flags for a process of the same program.
    pub fn to_args(&self) -> Vec<OsString> {
        let keys = self
            .keys
            .iter()
            .map(|(k, v)| format!("--{}={v}", dashed(&k.full())));
        let options = self
            .options
            .iter()
            .map(|(section, k, v)| format!("--{}={k}={v}", dashed(section)));
        keys.chain(options).map(OsString::from).collect()
    }
}

/// Values may be secrets: only the keys are shown.
impl std::fmt::Debug for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys = self.keys.iter().map(|(k, _)| k.full());
        f.debug_set().entries(keys).finish()
    }
}

fn dashed(key: &str) -> String {
    key.replace('_', "-")
}

/// The keys that have a flag: the place is an argument instead.
fn flagged() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|k| k.full() != "folder")
}

fn flag(key: &Key) -> Arg {
    let arg = Arg::new(key.full())
        .long(dashed(&key.full()))
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

fn options(section: &'static str) -> Arg {
    let help = match section {
        "backend" => "An option of the backend; secrets belong in the file or in a variable",
        "backup_backend" => "An option of the backend on which backups lie",
        "archive_backend" => "An option of the backend on which the archive lies",
        _ => "copy, repair: an option of the other place's backend",
    };
    Arg::new(section)
        .long(dashed(section))
        .value_name("KEY=VALUE")
        .help(help)
        .help_heading("Configuration")
        .action(ArgAction::Append)
        .value_parser(pair)
        .global(true)
        .hide_short_help(true)
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
        BACKENDS
            .iter()
            .fold(command, |c, section| c.arg(options(section)))
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
            .filter_map(|k| Some((k, matches.get_one::<String>(&k.full())?.clone())))
            .collect();
        self.options.clear();
        for section in BACKENDS {
            let given = matches.get_many::<(String, String)>(section);
            let given = given.into_iter().flatten().cloned();
            self.options.extend(given.map(|(k, v)| (section, k, v)));
        }
        Ok(())
    }
}
