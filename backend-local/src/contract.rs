//! What this place promises: from what is known about file system and device
//! to a [`FlushContract`].

use crate::disk::Place;
use crate::options::{Method, Settings};
use crate::probe::Probed;
use flushproof_api::{
    Class, Fault, Fencing, FlushCall, FlushContract, MIN_MAX_BATCH, Survives, Visibility,
};

/// The longest log: more than any engine asks for, less than any file system's limit.
pub(crate) const MAX_LOG: u64 = 1 << 40;

/// What another backend promises about a folder that is a mount of its storage.
/// It knows that storage; this crate sees only a network file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The faults that flushed bytes survive there.
    pub survives: Survives,
    /// How an old writer is stopped. A fence by name is not enough for
    /// [`Fencing::Store`] where names are cached.
    pub fencing: Fencing,
    /// When another process sees flushed bytes.
    pub visibility: Visibility,
    /// What the system calls of a flush are made on, in words: "an NFS mount of …".
    pub on: String,
    /// What an operator should know besides; each a sentence.
    pub caveats: Vec<String>,
}

/// What kind of place it is, for a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Nature {
    /// A file system whose fsync is known to reach its block device.
    Disk,
    /// A flush reaches nothing that outlives the machine; why.
    Memory(String),
    /// A power loss takes what was flushed, a crash of the process or kernel does not; why.
    Unflushed(String),
    /// Another machine stores; which backend to take instead.
    Network(String),
    /// It can't be seen from here whether a flush reaches a disk; why.
    Unseen(String),
}

/// Where a flush takes less time than this, it has reached no device: a system
/// call on tmpfs takes 1 µs, the fastest flush of a device (Optane) 8 µs.
const NO_DEVICE: std::time::Duration = std::time::Duration::from_micros(4);

/// The contract of a place, for what was probed there.
pub(crate) fn contract(place: &Place, probed: &Probed, settings: Settings) -> FlushContract {
    let nature = nature(place, probed);
    let mut caveats = Vec::new();
    let process_only = Survives::NOTHING.with(Fault::WriterCrash);
    let trusted = |why: &str, caveats: &mut Vec<String>| {
        if settings.trust_fsync {
            caveats.push(format!(
                "{why}; the option trust_fsync=true states that it does"
            ));
            return Survives::STORE_POWER;
        }
        caveats.push(format!(
            "{why}; if you know that it does, say so with the option trust_fsync=true"
        ));
        process_only
    };
    let mut fencing = Fencing::Store;
    let survives = match &nature {
        Nature::Disk => Survives::STORE_POWER,
        Nature::Memory(why) => {
            caveats.push(format!("all is lost when the machine stops: {why}"));
            process_only
        }
        Nature::Unflushed(why) => {
            caveats.push(format!("a power loss may take flushed bytes: {why}"));
            process_only.with(Fault::StoreCrash)
        }
        Nature::Network(advice) => {
            // Names are cached for seconds, so a fence is seen too late elsewhere.
            fencing = Fencing::HostLock;
            caveats.push(advice.clone());
            process_only
        }
        Nature::Unseen(why) => trusted(why, &mut caveats),
    };
    if place.fs == "overlay" && nature == Nature::Disk {
        caveats.push(
            "an overlay file system: a journal in a container's own layer goes with the \
             container; a volume does not"
                .into(),
        );
    }
    if probed.direct_reads == Some(false) {
        caveats.push(
            "no O_DIRECT here: recovery drops the page cache before it reads, which the kernel \
             may not do for pages in use"
                .into(),
        );
    }
    FlushContract {
        survives,
        mechanism: mechanism(place, probed.method, &nature),
        class: Class::Fast,
        fencing,
        visibility: Visibility::Now,
        exposes_unflushed: true,
        flush_call: FlushCall::Blocking,
        max_inflight: 1,
        block: probed.block,
        // Folders are synced behind a deletion; through a mount that does not help.
        durable_deletes: !matches!(nature, Nature::Network(_)),
        max_batch: MIN_MAX_BATCH,
        max_log: MAX_LOG,
        torn_unit: place
            .device
            .as_ref()
            .map_or(512, |d| d.logical_block.clamp(512, 4096)),
        caveats,
    }
}

/// The contract of a mount that another backend answers for.
pub(crate) fn on_terms(terms: Terms, place: &Place, probed: &Probed) -> FlushContract {
    let seen = contract(place, probed, Settings::default());
    FlushContract {
        survives: terms.survives,
        mechanism: format!("{} on {}", probed.method.calls(), terms.on),
        fencing: terms.fencing,
        visibility: terms.visibility,
        caveats: terms.caveats,
        ..seen
    }
}

