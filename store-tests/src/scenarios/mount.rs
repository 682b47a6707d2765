//! A journal on an NFS mount of the kernel, in a machine that is started for it.
//! The writers are in the machine. What they were told to be durable is looked
//! for from outside, by `nfs://`: no cache of theirs can answer.

use super::entries;
use super::kill::{Acknowledged, check_in_place};
use crate::access::Access;
use crate::child::{Role, acked_in, command_line};
use crate::runtime;
use crate::state::{State, entry};
use flushproof::{Config, FollowItem, Registry, SeqNo};
use flushproof_testbed::mount::{HOST, Machine, PROGRAM};
use flushproof_testbed::{Bed, nfs};
use std::time::Duration;

/// The server, the machine, and what was acknowledged in it so far.
struct Mounted {
    bed: Bed,
    machine: Machine,
    acknowledged: Acknowledged,
    /// The journal as this machine reaches it.
    outside: Access,
}

impl Mounted {
    fn start(registry: &Registry) -> Mounted {
        let bed = Bed::start(&nfs::MOUNTABLE).unwrap();
        let program = std::env::current_exe().unwrap();
        let machine = Machine::start(&program).unwrap();
        let mut outside = Access::new(format!("{}/journal", bed.uri()), registry.clone());
        for (name, value) in bed.env() {
            let option = name.strip_prefix("JOURNAL_BACKEND_").unwrap();
            outside.options.push((option.to_lowercase(), value));
        }
        Mounted {
            bed,
            machine,
            acknowledged: Acknowledged::default(),
            outside,
        }
    }

    /// Mounts the export at `at` with these options and those that find the server.
    fn mount(&mut self, at: &str, options: &str) {
        let ports = &self.bed.place().ports;
        let (port, mount_port) = (ports[0], ports[1]);
        let kind = if options.contains("vers=4") {
            "nfs4"
        } else {
            "nfs"
        };
        let mountport = match kind {
            "nfs4" => String::new(),
            _ => format!(",mountport={mount_port},mountproto=tcp"),
        };
        let line = format!(
            "mkdir -p {at} && mount -i -t {kind} -o {options},addr={HOST},port={port},proto=tcp\
             {mountport} {HOST}:/export {at}"
        );
        self.machine.must(&line).unwrap();
    }

    /// The line that runs a child on the journal at `folder`.
    fn child(&self, folder: &str, run: u64, role: Role) -> String {
        let access = Access::new(format!("nfs://{folder}"), self.outside.registry.clone());
        command_line(PROGRAM, &access, run, role)
    }

    /// Runs a child to its end; what it said.
    fn said(&mut self, folder: &str, role: Role) -> String {
        let line = self.child(folder, 0, role);
        self.machine.must(&line).unwrap()
    }

    /// Starts a writer beside and lets it append for a while; its pid.
    fn write(&mut self, run: u64) -> String {
        let line = self.child("/mnt/journal", run, Role::Write);
        let beside = format!("{line} >/dev/ttyS2 2>&1 & echo $!");
        let pid = self.machine.must(&beside).unwrap();
        self.machine.wait_for(&format!("ack {run} ")).unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        pid
    }

    /// Looks for everything that was acknowledged, from outside.
    fn check(&mut self) -> usize {
        let acked = acked_in(&self.machine.said());
        let mut acknowledged = std::mem::take(&mut self.acknowledged);
        let new = acked.len();
        acknowledged.add(acked);
        let config = self.outside.config();
        runtime().block_on(async {
            check_in_place(&config, &acknowledged).await;
            acknowledged.check(&read(&config).await);
        });
        self.acknowledged = acknowledged;
        new
    }
}

/// The state, as one who only reads finds it: a checkpoint, what a mark says to be
/// durable, and what is there behind it.
async fn read(config: &Config) -> State {
    let reader = config.reader().await.unwrap();
    let mut follow = reader.follow(None).await.unwrap();
    let mut state = State::default();
    loop {
        match follow.next().await.unwrap() {
            FollowItem::Entry(entry) => state.apply(entry.seq, &entry.bytes),
            FollowItem::CaughtUp => break,
            FollowItem::Checkpoint(mut checkpoint) => {
                let mut entries = Vec::new();
                while let Some(bytes) = checkpoint.next().await.unwrap() {
                    entries.push(bytes.to_vec());
                }
                state.replace(&entries, checkpoint.next_seq());
            }
        }
    }
    for (seq, (writer, n)) in entries(config).await.range(state.count..) {
        state.apply(SeqNo(*seq), &entry(*writer, *n));
    }
    state
}

/// Mounts that can't be trusted are refused with the reason.
fn refuse(at: &mut Mounted) {
    for (options, kind, says) in [
        ("vers=4.1,soft", "unsupported", "mounted soft at /other"),
        ("vers=4.1,softerr", "unsupported", "mounted softerr at"),
        (
            "vers=3,hard,nolock",
            "contract-too-weak",
            "can't be stopped",
        ),
    ] {
        at.mount("/other", options);
        let said = at.said("/other/refused", Role::Format);
        let refused = format!("refused {kind} ");
        assert!(said.contains(&refused), "{options}: {said}");
        assert!(said.contains(says), "{options}: {said}");
        at.machine.must("umount /other").unwrap();
    }
}

/// A second primary is told that there is one.
fn refuse_a_second(at: &mut Mounted) {
    let said = at.said("/mnt/journal", Role::Claim);
    assert!(said.contains("refused busy "), "{said}");
}

/// On a mount of its own, in a machine of its own: untrusted mounts are refused; a
/// writer is killed; the power of the machine is cut under the next one. No
/// acknowledged entry is lost, and a third one goes on in a new machine.
pub fn kill_and_cut(registry: &Registry) {
    let mut at = Mounted::start(registry);
    refuse(&mut at);
    at.mount("/mnt", "vers=4.1,hard");
    let formatted = at.said("/mnt/journal", Role::Format);
    assert!(formatted.contains("formatted"), "{formatted}");
    let pid = at.write(1);
    refuse_a_second(&mut at);
    at.machine.must(&format!("kill -9 {pid}")).unwrap();
    at.write(2);
    at.machine.power_cut().unwrap();
    let first = at.check();
    at.machine = Machine::start(&std::env::current_exe().unwrap()).unwrap();
    at.mount("/mnt", "vers=4.1,hard");
    let left = at.machine.must("find /mnt -name .nfs*").unwrap();
    println!(
        "left of deleted names: {:?}",
        left.lines().collect::<Vec<_>>()
    );
    at.write(3);
    at.machine.power_cut().unwrap();
    let second = at.check();
    println!("{first} acks before the power cut, {second} after it; none lost");
    assert!(first > 10 && second > 5, "hardly anything was appended");
}
