//! Whether a flush reaches the device: what the block layer counts while some
//! hundred flushes are made (`/sys/block/…/stat`, see the kernel's
//! `Documentation/block/stat.rst`), and what the device says of its cache.

use super::floor::{Bare, Until};
use crate::failure::Result;
use crate::units::short;
use std::fs::read_to_string;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How many flushes are counted.
const FLUSHES: Until = Until {
    writes: 200,
    time: Duration::from_secs(2),
};
/// A system call on memory takes about 1 µs, the fastest flush of a device 8 µs.
const NO_DEVICE: Duration = Duration::from_micros(4);

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether it is fine, worrying, or not to be seen.
    pub verdict: Reaches,
    /// The same in words.
    pub text: String,
    /// The devices.
    pub devices: Vec<String>,
    /// How many flushes were made.
    pub flushes: u64,
    /// How many writes the devices completed meanwhile, others' included.
    pub writes: Option<u64>,
    /// How many cache flushes they completed.
    pub cache_flushes: Option<u64>,
}

/// Whether a flush reaches the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaches {
    Yes,
    No,
    Unseen,
}

impl Reaches {
    /// The name in `--json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reaches::Yes => "yes",
            Reaches::No => "no",
            Reaches::Unseen => "unseen",
        }
    }
}

impl Seen {
    /// Nothing can be seen, for this reason.
    pub fn nothing(why: &str) -> Seen {
        Seen {
            verdict: Reaches::Unseen,
            text: format!("whether a flush reaches a device can't be seen here: {why}"),
            devices: Vec::new(),
            flushes: 0,
            writes: None,
            cache_flushes: None,
        }
    }
}

/// How often it is tried again when others make too much noise.
const TRIES: u32 = 3;

/// Makes flushes and counts what the devices below `folder` do meanwhile.
pub async fn watch(bare: &mut Bare, folder: &Path) -> Result<Seen> {
    let disks = disks_of(folder);
    let mut seen = try_watch(bare, &disks).await?;
    for _ in 1..TRIES {
        if seen.verdict != Reaches::Unseen || seen.writes.is_none() {
            break;
        }
        seen = try_watch(bare, &disks).await?;
    }
    Ok(seen)
}

async fn try_watch(bare: &mut Bare, disks: &[Disk]) -> Result<Seen> {
    let before = count(disks);
    let began = Instant::now();
    let mut times = bare.write(FLUSHES).await?;
    let took = began.elapsed();
    let after = count(disks);
    // What others write is seen while nothing is done, for as long.
    tokio::time::sleep(took).await;
    let idle = count(disks);
    times.sort_unstable();
    let made = Made {
        flushes: times.len() as u64,
        median: times.get(times.len() / 2).copied().unwrap_or_default(),
        direct: bare.method() == "direct",
        counted: match (before, after, idle) {
            (Some(b), Some(a), Some(i)) => Some((a.since(b), i.since(a))),
            _ => None,
        },
    };
    Ok(judge(disks, &made))
}

/// A whole disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Disk {
    name: String,
    folder: PathBuf,
    /// Whether its write cache is volatile, as far as the kernel knows.
    volatile: Option<bool>,
    /// Whether it takes writes that pass its cache by.
    fua: bool,
}

/// Requests that were completed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    writes: u64,
    /// `None` before Linux 5.5.
    flushes: Option<u64>,
}

impl Counted {
    fn since(self, earlier: Counted) -> Counted {
        Counted {
            writes: self.writes.saturating_sub(earlier.writes),
            flushes: self
                .flushes
                .zip(earlier.flushes)
                .map(|(a, b)| a.saturating_sub(b)),
        }
    }
}

/// What was done, and what was counted.
#[derive(Clone, Copy, Debug)]
struct Made {
    flushes: u64,
    median: Duration,
    direct: bool,
    /// Meanwhile, others' requests included; and others' alone, just as long.
    counted: Option<(Counted, Counted)>,
}

impl Made {
    /// Whether there was a request for (nearly) each flush; `None`: others made
    /// so many that it can't be told.
    fn each(&self, counted: u64, others: u64) -> Option<bool> {
        let most = |n: u64| n * 10 >= self.flushes * 9;
        match (most(counted), most(counted.saturating_sub(others))) {
            (false, _) => Some(false),
            (true, true) => Some(true),
            (true, false) => None,
        }
    }
}

