//! Usage as a table that fits the terminal: a column per key, the numbers, the sum. Exact numbers where there is room for
//! them, rounded ones where there is not, fewer columns where there is less.

use ccd_proto::api::{Block, Usage, UsageRow};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::bars::bar;
use crate::args::Order;
use crate::human::{count, duration_ms, exact, places, short_id, usd};
use crate::printer::Tone;
use crate::sessions::model;
use crate::table::{Column, Table, captured};
use crate::time;

/// Width of a bar in cells.
const CELLS: usize = 16;
/// What is left out where there is no room, in this order.
const SPARE: [&str; 9] =
    ["SHARE", "EXCHANGES", "TOK/MIN", "CACHE WRITE", "INPUT", "CACHE READ", "$/H", "OUTPUT", "TOKENS"];

/// How the table is to look.
pub(super) struct Look<'a> {
    /// Columns that a line may take.
    pub(super) width: usize,
    /// Bars, and whether of Unicode's blocks.
    pub(super) bars: Option<bool>,
    /// Keys, tokens, cost and nothing else.
    pub(super) compact: bool,
    /// Zone that blocks are shown in.
    pub(super) tz: &'a TimeZone,
    /// Now.
    pub(super) now: Timestamp,
}

/// Puts rows in order, and leaves all but `limit` out: the oldest, or the cheapest. Says how many.
pub(super) fn arrange(rows: &mut Vec<UsageRow>, order: Order, limit: Option<u32>) -> usize {
    match order {
        Order::Oldest => {}
        Order::Newest => rows.reverse(),
        Order::Cost => {
            rows.sort_by_key(|row| std::cmp::Reverse((row.cost_usd_micros.unwrap_or(0), row.tokens.total())));
        }
    }
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let left_out = rows.len().saturating_sub(limit);
    match order {
        Order::Oldest => drop(rows.drain(..left_out)),
        Order::Newest | Order::Cost => rows.truncate(limit),
    }
    left_out
}

/// The table: with exact numbers if it fits with them.
pub(super) fn table(usage: &Usage, look: &Look<'_>) -> Table {
    let with = |number: fn(u64) -> String| made(usage, look, number).spare(SPARE);
    let wide = with(exact);
    if wide.need() <= look.width {
        return wide;
    }
    // Exact numbers are worth more than bars.
    let plain = made(usage, &Look { bars: None, ..*look }, exact).spare(SPARE);
    if plain.need() <= look.width { plain } else { with(count) }
}

fn made(usage: &Usage, look: &Look<'_>, number: fn(u64) -> String) -> Table {
    let keys = keys(usage);
    let kind = Kind::of(usage);
    let mut columns: Vec<_> = keys.iter().map(|key| key.column).collect();
    if kind.sessions {
        columns.extend([Column::Whole("LAST"), Column::Text("PROJECT")]);
    }
    if kind.active {
        columns.push(Column::Whole("STATE"));
    }
    if look.bars.is_some() {
        columns.push(Column::Whole("SHARE"));
    }
    if look.compact {
        columns.push(Column::Number("TOKENS"));
    } else if kind.blocks {
        columns.extend(["TOKENS", "TOK/MIN", "$/H"].map(Column::Number));
    } else {
        let counted = if kind.tools { "CALLS" } else { "EXCHANGES" };
        columns.extend([counted, "INPUT", "CACHE WRITE", "CACHE READ", "OUTPUT"].map(Column::Number));
    }
    columns.push(Column::Number("COST"));
    if kind.active {
        columns.push(Column::Number("PROJECTED"));
    }
    let mut table = Table::new(columns);
    // Bars are of money where anything has a price, else of tokens.
    let is_priced = usage.rows.iter().any(|row| row.cost_usd_micros.is_some_and(|cost| cost > 0));
    let weight = |row: &UsageRow| match row.cost_usd_micros {
        _ if !is_priced => row.tokens.total(),
        cost => u64::try_from(cost.unwrap_or(0)).unwrap_or(0),
    };
    let most = usage.rows.iter().map(weight).max().unwrap_or(0);
    let money = Money::of(usage);
    let figures = |row: &UsageRow, bar: String| {
        let mut cells = Vec::new();
        let block = row.block.as_ref();
        if kind.sessions {
            let of = row.session.as_ref();
            cells.push(of.map(|s| time::short(&s.last_at, look.now, look.tz)).unwrap_or_default());
            cells.push(of.and_then(|s| s.project.as_deref()).map(captured).unwrap_or_default());
        }
        if kind.active {
            cells.push(block.map(|block| state(block, look)).unwrap_or_default());
        }
        if look.bars.is_some() {
            cells.push(bar);
        }
        let t = row.tokens;
        if look.compact {
            cells.push(number(t.total()));
        } else if kind.blocks {
            cells.push(number(t.total()));
            cells.push(block.map_or_else(String::new, |b| number(b.tokens_per_minute)));
            let rate = |b: &Block| match row.cost_usd_micros {
                Some(_) => usd(b.usd_micros_per_hour, money.places),
                None => "–".to_owned(),
            };
            cells.push(block.map(rate).unwrap_or_default());
        } else {
            let times = match row.key.get("tool") {
                // What no tool's call brought about has no calls; their sum is that of the tools.
                Some(tool) if tool == NO_TOOL => "–".to_owned(),
                None if kind.tools => number(kind.calls),
                _ => number(row.exchanges),
            };
            cells.push(times);
            let write = t.cache_write_5m + t.cache_write_1h;
            cells.extend([t.input, write, t.cache_read, t.output].map(number));
        }
        cells.push(money.show(row));
        if kind.active {
            let projected = block.and_then(|b| b.projected_usd_micros);
            cells.push(projected.map(|micros| usd(micros, money.places)).unwrap_or_default());
        }
        cells
    };
    for row in &usage.rows {
        let drawn = look.bars.map(|unicode| bar(weight(row), most, CELLS, unicode)).unwrap_or_default();
        let tone =
            if row.block.as_ref().is_some_and(|block| block.active) { Tone::Good } else { Tone::Plain };
        let cells = keys.iter().map(|key| key.show(row, look)).chain(figures(row, drawn));
        table.toned(cells.map(|text| (text, tone)));
    }
    if !keys.is_empty() {
        let head = (0..keys.len()).map(|at| if at == 0 { "total".to_owned() } else { String::new() });
        table.toned(head.chain(figures(&usage.totals, String::new())).map(|text| (text, Tone::Strong)));
    }
    table
}

