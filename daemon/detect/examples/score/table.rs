//! The table of scores.

use crate::arithmetic::Scores;

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

/// Prints one line per kind, and one per subtype where that is asked for.
pub(crate) fn print(name: &str, scores: &Scores, subtypes: bool) {
    println!(
        "{name}: {} sessions; {} clean ones with {} tool calls, {} of them whole",
        scores.traces, scores.clean, scores.clean_calls, scores.clean_full_calls
    );
    println!(
        "{:14} {:>5} {:>5} {:>5}  {:>15}  {:>5} {:>5} {:>5}  {:>5}  {:>12}  {:>12}",
        "kind",
        "P",
        "R",
        "F1",
        "tp/fp/fn/tn",
        "P all",
        "R all",
        "F1all",
        "early",
        "median (p90)",
        "alarms/1,000"
    );
    for (kind, of) in &scores.kinds {
        let calls = match kind {
            ccd_detect::Kind::Overflow | ccd_detect::Kind::Cost => scores.clean_calls,
            _ => scores.clean_full_calls,
        };
        let mut late = of.latency.clone();
        late.sort_unstable();
        let at =
            |tenths: usize| late.get(late.len() * tenths / 10).map_or(String::new(), ToString::to_string);
        let alarms =
            f64::from(of.alarms) * 1000.0 / f64::from(u32::try_from(calls).unwrap_or(u32::MAX).max(1));
        println!(
            "{:14} {:>5} {:>5} {:>5}  {:>15}  {:>5} {:>5} {:>5}  {:>5}  {:>12}  {alarms:>12.2}",
            kind.as_str(),
            shown(of.focus.precision()),
            shown(of.focus.recall()),
            shown(of.focus.f1()),
            format!("{}/{}/{}/{}", of.focus.tp, of.focus.fp, of.focus.fn_, of.focus.tn),
            shown(of.all.precision()),
            shown(of.all.recall()),
            shown(of.all.f1()),
            of.early,
            if late.is_empty() { "-".to_owned() } else { format!("{} ({})", at(5), at(9)) },
        );
    }
    if subtypes {
        for (kind, of) in &scores.kinds {
            for ((fails, subtype), (flagged, all)) in of.subtypes.iter().rev() {
                let side = if *fails { "fails" } else { "healthy" };
                println!("   {:14} {side:8} {subtype:45} {flagged}/{all}", kind.as_str());
            }
        }
    }
}
