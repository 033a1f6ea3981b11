//! Work that leaves the task, and work that only looks so.

mod common;

use ccd_detect::Kind;
use common::Session;
use serde_json::json;

fn found(session: &Session) -> usize {
    session.found(Kind::Derailment).len()
}

/// A turn of work on mail, whatever was asked for.
fn mail(session: &mut Session, closing: &str) {
    session.says("The SMTP retries look wrong.");
    session
        .grep("retryDelay", "mail/smtp.py:3: retryDelay = 5")
        .read("/home/u/shop/mail/smtp.py", "retryDelay = 5");
    session.says("I'll raise the delay of the SMTP retries.");
    session.edit("/home/u/shop/mail/smtp.py", "retryDelay = 5", "retryDelay = 50");
    session.edit("/home/u/shop/mail/queue.py", "drop", "requeue").bash("pytest", "3 passed");
    session.stop(closing, false);
}

const MAIL: &str =
    "SMTP retries wait longer now, and rejected mails are queued once more instead of being dropped.";

fn asked(prompt: &str) -> Session {
    let mut session = Session::new();
    session.events.truncate(1);
    session.prompt(prompt);
    session
}

#[test]
fn work_on_something_else() {
    let mut session = asked("Make the basket keep its sorting order when a coupon is applied to articles");
    mail(&mut session, MAIL);
    assert_eq!(session.found(Kind::Derailment), [("topic", session.last())]);
    let (_, found) = session.engine();
    let told = found.iter().find(|d| d.kind == Kind::Derailment).expect("one");
    assert!(told.mast == Some("FM-2.3") && told.severity < 60 && told.evidence.len() > 1);
}

#[test]
fn work_on_what_was_asked_for() {
    for prompt in [
        "Why are SMTP mails dropped after a few retries?",
        // The closing message alone may be far from the prompt, as long as the places are not.
        "The smtp.py and queue.py modules misbehave when delays occur, see retryDelay",
    ] {
        let mut session = asked(prompt);
        mail(&mut session, MAIL);
        assert_eq!(found(&session), 0, "{prompt}");
    }
}

#[test]
fn prompts_that_lean_on_something_else_are_not_judged() {
    for prompt in [
        "yes, fix the rest too, the nit picky ones as well",
        "let's review branch alpha against origin, comments by colleague Mary included",
        "Please look at the pull request of Mary about coupons and articles",
        "/review coupons and articles in baskets",
    ] {
        let mut session = asked(prompt);
        mail(&mut session, MAIL);
        assert_eq!(found(&session), 0, "{prompt}");
    }
}

#[test]
fn a_user_who_changes_the_topic_and_short_answers() {
    let mut session = asked("Make the basket keep its sorting order when a coupon is applied to articles");
    session.stop("The coupon keeps the sorting of the basket.", false);
    session.prompt("Next topic please: SMTP mails are dropped after retries");
    mail(&mut session, MAIL);
    assert_eq!(found(&session), 0);
    let mut session = asked("What else is broken besides baskets, coupons and articles?");
    session.stop("SMTP retries give up too early and rejected mails are dropped.", false);
    session.prompt("Repair that straight away, thank you kindly");
    mail(&mut session, MAIL);
    assert_eq!(found(&session), 0, "what the agent said last is what is answered");
}

#[test]
fn short_and_very_long_turns_are_not_judged() {
    let mut session = asked("Make the basket keep its sorting order when a coupon is applied to articles");
    session.read("/home/u/shop/mail/smtp.py", "x").stop(MAIL, false);
    assert_eq!(found(&session), 0);
    let mut session = asked("Make the basket keep its sorting order when a coupon is applied to articles");
    for n in 0..60 {
        session.read(&format!("/home/u/shop/mail/part{n}.py"), "x");
    }
    mail(&mut session, MAIL);
    assert_eq!(found(&session), 0);
}

const BASKET: &str = "Make the basket keep its sorting order when a coupon is applied to articles";

