//! Chat, mail, telephony.

use crate::rule::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule::here(
        "slack-token",
        "Slack bot, user, workspace, refresh or legacy token",
        &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxo-", "xoxc-", "xoxd-", "xoxe-", "xoxe."],
        r"xox(?:e\.xox)?[abceoprsd]-[A-Za-z0-9%/+=-]{16,}",
        &["xoxb-{d12}-{d12}-{a24}", "xoxp-{d12}-{d12}-{d13}-{x32}", "xoxe-1-{u146}", "xoxe.xoxp-1-{u163}"],
    )
    .not(&["xoxb-your-bot-token-goes-here", "xoxb-xxxxxxxxxxxx-xxxxxxxxxxxx"]),
    Rule::here("slack-app-token", "Slack app-level token", &["xapp-"], r"xapp-[0-9]-[A-Z0-9]+-[0-9]+-[a-z0-9]{20,}", &["xapp-1-A{u10}-{d13}-{x64}"]),
    Rule::near(
        "slack-webhook",
        "Slack webhook",
        &["hooks.slack.com/"],
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/]{30,})",
        &["https://hooks.slack.com/services/T{u10}/B{u10}/{a24}"],
    )
    .not(&["https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"]),
    Rule::near(
        "discord-webhook",
        "Discord webhook",
        &["/api/webhooks/"],
        r"discord(?:app)?\.com/api/webhooks/[0-9]{15,22}/([A-Za-z0-9_-]{50,})",
        &["https://discord.com/api/webhooks/{d18}/{w68}"],
    ),
    Rule::near(
        "discord-bot-token",
        "Discord bot token",
        &["discord", "authorization: bot ", "\"bot "],
        r"(?i)(?:discord|\bbot\b)[^\n]{0,80}?[^A-Za-z0-9_-]((?-i:[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,45}))",
        &["DISCORD_BOT_TOKEN=MT{a24}.G{w5}.{w37}8", "Authorization: Bot OD{a24}.G{w5}.{w37}8"],
    )
    .entropy(4.0),
    Rule::near(
        "telegram-bot-token",
        "Telegram bot token",
        &[":aa"],
        r"(?:^|[^A-Za-z0-9_])(?:bot)?([0-9]{8,12}:AA[A-Za-z0-9_-]{32,33})(?:[^A-Za-z0-9_-]|$)",
        &["https://api.telegram.org/bot{d10}:AA{w33}/getMe", "{d10}:AA{w33}"],
    ),
    Rule::near(
        "teams-webhook",
        "Microsoft Teams webhook",
        &["webhook.office.com/"],
        r"webhook\.office\.com/webhookb2/([a-f0-9-]{36}@[a-f0-9-]{36}/IncomingWebhook/[a-f0-9]{32}/[A-Za-z0-9/_-]{36,})",
        &["https://acme.webhook.office.com/webhookb2/{g}@{g}/IncomingWebhook/{x32}/{g}"],
    ),
    Rule::here("twilio-api-key", "Twilio API key", &["SK"], r"SK[0-9a-f]{32}\b", &["SK{x32}"]).entropy(3.0),
    Rule::near(
        "twilio-auth-token",
        "Twilio auth token beside its account",
        &["twilio"],
        r#"(?i)twilio[A-Za-z0-9_. -]{0,20}(?:auth|token|secret)[A-Za-z0-9_]{0,10}["']?\s{0,3}[:=]\s{0,3}["']?([a-f0-9]{32})\b"#,
        &["TWILIO_AUTH_TOKEN={x32}"],
    )
    .entropy(3.0),
    Rule::here("sendgrid-key", "SendGrid key", &["SG."], r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}", &["SG.{w22}.{w43}"]).entropy(3.5),
    Rule::here("mailgun-key", "Mailgun key", &["key-"], r"key-[a-f0-9]{32}\b", &["key-{x32}"]).entropy(3.0),
    Rule::near("mailchimp-key", "Mailchimp key", &["-us1", "-us2", "-us3", "-us4", "-us5", "-us6", "-us7", "-us8", "-us9"], r"\b([a-f0-9]{32}-us[0-9]{1,2})\b", &["{x32}-us14"]).entropy(3.0),
    Rule::here("brevo-key", "Brevo (Sendinblue) key", &["xkeysib-", "xsmtpsib-"], r"x(?:key|smtp)sib-[a-f0-9]{64}-[A-Za-z0-9]{16}", &["xkeysib-{x64}-{a16}"]),
    Rule::here("resend-key", "Resend key", &["re_"], r"re_[A-Za-z0-9]{8}_[A-Za-z0-9]{22,26}\b", &["re_{a8}_{a24}"]).entropy(3.3),
    Rule::here("mailersend-token", "Mailersend token", &["mlsn."], r"mlsn\.[a-f0-9]{64}", &["mlsn.{x64}"]),
    Rule::here("facebook-token", "Facebook or Instagram access token", &["EAA"], r"EAA[A-Za-z0-9]{90,}\b", &["EAAC{a140}"]).entropy(4.0),
    Rule::near("twitter-bearer-token", "X (Twitter) bearer token", &["aaaaaaaaaaaaaaaaaaaaaa"], r"\b(A{22}[A-Za-z0-9%]{60,})", &["AAAAAAAAAAAAAAAAAAAAAA{a80}"]).entropy(3.5),
];
