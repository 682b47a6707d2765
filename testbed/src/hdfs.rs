//! HDFS: a NameNode and three DataNodes, each a Java process of its own.
//!
//! The jars come from Maven, pinned by the pom below. Times are short so that
//! tests are: a DataNode counts as stale after 3 s of silence, as dead after 12 s.

use crate::install::{apt, find, show_and_run};
use crate::{Place, Server, cache};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The release that is tested against.
const VERSION: &str = "3.5.0";
const DATANODES: [&str; 3] = ["datanode-1", "datanode-2", "datanode-3"];

const POM: &str = include_str!("hdfs/pom.xml");
const SETTINGS: &str = include_str!("hdfs/settings.txt");
const LOGGING: &str = include_str!("hdfs/log4j.properties");

/// NameNode and three DataNodes: `namenode`, `datanode-1` to `datanode-3`.
#[derive(Clone, Copy, Debug)]
pub struct Hdfs;

impl Hdfs {
    /// The folder with `core-site.xml` and `hdfs-site.xml`, for `HADOOP_CONF_DIR`.
    pub fn conf(self, place: &Place) -> PathBuf {
        place.folder.join("conf")
    }

    /// The address of the NameNode's HTTP server, for WebHDFS.
    pub fn http(self, place: &Place) -> String {
        format!("127.0.0.1:{}", place.ports[1])
    }

    /// Runs `hdfs dfsadmin` (quotas, safe mode) to its end; says what it printed.
    ///
    /// # Errors
    /// It failed: what it printed.
    pub fn dfsadmin(self, place: &Place, args: &[&str]) -> Result<String, String> {
        tool(place, "org.apache.hadoop.hdfs.tools.DFSAdmin", args)
    }

    /// Runs `hdfs ec` (erasure coding) to its end; says what it printed.
    ///
    /// # Errors
    /// It failed: what it printed.
    pub fn ecadmin(self, place: &Place, args: &[&str]) -> Result<String, String> {
        tool(place, "org.apache.hadoop.hdfs.tools.ECAdmin", args)
    }

    /// Runs `hdfs dfs` (modes, owners, files of others) to its end; says what it printed.
    ///
    /// # Errors
    /// It failed: what it printed.
    pub fn shell(self, place: &Place, args: &[&str]) -> Result<String, String> {
        tool(place, "org.apache.hadoop.fs.FsShell", args)
    }
}

