//! A small metadata master that keeps its state in a journal: the life of the
//! process. See the README beside it.

mod master;
mod namespace;
mod server;

use flushproof::{Config, Error, ErrorKind, Result, StoreUri, Survives};
use flushproof_backend_local::LocalFactory;
use master::{Follower, Master};
use server::{Role, stand_down};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

const USAGE: &str = "usage: namespace-master FOLDER [--format] [--standby] [--take-over]
       [--listen ADDRESS:PORT] [--checkpoint-every N] [--require FAULT]";

const HEARTBEAT: Duration = Duration::from_secs(1);

struct Arguments {
    config: Config,
    format: bool,
    standby: bool,
    listen: String,
    checkpoint_every: u64,
}

fn arguments() -> Result<Arguments> {
    let wrong = |text: String| Error::new(ErrorKind::InvalidInput, format!("{text}\n{USAGE}"));
    let mut words = std::env::args().skip(1);
    let folder = words.next().filter(|f| !f.starts_with("--"));
    let folder = folder.ok_or_else(|| wrong("no folder was named".into()))?;
    let mut config = Config::new(StoreUri::parse(&folder)?);
    config.registry.register(LocalFactory);
    // A mark each second, so that a primary that was fenced while it was idle finds out.
    config.heartbeat = Some(HEARTBEAT);
    let mut arguments = Arguments {
        config,
        format: false,
        standby: false,
        listen: "127.0.0.1:0".into(),
        checkpoint_every: 10_000,
    };
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .ok_or_else(|| wrong(format!("{word} needs a value")))
        };
        match word.as_str() {
            "--format" => arguments.format = true,
            "--standby" => arguments.standby = true,
            "--take-over" => arguments.config.take_over = true,
            "--listen" => arguments.listen = value()?,
            "--checkpoint-every" => {
                let number = value()?.parse().ok().filter(|n| *n > 0);
                let number = number.ok_or_else(|| wrong(format!("{word} needs a number")));
                arguments.checkpoint_every = number?;
            }
            "--require" => arguments.config.require = Survives::parse(&value()?)?,
            _ => return Err(wrong(format!("unknown argument {word}"))),
        }
    }
    Ok(arguments)
}

#[tokio::main]
async fn main() {
    if let Err(error) = run().await {
        stand_down(&error);
    }
}

async fn run() -> Result<()> {
    let arguments = arguments()?;
    let mut config = arguments.config;
    if arguments.format {
        // Only when told: a folder that is empty because its disk was not mounted
        // must not become a new, empty journal.
        config.format(false).await?;
    }
    let listener = TcpListener::bind(&arguments.listen).await;
    let listener = listener.map_err(|e| Error::io("listening", e))?;
    let address = listener
        .local_addr()
        .map_err(|e| Error::io("listening", e))?;
    config.address = address.to_string(); // for operators: `journal info` shows it
    println!("listening on {address}");

    let role = Arc::new(Role::default());
    tokio::spawn(server::accept(listener, role.clone()));
    let mut terminate = on(SignalKind::terminate())?;
    let master = if arguments.standby {
        // The primary may be alive, or stopped with its lock held: fencing decides.
        config.take_over = true;
        let follower = Follower::open(&config).await?;
        match follow(follower, &role, &mut terminate).await? {
            Some(follower) => follower.promote(arguments.checkpoint_every).await?,
            None => return Ok(()),
        }
    } else {
        let recovery = config.primary().await?;
        Master::start(recovery, Default::default(), arguments.checkpoint_every).await?
    };
    role.serve(master.clone());
    println!("serving: {}", master.status());
    loop {
        tokio::select! {
            _ = terminate.recv() => return master.close().await,
            () = tokio::time::sleep(HEARTBEAT) => master.check()?,
        }
    }
}

fn on(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(|e| Error::io("waiting for a signal", e))
}

/// Follows until it is told to take over, by SIGUSR1 or a client. `None`: it
/// was told to end.
async fn follow(
    mut follower: Follower,
    role: &Role,
    terminate: &mut Signal,
) -> Result<Option<Follower>> {
    println!("standing by");
    let mut take_over = on(SignalKind::user_defined1())?;
    loop {
        tokio::select! {
            step = follower.step() => step?,
            _ = take_over.recv() => return Ok(Some(follower)),
            () = role.promote.notified() => return Ok(Some(follower)),
            _ = terminate.recv() => return Ok(None),
        }
        role.applied.store(follower.applied().0, Relaxed);
    }
}
