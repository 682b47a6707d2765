//! From the URI's authority and path to a server and the folders on it.

use flushproof_api::{Error, ErrorKind, Result, StoreUri};
use std::net::SocketAddr;
use std::time::Duration;

/// The deepest root; each level may cost one call at open.
const MAX_DEPTH: usize = 64;

/// What a URI says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Without brackets.
    pub host: String,
    pub port: Option<u16>,
    /// The components of the path: export and folder, not yet told apart.
    pub path: Vec<String>,
}

impl Address {
    /// Reads `nfs://server[:port]/export/folder`.
    pub fn of(uri: &StoreUri) -> Result<Address> {
        let wrong = |what: &str| {
            let text = format!("{uri}: {what}; write nfs://server[:port]/export/folder");
            Err(Error::new(ErrorKind::InvalidInput, text))
        };
        let authority = uri.authority();
        let (host, port) = match authority.strip_prefix('[').and_then(|a| a.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, rest.strip_prefix(':').or(Some("?"))),
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() {
            return wrong("the server's name is missing");
        }
        let port = match port.map(|p| p.parse::<u16>()) {
            None => None,
            Some(Ok(port)) if port != 0 => Some(port),
            Some(_) => return wrong("the port is not a number from 1 to 65535"),
        };
        let path: Vec<String> = uri
            .path()
            .split('/')
            .filter(|c| !c.is_empty())
            .map(String::from)
            .collect();
        if path.iter().any(|c| c == "." || c == "..") {
            return wrong("the path has a . or .. in it");
        }
        if path.len() > MAX_DEPTH {
            return wrong("the path has more than 64 folders");
        }
        Ok(Address {
            host: host.to_owned(),
            port,
            path,
        })
    }

    /// Host and port as one writes them.
    pub fn named(&self, port: u16) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{port}", self.host),
            false => format!("{}:{port}", self.host),
        }
    }

    /// The addresses of the host, without a port.
    pub async fn resolve(&self, timeout: Duration) -> Result<Vec<SocketAddr>> {
        let failed = |what: String| {
            Error::new(
                ErrorKind::Unreachable,
                format!(
                    "can't find the address of {:?}: {what}; check the name",
                    self.host
                ),
            )
        };
        let found = tokio::time::timeout(timeout, tokio::net::lookup_host((self.host.as_str(), 0)));
        let found = found
            .await
            .map_err(|_| failed(format!("no answer within {timeout:?}")))?;
        let found: Vec<_> = found.map_err(|e| failed(e.to_string()))?.collect();
        match found.is_empty() {
            false => Ok(found),
            true => Err(failed("it has none".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Address> {
        Address::of(&StoreUri::parse(text).unwrap())
    }

    #[test]
    fn hosts_ports_and_paths() {
        for (text, host, port, path) in [
            ("nfs://nas/vol/j", "nas", None, &["vol", "j"][..]),
            ("nfs://nas:2050//vol//", "nas", Some(2050), &["vol"]),
            ("nfs://10.0.0.1/", "10.0.0.1", None, &[]),
            ("nfs://[::1]/a", "::1", None, &["a"]),
            ("nfs://[::1]:7/a%20b", "::1", Some(7), &["a b"]),
        ] {
            let a = of(text).unwrap();
            assert_eq!(
                (a.host.as_str(), a.port, &a.path[..]),
                (
                    host,
                    port,
                    &path.iter().map(|s| s.to_string()).collect::<Vec<_>>()[..]
                )
            );
        }
        assert_eq!(of("nfs://[::1]/").unwrap().named(9), "[::1]:9");
    }

    #[test]
    fn fc_11_wrong_uris_say_how_to_write_one() {
        for text in [
            "nfs://:5/a",
            "nfs://h:0/a",
            "nfs://h:x/a",
            "nfs://h:99999/a",
            "nfs://[::1]7/a",
            "nfs://h/a/../b",
        ] {
            let e = of(text).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidInput);
            assert!(e.to_string().contains("nfs://server[:port]/"), "{e}");
        }
    }
}
