//! What only the HTTP servers tell: the flushed tail of a log that is being
//! written, how many DataNodes have it, and what the cluster is like.

use crate::http::{self, Answer};
use crate::options::Settings;
use bytes::Bytes;
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The longest answer that is not a file's bytes.
const SMALL: usize = 1 << 20;
/// How many DataNodes are asked for the same bytes.
const TRIES: usize = 4;
/// How many DataNodes of a block are told at most.
const WIDEST: usize = 16;

/// The HTTP servers of the NameNodes.
#[derive(Debug)]
pub(crate) struct Web {
    addresses: Vec<String>,
    /// Which one answered last.
    active: AtomicUsize,
    user: String,
    limit: Duration,
    /// DataNodes are called by their names, not by their addresses.
    hostnames: bool,
}

/// What a call did not get.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The name is not there.
    NotFound,
    /// Anything else, in words.
    Other(String),
}

/// A DataNode of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// Host and port that take data.
    pub at: String,
    /// When the NameNode heard of it last, in milliseconds of its own clock.
    pub heard: u64,
}

/// What is known of the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cluster {
    pub live: u64,
    pub total: u64,
    pub remaining: u64,
}

impl Web {
    pub fn new(addresses: Vec<String>, settings: &Settings, hostnames: bool) -> Web {
        let user = settings.user.clone();
        let name = || std::env::var("HADOOP_USER_NAME").ok();
        let user = user.or_else(name).or_else(|| whoami::username().ok());
        Web {
            addresses,
            active: AtomicUsize::new(0),
            user: user.unwrap_or_default(),
            limit: settings.timeout,
            hostnames,
        }
    }

    /// The addresses, for messages.
    pub fn shown(&self) -> String {
        self.addresses.join(", ")
    }

    fn target(&self, path: &str, op: &str) -> String {
        let user = match self.user.is_empty() {
            true => String::new(),
            false => format!("&user.name={}", http::escape(&self.user)),
        };
        format!("/webhdfs/v1{}?op={op}{user}", http::escape(path))
    }

    /// Asks the active NameNode; a standby answers 403, and the next one is asked.
    async fn ask(&self, target: &str, most: usize) -> Result<Answer, Failure> {
        let mut last = Failure::Other("no address is known".into());
        let first = self.active.load(Ordering::Relaxed);
        for n in 0..self.addresses.len() {
            let n = (first + n) % self.addresses.len();
            let get = http::get(&self.addresses[n], target, most);
            match tokio::time::timeout(self.limit, get).await {
                Ok(Ok(answer)) if answer.status == 403 && is_standby(&answer) => {
                    last = Failure::Other(format!("{} is a standby", self.addresses[n]));
                }
                Ok(Ok(answer)) => {
                    self.active.store(n, Ordering::Relaxed);
                    return check(answer);
                }
                Ok(Err(e)) => last = Failure::Other(e),
                Err(_) => {
                    let (address, limit) = (&self.addresses[n], self.limit);
                    last = Failure::Other(format!("{address} did not answer within {limit:?}"));
                }
            }
        }
        Err(last)
    }

    /// Bytes of a file, of one that is being written too. All of them, or an error.
    pub async fn read(&self, path: &str, offset: u64, len: usize) -> Result<Bytes, Failure> {
        let mut target = self.target(path, "OPEN");
        target.push_str(&format!("&offset={offset}&length={len}"));
        let mut last = Failure::Other("no DataNode was asked".into());
        let mut excluded = String::new();
        for _ in 0..TRIES {
            let answer = self.ask(&format!("{target}{excluded}"), SMALL).await?;
            let to = answer.location.as_deref().and_then(http::split);
            let Some((address, there)) = to else {
                let text = format!(
                    "a redirect to a DataNode was expected, not {}",
                    answer.status
                );
                return Err(Failure::Other(text));
            };
            let get = http::get(&address, &there, len);
            last = match tokio::time::timeout(self.limit, get).await {
                Ok(Ok(answer)) => match check(answer) {
                    Ok(answer) if answer.body.len() == len => return Ok(answer.body),
                    Ok(answer) => Failure::Other(format!(
                        "{address} sent {} bytes of {len}",
                        answer.body.len()
                    )),
                    Err(Failure::NotFound) => return Err(Failure::NotFound),
                    Err(other) => other,
                },
                Ok(Err(e)) => Failure::Other(e),
                Err(_) => Failure::Other(format!("{address} did not answer in time")),
            };
            match excluded.is_empty() {
                true => excluded = format!("&excludedatanodes={address}"),
                false => excluded.push_str(&format!(",{address}")),
            }
        }
        Err(last)
    }

