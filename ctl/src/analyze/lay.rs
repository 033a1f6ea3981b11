//! Text in lines of a width. Pure; what is laid out is visible already.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A text in lines of at most `width` columns: the first begins with `first`, the others with as many blanks. A word that
/// is wider than a line is broken.
pub(crate) fn wrap(first: &str, text: &str, width: usize) -> Vec<String> {
    let indent = " ".repeat(first.width());
    let room = width.saturating_sub(first.width()).max(8);
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    for word in text.split_whitespace() {
        if used > 0 && used + 1 + word.width() > room {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        for c in word.chars() {
            let wide = c.width().unwrap_or(0);
            if used + wide > room {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(c);
            used += wide;
        }
    }
    lines.push(line);
    let begin = |at: usize| if at == 0 { first } else { indent.as_str() };
    lines.iter().enumerate().map(|(at, line)| format!("{}{line}", begin(at)).trim_end().to_owned()).collect()
}

/// A text of at most `width` columns, its end cut off.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut line, mut used) = (String::new(), 0);
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        line.push(c);
        used += wide;
    }
    line.push('…');
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_go_into_lines_and_long_ones_are_broken() {
        assert_eq!(wrap("do  ", "one two three", 12), ["do  one two", "    three"]);
        assert_eq!(wrap("", "abcdefghijkl", 8), ["abcdefgh", "ijkl"]);
        assert_eq!(wrap("x ", "", 12), ["x"]);
        assert_eq!(fit("日本語の文", 6), "日本…");
        assert_eq!(fit("abc", 3), "abc");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_it_may_be(text in "\\PC{0,80}", width in 20usize..60) {
            for line in wrap("  - ", &text, width) {
                prop_assert!(line.width() <= width, "{:?}", line);
            }
            prop_assert!(fit(&text, width).width() <= width);
        }
    }
}
