//! Sets of small numbers, kept in about a byte and a half each.
//!
//! Must never be trusted from outside: they are made here and nowhere else.
//!
//! Invariant: unpacking gives the numbers in ascending order, each once.

/// A set of numbers: differences, seven bits to a byte.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Packed(Box<[u8]>);

/// The lowest seven bits.
fn low(number: u32) -> u8 {
    number.to_le_bytes()[0] & 0x7f
}

impl Packed {
    /// Packs; sorts what it is given.
    pub(super) fn of(numbers: &mut Vec<u32>) -> Self {
        numbers.sort_unstable();
        numbers.dedup();
        let mut bytes = Vec::with_capacity(numbers.len() * 2);
        let mut last = 0;
        for &number in numbers.iter() {
            let mut left = number - last;
            last = number;
            while left >= 0x80 {
                bytes.push(low(left) | 0x80);
                left >>= 7;
            }
            bytes.push(low(left));
        }
        Self(bytes.into_boxed_slice())
    }

    /// The numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let mut bytes = self.0.iter();
        let mut last = 0_u32;
        std::iter::from_fn(move || {
            let (mut step, mut shift) = (0_u32, 0);
            loop {
                let byte = bytes.next()?;
                step |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            last = last.wrapping_add(step);
            Some(last)
        })
    }

    /// Bytes on the heap.
    pub(super) fn heap(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out(numbers in prop::collection::vec(any::<u32>(), 0..50)) {
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            sorted.dedup();
            prop_assert_eq!(Packed::of(&mut numbers.clone()).iter().collect::<Vec<_>>(), sorted);
        }
    }

    #[test]
    fn neighbours_take_a_byte() {
        assert_eq!(Packed::of(&mut (1000..2000).collect()).heap(), 1001);
    }
}
