//! The frame, with a small server of the system: started, killed, stopped,
//! restarted, and gone with whoever started it.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

use flushproof_testbed::{Bed, Place, Server};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Python's own HTTP server, twice.
struct Http;

fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_millis(300)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

impl Http {
    fn port(place: &Place, id: &str) -> u16 {
        place.ports[usize::from(id == "second")]
    }
}

impl Server for Http {
    fn name(&self) -> &'static str {
        "http"
    }
    fn installed(&self) -> Result<(), String> {
        let found = flushproof_testbed::install::find("python3");
        found.map(|_| ()).ok_or("python3".into())
    }
    fn install(&self) -> Result<(), String> {
        Err("not needed".into())
    }
    fn ports(&self) -> usize {
        2
    }
    fn prepare(&self, place: &Place) -> Result<(), String> {
        std::fs::write(place.folder.join("hello"), "").map_err(|e| e.to_string())
    }
    fn processes(&self) -> Vec<&'static str> {
        vec!["first", "second"]
    }
    fn command(&self, place: &Place, id: &str) -> Command {
        let mut command = Command::new("python3");
        command.args(["-m", "http.server", "--bind", "127.0.0.1"]);
        command.arg(Http::port(place, id).to_string());
        command.current_dir(&place.folder);
        command
    }
    fn ready(&self, place: &Place, id: &str) -> Result<bool, String> {
        Ok(ask(Http::port(place, id)).is_ok())
    }
    fn uri(&self, place: &Place) -> String {
        format!("http://127.0.0.1:{}/", place.ports[0])
    }
    fn env(&self, _: &Place) -> Vec<(String, String)> {
        vec![]
    }
}

struct Missing;

impl Server for Missing {
    fn name(&self) -> &'static str {
        "missing"
    }
    fn installed(&self) -> Result<(), String> {
        Err("the missing server".into())
    }
    fn install(&self) -> Result<(), String> {
        Ok(())
    }
    fn ports(&self) -> usize {
        0
    }
    fn prepare(&self, _: &Place) -> Result<(), String> {
        Ok(())
    }
    fn processes(&self) -> Vec<&'static str> {
        vec!["it"]
    }
    fn command(&self, _: &Place, _: &str) -> Command {
        Command::new("false")
    }
    fn ready(&self, _: &Place, _: &str) -> Result<bool, String> {
        Ok(false)
    }
    fn uri(&self, _: &Place) -> String {
        String::new()
    }
    fn env(&self, _: &Place) -> Vec<(String, String)> {
        vec![]
    }
}

#[test]
fn each_process_can_be_killed_stopped_woken_and_restarted() {
    let bed = Bed::start(&Http).unwrap();
    assert_ne!(bed.fresh_uri(), bed.fresh_uri());
    let (first, second) = (bed.process("first"), bed.process("second"));
    let ports = &bed.place().ports;
    let before = first.pid().unwrap();
    first.stop().unwrap();
    assert_eq!(first.state(), Some('T'));
    assert!(ask(ports[0]).is_err(), "a stopped process answered");
    assert!(ask(ports[1]).unwrap().contains("hello"));
    first.cont().unwrap();
    assert!(ask(ports[0]).unwrap().contains("hello"));
    second.kill().unwrap();
    assert_eq!(second.pid(), None);
    assert!(ask(ports[1]).is_err());
    second.start().unwrap();
    assert!(ask(ports[1]).unwrap().contains("hello"));
    first.restart().unwrap();
    assert_ne!(first.pid().unwrap(), before);
    let folder = bed.place().folder.clone();
    let ports = ports.clone();
    drop(bed);
    assert!(!folder.exists());
    assert!(ports.iter().all(|p| ask(*p).is_err()));
}

#[test]
fn a_server_that_is_not_installed_says_the_line_that_installs_it() {
    let why = Bed::start(&Missing).unwrap_err();
    assert!(why.contains("the missing server is missing"), "{why}");
    assert!(why.contains("cargo xtask servers install missing"), "{why}");
}

/// Not a test by itself: the process that the next one kills.
#[test]
fn child() {
    if std::env::var_os("FLUSHPROOF_FRAME_CHILD").is_some() {
        let bed = Bed::shared(&Http);
        println!(
            "up {} {}",
            bed.place().ports[0],
            bed.place().folder.display()
        );
        std::thread::sleep(Duration::from_secs(60));
    }
}

#[test]
fn a_server_goes_with_the_process_that_started_it() {
    use std::io::BufRead;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env("FLUSHPROOF_FRAME_CHILD", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let up = lines
        .map(|l| l.unwrap())
        .find_map(|l| l.split_once("up ").map(|(_, r)| r.to_owned()));
    let up = up.unwrap();
    let (port, folder) = up.split_once(' ').unwrap();
    let port = port.parse().unwrap();
    assert!(ask(port).is_ok());
    child.kill().unwrap();
    child.wait().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while ask(port).is_ok() || std::path::Path::new(folder).exists() {
        assert!(Instant::now() < end, "the server lives on");
        std::thread::sleep(Duration::from_millis(10));
    }
}
