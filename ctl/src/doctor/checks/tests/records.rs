//! What comes in, where it is kept, and the clock.

use super::*;

/// What is told of what comes in.
fn incoming(status: Status, change: impl FnOnce(&mut Facts<'_>)) -> Vec<Check> {
    let env = Home::new().env();
    let mut facts = Facts {
        manifest: Ok(Some(manifest(Options { proxy: true, ..Options::default() }))),
        status: Ok(Some(status)),
        ..facts(&env)
    };
    change(&mut facts);
    events::all(&facts)
}

#[test]
fn the_last_of_each_source_is_told() {
    let mut status = serving();
    assert_eq!(found(&incoming(status.clone(), |_| ()), "events").level, Level::Note, "nothing came ever");
    status.proxy.exchanges = 4;
    status.proxy.last_request_at = Some("2026-11-20T21:29:00Z".into());
    let checks = incoming(status.clone(), |_| ());
    assert_eq!(found(&checks, "events").level, Level::Warn, "requests, and no hook ever");
    let only = Options { only_proxy: true, ..Options::default() };
    let checks = incoming(status.clone(), |facts| facts.manifest = Ok(Some(manifest(only))));
    assert_eq!(found(&checks, "events").detail, "the last request 1m00s ago", "there are no hooks to come");
    status.hooks.events = 9;
    status.hooks.last_at = Some("2026-11-20T21:29:58Z".into());
    let checks = incoming(status.clone(), |_| ());
    assert_eq!(found(&checks, "events").detail, "the last hook 2.0s ago, request 1m00s ago");
    status.hooks.last_at = None;
    status.proxy.last_request_at = None;
    let session = ccd_proto::api::Session { last_at: "2026-11-20T20:30:00Z".into(), ..Default::default() };
    let checks = incoming(status, |facts| facts.newest = Some(session));
    assert_eq!(found(&checks, "events").detail, "none since the daemon started; the last 1h00m ago");
}

#[test]
fn what_was_not_captured_is_told() {
    let mut status = serving();
    assert_eq!(events::capture(&status).level, Level::Ok);
    status.capture.gaps = 2;
    assert_eq!(events::capture(&status).level, Level::Note);
    status.capture.dropped = 1;
    status.daemon.uptime_s = 60;
    let check = events::capture(&status);
    assert_eq!(
        (check.level, check.detail.as_str()),
        (Level::Warn, "1 exchange not captured since start, 1m00s ago")
    );
    status.capture.dropped = 0;
    status.hooks.rejected = 3;
    assert!(events::capture(&status).detail.contains("3 files in the spool set aside"));
}

#[test]
fn what_waits_in_the_spool_is_told_with_its_age() {
    let home = Home::new();
    let env = home.env();
    let spool = env.layout.spool_dir.strip_prefix(home.path()).unwrap().display().to_string();
    let now = || SystemTime::now() + Duration::from_secs(1);
    assert_eq!(events::spool(&env, true, now()).level, Level::Ok);
    home.write(&format!("{spool}/.half"), "x");
    assert_eq!(events::spool(&env, true, now()).level, Level::Ok, "it is being written");
    home.write(&format!("{spool}/1"), "x");
    assert_eq!(events::spool(&env, true, now()).level, Level::Note, "it is being taken up");
    let later = now() + Duration::from_secs(600);
    let check = events::spool(&env, true, later);
    assert!(check.level == Level::Warn && check.detail.starts_with("1 event waits in "), "{check:?}");
    let check = events::spool(&env, false, now());
    assert!(check.level == Level::Warn && check.fixable, "{check:?}");
}

#[test]
fn how_long_transcripts_last_is_told() {
    let home = Home::new();
    home.write(".claude/settings.json", r#"{"cleanupPeriodDays":7}"#);
    let env = home.env();
    let mut status = serving();
    status.transcripts.enabled = true;
    status.transcripts.state = "following".into();
    status.transcripts.files = 3;
    let store = |days| StoreStats { retention: Retention { days, max_bytes: None }, ..StoreStats::default() };
    let told = |status: &Status, store: Option<StoreStats>, layers: Vec<Layer>| {
        events::transcripts(&Facts { dirs: vec![dir(&env)], store, layers, ..facts(&env) }, status)
    };
    let check = told(&status, Some(store(Some(365))), Vec::new());
    assert_eq!(
        (check.level, check.detail.as_str()),
        (Level::Ok, "3 files taken in; Claude Code deletes its transcripts after 7 days; ccd keeps 365 days")
    );
    assert_eq!(told(&status, Some(store(Some(5))), Vec::new()).level, Level::Note, "ours would go first");
    assert_eq!(told(&status, Some(store(None)), Vec::new()).level, Level::Ok);
    let managed = Layer::read(Whose::Managed, &home.write("m.json", r#"{"cleanupPeriodDays":3}"#)).unwrap();
    assert!(told(&status, None, vec![managed]).detail.contains("after 3 days"));
    status.transcripts.error = Some("cannot be read".into());
    assert_eq!(told(&status, None, Vec::new()).level, Level::Warn);
    status.transcripts.enabled = false;
    let check = told(&status, None, Vec::new());
    assert!(check.level == Level::Note && check.detail.starts_with("not read; "), "{check:?}");
}

#[test]
fn a_crash_loop_is_no_matter_of_the_disk_and_a_quota_is() {
    let mut status = serving();
    assert!(store::store(&status).ok);
    status.proxy.bypass = true;
    for (error, advice) in [
        ("the worker died again and again, at last: signal 6", "`ccctl logs` says why; then `ccctl restart`"),
        ("no space left on device", "make room or repair the disk; requests are relayed meanwhile"),
        (
            "Disk quota exceeded (os error 122)",
            "your quota on that disk is used up: remove something of yours, or `ccctl store prune`",
        ),
    ] {
        status.store.error = Some(error.into());
        assert_eq!(store::store(&status).hint.as_deref(), Some(advice));
    }
}

#[test]
fn room_on_the_disk_is_measured_by_what_may_come() {
    let disk = |free, files, kind| Disk { path: "/s/store".into(), free, files, kind };
    let stats = |bytes, max| StoreStats {
        bytes,
        retention: Retention { days: None, max_bytes: max },
        ..StoreStats::default()
    };
    let level = |disk: Disk, stats: Option<&StoreStats>| store::disk(&[disk], stats).level;
    assert_eq!(level(disk(50 << 20, None, None), None), Level::Fail);
    assert_eq!(level(disk(500 << 20, None, None), None), Level::Warn);
    assert_eq!(level(disk(9 << 30, Some(12), None), None), Level::Warn);
    assert_eq!(level(disk(9 << 30, Some(1 << 20), Some("NFS")), None), Level::Note);
    assert_eq!(level(disk(9 << 30, Some(1 << 20), None), Some(&stats(1 << 30, Some(20 << 30)))), Level::Note);
    let check = store::disk(&[disk(9 << 30, None, None)], Some(&stats(1 << 30, Some(5 << 30))));
    assert_eq!(
        (check.level, check.detail.as_str()),
        (Level::Ok, "9.0 GiB are left; by its retention the store may grow by 4.0 GiB")
    );
    assert_eq!(store::disk(&[], None).level, Level::Note);
    let two = [disk(9 << 30, None, None), Disk { path: "/spool".into(), free: 1, files: None, kind: None }];
    assert!(store::disk(&two, None).detail.ends_with("/spool"), "the other disk counts, too");
}

#[test]
fn the_clock_is_held_against_the_apis_and_against_what_is_recorded() {
    let now = "2026-11-20T21:30:00Z".parse().unwrap();
    let level = |newest, skew| clock::clock(now, newest, skew, "UTC").level;
    assert_eq!(level(None, None), Level::Ok);
    assert_eq!(level(Some("2026-11-20T21:30:30Z"), Some(-1500)), Level::Ok);
    assert_eq!(level(Some("2026-11-20T22:30:00Z"), None), Level::Warn);
    let check = clock::clock(now, None, Some(180_000), "UTC");
    assert_eq!((check.level, check.detail.as_str()), (Level::Warn, "3m00s behind the API's clock"));
    assert!(clock::clock(now, None, Some(-40_000), "UTC").detail.ends_with("ahead of the API's clock"));
}
