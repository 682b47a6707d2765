//! What the Hadoop configuration says: the files in `HADOOP_CONF_DIR`, with the
//! journal's options before them.

use crate::options::{Settings, Web};
use flushproof_api::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The longest configuration file that is read.
const LONGEST: u64 = 16 << 20;

/// The configuration for one cluster.
#[derive(Clone)]
pub(crate) struct Conf {
    /// The folder that it was read from.
    pub folder: Option<PathBuf>,
    /// Host and port, or the name service.
    pub authority: String,
    map: HashMap<String, String>,
}

/// Values may be secrets.
impl std::fmt::Debug for Conf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conf")
            .field("folder", &self.folder)
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

impl Conf {
    /// Reads the files. Blocking.
    pub fn read(authority: &str, settings: &Settings) -> Result<Conf> {
        let folder = folder(settings)?;
        let mut map = HashMap::new();
        if let Some(folder) = &folder {
            for name in ["core-site.xml", "hdfs-site.xml"] {
                read_file(&folder.join(name), &mut map)?;
            }
        }
        map.extend(settings.hadoop.iter().cloned());
        let mut conf = Conf {
            folder,
            authority: authority.to_owned(),
            map,
        };
        conf.authority = conf.find_authority()?;
        Ok(conf)
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.map
            .get(key)
            .map(|v| v.trim())
            .filter(|v| !v.is_empty())
    }

    fn find_authority(&self) -> Result<String> {
        let authority = match self.authority.as_str() {
            "" => {
                let fs = self
                    .get("fs.defaultFS")
                    .and_then(|fs| fs.strip_prefix("hdfs://"));
                let host = fs.and_then(|fs| fs.split('/').next()).unwrap_or_default();
                if host.is_empty() {
                    return Err(Error::new(
                        ErrorKind::InvalidInput,
                        "the URI names no NameNode, and no fs.defaultFS is configured: say \
                         hdfs://namenode:8020/folder, or set HADOOP_CONF_DIR",
                    ));
                }
                host.to_owned()
            }
            authority => authority.to_owned(),
        };
        let named = self.namenodes(&authority).is_some() || authority.contains(':');
        Ok(match named {
            true => authority,
            false => format!("{authority}:8020"),
        })
    }

    /// The NameNodes of a name service.
    fn namenodes(&self, service: &str) -> Option<Vec<&str>> {
        let all = self.get(&format!("dfs.ha.namenodes.{service}"))?;
        Some(all.split(',').map(str::trim).collect())
    }

    /// How many NameNodes are asked, one after the other.
    pub fn namenode_count(&self) -> usize {
        self.namenodes(&self.authority).map_or(1, |all| all.len())
    }

    /// The replication that files get when the option does not say.
    pub fn replication(&self) -> Option<u32> {
        self.get("dfs.replication")?.parse().ok()
    }

    fn is_secure(&self) -> bool {
        let how = self.get("hadoop.security.authentication");
        how.is_some_and(|how| how != "simple")
    }

    /// What hdfs-native is told besides the files. `turn` counts its clients: each
    /// begins with the next NameNode, because one that hangs is not passed over.
    pub fn overrides(&self, settings: &Settings, turn: usize) -> Vec<(String, String)> {
        let service = &self.authority;
        let socket = settings.timeout.as_millis() / 3;
        let mut all = vec![
            // Without these a wrong address takes 171 s.
            (
                "dfs.client.failover.max.attempts".to_owned(),
                (3 * self.namenode_count()).to_string(),
            ),
            ("dfs.client.failover.sleep.base.millis".into(), "50".into()),
            ("dfs.client.failover.sleep.max.millis".into(), "500".into()),
            // Time for another replica when a DataNode hangs. Writers wait for acks
            // longer, whatever this says.
            (
                "dfs.client.socket-timeout".into(),
                socket.max(1).to_string(),
            ),
            // Observers may be behind; FC-6 asks for what is there now.
            (
                format!("dfs.client.failover.proxy.provider.{service}"),
                "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider".into(),
            ),
        ];
        if let Some(mut namenodes) = self.namenodes(service) {
            let n = turn % namenodes.len().max(1);
            namenodes.rotate_left(n);
            all.push((format!("dfs.ha.namenodes.{service}"), namenodes.join(",")));
        }
        all.extend(settings.hadoop.iter().cloned());
        all
    }

    /// The HTTP servers of the NameNodes, where they can be used; else why not.
    pub fn web(&self, settings: &Settings) -> std::result::Result<Vec<String>, String> {
        let addresses = match &settings.web {
            Web::Off => return Err("the option webhdfs is off".into()),
            Web::At(addresses) => return Ok(addresses.clone()),
            Web::Configured if self.is_secure() => {
                return Err("WebHDFS with Kerberos is not supported".into());
            }
            Web::Configured => self.web_addresses(),
        };
        match addresses.is_empty() {
            false => Ok(addresses),
            true => Err(
                "no dfs.namenode.http-address is configured for this NameNode; set \
                 HADOOP_CONF_DIR or the option webhdfs"
                    .into(),
            ),
        }
    }

