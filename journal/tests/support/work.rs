//! A piece of work that uses everything a journal can do, what it was told, and
//! what must be there when the journal is opened again.

use super::state::{LONG, State, Writer, entry};
use flushproof::{Config, Error, ErrorKind, Journal, Result, Verdict};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a piece of work was told.
#[derive(Default)]
pub struct Facts {
    pub acked: Vec<(Writer, u64)>,
    /// Appends that failed.
    pub failed: Vec<Error>,
    /// Every acknowledged entry lies below it, every failed one not.
    pub acked_below: u64,
    pub failed_from: Option<u64>,
    /// The state of all that was accepted.
    pub state: State,
    pub formatted: bool,
    pub serving: bool,
    pub closing: bool,
    pub reopens: u64,
}

pub type Shared = Arc<Mutex<Facts>>;

/// Appends `n` entries of a writer at once, as one flush or several.
pub async fn append(journal: &Journal, facts: &Shared, writer: Writer, n: u64) {
    let mut acks = Vec::new();
    for _ in 0..n {
        let next = |f: &Facts| f.state.next.get(&writer).copied().unwrap_or(0);
        let place = next(&facts.lock().unwrap());
        let bytes = entry(writer, place);
        let permit = match journal.reserve(bytes.len()).await {
            Ok(permit) => permit,
            Err(error) => return facts.lock().unwrap().failed.push(error),
        };
        let mut facts = facts.lock().unwrap();
        match permit.append(&bytes) {
            Ok(ack) => {
                facts.state.apply(ack.seq(), &bytes);
                acks.push((place, ack));
            }
            Err(error) => return facts.failed.push(error),
        }
    }
    for (place, ack) in acks {
        let seq = ack.seq();
        match ack.await {
            Ok(receipt) => {
                assert_eq!(receipt.seq, seq);
                let mut facts = facts.lock().unwrap();
                facts.acked.push((writer, place));
                facts.acked_below = facts.acked_below.max(seq.0 + 1);
            }
            Err(error) => {
                let mut facts = facts.lock().unwrap();
                facts.failed.push(error);
                facts.failed_from = Some(facts.failed_from.unwrap_or(seq.0).min(seq.0));
            }
        }
    }
}

pub async fn checkpoint(journal: &Journal, facts: &Shared) -> Result<()> {
    let (at, state) = {
        let facts = facts.lock().unwrap();
        (journal.accepted(), facts.state.clone())
    };
    let mut writer = journal.checkpoint(at).await?;
    for entry in state.entries() {
        writer.entry(&entry).await?;
    }
    writer.commit().await.map(|_| ())
}

/// Opens, appends, rolls, checkpoints, trims, closes; goes on as far as it gets.
pub async fn serve(config: &Config, facts: &Shared, run: u64) -> Result<()> {
    let mut recovery = config.primary().await?;
    let state = State::recover(&mut recovery).await?;
    for (writer, n) in &facts.lock().unwrap().acked {
        assert!(state.has(*writer, *n), "{writer:?} {n} is lost");
    }
    facts.lock().unwrap().state = state;
    let journal = recovery.start().await?;
    facts.lock().unwrap().serving = true;
    for n in [1, 3, 2] {
        append(&journal, facts, (run, 1), n).await;
    }
    // Two at a time.
    tokio::join!(
        append(&journal, facts, (run, 1), 2),
        append(&journal, facts, (run, 2), 2)
    );
    let _ = checkpoint(&journal, facts).await;
    // Enough for a roll or two.
    for _ in 0..14 {
        append(&journal, facts, (run, LONG), 1).await;
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    let _ = checkpoint(&journal, facts).await;
    append(&journal, facts, (run, 1), 1).await;
    let _ = journal.trim().await;
    append(&journal, facts, (run, 2), 2).await;
    let failed = facts.lock().unwrap().failed.first().cloned();
    facts.lock().unwrap().reopens += journal.counts().reopens;
    if let Some(first) = failed {
        // FC-4: nothing is acknowledged behind it.
        {
            let facts = facts.lock().unwrap();
            let from = facts.failed_from.unwrap_or(u64::MAX);
            assert!(facts.acked_below <= from, "acknowledged behind {first}");
        }
        let error = journal.append(b"more").await.unwrap_err();
        assert_eq!(error.kind(), first.kind(), "{error} after {first}");
        assert!(journal.close().await.is_err());
        return Err(first);
    }
    facts.lock().unwrap().closing = true;
    journal.close().await
}

/// Formats and serves twice.
pub async fn work(config: Config, facts: Shared) -> Result<()> {
    config.format(false).await?;
    facts.lock().unwrap().formatted = true;
    for run in 1..3 {
        {
            let mut facts = facts.lock().unwrap();
            (facts.serving, facts.closing) = (false, false);
        }
        serve(&config, &facts, run).await?;
    }
    Ok(())
}

/// Opens what is left; all that was acknowledged is there, and it goes on.
pub async fn open_again(config: &Config, facts: &Shared, case: &str) {
    let mut recovery = match config.primary().await {
        Err(error) if error.kind() == ErrorKind::NotFormatted => {
            let lost = |f: &Facts| f.formatted || !f.acked.is_empty();
            assert!(!lost(&facts.lock().unwrap()), "{case}: {error}");
            config.format(false).await.unwrap();
            config.primary().await.unwrap()
        }
        other => other.unwrap_or_else(|e| panic!("{case}: {e}")),
    };
    let state = State::recover(&mut recovery).await;
    let state = state.unwrap_or_else(|e| panic!("{case}: {e}"));
    for (writer, n) in &facts.lock().unwrap().acked {
        assert!(
            state.has(*writer, *n),
            "{case}: entry {n} of {writer:?} was acknowledged and is lost"
        );
    }
    let journal = recovery.start().await;
    let journal = journal.unwrap_or_else(|e| panic!("{case}: {e}"));
    let receipt = journal.append(&entry((9, 9), 0)).await.unwrap();
    assert_eq!(receipt.seq.0, state.count, "{case}");
    journal.close().await.unwrap();
    let report = config.reader().await.unwrap().verify(|_, _| {}).await;
    let report = report.unwrap();
    assert!(report.verdict() < Verdict::Corrupt, "{case}: {report:?}");
}

/// Runs `case` with 0, 1, 2, … until it says that nothing was hit any more;
/// several at a time.
pub async fn in_turn<F>(at_once: usize, case: impl Fn(u64) -> F) -> u64
where
    F: Future<Output = bool> + Send + 'static,
{
    let mut running = tokio::task::JoinSet::new();
    let (mut next, mut hits, mut more) = (0, 0, true);
    loop {
        while more && running.len() < at_once {
            running.spawn(case(next));
            next += 1;
        }
        match running.join_next().await {
            None => return hits,
            Some(hit) => match hit.unwrap() {
                true => hits += 1,
                false => more = false,
            },
        }
    }
}
