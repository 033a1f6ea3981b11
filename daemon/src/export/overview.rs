//! What stands before the turns: what session it is, what was done to the file, how context and cost grew, and the list of
//! turns. Sums are those that `sessions` and `usage` tell.

use std::collections::BTreeMap;

use ccd_proto::api::{Session, Tokens, Turn};

use super::clean::{Clean, Cleaner};
use super::figures::{between, brief, duration, joined, moment, money, plural, whole};
use super::html::{Anchor, Attr, Html};
use super::plot::{About, Point, draw};
use super::turn::anchor;
use crate::clock::{parse_rfc3339, rfc3339};
use crate::project::view::SessionView;

/// What was taken out, as far as it is known.
pub(super) enum Taken {
    /// All of it.
    Counted(BTreeMap<String, u64>, u64),
    /// The file is too long to know at its beginning: it stands at its end.
    AtTheEnd,
    /// Nothing: the file was made to show everything.
    Nothing,
}

/// The session's name: its project.
#[must_use]
pub(super) fn name<'a>(session: &'a Session, cleaner: &Cleaner) -> Clean<'a> {
    cleaner.text(session.project.as_deref().filter(|p| !p.is_empty()).unwrap_or("Session"))
}

/// The head of the page.
pub(super) fn head(w: &mut Html<'_>, session: &Session, cleaner: &Cleaner, taken: &Taken, made_ns: u64) {
    w.section("header", &[], |w| {
        w.with("h1", "", &name(session, cleaner));
        let models: Vec<Clean<'_>> = session.models.iter().map(|m| cleaner.text(m)).collect();
        w.with("p", "lead", &Clean::joined(&models, ", "));
        facts(w, session, cleaner);
        notice(w, taken, made_ns);
    });
}

fn facts(w: &mut Html<'_>, session: &Session, cleaner: &Cleaner) {
    w.el("dl", &[Attr::Is("class", "facts")], |w| {
        let mut fact = |name: &str, value: &Clean<'_>| {
            if !value.as_str().is_empty() {
                w.el("div", &[], |w| {
                    w.says("dt", "", name);
                    w.with("dd", "", value);
                });
            }
        };
        let ours = |words: String| Clean::ours(words);
        let took = between(&session.started_at, &session.last_at).map(duration).unwrap_or_default();
        fact("Started, UTC", &ours(moment(&session.started_at)));
        fact("Duration", &ours(if session.ended { took } else { format!("{took}, no end seen") }));
        fact("Cost", &ours(money(session.cost_usd_micros)));
        fact("Tokens", &ours(whole(session.tokens.total())));
        let context = &session.context;
        let of = context.window.map(|window| format!(" of {}", brief(window))).unwrap_or_default();
        fact("Context", &ours(format!("{}{of}", brief(context.used))));
        fact("Turns", &ours(whole(session.turns)));
        fact("Model calls", &ours(whole(session.exchanges)));
        let failed = if session.tool_errors == 0 {
            String::new()
        } else {
            format!(", {} failed", whole(session.tool_errors))
        };
        fact("Tool calls", &ours(format!("{}{failed}", whole(session.tool_calls))));
        if session.agents > 0 {
            fact("Subagents", &ours(whole(session.agents)));
        }
        fact("Detections", &ours(whole(session.detections)));
        fact("Directory", &cleaner.text(session.cwd.as_deref().unwrap_or_default()));
        fact("Client", &cleaner.text(session.client.as_deref().unwrap_or_default()));
        fact("Session", &cleaner.text(&session.session_id));
        let unpriced: Vec<Clean<'_>> = session.unpriced_models.iter().map(|m| cleaner.text(m)).collect();
        fact("Without a price", &Clean::joined(&unpriced, ", "));
    });
}

/// What was done to the file, when and by what.
fn notice(w: &mut Html<'_>, taken: &Taken, made_ns: u64) {
    let made = format!("Made {} UTC by ccd {}.", moment(&rfc3339(made_ns)), ccd_proto::VERSION);
    let class = if matches!(taken, Taken::Nothing) { "revealed" } else { "" };
    w.el("p", &[Attr::Class("notice", class)], |w| {
        match taken {
            Taken::Nothing => {
                w.says("strong", "", "Not redacted.");
                w.say(" This file shows everything as it is on record: credentials that were captured, names, paths. ");
            }
            Taken::Counted(rules, paths) => {
                w.says("strong", "", "Redacted.");
                w.say(" ");
                w.text(&counted(rules, *paths));
                w.say(" Images are shown as they were. ");
            }
            Taken::AtTheEnd => {
                w.says("strong", "", "Redacted.");
                w.say(" Credentials and the names of users in paths were taken out: ");
                w.el("a", &[Attr::To(&Anchor::new("end", ""))], |w| w.say("how many"));
                w.say(". Images are shown as they were. ");
            }
        }
        w.say(&made);
    });
}

