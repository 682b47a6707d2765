//! MOUNT and the portmapper (RFC 1813, appendix I; RFC 1833): which ports serve
//! us, and where in the URI's path the export ends.
//!
//! A URI does not say which part of its path is the export. So the server is
//! asked for a handle of the whole path, then of ever shorter ones; the first
//! that it gives is where we begin. (Many servers give handles of folders below
//! an export too, which saves lookups.)

use crate::address::Address;
use crate::fault::{fault, refusal};
use crate::op::Fail;
use crate::options::Settings;
use crate::rpc::{Call, CallError, Client, Credentials, Refusal, Target, pack};
use crate::xdr::{Decoder, Malformed};
use bytes::Bytes;
use flushproof_api::{Error, ErrorKind, Result};
use nfs3_types::mount::{self, MOUNT_PROGRAM, mountstat3};
use nfs3_types::nfs3::{self, nfs_fh3};
use nfs3_types::portmap::{self, IPPROTO_TCP, PMAP_PROG, mapping};
use nfs3_types::xdr_codec::{Opaque, Pack};
use std::net::SocketAddr;
use tokio::time::Instant;

/// The port of NFS where nobody says another.
const NFS_PORT: u16 = 2049;
/// The longest answer of these services.
const LONGEST_REPLY: usize = 256 * 1024;

/// Where a journal's root begins.
#[derive(Debug)]
pub(crate) struct Located {
    /// The server's NFS service, as one writes it.
    pub name: String,
    pub addresses: Vec<SocketAddr>,
    /// A folder of the server.
    pub folder: nfs_fh3,
    /// Its path there.
    pub exported: String,
    /// The folders from there to the root.
    pub rest: Vec<String>,
}

/// Asks the server's portmapper and MOUNT service.
pub(crate) async fn locate(address: &Address, settings: &Settings) -> Result<Located> {
    let addresses = address.resolve(settings.timeout).await?;
    let deadline = Instant::now() + settings.timeout;
    let asking = Asking {
        address,
        settings,
        addresses,
        deadline,
    };
    let (nfs_port, mount_port) = asking.ports().await?;
    let mounts = asking.client(mount_port);
    let (folder, depth) = asking.mount(&mounts, mount_port).await?;
    Ok(Located {
        name: address.named(nfs_port),
        addresses: asking.at(nfs_port),
        folder,
        exported: path(&address.path[..depth]),
        rest: address.path[depth..].to_vec(),
    })
}

fn path(components: &[String]) -> String {
    format!("/{}", components.join("/"))
}

struct Asking<'a> {
    address: &'a Address,
    settings: &'a Settings,
    addresses: Vec<SocketAddr>,
    deadline: Instant,
}

