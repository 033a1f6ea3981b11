//! `ccctl budget`: what was spent beside what may be, with an exit code that scripts can go by; and `budget set`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ccd_proto::api::{Budget, BudgetScope, display_usd};

use crate::args::{BudgetArgs, BudgetCommand, BudgetSetArgs, Switch, name_of};
use crate::client::{Client, decode};
use crate::env::Env;
use crate::error::{CommandError, Kind, Result};
use crate::human::short_id;
use crate::printer::{Printer, Tone, visible};
use crate::query::Target;
use crate::table::{Column, Table, captured};
use crate::usage::bars::bar;
use crate::{config, files};

/// A limit is near.
const NEAR: u8 = 10;
/// A hard limit is hit.
const HIT: u8 = 11;
/// No limit is set, or nothing was recorded.
const NO_DATA: u8 = 30;
/// So long the daemon may take to notice that its configuration was changed.
const TAKEN_UP: Duration = Duration::from_secs(3);
/// Width of a bar.
const CELLS: usize = 12;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &BudgetArgs) -> Result<()> {
    if let Some(BudgetCommand::Set(args)) = &args.command {
        return set(env, out, args);
    }
    let target = Target::new("/v0/budget").with("session", args.session.as_ref());
    let body = Client::new(env)?.get(out, target.as_ref())?;
    let budget: Budget = decode(&body)?;
    if args.json {
        out.object(&body)?;
    } else {
        show(env, out, &budget)?;
    }
    match verdict(&budget) {
        0 => Ok(()),
        code => Err(CommandError::new(Kind::Verdict(code), "")),
    }
}

/// The exit code.
fn verdict(budget: &Budget) -> u8 {
    match budget.state.as_str() {
        _ if !budget.configured || !budget.recorded => NO_DATA,
        "hit" => HIT,
        "near" => NEAR,
        "ok" => 0,
        _ => NO_DATA,
    }
}

fn show(env: &Env, out: &mut Printer, budget: &Budget) -> Result<()> {
    table(budget, out.is_drawn().then(|| env.is_unicode())).print(out)?;
    if !budget.configured {
        return out.line("\nno limits are set: `ccctl budget set day --soft 5 --hard 15` sets some");
    }
    if !budget.recorded {
        return out.line("\nnothing that costs was recorded so far");
    }
    let zone = captured(&budget.timezone);
    out.line(if budget.enforce {
        format!("\nhard limits stop tool calls; days and months as in {zone}")
    } else {
        format!("\nhard limits are told of and stop nothing; days and months as in {zone}")
    })
}

/// The scopes as a table; with bars of Unicode or ASCII, or none.
fn table(budget: &Budget, bars: Option<bool>) -> Table {
    let mut columns = vec![
        Column::Whole("SCOPE"),
        Column::Whole("OF"),
        Column::Number("SPENT"),
        Column::Number("SOFT"),
        Column::Number("HARD"),
        Column::Number("USED"),
    ];
    if bars.is_some() {
        columns.push(Column::Whole("BAR"));
    }
    columns.extend([Column::Number("PROJECTED"), Column::Whole("STATE")]);
    let mut table = Table::new(columns).spare(["BAR", "PROJECTED", "OF", "SOFT"]);
    for scope in &budget.scopes {
        table.toned(row(scope, bars));
    }
    table
}

