//! The client against a server that does what it is told.

use super::client::ask;
use super::{Call, CallError, Client, Credentials, Refusal, Reply, Target};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

const LONGEST: usize = 1000;

/// One side of a conversation that is written down in a test.
struct Script(TcpListener);

/// A connection of the client, as the server sees it.
struct Peer(TcpStream);

impl Script {
    async fn start() -> (Script, Client) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client(listener.local_addr().unwrap());
        (Script(listener), client)
    }

    async fn accept(&self) -> Peer {
        Peer(self.0.accept().await.unwrap().0)
    }
}

impl Peer {
    /// The next call: its xid and the last of its words.
    async fn call(&mut self) -> (u32, u32) {
        let len = self.0.read_u32().await.unwrap();
        assert_eq!(len & 0x8000_0000, 0x8000_0000);
        let mut record = vec![0; (len & 0x7fff_ffff) as usize];
        self.0.read_exact(&mut record).await.unwrap();
        let word = |at: usize| u32::from_be_bytes(record[at..at + 4].try_into().unwrap());
        (word(0), word(record.len() - 4))
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// An accepted reply with one word as its result.
    async fn reply(&mut self, xid: u32, word: u32) {
        self.send(&record(&[xid, 1, 0, 0, 0, 0, word])).await;
    }
}

fn record(words: &[u32]) -> Vec<u8> {
    let header = 0x8000_0000 | (words.len() as u32 * 4);
    let all = std::iter::once(&header).chain(words);
    all.flat_map(|w| w.to_be_bytes()).collect()
}

fn client(address: SocketAddr) -> Client {
    Client::new(Target {
        name: "scripted".into(),
        addresses: vec![address],
        credentials: Credentials::new(0, 0, &[]),
        reserved: false,
        longest_reply: LONGEST,
        ping: None,
    })
}

fn call(word: u32) -> Call {
    Call {
        program: 1,
        version: 1,
        procedure: 1,
        arguments: word.to_be_bytes().to_vec(),
        body: Bytes::new(),
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

fn word(reply: Result<Reply, CallError>) -> u32 {
    u32::from_be_bytes(reply.unwrap().body[..].try_into().unwrap())
}

#[tokio::test]
async fn replies_in_any_order_find_their_calls() {
    let (script, client) = Script::start().await;
    let client = Arc::new(client);
    let server = async {
        let mut peer = script.accept().await;
        let mut calls = Vec::new();
        for _ in 0..50 {
            calls.push(peer.call().await);
        }
        calls.sort_by_key(|(xid, word)| (xid % 7, *word));
        for (xid, word) in calls {
            peer.reply(xid, word + 1000).await;
        }
    };
    let calls = (0..50).map(|n| {
        let client = client.clone();
        tokio::spawn(async move { word(client.call(&call(n), soon()).await) })
    });
    let calls: Vec<_> = calls.collect();
    server.await;
    for (n, answer) in calls.into_iter().enumerate() {
        assert_eq!(answer.await.unwrap(), n as u32 + 1000);
    }
}

#[tokio::test]
async fn fc_12_a_reply_to_another_call_is_no_answer() {
    let (script, client) = Script::start().await;
    let server = async {
        let mut peer = script.accept().await;
        let (xid, _) = peer.call().await;
        peer.reply(xid.wrapping_add(1), 7).await;
        let (second, _) = peer.call().await;
        peer.reply(second, 8).await;
        peer.reply(second, 9).await; // twice: the first one counts
        let (third, _) = peer.call().await;
        peer.reply(third, 10).await;
    };
    let asking = async {
        let deadline = Instant::now() + Duration::from_millis(200);
        let e = client.call(&call(1), deadline).await.unwrap_err();
        assert!(matches!(e, CallError::TimedOut(_)), "{e}");
        // Something was heard, so the connection is alive.
        assert_eq!(word(client.call(&call(2), soon()).await), 8);
        assert_eq!(word(client.call(&call(3), soon()).await), 10);
    };
    tokio::join!(server, asking);
}

#[tokio::test]
async fn fc_12_a_deaf_server_is_given_up_and_met_again() {
    let (script, client) = Script::start().await;
    let server = async {
        let mut deaf = script.accept().await;
        deaf.call().await;
        deaf.call().await;
        let mut peer = script.accept().await;
        let (xid, _) = peer.call().await;
        peer.reply(xid, 3).await;
    };
    let asking = async {
        let connection = client.connection(soon()).await.unwrap();
        let began = Instant::now();
        let (hasty, patient) = (call(1), call(2));
        let (first, second) = tokio::join!(
            client.call(&hasty, began + Duration::from_millis(100)),
            ask(&connection, &patient, soon()),
        );
        assert!(matches!(first, Err(CallError::TimedOut(_))), "{first:?}");
        // The other one's time is not over, but its connection is.
        assert!(matches!(second, Err(CallError::Lost(_))), "{second:?}");
        assert!(began.elapsed() < Duration::from_secs(1));
        assert_eq!(connection.incarnation, 1);
        let reply = client.call(&call(3), soon()).await.unwrap();
        assert_eq!(reply.incarnation, 2);
    };
    tokio::join!(server, asking);
}

#[tokio::test]
async fn a_connection_that_is_cut_in_mid_reply_answers_nobody() {
    let (script, client) = Script::start().await;
    let server = async {
        let mut peer = script.accept().await;
        let (xid, _) = peer.call().await;
        let whole = record(&[xid, 1, 0, 0, 0, 0, 5]);
        peer.send(&whole[..whole.len() - 1]).await;
    };
    let asked = call(1);
    let (_, answer) = tokio::join!(server, client.call(&asked, soon()));
    assert!(matches!(answer, Err(CallError::Lost(_))), "{answer:?}");
}

#[tokio::test]
async fn a_repeated_call_goes_on_over_a_new_connection() {
    let (script, client) = Script::start().await;
    let server = async {
        for _ in 0..3 {
            script.accept().await.call().await; // and hangs up
        }
        let mut peer = script.accept().await;
        let (xid, word) = peer.call().await;
        peer.reply(xid, word).await;
    };
    let asked = call(77);
    let (_, answer) = tokio::join!(server, client.repeat(&asked, soon()));
    let answer = answer.unwrap();
    assert_eq!(answer.incarnation, 4);
    assert_eq!(word(Ok(answer)), 77);
}

#[tokio::test]
async fn what_was_not_sent_is_known_to_be_not_sent() {
    let (script, client) = Script::start().await;
    // More than the system takes for a peer that does not read.
    let mut long = call(1);
    long.body = Bytes::from(vec![0; 64 << 20]);
    let server = async {
        let peer = script.accept().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(peer);
    };
    let short = call(2);
    let calls = async {
        let connection = client.connection(soon()).await.unwrap();
        tokio::join!(
            ask(&connection, &long, soon()),
            ask(&connection, &short, soon())
        )
    };
    let (_, (first, second)) = tokio::join!(server, calls);
    assert!(matches!(first, Err(CallError::NotSent(_))), "{first:?}");
    assert!(matches!(second, Err(CallError::NotSent(_))), "{second:?}");
    drop(script);
    let none = client.call(&call(3), soon()).await;
    assert!(matches!(none, Err(CallError::NotSent(_))), "{none:?}");
}

#[tokio::test]
async fn fc_13_hostile_replies_end_the_connection() {
    let xid_is_first = [
        // Longer than any reply.
        vec![0xff, 0xff, 0xff, 0xff],
        (LONGEST as u32 + 1).to_be_bytes().to_vec(),
        // A call instead of a reply; half a header.
        record(&[1, 0, 2, 3]),
        record(&[1]),
        record(&[]),
        // A verifier of 4 GiB.
        record(&[1, 1, 0, 0, u32::MAX]),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
    ];
    for hostile in xid_is_first {
        let (script, client) = Script::start().await;
        let server = async {
            let mut peer = script.accept().await;
            peer.call().await;
            peer.send(&hostile).await;
            peer
        };
        let asked = call(1);
        let (peer, answer) = tokio::join!(server, client.call(&asked, soon()));
        assert!(matches!(answer, Err(CallError::Lost(_))), "{answer:?}");
        drop(peer);
    }
}

#[tokio::test]
async fn fragments_without_end_are_bounded() {
    let (script, client) = Script::start().await;
    let server = async {
        let mut peer = script.accept().await;
        peer.call().await;
        for _ in 0..11 {
            let mut fragment = 100u32.to_be_bytes().to_vec();
            fragment.extend([0; 100]);
            peer.send(&fragment).await;
        }
        peer
    };
    let asked = call(1);
    let (_peer, answer) = tokio::join!(server, client.call(&asked, soon()));
    assert!(matches!(answer, Err(CallError::Lost(_))), "{answer:?}");
}

#[tokio::test]
async fn a_refusal_is_an_answer() {
    let (script, client) = Script::start().await;
    let server = async {
        let mut peer = script.accept().await;
        let (xid, _) = peer.call().await;
        peer.send(&record(&[xid, 1, 1, 1, 5])).await;
        let (xid, _) = peer.call().await;
        peer.send(&record(&[xid, 1, 0, 0, 0, 1])).await;
    };
    let asking = async {
        for expected in [Refusal::Credentials(5), Refusal::NoProgram] {
            let e = client.repeat(&call(1), soon()).await.unwrap_err();
            let CallError::Refused(refusal) = e else {
                panic!("{e}");
            };
            assert_eq!(refusal, expected);
        }
    };
    tokio::join!(server, asking);
}

#[tokio::test]
async fn an_idle_connection_is_used_now_and_then() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut target = Target {
        name: "scripted".into(),
        addresses: vec![listener.local_addr().unwrap()],
        credentials: Credentials::new(0, 0, &[]),
        reserved: true,
        longest_reply: LONGEST,
        ping: None,
    };
    target.ping = Some((Duration::from_millis(50), call(99)));
    let client = Client::new(target);
    let connection = client.connection(soon()).await.unwrap();
    let mut peer = Peer(listener.accept().await.unwrap().0);
    for _ in 0..3 {
        let (xid, word) = peer.call().await;
        assert_eq!(word, 99);
        peer.reply(xid, 0).await;
    }
    // The fourth is not answered: the connection is dead, and that is found out.
    peer.call().await;
    while connection.is_up() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(client.now().is_none());
}
