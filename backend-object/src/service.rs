//! From a place to an operator: which service, which credentials.

use crate::options::{Place, Service};
use crate::transport::Transport;
use flushproof_api::{Error, ErrorKind, Result};
use opendal::services::{Azblob, Gcs, S3};
use opendal::{HttpTransporter, OperationContext, Operator};

/// Builds the operator of a place. Makes no request.
pub(crate) fn operator(place: &Place, shown: &str) -> Result<Operator> {
    let plain = place.endpoint.as_deref();
    let plain = plain.is_some_and(|e| e.starts_with("http://"));
    let transport = HttpTransporter::new(Transport::new(plain)?);
    let operator = match &place.service {
        Service::S3 { .. } => Operator::new(s3(place)),
        Service::Gs { credential_file } => {
            let mut gcs = Gcs::default().bucket(&place.bucket).root(&place.root);
            if let Some(endpoint) = &place.endpoint {
                gcs = gcs.endpoint(endpoint);
            }
            if let Some(file) = credential_file {
                gcs = gcs.credential_path(file);
            }
            if place.anonymous {
                gcs = gcs.skip_signature();
            }
            Operator::new(gcs)
        }
        Service::Azblob { account, key, sas } => {
            let mut blob = Azblob::default().container(&place.bucket).root(&place.root);
            if let Some(endpoint) = &place.endpoint {
                blob = blob.endpoint(endpoint);
            }
            if let Some(account) = account {
                blob = blob.account_name(account);
            }
            if let Some(key) = key {
                blob = blob.account_key(key);
            }
            if let Some(sas) = sas {
                blob = blob.sas_token(sas.trim_start_matches('?'));
            }
            if place.anonymous {
                blob = blob.skip_signature();
            }
            Operator::new(blob)
        }
    };
    let operator = operator.map_err(|e| {
        // The library's own words may hold an option's value.
        let text = format!("{shown}: the options do not fit together ({})", e.kind());
        Error::new(ErrorKind::InvalidInput, text)
    })?;
    let context = OperationContext::new().with_http_transport(transport);
    Ok(operator.with_context(context))
}

fn s3(place: &Place) -> S3 {
    let mut s3 = S3::default().bucket(&place.bucket).root(&place.root);
    if let Some(endpoint) = &place.endpoint {
        s3 = s3.endpoint(endpoint);
    }
    if let Service::S3 {
        region,
        path_style,
        profile,
        keys,
        checksum,
    } = &place.service
    {
        s3 = s3.region(region);
        if !path_style {
            s3 = s3.enable_virtual_host_style();
        }
        if let Some(profile) = profile {
            s3 = s3.profile(profile);
        }
        if let Some((key, secret, token)) = keys {
            s3 = s3.access_key_id(key).secret_access_key(secret);
            if let Some(token) = token {
                s3 = s3.session_token(token);
            }
        }
        if *checksum {
            s3 = s3.checksum_algorithm("crc32c");
        }
    }
    if place.anonymous {
        s3 = s3.skip_signature();
    }
    s3
}
