//! Between the store and the real server: replies that no real server gives.
#![allow(dead_code)]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub const WRITE: u32 = 7;

/// What happens to the reply to a WRITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tamper {
    /// Nothing.
    None,
    /// `committed` is UNSTABLE.
    Unstable,
    /// One byte fewer was taken.
    Short,
    /// There are no attributes.
    NoAttributes,
    /// So many links.
    Links(u32),
    /// Another file's number.
    OtherFile,
    /// The file is shorter than what was written.
    Smaller,
    /// Half of the reply, then the end of the connection.
    CutInMidReply,
    /// No reply.
    Swallow,
    /// A reply to another call.
    WrongXid,
    /// This status, and no more of the result.
    Status(u32),
    /// A reply that ends too early.
    Truncated,
    /// The server asks to wait, so often.
    Jukebox(u32),
    /// It comes after the next one.
    Late,
}

#[derive(Default)]
struct State {
    tamper: Option<Tamper>,
    /// Counts replies; the connection ends instead of this one.
    replies: u64,
    cut_at: Option<u64>,
    /// Held back.
    late: Option<Vec<u8>>,
}

/// A listening proxy.
#[derive(Clone)]
pub struct Proxy {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    /// Its threads end with the process.
    pub fn start(server: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Proxy {
            port,
            state: Arc::default(),
        };
        let each = proxy.clone();
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
                    continue;
                };
                each.serve(client, server);
            }
        });
        proxy
    }

    pub fn set(&self, tamper: Tamper) {
        self.state.lock().unwrap().tamper = Some(tamper);
    }

    /// Ends the connection instead of the n-th reply from now, once.
    pub fn cut_at(&self, n: u64) {
        let mut state = self.state.lock().unwrap();
        state.replies = 0;
        state.cut_at = Some(n);
    }

    /// Whether it has been cut.
    pub fn was_cut(&self) -> bool {
        self.state.lock().unwrap().cut_at.is_none()
    }

    fn serve(&self, client: TcpStream, server: TcpStream) {
        let calls: Arc<Mutex<HashMap<u32, u32>>> = Arc::default();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let known = calls.clone();
        std::thread::spawn(move || {
            while let Ok(record) = read(&mut from) {
                known
                    .lock()
                    .unwrap()
                    .insert(word(&record, 0), word(&record, 20));
                if write(&mut to, &record).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        });
        let proxy = self.clone();
        let (mut from, mut to) = (server, client);
        std::thread::spawn(move || {
            while let Ok(record) = read(&mut from) {
                let xid = word(&record, 0);
                let procedure = calls.lock().unwrap().remove(&xid).unwrap_or(0);
                if proxy.pass(&mut to, procedure, record).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        });
    }

    fn pass(&self, to: &mut TcpStream, procedure: u32, mut record: Vec<u8>) -> std::io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.replies += 1;
        if state.cut_at == Some(state.replies) {
            state.cut_at = None;
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        let tamper = match procedure {
            WRITE => state.tamper.unwrap_or(Tamper::None),
            _ => Tamper::None,
        };
        let end = record.len();
        let (count, committed) = (end - 16, end - 12);
        let attributes = count.saturating_sub(84);
        match tamper {
            Tamper::None => {}
            Tamper::Unstable => put(&mut record, committed, 0),
            Tamper::Short => {
                let n = word(&record, count);
                put(&mut record, count, n - 1);
            }
            Tamper::NoAttributes => {
                put(&mut record, attributes - 4, 0);
                record.drain(attributes..count);
            }
            Tamper::Links(n) => put(&mut record, attributes + 8, n),
            Tamper::OtherFile => record[attributes + 59] ^= 1,
            Tamper::Smaller => record[attributes + 20..attributes + 28].fill(0),
            Tamper::Swallow => return Ok(()),
            Tamper::WrongXid => record[0] ^= 0x80,
            Tamper::Status(status) => {
                record.truncate(24);
                record.extend(status.to_be_bytes());
                record.extend([0; 8]);
            }
            Tamper::Truncated => record.truncate(end - 20),
            Tamper::CutInMidReply => {
                let header = 0x8000_0000 | end as u32;
                to.write_all(&header.to_be_bytes())?;
                to.write_all(&record[..end / 2])?;
                return Err(std::io::ErrorKind::ConnectionReset.into());
            }
            Tamper::Jukebox(n) => {
                let next = if n > 1 {
                    Tamper::Jukebox(n - 1)
                } else {
                    Tamper::None
                };
                state.tamper = Some(next);
                record.truncate(24);
                record.extend(10008u32.to_be_bytes());
                record.extend([0; 8]);
            }
            Tamper::Late => match state.late.take() {
                None => {
                    state.late = Some(record);
                    return Ok(());
                }
                Some(late) => {
                    write(to, &record)?;
                    return write(to, &late);
                }
            },
        }
        write(to, &record)
    }
}

fn word(record: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(record[at..at + 4].try_into().unwrap())
}

fn put(record: &mut [u8], at: usize, word: u32) {
    record[at..at + 4].copy_from_slice(&word.to_be_bytes());
}

/// A record; both sides send them in one fragment or in several.
fn read(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut record = Vec::new();
    loop {
        let mut header = [0; 4];
        from.read_exact(&mut header)?;
        let header = u32::from_be_bytes(header);
        let begin = record.len();
        record.resize(begin + (header & 0x7fff_ffff) as usize, 0);
        from.read_exact(&mut record[begin..])?;
        if header & 0x8000_0000 != 0 {
            return Ok(record);
        }
    }
}

fn write(to: &mut TcpStream, record: &[u8]) -> std::io::Result<()> {
    let header = 0x8000_0000 | record.len() as u32;
    to.write_all(&[&header.to_be_bytes(), record].concat())
}
