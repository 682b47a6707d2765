//! What can only be found out by writing, once at open.

use crate::contract::Probed;
use crate::fault::refused;
use crate::names;
use crate::op::{Fail, Op};
use crate::procedures::Written;
use crate::store::Reached;
use bytes::Bytes;
use flushproof_api::{Error, ErrorKind, Outcome, Result};
use nfs3_types::nfs3::{createhow3, nfs_fh3, nfsstat3, sattr3, set_mode3, stable_how};
use std::time::Duration;

/// Writes a file and looks what the replies say of it.
pub(crate) async fn probe(reached: &Reached, timeout: Duration) -> Result<Probed> {
    let op = Op::within(timeout);
    let names = [names::temporary()?, names::temporary()?];
    let result = try_probe(reached, &op, &names).await;
    // Removed in any case; what can't be is for `sweep`.
    for name in &names {
        match reached.nfs.remove(&op, &reached.root, name).await {
            Err(e) if !e.is_absent() => tracing::warn!(name, error = ?e, "probe left to sweep"),
            _ => {}
        }
    }
    let written = match result {
        Ok(written) => written,
        Err(e) => {
            let error = refused("can't write in the journal's folder", &reached.uri, &e);
            return Err(error);
        }
    };
    if let Some(w) = written
        .iter()
        .find(|w| w.committed != stable_how::FILE_SYNC || w.count == 0)
    {
        let text = format!(
            "{}: asked for FILE_SYNC, the server wrote {} bytes {}: nothing would be durable there",
            reached.uri, w.count, w.committed
        );
        return Err(Error::new(ErrorKind::Unsupported, text).with_outcome(Outcome::NotWritten));
    }
    let links: Vec<_> = written
        .iter()
        .map(|w| w.attributes.as_ref().map(|a| a.nlink))
        .collect();
    Ok(match links[..] {
        [Some(1), Some(2)] => Probed::FreshLinks,
        _ => Probed::StaleLinks,
    })
}

/// Two writes, a link made in between.
async fn try_probe(reached: &Reached, op: &Op, names: &[String; 2]) -> Result<[Written; 2], Fail> {
    let (nfs, root) = (&reached.nfs, &reached.root);
    let how = createhow3::UNCHECKED(sattr3 {
        mode: set_mode3::Some(0o600),
        ..sattr3::default()
    });
    let file: nfs_fh3 = nfs.create(op, root, &names[0], how).await?.handle;
    let bytes = Bytes::from_static(&[0; 4096]);
    let first = nfs.write(op, &file, 0, bytes.clone()).await?;
    match nfs.link(op, &file, root, &names[1]).await {
        Err(e) if !e.is(nfsstat3::NFS3ERR_EXIST) => return Err(e),
        _ => {}
    }
    let second = nfs.write(op, &file, 4096, bytes).await?;
    Ok([first, second])
}
