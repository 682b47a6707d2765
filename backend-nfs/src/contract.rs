//! What a place on an NFS server promises.

use crate::procedures::Nfs;
use flushproof_api::{
    Class, Error, ErrorKind, Fencing, FlushCall, FlushContract, MIN_MAX_BATCH, Mode, Result,
    Survives, Visibility,
};
use nfs3_types::nfs3::{FSF3_LINK, FSINFO3resok, PATHCONF3resok};

/// The most bytes in one READ or WRITE, whatever the server offers.
pub(crate) const MAX_TRANSFER: u32 = 1024 * 1024;
/// The least that a server may offer.
const MIN_TRANSFER: u32 = 4096;
/// The most bytes of a folder in one reply.
const MAX_PAGE: u32 = 64 * 1024;
/// What servers and their disks write whole, nearly everywhere.
const BLOCK: usize = 4096;
/// The longest log, where the server would take a longer one.
const MAX_LOG: u64 = 1 << 40;
/// How many flushes of one log may be under way.
const INFLIGHT: usize = 4;
/// Names of a fenced log: the log and two fences; and one to spare.
const MIN_LINKS: u32 = 4;
/// A component of a path, and what stands behind its dot.
const MIN_NAME: u32 = 128 + 10;

/// How much goes into one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// In one READ.
    pub read: u32,
    /// In one WRITE; a multiple of the block.
    pub write: u32,
    /// Of a folder in one reply.
    pub page: u32,
    /// The longest log.
    pub log: u64,
}

/// Reads what the server offers.
///
/// # Errors
/// `Unsupported`: it lacks something without which a journal can't lie there.
pub(crate) fn limits(at: &str, info: &FSINFO3resok, names: &PATHCONF3resok) -> Result<Limits> {
    let unfit = |what: String| {
        let text = format!("{at}: a journal can't lie there: {what}");
        Err(Error::new(ErrorKind::Unsupported, text))
    };
    if info.properties & FSF3_LINK == 0 || names.linkmax < MIN_LINKS {
        return unfit(
            "the server's file system has no hard links, which fence old primaries".into(),
        );
    }
    if info.wtmax < MIN_TRANSFER || info.rtmax < MIN_TRANSFER {
        return unfit(format!(
            "the server takes {} and gives {} bytes in one call; at least {MIN_TRANSFER} are needed",
            info.wtmax, info.rtmax
        ));
    }
    if names.name_max < MIN_NAME {
        return unfit(format!("names may have only {} bytes", names.name_max));
    }
    if names.case_insensitive {
        return unfit("its file system does not tell upper from lower case in names".into());
    }
    if info.maxfilesize < MIN_MAX_BATCH as u64 {
        return unfit(format!("files may have only {} bytes", info.maxfilesize));
    }
    let write = info.wtmax.min(MAX_TRANSFER);
    Ok(Limits {
        read: info.rtmax.min(MAX_TRANSFER),
        write: write - write % BLOCK as u32,
        page: info.dtpref.clamp(MIN_TRANSFER, MAX_PAGE),
        log: info.maxfilesize.min(MAX_LOG),
    })
}

/// What the probe at open found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probed {
    /// The reply to a WRITE shows the links of that very moment.
    FreshLinks,
    /// It does not: an old writer would not see a fence.
    StaleLinks,
    /// Not probed, because nothing may be written.
    No,
}

/// Puts the contract together.
pub(crate) fn contract(nfs: &Nfs, limits: &Limits, probed: Probed, mode: Mode) -> FlushContract {
    let mut caveats = vec![
        "the server must keep the promise of FILE_SYNC, which can't be seen from here: knfsd \
         exports with `async`, and disks with a volatile cache that is not flushed, do not"
            .to_owned(),
        "an old primary is fenced by what one server says about links: two servers (or heads of a \
         cluster) that export the same folder and cache attributes on their own must not both be \
         used"
            .to_owned(),
        "hard links to a log that others make (backups by `cp -al`, rsnapshot) fence its primary"
            .to_owned(),
        "a deletion can't be committed by NFS; it is durable where the server's file system keeps \
         the order of changes (ext4, XFS, ZFS). Elsewhere a deleted name may come back after a \
         power cut"
            .to_owned(),
        "AUTH_SYS proves nothing: who reaches the server can write; protect the network".to_owned(),
    ];
    let fencing = match probed {
        Probed::FreshLinks => Fencing::Store,
        Probed::StaleLinks => {
            caveats.push(
                "this server's replies do not show fresh links, so an old primary can't be fenced"
                    .to_owned(),
            );
            Fencing::None
        }
        Probed::No => {
            debug_assert_eq!(mode, Mode::ReadOnly);
            caveats.push("opened for reading only, so the server was not probed".to_owned());
            Fencing::Store
        }
    };
    FlushContract {
        survives: Survives::STORE_POWER,
        mechanism: format!(
            "NFSv3 WRITE FILE_SYNC over TCP to {}, its reply checked",
            nfs.client.name()
        ),
        class: Class::Fast,
        fencing,
        visibility: Visibility::Now,
        exposes_unflushed: true,
        flush_call: FlushCall::Detached,
        max_inflight: INFLIGHT,
        block: BLOCK,
        // REMOVE can't be COMMITted.
        durable_deletes: false,
        max_batch: MIN_MAX_BATCH,
        max_log: limits.log,
        torn_unit: 512,
        caveats,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nfs3_types::nfs3::{nfstime3, post_op_attr};

    fn info() -> FSINFO3resok {
        FSINFO3resok {
            obj_attributes: post_op_attr::None,
            rtmax: 65_536,
            rtpref: 0,
            rtmult: 0,
            wtmax: 100_000,
            wtpref: 0,
            wtmult: 0,
            dtpref: 0,
            maxfilesize: u64::MAX,
            time_delta: nfstime3::default(),
            properties: FSF3_LINK,
        }
    }

    fn names() -> PATHCONF3resok {
        PATHCONF3resok {
            obj_attributes: post_op_attr::None,
            linkmax: 32_000,
            name_max: 255,
            no_trunc: true,
            chown_restricted: true,
            case_insensitive: false,
            case_preserving: true,
        }
    }

    #[test]
    fn calls_are_cut_to_what_the_server_takes() {
        let limits = limits("x", &info(), &names()).unwrap();
        assert_eq!(
            (limits.read, limits.write, limits.page, limits.log),
            (65_536, 98_304, 4096, 1 << 40)
        );
    }

    #[test]
    fn fc_11_an_unfit_server_is_refused_with_the_reason() {
        let refused = |info: &FSINFO3resok, names: &PATHCONF3resok, says: &str| {
            let e = limits("nfs://x/y", info, names).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Unsupported);
            assert!(e.to_string().contains(says), "{e}");
        };
        let mut bad = info();
        bad.properties = 0;
        refused(&bad, &names(), "hard links");
        let mut bad = info();
        bad.wtmax = 0;
        refused(&bad, &names(), "at least 4096");
        let mut bad = info();
        bad.maxfilesize = 1 << 20;
        refused(&bad, &names(), "only 1048576 bytes");
        let mut bad = names();
        bad.linkmax = 1;
        refused(&info(), &bad, "hard links");
        let mut bad = names();
        bad.name_max = 60;
        refused(&info(), &bad, "only 60");
        let mut bad = names();
        bad.case_insensitive = true;
        refused(&info(), &bad, "upper from lower");
    }
}
