//! Forms that no one service gave: headers, tokens, command lines, files of programs.
//!
//! What needs more than a pattern (names and their values, URLs, key blocks, cookies) is written out beside the rules.

use crate::rule::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule::here(
        "jwt",
        "JSON Web Token",
        &["eyJ"],
        r"eyJ[A-Za-z0-9_-]{12,}\.(?:eyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*)?|[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)",
        &["eyJhbGciOiJIUzI1NiJ9.eyJ{w60}.{w43}"],
    )
    .entropy(3.0),
    Rule::near(
        "private-key",
        "Beginning of a private key in base 64, without the lines about it",
        &["b3blbnnzac1rzxktdje", "miievqibadanbgkq", "miievgibadanbgkq", "miieowibaakcaqea", "miieogibaakcaqea", "miiepaibaakcaqea", "miiepqibaakcaqea", "miijkqibaakcagea", "miijkaibaakcagea", "miijqwibadanbgkq", "mhccaqeei", "miig/gibaakcayea"],
        r"((?:b3BlbnNzaC1rZXktdjE|MIIEv[QgwA]IBADANBgkq|MIIE[op][A-Za-z]IBAAKCAQEA|MIIJK[A-Za-z]IBAAKCAgEA|MIIJQ[A-Za-z]IBADANBgkq|MIIG/[A-Za-z]IBAAKCAYEA|MHcCAQEEI)[A-Za-z0-9+/=\s]{40,})",
        &["b3BlbnNzaC1rZXktdjE{b200}", "MIIEvQIBADANBgkq{b300}"],
    ),
    Rule::near(
        "authorization-header",
        "Credential in an Authorization header, or after its scheme",
        &["bearer ", "bearer%20", "bearer:"],
        r#"(?i)\bbearer(?:\s+|:\s*|%20)["']?([A-Za-z0-9_.~+/=:-]{14,})"#,
        &["Authorization: Bearer {w40}", "Bearer {x32}"],
    )
    .entropy(3.0)
    .not(&["Bearer authentication", "bearer token-based-authentication", "Bearer YOUR_ACCESS_TOKEN"])
    .generic(),
    Rule::near(
        "authorization-header",
        "Basic credentials in an Authorization header",
        &["basic "],
        r#"(?i)authorization["']?\s*[:=,]\s*["']?(?-i:[Bb]asic|BASIC)\s+([A-Za-z0-9+/_-]{8,}={0,3})"#,
        &["Authorization: Basic {b40}==", "\"authorization\": \"Basic {b30}==\""],
    )
    .generic(),
    Rule::near(
        "authorization-header",
        "Other schemes in an Authorization header",
        &["authorization: ", "authorization\":", "authorization', "],
        r#"(?i)authorization["']?\s*[:,]\s*["']?(?:(?:token|apikey|api-key|digest|key|sso-key|bot|splunk|genieKey)\s+)?["']?([A-Za-z0-9_.~+/=-]{16,})"#,
        &["Authorization: token {a40}", "authorization: {x40}"],
    )
    .entropy(3.0)
    .generic(),
    Rule::near(
        "command-password",
        "user:password given to curl, wget and such",
        &[" -u ", " --user ", " --user=", " -u\"", " -u'", "--proxy-user ", " -u"],
        r#"(?:curl|http|https|wget|xh|hurl)\b[^\n|;]{0,300}?\s(?:-u|--user|--proxy-user)[ =]?["']?[^\s:"'$<{]{1,80}:([^\s"'<]{3,})"#,
        &["curl -u admin:{p14} https://example.com", "curl -s --user 'bob:{p12}' http://h"],
    )
    .entropy(0.0)
    .not(&["curl -u user:$PASSWORD https://example.com", "curl -u user:password http://h"]),
    Rule::near(
        "command-password",
        "Password in the command line of a database's client, sshpass, redis-cli",
        &["mysql", "mariadb", "sshpass", "redis-cli", "mongosh", "ldapsearch", "smbclient", "7z ", "zip "],
        r#"(?:\b(?:mysql|mariadb)(?:dump|admin|import|sh)?\b[^\n|;]{0,200}?\s-p|\bsshpass\s+-p\s*|\bredis-cli\b[^\n|;]{0,120}?\s-a\s+|\bmongo(?:sh)?\b[^\n|;]{0,200}?\s-p\s+|\bldap(?:search|modify|add)\b[^\n|;]{0,200}?\s-w\s+)["']?([^\s"'$<-][^\s"']{3,})"#,
        &["mysql -h db -u root -p{p12} shop", "sshpass -p '{p12}' ssh host", "redis-cli -h cache -a {p16} ping"],
    )
    .entropy(2.0)
    .not(&["mysql -u root -p shop", "sshpass -p $PASS ssh host"]),
    Rule::near(
        "command-password",
        "Password given to docker, podman, helm, az and such as -p",
        &["docker login", "podman login", "helm registry login", "az login", "buildah login", "oc login", "skopeo login"],
        r#"(?:login)\b[^\n|;]{0,200}?\s(?:-p|--password)[ =]["']?([^\s"'$<-][^\s"']{3,})"#,
        &["docker login -u bob -p {p14} registry.example.com"],
    )
    .entropy(2.0),
    Rule::near(
        "netrc-password",
        "Password in .netrc",
        &["machine "],
        r#"(?i)\bmachine\s+[A-Za-z0-9.-]{1,120}\s+(?:account\s+\S+\s+)?login\s+\S{1,120}\s+password\s+([^\s"\\]{3,})"#,
        &["machine api.example.com login bob password {p14}", "machine api.example.com\n  login bob\n  password {a20}\n"],
    )
    .entropy(0.0),
    Rule::near(
        "pgpass-password",
        "Password in .pgpass",
        &[":5432:", ":5433:", ":6432:", ":*:"],
        r#"(?:^|[\s"'>→])[A-Za-z0-9.*_-]{1,120}:(?:54[0-9]{2}|6432|\*):[^\s:]{1,80}:[^\s:]{1,80}:([^\s:"']{3,})"#,
        &["db.example.com:5432:shop:app:{p14}"],
    )
    .entropy(0.0),
    Rule::near(
        "told-password",
        "A password or token told in prose",
        &["password is", "passwd is", "passphrase is", "password was", "token is", "secret is", "api key is", "key is", "password to", "pw is", "pwd is", "passcode is", "credentials are", "log in with"],
        r#"(?i)\b(?:passwords?|passwd|passphrase|passcode|pwd?|secret|token|api[ _-]?key|access key|secret key|key)\s+(?:is|was|to)\s*(?:now\s+)?:?\s*["'`“*]{0,3}([^\s"'`”,<>(){}*]{6,})"#,
        &["The password is {p12}.", "my API key is `{a32}`"],
    )
    .entropy(2.3)
    .not(&["the password is required", "token is expired, log in again", "The key is base64-encoded", "password is case-sensitive", "the key is src/main.rs:12"])
    .generic(),
    Rule::near(
        "attribute-password",
        "Password attribute of an XML element",
        &["password=\"", "pwd=\"", "secret=\""],
        r#"(?i)\b[a-z_.-]{0,30}(?:password|pwd|secret)="([^"\s<>$]{6,})""#,
        &["<user username=\"tomcat\" password=\"{p14}\" roles=\"manager\"/>"],
    )
    .entropy(2.0)
    .generic(),
    Rule::near(
        "signed-cookie",
        "Signed session cookie of Express, Rails, Django, Flask",
        &["connect.sid=", "phpsessid=", "jsessionid=", "_session=", "sessionid=", "asp.net_sessionid=", "__secure-", "__host-", "laravel_session="],
        r"(?i)(?:connect\.sid|PHPSESSID|JSESSIONID|[a-z0-9_]{2,30}_session|sessionid|ASP\.NET_SessionId|__(?:Secure|Host)-[A-Za-z0-9._-]{2,40})=([A-Za-z0-9%._~+/=-]{16,})",
        &["connect.sid=s%3A{w32}.{b43}", "PHPSESSID={n26}"],
    )
    .entropy(3.0)
    .generic(),
    Rule::near(
        "putty-private-key",
        "PuTTY private key",
        &["private-lines:"],
        r"Private-Lines: [0-9]{1,4}\s+([A-Za-z0-9+/=\s]{60,}?)(?:\s*Private-MAC|$)",
        &["Private-Lines: 4\n{b64}\n{b64}\n{b64}\n{b32}\nPrivate-MAC: 00"],
    ),
    Rule::near(
        "url-token",
        "Token in the query of a URL",
        &["access_token=", "auth_token=", "api_key=", "apikey=", "?token=", "&token=", "?key=", "&key=", "&code=", "?code=", "&client_secret=", "id_token=", "refresh_token="],
        r"(?i)[?&#](?:access_token|auth_token|api_key|apikey|token|key|code|client_secret|id_token|refresh_token)=([A-Za-z0-9%._~+/=-]{16,})",
        &["https://api.example.com/v1?access_token={a40}&x=1", "/cb?code={w40}&state=1"],
    )
    .entropy(3.3)
    .generic(),
];
