//! Who is told of what happens: the desktop, and a webhook that the user named. `[budget]` and `[alerts]` name them in the
//! same words.
//!
//! Must never repeat a webhook's URL: it may hold a secret. What a notification needs of the user's session is taken from
//! the environment here, once.

use std::ffi::OsString;

use http::Uri;
use serde::Deserialize;

use super::ConfigError;

/// Who is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Channels {
    /// What shows a notification on the desktop; none: nothing does.
    pub desktop: Option<Desktop>,
    /// Who is told by HTTP; https, or loopback.
    pub webhook: Option<Uri>,
}

/// What showing a notification takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desktop {
    /// Where programs are looked for.
    pub path: OsString,
    /// The user's session bus, where the daemon's environment names none.
    pub bus: Option<OsString>,
}

/// A word of `notify`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Channel {
    Desktop,
    Webhook,
}

/// What the keys of a table are called in messages.
pub(super) struct Names {
    pub(super) notify: &'static str,
    pub(super) webhook: &'static str,
}

/// Reads a table's `notify` and `webhook`. Without `notify`, whoever can be told is.
pub(super) fn read(
    names: &Names,
    notify: Option<&[Channel]>,
    url: Option<&str>,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Channels, ConfigError> {
    let webhook = url.map(|url| webhook(names.webhook, url)).transpose()?;
    let wants = |channel| notify.is_none_or(|list| list.contains(&channel));
    if notify.is_some() && wants(Channel::Webhook) && webhook.is_none() {
        return Err(ConfigError::Value {
            name: names.notify,
            value: "webhook".into(),
            reason: format!("there is no {} to send to", names.webhook),
        });
    }
    Ok(Channels {
        desktop: wants(Channel::Desktop).then(|| desktop(env)),
        webhook: webhook.filter(|_| wants(Channel::Webhook)),
    })
}

fn desktop(env: impl Fn(&str) -> Option<OsString>) -> Desktop {
    let bus = || {
        let dir = env("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty())?;
        let mut bus = OsString::from("unix:path=");
        bus.push(dir);
        bus.push("/bus");
        Some(bus)
    };
    let named = env("DBUS_SESSION_BUS_ADDRESS").filter(|bus| !bus.is_empty());
    Desktop { path: env("PATH").unwrap_or_default(), bus: if named.is_some() { None } else { bus() } }
}

fn webhook(name: &'static str, text: &str) -> Result<Uri, ConfigError> {
    let bad = |reason: &str| ConfigError::Value { name, value: "…".into(), reason: reason.into() };
    let uri: Uri = text.trim().parse().map_err(|_| bad("expected a URL such as https://hooks.example/x"))?;
    let host = uri.host().ok_or_else(|| bad("expected a URL with scheme and host"))?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(bad("credentials in the URL are not supported"));
    }
    let loopback = host.eq_ignore_ascii_case("localhost")
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if loopback => Ok(uri),
        _ => Err(bad("the scheme must be https; http only to this machine")),
    }
}
