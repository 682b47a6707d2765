//! Waits for acks in order, counts them, and prints them if asked to.

use crate::failure::Result;
use crate::output::Out;
use crate::progress;
use crate::units;
use flushproof::{Ack, Epoch, Journal, Receipt, SeqNo};
use indicatif::ProgressBar;
use serde_json::json;
use std::fmt;
use tokio::sync::mpsc;

/// What was acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// How many entries.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first one's number.
    pub first: Option<SeqNo>,
    /// The number after the last one.
    pub durable: SeqNo,
    /// The epoch of the last one.
    pub epoch: Epoch,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&units::entries(self.entries))
    }
}

/// An entry that waits for its ack.
#[derive(Debug)]
pub struct Waiting {
    pub ack: Ack,
    pub bytes: u64,
}

/// The end of the line of acks.
pub struct Acks {
    out: Out,
    journal: Journal,
    /// Whether each is printed.
    print: bool,
    tally: Tally,
    bar: ProgressBar,
}

impl Acks {
    pub fn new(out: Out, journal: Journal, print: bool) -> Acks {
        let tally = Tally {
            durable: journal.durable(),
            epoch: journal.epoch(),
            ..Tally::default()
        };
        Acks {
            out,
            journal,
            print,
            tally,
            bar: match print {
                true => ProgressBar::hidden(),
                false => progress::spinner(),
            },
        }
    }

    /// Runs until no more acks come, one fails, or stdout is closed.
    pub async fn run(mut self, mut acks: mpsc::Receiver<Waiting>) -> (Out, Tally, Result<()>) {
        let done = self.drain(&mut acks).await;
        self.bar.finish_and_clear();
        // What was acknowledged before a failure is still told.
        let flushed = self.flush();
        (self.out, self.tally, done.and(flushed))
    }

    async fn drain(&mut self, acks: &mut mpsc::Receiver<Waiting>) -> Result<()> {
        let mut next = acks.recv().await;
        while let Some(waiting) = next.take() {
            let receipt = waiting.ack.await?;
            self.take(receipt, waiting.bytes)?;
            // One flush served many: all these are ready.
            let durable = self.journal.durable();
            while let Ok(waiting) = acks.try_recv() {
                if waiting.ack.seq() >= durable {
                    next = Some(waiting);
                    break;
                }
                let receipt = waiting.ack.await?;
                self.take(receipt, waiting.bytes)?;
            }
            self.flush()?;
            if next.is_none() {
                next = acks.recv().await;
            }
        }
        Ok(())
    }

    fn take(&mut self, receipt: Receipt, bytes: u64) -> Result<()> {
        self.tally.entries += 1;
        self.tally.bytes += bytes;
        self.tally.first.get_or_insert(receipt.seq);
        self.tally.durable = receipt.seq.next();
        self.tally.epoch = receipt.epoch;
        match (self.print, self.out.json) {
            (false, _) => Ok(()),
            (true, false) => self.out.line(receipt.seq),
            (true, true) => self
                .out
                .line(json!({ "seq": receipt.seq.0, "epoch": receipt.epoch.0 })),
        }
    }

    /// Hands the printed acks to their reader, who may be slow.
    fn flush(&mut self) -> Result<()> {
        if !self.print {
            let text = format!("{} durable", self.tally);
            self.bar.set_message(text);
            return Ok(());
        }
        tokio::task::block_in_place(|| self.out.flush())
    }
}
