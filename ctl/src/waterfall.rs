//! The steps of an exchange, one below the other on one scale. Pure.

use ccd_proto::api::Timing;

use crate::human::duration_ms;
use crate::table::captured;

/// Columns of the scale.
const WIDTH: usize = 32;

/// One step: its name, when it began and when it was over, in milliseconds.
struct Step {
    name: &'static str,
    from: f64,
    to: f64,
}

/// The waterfall; nothing where nothing is known.
#[must_use]
pub fn lines(timing: &Timing) -> Vec<String> {
    let steps = steps(timing);
    if steps.is_empty() || timing.total_ms.is_nan() || timing.total_ms <= 0.0 {
        return Vec::new();
    }
    let mut lines: Vec<String> = steps.iter().map(|step| line(step, timing.total_ms)).collect();
    for stall in &timing.stalls {
        let (long, at) = (milliseconds(stall.ms), milliseconds(stall.at_ms));
        lines.push(format!("  silent     {long} after {at}, without even a ping"));
    }
    lines
}

/// How the request got to upstream, in words.
#[must_use]
pub fn route(timing: &Timing) -> String {
    let Some(peer) = &timing.peer else { return String::new() };
    let how = if timing.reused { "the connection that was there" } else { "a new connection" };
    let through = if timing.tunnelled { " through the network's proxy" } else { "" };
    format!("{how} to {}{through}", captured(peer))
}

fn steps(t: &Timing) -> Vec<Step> {
    let mut steps = Vec::new();
    // The three follow each other, and begin with the request.
    let mut at = 0.0;
    for (name, ms) in [("look-up", t.resolve_ms), ("connect", t.connect_ms), ("TLS", t.tls_ms)] {
        if let Some(ms) = ms {
            steps.push(Step { name, from: at, to: at + ms });
            at += ms;
        }
    }
    if let Some(sent) = t.sent_ms {
        steps.push(Step { name: "request", from: 0.0, to: sent });
    }
    if let Some(head) = t.head_ms {
        steps.push(Step { name: "waiting", from: at.max(t.sent_ms.unwrap_or(0.0)).min(head), to: head });
        let body = t.first_byte_ms.unwrap_or(t.total_ms);
        if body > head {
            steps.push(Step { name: "first byte", from: head, to: body });
        }
        if t.first_byte_ms.is_some() {
            steps.push(Step { name: "response", from: body, to: t.total_ms.max(body) });
        }
    }
    steps
}

fn line(step: &Step, total: f64) -> String {
    let column = |ms: f64| -> usize {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let at = ((ms / total).clamp(0.0, 1.0) * WIDTH as f64).round() as usize; // 0 to WIDTH
        at.min(WIDTH)
    };
    let from = column(step.from).min(WIDTH - 1);
    let to = column(step.to).max(from + 1);
    let bar = format!("{}{}{}", "·".repeat(from), "█".repeat(to - from), "·".repeat(WIDTH - to));
    format!("  {:10} {bar} {}", step.name, milliseconds(step.to - step.from))
}

/// A duration, with its fractions where it is short.
fn milliseconds(ms: f64) -> String {
    if ms < 10.0 {
        return format!("{:.2}ms", ms.max(0.0));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
    let whole = ms.round() as u64;
    duration_ms(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ccd_proto::api::Stall;
    use proptest::prelude::*;

    #[test]
    fn a_new_connection_step_by_step() {
        let timing = Timing {
            peer: Some("[2607:6bc0::10]:443".into()),
            resolve_ms: Some(12.0),
            connect_ms: Some(20.5),
            tls_ms: Some(31.0),
            sent_ms: Some(0.31),
            head_ms: Some(800.0),
            first_byte_ms: Some(801.5),
            total_ms: 12_000.0,
            stalls: vec![Stall { at_ms: 3000.0, ms: 5200.0 }],
            ..Timing::default()
        };
        assert_eq!(route(&timing), "a new connection to [2607:6bc0::10]:443");
        insta::assert_snapshot!(lines(&timing).join("\n"), @r"
          look-up    █······························· 12ms
          connect    █······························· 21ms
          TLS        █······························· 31ms
          request    █······························· 0.31ms
          waiting    ██······························ 737ms
          first byte ··█····························· 1.50ms
          response   ··██████████████████████████████ 11.2s
          silent     5.2s after 3.0s, without even a ping
        ");
    }

    #[test]
    fn nothing_is_drawn_of_what_is_not_known() {
        assert!(lines(&Timing::default()).is_empty() && route(&Timing::default()).is_empty());
        let refused = Timing { total_ms: 3.0, sent_ms: Some(0.2), ..Timing::default() };
        assert_eq!(lines(&refused).len(), 1);
    }

    proptest! {
        #[test]
        fn any_figures_fit_the_scale(ms in prop::collection::vec(prop::option::of(any::<f64>()), 6), total in any::<f64>()) {
            let timing = Timing {
                resolve_ms: ms[0], connect_ms: ms[1], tls_ms: ms[2], sent_ms: ms[3], head_ms: ms[4],
                first_byte_ms: ms[5], total_ms: total, ..Timing::default()
            };
            for line in lines(&timing) {
                prop_assert_eq!(line.chars().filter(|c| matches!(c, '·' | '█')).count(), WIDTH);
            }
        }
    }
}
