//! The shapes that credentials have in sessions: files that were read, output of commands, requests, JSON in JSON, escapes.

use ccd_redact::sample::filled;
use serde_json::json;

/// A text, what of it must go, and what must stay.
pub(crate) struct Case {
    pub(crate) what: String,
    pub(crate) text: String,
    pub(crate) secrets: Vec<String>,
    pub(crate) keeps: Vec<String>,
}

pub(crate) fn case(what: &str, text: String, secrets: &[&str], keeps: &[&str]) -> Case {
    let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Case { what: what.to_owned(), text, secrets: own(secrets), keeps: own(keeps) }
}

pub(crate) fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits =
            three.iter().fold(0_usize, |bits, b| bits << 8 | usize::from(*b)) << (8 * (3 - three.len()));
        for at in 0..4 {
            out.push(if at <= three.len() { char::from(DIGITS[bits >> (18 - 6 * at) & 63]) } else { '=' });
        }
    }
    out
}

pub(crate) fn percent(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"_.~-".contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

fn unicode(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) })
        .collect()
}

/// A value under a name, in every shape that holds one.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(crate) fn named(name: &str, value: &str, seed: u64) -> Vec<Case> {
    let lower = name.to_lowercase();
    let camel: String =
        lower
            .split('_')
            .enumerate()
            .map(|(at, word)| {
                if at == 0 { word.to_owned() } else { format!("{}{}", word[..1].to_uppercase(), &word[1..]) }
            })
            .collect();
    let id = filled("{g}", seed + 1000);
    let mut cases = vec![
        case(
            "env",
            format!("# settings\nPORT=8080\n{name}={value}\nLOG_LEVEL=debug\n"),
            &[value],
            &["PORT=8080", name, "LOG_LEVEL=debug"],
        ),
        case(
            "export",
            format!("$ export {name}=\"{value}\" && make deploy"),
            &[value],
            &[name, "make deploy"],
        ),
        case(
            "single quotes",
            format!("{name}='{value}' ./run.sh --fast"),
            &[value],
            &[name, "./run.sh --fast"],
        ),
        case(
            "yaml",
            format!("server:\n  port: 80\n  {lower}: {value}\n  region: eu-west-1\n"),
            &[value],
            &[&lower, "region: eu-west-1"],
        ),
        case(
            "yaml quoted",
            format!("env:\n  {name}: \"{value}\"\n  region: eu-west-1\n"),
            &[value],
            &[name, "region: eu-west-1"],
        ),
        case(
            "json",
            json!({"id": id, &lower: value, "n": 3}).to_string(),
            &[value],
            &[&id, &lower, "\"n\":3"],
        ),
        case(
            "json pretty",
            format!("{:#}", json!({"id": id, &camel: value, "n": 3})),
            &[value],
            &[&id, &camel],
        ),
        case(
            "toml",
            format!("[auth]\n{lower} = \"{value}\"\nretries = 3\n"),
            &[value],
            &[&lower, "retries = 3"],
        ),
        case(
            "properties",
            format!("app.{}={value}\napp.name=demo\n", lower.replace('_', ".")),
            &[value],
            &["app.name=demo"],
        ),
        case(
            "xml",
            format!("<config><{lower}>{value}</{lower}><port>80</port></config>"),
            &[value],
            &["<port>80</port>", &format!("</{lower}>")],
        ),
        case(
            "js",
            format!("const {camel} = \"{value}\";\nconst port = 80;"),
            &[value],
            &[&camel, "const port = 80;"],
        ),
        case(
            "python",
            format!("    {name} = '{value}'\n    return client({name})"),
            &[value],
            &[name, "return client("],
        ),
        case(
            "rust",
            format!("const {name}: &str = \"{value}\";\nfn main() {{}}"),
            &[value],
            &[name, "fn main() {}"],
        ),
        case("go", format!("\t{camel} := \"{value}\"\n\treturn nil"), &[value], &[&camel, "return nil"]),
        case("php", format!("define('{name}', '{value}');\n$x = 1;"), &[value], &[name, "$x = 1;"]),
        case(
            "flag",
            format!("tool deploy --{} {value} --region eu", lower.replace('_', "-")),
            &[value],
            &["--region eu"],
        ),
        case(
            "flag=",
            format!("tool deploy --{}={value} --region eu", lower.replace('_', "-")),
            &[value],
            &["--region eu"],
        ),
        case(
            "kubernetes env",
            format!(
                "      env:\n        - name: {name}\n          value: {value}\n        - name: PORT\n          value: \"80\"\n"
            ),
            &[value],
            &[name, "- name: PORT"],
        ),
        case(
            "container env",
            json!({"Env": [format!("{name}={value}"), "PATH=/usr/bin"], "Id": id}).to_string(),
            &[value],
            &["PATH=/usr/bin", &id],
        ),
        case(
            "pair",
            json!([{"name": name, "value": value}, {"name": "PORT", "value": "80"}]).to_string(),
            &[value],
            &[name, "PORT"],
        ),
        case(
            "dockerfile",
            format!("FROM alpine\nENV {name} {value}\nRUN make\n"),
            &[value],
            &["FROM alpine", "RUN make"],
        ),
        case(
            "cat -n",
            format!("     4\u{2192}PORT=80\n     5\u{2192}{name}={value}\n     6\u{2192}\n"),
            &[value],
            &["     4\u{2192}PORT=80", name],
        ),
        case(
            "diff",
            format!("@@ -1 +1 @@\n-{name}=changeme\n+{name}={value}\n PORT=80\n"),
            &[value],
            &["@@ -1 +1 @@", " PORT=80"],
        ),
        case(
            "ansi",
            format!("\u{1b}[1m{name}\u{1b}[0m=\u{1b}[32m{value}\u{1b}[0m\nok\n"),
            &[value],
            &[name, "ok"],
        ),
        case(
            "base64",
            format!("echo {} | base64 -d", base64(&format!("{name}={value}\n"))),
            &[&base64(&format!("{name}={value}\n"))[..24]],
            &["| base64 -d"],
        ),
    ];
    // Where it lies in a tool's result in a hook's payload in a request's body.
    let file = format!("# env\n{name}={value}\nPORT=\"80\"\n");
    let one = json!({"tool_use_id": "toolu_01A09q90qw90lq917835lq9", "content": file}).to_string();
    let two = json!({"session_id": id, "tool_response": one}).to_string();
    let three = json!({"messages": [{"role": "user", "content": two}]}).to_string();
    let escaped = json!(value).to_string();
    let escaped = escaped.trim_matches('"');
    for (what, text) in [("json in json", two), ("json in json in json", three)] {
        cases.push(case(what, text, &[escaped], &["toolu_01A09q90qw90lq917835lq9", &id, "PORT=", name]));
    }
    let inner = json!({&lower: value, "region": "eu"}).to_string();
    cases.push(case(
        "member in json",
        json!({"body": inner, "id": id}).to_string(),
        &[escaped],
        &[&id, "region", &lower],
    ));
    cases.push(case(
        "unicode escapes",
        format!("{{\"{lower}\":\"{}\",\"id\":\"{id}\"}}", unicode(value)),
        &[&unicode(value)],
        &[&lower, &id],
    ));
    cases.push(case(
        "form",
        format!("grant=x&{lower}={}&scope=all", percent(value)),
        &[&percent(value)],
        &["grant=x", "scope=all"],
    ));
    if value.len() >= 16 {
        let text = format!(
            "{name}={value}\nIt worked: the server got {value}, twice.\nurl: https://h/x?y={}",
            percent(value)
        );
        cases.push(case(
            "again",
            text,
            &[value, &percent(value)],
            &[name, "It worked: the server got ", ", twice."],
        ));
    }
    cases
}

