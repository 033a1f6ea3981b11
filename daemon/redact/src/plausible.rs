//! Whether a value may be a credential: its entropy, its classes of characters, and the forms that stand where a
//! credential would (placeholders, references, code).
//!
//! Every question is answered from the value alone, in time linear in its length.

/// Shannon entropy in bits per byte.
pub(crate) fn entropy(value: &str) -> f32 {
    let mut counts = [0_u32; 256];
    for byte in value.bytes() {
        counts[usize::from(byte)] += 1;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "values are short, and one bit more or less does not matter"
    )]
    let share = |count: u32| count as f32 / value.len().max(1) as f32;
    counts.iter().filter(|count| **count > 0).map(|count| -share(*count) * share(*count).log2()).sum()
}

/// Words that stand where a credential would.
const STAND_INS: &[&str] = &[
    "example",
    "placeholder",
    "changeme",
    "change_me",
    "change-me",
    "replace",
    "redacted",
    "dummy",
    "insert",
    "xxxx",
    "****",
    "...",
    "todo",
    "fixme",
    "not-real",
    "notreal",
    "not_real",
    "fake",
    "sample",
    "<",
    ">",
    "your",
    "enter_",
    "enter-",
    "goes-here",
    "goes_here",
    "here_",
    "-here",
    "_here",
    "\u{2026}",
    "\u{2022}",
    "hidden",
    "masked",
    "n/a",
];

/// Whole values that stand where a credential would.
const WHOLE: &[&str] = &[
    "password",
    "passwd",
    "pass",
    "pwd",
    "secret",
    "token",
    "key",
    "apikey",
    "api_key",
    "api-key",
    "none",
    "null",
    "nil",
    "true",
    "false",
    "undefined",
    "string",
    "str",
    "bool",
    "boolean",
    "int",
    "integer",
    "number",
    "any",
    "object",
    "optional",
    "required",
    "yes",
    "no",
    "on",
    "off",
    "unset",
    "empty",
    "default",
    "value",
    "text",
    "hidden",
    "varchar",
    "char",
    "bytes",
    "unknown",
    "invalid",
    "missing",
    "incorrect",
    "correct",
    "expired",
    "wrong",
    "valid",
    "self",
    "this",
    "test",
    "testing",
    "username",
    "user",
    "login",
    "bearer",
    "basic",
    "oauth",
    "jwt",
    "cookie",
    "session",
    "void",
    "never",
    "float",
    "list",
    "map",
    "vec",
    "option",
    "secretstring",
    "foobar",
    "foo",
    "bar",
    "baz",
    "abc",
    "env",
    "file",
    "stdin",
    "prompt",
    "auto",
    "new-password",
    "current-password",
    "one-time-code",
    "authorization",
    "x-api-key",
    "admin",
    "root",
    "postgres",
    "mysql",
    "pgpass",
];

/// Whether the value only stands for a credential.
pub(crate) fn is_placeholder(value: &str) -> bool {
    let value = value.trim();
    if value.len() < 3 {
        return true;
    }
    let lower = value.to_ascii_lowercase();
    if WHOLE.contains(&lower.as_str()) {
        return true;
    }
    let first = value.as_bytes()[0];
    let last = value.as_bytes()[value.len() - 1];
    if matches!(first, b'$' | b'<' | b'{') && is_reference(value) || (first == b'[' && last == b']') {
        return true;
    }
    if first == b'%' && last == b'%' || (first == b'@' && last == b'@') {
        return true;
    }
    if value.contains("${") || value.contains("{{") || value.contains("$(") || value.contains("[redacted") {
        return true;
    }
    // In long values a short word is there by chance.
    let words: usize = if value.len() > 60 { 7 } else { 0 };
    let stands_in = |word: &str| {
        word.len() >= words && lower.match_indices(word).any(|(at, _)| is_meant(value, at, word.len()))
    };
    if STAND_INS.iter().any(|word| stands_in(word)) {
        return true;
    }
    few_characters(value) || counts_up(&lower) || is_shouted_name(value)
}

