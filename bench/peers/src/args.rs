//! What the command line says.

use crate::peer::{ALL, Contestant, Result};
use std::path::PathBuf;

const USAGE: &str = "known: --json FILE, --dir DIR, --quick, --blocks N, --tasks N,N,…, \
                     --only NAME (repeatable)";

/// What to run, and where.
pub struct Args {
    /// Where the rows go.
    pub json: Option<PathBuf>,
    /// Where the logs live: a directory on the disk to measure.
    pub dir: PathBuf,
    /// How many blocks are counted.
    pub blocks: usize,
    /// The numbers of concurrent appenders.
    pub tasks: Vec<usize>,
    /// Who takes part.
    pub contestants: Vec<Contestant>,
}

impl Args {
    /// Reads the command line.
    ///
    /// # Errors
    /// What is wrong with it, and what is known.
    pub fn parse(mut given: impl Iterator<Item = String>) -> Result<Args> {
        let mut args = Args {
            json: None,
            dir: PathBuf::from("target/peers"),
            blocks: 200,
            tasks: vec![1, 64, 1024],
            contestants: Vec::new(),
        };
        while let Some(arg) = given.next() {
            let mut value = || given.next().ok_or(format!("{arg} needs a value; {USAGE}"));
            match arg.as_str() {
                "--quick" => args.blocks = 60,
                "--json" => args.json = Some(value()?.into()),
                "--dir" => args.dir = value()?.into(),
                "--blocks" => args.blocks = positive(&arg, &value()?)?,
                "--tasks" => {
                    let tasks = value()?;
                    args.tasks = tasks
                        .split(',')
                        .map(|n| positive(&arg, n))
                        .collect::<Result<_>>()?;
                }
                "--only" => args.contestants.push(named(&value()?)?),
                _ => return Err(format!("unknown {arg}; {USAGE}").into()),
            }
        }
        if args.contestants.is_empty() {
            args.contestants = ALL.to_vec();
        }
        Ok(args)
    }
}

fn positive(arg: &str, text: &str) -> Result<usize> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(format!("{arg}: {text:?} is not a number above 0").into()),
    }
}

fn named(name: &str) -> Result<Contestant> {
    ALL.into_iter().find(|who| who.name == name).ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|who| format!("{:?}", who.name)).collect();
        format!("--only: no {name:?}; there are {}", names.join(", ")).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<Args> {
        Args::parse(line.iter().map(|arg| (*arg).to_owned()))
    }

    #[test]
    fn the_default_is_everyone() {
        let args = parse(&[]).unwrap();
        assert_eq!(args.contestants.len(), ALL.len());
        assert_eq!(args.tasks, [1, 64, 1024]);
    }

    #[test]
    fn some_can_be_chosen() {
        let args = parse(&["--only", "okaywal", "--tasks", "1,8", "--blocks", "3"]).unwrap();
        assert_eq!(args.contestants[0].name, "okaywal");
        assert_eq!((args.tasks, args.blocks), (vec![1, 8], 3));
    }

    #[test]
    fn errors_name_what_is_known() {
        for (line, text) in [
            (&["--onyl"][..], "--only"),
            (&["--only", "rocksdb"], "okaywal"),
            (&["--tasks", "0"], "above 0"),
            (&["--json"], "needs a value"),
        ] {
            let error = parse(line).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(text), "{line:?}: {error}");
        }
    }
}