/// A value that is known by its form, without a name.
pub(crate) fn formed(value: &str, seed: u64) -> Vec<Case> {
    let id = filled("{x40}", seed + 1000);
    let mut cases = vec![
        case("prose", format!("I used {value} for it; see commit {id}."), &[value], &["I used ", &id]),
        case(
            "quotes",
            format!("client = Client(\"{value}\", timeout=30)"),
            &[value],
            &["client = Client(", "timeout=30"],
        ),
        case("backticks", format!("Set it to `{value}` please"), &[value], &["Set it to ", " please"]),
        case("array", json!(["a", value, {"commit": id}]).to_string(), &[value], &[&id]),
        case(
            "bearer",
            format!("curl -H \"Authorization: Bearer {value}\" https://api.example.com/v1"),
            &[value],
            &["curl -H", "https://api.example.com/v1"],
        ),
        case(
            "escaped line",
            json!({"out": format!("done\n{value}\n{id}")}).to_string(),
            &[value],
            &["done", &id],
        ),
        case(
            "query",
            format!("GET /v1/me?api_key={}&page=2 HTTP/1.1", percent(value)),
            &[&percent(value)],
            &["GET /v1/me?", "page=2"],
        ),
        case("csv", format!("bob,{value},2026-01-02\n"), &[value], &["bob,", "2026-01-02"]),
        case("table", format!("| key | {value} |\n| age | 3 |"), &[value], &["| age | 3 |"]),
    ];
    if value.len() >= 30 {
        // A terminal of 80 columns.
        let line = format!("The deployment on the second cluster was made with the key {value}");
        let (first, second) = line.split_at(80.min(line.len() - 6));
        let parts = [&first[59..], second];
        if !second.is_empty() && parts[0].len() >= 12 {
            let text = format!("{first}\n{second}\nand then it ended.");
            cases.push(case(
                "wrapped",
                text,
                &parts,
                &["The deployment on the second cluster", "and then it ended."],
            ));
            let text =
                format!("     7\u{2192}{first}\n     8\u{2192}{second}\n     9\u{2192}and then it ended.");
            cases.push(case(
                "wrapped, numbered",
                text,
                &parts,
                &["The deployment on the second cluster", "and then it ended."],
            ));
        }
    }
    cases
}
