//! [`Bare`]: the bare conditional PUT, that no flush can beat. For benches.
//!
//! It sends what the least flush has to send, and nothing else is done around it:
//!
//! | | the bare PUT | a flush |
//! | --- | --- | --- |
//! | call | one `write` of OpenDAL with `If-None-Match: *`, so the same headers, checksum and signature | the same |
//! | client | an operator, HTTP client and pool of its own, made from the same options | the same, shared by the store |
//! | key | a number in the folder of a log's row | the same |
//! | body | as long as asked, behind as many bytes as a head has | head and frame |
//! | threads | the task that awaits it, on its runtime, where its connection lives too | the store's own thread, and back |
//! | deadline, error, nonce, checksum of the head | none | those of the backend |

use crate::head::{HEAD, Id};
use crate::{keys, store};
use bytes::Bytes;
use flushproof_api::{Error, ErrorKind, Options, Result, StorePath, StoreUri};
use opendal::Operator;

/// A path as long as a segment's of the engine.
const SEGMENT: &str = "log/00000000000000000001-00000000000000000000";

/// Conditional PUTs of new keys, one behind the other, with nothing around
/// OpenDAL's call. The objects stay: use a place of its own.
#[derive(Clone, Debug)]
pub struct Bare {
    operator: Operator,
    folder: String,
    next: u64,
}

impl Bare {
    /// For the place that `uri` names. Makes no request.
    ///
    /// # Errors
    /// `InvalidInput` for wrong options.
    pub fn new(uri: &StoreUri, options: &Options) -> Result<Bare> {
        let env = |key: &str| std::env::var(key).ok();
        let (calls, _, _) = store::begin(uri, options, &env)?;
        Ok(Bare {
            operator: calls.operator().clone(),
            // As a segment's: servers may take longer for deeper keys.
            folder: keys::row(&StorePath::new(SEGMENT)?, Id::random()?),
            next: 0,
        })
    }

    /// One PUT of `bytes` and as many more as a flush has in its head. Runs on
    /// the runtime that polls it.
    ///
    /// # Errors
    /// The service's.
    /// # Cancel safety
    /// Safe: the object may be there or not.
    pub fn put(&mut self, bytes: usize) -> impl Future<Output = Result<()>> + Send + use<> {
        let key = keys::numbered(&self.folder, self.next);
        self.next += 1;
        let operator = self.operator.clone();
        let body = Bytes::from(vec![7; HEAD + bytes]);
        async move {
            let put = operator.write_with(&key, body).if_not_exists(true);
            match put.await {
                Ok(_) => Ok(()),
                Err(e) => Err(Error::new(
                    ErrorKind::Io,
                    format!("a bare PUT failed: {}", e.kind()),
                )),
            }
        }
    }
}
