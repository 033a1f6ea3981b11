//! What to make of the end of a file, which nobody has said is durable: what is kept, what is cut, what is damage.
//!
//! After a power cut the writes since the last sync may be there or not, each for itself, torn, or as zeros. What was
//! written later says how much was durable by then: a gap before that is damage, and everything around it is kept; at
//! the first gap after it the file ends.
//!
//! Must never cut anything that could have been acknowledged, nor call damage what nobody was told is safe.

/// The end of a file, as it is walked through.
#[derive(Debug)]
pub(crate) struct Tail {
    durable: u64,
    good: u64,
    gaps: Vec<(u64, u64)>,
}

impl Tail {
    /// Begins at `start`; everything before `durable` is known to have been durable.
    pub(crate) fn new(start: u64, durable: u64) -> Self {
        Self { durable, good: start, gaps: Vec::new() }
    }

    /// Something that is not what was written.
    pub(crate) fn gap(&mut self, from: u64, to: u64) {
        self.gaps.push((from, to));
    }

    /// Something good that ends at `end`, from which `durable` is known.
    pub(crate) fn good(&mut self, end: u64, durable: u32) {
        self.good = end;
        self.durable = self.durable.max(durable.into());
    }

    /// How much of the file counts, and the gaps that are damage.
    pub(crate) fn judge(self) -> (u64, Vec<(u64, u64)>) {
        let (damage, torn): (Vec<_>, Vec<_>) = self.gaps.into_iter().partition(|gap| gap.0 < self.durable);
        (torn.first().map_or(self.good, |gap| gap.0.min(self.good)), damage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_counts_as_damage_only_if_something_after_it_knew_it_was_durable() {
        let mut tail = Tail::new(100, 100);
        tail.good(200, 100);
        tail.gap(200, 250);
        tail.good(300, 100);
        assert_eq!(tail.judge(), (200, vec![]), "nobody waited for what was at 200");
        let mut tail = Tail::new(100, 100);
        tail.gap(100, 250);
        tail.good(300, 250);
        tail.gap(300, 310);
        tail.good(350, 300);
        tail.gap(350, 360);
        assert_eq!(tail.judge(), (300, vec![(100, 250)]));
    }
}
