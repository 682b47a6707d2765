//! An answer of the NameNode that is lost on its way: a real NameNode behind a
//! wire that breaks at one call. No server can be made to do this by itself.

#![allow(clippy::unwrap_used)] // a test that can't go on must fail

mod common;

use common::*;
use flushproof_api::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Passes everything on, but breaks each of the next `cuts` connections as soon as
/// the call `rename2` was passed on: the answer never comes.
async fn wire(to: SocketAddr, cuts: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(to).await.unwrap();
            tokio::spawn(pass(client, server, cuts.clone()));
        }
    });
    here
}

async fn pass(mut client: TcpStream, mut server: TcpStream, cuts: Arc<AtomicUsize>) {
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            n = client.read(&mut asked) => {
                let n = n.unwrap_or(0);
                if n == 0 {
                    return;
                }
                server.write_all(&asked[..n]).await.unwrap();
                let renames = asked[..n].windows(7).any(|w| w == b"rename2");
                let cut = |left: usize| left.checked_sub(1);
                if renames
                    && cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, cut).is_ok()
                {
                    // The NameNode has carried it out when it has answered.
                    let _ = server.read(&mut answered).await;
                    return;
                }
            }
            n = server.read(&mut answered) => {
                let n = n.unwrap_or(0);
                if n == 0 || client.write_all(&answered[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_5_a_commit_whose_answer_was_lost_finds_its_own_success() {
    let uri = fresh(bed());
    let direct = open(bed(), &uri).await;
    let cuts = Arc::new(AtomicUsize::new(0));
    let to = SocketAddr::from(([127, 0, 0, 1], bed().place().ports[0]));
    let wire = wire(to, cuts.clone()).await;
    let through = StoreUri::parse(&format!("hdfs://{wire}{}", uri.path())).unwrap();
    let store = open(bed(), &through).await;
    for n in 1..=3 {
        let (mine, theirs) = (format!("epoch/{n}"), format!("epoch/{n}-taken"));
        // One's own.
        let mut object = store
            .create_object(&path(&mine), ObjectOptions::default())
            .await
            .unwrap();
        object
            .write(bytes::Bytes::from_static(b"claim"))
            .await
            .unwrap();
        cuts.store(1, Ordering::SeqCst);
        assert_eq!(object.commit().await.unwrap(), 5);
        assert_eq!(cuts.load(Ordering::SeqCst), 0, "the wire was cut");
        assert_eq!(read_all(&direct, &path(&mine)).await, "claim");
        // Another's with the same bytes: the rename whose answer was lost did nothing.
        let mut object = store
            .create_object(&path(&theirs), ObjectOptions::default())
            .await
            .unwrap();
        object
            .write(bytes::Bytes::from_static(b"claim"))
            .await
            .unwrap();
        put(&direct, &theirs, b"claim").await.unwrap();
        cuts.store(1, Ordering::SeqCst);
        assert_eq!(kind(object.commit().await), ErrorKind::AlreadyExists);
    }
    assert_eq!(direct.sweep(std::time::Duration::ZERO).await.unwrap(), 0);
}
