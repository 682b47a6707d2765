//! Which of the whole frames count, where several epochs wrote the same numbers.
//!
//! An entry below a durable mark of its own epoch is decided: no later epoch says otherwise. The
//! others were undecided when their epoch ended; its successor carried those that it found
//! over, and wrote its own behind them.

use super::found::EpochObjects;
use super::notes::Notes;
use super::pieces::{Piece, Pieces};
use super::scan::{LogScan, Run};
use crate::format::{Prev, SegmentId, names};
use flushproof_api::{Epoch, Result, SeqNo};
use std::collections::BTreeMap;

/// All that is known of one epoch.
#[derive(Debug, Default)]
pub(super) struct EpochFacts {
    pub objects: EpochObjects,
    /// By index.
    pub logs: Vec<LogScan>,
    /// The highest next number of its checkpoints.
    pub checkpoint: Option<SeqNo>,
}

impl EpochFacts {
    /// What its first log says was before it.
    fn first_log(&self) -> Option<&LogScan> {
        self.logs.first().filter(|l| l.key.index == 0)
    }

    /// Where the log before its first one ends; `None` when nothing says so.
    fn prev(&self) -> Option<Option<Prev>> {
        let header = || self.first_log().and_then(|l| l.header);
        let start = self.objects.start.map(|s| s.prev);
        start.or_else(|| header().map(|h| h.prev))
    }

    /// The epochs that its start and its logs say they go on behind.
    pub(super) fn prevs(&self) -> Vec<Epoch> {
        let headers = self.logs.iter().filter_map(|l| l.header?.prev);
        let start = self.objects.start.and_then(|s| s.prev);
        headers.chain(start).map(|p| p.segment.epoch).collect()
    }

    /// The lowest number that it wrote, as far as is known.
    fn begin(&self) -> Option<SeqNo> {
        let start = self.objects.start.map(|s| s.durable);
        let logs = self.logs.iter().filter_map(|l| l.first).min();
        start.into_iter().chain(logs).min()
    }

    /// Every entry below it that this epoch wrote is decided. What an epoch carried over is
    /// if it is on the chain: a later one may not have seen a start that was never confirmed.
    fn decided(&self, on_chain: bool) -> SeqNo {
        let logs = self.logs.iter().map(LogScan::highest);
        let headers = self.logs.iter().filter_map(|l| l.header);
        let start = self.objects.start.map(|s| match on_chain {
            true => s.carried_end,
            false => s.durable,
        });
        let others = start.into_iter().chain(self.checkpoint);
        let all = logs.chain(headers.map(|h| h.durable)).chain(others);
        all.max().unwrap_or_default()
    }

    /// Every entry below it was durable, whoever wrote it.
    fn attests(&self, on_chain: bool) -> SeqNo {
        let headers = self.logs.iter().filter_map(|l| l.header?.prev);
        let start = self.objects.start.and_then(|s| s.prev);
        let prevs = headers.chain(start).map(|p| p.seq);
        prevs.max().unwrap_or_default().max(self.decided(on_chain))
    }

    /// Whether it left what only an epoch that was served leaves.
    pub(super) fn left_traces(&self) -> bool {
        if self.objects.filling {
            return self.objects.start.is_some() || self.objects.damaged_start;
        }
        let marks = self.logs.iter().filter_map(|l| l.durable);
        let (high, low) = (
            marks.clone().map(|m| m.0).max(),
            marks.map(|m| m.1).min(), // a candidate writes the same mark in every frame
        );
        self.objects.start.is_some()
            || self.objects.damaged_start
            || self.checkpoint.is_some()
            || self
                .logs
                .iter()
                .any(|l| l.marks || (l.key.index > 0 && l.first.is_some()))
            || high > low
    }
}

/// Which of an epoch's undecided entries count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Undecided {
    /// Those that stand right behind the last decided one, as recovery keeps them; with a
    /// number, only those below it, for a later epoch wrote from there on.
    Contiguous(Option<SeqNo>),
    /// Those below it, whatever stands between: the next epoch carried them over.
    Carried(SeqNo),
    /// None: the epoch is not on the chain. Its copies below this number are the same bytes, if
    /// nothing better is left.
    Copies(SeqNo),
}

/// What counts.
pub(super) struct Decision {
    pub pieces: Pieces,
    /// Copies of what is in the pieces that count as well.
    pub doubles: Vec<Piece>,
    /// Every entry below it was durable, as anything whole says.
    pub attested: SeqNo,
}

