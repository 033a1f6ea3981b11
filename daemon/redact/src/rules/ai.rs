//! Model providers and what stands around them.

use crate::rule::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule::here(
        "anthropic-api-key",
        "Anthropic API, admin, OAuth access and refresh token, session key",
        &["sk-ant-"],
        r"sk-ant-[a-z]{2,8}[0-9]{0,3}-[A-Za-z0-9_-]{20,}",
        &["sk-ant-api03-{w93}AA", "sk-ant-oat01-{w93}AA", "sk-ant-ort01-{w93}AA", "sk-ant-admin01-{w93}AA", "sk-ant-sid01-{w93}AA"],
    )
    .not(&["sk-ant-api03-...", "sk-ant-api03-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "sk-ant-"]),
    Rule::here(
        "openai-api-key",
        "OpenAI key: project, service account, admin, or an old one",
        &["sk-proj-", "sk-svcacct-", "sk-admin-", "sk-None-"],
        r"sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,}",
        &["sk-proj-{w74}T3BlbkFJ{w74}", "sk-svcacct-{w58}T3BlbkFJ{w58}", "sk-admin-{w58}T3BlbkFJ{w58}"],
    )
    .not(&["sk-proj-your-key-here", "sk-proj-xxxxxxxxxxxxxxxxxxxxxxxxxxxx"]),
    Rule::near(
        "openai-api-key",
        "OpenAI key of the old form",
        &["t3blbkfj"],
        r"\b(sk-[A-Za-z0-9_-]{16,}T3BlbkFJ[A-Za-z0-9_-]{16,})",
        &["sk-{a20}T3BlbkFJ{a20}"],
    ),
    Rule::here(
        "openai-api-key",
        "A key of OpenAI's old form, which many compatible services give too: sk-, then 32 or more letters and digits",
        &["sk-"],
        r"sk-[A-Za-z0-9]{32,}\b",
        &["sk-{a48}", "sk-{x32}"],
    )
    .entropy(3.2)
    .not(&["sk-learn", "sk-toolbar-container-shadowroot"]),
    Rule::here("openrouter-api-key", "OpenRouter key", &["sk-or-v1-"], r"sk-or-v1-[a-f0-9]{40,}", &["sk-or-v1-{x64}"]),
    Rule::here(
        "langsmith-api-key",
        "LangSmith key",
        &["lsv2_pt_", "lsv2_sk_"],
        r"lsv2_(?:pt|sk)_[a-f0-9]{32}(?:_[a-f0-9]{10})?",
        &["lsv2_pt_{x32}_{x10}"],
    ),
    Rule::here("langfuse-secret-key", "Langfuse secret key", &["sk-lf-"], r"sk-lf-[a-f0-9-]{36}", &["sk-lf-{g}"]),
    Rule::here(
        "huggingface-token",
        "Hugging Face access or organisation token",
        &["hf_", "api_org_"],
        r"(?:hf_|api_org_)[A-Za-z0-9]{30,}\b",
        &["hf_{L34}", "api_org_{L34}"],
    )
    .not(&["hf_hub_download", "hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]),
    Rule::here("replicate-api-token", "Replicate token", &["r8_"], r"r8_[A-Za-z0-9]{36,}\b", &["r8_{a37}"]),
    Rule::here("groq-api-key", "Groq key", &["gsk_"], r"gsk_[A-Za-z0-9]{40,}\b", &["gsk_{a52}"]),
    Rule::here("xai-api-key", "xAI key", &["xai-"], r"xai-[A-Za-z0-9]{60,}\b", &["xai-{a80}"]),
    Rule::here("perplexity-api-key", "Perplexity key", &["pplx-"], r"pplx-[A-Za-z0-9]{40,}\b", &["pplx-{a48}"]),
    Rule::here("fireworks-api-key", "Fireworks key", &["fw_"], r"fw_[A-Za-z0-9]{22,24}\b", &["fw_{a24}"]).entropy(3.5),
    Rule::here("nvidia-api-key", "NVIDIA key", &["nvapi-"], r"nvapi-[A-Za-z0-9_-]{60,}", &["nvapi-{w64}"]),
    Rule::here("tavily-api-key", "Tavily key", &["tvly-"], r"tvly-(?:dev-|prod-)?[A-Za-z0-9]{24,}\b", &["tvly-{a32}", "tvly-dev-{a32}"]),
    Rule::here("pinecone-api-key", "Pinecone key", &["pcsk_"], r"pcsk_[A-Za-z0-9]{5,6}_[A-Za-z0-9]{50,}", &["pcsk_{a5}_{a63}"]),
    Rule::here("elevenlabs-api-key", "ElevenLabs key", &["sk_"], r"sk_[a-f0-9]{48}\b", &["sk_{x48}"]),
    Rule::here("weights-and-biases-key", "Weights & Biases key", &["wandb_v1_"], r"wandb_v1_[A-Za-z0-9_]{40,}", &["wandb_v1_{a60}"]),
    Rule::here("e2b-api-key", "E2B key", &["e2b_"], r"e2b_[a-f0-9]{40}\b", &["e2b_{x40}"]),
    Rule::here("browserbase-api-key", "Browserbase key", &["bb_live_"], r"bb_live_[A-Za-z0-9_-]{24,}", &["bb_live_{w27}"]),
    Rule::here("firecrawl-api-key", "Firecrawl key", &["fc-"], r"fc-[a-f0-9]{32}\b", &["fc-{x32}"]).entropy(3.0),
];
