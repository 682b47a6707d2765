//! The protocol end to end on the memory store: serve, take over, recover,
//! follow, checkpoint, trim, format.
#![allow(clippy::unwrap_used)] // a test that can't go on must fail

use flushproof::{
    Config, Entry, ErrorKind, FollowItem, Item, Journal, OnUnknown, Recovery, SeqNo, StoreUri,
    Survives, Tail, Verdict,
};

fn config(name: &str) -> Config {
    let mut config = Config::new(StoreUri::parse(&format!("memory:{name}")).unwrap());
    config.require = Survives::NOTHING;
    config
}

async fn read(recovery: &mut Recovery) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some(item) = recovery.next().await.unwrap() {
        match item {
            Item::Entry(entry) => entries.push(entry),
            Item::Checkpoint(mut checkpoint) => while checkpoint.next().await.unwrap().is_some() {},
        }
    }
    entries
}

async fn serve(config: &Config) -> (Journal, Vec<Entry>) {
    let mut recovery = config.primary().await.unwrap();
    let entries = read(&mut recovery).await;
    (recovery.start().await.unwrap(), entries)
}

fn numbers(entries: &[Entry]) -> Vec<u64> {
    entries
        .iter()
        .map(|e| {
            let n = u64::from_le_bytes(e.bytes[..8].try_into().unwrap());
            assert_eq!(n, e.seq.0, "entry and number differ");
            n
        })
        .collect()
}

