//! Parses the text of a reconfiguration script into its statements, or into findings.
//!
//! ```text
//! add INSTANCE [on NODE | beside INSTANCE]       # web.3 on n5
//! del INSTANCE
//! connect INSTANCE.IMPORT to INSTANCE            # web.3.db to db.0
//! disconnect INSTANCE.IMPORT from INSTANCE
//! push INSTANCE BEHAVIOUR
//! wait [INSTANCE …]
//! ```
//! One statement a line; `#` begins a comment. Names are checked against the spec, and instances against what the
//! script itself did to them. Which instances there are besides is known to the running application only, which
//! checks the rest before it begins. Read next: `rhizo_types::script`.

use crate::finding::{Finding, Findings, Span};
use crate::sources::Sources;
use crate::{SOURCE_LENGTH_MAX, plain_text, suggest};
use rhizo_types::id::{BehaviourName, ComponentName, InstanceId, NodeId, PortName};
use rhizo_types::script::{Order, Place, STATEMENTS_MAX, Script, Statement};
use rhizo_types::spec::{Component, Spec};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const VERBS: [&str; 6] = ["add", "del", "connect", "disconnect", "push", "wait"];

/// Reads a script, and checks its names against `spec`.
///
/// `file_name` is only repeated in findings.
///
/// # Errors
/// All findings, in the order of the text, if at least one is an error.
pub fn parse_script(source: &str, file_name: &str, spec: &Spec) -> Result<Script, Vec<Finding>> {
    let plain = plain_text(source);
    let source = plain.as_ref();
    let mut reader =
        Reader { spec, findings: Findings::default(), script: Script::default(), fates: BTreeMap::new() };
    if source.len() > SOURCE_LENGTH_MAX {
        reader
            .findings
            .error(0..0, format!("the script is longer than {SOURCE_LENGTH_MAX} bytes"))
            .hint("split it into several scripts");
        return Err(reader.findings.finish(&Sources::one(file_name, source)));
    }
    let mut begin = 0;
    for (number, line) in (1_u32..).zip(source.split('\n')) {
        reader.line(line, begin, number);
        begin += line.len() + 1;
    }
    if reader.findings.has_errors() {
        return Err(reader.findings.finish(&Sources::one(file_name, source)));
    }
    Ok(reader.script)
}

/// A word of the text with its place.
#[derive(Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    begin: usize,
}

impl Word<'_> {
    fn span(&self) -> Span {
        self.begin..self.begin + self.text.len()
    }
}

/// The script's last statement about an instance, and its place.
#[derive(Clone)]
enum Fate {
    Added(Span),
    Deleted(Span),
}

struct Reader<'a> {
    spec: &'a Spec,
    findings: Findings,
    script: Script,
    fates: BTreeMap<InstanceId, Fate>,
}

