//! The guard, as a table: every kind of path by every method, from every kind of page, with and without a login.

use proptest::prelude::*;

use super::*;
use crate::tokens::Scope;

const HERE: &str = "127.0.0.1:7789";
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
const OPEN: [&str; 8] = [
    "/health",
    "/js/app.js",
    "/css/base.css",
    "/nothing",
    "/v0x",
    "//v0/status",
    "/%76%30/status",
    "/login/",
];
const READ: [&str; 9] = [
    "/v0",
    "/v0/",
    "/v0/status",
    "/v0/sessions?limit=1",
    "/v0/spans/follow",
    "/v0/exchanges/x/request",
    "/v0/detections/x",
    "/v0/heal",
    "/v0/export/session/x.html",
];
/// What the socket is told by POST, and a page never.
const COMMANDS: [&str; 16] = [
    "/v0/stop",
    "/v0/stop?now=1",
    "/v0/retire",
    "/v0/log-level?level=trace",
    "/v0/upstream/probe",
    "/v0/import",
    "/v0/store/verify",
    "/v0/store/restore?dir=/x",
    "/v0/store/prune",
    "/v0/statusline",
    "/v0/tokens/create?name=x",
    "/v0/tokens/revoke?which=x",
    "/v0/web/login",
    "/v0/web/forget",
    "/v0/detections/x/dismiss/y",
    "/v0/detections//dismiss",
];
const CHANGE: [&str; 5] = [
    "/v0/detections/x/dismiss",
    "/v0/detections/x/reopen?reason=y",
    "/v0/heal/allow",
    "/v0/heal/pause",
    "/v0/heal/resume",
];

/// What other programs hand in, by what it must be sent as.
const HANDED: [(&str, &str); 8] = [
    ("/api/v1/auth/token", "application/json"),
    ("/api/v1/traces/claude-code/ingest", "application/json"),
    ("/api/v1/traces/claude-code/analyze", "application/json; charset=utf-8"),
    ("/api/v1/traces/ingest?x=1", "application/json"),
    ("/api/v1/tenants/a-b_c.1/traces/ingest", "application/json"),
    ("/v1/logs", "application/x-protobuf"),
    ("/v1/traces", "application/json"),
    ("/v1/metrics", "Application/X-Protobuf"),
];
/// What is told them.
const TOLD: [&str; 2] = ["/api/v1/detections", "/api/v1/detections/x/fixes"];
/// Paths beside those.
const NOWHERE: [&str; 14] = [
    "/v1",
    "/v1/",
    "/v1/messages",
    "/v1/traces/",
    "/v1//traces",
    "/v1/traces/x",
    "/api/v1",
    "/api/v1/auth",
    "/api/v1/traces",
    "/api/v1/tenants//traces/ingest",
    "/api/v1/tenants/../traces/ingest",
    "/api/v1/tenants/%2e%2e/traces/ingest",
    "/api/v1/traces/claude-code/ingest/",
    "/api/v1/detections/a%2Fb/fixes",
];

fn status(denial: &Denial) -> u16 {
    match denial {
        Denial::Pages(refusal) => refusal.status.as_u16(),
        Denial::Receive(problem) => problem.status.as_u16(),
    }
}

fn guard() -> Guard {
    Guard::new(HERE.parse().unwrap())
}

/// 0: let in; else the status.
fn ask(method: &str, target: &str, headers: &[(&str, &str)], is_logged_in: bool) -> u16 {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let checked = guard().check(&request.body(()).unwrap());
    let checked = checked.and_then(|entry| Ok(entry.with(is_logged_in)?));
    checked.err().map_or(0, |denial| status(&denial))
}

