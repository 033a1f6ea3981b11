//! `ccctl statusline`: one line for Claude Code's status line. The client's JSON on stdin, the figures from the daemon.
//!
//! Must never fail, never be blank and never be waited for: whatever stdin holds and however the daemon is, there is one
//! line, soon; what the daemon does not tell in time is left out, or taken from the JSON alone. No captured character
//! reaches the terminal as anything but text.

use std::ffi::OsString;
use std::io::{IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ccd_proto::api::{BudgetScope, Reply, StatusLine};
use ccd_proto::paths::Layout;
use ccd_proto::{API_VERSION, VERSION};
use jiff::Timestamp;
use serde_json::Value;

use crate::args::{Cli, Command, StatusLineArgs};
use crate::env::Env;
use crate::error::Result;
use crate::human::duration_ms;
use crate::printer::{Printer, Tone, paint};
use crate::query::Target;
use crate::table::captured;

/// How long the daemon is waited for.
const DAEMON: Duration = Duration::from_millis(30);
/// How long stdin is waited for. The client writes at once and closes it.
const STDIN: Duration = Duration::from_secs(1);
/// Most bytes that are read of stdin, and of the daemon's answer.
const MAX: u64 = 256 << 10;
/// Cells of the context's bar.
const CELLS: u64 = 8;
/// From here on a share is much, and very much, in percent.
const MUCH: f64 = 70.0;
const VERY_MUCH: f64 = 90.0;
/// What is shown where nothing else is asked for.
const PARTS: [&str; 6] = ["model", "context", "cost", "limits", "budget", "detections"];
/// Longest name of a model.
const MAX_NAME: usize = 40;

/// What the daemon had to say.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    /// Its figures.
    Figures(Box<StatusLine>),
    /// Nothing in time, or nothing that can be read.
    Nothing,
    /// It is not there.
    Away,
    /// It speaks another version of the control API: what it says may mean anything.
    Foreign,
}

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &StatusLineArgs) -> Result<()> {
    let stdin = std::io::stdin();
    let bytes =
        if stdin.is_terminal() { Vec::new() } else { within(STDIN, read_all(stdin)).unwrap_or_default() };
    let snapshot: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let said = ask(env, bytes);
    let line = Line { env, snapshot: &snapshot, said: &said, colour: env.var("NO_COLOR").is_none() };
    out.line(line.render(&args.parts))
}

/// The command that a mistyped `statusline …` stands for: a status line has nobody to read an error.
#[must_use]
pub fn instead(args: impl IntoIterator<Item = OsString>) -> Option<Cli> {
    let is_it = args.into_iter().nth(1).is_some_and(|arg| arg == "statusline");
    is_it.then(|| Cli { command: Command::StatusLine(StatusLineArgs::default()) })
}

/// Places where nothing is, for who has no home to find the daemon's in.
#[must_use]
pub fn no_layout() -> Layout {
    let nowhere = || PathBuf::from("/nonexistent");
    Layout {
        home: None,
        config_file: nowhere(),
        state_dir: nowhere(),
        run_dir: nowhere(),
        spool_dir: nowhere(),
        log_dir: nowhere(),
    }
}

fn read_all(stdin: impl Read + Send + 'static) -> impl FnOnce() -> Vec<u8> + Send + 'static {
    move || {
        let mut bytes = Vec::new();
        // What came before an error is what there is.
        let _ = stdin.take(MAX).read_to_end(&mut bytes);
        bytes
    }
}

/// Does something on a thread of its own, and waits for it no longer than this: neither reads of stdin nor connections
/// to a daemon that stands still have a limit.
fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tx, rx) = mpsc::sync_channel(1);
    let work = move || drop(tx.send(work()));
    std::thread::Builder::new().spawn(work).ok()?;
    rx.recv_timeout(limit).ok()
}

/// Asks the daemon, and waits no longer than it may take.
fn ask(env: &Env, snapshot: Vec<u8>) -> Said {
    let socket = env.layout.control_socket();
    let target = Target::new("/v0/statusline");
    let deadline = Instant::now() + DAEMON;
    within(DAEMON, move || exchange(&socket, target.as_ref(), &snapshot, deadline)).unwrap_or(Said::Nothing)
}

