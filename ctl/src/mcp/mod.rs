//! `ccctl mcp`: a server of the Model Context Protocol on stdin and stdout, so that Claude can ask about its own
//! history. Clients start it themselves: the plugin that `ccctl install` writes names it.
//!
//! Written by hand rather than with a library: a handful of methods, one request at a time, and the client that is
//! there already. Stateless: nothing is kept between requests but the connection's two ends.
//!
//! Must never write to the daemon, never print anything to stdout that is no message, and never end because of a line
//! or because the daemon is away: it ends with its input.

pub mod ask;
pub mod fit;
pub mod rpc;
pub mod tools;

use std::io::{self, BufRead, IsTerminal};

use crate::client::Client;
use crate::env::Env;
use crate::error::Result;
use crate::lines::{Line, read_line};
use crate::printer::Printer;

/// The longest message taken; a request is a few hundred bytes.
const MAX_LINE: usize = 1 << 20;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer) -> Result<()> {
    let mut input = io::stdin().lock();
    if input.is_terminal() {
        out.note("this speaks to an MCP client, which starts it by itself, on its stdin and stdout; Ctrl-D ends it");
    }
    serve(env, out, &mut input)
}

/// Answers every line of `input` until it ends.
pub fn serve(env: &Env, out: &mut Printer, input: &mut impl BufRead) -> Result<()> {
    let client = Client::new(env)?;
    loop {
        let answer = match read_line(input, MAX_LINE)? {
            Line::End => return Ok(()),
            Line::TooLong => Some(rpc::too_long(MAX_LINE)),
            Line::Whole(line) if line.trim_ascii().is_empty() => None,
            Line::Whole(line) => {
                rpc::answer(&line, &mut |tool, arguments| ask::answer(env, &client, out, tool, arguments))
            }
        };
        if let Some(answer) = answer {
            out.line(answer.to_string())?;
            out.flush()?;
        }
    }
}

#[cfg(test)]
mod tests;
