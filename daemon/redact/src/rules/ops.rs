//! Secret stores, monitoring, data platforms.

use crate::rule::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule::here("1password-service-token", "1Password service account token", &["ops_eyJ"], r"ops_eyJ[A-Za-z0-9+/_-]{100,}={0,3}", &["ops_eyJ{b260}"]),
    Rule::here("1password-secret-key", "1Password secret key", &["A3-"], r"A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}\b", &["A3-{u6}-{u6}-{u5}-{u5}-{u5}-{u5}"]).entropy(3.0),
    Rule::here("ccd-token", "Token of ccd's own, by which other programs hand something in", &["ccdt_"], r"ccdt_[0-9a-f]{64}\b", &["ccdt_{x64}"]),
    Rule::here("doppler-token", "Doppler token", &["dp.pt.", "dp.st.", "dp.ct.", "dp.sa.", "dp.scim.", "dp.audit."], r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,44}\b", &["dp.pt.{a43}", "dp.st.dev.{a43}"]),
    Rule::near(
        "datadog-key",
        "Datadog API or application key",
        &["datadog", "dd_api", "dd_app", "dd-api-key", "dd-application-key"],
        r#"(?i)(?:datadog|dd)[_. -](?:[A-Za-z0-9_. -]{0,20})key["']?\s{0,3}[:=]\s{0,3}["']?([a-f0-9]{32}(?:[a-f0-9]{8})?)\b"#,
        &["DD_API_KEY={x32}", "DATADOG_APP_KEY={x40}", "DD-API-KEY: {x32}"],
    )
    .entropy(3.0),
    Rule::here("datadog-key", "Datadog key of the new form", &["ddapp_", "ddp_"], r"dd(?:app|p)_[A-Za-z0-9]{34,}\b", &["ddapp_{a34}"]),
    Rule::here("new-relic-key", "New Relic key", &["NRAK-", "NRJS-", "NRII-", "NRIQ-", "NRRA-", "NRBR-"], r"NR(?:AK|JS|II|IQ|RA|BR)-[A-Za-z0-9_-]{18,42}", &["NRAK-{u27}", "NRJS-{x19}", "NRII-{w32}"]),
    Rule::near("new-relic-key", "New Relic licence key", &["nral"], r"\b([a-f0-9]{36,40}(?:FFFF)?NRAL)\b", &["{x36}NRAL"]),
    Rule::here("sentry-token", "Sentry token", &["sntrys_", "sntryu_", "sntryi_", "sntrya_"], r"sntry[suia]_[A-Za-z0-9+/=_-]{40,}", &["sntryu_{x64}", "sntrys_eyJ{b120}"]),
    Rule::near("sentry-dsn", "Key in a Sentry DSN", &["sentry.io/"], r"https?://([a-f0-9]{32}(?::[a-f0-9]{32})?)@[A-Za-z0-9.-]*sentry\.io/", &["https://{x32}@o123456.ingest.us.sentry.io/4501"]),
    Rule::here("grafana-token", "Grafana service account or cloud token", &["glsa_", "glc_"], r"(?:glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|glc_[A-Za-z0-9+/]{32,}={0,3})", &["glsa_{a32}_{x8}", "glc_{b120}"]),
    Rule::here("grafana-token", "Grafana key of the old form", &["eyJrIjoi"], r"eyJrIjoi[A-Za-z0-9]{60,}={0,3}", &["eyJrIjoi{a80}=="]),
    Rule::here("databricks-token", "Databricks token", &["dapi", "dkea", "dose"], r"(?:dapi|dkea|dose)[a-f0-9]{32}(?:-[0-9])?\b", &["dapi{x32}", "dapi{x32}-2"]),
    Rule::here("dynatrace-token", "Dynatrace token", &["dt0c01.", "dt0s01."], r"dt0[cs]01\.[A-Z0-9]{24}\.[A-Z0-9]{64}", &["dt0c01.{u24}.{u64}"]),
    Rule::here("launchdarkly-key", "LaunchDarkly key", &["sdk-", "mob-", "api-"], r"(?:sdk|mob|api)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", &["sdk-{g}", "api-{g}"]),
    Rule::here("posthog-key", "PostHog personal key", &["phx_"], r"phx_[A-Za-z0-9]{40,}\b", &["phx_{a43}"]),
    Rule::here("honeycomb-key", "Honeycomb key", &["hcaik_", "hcxik_", "hcamk_", "hcaic_"], r"hc[ax][im][kc]_[A-Za-z0-9]{40,}\b", &["hcaik_{a58}"]),
    Rule::here("pagerduty-key", "PagerDuty key", &["u+"], r"u\+[A-Za-z0-9_+-]{18}\b", &["u+{a18}"]).entropy(3.6),
    Rule::here("infracost-key", "Infracost key", &["ico-"], r"ico-[A-Za-z0-9]{32}\b", &["ico-{a32}"]).entropy(3.3),
    Rule::here("openshift-token", "OpenShift token", &["sha256~"], r"sha256~[A-Za-z0-9_-]{43}", &["sha256~{w43}"]).entropy(3.5),
    Rule::here("tailscale-key", "Tailscale key", &["tskey-"], r"tskey-(?:auth-|api-|client-|scim-|webhook-)?[A-Za-z0-9]{8,}(?:CNTRL)?-[A-Za-z0-9]{20,}", &["tskey-auth-k{a10}CNTRL-{a32}"]),
    Rule::here("ngrok-token", "ngrok credential", &["ak_2", "cr_2"], r"(?:ak|cr)_2[A-Za-z0-9]{26}\b", &["ak_2{a26}"]).entropy(3.6),
    Rule::here("confluent-key", "Confluent Cloud secret", &["cflt"], r"cflt[A-Za-z0-9+/]{56,64}\b", &["cflt{b60}"]).entropy(4.0),
    Rule::here("mapbox-secret-token", "Mapbox secret token", &["sk.eyJ"], r"sk\.eyJ[A-Za-z0-9_-]{40,}\.[A-Za-z0-9_-]{20,}", &["sk.eyJ{w80}.{w22}"]),
    Rule::near("maxmind-key", "MaxMind licence key", &["_mmk"], r"\b([A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk)\b", &["{a6}_{a29}_mmk"]),
    Rule::here("typeform-token", "Typeform token", &["tfp_"], r"tfp_[A-Za-z0-9_.=-]{40,}", &["tfp_{w59}"]),
    Rule::here("contentful-token", "Contentful management token", &["CFPAT-"], r"CFPAT-[A-Za-z0-9_-]{40,}", &["CFPAT-{w43}"]),
];