fn exchange(socket: &PathBuf, target: &str, snapshot: &[u8], deadline: Instant) -> Said {
    let Ok(mut stream) = UnixStream::connect(socket) else { return Said::Away };
    let asked = (|| -> std::io::Result<Vec<u8>> {
        let left = || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_write_timeout(Some(left()))?;
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: ccd\r\nCcd-Version: {VERSION}\r\nCcd-Api: {API_VERSION}\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n",
            snapshot.len()
        );
        stream.write_all(&[head.as_bytes(), snapshot].concat())?;
        stream.set_read_timeout(Some(left()))?;
        let mut answer = Vec::new();
        (&mut stream).take(MAX).read_to_end(&mut answer)?;
        Ok(answer)
    })();
    match asked {
        Ok(answer) if is_foreign(&answer) => Said::Foreign,
        Ok(answer) => figures(&answer).map_or(Said::Nothing, |f| Said::Figures(Box::new(f))),
        Err(_) => Said::Nothing,
    }
}

/// Whether an answer names another version of the control API.
fn is_foreign(answer: &[u8]) -> bool {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let api = head.lines().find_map(|line| line.strip_prefix("ccd-api:"));
    api.is_some_and(|api| api.trim().parse() != Ok(API_VERSION))
}

/// The figures in an answer that is one.
fn figures(answer: &[u8]) -> Option<StatusLine> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    answer.starts_with(b"HTTP/1.1 200 ").then_some(())?;
    let reply: Reply<StatusLine> = serde_json::from_slice(&answer[end + 4..]).ok()?;
    Some(reply.body)
}

/// Everything that the line is made of.
struct Line<'a> {
    env: &'a Env,
    snapshot: &'a Value,
    said: &'a Said,
    colour: bool,
}

impl Line<'_> {
    /// The line; `parts` that there are none of are passed over.
    fn render(&self, parts: &[String]) -> String {
        let known: Vec<&str> =
            parts.iter().map(|part| part.trim()).filter(|part| PARTS.contains(part)).collect();
        let parts = if known.is_empty() { &PARTS[..] } else { &known };
        let mut shown: Vec<String> = parts.iter().filter_map(|part| self.part(part)).collect();
        let needs_daemon = parts.iter().any(|part| !matches!(*part, "model" | "context"));
        if *self.said == Said::Away && needs_daemon {
            shown.push(self.paint(Tone::Warn, "ccd is not running"));
        }
        if *self.said == Said::Foreign && needs_daemon {
            shown.push(self.paint(Tone::Warn, "ccd is of another version: ccctl restart"));
        }
        if shown.is_empty() {
            shown.push("ccd".to_owned());
        }
        shown.join(&self.paint(Tone::Faint, if self.env.is_unicode() { " · " } else { " | " }))
    }

    fn part(&self, part: &str) -> Option<String> {
        match part {
            "model" => self.model(),
            "context" => self.context(),
            "cost" => self.cost(),
            "limits" => self.limits(),
            "budget" => self.figures()?.budget.as_ref().map(|budget| self.budget(budget)),
            "detections" => self.detections(),
            _ => None,
        }
    }

    fn paint(&self, tone: Tone, text: &str) -> String {
        paint(self.colour, tone, text)
    }

    fn figures(&self) -> Option<&StatusLine> {
        match self.said {
            Said::Figures(figures) => Some(figures),
            _ => None,
        }
    }

    fn model(&self) -> Option<String> {
        let text = |path: &str| self.snapshot.pointer(path)?.as_str().filter(|text| !text.trim().is_empty());
        let name = text("/model/display_name").or_else(|| text("/model/id"))?;
        let short: String = name.chars().take(MAX_NAME).collect();
        Some(self.paint(Tone::Strong, &captured(&short)))
    }

    fn context(&self) -> Option<String> {
        let used = self.snapshot.pointer("/context_window/used_percentage")?.as_f64()?;
        let used = used.is_finite().then(|| used.clamp(0.0, 100.0))?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 0 to 8
        let full = (used * 8.0 / 100.0).round() as u64;
        let (on, off) = if self.env.is_unicode() { ("▓", "░") } else { ("#", ".") };
        let bar: String = (0..CELLS).map(|cell| if cell < full { on } else { off }).collect();
        Some(format!("{} {used:.0}%", self.paint(tone(used, Tone::Good), &bar)))
    }

    fn cost(&self) -> Option<String> {
        let figures = self.figures();
        let ours = figures.and_then(|f| f.session_usd_micros).map(usd);
        // The client's own figure lacks what it does not count; it stands in where we know nothing, and says so.
        let session = ours.or_else(|| client_cost(self.snapshot).map(|micros| format!("~{}", usd(micros))));
        let today = figures.map(|f| format!("{} today", usd(f.today_usd_micros)));
        let both: Vec<String> = session.into_iter().chain(today).collect();
        (!both.is_empty()).then(|| both.join(", "))
    }

    /// The 5-hour and the 7-day window: as the daemon knows them, else as the client tells.
    fn limits(&self) -> Option<String> {
        let windows = [("5h", "unified-5h", "five_hour"), ("7d", "unified-7d", "seven_day")];
        let shown: Vec<String> = windows
            .iter()
            .filter_map(|(name, ours, theirs)| {
                let (used, resets) = self.known(ours).or_else(|| told(self.snapshot, theirs))?;
                let left = resets.filter(|at| *at > self.env.now).map(|at| {
                    let ms = at.duration_since(self.env.now).as_millis();
                    format!(" ({})", duration_ms(u64::try_from(ms).unwrap_or(0)))
                });
                let used = used.clamp(0.0, 999.0);
                let text = self.paint(tone(used, Tone::Plain), &format!("{name} {used:.0}%"));
                Some(format!("{text}{}", left.unwrap_or_default()))
            })
            .collect();
        (!shown.is_empty()).then(|| shown.join(" "))
    }

    fn known(&self, name: &str) -> Option<(f64, Option<Timestamp>)> {
        let limits = self.figures()?.rate_limits.as_ref()?;
        let limit = limits.limits.iter().find(|limit| limit.name == name && !limit.stale)?;
        Some((limit.used_percent?, limit.resets_at.as_ref().and_then(|at| at.parse().ok())))
    }

    fn budget(&self, budget: &BudgetScope) -> String {
        let limit = budget.hard_usd_micros.or(budget.soft_usd_micros).map(usd).unwrap_or_default();
        let spent = usd(budget.spent_usd_micros);
        let scope = captured(&budget.scope);
        if budget.state == "hit" {
            return self.paint(Tone::Bad, &format!("{scope} budget used up: {spent} of {limit}"));
        }
        // Why it is told of: it may be far from the hard limit and beyond the soft one.
        let over = budget
            .soft_usd_micros
            .filter(|soft| budget.hard_usd_micros.is_some() && budget.spent_usd_micros >= *soft)
            .map(|soft| format!(", over {}", usd(soft)))
            .unwrap_or_default();
        self.paint(
            Tone::Warn,
            &format!("{scope} budget {}%: {spent} of {limit}{over}", budget.percent.unwrap_or(0)),
        )
    }

    fn detections(&self) -> Option<String> {
        let open = self.figures()?.open_detections;
        (open > 0).then(|| self.paint(Tone::Warn, &crate::human::plural(open, "detection")))
    }
}

