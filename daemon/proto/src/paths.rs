//! Where everything of ours lies on disk: one rule for the daemon, the hook shim and the command line.
//!
//! `CCD_HOME=DIR` puts all of it under `DIR`. Otherwise XDG, on Linux and macOS alike. Nothing here touches
//! the file system or the process environment: the caller passes a way to look a variable up.
//!
//! No captured string ever takes part in a path.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Longest path that fits a Unix socket address: macOS holds 104 bytes with the closing NUL, Linux 108.
pub const MAX_SOCKET_PATH: usize = 103;

/// [`Layout::supervisor_lock`] in the state directory.
pub const SUPERVISOR_LOCK: &str = "SUPERVISOR";
/// [`Layout::lock_file`] in the state directory.
pub const DAEMON_LOCK: &str = "LOCK";

/// The places of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// `CCD_HOME`, where it is set.
    pub home: Option<PathBuf>,
    /// `config.toml`.
    pub config_file: PathBuf,
    /// What must survive: store, lock, token, install manifest.
    pub state_dir: PathBuf,
    /// Sockets.
    pub run_dir: PathBuf,
    /// Hook events that the daemon has not taken yet, one file each; in the state directory.
    pub spool_dir: PathBuf,
    /// Log files.
    pub log_dir: PathBuf,
}

/// Why no layout can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// Neither `CCD_HOME` nor `HOME` is set to an absolute path.
    NoHome,
    /// The named variable must be an absolute path.
    Relative(&'static str),
    /// The sockets' directory is too long for a socket address.
    SocketPathTooLong(PathBuf),
}

impl std::fmt::Display for LayoutError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LayoutError::NoHome => {
                f.write_str("no home directory: set HOME, or CCD_HOME to a directory of ccd's own")
            }
            LayoutError::Relative(var) => write!(f, "{var} must be an absolute path"),
            LayoutError::SocketPathTooLong(path) => write!(
                f,
                "{} is too long for a socket (limit {MAX_SOCKET_PATH} bytes): choose a shorter CCD_HOME or XDG_RUNTIME_DIR",
                path.display()
            ),
        }
    }
}

impl std::error::Error for LayoutError {}

impl Layout {
    /// Resolves the layout; `var` looks a variable of the environment up. Empty values count as unset.
    pub fn resolve(var: impl Fn(&str) -> Option<OsString>) -> Result<Self, LayoutError> {
        let get = |name: &'static str| -> Result<Option<PathBuf>, LayoutError> {
            match var(name).filter(|v| !v.is_empty()).map(PathBuf::from) {
                Some(p) if p.is_absolute() => Ok(Some(p)),
                Some(_) => Err(LayoutError::Relative(name)),
                None => Ok(None),
            }
        };
        let layout = if let Some(home) = get("CCD_HOME")? {
            Layout {
                config_file: home.join("config.toml"),
                state_dir: home.join("state"),
                run_dir: home.join("run"),
                spool_dir: home.join("state/spool"),
                log_dir: home.join("logs"),
                home: Some(home),
            }
        } else {
            let user_home = get("HOME")?;
            let or_home = |dir: Option<PathBuf>, rest: &str| match (dir, &user_home) {
                (Some(d), _) => Ok(d),
                (None, Some(h)) => Ok(h.join(rest)),
                (None, None) => Err(LayoutError::NoHome),
            };
            // The XDG specification asks that relative values be ignored, not refused.
            let xdg = |name: &'static str| get(name).ok().flatten();
            let config = or_home(xdg("XDG_CONFIG_HOME"), ".config")?.join("ccd");
            let state = or_home(xdg("XDG_STATE_HOME"), ".local/state")?.join("ccd");
            Layout {
                home: None,
                config_file: config.join("config.toml"),
                run_dir: xdg("XDG_RUNTIME_DIR").map_or_else(|| state.join("run"), |d| d.join("ccd")),
                spool_dir: state.join("spool"),
                log_dir: state.join("logs"),
                state_dir: state,
            }
        };
        for socket in [layout.control_socket(), layout.hook_socket()] {
            if socket.as_os_str().len() > MAX_SOCKET_PATH {
                return Err(LayoutError::SocketPathTooLong(socket));
            }
        }
        Ok(layout)
    }

    /// The control API's socket.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.run_dir.join("ccd.sock")
    }

    /// The hook events' socket.
    #[must_use]
    pub fn hook_socket(&self) -> PathBuf {
        self.run_dir.join("hook.sock")
    }

    /// The supervisor's own socket.
    #[must_use]
    pub fn supervisor_socket(&self) -> PathBuf {
        self.run_dir.join("sup.sock")
    }

    /// Held locked by the one supervisor of this home.
    #[must_use]
    pub fn supervisor_lock(&self) -> PathBuf {
        self.state_dir.join(SUPERVISOR_LOCK)
    }

    /// The store's directory.
    #[must_use]
    pub fn store_dir(&self) -> PathBuf {
        self.state_dir.join("store")
    }

    /// Held locked by the one daemon of this home.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        self.state_dir.join(DAEMON_LOCK)
    }

    /// The path token of this installation: 32 hexadecimal digits, mode 0600.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.state_dir.join("token")
    }

    /// What ids of records are made with, so that they tell nothing of what was taken out of those: 32 bytes, mode 0600.
    #[must_use]
    pub fn ids_key(&self) -> PathBuf {
        self.state_dir.join("ids.key")
    }

    /// The vault: what was taken out of records, sealed, and who looked at it.
    #[must_use]
    pub fn vault_dir(&self) -> PathBuf {
        self.state_dir.join("vault")
    }

    /// Who is logged in to the pages: hashes, mode 0600.
    #[must_use]
    pub fn web_logins(&self) -> PathBuf {
        self.state_dir.join("web-logins")
    }

    /// Hashes of the tokens by which other programs hand something in.
    #[must_use]
    pub fn receive_tokens(&self) -> PathBuf {
        self.state_dir.join("tokens")
    }

    /// What `ccctl open` hands to a browser where its arguments could be read by others; replaced by the next.
    #[must_use]
    pub fn link_page(&self) -> PathBuf {
        self.run_dir.join("open.html")
    }

    /// What `install` changed, so that `uninstall` can take exactly that back.
    #[must_use]
    pub fn install_manifest(&self) -> PathBuf {
        self.state_dir.join("install.json")
    }

    /// What a hook event brings a killed daemon back from ([`crate::revival`]); there as long as nobody asked the daemon
    /// to end.
    #[must_use]
    pub fn revival_note(&self) -> PathBuf {
        revival_note(&self.spool_dir)
    }

    /// What is still to be removed once the daemon has ended, after an uninstallation that had to wait for it.
    #[must_use]
    pub fn leaving_note(&self) -> PathBuf {
        self.state_dir.join("leaving.json")
    }

    /// The daemon's log.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.log_dir.join("ccd.log")
    }
}