/// Decides. Entries below `base` are left out.
pub(super) fn decide(
    epochs: &BTreeMap<Epoch, EpochFacts>,
    base: SeqNo,
    notes: &mut Notes,
) -> Result<Decision> {
    let chain = chain(epochs);
    let attested = epochs.iter().map(|(e, f)| f.attests(chain.contains_key(e)));
    let attested = attested.max().unwrap_or_default();
    let ends = ends(epochs);
    let mut decider = Decider {
        notes,
        base,
        ends: &ends,
        decision: Decision {
            pieces: Pieces::default(),
            doubles: Vec::new(),
            attested,
        },
        copies: Vec::new(),
    };
    for (epoch, facts) in epochs.iter().rev() {
        let undecided = match chain.get(epoch) {
            Some(undecided) => *undecided,
            None => Undecided::Copies(copies_below(epochs, &chain, *epoch, attested)),
        };
        decider.epoch(facts, undecided)?;
    }
    decider.take_copies()?;
    Ok(decider.decision)
}

/// The epochs that are known to have served, from the last along `prev`.
fn chain(epochs: &BTreeMap<Epoch, EpochFacts>) -> BTreeMap<Epoch, Undecided> {
    let mut chain = BTreeMap::new();
    let mut next = None;
    // Downwards, so that each is known before those it may name.
    for (epoch, facts) in epochs.iter().rev() {
        let undecided = match next {
            Some((named, undecided)) if named == Some(*epoch) => undecided,
            // Nothing says which one came before: the next one that served.
            Some((None, undecided)) if facts.left_traces() => undecided,
            None if facts.left_traces() => Undecided::Contiguous(None),
            // Of the one that is named nothing is left.
            Some((Some(named), _)) if named > *epoch && facts.left_traces() => {
                Undecided::Contiguous(lowest_begin(epochs, &chain))
            }
            _ => continue,
        };
        chain.insert(*epoch, undecided);
        let undecided = match facts.objects.start {
            Some(start) => Undecided::Carried(start.carried_end),
            None => Undecided::Contiguous(lowest_begin(epochs, &chain)),
        };
        next = match facts.prev() {
            Some(None) => return chain, // the journal's first
            Some(Some(p)) if p.segment.epoch < *epoch => Some((Some(p.segment.epoch), undecided)),
            _ => Some((None, Undecided::Contiguous(lowest_begin(epochs, &chain)))),
        };
    }
    chain
}

/// The lowest number that an epoch on the chain is known to have written.
fn lowest_begin(
    epochs: &BTreeMap<Epoch, EpochFacts>,
    chain: &BTreeMap<Epoch, Undecided>,
) -> Option<SeqNo> {
    let facts = chain.keys().filter_map(|e| epochs.get(e));
    facts.filter_map(EpochFacts::begin).min()
}

/// Copies of an epoch that is not on the chain are right below this number: all that was decided
/// when the next epoch of the chain began, and what both carried over from the same one.
fn copies_below(
    epochs: &BTreeMap<Epoch, EpochFacts>,
    chain: &BTreeMap<Epoch, Undecided>,
    epoch: Epoch,
    attested: SeqNo,
) -> SeqNo {
    let Some(above) = chain.keys().find(|e| **e > epoch) else {
        return attested;
    };
    let (above, own) = (epochs.get(above), epochs.get(&epoch));
    let from = |facts: Option<&EpochFacts>| Some(facts?.prev()??.segment.epoch);
    let start = above.and_then(|f| f.objects.start);
    let below = match start {
        Some(start) if from(own).is_some() && from(own) == from(above) => Some(start.carried_end),
        _ => above.and_then(EpochFacts::begin),
    };
    below.unwrap_or_default().min(attested)
}

/// Where logs end, as those behind them say.
fn ends(epochs: &BTreeMap<Epoch, EpochFacts>) -> BTreeMap<SegmentId, Prev> {
    let mut ends = BTreeMap::<SegmentId, Prev>::new();
    for facts in epochs.values().filter(|f| f.left_traces()) {
        let headers = facts.logs.iter().filter_map(|l| l.header?.prev);
        let start = facts.objects.start.and_then(|s| s.prev);
        for prev in headers.chain(start) {
            let known = ends.entry(prev.segment).or_insert(prev);
            if prev.offset > known.offset {
                *known = prev;
            }
        }
    }
    ends
}

struct Decider<'a> {
    notes: &'a mut Notes,
    base: SeqNo,
    ends: &'a BTreeMap<SegmentId, Prev>,
    decision: Decision,
    /// Of epochs that are not on the chain, the highest first.
    copies: Vec<Piece>,
}

