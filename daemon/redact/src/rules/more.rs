//! Hosts, model providers and shops that came later, and forms of commands and files.

use crate::rule::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule::here("netlify-token", "Netlify token", &["nfp_", "nfc_", "nfo_", "nfb_", "nfu_"], r"nf[pcobu]_[A-Za-z0-9]{36,}\b", &["nfp_{a36}"]).entropy(3.5),
    Rule::here("vercel-token", "Vercel token or key", &["vcp_", "vck_", "vci_", "vca_", "vcr_"], r"vc[pkiar]_[A-Za-z0-9]{24,}\b", &["vcp_{a56}", "vck_{a56}"]).entropy(3.5),
    Rule::here("hubspot-token", "HubSpot private app token", &["pat-na", "pat-eu", "pat-ap"], r"pat-(?:na|eu|ap)[0-9]-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", &["pat-na1-{g}"]),
    Rule::here("dropbox-token", "Dropbox token", &["sl."], r"sl\.(?:u\.)?[A-Za-z0-9_-]{100,}", &["sl.B{w134}", "sl.u.AF{w400}"]).entropy(4.0),
    Rule::here("asana-token", "Asana personal access token", &["1/1", "2/1"], r"[12]/1[0-9]{9,19}(?:/[0-9]{10,20})?:[a-f0-9]{32}\b", &["1/1{d15}:{x32}", "2/1{d15}/{d16}:{x32}"]),
    Rule::here("neon-api-key", "Neon key", &["napi_"], r"napi_[a-z0-9]{40,}\b", &["napi_{n64}"]).entropy(3.5),
    Rule::here("mongodb-atlas-secret", "Secret of a MongoDB Atlas service account", &["mdb_sa_sk_"], r"mdb_sa_sk_[A-Za-z0-9_-]{30,}", &["mdb_sa_sk_{a40}"]),
    Rule::here("voyage-api-key", "Voyage AI key", &["pa-"], r"pa-[A-Za-z0-9_-]{43}\b", &["pa-{a43}"]).entropy(4.3),
    Rule::here("cerebras-api-key", "Cerebras key", &["csk-"], r"csk-[a-z0-9]{40,}\b", &["csk-{n48}"]).entropy(3.8),
    Rule::here("together-api-key", "Together key", &["tgp_v1_"], r"tgp_v1_[A-Za-z0-9_-]{30,}", &["tgp_v1_{w43}"]),
    Rule::here("buildkite-token", "Buildkite agent or cluster token", &["bkct_", "bkat_"], r"bk[ca]t_[A-Za-z0-9]{30,}\b", &["bkct_{a40}"]),
    Rule::here("stytch-secret", "Stytch secret", &["secret-live-", "secret-test-"], r"secret-(?:live|test)-[A-Za-z0-9_-]{30,}={0,2}", &["secret-live-{a36}="]).entropy(3.5),
    Rule::here("workos-key", "Key of WorkOS and others: sk_ and a hundred letters and digits", &["sk_"], r"sk_[A-Za-z0-9]{60,}\b", &["sk_{a120}"]).entropy(4.3),
    Rule::here("stripe-key", "Stripe ephemeral key", &["ek_live_", "ek_test_"], r"ek_(?:live|test)_[A-Za-z0-9]{20,}", &["ek_live_{a40}"]),
    Rule::here("cloudflare-api-key", "Cloudflare token of the new form", &["cfut_", "cfat_", "cfk_"], r"cf(?:ut|at|k)_[A-Za-z0-9]{40,}\b", &["cfut_{a48}"]).entropy(3.5),
    Rule::near("azure-key", "Azure key with its service's name in it: Functions, AI, registries, storage", &["azfu", "jqqj99", "+acr", "+ast", "+aba", "+asb", "+aeh", "acdb"], r"(?:^|[^A-Za-z0-9+/_-])([A-Za-z0-9_-]{40,56}AzFu[A-Za-z0-9_-]{4,10}={0,2}|[A-Za-z0-9]{52}JQQJ99[A-Za-z0-9]{20,30}|[A-Za-z0-9+/]{42}\+ACR[A-Za-z0-9]{6}|[A-Za-z0-9+/]{33}\+(?:ASb|AEh)[A-Za-z0-9+/]{6,8}=?|[A-Za-z0-9+/]{76}(?:\+ASt|\+ABa|ACDb)[A-Za-z0-9+/]{5,8}={0,2})", &["{a44}AzFu{a8}==", "{a52}JQQJ99{a26}", "{a42}+ACR{a6}", "{b76}+ASt{a6}=="]).entropy(4.0),
    Rule::near("sql-password", "Password in a statement of SQL", &["password '", "password('", "identified by '", "password \\'"], r"(?i)(?:\bpassword|\bidentified\s+by(?:\s+password)?)\s*\(?\s*\\?'([^'\s\\]{6,})\\?'", &["ALTER USER app PASSWORD '{p14}';", "IDENTIFIED BY '{p12}'"]).entropy(2.0).generic(),
    Rule::near("command-password", "Password handed to chpasswd or htpasswd", &["chpasswd", "htpasswd -"], r#"(?:[A-Za-z0-9_.-]{1,64}:([^\s"'|$]{4,})["']?\s*\|\s*(?:sudo\s+)?chpasswd|htpasswd\s+-[A-Za-z]*(?:nb|bn)[A-Za-z]*\s+[^\s-]\S*\s+["']?([^\s"'$]{4,})|htpasswd\s+-[A-Zac-mo-z]*b[A-Zac-mo-z]*\s+[^\s-]\S*\s+\S+\s+["']?([^\s"'$]{4,}))"#, &["echo 'root:{p14}' | chpasswd", "htpasswd -b .htpasswd bob {p14}", "htpasswd -nbB bob {p14}"]).entropy(2.0),
    Rule::near("command-password", "Text made into a secure string of PowerShell", &["convertto-securestring"], r#"(?i)ConvertTo-SecureString\s+(?:-String\s+)?["']([^"'$\s]{4,})["']"#, &["ConvertTo-SecureString \"{p14}\" -AsPlainText -Force"]).entropy(2.0),
    Rule::near("url-password", "Password in an address of Oracle", &["oracle:thin:", "sqlplus "], r#"(?:oracle:thin:|\bsqlplus\s+(?:-\S+\s+)?)[A-Za-z0-9_]{1,64}/["']?([^@\s"']{4,})["']?@"#, &["jdbc:oracle:thin:app/{a12}@db:1521/x", "sqlplus app/{a12}@db"]).entropy(2.0),
    Rule::near("otp-secret", "Secret of one-time passwords", &["otpauth://"], r"(?i)otpauth://[^\s]{0,200}?[?&]secret=([A-Z2-7]{12,})", &["otpauth://totp/GitHub:bob?secret={t32}&issuer=GitHub"]),
    Rule::near(
        "told-password",
        "A password told in prose, in other words",
        &["and password ", "with password ", "passwort ist", "passwort lautet", "kennwort ist", "kennwort lautet", "mot de passe est", "la contrase\u{f1}a es", "use this token", "use this key"],
        r#"(?i)(?:\b(?:and|with) password|\b(?:passwort|kennwort) (?:ist|lautet)|mot de passe est|contraseña es|use this (?:token|key)):?\s+["'`]?([^\s"'`,<>(){}]{6,})"#,
        &["Log in with user bob and password {p12}", "Das Passwort ist {p12} und gut."],
    )
    .entropy(2.3)
    .generic(),
];
