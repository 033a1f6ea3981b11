//! Differences of two texts by lines, in hunks with their context, and what changed within a line.
//!
//! Pure and bounded: beyond [`BOUND`] edits, what lies between the common beginning and end is told as replaced as a whole,
//! which is true, if coarse.

use std::borrow::Cow;

/// Edits looked for before it gives up.
const BOUND: usize = 800;
/// Lines looked at for the same.
const LINES: usize = 20_000;
/// Lines of context.
const CONTEXT: usize = 3;
/// The longest line that is looked into.
const LONG: usize = 1000;

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// It is in both.
    Same,
    /// It is only in the old one.
    Old,
    /// It is only in the new one.
    New,
}

/// A line of a hunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// What became of it.
    pub op: Op,
    /// Its text, without its end.
    pub text: Cow<'a, str>,
    /// Its number in the old text, from 1.
    pub old: Option<u64>,
    /// Its number in the new text.
    pub new: Option<u64>,
    /// The bytes of it that changed; empty where all of it did, or nothing.
    pub changed: std::ops::Range<usize>,
}

/// Changes that stand near each other, with the lines around them.
pub(super) type Hunk<'a> = Vec<Line<'a>>;

/// The changes from one text to another.
#[must_use]
pub(super) fn between<'a>(old: &'a str, new: &'a str) -> Vec<Hunk<'a>> {
    let (a, b) = (lines(old), lines(new));
    let head = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let tail = a[head..].iter().rev().zip(b[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (am, bm) = (&a[head..a.len() - tail], &b[head..b.len() - tail]);
    let middle = shortest(am, bm).unwrap_or_else(|| {
        let old = std::iter::repeat_n(Op::Old, am.len());
        old.chain(std::iter::repeat_n(Op::New, bm.len())).collect()
    });
    let same = |n| std::iter::repeat_n(Op::Same, n);
    let (mut i, mut j) = (0, 0);
    let all = same(head).chain(middle).chain(same(tail)).filter_map(|op| {
        let (is_old, is_new) = (op != Op::New, op != Op::Old);
        let text = Cow::Borrowed(if is_old { *a.get(i)? } else { *b.get(j)? });
        i += usize::from(is_old);
        j += usize::from(is_new);
        let (old, new) = (is_old.then_some(i as u64), is_new.then_some(j as u64));
        Some(Line { op, text, old, new, changed: 0..0 })
    });
    hunks(all.collect())
}

/// Lines of a text, without their ends.
fn lines(text: &str) -> Vec<&str> {
    text.strip_suffix('\n').unwrap_or(text).split('\n').filter(|_| !text.is_empty()).collect()
}

/// Myers' greedy algorithm; none beyond the bounds.
#[allow(clippy::many_single_char_names)] // those of the paper
fn shortest(a: &[&str], b: &[&str]) -> Option<Vec<Op>> {
    if a.len() + b.len() > LINES {
        return None;
    }
    let most = (a.len() + b.len()).min(BOUND);
    let at = |k: isize| k.unsigned_abs() * 2 + usize::from(k > 0);
    let mut v = vec![0usize; at(isize::try_from(most).ok()? + 1) + 2];
    let mut trace = Vec::new();
    let down = |v: &[usize], k: isize, d: isize| k == -d || (k != d && v[at(k - 1)] < v[at(k + 1)]);
    for d in 0..=isize::try_from(most).ok()? {
        trace.push(v[..(at(d + 1) + 2).min(v.len())].to_vec());
        for k in (-d..=d).step_by(2) {
            let mut x = if down(&v, k, d) { v[at(k + 1)] } else { v[at(k - 1)] + 1 };
            let mut y = usize::try_from(isize::try_from(x).ok()? - k).ok()?;
            while x < a.len() && y < b.len() && a[x] == b[y] {
                (x, y) = (x + 1, y + 1);
            }
            v[at(k)] = x;
            if x >= a.len() && y >= b.len() {
                return Some(walk(&trace, a.len(), b.len(), at, down));
            }
        }
    }
    None
}

fn walk(
    trace: &[Vec<usize>],
    mut x: usize,
    mut y: usize,
    at: impl Fn(isize) -> usize,
    down: impl Fn(&[usize], isize, isize) -> bool,
) -> Vec<Op> {
    let mut ops = Vec::new();
    for d in (1..trace.len()).rev() {
        let v = &trace[d];
        let (Ok(signed), Ok(xs), Ok(ys)) = (isize::try_from(d), isize::try_from(x), isize::try_from(y))
        else {
            break;
        };
        let k = xs - ys;
        let before = if down(v, k, signed) { k + 1 } else { k - 1 };
        let px = v[at(before)];
        let py = usize::try_from(isize::try_from(px).unwrap_or(0) - before).unwrap_or(0);
        while x > px && y > py {
            (x, y) = (x - 1, y - 1);
            ops.push(Op::Same);
        }
        if x == px {
            y = y.saturating_sub(1);
            ops.push(Op::New);
        } else {
            x = x.saturating_sub(1);
            ops.push(Op::Old);
        }
    }
    ops.extend(std::iter::repeat_n(Op::Same, x.min(y)));
    ops.reverse();
    ops
}

/// Lines in hunks: changes with the lines around them.
fn hunks(all: Vec<Line<'_>>) -> Vec<Hunk<'_>> {
    let changes: Vec<usize> = (0..all.len()).filter(|i| all[*i].op != Op::Same).collect();
    let mut found: Vec<Hunk<'_>> = Vec::new();
    let mut wanted = changes.iter().peekable();
    // The change, and the line of a hunk, that came last.
    let (mut last, mut kept): (Option<usize>, Option<usize>) = (None, None);
    for (i, line) in all.into_iter().enumerate() {
        let near_before = last.is_some_and(|change| i <= change + CONTEXT);
        let near_after = wanted.peek().is_some_and(|change| i + CONTEXT >= **change);
        if wanted.peek() == Some(&&i) {
            last = wanted.next().copied();
        }
        if near_before || near_after {
            match found.last_mut() {
                Some(hunk) if kept.is_some_and(|kept| kept + 1 == i) => hunk.push(line),
                _ => found.push(vec![line]),
            }
            kept = Some(i);
        }
    }
    found.iter_mut().for_each(mark);
    found
}

/// A hunk of a patch: the numbers that it begins with, and its lines, each with its mark before it.
pub(super) fn of_patch<'a>(old: u64, new: u64, lines: impl Iterator<Item = Cow<'a, str>>) -> Hunk<'a> {
    let (mut old, mut new) = (old, new);
    let mut hunk = Vec::new();
    for line in lines {
        let op = match line.bytes().next() {
            Some(b'-') => Op::Old,
            Some(b'+') => Op::New,
            Some(b' ') => Op::Same,
            // "\ No newline at end of file"
            _ => continue,
        };
        let text = match line {
            Cow::Borrowed(line) => Cow::Borrowed(&line[1..]),
            Cow::Owned(line) => Cow::Owned(line[1..].to_owned()),
        };
        let (is_old, is_new) = (op != Op::New, op != Op::Old);
        hunk.push(Line { op, text, old: is_old.then_some(old), new: is_new.then_some(new), changed: 0..0 });
        old = old.saturating_add(u64::from(is_old));
        new = new.saturating_add(u64::from(is_new));
    }
    mark(&mut hunk);
    hunk
}

/// Marks what changed within lines that took each other's place.
fn mark(hunk: &mut Hunk<'_>) {
    let mut i = 0;
    while i < hunk.len() {
        let old = hunk[i..].iter().take_while(|l| l.op == Op::Old).count();
        let new = hunk[i + old..].iter().take_while(|l| l.op == Op::New).count();
        for n in 0..old.min(new) {
            let (a, b) = within(&hunk[i + n].text, &hunk[i + old + n].text);
            (hunk[i + n].changed, hunk[i + old + n].changed) = (a, b);
        }
        i += (old + new).max(1);
    }
}

/// The bytes that two lines do not share at their beginning and end, in whole words; nothing where they share little.
fn within(a: &str, b: &str) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
    if a.len() > LONG || b.len() > LONG {
        return (0..0, 0..0);
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut head: usize =
        a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum();
    while a[..head].ends_with(is_word) && (a[head..].starts_with(is_word) || b[head..].starts_with(is_word)) {
        head -= a[..head].chars().next_back().map_or(1, char::len_utf8);
    }
    let (ra, rb) = (&a[head..], &b[head..]);
    let mut tail: usize =
        ra.chars().rev().zip(rb.chars().rev()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum();
    while ra[ra.len() - tail..].starts_with(is_word)
        && (ra[..ra.len() - tail].ends_with(is_word) || rb[..rb.len() - tail].ends_with(is_word))
    {
        tail -= ra[ra.len() - tail..].chars().next().map_or(1, char::len_utf8);
    }
    let shared = (a[..head].trim().len() + ra[ra.len() - tail..].trim().len()) * 4;
    if shared < a.trim().len().max(b.trim().len()) {
        return (0..0, 0..0);
    }
    (head..a.len() - tail, head..b.len() - tail)
}

/// Lines added and taken away.
#[must_use]
pub(super) fn counted(hunks: &[Hunk<'_>]) -> (u64, u64) {
    let of = |op| hunks.iter().flatten().filter(|l| l.op == op).count() as u64;
    (of(Op::New), of(Op::Old))
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