    fn web_addresses(&self) -> Vec<String> {
        let disabled = self.get("dfs.webhdfs.enabled") == Some("false");
        if disabled || self.get("dfs.http.policy") == Some("HTTPS_ONLY") {
            return Vec::new();
        }
        let service = &self.authority;
        if let Some(namenodes) = self.namenodes(service) {
            let address = |id| self.get(&format!("dfs.namenode.http-address.{service}.{id}"));
            return namenodes
                .into_iter()
                .filter_map(address)
                .map(str::to_owned)
                .collect();
        }
        // The files may be those of another cluster.
        let default = self
            .get("fs.defaultFS")
            .and_then(|fs| fs.strip_prefix("hdfs://"));
        let default = default.map(|fs| fs.trim_end_matches('/'));
        let same = |address: Option<&str>| address == Some(service);
        if !same(self.get("dfs.namenode.rpc-address")) && !same(default) {
            return Vec::new();
        }
        let Some(address) = self.get("dfs.namenode.http-address") else {
            return Vec::new();
        };
        let host = service.split(':').next().unwrap_or_default();
        match address.strip_prefix("0.0.0.0:") {
            Some(port) => vec![format!("{host}:{port}")],
            None => vec![address.to_owned()],
        }
    }
}

fn folder(settings: &Settings) -> Result<Option<PathBuf>> {
    if let Some(folder) = &settings.conf_dir {
        return match folder.is_dir() {
            true => Ok(Some(folder.clone())),
            false => Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "{}: there is no such folder (option conf_dir)",
                    folder.display()
                ),
            )),
        };
    }
    let set = |key: &str| {
        std::env::var_os(key)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let home = || set("HADOOP_HOME").map(|home| home.join("etc/hadoop"));
    Ok(set("HADOOP_CONF_DIR").or_else(home))
}

fn read_file(file: &Path, map: &mut HashMap<String, String>) -> Result<()> {
    let wrong = |text: String| {
        let text = format!(
            "{}: {text} (HADOOP_CONF_DIR, option conf_dir)",
            file.display()
        );
        Err(Error::new(ErrorKind::InvalidInput, text))
    };
    let text = match std::fs::metadata(file) {
        Ok(meta) if meta.len() > LONGEST => return wrong("the file is longer than 16 MiB".into()),
        Ok(_) => std::fs::read_to_string(file),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => Err(e),
    };
    let text = match text {
        Ok(text) => text,
        Err(e) => return wrong(format!("can't be read: {e}")),
    };
    let options = roxmltree::ParsingOptions {
        allow_dtd: true,
        ..Default::default()
    };
    let tree = match roxmltree::Document::parse_with_options(&text, options) {
        Ok(tree) => tree,
        Err(e) => return wrong(format!("is not a Hadoop configuration: {e}")),
    };
    for property in tree.descendants().filter(|n| n.has_tag_name("property")) {
        let part = |name: &str| {
            let node = property.children().find(|n| n.has_tag_name(name))?;
            node.text().map(|t| t.trim().to_owned())
        };
        if let (Some(name), Some(value)) = (part("name"), part("value")) {
            map.insert(name, value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flushproof_api::Options;

    fn conf(authority: &str, pairs: &[(&str, &str)]) -> Result<(Conf, Settings)> {
        let mut options = Options::new();
        for (key, value) in pairs {
            options.set(*key, *value);
        }
        let settings = Settings::read(&options)?;
        let map = settings.hadoop.iter().cloned().collect();
        let mut conf = Conf {
            folder: None,
            authority: authority.into(),
            map,
        };
        conf.authority = conf.find_authority()?;
        Ok((conf, settings))
    }

    const HA: [(&str, &str); 4] = [
        ("dfs.ha.namenodes.ns", "a, b"),
        ("dfs.namenode.http-address.ns.a", "ha:9870"),
        ("dfs.namenode.http-address.ns.b", "hb:9870"),
        ("fs.defaultFS", "hdfs://ns/"),
    ];

    #[test]
    fn fc_11_which_namenode_a_uri_names() {
        let of = |authority: &str, pairs| conf(authority, pairs).map(|(c, _)| c.authority);
        assert_eq!(of("nn", &[]).unwrap(), "nn:8020");
        assert_eq!(of("nn:1", &[]).unwrap(), "nn:1");
        assert_eq!(of("ns", &HA).unwrap(), "ns");
        assert_eq!(of("", &HA).unwrap(), "ns");
        let e = of("", &[]).unwrap_err().to_string();
        assert!(e.contains("fs.defaultFS"), "{e}");
    }

    #[test]
    fn webhdfs_is_found_for_this_cluster_only() {
        let web = |authority: &str, pairs: &[(&str, &str)]| {
            let (conf, settings) = conf(authority, pairs).unwrap();
            conf.web(&settings)
        };
        assert_eq!(web("ns", &HA).unwrap(), ["ha:9870", "hb:9870"]);
        let one = [
            ("dfs.namenode.rpc-address", "nn:8020"),
            ("dfs.namenode.http-address", "0.0.0.0:9870"),
        ];
        assert_eq!(web("nn", &one).unwrap(), ["nn:9870"]);
        assert!(web("other", &one).unwrap_err().contains("option webhdfs"));
        let secure = [
            one[0],
            one[1],
            ("hadoop.security.authentication", "kerberos"),
        ];
        assert!(web("nn", &secure).unwrap_err().contains("Kerberos"));
    }

    #[test]
    fn each_client_begins_with_another_namenode() {
        let (conf, settings) = conf("ns", &HA[..3]).unwrap();
        let order = |turn| {
            let all = conf.overrides(&settings, turn);
            // Options come last and would win: none names the NameNodes again here.
            let first = all.iter().find(|(k, _)| k == "dfs.ha.namenodes.ns");
            first.map(|(_, v)| v.clone())
        };
        assert_eq!(order(0).as_deref(), Some("a,b"));
        assert_eq!(order(1).as_deref(), Some("b,a"));
    }
}
