//! Who asks: the process at the other end of the control socket, as the system tells it.
//!
//! What the process says of itself counts for nothing. It may have ended before it is looked at: then less is known.

use ccd_vault::Who;
use tokio::net::UnixStream;

/// Who is at the other end.
#[must_use]
pub fn of(stream: &UnixStream) -> Who {
    let Ok(peer) = stream.peer_cred() else { return Who::default() };
    let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
    Who { uid: peer.uid(), pid, tty: terminal(pid), program: program(pid) }
}

/// A process's terminal, from `/proc`; elsewhere, and for whoever has none, none.
fn terminal(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything, a closing parenthesis, too.
    let number: u32 =
        stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(4)?.parse::<i32>().ok()?.cast_unsigned();
    let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xfff00);
    match major {
        0 => None,
        136..=143 => Some(format!("pts/{}", (major - 136) * 256 + minor)),
        4 => Some(format!("tty{minor}")),
        _ => Some(format!("{major}:{minor}")),
    }
}

/// A process's program, by its short name.
fn program(pid: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().chars().filter(|c| !c.is_control()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_of_our_own_is_ours() {
        let (one, _other) = UnixStream::pair().unwrap();
        let who = of(&one);
        assert_eq!(who.uid, rustix::process::getuid().as_raw());
        #[cfg(target_os = "linux")]
        assert!(who.pid == std::process::id() && who.program.is_some());
    }
}
