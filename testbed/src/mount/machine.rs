//! A machine that runs.

use super::cpio::Archive;
use super::{MODULES, QEMU, busybox, kernel, module, require};
use crate::install::find;
use crate::place::Place;
use crate::process::Process;
use crate::watchdog::Watchdog;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The address of this machine's loopback, as the emulated one sees it.
pub const HOST: &str = "10.0.2.2";
/// Where the program is that the machine was started with.
pub const PROGRAM: &str = "/program";

const INIT: &str = include_str!("init.sh");
const END: &str = "--- ended with ";
/// On two busy cores it is there after 20 s.
const BOOT: Duration = Duration::from_secs(120);
/// For one command.
const PATIENCE: Duration = Duration::from_secs(60);

/// An emulated machine. Dropped, it is gone; also when this process dies.
#[derive(Debug)]
pub struct Machine {
    place: Place,
    child: Child,
    lines: Receiver<String>,
    watchdog: Watchdog,
}

impl Machine {
    /// Boots one that has `program`, an executable of this machine, and the
    /// libraries that it needs.
    ///
    /// # Errors
    /// It is not installed (with the line that installs it), or does not boot (with
    /// the kernel's last words).
    pub fn start(program: &Path) -> Result<Machine, String> {
        require()?;
        let place = Place::private("mount", Vec::new())?;
        let watchdog = Watchdog::over(&place)?;
        let image = place.folder.join("root.cpio");
        let written = fs::write(&image, root(&place, program)?);
        written.map_err(|e| format!("{}: {e}", image.display()))?;
        let began = Instant::now();
        let mut child = spawn(&place, &image)?;
        let lines = listen(&mut child)?;
        let mut machine = Machine {
            place,
            child,
            lines,
            watchdog,
        };
        machine.read_until("ready", BOOT)?;
        println!("the machine was up after {:.1?}", began.elapsed());
        Ok(machine)
    }

    /// Runs a line in a shell; says how it ended and what it printed. To let a
    /// command go on beside the next, end it with `&` and send what it prints to
    /// `/dev/ttyS2`: it is read by [`said`](Machine::said).
    ///
    /// # Errors
    /// It did not end within a minute, or the machine is dead.
    pub fn run(&mut self, line: &str) -> Result<(i32, String), String> {
        assert!(!line.contains('\n'), "one line: {line:?}");
        let stdin = self.child.stdin.as_mut().ok_or("there is no console")?;
        let sent = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        sent.map_err(|e| format!("{line:?} can't be sent to the machine: {e}"))?;
        let mut all = self
            .read_until(END, PATIENCE)
            .map_err(|e| format!("{line:?}: {e}"))?;
        let end = all.pop().unwrap_or_default();
        let code = end[END.len()..].trim().parse();
        let code = code.map_err(|e| format!("{line:?}: {end:?}: {e}"))?;
        Ok((code, all.join("\n").trim().to_owned()))
    }

    /// As [`run`](Machine::run), for a command that must succeed; what it printed.
    ///
    /// # Errors
    /// It did not, with what it printed.
    pub fn must(&mut self, line: &str) -> Result<String, String> {
        match self.run(line)? {
            (0, out) => Ok(out),
            (code, out) => Err(format!("{line:?} ended with {code}: {out}")),
        }
    }

