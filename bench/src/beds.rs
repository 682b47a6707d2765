//! The storages of [`stores`](crate::stores) on real servers of this machine,
//! each with its bare call.

use crate::stores::{Bare, Store, flush_len};
use crate::{Failure, Result};
use async_trait::async_trait;
use bytes::Bytes;
use flushproof::{Config, Options, StoreUri};
use flushproof_api::{JournalStore, Mode, Survives};
use flushproof_backend_hdfs::{HdfsFactory, HdfsStore, floor::Floor};
use flushproof_backend_nfs::{NfsFactory, NfsStore, bare::BareFile};
use flushproof_backend_object::{Bare as Put, ObjectFactory};
use flushproof_testbed::Bed;
use tokio::runtime::Runtime;

/// The names of all storages that can be measured.
pub fn names() -> Vec<&'static str> {
    flushproof_testbed::all().iter().map(|s| s.name()).collect()
}

/// Starts the server of that name and makes an empty place on it, its bare call in
/// another. The storage is there as long as the bed.
///
/// # Errors
/// It is unknown, is not installed (with the line that installs it), or does not start.
pub fn start(runtime: &Runtime, name: &str) -> Result<(Store, Bed)> {
    let all = flushproof_testbed::all();
    let found = all.into_iter().find(|server| server.name() == name);
    let server = found.ok_or_else(|| {
        let known = names().join(", ");
        format!("there is no store {name}; there are {known}")
    })?;
    let bed = Bed::start(server)?;
    let store = runtime.block_on(place(server.name(), &bed))?;
    Ok((store, bed))
}

async fn place(name: &'static str, bed: &Bed) -> Result<Store> {
    let options = options(&bed.env())?;
    let beside = StoreUri::parse(&bed.fresh_uri())?;
    let (bare, call): (Box<dyn Bare>, _) = match name {
        "hdfs" => {
            let store = HdfsStore::open(&beside, &options, Mode::ReadWrite).await?;
            let floor = Floor::new(&store, flush_len(store.contract().block)).await?;
            let bare = Hdfs {
                floor,
                _store: store,
            };
            (Box::new(bare), "write and hsync of hdfs-native")
        }
        "nfs" => {
            let store = NfsStore::open(&beside, &options, Mode::ReadWrite).await?;
            let bytes = Bytes::from(vec![7; flush_len(store.contract().block)]);
            let file = BareFile::create(&beside, &options).await?;
            (Box::new(Nfs(file, bytes)), "WRITE FILE_SYNC")
        }
        "s3" | "azure" => {
            let put = Put::new(&beside, &options)?;
            (Box::new(Object(put)), "a conditional PUT of OpenDAL")
        }
        _ => return Err(format!("{name} has no bare call here").into()),
    };
    Ok(Store {
        name,
        config: config(bed, &options)?,
        crowd: config(bed, &options)?,
        bare,
        call,
    })
}

/// A journal in an empty place.
fn config(bed: &Bed, options: &Options) -> Result<Config> {
    let mut config = Config::new(StoreUri::parse(&bed.fresh_uri())?);
    config.registry.register(HdfsFactory);
    config.registry.register(NfsFactory);
    config.registry.register(ObjectFactory);
    config.options = options.clone();
    config.accept_slow_flush = true;
    config.require = Survives::parse("writer-crash")?;
    Ok(config)
}

/// What the command finds in its environment, as options of the backend.
fn options(env: &[(String, String)]) -> Result<Options> {
    let mut options = Options::new();
    for (name, value) in env {
        let option = match name.as_str() {
            "HADOOP_CONF_DIR" => "conf_dir".to_owned(),
            "AWS_ENDPOINT_URL" => "endpoint".to_owned(),
            "AZURE_STORAGE_CONNECTION_STRING" => {
                for part in value.split(';').filter(|part| !part.is_empty()) {
                    if let Some((option, value)) = of_connection_string(part)? {
                        options.set(option, value);
                    }
                }
                continue;
            }
            other => {
                let option = other
                    .strip_prefix("JOURNAL_BACKEND_")
                    .or_else(|| other.strip_prefix("AWS_"));
                let option = option.ok_or_else(|| format!("no option stands for {other}"))?;
                option.to_lowercase()
            }
        };
        options.set(option, value);
    }
    Ok(options)
}

/// The option that a part of a connection string of Azure stands for.
fn of_connection_string(part: &str) -> Result<Option<(&'static str, &str)>> {
    // Not repeated: it may be a key.
    let bad = || Failure::from("a part of the connection string is no NAME=VALUE");
    let (name, value) = part.split_once('=').ok_or_else(bad)?;
    Ok(match name {
        "AccountName" => Some(("account", value)),
        "AccountKey" => Some(("account_key", value)),
        "BlobEndpoint" => Some(("endpoint", value)),
        _ => None,
    })
}

struct Hdfs {
    floor: Floor,
    /// Whose threads the floor's client needs.
    _store: HdfsStore,
}

#[async_trait]
impl Bare for Hdfs {
    async fn call(&mut self) -> Result<()> {
        Ok(self.floor.write().await?)
    }
}

struct Nfs(BareFile, Bytes);

#[async_trait]
impl Bare for Nfs {
    async fn call(&mut self) -> Result<()> {
        Ok(self.0.write(self.1.clone()).await?)
    }
}

struct Object(Put);

#[async_trait]
impl Bare for Object {
    async fn call(&mut self) -> Result<()> {
        Ok(self.0.put(flush_len(1)).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_bed_needs_in_the_environment_becomes_options() {
        let azure =
            "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=b==;BlobEndpoint=http://h/a";
        let env = [
            ("HADOOP_CONF_DIR", "/conf"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_ENDPOINT_URL", "http://s3"),
            ("JOURNAL_BACKEND_MOUNT_PORT", "7"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()));
        let options = options(&env).unwrap();
        assert_eq!(options.get("conf_dir"), Some("/conf"));
        assert_eq!(options.get("access_key_id"), Some("id"));
        assert_eq!(options.get("endpoint"), Some("http://s3"));
        assert_eq!(options.get("mount_port"), Some("7"));
        let env = [(
            "AZURE_STORAGE_CONNECTION_STRING".to_owned(),
            azure.to_owned(),
        )];
        let options = super::options(&env).unwrap();
        assert_eq!(options.get("account_key"), Some("b=="));
        assert_eq!(options.get("endpoint"), Some("http://h/a"));
        assert!(super::options(&[("HOME".into(), "/".into())]).is_err());
    }
}