/// A page's way to ask: its name, and what the browser adds.
const WAYS: [(&str, &[(&str, &str)]); 12] = [
    ("no browser", &[]),
    ("typed", &[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]),
    (
        "our fetch",
        &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")],
    ),
    (
        "our post",
        &[
            ("sec-fetch-site", "same-origin"),
            ("origin", "http://127.0.0.1:7789"),
            ("content-type", "application/json"),
        ],
    ),
    (
        "our old browser's post",
        &[("origin", "http://127.0.0.1:7789"), ("content-type", "application/json; charset=utf-8")],
    ),
    (
        "another port's fetch",
        &[
            ("sec-fetch-site", "same-site"),
            ("origin", "http://127.0.0.1:8000"),
            ("sec-fetch-mode", "cors"),
            ("content-type", "application/json"),
        ],
    ),
    (
        "another port's image",
        &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
    ),
    (
        "a foreign script",
        &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "script")],
    ),
    (
        "a foreign frame",
        &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
    ),
    (
        "a foreign link",
        &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
    ),
    (
        "a foreign form",
        &[
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
            ("origin", "null"),
            ("content-type", "text/plain"),
        ],
    ),
    (
        "a foreign fetch",
        &[
            ("sec-fetch-site", "cross-site"),
            ("origin", "https://evil.example"),
            ("content-type", "application/json"),
        ],
    ),
];

/// What the table says, in its own words and not in the guard's.
fn wanted(way: &str, method: &str, kind: &str, is_logged_in: bool) -> u16 {
    let looks = matches!(method, "GET" | "HEAD");
    let (is_ours, is_link) = (WAYS[..5].iter().any(|(name, _)| *name == way), way == "a foreign link");
    let is_our_post = way.starts_with("our post") || way.starts_with("our old");
    match kind {
        _ if method == "CONNECT" => 405,
        "page" | "login" if looks => {
            if is_ours || is_link {
                0
            } else {
                403
            }
        }
        "open" if looks => {
            if is_ours {
                0
            } else {
                403
            }
        }
        // Asked by GET, a command is no question; the API says so.
        "read" | "command" if looks => {
            if !is_ours {
                403
            } else if is_logged_in {
                0
            } else {
                401
            }
        }
        "login" if method == "POST" => {
            if is_our_post {
                0
            } else {
                403
            }
        }
        "change" if method == "POST" => {
            if !is_our_post {
                403
            } else if is_logged_in {
                0
            } else {
                401
            }
        }
        _ => 405,
    }
}

#[test]
fn the_table() {
    let kinds: [(&str, &[&str]); 6] = [
        ("page", &["/", "/?x=1"]),
        ("login", &["/login"]),
        ("open", &OPEN),
        ("read", &READ),
        ("command", &COMMANDS),
        ("change", &CHANGE),
    ];
    let mut asked = 0;
    for (kind, paths) in kinds {
        for (path, method) in paths.iter().flat_map(|path| METHODS.map(|method| (*path, method))) {
            for (way, more) in WAYS {
                for is_logged_in in [false, true] {
                    let want = wanted(way, method, kind, is_logged_in);
                    let said =
                        |host: &str| ask(method, path, &[&[("host", host)], more].concat(), is_logged_in);
                    let what = format!("{method} {path} from {way}, login {is_logged_in}");
                    if method == "CONNECT" {
                        continue;
                    }
                    assert_eq!(said(HERE), want, "{what}");
                    // By another name nobody gets anything, whatever else is right.
                    for host in ["evil.example:7789", "127.0.0.1:7788", "127.0.0.1", "LOCALHOST:7789", ""] {
                        assert_eq!(said(host), 421, "{what} of {host:?}");
                    }
                    asked += 6;
                }
            }
        }
    }
    assert!(asked > 40_000, "{asked}");
}

