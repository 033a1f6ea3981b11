//! The writer, read back by a parser that is not ours.

use html5gum::{Token, Tokenizer};
use proptest::prelude::*;

use super::*;

fn written(make: impl FnOnce(&mut Html<'_>)) -> String {
    let mut all = String::new();
    let mut sink = |piece: String| {
        all.push_str(&piece);
        true
    };
    let mut w = Html::new(&mut sink);
    make(&mut w);
    w.flush();
    all
}

/// An element's name and attributes.
type Element = (String, Vec<(String, String)>);

/// Elements, and all text.
fn parsed(html: &str) -> (Vec<Element>, String) {
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (mut elements, mut text) = (Vec::new(), String::new());
    for token in Tokenizer::new(html).flatten() {
        match token {
            Token::StartTag(tag) => {
                let attributes = tag.attributes.iter().map(|(name, value)| (utf8(name), utf8(value)));
                elements.push((utf8(&tag.name), attributes.collect()));
            }
            Token::String(s) => text.push_str(&utf8(&s)),
            Token::EndTag(_) => {}
            other => panic!("{other:?}"),
        }
    }
    (elements, text)
}

#[test]
fn attributes_are_what_they_were_made_of() {
    let anchor = Anchor::new("s", "a\" onclick=alert(1) <b>");
    let words = Clean::ours("\"><script>x</script>\n'&amp;");
    let html = written(|w| {
        w.el(
            "a",
            &[Attr::Id(&anchor), Attr::To(&anchor), Attr::Words("title", &words), Attr::Has("hidden")],
            |w| {
                w.say("x");
            },
        );
        w.el(
            "rect",
            &[Attr::Points(&[(1.249, 0.0)]), Attr::Number("width", 7), Attr::Is("class", "")],
            |_| {},
        );
    });
    let (elements, _) = parsed(&html);
    let own = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>()
    };
    let id = "s-aonclickalert1b";
    let link = own(&[("hidden", ""), ("href", &format!("#{id}")), ("id", id), ("title", words.as_str())]);
    assert_eq!(
        elements,
        [("a".to_owned(), link), ("rect".to_owned(), own(&[("points", "1.2,0 "), ("width", "7")]))]
    );
}

#[test]
fn what_would_act_is_written_out() {
    assert_eq!(
        shown("a\u{1b}[31m\u{202e}b\u{0}\u{fffe}\r\nc\rd\te"),
        "a\\u{1b}[31m\\u{202e}b\\u{0}\\u{fffe}\nc\\u{d}d\te"
    );
}

#[test]
fn once_nobody_reads_nothing_is_gathered() {
    let mut pieces = 0;
    let mut sink = |_| {
        pieces += 1;
        false
    };
    let mut w = Html::new(&mut sink);
    w.say(&"x".repeat(PIECE));
    assert!(!w.is_read());
    w.say(&"x".repeat(PIECE));
    w.flush();
    assert_eq!(pieces, 1);
}

proptest! {
    #[test]
    fn text_comes_back_and_makes_no_element(
        text in "(\\PC|\\p{C}|[<>&\"'/!=-]|\n|\r|</pre>|<script>|<!--|]]>|&lt;|&#x3c;|javascript:|[\u{0}-\u{9f}]){0,80}"
    ) {
        let clean = Clean::ours(text.as_str());
        let html = written(|w| {
            w.el("p", &[Attr::Words("title", &clean)], |w| w.text(&clean));
            w.pre(&[], |w| w.text(&clean));
        });
        let (elements, found) = parsed(&html);
        let want = shown(&text);
        let title = vec![("title".to_owned(), want.clone())];
        prop_assert_eq!(elements, [("p".to_owned(), title), ("pre".to_owned(), vec![])]);
        // The parser of a tree drops the line feed behind `<pre>`; this one only tells tokens.
        prop_assert_eq!(found, format!("{want}\n{want}"));
    }
}
