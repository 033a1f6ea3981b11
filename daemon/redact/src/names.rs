//! Names of variables, members and flags: which of them hold credentials.
//!
//! A name is cut into words at `_`, `-`, `.`, digits' ends and capitals; what it says is in its last words.

/// How much a name says about its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Nothing.
    No,
    /// May hold anything, a credential among others: `key`, `session`.
    Weak,
    /// Holds a credential or a cursor of some kind: `token`.
    Medium,
    /// Holds a credential made by a machine: `client_secret`, `api_key`.
    Secret,
    /// Holds a credential that a person may have made up: `password`.
    Password,
}

impl Class {
    /// The rule that a find under such a name is told as.
    pub(crate) fn rule(self) -> &'static str {
        match self {
            Class::Password => "password",
            _ => "named-secret",
        }
    }
}

/// The words that the automaton looks for; each name that [`class`] tells something about holds one of them.
pub(crate) const WORDS: &[&str] = &[
    "pass", "pwd", "secret", "token", "key", "cred", "auth", "session", "cookie", "sid", "dsn", "salt",
    "pepper", "otp", "seed", "mnemonic", "_pat", "jwt", "pw", "psk", "api_hash", "apihash", "api-hash",
    "api.hash", "recovery",
];

/// The rule that finds passwords told in sentences, in several languages.
const TOLD: &str = "told-password";

/// Whether a text speaks of a credential, so that its next word may be one. Rather once too often.
#[must_use]
pub fn speaks_of_one(text: &str) -> bool {
    let text = text.to_lowercase();
    let told =
        crate::rules::all().filter(|rule| rule.id == TOLD).flat_map(|rule| rule.keywords.iter().copied());
    WORDS.iter().copied().chain(told).any(|word| text.contains(word))
}

const MOST_WORDS: usize = 12;

/// What a name says about its value.
pub(crate) fn class(name: &str) -> Class {
    let mut words: [String; MOST_WORDS] = Default::default();
    let count = cut(name, &mut words);
    let words = &words[..count];
    let mut end = count;
    // What follows the telling word may only say which one it is.
    while end > 0 {
        let class = ends(&words[..end]);
        if class != Class::No {
            return if end < count && class < Class::Secret { Class::No } else { class };
        }
        if !SUFFIXES.contains(&words[end - 1].as_str()) && !words[end - 1].bytes().all(|b| b.is_ascii_digit())
        {
            return Class::No;
        }
        end -= 1;
    }
    Class::No
}

/// Words that may follow: `DB_PASSWORD_PROD`, `client-key-data`.
const SUFFIXES: &[&str] = &[
    "prod",
    "production",
    "dev",
    "development",
    "staging",
    "stage",
    "live",
    "test",
    "testing",
    "local",
    "default",
    "value",
    "val",
    "base64",
    "b",
    "b64",
    "string",
    "str",
    "text",
    "txt",
    "plain",
    "plaintext",
    "raw",
    "new",
    "old",
    "current",
    "confirm",
    "confirmation",
    "again",
    "repeat",
    "data",
    "primary",
    "secondary",
    "main",
    "backup",
    "v",
    "key",
    "rw",
    "ro",
    "admin",
    "root",
    "user",
    "me",
    "us",
    "eu",
    "s",
    "override",
    "base",
];

fn ends(words: &[String]) -> Class {
    let Some(last) = words.last().map(String::as_str) else { return Class::No };
    let before = words.len().checked_sub(2).map_or("", |at| words[at].as_str());
    match last {
        "password" | "passwd" | "passphrase" | "passcode" | "pwd" | "passwort" | "kennwort" | "pass"
        | "pw" | "psk" => Class::Password,
        "phrase" | "word" | "wd" if before == "pass" => Class::Password,
        "secret" | "secrets" | "apikey" | "accesskey" | "secretkey" | "privatekey" | "authtoken"
        | "accesstoken" | "refreshtoken" | "clientsecret" | "credential" | "credentials" | "creds"
        | "pat" | "mnemonic" | "pepper" | "authkey" | "masterkey" | "appkey" | "accountkey"
        | "sharedaccesskey" | "encryptionkey" | "bearer" => {
            if before == "kind" || before == "image" || before == "pull" { Class::No } else { Class::Secret }
        }
        "phrase" if matches!(before, "seed" | "recovery" | "mnemonic" | "secret") => Class::Secret,
        "hash" if before == "api" => Class::Secret,
        "salt" if matches!(before, "encryption" | "password" | "secret" | "auth" | "key") => Class::Secret,
        "key" => key(before),
        "token" => match before {
            "access" | "auth" | "refresh" | "api" | "bearer" | "secret" | "private" | "oauth" | "bot"
            | "deploy" | "service" | "personal" | "admin" | "root" | "id" | "session" | "app" | "user"
            | "login" | "security" | "npm" | "github" | "gitlab" | "gh" | "hf" | "slack" | "vault"
            | "registry" | "webhook" | "client" | "ci" => Class::Secret,
            "page" | "next" | "continuation" | "cancellation" | "sync" | "start" | "end" | "eos" | "bos"
            | "pad" | "unk" | "stop" | "special" | "mask" | "cls" | "sep" | "per" | "count" | "cursor"
            | "resume" | "idempotency" | "client_request" | "request" | "design" => Class::No,
            _ => Class::Medium,
        },
        "auth" | "cookie" | "cookies" | "sid" | "authorization" | "jwt" | "dsn" | "otp" | "session"
        | "salt" | "seed" => Class::Weak,
        _ => glued(last),
    }
}