    /// The whole lines that were sent to `/dev/ttyS2` so far, also of a machine
    /// that is dead.
    pub fn said(&self) -> Vec<String> {
        let bytes = fs::read(self.place.log("beside")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.split_inclusive('\n');
        let whole = lines.filter_map(|l| l.strip_suffix('\n'));
        whole.map(|l| l.trim_end_matches('\r').to_owned()).collect()
    }

    /// Waits until a line of [`said`](Machine::said) begins so.
    ///
    /// # Errors
    /// None did within a minute.
    pub fn wait_for(&self, begin: &str) -> Result<String, String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let said = self.said();
            if let Some(line) = said.iter().find(|l| l.starts_with(begin)) {
                return Ok(line.clone());
            }
            if Instant::now() > end {
                return Err(format!("no {begin:?} after {PATIENCE:?}, only {said:?}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// kill -9. For the machine it is a power cut: whatever it has not sent is gone.
    ///
    /// # Errors
    /// It can't be killed.
    pub fn power_cut(&mut self) -> Result<(), String> {
        let failed = |e| format!("the machine can't be killed: {e}");
        self.child.kill().map_err(failed)?;
        self.child.wait().map_err(failed)?;
        Ok(())
    }

    /// Reads lines up to one that begins so.
    fn read_until(&mut self, begin: &str, patience: Duration) -> Result<Vec<String>, String> {
        let end = Instant::now() + patience;
        let mut all: Vec<String> = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let why = match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let found = line.starts_with(begin);
                    all.push(line);
                    match found {
                        true => return Ok(all),
                        false => continue,
                    }
                }
                Err(RecvTimeoutError::Timeout) => format!("no answer after {patience:?}"),
                Err(RecvTimeoutError::Disconnected) => "the machine ended".to_owned(),
            };
            return Err(format!(
                "{why}. It said {all:?}; its console:\n{}\n{}",
                self.place.last_words("console"),
                self.place.last_words("qemu")
            ));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.power_cut();
        self.watchdog.finish();
    }
}

fn spawn(place: &Place, image: &Path) -> Result<Child, String> {
    let log = |id: &str| place.log(id);
    let file = |id: &str| format!("file:{}", log(id).display());
    let errors =
        File::create(log("qemu")).map_err(|e| format!("{}: {e}", log("qemu").display()))?;
    let mut qemu = Command::new(find(QEMU).unwrap_or_else(|| QEMU.into()));
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none"]);
    qemu.args([
        "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "512",
    ]);
    qemu.arg("-kernel").arg(kernel()?).arg("-initrd").arg(image);
    qemu.args(["-append", "console=ttyS0 quiet panic=-1", "-no-reboot"]);
    qemu.args(["-serial", &file("console"), "-serial", "stdio"]);
    qemu.args(["-serial", &file("beside")]);
    qemu.args([
        "-netdev",
        "user,id=net",
        "-device",
        "virtio-net-pci,netdev=net,romfile=",
    ]);
    qemu.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(errors);
    qemu.process_group(0);
    let child = qemu.spawn().map_err(|e| format!("{QEMU}: {e}"))?;
    let process = Process::of(child.id()).ok_or("QEMU ended at once")?;
    process.write(&place.pid_file("qemu"))?;
    Ok(child)
}

/// The lines of the console with the commands' output; ends when the machine does.
fn listen(child: &mut Child) -> Result<Receiver<String>, String> {
    let out = child.stdout.take().ok_or("there is no console")?;
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line);
            if sender.send(line.trim_end_matches('\r').to_owned()).is_err() {
                return;
            }
        }
    });
    Ok(lines)
}

/// Everything that is in the machine.
fn root(place: &Place, program: &Path) -> Result<Vec<u8>, String> {
    let read = |path: &Path| fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
    let mut archive = Archive::default();
    for name in ["proc", "sys", "dev", "tmp", "mnt"] {
        archive.folder(name);
    }
    archive.file("init", INIT.as_bytes());
    archive.file("bin/busybox", &read(&busybox()?)?);
    for (n, name) in MODULES.iter().enumerate() {
        // Loaded in the order of their names.
        archive.file(&format!("modules/{n:02}-{name}"), &read(&module(name)?)?);
    }
    let small = place.folder.join("program");
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(&small).arg(program);
    crate::install::run(strip)?;
    archive.file(PROGRAM.trim_start_matches('/'), &read(&small)?);
    for library in libraries(program)? {
        archive.file(library.trim_start_matches('/'), &read(Path::new(&library))?);
    }
    Ok(archive.finish())
}

/// The shared libraries of a program, its loader among them.
fn libraries(program: &Path) -> Result<Vec<String>, String> {
    let ldd = Command::new("ldd").arg(program).output();
    let ldd = ldd.map_err(|e| format!("ldd: {e}"))?;
    let text = String::from_utf8_lossy(&ldd.stdout);
    // "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)", "/lib64/ld-linux-x86-64.so.2 (0x…)"
    let path = |line: &str| {
        let words = line.split_whitespace();
        words
            .into_iter()
            .find(|w| w.starts_with('/'))
            .map(str::to_owned)
    };
    Ok(text.lines().filter_map(path).collect())
}
