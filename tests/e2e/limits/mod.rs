//! What a client of the proxy may not do, and what the proxy does when the system is out of something: nothing of a
//! refused request reaches upstream, limits hold, and everybody else is answered meanwhile.
//!
//! Each test ends with a line of what it counted. No time and no speed is asserted.

mod admission;
mod bypass;
#[cfg(target_os = "linux")]
mod group;
#[cfg(target_os = "linux")]
mod hostile;
#[cfg(target_os = "linux")]
mod scarce;

use std::thread;

use ccd_proto::api::Status;
use ccd_tests::harness::wire::{Upstream, Wire};
use ccd_tests::harness::{Control, Daemon, TestHome, eventually};

/// A daemon, and an upstream that answers everything with its own body's length.
struct World {
    // Before its home: fields are dropped in their order.
    daemon: Daemon,
    home: TestHome,
    address: String,
    token: String,
    upstream: Upstream,
}

impl World {
    fn new() -> Self {
        Self::start(Daemon::start)
    }

    #[track_caller]
    fn start(start: impl FnOnce(&TestHome) -> Daemon) -> Self {
        let upstream = Upstream::new();
        let home = TestHome::new(&upstream.url());
        let daemon = start(&home);
        let url = home.base_url();
        let (address, token) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let (address, token) = (address.to_owned(), token.to_owned());
        World { daemon, home, address, token, upstream }
    }

    fn connect(&self) -> Wire {
        Wire::connect(&self.address)
    }

    /// A request's head up to its `Host`, for any method and path behind the token.
    fn head(&self, method: &str, path: &str) -> String {
        format!("{method} /{}{path} HTTP/1.1\r\nHost: {}\r\n", self.token, self.address)
    }

    #[track_caller]
    fn status(&self) -> Status {
        let control = Control::of(&self.home);
        eventually("the daemon tells its status", || control.ask("/v0/status"))
    }

    /// One good request from its beginning to its end, on a connection of its own, both sides played here.
    #[track_caller]
    fn assert_answered(&self) {
        let mut client = self.connect();
        client.send(self.head("POST", "/v1/messages") + "Content-Length: 2\r\n\r\n{}");
        let mut api = self.upstream.accept();
        assert_eq!(api.read_head().start, "POST /v1/messages HTTP/1.1");
        assert_eq!(api.read_rest().0, b"{}");
        // Else the next request would come on the same connection.
        api.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(client.read_head().status(), 200);
        assert_eq!(client.read_rest().0, b"ok");
    }
}

/// A field of a process's status, in bytes.
#[cfg(target_os = "linux")]
fn memory(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Does something on so many threads at a time, and gives what each of them came to.
fn at_once<T: Send>(number: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = (0..number).map(|n| scope.spawn(move || work(n))).collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    })
}
