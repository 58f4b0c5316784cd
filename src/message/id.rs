//! The identity of a notification.

use std::fmt;

use sha2::{Digest, Sha256};

/// The first 16 bytes of the SHA-256 of the raw body, shown as 32 lower-case hex digits.
///
/// Nothing inside a notification identifies it: `idMessage` repeats over statuses and is unique only inside
/// one chat, and several types have none. Two byte-identical notifications are therefore one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(u128);

impl Id {
    /// Marker among the stored dedup ids: the brokers of this entry lost everything stored before it. No body has this id.
    pub const NONE: Self = Self(0);

    /// The identity of this body.
    pub fn of(body: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(body).into();
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        Self(u128::from_be_bytes(first))
    }

    /// As a number, for compact tables.
    pub fn as_u128(self) -> u128 {
        self.0
    }
}

impl From<u128> for Id {
    fn from(number: u128) -> Self {
        Self(number)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Id;

    #[test]
    fn id_is_the_first_half_of_sha_256_in_lower_case_hex() {
        // `printf abc | sha256sum` and FIPS 180-2, appendix B.1
        assert_eq!(Id::of(b"abc").to_string(), "ba7816bf8f01cfea414140de5dae2223");
        assert_eq!(Id::from(1).to_string(), "00000000000000000000000000000001");
    }
}
