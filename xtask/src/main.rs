//! Project tasks: `cargo xtask help` lists them. Hardly any dependencies, because this is compiled first.
//!
//! | module | is about |
//! | --- | --- |
//! | `tasks` | what each command runs |
//! | `run` | running steps, what they took, and what to say when one fails |
//! | `needs` | programs that must be there; installs them and says so |
//! | `deny` | cargo-deny, and where it comes from |
//! | `semver` | the frozen trait crate against its tag |
//! | `soak` | the scenarios on every store with large counts |
//! | `servers` | the real servers of the tests, by hand |
//! | `tidy` | rules of this repository as code |

mod deny;
mod needs;
mod run;
mod semver;
mod servers;
mod soak;
mod tasks;
mod tidy;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask COMMAND

  ci                  everything that must pass; installs what it needs and says so
  test                the fast loop: tidy and all tests, no servers
  soak                the same with larger counts, and the model's large bounds (hours)
  soak STORE...       only the scenarios on these stores (hdfs nfs s3 azure local …), and a
                      table of what they did
  tidy                the repository's rules
  deny                licences, bans and sources of dependencies
  semver              the frozen trait crate against the tag at which it was frozen
  fmt | lint | doc    one step of ci
  model [--large]     the exhaustive model of the protocol, in release
  servers COMMAND     install, start, kill, restart the real servers of the tests
                      (cargo xtask servers help)
  fuzz [SECONDS]      the fuzz drivers, on stable Rust
  bench [--quick] [--json FILE] [--dir DIR]
                      the journal beside its floors; --quick takes up to 3 minutes
  bench --backups     backup and restore beside pigz, their memory, appends meanwhile
  bench --stores all|LIST [--quick] [--json FILE]
                      on real servers (hdfs,nfs,s3,azure), beside the bare call of each
  peers [ARGS]        the journal beside other logs (bench/peers; see its README)
  help                this

soak sets these, unless the environment does; any test run obeys them:
  FLUSHPROOF_ROUNDS=200         kill -9 of a writer under load
  FLUSHPROOF_ZOMBIE_ROUNDS=50   a stopped and woken primary
  FLUSHPROOF_CUTS=20            power cuts drawn at each point of the simulated disk
  FLUSHPROOF_FUZZ_SECONDS=600   each fuzz driver
and for the scenarios on every store (store-tests):
  FLUSHPROOF_ROUNDS=30 FLUSHPROOF_ZOMBIE_ROUNDS=20
  FLUSHPROOF_SERVER_KILLS=20    kill -9 of a server's process under load";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["ci"] => tasks::ci(),
        ["test"] => tasks::test(),
        ["soak", ref stores @ ..] => tasks::soak(stores),
        ["tidy"] => tasks::alone(tidy::step()),
        ["deny"] => tasks::alone(deny::step()),
        ["semver"] => tasks::alone(semver::step()),
        ["fmt"] => tasks::alone(tasks::fmt()),
        ["lint"] => tasks::alone(tasks::lint()),
        ["doc"] => tasks::alone(tasks::doc()),
        ["model", ref rest @ ..] => tasks::alone(tasks::model(rest)),
        ["fuzz"] => tasks::alone(tasks::fuzz("60")),
        ["fuzz", seconds] => tasks::alone(tasks::fuzz(seconds)),
        ["bench", ref rest @ ..] => tasks::alone(tasks::bench(rest)),
        ["peers", ref rest @ ..] => tasks::alone(tasks::peers(rest)),
        ["servers"] | ["servers", "help" | "--help" | "-h"] => {
            println!("{}", servers::HELP);
            return ExitCode::SUCCESS;
        }
        ["servers", ref rest @ ..] => match servers::servers(rest) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("{why}");
                return ExitCode::FAILURE;
            }
        },
        ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("{failed}");
            ExitCode::FAILURE
        }
    }
}
