//! From a place to an operator: which service, which credentials.

use crate::options::{Place, Service};
use crate::transport::Transport;
use flushproof_api::{Error, ErrorKind, Result};
use opendal::{HttpTransporter, OperationContext, Operator};

/// Builds the operator of a place. Makes no request.
pub(crate) fn operator(place: &Place, shown: &str) -> Result<Operator> {
    let plain = place.endpoint.as_deref();
    let plain = plain.is_some_and(|e| e.starts_with("http://"));
    let transport = HttpTransporter::new(Transport::new(plain)?);
    let operator = match &place.service {
        #[cfg(feature = "s3")]
        Service::S3 { .. } => Operator::new(s3(place)),
        #[cfg(feature = "gs")]
        Service::Gs { .. } => Operator::new(gcs(place)),
        #[cfg(feature = "azblob")]
        Service::Azblob { .. } => Operator::new(azblob(place)),
        #[cfg(not(all(feature = "s3", feature = "gs", feature = "azblob")))]
        _ => {
            let text = format!("{shown}: this program was built without this service");
            return Err(Error::new(ErrorKind::Unsupported, text));
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

#[cfg(feature = "gs")]
fn gcs(place: &Place) -> opendal::services::Gcs {
    let gcs = opendal::services::Gcs::default();
    let mut gcs = gcs.bucket(&place.bucket).root(&place.root);
    if let Some(endpoint) = &place.endpoint {
        gcs = gcs.endpoint(endpoint);
    }
    if let Service::Gs { credential_file } = &place.service
        && let Some(file) = credential_file
    {
        gcs = gcs.credential_path(file);
    }
    if place.anonymous {
        gcs = gcs.skip_signature();
    }
    gcs
}

#[cfg(feature = "azblob")]
fn azblob(place: &Place) -> opendal::services::Azblob {
    let blob = opendal::services::Azblob::default();
    let mut blob = blob.container(&place.bucket).root(&place.root);
    if let Some(endpoint) = &place.endpoint {
        blob = blob.endpoint(endpoint);
    }
    if let Service::Azblob { account, key, sas } = &place.service {
        if let Some(account) = account {
            blob = blob.account_name(account);
        }
        if let Some(key) = key {
            blob = blob.account_key(key);
        }
        if let Some(sas) = sas {
            blob = blob.sas_token(sas.trim_start_matches('?'));
        }
    }
    if place.anonymous {
        blob = blob.skip_signature();
    }
    blob
}

#[cfg(feature = "s3")]
fn s3(place: &Place) -> opendal::services::S3 {
    let s3 = opendal::services::S3::default();
    let mut s3 = s3.bucket(&place.bucket).root(&place.root);
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
