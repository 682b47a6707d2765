//! The command on real servers, one bed of each for all tests here. The fast
//! loop (`cargo xtask test`) leaves this module out.

#[cfg(feature = "object")]
mod object;

use crate::stores::{all_subcommands, demo};
use flushproof::Registry;
use flushproof_store_tests::{ServerPlace, Store};
use flushproof_testbed::Server;
use std::time::Duration;

/// A store on a server that nobody here kills.
fn on(server: &'static dyn Server, slow: bool) -> Store {
    let place = ServerPlace {
        server,
        killed: &[],
        stopped: &[],
        replicated: false,
        goes_on: Duration::ZERO,
    };
    Store {
        slow,
        ..Store::server(Registry::new(), place)
    }
}

/// What must hold on every server.
macro_rules! on_every_server {
    () => {
        #[test]
        fn every_subcommand() {
            all_subcommands(&store());
        }

        #[test]
        fn the_demo() {
            demo(&store());
        }
    };
}

#[cfg(feature = "nfs")]
mod nfs {
    use super::*;
    use crate::process::{Place, run};
    use flushproof_testbed::{Bed, nfs::NFS};

    fn store() -> Store {
        on(&NFS, false)
    }

    on_every_server!();

    /// The command at another export of the bed, which ends with 1.
    fn fails_at(export: &str, args: &[&str]) -> String {
        let bed = Bed::shared(&NFS);
        let root = bed.uri();
        let (server, _) = root.rsplit_once('/').unwrap();
        let place = Place::new();
        let mut command = place.command(args);
        command.arg(format!("{server}/{export}/j")).envs(bed.env());
        run(command, "").fails(1)
    }

    #[test]
    fn a_wrong_export_names_the_right_ones() {
        for command in ["info", "format", "append", "doctor"] {
            let e = fails_at("exprot", &[command]);
            assert!(e.contains("/export"), "{command}: {e}");
        }
    }

    #[test]
    fn a_read_only_export_says_so() {
        for command in ["format", "doctor"] {
            let e = fails_at("readonly", &[command]);
            assert!(e.contains("read-only"), "{command}: {e}");
        }
    }
}

#[cfg(feature = "hdfs")]
mod hdfs {
    use super::*;
    use crate::process::run;
    use crate::stores::Journal;
    use flushproof_testbed::hdfs::Hdfs;

    fn store() -> Store {
        on(&Hdfs, false)
    }

    on_every_server!();

    #[test]
    fn no_permission_says_so() {
        let journal = Journal::fresh(&store());
        for args in [
            ["format", "--backend=user=nobody"],
            ["doctor", "--backend=user=nobody"],
        ] {
            let e = run(journal.command(&args), "").fails(1);
            assert!(e.contains("ermission") && e.contains("nobody"), "{e}");
        }
    }
}

#[cfg(feature = "object")]
mod s3 {
    use super::*;
    use crate::process::run;
    use crate::stores::Journal;
    use flushproof_testbed::{Bed, s3::S3};
    use std::process::Command;

    fn store() -> Store {
        on(&S3, true)
    }

    on_every_server!();

    #[test]
    fn slow_flushes_need_consent() {
        object::consent(&store());
    }

    #[test]
    fn credentials_that_are_missing_or_wrong() {
        let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        let without = |command: &mut Command| {
            for name in names {
                command.env_remove(name);
            }
        };
        let wrong = |command: &mut Command| {
            command.env("AWS_SECRET_ACCESS_KEY", "hunter2-hunter2");
        };
        object::credentials(&store(), &names, &without, &wrong);
    }

    #[test]
    fn a_bucket_that_is_not_there() {
        // SeaweedFS makes a bucket for whoever may, when something is written.
        object::no_bucket(&store(), "s3", &["info"], "does not exist");
    }

    #[test]
    fn secrets_are_in_no_output() {
        let env = Bed::shared(&S3).env();
        let secret = env.iter().find(|(k, _)| k == "AWS_SECRET_ACCESS_KEY");
        object::secrets(&store(), &secret.unwrap().1);
    }

    #[test]
    fn who_may_only_read_reads_and_is_told_the_rest() {
        let journal = Journal::fresh(&store());
        journal.run(&["format"], "").succeeds();
        journal.run(&["append"], "x\n").succeeds();
        let as_reader = |args: &[&str]| {
            let (key, secret) = S3.reader();
            let mut command = journal.command(args);
            command.env("AWS_ACCESS_KEY_ID", key);
            command.env("AWS_SECRET_ACCESS_KEY", secret);
            command.env("JOURNAL_ACCEPT_SLOW_FLUSH", "true");
            run(command, "y\n")
        };
        assert_eq!(as_reader(&["cat", "--raw"]).succeeds(), "x\n");
        as_reader(&["info"]).succeeds();
        as_reader(&["verify"]).succeeds();
        for command in ["append", "doctor"] {
            let e = as_reader(&[command]).fails(1);
            assert!(
                e.contains("credentials") && e.contains("may"),
                "{command}: {e}"
            );
        }
    }
}

#[cfg(feature = "object")]
mod azure {
    use super::*;
    use flushproof_testbed::{Bed, azure::Azure};
    use std::process::Command;

    fn store() -> Store {
        on(&Azure, true)
    }

    on_every_server!();

    #[test]
    fn slow_flushes_need_consent() {
        object::consent(&store());
    }

    #[test]
    fn credentials_that_are_missing_or_wrong() {
        object::credentials(
            &store(),
            &["AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY"],
            &|command| with_key(command, None),
            &|command| with_key(command, Some("aHVudGVyMi1odW50ZXIy")),
        );
    }

    /// The connection string with another key.
    fn with_key(command: &mut Command, key: Option<&str>) {
        let endpoint = Azure.endpoint(Bed::shared(&Azure).place());
        let (account, _) = Azure.account();
        let mut text = format!("AccountName={account};BlobEndpoint={endpoint}");
        if let Some(key) = key {
            text.push_str(&format!(";AccountKey={key}"));
        }
        command.env("AZURE_STORAGE_CONNECTION_STRING", text);
    }

    #[test]
    fn a_container_that_is_not_there() {
        let all = ["info", "format", "append", "doctor"];
        object::no_bucket(&store(), "azblob", &all, "does not exist");
    }

    #[test]
    fn secrets_are_in_no_output() {
        let (_, key) = Azure.account();
        object::secrets(&store(), key);
    }
}
