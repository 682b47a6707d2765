//! Random damage, several pieces at a time: an entry never comes out with other bytes than were
//! appended under its number; every number is either found or lost; and as long as only logs are
//! damaged, exactly the entries of the damaged frames are lost. Nothing is written.
//!
//! `FLUSHPROOF_ROUNDS` sets how many journals are damaged.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod golden_support;
mod salvage_support;
mod support;

use golden_support::changed::Journal;
use salvage_support::{Damage, Made, entries, lost, salvage, whole_of};
use std::collections::BTreeSet;
use support::small::{Small, config};
use support::{Random, copy_folder, files, memory_folder, rounds, runtime};

/// Damages some bytes of a file.
fn spoil(random: &mut Random, journal: &mut Journal, file: &str) {
    let others: Vec<_> = journal.0.values().cloned().collect();
    let bytes = journal.0.get_mut(file).unwrap();
    if bytes.is_empty() {
        return;
    }
    let at = random.below(bytes.len() as u64) as usize;
    let len = 1 + random.below(700) as usize;
    let end = (at + len).min(bytes.len());
    match random.below(6) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at..end].fill(0),
        // Not within the padding of a frame: whether it landed is another question.
        2 => bytes.truncate(at & !63),
        3 => bytes.clear(),
        // A misdirected write: frames of another place.
        4 => {
            let other = &others[random.below(others.len() as u64) as usize];
            let (at, len) = (at & !63, other.len().min(bytes.len() - (at & !63)));
            bytes[at..at + len].copy_from_slice(&other[..len]);
        }
        _ => bytes[at..end]
            .iter_mut()
            .for_each(|b| *b = random.number() as u8),
    }
}

/// Where files differ from what they were.
fn damage(made: &Made, journal: &Journal) -> Damage {
    let mut damage = Damage::new();
    for (file, bytes) in &made.files {
        let Some(now) = journal.0.get(file) else {
            damage.push(whole_of(file));
            continue;
        };
        let differs = |at: &usize| now.get(*at) != bytes.get(*at);
        for at in (0..bytes.len()).filter(differs) {
            match damage.last_mut() {
                Some((f, range)) if f == file && range.end == at => range.end = at + 1,
                _ => damage.push((file.clone(), at..at + 1)),
            }
        }
    }
    damage
}

#[test]
fn random_damage_never_gives_wrong_bytes_and_loses_no_more_than_it_must() {
    let mut random = Random::new("salvage");
    runtime().block_on(async {
        let made = [Made::new(), Made::with_checkpoints()];
        let (mut exact, mut losses) = (0, 0);
        for round in 0..rounds("FLUSHPROOF_ROUNDS", 4000) {
            let made = &made[round as usize % 2];
            let mut journal = made.journal();
            let names: Vec<_> = made.files.keys().cloned().collect();
            let only_logs = random.below(2) == 0;
            for _ in 0..1 + random.below(5) {
                let file = &names[random.below(names.len() as u64) as usize];
                if only_logs && !file.starts_with("log/") || !journal.0.contains_key(file) {
                    continue;
                }
                if random.below(6) == 0 {
                    journal.0.remove(file);
                } else {
                    spoil(&mut random, &mut journal, file);
                }
            }
            let damage = damage(made, &journal);
            let case = format!("round {round}: {damage:?}");
            if journal.0.keys().all(|name| name.starts_with("log/")) {
                continue;
            }
            let Ok(_) = journal.config().await.salvage(|_, _| {}).await else {
                assert!(!only_logs, "{case}");
                continue; // nothing says whose it is
            };
            let (found, lost) = salvage(&journal, &case).await;
            losses += lost.len();
            if only_logs {
                exact += 1;
                let base = found.checkpoint.map_or(0, |s| s.0);
                let expected = made.lost(base, &damage);
                assert_eq!((lost, found.end.0), expected, "{case}: {found:?}");
            }
        }
        println!("{exact} exact, {losses} entries lost");
        assert!(exact > 0 && losses > 0);
    });
}

/// A journal that the engine wrote, on a local disk: grain 4096.
#[test]
fn each_zeroed_page_of_a_written_journal_loses_what_it_held_and_nothing_is_written() {
    runtime().block_on(async {
        let small = Small::new().await;
        let copy = memory_folder();
        let mut losses = BTreeSet::new();
        for epoch in [1, 2] {
            let file = small.log(epoch);
            for at in (0..small.bytes(&file).len().min(1 << 17)).step_by(4096) {
                let folder = copy.path().join("journal");
                copy_folder(small.folder.path(), &folder);
                let mut bytes = small.bytes(&file);
                let frame = bytes[at..at + 64].to_vec();
                bytes[at..at + 4096].fill(0);
                std::fs::write(folder.join(&file), &bytes).unwrap();
                // Only entries are of interest from the beginning: without checkpoints.
                std::fs::remove_dir_all(folder.join("checkpoint")).unwrap();
                let read = |path: &std::path::PathBuf| std::fs::read(path).unwrap();
                let before: Vec<_> = files(&folder).iter().map(read).collect();
                let found = config(&folder).salvage(|_, _| {}).await.unwrap();
                let entries = entries(&found).await;
                for (n, bytes) in &entries {
                    assert!(
                        *bytes == small.entries[*n as usize],
                        "{file:?}:{at}: entry {n}"
                    );
                }
                let lost = lost(&found, &entries);
                let after: Vec<_> = files(&folder).iter().map(read).collect();
                assert!(before == after, "something was written");
                // Each entry is a frame; the last one is attested by nothing.
                let first = u64::from_le_bytes(frame[16..24].try_into().unwrap());
                let expected: BTreeSet<_> = match frame[12] {
                    2 if first < small.end() - 1 => [first].into(),
                    _ => BTreeSet::new(),
                };
                assert_eq!(lost, expected, "{file:?}:{at}: {found:?}");
                losses.extend(lost);
                std::fs::remove_dir_all(&folder).unwrap();
            }
        }
        assert_eq!(losses, (0..small.end() - 1).collect());
    });
}
