//! `ccctl export-otel`: turns sent to an OpenTelemetry endpoint. The daemon reads and sends; here it is asked for and watched.
//!
//! Headers go to the daemon in the body of a request on its own socket, and nowhere else: never into a log, an error or an
//! argument of another program.

use ccd_proto::api::{OtelExport, OtelExported, Reply};

use crate::args::{ExportOtelArgs, OtelCompression, OtelContent, OtelProtocol};
use crate::env::Env;
use crate::error::{CommandError, Result};
use crate::human::{bytes, plural};
use crate::printer::{Printer, visible};
use crate::query::Target;
use crate::store::operate_with;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &ExportOtelArgs) -> Result<()> {
    let asked = asked(env, args)?;
    let target = Target::new("/v0/export-otel").query(env, &args.query, &env.tz)?;
    let body = serde_json::to_vec(&asked).map_err(|e| CommandError::failed(e.to_string()))?;
    let interrupted = "what was taken stays there; the same can be sent again, ids do not change";
    let done = operate_with::<Reply<OtelExported>>(env, out, &target, body, interrupted)?;
    let told = &done.result.body;
    if args.query.json {
        done.print(out)?;
    } else {
        lines(told).iter().try_for_each(|line| out.line(line))?;
    }
    if told.traces + told.running + told.too_large_spans == 0 {
        out.note("nothing that was asked for is on record: `ccctl turns` lists what is");
    }
    verdict(told)
}

fn lines(told: &OtelExported) -> Vec<String> {
    let what = format!(
        "{} with {} of {}, {} in {}",
        plural(told.traces, "trace"),
        plural(told.spans, "span"),
        plural(told.sessions, "session"),
        bytes(told.bytes),
        plural(told.requests, "request"),
    );
    let to = visible(&told.endpoint);
    let mut lines = vec![if told.dry_run {
        format!("would send {what} to {to} ({})", told.protocol)
    } else {
        let again = if told.retries > 0 { format!(", {} tried again", told.retries) } else { String::new() };
        format!("sent {what} to {to} ({}){again}", told.protocol)
    }];
    if told.running > 0 {
        lines
            .push(format!("{} left out: still running (--running takes them)", plural(told.running, "turn")));
    }
    lines.extend(told.messages.iter().map(|said| format!("it says: {}", visible(said))));
    lines
}

fn verdict(told: &OtelExported) -> Result<()> {
    if told.too_large_spans > 0 {
        let what = plural(told.too_large_spans, "span");
        let refused = match told.rejected_spans {
            0 => String::new(),
            rejected => format!(", and it did not take {}", plural(rejected, "other")),
        };
        let hint = match told.spans {
            0 => "nothing was sent; --content none or text says less",
            _ => "all else was sent, large turns in several requests; --content none or text says less",
        };
        return Err(
            CommandError::failed(format!("{what} left out, too large for the endpoint{refused}")).hint(hint)
        );
    }
    if told.rejected_spans == 0 {
        return Ok(());
    }
    let why = told.messages.first().map(|said| format!(": {}", visible(said))).unwrap_or_default();
    Err(CommandError::failed(format!(
        "the endpoint did not take {}{why}",
        plural(told.rejected_spans, "span")
    )))
}

