//! What differs between servers.

use crate::Place;
use std::process::Command;
use std::time::Duration;

/// A kind of server: how it is installed, configured, started and found.
///
/// All methods may block; errors are sentences for whoever reads a failed test.
pub trait Server: Send + Sync + 'static {
    /// Its name on the command line: `hdfs`, `nfs`, `s3`, `azure`.
    fn name(&self) -> &'static str;

    /// Whether everything is there.
    ///
    /// # Errors
    /// What is missing, as a noun: "nfs-ganesha".
    fn installed(&self) -> Result<(), String>;

    /// Installs what is missing, pinned, into the system or [`crate::cache`], and
    /// prints what it does. Repeating it does nothing.
    ///
    /// # Errors
    /// What failed and what to try.
    fn install(&self) -> Result<(), String>;

    /// How many loopback ports it needs.
    fn ports(&self) -> usize;

    /// Writes configuration and formats storage, before the first start of a bed.
    ///
    /// # Errors
    /// What failed.
    fn prepare(&self, place: &Place) -> Result<(), String>;

    /// The ids of its processes, in the order of start.
    fn processes(&self) -> Vec<&'static str>;

    /// How the process is started. It must stay in the foreground. Its output
    /// goes to `log/<id>.log` of the bed.
    fn command(&self, place: &Place, id: &str) -> Command;

    /// Whether the process answers. Asked again and again until it does.
    ///
    /// # Errors
    /// It never will: the reason.
    fn ready(&self, place: &Place, id: &str) -> Result<bool, String>;

    /// Done once, when all processes answer for the first time (make a bucket).
    ///
    /// # Errors
    /// What failed.
    fn populate(&self, _place: &Place) -> Result<(), String> {
        Ok(())
    }

    /// The root of the place for journals, as the `journal` command takes it.
    fn uri(&self, place: &Place) -> String;

    /// What the `journal` command needs in its environment.
    fn env(&self, place: &Place) -> Vec<(String, String)>;

    /// How long a process may take until it answers: long, because one that ends is
    /// noticed at once, and on a busy machine Java alone takes a minute.
    fn patience(&self) -> Duration {
        Duration::from_secs(180)
    }
}
