//! The note from which a hook event brings a daemon back that nobody keeps running: what to start, and with which
//! environment.
//!
//! `ccd` writes it, `cc-hook` reads it, so its form is as plain as can be: strings that end with a NUL each. First
//! [`MAGIC`], then the program, then one `NAME=VALUE` for each variable.
//!
//! It lies in the state directory (0700) as a file of mode 0600: the address of an HTTP proxy may hold a password. A
//! variable gets in by name only ([`is_carried`]): Claude Code's own credentials never do.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

/// What a note begins with; another version of it is not read.
pub const MAGIC: &[u8] = b"ccd revival 1";
/// Bytes that a note may have.
pub const MAX_NOTE: usize = 64 << 10;
/// At least so long between two tries, whatever the number of hooks.
pub const PAUSE: Duration = Duration::from_secs(10);
/// Set for a daemon that a hook event brought back: nobody reads what it prints, so it must write it down.
pub const REVIVED: &str = "CCD_REVIVED";

/// What a daemon needs besides what begins with `CCD_`, `XDG_` and `LC_`.
const CARRIED: [&str; 22] = [
    "ALL_PROXY",
    "CLAUDE_CODE_CLIENT_CERT",
    "CLAUDE_CODE_CLIENT_KEY",
    "CLAUDE_CONFIG_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LOGNAME",
    "NODE_EXTRA_CA_CERTS",
    "NO_PROXY",
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "USER",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];
/// What is meant for one process alone.
const OF_ONE_PROCESS: [&str; 4] = ["CCD_HOOK_PROBE", "CCD_SUPERVISOR", "CCD_WORKER", REVIVED];

/// Whether a variable of the daemon's environment is written down.
#[must_use]
pub fn is_carried(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let of_ours = ["CCD_", "XDG_", "LC_"].iter().any(|prefix| name.starts_with(prefix));
    (of_ours && !OF_ONE_PROCESS.contains(&name)) || CARRIED.contains(&name)
}

/// A note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The program; started with the one argument `start`.
    pub program: PathBuf,
    /// Its whole environment.
    pub vars: Vec<(OsString, OsString)>,
}

impl Note {
    /// As bytes; none where it would be too long, or where something in it cannot be a string of a process.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let program = self.program.as_os_str().as_bytes();
        let mut is_sound = !program.is_empty() && !program.contains(&0);
        let mut bytes = [MAGIC, b"\0", program, b"\0"].concat();
        for (name, value) in &self.vars {
            let (name, value) = (name.as_bytes(), value.as_bytes());
            is_sound &=
                !name.is_empty() && !name.contains(&b'=') && !name.contains(&0) && !value.contains(&0);
            bytes.extend_from_slice(&[name, b"=", value, b"\0"].concat());
        }
        (is_sound && bytes.len() <= MAX_NOTE).then_some(bytes)
    }

    /// From bytes; none unless every byte of them is understood.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut strings = bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0);
        if bytes.len() > MAX_NOTE || strings.next()? != MAGIC {
            return None;
        }
        let own = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let program = strings.next().filter(|program| !program.is_empty())?;
        let pair = |string: &[u8]| {
            let at = string.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
            Some((own(&string[..at]), own(&string[at + 1..])))
        };
        let vars = strings.map(pair).collect::<Option<_>>()?;
        Some(Note { program: own(program).into(), vars })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn note() -> Note {
        let var = |name: &str, value: &[u8]| (name.into(), OsString::from_vec(value.to_vec()));
        Note { program: "/opt/a b/ccd".into(), vars: vec![var("HOME", b"/h\xff=x\n"), var("CCD_EMPTY", b"")] }
    }

    #[test]
    fn what_is_written_is_read_and_what_is_cut_or_changed_is_not() {
        let bytes = note().encode().unwrap();
        assert_eq!(Note::decode(&bytes), Some(note()));
        for len in 0..bytes.len() {
            // Cut between two variables it is a whole note of fewer.
            let cut = Note::decode(&bytes[..len]);
            assert!(cut.is_none_or(|cut| cut.program == note().program && cut.vars.len() < 2));
        }
        assert_eq!(Note::decode(b"ccd revival 2\0/ccd\0"), None);
        assert_eq!(Note::decode(b"ccd revival 1\0\0"), None);
        assert_eq!(Note::decode(b"ccd revival 1\0/ccd\0no pair\0"), None);
        assert_eq!(Note::decode(b"ccd revival 1\0/ccd\0=x\0"), None);
    }

    #[test]
    fn what_no_process_can_have_is_not_written() {
        let with = |name: &str, value: &str| {
            let vars = vec![(name.into(), value.into())];
            Note { program: Path::new("/ccd").into(), vars }.encode()
        };
        assert!(with("A", "x").is_some());
        assert!(with("A", "x\0y").is_none() && with("", "x").is_none() && with("A=B", "x").is_none());
        assert!(with("A", &"x".repeat(MAX_NOTE)).is_none());
    }

    #[test]
    fn no_credential_of_the_clients_is_carried() {
        for name in ["CCD_HOME", "XDG_RUNTIME_DIR", "HOME", "https_proxy", "NODE_EXTRA_CA_CERTS", "LC_ALL"] {
            assert!(is_carried(OsStr::new(name)), "{name}");
        }
        for name in [
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_AUTH_TOKEN",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "CCD_WORKER",
            "CCD_SUPERVISOR",
            "CCD_HOOK_PROBE",
            "AWS_SECRET_ACCESS_KEY",
            "LD_PRELOAD",
            "NOTIFY_SOCKET",
            "LISTEN_FDS",
        ] {
            assert!(!is_carried(OsStr::new(name)), "{name}");
        }
    }
}
