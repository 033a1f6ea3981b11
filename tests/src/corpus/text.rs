//! Text as transcripts have it: prose, code, listings and logs, with umlauts, emoji and control characters in
//! between. It compresses about as real transcripts do, which matters to benches, and to nothing else.

use std::fmt::Write as _;

use super::random::Random;

const WORDS: &str = "the of and a to in is that it for was on are with as be at this have from or had by but what some \
    we can out other were all there when up use your how said an each she which do their time if will way about many \
    then them write would like so these her long make thing see him two has look more day could go come did number \
    sound no most people over know water than call first who may down side been now find any new work part take get \
    place made live where after back little only round man year came show every good me give our under name very \
    function returns error cannot because module type value test fails assertion expected actual request response \
    cursor offset journal session transcript token budget cache prompt branch commit merge conflict parser writes \
    file directory path config option flag default override release build crate package dependency version lock \
    thread future await poll channel buffer slice borrow lifetime trait generic macro derive struct enum match arm";

/// Source files of the tests themselves: code as good as any.
const CODE: [&str; 4] = [
    include_str!("../harness/wire.rs"),
    include_str!("../mock/message.rs"),
    include_str!("../mock/serve.rs"),
    include_str!("../harness/raw.rs"),
];

const RARE: [&str; 8] = ["Größe", "naïve", "日本語", "🦀", "e\u{301}", "\u{1b}[31m", "\u{2028}", "tab\there"];

/// Writes text.
pub(super) struct Writer {
    words: Vec<&'static str>,
    code: Vec<Vec<&'static str>>,
}

impl Writer {
    pub(super) fn new() -> Self {
        let code = CODE.iter().map(|text| text.lines().collect()).collect();
        Writer { words: WORDS.split_whitespace().collect(), code }
    }

    /// Sentences, about this many bytes of them.
    pub(super) fn prose(&self, random: &mut Random, length: usize) -> String {
        let mut out = String::with_capacity(length + 16);
        while out.len() < length {
            if random.percent(1) {
                out.push_str(random.pick(&RARE));
            } else {
                out.push_str(random.pick(&self.words));
            }
            out.push_str(if random.percent(8) { ".\n" } else { " " });
        }
        out
    }

    /// Lines of a program, as reading a file shows them, about this many bytes of them.
    pub(super) fn code(&self, random: &mut Random, length: usize) -> String {
        let file = &self.code[random.index(self.code.len())];
        let mut at = random.index(file.len());
        let mut out = String::with_capacity(length + 128);
        let mut number = 1;
        while out.len() < length {
            let _ = writeln!(out, "{number:>6}\t{}", file[at % file.len()]);
            number += 1;
            // Programs differ more than four files do.
            at = if random.percent(6) { random.index(file.len()) } else { at + 1 };
        }
        out
    }

    /// What a command printed: names, sizes, hashes, about this many bytes.
    pub(super) fn log(&self, random: &mut Random, length: usize) -> String {
        let mut out = String::with_capacity(length + 128);
        while out.len() < length {
            let (size, hash) = (random.within(10, 90_000), random.bits());
            let (name, what) = (random.pick(&self.words), random.pick(&self.words));
            let _ = writeln!(out, "-rw-r--r-- 1 user user {size:>8} {hash:016x} src/{name}/{what}.rs");
        }
        out
    }
}
