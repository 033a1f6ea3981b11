//! Marks with tokens, as long as the vault is open.
//!
//! The marks of one piece of work name values that are sealed at its end, together: the disk is waited for once. What a
//! value will be called is known before; a value that cannot be sealed then gets another mark, which tells its kind only.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use ccd_redact::{Batch, Hit, Mark, Named};
use ccd_vault::{Name, Sealed, VaultError};
use zeroize::Zeroizing;

use super::{AGAIN_NS, State, VaultSlot};

/// Marks with tokens, as long as the vault is open.
pub struct VaultMark(pub Arc<VaultSlot>);

impl Mark for VaultMark {
    fn mark(&self, hit: &Hit<'_>) -> String {
        let alone = Together::new(&self.0);
        let mark = alone.mark(hit);
        alone.settle().pop().map_or(mark, |(_, other)| other)
    }

    fn is_mark(&self, value: &str) -> bool {
        Named.is_mark(value)
    }

    fn batch(&self) -> Option<Arc<dyn Batch>> {
        Some(Arc::new(Together::new(&self.0)))
    }
}

/// A value that was found, and is not sealed yet.
struct Waiting {
    mark: String,
    name: Name,
    rule: String,
    value: Zeroizing<String>,
    source: Zeroizing<String>,
    scope: String,
    times: u64,
}

#[derive(Default)]
struct All {
    values: Vec<Waiting>,
    /// Where in `values` each is, by its mark and session.
    known: HashMap<(String, String), usize>,
}

/// Marks whose values are sealed together.
struct Together {
    slot: Arc<VaultSlot>,
    all: Mutex<All>,
}

impl Together {
    fn new(slot: &Arc<VaultSlot>) -> Self {
        Together { slot: Arc::clone(slot), all: Mutex::default() }
    }
}

impl Mark for Together {
    fn mark(&self, hit: &Hit<'_>) -> String {
        let vault = match self.slot.state() {
            State::Open(vault) => vault,
            State::Off => return for_good(hit.rule),
            State::Opening | State::Closed { .. } => {
                let tried = self.slot.tried_ns.load(Ordering::Relaxed);
                if self.slot.clock.now_ns().saturating_sub(tried) > AGAIN_NS {
                    self.slot.begin();
                }
                self.slot.irreversible.fetch_add(1, Ordering::Relaxed);
                return for_good(hit.rule);
            }
        };
        let name = vault.name(hit.value.as_bytes(), hit.source.as_bytes());
        let mark = named(hit.rule, &name);
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let All { values, known } = &mut *all;
        let at = *known.entry((mark.clone(), hit.scope.to_owned())).or_insert(values.len());
        if let Some(one) = values.get_mut(at) {
            one.times += 1;
        } else {
            values.push(Waiting {
                mark: mark.clone(),
                name,
                rule: hit.rule.to_owned(),
                value: Zeroizing::new(hit.value.to_owned()),
                source: Zeroizing::new(hit.source.to_owned()),
                scope: hit.scope.to_owned(),
                times: 1,
            });
        }
        mark
    }

    fn is_mark(&self, value: &str) -> bool {
        Named.is_mark(value)
    }
}

impl Batch for Together {
    fn settle(&self) -> Vec<(String, String)> {
        let All { values, .. } =
            std::mem::take(&mut *self.all.lock().unwrap_or_else(PoisonError::into_inner));
        if values.is_empty() {
            return Vec::new();
        }
        let at_s = self.slot.clock.now_ns() / 1_000_000_000;
        let hits: Vec<ccd_vault::Hit<'_>> = values
            .iter()
            .map(|one| ccd_vault::Hit {
                rule: &one.rule,
                value: one.value.as_bytes(),
                source: one.source.as_bytes(),
                scope: &one.scope,
                at_s,
                times: one.times,
            })
            .collect();
        // It may have been closed since.
        let sealed = match self.slot.vault() {
            Some(vault) => vault.seal_all(&hits),
            None => Sealed { names: vec![None; values.len()], error: None },
        };
        self.slot.sealed(sealed.error);
        let others = values.iter().zip(sealed.names).filter_map(|(one, name)| match name {
            Some(name) if name == one.name => None,
            // The keys are others by now.
            Some(name) => Some((one.mark.clone(), named(&one.rule, &name))),
            None => {
                self.slot.irreversible.fetch_add(one.times, Ordering::Relaxed);
                Some((one.mark.clone(), for_good(&one.rule)))
            }
        });
        others.collect()
    }
}

impl VaultSlot {
    /// Notes why the last values could not be sealed, or that they were.
    fn sealed(&self, error: Option<VaultError>) {
        let text = error.map(|error| error.to_string());
        let mut last = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = text.as_ref().filter(|_| *last != text) {
            tracing::error!(error, "a credential could not be sealed: it was taken out for good");
        }
        *last = text;
    }
}

fn named(rule: &str, name: &Name) -> String {
    format!("[redacted:{rule}:{name}]")
}

fn for_good(rule: &str) -> String {
    format!("[redacted:{rule}]")
}
