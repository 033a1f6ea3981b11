//! The answers of one thread, and what they cost more than they should.
//!
//! A rule must never count what a pause explains: a cache expires by itself.
//!
//! Invariant: an answer is compared only with the one before it in the same thread.

use std::collections::VecDeque;

use super::{EPISODE, RECENT, found};
use crate::detection::Detection;
use crate::event::{ModelTurn, Usage};
use crate::memory::{Memory, push};
use crate::price::{Price, plain_model};
use crate::settings::Cost;
use crate::text::hash;

/// Tokens by which two requests may differ and still be the same.
const SAME: u64 = 64;

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    at: usize,
    at_ms: Option<i64>,
    model: String,
    /// The same without who serves it.
    plain: String,
    message: u64,
    usage: Usage,
    price: Option<Price>,
    /// Tokens that should have come from the cache and did not.
    missed: u64,
    /// It answers the same request as the one before.
    repeats: bool,
}

/// One thread.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not the states of one thing")]
pub(super) struct Thread {
    pub(super) id: u64,
    /// Something happened since the last answer.
    pub(super) worked: bool,
    /// Somebody may have chosen another model since the last answer.
    pub(super) asked: bool,
    answers: VecDeque<Answer>,
    /// The cache was used at least once: the provider has one.
    caches: bool,
    /// The context was begun anew since the last answer.
    renewed: bool,
    count: u32,
    told: Vec<(&'static str, u32)>,
}

impl Answer {
    pub(super) fn new(at: usize, at_ms: Option<i64>, turn: &ModelTurn, price: Option<Price>) -> Self {
        Self {
            at,
            at_ms,
            model: turn.model.clone(),
            plain: plain_model(&turn.model),
            message: hash(&turn.message_id),
            usage: turn.usage,
            price,
            missed: 0,
            repeats: false,
        }
    }
}

impl Thread {
    pub(super) fn new(id: u64) -> Self {
        Self {
            id,
            worked: true,
            asked: true,
            answers: VecDeque::new(),
            caches: false,
            renewed: true,
            count: 0,
            told: Vec::new(),
        }
    }

    /// The context begins anew.
    pub(super) fn renew(&mut self) {
        (self.renewed, self.worked, self.asked) = (true, true, true);
    }

    pub(super) fn held(&self) -> usize {
        1 + self.answers.len() + self.told.len()
    }

    /// Whether it is another answer than the last one.
    pub(super) fn is_new(&self, answer: &Answer) -> bool {
        answer.message == hash("") || self.answers.back().is_none_or(|last| last.message != answer.message)
    }

    /// Takes an answer in.
    pub(super) fn add(&mut self, mut answer: Answer, settings: &Cost) {
        self.count = self.count.saturating_add(1);
        self.caches |= answer.usage.cache_read > 0 || answer.usage.cache_write > 0;
        if let Some(last) = self.answers.back() {
            let expires = i64::from(settings.cache_seconds).saturating_mul(1000);
            let warm = answer
                .at_ms
                .zip(last.at_ms)
                .is_some_and(|(now, before)| now.saturating_sub(before) <= expires);
            let before = last.usage.context();
            let comparable = !self.renewed && last.plain == answer.plain && warm;
            if comparable && before >= settings.least_context && answer.usage.prompt() >= before / 2 {
                answer.missed = before.saturating_sub(answer.usage.cache_read);
                if answer.missed < before / 2 {
                    answer.missed = 0;
                }
            }
            answer.repeats = !self.worked
                && answer.usage.prompt() >= settings.least_context
                && answer.usage.prompt().abs_diff(last.usage.prompt()) <= SAME;
        }
        (self.worked, self.asked, self.renewed) = (false, false, false);
        push(&mut self.answers, RECENT, answer);
    }

    /// Whether this rule has something to tell: once per episode.
    pub(super) fn tells(&mut self, rule: &'static str) -> bool {
        let count = self.count;
        match self.told.iter_mut().find(|(told, _)| *told == rule) {
            Some((_, when)) if count.saturating_sub(*when) < EPISODE => false,
            Some((_, when)) => {
                *when = count;
                true
            }
            None => {
                self.told.push((rule, count));
                true
            }
        }
    }

