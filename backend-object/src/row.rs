//! [`Row`]: the flushes of a log, as a listing shows them.
//!
//! Only what is contiguous from slot 0 counts. What lies behind a gap was on its
//! way when its writer was stopped, and was never acknowledged.

use crate::calls::{Calls, Found};
use crate::contract::MAX_SLOTS;
use crate::fault::refusal;
use crate::head::HEAD;
use crate::keys;
use flushproof_api::{ErrorKind, Result};

/// The contiguous part of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// Where each flush ends within the log.
    ends: Vec<u64>,
    /// Whether a fence or a seal stands right behind.
    pub ended: bool,
    /// Whether a fence stands further behind, so that no writer passes it.
    pub barred: bool,
    /// Whether the log was deleted, whatever stands there still or again.
    pub gone: bool,
}

/// A key of the row and the length of its object.
type Slot = (u64, u64);

impl Row {
    /// Lists the row in `folder`.
    pub async fn list(calls: &Calls, folder: &str) -> Result<Row> {
        let end = keys::gone(folder);
        // None: the mark of a deleted log.
        let take = |found: Found| match found.key == end {
            true => Some(None),
            false => Some(Some((keys::number(folder, &found.key)?, found.len))),
        };
        let listed: Vec<Option<Slot>> = calls.list(folder, true, take).await?;
        if listed.contains(&None) {
            return Ok(Row {
                gone: true,
                ..Row::default()
            });
        }
        Row::of(listed.into_iter().flatten().collect()).map_err(|slot| {
            let at = calls.at(&keys::numbered(folder, slot));
            let text = "its length is not that of any flush: somebody else wrote it";
            refusal(ErrorKind::Corrupt, &at, text)
        })
    }

    /// Fails with the slot that is strange.
    fn of(mut slots: Vec<Slot>) -> std::result::Result<Row, u64> {
        slots.sort_unstable();
        let mut row = Row::default();
        let mut behind = slots.iter();
        for (slot, len) in behind.by_ref() {
            let gap = *slot != row.slots();
            if gap || *len == HEAD as u64 {
                row.ended = !gap;
                row.barred = gap && *len == HEAD as u64;
                break;
            }
            let payload = len.checked_sub(HEAD as u64).filter(|_| *slot < MAX_SLOTS);
            let pushed = payload.and_then(|payload| row.push(payload));
            pushed.ok_or(*slot)?;
        }
        row.barred |= behind.any(|(_, len)| *len == HEAD as u64);
        Ok(row)
    }

    /// One flush more; `None` when the length can't be right.
    pub fn push(&mut self, payload: u64) -> Option<()> {
        let end = self.len().checked_add(payload).filter(|_| payload > 0)?;
        self.ends.push(end);
        Some(())
    }

    /// How many flushes there are: the first free slot.
    pub fn slots(&self) -> u64 {
        self.ends.len() as u64
    }

    /// The length of the log.
    pub fn len(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The slot that holds the byte at `offset`, which is below the length.
    pub fn slot_of(&self, offset: u64) -> u64 {
        self.ends.partition_point(|end| *end <= offset) as u64
    }

    /// Where a slot begins and ends within the log.
    pub fn range(&self, slot: u64) -> std::ops::Range<u64> {
        let at = |slot: u64| {
            let end = usize::try_from(slot).ok().and_then(|s| self.ends.get(s));
            end.copied().unwrap_or(self.len())
        };
        let start = slot.checked_sub(1).map_or(0, at);
        start..at(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: u64 = HEAD as u64;

    #[test]
    fn fc_9_only_what_is_contiguous_counts() {
        let row = |slots: &[Slot]| {
            let row = Row::of(slots.to_vec()).unwrap();
            (row.slots(), row.len(), row.ended, row.barred)
        };
        assert_eq!(row(&[]), (0, 0, false, false));
        assert_eq!(row(&[(1, H + 9)]), (0, 0, false, false));
        assert_eq!(row(&[(0, H + 9)]), (1, 9, false, false));
        assert_eq!(
            row(&[(2, H + 1), (0, H + 9), (1, H + 1)]),
            (3, 11, false, false)
        );
        // A gap: a flush, a fence ahead.
        assert_eq!(row(&[(0, H + 9), (2, H + 1)]), (1, 9, false, false));
        assert_eq!(row(&[(0, H + 9), (2, H + 1), (3, H)]), (1, 9, false, true));
        assert_eq!(row(&[(0, H + 9), (3, H)]), (1, 9, false, true));
        // Ended.
        assert_eq!(row(&[(0, H)]), (0, 0, true, false));
        assert_eq!(row(&[(0, H + 9), (1, H), (2, H + 5)]), (1, 9, true, false));
        assert_eq!(row(&[(0, H + 9), (1, H), (9, H)]), (1, 9, true, true));
    }

    #[test]
    fn fc_13_hostile_lengths_and_slots() {
        for (slots, strange) in [
            (vec![(0, H - 1)], 0),
            (vec![(0, 0)], 0),
            (vec![(0, u64::MAX), (1, u64::MAX)], 1),
        ] {
            assert_eq!(Row::of(slots), Err(strange));
        }
        assert_eq!(Row::of(vec![(u64::MAX, H + 1)]).unwrap().len(), 0);
        let same = Row::of(vec![(0, H + 1), (0, H + 1)]).unwrap();
        assert_eq!(same.slots(), 1);
    }

    #[test]
    fn offsets_find_their_slot() {
        let row = Row::of(vec![(0, H + 3), (1, H + 1), (2, H + 4)]).unwrap();
        let slots: Vec<_> = (0..8).map(|offset| row.slot_of(offset)).collect();
        assert_eq!(slots, [0, 0, 0, 1, 2, 2, 2, 2]);
        let ranges: Vec<_> = (0..4).map(|slot| row.range(slot)).collect();
        assert_eq!(ranges, [0..3, 3..4, 4..8, 8..8]);
    }
}
