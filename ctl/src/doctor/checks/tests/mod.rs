//! Each check, on both of its sides.

mod places;
mod records;
mod ways;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ccd_proto::api::{Retention, Status, StoreStats, Supervision};
use serde_json::json;

use super::store::Disk;
use super::*;
use crate::args::HooksIn;
use crate::claude::layers::{Layer, Whose};
use crate::claude::running::Process;
use crate::claude::{Version, layers};
use crate::doctor::facts::{Dir, Facts};
use crate::doctor::{Check, Level};
use crate::exec::Outcome;
use crate::manifest::{Manifest, Options};
use crate::plugin::{self, Hooks, server};
use crate::settings::BASE_URL;
use crate::skill;
use crate::testing::{Home, said};

/// What there is to be told of a home, without any of it having been asked for.
fn facts(env: &Env) -> Facts<'_> {
    Facts {
        env,
        manifest: Ok(None),
        service: None,
        status: Ok(None),
        supervision: None,
        store: None,
        newest: None,
        probe: None,
        ccd: None,
        cc_hook: None,
        client: None,
        client_version: None,
        dirs: Vec::new(),
        layers: Vec::new(),
        running: Vec::new(),
    }
}

fn manifest(options: Options) -> Manifest {
    Manifest { options, ..Manifest::default() }
}

/// The one configuration directory, as it is now.
fn dir(env: &Env) -> Dir {
    let path = env.claude_dirs().unwrap().remove(0);
    let settings = path.join("settings.json");
    Dir {
        layer: Layer::read(Whose::User, &settings),
        hooks: plugin::in_force(env, &path, None),
        settings,
        path,
        proof: None,
    }
}

fn found<'a>(checks: &'a [Check], name: &str) -> &'a Check {
    checks.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("no {name} in {checks:?}"))
}

fn serving() -> Status {
    let mut status = Status::default();
    status.daemon.version = ccd_proto::VERSION.into();
    status
}
