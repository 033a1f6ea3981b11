//! The listener held by somebody else, as systemd's socket units do: the port outlives the supervisor, too.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use ccd_tests::assert_eventually;
use ccd_tests::harness::soak::summary;
use ccd_tests::harness::wire::Upstream;
use ccd_tests::harness::{Supervised, TestHome, binary, eventually};
use ccd_tests::mock::Mock;
use rustix::process::Signal;

use super::{Stream, ask, short};
use crate::check;
use crate::proxy::Proxy;

/// A free address.
fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// `ccd` started by a holder of `listener`, the way that systemd does it: the socket is descriptor 3.
fn activated(home: &TestHome, listener: &TcpListener) -> Command {
    let ccd = binary("ccd");
    let mut command = home.command(std::path::Path::new("/bin/sh"));
    command
        .arg("-c")
        .arg("LISTEN_FDS=1 LISTEN_FDNAMES=proxy LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&9 9<&-")
        .arg(ccd);
    let socket = OwnedFd::from(listener.try_clone().unwrap());
    // A child gets its standard streams; the shell moves the socket to where it belongs.
    let mut shell = home.command(std::path::Path::new("/bin/sh"));
    shell.arg("-c").arg("exec 9<&0 0</dev/null; exec \"$@\"").arg("sh");
    shell.arg(command.get_program()).args(command.get_args());
    shell.stdin(Stdio::from(socket));
    shell
}

#[test]
fn systemds_own_activator_hands_the_socket_over() {
    let mock = Mock::start(short());
    let home = TestHome::new(&mock.url());
    let address = free();
    // Must be there: a test that skips where it is missing would prove nothing.
    let mut command = home.command(std::path::Path::new("/usr/bin/systemd-socket-activate"));
    for name in ["CCD_HOME", "CCD_UPSTREAM", "CCD_PROXY_LISTEN", "CCD_WEB_LISTEN", "HOME", "PATH"] {
        command.arg("-E").arg(name);
    }
    command.args(["-l", &address, "--fdname=proxy"]).arg(binary("ccd"));
    let supervised = Supervised::spawn(&home, command);
    // It starts the program with the first connection, which waits meanwhile.
    let mut first = eventually("the activator listens", || std::net::TcpStream::connect(&address).ok());
    std::io::Write::write_all(&mut first, b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    // A worker learns of its supervisor a moment after it serves.
    let status = eventually("a worker answers", || {
        supervised.status().filter(|status| status.daemon.supervisor.is_some())
    });
    assert_eq!((status.proxy.holder.as_str(), status.proxy.listen.as_str()), ("systemd", address.as_str()));
    assert_eq!(status.daemon.supervisor.unwrap().pid, supervised.pid());
    assert_eq!(ask(&Proxy::of(&home), "s").unwrap().0, 200);
    supervised.stop();
}

#[test]
fn a_killed_supervisor_costs_neither_a_connection_nor_a_stream() {
    let upstream = Upstream::new();
    let home = TestHome::new(&upstream.url());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let start = || {
        let mut command = activated(&home, &listener);
        // Its standard input is the socket, not what the harness would give it.
        let socket = OwnedFd::from(listener.try_clone().unwrap());
        command.stdin(Stdio::from(socket));
        command
    };
    let mut supervised = Supervised::start_given(&home, start());
    let proxy = Proxy::of(&home);
    let mut kills = 0;
    for _ in 0..3 {
        let mut stream = Stream::open(&format!("held-{kills}"), &proxy, &upstream);
        stream.step();
        let worker = supervised.worker();
        supervised.signal(Signal::KILL);
        let _ = supervised.end();
        // Nobody is there to accept, and still nobody is refused.
        let mut waiting = proxy.try_connect().expect("the port is held");
        waiting.send(proxy.request("GET", "/.ccd/ping", &[], b""));
        let next = Supervised::start_given(&home, start());
        std::mem::forget(std::mem::replace(&mut supervised, next));
        assert_eq!(waiting.read_head().status(), 204);
        assert_eventually!(
            supervised.status().is_some_and(|status| status.daemon.pid != worker),
            "the store is given to the next worker"
        );
        stream.step();
        let _ = stream.end();
        kills += 1;
        assert_eventually!(
            check::exchanges(&home).iter().filter(|got| got.complete).count() == kills,
            "what the orphan captured is recorded"
        );
    }
    summary(&format!(
        "{kills} kills of the supervisor with a stream under way: 0 cut, 0 refused, {kills} recorded"
    ));
    supervised.stop();
}