#[test]
fn the_table_of_other_programs() {
    const TOKEN: &[(&str, &str)] = &[("authorization", "Bearer x")];
    /// What a request shows, and what that is worth where a token is needed.
    const SHOWN: [(&[(&str, &str)], u16); 10] = [
        (&[], 401),
        (TOKEN, 0),
        (&[("authorization", "bearer  x")], 0),
        (&[("authorization", "Bearer")], 401),
        (&[("authorization", "Bearer ")], 401),
        (&[("authorization", "Bearer a b")], 401),
        (&[("authorization", "Basic eDp5")], 401),
        (&[("authorization", "Bearer x"), ("authorization", "Bearer y")], 400),
        (&[("cookie", "ccd-7789=x; token=y")], 401),
        (&[("x-api-key", "x")], 401),
    ];
    // A page's way to ask is refused, whoever asks and whatever it shows.
    let ways: Vec<(&str, &[(&str, &str)])> = WAYS.iter().map(|(name, more)| (*name, *more)).collect();
    let kinds = HANDED.iter().map(|(path, kind)| (*path, Some(*kind)));
    let kinds = kinds.chain(TOLD.map(|path| (path, None))).chain(NOWHERE.map(|path| (path, None)));
    let mut asked = 0;
    for (path, kind) in kinds {
        let (is_told, is_nowhere) = (TOLD.contains(&path), NOWHERE.contains(&path));
        for method in METHODS.into_iter().filter(|method| *method != "CONNECT") {
            for (way, more) in &ways {
                let is_page = more.iter().any(|(name, _)| *name == "origin" || name.starts_with("sec-fetch"));
                for (shown, worth) in SHOWN {
                    for is_logged_in in [false, true] {
                        let kind = kind.map(|kind| ("content-type", kind));
                        let mut headers = vec![("host", HERE)];
                        headers.extend(kind.filter(|_| !is_page));
                        headers.extend_from_slice(more);
                        headers.extend_from_slice(shown);
                        let fits = if is_told { matches!(method, "GET" | "HEAD") } else { method == "POST" };
                        let want = match () {
                            () if is_page => 403,
                            () if is_nowhere => 404,
                            () if !fits => 405,
                            () if path == "/api/v1/auth/token" => 0,
                            () => worth,
                        };
                        let what = format!("{method} {path} from {way}, {shown:?}");
                        assert_eq!(ask(method, path, &headers, is_logged_in), want, "{what}");
                        headers[0].1 = "evil.example:7789";
                        assert_eq!(ask(method, path, &headers, is_logged_in), 421, "{what} by another name");
                        asked += 2;
                    }
                }
            }
        }
    }
    assert!(asked > 40_000, "{asked}");
    // A token in the target is none.
    assert_eq!(
        ask(
            "POST",
            "/v1/logs?token=x&authorization=Bearer%20x",
            &[("host", HERE), ("content-type", "application/json")],
            true
        ),
        401
    );
}

