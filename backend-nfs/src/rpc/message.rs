//! Calls and replies (RFC 5531, section 9).

use crate::xdr::{Decoder, Malformed};
use bytes::Bytes;
use nfs3_types::rpc::{RPC_VERSION_2, auth_unix, msg_type, opaque_auth};
use nfs3_types::xdr_codec::{Opaque, Pack};
use std::fmt;

/// The longest verifier of a reply (RFC 5531, section 8.2).
const MAX_AUTH: usize = 400;
/// Some slack for the header of a call, in bytes.
const HEADER: usize = 128;

/// Who we say we are: AUTH_SYS.
#[derive(Clone, Debug)]
pub(crate) struct Credentials(Vec<u8>);

impl Credentials {
    /// `groups` beyond the 16th are left out, as the protocol has it.
    pub fn new(uid: u32, gid: u32, groups: &[u32]) -> Credentials {
        let auth = auth_unix {
            stamp: 0,
            machinename: Opaque::borrowed(b"flushproof"),
            uid,
            gid,
            gids: groups.iter().copied().take(16).collect(),
        };
        let mut bytes = Vec::new();
        pack(&opaque_auth::auth_unix(&auth), &mut bytes);
        pack(&opaque_auth::default(), &mut bytes);
        Credentials(bytes)
    }
}

/// Packing into memory does not fail.
pub(crate) fn pack(value: &impl Pack, out: &mut Vec<u8>) {
    let packed = value.pack(out);
    debug_assert!(packed.is_ok());
}

/// One call: which procedure, its arguments, and bytes that follow them
/// uncopied.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub program: u32,
    pub version: u32,
    pub procedure: u32,
    /// Packed.
    pub arguments: Vec<u8>,
    /// The end of the arguments, padding to be added.
    pub body: Bytes,
}

impl Call {
    /// The record on the wire: its head, and how much padding follows the body.
    pub fn head(&self, xid: u32, credentials: &Credentials) -> (Vec<u8>, usize) {
        let padding = self.body.len().wrapping_neg() % 4;
        let mut out = Vec::with_capacity(HEADER + credentials.0.len() + self.arguments.len());
        out.extend_from_slice(&[0; 4]);
        let words = [
            xid,
            msg_type::CALL as u32,
            RPC_VERSION_2,
            self.program,
            self.version,
            self.procedure,
        ];
        for word in words {
            out.extend_from_slice(&word.to_be_bytes());
        }
        out.extend_from_slice(&credentials.0);
        out.extend_from_slice(&self.arguments);
        let len = out.len() - 4 + self.body.len() + padding;
        // Bodies are at most some MiB, far below the bit that LAST is.
        let header = (len as u32 & !super::record::LAST) | super::record::LAST;
        out[..4].copy_from_slice(&header.to_be_bytes());
        (out, padding)
    }
}

/// The server answered, and did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another version of RPC.
    Rpc,
    /// The credentials are not good enough; the number is its `auth_stat`.
    Credentials(u32),
    /// This program is not served on that port.
    NoProgram,
    /// The program is served in these versions only.
    Versions(u32, u32),
    /// No such procedure.
    NoProcedure,
    /// It can't read the arguments.
    Arguments,
    /// It is out of order itself.
    System,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Rpc => f.write_str("the server speaks another version of RPC"),
            Refusal::Credentials(1 | 2) => f.write_str(
                "the server refuses our AUTH_SYS credentials; see the options uid, gid and groups",
            ),
            Refusal::Credentials(5) => f.write_str(
                "the server asks for stronger credentials than AUTH_SYS: export the folder with \
                 sec=sys, or run with the right to use a reserved source port",
            ),
            Refusal::Credentials(n) => write!(f, "the server refuses our credentials (code {n})"),
            Refusal::NoProgram => f.write_str("the server does not serve that program there"),
            Refusal::Versions(low, high) => {
                write!(f, "the server serves only the versions {low} to {high}")
            }
            Refusal::NoProcedure => f.write_str("the server lacks that procedure"),
            Refusal::Arguments => f.write_str("the server could not read the call"),
            Refusal::System => f.write_str("the server reports a failure of its own"),
        }
    }
}

