//! Parts of different versions beside each other, as an upgrade leaves them for a moment: told, and never misread.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use ccd_proto::frame::HEADER_LEN;
use ccd_tests::assert_eventually;
use ccd_tests::harness::events::HookSession;
use ccd_tests::harness::{Daemon, Supervised, TestHome, binary};

use crate::check;

use crate::proxy::Proxy;

/// A `ccd` of another version: it changes what one process leaves to the next, and goes on as the real one.
///
/// `later`: there are fields, and words, that this version does not know. Otherwise: fields that it has given a default
/// are not there.
fn other_version(home: &TestHome, later: bool) -> PathBuf {
    let path = home.user().join("ccd");
    let change = if later {
        "value['of_tomorrow'] = {'a': [1]}\n        for inner in value.get('workers', []) + value.get('listeners', []):\n            \
         inner['of_tomorrow'] = 1"
    } else {
        "value.pop('retiring', None)"
    };
    let text = format!(
        "#!/usr/bin/env python3\nimport json, os, sys\n\
         for name in ('CCD_WORKER', 'CCD_SUPERVISOR'):\n    \
         if name in os.environ:\n        value = json.loads(os.environ[name])\n        {change}\n        \
         os.environ[name] = json.dumps(value)\n        \
         if name == 'CCD_WORKER' and {}:\n            os.write(value['channel'], b'of tomorrow: dance\\n')\n\
         os.execv('{}', [sys.argv[0]] + sys.argv[1:])\n",
        if later { "True" } else { "False" },
        binary("ccd").display()
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn supervisors_and_workers_of_neighbouring_versions_understand_each_other() {
    for later in [true, false] {
        let home = TestHome::new("http://127.0.0.1:9");
        let program = other_version(&home, later);
        let mut command = home.command(&program);
        command.env("PATH", std::env::var_os("PATH").unwrap());
        let supervised = Supervised::start_as(&home, command);
        let (supervisor, first) = (supervised.pid(), supervised.worker());
        // Another file: the supervisor becomes it, through what the other version left.
        let aside = home.user().join("aside");
        std::fs::copy(&program, &aside).unwrap();
        std::fs::rename(&aside, &program).unwrap();
        let _ = home.ccctl(&["restart"]).ok();
        let log = home.layout().log_dir.join("ccd.log");
        assert_eventually!(
            std::fs::read_to_string(&log).unwrap().contains("the new program goes on"),
            "it has become the other version"
        );
        assert_ne!(supervised.worker(), first);
        assert_eq!(supervised.supervision().supervisor.pid, supervisor);
        let mut wire = Proxy::of(&home).connect();
        wire.send(Proxy::of(&home).request("GET", "/.ccd/ping", &[], b""));
        assert_eq!(wire.read_head().status(), 204);
        supervised.stop();
    }
}

#[test]
fn an_event_of_a_later_shim_is_kept_until_a_daemon_of_its_version_starts() {
    let home = TestHome::new("http://127.0.0.1:9");
    let session = HookSession::new();
    let _ = home.cc_hook(&session.before_tool("toolu_later", "true")).ok();
    let spooled = home.spool().remove(0);
    let mut frame = std::fs::read(&spooled).unwrap();
    frame[2] += 1;
    std::fs::remove_file(&spooled).unwrap();

    // Over the socket: no answer that says it was taken, so that such a shim spools it.
    let daemon = Daemon::start(&home);
    let mut stream = UnixStream::connect(home.layout().hook_socket()).unwrap();
    let _ = std::io::Write::write_all(&mut stream, &frame[..HEADER_LEN]);
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
    assert_eq!(answer, b"");
    // From the spool: set aside, told, and not lost.
    let aside = spooled.with_file_name(".aside");
    std::fs::write(&aside, &frame).unwrap();
    std::fs::rename(aside, &spooled).unwrap();
    assert_eventually!(home.running().hooks.later == 1, "it is told");
    let hooks = home.running().hooks;
    assert_eq!((hooks.rejected, hooks.spooled), (0, 0));
    assert!(home.ccctl(&["status"]).ok().text().contains("1 of a later version"));
    daemon.stop(&home);

    // The daemon of that version: for it, the frame is one that it reads.
    let kept = home.spool().remove(0);
    assert_eq!(std::fs::read(&kept).unwrap(), frame);
    frame[2] -= 1;
    std::fs::write(&kept, &frame).unwrap();
    let _daemon = Daemon::start(&home);
    assert_eventually!(home.running().hooks.events == 1, "it is taken in");
    assert_eq!(check::tool_spans(&home, &session.session).len(), 1);
    assert_eq!(home.running().hooks.later, 0);
    assert!(home.spool().is_empty());
}
