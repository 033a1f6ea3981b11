//! `rotel`, an OpenTelemetry collector that is not ours, pinned: what others make of what we send.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::home::{TestHome, repo_root};
use super::process::Owned;
use super::wait::eventually;

/// The version that the tests are written for; `tests/run.sh` installs it.
pub const ROTEL_VERSION: &str = "0.0.1a15";
/// What its wheel for Linux on x86-64 was when they were.
pub const ROTEL_SHA256: &str = "2f4117e58410c933e0dc042a268ef738dab2e3a5d63b5831209acdac2a6ddcb7";

/// The program of `CCD_TEST_ROTEL`, else the one that `tests/run.sh` put under the target directory.
#[track_caller]
fn program() -> PathBuf {
    let cached = || {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo_root().join("target"), PathBuf::from);
        target.join("rotel").join(ROTEL_VERSION).join("rotel-agent")
    };
    let program = std::env::var_os("CCD_TEST_ROTEL").map_or_else(cached, PathBuf::from);
    assert!(
        program.is_file(),
        "rotel is missing at {}: `tests/run.sh` installs it (or name one in CCD_TEST_ROTEL)",
        program.display()
    );
    program
}

/// A running collector, which sends on what it takes. Killed on drop.
pub struct Rotel {
    address: String,
    _child: Owned,
}

impl Rotel {
    /// Starts one on free ports that sends to `sink`, as protobuf over HTTP.
    #[track_caller]
    #[must_use]
    pub fn start(home: &TestHome, sink: &str) -> Self {
        // Held together, so that they differ. Another process may take one before the collector does: it says so then.
        let ports = || {
            let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
            held.map(|listener| listener.local_addr().unwrap().to_string())
        };
        eventually("rotel listens", || {
            let [http, grpc] = ports();
            let mut command = Command::new(program());
            command
                .env_clear()
                .arg("start")
                .args(["--otlp-http-endpoint", &http, "--otlp-grpc-endpoint", &grpc])
                .args([
                    "--exporter",
                    "otlp",
                    "--otlp-exporter-protocol",
                    "http",
                    "--otlp-exporter-endpoint",
                    sink,
                ])
                .args(["--batch-timeout", "100ms"])
                .arg("--pid-file")
                .arg(home.work().with_file_name("rotel.pid"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let mut child = Owned(command.spawn().unwrap());
            let listens = eventually("rotel listens, or ends", || {
                if TcpStream::connect(&http).is_ok() {
                    Some(true)
                } else {
                    child.0.try_wait().unwrap().map(|_| false)
                }
            });
            listens.then(|| Rotel { address: http.clone(), _child: child })
        })
    }

    /// Where it takes OTLP over HTTP.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}