fn counted(rules: &BTreeMap<String, u64>, paths: u64) -> Clean<'static> {
    let all: u64 = rules.values().sum();
    let words = match all {
        0 => "No credentials were found".to_owned(),
        n => {
            let of: Vec<String> = rules.iter().map(|(rule, n)| format!("{} {rule}", whole(*n))).collect();
            format!("Credentials taken out in {}: {}", plural(n, "place"), of.join(", "))
        }
    };
    let paths = match paths {
        0 => "no name of a user stood in a path".to_owned(),
        n => format!("names of users taken out of paths in {}", plural(n, "place")),
    };
    // The names of rules are ours, or were checked to be letters, digits and hyphens.
    Clean::ours(format!("{words}; {paths}."))
}

/// The foot of the page.
pub(super) fn foot(w: &mut Html<'_>, cleaner: &Cleaner) {
    w.section("footer", &[Attr::Id(&Anchor::new("end", ""))], |w| {
        if cleaner.reveals() {
            w.says("p", "", "Not redacted: everything is shown as it is on record.");
        } else {
            w.el("p", &[], |w| w.text(&counted(&cleaner.found(), cleaner.paths())));
        }
        w.says("p", "", "End of the session. This file asks nobody for anything and runs nothing.");
    });
}

/// The list of turns.
pub(super) fn contents(w: &mut Html<'_>, turns: &[Turn], has_findings: bool, cleaner: &Cleaner) {
    w.section("nav", &[Attr::Is("aria-label", "Contents"), Attr::Is("tabindex", "0")], |w| {
        w.el("ul", &[], |w| {
            w.el("li", &[], |w| w.el("a", &[Attr::To(&Anchor::new("overview", ""))], |w| w.say("Overview")));
            if has_findings {
                w.el("li", &[], |w| {
                    w.el("a", &[Attr::To(&Anchor::new("found", ""))], |w| w.say("What was found"));
                });
            }
        });
        w.el("ol", &[], |w| {
            for turn in turns {
                let class = match turn.status.as_str() {
                    "error" | "interrupted" => "bad",
                    _ if !turn.detections.is_empty() => "detect",
                    _ => "",
                };
                w.el("li", &[Attr::Is("class", class)], |w| {
                    w.el("a", &[Attr::To(&anchor(turn))], |w| {
                        w.says("span", "n", &turn.number.to_string());
                        let prompt = cleaner.line(turn.prompt.as_deref().unwrap_or("–"), 90);
                        w.with("span", "p", &prompt);
                        w.says(
                            "span",
                            "faint",
                            &joined(&[
                                turn.duration_ms.map(duration).unwrap_or_default(),
                                money(turn.cost_usd_micros),
                            ]),
                        );
                    });
                });
                w.line();
            }
        });
    });
}

/// The plots, and the same as a table.
pub(super) fn overview(w: &mut Html<'_>, session: &Session, view: &SessionView, cleaner: &Cleaner) {
    w.section("section", &[Attr::Is("class", "overview"), Attr::Id(&Anchor::new("overview", ""))], |w| {
        w.says("h2", "", "Overview");
        plots(w, session, view);
        w.el("details", &[], |w| {
            w.el("summary", &[], |w| w.say("As a table: tokens and cost by turn"));
            table(w, session, &view.turns, cleaner);
        });
    });
}