fn nature(place: &Place, probed: &Probed) -> Nature {
    let fs = place.fs.as_str();
    let upper = place.upper.as_deref();
    if matches!(fs, "tmpfs" | "devtmpfs" | "ramfs") {
        return Nature::Memory(format!("{fs} is memory"));
    }
    if let Some(network) = network(fs) {
        return Nature::Network(network);
    }
    if let Some(device) = &place.device {
        let memory = ["ram", "zram"].iter().any(|name| {
            device
                .name
                .strip_prefix(name)
                .is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
        });
        if memory || matches!(device.backed_by.as_deref(), Some("tmpfs" | "ramfs")) {
            return Nature::Memory(format!("the device {} is memory", device.name));
        }
    }
    // Newer kernels show the same as fsync=volatile.
    let volatile = ["volatile", "fsync=volatile"];
    if fs == "overlay" && volatile.iter().any(|option| place.has_option(option)) {
        return Nature::Memory("an overlay mounted with `volatile` never syncs".into());
    }
    if matches!(upper, Some("tmpfs" | "ramfs")) {
        return Nature::Memory("the overlay's upper layer is in memory".into());
    }
    for option in ["nobarrier", "barrier=0"] {
        if place.has_option(option) {
            return Nature::Unflushed(format!(
                "mounted with {option}, so the device's write cache is never flushed"
            ));
        }
    }
    match fs {
        "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" | "f2fs" | "jfs" | "nilfs2" | "bcachefs"
        | "zfs" => Nature::Disk,
        _ if probed.fastest.is_some_and(|t| t < NO_DEVICE) => Nature::Memory(format!(
            "a flush on this {fs} returns before any device could"
        )),
        "overlay" if upper.is_some_and(|u| network(u).is_none()) => Nature::Disk,
        // In a container the upper layer's path leads nowhere; the time of a flush has spoken.
        "overlay" if !place.options.is_empty() && probed.fastest.is_some() => Nature::Disk,
        "overlay" => {
            Nature::Unseen("it can't be seen whether the overlay's flush reaches a disk".into())
        }
        _ if fs.starts_with("fuse") => Nature::Unseen(format!(
            "{fs}: a process decides what fsync does, and it can't be seen whether it reaches a disk"
        )),
        _ => Nature::Unseen(format!(
            "it is not known whether fsync on {fs} reaches a disk"
        )),
    }
}

/// What to say about a file system that is on another machine.
fn network(fs: &str) -> Option<String> {
    match fs {
        "nfs" | "nfs4" => Some(
            "an NFS mount: what a flush survives depends on the server and is not checked here; \
             use nfs://server/export/folder, which checks each reply and fences at the server; or, \
             for one primary without standbys, nfs:///path/of/the/mount"
                .into(),
        ),
        "cifs" | "smb3" | "9p" | "ceph" | "lustre" | "gfs2" | "ocfs2" | "afs" | "virtiofs" => {
            Some(format!(
                "{fs} stores on another machine: what a flush survives there is not known here"
            ))
        }
        _ => None,
    }
}

