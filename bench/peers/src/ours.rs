//! Flushproof.

use crate::peer::{Contestant, ENTRY_BYTES, Peer, Plan, Result};
use crate::tasks;
use flushproof::{Config, Journal, StoreUri};
use flushproof_backend_local::LocalFactory;
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Runtime;

/// With its default configuration.
pub const OURS: Contestant = Contestant {
    name: "flushproof",
    ack: "Journal::append from one tokio task for each appender; its receipt says that the entry \
          survives a power loss of the store. Defaults: the local backend chooses its way to \
          write by a probe at open",
    open,
};

struct Ours {
    runtime: Runtime,
    plan: Plan,
    journal: Journal,
}

fn open(dir: &Path, plan: Plan) -> Result<Box<dyn Peer>> {
    let runtime = tasks::runtime()?;
    let mut config = Config::new(StoreUri::parse(&dir.to_string_lossy())?);
    config.registry.register(LocalFactory);
    let journal = runtime.block_on(async {
        config.format(true).await?;
        let mut recovery = config.primary().await?;
        while recovery.next().await?.is_some() {}
        recovery.start().await
    })?;
    Ok(Box::new(Ours {
        runtime,
        plan,
        journal,
    }))
}

impl Peer for Ours {
    fn block(&mut self) -> Result<Duration> {
        let each = self.plan.each;
        tasks::block(&self.runtime, self.plan, || {
            let journal = self.journal.clone();
            async move {
                let entry = [7; ENTRY_BYTES];
                for _ in 0..each {
                    journal.append(&entry).await?;
                }
                Ok(())
            }
        })
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.runtime.block_on(self.journal.close())?)
    }
}
