//! One server and the present connection to it.

use super::connection::{Connection, Parts};
use super::{Call, CallError, Credentials, Reply};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// Waiting between two tries to connect, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));
/// The ports that only privileged processes get; many servers want one.
const RESERVED: std::ops::RangeInclusive<u16> = 600..=1023;
/// How many of them are tried.
const RESERVED_TRIES: usize = 16;

/// Where to connect to, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// As the user wrote it, for messages: `server:2049`.
    pub name: String,
    /// Tried in this order.
    pub addresses: Vec<SocketAddr>,
    pub credentials: Credentials,
    /// Take a reserved source port if the system gives one.
    pub reserved: bool,
    /// Records over this end the connection.
    pub longest_reply: usize,
    /// What an idle connection asks, and how often.
    pub ping: Option<(Duration, Call)>,
}

/// A client of one server. Its methods are for tasks on the store's own thread,
/// except [`now`](Client::now).
#[derive(Debug)]
pub(crate) struct Client {
    target: Target,
    credentials: Arc<Credentials>,
    present: Mutex<Option<Arc<Connection>>>,
    /// Held by the task that connects.
    connecting: tokio::sync::Mutex<()>,
    incarnations: AtomicU64,
}

impl Client {
    pub fn new(target: Target) -> Client {
        Client {
            credentials: Arc::new(target.credentials.clone()),
            target,
            present: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            incarnations: AtomicU64::new(0),
        }
    }

    /// As the user wrote it.
    pub fn name(&self) -> &str {
        &self.target.name
    }

    fn present(&self) -> MutexGuard<'_, Option<Arc<Connection>>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present connection, if it is up.
    pub fn now(&self) -> Option<Arc<Connection>> {
        let present = self.present().clone();
        let connection = present.filter(|c| c.is_up())?;
        if connection.is_hung_up() {
            let text = format!("{} closed the connection", self.target.name);
            connection.close(&CallError::Lost(text));
            return None;
        }
        Some(connection)
    }

    /// The present connection, or a new one: one try.
    pub async fn connection(&self, deadline: Instant) -> Result<Arc<Connection>, CallError> {
        if let Some(connection) = self.now() {
            return Ok(connection);
        }
        let connecting = async {
            let _turn = self.connecting.lock().await;
            match self.now() {
                Some(connection) => Ok(connection), // another task has just connected
                None => self.connect().await,
            }
        };
        match timeout_at(deadline, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(CallError::NotSent(format!(
                "can't connect to {} in time: no answer from {}",
                self.target.name,
                addresses(&self.target.addresses)
            ))),
        }
    }

    async fn connect(&self) -> Result<Arc<Connection>, CallError> {
        let target = &self.target;
        let mut last = None;
        for address in &target.addresses {
            match self.connect_to(*address).await {
                Ok(stream) => {
                    let connection = Connection::start(Parts {
                        incarnation: self.incarnations.fetch_add(1, Ordering::Relaxed) + 1,
                        stream,
                        peer: target.name.clone(),
                        credentials: self.credentials.clone(),
                        longest_reply: target.longest_reply,
                        first_xid: random()?,
                        ping: target.ping.clone(),
                    });
                    *self.present() = Some(connection.clone());
                    return Ok(connection);
                }
                Err(e) => last = Some((address, e)),
            }
        }
        Err(CallError::NotSent(match last {
            Some((address, e)) => format!("can't connect to {} ({address}): {e}", target.name),
            None => format!("{} has no address", target.name),
        }))
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        if self.target.reserved {
            for _ in 0..RESERVED_TRIES {
                let count = u32::from(RESERVED.end() - RESERVED.start()) + 1;
                let draw = random().map_err(|e| io::Error::other(e.to_string()))?;
                let port = RESERVED.start() + (draw % count) as u16;
                let socket = socket(&address)?;
                let local = match address {
                    SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
                    SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
                };
                match socket.bind(local) {
                    Ok(()) => {}
                    Err(e) if e.kind() == io::ErrorKind::PermissionDenied => break,
                    Err(_) => continue, // in use
                }
                match socket.connect(address).await {
                    Err(e) if busy(&e) => {}
                    other => return prepared(other?),
                }
            }
        }
        prepared(socket(&address)?.connect(address).await?)
    }

    /// Makes a call over the present connection, or a new one, once.
    pub async fn call(&self, call: &Call, deadline: Instant) -> Result<Reply, CallError> {
        let connection = self.connection(deadline).await?;
        ask(&connection, call, deadline).await
    }

    /// Makes a call that may be made twice: again over a new connection when the
    /// old one broke, until the deadline.
    pub async fn repeat(&self, call: &Call, deadline: Instant) -> Result<Reply, CallError> {
        let mut pause = PAUSE.0;
        loop {
            match self.call(call, deadline).await {
                Err(e) if e.is_broken_connection() => {
                    if Instant::now() + pause >= deadline {
                        return Err(e);
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
                other => return other,
            }
        }
    }
}

/// The connection ends with its client.
impl Drop for Client {
    fn drop(&mut self) {
        if let Some(connection) = self.present().take() {
            connection.close(&CallError::Lost("the store was dropped".into()));
        }
    }
}

/// Makes a call over this connection and no other.
pub(crate) async fn ask(
    connection: &Connection,
    call: &Call,
    deadline: Instant,
) -> Result<Reply, CallError> {
    let (answer, answered) = oneshot::channel();
    let done = Box::new(move |result| {
        let _ = answer.send(result); // nobody waits any more
    });
    connection.send(call, deadline, done);
    let ended = || CallError::Lost("the connection's task has ended".into());
    answered.await.unwrap_or_else(|_| Err(ended()))
}

fn socket(address: &SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.set_keepalive(true)?;
    Ok(socket)
}

/// A small call waits for nothing.
fn prepared(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// This pair of ports is still known to one of the two systems.
fn busy(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable
    )
}

fn random() -> Result<u32, CallError> {
    getrandom::u32().map_err(|e| CallError::NotSent(format!("no random numbers: {e}")))
}

fn addresses(all: &[SocketAddr]) -> String {
    let all: Vec<_> = all.iter().map(SocketAddr::to_string).collect();
    all.join(", ")
}