#[test]
fn what_is_handed_in_ends_for_certain_and_says_what_it_is() {
    let base = [("host", HERE), ("authorization", "Bearer x")];
    let post = |path: &str, more: &[(&str, &str)]| ask("POST", path, &[&base, more].concat(), false);
    let json = ("content-type", "application/json");
    let ingest = "/api/v1/traces/claude-code/ingest";
    for (more, want) in [
        (&[json][..], 0),
        (&[json, ("content-length", "10485760")], 0),
        (&[json, ("content-length", "10485761")], 413),
        (&[json, ("content-length", "10737418240")], 413),
        (&[json, ("content-length", "99999999999999999999999999")], 413),
        (&[json, ("content-length", "-1")], 400),
        (&[json, ("content-length", "+1")], 400),
        (&[json, ("content-length", "1, 1")], 400),
        (&[json, ("content-length", "0x1")], 400),
        (&[json, ("content-length", "")], 400),
        (&[json, ("content-length", "1"), ("content-length", "1")], 400),
        (&[json, ("transfer-encoding", "chunked")], 0),
        (&[json, ("transfer-encoding", "Chunked")], 0),
        (&[json, ("transfer-encoding", "chunked"), ("content-length", "3")], 400),
        (&[json, ("transfer-encoding", "gzip, chunked")], 400),
        (&[json, ("transfer-encoding", "identity")], 400),
        (&[json, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], 400),
        (&[json, ("content-encoding", "gzip")], 0),
        (&[json, ("content-encoding", "zstd")], 0),
        (&[json, ("content-encoding", "deflate")], 0),
        (&[json, ("content-encoding", "identity")], 0),
        (&[json, ("content-encoding", "br")], 415),
        (&[json, ("content-encoding", "gzip, gzip")], 415),
        (&[json, ("content-encoding", "gzip"), ("content-encoding", "gzip")], 400),
        (&[json, json], 400),
        (&[], 415),
        (&[("content-type", "text/plain")], 415),
        (&[("content-type", "application/x-www-form-urlencoded")], 415),
        (&[("content-type", "application/x-protobuf")], 415),
        (&[json, ("origin", "http://127.0.0.1:7789")], 403),
        (&[json, ("origin", "null")], 403),
        (&[json, ("sec-fetch-site", "none")], 403),
        (&[json, ("sec-fetch-dest", "empty")], 403),
    ] {
        assert_eq!(post(ingest, more), want, "{more:?}");
    }
    assert_eq!(post("/v1/logs", &[("content-type", "text/plain")]), 415);
    assert_eq!(post("/api/v1/auth/token", &[json, ("content-length", "4097")]), 413);
    let get = |more: &[(&str, &str)]| ask("GET", "/api/v1/detections", &[&base, more].concat(), false);
    assert_eq!((get(&[]), get(&[("content-length", "0")]), get(&[("content-length", "1")])), (0, 0, 400));
    assert_eq!(get(&[("transfer-encoding", "chunked")]), 400);
}

#[test]
fn a_listener_for_other_programs_serves_nothing_else() {
    let ask = |guard: &Guard, method: &str, path: &str, host: &str| {
        let request = Request::builder().method(method).uri(path).header("host", host);
        let request = request.header("authorization", "Bearer x").header("content-type", "application/json");
        guard.check(&request.body(()).unwrap()).err().map_or(0, |denial| status(&denial))
    };
    let here = Guard::of_receiver("127.0.0.1:4318".parse().unwrap());
    let anywhere = Guard::of_receiver("0.0.0.0:4318".parse().unwrap());
    for path in ["/", "/login", "/v0/status", "/v0/heal/pause", "/js/app.js", "/health"] {
        for method in ["GET", "POST"] {
            assert_eq!(ask(&here, method, path, "127.0.0.1:4318"), 404, "{method} {path}");
            assert_eq!(ask(&anywhere, method, path, "box.example:4318"), 404, "{method} {path}");
        }
    }
    assert_eq!(ask(&here, "POST", "/v1/logs", "127.0.0.1:4318"), 0);
    assert_eq!(ask(&here, "POST", "/v1/logs", "evil.example:4318"), 421);
    assert_eq!(ask(&anywhere, "POST", "/v1/logs", "box.example:4318"), 0);
    // What was captured is told to others only by a token that is good for all.
    let scope = |guard: &Guard, method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:4318");
        let request = request.header("authorization", "Bearer x").header("content-type", "application/json");
        let Ok(Entry::Receive(admitted)) = guard.check(&request.body(()).unwrap()) else { return None };
        admitted.scope()
    };
    let (get, post) = ("/api/v1/detections", "/api/v1/traces/claude-code/ingest");
    assert_eq!(
        (scope(&here, "GET", get), scope(&anywhere, "GET", get)),
        (Some(Scope::Ingest), Some(Scope::All))
    );
    assert_eq!(scope(&anywhere, "POST", post), Some(Scope::Ingest));
}

