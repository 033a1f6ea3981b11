//! One session: its runs, turns, model calls, tools and subagents, told to its files line by line.
//!
//! Whatever is billed is written down beside it ([`Billed`]), at the place where it is made up: that account never
//! sees a line.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::lines::{self, Client, Lines, Message, Place};
use super::random::Random;
use super::text::Writer;
use super::{Account, Billed, Oddity, Tokens};

const TOOLS: [&str; 5] = ["Bash", "Read", "Edit", "Grep", "mcp__tracker__search"];
const AGENTS: [&str; 3] = ["general-purpose", "Explore", "Plan"];
const BRANCHES: [&str; 4] = ["main", "fix/count-once", "wip", "größe"];

/// What kind of gateway stands between the client and the API: it decides what the ids are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gateway {
    /// None, or one that passes ids on.
    Plain,
    /// It does not pass the request's id on.
    NoRequestId,
    /// It passes it on with the last line of each message only.
    RequestIdLate,
    /// It gives every message of a session the same id.
    OneMessageId,
}

/// How sessions are.
pub(super) struct Manner {
    /// Sizes of texts in percent of a real session's.
    pub(super) text: u64,
    /// What is peculiar about some of them.
    pub(super) odd: Vec<Oddity>,
    /// Some runs are killed before they write their closing totals.
    pub(super) kills: bool,
}

impl Manner {
    pub(super) fn is(&self, odd: Oddity) -> bool {
        self.odd.contains(&odd)
    }
}

/// What is left of a session when it is written: enough to fork it.
pub(super) struct Told {
    pub(super) place: Place,
    pub(super) lines: Vec<Value>,
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) models: BTreeMap<String, (Tokens, u64)>,
    pub(super) dir: PathBuf,
}

