//! What a mount promises, or why it is refused.

use super::mountinfo::Mount;
use flushproof_api::{Error, ErrorKind, Fencing, Mode, Result, Survives, Visibility};
use flushproof_backend_local::Terms;
use std::time::Duration;

/// How long the kernel trusts what it knows about a file or folder, in seconds,
/// where the mount does not say (`acregmax`, `acdirmax` in nfs(5)).
const LONGEST_CACHED: u64 = 60;

/// What this mount promises. `name` is for messages.
///
/// # Errors
/// `Unsupported`: a flush there may say Ok although its bytes are gone, or the
/// mount can't be understood.
pub(crate) fn of(name: &str, mount: &Mount, mode: Mode) -> Result<Terms> {
    let version = version(name, mount)?;
    let patience = patience(name, mount)?;
    let mut caveats = Vec::new();
    let survives = match patience {
        Patience::Hard => Survives::STORE_POWER,
        Patience::Soft(_) if mode == Mode::ReadWrite => {
            return Err(refuse_soft(name, mount, patience));
        }
        Patience::Soft(soft) => {
            caveats.push(format!(
                "mounted {soft}: it can be read, but nothing may write a journal there"
            ));
            Survives::NOTHING
        }
    };
    let fencing = fencing(mount, &mut caveats);
    caveats.extend(LASTING.map(str::to_owned));
    Ok(Terms {
        survives,
        fencing,
        visibility: visibility(name, mount)?,
        on: format!(
            "an NFS mount of the kernel (version {version}, {}; {} at {}): WRITE as FILE_SYNC, or \
             with a COMMIT",
            patience.option(),
            mount.source,
            mount.point
        ),
        caveats,
    })
}

/// What the kernel does when the server does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// It waits.
    Hard,
    /// It gives up after a while; the option.
    Soft(&'static str),
}

impl Patience {
    fn option(self) -> &'static str {
        match self {
            Patience::Hard => "hard",
            Patience::Soft(option) => option,
        }
    }
}

fn unclear(name: &str, mount: &Mount, what: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "{name}: the mount of {} at {} can't be understood: {what} (its options: {}); speak to \
             the server without a mount: nfs://server/export/folder",
            mount.source,
            mount.point,
            mount.options.join(",")
        ),
    )
}

fn patience(name: &str, mount: &Mount) -> Result<Patience> {
    for soft in ["soft", "softerr"] {
        if mount.has(soft) {
            return Ok(Patience::Soft(soft));
        }
    }
    match mount.has("hard") {
        true => Ok(Patience::Hard),
        false => Err(unclear(name, mount, "it is neither hard nor soft")),
    }
}

fn refuse_soft(name: &str, mount: &Mount, patience: Patience) -> Error {
    let (option, source, point) = (patience.option(), &mount.source, &mount.point);
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "{name}: {source} is mounted {option} at {point}. When the server is away for a while, \
             the kernel drops writes on such a mount, says so once and goes on behind the hole. \
             Mount it hard: umount {point} && mount -t nfs -o hard {source} {point} (a remount \
             does not change it; see /etc/fstab), or speak to the server without a mount: \
             nfs://server/export/folder"
        ),
    )
}

/// 3, 4.0, 4.1, 4.2.
fn version<'a>(name: &str, mount: &'a Mount) -> Result<&'a str> {
    match mount.value("vers") {
        Some(version @ ("3" | "4" | "4.0" | "4.1" | "4.2")) => Ok(version),
        Some(other) => {
            let what = format!("journals are written with versions 3 and 4 of NFS, not {other}");
            Err(unclear(name, mount, &what))
        }
        None => Err(unclear(name, mount, "it does not say its version")),
    }
}

/// A primary holds a lock (`flock`). If the server has it, a second primary on
/// whatever host is refused as long as the first one's host lives. More it is
/// not: the server forgets the lock of a host that it has not heard of for a
/// while, and that host may still write.
fn fencing(mount: &Mount, caveats: &mut Vec<String>) -> Fencing {
    let one = "one primary and no standbys: names are cached, so an old primary on another host \
               would see its fence too late. For several masters use nfs://server/export/folder";
    caveats.push(one.to_owned());
    let local = match mount.value("local_lock") {
        _ if mount.has("nolock") => "nolock",
        Some("none" | "posix") => {
            caveats.push(
                "a primary is kept out by a lock on the server; after its host has died, it may \
                 last until the server's lease ends (mostly 90 s), on version 3 until the host is \
                 back"
                    .to_owned(),
            );
            return Fencing::HostLock;
        }
        Some("flock") => "local_lock=flock",
        Some("all") => "local_lock=all",
        _ => "without a word on local_lock",
    };
    caveats.push(format!(
        "mounted {local}, so a lock is this host's alone and a primary on another host would not \
         be noticed: mount it without that option, or use nfs://server/export/folder"
    ));
    Fencing::None
}

/// When a reader on another host sees what was flushed: it believes what it knows
/// about files and folders for so long. On this host there is one cache.
fn visibility(name: &str, mount: &Mount) -> Result<Visibility> {
    let seconds = |key: &str| match mount.value(key).map(str::parse::<u32>) {
        None => Ok(LONGEST_CACHED),
        Some(Ok(seconds)) => Ok(u64::from(seconds)),
        Some(Err(_)) => Err(unclear(name, mount, &format!("{key} is no number"))),
    };
    let longest = seconds("acregmax")?.max(seconds("acdirmax")?);
    Ok(match longest {
        _ if mount.has("noac") => Visibility::Now,
        0 => Visibility::Now,
        _ => Visibility::Within(Duration::from_secs(longest)),
    })
}