fn judge(disks: &[Disk], made: &Made) -> Seen {
    let names: Vec<_> = disks.iter().map(|d| d.name.clone()).collect();
    let all = names.join(", ");
    let n = made.flushes;
    let (verdict, text) = match made.counted {
        _ if n == 0 => return Seen::nothing("no flush was made"),
        _ if made.median < NO_DEVICE => (
            Reaches::No,
            format!(
                "a flush takes {}: no device is that fast, so it reaches none",
                short(made.median)
            ),
        ),
        Some((counted, others)) if !disks.is_empty() => {
            let (verdict, text) = requests(disks, made, counted, others);
            let host = virtual_note(&names);
            (
                verdict,
                format!("while {n} flushes were made, {all} {text}{host}"),
            )
        }
        _ => return Seen::nothing("no block device is in sight"),
    };
    Seen {
        verdict,
        text,
        devices: names,
        flushes: n,
        writes: made.counted.map(|(c, _)| c.writes),
        cache_flushes: made.counted.and_then(|(c, _)| c.flushes),
    }
}

/// What the counted writes, the counted flushes and the kind of cache mean.
fn requests(disks: &[Disk], made: &Made, counted: Counted, others: Counted) -> (Reaches, String) {
    let writes = format!("wrote {} times", counted.writes);
    let said = |verdict, text: &str| (verdict, format!("{writes}{text}"));
    let noise = "; others write so much that it can't be told: try again at a quiet time";
    match made.each(counted.writes, others.writes) {
        Some(false) => return said(Reaches::No, ": something in between answers for it"),
        None => return said(Reaches::Unseen, noise),
        Some(true) => {}
    }
    if disks.iter().all(|d| d.volatile == Some(false)) {
        return said(
            Reaches::Yes,
            "; it says that it has no volatile write cache",
        );
    }
    if disks.iter().any(|d| d.volatile.is_none()) {
        let text = "; whether its write cache is volatile can't be seen";
        return said(Reaches::Unseen, text);
    }
    let past_cache = made.direct && disks.iter().all(|d| d.fua);
    let Some(flushes) = counted.flushes else {
        let text = "; this kernel does not count flushes of the cache";
        return said(Reaches::Unseen, text);
    };
    match made.each(flushes, others.flushes.unwrap_or(0)) {
        Some(true) => said(
            Reaches::Yes,
            &format!(" and flushed its cache {flushes} times"),
        ),
        _ if past_cache => said(
            Reaches::Yes,
            ", past its volatile cache (forced unit access)",
        ),
        Some(false) => said(
            Reaches::No,
            &format!(
                ", but flushed its volatile cache only {flushes} times: a power loss may take \
                 what was acknowledged. Check the mount options (barrier) and the controller"
            ),
        ),
        None => said(Reaches::Unseen, noise),
    }
}

/// A virtual disk's host is out of sight.
fn virtual_note(names: &[String]) -> String {
    match names
        .iter()
        .find(|n| n.starts_with("vd") || n.starts_with("xvd"))
    {
        Some(name) => {
            format!(
                ". {name} is a virtual disk: what its host does with a flush can't be seen here"
            )
        }
        None => String::new(),
    }
}

/// The whole disks below a folder, through partitions, mappings and arrays.
fn disks_of(folder: &Path) -> Vec<Disk> {
    let mut disks = Vec::new();
    if let Some(device) = device_folder(folder) {
        add_disks(&device, 8, &mut disks);
    }
    disks
}

fn device_folder(folder: &Path) -> Option<PathBuf> {
    let number = std::fs::metadata(folder).ok()?.dev();
    sys_folder(number).or_else(|| {
        // btrfs gives files a device number of no device; the mount names one.
        let own = format!("{}:{}", major(number), minor(number));
        let mounts = read_to_string("/proc/self/mountinfo").ok()?;
        let line = mounts
            .lines()
            .find(|l| l.split(' ').nth(2) == Some(own.as_str()))?;
        let source = line.split_once(" - ")?.1.split(' ').nth(1)?;
        sys_folder(std::fs::metadata(source).ok()?.rdev())
    })
}

fn sys_folder(number: u64) -> Option<PathBuf> {
    let link = format!("/sys/dev/block/{}:{}", major(number), minor(number));
    std::fs::canonicalize(link).ok()
}

fn major(number: u64) -> u64 {
    nix::sys::stat::major(number)
}

fn minor(number: u64) -> u64 {
    nix::sys::stat::minor(number)
}