/// From this length on, one random value in some thousands has a word of four letters in it.
const RANDOM: usize = 24;

/// Whether a word in a value is there on purpose. In a value that may be random, a short one is meant where it stands apart
/// on one side at least, and is written as a word is.
fn is_meant(value: &str, at: usize, len: usize) -> bool {
    let bytes = value.as_bytes();
    let Some(word) = bytes.get(at..at + len) else { return true };
    if value.len() < RANDOM || len > 5 || !word.iter().all(u8::is_ascii_alphabetic) {
        return true;
    }
    let is_apart = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let rest = &word[1..];
    let is_word = rest.iter().all(u8::is_ascii_lowercase) || word.iter().all(u8::is_ascii_uppercase);
    // A run of one letter is apart where it ends.
    let is_run = word.iter().all(|byte| *byte == word[0]);
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    let after = bytes[at + len..].iter().find(|byte| !is_run || **byte != word[0]);
    is_word && (is_apart(before) || is_apart(after))
}

fn is_reference(value: &str) -> bool {
    match value.as_bytes() {
        [b'<', .., b'>'] | [b'{', .., b'}'] => true,
        [b'$', rest @ ..] => {
            let rest: &[u8] = rest.strip_prefix(b"env:").unwrap_or(rest);
            matches!(rest.first(), Some(b'{' | b'('))
                || (rest.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
                    && rest.iter().all(|b| {
                        b.is_ascii_alphanumeric()
                            || matches!(b, b'_' | b'.' | b':' | b'-' | b'>' | b'[' | b']')
                    }))
                || rest.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// At most two different characters, or three where there are many of them.
fn few_characters(value: &str) -> bool {
    let mut seen = [false; 256];
    for byte in value.bytes() {
        seen[usize::from(byte)] = true;
    }
    let different = seen.iter().filter(|seen| **seen).count();
    different <= 2 || (different == 3 && value.len() >= 8)
}

/// `12345678`, `abcdefgh`: most of it is one after the other.
fn counts_up(lower: &str) -> bool {
    let bytes = lower.as_bytes();
    let follows = |pair: &&[u8]| pair[1] == pair[0].wrapping_add(1) || (pair[0] == b'9' && pair[1] == b'0');
    let steps = bytes.windows(2).filter(follows).count();
    steps >= 5 && steps * 10 >= bytes.len() * 5
}

/// `DB_PASSWORD`, `MY_API_KEY`: the name of a variable.
fn is_shouted_name(value: &str) -> bool {
    value.contains('_')
        && value.len() <= 60
        && value.bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit())
        && value.split('_').filter(|part| !part.is_empty()).all(|part| {
            let digits = part.bytes().filter(u8::is_ascii_digit).count();
            digits == 0 || digits == part.len() || part.len() <= 3
        })
}

/// Whether a machine drew the value: `len` characters or more, of classes and in an order that words do not have.
pub(crate) fn is_random(value: &str, len: usize) -> bool {
    if value.len() < len || value.bytes().any(|b| b.is_ascii_whitespace() || !b.is_ascii_graphic()) {
        return false;
    }
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let uppers = value.bytes().filter(u8::is_ascii_uppercase).count();
    let lowers = value.bytes().filter(u8::is_ascii_lowercase).count();
    if usize::from(digits > 0) + usize::from(uppers > 0) + usize::from(lowers > 0) < 2 {
        return false;
    }
    let least = if value.len() < 20 { 2.9 } else { 3.1 };
    entropy(value) >= least && !is_wordy(value)
}

/// Pairs of letters that make up most of English and of the names in programs.
const PAIRS: &[u8] = b"\
    thheineranrendonenatouedhatooritishiesngasarsetestntoftiveallemeicrollraliriiousotmachhoplssutcetfiu\
    neecacwiowunaibeprcttrsaaypoetckkedemoelsifigefordlyabolidiaccspmiimpptubiifcladddgrcaigexdadynopuxt\
    tydouewnnffuncurillataemomamocsunsrstsosopefupblfragapavevquieeaeeoolosocouculumirpebrobivkiltrtrmrn\
    rrlddswseyshgagiepttffyeksskwowhghhtpagowaswrggnbacunuluruudugawewsyysymmbmsvivoeknvuigu";

/// The same as a table: the row is the first letter, the bit the second.
const KNOWN: [u32; 26] = {
    let mut known = [0_u32; 26];
    let mut at = 0;
    while at + 1 < PAIRS.len() {
        known[(PAIRS[at] - b'a') as usize] |= 1 << (PAIRS[at + 1] - b'a');
        at += 2;
    }
    known
};

/// Whether most neighbouring letters are pairs that words have.
pub(crate) fn is_wordy(value: &str) -> bool {
    let bytes = value.as_bytes();
    let mut pairs = 0_usize;
    let mut common = 0_usize;
    for pair in bytes.windows(2).filter(|pair| pair.iter().all(u8::is_ascii_alphabetic)) {
        let [first, second] = [pair[0], pair[1]].map(|letter| letter.to_ascii_lowercase() - b'a');
        pairs += 1;
        common += usize::from(KNOWN[usize::from(first)] >> second & 1 == 1);
    }
    // Few letters beside each other: not words, unless nothing else is there.
    if pairs * 3 < bytes.len() {
        return false;
    }
    common * 100 >= pairs * 62
}

/// Whether a person may have made the value up as a password: of two classes of characters at least, and no expression.
pub(crate) fn is_password(value: &str, least: usize) -> bool {
    if value.len() < least || value.len() > 256 {
        return false;
    }
    let digit = value.bytes().any(|b| b.is_ascii_digit());
    let letter = value.bytes().any(|b| b.is_ascii_alphabetic());
    let symbol = value
        .bytes()
        .any(|b| b.is_ascii_punctuation() && !matches!(b, b'.' | b'-' | b'_' | b'/' | b'(' | b')'));
    let odd_case = value.bytes().skip(1).any(|b| b.is_ascii_uppercase())
        && value.bytes().any(|b| b.is_ascii_lowercase());
    (letter && (digit || symbol)) || (digit && symbol) || (odd_case && is_random(value, 10))
}

/// Whether an unquoted value is an expression, a type, a path or an address.
pub(crate) fn is_code(value: &str) -> bool {
    let bytes = value.as_bytes();
    let Some(first) = bytes.first() else { return true };
    if value.contains("::")
        || value.contains("->")
        || value.contains("=>")
        || value.contains('(')
        || value.contains("://")
    {
        return true;
    }
    if matches!(first, b'/' | b'~')
        && bytes.get(1).is_some_and(|b| b.is_ascii_lowercase() || *b == b'/')
        && value.matches('/').count() > 1
        || value.starts_with("./")
        || value.starts_with("../")
        || value.contains(":\\")
    {
        return true;
    }
    if matches!(first, b'&' | b'*' | b'{' | b'[' | b'<')
        && bytes.get(1).is_some_and(u8::is_ascii_alphabetic)
        && bytes.len() < 20
        && !bytes.iter().any(u8::is_ascii_digit)
    {
        return true;
    }
    if value.contains('<') && value.contains('>') && !bytes.iter().any(u8::is_ascii_digit) {
        return true;
    }
    // A name of words and numbers; a fragment of a macro.
    let word =
        |part: &str| part.bytes().all(|b| b.is_ascii_lowercase()) || part.bytes().all(|b| b.is_ascii_digit());
    if value.contains('_') && value.split('_').all(word) || *first == b'#' {
        return true;
    }
    // a.b.c and a[b]: members of things, each name a word.
    let member = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'?' | b'!'))
            && !part.as_bytes()[0].is_ascii_digit()
            && (part.len() < 4 || part.bytes().filter(u8::is_ascii_digit).count() * 4 <= part.len())
    };
    if value.contains(['.', '[']) {
        let mut parts = value
            .trim_end_matches([']', ';', ','])
            .split(['.', '['])
            .map(|part| part.trim_matches(['"', '\'', ']']));
        if parts.all(member) && (is_wordy(value) || value.len() < 16) {
            return true;
        }
    }
    // One name without digits: a variable, a type, a word.
    bytes.iter().all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'-' | b'?' | b'.' | b'[' | b']'))
        && (is_wordy(value) || bytes.len() < 12)
}

