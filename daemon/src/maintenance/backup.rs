//! `store backup`: the writer fixes a cut, the copying happens here while it goes on writing.

use std::path::Path;

use ccd_proto::api::BackedUp;
use ccd_store::{Backup, Store};

use super::{Context, needs_room, store_error, write_error};
use crate::clock::rfc3339;
use crate::query::QueryError;

pub(super) fn run(context: &mut Context, dir: &Path) -> Result<BackedUp, QueryError> {
    let begun = context.app.clock.now_ns();
    let cut = context.app.door.with_store(Store::cut).map_err(write_error)?.map_err(store_error)?;
    let backup = Backup::prepare(dir, cut).map_err(store_error)?;
    needs_room(dir, backup.bytes_to_write())?;
    let total = backup.bytes_to_read();
    let created_at = rfc3339(begun);
    let report = backup
        .run(&created_at, &mut |done| context.tell("copy", done, total, "bytes"))
        .map_err(store_error)?;
    Ok(BackedUp {
        dir: dir.display().to_string(),
        created_at,
        last_seq: report.last_seq,
        files: report.files,
        bytes: report.bytes,
        copied_files: report.copied_files,
        copied_bytes: report.copied_bytes,
        removed_files: report.removed,
        damaged: context.reader().map_or(0, |reader| reader.damage().len() as u64),
        incomplete: report.incomplete,
        seconds: context.seconds(begun),
    })
}
