//! Forges, package registries, build services.

use crate::rule::{Checksum, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule::here(
        "github-token",
        "GitHub personal, OAuth, app or refresh token",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        r"gh[pousr]_[A-Za-z0-9]{36,255}",
        &["ghp_{a30}{c}", "gho_{a36}", "ghu_{a36}", "ghs_{a36}", "ghr_{a76}"],
    )
    .entropy(3.0)
    .checksum(Checksum::Crc32Base62)
    .not(&[
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "ghp_123456789012345678901234567890123456",
        "ghp_...",
    ]),
    Rule::here(
        "github-token",
        "GitHub fine-grained token",
        &["github_pat_"],
        r"github_pat_[A-Za-z0-9_]{60,255}",
        &["github_pat_{u22}_{a59}"],
    )
    .entropy(3.0),
    Rule::here(
        "gitlab-token",
        "GitLab token: personal, deploy, runner, trigger, feed, agent, OAuth secret, SCIM",
        &[
            "glpat-",
            "gldt-",
            "glrt-",
            "glrtr-",
            "glptt-",
            "glft-",
            "glimt-",
            "glagent-",
            "gloas-",
            "glsoat-",
            "glcbt-",
            "glffct-",
            "GR1348941",
        ],
        r"(?:gl(?:pat|dt|rtr?|ptt|ft|imt|agent|oas|soat|cbt|ffct)-|GR1348941)[A-Za-z0-9_.-]{20,300}",
        &[
            "glpat-{w20}",
            "gldt-{w20}",
            "glrt-{w20}",
            "glptt-{x40}",
            "glft-{w20}",
            "glimt-{w25}",
            "glagent-{w50}",
            "gloas-{x64}",
            "glsoat-{w20}",
            "glcbt-64_{w20}",
            "GR1348941{w20}",
        ],
    )
    .not(&["glpat-xxxxxxxxxxxxxxxxxxxx", "glpat-your-token"]),
    Rule::near(
        "gitlab-session",
        "GitLab session cookie",
        &["_gitlab_session="],
        r"_gitlab_session=([0-9a-z]{32})",
        &["_gitlab_session={n32}"],
    ),
    Rule::here(
        "bitbucket-token",
        "Bitbucket app password",
        &["ATBB"],
        r"ATBB[A-Za-z0-9]{24,}\b",
        &["ATBB{a32}"],
    )
    .entropy(3.3),
    Rule::here(
        "atlassian-token",
        "Atlassian API token",
        &["ATATT3", "ATCTT3"],
        r"AT[AC]TT3[A-Za-z0-9_=-]{60,}",
        &["ATATT3{w186}"],
    ),
    Rule::here("npm-token", "npm token", &["npm_"], r"npm_[A-Za-z0-9]{36}\b", &["npm_{a30}{c}", "npm_{a36}"])
        .entropy(3.3)
        .checksum(Checksum::Crc32Base62)
        .not(&["npm_config_registry", "npm_package_version_which_is_somewhat_long"]),
    Rule::near(
        "npm-token",
        "npm token of the old form in .npmrc",
        &["_authtoken"],
        r#"_authToken"?\s{0,3}[:=]\s{0,3}"?([A-Za-z0-9+/=_.-]{16,})"#,
        &["//registry.npmjs.org/:_authToken={g}"],
    ),
    Rule::here(
        "pypi-token",
        "PyPI or TestPyPI token",
        &["pypi-AgE"],
        r"pypi-AgE[A-Za-z0-9_-]{50,}",
        &["pypi-AgEIcHlwaS5vcmc{w120}", "pypi-AgENdGVzdC5weXBpLm9yZw{w120}"],
    ),
    Rule::here("crates-io-token", "crates.io token", &["cio"], r"cio[A-Za-z0-9]{32}\b", &["cio{a32}"])
        .entropy(3.7),
    Rule::here(
        "rubygems-token",
        "RubyGems key",
        &["rubygems_"],
        r"rubygems_[a-f0-9]{48}",
        &["rubygems_{x48}"],
    ),
    Rule::here("nuget-key", "NuGet key", &["oy2"], r"oy2[a-z0-9]{43}\b", &["oy2{n43}"]).entropy(3.5),
    Rule::here(
        "clojars-token",
        "Clojars token",
        &["CLOJARS_"],
        r"CLOJARS_[A-Za-z0-9]{60}",
        &["CLOJARS_{n60}"],
    ),
    Rule::here(
        "docker-token",
        "Docker Hub token",
        &["dckr_pat_", "dckr_oat_"],
        r"dckr_[po]at_[A-Za-z0-9_-]{27,}",
        &["dckr_pat_{w27}"],
    ),
    Rule::here(
        "artifactory-token",
        "Artifactory key or reference token",
        &["AKCp", "cmVmd"],
        r"(?:AKCp[A-Za-z0-9]{60,}|cmVmd[A-Za-z0-9]{59})\b",
        &["AKCp{a69}", "cmVmd{a59}"],
    )
    .entropy(4.0),
    Rule::here(
        "sourcegraph-token",
        "Sourcegraph token",
        &["sgp_"],
        r"sgp_(?:(?:[a-fA-F0-9]{16}|local)_)?[a-fA-F0-9]{40}",
        &["sgp_{x40}", "sgp_{x16}_{x40}"],
    ),
    Rule::here(
        "circleci-token",
        "CircleCI token",
        &["CCIPAT_", "CCIPRJ_"],
        r"CCIP(?:AT|RJ)_[A-Za-z0-9]{20,24}_[a-f0-9]{40}",
        &["CCIPAT_{a22}_{x40}"],
    ),
    Rule::here("buildkite-token", "Buildkite token", &["bkua_"], r"bkua_[a-f0-9]{40}", &["bkua_{x40}"]),
    Rule::here(
        "harness-token",
        "Harness token",
        &["pat.", "sat."],
        r"[ps]at\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}\b",
        &["pat.{w22}.{a24}.{a20}"],
    ),
    Rule::here(
        "postman-key",
        "Postman key",
        &["PMAK-"],
        r"PMAK-[a-fA-F0-9]{24}-[a-fA-F0-9]{34}",
        &["PMAK-{x24}-{x34}"],
    ),
    Rule::here(
        "linear-key",
        "Linear key",
        &["lin_api_", "lin_oauth_"],
        r"lin_(?:api|oauth)_[A-Za-z0-9]{40,}",
        &["lin_api_{a40}"],
    ),
    Rule::here(
        "notion-token",
        "Notion token",
        &["ntn_", "secret_"],
        r"(?:ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43})\b",
        &["ntn_{d11}{a35}", "secret_{a43}"],
    )
    .entropy(3.7),
    Rule::here(
        "airtable-token",
        "Airtable token",
        &["pat"],
        r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}\b",
        &["pat{a14}.{x64}"],
    ),
    Rule::here("figma-token", "Figma token", &["figd_"], r"figd_[A-Za-z0-9_-]{36,}", &["figd_{w40}"]),
    Rule::here(
        "snyk-token",
        "Snyk token",
        &["snyk_uat.", "snyk_sat."],
        r"snyk_[us]at\.[a-f0-9]{8}\.[A-Za-z0-9_.-]{40,}",
        &["snyk_uat.{x8}.{w80}"],
    ),
    Rule::here(
        "sonar-token",
        "SonarQube token",
        &["squ_", "sqp_", "sqa_"],
        r"sq[upa]_[a-f0-9]{40}\b",
        &["squ_{x40}"],
    ),
    Rule::here(
        "prefect-token",
        "Prefect token",
        &["pnu_", "pnb_"],
        r"pn[ub]_[A-Za-z0-9]{36}\b",
        &["pnu_{a36}"],
    ),
    Rule::here(
        "octopus-deploy-key",
        "Octopus Deploy key",
        &["API-"],
        r"API-[A-Z0-9]{25,32}\b",
        &["API-{u26}"],
    )
    .entropy(3.3),
    Rule::here("readme-key", "ReadMe key", &["rdme_"], r"rdme_[a-z0-9]{70}", &["rdme_{n70}"]),
];
