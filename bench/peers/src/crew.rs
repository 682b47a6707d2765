//! OS threads for logs whose append blocks its thread.

use crate::peer::{Plan, Result};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One append, durable when it returns.
pub type Append = Box<dyn FnMut() -> Result<()> + Send>;

/// One thread for each appender. They live from block to block, parked in
/// between, so that a block does not pay for starting them.
pub struct Crew {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// A block was started, or the crew is dismissed.
    go: Condvar,
    /// The last thread of a block is done.
    done: Condvar,
}

#[derive(Default)]
struct State {
    block: u64,
    running: usize,
    dismissed: bool,
    failure: Option<String>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Crew {
    /// Starts the threads; `append` makes what thread `n` calls.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub fn start(plan: Plan, append: impl Fn(usize) -> Append) -> Result<Crew> {
        let mut crew = Crew {
            shared: Arc::default(),
            threads: Vec::new(),
        };
        for n in 0..plan.tasks {
            let shared = crew.shared.clone();
            let append = append(n);
            let thread = std::thread::Builder::new()
                .name(format!("appender-{n}"))
                .stack_size(256 << 10)
                .spawn(move || serve(&shared, append, plan.each))?;
            crew.threads.push(thread);
        }
        Ok(crew)
    }

    /// Runs one block.
    ///
    /// # Errors
    /// The first append that failed.
    pub fn block(&self) -> Result<Duration> {
        let mut state = self.shared.lock();
        let began = Instant::now();
        state.block += 1;
        state.running = self.threads.len();
        self.shared.go.notify_all();
        while state.running > 0 {
            state = self
                .shared
                .done
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let took = began.elapsed();
        match state.failure.take() {
            Some(text) => Err(text.into()),
            None => Ok(took),
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.lock().dismissed = true;
        self.shared.go.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // a panic was reported by its block
        }
    }
}

/// Tells the crew that a thread's part of a block ended, by a panic too.
struct Part<'a> {
    shared: &'a Shared,
    outcome: Result<()>,
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if let Err(error) = &self.outcome {
            state.failure.get_or_insert_with(|| error.to_string());
        }
        state.running -= 1;
        if state.running == 0 {
            self.shared.done.notify_one();
        }
    }
}

fn serve(shared: &Shared, mut append: Append, each: usize) {
    let mut seen = 0;
    loop {
        let mut state = shared.lock();
        while state.block == seen && !state.dismissed {
            state = shared
                .go
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.dismissed {
            return;
        }
        seen = state.block;
        drop(state);
        let mut part = Part {
            shared,
            outcome: Err("an appender panicked".into()),
        };
        part.outcome = (0..each).try_for_each(|_| append());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const PLAN: Plan = Plan {
        tasks: 5,
        each: 7,
        blocks: 3,
    };

    #[test]
    fn every_thread_appends_in_every_block() {
        let count = Arc::new(AtomicUsize::new(0));
        let crew = Crew::start(PLAN, |_| {
            let count = count.clone();
            Box::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
        })
        .unwrap();
        for block in 1..=PLAN.blocks {
            crew.block().unwrap();
            assert_eq!(count.load(Ordering::Relaxed), block * PLAN.block_entries());
        }
    }

    #[test]
    fn an_error_and_a_panic_end_the_block() {
        let failing = |fail: fn() -> Result<()>| {
            move |n| -> Append { Box::new(move || if n == 3 { fail() } else { Ok(()) }) }
        };
        let crew = Crew::start(PLAN, failing(|| Err("no".into()))).unwrap();
        assert_eq!(crew.block().unwrap_err().to_string(), "no");
        let crew = Crew::start(PLAN, failing(|| panic!("on purpose"))).unwrap();
        assert_eq!(
            crew.block().unwrap_err().to_string(),
            "an appender panicked"
        );
    }
}