/// A session under way.
pub(super) struct Session<'a> {
    pub(super) random: Random,
    writer: &'a Writer,
    pub(super) manner: &'a Manner,
    pub(super) account: &'a mut Account,
    pub(super) place: Place,
    dir: PathBuf,
    gateway: Gateway,
    one_id: String,
    pub(super) model: &'static str,
    pub(super) at_ms: i64,
    pub(super) parent: Option<String>,
    /// Tokens of the conversation's last prompt.
    context: u64,
    /// The client's totals, as its closing record will tell them.
    models: BTreeMap<String, (Tokens, u64)>,
    start_ms: i64,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        mut random: Random,
        writer: &'a Writer,
        manner: &'a Manner,
        account: &'a mut Account,
        root: &Path,
        at_ms: i64,
    ) -> Self {
        const CWDS: [&str; 5] = [
            "/home/user/alpha",
            "/home/user/beta api",
            "/home/user/größe",
            "/home/user/src/ccd",
            "/srv/gamma",
        ];
        let client = if random.percent(40) { Client::Older } else { Client::Newer };
        let cwd = random.pick(&CWDS).to_owned();
        let place = Place {
            client,
            session: random.uuid(),
            agent: None,
            branch: random.pick(&BRANCHES).to_owned(),
            prompt_id: random.uuid(),
            cwd,
        };
        let gateway = match random.within(0, 100) {
            0..8 if manner.is(Oddity::NoRequestId) => Gateway::NoRequestId,
            8..14 if manner.is(Oddity::RequestIdLate) => Gateway::RequestIdLate,
            14..20 if manner.is(Oddity::OneMessageId) => Gateway::OneMessageId,
            _ => Gateway::Plain,
        };
        let model = match client {
            Client::Older => {
                random.pick(&["claude-opus-4-8", "claude-opus-4-8", "claude-sonnet-4-5-20250929"])
            }
            Client::Newer => {
                random.pick(&["claude-opus-5-5", "claude-opus-5-5", "claude-sonnet-5-5", "glm-9"])
            }
        };
        let dir = root.join("projects").join(slug(&place.cwd));
        let context = if manner.is(Oddity::LongContext) && random.percent(20) { 185_000 } else { 12_000 };
        Session {
            one_id: random.id("msg"),
            random,
            writer,
            manner,
            account,
            place,
            dir,
            gateway,
            model,
            at_ms,
            parent: None,
            context,
            models: BTreeMap::new(),
            start_ms: at_ms,
        }
    }

    /// Plays the session from its first line to its last.
    pub(super) fn play(mut self, keep: bool) -> io::Result<Told> {
        let path = self.dir.join(format!("{}.jsonl", self.place.session));
        let mut file = Lines::create(&path, keep)?;
        let runs = self.random.within(1, 4);
        let mut closed: Option<BTreeMap<String, (Tokens, u64)>> = None;
        for run in 0..runs {
            if run > 0 {
                // It is resumed: hours or days later, in the same file.
                self.at_ms += i64::try_from(self.random.within(600, 3 * 86_400)).unwrap() * 1000;
                // What the client counts on from is what it wrote last, and nothing else.
                self.models = closed.clone().unwrap_or_default();
            }
            if closed.is_none() {
                self.start_ms = self.at_ms;
            }
            self.opening(&mut file)?;
            for _ in 0..self.random.within(1, 5) {
                self.turn(&mut file)?;
            }
            let killed = self.manner.kills && self.random.percent(25);
            if self.place.client == Client::Newer && !killed {
                file.push(
                    json!({"type": "last-prompt", "sessionId": self.place.session, "lastPrompt": "go on"}),
                )?;
                file.push(lines::cost_state(&self.place.session, self.start_ms, &self.models))?;
                closed = Some(self.models.clone());
            }
        }
        let kept = file.kept.take().unwrap_or_default();
        self.ending(&mut file)?;
        self.account.wrote(&file);
        file.close()?;
        Ok(Told {
            place: self.place,
            lines: kept,
            start_ms: self.start_ms,
            end_ms: self.at_ms,
            models: closed.unwrap_or_default(),
            dir: self.dir,
        })
    }

    /// Goes on in a fork of a session: its lines, under another session's id, and a turn of its own.
    pub(super) fn fork(mut self, of: &Told, whole: bool) -> io::Result<()> {
        self.place = Place { session: self.random.uuid(), ..of.place.clone() };
        self.dir.clone_from(&of.dir);
        self.at_ms = of.end_ms + 3_600_000;
        self.models.clone_from(&of.models);
        self.start_ms = if of.models.is_empty() { self.at_ms } else { of.start_ms };
        self.gateway = Gateway::Plain;
        let path = self.dir.join(format!("{}.jsonl", self.place.session));
        let mut file = Lines::create(&path, false)?;
        // After a compaction the client copies from its boundary on only.
        let boundary = of.lines.iter().rposition(|line| line["subtype"] == "compact_boundary");
        let from = if whole { 0 } else { boundary.unwrap_or(0) };
        for line in of.lines[from..].iter().filter(|line| line["uuid"].is_string()) {
            let mut line = line.clone();
            line["sessionId"] = json!(self.place.session);
            self.parent = line["uuid"].as_str().map(String::from);
            file.push(line)?;
        }
        self.turn(&mut file)?;
        if self.place.client == Client::Newer {
            file.push(lines::cost_state(&self.place.session, self.start_ms, &self.models))?;
        }
        self.account.wrote(&file);
        file.close()
    }

    /// What the client writes before the first prompt of a run.
    fn opening(&mut self, file: &mut Lines) -> io::Result<()> {
        let mode = json!({"type": "mode", "mode": "normal", "sessionId": self.place.session});
        file.push(mode)?;
        if self.place.client == Client::Newer {
            let length = self.length(30_000);
            let (hash, text) = (self.random.uuid(), self.writer.prose(&mut self.random, length));
            file.push(lines::shape(&self.place, self.at_ms, &hash, &text))?;
        }
        if self.manner.is(Oddity::Strangers) && self.random.percent(30) {
            file.push(
                json!({"type": "from-the-future", "message": {"usage": 7, "id": [1]}, "requestId": null}),
            )?;
            file.push(json!([1, "a line that is no object"]))?;
        }
        Ok(())
    }

    /// A prompt, and what the model makes of it.
    fn turn(&mut self, file: &mut Lines) -> io::Result<()> {
        self.place.prompt_id = self.random.uuid();
        self.pass(20, 2_400);
        if self.random.percent(10) {
            self.place.branch = self.random.pick(&BRANCHES).to_owned();
        }
        if self.manner.is(Oddity::Strangers) && self.random.percent(10) {
            // `cd` moves the lines, not the project.
            self.place.cwd.push_str("/sub");
        }
        let (length, uuid) = (self.length(400), self.random.uuid());
        let text = self.writer.prose(&mut self.random, length);
        file.push(lines::prompt(&self.place, &uuid, self.parent.as_deref(), self.at_ms, &text))?;
        self.parent = Some(uuid);
        self.context += 300;
        for _ in 0..self.random.within(0, 12) {
            self.call(file, true)?;
        }
        if self.manner.is(Oddity::Strangers) && self.random.percent(10) {
            self.failure(file)?;
        }
        self.call(file, false)?;
        let uuid = self.random.uuid();
        file.push(lines::system(&self.place, &uuid, self.parent.as_deref(), self.at_ms, "turn_duration"))?;
        if self.random.percent(8) {
            self.compact(file)?;
        }
        Ok(())
    }

    /// One model call and, where it asks for one, a tool's run.
    fn call(&mut self, file: &mut Lines, with_tool: bool) -> io::Result<()> {
        self.pass(2, 60);
        if self.place.client == Client::Newer {
            let (id, hash) = (self.random.uuid(), self.random.uuid());
            file.push(lines::request(&self.place, self.at_ms, &id, &hash, self.model))?;
        }
        let call = self.random.id("toolu");
        let (tool, agent) = match self.random.within(0, 40) {
            0 if with_tool && self.place.agent.is_none() => ("Agent", Some(self.random.pick(&AGENTS))),
            _ => (self.random.pick(&TOOLS), None),
        };
        let mut blocks = Vec::new();
        if self.random.percent(40) {
            let length = self.length(600);
            let text = self.writer.prose(&mut self.random, length);
            blocks.push(json!({"type": "thinking", "thinking": text, "signature": self.random.id("sig")}));
        }
        if !with_tool || self.random.percent(50) {
            let length = self.length(if with_tool { 200 } else { 1_500 });
            blocks.push(json!({"type": "text", "text": self.writer.prose(&mut self.random, length)}));
        }
        if with_tool {
            let input = self.input(tool, agent);
            blocks.push(json!({"type": "tool_use", "id": call, "name": tool, "input": input}));
        }
        self.message(file, &blocks, if with_tool { "tool_use" } else { "end_turn" })?;
        if with_tool {
            if let Some(kind) = agent {
                self.subagent(&call, kind, 1, None)?;
            }
            self.pass(1, 20);
            let length = self.length(3_000);
            let text = match tool {
                "Read" => self.writer.code(&mut self.random, length * 2),
                "Agent" => self.writer.prose(&mut self.random, length),
                _ => self.writer.log(&mut self.random, length),
            };
            let (uuid, failed) = (self.random.uuid(), self.random.percent(5));
            let parent = self.parent.clone().unwrap_or_default();
            file.push(lines::result(&self.place, &uuid, &parent, self.at_ms, &call, &text, failed))?;
            self.parent = Some(uuid);
        }
        Ok(())
    }

    fn input(&mut self, tool: &str, agent: Option<&str>) -> Value {
        let length = self.length(300);
        match tool {
            "Agent" => {
                let text = self.writer.prose(&mut self.random, length);
                json!({"description": "A helper", "prompt": text, "subagent_type": agent})
            }
            "Edit" => json!({
                "file_path": format!("{}/src/lib.rs", self.place.cwd),
                "old_string": self.writer.code(&mut self.random, length * 3),
                "new_string": self.writer.code(&mut self.random, length * 3),
            }),
            "Bash" => {
                json!({"command": self.writer.prose(&mut self.random, length), "description": "Run it"})
            }
            _ => json!({"file_path": format!("{}/src/main.rs", self.place.cwd), "limit": 200}),
        }
    }

    /// The lines of one billed message, and its entry in the account.
    fn message(&mut self, file: &mut Lines, blocks: &[Value], stop_reason: &str) -> io::Result<()> {
        let id = match self.gateway {
            Gateway::OneMessageId => self.one_id.clone(),
            _ => self.random.id("msg"),
        };
        let request = (self.gateway != Gateway::NoRequestId).then(|| self.random.id("req"));
        let fresh = self.random.within(100, 6_000);
        let for_an_hour = if self.random.percent(20) { fresh } else { 0 };
        let tokens = Tokens {
            input: self.random.within(1, 40),
            output: self.random.within(20, 2_500),
            cache_read: self.context,
            cache_write_5m: fresh - for_an_hour,
            cache_write_1h: for_an_hour,
        };
        self.context += fresh;
        let searches = u64::from(self.random.percent(2));
        let tier = if self.manner.is(Oddity::Batch) && self.random.percent(3) { "batch" } else { "standard" };
        let model = match self.place.agent {
            Some(_) if self.place.client == Client::Newer => "claude-haiku-5-5",
            _ => self.model,
        };
        self.account.billed.push(Billed {
            session: self.place.session.clone(),
            agent: self.account.agent.clone(),
            model: model.to_owned(),
            branch: self.place.branch.clone(),
            at_ms: self.at_ms,
            tokens,
            searches,
        });
        let told = self.models.entry(model.to_owned()).or_default();
        told.0 += tokens;
        told.1 += searches;
        for (number, content) in blocks.iter().enumerate() {
            let last = number + 1 == blocks.len();
            // Older clients wrote what was known of the usage when the block was there.
            let partial = self.place.client == Client::Older && !last && self.manner.is(Oddity::PartialUsage);
            let shown = Tokens { output: if partial { 1 } else { tokens.output }, ..tokens };
            let late = self.gateway == Gateway::RequestIdLate && !last;
            let message = Message {
                id: &id,
                request: request.as_deref().filter(|_| !late),
                model,
                stop_reason,
                tokens: shown,
                searches,
                tier,
            };
            let uuid = self.random.uuid();
            let line =
                lines::block(&self.place, &uuid, self.parent.as_deref(), self.at_ms, &message, content);
            if self.manner.is(Oddity::RepeatedLines) && self.random.percent(2) {
                file.push(line.clone())?;
            }
            file.push(line)?;
            self.parent = Some(uuid);
            self.at_ms += 40;
        }
        Ok(())
    }

    /// A compaction: a request that no line tells of but the closing totals do.
    fn compact(&mut self, file: &mut Lines) -> io::Result<()> {
        self.pass(5, 60);
        let tokens = Tokens { input: self.context, output: 900, ..Tokens::default() };
        if self.place.client == Client::Newer {
            self.models.entry(self.model.to_owned()).or_default().0 += tokens;
            self.account.side.push(Billed {
                session: self.place.session.clone(),
                agent: "main".into(),
                model: self.model.to_owned(),
                branch: String::new(),
                at_ms: self.at_ms,
                tokens,
                searches: 0,
            });
        }
        let (boundary, uuid, length) = (self.random.uuid(), self.random.uuid(), self.length(2_000));
        let place = &self.place;
        file.push(lines::system(place, &boundary, self.parent.as_deref(), self.at_ms, "compact_boundary"))?;
        let text = self.writer.prose(&mut self.random, length);
        file.push(lines::summary(&self.place, &uuid, &boundary, self.at_ms, &text))?;
        self.parent = Some(uuid);
        self.context = 5_000;
        Ok(())
    }

    /// A subagent's file and the one beside it; the older client also laid them flat beside the session's.
    fn subagent(&mut self, call: &str, kind: &str, depth: u64, above: Option<&str>) -> io::Result<()> {
        let id = format!("a{:016x}", self.random.bits());
        let flat = self.manner.is(Oddity::FlatSubagents)
            && self.place.client == Client::Older
            && self.random.percent(30);
        let dir = if flat { self.dir.clone() } else { self.dir.join(&self.place.session).join("subagents") };
        let path = dir.join(format!("agent-{id}.jsonl"));
        let mut file = Lines::create(&path, false)?;
        if !flat {
            let meta = json!({
                "agentType": kind, "description": "A helper", "toolUseId": call, "spawnDepth": depth,
                "parentAgentId": above,
            });
            std::fs::write(path.with_extension("meta.json"), meta.to_string())?;
        }
        let before = (self.place.agent.replace(id.clone()), self.parent.take(), self.context);
        let agent = if flat { "subagent" } else { kind };
        let agent_before = std::mem::replace(&mut self.account.agent, agent.to_owned());
        self.context = 8_000;
        let (length, uuid) = (self.length(600), self.random.uuid());
        let text = self.writer.prose(&mut self.random, length);
        file.push(lines::prompt(&self.place, &uuid, None, self.at_ms, &text))?;
        self.parent = Some(uuid);
        for _ in 0..self.random.within(1, 8) {
            self.call(&mut file, true)?;
        }
        if depth < 3 && !flat && self.random.percent(40) {
            let (nested, kind) = (self.random.id("toolu"), self.random.pick(&AGENTS));
            let input = self.input("Agent", Some(kind));
            let asks = json!({"type": "tool_use", "id": nested, "name": "Agent", "input": input});
            self.message(&mut file, &[asks], "tool_use")?;
            self.subagent(&nested, kind, depth + 1, Some(&id))?;
            let (uuid, parent) = (self.random.uuid(), self.parent.clone().unwrap_or_default());
            file.push(lines::result(&self.place, &uuid, &parent, self.at_ms, &nested, "done", false))?;
        }
        self.call(&mut file, false)?;
        (self.place.agent, self.parent, self.context) = before;
        self.account.agent = agent_before;
        self.account.wrote(&file);
        file.close()
    }

    /// Lets seconds pass.
    pub(super) fn pass(&mut self, from: u64, to: u64) {
        self.at_ms += i64::try_from(self.random.within(from * 1000, to * 1000)).unwrap();
    }

    /// A text's length where a real session's has about this many bytes.
    fn length(&mut self, about: u64) -> usize {
        let scaled = about * self.manner.text / 100;
        usize::try_from(self.random.within(scaled / 4 + 10, scaled * 2 + 20)).unwrap()
    }
}

/// The name of a project's directory: what is no ASCII letter or digit becomes a hyphen, per UTF-16 unit.
fn slug(cwd: &str) -> String {
    let unit = |unit: u16| u8::try_from(unit).ok().filter(u8::is_ascii_alphanumeric).map_or('-', char::from);
    cwd.encode_utf16().map(unit).collect()
}
