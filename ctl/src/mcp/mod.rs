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

/// What was read.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Whole(Vec<u8>),
    /// More than is taken: it was skipped.
    TooLong,
    End,
}

/// Reads up to the next line feed, keeping at most `limit` bytes.
fn read_line(input: &mut impl BufRead, limit: usize) -> io::Result<Line> {
    let mut line = Vec::new();
    let (mut long, mut any) = (false, false);
    loop {
        let piece = match input.fill_buf() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if piece.is_empty() {
            // A last line without a line feed is one, too.
            return Ok(match (any, long) {
                (false, _) => Line::End,
                (true, true) => Line::TooLong,
                (true, false) => Line::Whole(line),
            });
        }
        any = true;
        let end = piece.iter().position(|byte| *byte == b'\n');
        let text = &piece[..end.unwrap_or(piece.len())];
        if long || line.len() + text.len() > limit {
            long = true;
            line = Vec::new();
        } else {
            line.extend_from_slice(text);
        }
        let used = end.map_or(piece.len(), |at| at + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(if long { Line::TooLong } else { Line::Whole(line) });
        }
    }
}

#[cfg(test)]
mod tests;
