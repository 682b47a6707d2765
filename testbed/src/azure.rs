//! Azure Blob: Azurite, a process of Node.js.
//!
//! It is installed by npm from the lock file below. Its metadata is saved now
//! and then only, so it does not survive kill -9: nothing here kills it.

use crate::install::{apt, find, show_and_run};
use crate::{Place, Server, cache};
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

const PACKAGE: &str = include_str!("azure/package.json");
const LOCK: &str = include_str!("azure/package-lock.json");
const MAKE_CONTAINER: &str = include_str!("azure/make-container.js");

const CONTAINER: &str = "journals";
/// The account that every Azurite has; its key is public.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Azurite's blob service: `azurite`.
#[derive(Clone, Copy, Debug)]
pub struct Azure;

impl Azure {
    /// The endpoint of the account.
    pub fn endpoint(self, place: &Place) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", place.ports[0])
    }

    /// The account and its key.
    pub fn account(self) -> (&'static str, &'static str) {
        (ACCOUNT, KEY)
    }
}

/// The version that the lock file pins.
fn version() -> &'static str {
    let pinned = PACKAGE.split_once("\"azurite\": \"");
    pinned.map_or("", |(_, rest)| rest.split('"').next().unwrap_or(""))
}

fn folder() -> Result<PathBuf, String> {
    Ok(cache()?.join(format!("azurite-{}", version())))
}

fn node() -> Command {
    Command::new(find("node").unwrap_or_else(|| "node".into()))
}

impl Server for Azure {
    fn name(&self) -> &'static str {
        "azure"
    }

    fn installed(&self) -> Result<(), String> {
        if find("node").is_none() {
            return Err("node (20 or newer)".into());
        }
        // Written last by `install`.
        match folder()?.join("complete").is_file() {
            true => Ok(()),
            false => Err(format!("Azurite {}", version())),
        }
    }

    fn install(&self) -> Result<(), String> {
        if find("npm").is_none() {
            apt(&["nodejs", "npm"], "Azurite runs on Node.js")?;
        }
        let folder = folder()?;
        let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
        fs::create_dir_all(&folder).map_err(failed)?;
        fs::write(folder.join("package.json"), PACKAGE).map_err(failed)?;
        fs::write(folder.join("package-lock.json"), LOCK).map_err(failed)?;
        let mut npm = Command::new(find("npm").ok_or("npm is missing")?);
        npm.current_dir(&folder);
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        show_and_run(npm)?;
        fs::write(folder.join("complete"), version()).map_err(failed)
    }

    fn ports(&self) -> usize {
        1
    }

    fn prepare(&self, place: &Place) -> Result<(), String> {
        let file = place.folder.join("make-container.js");
        fs::write(&file, MAKE_CONTAINER).map_err(|e| format!("{}: {e}", file.display()))
    }

    fn processes(&self) -> Vec<&'static str> {
        vec!["azurite"]
    }

    fn command(&self, place: &Place, _: &str) -> Command {
        let script = folder().unwrap_or_default();
        let script = script.join("node_modules/azurite/dist/src/blob/main.js");
        let mut command = node();
        command.arg(script).args(["--blobHost", "127.0.0.1"]);
        command.args(["--blobPort", &place.ports[0].to_string()]);
        command.arg("--location").arg(place.folder.join("data"));
        command.args(["--silent", "--disableTelemetry", "--skipApiVersionCheck"]);
        command
    }

    fn ready(&self, place: &Place, _: &str) -> Result<bool, String> {
        Ok(TcpStream::connect(("127.0.0.1", place.ports[0])).is_ok())
    }

    fn populate(&self, place: &Place) -> Result<(), String> {
        let mut command = node();
        command.arg(place.folder.join("make-container.js"));
        command.args([&self.endpoint(place), ACCOUNT, KEY, CONTAINER]);
        let output = command.output().map_err(|e| format!("node: {e}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!(
                "the container can't be made: {}",
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    }

    fn uri(&self, _: &Place) -> String {
        format!("azblob://{CONTAINER}")
    }

    fn env(&self, place: &Place) -> Vec<(String, String)> {
        let text = format!(
            "DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={}",
            self.endpoint(place)
        );
        vec![("AZURE_STORAGE_CONNECTION_STRING".into(), text)]
    }
}
