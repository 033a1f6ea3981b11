//! `ccctl traces`: what happened inside the turns, as a tree; with `--follow`, as it happens.

use ccd_proto::api::{Span, Spans};

use crate::args::{TracesArgs, name_of};
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::Result;
use crate::following;
use crate::human::short_id;
use crate::printer::{Printer, Tone};
use crate::query::Target;
use crate::table::captured;
use crate::time;
use crate::tree::{self, Detail};

/// The longest line taken from a stream of spans: a span with a very large tool result.
const MAX_LINE: usize = 256 << 20;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &TracesArgs) -> Result<()> {
    let client = Client::new(env)?;
    if args.follow {
        return follow(env, &client, out, args);
    }
    let body = client.get(out, target(env, "/v0/spans", args)?.as_ref())?;
    if args.query.json {
        return out.object(&body);
    }
    let Spans { spans, more } = decode(&body)?;
    if spans.is_empty() {
        return out.line(
            "no spans match: nothing recorded yet (`ccctl sessions`), or the filters leave nothing over",
        );
    }
    for line in tree::render(env, out, &spans, detail(args)) {
        out.line(line)?;
    }
    if more {
        out.note(
            "older spans are left out: --limit shows more, --session, --turn or --since narrows it down",
        );
    }
    Ok(())
}

fn target(env: &Env, path: &str, args: &TracesArgs) -> Result<Target> {
    // JSON carries input and output, so that scripts need not ask.
    let content = args.content || (args.query.json && !args.no_content);
    Ok(Target::new(path)
        .query(env, &args.query, &env.tz)?
        .with("tool", args.tool.as_ref())
        .with("kind", args.kind.as_ref().map(name_of))
        .with("status", args.status.as_ref().map(name_of))
        .with("turn", args.turn.as_ref())
        .flag("content", content)
        .flag("reasoning", args.reasoning))
}

fn detail(args: &TracesArgs) -> Detail {
    Detail { content: args.content, reasoning: args.reasoning }
}

/// Prints spans as they come, one line each (with `--json`: the daemon's own line).
fn follow(env: &Env, client: &Client<'_>, out: &mut Printer, args: &TracesArgs) -> Result<()> {
    let target = target(env, "/v0/spans/follow", args)?;
    following::follow(env, client, out, target.as_ref(), MAX_LINE, None, |out, line| {
        if args.query.json {
            return out.object(line);
        }
        let span: Span = decode(line)?;
        let head = out.paint(Tone::Faint, &captured(short_id(&span.session_id)));
        let clock = time::short(&span.started_at, env.now, &env.tz);
        out.line(format!("{head}{}", tree::line(out, &span, 0, Some(clock))))?;
        tree::below(out, &span, 0, detail(args)).into_iter().try_for_each(|line| out.line(line))
    })?;
    out.note("the daemon has stopped");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{QueryArgs, SpanKind};
    use crate::testing::{Home, Reply};

    #[test]
    fn filters_are_handed_to_the_daemon() {
        let args = TracesArgs {
            query: QueryArgs { session: Some("5f0c".into()), ..QueryArgs::default() },
            kind: Some(SpanKind::Llm),
            tool: Some("Bash".into()),
            reasoning: true,
            ..TracesArgs::default()
        };
        let env = Home::new().env();
        let asked = |args: &TracesArgs| target(&env, "/v0/spans", args).unwrap().as_ref().to_owned();
        assert_eq!(asked(&args), "/v0/spans?session=5f0c&tool=Bash&kind=llm&reasoning=1");
        let json =
            TracesArgs { query: QueryArgs { json: true, ..QueryArgs::default() }, ..TracesArgs::default() };
        assert_eq!(asked(&json), "/v0/spans?content=1");
        assert_eq!(asked(&TracesArgs { no_content: true, ..json }), "/v0/spans");
    }

    #[test]
    fn followed_spans_are_lines_of_json() {
        let home = Home::new();
        let socket = home.env().layout.control_socket();
        let _daemon = home.daemon(move |_| {
            // It answers once, and is gone.
            std::fs::remove_file(&socket).unwrap();
            Reply::json("{\"span_id\":\"a\"}\n\n{\"span_id\":\"b\"}\n")
        });
        let (mut out, text, err) = Printer::captured(80);
        let args = TracesArgs {
            follow: true,
            query: QueryArgs { json: true, ..QueryArgs::default() },
            ..TracesArgs::default()
        };
        run(&home.env(), &mut out, &args).unwrap();
        assert_eq!(text.text(), "{\"span_id\":\"a\"}\n{\"span_id\":\"b\"}\n");
        assert!(err.text().contains("stopped"));
    }
}
