//! Payment and commerce.

use crate::rule::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule::here(
        "stripe-key",
        "Stripe secret or restricted key",
        &["sk_live_", "sk_test_", "rk_live_", "rk_test_", "sk_prod_", "rk_prod_"],
        r"[sr]k_(?:live|test|prod)_[A-Za-z0-9]{10,}",
        &["sk_live_{a24}", "rk_live_{a99}", "sk_test_51{a97}"],
    )
    .not(&["sk_test_xxxxxxxxxxxxxxxxxxxxxxxx", "sk_live_..."]),
    Rule::here(
        "stripe-webhook-secret",
        "Stripe or Svix webhook secret",
        &["whsec_"],
        r"whsec_[A-Za-z0-9+/]{24,}={0,2}",
        &["whsec_{a32}"],
    ),
    Rule::here(
        "square-token",
        "Square token or secret",
        &["sq0atp-", "sq0csp-", "EAAA"],
        r"(?:sq0[ac][ts]p-[A-Za-z0-9_-]{22,43}|EAAA[A-Za-z0-9_-]{60})",
        &["sq0atp-{w22}", "sq0csp-{w43}", "EAAA{w60}"],
    )
    .entropy(3.5),
    Rule::near(
        "paypal-token",
        "Braintree or PayPal access token",
        &["access_token$"],
        r"(access_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[a-f0-9]{32})",
        &["access_token$production${n16}${x32}"],
    ),
    Rule::here(
        "shopify-token",
        "Shopify token or secret",
        &["shpat_", "shpca_", "shppa_", "shpss_"],
        r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
        &["shpat_{x32}", "shpss_{x32}"],
    ),
    Rule::here(
        "plaid-token",
        "Plaid access token",
        &["access-sandbox-", "access-development-", "access-production-"],
        r"access-(?:sandbox|development|production)-[0-9a-f-]{36}",
        &["access-production-{g}"],
    ),
    Rule::here(
        "shippo-token",
        "Shippo token",
        &["shippo_"],
        r"shippo_(?:live|test)_[a-fA-F0-9]{40}",
        &["shippo_live_{x40}"],
    ),
    Rule::here(
        "easypost-key",
        "EasyPost key",
        &["EZAK", "EZTK"],
        r"EZ[AT]K[A-Za-z0-9]{54}\b",
        &["EZAK{a54}"],
    ),
    Rule::here(
        "flutterwave-key",
        "Flutterwave secret key",
        &["FLWSECK"],
        r"FLWSECK(?:_TEST)?-[a-zA-Z0-9]{12,32}(?:-X)?",
        &["FLWSECK_TEST-{x32}-X"],
    ),
    Rule::here(
        "razorpay-key",
        "Razorpay key",
        &["rzp_live_", "rzp_test_"],
        r"rzp_(?:live|test)_[A-Za-z0-9]{14}\b",
        &["rzp_live_{a14}"],
    ),
    Rule::here(
        "polar-token",
        "Polar token",
        &["polar_"],
        r"polar_(?:oat|pat|at_[uo]|rt_[uo])_[A-Za-z0-9]{30,}",
        &["polar_oat_{a43}"],
    ),
    Rule::here(
        "duffel-token",
        "Duffel token",
        &["duffel_"],
        r"duffel_(?:test|live)_[A-Za-z0-9_=-]{43}",
        &["duffel_live_{w43}"],
    ),
    Rule::here(
        "age-secret-key",
        "age secret key",
        &["AGE-SECRET-KEY-1"],
        r"AGE-SECRET-KEY-1[A-Z0-9]{58}",
        &["AGE-SECRET-KEY-1{t58}"],
    ),
];
