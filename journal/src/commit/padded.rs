//! [`Padded`]: counters that several threads write side by side.

/// A value on cache lines of its own: two threads that write to neighbours would
/// take the line from each other (measured: half of the rate on a free store).
#[repr(align(128))]
#[derive(Debug)]
pub(crate) struct Padded<T>(pub(super) T);

impl<T> std::ops::Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
