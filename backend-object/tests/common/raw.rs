//! A place as others see it: keys and bytes, without this backend.

use super::{is_s3, options};
use flushproof_api::StoreUri;
use flushproof_testbed::Bed;
use opendal::services::{Azblob, S3};
use opendal::{HttpTransporter, OperationContext, Operator};
use opendal_http_transport_reqwest::ReqwestTransport;
use std::sync::Arc;

/// What is below the place.
pub fn raw(bed: &Bed, uri: &StoreUri) -> Operator {
    let options = options(bed);
    let get = |key: &str| options.get(key).unwrap().to_owned();
    let root = format!("/{}", uri.path().trim_matches('/'));
    let operator = match is_s3(bed) {
        true => Operator::new(
            S3::default()
                .bucket(uri.authority())
                .root(&root)
                .endpoint(&get("endpoint"))
                .region("us-east-1")
                .access_key_id(&get("access_key_id"))
                .secret_access_key(&get("secret_access_key")),
        ),
        false => Operator::new(
            Azblob::default()
                .container(uri.authority())
                .root(&root)
                .endpoint(&get("endpoint"))
                .account_name(&get("account"))
                .account_key(&get("account_key")),
        ),
    };
    let context = OperationContext::new().with_http_transport(HttpTransporter::new(transport()));
    operator.unwrap().with_context(context)
}

fn transport() -> ReqwestTransport {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .build();
    ReqwestTransport::new(client.unwrap())
}

/// All keys below the place, sorted.
pub async fn keys(raw: &Operator) -> Vec<String> {
    let list = raw.list_with("").recursive(true).await.unwrap();
    let mut keys: Vec<String> = list
        .iter()
        .map(|entry| entry.path().to_owned())
        .filter(|key| !key.ends_with('/'))
        .collect();
    keys.sort();
    keys
}
