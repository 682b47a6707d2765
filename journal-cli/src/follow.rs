//! `journal follow`: durable entries as they come.

use crate::args;
use crate::entries::Printer;
use crate::failure::Result;
use crate::open;
use crate::output::{Out, note};
use crate::signals::Signals;
use flushproof::{Config, FollowItem, SeqNo};
use serde_json::json;

/// Prints durable entries until a signal, a closed stdout, or the limit.
pub async fn run(config: &Config, args: &args::Follow, out: Out) -> Result<()> {
    let mut printer = Printer::new(out, args.shape)?;
    let mut signals = Signals::listen()?;
    let followed = signals.or(follow(config, args, &mut printer)).await;
    // What was printed goes out also when a signal ended it.
    printer.out.flush()?;
    followed
}

async fn follow(config: &Config, args: &args::Follow, printer: &mut Printer) -> Result<()> {
    let mut left = args.limit.unwrap_or(u64::MAX);
    let reader = open::reader(config).await?;
    let mut follow = reader.follow(args.from.map(SeqNo)).await?;
    while left > 0 {
        match follow.next().await? {
            FollowItem::Entry(entry) => {
                printer.entry(&entry, SeqNo(u64::MAX))?;
                left -= 1;
            }
            FollowItem::CaughtUp => printer.out.flush()?,
            FollowItem::Checkpoint(checkpoint) => {
                let next = checkpoint.next_seq();
                if printer.out.json {
                    printer.out.line(json!({ "checkpoint": next.0 }))?;
                } else {
                    note(format_args!(
                        "a checkpoint replaces the entries below {next}; they are not printed"
                    ));
                }
            }
        }
    }
    Ok(())
}