#[test]
fn targets_that_are_no_path_are_refused() {
    let host = [("host", HERE)];
    for target in ["http://127.0.0.1:7789/", "http://evil.example/v0/status", "*", "127.0.0.1:7789"] {
        assert_eq!(ask("GET", target, &host, true), 400, "{target}");
    }
    assert_eq!(ask("CONNECT", "127.0.0.1:7789", &host, true), 405);
    assert_eq!(ask("GET", "/", &[], true), 421, "no Host");
    assert_eq!(ask("GET", "/", &[("host", HERE), ("host", HERE)], true), 400, "two");
}

#[test]
fn our_origin_is_the_one_that_the_page_was_loaded_by() {
    let post = |host: &str, origin: &str| {
        let headers = [
            ("host", host),
            ("origin", origin),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/json"),
        ];
        ask("POST", "/login", &headers, false)
    };
    for host in [HERE, "localhost:7789", "[::1]:7789"] {
        assert_eq!(post(host, &format!("http://{host}")), 0, "{host}");
        for origin in [
            "null",
            "",
            "http://",
            HERE,
            "https://127.0.0.1:7789",
            "http://127.0.0.1",
            "http://127.0.0.1:77890",
            "http://127.0.0.1:7788",
            "http://evil.example",
            "http://127.0.0.1:7789.evil.example",
            "http://127.0.0.1:7789/",
            "http://127.0.0.1:7789 http://evil.example",
        ] {
            assert_eq!(post(host, origin), 403, "{host} {origin}");
        }
    }
    assert_eq!(
        post("localhost:7789", "http://127.0.0.1:7789"),
        403,
        "another name of ours is another origin"
    );
}

#[test]
fn what_changes_something_is_sent_as_no_form_can_send_it() {
    let post = |kind: Option<&str>, more: &[(&str, &str)]| {
        let mut headers =
            vec![("host", HERE), ("origin", "http://127.0.0.1:7789"), ("sec-fetch-site", "same-origin")];
        headers.extend(kind.map(|kind| ("content-type", kind)));
        headers.extend_from_slice(more);
        ask("POST", "/v0/heal/pause", &headers, true)
    };
    assert_eq!(
        (post(Some("application/json"), &[]), post(Some("Application/JSON ; charset=utf-8"), &[])),
        (0, 0)
    );
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "application/jsonp",
        "",
    ] {
        assert_eq!(post(Some(kind), &[]), 415, "{kind}");
    }
    assert_eq!(post(None, &[]), 415);
    let json = Some("application/json");
    assert_eq!(post(json, &[("content-type", "application/json")]), 400, "twice");
    assert_eq!(post(json, &[("origin", "http://127.0.0.1:7789")]), 400, "twice");
    assert_eq!(post(json, &[("sec-fetch-site", "same-origin")]), 400, "twice");
    assert_eq!(post(json, &[("content-length", "4096")]), 0);
    assert_eq!(post(json, &[("content-length", "4097")]), 413);
    let typed = [
        ("host", HERE),
        ("origin", "http://127.0.0.1:7789"),
        ("sec-fetch-site", "none"),
        ("content-type", "application/json"),
    ];
    assert_eq!(ask("POST", "/v0/heal/pause", &typed, true), 403, "nobody types a POST");
}

#[test]
fn where_a_request_ends_is_certain() {
    let get = |more: &[(&str, &str)]| ask("GET", "/health", &[&[("host", HERE)], more].concat(), false);
    assert_eq!(get(&[("content-length", "0")]), 0);
    for wrong in [
        &[("content-length", "1")][..],
        &[("content-length", "-1")],
        &[("content-length", "0"), ("content-length", "0")],
        &[("transfer-encoding", "chunked")],
        &[("transfer-encoding", "identity"), ("content-length", "0")],
    ] {
        assert_eq!(get(wrong), 400, "{wrong:?}");
    }
}

#[test]
fn a_head_has_its_limit() {
    let get = |target: &str, value: &str| ask("GET", target, &[("host", HERE), ("x", value)], false);
    assert_eq!(get("/health", &"a".repeat(60_000)), 0);
    assert_eq!(get("/health", &"a".repeat(65_536)), 431);
    assert_eq!(get(&format!("/health?{}", "a".repeat(60_000)), &"a".repeat(6_000)), 431);
}

