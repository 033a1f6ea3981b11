//! Everything that `ccctl` knows about its surroundings, gathered once in `main` and passed down.
//!
//! Must never be bypassed: no other module reads the process environment, the clock or the time zone. That is
//! what lets every command be tested in a temporary directory, with no variable of the process changed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ccd_proto::paths::{self, Layout};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::error::{CommandError, Result};
use crate::exec::Runner;

/// Looks a variable of the environment up.
pub type Lookup = Box<dyn Fn(&str) -> Option<OsString>>;

/// Where Claude Code looks for an administrator's settings on this system.
pub const MANAGED: &str =
    if cfg!(target_os = "macos") { "/Library/Application Support/ClaudeCode" } else { "/etc/claude-code" };

/// The surroundings of one run.
pub struct Env {
    /// Looks a variable up; see [`Env::var`].
    pub vars: Lookup,
    /// Where everything of ours lies.
    pub layout: Layout,
    /// The moment the command was given.
    pub now: Timestamp,
    /// The moment it is, for a command that goes on: what it is asked later is not asked at `now`.
    pub clock: fn() -> Timestamp,
    /// The zone that times are read and shown in.
    pub tz: TimeZone,
    /// This program's own path; `ccd` and `cc-hook` are looked for beside it first.
    pub exe: PathBuf,
    /// The working directory.
    pub cwd: PathBuf,
    /// Where an administrator keeps settings that nobody else changes.
    pub managed: PathBuf,
    /// Runs other programs.
    pub runner: Box<dyn Runner>,
}

impl Env {
    /// A variable's value; empty counts as unset.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<OsString> {
        (self.vars)(name).filter(|v| !v.is_empty())
    }

    /// A variable's value as text; what is not UTF-8 counts as unset.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.var(name).and_then(|v| v.into_string().ok())
    }

    /// The user's home.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        self.var("HOME").map(PathBuf::from).filter(|p| p.is_absolute())
    }

    /// Claude Code's configuration directories, made absolute, in its own order.
    pub fn claude_dirs(&self) -> Result<Vec<PathBuf>> {
        let dirs: Vec<_> =
            paths::claude_config_dirs(|name| self.var(name)).iter().map(|d| self.cwd.join(d)).collect();
        if dirs.is_empty() {
            return Err(CommandError::failed(
                "no home directory, so no place to look for Claude Code's settings",
            )
            .hint("set HOME, or CLAUDE_CONFIG_DIR to Claude Code's configuration directory"));
        }
        Ok(dirs)
    }

    /// The path token of this installation, once the daemon has made one.
    #[must_use]
    pub fn token(&self) -> Option<String> {
        let text = fs_err::read_to_string(self.layout.token_file()).ok()?;
        let token = text.trim();
        (!token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric())).then(|| token.to_owned())
    }

    /// Whether `url` is the base URL of this installation.
    #[must_use]
    pub fn is_our_url(&self, url: &str) -> bool {
        self.token().is_some_and(|token| paths::is_our_base_url(url, &token))
    }

    /// Whether the locale can show more than ASCII. Where nothing says otherwise, it can.
    #[must_use]
    pub fn is_unicode(&self) -> bool {
        let named = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| self.text(name));
        named.is_none_or(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        })
    }

    /// One of our programs: beside this one, else on `PATH`.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let beside = self.exe.parent().map(|dir| dir.join(name)).filter(|p| is_executable(p));
        beside.map(lasting).or_else(|| self.on_path(OsStr::new(name))).ok_or_else(|| {
            CommandError::failed(format!("the program `{name}` is missing")).hint(format!(
                "it lies beside {} or on PATH: {}",
                self.exe.display(),
                again(&self.exe)
            ))
        })
    }

    /// Why what names this program may lead nowhere soon: the tool whose cache it lies in, and how it is installed to
    /// stay.
    #[must_use]
    pub fn passing(&self) -> Option<(&'static str, &'static str)> {
        passing(&self.exe)
    }

    /// A program as a shell would find it, as an absolute path.
    #[must_use]
    pub fn on_path(&self, name: &OsStr) -> Option<PathBuf> {
        if name.as_bytes().contains(&b'/') {
            let path = self.cwd.join(name);
            return is_executable(&path).then_some(path);
        }
        self.all_on_path(name).next()
    }

    /// Every program of this name in the directories of `PATH`, in their order.
    pub fn all_on_path(&self, name: &OsStr) -> impl Iterator<Item = PathBuf> {
        let path = self.var("PATH").unwrap_or_default();
        // An empty one names no directory, not the working one.
        let dirs: Vec<_> = std::env::split_paths(&path).filter(|_| !path.is_empty()).collect();
        dirs.into_iter().map(move |dir| self.cwd.join(dir).join(name)).filter(|p| is_executable(p))
    }
}

/// How the programs come back, the way that they came.
fn again(exe: &Path) -> &'static str {
    let has = |name: &str| exe.components().any(|part| part.as_os_str() == name);
    if has("node_modules") {
        "`npm install -g ccd-recorder` puts it there again"
    } else if has("Cellar") {
        "`brew reinstall ccd` puts it there again"
    } else if has("site-packages") || has("pipx") || has("venv") || has(".venv") {
        "`pip install --force-reinstall ccd-recorder` puts it there again"
    } else if exe.starts_with("/usr/bin") {
        "install the package `ccd` again (`apt-get install --reinstall ccd`, `dnf reinstall ccd`)"
    } else {
        "packaging/install.sh puts it there"
    }
}