/// What a reply says about its call.
pub(crate) type Verdict = Result<Bytes, Refusal>;

/// Reads the header of a reply: whose it is, and what follows.
pub(crate) fn reply(record: Bytes) -> Result<(u32, Verdict), Malformed> {
    let mut d = Decoder::new(record);
    let xid = d.u32("the xid")?;
    if d.u32("the kind of message")? != msg_type::REPLY as u32 {
        return Err(Malformed("the kind of message"));
    }
    let denied = d.bool("the reply's status")?;
    if denied {
        let refusal = match d.u32("the reason of the denial")? {
            0 => Refusal::Rpc,
            1 => Refusal::Credentials(d.u32("the credentials' status")?),
            _ => return Err(Malformed("the reason of the denial")),
        };
        return Ok((xid, Err(refusal)));
    }
    d.u32("the verifier")?;
    d.opaque(MAX_AUTH, "the verifier")?;
    let refusal = match d.u32("the reply's status")? {
        0 => return Ok((xid, Ok(d.rest()))),
        1 => Refusal::NoProgram,
        2 => Refusal::Versions(d.u32("a version")?, d.u32("a version")?),
        3 => Refusal::NoProcedure,
        4 => Refusal::Arguments,
        5 => Refusal::System,
        _ => return Err(Malformed("the reply's status")),
    };
    Ok((xid, Err(refusal)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u32]) -> Bytes {
        words.iter().flat_map(|w| w.to_be_bytes()).collect()
    }

    #[test]
    fn a_call_is_laid_out_as_the_protocol_says() {
        let call = Call {
            program: 100_003,
            version: 3,
            procedure: 7,
            arguments: vec![9; 8],
            body: Bytes::from_static(b"abcde"),
        };
        let (head, padding) = call.head(17, &Credentials::new(1, 2, &[3]));
        assert_eq!(padding, 3);
        let len = u32::from_be_bytes(head[..4].try_into().unwrap());
        assert_eq!(len, 0x8000_0000 | (head.len() as u32 - 4 + 8));
        assert_eq!(head[4..28], words(&[17, 0, 2, 100_003, 3, 7])[..]);
        assert_eq!(head[head.len() - 8..], [9; 8]);
    }

    #[test]
    fn replies_and_refusals() {
        assert_eq!(
            reply(words(&[5, 1, 0, 0, 0, 0, 77])),
            Ok((5, Ok(words(&[77]))))
        );
        for (tail, refusal) in [
            (&[1, 0][..], Refusal::Rpc),
            (&[1, 1, 5], Refusal::Credentials(5)),
            (&[0, 0, 0, 1], Refusal::NoProgram),
            (&[0, 0, 0, 2, 3, 4], Refusal::Versions(3, 4)),
            (&[0, 0, 0, 3], Refusal::NoProcedure),
            (&[0, 0, 0, 4], Refusal::Arguments),
            (&[0, 0, 0, 5], Refusal::System),
        ] {
            let record = words(&[&[5, 1], tail].concat());
            assert_eq!(reply(record), Ok((5, Err(refusal))));
        }
    }

    #[test]
    fn fc_13_hostile_replies_are_malformed() {
        for record in [
            &[][..],
            &[5],
            &[5, 0],
            &[5, 1],
            &[5, 1, 2],
            &[5, 1, 1, 2],
            &[5, 1, 0, 0, 401, 0],
            &[5, 1, 0, 0, u32::MAX, 0],
            &[5, 1, 0, 0, 0, 6],
        ] {
            assert!(reply(words(record)).is_err(), "{record:?}");
        }
    }
}
