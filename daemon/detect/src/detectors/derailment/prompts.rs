//! Prompts that do not say by themselves what they are about: answers, and references to what is elsewhere.
//!
//! It must never be stretched to make a prompt comparable that is not: then the detector holds its tongue.
//!
//! Invariant: no state.

use crate::text::head;

/// Bytes of a prompt in which a reference counts: a long one says more than it refers to.
const REFERENCE_IN: usize = 600;

/// Whether a prompt leans on something that it does not name: what was said before, a branch, a review, a merge.
pub(super) fn leans(prompt: &str) -> bool {
    let prompt = head(prompt.trim_start(), REFERENCE_IN).to_lowercase();
    // A command of the client, or what it put there itself.
    if prompt.starts_with(['<', '/', '[', '!', '#']) {
        return true;
    }
    let words: Vec<&str> =
        prompt.split(|c: char| !(c.is_alphanumeric() || c == '\'')).filter(|w| !w.is_empty()).collect();
    let first = words.first().copied().unwrap_or_default();
    let second = words.get(1).copied().unwrap_or_default();
    let answers = matches!(
        first,
        "yes"
            | "yeah"
            | "yep"
            | "ok"
            | "okay"
            | "sure"
            | "no"
            | "nope"
            | "and"
            | "also"
            | "but"
            | "so"
            | "then"
            | "now"
            | "that's"
            | "thats"
            | "ah"
            | "hm"
            | "hmm"
            | "continue"
            | "perfect"
            | "great"
            | "nice"
            | "cool"
            | "thanks"
            | "commit"
            | "push"
            | "merge"
            | "rebase"
            | "review"
            | "option"
            | "same"
            | "again"
            | "retry"
            | "proceed"
    ) || first.bytes().all(|b| b.is_ascii_digit())
        || matches!(
            (first, second),
            ("all", "good")
                | ("go", "ahead")
                | ("do", "it" | "that")
                | ("please", "do")
                | ("the", "rest" | "other")
        )
        || matches!(first, "let's" | "lets")
            && matches!(
                second,
                "review" | "fix" | "do" | "go" | "merge" | "commit" | "continue" | "try" | "proceed"
            );
    let pairs = || words.windows(2).map(|pair| (pair[0], pair[1]));
    let refers = words.iter().any(|word| {
        matches!(
            *word,
            "pr" | "prs"
                | "merge"
                | "merged"
                | "rebase"
                | "rebased"
                | "cherry"
                | "above"
                | "previous"
                | "earlier"
        )
    }) || pairs().any(|pair| {
        matches!(
            pair,
            ("this" | "the", "branch" | "commit")
                | ("pull", "request")
                | ("the", "rest" | "other")
                | ("follow", "up")
                | ("commit", "message" | "this")
                | ("you", "said" | "mentioned" | "suggested" | "proposed")
        )
    });
    answers || refers
}

/// Whether a prompt only asks something.
pub(super) fn asks(prompt: &str) -> bool {
    prompt.trim_end().trim_end_matches(|c: char| !c.is_ascii_graphic()).trim_end().ends_with('?')
}

/// Whether a prompt, in small letters, names a file.
pub(super) fn names(prompt: &str, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
    stem.len() >= 4 && prompt.contains(stem)
}

/// Whether a prompt, in small letters, points to something that is not among the files: an issue, a page.
pub(super) fn points_elsewhere(prompt: &str) -> bool {
    prompt.contains("http://")
        || prompt.contains("https://")
        || ["issue", "ticket", "story", "spec", "figma", "linear", "jira", "notion"]
            .iter()
            .any(|word| prompt.contains(word))
        || prompt.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '#'))).any(|word| {
            // `#12`, `SHOP-12`.
            let number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            word.strip_prefix('#').is_some_and(number)
                || word.split_once('-').is_some_and(|(key, id)| {
                    key.len() >= 2 && key.bytes().all(|b| b.is_ascii_lowercase()) && number(id)
                })
        })
}

/// Whether a command gets such a thing.
pub(super) fn fetches(command: &str) -> bool {
    let mut words = command.split_whitespace();
    match words.next() {
        Some("gh" | "glab") => matches!(words.next(), Some("issue" | "pr" | "api" | "mr")),
        Some("curl" | "wget" | "linear" | "jira" | "acli") => true,
        _ => false,
    }
}