fn row(scope: &BudgetScope, bars: Option<bool>) -> Vec<(String, Tone)> {
    let limit = |micros: Option<i64>| micros.map_or_else(|| "–".to_owned(), display_usd);
    let tone = match scope.state.as_str() {
        "hit" => Tone::Bad,
        "near" => Tone::Warn,
        "ok" => Tone::Good,
        _ => Tone::Faint,
    };
    let key = if scope.scope == "session" { short_id(&scope.key) } else { &scope.key };
    let mut cells = vec![
        (captured(&scope.scope), Tone::Plain),
        (captured(key), Tone::Plain),
        (captured(&scope.spent), Tone::Strong),
        (limit(scope.soft_usd_micros), Tone::Plain),
        (limit(scope.hard_usd_micros), Tone::Plain),
        (scope.percent.map_or_else(|| "–".to_owned(), |p| format!("{p}%")), tone),
    ];
    if let Some(unicode) = bars {
        cells.push((scope.percent.map(|p| bar(p.min(100), 100, CELLS, unicode)).unwrap_or_default(), tone));
    }
    let state = match scope.state.as_str() {
        "none" => "no limit".to_owned(),
        state => captured(state),
    };
    cells.push((scope.projected.as_deref().map_or_else(|| "–".to_owned(), captured), Tone::Plain));
    cells.push((state, tone));
    cells
}

/// Changes limits in the configuration; the rest of it stays as it is, byte for byte.
fn set(env: &Env, out: &mut Printer, args: &BudgetSetArgs) -> Result<()> {
    let roots: Vec<PathBuf> = env.home().into_iter().chain(env.layout.home.clone()).collect();
    let path = files::resolve(&env.layout.config_file, &roots)?;
    let current = files::read(&path)?;
    let change = config::BudgetChange {
        scope: args.scope.as_ref().map(name_of).unwrap_or_default(),
        soft: args.soft.as_deref().map(amount).transpose()?,
        hard: args.hard.as_deref().map(amount).transpose()?,
        enforce: args.enforce.map(|switch| switch == Switch::On),
    };
    let target = config::with_budget(current.as_deref().unwrap_or_default(), &change)?;
    if current.as_deref() == Some(&target) {
        out.line(format!("{} says so already", visible(&path.display().to_string())))?;
        return taken_up(env, out, &current.unwrap_or_default());
    }
    if let Some(dir) = path.parent() {
        files::make_dirs(dir)?;
    }
    files::replace(&path, current.as_deref(), &target)?;
    out.line(format!("{} is changed", visible(&path.display().to_string())))?;
    taken_up(env, out, &target)
}

