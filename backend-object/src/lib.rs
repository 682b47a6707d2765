//! Flushproof's backend for object stores: `s3://bucket/prefix`, `gs://bucket/prefix`,
//! `azblob://container/prefix`, by OpenDAL.
//!
//! **Slow by nature**: each flush is one new object, created by one request, on
//! condition that its key is free (`If-None-Match: *`). Opening asks for consent
//! (`accept_slow_flush`).
//!
//! # How it keeps its promises
//!
//! * The flushes of a log are a row of objects, numbered without a gap. At most
//!   `inflight` PUTs are under way; they are acknowledged in the order of their numbers.
//! * Every object of a log begins with a head that has a nonce. There is no retry layer
//!   around PUTs: the same bytes are tried again until the deadline, and where the
//!   store says that the key is taken, the head that stands there is read. The own
//!   nonce: an earlier try had arrived, success. Another: the writer is fenced.
//!   Out of time: the outcome is unknown, and the writer is of no use any more.
//! * A fence is an object at the first free number of the row. The old writer
//!   never gets that key. It is never deleted, for a store forgets deleted names.
//! * An object whose path ends in `.gz` has no head: it is exactly its bytes, for any
//!   program. Its nonce is in its metadata, and a claim stands before its publication.
//! * At open the store is tried: a second creator of one key must fail, also at the
//!   same moment. A store that ignores or races the condition gets `Fencing::None`.
//!
//! # Code map
//!
//! | module | is about |
//! | --- | --- |
//! | `factory`, `options`, `service` | from a URI, options and environment to OpenDAL's operator |
//! | `contract`, `probe` | what this place promises; the trials at open |
//! | `store` | the trait's methods |
//! | `log`, `row` | a log's writer; its flushes as a listing shows them |
//! | `fence` | stopping an old writer |
//! | `object`, `pieces`, `plain` | an object's writer; small and large ones with a head; those without (`.gz`) |
//! | `delete` | deleting, sweeping |
//! | `reader`, `list` | reading, listing |
//! | `head`, `keys` | the first bytes of each object; which key stands for what |
//! | `calls`, `fault`, `secrets` | requests with deadlines; errors; what no message may show |
//! | `driver`, `transport` | the store's own thread; HTTP and TLS, bounded |
//! | `bare` | the bare PUT, for benches (feature `bench`) |
//!
//! # Options
//!
//! See the table in `options.rs`: `endpoint`, `region`, `path_style`, `timeout`,
//! `request_timeout`, `inflight`, credentials. Secrets are better given by the
//! environment, as the provider's own tools take them.
#![warn(missing_docs)]

#[cfg(feature = "bench")]
mod bare;
mod calls;
mod contract;
mod delete;
mod driver;
mod factory;
mod fault;
mod fence;
mod head;
mod keys;
mod list;
mod log;
mod object;
mod options;
mod pieces;
mod plain;
mod probe;
mod reader;
mod row;
mod secrets;
mod service;
mod store;
mod transport;

#[cfg(feature = "bench")]
pub use bare::Bare;
pub use factory::ObjectFactory;
pub use store::ObjectStore;