/// What the client says the session cost, in micro-dollars.
fn client_cost(snapshot: &Value) -> Option<i64> {
    let dollars = snapshot.pointer("/cost/total_cost_usd")?.as_f64()?;
    #[allow(clippy::cast_possible_truncation)] // at most 10^15
    let micros = (0.0..1e9).contains(&dollars).then_some((dollars * 1e6).round() as i64);
    micros
}

/// What the client says of a window.
fn told(snapshot: &Value, name: &str) -> Option<(f64, Option<Timestamp>)> {
    let window = snapshot.get("rate_limits")?.get(name)?;
    let resets = window.get("resets_at").and_then(Value::as_i64).and_then(|s| Timestamp::from_second(s).ok());
    Some((window.get("used_percentage")?.as_f64().filter(|used| used.is_finite())?, resets))
}

fn tone(used: f64, little: Tone) -> Tone {
    match used {
        used if used >= VERY_MUCH => Tone::Bad,
        used if used >= MUCH => Tone::Warn,
        _ => little,
    }
}

/// Dollars and cents: a status line has no room for more.
fn usd(micros: i64) -> String {
    let cents = (micros.max(0) + 5_000) / 10_000;
    if micros > 0 && cents == 0 {
        return "<$0.01".to_owned();
    }
    format!("${}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use ccd_proto::api::{RateLimit, RateLimits};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::testing::Home;

    fn snapshot() -> Value {
        json!({
            "session_id": "s",
            "model": {"id": "claude-opus-5-5", "display_name": "Opus 5.5"},
            "cost": {"total_cost_usd": 0.062_664},
            "context_window": {"used_percentage": 42},
            "rate_limits": {"five_hour": {"used_percentage": 12.4, "resets_at": 1_795_219_200}},
        })
    }

    fn figures() -> StatusLine {
        let limit = |name: &str, used: f64, resets: &str| RateLimit {
            name: name.into(),
            used_percent: Some(used),
            resets_at: Some(resets.into()),
            ..RateLimit::default()
        };
        StatusLine {
            session_usd_micros: Some(1_234_567),
            today_usd_micros: 12_345_678,
            rate_limits: Some(RateLimits {
                limits: vec![
                    limit("unified-5h", 72.0, "2026-11-20T23:40:00Z"),
                    limit("unified-7d", 95.4, "2026-11-24T08:00:00Z"),
                ],
                ..RateLimits::default()
            }),
            budget: Some(BudgetScope {
                scope: "day".into(),
                state: "near".into(),
                spent_usd_micros: 12_345_678,
                hard_usd_micros: Some(15_000_000),
                percent: Some(82),
                ..BudgetScope::default()
            }),
            open_detections: 2,
        }
    }

    fn render(snapshot: &Value, said: &Said, colour: bool, parts: &[&str]) -> String {
        let env = Home::new().env();
        let parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        Line { env: &env, snapshot, said, colour }.render(&parts)
    }

    #[test]
    fn everything_in_one_line() {
        let said = Said::Figures(Box::new(figures()));
        insta::assert_snapshot!(render(&snapshot(), &said, false, &[]), @"Opus 5.5 · ▓▓▓░░░░░ 42% · $1.23, $12.35 today · 5h 72% (2h10m) 7d 95% (3d10h) · day budget 82%: $12.35 of $15.00 · 2 detections");
        insta::assert_snapshot!(render(&snapshot(), &said, true, &["limits", "context"]).replace('\u{1b}', "^"), @"^[33m5h 72%^[0m (2h10m) ^[31m7d 95%^[0m (3d10h)^[2m · ^[0m^[32m▓▓▓░░░░░^[0m 42%");
    }

    #[test]
    fn without_the_daemon_the_json_alone_tells() {
        insta::assert_snapshot!(render(&snapshot(), &Said::Nothing, false, &[]), @"Opus 5.5 · ▓▓▓░░░░░ 42% · ~$0.06 · 5h 12% (2h30m)");
        insta::assert_snapshot!(render(&snapshot(), &Said::Foreign, false, &["model", "cost"]), @"Opus 5.5 · ~$0.06 · ccd is of another version: ccctl restart");
        insta::assert_snapshot!(render(&snapshot(), &Said::Away, false, &["model", "cost", "nonsense"]), @"Opus 5.5 · ~$0.06 · ccd is not running");
        assert_eq!(render(&Value::Null, &Said::Nothing, false, &[]), "ccd");
        assert_eq!(render(&Value::Null, &Said::Away, false, &["model"]), "ccd");
    }

    #[test]
    fn a_locale_without_unicode_gets_ascii() {
        let env = Home::new().var("LC_ALL", "C").env();
        let (snapshot, said) = (snapshot(), Said::Nothing);
        let line = Line { env: &env, snapshot: &snapshot, said: &said, colour: false }.render(&[]);
        assert!(line.is_ascii() && line.contains("###....."), "{line}");
    }

    #[test]
    fn a_budget_that_is_used_up_says_so() {
        let hit = BudgetScope { state: "hit".into(), ..figures().budget.unwrap() };
        let said = Said::Figures(Box::new(StatusLine { budget: Some(hit), ..figures() }));
        assert_eq!(render(&Value::Null, &said, false, &["budget"]), "day budget used up: $12.35 of $15.00");
    }

    #[test]
    fn answers_that_are_none_are_nothing() {
        for answer in [&b""[..], b"HTTP/1.1 503 x\r\n\r\n{}", b"HTTP/1.1 200 OK\r\n\r\nnonsense", b"\r\n\r\n"]
        {
            assert!(super::figures(answer).is_none());
        }
        for (head, foreign) in
            [("ccd-api: 1", false), ("Ccd-Api: 2", true), ("CCD-API:0", true), ("x: 1", false)]
        {
            let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{{}}\r\nccd-api: 9");
            assert_eq!(super::is_foreign(answer.as_bytes()), foreign, "{head}");
        }
        let sound = b"HTTP/1.1 200 OK\r\n\r\n{\"schema_version\":1,\"today_usd_micros\":7,\"new\":1}";
        assert_eq!(super::figures(sound).unwrap().today_usd_micros, 7);
    }

    proptest! {
        #[test]
        fn no_json_fails_it_or_reaches_the_terminal_as_more_than_text(
            name in "(\\PC|\\p{C}|[\u{0}-\u{9f}]){0,60}", used in any::<f64>(), cost in any::<f64>(), at in any::<i64>(),
        ) {
            let hostile = json!({
                "model": {"display_name": name},
                "cost": {"total_cost_usd": cost},
                "context_window": {"used_percentage": used},
                "rate_limits": {"seven_day": {"used_percentage": used, "resets_at": at}},
            });
            for said in [Said::Nothing, Said::Away] {
                let line = render(&hostile, &said, false, &[]);
                prop_assert!(!line.is_empty() && !line.chars().any(char::is_control), "{:?}", line);
            }
        }
    }
}
