//! Cleans up when the process that started a bed dies, however it dies.
//!
//! A shell reads from a pipe whose other end this process holds. When the pipe
//! closes, it kills every process with a pid file and removes the folder.

use crate::Place;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

const SCRIPT: &str = r#"
read -r _
for file in "$1"/run/*.pid; do
  read -r pid started < "$file" || continue
  now=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d' ' -f20)
  if [ "$now" = "$started" ]; then kill -9 "-$pid"; fi
done
for try in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$1" 2>/dev/null && break; sleep 0.2; done
"#;

#[derive(Debug)]
pub(crate) struct Watchdog(Child);

impl Watchdog {
    pub(crate) fn over(place: &Place) -> Result<Watchdog, String> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "watchdog"]).arg(&place.folder);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own: an interrupt from the keyboard must not stop it.
        command.process_group(0);
        let child = command.spawn().map_err(|e| format!("sh: {e}"))?;
        Ok(Watchdog(child))
    }

    /// Lets it clean up now, and waits for the end of that.
    pub(crate) fn finish(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