/// Directories in which programs lie only until somebody clears up: the start of a name, whose they are, and what to type
/// instead.
const PASSING: [(&str, &str, &str); 5] = [
    ("_npx", "npx", "npm install -g ccd-recorder"),
    ("bunx-", "bunx", "bun add -g ccd-recorder"),
    ("dlx", "pnpm dlx", "pnpm add -g ccd-recorder"),
    ("archive-v", "uvx", "uv tool install ccd-recorder"),
    ("xfs-", "yarn dlx", "npm install -g ccd-recorder"),
];

fn passing(exe: &Path) -> Option<(&'static str, &'static str)> {
    let parts: Vec<&str> = exe.components().filter_map(|part| part.as_os_str().to_str()).collect();
    let is_cache = |head: &str| match head {
        // Of uv, whose other directories stay.
        "archive-v" => parts.windows(2).any(|two| two[0] == "uv" && two[1].starts_with(head)),
        "dlx" => parts.windows(2).any(|two| two[0] == "pnpm" && two[1].starts_with(head)),
        "_npx" => parts.contains(&head),
        _ => parts.iter().any(|part| part.starts_with(head)) && parts.contains(&"node_modules"),
    };
    PASSING.iter().find(|(head, ..)| is_cache(head)).map(|(_, tool, instead)| (*tool, *instead))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// The path of a program that will still lead to it after an upgrade: what is written down names it for years.
/// Homebrew keeps it at `PREFIX/Cellar/NAME/VERSION/bin/`, which goes with the version; `PREFIX/opt/NAME` stays.
fn lasting(program: PathBuf) -> PathBuf {
    let mut above = program.ancestors().skip(1);
    let (Some(bin), Some(_), Some(formula), Some(cellar), Some(prefix)) =
        (above.next(), above.next(), above.next(), above.next(), above.next())
    else {
        return program;
    };
    let (Some(name), Some(bin), Some(file)) = (formula.file_name(), bin.file_name(), program.file_name())
    else {
        return program;
    };
    let stays = prefix.join("opt").join(name).join(bin).join(file);
    let is_brew = cellar.file_name() == Some(OsStr::new("Cellar"));
    if is_brew && is_executable(&stays) { stays } else { program }
}

#[cfg(test)]
mod tests {
    use crate::testing::Home;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_program_of_homebrews_goes_by_the_path_that_survives_an_upgrade() {
        let home = Home::new();
        let in_cellar = home.write("brew/Cellar/ccd/0.1.0/bin/ccd", "");
        std::fs::set_permissions(&in_cellar, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut env = home.env();
        env.exe = in_cellar.with_file_name("ccctl");
        assert_eq!(env.program("ccd").unwrap(), in_cellar, "nothing leads to it from outside");
        std::fs::create_dir(home.path().join("brew/opt")).unwrap();
        std::os::unix::fs::symlink("../Cellar/ccd/0.1.0", home.path().join("brew/opt/ccd")).unwrap();
        assert_eq!(env.program("ccd").unwrap(), home.path().join("brew/opt/ccd/bin/ccd"));
    }

    #[test]
    fn a_program_in_a_cache_is_known_by_whose_it_is() {
        let tool = |path: &str| super::passing(std::path::Path::new(path)).map(|(tool, _)| tool);
        for (path, whose) in [
            ("/h/.npm/_npx/1f/node_modules/ccd-recorder-linux-x64/bin/ccctl", Some("npx")),
            ("/tmp/bunx-0-ccd-recorder/node_modules/ccd-recorder-linux-x64/bin/ccctl", Some("bunx")),
            ("/h/.cache/pnpm/dlx/2b/node_modules/x/bin/ccctl", Some("pnpm dlx")),
            ("/h/.cache/uv/archive-v0/abc/bin/ccctl", Some("uvx")),
            ("/tmp/xfs-3a/node_modules/x/bin/ccctl", Some("yarn dlx")),
            ("/usr/lib/node_modules/ccd-recorder-linux-x64/bin/ccctl", None),
            ("/h/.local/share/uv/tools/ccd-recorder/bin/ccctl", None),
            ("/h/archive-v0/bin/ccctl", None),
            ("/h/.local/bin/ccctl", None),
        ] {
            assert_eq!(tool(path), whose, "{path}");
        }
    }

    #[test]
    fn a_missing_program_comes_back_the_way_it_came() {
        let hint = |exe: &str| {
            let mut env = Home::new().env();
            env.exe = exe.into();
            env.program("no-such-program").unwrap_err().hints.remove(0)
        };
        for (exe, way) in [
            ("/usr/bin/ccctl", "--reinstall ccd"),
            ("/usr/lib/node_modules/x/bin/ccctl", "npm install -g"),
            ("/opt/brew/Cellar/ccd/1/bin/ccctl", "brew reinstall"),
            ("/h/.venv/bin/ccctl", "pip install"),
            ("/h/.local/bin/ccctl", "packaging/install.sh"),
        ] {
            assert!(hint(exe).contains(way), "{}", hint(exe));
        }
    }

    #[test]
    fn a_program_elsewhere_goes_by_its_own_path() {
        let home = Home::new();
        home.programs();
        assert_eq!(home.env().program("ccd").unwrap(), home.path().join("bin/ccd"));
        assert!(Home::new().env().program("ccd").is_err());
    }
}