fn tool(place: &Place, class: &str, args: &[&str]) -> Result<String, String> {
    let mut command = java(place, "-Xmx128m")?;
    command.arg(class).args(args);
    let output = command.output().map_err(|e| format!("java: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(text),
        false => {
            let words = String::from_utf8_lossy(&output.stderr);
            Err(format!(
                "{class} {args:?}: {}: {text}{words}",
                output.status
            ))
        }
    }
}

/// Where the jars are.
fn jars() -> Result<PathBuf, String> {
    Ok(cache()?.join(format!("hadoop-{VERSION}")).join("lib"))
}

/// Java with the class path, up to and without the main class.
fn java(place: &Place, heap: &str) -> Result<Command, String> {
    let java = find("java").ok_or("java is missing")?;
    let mut command = Command::new(java);
    command.args([
        heap,
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:+PerfDisableSharedMem",
        "-Xshare:auto",
        "-Djava.net.preferIPv4Stack=true",
        "-Dfile.encoding=UTF-8",
        "--add-opens=java.base/java.lang=ALL-UNNAMED",
        "-cp",
    ]);
    let conf = place.folder.join("conf");
    command.arg(format!("{}:{}/*", conf.display(), jars()?.display()));
    command.env_remove("HADOOP_CONF_DIR");
    Ok(command)
}

/// The number of a DataNode, from 0.
fn datanode(id: &str) -> Option<usize> {
    DATANODES.iter().position(|known| *known == id)
}

/// The ports of a DataNode: data, IPC, HTTP.
fn datanode_ports(place: &Place, n: usize) -> [u16; 3] {
    let first = 2 + 3 * n;
    [
        place.ports[first],
        place.ports[first + 1],
        place.ports[first + 2],
    ]
}

impl Server for Hdfs {
    fn name(&self) -> &'static str {
        "hdfs"
    }

    fn installed(&self) -> Result<(), String> {
        if find("java").is_none() {
            return Err("java (17 or newer)".into());
        }
        // Written last by `install`.
        match jars()?.join("complete").is_file() {
            true => Ok(()),
            false => Err(format!("Hadoop {VERSION}")),
        }
    }

    fn install(&self) -> Result<(), String> {
        if find("java").is_none() {
            apt(&["default-jdk-headless"], "Hadoop runs on Java")?;
        }
        if find("mvn").is_none() {
            apt(&["maven"], "it fetches Hadoop's jars")?;
        }
        let lib = jars()?;
        let folder = lib.parent().ok_or("the cache has no folder")?.to_owned();
        write(&folder.join("pom.xml"), &POM.replace("VERSION", VERSION))?;
        let mvn = find("mvn").ok_or("mvn is missing")?;
        let mut command = Command::new(mvn);
        command.current_dir(&folder).args(["-q", "-B", "-ntp"]);
        command.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
        command.arg("-DoutputDirectory=lib");
        show_and_run(command)?;
        write(&lib.join("complete"), VERSION)
    }

    fn ports(&self) -> usize {
        2 + 3 * DATANODES.len()
    }

    fn prepare(&self, place: &Place) -> Result<(), String> {
        let conf = self.conf(place);
        // The jars lack them, and the web servers look for them on the class path.
        for app in ["hdfs", "datanode", "static"] {
            folder(&conf.join("webapps").join(app))?;
        }
        let data = place.folder.join("data");
        let (rpc, http) = (place.ports[0], place.ports[1]);
        let core = [
            ("fs.defaultFS", format!("hdfs://127.0.0.1:{rpc}")),
            ("hadoop.tmp.dir", data.join("tmp").display().to_string()),
            ("hadoop.security.authentication", "simple".into()),
        ];
        let mut hdfs = vec![
            ("dfs.namenode.rpc-address", format!("127.0.0.1:{rpc}")),
            ("dfs.namenode.http-address", format!("127.0.0.1:{http}")),
            (
                "dfs.namenode.name.dir",
                format!("file://{}", data.join("namenode").display()),
            ),
        ];
        for line in SETTINGS.lines().filter(|l| !l.starts_with('#')) {
            if let Some((key, value)) = line.split_once('=') {
                hdfs.push((key, value.into()));
            }
        }
        write(&conf.join("core-site.xml"), &xml(&core))?;
        write(&conf.join("hdfs-site.xml"), &xml(&hdfs))?;
        write(&conf.join("log4j.properties"), LOGGING)?;
        let mut format = java(place, "-Xmx128m")?;
        format.arg("org.apache.hadoop.hdfs.server.namenode.NameNode");
        format.args(["-format", "-force", "-nonInteractive"]);
        let output = format.output().map_err(|e| format!("java: {e}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!(
                "the NameNode can't be formatted: {}",
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    }

    fn processes(&self) -> Vec<&'static str> {
        let mut all = vec!["namenode"];
        all.extend(DATANODES);
        all
    }

    fn command(&self, place: &Place, id: &str) -> Command {
        let Some(n) = datanode(id) else {
            let mut command = started(place, "-Xmx256m");
            command.arg("org.apache.hadoop.hdfs.server.namenode.NameNode");
            return command;
        };
        let mut command = started(place, "-Xmx160m");
        command.arg("org.apache.hadoop.hdfs.server.datanode.DataNode");
        let data = place.folder.join("data").join(id);
        let [transfer, ipc, http] = datanode_ports(place, n);
        command.arg(format!("-Ddfs.datanode.data.dir=file://{}", data.display()));
        command.arg(format!("-Ddfs.datanode.address=127.0.0.1:{transfer}"));
        command.arg(format!("-Ddfs.datanode.ipc.address=127.0.0.1:{ipc}"));
        command.arg(format!("-Ddfs.datanode.http.address=127.0.0.1:{http}"));
        command
    }

    fn ready(&self, place: &Place, id: &str) -> Result<bool, String> {
        let ports = datanode(id).map(|n| datanode_ports(place, n));
        if let Some([_, _, http]) = ports {
            let info = jmx(http, "DataNode,name=DataNodeInfo");
            // It has registered with the NameNode in this life of it.
            if !info.is_some_and(|i| i.contains("ActorState\\\":\\\"RUNNING")) {
                return Ok(false);
            }
        }
        let info = jmx(place.ports[1], "NameNode,name=NameNodeInfo");
        let awake = info.is_some_and(|i| i.contains("\"Safemode\" : \"\""));
        Ok(awake && live(place) >= up(place))
    }

    fn uri(&self, place: &Place) -> String {
        format!("hdfs://127.0.0.1:{}/journals", place.ports[0])
    }

    fn env(&self, place: &Place) -> Vec<(String, String)> {
        let conf = self.conf(place).display().to_string();
        vec![("HADOOP_CONF_DIR".into(), conf)]
    }
}

/// As [`java`]; that it is there was checked when the bed was started.
fn started(place: &Place, heap: &str) -> Command {
    java(place, heap).unwrap_or_else(|_| Command::new("java"))
}

/// How many DataNodes listen.
fn up(place: &Place) -> usize {
    (0..DATANODES.len())
        .filter(|n| TcpStream::connect(("127.0.0.1", datanode_ports(place, *n)[2])).is_ok())
        .count()
}

/// How many DataNodes the NameNode counts as alive.
fn live(place: &Place) -> usize {
    let state = jmx(place.ports[1], "NameNode,name=FSNamesystemState");
    state
        .and_then(|s| number(&s, "NumLiveDataNodes"))
        .unwrap_or(0)
}

fn number(text: &str, key: &str) -> Option<usize> {
    let (_, rest) = text.split_once(&format!("\"{key}\" : "))?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    rest[..end].parse().ok()
}

fn jmx(port: u16, bean: &str) -> Option<String> {
    http_get(port, &format!("/jmx?qry=Hadoop:service={bean}"))
}

/// The body of a small answer; none if there is no whole one.
fn http_get(port: u16, path: &str) -> Option<String> {
    let limit = Some(Duration::from_secs(5));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(limit).ok()?;
    stream.set_write_timeout(limit).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.lines().next()?.contains(" 200 ").then(|| body.into())
}

fn xml(settings: &[(&str, String)]) -> String {
    let mut text = String::from("<?xml version=\"1.0\"?>\n<configuration>\n");
    for (key, value) in settings {
        let _ = writeln!(
            text,
            "  <property><name>{key}</name><value>{value}</value></property>"
        );
    }
    text.push_str("</configuration>\n");
    text
}

fn folder(path: &Path) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    if let Some(parent) = file.parent() {
        folder(parent)?;
    }
    fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()))
}