    /// How many DataNodes have the last block of a file: the pipeline of one that
    /// is being written.
    pub async fn width(&self, path: &str) -> Result<usize, Failure> {
        let blocks = self.blocks(path).await?;
        let hosts = last(&blocks)?["locations"].as_array();
        hosts.map(Vec::len).ok_or_else(no_locations)
    }

    /// The pipeline of a file that is being written: its last block's DataNodes. Empty
    /// once it is closed.
    pub async fn pipeline(&self, path: &str) -> Result<Vec<Location>, Failure> {
        let blocks = self.blocks(path).await?;
        if blocks["isUnderConstruction"] == Value::Bool(false) {
            return Ok(Vec::new());
        }
        let last = last(&blocks)?;
        let all = last["locations"].as_array().ok_or_else(no_locations)?;
        let host = match self.hostnames {
            true => "hostName",
            false => "ipAddr",
        };
        let location = |node: &Value| {
            let port = u16::try_from(node["xferPort"].as_u64()?).ok()?;
            Some(Location {
                at: format!("{}:{port}", node[host].as_str()?),
                heard: node["lastUpdateMonotonic"].as_u64()?,
            })
        };
        Ok(all.iter().take(WIDEST).filter_map(location).collect())
    }

    async fn blocks(&self, path: &str) -> Result<Value, Failure> {
        let mut target = self.target(path, "GET_BLOCK_LOCATIONS");
        target.push_str("&offset=0&length=9223372036854775807");
        let answer = self.ask(&target, SMALL).await?;
        Ok(parse(&answer.body)?["LocatedBlocks"].take())
    }

    /// The erasure coding policy of a folder, if it has one.
    pub async fn erasure_coding(&self, path: &str) -> Result<Option<String>, Failure> {
        let answer = self.ask(&self.target(path, "GETFILESTATUS"), SMALL).await?;
        let json = parse(&answer.body)?;
        let policy = json["FileStatus"]["ecPolicy"].as_str();
        Ok(policy.filter(|p| *p != "REPLICATION").map(str::to_owned))
    }

    /// Live DataNodes and room.
    pub async fn cluster(&self) -> Result<Cluster, Failure> {
        let target = "/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState";
        let json = parse(&self.ask(target, SMALL).await?.body)?;
        let bean = &json["beans"][0];
        let number = |key: &str| {
            let missing = || Failure::Other(format!("the NameNode's /jmx has no {key}"));
            bean[key].as_u64().ok_or_else(missing)
        };
        Ok(Cluster {
            live: number("NumLiveDataNodes")?,
            total: number("CapacityTotal")?,
            remaining: number("CapacityRemaining")?,
        })
    }
}

fn last(blocks: &Value) -> Result<&Value, Failure> {
    let last = match &blocks["lastLocatedBlock"] {
        Value::Null => blocks["locatedBlocks"]
            .as_array()
            .and_then(|all| all.last()),
        last => Some(last),
    };
    last.ok_or_else(no_locations)
}

fn no_locations() -> Failure {
    Failure::Other("GET_BLOCK_LOCATIONS: the answer has no locations".into())
}

fn is_standby(answer: &Answer) -> bool {
    java_class(&answer.body).is_some_and(|c| c == "StandbyException")
}

fn java_class(body: &[u8]) -> Option<String> {
    let json: Value = serde_json::from_slice(body).ok()?;
    json["RemoteException"]["exception"]
        .as_str()
        .map(str::to_owned)
}

fn check(answer: Answer) -> Result<Answer, Failure> {
    if answer.status.is_success() || answer.status.is_redirection() {
        return Ok(answer);
    }
    if answer.status == 404
        || java_class(&answer.body).is_some_and(|c| c == "FileNotFoundException")
    {
        return Err(Failure::NotFound);
    }
    let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let message = json["RemoteException"]["message"]
        .as_str()
        .unwrap_or_default();
    let message: String = message
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(300)
        .collect();
    Err(Failure::Other(format!("{} {message}", answer.status)))
}

fn parse(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body).map_err(|e| Failure::Other(format!("no JSON: {e}")))
}