fn key(before: &str) -> Class {
    match before {
        "api" | "access" | "private" | "secret" | "encryption" | "signing" | "master" | "auth"
        | "account" | "shared" | "service" | "admin" | "deploy" | "application" | "app" | "consumer"
        | "subscription" | "crypto" | "cipher" | "aes" | "hmac" | "jwt" | "webhook" | "license"
        | "licence" | "write" | "ingest" | "ingestion" | "insert" | "root" | "vault" | "recovery"
        | "unseal" => Class::Secret,
        "public" | "primary" | "foreign" | "cache" | "sort" | "partition" | "idempotency" | "row" | "map"
        | "object" | "dict" | "lookup" | "group" | "routing" | "hot" | "unique" | "translation" | "i18n"
        | "react" | "query" | "event" | "config" | "data" | "issue" | "project" | "pub" | "index"
        | "hash" | "dedupe" | "dedup" | "join" | "s3" => Class::No,
        _ => Class::Weak,
    }
}

/// Words that were written as one: `dbpassword`, `PGPASSWORD`, `sshpass`.
fn glued(word: &str) -> Class {
    if word.len() > 40 {
        return Class::No;
    }
    for end in ["password", "passwd", "passphrase", "pwd"] {
        if word.ends_with(end) {
            return Class::Password;
        }
    }
    for end in ["secret", "apikey", "secretkey", "accesskey", "authtoken", "accesstoken", "privatekey"] {
        if word.ends_with(end) {
            return Class::Secret;
        }
    }
    match word {
        "sshpass" | "pgpass" | "dbpass" | "userpass" | "mysqlpass" | "rootpass" | "smtppass" | "keypass"
        | "storepass" => Class::Password,
        _ => Class::No,
    }
}

/// Cuts a name into lower-case words; those past the twelfth are left out at the front.
fn cut(name: &str, words: &mut [String; MOST_WORDS]) -> usize {
    let bytes = name.as_bytes();
    let mut count = 0;
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_alphanumeric() {
            at += 1;
            continue;
        }
        let start = at;
        at += 1;
        while at < bytes.len() && bytes[at].is_ascii_alphanumeric() {
            let (last, this) = (bytes[at - 1], bytes[at]);
            let next_lower = bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
            if this.is_ascii_uppercase() && (!last.is_ascii_uppercase() || next_lower) {
                break;
            }
            if this.is_ascii_digit() != last.is_ascii_digit() && !is_glue(bytes, start) {
                break;
            }
            at += 1;
        }
        if count == MOST_WORDS {
            words.rotate_left(1);
            count -= 1;
        }
        words[count].clear();
        words[count].extend(bytes[start..at].iter().map(|b| char::from(b.to_ascii_lowercase())));
        count += 1;
    }
    count
}

/// `s3`, `i18n`, `b64` are words with digits in them.
fn is_glue(bytes: &[u8], start: usize) -> bool {
    let rest = &bytes[start..];
    [&b"s3"[..], b"i18n", b"b64", b"base64"].iter().any(|word| {
        rest.len() >= word.len()
            && rest[..word.len()].eq_ignore_ascii_case(word)
            && !rest.get(word.len()).is_some_and(u8::is_ascii_lowercase)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_they_hold() {
        for name in [
            "password",
            "DB_PASSWORD",
            "dbPassword",
            "spring.datasource.password",
            "PGPASSWORD",
            "DB_PASS",
            "userPwd",
            "MYSQL_PWD",
            "password_prod",
            "Password2",
        ] {
            assert_eq!(class(name), Class::Password, "{name}");
        }
        for name in [
            "api_key",
            "apiKey",
            "X-Api-Key",
            "AWS_SECRET_ACCESS_KEY",
            "client_secret",
            "clientSecret",
            "SECRET_KEY",
            "secret",
            "OPENAI_API_KEY",
            "auth-token",
            "GITHUB_TOKEN",
            "APIKey",
            "client_secret_value",
            "JWT_SECRET",
        ] {
            assert_eq!(class(name), Class::Secret, "{name}");
        }
        for name in ["token", "csrf_token", "SOME_TOKEN"] {
            assert_eq!(class(name), Class::Medium, "{name}");
        }
        for name in ["key", "session", "cookie", "auth", "storageKey"] {
            assert_eq!(class(name), Class::Weak, "{name}");
        }
        for name in [
            "input_tokens",
            "max_tokens",
            "token_count",
            "tokenizer",
            "author",
            "passed",
            "bypass",
            "compass",
            "password_hash",
            "passwordField",
            "secretName",
            "secretKeyRef",
            "api_key_id",
            "key_id",
            "public_key",
            "primaryKey",
            "cache_key",
            "page_token",
            "nextPageToken",
            "monkey",
            "keyboard",
            "token_type",
            "session_id",
            "secret_arn",
            "passwordPolicy",
            "tool_use_id",
            "TokenKind",
            "",
            "___",
        ] {
            assert_eq!(class(name), Class::No, "{name}");
        }
    }
}
