//! Work that leaves the task, and work that only looks so.

mod common;

use ccd_detect::Kind;
use common::Session;

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