/// What is asked of the daemon: what was typed, else what the environment says.
fn asked(env: &Env, args: &ExportOtelArgs) -> Result<OtelExport> {
    let signal = |name: &str| {
        env.text(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"))
            .or_else(|| env.text(&format!("OTEL_EXPORTER_OTLP_{name}")))
    };
    let url = args
        .endpoint
        .clone()
        // The one for traces is a whole URL; the daemon adds nothing to what ends in /traces.
        .or_else(|| signal("ENDPOINT"))
        .ok_or_else(|| CommandError::usage("where to? -e URL, or OTEL_EXPORTER_OTLP_ENDPOINT"))?;
    let protocol = match args.protocol {
        Some(OtelProtocol::Protobuf) => "http/protobuf".to_owned(),
        Some(OtelProtocol::Json) => "http/json".to_owned(),
        None => match signal("PROTOCOL").as_deref() {
            Some("grpc") => {
                return Err(CommandError::usage(
                    "OTEL_EXPORTER_OTLP_PROTOCOL says grpc, which is not spoken here",
                )
                .hint("--protocol http/protobuf, and the endpoint's HTTP port (4318, most often)"));
            }
            Some(named @ ("http/protobuf" | "http/json")) => named.to_owned(),
            _ => "http/protobuf".to_owned(),
        },
    };
    let gzip = match args.compress {
        Some(how) => how == OtelCompression::Gzip,
        None => signal("COMPRESSION").is_none_or(|how| how != "none"),
    };
    let mut headers: Vec<String> = Vec::new();
    // Typed headers come after those of the environment, and so with them.
    for pair in signal("HEADERS").iter().flat_map(|all| all.split(',')).filter(|pair| !pair.trim().is_empty())
    {
        headers.push(unescaped(pair.trim()));
    }
    let names: Vec<String> = args.headers.iter().map(|typed| name(typed)).collect();
    headers.retain(|told| !names.contains(&name(told)));
    headers.extend(args.headers.iter().cloned());
    // In milliseconds there.
    let timeout = || signal("TIMEOUT").and_then(|ms| ms.parse::<u64>().ok()).map(|ms| ms.div_ceil(1000));
    let content = match args.content {
        OtelContent::None => "none",
        OtelContent::Text => "text",
        OtelContent::Full => "full",
    };
    Ok(OtelExport {
        url,
        headers,
        protocol,
        gzip,
        content: content.to_owned(),
        service_name: args.service_name.clone().or_else(|| env.text("OTEL_SERVICE_NAME")).unwrap_or_default(),
        host: args.host_name,
        semconv: args.semconv.clone().unwrap_or_default(),
        allow_http: args.allow_http,
        dry_run: args.dry_run,
        running: args.running,
        timeout_s: args.timeout.or_else(timeout),
        retry_s: args.retry_for,
    })
}

fn name(header: &str) -> String {
    header.split([':', '=']).next().unwrap_or("").trim().to_ascii_lowercase()
}

/// `k=v` of `OTEL_EXPORTER_OTLP_HEADERS`, whose values are percent-encoded.
fn unescaped(pair: &str) -> String {
    let mut out = Vec::with_capacity(pair.len());
    let mut rest = pair.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|d| std::str::from_utf8(d).ok());
        if let Some(byte) = code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            out.push(byte);
            rest = &after[2..];
        } else {
            out.push(*first);
            rest = after;
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| pair.to_owned())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::testing::{Home, Reply as Answer};

    fn env(home: &Home, vars: &'static [(&'static str, &'static str)]) -> Env {
        let mut env = home.env();
        let before = std::mem::replace(&mut env.vars, Box::new(|_| None));
        env.vars = Box::new(move |name| {
            vars.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v)).or_else(|| before(name))
        });
        env
    }

    #[test]
    fn the_environment_says_what_was_not_typed() {
        let home = Home::new();
        let env = env(
            &home,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4318"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic%20abc, x-a=1"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
                ("OTEL_SERVICE_NAME", "mine"),
            ],
        );
        let told = asked(&env, &ExportOtelArgs::default()).unwrap();
        assert_eq!(
            (told.url.as_str(), told.protocol.as_str(), told.gzip),
            ("http://h:4318", "http/json", false)
        );
        assert_eq!(told.headers, ["Authorization=Basic abc", "x-a=1"]);
        assert_eq!((told.timeout_s, told.service_name.as_str()), (Some(2), "mine"));
        let typed = ExportOtelArgs {
            endpoint: Some("https://e".into()),
            headers: vec!["X-A=2".into()],
            compress: Some(OtelCompression::Gzip),
            protocol: Some(OtelProtocol::Protobuf),
            ..ExportOtelArgs::default()
        };
        let told = asked(&env, &typed).unwrap();
        assert_eq!((told.url.as_str(), told.gzip), ("https://e", true));
        assert_eq!(told.headers, ["Authorization=Basic abc", "X-A=2"]);
    }

    #[test]
    fn nowhere_and_grpc_are_wrong_usage() {
        let home = Home::new();
        assert_eq!(asked(&home.env(), &ExportOtelArgs::default()).unwrap_err().exit_code(), 2);
        let env = env(&home, &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
        let args = ExportOtelArgs { endpoint: Some("http://h".into()), ..ExportOtelArgs::default() };
        assert_eq!(asked(&env, &args).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn what_was_not_taken_is_a_failure_and_no_header_is_told() {
        let home = Home::new();
        let text = "{\"result\":{\"schema_version\":1,\"endpoint\":\"http://h:1\",\"protocol\":\"http/json\",\"traces\":2,\
                    \"spans\":9,\"sessions\":1,\"requests\":1,\"bytes\":900,\"rejected_spans\":3,\"messages\":[\"too old\"]}}\n";
        let daemon = home.daemon(move |_| Answer::json(text));
        let (mut out, printed, err) = Printer::captured(100);
        let args = ExportOtelArgs {
            endpoint: Some("http://h:1".into()),
            headers: vec!["x-key=hush".into()],
            ..ExportOtelArgs::default()
        };
        let error = run(&home.env(), &mut out, &args).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert!(error.message.contains("3 spans: too old"), "{}", error.message);
        assert!(printed.text().starts_with("sent 2 traces with 9 spans of 1 session"), "{}", printed.text());
        assert!(!format!("{}{}{error:?}", printed.text(), err.text()).contains("hush"));
        assert_eq!(daemon.requests(), ["POST /v0/export-otel"]);
        let told =
            OtelExported { spans: 4, too_large_spans: 1, rejected_spans: 2, ..OtelExported::default() };
        let error = verdict(&told).unwrap_err();
        assert!(error.message.contains("1 span left out") && error.message.contains("2 others"), "{error:?}");
        assert!(verdict(&OtelExported { spans: 4, ..OtelExported::default() }).is_ok());
    }
}
