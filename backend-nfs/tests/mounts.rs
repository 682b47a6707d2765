//! `nfs:///…` where there is no mount: what is said, and that nothing is touched.
//! Mounts themselves: `store-tests/tests/mount.rs`, in an emulated machine.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

use flushproof_api::*;
use flushproof_backend_nfs::NfsFactory;

async fn refused(uri: &str, options: Options, mode: Mode) -> Error {
    let registry = Registry::new().with(NfsFactory);
    let uri = StoreUri::parse(uri).unwrap();
    registry.open(&uri, &options, mode).await.err().unwrap()
}

/// A folder that is on no mount of NFS.
fn folder(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("flushproof-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    folder
}

#[tokio::test]
async fn fc_11_a_folder_that_is_not_mounted_is_refused_and_nothing_is_created() {
    let root = folder("not-mounted");
    for (below, mode) in [
        ("journal", Mode::ReadWrite),
        ("deep/er/journal", Mode::ReadWrite),
        ("journal", Mode::ReadOnly),
        ("", Mode::ReadWrite),
    ] {
        let path = root.join(below);
        let e = refused(&format!("nfs://{}", path.display()), Options::new(), mode).await;
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
        let file = format!("file://{}", path.display());
        for says in [
            "not on an NFS mount",
            "is it mounted?",
            &file,
            "nfs://server/",
        ] {
            assert!(e.to_string().contains(says), "{e}");
        }
    }
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    std::fs::remove_dir(&root).unwrap();
}

#[tokio::test]
async fn fc_11_what_is_no_folder_says_so() {
    let root = folder("a-file");
    std::fs::write(root.join("file"), b"x").unwrap();
    let uri = format!("nfs://{}/file/journal", root.display());
    let e = refused(&uri, Options::new(), Mode::ReadWrite).await;
    assert!(e.to_string().contains("directory"), "{e}");
    std::fs::remove_dir_all(&root).unwrap();
}

#[tokio::test]
async fn fc_11_a_path_that_is_not_absolute_is_refused() {
    for uri in ["nfs:mnt/journal", "nfs:///mnt/../journal"] {
        let e = refused(uri, Options::new(), Mode::ReadWrite).await;
        assert_eq!(e.kind(), ErrorKind::InvalidInput, "{e}");
        assert!(e.to_string().contains("nfs:///path"), "{e}");
    }
}

#[tokio::test]
async fn fc_11_options_of_a_server_have_no_meaning_on_a_mount() {
    for option in ["mount_port", "trust_fsync", "timeout"] {
        let options = Options::new().with(option, "1");
        let e = refused("nfs:///mnt/journal", options, Mode::ReadWrite).await;
        assert_eq!(e.kind(), ErrorKind::InvalidInput, "{e}");
        assert!(e.to_string().contains("fstab"), "{e}");
    }
}
