//! One running server.

use crate::place::Place;
use crate::ports::{self, Ports};
use crate::process::Process;
use crate::server::Server;
use crate::watchdog::Watchdog;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A running server with ports and a folder of its own.
///
/// One that was [started](Bed::start) is killed and removed at drop, and also
/// when this process dies. One that was [brought up](Bed::up) stays.
pub struct Bed {
    server: &'static dyn Server,
    place: Place,
    /// Those that this process started, to be waited for.
    children: Mutex<Vec<Child>>,
    _ports: Ports,
    watchdog: Option<Watchdog>,
}

impl std::fmt::Debug for Bed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} in {}",
            self.server.name(),
            self.place.folder.display()
        )
    }
}

impl Bed {
    /// Starts one of this process's own.
    ///
    /// # Errors
    /// It is not installed (with the line that installs it), or does not start
    /// (with its last words).
    pub fn start(server: &'static dyn Server) -> Result<Bed, String> {
        require(server)?;
        let ports = ports::take(server.ports())?;
        let place = Place::private(server.name(), ports.numbers.clone())?;
        let watchdog = Some(Watchdog::over(&place)?);
        let bed = Bed {
            server,
            place,
            children: Mutex::default(),
            _ports: ports,
            watchdog,
        };
        server.prepare(&bed.place)?;
        bed.start_all()?;
        server.populate(&bed.place)?;
        Ok(bed)
    }

    /// One that all tests of this process share. Who kills its processes should
    /// [start](Bed::start) one of its own.
    ///
    /// # Panics
    /// It can't be started: the reason, and the line that installs it.
    pub fn shared(server: &'static dyn Server) -> &'static Bed {
        type Started = BTreeMap<&'static str, Result<&'static Bed, String>>;
        static ALL: Mutex<Started> = Mutex::new(BTreeMap::new());
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        let started = all
            .entry(server.name())
            .or_insert_with(|| Bed::start(server).map(|bed| &*Box::leak(Box::new(bed))));
        match started {
            Ok(bed) => bed,
            Err(why) => panic!("{why}"),
        }
    }

    /// Brings up the one that outlives this process; does nothing if it is up.
    ///
    /// # Errors
    /// As [`start`](Bed::start).
    pub fn up(server: &'static dyn Server) -> Result<Bed, String> {
        require(server)?;
        let folder = Place::of_user(server.name())?;
        if let Some(bed) = Bed::known(server)? {
            bed.start_all()?;
            return Ok(bed);
        }
        let _ = fs::remove_dir_all(&folder);
        let ports = ports::take(server.ports())?;
        let bed = Bed::kept(server, Place::keep(folder, ports.numbers.clone())?, ports);
        let made = server
            .prepare(&bed.place)
            .and_then(|()| bed.start_all())
            .and_then(|()| server.populate(&bed.place));
        if let Err(why) = made {
            // Half a server would be taken for a whole one the next time.
            bed.down()?;
            return Err(why);
        }
        Ok(bed)
    }

    /// The one that was brought up before, whether its processes live or not.
    ///
    /// # Errors
    /// The cache can't be used.
    pub fn known(server: &'static dyn Server) -> Result<Option<Bed>, String> {
        let folder = Place::of_user(server.name())?;
        let place = Place::known(folder).filter(|p| p.ports.len() == server.ports());
        Ok(place.map(|place| Bed::kept(server, place, Ports::default())))
    }

    fn kept(server: &'static dyn Server, place: Place, ports: Ports) -> Bed {
        Bed {
            server,
            place,
            children: Mutex::default(),
            _ports: ports,
            watchdog: None,
        }
    }

    /// Kills everything and removes the folder.
    ///
    /// # Errors
    /// A process can't be killed, or the folder can't be removed.
    pub fn down(self) -> Result<(), String> {
        self.kill_all()?;
        fs::remove_dir_all(&self.place.folder)
            .map_err(|e| format!("{}: {e}", self.place.folder.display()))
    }

    /// The root of the place for journals.
    pub fn uri(&self) -> String {
        self.server.uri(&self.place)
    }

    /// A URI that no other caller gets: an empty place below the root.
    pub fn fresh_uri(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = self.uri();
        format!("{}/t{}-{n}", root.trim_end_matches('/'), std::process::id())
    }

    /// What the `journal` command needs in its environment.
    pub fn env(&self) -> Vec<(String, String)> {
        self.server.env(&self.place)
    }

    /// Folder and ports.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The ids of the processes, in the order of start.
    pub fn processes(&self) -> Vec<&'static str> {
        self.server.processes()
    }