fn add_disks(device: &Path, depth: usize, disks: &mut Vec<Disk>) {
    let device = match device.join("partition").exists() {
        true => device.parent().unwrap_or(device),
        false => device,
    };
    let below: Vec<_> = std::fs::read_dir(device.join("slaves"))
        .into_iter()
        .flatten()
        .filter_map(|entry| std::fs::canonicalize(entry.ok()?.path()).ok())
        .collect();
    for part in below.iter().filter(|_| depth > 0) {
        add_disks(part, depth - 1, disks);
    }
    let name = device.file_name().and_then(|n| n.to_str()).unwrap_or("");
    if below.is_empty() && !disks.iter().any(|d| d.name == name) {
        let read = |file: &str| Some(read_to_string(device.join(file)).ok()?.trim().to_owned());
        disks.push(Disk {
            name: name.to_owned(),
            folder: device.to_owned(),
            volatile: read("queue/write_cache").map(|c| c == "write back"),
            fua: read("queue/fua").is_some_and(|f| f == "1"),
        });
    }
}

/// The sum over all disks; `None` when there are none.
fn count(disks: &[Disk]) -> Option<Counted> {
    let each: Option<Vec<_>> = disks
        .iter()
        .map(|d| parse(&read_to_string(d.folder.join("stat")).ok()?))
        .collect();
    each?.into_iter().reduce(|a, b| Counted {
        writes: a.writes + b.writes,
        flushes: a.flushes.zip(b.flushes).map(|(a, b)| a + b),
    })
}

/// Field 5 is the completed writes, field 16 the completed flushes.
fn parse(stat: &str) -> Option<Counted> {
    let fields: Vec<u64> = stat
        .split_whitespace()
        .map_while(|f| f.parse().ok())
        .collect();
    Some(Counted {
        writes: *fields.get(4)?,
        flushes: fields.get(15).copied(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(volatile: Option<bool>, fua: bool) -> Disk {
        Disk {
            name: "sda".into(),
            volatile,
            fua,
            ..Disk::default()
        }
    }

    fn seen(disk: Disk, writes: u64, flushes: Option<u64>) -> Reaches {
        let made = Made {
            flushes: 200,
            median: Duration::from_micros(130),
            direct: true,
            counted: Some((Counted { writes, flushes }, Counted::default())),
        };
        judge(&[disk], &made).verdict
    }

    #[test]
    fn others_noise_never_makes_a_verdict() {
        let counted = |n| Counted {
            writes: n,
            flushes: Some(n),
        };
        let of = |all, others| {
            let made = Made {
                flushes: 200,
                median: Duration::from_micros(130),
                direct: false,
                counted: Some((counted(all), counted(others))),
            };
            judge(&[disk(Some(true), false)], &made).verdict
        };
        assert_eq!(of(500, 300), Reaches::Yes);
        assert_eq!(of(500, 400), Reaches::Unseen);
        assert_eq!(of(100, 90), Reaches::No);
    }

    #[test]
    fn what_is_counted_decides() {
        assert_eq!(seen(disk(Some(true), false), 200, Some(198)), Reaches::Yes);
        assert_eq!(seen(disk(Some(true), false), 200, Some(3)), Reaches::No);
        assert_eq!(seen(disk(Some(true), true), 200, Some(0)), Reaches::Yes);
        assert_eq!(seen(disk(Some(false), false), 200, Some(0)), Reaches::Yes);
        assert_eq!(seen(disk(Some(true), false), 12, Some(12)), Reaches::No);
        assert_eq!(seen(disk(None, false), 200, Some(200)), Reaches::Unseen);
        assert_eq!(seen(disk(Some(true), false), 200, None), Reaches::Unseen);
    }

    #[test]
    fn a_flush_that_takes_no_time_reaches_nothing() {
        let made = Made {
            flushes: 200,
            median: Duration::from_nanos(900),
            direct: false,
            counted: None,
        };
        assert_eq!(judge(&[], &made).verdict, Reaches::No);
        let slow = Made {
            median: Duration::from_millis(1),
            ..made
        };
        assert_eq!(judge(&[], &slow).verdict, Reaches::Unseen);
    }

    #[test]
    fn the_kernels_columns() {
        let new = "83414 14648 1 53823 3434020 70002 1 3 0 1 4 1 1 4 5 1530622 67572";
        let counted = parse(new).unwrap();
        assert_eq!(
            (counted.writes, counted.flushes),
            (3_434_020, Some(1_530_622))
        );
        assert_eq!(parse("1 2 3 4 5 6 7 8 9 10 11").unwrap().flushes, None);
        assert_eq!(parse("1 2 3"), None);
    }
}
