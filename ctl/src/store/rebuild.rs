//! `ccctl store rebuild`: the index made anew from what was recorded.

use ccd_proto::api::{Rebuilt, Reply};

use super::operate;
use crate::args::JsonArgs;
use crate::env::Env;
use crate::error::Result;
use crate::human::{bytes, plural};
use crate::printer::Printer;
use crate::query::Target;

/// Runs the command.
pub fn run(env: &Env, out: &mut Printer, args: &JsonArgs) -> Result<()> {
    let target = Target::new("/v0/store/rebuild");
    let interrupted = "the rebuild goes on in the daemon; `ccctl store stats` shows it until it is done";
    let done = operate::<Reply<Rebuilt>>(env, out, &target, interrupted)?;
    if args.json {
        return done.print(out);
    }
    let Rebuilt { records, seconds, bytes_per_second } = done.result.body;
    let records = plural(records, "record");
    out.line(format!("rebuilt the index from {records} in {seconds:.1}s, {}/s", bytes(bytes_per_second)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, Reply as Answer};

    #[test]
    fn a_rebuild_for_people() {
        let home = Home::new();
        let _daemon = home.daemon(|_| {
            Answer::json(
                "{\"result\":{\"schema_version\":1,\"records\":5000,\"seconds\":2.04,\"bytes_per_second\":1048576}}\n",
            )
        });
        let (mut out, text, _) = Printer::captured(80);
        run(&home.env(), &mut out, &JsonArgs::default()).unwrap();
        assert_eq!(text.text(), "rebuilt the index from 5.0k records in 2.0s, 1.0 MiB/s\n");
    }
}
