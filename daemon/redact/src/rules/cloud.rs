//! Clouds and hosts.

use crate::rule::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule::here(
        "aws-access-key-id",
        "AWS access key id",
        &["AKIA", "ASIA", "ABIA", "ACCA"],
        r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
        &["AKIA{t16}", "ASIA{t16}"],
    )
    .entropy(3.0)
    .not(&["AKIAIOSFODNN7EXAMPLE", "ASIAPACIFICREGIONSOUTHEAST"]),
    Rule::near(
        "aws-secret-access-key",
        "AWS secret access key that stands beside its id",
        &["AKIA", "ASIA"],
        r#"\b(?:AKIA|ASIA)[A-Z0-9]{16}["'\s,:;|/]{1,8}([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+]|$)"#,
        &["AKIA{t16},{b40}", "AKIA{t16} : {b40}"],
    )
    .entropy(3.5),
    Rule::here("aws-bedrock-api-key", "Amazon Bedrock API key", &["ABSK"], r"ABSK[A-Za-z0-9+/]{80,}={0,2}", &["ABSK{b120}=="]),
    Rule::here("aws-bedrock-api-key", "Amazon Bedrock short-lived key", &["bedrock-api-key-"], r"bedrock-api-key-[A-Za-z0-9+/=_-]{30,}", &["bedrock-api-key-{b80}"]),
    Rule::near(
        "aws-signed-url",
        "Signature or session token in a pre-signed URL or header of AWS",
        &["x-amz-signature=", "x-amz-security-token=", "x-amz-security-token:"],
        r"(?i)x-amz-(?:signature|security-token)(?:=|:\s?)([A-Za-z0-9%/+=_-]{40,})",
        &["https://b.s3.amazonaws.com/k?X-Amz-Expires=60&X-Amz-Signature={x64}", "X-Amz-Security-Token: {b200}"],
    ),
    Rule::here("gcp-api-key", "Google API key", &["AIza"], r"AIza[A-Za-z0-9_-]{35}", &["AIza{w35}"]).entropy(3.3),
    Rule::here("gcp-oauth-client-secret", "Google OAuth client secret", &["GOCSPX-"], r"GOCSPX-[A-Za-z0-9_-]{26,}", &["GOCSPX-{w28}"]),
    Rule::here("gcp-oauth-access-token", "Google OAuth access token", &["ya29."], r"ya29\.[A-Za-z0-9_-]{20,}", &["ya29.{w120}"]),
    Rule::here("gcp-oauth-refresh-token", "Google OAuth refresh token", &["1//0"], r"1//0[A-Za-z0-9_-]{40,}", &["1//0{w99}"]).entropy(4.0),
    Rule::near(
        "azure-ad-client-secret",
        "Client secret of Azure AD (Entra)",
        &["q~"],
        r#"(?:^|[\\'"`\s>=:(,])([A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34})(?:$|[\\'"`\s<),;&])"#,
        &["client: {a3}8Q~{w34}"],
    )
    .entropy(3.0),
    Rule::near(
        "azure-storage-key",
        "Account key of Azure Storage, Cosmos DB, Service Bus, Event Hubs",
        &["accountkey=", "sharedaccesskey=", "sharedaccesssignature=", "sharedsecretvalue="],
        r"(?i)(?:AccountKey|SharedAccessKey|SharedAccessSignature|SharedSecretValue)\s?=\s?([A-Za-z0-9+/=%&-]{20,})",
        &["DefaultEndpointsProtocol=https;AccountName=acc;AccountKey={b86}==;EndpointSuffix=core.windows.net"],
    )
    .entropy(3.5),
    Rule::near(
        "azure-sas-signature",
        "Signature of an Azure shared access URL",
        &["&sig=", "?sig="],
        r"[?&]sig=([A-Za-z0-9%+/=_-]{40,})",
        &["https://acc.blob.core.windows.net/c/b?sv=2023-11-03&se=2026-01-01&sig={a42}%3D"],
    )
    .entropy(3.5),
    Rule::near(
        "azure-app-configuration",
        "Secret of an Azure App Configuration connection string",
        &[".azconfig.io;"],
        r"\.azconfig\.io;Id=[^;\s]{4,80};Secret=([A-Za-z0-9+/=]{30,})",
        &["Endpoint=https://foo.azconfig.io;Id=ab-l0-s0:{b20};Secret={b43}="],
    ),
    Rule::near(
        "azure-devops-token",
        "Azure DevOps personal access token",
        &["azdo"],
        r"\b([A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4})\b",
        &["{a76}AZDO{a4}"],
    ),
    Rule::here("digitalocean-token", "DigitalOcean token", &["dop_v1_", "doo_v1_", "dor_v1_"], r"do[opr]_v1_[a-f0-9]{64}", &["dop_v1_{x64}", "doo_v1_{x64}", "dor_v1_{x64}"]),
    Rule::here("heroku-api-key", "Heroku key", &["HRKU-"], r"HRKU-[A-Za-z0-9_-]{30,}", &["HRKU-AA{w58}", "HRKU-{g}"]),
    Rule::near(
        "heroku-api-key",
        "Heroku key of the old form",
        &["heroku"],
        r#"(?i)heroku[A-Za-z0-9_. -]{0,24}["']?\s{0,3}[:=]\s{0,3}["']?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b"#,
        &["HEROKU_API_KEY={g}"],
    ),
    Rule::here("cloudflare-origin-ca-key", "Cloudflare origin CA key", &["v1.0-"], r"v1\.0-[a-f0-9]{24}-[a-f0-9]{100,}", &["v1.0-{x24}-{x146}"]),
    Rule::near(
        "cloudflare-api-key",
        "Cloudflare token or global key",
        &["cloudflare", "x-auth-key", "cf_api_"],
        r#"(?i)(?:cloudflare|x-auth-key|cf_api)[A-Za-z0-9_. -]{0,24}["']?\s{0,3}[:=]\s{0,3}["']?([a-f0-9]{37}|[A-Za-z0-9_-]{40})(?:[^A-Za-z0-9_-]|$)"#,
        &["CLOUDFLARE_API_TOKEN={w40}", "X-Auth-Key: {x37}"],
    )
    .entropy(3.3),
    Rule::here("alibaba-access-key-id", "Alibaba Cloud access key id", &["LTAI"], r"LTAI[A-Za-z0-9]{16,20}\b", &["LTAI{a20}"]).entropy(3.0),
    Rule::here("tencent-secret-id", "Tencent Cloud secret id", &["AKID"], r"AKID[A-Za-z0-9]{32}\b", &["AKID{a32}"]).entropy(3.3),
    Rule::here("flyio-token", "Fly.io token", &["fo1_", "fm1a_", "fm1r_", "fm2_"], r"(?:fo1_[A-Za-z0-9_-]{40,}|fm1[ar]_[A-Za-z0-9+/]{60,}={0,3}|fm2_[A-Za-z0-9+/]{60,}={0,3})", &["fo1_{w43}", "fm2_{b160}"]),
    Rule::here("planetscale-credential", "PlanetScale password or token", &["pscale_"], r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_=.-]{32,}", &["pscale_tkn_{w43}", "pscale_pw_{w43}"]),
    Rule::here("supabase-token", "Supabase token or secret key", &["sbp_", "sb_secret_"], r"(?:sbp_(?:v0_)?[a-f0-9]{40}|sb_secret_[A-Za-z0-9_-]{20,})", &["sbp_{x40}", "sb_secret_{w31}"]),
    Rule::here("render-api-key", "Render key", &["rnd_"], r"rnd_[A-Za-z0-9]{28,}\b", &["rnd_{a32}"]).entropy(3.5),
    Rule::here("scalingo-token", "Scalingo token", &["tk-us-"], r"tk-us-[A-Za-z0-9_-]{40,}", &["tk-us-{w48}"]),
    Rule::here("clickhouse-cloud-secret", "ClickHouse Cloud API secret", &["4b1d"], r"4b1d[A-Za-z0-9]{38}\b", &["4b1d{a38}"]).entropy(4.0),
    Rule::here("terraform-token", "HCP Terraform token", &["atlasv1"], r"atlasv1\.[A-Za-z0-9_=-]{50,}", &["atlasv1.{w64}"]),
    Rule::near("terraform-token", "HCP Terraform token", &[".atlasv1."], r"\b([A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{50,})", &["{a14}.atlasv1.{w64}"]),
    Rule::here("vault-token", "HashiCorp Vault token", &["hvs.", "hvb.", "hvr."], r"hv[sbr]\.[A-Za-z0-9_-]{24,}", &["hvs.{w95}", "hvb.{w140}", "hvs.{w24}"]).entropy(3.3),
    Rule::near(
        "vault-token",
        "HashiCorp Vault token of the old form",
        &["vault"],
        r"(?i)vault[^\n]{0,60}[^A-Za-z0-9_](?-i:(s\.[A-Za-z0-9]{24}))\b",
        &["VAULT_TOKEN=s.{a24}", "vault login s.{a24}"],
    )
    .entropy(3.5),
    Rule::here("pulumi-token", "Pulumi token", &["pul-"], r"pul-[a-f0-9]{40}", &["pul-{x40}"]),
    Rule::here("yandex-credential", "Yandex Cloud key", &["AQVN"], r"AQVN[A-Za-z0-9_-]{35,38}", &["AQVN{w37}"]).entropy(3.5),
];
