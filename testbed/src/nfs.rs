//! NFS: nfs-ganesha, one process that serves NFS version 3 and MOUNT from user
//! space, without a portmapper.
//!
//! | export | is |
//! | --- | --- |
//! | `/export` | for everything; the journals |
//! | `/readonly` | exported read-only; the same folder as `/export` |
//! | `/squashed` | root is squashed, and the folder is root's alone |
//! | `/small` | only of [`SMALL`]: a file system of its own, 48 MiB of ext4 in the file [`image`] |

use crate::install::{apt, find, show_and_run};
use crate::{Place, Server, cache};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// nfs-ganesha on a folder of the bed.
pub static NFS: Nfs = Nfs {
    small: false,
    protocols: "3",
};

/// The same for versions 3 and 4, for mounts.
pub static MOUNTABLE: Nfs = Nfs {
    small: false,
    protocols: "3,4",
};

/// The same with a small file system besides. It is mounted where only the
/// server sees it (a mount namespace), so it goes with the server's process; the
/// handles of its files do not survive that.
pub static SMALL: Nfs = Nfs {
    small: true,
    protocols: "3",
};

/// The process.
pub const GANESHA: &str = "ganesha";

/// ganesha 4.3 ends when it can't register with a portmapper. There is none, and
/// nobody needs it: so it is told that it has.
const SHIM: &str = "int rpcb_set(void) { return 1; }\nint rpcb_unset(void) { return 1; }\n";
/// NFS over TCP, and MOUNT.
const PROGRAMS: [u32; 2] = [100_003, 100_005];

/// A kind of bed.
#[derive(Debug)]
pub struct Nfs {
    small: bool,
    /// The versions that are served.
    protocols: &'static str,
}

/// The file that the small file system is in.
pub fn image(place: &Place) -> PathBuf {
    place.folder.join("small.ext4")
}

fn shim() -> Result<PathBuf, String> {
    Ok(cache()?.join("nfs").join("no-portmapper.so"))
}

fn compile_shim() -> Result<(), String> {
    let shim = shim()?;
    let failed = |e: std::io::Error| format!("{}: {e}", shim.display());
    fs::create_dir_all(shim.with_file_name("")).map_err(failed)?;
    let source = shim.with_extension("c");
    fs::write(&source, SHIM).map_err(failed)?;
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&shim)
        .arg(&source);
    show_and_run(cc)
}

