//! Running the ordinary package clients, with what they do printed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a program is: in the path, or where the administrator's are.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Runs a command to its end.
///
/// # Errors
/// It can't be started, or says that it failed.
pub fn run(mut command: Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|e| format!("{name}: {e}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{name} failed: {status}"))
    }
}

/// Prints a command as one would type it, then runs it.
///
/// # Errors
/// As [`run`].
pub fn show_and_run(command: Command) -> Result<(), String> {
    let args = command.get_args().map(|a| a.to_string_lossy());
    let program = command.get_program().to_string_lossy();
    let words: Vec<_> = std::iter::once(program).chain(args).collect();
    println!("$ {}", words.join(" "));
    run(command)
}

/// Installs Debian packages; `why` is printed.
///
/// # Errors
/// There is no apt-get, or it failed.
pub fn apt(packages: &[&str], why: &str) -> Result<(), String> {
    println!("installing {} ({why})", packages.join(" "));
    if find("apt-get").is_none() {
        return Err(format!(
            "there is no apt-get here; install what Debian calls {}",
            packages.join(" ")
        ));
    }
    apt_get(&["update", "--quiet"])?;
    let mut args = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    args.extend(packages);
    apt_get(&args)
}

/// Unpacks Debian packages below a folder, without installing them; `why` is printed.
///
/// # Errors
/// There is no apt-get, or it failed.
pub fn download(packages: &[String], into: &Path, why: &str) -> Result<(), String> {
    println!("unpacking {} ({why})", packages.join(" "));
    let failed = |e: std::io::Error| format!("{}: {e}", into.display());
    std::fs::create_dir_all(into).map_err(failed)?;
    let mut get = Command::new("apt-get");
    get.arg("download").args(packages).current_dir(into);
    show_and_run(get)?;
    for entry in std::fs::read_dir(into).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|e| e == "deb") {
            let mut unpack = Command::new("dpkg");
            unpack.arg("-x").arg(&file).arg(into);
            show_and_run(unpack)?;
            std::fs::remove_file(&file).map_err(failed)?;
        }
    }
    Ok(())
}

/// Brings the lists of packages up to date.
///
/// # Errors
/// There is no apt-get, or it failed.
pub fn update() -> Result<(), String> {
    apt_get(&["update", "--quiet"])
}

/// Runs apt-get, with sudo where there is one (a container's root has none).
fn apt_get(args: &[&str]) -> Result<(), String> {
    let own = Path::new("/proc/self");
    let uid = std::fs::metadata(own)
        .map_err(|e| format!("{}: {e}", own.display()))?
        .uid();
    let mut command = if uid == 0 || find("sudo").is_none() {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg("apt-get");
        sudo
    };
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    show_and_run(command)
}
