//! Where a session works: the tree that is looked at, and the working directory within it.
//!
//! Must never take a whole home directory, or the system's own directories, for somebody's project.
//!
//! Invariant: a path that does not lie within the tree is [`Within::Elsewhere`], and nobody says of it that it does not
//! exist.

use std::path::{Component, Path, PathBuf};

use super::limits::Gap;
use super::walk;

/// A working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The directory that is looked at, without links: the work tree's root, or the working directory itself.
    pub(super) root: PathBuf,
    /// As the session calls the root, where that can be told.
    given: PathBuf,
    /// The working directory below the root, with `/`; "" is the root.
    pub(super) prefix: String,
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Within {
    /// To this path below the root; "" is the root.
    Tree(String),
    Elsewhere,
}

impl Place {
    /// Finds the tree of a working directory. `home` is nobody's project, nor is a directory that holds it.
    pub(super) fn find(cwd: &Path, home: Option<&Path>) -> Result<Self, Gap> {
        let real = std::fs::canonicalize(cwd).map_err(|_| Gap::Absent)?;
        if !real.is_dir() {
            return Err(Gap::Absent);
        }
        let home = home.and_then(|home| std::fs::canonicalize(home).ok());
        let shared = |path: &Path| {
            path.parent().is_none() || home.as_deref().is_some_and(|home| home.starts_with(path))
        };
        let system = ["/proc", "/sys", "/dev"].iter().any(|of| real.starts_with(of));
        if shared(&real) || system {
            return Err(Gap::Refused);
        }
        let top = real
            .ancestors()
            .take_while(|path| !shared(path))
            .find(|path| path.join(".git").symlink_metadata().is_ok())
            // What is ignored there, a scratch directory under `target`, is a project of its own.
            .filter(|top| real.strip_prefix(top).is_ok_and(|below| !walk::is_ignored(top, below, true)));
        let root = top.unwrap_or(&real).to_path_buf();
        let below = real.strip_prefix(&root).unwrap_or(Path::new(""));
        let prefix = below.to_str().ok_or(Gap::Unreadable)?.to_owned();
        // The session may speak of it through a link.
        let given = match prefix.as_str() {
            "" => cwd.to_path_buf(),
            prefix => cwd.ancestors().find(|up| up.join(prefix) == cwd).unwrap_or(&root).to_path_buf(),
        };
        Ok(Self { root, given, prefix })
    }

    /// Where a path leads that is seen from the working directory.
    pub(super) fn within(&self, path: &str) -> Within {
        let mut parts: Vec<&str> = Vec::new();
        let absolute = Path::new(path);
        let path = if absolute.is_absolute() {
            let below = absolute.strip_prefix(&self.given).or_else(|_| absolute.strip_prefix(&self.root));
            match below.ok().and_then(Path::to_str) {
                Some(below) => below,
                None => return Within::Elsewhere,
            }
        } else {
            parts.extend(self.prefix.split('/').filter(|part| !part.is_empty()));
            path
        };
        for component in Path::new(path).components() {
            match component {
                Component::Normal(part) => parts.extend(part.to_str()),
                Component::ParentDir if parts.pop().is_none() => return Within::Elsewhere,
                _ => {}
            }
        }
        Within::Tree(parts.join("/"))
    }

    /// A path below the root as seen from the working directory.
    pub(super) fn seen(&self, path: &str) -> String {
        if self.prefix.is_empty() {
            return path.to_owned();
        }
        let mut up = self.prefix.as_str();
        let mut climbed = String::new();
        loop {
            let below = path
                .strip_prefix(up)
                .and_then(|rest| rest.strip_prefix('/').or((up.is_empty()).then_some(rest)));
            if let Some(below) = below {
                return climbed + below;
            }
            up = up.rsplit_once('/').map_or("", |(parent, _)| parent);
            climbed.push_str("../");
        }
    }
}

