//! Group commit: from accepted entries to acknowledgements.
//!
//! Entries wait in the queue of [`state::State`]. For a blocking store whoever
//! awaits first leads the flush, with several appenders a thread does ([`inline`], [`gather`]); for a detached one a task keeps
//! several flushes under way ([`detached`]), and a lone appender flushes by itself ([`alone`]). The [`keeper`] is one thread with a
//! small runtime of its own: it flushes what nobody awaits, writes idle marks,
//! prepares the next log, abandons a hung flush and takes over from oneself.

mod alone;
pub(crate) mod buffer;
pub(crate) mod core;
mod counters;
pub(crate) mod detached;
mod gather;
pub(crate) mod group;
mod holds;
pub(crate) mod inline;
pub(crate) mod keeper;
pub(crate) mod off_thread;
mod padded;
mod sealing;
pub(crate) mod serving;
pub(crate) mod state;
#[cfg(test)]
mod tests;

/// Drives a future that needs no runtime, on a plain thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut cx = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}