    /// The hooks of one process.
    ///
    /// # Panics
    /// There is no process of this id.
    pub fn process(&self, id: &str) -> Hook<'_> {
        let all = self.processes();
        let Some(id) = all.iter().find(|known| **known == id) else {
            panic!(
                "{} has no process {id}; it has {}",
                self.server.name(),
                all.join(", ")
            );
        };
        Hook { bed: self, id }
    }

    fn start_all(&self) -> Result<(), String> {
        for id in self.processes() {
            let hook = self.process(id);
            if hook.state().is_none() {
                hook.spawn()?;
            }
        }
        self.processes()
            .into_iter()
            .try_for_each(|id| self.process(id).wait_ready())
    }

    fn kill_all(&self) -> Result<(), String> {
        self.processes()
            .into_iter()
            .rev()
            .try_for_each(|id| self.process(id).kill())
    }

    /// Gathers children that have ended, so that none stays a zombie.
    fn reap(&self) {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            let killed = self.kill_all();
            watchdog.finish();
            self.reap();
            if let Err(why) = killed {
                eprintln!("{self:?}: {why}");
            }
        }
    }
}

fn require(server: &dyn Server) -> Result<(), String> {
    server.installed().map_err(|what| {
        let name = server.name();
        format!("{name}: {what} is missing. Install it with: cargo xtask servers install {name}")
    })
}

/// One process of a bed, to be killed, stopped, woken, restarted.
#[derive(Clone, Copy, Debug)]
pub struct Hook<'a> {
    bed: &'a Bed,
    id: &'static str,
}

impl Hook<'_> {
    fn process(&self) -> Option<Process> {
        Process::read(&self.bed.place.pid_file(self.id))
    }

    fn alive(&self) -> Result<Process, String> {
        let alive = self.process().filter(|p| p.state().is_some());
        alive.ok_or_else(|| format!("{} of {:?} does not run", self.id, self.bed))
    }

    /// Its id.
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// Its pid, while it lives.
    pub fn pid(&self) -> Option<u32> {
        self.alive().ok().and_then(|p| u32::try_from(p.pid).ok())
    }

    /// `S`, `R`, `T` (stopped) … as `ps` shows it; none when it is dead.
    pub fn state(&self) -> Option<char> {
        self.bed.reap();
        self.process()?.state()
    }

    /// kill -9; it is gone when this returns. Ok when it was gone before.
    ///
    /// # Errors
    /// It can't be killed.
    pub fn kill(&self) -> Result<(), String> {
        let Some(process) = self.process() else {
            return Ok(());
        };
        if process.state().is_some() {
            process.signal(Signal::SIGKILL)?;
        }
        let killed = process.wait_for("gone", |s| s.is_none());
        self.bed.reap();
        killed
    }

    /// SIGSTOP; it stands still when this returns.
    ///
    /// # Errors
    /// It does not run.
    pub fn stop(&self) -> Result<(), String> {
        let process = self.alive()?;
        process.signal(Signal::SIGSTOP)?;
        process.wait_for("stopped", |s| s == Some('T'))
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// It does not run.
    pub fn cont(&self) -> Result<(), String> {
        let process = self.alive()?;
        process.signal(Signal::SIGCONT)?;
        process.wait_for("woken", |s| s != Some('T'))
    }

    /// Starts it again if it is dead; it answers when this returns.
    ///
    /// # Errors
    /// It does not start, with its last words.
    pub fn start(&self) -> Result<(), String> {
        if self.state().is_none() {
            self.spawn()?;
        }
        self.wait_ready()
    }

    /// kill -9, then [`start`](Hook::start).
    ///
    /// # Errors
    /// As [`start`](Hook::start).
    pub fn restart(&self) -> Result<(), String> {
        self.kill()?;
        self.start()
    }

    /// Starts it, dead as it is, and does not wait until it answers.
    ///
    /// # Errors
    /// It does not start.
    pub fn spawn(&self) -> Result<(), String> {
        let file = self.bed.place.log(self.id);
        let log = File::options().create(true).append(true).open(&file);
        let log = log.map_err(|e| format!("{}: {e}", file.display()))?;
        let err = log
            .try_clone()
            .map_err(|e| format!("{}: {e}", file.display()))?;
        let mut command = self.bed.server.command(&self.bed.place, self.id);
        command.stdin(Stdio::null()).stdout(log).stderr(err);
        command.process_group(0); // signals reach its children too
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|e| format!("{name}: {e}"))?;
        let process = Process::of(child.id()).ok_or("a process ended at once")?;
        process.write(&self.bed.place.pid_file(self.id))?;
        let mut children = self
            .bed
            .children
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        children.push(child);
        Ok(())
    }

    /// Waits until the process answers.
    ///
    /// # Errors
    /// It ended, or took too long; with its last words.
    pub fn wait_ready(&self) -> Result<(), String> {
        let patience = self.bed.server.patience();
        let end = Instant::now() + patience;
        let words = || self.bed.place.last_words(self.id);
        loop {
            if self.state().is_none() {
                return Err(format!("{} ended. It said:\n{}", self.id, words()));
            }
            if self.bed.server.ready(&self.bed.place, self.id)? {
                return Ok(());
            }
            if Instant::now() > end {
                let id = self.id;
                return Err(format!(
                    "{id} does not answer after {patience:?}. It said:\n{}",
                    words()
                ));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
