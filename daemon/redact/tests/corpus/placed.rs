//! Credentials whose place is their form: key blocks, URLs, headers, command lines, files of programs.

use ccd_redact::sample::filled;
use serde_json::json;

use crate::shapes::{Case, base64, case, percent};

fn pem(kind: &str, seed: u64) -> (String, Vec<String>) {
    let lines: Vec<String> = (0..12).map(|at| filled("{b64}", seed * 31 + at)).collect();
    (format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n")), lines)
}

/// Every such text.
pub(crate) fn placed(seed: u64) -> Vec<Case> {
    let mut cases = keys(seed);
    cases.extend(written(seed));
    cases
}

/// Private keys between their lines.
fn keys(seed: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in [
        "RSA PRIVATE KEY",
        "PRIVATE KEY",
        "EC PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "PGP PRIVATE KEY BLOCK",
    ] {
        let (block, lines) = pem(kind, seed);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        cases.push(case(kind, format!("cat key\n{block}done"), &lines, &["cat key", "done"]));
        let escaped =
            json!({"private_key": block, "type": "service_account", "project_id": "demo"}).to_string();
        cases.push(case("key in json", escaped, &lines, &["service_account", "demo"]));
        let twice = json!({"content": json!({"k": block, "n": "demo"}).to_string(), "id": 4}).to_string();
        cases.push(case("key in json in json", twice, &lines, &["demo", "\"id\":4"]));
        let indented: String = block.lines().map(|line| format!("    {line}\n")).collect::<Vec<_>>().concat();
        cases.push(case(
            "key in yaml",
            format!("tls:\n  key: |\n{indented}  port: 1\n"),
            &lines,
            &["tls:", "port: 1"],
        ));
        let numbered: String = block
            .lines()
            .enumerate()
            .map(|(at, line)| format!("{:>6}\u{2192}{line}\n", at + 1))
            .collect::<Vec<_>>()
            .concat();
        cases.push(case("key, numbered", numbered, &lines, &[]));
        let diff: String = block.lines().map(|line| format!("+{line}\n")).collect::<Vec<_>>().concat();
        cases.push(case("key in a diff", format!("+++ b/key\n{diff} end\n"), &lines, &["+++ b/key", " end"]));
        let cut = block.split("-----END").next().unwrap_or_default();
        cases.push(case(
            "key without its end",
            format!("{cut}\n[output cut]\nnext: words"),
            &lines,
            &["[output cut]", "next: words"],
        ));
        let tail = block.split_once('\n').map_or("", |(_, rest)| rest);
        cases.push(case(
            "key without its beginning",
            format!("some words\n\n{tail}after"),
            &lines,
            &["some words", "after"],
        ));
        let blob = base64(&block);
        cases.push(case(
            "key in base64",
            format!("client-key-data: {blob}\nuser: bob"),
            &[&blob[40..100], &blob[200..260]],
            &["client-key-data", "user: bob"],
        ));
    }
    cases
}

/// URLs, headers, command lines, files.
#[expect(clippy::too_many_lines, reason = "a table")]
fn written(seed: u64) -> Vec<Case> {
    let make = |template: &str| filled(template, seed);
    let (password, other) = (make("{p12}"), make("{a20}"));
    let mut cases = Vec::new();
    for scheme in ["postgres", "postgresql", "mysql", "mongodb+srv", "redis", "amqp", "https", "ftp", "smtp"]
    {
        let text =
            format!("connect to {scheme}://app:{}@db.example.com:5432/shop?x=1 now", percent(&password));
        cases.push(case(
            scheme,
            text,
            &[&percent(&password)],
            &["connect to ", "db.example.com:5432/shop?x=1 now", &format!("{scheme}://app:")],
        ));
    }
    let json_url = json!({"DATABASE_URL": format!("postgres://app:{other}@db/shop"), "n": 1}).to_string();
    cases.push(case("url in json", json_url, &[&other], &["DATABASE_URL", "@db/shop", "\"n\":1"]));
    let basic = base64(&format!("bob:{password}"));
    let basic_text = basic.trim_end_matches('=');
    cases.push(case(
        "basic",
        format!("Authorization: Basic {basic}\nAccept: */*"),
        &[basic_text],
        &["Authorization: Basic ", "Accept: */*"],
    ));
    cases.push(case(
        "docker auth",
        json!({"auths": {"ghcr.io": {"auth": basic}}, "x": 1}).to_string(),
        &[basic_text],
        &["ghcr.io", "\"x\":1"],
    ));
    cases.push(case(
        "curl -u",
        format!("curl -u bob:{password} https://h.example.com/x"),
        &[&password],
        &["curl -u bob:", "https://h.example.com/x"],
    ));
    cases.push(case(
        "mysql -p",
        format!("mysqldump -h db -u app -p{password} shop > x.sql"),
        &[&password],
        &["mysqldump -h db -u app", "shop > x.sql"],
    ));
    cases.push(case(
        "sshpass",
        format!("sshpass -p '{password}' ssh bob@h uptime"),
        &[&password],
        &["ssh bob@h uptime"],
    ));
    cases.push(case(
        "redis-cli",
        format!("redis-cli -h cache -a {other} ping"),
        &[&other],
        &["redis-cli -h cache", "ping"],
    ));
    cases.push(case(
        "docker login",
        format!("docker login -u bob -p {password} ghcr.io"),
        &[&password],
        &["docker login -u bob", "ghcr.io"],
    ));
    cases.push(case(
        "PGPASSWORD",
        format!("PGPASSWORD={password} psql -h db -c 'select 1'"),
        &[&password],
        &["psql -h db -c 'select 1'"],
    ));
    cases.push(case(
        "netrc",
        format!("machine api.example.com\n  login bob\n  password {password}\n"),
        &[&password],
        &["machine api.example.com", "login bob"],
    ));
    cases.push(case(
        "pgpass",
        format!("db.example.com:5432:shop:app:{other}\n"),
        &[&other],
        &["db.example.com:5432:shop:app:"],
    ));
    let uuid = make("{g}");
    cases.push(case(
        "npmrc",
        format!("//registry.npmjs.org/:_authToken={uuid}\nalways-auth=true\n"),
        &[&uuid],
        &["always-auth=true"],
    ));
    cases.push(case(
        "cookie",
        format!("Cookie: theme=dark; session={other}; lang=en\nHost: h"),
        &[&other],
        &["theme=dark", "lang=en", "Host: h"],
    ));
    cases.push(case(
        "set-cookie",
        format!("Set-Cookie: sid={other}; Path=/; HttpOnly\nX: y"),
        &[&other],
        &["Path=/; HttpOnly", "X: y"],
    ));
    cases.push(case(
        "connection string",
        format!("Server=db;Database=shop;User Id=app;Password={password};Encrypt=true"),
        &[&password],
        &["Server=db;Database=shop;User Id=app;", "Encrypt=true"],
    ));
    let account = make("{b86}");
    cases.push(case("azure storage", format!("DefaultEndpointsProtocol=https;AccountName=acc;AccountKey={account}==;EndpointSuffix=core.windows.net"), &[&account], &["AccountName=acc", "EndpointSuffix=core.windows.net"]));
    cases.push(case(
        "jdbc",
        format!("jdbc:postgresql://db:5432/shop?user=app&password={other}&ssl=true"),
        &[&other],
        &["jdbc:postgresql://db:5432/shop?user=app", "ssl=true"],
    ));
    let sig = make("{a43}");
    cases.push(case(
        "sas url",
        format!("https://acc.blob.core.windows.net/c/b?sv=2023-11-03&se=2026-01-01&sig={sig}%3D end"),
        &[&sig],
        &["sv=2023-11-03&se=2026-01-01", " end"],
    ));
    let hex = make("{x64}");
    cases.push(case(
        "signed url",
        format!("https://b.s3.amazonaws.com/k?X-Amz-Expires=60&X-Amz-Signature={hex} end"),
        &[&hex],
        &["X-Amz-Expires=60", " end"],
    ));
    cases.push(case(
        "slack webhook",
        make("https://hooks.slack.com/services/T{u10}/B{u10}/").clone() + &other + "abcd",
        &[&other],
        &["https://hooks.slack.com/services/"],
    ));
    let hook = make("{w68}");
    cases.push(case(
        "discord webhook",
        format!("https://discord.com/api/webhooks/123456789012345678/{hook} ok"),
        &[&hook],
        &["123456789012345678", " ok"],
    ));
    let teams = make("{x32}");
    cases.push(case(
        "teams webhook",
        make("https://acme.webhook.office.com/webhookb2/{g}@{g}/IncomingWebhook/")
            + &teams
            + &make("/{g} ok"),
        &[&teams],
        &["https://acme.webhook.office.com/", " ok"],
    ));
    cases.push(case("kubernetes secret", format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  user: {}\n  where: {}\n---\nkind: Pod\n", base64(&other), base64(&password)), &[base64(&other).trim_end_matches('='), base64(&password).trim_end_matches('=')], &["name: db", "kind: Pod"]));
    cases.push(case(
        "told",
        format!("ok the password is {password} and the port is 80"),
        &[&password],
        &["the password is ", "the port is 80"],
    ));
    cases.push(case(
        "tomcat",
        format!("<user username=\"tomcat\" password=\"{password}\" roles=\"manager\"/>"),
        &[&password],
        &["username=\"tomcat\"", "roles=\"manager\""],
    ));
    cases.push(case(
        "nuget",
        format!("<add key=\"ClearTextPassword\" value=\"{password}\" />"),
        &[&password],
        &["ClearTextPassword"],
    ));
    cases.push(case(
        "wp-config",
        format!("define( 'DB_PASSWORD', '{password}' );\ndefine( 'DB_HOST', 'db' );"),
        &[&password],
        &["DB_PASSWORD", "define( 'DB_HOST', 'db' );"],
    ));
    cases.push(case(
        "powershell",
        format!("$env:API_KEY = \"{other}\"; ./run.ps1"),
        &[&other],
        &["./run.ps1"],
    ));
    for (what, text) in [
        ("sql", format!("CREATE USER app WITH PASSWORD '{password}'; -- kept")),
        ("chpasswd", format!("echo 'root:{password}' | chpasswd # kept")),
        ("htpasswd", format!("htpasswd -b .htpasswd bob {password} # kept")),
        ("secure string", format!("ConvertTo-SecureString \"{password}\" -AsPlainText # kept")),
        ("oracle", format!("jdbc:oracle:thin:app/{other}@db:1521/kept")),
        ("table", format!("| `API_KEY` | `{other}` |\n| `PORT` | `kept` |")),
        ("meta", format!("<meta name=\"api-key\" content=\"{other}\"><p>kept</p>")),
        ("define", format!("#define API_KEY \"{other}\"\n#define kept 3")),
        ("aws configure", format!("aws configure set aws_secret_access_key {other}\necho kept")),
        ("helm", format!("helm upgrade x ./x --set auth.password={password} --set kept=2")),
        ("ansible", format!("ansible_become_password: \"{password}\"\nansible_host: kept")),
        ("told otherwise", format!("Log in with user bob and password {password}\nkept")),
        ("german", format!("Das Passwort ist {password} und kept.")),
    ] {
        let secret = if text.contains(&password) { &password } else { &other };
        cases.push(case(what, text.clone(), &[secret], &["kept"]));
    }
    let words = "legal winner thank year wave sausage worth useful legal winner thank yellow";
    cases.push(case("mnemonic", format!("MNEMONIC=\"{words}\"\nkept"), &[words], &["kept"]));
    cases.push(case(
        "aws csv",
        make("Access key ID,Secret access key\nAKIA{t16},") + &make("{b40}") + "\n",
        &[&make("{b40}")],
        &["Access key ID,Secret access key"],
    ));
    cases.push(case(
        "git remote",
        make("origin\thttps://bob:") + &other + "@github.com/acme/shop.git (fetch)",
        &[&other],
        &["origin\thttps://bob:", "@github.com/acme/shop.git (fetch)"],
    ));
    cases
}