#[test]
fn a_login_is_found_among_other_cookies() {
    let guard = guard();
    let of = |lines: &[&str]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, line.parse().unwrap());
        }
        guard.logins(&headers).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of(&["a=b; ccd-7789=one;ccd-7788=no", "ccd-7789=two=x"]), ["one", "two=x"]);
    assert!(of(&["xccd-7789=a; ccd-7789; CCD-7789=b; =ccd-7789"]).is_empty());
    let many = "ccd-7789=x; ".repeat(100);
    assert_eq!(of(&[&many]).len(), COOKIES, "not for ever");
    let set = guard.cookie("abc").unwrap();
    assert_eq!(set, "ccd-7789=abc; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000");
    assert!(guard.cookie("a\nb").is_none());
}

#[test]
fn no_answer_lets_another_origin_in() {
    for path in ["/", "/js/app.js", "/nothing", "/v0/sessions", "/v1/traces"] {
        let mut headers = HeaderMap::new();
        protect(path, &mut headers);
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert_eq!(policy.contains("sandbox"), path.starts_with("/v"));
        assert!(!policy.contains("unsafe") && !policy.contains('*'));
        assert!(!headers.keys().any(|name| name.as_str().starts_with("access-control-")));
        assert_eq!(headers[CACHE_CONTROL], "no-store");
        assert_eq!(
            (&headers[X_FRAME_OPTIONS], &headers[X_CONTENT_TYPE_OPTIONS]),
            (&HeaderValue::from_static("DENY"), &HeaderValue::from_static("nosniff"))
        );
    }
    // Only our own files may ask to be kept.
    for (path, kept) in [("/js/app.js", "no-cache"), ("/v0/sessions", "no-store")] {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        protect(path, &mut headers);
        assert_eq!(headers[CACHE_CONTROL], kept);
    }
}

proptest! {
    /// Whatever is asked, without a login nothing that was captured is shown or changed; and what is changed comes from
    /// our own page.
    #[test]
    fn nothing_captured_is_shown_without_a_login(
        method in prop::sample::select(METHODS.to_vec()),
        path in "/{1,2}(v0|V0|v0/|%760|\\.\\./v0|\\./v0|)[a-z/%.;?0-9]{0,12}|/v0/(heal|detections)/[a-z/]{0,14}",
        headers in prop::collection::vec((prop::sample::select(vec!["origin", "sec-fetch-site", "sec-fetch-mode", "content-type", "content-length"]),
            prop::sample::select(vec!["http://127.0.0.1:7789", "null", "same-origin", "none", "cross-site", "navigate", "application/json", "3"])), 0..5),
        is_logged_in: bool,
    ) {
        let mut request = Request::builder().method(method).uri(&path).header("host", HERE);
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let Ok(request) = request.body(()) else { return Ok(()) };
        match guard().check(&request).and_then(|entry| Ok(entry.with(is_logged_in)?)) {
            Ok(Entry::Read) => prop_assert!(is_logged_in && matches!(method, "GET" | "HEAD") && path.starts_with("/v0")),
            Ok(Entry::Change) => {
                prop_assert!(is_logged_in && method == "POST");
                prop_assert!(headers.contains(&("origin", "http://127.0.0.1:7789")));
                prop_assert!(headers.contains(&("content-type", "application/json")));
            }
            // What is open is no question of the API's.
            Ok(Entry::Open | Entry::Page) => prop_assert!(!is_api(request.uri().path())),
            // Nothing is taken in without a token.
            Ok(Entry::Receive(admitted)) => prop_assert!(admitted.route.scope().is_none()),
            Ok(Entry::Login) => prop_assert!(request.uri().path() == "/login" && method == "POST"),
            Err(_) => {}
        }
    }
}