/// What stands for a tool where there is none.
const NO_TOOL: &str = "(none)";

/// What the rows are about, as far as it decides which columns there are.
#[allow(clippy::struct_excessive_bools)] // each is a question of its own
struct Kind {
    sessions: bool,
    blocks: bool,
    /// A block is under way.
    active: bool,
    tools: bool,
    /// Calls of all tools.
    calls: u64,
}

impl Kind {
    fn of(usage: &Usage) -> Self {
        let is_tool = |row: &&UsageRow| row.key.get("tool").is_some_and(|tool| tool != NO_TOOL);
        Kind {
            sessions: usage.rows.iter().any(|row| row.session.is_some()),
            blocks: usage.period == "blocks",
            active: usage.rows.iter().any(|row| row.block.as_ref().is_some_and(|block| block.active)),
            tools: usage.by.iter().any(|by| by == "tool"),
            calls: usage.rows.iter().filter(is_tool).map(|row| row.exchanges).sum(),
        }
    }
}

/// How amounts are shown: all of a column alike, so that they can be compared at a glance.
struct Money {
    places: usize,
    /// Something somewhere has no price.
    is_partial: bool,
}

impl Money {
    fn of(usage: &Usage) -> Self {
        let rows = || usage.rows.iter().chain([&usage.totals]);
        Money {
            places: places(rows().filter_map(|row| row.cost_usd_micros)),
            is_partial: rows().any(|row| row.cost_usd_micros.is_some() && lacks_a_price(row)),
        }
    }

    fn show(&self, row: &UsageRow) -> String {
        let attributed = if row.attributed { "~" } else { "" };
        let Some(micros) = row.cost_usd_micros else { return "unpriced".to_owned() };
        let mark = match self.is_partial {
            true if lacks_a_price(row) => "+?",
            // The digits stay below each other.
            true => "\u{a0}\u{a0}",
            false => "",
        };
        format!("{attributed}{}{mark}", usd(micros, self.places))
    }
}

/// Whether something of a row has no price: its cost says so.
fn lacks_a_price(row: &UsageRow) -> bool {
    row.cost.ends_with("unpriced")
}

/// What a block is doing.
fn state(block: &Block, look: &Look<'_>) -> String {
    let left = block.end.parse::<Timestamp>().ok().filter(|end| block.active && *end > look.now);
    match left {
        Some(end) => {
            let ms = u64::try_from(end.duration_since(look.now).as_millis()).unwrap_or(0);
            format!("active, {} left", duration_ms(ms))
        }
        None if block.active => "active".to_owned(),
        None => String::new(),
    }
}

/// One key of the rows.
struct Key {
    name: String,
    column: Column,
}

impl Key {
    fn show(&self, row: &UsageRow, look: &Look<'_>) -> String {
        let value = row.key.get(&self.name).map_or("–", String::as_str);
        match self.name.as_str() {
            "model" => model(Some(value)),
            "session" | "session_id" => captured(short_id(value)),
            "block" => when(value, look).unwrap_or_else(|| captured(value)),
            _ => captured(value),
        }
    }
}

/// When a block begins, in the user's zone.
fn when(start: &str, look: &Look<'_>) -> Option<String> {
    let start: Timestamp = start.parse().ok()?;
    Some(start.to_zoned(look.tz.clone()).strftime("%Y-%m-%d %H:%M").to_string())
}

/// The keys that the rows have: the period's first, then in the order asked for.
fn keys(usage: &Usage) -> Vec<Key> {
    let mut names: Vec<&str> = Vec::new();
    let asked = usage.by.iter().map(String::as_str);
    let found = usage.rows.iter().flat_map(|row| row.key.keys().map(String::as_str));
    let period = found.clone().filter(|name| !usage.by.iter().any(|by| by == name));
    for name in period.chain(asked.filter(|name| found.clone().any(|f| f == *name))) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let column = |name: &str| match name {
        "date" | "day" => Column::Whole("DATE"),
        "week" => Column::Whole("WEEK"),
        "month" => Column::Whole("MONTH"),
        "block" => Column::Whole("BLOCK"),
        "session" | "session_id" => Column::Whole("SESSION"),
        "hour" => Column::Whole("HOUR"),
        "model" => Column::Text("MODEL"),
        "tool" => Column::Text("TOOL"),
        "project" => Column::Text("PROJECT"),
        "agent" => Column::Text("AGENT"),
        "branch" => Column::Text("BRANCH"),
        _ => Column::Text("KEY"),
    };
    names.into_iter().map(|name| Key { name: name.to_owned(), column: column(name) }).collect()
}
