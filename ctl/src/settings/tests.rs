//! What is put into a settings file comes out again, and nothing else is touched.

use super::*;
use proptest::prelude::*;
use serde_json::json;

const URL: &str = "http://127.0.0.1:7788/0123456789abcdef0123456789abcdef";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn wanted(hooks: bool) -> Wanted {
    let hooks = hooks.then(|| Hooks {
        events: vec!["SessionStart".into(), "Stop".into()],
        command: "/opt/cc-hook".into(),
        args: vec!["/run/hook.sock".into(), "/spool".into()],
    });
    Wanted {
        env: [(BASE_URL.to_owned(), URL.to_owned())].into(),
        top: [(THINKING.to_owned(), json!(true))].into(),
        hooks,
    }
}

fn merged(text: &str, wanted: &Wanted) -> String {
    String::from_utf8(Document::read(text.as_bytes()).unwrap().merged(wanted).unwrap().bytes()).unwrap()
}

fn url_only() -> Wanted {
    Wanted { top: BTreeMap::new(), ..wanted(false) }
}

#[test]
fn one_key_is_put_in_and_nothing_else_is_touched() {
    let text =
        "{\n    \"model\" : \"opus\",\n    \"env\": { \"A\": 1 },\n    \"zeta\": [1,2],   \"alpha\": null\n}";
    insta::assert_snapshot!(merged(text, &url_only()), @r#"
    {
        "model" : "opus",
        "env": {
            "A": 1,
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:7788/0123456789abcdef0123456789abcdef"
        },
        "zeta": [1,2],   "alpha": null
    }
    "#);
    insta::assert_snapshot!(merged("{}", &url_only()), @r#"
    {
      "env": {
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:7788/0123456789abcdef0123456789abcdef"
      }
    }
    "#);
    insta::assert_snapshot!(merged("", &url_only()), @r#"
    {
      "env": {
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:7788/0123456789abcdef0123456789abcdef"
      }
    }
    "#);
    insta::assert_snapshot!(merged("{\"a\":1}", &url_only()), @r#"
    {
      "a":1,
      "env": {
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:7788/0123456789abcdef0123456789abcdef"
      }
    }
    "#);
    insta::assert_snapshot!(merged("{\n\t\"a\": 1\n}\n", &url_only()), @r#"
    {
    	"a": 1,
    	"env": {
    		"ANTHROPIC_BASE_URL": "http://127.0.0.1:7788/0123456789abcdef0123456789abcdef"
    	}
    }
    "#);
}

#[test]
fn line_ends_and_byte_order_mark_stay() {
    let text = "\u{feff}{\r\n  \"a\": 1\r\n}\r\n";
    let after = merged(text, &url_only());
    assert!(after.starts_with('\u{feff}') && after.ends_with("}\r\n"), "{after:?}");
    assert_eq!(after.matches('\n').count(), after.matches("\r\n").count(), "{after:?}");
}

#[test]
fn hooks_are_appended_to_those_that_are_there() {
    let text = r#"{
  "hooks": {
    "Stop": [
      {
        "hooks": [{ "type": "command", "command": "notify" }]
      }
    ]
  }
}
"#;
    let after = merged(text, &Wanted { hooks: wanted(true).hooks, ..Wanted::default() });
    insta::assert_snapshot!(after, @r#"
    {
      "hooks": {
        "Stop": [
          {
            "hooks": [{ "type": "command", "command": "notify" }]
          },
          {
            "hooks": [
              {
                "type": "command",
                "command": "/opt/cc-hook",
                "args": ["/run/hook.sock", "/spool"],
                "timeout": 10
              }
            ]
          }
        ],
        "SessionStart": [
          {
            "hooks": [
              {
                "type": "command",
                "command": "/opt/cc-hook",
                "args": ["/run/hook.sock", "/spool"],
                "timeout": 10
              }
            ]
          }
        ]
      }
    }
    "#);
    let document = Document::read(after.as_bytes()).unwrap();
    assert!(document.has(&Wanted { hooks: wanted(true).hooks, ..Wanted::default() }));
    let original = Document::read(text.as_bytes()).unwrap();
    let back = document.stripped(original.value(), &Written::default(), None).unwrap();
    assert_eq!(back.value(), original.value());
}

#[test]
fn what_the_client_would_reject_is_not_read() {
    for (text, want) in [
        ("{\"a\": 1,}", "line 1, column 9"),
        ("{\n  // mine\n  \"a\": 1\n}", "line 2, column 3"),
        ("{\"a\": 1", "line 1"),
        ("[1]", "no JSON object"),
        ("{\"env\": []}", "`env` is not an object"),
    ] {
        let error = Document::read(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(want), "{text}: {error}");
    }
    assert_eq!(Document::read(b"{\"a\": \"\xff\"}"), Err(SettingsError::NotUtf8(7)));
    let hooks = Document::read(br#"{"hooks": 1}"#).unwrap();
    assert_eq!(hooks.merged(&wanted(true)), Err(SettingsError::KeyNotAnObject("hooks")));
}

#[test]
fn a_key_that_stands_twice_is_never_edited_wrongly() {
    let text = r#"{"env":{"ANTHROPIC_BASE_URL":"x"},"env":{"A":"1"}}"#;
    assert_eq!(Document::read(text.as_bytes()).unwrap().merged(&url_only()), Err(SettingsError::Unsafe));
}

#[test]
fn an_earlier_base_url_comes_back_from_a_file_the_client_rewrote() {
    let original =
        Document::read(br#"{"env":{"ANTHROPIC_BASE_URL":"https://gw","A":"1"},"model":"opus"}"#).unwrap();
    let wanted = wanted(false);
    let ours = original.merged(&wanted).unwrap();
    // The client re-serialises with two spaces, and the user has chosen another model meanwhile.
    let mut value = ours.value().clone();
    value.insert("model".into(), json!("sonnet"));
    let text = serde_json::to_string_pretty(&value).unwrap() + "\n";
    let back = Document::read(text.as_bytes())
        .unwrap()
        .stripped(original.value(), &wanted.written(), Some(TOKEN))
        .unwrap();
    insta::assert_snapshot!(String::from_utf8(back.bytes()).unwrap(), @r#"
    {
      "env": {
        "A": "1",
        "ANTHROPIC_BASE_URL": "https://gw"
      },
      "model": "sonnet"
    }
    "#);
}

#[test]
fn what_the_user_set_meanwhile_stays() {
    let original = Document::read(b"{}").unwrap();
    let ours = original.merged(&wanted(false)).unwrap();
    let mut value = ours.value().clone();
    value["env"][BASE_URL] = json!("https://mine");
    value.insert(THINKING.into(), json!(false));
    let text = serde_json::to_string(&value).unwrap();
    let changed = Document::read(text.as_bytes()).unwrap();
    let back = changed.stripped(original.value(), &wanted(false).written(), Some(TOKEN)).unwrap();
    assert_eq!(back, changed);
}

#[test]
fn without_a_note_our_url_is_known_by_its_token_and_hooks_by_their_command() {
    let ours = Document::read(br#"{"a":1}"#)
        .unwrap()
        .merged(&Wanted { top: BTreeMap::new(), ..wanted(true) })
        .unwrap();
    let back = ours.stripped(&Map::new(), &Written::default(), Some(TOKEN)).unwrap();
    assert_eq!(Value::Object(back.value().clone()), json!({"a":1}));
    let kept = ours.stripped(&Map::new(), &Written::default(), Some("another")).unwrap();
    assert_eq!(kept.env(BASE_URL).as_deref(), Some(URL));
}

#[test]
fn no_proxy_is_added_only_where_there_is_a_proxy() {
    let get = |pairs: &'static [(&str, &str)]| {
        move |name: &str| pairs.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned())
    };
    let of = |settings, shell| no_proxy(get(settings), get(shell)).into_iter().collect::<Vec<_>>();
    let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    assert_eq!(of(&[], &[("NO_PROXY", "x")]), []);
    assert_eq!(of(&[], &[("https_proxy", "p")]), [pair("NO_PROXY", "127.0.0.1,localhost")]);
    assert_eq!(
        of(&[("HTTP_PROXY", "p"), ("NO_PROXY", "a, localhost,")], &[("NO_PROXY", "ignored")]),
        [pair("NO_PROXY", "a, localhost,127.0.0.1")]
    );
    assert_eq!(
        of(&[], &[("HTTP_PROXY", "p"), ("no_proxy", "a")]),
        [pair("NO_PROXY", "a,127.0.0.1,localhost"), pair("no_proxy", "a,127.0.0.1,localhost")]
    );
    assert_eq!(of(&[("NO_PROXY", "*")], &[("HTTP_PROXY", "p")]), []);
    assert_eq!(of(&[("NO_PROXY", "127.0.0.1,localhost")], &[("ALL_PROXY", "p")]), []);
}

/// JSON in the forms that people and programs write it in.
fn documents() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        "[\\x00-\\x7f]{0,6}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z\"\\\\é]{1,4}", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    });
    let object = prop::collection::btree_map("[a-z$]{1,6}", value.clone(), 0..5);
    let env = prop::option::of(prop::collection::btree_map("[A-Z_]{1,5}", "[ -~]{0,6}", 0..3));
    let url = prop::option::of("https?://[a-z]{1,5}");
    (object, env, url, 0..5_u8, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(object, env, url, indent, crlf, bom, newline)| {
            let mut map: Map<String, Value> = object.into_iter().collect();
            map.remove("env");
            map.remove("hooks");
            if let Some(env) = env {
                let mut env: Map<String, Value> = env.into_iter().map(|(k, v)| (k, v.into())).collect();
                if let Some(url) = url {
                    env.insert(BASE_URL.into(), url.into());
                }
                map.insert("env".into(), env.into());
            }
            let mut text = if indent == 0 {
                Value::Object(map).to_string()
            } else {
                indented(&Value::Object(map), indent)
            };
            if newline {
                text.push('\n');
            }
            if crlf {
                text = text.replace('\n', "\r\n");
            }
            if bom { format!("\u{feff}{text}") } else { text }
        },
    )
}

fn indented(value: &Value, width: u8) -> String {
    let indent = if width == 4 { b"\t".to_vec() } else { vec![b' '; usize::from(width)] };
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(&indent);
    serde::Serialize::serialize(value, &mut serde_json::Serializer::with_formatter(&mut out, formatter))
        .unwrap();
    String::from_utf8(out).unwrap()
}

proptest! {
    #[test]
    fn what_was_put_in_comes_out_again(text in documents(), hooks: bool) {
        let before = Document::read(text.as_bytes()).unwrap();
        prop_assert_eq!(before.bytes(), text.as_bytes());
        let wanted = wanted(hooks);
        let after = before.merged(&wanted).unwrap();
        prop_assert!(after.has(&wanted));
        prop_assert_eq!(after.merged(&wanted).unwrap(), after.clone(), "twice is once");
        // Every other key keeps its value and its order.
        let keys = |d: &Document| d.value().keys().filter(|k| !["env", "hooks", THINKING].contains(&k.as_str())).cloned().collect::<Vec<_>>();
        prop_assert_eq!(keys(&before), keys(&after));
        let back = after.stripped(before.value(), &wanted.written(), Some(TOKEN)).unwrap();
        prop_assert_eq!(back.value(), before.value());
        // As the client rewrites it.
        let rewritten = indented(&Value::Object(after.value().clone()), 2);
        let back = Document::read(rewritten.as_bytes()).unwrap().stripped(before.value(), &wanted.written(), None).unwrap();
        prop_assert_eq!(back.value(), before.value());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(document) = Document::read(&bytes) {
            let _ = document.merged(&wanted(true));
        }
    }
}
