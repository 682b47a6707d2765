//! [`Transport`]: HTTP as OpenDAL wants it, with bounds on what others may send.
//!
//! TLS is rustls with ring, and trusts whom the system trusts.

use flushproof_api::{Error, ErrorKind, Result};
use futures_util::{Stream, StreamExt};
use opendal::{Buffer, HttpBody, HttpTransport};
use opendal_http_transport_reqwest::ReqwestTransport;
use rustls_platform_verifier::BuilderVerifierExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// The longest answer: no object of ours and no page of a listing is longer.
const LONGEST: u64 = 16 << 20;
/// How long a connection may take to be opened.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a cloud machine's own credential service may take. Where there is
/// none, its address answers nothing at all.
const METADATA: Duration = Duration::from_secs(1);
const METADATA_HOSTS: [&str; 5] = [
    "169.254.169.254",
    "169.254.170.2",
    "[fd00:ec2::254]",
    "metadata.google.internal",
    "metadata",
];

/// The transport of one store.
pub(crate) struct Transport(ReqwestTransport);

impl Transport {
    /// `plain`: the server is spoken to without TLS, so that it does not matter
    /// whether the system trusts anybody.
    pub fn new(plain: bool) -> Result<Transport> {
        let failed = |e: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Io, format!("TLS can't be set up: {e}"))
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = || {
            rustls::ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .map_err(|e| failed(&e))
        };
        let trusting = versions()?.with_platform_verifier();
        let tls = match trusting {
            Ok(builder) => builder.with_no_client_auth(),
            Err(_) if plain => versions()?
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth(),
            Err(e) => return Err(failed(&e)),
        };
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .build()
            .map_err(|e| failed(&e))?;
        Ok(Transport(ReqwestTransport::new(client)))
    }
}

impl HttpTransport for Transport {
    async fn fetch(
        &self,
        request: http::Request<Buffer>,
    ) -> opendal::Result<http::Response<HttpBody>> {
        let host = request.uri().host().unwrap_or_default();
        let metadata = METADATA_HOSTS.contains(&host);
        let fetch = self.0.fetch(request);
        let response = match metadata {
            false => fetch.await?,
            true => tokio::time::timeout(METADATA, fetch).await.map_err(|_| {
                let text = "no credential service answers on this machine";
                opendal::Error::new(opendal::ErrorKind::Unexpected, text)
            })??,
        };
        Ok(response.map(|body| {
            body.map_inner(|inner| {
                Box::new(Bounded {
                    inner,
                    left: LONGEST,
                })
            })
        }))
    }
}

type Inner = Box<dyn Stream<Item = opendal::Result<Buffer>> + Send + Sync + Unpin>;

/// A body that ends with an error when it is too long.
struct Bounded {
    inner: Inner,
    left: u64,
}

impl Stream for Bounded {
    type Item = opendal::Result<Buffer>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(self.inner.poll_next_unpin(cx));
        let Some(Ok(piece)) = &next else {
            return Poll::Ready(next);
        };
        match self.left.checked_sub(piece.len() as u64) {
            Some(left) => {
                self.left = left;
                Poll::Ready(next)
            }
            None => {
                let text = "the answer is longer than any that is expected";
                let error = opendal::Error::new(opendal::ErrorKind::Unexpected, text);
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}
