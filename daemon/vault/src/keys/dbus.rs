//! As much of D-Bus as one question to one service takes: connect, say who we are, call, read the reply.
//!
//! The client libraries there are bring an asynchronous runtime and some fifty packages along; this is the wire format of
//! the specification, and no more. Everything has one deadline; whatever the bus sends, reading is total and bounded.

use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

/// The longest message that is read.
const LONGEST: u32 = 1 << 20;

const RETURN: u8 = 2;
const ERROR: u8 = 3;

/// What a call came to.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection failed, or nothing came in time.
    Io(io::Error),
    /// The service answered with an error of this name.
    Error(String),
    /// The reply is none.
    Reply,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Io(error)
    }
}

/// Arguments, put together.
#[derive(Default)]
pub(super) struct Args(Zeroizing<Vec<u8>>);

impl Args {
    pub(super) fn new() -> Self {
        // At its full size from the start: a key in it is not left behind by growing.
        Args(Zeroizing::new(Vec::with_capacity(8192)))
    }

    fn align(&mut self, to: usize) {
        while !self.0.len().is_multiple_of(to) {
            self.0.push(0);
        }
    }

    pub(super) fn u32(mut self, value: usize) -> Self {
        self.align(4);
        self.0.extend_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
        self
    }

    pub(super) fn bool(self, value: bool) -> Self {
        self.u32(usize::from(value))
    }

    /// A string, or an object's path.
    pub(super) fn text(mut self, text: &str) -> Self {
        self = self.u32(text.len());
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    pub(super) fn signature(mut self, text: &str) -> Self {
        self.0.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self = self.u32(bytes.len());
        self.0.extend_from_slice(bytes);
        self
    }

    /// What follows is a structure.
    pub(super) fn structure(mut self) -> Self {
        self.align(8);
        self
    }

    /// An array of structures, or of pairs.
    pub(super) fn array(mut self, elements: impl FnOnce(Self) -> Self) -> Self {
        self = self.u32(0);
        let length = self.0.len() - 4;
        self.align(8);
        let start = self.0.len();
        self = elements(self);
        let size = u32::try_from(self.0.len() - start).unwrap_or(u32::MAX);
        self.0[length..length + 4].copy_from_slice(&size.to_le_bytes());
        self
    }
}

/// A reply's values, taken apart.
pub(super) struct Values {
    bytes: Zeroizing<Vec<u8>>,
    at: usize,
}

impl Values {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> Result<&[u8], Fault> {
        let end = self.at.checked_add(count).ok_or(Fault::Reply)?;
        let taken = self.bytes.get(self.at..end).ok_or(Fault::Reply)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.align(4);
        Ok(u32::from_le_bytes(self.take(4)?.try_into().map_err(|_| Fault::Reply)?))
    }

    pub(super) fn bytes(&mut self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let length = self.u32()? as usize;
        Ok(Zeroizing::new(self.take(length)?.to_vec()))
    }

    pub(super) fn text(&mut self) -> Result<String, Fault> {
        let length = self.u32()? as usize;
        let text = str::from_utf8(self.take(length)?).map_err(|_| Fault::Reply)?.to_owned();
        self.byte()?;
        Ok(text)
    }

    pub(super) fn signature(&mut self) -> Result<String, Fault> {
        let length = usize::from(self.byte()?);
        let text = str::from_utf8(self.take(length)?).map_err(|_| Fault::Reply)?.to_owned();
        self.byte()?;
        Ok(text)
    }

    /// An array of objects' paths.
    pub(super) fn paths(&mut self) -> Result<Vec<String>, Fault> {
        let end = self.u32()? as usize + self.at;
        let mut all = Vec::new();
        while self.at < end {
            all.push(self.text()?);
        }
        Ok(all)
    }

    pub(super) fn structure(&mut self) {
        self.align(8);
    }
}

/// A call.
pub(super) struct Call<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    pub(super) signature: &'a str,
}

/// A connection to a bus.
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    until: Instant,
}