/// Whether the value is a UUID.
pub(crate) fn is_uuid(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.len() == 36
        && bytes
            .iter()
            .enumerate()
            .all(|(at, b)| if matches!(at, 8 | 13 | 18 | 23) { *b == b'-' } else { b.is_ascii_hexdigit() })
}

/// Whether the value is hex throughout, as digests are.
pub(crate) fn is_hex(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::filled;

    #[test]
    fn a_short_word_in_a_random_value_is_there_by_chance() {
        for value in [
            "ghp_twzFJCnx4ICfkRhnOUnJXxxXbG5ILXhmib3D",
            "ghp_twzFJCnx4ICfkRhntodoJXWXbG5ILXhmib3D",
            "ghp_FakEJCnx4ICfkRhnOUnJXAxXbG5ILXhmib3D",
        ] {
            assert!(!is_placeholder(value), "{value}");
        }
        for value in [
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "ghp_fake5678901234567890123456789012345",
            "sk-abcdef0123456789abcdef-YOUR",
            "ghp_1a2b3c4d5e6f7g8h9xxxxxxxxxxxxxxxxxx",
        ] {
            assert!(is_placeholder(value), "{value}");
        }
    }

    #[test]
    fn placeholders_are_told_from_credentials() {
        for value in [
            "YOUR_API_KEY",
            "xxx",
            "xxxxxxxxxxxx",
            "${VAR}",
            "<token>",
            "$TOKEN",
            "$1",
            "{{ secret }}",
            "changeme",
            "********",
            "12345678",
            "abcdefghijkl",
            "DB_PASSWORD",
            "your-key-here",
            "%PASSWORD%",
            "[redacted:jwt]",
            "null",
            "sk-ant-...",
            "$env:TOKEN",
            "${{ secrets.NPM_TOKEN }}",
            "AKIAIOSFODNN7EXAMPLE",
            "",
        ] {
            assert!(is_placeholder(value), "{value}");
        }
        for seed in 0..200 {
            for template in ["{a20}", "{x32}", "{b40}", "{p12}", "{w43}", "ghp_{a36}", "{g}", "{t32}"] {
                let value = filled(template, seed);
                assert!(!is_placeholder(&value), "{value}");
            }
        }
    }

    #[test]
    fn what_machines_drew_is_random_and_words_are_not() {
        let missed = (0..500).filter(|seed| !is_random(&filled("{a24}", *seed), 16)).count();
        assert!(missed <= 5, "{missed}");
        for value in [
            "getUserTokenFromRequest2",
            "application/json",
            "user-preferences-v2",
            "src/components/Login.tsx",
            "my_secret_storage_key",
            "AuthenticationService",
            "next-auth.session-token",
            "CLAUDE_CODE_MAX_OUTPUT",
            "com.example.app.SecretKey",
        ] {
            assert!(!is_random(value, 16), "{value}");
        }
    }

    #[test]
    fn expressions_are_code() {
        for value in [
            "getPassword()",
            "self.config.password",
            "req.body.token",
            "os.environ[\"X\"]",
            "String",
            "str",
            "Option<String>",
            "process.env.TOKEN",
            "./secret",
            "/etc/ssl/key.pem",
            "Token::new",
            "hashed_password",
        ] {
            assert!(is_code(value), "{value}");
        }
        for value in ["hunter2", "S3cr3t!pass", "aB3.xY9zK2mQ7", "Tr0ub4dor&3"] {
            assert!(!is_code(value), "{value}");
        }
    }
}