#[test]
fn what_the_request_points_to_belongs_to_it() {
    let story = "# Story 7: SMTP retries\nRejected mails are queued once more; retries wait longer.";
    for (prompt, path, silent) in [
        (
            "Implement the story in docs/story-7-retries.md for the shop's customers, sorted by priority",
            "docs/story-7-retries.md",
            true,
        ),
        (
            "Implement the coupon story for the shop's customers, sorted by priority",
            "docs/story-7-retries.md",
            false,
        ),
    ] {
        let mut session = asked(prompt);
        session.read(&format!("/home/u/shop/{path}"), story);
        mail(&mut session, MAIL);
        assert_eq!(found(&session) == 0, silent, "{prompt}");
    }
    let issue = "SMTP retries give up too early; rejected mails are dropped instead of being queued";
    let mut session =
        asked("Take care of SHOP-12 for the shop's customers, sorted by priority, before Friday");
    session.ok(
        "mcp__tracker__get_issue",
        &json!({"id": "SHOP-12"}),
        &json!([{"type": "text", "text": issue}]),
    );
    mail(&mut session, MAIL);
    assert_eq!(found(&session), 0, "an issue that is named");
    let mut session =
        asked("Take care of https://example.org/a/b/pulls/3 for the shop's customers by priority");
    session.bash("gh issue view 3", issue);
    mail(&mut session, MAIL);
    assert_eq!(found(&session), 0, "a page that is named");
}

#[test]
fn plans_and_answers_of_the_user_belong_to_it() {
    let plan = json!({"plan": "Raise the delay of SMTP retries; queue rejected mails once more instead of dropping them"});
    let mut session = asked(BASKET);
    session.ok("ExitPlanMode", &plan, &json!({}));
    mail(&mut session, MAIL);
    assert_eq!(found(&session), 0, "accepted");
    let mut session = asked(BASKET);
    session.fails("ExitPlanMode", &plan, "The user doesn't want to proceed with this tool use.");
    mail(&mut session, MAIL);
    assert_eq!(found(&session), 1, "refused");
    let mut session = asked(BASKET);
    session.ok(
        "AskUserQuestion",
        &json!({"questions": [{"question": "Which first?"}]}),
        &json!({"answers": {"Which first?": "the SMTP retries: queue rejected mails once more, do not drop them"}}),
    );
    mail(&mut session, MAIL);
    assert_eq!(found(&session), 0, "answered");
}

#[test]
fn answers_to_questions_change_nothing() {
    let look = |prompt: &str, edits: bool| {
        let mut session = asked(prompt);
        session.says("The SMTP retries look wrong.").grep("retryDelay", "mail/smtp.py:3: retryDelay = 5");
        for n in 0..4 {
            session.read(&format!("/home/u/shop/mail/smtp{n}.py"), "retryDelay = 5");
        }
        if edits {
            session.edit("/home/u/shop/mail/smtp.py", "5", "50");
        }
        session.stop(MAIL, false);
        found(&session)
    };
    assert_eq!(
        look("Why does the basket lose its sorting order when a coupon is applied to articles?", false),
        0
    );
    assert_eq!(
        look("Why does the basket lose its sorting order when a coupon is applied to articles?", true),
        1
    );
    assert_eq!(look(BASKET, false), 1);
}

#[test]
fn prompts_that_cannot_be_compared_are_not_judged() {
    for prompt in [
        "y",
        "pelase push",
        "Bitte sorge dafür, dass der Warenkorb die Reihenfolge der Artikel mit einem Gutschein nicht verliert.",
        "Haz que la cesta mantenga el orden de los artículos cuando se aplica un cupón.",
        "クーポンを適用しても、かごの中の商品の順番が変わらないようにしてください。",
    ] {
        let mut session = asked(prompt);
        mail(&mut session, MAIL);
        assert_eq!(found(&session), 0, "{prompt}");
    }
}