impl Asking<'_> {
    fn at(&self, port: u16) -> Vec<SocketAddr> {
        let at = |a: &SocketAddr| SocketAddr::new(a.ip(), port);
        self.addresses.iter().map(at).collect()
    }

    fn client(&self, port: u16) -> Client {
        let s = self.settings;
        Client::new(Target {
            name: self.address.named(port),
            addresses: self.at(port),
            credentials: Credentials::new(s.uid, s.gid, &s.groups),
            reserved: s.reserved,
            longest_reply: LONGEST_REPLY,
            ping: None,
        })
    }

    /// The ports of NFS and of MOUNT.
    async fn ports(&self) -> Result<(u16, u16)> {
        let said = self.address.port.or(self.settings.port);
        if let Some(mount) = self.settings.mount_port {
            return Ok((said.unwrap_or(NFS_PORT), mount));
        }
        let portmap = self.client(self.settings.portmap_port);
        match self.port_of(&portmap, mount::PROGRAM, mount::VERSION).await {
            Ok(Some(mount)) => {
                let nfs = match said {
                    Some(port) => port,
                    None => self
                        .port_of(&portmap, nfs3::PROGRAM, nfs3::VERSION)
                        .await
                        .ok()
                        .flatten()
                        .unwrap_or(NFS_PORT),
                };
                Ok((nfs, mount))
            }
            // Some servers have one port for everything; else `mount` says what to do.
            Ok(None) | Err(_) => {
                let nfs = said.unwrap_or(NFS_PORT);
                Ok((nfs, nfs))
            }
        }
    }

    /// Asks the portmapper.
    async fn port_of(
        &self,
        portmap: &Client,
        prog: u32,
        vers: u32,
    ) -> std::result::Result<Option<u16>, Fail> {
        let wanted = mapping {
            prog,
            vers,
            prot: IPPROTO_TCP,
            port: 0,
        };
        let call = Call {
            program: portmap::PROGRAM,
            version: portmap::VERSION,
            procedure: PMAP_PROG::PMAPPROC_GETPORT as u32,
            arguments: packed(&wanted),
            body: Bytes::new(),
        };
        // A firewall may swallow this question: it gets a part of the time.
        let deadline = self
            .deadline
            .min(Instant::now() + self.settings.timeout / 3);
        let reply = portmap.call(&call, deadline).await?;
        let port = Decoder::new(reply.body).u32("the port")?;
        Ok(u16::try_from(port).ok().filter(|port| *port != 0))
    }

    /// The handle of the longest part of the path that the server gives one of.
    async fn mount(&self, mounts: &Client, port: u16) -> Result<(nfs_fh3, usize)> {
        let mut refusals = Vec::new();
        for depth in (0..=self.address.path.len()).rev() {
            let path = path(&self.address.path[..depth]);
            match self.ask(mounts, MOUNT_PROGRAM::MOUNTPROC3_MNT, &path).await {
                Ok(reply) => match mounted(reply) {
                    Ok(Ok(handle)) => return Ok((handle, depth)),
                    Ok(Err(status)) => refusals.push(status),
                    Err(e) => return Err(self.no_mount(port, &Fail::from(e))),
                },
                Err(e) => return Err(self.no_mount(port, &e.into())),
            }
        }
        Err(self.not_exported(mounts, &refusals).await)
    }

    async fn ask(
        &self,
        mounts: &Client,
        procedure: MOUNT_PROGRAM,
        path: &str,
    ) -> std::result::Result<Bytes, CallError> {
        let call = Call {
            program: mount::PROGRAM,
            version: mount::VERSION,
            procedure: procedure as u32,
            arguments: match procedure {
                MOUNT_PROGRAM::MOUNTPROC3_EXPORT => Vec::new(),
                _ => packed(&Opaque::borrowed(path.as_bytes())),
            },
            body: Bytes::new(),
        };
        Ok(mounts.call(&call, self.deadline).await?.body)
    }

    /// The MOUNT service can't be asked.
    fn no_mount(&self, port: u16, fail: &Fail) -> Error {
        let at = format!("nfs://{}", self.address.named(port));
        let error = fault("can't ask the MOUNT service", &at, fail);
        let guessed = self.settings.mount_port.is_none();
        let absent = matches!(
            fail,
            Fail::Call(CallError::NotSent(_) | CallError::Refused(Refusal::NoProgram))
        );
        match guessed && absent {
            false => error,
            true => {
                let text = format!(
                    "{error}. The portmapper of {} (port {}) did not name its port either: check \
                     the server's address, or say where its MOUNT service listens (option \
                     mount_port)",
                    self.address.host, self.settings.portmap_port
                );
                Error::new(error.kind(), text).with_outcome(error.outcome())
            }
        }
    }

    /// No part of the path is exported to us: says what is.
    async fn not_exported(&self, mounts: &Client, refusals: &[mountstat3]) -> Error {
        let wanted = path(&self.address.path);
        let listed = self.ask(mounts, MOUNT_PROGRAM::MOUNTPROC3_EXPORT, "").await;
        let listed = listed.ok().and_then(|body| exported(body).ok());
        let at = format!("nfs://{}{wanted}", self.address.host);
        let codes: Vec<String> = refusals.iter().map(mountstat3::to_string).collect();
        let codes = codes.first().map_or("no answer", String::as_str);
        let Some(listed) = listed else {
            let text = format!(
                "the server exports no folder on the way there ({codes}), and does not say which \
                 it exports"
            );
            return refusal(ErrorKind::NotFound, &at, &text);
        };
        let all = listed.join(", ");
        let above = |e: &&String| {
            let e = e.trim_end_matches('/');
            wanted == *e || wanted.strip_prefix(e).is_some_and(|r| r.starts_with('/'))
        };
        match listed.iter().find(above) {
            Some(export) => {
                let text = format!(
                    "the server exports {export}, but not to this host, or not to this user \
                     ({codes}): look at its export options (allowed clients; `insecure` if this \
                     process may not use ports below 1024)"
                );
                refusal(ErrorKind::PermissionDenied, &at, &text)
            }
            None => {
                let text = format!(
                    "the server exports no folder on the way there ({codes}); it exports: {}",
                    if all.is_empty() { "nothing" } else { &all }
                );
                refusal(ErrorKind::NotFound, &at, &text)
            }
        }
    }
}

fn packed(value: &impl Pack) -> Vec<u8> {
    let mut out = Vec::new();
    pack(value, &mut out);
    out
}

/// Reads the answer to MNT.
fn mounted(
    body: Bytes,
) -> std::result::Result<std::result::Result<nfs_fh3, mountstat3>, Malformed> {
    let mut d = Decoder::new(body);
    match d.fixed("the status")? {
        mountstat3::MNT3_OK => {}
        status => return Ok(Err(status)),
    }
    let handle = d.opaque(mount::FHSIZE3, "the handle")?;
    let flavors = d.u32("the flavors")?;
    let mut fits = flavors == 0;
    for _ in 0..flavors.min(64) {
        // AUTH_SYS, or none at all.
        fits |= matches!(d.u32("a flavor")?, 0 | 1);
    }
    match fits {
        true => Ok(Ok(nfs_fh3 {
            data: handle.to_vec().into(),
        })),
        // It wants Kerberos: for us that is no access.
        false => Ok(Err(mountstat3::MNT3ERR_ACCES)),
    }
}

/// Reads the answer to EXPORT.
fn exported(body: Bytes) -> std::result::Result<Vec<String>, Malformed> {
    let mut d = Decoder::new(body);
    let mut all = Vec::new();
    while d.bool("an export")? {
        let dir = d.opaque(mount::MNTPATHLEN, "an export's path")?;
        while d.bool("a group")? {
            d.opaque(mount::MNTNAMLEN, "a group's name")?;
        }
        all.push(String::from_utf8_lossy(&dir).escape_debug().to_string());
    }
    Ok(all)
}
