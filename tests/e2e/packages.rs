//! What `packaging/build.sh` makes: the same bytes every time, and installed, it works and asks for nobody's leave.
//!
//! The programs are those of the release, built as the installer builds them. Nothing is installed outside a test's own
//! directory: where a package manager wants a system, it is given an empty one.

use std::path::{Path, PathBuf};

use ccd_tests::harness::{Out, TestHome, repo_root, run, run_within};
use ccd_tests::mock::{Mock, Script};
use sha2::{Digest, Sha256};

use crate::readme::{BUILD, can_build, works_and_goes};

mod npm;

const SETTINGS: &str = "{ \"model\": \"opus\" }\n";

/// A home, a server for it, and packages of one format.
struct Packages {
    home: TestHome,
    _mock: Mock,
    /// What was made, with its directory.
    files: Vec<PathBuf>,
}

impl Packages {
    /// Builds a format, twice, and finds the same bytes.
    fn build(format: &str) -> Self {
        let mock = Mock::start(Script::new());
        let home = TestHome::new(&mock.url());
        home.write_settings(SETTINGS);
        let build = |dir: &str, more: &[&str]| {
            let out = home.work().join(dir);
            let mut command = home.command(&repo_root().join("packaging/build.sh"));
            can_build(command.args([format, "--quick", "--out", out.to_str().unwrap()]).args(more));
            // A commit in between would be another date.
            command.env("SOURCE_DATE_EPOCH", "1700000000");
            let _ = run_within(BUILD, &mut command, b"").ok();
            (out.clone(), std::fs::read_to_string(out.join("SHA256SUMS")).unwrap())
        };
        let (out, sums) = build("packages", &[]);
        let (_, again) = build("again", &["--base-url", &format!("file://{}", out.display())]);
        assert_eq!(sums, again, "the same sources give the same bytes");
        let files = sums
            .lines()
            .map(|line| {
                let (sum, name) = line.split_once("  ").unwrap();
                let file = out.join(name);
                assert_eq!(hex(&Sha256::digest(std::fs::read(&file).unwrap())), sum, "{name}");
                file
            })
            .collect();
        Packages { home, _mock: mock, files }
    }

    /// The package whose name ends like this.
    fn file(&self, end: &str) -> &Path {
        let ends = |file: &&PathBuf| file.to_str().unwrap().ends_with(end);
        self.files.iter().find(ends).unwrap_or_else(|| panic!("{end} in {:?}", self.files))
    }

    /// Runs a tool in the home.
    fn tool(&self, program: &str, args: &[&str]) -> Out {
        let mut command = self.home.command(Path::new(program));
        can_build(&mut command);
        run(command.args(args), b"").ok()
    }

