//! GET over HTTP/1.1: small, bounded in time and length, no TLS.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{HOST, LOCATION};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    /// Where to go instead.
    pub location: Option<String>,
    pub body: Bytes,
}

/// Ends the connection's task with the call, also when it is dropped.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks `address` (`host:port`) for `target` (path and query); a body longer than
/// `most` is an error. The caller bounds it in time.
pub(crate) async fn get(address: &str, target: &str, most: usize) -> Result<Answer, String> {
    let failed = |e: &dyn std::fmt::Display| format!("http://{address}: {e}");
    let stream = TcpStream::connect(address).await.map_err(|e| failed(&e))?;
    let _ = stream.set_nodelay(true);
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|e| failed(&e))?;
    let _connection = Connection(tokio::spawn(async move {
        let _ = connection.await;
    }));
    let request = Request::get(target)
        .header(HOST, address)
        .body(Empty::<Bytes>::new())
        .map_err(|e| failed(&e))?;
    let response = sender.send_request(request).await.map_err(|e| failed(&e))?;
    let location = response.headers().get(LOCATION);
    let location = location.and_then(|l| l.to_str().ok()).map(str::to_owned);
    let status = response.status();
    let body = Limited::new(response.into_body(), most).collect();
    let body = body.await.map_err(|e| failed(&e))?.to_bytes();
    Ok(Answer {
        status,
        location,
        body,
    })
}

/// Host and port, and path with query, of a redirect.
pub(crate) fn split(location: &str) -> Option<(String, String)> {
    let uri: Uri = location.parse().ok()?;
    if uri.scheme_str() != Some("http") {
        return None;
    }
    let authority = uri.authority()?;
    let address = match authority.port_u16() {
        Some(_) => authority.as_str().to_owned(),
        None => format!("{authority}:80"),
    };
    Some((address, uri.path_and_query()?.as_str().to_owned()))
}

/// A path with everything escaped that is not plain.
pub(crate) fn escape(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for b in path.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(b as char);
            }
            _ => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fc_13_redirects_are_taken_apart_or_refused() {
        let (address, target) = split("http://dn:9864/webhdfs/v1/a?op=OPEN").unwrap();
        assert_eq!(
            (address.as_str(), target.as_str()),
            ("dn:9864", "/webhdfs/v1/a?op=OPEN")
        );
        assert_eq!(split("http://dn/x").unwrap().0, "dn:80");
        for wrong in ["https://dn/x", "/x", "", "http://", "file:///etc/passwd"] {
            assert!(split(wrong).is_none(), "{wrong}");
        }
        assert_eq!(escape("/a b/ü?"), "/a%20b/%C3%BC%3F");
    }
}
