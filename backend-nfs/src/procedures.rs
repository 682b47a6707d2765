//! The procedures of NFS version 3 (RFC 1813) that a store needs.
//!
//! All are asked again over a new connection when the old one broke, and after a
//! while when the server says JUKEBOX, until the operation's deadline. So
//! whoever calls one that is not idempotent must bear that it was done twice:
//! creates carry a verifier or a name that nobody else has, LINK and REMOVE are
//! read back. A flush does not pass through here: its WRITEs are never repeated
//! over another connection (`log`).

use crate::op::{Fail, Op};
use crate::rpc::{Call, Client, pack};
use crate::xdr::{Decoder, Malformed};
use bytes::Bytes;
use nfs3_types::nfs3::*;
use nfs3_types::xdr_codec::Pack;
use std::time::Duration;
use tokio::time::Instant;

/// Waiting after JUKEBOX, at first and at most.
const JUKEBOX: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// The longest name that a folder may give us.
const MAX_NAME: usize = 4096;

/// What a CREATE, a MKDIR or a LOOKUP leads to.
#[derive(Debug)]
pub(crate) struct Found {
    pub handle: nfs_fh3,
    pub attributes: Option<fattr3>,
}

/// The answer to a READ.
#[derive(Debug)]
pub(crate) struct Read {
    pub bytes: Bytes,
    pub eof: bool,
}

/// The answer to a WRITE.
#[derive(Debug)]
pub(crate) struct Written {
    pub count: u32,
    pub committed: stable_how,
    pub attributes: Option<fattr3>,
}

/// One row of a folder.
#[derive(Debug)]
pub(crate) struct Entry {
    pub name: Bytes,
    pub cookie: u64,
    pub attributes: Option<fattr3>,
}

/// A piece of a folder.
#[derive(Debug)]
pub(crate) struct Page {
    pub attributes: Option<fattr3>,
    pub verifier: cookieverf3,
    pub entries: Vec<Entry>,
    pub eof: bool,
}

/// A server's NFS service.
#[derive(Debug)]
pub(crate) struct Nfs {
    pub client: Client,
}

/// A call of a procedure.
pub(crate) fn call(procedure: NFS_PROGRAM, arguments: &impl Pack, body: Bytes) -> Call {
    let mut packed = Vec::with_capacity(arguments.packed_size());
    pack(arguments, &mut packed);
    Call {
        program: PROGRAM,
        version: VERSION,
        procedure: procedure as u32,
        arguments: packed,
        body,
    }
}

/// A WRITE that is durable, data and size, when it is answered.
pub(crate) fn write_call(file: &nfs_fh3, offset: u64, bytes: Bytes) -> Call {
    let len = bytes.len() as u32;
    let mut arguments = Vec::with_capacity(96);
    pack(file, &mut arguments);
    pack(&offset, &mut arguments);
    pack(&len, &mut arguments);
    pack(&stable_how::FILE_SYNC, &mut arguments);
    pack(&len, &mut arguments);
    Call {
        program: PROGRAM,
        version: VERSION,
        procedure: NFS_PROGRAM::NFSPROC3_WRITE as u32,
        arguments,
        body: bytes,
    }
}

/// Reads the reply to a [`write_call`].
pub(crate) fn written(body: Bytes) -> Result<Written, Fail> {
    let mut d = Decoder::new(body);
    status(&mut d)?;
    let attributes = wcc(&mut d)?;
    let count = d.u32("the count")?;
    let committed = d.fixed("the stability")?;
    d.fixed::<writeverf3>("the verifier")?;
    Ok(Written {
        count,
        committed,
        attributes,
    })
}

fn status(d: &mut Decoder) -> Result<(), Fail> {
    match d.fixed("the status")? {
        nfsstat3::NFS3_OK => Ok(()),
        status => Err(Fail::Status(status)),
    }
}

fn attributes(d: &mut Decoder) -> Result<Option<fattr3>, Malformed> {
    d.optional("the attributes", |d| d.fixed("the attributes"))
}

/// Skips the attributes before, gives those after.
fn wcc(d: &mut Decoder) -> Result<Option<fattr3>, Malformed> {
    d.optional("the attributes", |d| {
        d.fixed::<wcc_attr>("the attributes before")
    })?;
    attributes(d)
}

fn handle(d: &mut Decoder) -> Result<nfs_fh3, Malformed> {
    let bytes = d.opaque(NFS3_FHSIZE, "the handle")?;
    Ok(nfs_fh3 {
        data: bytes.to_vec().into(),
    })
}

fn at<'a>(dir: &nfs_fh3, name: &'a str) -> diropargs3<'a> {
    diropargs3 {
        dir: dir.clone(),
        name: name.as_bytes().into(),
    }
}

impl Nfs {
    async fn ask<T>(
        &self,
        op: &Op,
        call: &Call,
        read: impl Fn(&mut Decoder) -> Result<T, Malformed>,
    ) -> Result<T, Fail> {
        self.ask_how(op, call, true, read).await
    }

