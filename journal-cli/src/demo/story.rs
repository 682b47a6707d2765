//! The story: kill -9 in mid-stream, reopen; stop a writer, take over, wake it.

use super::input::{Files, MARK};
use super::narrator::Narrator;
use super::place;
use super::writer::{Ended, Job, Writer, expected};
use crate::args::Common;
use crate::config;
use crate::failure::Result;
use crate::units::{count, entries};
use flushproof::{Config, Item, RecoverySummary, Tail, Verdict};
use nix::sys::signal::Signal;
use std::sync::Arc;
use std::time::Duration;

const FIRST: &str = "first";
const SECOND: &str = "second";
const THIRD: &str = "third";
/// How many entries are acknowledged before the first writer is killed.
const BEFORE_KILL: usize = 20_000;
/// How many entries are acknowledged before the second writer is stopped.
const BEFORE_STOP: usize = 5_000;
/// How many entries the third writer appends.
const THIRDS: usize = 1_000;
/// A stopped process has stopped by then, and its last output has been read.
const STANDSTILL: Duration = Duration::from_millis(300);

/// Everything that the story needs.
pub struct Story {
    pub config: Config,
    pub common: Common,
}

/// Which line of which writer each entry must be.
struct Plan {
    files: Arc<Files>,
    /// Entries below it are the first writer's.
    firsts: u64,
    /// Entries from there on are the third writer's; before, the second's.
    thirds: u64,
}

impl Plan {
    fn entry(&self, seq: u64) -> String {
        let line = |writer, first, n: u64| expected(&self.files, writer, first, n as usize);
        if seq < self.firsts {
            line(FIRST, Some(MARK), seq)
        } else if seq < self.thirds {
            line(SECOND, None, seq - self.firsts)
        } else {
            line(THIRD, None, seq - self.thirds)
        }
    }
}

/// What was read back.
struct ReadBack {
    end: u64,
    /// The first entry that is not what was sent.
    wrong: Option<u64>,
}

impl Story {
    pub async fn tell(&self, say: &mut Narrator<'_>) -> Result<()> {
        self.format(say).await?;
        let files = Arc::new(Files::find());
        let first = self.kill(&files, say).await?;
        let end = self.reopen(&files, &first, say).await?;
        let plan = self.take_over(&files, end, say).await?;
        self.verify(&plan, say).await
    }

    async fn format(&self, say: &mut Narrator<'_>) -> Result<()> {
        say.chapter("1. Format")?;
        let formatted = place::prepare(&self.config).await?;
        let erased = match formatted.erased {
            true => " (that of an earlier demo was erased)",
            false => "",
        };
        let folder = &self.config.folder;
        say.say(&format!(
            "{folder} is the empty journal {}{erased}.",
            formatted.id
        ))
    }

