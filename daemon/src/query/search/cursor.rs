//! Where a search ended: the session, by when it was last used and its key, and how many of its hits were told.

use std::fmt;
use std::str::FromStr;

/// A place in the order of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When the session was last used, nanoseconds since the Unix epoch.
    pub last_ns: u64,
    /// Its key.
    pub session: [u8; 16],
    /// Hits of it that were told.
    pub told: usize,
}

impl Cursor {
    /// Behind all sessions: the exchanges that name none.
    pub const STRAYS: Cursor = Cursor { last_ns: 0, session: [0xff; 16], told: 0 };

    /// Whether it is behind all sessions.
    #[must_use]
    pub fn is_strays(&self) -> bool {
        self.last_ns == 0 && self.session == [0xff; 16]
    }

    /// Whether it is the same place, however many were told.
    #[must_use]
    pub fn is_at(&self, place: &Cursor) -> bool {
        self.last_ns == place.last_ns && self.session == place.session
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:032x}-{:x}", self.last_ns, u128::from_be_bytes(self.session), self.told)
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '-');
        let mut part = || parts.next().filter(|part| part.bytes().all(|b| b.is_ascii_hexdigit())).ok_or(());
        let (last, session, told) = (part()?, part()?, part()?);
        Ok(Cursor {
            last_ns: u64::from_str_radix(last, 16).map_err(drop)?,
            session: u128::from_str_radix(session, 16).map_err(drop)?.to_be_bytes(),
            told: usize::from_str_radix(told, 16).map_err(drop)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back(last_ns: u64, session: [u8; 16], told in 0usize..1_000_000) {
            let cursor = Cursor { last_ns, session, told };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn other_texts_are_none(text in "\\PC{0,60}|[0-9a-f-]{0,60}|\\+1-1-1") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
            }
        }
    }
}
