//! The actions of a life-cycle, with their time-outs and repetitions.
//!
//! A step is part of a transition's table, or a table of its own (`notify`, an element of `reset`); the caller
//! finishes the table. Nothing is run here.

use crate::document;
use crate::finding::Span;
use crate::read::policy::DURATION_MS_MAX;
use crate::read::{Session, TEXT_LENGTH_MAX};
use crate::reader::{Node, Table, Text};
use crate::resolved::Replacement;
use crate::suggest;
use rhizo_types::lifecycle::{Action, Content, Retry, Step, Verb};
use rhizo_types::spec::{Component, Run};
use std::path::{self, Path};

/// The names of actions; a step has at most one of them.
const ACTIONS: [&str; 8] = ["command", "script", "http", "write", "call", "wait", "start", "stop"];

const VERBS: [Verb; 5] = [Verb::Init, Verb::Run, Verb::Interrupt, Verb::Cleanup, Verb::Notify];

const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];

/// Most repetitions. Longer waiting is the task of the escalation of failures.
const RETRIES_MAX: u32 = 1_000;
/// A service that restarts is back within seconds, so the first wait is one second and the longest is half a minute.
const RETRY_WAIT_MS: u64 = 1_000;
const RETRY_WAIT_MS_MAX: u64 = 30_000;

/// A written file may contain a password from an import, so only its owner may read it by default.
const WRITE_MODE: u32 = 0o600;

/// Time between two probes of a `wait`, shorter than that of a health check, because a start waits for it.
const WAIT_EVERY_MS: u64 = 1_000;

