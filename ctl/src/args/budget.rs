//! `budget` and `statusline`.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

/// `statusline`
#[derive(Clone, Debug, Default, Args)]
pub struct StatusLineArgs {
    /// What to show, in this order: model, context, cost, limits, budget, detections
    #[arg(long, value_name = "PARTS", value_delimiter = ',')]
    pub parts: Vec<String>,
}

/// `budget`
#[derive(Clone, Debug, Default, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Exit codes: 0 ok, 10 near a limit, 11 a hard limit is hit, 30 no limit is set or nothing was recorded, \
                  3 the daemon is not running."
)]
pub struct BudgetArgs {
    /// What to do; without it, how the budgets stand
    #[command(subcommand)]
    pub command: Option<BudgetCommand>,
    /// The session to look at; the one used last by default
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What can be done with budgets
#[derive(Clone, Debug, Subcommand)]
pub enum BudgetCommand {
    /// Set limits in the daemon's configuration, which takes them up by itself
    Set(BudgetSetArgs),
}

/// `budget set`
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["soft", "hard", "enforce"]))]
pub struct BudgetSetArgs {
    /// What is limited
    pub scope: Option<BudgetName>,
    /// Dollars from which on it is told of; `none` for no such limit
    #[arg(long, value_name = "USD", requires = "scope")]
    pub soft: Option<String>,
    /// Dollars that are the end; `none` for no such limit
    #[arg(long, value_name = "USD", requires = "scope")]
    pub hard: Option<String>,
    /// Whether hard limits stop tool calls, or are only told of; for all budgets
    #[arg(long, value_name = "on|off")]
    pub enforce: Option<Switch>,
}

/// What a budget is about
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BudgetName {
    /// Each session
    Session,
    /// Each day
    Day,
    /// Each month
    Month,
}

/// On or off
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On
    On,
    /// Off
    Off,
}