/// Waits until the daemon goes by what the file says, and shows how the budgets stand then. No daemon: it reads the file
/// when it starts.
fn taken_up(env: &Env, out: &mut Printer, file: &[u8]) -> Result<()> {
    let wanted = config::budget(file)?;
    let deadline = Instant::now() + TAKEN_UP;
    let client = match Client::new(env) {
        Ok(client) => client,
        Err(error) => return not_running(error, out),
    };
    loop {
        let body = match client.get(out, "/v0/budget") {
            Ok(body) => body,
            Err(error) => return not_running(error, out),
        };
        let budget: Budget = decode(&body)?;
        if wanted.holds_in(&budget) {
            out.line("")?;
            return show(env, out, &budget);
        }
        if Instant::now() >= deadline {
            return Err(CommandError::failed("the daemon goes on by the old limits")
                .hint("`ccctl logs` says why: it refuses a configuration in which anything is wrong"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn not_running(error: CommandError, out: &mut Printer) -> Result<()> {
    match error.exit_code() {
        3 => out.line("the daemon is not running: it goes by this from its next start on"),
        _ => Err(error),
    }
}

/// An amount as it is written into the file: none for `none`.
fn amount(text: &str) -> Result<Option<String>> {
    let text = text.trim();
    if text == "none" {
        return Ok(None);
    }
    let bare = text.strip_prefix('$').unwrap_or(text);
    let (whole, part) = bare.split_once('.').unwrap_or((bare, "0"));
    let digits = |text: &str, most: usize| {
        !text.is_empty() && text.len() <= most && text.bytes().all(|b| b.is_ascii_digit())
    };
    let is_more_than_nothing = bare.bytes().any(|b| (b'1'..=b'9').contains(&b));
    if !digits(whole, 9) || !digits(part, 6) || !is_more_than_nothing {
        return Err(CommandError::usage(format!("`{}` is no amount of dollars", visible(text)))
            .hint("amounts look like 5 or 2.50, with six places at most; `none` takes a limit away"));
    }
    Ok(Some(bare.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::BudgetName;
    use crate::testing::{Home, Reply};

    fn sample() -> Budget {
        let day = BudgetScope {
            scope: "day".into(),
            key: "2026-11-20".into(),
            spent_usd_micros: 12_345_678,
            spent: "$12.35".into(),
            soft_usd_micros: Some(5_000_000),
            hard_usd_micros: Some(15_000_000),
            percent: Some(82),
            projected_usd_micros: Some(20_000_000),
            projected: Some("$20.00".into()),
            state: "near".into(),
            told: vec!["soft".into()],
        };
        let session = BudgetScope {
            scope: "session".into(),
            key: "5f0c6c2e-8d1f".into(),
            spent: "$0.0123".into(),
            state: "none".into(),
            ..BudgetScope::default()
        };
        Budget {
            configured: true,
            recorded: true,
            timezone: "Europe/Berlin".into(),
            state: "near".into(),
            scopes: vec![session, day],
            ..Budget::default()
        }
    }

    #[test]
    fn a_table_of_budgets() {
        insta::assert_snapshot!("budgets_100", table(&sample(), Some(true)).render(100, false));
        insta::assert_snapshot!("budgets_60_ascii", table(&sample(), Some(false)).render(60, false));
    }

    #[test]
    fn exit_codes_say_how_it_stands() {
        let home = Home::new();
        for (configured, recorded, state, want) in [
            (true, true, "ok", 0),
            (true, true, "near", 10),
            (true, true, "hit", 11),
            (false, true, "none", 30),
            (true, false, "none", 30),
        ] {
            let budget = Budget { configured, recorded, state: state.into(), ..sample() };
            let body = serde_json::to_vec(&budget).unwrap();
            let _daemon = home.daemon(move |_| Reply::json(body.clone()));
            let (mut out, _, err) = Printer::captured(80);
            let done = run(&home.env(), &mut out, &BudgetArgs::default());
            assert_eq!(done.as_ref().map_or_else(CommandError::exit_code, |()| 0), want);
            if let Err(error) = done {
                out.error(&error);
            }
            assert_eq!(err.text(), "", "a verdict is no error");
        }
        let (mut out, ..) = Printer::captured(80);
        assert_eq!(run(&Home::new().env(), &mut out, &BudgetArgs::default()).unwrap_err().exit_code(), 3);
    }

    #[test]
    fn limits_are_set_and_the_rest_stays() {
        let home = Home::new();
        let env = home.env();
        let file = env.layout.config_file.clone();
        let before = "# mine\nlog = \"debug\"   # loud\n\n[budget]\nwebhook = \"https://x.example/\"\n";
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, before).unwrap();
        let set = |soft: Option<&str>, hard: Option<&str>, enforce| {
            let (mut out, ..) = Printer::captured(80);
            let own = |text: Option<&str>| text.map(str::to_owned);
            let args =
                BudgetSetArgs { scope: Some(BudgetName::Day), soft: own(soft), hard: own(hard), enforce };
            super::set(&env, &mut out, &args).map(|()| std::fs::read_to_string(&file).unwrap())
        };
        let after = set(Some("5"), Some("$15.50"), Some(Switch::On)).unwrap();
        assert!(after.starts_with(before), "{after}");
        assert!(
            after.contains("soft = 5") && after.contains("hard = 15.50") && after.contains("enforce = true")
        );
        let after = set(Some("none"), None, None).unwrap();
        assert!(!after.contains("soft") && after.contains("hard = 15.50"), "{after}");
        for wrong in ["-1", "0", "0.00", "1e3", "x", "1.0000001", ""] {
            assert_eq!(set(Some(wrong), None, None).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }
}
