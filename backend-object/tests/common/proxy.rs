//! An HTTP proxy in front of a bed that can single out one request and do to it
//! what networks and gateways do.

use super::options;
use flushproof_api::Options;
use flushproof_api::bytes::Bytes;
use flushproof_testbed::Bed;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is done to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// Delivered later.
    Delay(Duration),
    /// The connection closes; the server never sees the request.
    Reset,
    /// "503 SlowDown"; the server never sees the request.
    SlowDown,
    /// The server does it, and the client is told "500".
    FailAfter,
    /// The server does it, and the connection closes.
    Lose,
    /// The server gets it twice; the client hears the second answer.
    Twice,
    /// Kept until [`Proxy::release`], whether the client still waits or not.
    Hold,
}

/// A request that came by.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub query: String,
    /// How many of this method and path came before.
    pub before: usize,
}

impl Seen {
    /// A PUT of the object at this slot of a log's row.
    pub fn is_flush(&self, slot: u64) -> bool {
        let row = self.path.contains("/l.") && self.path.contains("/.data/");
        self.method == Method::PUT && row && self.path.ends_with(&format!("/{slot:020}"))
    }

    /// A PUT of a key that ends like this.
    pub fn is_put(&self, end: &str) -> bool {
        self.method == Method::PUT && self.path.ends_with(end)
    }
}

type Rule = Box<dyn FnMut(&Seen) -> Fault + Send>;

/// Ends with the runtime on which it was started.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    rule: Mutex<Rule>,
    seen: Mutex<Vec<Seen>>,
    /// How many are held, and how many of them may go on.
    held: watch::Sender<usize>,
    free: watch::Sender<usize>,
    /// The answers to those that were held.
    answers: watch::Sender<Vec<u16>>,
}

impl Proxy {
    pub async fn before(bed: &Bed) -> Proxy {
        let options = options(bed);
        let endpoint = reqwest::Url::parse(options.get("endpoint").unwrap()).unwrap();
        let upstream = ([127, 0, 0, 1], endpoint.port().unwrap()).into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream,
            rule: Mutex::new(Box::new(|_| Fault::Pass)),
            seen: Mutex::default(),
            held: watch::Sender::new(0),
            free: watch::Sender::new(0),
            answers: watch::Sender::default(),
        });
        let serving = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = serving.clone();
                let service = service_fn(move |request| handle(shared.clone(), request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Proxy { address, shared }
    }

    /// The options with which a bed is reached through it.
    pub fn options(&self, bed: &Bed) -> Options {
        let mut options = options(bed);
        let endpoint = options.get("endpoint").unwrap().to_owned();
        let port = self.shared.upstream.port().to_string();
        let through = endpoint.replace(&port, &self.address.port().to_string());
        options.set("endpoint", through);
        options
    }

    /// From now on this decides.
    pub fn on(&self, rule: impl FnMut(&Seen) -> Fault + Send + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }

    /// Everything passes from now on.
    pub fn pass(&self) {
        self.on(|_| Fault::Pass);
    }

    /// What came by since the last call.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.shared.seen.lock().unwrap())
    }

    /// Waits until so many were held, in all.
    pub async fn held(&self, count: usize) {
        let mut held = self.shared.held.subscribe();
        held.wait_for(|held| *held >= count).await.unwrap();
    }

    /// Delivers all that were held until now; their answers, once all are there.
    pub async fn release(&self) -> Vec<u16> {
        let held = *self.shared.held.borrow();
        self.shared.free.send_replace(held);
        let mut answers = self.shared.answers.subscribe();
        answers
            .wait_for(|answers| answers.len() >= held)
            .await
            .unwrap()
            .clone()
    }
}

type Answer = Response<Full<Bytes>>;
type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn handle(
    shared: Arc<Shared>,
    request: Request<hyper::body::Incoming>,
) -> Result<Answer, Failed> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let request = Request::from_parts(parts, Full::new(body));
    let fault = shared.decide(&request);
    // On its own, for the client may give up.
    tokio::spawn(async move { shared.serve(fault, request).await }).await?
}

impl Shared {
    fn decide(&self, request: &Request<Full<Bytes>>) -> Fault {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let query = request.uri().query().unwrap_or_default().to_owned();
        let mut all = self.seen.lock().unwrap();
        let same = |s: &&Seen| s.method == method && s.path == path;
        let before = all.iter().filter(same).count();
        let seen = Seen {
            method,
            path,
            query,
            before,
        };
        all.push(seen.clone());
        drop(all);
        (self.rule.lock().unwrap())(&seen)
    }

    async fn serve(&self, fault: Fault, request: Request<Full<Bytes>>) -> Result<Answer, Failed> {
        match fault {
            Fault::Pass => self.forward(request).await,
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                self.forward(request).await
            }
            Fault::Reset => Err("reset".into()),
            Fault::SlowDown => Ok(refusal(503, "SlowDown")),
            Fault::FailAfter => {
                self.forward(request).await?;
                Ok(refusal(500, "InternalError"))
            }
            Fault::Lose => {
                self.forward(request).await?;
                Err("lost".into())
            }
            Fault::Twice => {
                self.forward(request.clone()).await?;
                self.forward(request).await
            }
            Fault::Hold => {
                let mut number = 0;
                self.held.send_modify(|held| {
                    *held += 1;
                    number = *held;
                });
                let mut free = self.free.subscribe();
                free.wait_for(|free| *free >= number).await?;
                let answer = self.forward(request).await?;
                let status = answer.status().as_u16();
                self.answers.send_modify(|all| all.push(status));
                Ok(answer)
            }
        }
    }

    async fn forward(&self, request: Request<Full<Bytes>>) -> Result<Answer, Failed> {
        let head = request.method() == Method::HEAD;
        let stream = TcpStream::connect(self.upstream).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move { drop(connection.await) });
        let (mut parts, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        parts.headers.remove(TRANSFER_ENCODING);
        if !head {
            parts.headers.remove(CONTENT_LENGTH);
        }
        Ok(Response::from_parts(parts, Full::new(body)))
    }
}

fn refusal(status: u16, code: &str) -> Answer {
    let text =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>");
    let response = Response::builder().status(status);
    response.body(Full::new(text.into())).unwrap()
}