impl Decider<'_> {
    fn epoch(&mut self, facts: &EpochFacts, undecided: Undecided) -> Result<()> {
        let on_chain = !matches!(undecided, Undecided::Copies(_));
        let decided = facts.decided(on_chain);
        for log in &facts.logs {
            if on_chain {
                self.note_damage(log)?;
            }
            let durable = self.durable_end(log);
            for run in &log.runs {
                let end = counts_below(run, undecided, decided, durable);
                self.take(log, run, run.first, end.min(run.end));
                self.leave(log, run, end.max(run.first), undecided)?;
            }
        }
        Ok(())
    }

    /// Bytes of the log below it were durable.
    fn durable_end(&self, log: &LogScan) -> u64 {
        let closed = self.ends.get(&log.key.segment()).map_or(0, |p| p.offset);
        closed.max(log.durable_offset)
    }

    fn piece(&self, log: &LogScan, run: &Run, first: SeqNo, end: SeqNo) -> Option<Piece> {
        let piece = Piece {
            key: log.key,
            run: *run,
            first: first.max(self.base),
            end,
        };
        (piece.first < end).then_some(piece)
    }

    fn take(&mut self, log: &LogScan, run: &Run, first: SeqNo, end: SeqNo) {
        if let Some(piece) = self.piece(log, run, first, end) {
            let (_, doubles) = self.decision.pieces.fill(piece);
            self.decision.doubles.extend(doubles);
        }
    }

    /// Entries of a run that do not count.
    fn leave(&mut self, log: &LogScan, run: &Run, from: SeqNo, why: Undecided) -> Result<()> {
        let Some(piece) = self.piece(log, run, from, run.end) else {
            return Ok(());
        };
        match why {
            Undecided::Carried(_) => {} // superseded
            Undecided::Contiguous(Some(below)) if piece.first >= below => {} // likewise
            Undecided::Copies(below) => {
                let end = piece.end.min(below);
                self.copies
                    .extend((piece.first < end).then_some(Piece { end, ..piece }));
            }
            Undecided::Contiguous(_) => self.notes.add(format!(
                "{}, offset {}: the entries {} to {} are left out: they stand behind a place that \
                 is damaged or was never written, nothing says that they were durable, and the \
                 next primary would cut them",
                names::log_path(log.key.segment())?,
                run.offset,
                piece.first,
                piece.end
            )),
        }
        Ok(())
    }

    /// Fills what is left open from copies of epochs that are not on the chain.
    fn take_copies(&mut self) -> Result<()> {
        for piece in std::mem::take(&mut self.copies) {
            let path = names::log_path(piece.key.segment())?;
            let (filled, _) = self.decision.pieces.fill(piece);
            for piece in filled {
                self.notes.add(format!(
                    "{path}: the entries {} to {} are taken from a copy: nothing says that epoch {} \
                     was served, but they are whole nowhere else, and were durable",
                    piece.first, piece.end, piece.key.epoch
                ));
            }
        }
        Ok(())
    }

    /// Places that are damaged although their bytes were durable.
    fn note_damage(&mut self, log: &LogScan) -> Result<()> {
        let path = names::log_path(log.key.segment())?;
        let durable = self.durable_end(log);
        for bad in log.bad.iter().filter(|b| b.offset < durable) {
            let entries = bad.entries.map_or(String::new(), |(first, end)| {
                format!(" (of entries {first} to {end} the header is whole, the bytes are not)")
            });
            self.notes.add(format!(
                "{path}, offset {}: no whole frame before offset {}{entries}",
                bad.offset, bad.end
            ));
        }
        self.notes.and_more(log.more_bad);
        if log.first.is_none() && log.used > 0 {
            self.notes.add(format!(
                "{path} holds no frame of its own below offset {}: it was never used, or is damaged, or \
                 is the file of another segment",
                log.used
            ));
        }
        if log.end < durable {
            self.notes.add(format!(
                "{path}, offset {}: no whole frame from there on, but all below offset {durable} \
                 was durable",
                log.end
            ));
        }
        Ok(())
    }
}

/// The entries of a run that count lie below it.
fn counts_below(run: &Run, undecided: Undecided, decided: SeqNo, durable: u64) -> SeqNo {
    match undecided {
        Undecided::Carried(end) => decided.max(end),
        Undecided::Copies(_) => decided,
        // A frame is durable as a whole.
        Undecided::Contiguous(_) if run.short => match run.first < decided {
            true => run.end,
            false => decided,
        },
        Undecided::Contiguous(below) => {
            let contiguous = run.offset <= durable || run.first < decided;
            let end = below.unwrap_or(run.end);
            if contiguous {
                decided.max(end)
            } else {
                decided
            }
        }
    }
}

/// Names of logs that are missing, though entries from `base` on were in them.
pub(super) fn note_missing(
    epochs: &BTreeMap<Epoch, EpochFacts>,
    base: SeqNo,
    notes: &mut Notes,
) -> Result<()> {
    for (segment, prev) in ends(epochs) {
        let facts = epochs.get(&segment.epoch);
        let there = facts.is_some_and(|f| f.logs.iter().any(|l| l.key.segment() == segment));
        if !there && prev.seq > base {
            notes.add(format!(
                "{} is missing: it held entries below {}",
                names::log_path(segment)?,
                prev.seq
            ));
        }
    }
    Ok(())
}
