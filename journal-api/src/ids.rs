//! Numbers that name positions: [`SeqNo`] and [`Epoch`].

use std::fmt;

/// The position of an entry: dense, from 0. Ranges are half-open, and a cursor
/// is the next number that is not yet covered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeqNo(pub u64);

impl SeqNo {
    /// The number of the first entry.
    pub const ZERO: SeqNo = SeqNo(0);

    /// The number after this one; saturates at `u64::MAX`.
    pub fn next(self) -> SeqNo {
        SeqNo(self.0.saturating_add(1))
    }

    /// The number `n` places further; `None` when it does not fit in 64 bits.
    pub fn checked_add(self, n: u64) -> Option<SeqNo> {
        self.0.checked_add(n).map(SeqNo)
    }
}

impl fmt::Display for SeqNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The generation of the primary: claimed by creating an object, never reused.
/// The first is 1; 0 means "none".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// No epoch: nobody has served yet.
    pub const NONE: Epoch = Epoch(0);

    /// The epoch after this one; saturates at `u64::MAX`.
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
