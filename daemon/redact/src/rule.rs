//! One rule: which words of a text call for it, what a credential of its kind looks like, and when a match is none.
//!
//! A rule is data. It must never hold a value that a scanner of a repository would take for a credential: its samples are
//! templates (see [`crate::sample`]), made whole where they are used.

/// A kind of credential with a form of its own.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What stands in the mark and in a finding: `github-token`.
    pub id: &'static str,
    /// What the credential is, for people.
    pub about: &'static str,
    /// The words that call for the rule, found in any case. Distinctive ones: each occurrence costs a match.
    pub keywords: &'static [&'static str],
    /// In the syntax of the `regex` crate. The first group is the credential, or the whole match where there is none.
    pub pattern: &'static str,
    /// Where the match lies as seen from the keyword.
    pub place: Place,
    /// The least Shannon entropy of the credential, in bits per character; 0 for any.
    pub entropy: f32,
    /// The checksum that tokens of the kind end with. A token whose checksum is right needs no entropy.
    pub checksum: Option<Checksum>,
    /// Whether it tells the place only, so that a rule for the kind of the value goes before it.
    pub generic: bool,
    /// Templates of texts in which the rule finds the credential.
    pub samples: &'static [&'static str],
    /// Templates of texts which resemble it, in which it finds nothing.
    pub near: &'static [&'static str],
}

/// Where a rule's match lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It begins with the keyword, and no letter, digit or `_` stands before it.
    Here,
    /// It lies somewhere about the keyword: from 128 bytes before it to 512 after.
    Near,
}

/// How a checksum in a token is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The last six characters are the CRC-32 of the thirty before, in base 62.
    Crc32Base62,
}

impl Checksum {
    /// Whether the token ends with the checksum of the rest of it.
    #[must_use]
    pub fn holds(self, token: &str) -> bool {
        match self {
            Checksum::Crc32Base62 => {
                let Some(at) = token.len().checked_sub(36) else { return false };
                let (Some(body), Some(sum)) = (token.get(at..at + 30), token.get(at + 30..)) else {
                    return false;
                };
                sum == crc32_base62(body)
            }
        }
    }
}

/// The CRC-32 of a text in six characters of base 62.
pub(crate) fn crc32_base62(body: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = crc32fast::hash(body.as_bytes()) as usize;
    let mut digits = ['0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = char::from(DIGITS[rest % 62]);
        rest /= 62;
    }
    digits.iter().collect()
}

impl Rule {
    /// A rule whose match begins with one of its keywords.
    #[must_use]
    pub const fn here(
        id: &'static str,
        about: &'static str,
        keywords: &'static [&'static str],
        pattern: &'static str,
        samples: &'static [&'static str],
    ) -> Rule {
        Rule {
            id,
            about,
            keywords,
            pattern,
            place: Place::Here,
            entropy: 2.5,
            checksum: None,
            generic: false,
            samples,
            near: &[],
        }
    }

    /// A rule whose match lies about one of its keywords.
    #[must_use]
    pub const fn near(
        id: &'static str,
        about: &'static str,
        keywords: &'static [&'static str],
        pattern: &'static str,
        samples: &'static [&'static str],
    ) -> Rule {
        let mut rule = Rule::here(id, about, keywords, pattern, samples);
        rule.place = Place::Near;
        rule
    }

    /// The same rule with another least entropy, in bits per character.
    #[must_use]
    pub const fn entropy(mut self, bits: f32) -> Rule {
        self.entropy = bits;
        self
    }

    /// The same rule with a checksum.
    #[must_use]
    pub const fn checksum(mut self, checksum: Checksum) -> Rule {
        self.checksum = Some(checksum);
        self
    }

    /// The same rule, telling the place only.
    #[must_use]
    pub const fn generic(mut self) -> Rule {
        self.generic = true;
        self
    }

    /// The same rule with templates in which it finds nothing.
    #[must_use]
    pub const fn not(mut self, near: &'static [&'static str]) -> Rule {
        self.near = near;
        self
    }
}

/// A rule that a user wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CustomRule {
    /// What stands in the mark and in a finding.
    pub id: String,
    /// Words that call for the rule, in any case. Empty: the pattern is matched against every text whole, which is slow.
    pub keywords: Vec<String>,
    /// In the syntax of the `regex` crate. The first group is the credential, or the whole match where there is none.
    pub pattern: String,
    /// The least Shannon entropy of the credential, in bits per character; 0 for any.
    pub entropy: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_github_is_known() {
        // From GitHub's own description of the format; it was never a token that worked.
        let token = ["ghp", "_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq17"].concat();
        assert!(Checksum::Crc32Base62.holds(&token));
        assert!(!Checksum::Crc32Base62.holds(&token.replace("0mLq17", "0mLq18")));
        assert!(!Checksum::Crc32Base62.holds("short"));
    }
}