    fn job<'a>(&'a self, files: &'a Arc<Files>, name: &'static str) -> Job<'a> {
        Job {
            config: &self.config,
            common: &self.common,
            files,
            name,
            first: None,
            lines: usize::MAX,
            take_over: false,
        }
    }

    /// Chapter 2: a writer is killed in mid-stream.
    async fn kill(&self, files: &Arc<Files>, say: &mut Narrator<'_>) -> Result<Ended> {
        say.chapter("2. Append, and kill -9 in mid-stream")?;
        let mut writer = Writer::start(&Job {
            first: Some(MARK),
            ..self.job(files, FIRST)
        })?;
        say.say(&format!(
            "Process {} appends an entry for each of {} files of this machine, again and again:",
            writer.pid(),
            count(files.len() as u64)
        ))?;
        say.say(&format!("   {}", files.line(FIRST, 1)))?;
        writer.acked(BEFORE_KILL).await?;
        writer.signal(Signal::SIGKILL)?;
        let ended = writer.end().await?;
        if ended.acks.is_empty() {
            say.say(&format!("It said: {}", ended.stderr.trim()))?;
        }
        say.say(&format!(
            "kill -9 after {} of about {} sent ones were acknowledged.",
            entries(ended.acks.len() as u64),
            count(ended.sent as u64)
        ))?;
        let ordered = ended.acks.iter().copied().eq(0..ended.acks.len() as u64);
        let enough = ended.acks.len() >= BEFORE_KILL;
        say.check(
            ordered && enough,
            "the acks came in order, without a gap".into(),
        )?;
        Ok(ended)
    }

    /// Chapter 3: the next primary finds what was acknowledged. Gives the end.
    async fn reopen(
        &self,
        files: &Arc<Files>,
        first: &Ended,
        say: &mut Narrator<'_>,
    ) -> Result<u64> {
        say.chapter("3. Reopen")?;
        let plan = Plan {
            files: files.clone(),
            firsts: u64::MAX,
            thirds: u64::MAX,
        };
        let mut recovery = self.config.primary().await?;
        let summary = recovery.summary().clone();
        let mut back = ReadBack {
            end: 0,
            wrong: None,
        };
        while let Some(item) = recovery.next().await? {
            back.take(&item, &plan);
        }
        recovery.start().await?.close().await?;
        tail(&summary, first, say)?;
        let acked = first.acks.len() as u64;
        say.check(
            back.end >= acked && back.wrong.is_none_or(|w| w >= acked),
            format!(
                "every acknowledged entry is there, in order and unchanged ({} of {})",
                count(back.end.min(acked)),
                count(acked)
            ),
        )?;
        say.check(
            back.wrong.is_none() && back.end == summary.end.0 && back.end <= first.sent as u64,
            "what else is there is whole and was sent: no gap, nothing torn, nothing foreign"
                .into(),
        )?;
        Ok(back.end)
    }

    /// Chapter 4: a writer is stopped, another takes over, the first wakes up.
    async fn take_over(
        &self,
        files: &Arc<Files>,
        begin: u64,
        say: &mut Narrator<'_>,
    ) -> Result<Plan> {
        say.chapter("4. Stop a writer, take over, wake it")?;
        let mut stopped = Writer::start(&self.job(files, SECOND))?;
        stopped.acked(BEFORE_STOP).await?;
        stopped.signal(Signal::SIGSTOP)?;
        tokio::time::sleep(STANDSTILL).await;
        let before = stopped.acks();
        say.say(&format!(
            "Process {} is stopped (SIGSTOP) after {} acknowledged. It knows nothing of it.",
            stopped.pid(),
            entries(before as u64)
        ))?;
        // Elsewhere no lock of a host refuses a second writer: whoever comes takes over.
        if config::local_path(&self.config.folder).is_some() {
            self.refuse(files, say).await?;
        }
        let third = Writer::start(&Job {
            lines: THIRDS,
            take_over: true,
            ..self.job(files, THIRD)
        })?;
        let pid = third.pid();
        let third = third.end().await?;
        let thirds = third.acks.first().copied().unwrap_or(0);
        say.check(
            third.status.success()
                && third
                    .acks
                    .iter()
                    .copied()
                    .eq(thirds..thirds + THIRDS as u64),
            format!(
                "process {pid} takes over (--take-over) and appends {}, from {thirds} on",
                entries(third.acks.len() as u64)
            ),
        )?;
        stopped.signal(Signal::SIGCONT)?;
        let woken = stopped.end().await?;
        self.fenced(&woken, before, begin, thirds, say)?;
        Ok(Plan {
            files: files.clone(),
            firsts: begin,
            thirds,
        })
    }

    /// Without `--take-over` a second writer is refused.
    async fn refuse(&self, files: &Arc<Files>, say: &mut Narrator<'_>) -> Result<()> {
        let polite = Writer::start(&Job {
            lines: 0,
            ..self.job(files, THIRD)
        })?;
        let polite = polite.end().await?;
        say.check(
            polite.status.code() == Some(7) && polite.acks.is_empty(),
            "another writer is refused as long as that process lives:".into(),
        )?;
        say.say(&format!("   {}", why(&polite.stderr)))
    }

    /// The woken writer must not have acknowledged anything behind the take-over.
    fn fenced(
        &self,
        woken: &Ended,
        before: usize,
        begin: u64,
        thirds: u64,
        say: &mut Narrator<'_>,
    ) -> Result<()> {
        say.say("The stopped process is woken (SIGCONT), and goes on writing:")?;
        say.say(&format!("   {}", why(&woken.stderr)))?;
        say.check(
            woken.status.code() == Some(6),
            "it is fenced, and ends with exit code 6".into(),
        )?;
        let n = woken.acks.len() as u64;
        let late = woken.acks.len() - before;
        let ordered = woken.acks.iter().copied().eq(begin..begin + n);
        say.check(
            ordered && begin + n <= thirds,
            match late {
                0 => "it acknowledged nothing after the take-over".into(),
                late => format!(
                    "it acknowledged nothing that it tried after the take-over ({} durable \
                     before it were still to be told)",
                    entries(late as u64)
                ),
            },
        )
    }

    /// Chapter 5: everything is read again.
    async fn verify(&self, plan: &Plan, say: &mut Narrator<'_>) -> Result<()> {
        say.chapter("5. Read everything again")?;
        let reader = self.config.reader().await?;
        let mut replay = reader.entries(None).await?;
        let mut back = ReadBack {
            end: 0,
            wrong: None,
        };
        while let Some(item) = replay.next().await? {
            back.take(&item, plan);
        }
        let end = plan.thirds + THIRDS as u64;
        say.check(
            back.wrong.is_none() && back.end == end,
            format!(
                "{}: {} of the first, {} of the second, {} of the third writer, nothing else",
                entries(back.end),
                count(plan.firsts),
                count(plan.thirds.saturating_sub(plan.firsts)),
                count(back.end.saturating_sub(plan.thirds)),
            ),
        )?;
        let report = reader.verify(|_, _| {}).await?;
        let verdict = report.verdict();
        say.check(
            verdict == Verdict::Clean,
            format!("journal verify: {}", verdict.as_str()),
        )?;
        say.say(&format!(
            "Look yourself: journal info {0}; journal cat {0}",
            self.config.folder
        ))
    }
}

impl ReadBack {
    fn take(&mut self, item: &Item, plan: &Plan) {
        let Item::Entry(entry) = item else {
            self.wrong.get_or_insert(self.end);
            return;
        };
        let right = entry.seq.0 == self.end && entry.bytes == plan.entry(self.end).as_bytes();
        if !right {
            self.wrong.get_or_insert(self.end);
        }
        self.end += 1;
    }
}

/// What became of that which was not acknowledged.
fn tail(summary: &RecoverySummary, first: &Ended, say: &mut Narrator<'_>) -> Result<()> {
    let acked = first.acks.len() as u64;
    let kept = summary.end.0.saturating_sub(acked);
    let gone = (first.sent as u64).saturating_sub(summary.end.0);
    say.say(&format!(
        "Of those without an ack, {} were whole on the storage and are kept;",
        count(kept)
    ))?;
    say.say(&match summary.tail {
        Tail::Torn { bytes } => format!(
            "a flush was cut short: its {} bytes are cut off; {} others never got that far.",
            count(bytes),
            count(gone)
        ),
        Tail::Clean => format!(
            "{} never got that far. No flush was cut short.",
            count(gone)
        ),
    })
}

/// Why a process ended, in its own words.
fn why(stderr: &str) -> &str {
    let mut lines = stderr.lines();
    let error = lines.clone().find(|l| l.starts_with("error:"));
    error.or(lines.next()).unwrap_or("(it said nothing)")
}