#[allow(clippy::cast_precision_loss)] // tokens and micro-dollars, drawn
fn plots(w: &mut Html<'_>, session: &Session, view: &SessionView) {
    let mut cost = 0i64;
    let mut points = Vec::new();
    for span in view.spans.iter().map(|s| &s.span).filter(|s| s.kind == "llm" && s.tokens.is_some()) {
        cost = cost.saturating_add(span.cost_usd_micros.unwrap_or(0));
        let is_main = span.agent_id.is_none() && matches!(span.purpose.as_deref(), Some("main") | None);
        points.push(Point {
            at_ms: parse_rfc3339(&span.started_at).unwrap_or(0) / 1_000_000,
            context: span.tokens.filter(|_| is_main).map(|t| t.prompt()),
            cost,
            compacts: span.purpose.as_deref() == Some("compaction"),
        });
    }
    if points.is_empty() {
        return w.says(
            "p",
            "faint",
            "No model call of this session was recorded with its tokens: there is nothing to draw.",
        );
    }
    let ends = [moment(&session.started_at), moment(&session.last_at)];
    let ends = [ends[0].as_str(), ends[1].as_str()];
    let highest = points.iter().filter_map(|p| p.context).max().unwrap_or(0);
    let window = session.context.window.filter(|window| *window >= highest);
    // A window that is hardly used would press the line to the ground.
    let top =
        window.filter(|window| highest.saturating_mul(4) >= *window).unwrap_or(highest + highest / 8).max(1);
    let (full, half) = (brief(top), brief(top / 2));
    let of = window.map(|window| format!(" of {}", brief(window))).unwrap_or_default();
    let title = format!(
        "Context of the main thread: {}{of} tokens at most, {} at the end",
        brief(highest),
        brief(session.context.used)
    );
    let about = About { title: &title, scale: [&full, &half], top: top as f64, ends, class: "context" };
    draw(w, &about, &points, |point| point.context.map(|n| n as f64));
    let (full, half) = (money(Some(cost)), money(Some(cost / 2)));
    let title = format!("Cost: {} in all", money(session.cost_usd_micros));
    let about = About { title: &title, scale: [&full, &half], top: cost as f64, ends, class: "cost" };
    draw(w, &about, &points, |point| Some(point.cost as f64));
    w.says("p", "faint", "Over working time: pauses longer than two minutes are drawn as two minutes. A dashed line is a summary of the context.");
}

fn table(w: &mut Html<'_>, session: &Session, turns: &[Turn], cleaner: &Cleaner) {
    let mut sum = Tokens::default();
    let mut priced = 0i64;
    w.el("div", &[Attr::Is("class", "wide"), Attr::Is("tabindex", "0")], |w| {
        w.el("table", &[], |w| {
            w.el("thead", &[], |w| {
                w.el("tr", &[], |w| {
                    let names = [
                        "Turn",
                        "Prompt",
                        "Calls",
                        "Tools",
                        "Input",
                        "Cache read",
                        "Cache write",
                        "Output",
                        "Cost",
                    ];
                    for name in names {
                        w.el("th", &[Attr::Is("scope", "col")], |w| w.say(name));
                    }
                });
            });
            w.el("tbody", &[], |w| {
                for turn in turns {
                    sum += turn.tokens;
                    priced = priced.saturating_add(turn.cost_usd_micros.unwrap_or(0));
                    let prompt = cleaner.line(turn.prompt.as_deref().unwrap_or_default(), 60);
                    let figures = [turn.exchanges, turn.tool_calls].map(whole);
                    row(w, &whole(turn.number), &prompt, &figures, turn.tokens, turn.cost_usd_micros);
                }
                let rest = minus(session.tokens, sum);
                if rest.total() > 0 {
                    let cost = session.cost_usd_micros.map(|all| all.saturating_sub(priced));
                    row(
                        w,
                        "–",
                        &Clean::ours("outside of turns"),
                        &[String::new(), String::new()],
                        rest,
                        cost,
                    );
                }
            });
            w.el("tfoot", &[], |w| {
                let figures = [session.exchanges, session.tool_calls].map(whole);
                row(w, "All", &Clean::ours(""), &figures, session.tokens, session.cost_usd_micros);
            });
        });
    });
}

fn row(w: &mut Html<'_>, n: &str, prompt: &Clean<'_>, figures: &[String; 2], t: Tokens, cost: Option<i64>) {
    w.el("tr", &[], |w| {
        w.el("th", &[Attr::Is("scope", "row")], |w| w.say(n));
        w.el("td", &[], |w| w.text(prompt));
        for figure in figures {
            w.says("td", "num", figure);
        }
        for n in [t.input, t.cache_read, t.cache_write_5m + t.cache_write_1h, t.output] {
            w.says("td", "num", &whole(n));
        }
        w.says("td", "num", &money(cost));
    });
    w.line();
}

fn minus(a: Tokens, b: Tokens) -> Tokens {
    Tokens {
        input: a.input.saturating_sub(b.input),
        output: a.output.saturating_sub(b.output),
        cache_read: a.cache_read.saturating_sub(b.cache_read),
        cache_write_5m: a.cache_write_5m.saturating_sub(b.cache_write_5m),
        cache_write_1h: a.cache_write_1h.saturating_sub(b.cache_write_1h),
    }
}