impl Session<'_> {
    /// Takes an action with its time-out and repetitions out of `table`.
    pub(crate) fn step(&mut self, table: &mut Table<'_>, component: &mut Component) -> Step {
        let action = self.action(table, component);
        let timeout_ms =
            table.take("timeout").and_then(|node| self.reader.duration_ms(&node, 1, DURATION_MS_MAX));
        let retry = table.take("retry").and_then(|node| self.retry(&node)).unwrap_or(Retry::NONE);
        Step { action: action.unwrap_or(Action::Nothing), timeout_ms, retry }
    }

    fn action(&mut self, table: &mut Table<'_>, component: &mut Component) -> Option<Action> {
        let mut given: Vec<(&str, Node<'_>)> =
            ACTIONS.into_iter().filter_map(|name| Some((name, table.take(name)?))).collect();
        let env = table.take("env");
        let body = table.take("body");
        let written = ["text", "template", "mode"].map(|name| table.take(name));
        if given.len() > 1 {
            let others = given.split_off(1);
            let draft = self.reader.findings.error(others[0].1.key.clone(), "a step has one action");
            draft.label(given[0].1.key.clone(), "the other one").hint("make it two transitions");
        }
        let kind = given.first().map_or("", |(name, _)| name);
        let [text, template, mode] = &written;
        let parts = [
            (&env, "env", "command"),
            (&body, "body", "http"),
            (text, "text", "write"),
            (template, "template", "write"),
            (mode, "mode", "write"),
        ];
        for (node, name, wants) in parts {
            if let Some(node) = node.as_ref().filter(|_| kind != wants) {
                let message = format!("`{name}` belongs to `{wants}`, which this step does not have");
                self.reader.findings.error(node.key.clone(), message);
            }
        }
        let (kind, node) = given.pop()?;
        match kind {
            "command" => {
                let argv = self.command(&node, component)?;
                Some(Action::Command { argv, env: self.env_of_action(env, component) })
            }
            "script" => self.verb(&node, component),
            "http" => self.http(&node, body, component),
            "write" => self.write(&node, written, component),
            "call" => {
                let name = self.reader.text(&node)?;
                self.check_name(name.text, &name.span, "function");
                Some(Action::Function(name.text.to_owned()))
            }
            "wait" => self.wait(&node, component),
            _ => self.service(kind, &node, component),
        }
    }

    /// `start = true` and `stop = true`.
    fn service(&mut self, kind: &str, node: &Node<'_>, component: &Component) -> Option<Action> {
        if !self.reader.boolean(node)? {
            let message = format!("`{kind} = false` does nothing");
            self.reader.findings.error(node.span.clone(), message).hint("leave it out");
            return None;
        }
        if matches!(component.run, Run::Script { .. }) {
            let verb = if kind == "start" { "run" } else { "interrupt" };
            self.reader
                .findings
                .error(node.key.clone(), format!("a component with a `script` has nothing to {kind}"))
                .hint(format!("write `script = \"{verb}\"`"));
            return None;
        }
        Some(if kind == "start" { Action::Start } else { Action::Stop })
    }

    fn verb(&mut self, node: &Node<'_>, component: &Component) -> Option<Action> {
        let word = self.reader.text(node)?;
        let Some(verb) = VERBS.into_iter().find(|verb| verb.text() == word.text) else {
            let hint = suggest::hint(word.text, VERBS.map(Verb::text), "verbs");
            let message = format!("`{}` is no verb of a service script", word.text.escape_debug());
            self.reader.findings.error(word.span, message).maybe_hint(hint);
            return None;
        };
        if !matches!(component.run, Run::Script { .. }) {
            self.reader
                .findings
                .error(node.key.clone(), "the component has no script")
                .hint("add `script = \"./service.sh\"` to the component, or use `command` here");
            return None;
        }
        Some(Action::Script(verb))
    }

    /// `METHOD URL`, or a URL alone for `GET`.
    fn http(&mut self, node: &Node<'_>, body: Option<Node<'_>>, component: &Component) -> Option<Action> {
        let text = self.reader.text(node)?;
        let body = body.map(|body| self.reader.text(&body));
        if !self.check_text(&text, TEXT_LENGTH_MAX) {
            return None;
        }
        self.check_placeholders(&text, component);
        let mut words = text.text.split_whitespace();
        let (first, second, third) = (words.next(), words.next(), words.next());
        let (method, url) = match (first, second) {
            (Some(method), Some(url)) => (method, url),
            (Some(url), None) => ("GET", url),
            _ => ("GET", ""),
        };
        if !METHODS.contains(&method) {
            let hint = suggest::hint(method, METHODS, "methods");
            let message = format!("`{}` is no HTTP method that is known here", method.escape_debug());
            self.reader.findings.error(text.span, message).maybe_hint(hint);
            return None;
        }
        let is_url = ["http://", "https://", "{"].iter().any(|begin| url.starts_with(begin));
        if !is_url || third.is_some() {
            self.reader
                .findings
                .error(text.span, "this is not a request")
                .hint("write \"METHOD URL\", such as \"POST http://{import.registry.addr}/add\"");
            return None;
        }
        let body = match body {
            None => String::new(),
            Some(body) => {
                let body = body.filter(|body| self.check_text(body, TEXT_LENGTH_MAX))?;
                self.check_placeholders(&body, component);
                body.text.to_owned()
            }
        };
        Some(Action::Http { method: method.to_owned(), url: url.to_owned(), body })
    }

    /// A file to be written, with its text, its template and its mode.
    fn write(
        &mut self,
        node: &Node<'_>,
        [text, template, mode]: [Option<Node<'_>>; 3],
        component: &Component,
    ) -> Option<Action> {
        let to = self.reader.text(node)?;
        self.check_placeholders(&to, component);
        let mut parts = Path::new(to.text).components().peekable();
        if parts.peek().is_none() || !parts.all(|part| matches!(part, path::Component::Normal(_))) {
            let message = format!("`{}` is no path below the directory of the copy", to.text.escape_debug());
            self.reader.findings.error(to.span, message).hint("write it as \"conf/app.conf\"");
            return None;
        }
        let mode = match mode {
            None => WRITE_MODE,
            Some(node) => self.mode(&node)?,
        };
        let content = match (text, template) {
            (Some(node), None) => {
                let text = self.reader.text(&node).filter(|text| self.check_text(text, TEXT_LENGTH_MAX))?;
                self.check_placeholders(&text, component);
                Content::Text(text.text.to_owned())
            }
            (None, Some(node)) => {
                let file = self.reader.text(&node).filter(|text| self.check_text(text, TEXT_LENGTH_MAX))?;
                let path = crate::path::join(self.base_of(&node), file.text);
                self.resolved.insert(file.span.start, Replacement::Text(path.clone()));
                self.named_templates.push((path.clone(), file.span));
                Content::Template(path)
            }
            (Some(_), Some(template)) => {
                self.reader.findings.error(template.key, "a file has a `text` or a `template`, not both");
                return None;
            }
            (None, None) => {
                let draft = self.reader.findings.error(node.key.clone(), "nothing says what is written");
                draft.hint("add `template = \"./app.conf.in\"` or `text = \"…\"`");
                return None;
            }
        };
        Some(Action::Write { to: to.text.to_owned(), content, mode })
    }

    /// Permissions in octal.
    fn mode(&mut self, node: &Node<'_>) -> Option<u32> {
        let text = self.reader.text(node)?;
        let mode = u32::from_str_radix(text.text, 8).ok().filter(|mode| *mode <= 0o777);
        if mode.is_none() {
            let message = format!("`{}` are no permissions", text.text.escape_debug());
            self.reader.findings.error(text.span, message).hint("write them in octal, such as \"640\"");
        }
        mode
    }

    fn wait(&mut self, node: &Node<'_>, component: &mut Component) -> Option<Action> {
        let mut table = self.reader.table(node)?;
        let every = table.take("every").map(|node| self.reader.duration_ms(&node, 10, DURATION_MS_MAX));
        let probe = self.probe(&mut table, component);
        self.reader.finish::<document::Wait>(table);
        Some(Action::Wait { probe: probe?, every_ms: every.unwrap_or(Some(WAIT_EVERY_MS))? })
    }

    fn retry(&mut self, node: &Node<'_>) -> Option<Retry> {
        let usual = Retry { times: 0, wait_ms: RETRY_WAIT_MS, wait_ms_max: RETRY_WAIT_MS_MAX };
        if !self.reader.is_table(node) {
            return Some(Retry { times: self.reader.whole(node, 0, RETRIES_MAX)?, ..usual });
        }
        let mut table = self.reader.table(node)?;
        let times = self.reader.required(&mut table, "times", "how often it is tried again");
        let wait = table.take("wait");
        let longest = table.take("wait_max");
        self.reader.finish::<document::RetryWaits>(table);
        let times = times.and_then(|node| self.reader.whole(&node, 0, RETRIES_MAX))?;
        let span: Option<Span> = longest.as_ref().map(|node| node.span.clone());
        let mut duration = |node: Option<Node<'_>>, usual: u64| match node {
            Some(node) => self.reader.duration_ms(&node, 0, DURATION_MS_MAX),
            None => Some(usual),
        };
        let wait_ms = duration(wait, usual.wait_ms)?;
        let wait_ms_max = duration(longest, usual.wait_ms_max.max(wait_ms))?;
        if let Some(span) = span.filter(|_| wait_ms_max < wait_ms) {
            self.reader.findings.error(span, "the longest wait is shorter than the first one");
        }
        Some(Retry { times, wait_ms, wait_ms_max })
    }

    /// Attributes: named texts.
    pub(crate) fn named_texts<'d>(&mut self, node: Option<Node<'d>>, what: &str) -> Vec<(&'d str, Text<'d>)> {
        let named = node.and_then(|node| self.reader.named(&node)).unwrap_or_default();
        let mut texts = Vec::new();
        for (name, node) in self.limited(named, what) {
            self.check_name(name, &node.key, "value");
            texts.extend(self.reader.text(&node).map(|text| (name, text)));
        }
        texts
    }
}
