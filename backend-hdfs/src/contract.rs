//! What this place promises: from what was found at open to a [`FlushContract`].
//!
//! An hsync is Ok when every DataNode *left in the pipeline* has synced; that may
//! be one. So a flush promises no lost copies unless `check_pipeline` asks the NameNode
//! after each one how many DataNodes have it.

use crate::options::Settings;
use crate::webhdfs::Cluster;
use flushproof_api::{
    Class, Fencing, FlushCall, FlushContract, MIN_MAX_BATCH, Survives, Visibility,
};

/// Batches are multiples of this, the piece that DataNodes have a checksum for: one
/// that ends in the middle of a piece makes the next one read and sum it again.
pub(crate) const BLOCK: usize = 512;

/// What was found at open.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// How many DataNodes a block gets, where it is known.
    pub replication: Option<u32>,
    /// What the NameNode's HTTP server says, where it can be asked.
    pub cluster: Option<Cluster>,
    /// The HTTP servers, or why they can't be used.
    pub web: Result<String, String>,
    /// Opened for reading only: nothing was probed.
    pub read_only: bool,
}

/// The contract of a place.
pub(crate) fn contract(found: &Found, settings: &Settings) -> FlushContract {
    let copies = match (found.replication, found.cluster) {
        (Some(wanted), Some(cluster)) => Some(u64::from(wanted).min(cluster.live)),
        _ => None,
    };
    let lost = match (settings.check_pipeline, &found.web, copies) {
        (true, Ok(_), Some(copies)) => u8::try_from(copies.saturating_sub(1)).unwrap_or(u8::MAX),
        _ => 0,
    };
    FlushContract {
        survives: Survives::STORE_POWER.with_lost_copies(lost),
        mechanism: mechanism(found),
        class: Class::Fast,
        fencing: Fencing::Store,
        visibility: match &found.web {
            Ok(_) => Visibility::Now,
            Err(_) => Visibility::OnSeal,
        },
        exposes_unflushed: true,
        flush_call: FlushCall::Detached,
        // `FileWriter::hsync` takes `&mut`: one at a time.
        max_inflight: 1,
        block: BLOCK,
        // A deletion is an edit, synced before the NameNode answers.
        durable_deletes: true,
        max_batch: MIN_MAX_BATCH,
        max_log: settings.log_size,
        // A replica ends wherever the last packet that arrived ends.
        torn_unit: 1,
        caveats: caveats(found, settings),
    }
}

fn mechanism(found: &Found) -> String {
    let replication = match found.replication {
        Some(n) => n.to_string(),
        None => "unknown".into(),
    };
    let live = match found.cluster {
        Some(cluster) => format!("{} of them live", cluster.live),
        None => "how many are live is unknown".into(),
    };
    format!(
        "HDFS hsync with the length updated: fsync on the DataNodes of the pipeline and an edit \
         of the NameNode; replication {replication}, DataNodes: {live}"
    )
}

fn caveats(found: &Found, settings: &Settings) -> Vec<String> {
    let mut caveats = Vec::new();
    let mut say = |text: String| caveats.push(text);
    match (settings.check_pipeline, &found.web) {
        (true, Ok(_)) => {}
        (true, Err(why)) => say(format!(
            "check_pipeline can't be done, because {why}; no lost copy is promised"
        )),
        (false, _) => say(
            "an hsync is Ok when one DataNode is left in the pipeline, so no lost copy is promised; \
             with check_pipeline=true each flush says how many copies it got"
                .into(),
        ),
    }
    match (found.replication, found.cluster) {
        (Some(1), _) => say("replication is 1: a lost DataNode is a lost journal".into()),
        (Some(wanted), Some(cluster)) if cluster.live < u64::from(wanted) => say(format!(
            "{wanted} copies are wanted, but only {} DataNodes are live",
            cluster.live
        )),
        (_, None) => say("how many DataNodes are live is not known".into()),
        _ => {}
    }
    if found.read_only {
        say("opened for reading only: that a flush reaches the DataNodes was not tried".into());
    }
    if let Err(why) = &found.web {
        say(format!(
            "an open log can't be read ({why}), so standbys see it when it is sealed"
        ));
    }
    say(
        "whether the DataNodes' disks keep what they say they have (write caches, barriers), and \
         whether the NameNode keeps its edits on more than one disk, can't be seen from here"
            .into(),
    );
    say(
        "reads come from the DataNodes' page caches; their checksums are verified, but whether the \
         disk below has the same can't be seen"
            .into(),
    );
    caveats
}

#[cfg(test)]
mod tests {
    use super::*;
    use flushproof_api::Options;

    fn of(replication: u32, live: u64, web: bool, check: &str) -> FlushContract {
        let options = Options::new().with("check_pipeline", check);
        let found = Found {
            replication: Some(replication),
            cluster: web.then_some(Cluster {
                live,
                ..Cluster::default()
            }),
            web: if web {
                Ok("nn:1".into())
            } else {
                Err("it is off".into())
            },
            read_only: false,
        };
        let contract = contract(&found, &Settings::read(&options).unwrap());
        contract.validate().unwrap();
        contract
    }

    #[test]
    fn fc_1_lost_copies_only_as_far_as_they_can_be_seen() {
        for (replication, live, web, check, lost) in [
            (3, 3, true, "true", 2),
            (3, 2, true, "true", 1),
            (4, 3, true, "true", 2),
            (1, 3, true, "true", 0),
            (3, 0, true, "true", 0),
            (3, 3, true, "false", 0),
            (3, 3, false, "true", 0),
        ] {
            let contract = of(replication, live, web, check);
            assert_eq!(contract.survives.lost_copies(), lost);
            assert!(contract.survives.covers(Survives::STORE_POWER));
        }
    }

    #[test]
    fn fc_8_without_webhdfs_a_log_is_visible_when_sealed() {
        assert_eq!(of(3, 3, true, "false").visibility, Visibility::Now);
        let contract = of(3, 3, false, "false");
        assert_eq!(contract.visibility, Visibility::OnSeal);
        assert!(contract.caveats.iter().any(|c| c.contains("it is off")));
        let few = of(3, 2, true, "true").caveats;
        assert!(
            few.iter().any(|c| c.contains("only 2 DataNodes")),
            "{few:?}"
        );
    }
}