/// Whether the tree lies where a look at one path may take seconds, or for ever: on a network, or in another program.
pub(super) fn is_remote(root: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        // NFS, SMB (two forms), CIFS, FUSE, 9P, AFS, Ceph, autofs, Coda, NCP, Lustre.
        const REMOTE: [i64; 12] = [
            0x6969,
            0x517b,
            0xfe53_4d42,
            0xff53_4d42,
            0x6573_5546,
            0x0102_1997,
            0x5346_414f,
            0x00c3_6400,
            0x0187,
            0x7375_7245,
            0x564c,
            0x0bd0_0bd0,
        ];
        // The type's width and sign are the architecture's.
        #[allow(clippy::unnecessary_cast, clippy::cast_lossless, reason = "not everywhere")]
        rustix::fs::statfs(root).is_ok_and(|stat| REMOTE.contains(&(stat.f_type as i64 & 0xffff_ffff)))
    }
    #[cfg(target_os = "macos")]
    {
        const LOCAL: u32 = 0x1000;
        rustix::fs::statfs(root).is_ok_and(|stat| stat.f_flags & LOCAL == 0)
    }
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    {
        let _ = root;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(given: &str, prefix: &str) -> Place {
        Place { root: "/real/shop".into(), given: given.into(), prefix: prefix.into() }
    }

    #[test]
    fn paths_lead_somewhere() {
        let place = tree("/link/shop", "web/app");
        for (path, wanted) in [
            ("src/a.ts", "web/app/src/a.ts"),
            ("./src//a.ts/", "web/app/src/a.ts"),
            ("../../go.mod", "go.mod"),
            ("", "web/app"),
            (".", "web/app"),
            ("/link/shop/b", "b"),
            ("/real/shop/b/../c", "c"),
        ] {
            assert_eq!(place.within(path), Within::Tree(wanted.into()), "{path}");
        }
        for path in ["../../../x", "/etc/passwd", "/real/shopping", "/link/shop/../x"] {
            assert_eq!(place.within(path), Within::Elsewhere, "{path}");
        }
        for (path, wanted) in [
            ("web/app/a.ts", "a.ts"),
            ("web/b.ts", "../b.ts"),
            ("go.mod", "../../go.mod"),
            ("web/apple", "../apple"),
        ] {
            assert_eq!(place.seen(path), wanted);
            assert_eq!(place.within(wanted), Within::Tree(path.into()));
        }
        assert_eq!(tree("/real/shop", "").seen("a/b"), "a/b");
    }

    #[test]
    fn the_tree_is_the_work_tree_or_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap();
        for made in ["shop/.git", "shop/web/app", "shop/target/x", "plain/deep"] {
            fs_err::create_dir_all(home.join(made)).unwrap();
        }
        fs_err::write(home.join("shop/.gitignore"), "/target/\n").unwrap();
        let find = |cwd: &str| Place::find(&home.join(cwd), Some(&home));
        let found = find("shop/web/app").unwrap();
        assert_eq!((found.root.as_path(), found.prefix.as_str()), (home.join("shop").as_path(), "web/app"));
        assert_eq!(find("shop/target/x").unwrap().root, home.join("shop/target/x"), "ignored there");
        assert_eq!(find("plain/deep").unwrap().root, home.join("plain/deep"));
        assert_eq!(find("nowhere"), Err(Gap::Absent));
        fs_err::create_dir(home.join(".git")).unwrap();
        assert_eq!(find("plain/deep").unwrap().root, home.join("plain/deep"), "a home under version control");
        for refused in [home.as_path(), home.parent().unwrap(), Path::new("/")] {
            assert_eq!(Place::find(refused, Some(&home)), Err(Gap::Refused), "{}", refused.display());
        }
        #[cfg(target_os = "linux")]
        assert_eq!(Place::find(Path::new("/proc/self"), None), Err(Gap::Refused));
        std::os::unix::fs::symlink(home.join("shop"), home.join("link")).unwrap();
        let linked = find("link/web").unwrap();
        assert_eq!(linked.root, home.join("shop"));
        assert_eq!(linked.within(home.join("link/a").to_str().unwrap()), Within::Tree("a".into()));
    }
}