/// The words of a line, without its comment.
fn words(line: &str, begin: usize) -> Vec<Word<'_>> {
    let code = line.split('#').next().unwrap_or_default();
    let mut words = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find(|c: char| !c.is_whitespace()) {
        let tail = &rest[start..];
        let text = tail.split(char::is_whitespace).next().unwrap_or_default();
        words.push(Word { text, begin: begin + code.len() - tail.len() });
        rest = &tail[text.len()..];
    }
    words
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &str, begin: usize, number: u32) {
        let words = words(line, begin);
        let Some((verb, rest)) = words.split_first() else { return };
        let end = words.last().map_or(begin, |word| word.span().end);
        let order = match verb.text {
            "add" => self.add(*verb, rest, end),
            "del" => self.del(rest, end),
            "connect" => self.connection(rest, "to", end),
            "disconnect" => self.connection(rest, "from", end),
            "push" => self.push(rest, end),
            "wait" => self.wait(rest),
            other => {
                let hint = suggest::hint(other, VERBS, "statements");
                self.findings.error(verb.span(), format!("there is no statement `{other}`")).maybe_hint(hint);
                None
            }
        };
        let Some(order) = order else { return };
        if self.script.statements.len() == STATEMENTS_MAX {
            self.findings.error(verb.span(), format!("a script has at most {STATEMENTS_MAX} statements"));
        }
        if self.script.statements.len() <= STATEMENTS_MAX {
            self.script.statements.push(Statement { line: number, order });
        }
    }

    fn add(&mut self, verb: Word<'_>, words: &[Word<'_>], end: usize) -> Option<Order> {
        let (instance, rest) = self.next_instance(words, end, "add INSTANCE [on NODE | beside INSTANCE]")?;
        let (name, span) = (instance.0, instance.1);
        let place = match rest {
            [] => Some(Place::Any),
            [on, node, rest @ ..] if on.text == "on" => {
                self.no_more(rest)?;
                self.node(*node).map(Place::Node)
            }
            [beside, other, rest @ ..] if beside.text == "beside" => {
                self.no_more(rest)?;
                let other = self.living(*other)?;
                (other != name).then_some(Place::Beside(other)).or_else(|| {
                    self.findings.error(span.clone(), format!("{name} cannot be placed beside itself"));
                    None
                })
            }
            [word, ..] => {
                let what = "after the instance comes `on NODE`, `beside INSTANCE` or nothing";
                self.findings.error(word.span(), what);
                None
            }
        };
        if let Some(Fate::Added(before)) = self.fates.get(&name) {
            let message = format!("{name} was added already");
            self.findings.error(span.clone(), message).label(before.clone(), "here");
            return None;
        }
        let component = self.spec.components.get(&name.component)?;
        let most = component.replicas.max;
        if name.ordinal >= most.saturating_mul(2).max(1_024) {
            let message = format!("the number of {name} is out of reach: there are at most {most} copies");
            self.findings.error(span.clone(), message).hint("use the lowest number that is free");
        }
        self.fates.insert(name.clone(), Fate::Added(verb.begin..span.end));
        Some(Order::Add { instance: name, place: place? })
    }

    fn del(&mut self, words: &[Word<'_>], end: usize) -> Option<Order> {
        let (word, rest) = self.next(words, end, "del INSTANCE")?;
        self.no_more(rest)?;
        let instance = self.living(word)?;
        self.fates.insert(instance.clone(), Fate::Deleted(word.span()));
        Some(Order::Del { instance })
    }

    fn connection(&mut self, words: &[Word<'_>], joint: &str, end: usize) -> Option<Order> {
        let form = if joint == "to" {
            "connect INSTANCE.IMPORT to INSTANCE"
        } else {
            "disconnect INSTANCE.IMPORT from INSTANCE"
        };
        let (port, rest) = self.next(words, end, form)?;
        let (word, rest) = self.next(rest, end, form)?;
        if word.text != joint {
            self.findings.error(word.span(), format!("expected `{joint}`")).hint(format!("write `{form}`"));
            return None;
        }
        let (other, rest) = self.next(rest, end, form)?;
        self.no_more(rest)?;
        let importer = self.import(port, form);
        let exporter = self.living(other);
        let ((importer, import), exporter) = (importer?, exporter?);
        let declared = self.spec.components.get(&importer.component)?.imports.get(&import)?;
        if declared.component != exporter.component {
            let message = format!(
                "the import `{import}` of {} takes {}, not {}",
                importer.component, declared.component, exporter.component
            );
            self.findings.error(other.span(), message);
            return None;
        }
        if importer == exporter {
            self.findings.error(other.span(), format!("{importer} cannot be bound to itself"));
            return None;
        }
        Some(if joint == "to" {
            Order::Connect { importer, import, exporter }
        } else {
            Order::Disconnect { importer, import, exporter }
        })
    }

    fn push(&mut self, words: &[Word<'_>], end: usize) -> Option<Order> {
        let form = "push INSTANCE BEHAVIOUR";
        let (word, rest) = self.next(words, end, form)?;
        let (behaviour, rest) = self.next(rest, end, form)?;
        self.no_more(rest)?;
        let instance = self.living(word)?;
        let component = self.spec.components.get(&instance.component)?;
        let cycle = component.lifecycle();
        let name = BehaviourName::from(behaviour.text);
        if !cycle.behaviours.contains_key(&name) {
            let known = cycle.behaviours.keys().map(BehaviourName::as_str);
            let hint = suggest::hint(behaviour.text, known, "behaviours");
            let message = format!("{} has no behaviour `{}`", instance.component, behaviour.text);
            self.findings.error(behaviour.span(), message).maybe_hint(hint);
            return None;
        }
        Some(Order::Push { instance, behaviour: name })
    }

    fn wait(&mut self, words: &[Word<'_>]) -> Option<Order> {
        // Allowed for a deleted instance too: the wait is over when it is gone.
        let instances: Vec<_> = words.iter().map(|word| self.instance(*word)).collect();
        let instances: Option<BTreeSet<InstanceId>> = instances.into_iter().collect();
        Some(Order::Wait { instances: instances? })
    }

    fn next<'w, 't>(
        &mut self,
        words: &'w [Word<'t>],
        end: usize,
        form: &str,
    ) -> Option<(Word<'t>, &'w [Word<'t>])> {
        let next = words.split_first().map(|(word, rest)| (*word, rest));
        if next.is_none() {
            self.findings.error(end..end, "the statement is not complete").hint(format!("write `{form}`"));
        }
        next
    }

    fn next_instance<'w, 't>(
        &mut self,
        words: &'w [Word<'t>],
        end: usize,
        form: &str,
    ) -> Option<((InstanceId, Span), &'w [Word<'t>])> {
        let (word, rest) = self.next(words, end, form)?;
        Some(((self.instance(word)?, word.span()), rest))
    }

    fn no_more(&mut self, words: &[Word<'_>]) -> Option<()> {
        let Some(word) = words.first() else { return Some(()) };
        self.findings
            .error(word.span(), format!("`{}` is too much here", word.text))
            .hint("one statement a line");
        None
    }

    fn node(&mut self, word: Word<'_>) -> Option<NodeId> {
        let number = word.text.strip_prefix('n').and_then(|digits| digits.parse().ok());
        if number.is_none() {
            let message = format!("`{}` is no node", word.text);
            self.findings
                .error(word.span(), message)
                .hint("nodes are named `n` and a number, as `status` does");
        }
        number.map(NodeId)
    }

    fn component(&mut self, name: &str, span: Span) -> Option<&'a Component> {
        let known = &self.spec.components;
        let found = known.get(&ComponentName::from(name)).map(Arc::as_ref);
        if found.is_none() {
            let hint = suggest::hint(name, known.keys().map(ComponentName::as_str), "components");
            self.findings.error(span, format!("there is no component `{name}`")).maybe_hint(hint);
        }
        found
    }

    fn instance(&mut self, word: Word<'_>) -> Option<InstanceId> {
        let split = word.text.rsplit_once('.');
        let Some((name, ordinal)) = split.and_then(|(name, digits)| Some((name, digits.parse().ok()?)))
        else {
            let message = format!("`{}` is no instance", word.text);
            self.findings
                .error(word.span(), message)
                .hint("instances are named `COMPONENT.NUMBER`, as `web.0`");
            return None;
        };
        self.component(name, word.begin..word.begin + name.len())?;
        Some(InstanceId { component: ComponentName::from(name), ordinal })
    }

    /// An instance that the script did not delete.
    fn living(&mut self, word: Word<'_>) -> Option<InstanceId> {
        let instance = self.instance(word)?;
        if let Some(Fate::Deleted(place)) = self.fates.get(&instance) {
            let message = format!("{instance} was deleted");
            self.findings.error(word.span(), message).label(place.clone(), "here");
            return None;
        }
        Some(instance)
    }

    /// `INSTANCE.IMPORT`.
    fn import(&mut self, word: Word<'_>, form: &str) -> Option<(InstanceId, PortName)> {
        let Some((instance, port)) =
            word.text.rsplit_once('.').filter(|(instance, _)| instance.contains('.'))
        else {
            let message = format!("`{}` is no import of an instance", word.text);
            self.findings.error(word.span(), message).hint(format!("write `{form}`, as `web.0.db`"));
            return None;
        };
        let instance = self.living(Word { text: instance, begin: word.begin })?;
        let component = self.spec.components.get(&instance.component)?;
        let name = PortName::from(port);
        if !component.imports.contains_key(&name) {
            let hint = suggest::hint(port, component.imports.keys().map(PortName::as_str), "imports");
            let begin = word.span().end - port.len();
            let message = format!("{} has no import `{port}`", instance.component);
            self.findings.error(begin..word.span().end, message).maybe_hint(hint);
            return None;
        }
        Some((instance, name))
    }
}
