//! What stands between client and origin: nothing, a plain relay, a bare proxy, nginx, or the product.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ccd_tests::harness::wire::Wire;
use ccd_tests::harness::{Daemon, TestHome, eventually};

/// One way to the origin.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    address: String,
    /// What precedes the path.
    prefix: String,
    pid: Option<u32>,
    /// Connections, kept from round to round as the client keeps its own.
    wires: Vec<Wire>,
    _running: Running,
}

/// What ends with the target.
enum Running {
    Nothing,
    Process(Child),
    Daemon { _daemon: Daemon, _home: TestHome },
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Running::Process(child) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Target {
    fn new(name: &'static str, address: String, prefix: String, pid: Option<u32>, running: Running) -> Self {
        Target { name, address, prefix, pid, wires: Vec::new(), _running: running }
    }

    /// Straight to the origin.
    pub(crate) fn direct(origin: SocketAddr) -> Self {
        Target::new("direct", origin.to_string(), String::new(), None, Running::Nothing)
    }

    /// The plain relay, as a process of its own.
    pub(crate) fn relay(origin: SocketAddr) -> Self {
        Self::own("relay", "relay", origin)
    }

    /// The bare proxy, as a process of its own.
    pub(crate) fn bare(origin: SocketAddr) -> Self {
        Self::own("bare hyper", "bare", origin)
    }

    /// A command of this program's own.
    fn own(name: &'static str, command: &str, origin: SocketAddr) -> Self {
        let own = std::env::current_exe().unwrap();
        let mut child =
            Command::new(own).args([command, &origin.to_string()]).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let pid = Some(child.id());
        Target::new(name, address.trim().to_owned(), String::new(), pid, Running::Process(child))
    }

    /// The product, capturing into a throw-away home.
    pub(crate) fn product(origin: SocketAddr) -> Self {
        let home = TestHome::new(&format!("http://{origin}"));
        let daemon = Daemon::start(&home);
        let url = home.base_url();
        let (address, token) = url.trim_start_matches("http://").split_once('/').unwrap();
        let (address, prefix, pid) = (address.to_owned(), format!("/{token}"), daemon.pid());
        Target::new("ccd", address, prefix, Some(pid), Running::Daemon { _daemon: daemon, _home: home })
    }

    /// nginx as one process, configured to stream; none where it is not installed.
    pub(crate) fn nginx(origin: SocketAddr, dir: &Path) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr crit;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n access_log off; tcp_nodelay on; client_max_body_size 0;\n\
             client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;\n\
             keepalive_requests 1000000;\n\
             upstream origin {{ server {origin}; keepalive 64; keepalive_requests 1000000; }}\n\
             server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://origin; proxy_http_version 1.1;\n\
             proxy_set_header Connection \"\"; proxy_buffering off; proxy_request_buffering off; }} }}\n}}\n"
        );
        std::fs::write(dir.join("nginx.conf"), config).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(dir).args(["-c", "nginx.conf", "-e", "stderr"]).stdin(Stdio::null());
        let child = command.spawn().ok()?;
        let address = format!("127.0.0.1:{port}");
        eventually("nginx answers", || std::net::TcpStream::connect(&address).ok());
        let pid = Some(child.id());
        Some(Target::new("nginx", address, String::new(), pid, Running::Process(child)))
    }

    /// Makes sure of `n` connections and hands them out.
    pub(crate) fn wires(&mut self, n: usize) -> &mut [Wire] {
        while self.wires.len() < n {
            self.wires.push(Wire::connect(&self.address).without_patience());
        }
        &mut self.wires[..n]
    }

    /// A request of this target.
    pub(crate) fn request(&self, query: &str, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "POST {}/v1/messages?{query} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             x-claude-code-session-id: bench\r\ncontent-length: {}\r\n\r\n",
            self.prefix,
            self.address,
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    /// CPU time that its process has used; zero for none.
    pub(crate) fn cpu(&self) -> Duration {
        self.pid.map_or(Duration::ZERO, cpu)
    }

    /// How much of it went into what passes: the product keeps a thread for that, beside those that write it down.
    pub(crate) fn passing(&self) -> Duration {
        let wanted = |thread: &str| self.name != "ccd" || thread == "ccd-proxy";
        self.pid.map_or(Duration::ZERO, |pid| cpu_of(pid, wanted))
    }
}

/// CPU time that a process has used.
pub(crate) fn cpu(pid: u32) -> Duration {
    cpu_of(pid, |_| true)
}

/// CPU time that those threads of a process have used whose names are wanted.
fn cpu_of(pid: u32, wanted: impl Fn(&str) -> bool) -> Duration {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let on_cpu = tasks.filter_map(|task| {
        let dir = task.ok()?.path();
        let name = std::fs::read_to_string(dir.join("comm")).ok()?;
        let stat = std::fs::read_to_string(dir.join("schedstat")).ok()?;
        let time = stat.split(' ').next()?.parse::<u64>().ok()?;
        wanted(name.trim()).then_some(time)
    });
    Duration::from_nanos(on_cpu.sum())
}
