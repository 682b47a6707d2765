//! What this place promises: from what the trials at open found to a
//! [`FlushContract`].

use crate::options::Settings;
use crate::probe::Probed;
use flushproof_api::{
    Class, Fencing, FlushCall, FlushContract, MIN_MAX_BATCH, Survives, Visibility,
};

/// The longest row. It is listed in pages of 1,000 objects, so logs should be short.
pub(crate) const MAX_SLOTS: u64 = 1 << 21;
/// The longest log. No flush of a journal is shorter than 64 bytes, so a log that
/// keeps to this has never more flushes than a row takes.
pub(crate) const MAX_LOG: u64 = 64 * (MAX_SLOTS - 1);

/// The contract of a place. `plain`: without TLS.
pub(crate) fn contract(
    scheme: &str,
    settings: &Settings,
    probed: &Probed,
    plain: bool,
) -> FlushContract {
    let mut caveats = vec![
        "that an object survives is the service's word (a success answer), and can't be probed: \
         the large clouds store it on several disks before they answer, but some servers of one's \
         own never sync (SeaweedFS hardly ever does)"
            .to_owned(),
        "how many copies may be lost is not known, so none is claimed".to_owned(),
    ];
    let fencing = match probed {
        Probed::Trusted { .. } => Fencing::Store,
        Probed::Unlooked => {
            caveats
                .push("opened for reading only, so conditional writes were not tried".to_owned());
            Fencing::Store
        }
        Probed::Broken { what } => {
            caveats.push(format!(
                "this store can't hold a primary: {what}; so an old primary can't be stopped. Use \
                 a store that honours If-None-Match"
            ));
            Fencing::None
        }
    };
    if scheme == "gs" {
        caveats.push(
            "gs: was never tested against a real server of Google's, only its configuration"
                .to_owned(),
        );
    }
    if plain {
        caveats.push("requests are not encrypted: the endpoint is http".to_owned());
    }
    FlushContract {
        survives: Survives::STORE_POWER,
        mechanism: format!("{}: one conditional PUT of a new object", service(scheme)),
        class: Class::Slow {
            reason: reason(probed),
        },
        fencing,
        visibility: Visibility::Now,
        exposes_unflushed: true,
        flush_call: FlushCall::Detached,
        max_inflight: settings.inflight,
        block: 1,
        // A PUT that was tried again may have its first try still on the way.
        durable_deletes: false,
        max_batch: MIN_MAX_BATCH,
        max_log: MAX_LOG,
        torn_unit: 1,
        caveats,
    }
}

/// Why it is slow, and what it costs.
fn reason(probed: &Probed) -> String {
    let took = match probed {
        Probed::Trusted { put } => format!(" ({:.1} ms when this store was opened)", ms(*put)),
        _ => String::new(),
    };
    format!(
        "each flush is one new object, created by a request of its own{took}; from within a large \
         cloud 15 to 100 ms, and about 5 US dollars for a million flushes at its list prices, \
         besides one small object to store for each until the journal is trimmed"
    )
}

fn ms(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn service(scheme: &str) -> &'static str {
    match scheme {
        "s3" => "S3",
        "gs" => "Google Cloud Storage",
        _ => "Azure Blob",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn of(probed: Probed) -> FlushContract {
        let settings = Settings {
            timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(1),
            inflight: 3,
        };
        let contract = contract("gs", &settings, &probed, true);
        contract.validate().unwrap();
        contract
    }

    #[test]
    fn fc_9_a_store_that_races_fences_nobody_and_says_why() {
        let what = "two creators of one key both succeeded".to_owned();
        let broken = of(Probed::Broken { what });
        assert_eq!(broken.fencing, Fencing::None);
        let why = broken.caveats.iter().any(|c| c.contains("both succeeded"));
        assert!(why, "{:?}", broken.caveats);
        assert_eq!(of(Probed::Unlooked).fencing, Fencing::Store);
    }

    #[test]
    fn fc_11_the_reason_says_time_and_cost() {
        let put = Duration::from_micros(2340);
        let contract = of(Probed::Trusted { put });
        let Class::Slow { reason } = &contract.class else {
            panic!("not slow");
        };
        for word in ["2.3 ms", "15 to 100 ms", "5 US dollars for a million"] {
            assert!(reason.contains(word), "{reason}");
        }
        assert_eq!((contract.max_inflight, contract.block), (3, 1));
        assert_eq!(contract.survives.lost_copies(), 0);
        for word in ["never sync", "never tested", "not encrypted"] {
            let said = contract.caveats.iter().any(|c| c.contains(word));
            assert!(said, "{word}");
        }
    }
}