fn mechanism(place: &Place, method: Method, nature: &Nature) -> String {
    let calls = method.calls();
    let fs = &place.fs;
    match nature {
        Nature::Memory(_) => format!("{fs}: memory"),
        Nature::Network(_) => format!("{calls} on {fs}, a network file system"),
        _ => {
            let cache = match &place.device {
                None => String::new(),
                Some(d) => match d.write_back {
                    Some(true) => format!(" ({}, its write cache flushed each time)", d.name),
                    Some(false) => format!(" ({}, no volatile write cache)", d.name),
                    None => format!(" ({})", d.name),
                },
            };
            format!("{calls} on {fs}{cache}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::place::Device;
    use std::time::Duration;

    fn place(fs: &str, options: &[&str]) -> Place {
        Place {
            fs: fs.into(),
            options: options.iter().map(|o| (*o).to_owned()).collect(),
            upper: None,
            device: None,
        }
    }

    fn on_device(fs: &str, device: &str, backed_by: Option<&str>) -> Place {
        Place {
            device: Some(Device {
                name: device.into(),
                logical_block: 512,
                physical_block: 4096,
                write_back: Some(true),
                backed_by: backed_by.map(str::to_owned),
            }),
            ..place(fs, &["rw"])
        }
    }

    fn of(place: &Place, micros: u64, trust_fsync: bool) -> FlushContract {
        let probed = Probed {
            method: Method::Direct,
            block: 4096,
            direct_reads: Some(true),
            fastest: Some(Duration::from_micros(micros)),
        };
        let settings = Settings {
            method: None,
            trust_fsync,
        };
        let contract = contract(place, &probed, settings);
        contract.validate().unwrap();
        contract
    }

    fn process() -> Survives {
        Survives::NOTHING.with(Fault::WriterCrash)
    }

    #[test]
    fn fc_1_disks() {
        for fs in ["ext4", "xfs", "btrfs", "f2fs", "zfs"] {
            let contract = of(&on_device(fs, "nvme0n1p2", None), 9, false);
            assert_eq!(contract.survives, Survives::STORE_POWER, "{fs}");
            assert!(contract.caveats.is_empty());
            assert!(contract.mechanism.contains(fs) && contract.mechanism.contains("nvme0n1p2"));
        }
    }

    #[test]
    fn fc_1_memory_in_disguise() {
        for place in [
            place("tmpfs", &[]),
            place("ramfs", &[]),
            on_device("ext4", "ram0", None),
            on_device("xfs", "zram1", None),
            on_device("ext4", "loop3", Some("tmpfs")),
            place("overlay", &["volatile"]),
            place("overlay", &["rw", "fsync=volatile"]),
            Place {
                upper: Some("tmpfs".into()),
                ..place("overlay", &[])
            },
        ] {
            let contract = of(&place, 100, true);
            assert_eq!(contract.survives, process(), "{place:?}");
        }
        // A name that only begins like a RAM disk's.
        let contract = of(&on_device("ext4", "ramsan1", None), 100, false);
        assert_eq!(contract.survives, Survives::STORE_POWER);
    }

    #[test]
    fn fc_1_a_flush_that_is_too_fast_reached_nothing() {
        for fs in ["overlay", "fuse.x", "strangefs"] {
            assert_eq!(of(&place(fs, &[]), 1, true).survives, process(), "{fs}");
        }
        let seen = of(&place("overlay", &["rw"]), 100, false);
        assert_eq!(seen.survives, Survives::STORE_POWER);
        // Its mount options could not be read: `volatile` may be among them.
        let unseen = of(&place("overlay", &[]), 100, false);
        assert_eq!(unseen.survives, process());
    }

    #[test]
    fn fc_1_what_can_not_be_seen_is_claimed_only_with_the_operators_word() {
        for fs in ["fuse", "fuse.sshfs", "strangefs"] {
            let careful = of(&place(fs, &[]), 500, false);
            assert_eq!(careful.survives, process(), "{fs}");
            assert!(
                careful.caveats[0].contains("trust_fsync=true"),
                "{careful:?}"
            );
            let trusting = of(&place(fs, &[]), 500, true);
            assert_eq!(trusting.survives, Survives::STORE_POWER);
            assert!(
                trusting.caveats[0].contains("trust_fsync=true"),
                "{trusting:?}"
            );
        }
    }

    #[test]
    fn what_another_backend_promises_takes_the_place_of_what_is_seen() {
        let terms = Terms {
            survives: Survives::STORE_POWER,
            fencing: Fencing::None,
            visibility: Visibility::Within(Duration::from_secs(60)),
            on: "a mount".into(),
            caveats: vec!["A caveat.".into()],
        };
        let probed = Probed {
            method: Method::Dsync,
            block: 4096,
            direct_reads: Some(false),
            fastest: None,
        };
        let contract = on_terms(terms.clone(), &place("nfs4", &[]), &probed);
        contract.validate().unwrap();
        assert_eq!(contract.mechanism, "O_DSYNC write on a mount");
        assert_eq!(contract.caveats, terms.caveats);
        assert!(!contract.durable_deletes);
        assert_eq!(
            (contract.survives, contract.fencing, contract.visibility),
            (terms.survives, terms.fencing, terms.visibility)
        );
    }

    #[test]
    fn fc_9_a_network_file_system_fences_one_host_only() {
        for fs in ["nfs", "nfs4", "cifs", "9p"] {
            let contract = of(&place(fs, &[]), 500, true);
            assert_eq!(contract.fencing, Fencing::HostLock, "{fs}");
            assert_eq!(contract.survives, process());
            assert_eq!(
                fs.starts_with("nfs"),
                contract.caveats[0].contains("nfs://")
            );
        }
    }
}