impl Server for Nfs {
    fn name(&self) -> &'static str {
        "nfs"
    }

    fn installed(&self) -> Result<(), String> {
        find("ganesha.nfsd").ok_or("nfs-ganesha")?;
        match shim()?.is_file() {
            true => Ok(()),
            false => Err("the library that stands in for a portmapper".into()),
        }
    }

    fn install(&self) -> Result<(), String> {
        if find("ganesha.nfsd").is_none() {
            // The version is the distribution's: 4.3 in Debian 12.
            apt(&["nfs-ganesha", "nfs-ganesha-vfs"], "an NFS server")?;
        }
        if find("cc").is_none() {
            apt(
                &["gcc", "libc6-dev"],
                "to compile four lines for nfs-ganesha",
            )?;
        }
        compile_shim()
    }

    fn ports(&self) -> usize {
        2
    }

    fn prepare(&self, place: &Place) -> Result<(), String> {
        let failed = |e: std::io::Error| format!("{}: {e}", place.folder.display());
        for name in ["export", "squashed", "recovery"] {
            fs::create_dir_all(place.folder.join(name)).map_err(failed)?;
        }
        if self.small {
            fs::create_dir_all(place.folder.join("small")).map_err(failed)?;
            let file = fs::File::create(image(place)).map_err(failed)?;
            file.set_len(48 << 20).map_err(failed)?;
            let mut mkfs =
                Command::new(find("mkfs.ext4").ok_or("mkfs.ext4 is missing (e2fsprogs)")?);
            mkfs.args(["-q", "-m", "0"]).arg(image(place));
            crate::install::run(mkfs)?;
        }
        fs::write(config_file(place), self.config(place)).map_err(failed)
    }

    fn processes(&self) -> Vec<&'static str> {
        vec![GANESHA]
    }

    fn command(&self, place: &Place, _id: &str) -> Command {
        let shim = shim().unwrap_or_default();
        let ganesha = find("ganesha.nfsd").unwrap_or_else(|| "ganesha.nfsd".into());
        let mut command = match self.small {
            false => Command::new(&ganesha),
            true => {
                let script = "mount -o loop \"$1\" \"$2\" && shift 2 && exec \"$@\"";
                let mut command = Command::new("unshare");
                command.args([
                    "--mount",
                    "--propagation",
                    "private",
                    "sh",
                    "-c",
                    script,
                    "sh",
                ]);
                command.arg(image(place)).arg(place.folder.join("small"));
                command.arg("env").arg(preload(&shim)).arg(&ganesha);
                command
            }
        };
        if !self.small {
            command.env("LD_PRELOAD", &shim);
        }
        command.arg("-F").arg("-f").arg(config_file(place));
        command.arg("-p").arg(place.folder.join("ganesha.pid"));
        command.args(["-L", "STDERR", "-N", "NIV_EVENT"]);
        command
    }

    fn ready(&self, place: &Place, _id: &str) -> Result<bool, String> {
        let asked = place.ports.iter().zip(PROGRAMS);
        Ok(asked
            .into_iter()
            .all(|(port, program)| answers(*port, program)))
    }

    fn uri(&self, place: &Place) -> String {
        format!("nfs://127.0.0.1:{}/export", place.ports[0])
    }

    fn env(&self, place: &Place) -> Vec<(String, String)> {
        let port = place.ports[1].to_string();
        vec![("JOURNAL_BACKEND_MOUNT_PORT".into(), port)]
    }
}

fn preload(shim: &Path) -> String {
    format!("LD_PRELOAD={}", shim.display())
}

fn config_file(place: &Place) -> PathBuf {
    place.folder.join("ganesha.conf")
}

impl Nfs {
    fn config(&self, place: &Place) -> String {
        let folder = place.folder.display();
        let (nfs, mount) = (place.ports[0], place.ports[1]);
        let protocols = self.protocols;
        let mut text = format!(
            "NFS_CORE_PARAM {{ Bind_addr = 127.0.0.1; NFS_Port = {nfs}; MNT_Port = {mount};
  Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; Protocols = {protocols};
  mount_path_pseudo = true; }}
NFSv4 {{ RecoveryRoot = {folder}/recovery; Graceless = true; Only_Numeric_Owners = true; }}
EXPORT_DEFAULTS {{ Access_Type = RW; Squash = None; SecType = sys; Protocols = {protocols};
  Transports = TCP; }}
"
        );
        let mut exports = vec![
            ("/export", "export", ""),
            ("/readonly", "export", "Access_Type = RO;"),
            ("/squashed", "squashed", "Squash = Root_Squash;"),
        ];
        if self.small {
            exports.push(("/small", "small", ""));
        }
        for (id, (pseudo, sub, more)) in exports.into_iter().enumerate() {
            let id = id + 1;
            let _ = writeln!(
                text,
                "EXPORT {{ Export_Id = {id}; Path = {folder}/{sub}; Pseudo = {pseudo}; {more} \
                 FSAL {{ Name = VFS; }} }}"
            );
        }
        text
    }
}

/// Whether a program answers to its NULL procedure.
fn answers(port: u16, program: u32) -> bool {
    let ask = || -> std::io::Result<bool> {
        let limit = Duration::from_millis(500);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        let words = [0x8000_0028, 7, 0, 2, program, 3, 0, 0, 0, 0, 0];
        let call: Vec<u8> = words.iter().flat_map(|w: &u32| w.to_be_bytes()).collect();
        stream.write_all(&call)?;
        let mut reply = [0; 28];
        stream.read_exact(&mut reply)?;
        Ok(reply[4..8] == [0, 0, 0, 7] && reply[24..28] == [0; 4])
    };
    ask().unwrap_or(false)
}
