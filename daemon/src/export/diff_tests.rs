//! Differences, tried out on texts of any kind.

use proptest::prelude::*;

use super::*;

fn told(hunks: &[Hunk<'_>]) -> Vec<String> {
    let number = |n: Option<u64>| n.map_or("-".to_owned(), |n| n.to_string());
    let sign = |op| match op {
        Op::Same => ' ',
        Op::Old => '-',
        Op::New => '+',
    };
    let line = |l: &Line<'_>| format!("{} {} {}{}", number(l.old), number(l.new), sign(l.op), l.text);
    hunks.iter().flat_map(|hunk| std::iter::once("@".to_owned()).chain(hunk.iter().map(line))).collect()
}

#[test]
fn changes_have_their_context_and_numbers() {
    let old = (1..=20).map(|n| format!("{n}\n")).collect::<Vec<_>>().concat();
    let new = old.replace("5\n", "five\n").replacen("\n18\n", "\n18\nmore\n", 1);
    // "15" ends in "5\n", too.
    let want = [
        "@",
        "2 2  2",
        "3 3  3",
        "4 4  4",
        "5 - -5",
        "- 5 +five",
        "6 6  6",
        "7 7  7",
        "8 8  8",
        "@",
        "12 12  12",
        "13 13  13",
        "14 14  14",
        "15 - -15",
        "- 15 +1five",
        "16 16  16",
        "17 17  17",
        "18 18  18",
        "- 19 +more",
        "19 20  19",
        "20 21  20",
    ];
    assert_eq!(told(&between(&old, &new)), want);
    assert_eq!(counted(&between(&old, &new)), (3, 2));
    assert_eq!(told(&between("", "a\nb")), ["@", "- 1 +a", "- 2 +b"]);
    assert!(between("a\n", "a").is_empty());
}

#[test]
fn words_that_changed_are_marked() {
    let hunks = between("let total = price * 2;\n", "let total = prices * 3;\n");
    let marked: Vec<&str> = hunks[0].iter().map(|l| &l.text[l.changed.clone()]).collect();
    assert_eq!(marked, ["price * 2", "prices * 3"]);
    let hunks = between("abc\n", "xyz\n");
    assert!(hunks[0].iter().all(|l| l.changed.is_empty()));
}

#[test]
fn a_patch_is_read_as_it_is() {
    let lines = [" a", "-b", "+c", "\\ No newline at end of file", ""].map(Cow::Borrowed);
    assert_eq!(told(&[of_patch(7, 9, lines.into_iter())]), ["@", "7 9  a", "8 - -b", "- 10 +c"]);
}

#[test]
fn what_is_too_much_is_replaced_as_a_whole() {
    let text = |c: &str| (0..3000).map(|n| format!("{c}{n}\n")).collect::<Vec<_>>().concat();
    let (old, new) = (text("a"), text("b"));
    assert_eq!(counted(&between(&old, &new)), (3000, 3000));
}

proptest! {
    #[test]
    fn both_texts_are_in_it(old in "([abcä]{0,2}\n){0,14}", new in "([abcä]{0,2}\n){0,14}") {
        let hunks = between(&old, &new);
        let (a, b) = (lines(&old), lines(&new));
        for line in hunks.iter().flatten() {
            prop_assert!(line.old.is_none_or(|n| a[usize::try_from(n).unwrap() - 1] == line.text));
            prop_assert!(line.new.is_none_or(|n| b[usize::try_from(n).unwrap() - 1] == line.text));
            prop_assert!(line.text.is_char_boundary(line.changed.start) && line.text.is_char_boundary(line.changed.end));
        }
        // What is not in a hunk is the same in both: taking out what went and putting in what came gives the new text.
        let (mut made, mut next): (Vec<&str>, usize) = (Vec::new(), 0);
        for line in hunks.iter().flatten() {
            if let Some(n) = line.old {
                made.extend(&a[next..usize::try_from(n).unwrap() - 1]);
                next = usize::try_from(n).unwrap();
            } else if let Some(n) = line.new {
                let before = usize::try_from(n).unwrap() - 1;
                let missing = before.saturating_sub(made.len());
                made.extend(&a[next..next + missing]);
                next += missing;
            }
            if line.op != Op::Old {
                made.push(&line.text);
            }
        }
        made.extend(&a[next..]);
        prop_assert_eq!(made, b);
    }
}
