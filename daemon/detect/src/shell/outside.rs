//! Programs that ask about what changes without the agent: a run, a cluster, a service, a process, a log.
//!
//! It must never take a command that changes something there for a question.
//!
//! Invariant: no state.

/// Whether a program asks about something that changes without the agent.
pub(super) fn asks(program: &str, first: &str, part: &str) -> bool {
    match program {
        "gh" => {
            matches!(first, "run" | "pr" | "workflow" | "release")
                || first == "api"
                    && ["/runs", "/check", "/status", "/deployments", "/jobs", "/builds"]
                        .iter()
                        .any(|sign| part.contains(sign))
        }
        // What runs elsewhere: clusters, clouds, services, other machines.
        "glab" | "kubectl" | "oc" | "helm" | "argocd" | "flux" | "nomad" | "aws" | "gcloud" | "az"
        | "doctl" | "fly" | "flyctl" | "heroku" | "vercel" | "netlify" | "railway" | "supabase"
        | "wrangler" | "ssh" | "adb" => part.split(|c: char| !c.is_ascii_alphanumeric()).any(looks),
        // Queues, and what answers or does not yet.
        "squeue" | "sacct" | "sinfo" | "qstat" | "bjobs" |
        "curl" | "wget" | "http" | "xh" | "grpcurl" | "nc" | "ping" | "dig" | "nslookup" | "host"
        | "telnet" | "redis-cli" | "pg_isready" | "mysqladmin" | "Invoke-WebRequest"
        | "Test-NetConnection"
        // What runs on this machine.
        | "systemctl" | "journalctl" | "launchctl" | "supervisorctl" | "service" | "pm2" | "pgrep" | "ps"
        | "lsof" | "ss" | "netstat" | "jobs" | "top" | "nvidia-smi" | "free" | "df" | "uptime"
        | "Get-Process" | "tasklist" => true,
        "docker" | "podman" => matches!(first, "ps" | "logs" | "inspect" | "compose" | "stats" | "container"),
        "docker-compose" => matches!(first, "ps" | "logs" | "top"),
        "tail" | "cat" | "grep" | "wc" | "head" | "Get-Content" => part.split_whitespace().any(is_log),
        _ => false,
    }
}

/// A word by which one looks at what runs elsewhere; what changes it there is no question.
fn looks(word: &str) -> bool {
    ["get", "describe", "list"].iter().any(|verb| word.starts_with(verb))
        || matches!(
            word,
            "status"
                | "logs"
                | "log"
                | "show"
                | "inspect"
                | "top"
                | "ls"
                | "events"
                | "rollout"
                | "view"
                | "ping"
                | "tail"
                | "ps"
                | "active"
                | "wait"
                | "devices"
                | "info"
                | "health"
        )
}

/// Whether a file of this name grows by itself.
#[must_use]
pub fn is_log(path: &str) -> bool {
    let path = path.trim_matches(['"', '\'']);
    [".log", ".output", ".out", ".pid"].iter().any(|end| path.ends_with(end))
}
