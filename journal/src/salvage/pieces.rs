//! The entries that count, as ranges of runs; and the numbers that are nowhere.

use super::LostRange;
use super::scan::Run;
use crate::format::SegmentKey;
use flushproof_api::SeqNo;
use std::collections::BTreeMap;

/// Some entries of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub key: SegmentKey,
    pub run: Run,
    pub first: SeqNo,
    pub end: SeqNo,
}

/// Pieces without an overlap, by their first numbers.
#[derive(Debug, Default)]
pub(super) struct Pieces(BTreeMap<SeqNo, Piece>);

impl Pieces {
    /// Puts in what of the piece is not there yet. Says what was put in, and, from the first
    /// to the last such entry, what was there already.
    pub(super) fn fill(&mut self, piece: Piece) -> (Vec<Piece>, Option<Piece>) {
        let below = self.0.range(..piece.end).rev();
        let mut there: Vec<_> = below
            .take_while(|(_, p)| p.end > piece.first)
            .map(|(first, p)| (*first, p.end))
            .collect();
        there.reverse();
        let (mut filled, mut double) = (Vec::new(), None::<Piece>);
        let part = |first: SeqNo, end: SeqNo| {
            (first < end).then_some(Piece {
                first,
                end,
                ..piece
            })
        };
        let mut at = piece.first;
        for (first, end) in there {
            filled.extend(part(at, first));
            let (first, end) = (first.max(piece.first), end.min(piece.end));
            match &mut double {
                Some(double) => double.end = end,
                None => double = part(first, end),
            }
            at = end;
        }
        filled.extend(part(at, piece.end));
        self.0.extend(filled.iter().map(|p| (p.first, *p)));
        (filled, double)
    }

    /// The pieces that hold numbers of a range, in order, each cut to it.
    pub(super) fn within(&self, first: SeqNo, end: SeqNo) -> impl Iterator<Item = Piece> {
        let before = self.0.range(..first).next_back().map(|(_, p)| *p);
        let inside = self.0.range(first..end).map(|(_, p)| *p);
        let cut = move |p: Piece| Piece {
            first: p.first.max(first),
            end: p.end.min(end),
            ..p
        };
        let pieces = before.into_iter().chain(inside).map(cut);
        pieces.filter(|p| p.first < p.end)
    }

    pub(super) fn entries(&self) -> u64 {
        let counts = self.0.values().map(|p| p.end.0 - p.first.0);
        counts.fold(0, u64::saturating_add)
    }

    /// The number after the last entry.
    pub(super) fn end(&self) -> Option<SeqNo> {
        self.0.last_key_value().map(|(_, p)| p.end)
    }

    /// The numbers from `base` to `known` that no piece has, but for those whose loss was
    /// accepted before (sorted).
    pub(super) fn lost(&self, base: SeqNo, known: SeqNo, accepted: &[LostRange]) -> Vec<LostRange> {
        let lost = self.missing(base, known);
        let mut left = Vec::new();
        for mut range in lost {
            for gap in accepted {
                if gap.first > range.first && gap.first < range.end {
                    let end = gap.first;
                    left.push(LostRange { end, ..range });
                }
                if gap.first < range.end && gap.end > range.first {
                    range.first = gap.end.max(range.first).min(range.end);
                }
            }
            if range.first < range.end {
                left.push(range);
            }
        }
        left
    }

    fn missing(&self, base: SeqNo, known: SeqNo) -> Vec<LostRange> {
        let mut lost = Vec::new();
        let mut at = base;
        let known = known.max(base);
        let ends = self.0.values().map(|p| (p.first, p.end));
        for (first, end) in ends.chain([(known, known)]) {
            if at < first {
                lost.push(LostRange {
                    first: at,
                    end: first,
                });
            }
            at = at.max(end);
        }
        lost
    }

    pub(super) fn into_vec(self) -> Vec<Piece> {
        self.0.into_values().collect()
    }
}
