//! The engine on an NFS mount of the kernel, in an emulated machine.
#![allow(missing_docs)]

use flushproof::Registry;
use flushproof_backend_nfs::NfsFactory;
use flushproof_store_tests::{child, scenarios};

fn registry() -> Registry {
    Registry::new().with(NfsFactory)
}

/// Not a test by itself: the process that the others start in the machine.
#[test]
fn child() {
    child::main(registry());
}

/// One test, because a machine takes its time to start: refusals (FC-11), kills
/// and power cuts (FC-1).
#[test]
fn fc_1_a_power_cut_of_the_mounting_machine_loses_no_acknowledged_entry() {
    scenarios::mount::kill_and_cut(&registry());
}
