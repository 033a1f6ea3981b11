//! Bars and sparklines out of block characters, or out of ASCII where the locale has nothing else. Pure.

/// Eighths of a cell.
const EIGHTHS: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
/// Heights of a sparkline.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII_HEIGHTS: [char; 8] = ['_', '.', '-', ':', '=', '+', '*', '#'];

/// A bar of `cells` cells for `value` of `most`. What is more than nothing shows.
#[must_use]
pub fn bar(value: u64, most: u64, cells: usize, unicode: bool) -> String {
    if most == 0 || value == 0 {
        return String::new();
    }
    let steps = if unicode { 8 } else { 1 };
    let whole = u128::from(cells as u64) * steps;
    let filled = (u128::from(value.min(most)) * whole).div_ceil(u128::from(most)).min(whole);
    let filled = usize::try_from(filled).unwrap_or(0);
    if !unicode {
        return "#".repeat(filled);
    }
    let mut out: String = std::iter::repeat_n(EIGHTHS[8], filled / 8).collect();
    if !filled.is_multiple_of(8) {
        out.push(EIGHTHS[filled % 8]);
    }
    out
}

/// A sparkline: one character for each value, its height by the largest.
#[must_use]
pub fn sparkline(values: &[u64], unicode: bool) -> String {
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let heights = if unicode { HEIGHTS } else { ASCII_HEIGHTS };
    let of = |value: &u64| match value {
        0 => ' ',
        value => {
            let at = (u128::from(*value) * 8).div_ceil(u128::from(most)).saturating_sub(1);
            heights[usize::try_from(at).unwrap_or(0).min(7)]
        }
    };
    values.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bars_and_sparklines_show_how_much() {
        assert_eq!(bar(50, 100, 4, true), "██");
        assert_eq!(bar(1, 1000, 4, true), "▏");
        assert_eq!(bar(55, 100, 4, true), "██▎");
        assert_eq!(bar(100, 100, 4, false), "####");
        assert_eq!((bar(0, 100, 4, true), bar(1, 0, 4, true)), (String::new(), String::new()));
        assert_eq!(sparkline(&[0, 1, 4, 8], true), " ▁▄█");
        assert_eq!(sparkline(&[0, 1, 4, 8], false), " _:#");
        assert_eq!(sparkline(&[0, 0], true), "  ");
    }

    proptest! {
        #[test]
        fn a_bar_never_leaves_its_cells(value in any::<u64>(), most in any::<u64>(), cells in 0usize..40, unicode in any::<bool>()) {
            let bar = bar(value, most, cells, unicode);
            prop_assert!(bar.chars().count() <= cells);
            prop_assert!(unicode || bar.is_ascii());
        }

        #[test]
        fn a_sparkline_has_a_character_for_each_value(values in prop::collection::vec(any::<u64>(), 0..50)) {
            prop_assert_eq!(sparkline(&values, true).chars().count(), values.len());
        }
    }
}
