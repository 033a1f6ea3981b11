//! `store restore`: the backup is checked, copied beside the store and tried out; then it takes the store's place.
//!
//! Until then nothing of the store is touched, and capture goes on. While the two change places and the index is made
//! anew, hook events and exchanges wait at the door and are written to the restored store; what does not fit there is
//! spooled (events) or relayed and counted as dropped (exchanges). What was captured before the restore is in the
//! store that was set aside.

use std::path::Path;

use ccd_proto::api::Restored;
use ccd_store::{Manifest, Options};

use super::{Context, needs_room, store_error, write_error};
use crate::query::QueryError;

pub(super) fn run(context: &mut Context, dir: &Path) -> Result<Restored, QueryError> {
    let begun = context.app.clock.now_ns();
    let store = context.app.layout.store_dir();
    let manifest = Manifest::read(dir).map_err(store_error)?;
    let (bytes, end) = (manifest.bytes(), manifest.end);
    needs_room(&store, bytes)?;
    manifest.check(dir, &mut |done| context.tell("check", done, bytes, "bytes")).map_err(store_error)?;
    let staged = manifest
        .stage(dir, &store, &mut |done| context.tell("copy", done, bytes, "bytes"))
        .map_err(store_error)?;
    let found = staged
        .try_out(Options::default(), &mut |seq| context.tell("open", seq, end.last_seq, "records"))
        .map_err(store_error)?;
    context.tell("swap", 0, 0, "");
    // Views being worked out are those of the store that goes.
    let shared = std::sync::Arc::clone(&context.app.shared);
    let _alone = shared.alone();
    let swapped = context.app.door.swap(staged).map_err(write_error)?;
    Ok(Restored {
        dir: dir.display().to_string(),
        created_at: manifest.created_at,
        records: found.records,
        bytes,
        damaged: found.damaged.len() as u64,
        previous: swapped.previous.map(|path| path.display().to_string()),
        seconds: context.seconds(begun),
    })
}
