//! [`Bare`]: the bare conditional PUT, that no flush can beat. For benches.

use crate::head::{HEAD, Id};
use crate::{keys, store};
use bytes::Bytes;
use flushproof_api::{Error, ErrorKind, Options, Result, StoreUri};
use opendal::Operator;

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
            folder: format!("{}{}/", keys::TRIAL, Id::random()?),
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
