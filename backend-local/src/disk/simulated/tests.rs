//! The simulated disk keeps to its model.

use super::*;

fn folder(disk: &SimulatedDisk) -> Arc<dyn Folder> {
    Disk::folder(disk, Path::new("/simulated")).unwrap()
}

/// Over many seeds: how often something is found after a power cut.
fn found(disk: &SimulatedDisk, is_there: impl Fn(&dyn Folder) -> bool) -> usize {
    (0..64)
        .filter(|_| is_there(folder(&disk.power_cut()).as_ref()))
        .count()
}

fn write(file: &Arc<dyn File>, bytes: &[u8], offset: u64) -> io::Result<usize> {
    file.write_at(&[IoSlice::new(bytes)], offset)
}

#[test]
fn a_name_lasts_only_when_its_folder_was_synced() {
    let disk = SimulatedDisk::new(1);
    let dir = folder(&disk);
    let file = dir.create("a", How::WRITE, None).unwrap();
    file.sync_all().unwrap();
    let there = |dir: &dyn Folder| dir.exists("a").unwrap();
    assert!((1..64).contains(&found(&disk, there)));
    dir.sync().unwrap();
    assert_eq!(found(&disk, there), 64);
    dir.rename_new("a", "b").unwrap();
    let one = |dir: &dyn Folder| dir.exists("a").unwrap() != dir.exists("b").unwrap();
    assert_eq!(found(&disk, one), 64);
    assert!((1..64).contains(&found(&disk, there)));
}

#[test]
fn bytes_last_only_when_they_were_synced() {
    let disk = SimulatedDisk::new(2);
    let dir = folder(&disk);
    let file = dir.create("a", How::WRITE, None).unwrap();
    dir.sync().unwrap();
    let there = |dir: &dyn Folder| {
        let mut bytes = [0; 2];
        let file = dir.open("a", How::READ).unwrap();
        file.read_at(&mut bytes[..1], 0).unwrap();
        file.read_at(&mut bytes[1..], 512).unwrap();
        bytes == [7, 7]
    };
    write(&file, &[7; 1024], 0).unwrap();
    assert!((1..64).contains(&found(&disk, there)));
    file.sync_data().unwrap();
    assert_eq!(found(&disk, there), 64);
}

#[test]
fn a_failed_sync_loses_bytes_that_the_cache_still_shows() {
    let disk = SimulatedDisk::new(3);
    let dir = folder(&disk);
    let file = dir.create("a", How::WRITE, None).unwrap();
    dir.sync().unwrap();
    write(&file, &[7; 64 * 512], 0).unwrap();
    disk.fail_at(disk.calls(), Failure::Io);
    assert!(file.sync_data().is_err());
    assert!(file.sync_data().is_ok());
    let mut bytes = vec![0; 64 * 512];
    file.read_at(&mut bytes, 0).unwrap();
    assert!(bytes.iter().all(|b| *b == 7));
    let direct = How {
        direct: true,
        ..How::READ
    };
    let mut aligned = crate::buffer::AlignedBuf::new(64 * 512);
    let file = dir.open("a", direct).unwrap();
    file.read_at(aligned.as_mut(), 0).unwrap();
    assert!(aligned.as_ref().contains(&0));
}

#[test]
fn a_short_write_says_so_and_a_stopped_disk_does_nothing() {
    let disk = SimulatedDisk::new(4);
    let dir = folder(&disk);
    let file = dir.create("a", How::WRITE, None).unwrap();
    disk.fail_at(disk.calls(), Failure::Short);
    assert_eq!(write(&file, &[7; 2048], 0).unwrap(), 1024);
    disk.stop_at(disk.calls());
    assert!(write(&file, &[7; 512], 0).is_err());
    assert!(dir.sync().is_err());
}

#[test]
fn a_full_disk() {
    let disk = SimulatedDisk::new(5);
    disk.set_capacity(1024);
    let file = folder(&disk).create("a", How::WRITE, None).unwrap();
    assert!(file.reserve(0, 1025).is_err());
    write(&file, &[7; 1024], 0).unwrap();
    let e = write(&file, &[7; 1], 1024).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::StorageFull);
}
