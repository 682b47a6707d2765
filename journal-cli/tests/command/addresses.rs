//! A wrong address of every kind of server: an error in bounded time, which says
//! where it looked and what to do. No server is needed.

use crate::process::{Place, Ran, run_within};
use std::net::TcpListener;
use std::time::Duration;

/// How long any subcommand may take to find out.
const LIMIT: Duration = Duration::from_secs(20);

/// A URI and an environment that lead to this address.
type Leading = fn(&str) -> (String, Vec<(&'static str, String)>);

fn nfs(address: &str) -> (String, Vec<(&'static str, String)>) {
    let (_, port) = address.split_once(':').unwrap();
    let env = vec![("JOURNAL_BACKEND_MOUNT_PORT", port.to_owned())];
    (format!("nfs://{address}/export/j"), env)
}

fn hdfs(address: &str) -> (String, Vec<(&'static str, String)>) {
    (format!("hdfs://{address}/j"), Vec::new())
}

fn s3(address: &str) -> (String, Vec<(&'static str, String)>) {
    let env = [
        ("AWS_ENDPOINT_URL", format!("http://{address}")),
        ("AWS_ACCESS_KEY_ID", "key".into()),
        ("AWS_SECRET_ACCESS_KEY", "hunter2-hunter2".into()),
    ];
    ("s3://bucket/j".into(), env.into())
}

fn azblob(address: &str) -> (String, Vec<(&'static str, String)>) {
    let text = format!(
        "AccountName=account;AccountKey=aHVudGVyMi1odW50ZXIy;BlobEndpoint=http://{address}/account"
    );
    let env = vec![("AZURE_STORAGE_CONNECTION_STRING", text)];
    ("azblob://container/j".into(), env)
}

/// Runs subcommands that look there for a journal or would make one, all at the
/// same time; gives each one's words and its error.
fn all_fail(leading: Leading, address: &str) -> Vec<String> {
    let commands = [&["info"][..], &["format"], &["append"], &["doctor"]];
    let run = |args: &[&str]| -> Ran {
        let place = Place::new();
        let (uri, env) = leading(address);
        let mut command = place.command(args);
        command.arg("--accept-slow-flush").arg(uri).envs(env);
        run_within(LIMIT, command, "")
    };
    let run = &run;
    std::thread::scope(|scope| {
        let all = commands.map(|args| scope.spawn(move || run(args)));
        let all = all.map(|one| one.join().unwrap());
        all.map(|ran| ran.fails(1)).into()
    })
}

fn check(leading: Leading) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("127.0.0.1:{}", silent.local_addr().unwrap().port());
    for address in ["127.0.0.1:1", &silent, "no-such-host.invalid:4321"] {
        for e in all_fail(leading, address) {
            let host = address.split(':').next().unwrap();
            assert!(e.contains(host), "{address}: it does not say where: {e}");
            assert!(!e.contains("hunter2") && !e.contains("aHVudGVy"), "{e}");
            assert_eq!(e.lines().count(), 1, "{address}: {e}");
            eprintln!("{address}: {e}");
        }
    }
}

#[cfg(feature = "nfs")]
#[test]
fn nfs_servers_that_are_not_there() {
    check(nfs);
}

#[cfg(feature = "hdfs")]
#[test]
fn name_nodes_that_are_not_there() {
    check(hdfs);
}

#[cfg(feature = "object")]
#[test]
fn s3_endpoints_that_are_not_there() {
    check(s3);
}

#[cfg(feature = "object")]
#[test]
fn azure_endpoints_that_are_not_there() {
    check(azblob);
}