async fn append(journal: &Journal, range: std::ops::Range<u64>) {
    for n in range {
        let receipt = journal.append(&n.to_le_bytes()).await.unwrap();
        assert_eq!(receipt.seq, SeqNo(n));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_survive_close_drop_and_take_over() {
    let config = config("");
    config.format(false).await.unwrap();
    let (journal, entries) = serve(&config).await;
    assert!(entries.is_empty());
    append(&journal, 0..100).await;
    journal.close().await.unwrap();

    let (journal, entries) = serve(&config).await;
    assert_eq!(numbers(&entries), (0..100).collect::<Vec<_>>());
    append(&journal, 100..150).await;
    // Not closed: the next one takes over, the old one is fenced.
    let (next, entries) = serve(&config).await;
    assert_eq!(numbers(&entries), (0..150).collect::<Vec<_>>());
    append(&next, 150..160).await;
    let error = journal.append(b"zombie").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    let (_, entries) = serve(&config).await;
    assert_eq!(numbers(&entries), (0..160).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_take_overs_in_a_row_without_an_entry() {
    let config = config("");
    config.format(false).await.unwrap();
    for round in 0..20 {
        let (journal, entries) = serve(&config).await;
        assert_eq!(entries.len(), round / 3);
        if round % 3 == 2 {
            append(&journal, round as u64 / 3..round as u64 / 3 + 1).await;
        }
        if round % 2 == 0 {
            journal.close().await.unwrap();
        }
    }
    let report = config
        .reader()
        .await
        .unwrap()
        .verify(|_, _| {})
        .await
        .unwrap();
    assert_eq!(report.verdict(), Verdict::Clean, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_roll_and_replay_in_order() {
    let mut config = config("");
    config.segment_size = 64 << 10;
    config.format(false).await.unwrap();
    let (journal, _) = serve(&config).await;
    let entry = [0u8; 1000];
    for n in 0..2000u64 {
        let mut entry = entry;
        entry[..8].copy_from_slice(&n.to_le_bytes());
        journal.append(&entry).await.unwrap();
        if n % 50 == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        }
    }
    assert!(journal.counts().rolls > 3, "{:?}", journal.counts());
    let (_, entries) = serve(&config).await;
    assert_eq!(numbers(&entries), (0..2000).collect::<Vec<_>>());
    let info = config.reader().await.unwrap().info().await.unwrap();
    assert_eq!(info.end, SeqNo(2000));
    assert_eq!(info.first, SeqNo(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_replaces_entries_and_trims() {
    let mut config = config("");
    config.segment_size = 64 << 10;
    config.keep_checkpoints = 2;
    config.format(false).await.unwrap();
    let (journal, _) = serve(&config).await;
    let mut dropped = 0;
    for round in 0..4u64 {
        for n in round * 500..(round + 1) * 500 {
            let mut entry = vec![0u8; 1000];
            entry[..8].copy_from_slice(&n.to_le_bytes());
            journal.append(&entry).await.unwrap();
            if n % 50 == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(3)).await;
            }
        }
        let mut checkpoint = journal.checkpoint(journal.accepted()).await.unwrap();
        checkpoint
            .entry(format!("state {round}").as_bytes())
            .await
            .unwrap();
        dropped += checkpoint.commit().await.unwrap().trimmed.segments;
    }
    assert!(dropped > 3, "{dropped} segments were trimmed");
    append_big(&journal, 2000..2010).await;

    let mut recovery = config.primary().await.unwrap();
    assert_eq!(recovery.summary().checkpoint, Some(SeqNo(2000)));
    let Some(Item::Checkpoint(mut state)) = recovery.next().await.unwrap() else {
        panic!("no checkpoint")
    };
    assert_eq!(state.next().await.unwrap().unwrap(), "state 3");
    assert!(state.next().await.unwrap().is_none());
    assert_eq!(
        numbers(&read(&mut recovery).await),
        (2000..2010).collect::<Vec<_>>()
    );
    recovery.start().await.unwrap();
    let reader = config.reader().await.unwrap();
    let first = reader.info().await.unwrap().first;
    assert!(first > SeqNo(0));
    let error = reader.entries(Some(SeqNo(0))).await.unwrap_err();
    assert!(error.to_string().contains("were trimmed"), "{error}");
    let report = reader.verify(|_, _| {}).await.unwrap();
    assert_eq!(report.verdict(), Verdict::Clean, "{report:?}");
}

async fn append_big(journal: &Journal, range: std::ops::Range<u64>) {
    for n in range {
        let mut entry = vec![0u8; 1000];
        entry[..8].copy_from_slice(&n.to_le_bytes());
        journal.append(&entry).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_follows_and_takes_over() {
    let mut config = config("");
    config.segment_size = 64 << 10;
    config.format(false).await.unwrap();
    let mut standby = config.standby().await.unwrap();
    assert!(matches!(
        standby.next().await.unwrap(),
        FollowItem::CaughtUp
    ));
    let (journal, _) = serve(&config).await;
    append_big(&journal, 0..300).await;
    let mut applied = Vec::new();
    while applied.len() < 300 {
        if let FollowItem::Entry(entry) = standby.next().await.unwrap() {
            applied.push(entry);
        }
    }
    // Another primary, then more: the standby goes over to its chain.
    let (second, _) = serve(&config).await;
    append_big(&second, 300..310).await;
    while applied.len() < 310 {
        if let FollowItem::Entry(entry) = standby.next().await.unwrap() {
            applied.push(entry);
        }
    }
    append_big(&second, 310..315).await;
    let mut recovery = standby.promote().await.unwrap();
    applied.extend(read(&mut recovery).await);
    assert_eq!(numbers(&applied), (0..315).collect::<Vec<_>>());
    let third = recovery.start().await.unwrap();
    append_big(&third, 315..316).await;
    assert_eq!(
        second.append(b"x").await.unwrap_err().kind(),
        ErrorKind::Fenced
    );
}

#[tokio::test]
async fn a_recovery_that_was_not_read_does_not_start() {
    let config = config("");
    config.format(false).await.unwrap();
    let (journal, _) = serve(&config).await;
    append(&journal, 0..3).await;
    let recovery = config.primary().await.unwrap();
    let error = recovery.start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

#[tokio::test]
async fn places_that_are_no_journal_say_what_to_do() {
    let config = config("");
    let error = config.primary().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFormatted);
    assert!(
        error.to_string().contains("journal format memory:"),
        "{error}"
    );
    config.format(false).await.unwrap();
    let error = config.format(false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("--force"), "{error}");
    let mut strict = config.clone();
    strict.require = Survives::STORE_POWER;
    let error = strict.primary().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContractTooWeak);
    assert!(error.to_string().contains("--require"), "{error}");
    let mut unknown = config.clone();
    unknown.folder = StoreUri::parse("hdsf://nn/x").unwrap();
    let error = unknown.primary().await.unwrap_err();
    assert!(error.to_string().contains("memory"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn format_by_force_fences_the_old_primary_first() {
    let config = config("");
    config.format(false).await.unwrap();
    let (journal, _) = serve(&config).await;
    append(&journal, 0..10).await;
    assert!(config.format(true).await.unwrap().erased);
    assert_eq!(
        journal.append(b"x").await.unwrap_err().kind(),
        ErrorKind::Fenced
    );
    let mut recovery = config.primary().await.unwrap();
    assert!(read(&mut recovery).await.is_empty());
    assert!(
        recovery.summary().epoch.0 > 2,
        "epochs are never used twice"
    );
    assert_eq!(recovery.summary().tail, Tail::Clean);
    let journal = recovery.start().await.unwrap();
    append(&journal, 0..1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_racing_candidates_at_most_one_serves() {
    let config = config("");
    config.format(false).await.unwrap();
    let mut expected = 0;
    for _ in 0..20 {
        let racers: Vec<_> = (0..4)
            .map(|_| {
                let config = config.clone();
                tokio::spawn(async move {
                    let mut recovery = config.primary().await?;
                    while recovery.next().await?.is_some() {}
                    recovery.start().await
                })
            })
            .collect();
        let mut serving = Vec::new();
        for racer in racers {
            match racer.await.unwrap() {
                Ok(journal) => serving.push(journal),
                Err(e) => assert_eq!(e.kind(), ErrorKind::Fenced, "{e}"),
            }
        }
        // Several may have passed step 7 one after the other, but only the last can ack.
        let mut acknowledged = 0;
        for journal in &serving {
            if journal.append(b"mine").await.is_ok() {
                acknowledged += 1;
            }
        }
        assert!(acknowledged <= 1, "{acknowledged} primaries at once");
        expected += acknowledged;
    }
    let (_, entries) = serve(&config).await;
    assert_eq!(entries.len(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reopen_is_set_but_another_primary_wins() {
    let mut config = config("");
    config.on_unknown = OnUnknown::Reopen;
    config.format(false).await.unwrap();
    let (journal, _) = serve(&config).await;
    append(&journal, 0..5).await;
    let (next, _) = serve(&config).await;
    append(&next, 5..6).await;
    let error = journal.append(b"zombie").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
}

#[tokio::test]
async fn limits_that_make_no_sense_are_refused_by_name() {
    type Change = fn(&mut Config);
    let cases: [(&str, Change); 5] = [
        ("max_entry", |c| c.max_entry = 0),
        ("queue_bytes", |c| c.queue_bytes = usize::MAX),
        ("queue_bytes", |c| c.queue_bytes = 1),
        ("keep_checkpoints", |c| c.keep_checkpoints = 0),
        ("time-outs", |c| c.flush_timeout = std::time::Duration::ZERO),
    ];
    for (name, change) in cases {
        let mut config = config("");
        change(&mut config);
        let error = config.format(false).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_primary_learns_that_it_was_fenced() {
    let mut config = config("");
    config.heartbeat = Some(std::time::Duration::from_millis(10));
    config.format(false).await.unwrap();
    let (journal, _) = serve(&config).await;
    let watch = journal.clone();
    let failed = tokio::spawn(async move { watch.failed().await });
    append(&journal, 0..1).await;
    let (next, _) = serve(&config).await;
    let error = tokio::time::timeout(std::time::Duration::from_secs(10), failed).await;
    assert_eq!(error.unwrap().unwrap().kind(), ErrorKind::Fenced);
    let watch = next.clone();
    next.close().await.unwrap();
    assert_eq!(watch.failed().await.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn the_highest_epoch_number_is_named_when_it_is_taken() {
    let config = config("");
    config.format(false).await.unwrap();
    let store = config
        .registry
        .open(&config.folder, &config.options, flushproof::Mode::ReadWrite)
        .await
        .unwrap();
    let path = flushproof::StorePath::new("epoch/18446744073709551615").unwrap();
    let mut stray = store
        .create_object(&path, Default::default())
        .await
        .unwrap();
    stray.commit().await.unwrap();
    let error = config.primary().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(path.as_str()), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_checkpoints_once_the_primary_was_seen_to_serve() {
    let config = config("");
    config.format(false).await.unwrap();
    let (first, _) = serve(&config).await;
    append(&first, 0..3).await;
    let mut standby = config.standby().await.unwrap();
    while standby.cursor() < SeqNo(3) {
        standby.next().await.unwrap();
    }
    // Another primary, which says nothing: what is known of it is its start, and a
    // candidate that never served may have left as much.
    let mut silent = config.clone();
    silent.idle_mark = std::time::Duration::from_secs(3600);
    let (second, _) = serve(&silent).await;
    let mut look = async || {
        let looks = async {
            loop {
                standby.next().await.unwrap();
            }
        };
        let time = std::time::Duration::from_millis(100);
        let _: Result<(), _> = tokio::time::timeout(time, looks).await;
        standby.checkpoint(SeqNo(3)).await
    };
    let error = look().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    append(&second, 3..4).await;
    look().await.unwrap().commit().await.unwrap();
    second.close().await.unwrap();
    let report = config.reader().await.unwrap().verify(|_, _| {}).await;
    assert_eq!(report.unwrap().verdict(), Verdict::Clean);
}
