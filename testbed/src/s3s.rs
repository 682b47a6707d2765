//! S3 as `s3s-fs` has it: it looks whether a key is free and writes later, so of
//! two creators at the same moment both may succeed. No journal may be opened
//! there, and the tests see to that.
//!
//! There is no compiled package of the program, so it is compiled once, into the cache.

use crate::install::show_and_run;
use crate::s3::ask;
use crate::{Place, Server, cache};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const VERSION: &str = "0.13.0";
const BUCKET: &str = "journals";
const KEYS: (&str, &str) = ("flushproof", "flushproof-secret");

/// `s3s-fs` of a folder.
#[derive(Clone, Copy, Debug)]
pub struct S3s;

fn folder() -> Result<PathBuf, String> {
    Ok(cache()?.join("tools").join(format!("s3s-fs-{VERSION}")))
}

fn program() -> Result<PathBuf, String> {
    Ok(folder()?.join("bin").join("s3s-fs"))
}

impl Server for S3s {
    fn name(&self) -> &'static str {
        "s3s"
    }

    fn installed(&self) -> Result<(), String> {
        match program()?.is_file() {
            true => Ok(()),
            false => Err(format!("s3s-fs {VERSION}")),
        }
    }

    fn install(&self) -> Result<(), String> {
        println!("compiling s3s-fs {VERSION}, for 2 to 5 minutes");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut install = Command::new(cargo);
        install.args(["install", "--quiet", "--locked", "--debug"]);
        install.args(["--version", VERSION, "--features", "binary"]);
        install.arg("--root").arg(folder()?).arg("s3s-fs");
        show_and_run(install)
    }

    fn ports(&self) -> usize {
        1
    }

    fn prepare(&self, place: &Place) -> Result<(), String> {
        let bucket = place.folder.join("data").join(BUCKET);
        fs::create_dir_all(&bucket).map_err(|e| format!("{}: {e}", bucket.display()))
    }

    fn processes(&self) -> Vec<&'static str> {
        vec!["s3s-fs"]
    }

    fn command(&self, place: &Place, _: &str) -> Command {
        let mut command = Command::new(program().unwrap_or_else(|_| "s3s-fs".into()));
        command.current_dir(&place.folder);
        command.args(["--host", "127.0.0.1"]);
        command.args(["--port", &place.ports[0].to_string()]);
        command.args(["--access-key", KEYS.0, "--secret-key", KEYS.1, "data"]);
        command
    }

    fn ready(&self, place: &Place, _: &str) -> Result<bool, String> {
        Ok(ask(place.ports[0], "GET", "/", "").is_some())
    }

    fn uri(&self, _: &Place) -> String {
        format!("s3://{BUCKET}")
    }

    fn env(&self, place: &Place) -> Vec<(String, String)> {
        let endpoint = format!("http://127.0.0.1:{}", place.ports[0]);
        let pairs = [
            ("AWS_ACCESS_KEY_ID", KEYS.0),
            ("AWS_SECRET_ACCESS_KEY", KEYS.1),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &endpoint),
        ];
        let pairs = pairs.into_iter();
        pairs.map(|(k, v)| (k.into(), v.into())).collect()
    }
}
