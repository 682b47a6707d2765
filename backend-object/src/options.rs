//! Options of this backend.
//!
//! | option | takes | default |
//! | --- | --- | --- |
//! | `timeout` | how long one operation may take, with its retries: `20s`; at least 100 ms | 20 s |
//! | `request_timeout` | how long one request may take before it is tried again; large ones get longer | 5 s |
//! | `inflight` | how many flushes of one log may be under way, 1 to 8 | 4 |
//! | `endpoint` | the server's URL | the provider's own; `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` |
//! | `anonymous` | `true`: requests are not signed | `false` |
//! | **`s3`** | | |
//! | `region` | the bucket's region | `AWS_REGION`, `AWS_DEFAULT_REGION`; `us-east-1` where an endpoint is given |
//! | `path_style` | `true`: the bucket in the path, `false`: in the host name | `true` where an endpoint is given or the bucket has a dot |
//! | `profile` | the profile in the AWS configuration | `AWS_PROFILE` |
//! | `access_key_id`, `secret_access_key`, `session_token` | credentials | the AWS chain |
//! | `checksum` | `crc32c` or `none`: a checksum that the server verifies | `crc32c` |
//! | **`gs`** | | |
//! | `credential_file` | the file of a service account | `GOOGLE_APPLICATION_CREDENTIALS`, the Google chain |
//! | **`azblob`** | | |
//! | `account`, `account_key`, `sas_token` | the account and its credentials | `AZURE_STORAGE_ACCOUNT`, `AZURE_STORAGE_KEY`, `AZURE_STORAGE_SAS_TOKEN`, `AZURE_STORAGE_CONNECTION_STRING`, the Azure chain |

use crate::secrets::Secrets;
use flushproof_api::{Error, ErrorKind, Options, Result, StoreUri};
use std::time::Duration;

const COMMON: [&str; 5] = [
    "timeout",
    "request_timeout",
    "inflight",
    "endpoint",
    "anonymous",
];
const S3: [&str; 7] = [
    "region",
    "path_style",
    "profile",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "checksum",
];
const GS: [&str; 1] = ["credential_file"];
const AZBLOB: [&str; 3] = ["account", "account_key", "sas_token"];

/// The most flushes of one log that may be under way, whatever the option says.
/// A part of the layout: a fencer relies on it to find a key that no living
/// writer has reached.
pub(crate) const MAX_INFLIGHT: u64 = 8;

const TIMEOUT: Duration = Duration::from_secs(20);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);

/// What is the same for every scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub timeout: Duration,
    pub request_timeout: Duration,
    pub inflight: usize,
}

/// Where the environment is read: the process's, or a test's.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Which service, and how it is reached. No `Debug`: it holds secrets.
pub(crate) struct Place {
    /// Bucket or container.
    pub bucket: String,
    /// The prefix of all keys, with slashes around it.
    pub root: String,
    pub endpoint: Option<String>,
    pub anonymous: bool,
    pub service: Service,
}

/// What differs between services.
#[cfg_attr(
    not(all(feature = "s3", feature = "gs", feature = "azblob")),
    allow(dead_code)
)] // options are read for all of them
pub(crate) enum Service {
    S3 {
        region: String,
        path_style: bool,
        profile: Option<String>,
        /// Key, secret, session token.
        keys: Option<(String, String, Option<String>)>,
        checksum: bool,
    },
    Gs {
        credential_file: Option<String>,
    },
    Azblob {
        account: Option<String>,
        key: Option<String>,
        sas: Option<String>,
    },
}

/// Reads URI, options and environment.
pub(crate) fn read(
    uri: &StoreUri,
    options: &Options,
    env: Env<'_>,
) -> Result<(Settings, Place, Secrets)> {
    let own: &[&str] = match uri.scheme() {
        "s3" => &S3,
        "gs" => &GS,
        "azblob" => &AZBLOB,
        other => return Err(wrong(format!("{other} is no scheme of an object store"))),
    };
    let known: Vec<&str> = COMMON.iter().chain(own).copied().collect();
    options.check_known(&known)?;
    let settings = Settings {
        timeout: time(options, "timeout", TIMEOUT)?,
        request_timeout: time(options, "request_timeout", REQUEST_TIMEOUT)?,
        inflight: inflight(options)?,
    };
    let bucket = uri.authority();
    if bucket.is_empty() {
        let scheme = uri.scheme();
        return Err(wrong(format!(
            "{uri}: no bucket is named; say {scheme}://bucket/prefix"
        )));
    }
    let anonymous = options.bool("anonymous")?.unwrap_or(false);
    let given = Given { options, env };
    let (service, endpoint, secrets) = match uri.scheme() {
        "s3" => s3(uri, &given)?,
        "gs" => {
            let credential_file = given.option("credential_file");
            let service = Service::Gs { credential_file };
            (service, given.option("endpoint"), Vec::new())
        }
        _ => azblob(&given)?,
    };
    let endpoint = endpoint.map(|e| url(&e)).transpose()?;
    let place = Place {
        bucket: bucket.to_owned(),
        root: format!("/{}", uri.path().trim_matches('/')),
        endpoint,
        anonymous,
        service,
    };
    Ok((settings, place, Secrets::new(secrets)))
}

/// Options and environment.
struct Given<'a> {
    options: &'a Options,
    env: Env<'a>,
}

