//! The store's routes: its figures, and the operations that answer in lines.

use std::path::PathBuf;
use std::sync::Arc;

use http::{Response, StatusCode};

use super::body::ApiBody;
use super::routes::parameter;
use super::with_type;
use crate::app::Running;
use crate::maintenance::import::Import;
use crate::maintenance::prune::Prune;
use crate::maintenance::{self, Work};
use crate::query::{Ask, QueryError};

/// What a path and its parameters ask for.
pub(super) fn work(name: &str, query: &str) -> Result<Work, QueryError> {
    // `ccctl` has made it absolute: the daemon's own working directory is nobody's business.
    let dir = || {
        let dir = parameter(query, "dir").map(PathBuf::from).filter(|dir| dir.is_absolute());
        dir.ok_or_else(|| QueryError::bad("dir is missing, or not an absolute path"))
    };
    let number = |name: &str| match parameter(query, name) {
        Some(text) => {
            text.parse().map(Some).map_err(|_| QueryError::bad(format!("{name}={text:?}: not a number")))
        }
        None => Ok(None),
    };
    Ok(match name {
        "verify" => Work::Verify,
        "backup" => Work::Backup(dir()?),
        "restore" => Work::Restore(dir()?),
        "rebuild" => Work::Rebuild,
        "prune" => Work::Prune(Prune {
            older_than_ns: number("older_than_ns")?,
            max_bytes: number("max_bytes")?,
            dry_run: parameter(query, "dry_run").is_some(),
        }),
        "import" => {
            let all = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "path");
            let paths: Vec<PathBuf> = all.map(|(_, path)| PathBuf::from(path.into_owned())).collect();
            if !paths.iter().all(|path| path.is_absolute()) {
                return Err(QueryError::bad("path is not an absolute path"));
            }
            Work::Import(Import { paths, dry_run: parameter(query, "dry_run").is_some() })
        }
        _ => {
            return Err(QueryError::new(
                StatusCode::NOT_FOUND,
                "not_found",
                format!("no operation {name:?}"),
            ));
        }
    })
}

/// Starts an operation; its lines are the answer.
pub(super) async fn operate(app: &Arc<Running>, work: Work) -> Result<Response<ApiBody>, QueryError> {
    // A backup is put back even where the store cannot be opened.
    if !matches!(work, Work::Restore(_)) {
        Ask::new(&app.shared, app.clock.now_ns()).await?;
    }
    let lines = maintenance::start(app, work)?;
    Ok(with_type("application/x-ndjson", ApiBody::Lines(lines)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_work() {
        assert_eq!(work("verify", "").unwrap(), Work::Verify);
        assert_eq!(work("backup", "dir=%2Fa%20b").unwrap(), Work::Backup("/a b".into()));
        let prune = Prune { older_than_ns: Some(5), max_bytes: None, dry_run: true };
        let import = Import { paths: vec!["/a b".into(), "/c".into()], dry_run: true };
        assert_eq!(work("import", "path=%2Fa%20b&path=/c&dry_run=1").unwrap(), Work::Import(import));
        assert!(work("import", "path=a").is_err());
        assert_eq!(work("prune", "older_than_ns=5&dry_run=1").unwrap(), Work::Prune(prune));
        for (name, query) in [("backup", ""), ("restore", "dir=a%2Fb"), ("prune", "max_bytes=5G"), ("x", "")]
        {
            assert!(work(name, query).is_err(), "{name}?{query}");
        }
    }
}