/// What holds of every mount.
const LASTING: [&str; 5] = [
    "the server must keep the promise of FILE_SYNC and COMMIT, which can't be seen from here: \
     knfsd exports with `async`, and disks with a volatile cache that is not flushed, do not",
    "the kernel does not sync folders over NFS: a new, changed or deleted name survives the \
     server's power loss when the server writes it down before it answers (knfsd does), or with \
     the next flush (nfs-ganesha on ext4, XFS, ZFS)",
    "a call that is repeated after the server's restart may be answered with \"exists\" or \"no \
     such file\" although the first one was ours: an error where there was none, never the reverse",
    "while the server is away, calls wait for it: the engine's time-outs end the waiting, but the \
     process may not end before the server is back or the mount is forced off (umount -f)",
    "what wrote a journal through a mount must be stopped before it is opened through nfs://, and \
     the other way round: neither stops the other in time",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(options: &str) -> Mount {
        Mount {
            id: 7,
            source: "nas:/vol".into(),
            point: "/mnt/nas".into(),
            options: options.split(',').map(str::to_owned).collect(),
        }
    }

    fn terms(options: &str) -> Terms {
        of("nfs:///mnt/nas/j", &mount(options), Mode::ReadWrite).unwrap()
    }

    fn refused(options: &str) -> String {
        let e = of("nfs:///mnt/nas/j", &mount(options), Mode::ReadWrite).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(e.to_string().contains("nfs://server/export"), "{e}");
        e.to_string()
    }

    const V4: &str = "rw,relatime,vers=4.2,rsize=1048576,hard,proto=tcp,local_lock=none";
    const V3: &str = "rw,vers=3,hard,proto=tcp,mountvers=3,local_lock=none";

    #[test]
    fn fc_1_a_hard_mount_promises_what_its_server_does() {
        for options in [V3, V4] {
            let terms = terms(options);
            assert_eq!(terms.survives, Survives::STORE_POWER);
            for says in ["hard", "nas:/vol", "/mnt/nas", "COMMIT"] {
                assert!(terms.on.contains(says), "{}", terms.on);
            }
            assert!(terms.caveats.iter().any(|c| c.contains("async")));
        }
        assert!(terms(V3).on.contains("version 3") && terms(V4).on.contains("version 4.2"));
    }

    #[test]
    fn fc_1_a_soft_mount_is_refused_with_what_to_do() {
        for soft in ["soft", "softerr"] {
            let options = V4.replace("hard", soft);
            let text = refused(&options);
            for says in [
                &format!("mounted {soft} "),
                "hole",
                "-o hard nas:/vol /mnt/nas",
            ] {
                assert!(text.contains(says), "{text}");
            }
            // Whoever only reads can't be hurt, and is told.
            let terms = of("x", &mount(&options), Mode::ReadOnly).unwrap();
            assert_eq!(terms.survives, Survives::NOTHING);
            assert!(terms.caveats[0].contains(soft), "{:?}", terms.caveats);
        }
        // Both words: the one that is worse counts.
        refused("rw,hard,soft,vers=3,local_lock=none");
    }

    #[test]
    fn fc_9_a_mount_never_fences() {
        for (options, fencing) in [
            (V4.to_owned(), Fencing::HostLock),
            (V3.to_owned(), Fencing::HostLock),
            (V3.replace("=none", "=posix"), Fencing::HostLock),
            // A lock that only this host knows does not keep another host out.
            (V3.replace("=none", "=flock"), Fencing::None),
            (V3.replace("=none", "=all"), Fencing::None),
            (V3.replace("=none", "=all,nolock"), Fencing::None),
            (V3.replace("=none", "=none,nolock"), Fencing::None),
            (V3.replace("local_lock=none", "nosuid"), Fencing::None),
            (V3.replace("=none", "=strange"), Fencing::None),
        ] {
            let terms = terms(&options);
            assert_eq!(terms.fencing, fencing, "{options}");
            assert!(terms.caveats[0].contains("nfs://server"));
        }
    }

    #[test]
    fn fc_8_readers_elsewhere_see_flushed_bytes_when_their_cache_ends() {
        let within = |s| Visibility::Within(Duration::from_secs(s));
        for (more, visibility) in [
            ("", within(60)),
            (",acregmin=1,acregmax=2", within(60)),
            (",acregmax=2,acdirmax=5", within(5)),
            (",acregmax=600", within(600)),
            (",acregmax=0,acdirmax=0", Visibility::Now),
            (",noac", Visibility::Now),
        ] {
            assert_eq!(
                terms(&format!("{V4}{more}")).visibility,
                visibility,
                "{more}"
            );
        }
    }

    #[test]
    fn fc_11_a_mount_that_is_not_understood_is_refused() {
        for (options, says) in [
            ("rw,vers=4.2,local_lock=none", "neither hard nor soft"),
            ("rw,hard,local_lock=none", "its version"),
            ("rw,hard,vers=2", "not 2"),
            ("rw,hard,vers=5", "not 5"),
            ("rw,hard,vers=3,acregmax=-1", "acregmax is no number"),
            (
                "rw,hard,vers=3,acdirmax=9999999999",
                "acdirmax is no number",
            ),
        ] {
            let text = refused(options);
            assert!(text.contains(says) && text.contains(options), "{text}");
        }
    }
}