impl Given<'_> {
    fn option(&self, key: &str) -> Option<String> {
        let value = self.options.get(key).map(str::trim);
        value.filter(|v| !v.is_empty()).map(str::to_owned)
    }

    fn env(&self, keys: &[&str]) -> Option<String> {
        let values = keys.iter().filter_map(|key| (self.env)(key));
        values.map(|v| v.trim().to_owned()).find(|v| !v.is_empty())
    }
}

type Read = (Service, Option<String>, Vec<String>);

fn s3(uri: &StoreUri, given: &Given<'_>) -> Result<Read> {
    let endpoint = given
        .option("endpoint")
        .or_else(|| given.env(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]));
    let region = given
        .option("region")
        .or_else(|| given.env(&["AWS_REGION", "AWS_DEFAULT_REGION"]))
        .or_else(|| endpoint.as_ref().map(|_| "us-east-1".to_owned()))
        .ok_or_else(|| {
            wrong(format!(
                "{uri}: the bucket's region is not known: set the option region or AWS_REGION (or \
                 the option endpoint, for a server that is not Amazon's)"
            ))
        })?;
    let key = given.option("access_key_id");
    let secret = given.option("secret_access_key");
    let token = given.option("session_token");
    let keys = match (key, secret) {
        (Some(key), Some(secret)) => Some((key, secret, token)),
        (None, None) => None,
        _ => {
            return Err(wrong(
                "the options access_key_id and secret_access_key are given together or not at all"
                    .into(),
            ));
        }
    };
    let mut secrets: Vec<String> = Vec::new();
    if let Some((_, secret, token)) = &keys {
        secrets.push(secret.clone());
        secrets.extend(token.clone());
    }
    for key in ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        secrets.extend((given.env)(key));
    }
    let checksum = match given.option("checksum").as_deref() {
        None | Some("crc32c") => true,
        Some("none") => false,
        Some(other) => {
            return Err(wrong(format!(
                "option checksum takes crc32c or none, not {other:?}"
            )));
        }
    };
    let custom = endpoint.is_some() || uri.authority().contains('.');
    let service = Service::S3 {
        region,
        path_style: given.options.bool("path_style")?.unwrap_or(custom),
        profile: given.option("profile"),
        keys,
        checksum,
    };
    Ok((service, endpoint, secrets))
}

fn azblob(given: &Given<'_>) -> Result<Read> {
    let connection = given.env(&["AZURE_STORAGE_CONNECTION_STRING"]);
    let part = |name: &str| {
        let parts = connection.as_deref()?.split(';');
        let mut pairs = parts.filter_map(|p| p.split_once('='));
        let (_, value) = pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
        Some(value.trim().to_owned()).filter(|v| !v.is_empty())
    };
    let account = given
        .option("account")
        .or_else(|| given.env(&["AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"]))
        .or_else(|| part("AccountName"));
    let key = given
        .option("account_key")
        .or_else(|| given.env(&["AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"]))
        .or_else(|| part("AccountKey"));
    let sas = given
        .option("sas_token")
        .or_else(|| given.env(&["AZURE_STORAGE_SAS_TOKEN"]))
        .or_else(|| part("SharedAccessSignature"));
    let endpoint = given
        .option("endpoint")
        .or_else(|| part("BlobEndpoint"))
        .or_else(|| {
            let suffix = part("EndpointSuffix").unwrap_or_else(|| "core.windows.net".into());
            let account = account.as_deref()?;
            Some(format!("https://{account}.blob.{suffix}"))
        })
        .ok_or_else(|| {
            wrong(
                "the storage account is not known: set the option account or AZURE_STORAGE_ACCOUNT \
                 (or AZURE_STORAGE_CONNECTION_STRING)"
                    .into(),
            )
        })?;
    if let Some(key) = &key {
        let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
        if key.len() % 4 != 0 || !key.bytes().all(base64) {
            return Err(wrong(
                "the account's key is none: it is base64, as `az storage account keys list` shows \
                 it (option account_key, AZURE_STORAGE_KEY, AZURE_STORAGE_CONNECTION_STRING)"
                    .into(),
            ));
        }
    }
    let secrets = key.iter().chain(&sas).cloned().collect();
    Ok((
        Service::Azblob { account, key, sas },
        Some(endpoint),
        secrets,
    ))
}

/// An endpoint: a URL, or a host that is reached by HTTPS.
fn url(text: &str) -> Result<String> {
    let text = match text.contains("://") {
        true => text.to_owned(),
        false => format!("https://{text}"),
    };
    let parsed = reqwest::Url::parse(&text).ok();
    let fine = parsed.is_some_and(|u| {
        matches!(u.scheme(), "http" | "https") && u.has_host() && u.query().is_none()
    });
    match fine && !text.contains('@') {
        true => Ok(text.trim_end_matches('/').to_owned()),
        // Not repeated: it may hold a password.
        false => Err(wrong(
            "option endpoint takes a URL such as https://host:port, without credentials".into(),
        )),
    }
}

fn time(options: &Options, key: &str, default: Duration) -> Result<Duration> {
    let time = options.duration(key)?.unwrap_or(default);
    match time < SHORTEST_TIMEOUT {
        true => Err(wrong(format!("option {key} takes at least 100ms"))),
        false => Ok(time),
    }
}

fn inflight(options: &Options) -> Result<usize> {
    match options.u64("inflight")? {
        None => Ok(4),
        Some(n) if (1..=MAX_INFLIGHT).contains(&n) => Ok(n as usize),
        Some(_) => Err(wrong(format!(
            "option inflight takes a number from 1 to {MAX_INFLIGHT}"
        ))),
    }
}

fn wrong(text: String) -> Error {
    Error::new(ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests;