    /// The cache does not hit any more.
    pub(super) fn missed_cache(&self, settings: &Cost) -> Option<Detection> {
        let run: Vec<&Answer> = self.answers.iter().rev().take_while(|answer| answer.missed > 0).collect();
        let often = self.answers.iter().filter(|answer| answer.missed > 0).count();
        let limit = usize::try_from(settings.cache_misses).unwrap_or(usize::MAX).max(2);
        let last = run.first().copied()?;
        // What answers the same request again has a rule of its own.
        if !self.caches || run.len() < limit && often <= limit || run.iter().all(|answer| answer.repeats) {
            return None;
        }
        let missed: u64 = run.iter().map(|answer| answer.missed).sum();
        let extra = last.price.map_or_else(String::new, |price| {
            let per_token = price.cache_write.saturating_sub(price.cache_read);
            price.shown(missed.saturating_mul(per_token) / 1_000_000)
        });
        let mut detection = found("cache", last.at, 70, 90)
            .title(format!("The cache does not hit: {missed} tokens paid again in {} answers{extra}", run.len()))
            .advice(
                "Something at the beginning of the context changes with each request: a tool list, a date in the \
                 system prompt, a proxy that reorders or strips it. Find it, or start a new session.",
            );
        for answer in run.iter().rev() {
            detection = detection.seen(
                answer.at,
                format!(
                    "{} tokens from the cache, {} written, {} not cached",
                    answer.usage.cache_read, answer.usage.cache_write, answer.usage.input
                ),
            );
        }
        Some(detection)
    }

    /// The same request is answered, and paid, again and again.
    pub(super) fn same_request(&self, settings: &Cost) -> Option<Detection> {
        let run: Vec<&Answer> = self.answers.iter().rev().take_while(|answer| answer.repeats).collect();
        let last = run.first().copied()?;
        let times = run.len() + 1;
        let limit = usize::try_from(settings.same_requests).unwrap_or(usize::MAX).clamp(2, RECENT);
        if times < limit {
            return None;
        }
        let spent: u64 = run.iter().filter_map(|answer| Some(answer.price?.of(&answer.usage))).sum();
        let shown = last.price.map_or_else(String::new, |price| price.shown(spent));
        let mut detection = found("same_request", last.at, 75, 92)
            .title(format!("The same request of {} tokens is paid {times} times{shown}", last.usage.prompt()))
            .advice(
                "Nothing happens between the requests: a client or a proxy retries answers that did arrive. Stop the \
                 session and look at what rejects them.",
            );
        for answer in run.iter().rev() {
            detection = detection.seen(
                answer.at,
                format!("{} tokens asked, {} answered", answer.usage.prompt(), answer.usage.output),
            );
        }
        Some(detection)
    }

    /// Answers are far longer than work needs, again and again.
    pub(super) fn long_output(&self, settings: &Cost) -> Option<Detection> {
        let last = self.answers.back()?;
        let long: Vec<&Answer> =
            self.answers.iter().filter(|answer| answer.usage.output >= settings.long_output).collect();
        let limit = usize::try_from(settings.long_outputs).unwrap_or(usize::MAX).clamp(2, RECENT);
        if long.len() < limit || last.usage.output < settings.long_output {
            return None;
        }
        let written: u64 = long.iter().map(|answer| answer.usage.output).sum();
        let shown = last
            .price
            .map_or_else(String::new, |price| price.shown(written.saturating_mul(price.output) / 1_000_000));
        let mut detection = found("output", last.at, 65, 85)
            .title(format!("{written} tokens written in {} of the last {} answers{shown}", long.len(), self.answers.len()))
            .advice(
                "Ask for changes instead of whole files, for less thinking where the step is plain, and for lists in \
                 files instead of in the conversation.",
            );
        for answer in long {
            detection = detection.seen(answer.at, format!("{} tokens written", answer.usage.output));
        }
        Some(detection)
    }

    /// The work goes on with a dearer model, and nobody asked for it.
    pub(super) fn changes_upward(&self, answer: &Answer, memory: &Memory) -> Option<Detection> {
        let last = self.answers.back()?;
        if self.asked || self.renewed || last.plain == answer.plain || self.answers.len() < 2 {
            return None;
        }
        // The conversation was carried over; a side request of another model has a context of its own.
        if answer.usage.prompt() < last.usage.prompt() / 2 || last.usage.prompt() < answer.usage.prompt() / 2
        {
            return None;
        }
        let (before, after) = (memory.price(&last.model)?, answer.price?);
        if before.relative != after.relative
            || after.input.saturating_mul(10) < before.input.saturating_mul(13)
        {
            return None;
        }
        let times = after.input.saturating_mul(10) / before.input.max(1);
        Some(
            found("model", answer.at, 60, 85)
                .title(format!(
                    "In the middle of the work {} became {}, {}.{} times as dear",
                    last.model,
                    answer.model,
                    times / 10,
                    times % 10
                ))
                .seen(last.at, format!("answered by {}", last.model))
                .seen(answer.at, format!("answered by {}, {} tokens put into its cache", answer.model, answer.usage.cache_write))
                .advice("If nobody chose it, look at the settings, the environment and the gateway, and change back with /model."),
        )
    }
}