impl Bus {
    /// Connects to the first address of a list that can be reached, as `DBUS_SESSION_BUS_ADDRESS` holds one.
    pub(super) fn connect(addresses: &str, patience: Duration) -> Result<Self, Fault> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "no address of a bus");
        for address in addresses.split(';') {
            match reach(address) {
                Ok(stream) => {
                    let mut bus = Bus { stream, serial: 0, until: Instant::now() + patience };
                    bus.greet()?;
                    return Ok(bus);
                }
                Err(error) => last = error,
            }
        }
        Err(last.into())
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let left = self.left()?;
        self.stream.set_write_timeout(Some(left))?;
        self.stream.write_all(bytes)
    }

    fn read(&mut self, count: usize) -> io::Result<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(vec![0; count]);
        let mut done = 0;
        while done < count {
            let left = self.left()?;
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut bytes[done..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }

    /// Who we are, as the socket says it, too.
    fn greet(&mut self) -> Result<(), Fault> {
        let uid = rustix::process::geteuid().as_raw().to_string();
        let hex = crate::codec::hex(uid.as_bytes());
        self.write(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") && line.len() < 512 {
            line.push(self.read(1)?[0]);
        }
        if !line.starts_with(b"OK ") {
            return Err(Fault::Error("the bus does not let us in".into()));
        }
        self.write(b"BEGIN\r\n")?;
        let bus = "org.freedesktop.DBus";
        let hello = Call {
            destination: bus,
            path: "/org/freedesktop/DBus",
            interface: bus,
            member: "Hello",
            signature: "",
        };
        self.call(&hello, &Args::default()).map(drop)
    }

    /// Calls, and waits for the reply.
    pub(super) fn call(&mut self, call: &Call<'_>, args: &Args) -> Result<Values, Fault> {
        self.serial += 1;
        let serial = self.serial;
        let mut head = Args::new();
        head.0.extend_from_slice(&[b'l', 1, 0, 1]);
        let field = |args: Args, code: u8, kind: &str, text: &str| {
            let mut args = args.structure();
            args.0.push(code);
            let args = args.signature(kind);
            if kind == "g" { args.signature(text) } else { args.text(text) }
        };
        let mut message = head.u32(args.0.len()).u32(serial as usize).array(|all| {
            let all = field(all, 1, "o", call.path);
            let all = field(all, 2, "s", call.interface);
            let all = field(all, 3, "s", call.member);
            let all = field(all, 6, "s", call.destination);
            if call.signature.is_empty() { all } else { field(all, 8, "g", call.signature) }
        });
        message.align(8);
        message.0.extend_from_slice(&args.0);
        self.write(&message.0)?;
        loop {
            if let Some(reply) = self.message(serial)? {
                return Ok(reply);
            }
        }
    }

    /// The next message, if it is the reply to this one.
    fn message(&mut self, serial: u32) -> Result<Option<Values>, Fault> {
        let mut fixed = Values { bytes: self.read(16)?, at: 4 };
        let (order, kind) = (fixed.bytes[0], fixed.bytes[1]);
        let (body, _, fields) = (fixed.u32()?, fixed.u32()?, fixed.u32()?);
        if order != b'l' || body > LONGEST || fields > LONGEST {
            return Err(Fault::Reply);
        }
        // Both begin at a multiple of eight.
        let mut head = Values { bytes: self.read((fields as usize).next_multiple_of(8))?, at: 0 };
        let body = Values { bytes: self.read(body as usize)?, at: 0 };
        let (mut answers, mut error) = (None, String::new());
        while head.at < fields as usize {
            head.structure();
            let code = head.byte()?;
            match (code, head.signature()?.as_str()) {
                (5, "u") => answers = Some(head.u32()?),
                (_, "u") => _ = head.u32()?,
                (4, "s") => error = head.text()?,
                (_, "s" | "o") => _ = head.text()?,
                (_, "g") => _ = head.signature()?,
                _ => return Err(Fault::Reply),
            }
        }
        match (kind, answers == Some(serial)) {
            (RETURN, true) => Ok(Some(body)),
            (ERROR, true) => Err(Fault::Error(error)),
            _ => Ok(None),
        }
    }
}

/// `unix:path=…` and `unix:abstract=…`.
fn reach(address: &str) -> io::Result<UnixStream> {
    let pairs = address.trim().strip_prefix("unix:").unwrap_or_default().split(',');
    for (key, value) in pairs.filter_map(|pair| pair.split_once('=')) {
        let value = unescaped(value);
        match key {
            "path" => return UnixStream::connect(value),
            "abstract" => return UnixStream::connect_addr(&SocketAddr::from_abstract_name(value)?),
            _ => {}
        }
    }
    Err(io::Error::new(io::ErrorKind::Unsupported, "a bus that is no Unix socket"))
}

fn unescaped(value: &str) -> String {
    let mut parts = value.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                out.push_str(&part[2..]);
            }
            None => out.push_str(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        assert_eq!(unescaped("/run/a%20b%2fc"), "/run/a b/c");
        for wrong in ["", "tcp:host=x", "unix:", "unix:guid=1"] {
            assert!(reach(wrong).is_err(), "{wrong}");
        }
        assert!(matches!(
            Bus::connect("unix:path=/nowhere/at/all", Duration::from_secs(1)),
            Err(Fault::Io(_))
        ));
    }

    #[test]
    fn any_reply_is_read_or_refused() {
        for byte in [0u8, 1, 7, 0x6c, 0xff] {
            for length in 0..40 {
                let values = || Values { bytes: Zeroizing::new(vec![byte; length]), at: 0 };
                let _ = (values().text(), values().paths(), values().bytes(), values().signature());
            }
        }
    }

    #[test]
    fn a_bus_that_says_nothing_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let address = format!("unix:path={}", path.display());
        assert!(matches!(Bus::connect(&address, Duration::from_millis(20)), Err(Fault::Io(_))));
    }
}
