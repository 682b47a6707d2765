//! Keeping a journal from being trimmed while a backup reads what would go.

use super::core::Core;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// Keeps a journal from being trimmed.
pub(crate) struct TrimHold(Arc<Core>);

impl Drop for TrimHold {
    fn drop(&mut self) {
        self.0.trim_holds.fetch_sub(1, SeqCst);
    }
}

impl Core {
    /// Nothing is trimmed until the hold is dropped. A trim that is under way goes on.
    pub(crate) fn hold_trim(self: &Arc<Core>) -> TrimHold {
        self.trim_holds.fetch_add(1, SeqCst);
        TrimHold(self.clone())
    }

    /// Whether something must not be trimmed now.
    pub(crate) fn trim_is_held(&self) -> bool {
        self.trim_holds.load(SeqCst) > 0
    }
}
