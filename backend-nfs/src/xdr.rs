//! Reading XDR from bytes that nobody vouches for.
//!
//! `nfs3_types` packs calls and unpacks whatever has a fixed length. What has a
//! length of its own is read here: that codec would allocate as much as the
//! other side says, up to 4 GiB, before it looks whether there is so much.

use bytes::{Buf, Bytes};
use nfs3_types::xdr_codec::Unpack;
use std::fmt;

/// The bytes are not what the protocol says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in the reply is not what the protocol says", self.0)
    }
}

/// Takes values from the front of a reply.
#[derive(Debug)]
pub(crate) struct Decoder(Bytes);

impl Decoder {
    pub fn new(bytes: Bytes) -> Decoder {
        Decoder(bytes)
    }

    /// What is left.
    pub fn rest(self) -> Bytes {
        self.0
    }

    /// A number; `what` is for the error.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        self.0.try_get_u32().map_err(|_| Malformed(what))
    }

    /// 0 or 1.
    pub fn bool(&mut self, what: &'static str) -> Result<bool, Malformed> {
        match self.u32(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed(what)),
        }
    }

    /// A value of a fixed length.
    pub fn fixed<T: Unpack>(&mut self, what: &'static str) -> Result<T, Malformed> {
        let mut input = &self.0[..];
        let (value, used) = T::unpack(&mut input).map_err(|_| Malformed(what))?;
        if used > self.0.len() {
            return Err(Malformed(what));
        }
        self.0.advance(used);
        Ok(value)
    }

    /// Bytes with their length in front, at most `most`; not copied.
    pub fn opaque(&mut self, most: usize, what: &'static str) -> Result<Bytes, Malformed> {
        let len = self.u32(what)? as usize;
        let padded = len.checked_next_multiple_of(4).ok_or(Malformed(what))?;
        if len > most || padded > self.0.len() {
            return Err(Malformed(what));
        }
        let bytes = self.0.slice(..len);
        self.0.advance(padded);
        Ok(bytes)
    }

    /// A value that may be missing.
    pub fn optional<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Decoder) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.bool(what)? {
            true => read(self).map(Some),
            false => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nfs3_types::nfs3::fattr3;

    fn decoder(bytes: &[u8]) -> Decoder {
        Decoder::new(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn fc_13_hostile_lengths_are_refused_before_anything_is_allocated() {
        for len in [1, 5, 64, u32::MAX - 3, u32::MAX] {
            let mut d = decoder(&len.to_be_bytes());
            assert_eq!(d.opaque(usize::MAX, "x"), Err(Malformed("x")), "{len}");
        }
        let mut d = decoder(&[0, 0, 0, 4, 1, 2, 3, 4]);
        assert_eq!(d.opaque(3, "x"), Err(Malformed("x")));
        let mut d = decoder(&[0, 0, 0, 2, 1, 2, 0, 0, 9]);
        assert_eq!(d.opaque(3, "x").unwrap(), [1, 2][..]);
        assert_eq!(d.rest(), [9][..]);
        assert_eq!(decoder(&[0, 0, 0]).u32("x"), Err(Malformed("x")));
        assert_eq!(decoder(&[0, 0, 0, 2]).bool("x"), Err(Malformed("x")));
        assert!(decoder(&[0; 83]).fixed::<fattr3>("x").is_err());
    }
}