    /// All three programs run and say the same version; then the whole of `install` and `uninstall`. `typed` is what
    /// people type as `ccctl`, `bin` where the programs are.
    fn works(&self, typed: &Path, bin: &Path) {
        let said = |program: &Path| run(self.home.command(program).arg("--version"), b"").ok().text();
        assert_eq!(said(typed), format!("ccctl {}\n", env!("CARGO_PKG_VERSION")));
        assert_eq!(said(&bin.join("ccd")), format!("ccd {}\n", env!("CARGO_PKG_VERSION")));
        let _ = run(self.home.command(typed).args(["install", "--no-service"]), b"").ok();
        works_and_goes(&self.home, typed, &bin.join("cc-hook"), SETTINGS);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Pages and completions lie below `share`, and say what they are.
fn speaks(share: &Path, zsh: &str, compressed: bool) {
    let read = |path: &str| {
        let bytes = std::fs::read(share.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        String::from_utf8(if compressed && path.starts_with("man/") { unzipped(&bytes) } else { bytes })
            .unwrap()
    };
    let gz = if compressed { ".gz" } else { "" };
    for (page, says) in [
        ("man1/ccctl.1", "Tokens and cost"),
        ("man1/ccctl-store-backup.1", "An empty one"),
        ("man1/ccctl-doctor.1", ".so man1/ccctl-verify.1"),
        ("man1/cc-hook.1", "SPOOL_DIR"),
        ("man8/ccd.8", "supervise"),
    ] {
        let text = read(&format!("man/{page}{gz}"));
        assert!(text.to_lowercase().contains(&says.to_lowercase()), "{page}: {text}");
        assert!(!text.contains("@VERSION@"), "{page}");
    }
    assert!(read("bash-completion/completions/ccctl").contains("complete -F _ccctl"));
    assert!(read("fish/vendor_completions.d/ccctl.fish").contains("complete -c ccctl"));
    assert!(read(&format!("zsh/{zsh}/_ccctl")).starts_with("#compdef ccctl"));
}

fn unzipped(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).unwrap();
    text
}

/// What a system's package puts where.
#[cfg(target_os = "linux")]
fn lies_in_place(root: &Path, zsh: &str, licences: &str) {
    speaks(&root.join("usr/share"), zsh, true);
    let unit = std::fs::read_to_string(root.join("usr/lib/systemd/user/ccd.service")).unwrap();
    assert!(unit.contains("\nExecStart=\"/usr/bin/ccd\" supervise\n"), "{unit}");
    let licences = std::fs::read_to_string(root.join("usr/share/doc/ccd").join(licences)).unwrap();
    for needed in ["tokio ", "sled ", "zstd-sys ", "BSD License", "Permission is hereby granted"] {
        assert!(licences.contains(needed), "{needed}");
    }
    // A unit that nobody has asked for is not started: that takes a link below one of these.
    for dir in ["etc", "usr/lib/systemd/user/default.target.wants", "usr/lib/systemd/user-preset"] {
        assert!(!root.join(dir).exists(), "{dir}");
    }
}

/// An empty system for dpkg.
#[cfg(target_os = "linux")]
fn dpkg(packages: &Packages, root: &Path, args: &[&str]) -> Out {
    let root = format!("--root={}", root.display());
    // No libc is there to depend on, and no shell to change the root to.
    let forced = [
        "--force-depends",
        "--force-script-chrootless",
        "--force-not-root",
        "--force-bad-path",
        "--no-triggers",
    ];
    packages.tool("dpkg", &[&[&root[..]], &forced[..], args].concat())
}

#[cfg(target_os = "linux")]
#[test]
fn the_deb_installs_upgrades_under_a_running_daemon_and_goes() {
    let packages = Packages::build("deb");
    let (home, deb) = (&packages.home, packages.file(".deb").to_str().unwrap());
    let root = home.ccd().with_file_name("system");
    for dir in ["var/lib/dpkg/info", "var/lib/dpkg/updates"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    for file in ["status", "available"] {
        std::fs::write(root.join("var/lib/dpkg").join(file), "").unwrap();
    }
    let before = std::fs::read_dir(home.user()).unwrap().count();
    let said = dpkg(&packages, &root, &["-i", deb]).text();
    assert!(said.contains("type: ccctl install"), "{said}");
    assert_eq!(std::fs::read_dir(home.user()).unwrap().count(), before, "nobody's home is touched");
    assert!(home.status().is_none(), "nothing is started");
    let depends = packages.tool("dpkg-deb", &["-f", deb, "Depends"]).text();
    assert!(depends.contains("libc6 (>= 2."), "{depends}");
    lies_in_place(&root, "vendor-completions", "copyright");

    let bin = root.join("usr/bin");
    let ccctl = |args: &[&str]| run(home.command(&bin.join("ccctl")).args(args), b"");
    let _ = ccctl(&["install", "--no-service"]).ok();
    let running = home.running();
    let said = dpkg(&packages, &root, &["-i", deb]).text();
    assert!(said.contains("types: ccctl restart"), "{said}");
    assert_eq!(home.running().daemon.pid, running.daemon.pid, "the daemon that runs is left alone");
    let doctor = ccctl(&["doctor"]);
    assert_eq!(doctor.code, Some(1), "{doctor}");
    assert!(
        doctor.text().contains("replaced on disk") && doctor.text().contains("`ccctl restart`"),
        "{doctor}"
    );
    let _ = ccctl(&["restart"]).ok();
    assert_ne!(home.running().daemon.pid, running.daemon.pid);
    packages.works(&bin.join("ccctl"), &bin);

    // One user of this system still has it in the settings, another one has not.
    std::fs::create_dir_all(root.join("home/alice/.local/state/ccd")).unwrap();
    std::fs::write(root.join("home/alice/.local/state/ccd/install.json"), "{}").unwrap();
    std::fs::create_dir_all(root.join("home/bob/.local/state/ccd")).unwrap();
    let said = dpkg(&packages, &root, &["-r", "ccd"]).text();
    assert!(said.contains("still set to it: alice\n") && said.contains("ccctl uninstall"), "{said}");
    assert!(!bin.join("ccctl").exists() && !root.join("usr/share/man/man8/ccd.8.gz").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn the_rpm_installs_and_goes() {
    let packages = Packages::build("rpm");
    let rpm = packages.file(".rpm").to_str().unwrap();
    let root = packages.home.ccd().with_file_name("system");
    std::fs::create_dir_all(root.join("tmp")).unwrap();
    let at = root.to_str().unwrap();
    if rustix::process::geteuid().is_root() {
        // Its scripts speak through rpm itself.
        let said = packages.tool("rpm", &["--root", at, "--nodeps", "-i", rpm]);
        assert!(said.to_string().contains("type: ccctl install"), "{said}");
        assert_eq!(packages.tool("rpm", &["--root", at, "-V", "--nodeps", "ccd"]).text(), "");
    } else {
        // rpm changes the root, which others may not.
        let archive = packages.tool("rpm2archive", &["-n", rpm]);
        let tar = root.join("files.tar");
        std::fs::write(&tar, archive.stdout).unwrap();
        let _ = packages.tool("tar", &["-xf", tar.to_str().unwrap(), "-C", at]);
    }
    let scripts = packages.tool("rpm", &["-qp", "--scripts", rpm]).text();
    assert!(!scripts.contains("/bin/sh") && scripts.contains("ccctl restart"), "{scripts}");
    lies_in_place(&root, "site-functions", "THIRD-PARTY-NOTICES");
    packages.works(&root.join("usr/bin/ccctl"), &root.join("usr/bin"));
    if rustix::process::geteuid().is_root() {
        std::fs::create_dir_all(root.join("home/alice/.local/state/ccd")).unwrap();
        std::fs::write(root.join("home/alice/.local/state/ccd/install.json"), "{}").unwrap();
        std::fs::create_dir_all(root.join("home/bob")).unwrap();
        let said = packages.tool("rpm", &["--root", at, "-e", "ccd"]).to_string();
        assert!(said.contains("still set to it: alice\n") && said.contains("ccctl uninstall"), "{said}");
        assert!(!root.join("usr/bin/ccctl").exists());
    }
}

#[test]
fn the_wheel_installs() {
    let packages = Packages::build("wheel");
    let prefix = packages.home.ccd().with_file_name("prefix");
    let wheel = packages.file(".whl").to_str().unwrap();
    let arguments =
        ["-m", "pip", "install", "--no-index", "--no-deps", "--no-cache-dir", "--disable-pip-version-check"];
    let place = ["--prefix", prefix.to_str().unwrap(), wheel];
    let _ = packages.tool("python3", &[&arguments[..], &place].concat());
    // Some systems' Python puts what it installs into `local`.
    let prefix = if prefix.join("bin").is_dir() { prefix } else { prefix.join("local") };
    speaks(&prefix.join("share"), "site-functions", false);
    packages.works(&prefix.join("bin/ccctl"), &prefix.join("bin"));
}

#[test]
fn the_formula_names_the_archive_and_what_is_in_it() {
    let packages = Packages::build("brew");
    let archive = packages.file(".tar.gz");
    let formula = std::fs::read_to_string(packages.file(".rb")).unwrap();
    let sum = hex(&Sha256::digest(std::fs::read(archive).unwrap()));
    for line in [format!("url \"file://{}\"", archive.display()), format!("sha256 \"{sum}\"")] {
        assert!(formula.contains(&line), "{line}: {formula}");
    }
    assert!(!formula.contains('@'), "{formula}");
    // What the formula names is there.
    let _ = packages.tool("tar", &["-xzf", archive.to_str().unwrap()]);
    let top = packages.home.work().join(format!("ccd-{}", env!("CARGO_PKG_VERSION")));
    for file in ["packaging/install.sh", "packaging/man/ccd.8", "packaging/man/cc-hook.1", "Cargo.lock"] {
        assert!(formula.contains(file) || file == "Cargo.lock", "{file}");
        assert!(top.join(file).is_file(), "{file}");
    }
    let help = run(packages.home.command(&top.join("packaging/install.sh")).arg("--help"), b"").ok();
    assert!(help.text().contains("--build-only") && help.text().contains("--prefix"), "{help}");
}

#[test]
fn the_daemons_page_tells_all_that_its_help_tells() {
    let home = TestHome::new("http://127.0.0.1:9");
    let page = std::fs::read_to_string(repo_root().join("packaging/man/ccd.8")).unwrap().replace("\\-", "-");
    let help = |args: &[&str]| {
        let ccd = ccd_tests::harness::binary("ccd");
        run(home.command(&ccd).args(args).arg("--help"), b"").ok().text()
    };
    let whole = help(&[]);
    let (_, commands) = whole.split_once("Commands:\n").unwrap();
    let commands: Vec<&str> =
        commands.lines().take_while(|l| !l.is_empty()).filter_map(|l| l.split_whitespace().next()).collect();
    assert!(commands.len() >= 4, "{whole}");
    for command in &commands {
        assert!(page.contains(&format!("\n.B {command}\n")), "{command}");
    }
    let inner = commands.iter().filter(|c| **c != "help").map(|c| help(&[c])).collect::<String>();
    for option in (whole + &inner).split_whitespace().filter(|word| word.starts_with("--")) {
        let option = option.trim_end_matches([',', '.', ')']);
        assert!(page.contains(option), "{option}");
    }
}