    /// `again`: also over a new connection when the old one broke.
    async fn ask_how<T>(
        &self,
        op: &Op,
        call: &Call,
        again: bool,
        read: impl Fn(&mut Decoder) -> Result<T, Malformed>,
    ) -> Result<T, Fail> {
        let mut pause = JUKEBOX.0;
        loop {
            let reply = match again {
                true => self.client.repeat(call, op.deadline).await?,
                false => self.client.call(call, op.deadline).await?,
            };
            op.note(reply.incarnation);
            let mut d = Decoder::new(reply.body);
            match status(&mut d) {
                Ok(()) => return Ok(read(&mut d)?),
                Err(e) if e.is(nfsstat3::NFS3ERR_JUKEBOX) => {
                    if Instant::now() + pause >= op.deadline {
                        return Err(e);
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(JUKEBOX.1);
                }
                Err(e) => return Err(e),
            }
        }
    }

    pub async fn getattr(&self, op: &Op, object: &nfs_fh3) -> Result<fattr3, Fail> {
        let args = GETATTR3args {
            object: object.clone(),
        };
        let call = call(NFS_PROGRAM::NFSPROC3_GETATTR, &args, Bytes::new());
        self.ask(op, &call, |d| d.fixed("the attributes")).await
    }

    /// The attributes afterwards.
    pub async fn setattr(
        &self,
        op: &Op,
        object: &nfs_fh3,
        new_attributes: sattr3,
    ) -> Result<Option<fattr3>, Fail> {
        let args = SETATTR3args {
            object: object.clone(),
            new_attributes,
            guard: sattrguard3::None,
        };
        let call = call(NFS_PROGRAM::NFSPROC3_SETATTR, &args, Bytes::new());
        self.ask(op, &call, wcc).await
    }

    pub async fn lookup(&self, op: &Op, dir: &nfs_fh3, name: &str) -> Result<Found, Fail> {
        let args = LOOKUP3args {
            what: at(dir, name),
        };
        let call = call(NFS_PROGRAM::NFSPROC3_LOOKUP, &args, Bytes::new());
        let read = |d: &mut Decoder| {
            Ok(Found {
                handle: handle(d)?,
                attributes: attributes(d)?,
            })
        };
        self.ask(op, &call, read).await
    }

    /// What a name leads to, or nothing.
    pub async fn find(&self, op: &Op, dir: &nfs_fh3, name: &str) -> Result<Option<Found>, Fail> {
        match self.lookup(op, dir, name).await {
            Ok(found) => Ok(Some(found)),
            Err(e) if e.is(nfsstat3::NFS3ERR_NOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The attributes of what was found; asked for where they did not come along.
    pub async fn attributes(&self, op: &Op, found: &Found) -> Result<fattr3, Fail> {
        match &found.attributes {
            Some(attributes) => Ok(attributes.clone()),
            None => self.getattr(op, &found.handle).await,
        }
    }

    pub async fn read(
        &self,
        op: &Op,
        file: &nfs_fh3,
        offset: u64,
        count: u32,
    ) -> Result<Read, Fail> {
        let args = READ3args {
            file: file.clone(),
            offset,
            count,
        };
        let call = call(NFS_PROGRAM::NFSPROC3_READ, &args, Bytes::new());
        let read = |d: &mut Decoder| {
            attributes(d)?;
            let said = d.u32("the count")?;
            let eof = d.bool("the end of the file")?;
            let bytes = d.opaque(count as usize, "the data")?;
            match bytes.len() == said as usize {
                true => Ok(Read { bytes, eof }),
                false => Err(Malformed("the count")),
            }
        };
        self.ask(op, &call, read).await
    }

    /// A WRITE FILE_SYNC that may be repeated: of bytes that nobody else writes.
    pub async fn write(
        &self,
        op: &Op,
        file: &nfs_fh3,
        offset: u64,
        bytes: Bytes,
    ) -> Result<Written, Fail> {
        let call = write_call(file, offset, bytes);
        let read = |d: &mut Decoder| {
            let attributes = wcc(d)?;
            Ok(Written {
                count: d.u32("the count")?,
                committed: d.fixed("the stability")?,
                attributes,
            })
        };
        self.ask(op, &call, read).await
    }

    pub async fn create(
        &self,
        op: &Op,
        dir: &nfs_fh3,
        name: &str,
        how: createhow3,
    ) -> Result<Found, Fail> {
        let args = CREATE3args {
            where_: at(dir, name),
            how,
        };
        let call = call(NFS_PROGRAM::NFSPROC3_CREATE, &args, Bytes::new());
        self.made(op, dir, name, &call).await
    }

    pub async fn mkdir(&self, op: &Op, dir: &nfs_fh3, name: &str) -> Result<Found, Fail> {
        let args = MKDIR3args {
            where_: at(dir, name),
            attributes: sattr3 {
                mode: set_mode3::Some(0o755),
                ..sattr3::default()
            },
        };
        let call = call(NFS_PROGRAM::NFSPROC3_MKDIR, &args, Bytes::new());
        self.made(op, dir, name, &call).await
    }

    /// A server need not say what it has made: then it is looked up.
    async fn made(&self, op: &Op, dir: &nfs_fh3, name: &str, call: &Call) -> Result<Found, Fail> {
        let read = |d: &mut Decoder| Ok((d.optional("the handle", handle)?, attributes(d)?));
        match self.ask(op, call, read).await? {
            (Some(handle), attributes) => Ok(Found { handle, attributes }),
            (None, _) => self.lookup(op, dir, name).await,
        }
    }

    pub async fn remove(&self, op: &Op, dir: &nfs_fh3, name: &str) -> Result<(), Fail> {
        let args = REMOVE3args {
            object: at(dir, name),
        };
        let call = call(NFS_PROGRAM::NFSPROC3_REMOVE, &args, Bytes::new());
        self.ask(op, &call, |_| Ok(())).await
    }

    /// A REMOVE that is not asked again when the connection broke: the name may
    /// lead to another file by then.
    pub async fn remove_unrepeated(&self, op: &Op, dir: &nfs_fh3, name: &str) -> Result<(), Fail> {
        let args = REMOVE3args {
            object: at(dir, name),
        };
        let call = call(NFS_PROGRAM::NFSPROC3_REMOVE, &args, Bytes::new());
        self.ask_how(op, &call, false, |_| Ok(())).await
    }

    pub async fn link(
        &self,
        op: &Op,
        file: &nfs_fh3,
        dir: &nfs_fh3,
        name: &str,
    ) -> Result<(), Fail> {
        let args = LINK3args {
            file: file.clone(),
            link: at(dir, name),
        };
        let call = call(NFS_PROGRAM::NFSPROC3_LINK, &args, Bytes::new());
        self.ask(op, &call, |_| Ok(())).await
    }

    /// Makes all of a file durable that the server has of it, and its names.
    pub async fn commit(&self, op: &Op, file: &nfs_fh3) -> Result<(), Fail> {
        let args = COMMIT3args {
            file: file.clone(),
            offset: 0,
            count: 0,
        };
        let call = call(NFS_PROGRAM::NFSPROC3_COMMIT, &args, Bytes::new());
        self.ask(op, &call, |_| Ok(())).await
    }

    pub async fn fsinfo(&self, op: &Op, root: &nfs_fh3) -> Result<FSINFO3resok, Fail> {
        let args = FSINFO3args {
            fsroot: root.clone(),
        };
        let call = call(NFS_PROGRAM::NFSPROC3_FSINFO, &args, Bytes::new());
        self.ask(op, &call, |d| d.fixed("the limits")).await
    }

    pub async fn fsstat(&self, op: &Op, root: &nfs_fh3) -> Result<FSSTAT3resok, Fail> {
        let args = FSSTAT3args {
            fsroot: root.clone(),
        };
        let call = call(NFS_PROGRAM::NFSPROC3_FSSTAT, &args, Bytes::new());
        self.ask(op, &call, |d| d.fixed("the room")).await
    }

    pub async fn pathconf(&self, op: &Op, root: &nfs_fh3) -> Result<PATHCONF3resok, Fail> {
        let args = PATHCONF3args {
            object: root.clone(),
        };
        let call = call(NFS_PROGRAM::NFSPROC3_PATHCONF, &args, Bytes::new());
        self.ask(op, &call, |d| d.fixed("the limits of names"))
            .await
    }

    /// A piece of a folder, with attributes.
    pub async fn readdirplus(
        &self,
        op: &Op,
        dir: &nfs_fh3,
        cookie: u64,
        cookieverf: cookieverf3,
        size: u32,
    ) -> Result<Page, Fail> {
        let args = READDIRPLUS3args {
            dir: dir.clone(),
            cookie,
            cookieverf,
            dircount: size,
            maxcount: size,
        };
        let call = call(NFS_PROGRAM::NFSPROC3_READDIRPLUS, &args, Bytes::new());
        self.ask(op, &call, |d| page(d, true)).await
    }

    /// A piece of a folder, names only: for servers without READDIRPLUS.
    pub async fn readdir(
        &self,
        op: &Op,
        dir: &nfs_fh3,
        cookie: u64,
        cookieverf: cookieverf3,
        count: u32,
    ) -> Result<Page, Fail> {
        let args = READDIR3args {
            dir: dir.clone(),
            cookie,
            cookieverf,
            count,
        };
        let call = call(NFS_PROGRAM::NFSPROC3_READDIR, &args, Bytes::new());
        self.ask(op, &call, |d| page(d, false)).await
    }
}

fn page(d: &mut Decoder, plus: bool) -> Result<Page, Malformed> {
    let mut page = Page {
        attributes: attributes(d)?,
        verifier: d.fixed("the cookies' verifier")?,
        entries: Vec::new(),
        eof: false,
    };
    // No longer than the reply: each entry takes bytes of it.
    while d.bool("an entry")? {
        d.fixed::<u64>("an entry's number")?;
        let name = d.opaque(MAX_NAME, "an entry's name")?;
        let cookie = d.fixed("an entry's cookie")?;
        let mut entry = Entry {
            name,
            cookie,
            attributes: None,
        };
        if plus {
            entry.attributes = attributes(d)?;
            d.optional("an entry's handle", handle)?;
        }
        page.entries.push(entry);
    }
    page.eof = d.bool("the end of the folder")?;
    Ok(page)
}
