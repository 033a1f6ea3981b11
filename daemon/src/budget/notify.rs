//! How a reached threshold is told: a notification on the desktop, and one request to whom the user named.
//!
//! Best effort, in the background, for a bounded time. Must never run a shell, never send anything of a session but the
//! head of its id to the desktop and the notice itself to the webhook, and never hold anything else up.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ccd_proto::api::display_usd;
use http::Uri;

use crate::app::Running;
use crate::clock::rfc3339;
use crate::config::{self, Desktop, Network};
use crate::ingest::record::NoticeV1;
use crate::source::proxy::post::post;

/// How long a notification's program may run.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long each of the two attempts to reach a webhook may take.
const WEBHOOK_PATIENCE: Duration = Duration::from_secs(10);
/// How long after the first attempt the second one is made.
const PAUSE: Duration = Duration::from_secs(2);

/// Tells, and does not wait for it.
pub(super) fn tell(app: &Arc<Running>, settings: &config::Budget, notice: NoticeV1) {
    if let Some(desktop) = settings.desktop.clone() {
        let (title, text) = words(&notice);
        let shown = move || {
            if let Some(mut command) = command(&desktop, &title, &text) {
                show(&mut command);
            }
        };
        // A thread of its own: starting a program may block.
        drop(std::thread::Builder::new().name("ccd-notify".into()).spawn(shown));
    }
    if let Some(url) = settings.webhook.clone() {
        let network = app.network();
        tokio::spawn(async move { send(&url, &network, &notice).await });
    }
}

/// Title and text of a notification: our own words, numbers, and the head of an id.
fn words(notice: &NoticeV1) -> (String, String) {
    let usd = |micros: u64| display_usd(i64::try_from(micros).unwrap_or(i64::MAX));
    // Some desktops read markup: of what others named, only what no markup is made of is shown.
    let key: String = notice.key.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let (whose, key) = match notice.scope.as_str() {
        "session" => ("Session", key.chars().take(8).collect()),
        "day" => ("Day", key),
        _ => ("Month", key),
    };
    let title = format!("{whose} budget: {} limit reached", notice.level);
    (title, format!("{} of {} spent ({key})", usd(notice.spent_micros), usd(notice.limit_micros)))
}

/// The program that shows a notification, where there is one.
fn command(desktop: &Desktop, title: &str, text: &str) -> Option<Command> {
    let find = |name: &str| {
        std::env::split_paths(&desktop.path)
            .map(|dir| dir.join(name))
            .find(|p| p.is_absolute() && is_program(p))
    };
    let mut args: Vec<OsString> = Vec::new();
    let program = if let Some(program) = find("notify-send") {
        args.extend(["--app-name=ccd", "--", title, text].map(OsString::from));
        program
    } else {
        // The words are arguments of the script, and never part of it.
        let script = "display notification (item 2 of argv) with title (item 1 of argv)";
        args.extend(
            ["-e", "on run argv", "-e", script, "-e", "end run", "--", title, text].map(OsString::from),
        );
        find("osascript")?
    };
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    if let Some(bus) = desktop.bus.as_deref().filter(|bus| is_there(bus)) {
        command.env("DBUS_SESSION_BUS_ADDRESS", bus);
    }
    Some(command)
}

fn is_program(path: &PathBuf) -> bool {
    fs_err::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn is_there(bus: &OsStr) -> bool {
    bus.to_str()
        .and_then(|bus| bus.strip_prefix("unix:path="))
        .is_some_and(|path| fs_err::metadata(path).is_ok())
}

/// Runs it to its end, or until it has taken too long.
fn show(command: &mut Command) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return tracing::debug!(%error, "no notification"),
    };
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            Ok(Some(status)) if !status.success() => {
                return tracing::debug!(%status, "a notification was not shown");
            }
            Ok(Some(_)) | Err(_) => return,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Sends the notice, and again once if that fails.
async fn send(url: &Uri, network: &Network, notice: &NoticeV1) {
    let body = serde_json::json!({
        "scope": notice.scope,
        "key": notice.key,
        "level": notice.level,
        "spent_usd_micros": notice.spent_micros,
        "limit_usd_micros": notice.limit_micros,
        "at": rfc3339(notice.at_ns),
    });
    for attempt in 0..2 {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        match post(url, network, body.to_string().into_bytes(), WEBHOOK_PATIENCE).await {
            Ok(status) if status.is_success() => return,
            // The URL may hold a secret: its host is all that is logged.
            Ok(status) => tracing::warn!(%status, host = url.host(), "the budget's webhook refuses"),
            Err(error) => tracing::warn!(error, host = url.host(), "the budget's webhook cannot be reached"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_named_is_no_markup_and_no_option() {
        let notice = NoticeV1 {
            at_ns: 0,
            scope: "session".into(),
            key: "--<b>x</b>&\u{1b}[2J".into(),
            level: "hard".into(),
            spent_micros: 2_000_000,
            limit_micros: 1_000_000,
        };
        let (title, text) = words(&notice);
        assert_eq!(
            (title.as_str(), text.as_str()),
            ("Session budget: hard limit reached", "$2.00 of $1.00 spent (--bxb2J)")
        );
        let dir = tempfile::tempdir().unwrap();
        let desktop = Desktop { path: dir.path().into(), bus: Some("unix:path=/nonexistent".into()) };
        assert!(command(&desktop, &title, &text).is_none());
        let program = dir.path().join("notify-send");
        std::fs::write(&program, "").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let command = command(&desktop, &title, &text).unwrap();
        assert_eq!(command.get_args().collect::<Vec<_>>()[1], "--");
        assert_eq!(command.get_envs().count(), 0);
    }
}