/// [`Layout::revival_note`] for `cc-hook`, which is told where the spool is, and no more.
#[must_use]
pub fn revival_note(spool_dir: &Path) -> PathBuf {
    spool_dir.with_file_name("revival")
}

/// The base URL that Claude Code is given: the proxy's address and the path token.
#[must_use]
pub fn base_url(listen: &str, token: &str) -> String {
    format!("http://{listen}/{token}")
}

/// Whether `url` is a base URL of ours with this token, whatever its port.
#[must_use]
pub fn is_our_base_url(url: &str, token: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let Some((_, path)) = rest.split_once('/') else { return false };
    path.trim_end_matches('/') == token && !token.is_empty()
}

/// Claude Code's configuration directories, in its own order: `CLAUDE_CONFIG_DIR` (a comma list), else
/// `~/.claude`.
#[must_use]
pub fn claude_config_dirs(var: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    if let Some(list) = var("CLAUDE_CONFIG_DIR").filter(|v| !v.is_empty()) {
        // A list that is not UTF-8 is one directory: a comma cannot be told apart there.
        return match list.to_str() {
            Some(text) => {
                text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(PathBuf::from).collect()
            }
            None => vec![PathBuf::from(&list)],
        };
    }
    var("HOME").map(|h| vec![Path::new(&h).join(".claude")]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        move |name| pairs.iter().find(|(k, _)| *k == name).map(|(_, v)| OsString::from(v))
    }

    #[test]
    fn ccd_home_holds_everything() {
        let l = Layout::resolve(env(&[("CCD_HOME", "/x"), ("XDG_RUNTIME_DIR", "/run/u")])).unwrap();
        for p in [&l.config_file, &l.state_dir, &l.run_dir, &l.spool_dir, &l.log_dir] {
            assert!(p.starts_with("/x"), "{}", p.display());
        }
    }

    #[test]
    fn xdg_is_followed_and_falls_back() {
        let l = Layout::resolve(env(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/u")])).unwrap();
        assert_eq!(l.control_socket(), Path::new("/run/u/ccd/ccd.sock"));
        assert_eq!(l.config_file, Path::new("/h/.config/ccd/config.toml"));
        let l = Layout::resolve(env(&[("HOME", "/h"), ("XDG_STATE_HOME", "rel")])).unwrap();
        assert_eq!(l.hook_socket(), Path::new("/h/.local/state/ccd/run/hook.sock"));
    }

    #[test]
    fn the_note_is_found_from_the_spool_and_lies_in_the_state_directory() {
        for layout in [env(&[("CCD_HOME", "/x")]), env(&[("HOME", "/h")])].map(Layout::resolve) {
            let layout = layout.unwrap();
            assert_eq!(layout.revival_note().parent(), Some(&*layout.state_dir));
            assert_eq!(revival_note(&layout.spool_dir), layout.revival_note());
        }
    }

    #[test]
    fn impossible_layouts_say_why() {
        assert_eq!(Layout::resolve(env(&[])), Err(LayoutError::NoHome));
        assert_eq!(Layout::resolve(env(&[("CCD_HOME", "rel")])), Err(LayoutError::Relative("CCD_HOME")));
        let long = format!("/{}", "d".repeat(120));
        assert!(matches!(
            Layout::resolve(env(&[("CCD_HOME", &long)])),
            Err(LayoutError::SocketPathTooLong(_))
        ));
    }

    #[test]
    fn our_base_url_is_known_by_its_token() {
        let url = base_url("127.0.0.1:7788", "abc");
        assert!(is_our_base_url(&url, "abc"));
        assert!(is_our_base_url("http://127.0.0.1:1/abc/", "abc"));
        assert!(!is_our_base_url("http://127.0.0.1:1/other", "abc"));
        assert!(!is_our_base_url("https://api.anthropic.com", "abc"));
        assert!(!is_our_base_url("http://x/", ""));
    }

    #[test]
    fn config_dirs_follow_the_comma_list() {
        assert_eq!(claude_config_dirs(env(&[("HOME", "/h")])), [Path::new("/h/.claude")]);
        let two = claude_config_dirs(env(&[("HOME", "/h"), ("CLAUDE_CONFIG_DIR", "/a, /b")]));
        assert_eq!(two, [Path::new("/a"), Path::new("/b")]);
    }
}
