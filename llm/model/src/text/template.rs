//! Chat templates: Jinja with the behaviour of `transformers`, so that a conversation becomes exactly the text that the
//! model was trained on.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, context};
use regex::Regex;

use super::conversation::{Message, READ_BY_MODEL};
use super::limits::{self, FUEL, Limited};
use super::{Moment, python};

/// A compiled chat template.
#[derive(Clone, Debug)]
pub struct Template {
    environment: Environment<'static>,
    /// Special tokens by role (`bos_token`, …), as variables of the template.
    tokens: Value,
    /// Whether there is a second template for conversations with tools, and if it cannot be read, why.
    tool_use: Option<Result<(), String>>,
}

/// The template's name within its environment.
const NAME: &str = "chat";

/// The name of the one for conversations with tools.
const TOOL_USE: &str = "tool_use";

impl Template {
    /// Compiles a template. `tokens` are special tokens by their keys in the tokenizer's configuration, such as
    /// `bos_token`; `moment` is the date and time that the template's `strftime_now` prints.
    pub fn new(
        source: &str,
        tokens: impl IntoIterator<Item = (String, String)>,
        moment: Moment,
    ) -> Result<Self, String> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| error.to_string())?);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        // As in jinja2, undefined values print as nothing and have no attributes.
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_unknown_method_callback(python::method);
        environment.set_fuel(Some(FUEL));
        environment.set_formatter(python::print);
        environment.add_filter("tojson", python::tojson);
        environment.add_filter("trim", python::trim);
        environment.add_function("raise_exception", refuse);
        environment.add_function("strftime_now", move |format: &str| moment.strftime(format));
        let tokens = tokens.into_iter().collect::<BTreeMap<String, String>>().into();
        let mut template = Self { environment, tokens, tool_use: None };
        template.add(NAME, source)?;
        Ok(template)
    }

    /// With a second template, which writes conversations with tools. Where it cannot be read, they are an error.
    pub(super) fn with_tool_use(mut self, source: &str) -> Self {
        self.tool_use = Some(self.add(TOOL_USE, source));
        self
    }

    fn add(&mut self, name: &'static str, source: &str) -> Result<(), String> {
        // As Jinja reads its sources.
        let source = source.replace("\r\n", "\n").replace('\r', "\n");
        self.environment
            .add_template_owned(name, without_generation_tags(&source))
            .map_err(|error| format!("the chat template cannot be read: {}", describe(&error)))
    }

    pub(super) fn has_tool_use(&self) -> bool {
        self.tool_use.is_some()
    }

    /// The name of the template that writes conversations with these tools.
    fn name(&self, tools: &[serde_json::Value]) -> Result<&'static str, String> {
        match &self.tool_use {
            Some(read) if !tools.is_empty() => read.clone().map(|()| TOOL_USE),
            _ => Ok(NAME),
        }
    }

    /// The text of the messages, followed by the beginning of an assistant's turn if `add_generation_prompt`. `tools`
    /// are the functions that the model can call.
    pub fn render(
        &self,
        messages: &[Message],
        tools: &[serde_json::Value],
        add_generation_prompt: bool,
    ) -> Result<String, String> {
        self.render_values(values(messages), tools, add_generation_prompt)
    }

    /// [`Template::render`] for messages already converted by [`values`].
    pub(super) fn render_values(
        &self,
        messages: Vec<Value>,
        tools: &[serde_json::Value],
        add_generation_prompt: bool,
    ) -> Result<String, String> {
        self.render_named(self.name(tools)?, messages, tools, add_generation_prompt)
    }

    fn render_named(
        &self,
        name: &str,
        messages: Vec<Value>,
        tools: &[serde_json::Value],
        add_generation_prompt: bool,
    ) -> Result<String, String> {
        let tools = if tools.is_empty() { Value::from(()) } else { Value::from(Serde(tools)) };
        let variables = context! {
            messages => messages,
            add_generation_prompt => add_generation_prompt,
            tools => tools,
            documents => (),
            ..self.tokens.clone()
        };
        let mut text = Limited::default();
        let rendered = limits::watched(|| {
            let template = self.environment.get_template(name)?;
            template.render_captured_to(variables, &mut text).map(drop)
        });
        rendered.map_err(|error| if text.is_full() { limits::too_long() } else { describe(&error) })?;
        text.into_text()
    }

    /// Checks that the template does not ignore what the model has to read besides the texts: the tools, and the calls
    /// and reasoning of each turn. A turn's fields must change the text when it is the last turn, or in the whole
    /// conversation (templates leave out earlier thinking).
    pub(super) fn check(&self, messages: &[Message], tools: &[serde_json::Value]) -> Result<(), String> {
        let (whole, name) = (values(messages), self.name(tools)?);
        let text = |messages: &[Value], tools: &[serde_json::Value]| {
            self.render_named(name, messages.to_vec(), tools, false)
        };
        let reads = |message: &Message| READ_BY_MODEL.iter().any(|key| message.fields.contains_key(*key));
        if tools.is_empty() && !messages.iter().any(reads) {
            return Ok(());
        }
        // What it refuses, it does not ignore.
        let written = text(&whole, tools).map_err(|what| refused(&what))?;
        if !tools.is_empty() && text(&whole, &[]).is_ok_and(|without| without == written) {
            return Err(
                "the chat template ignores `tools`; remove them, or use a model whose template has them"
                    .into(),
            );
        }
        for (index, message) in messages.iter().enumerate() {
            for key in READ_BY_MODEL.into_iter().filter(|key| message.fields.contains_key(*key)) {
                let mut without = message.clone();
                without.fields.shift_remove(key);
                let mut others = whole.clone();
                others[index] = value(&without);
                let ignored = |end: usize| text(&whole[..end], tools) == text(&others[..end], tools);
                if ignored(index + 1) && ignored(whole.len()) {
                    let number = index + 1;
                    return Err(format!(
                        "message {number}: the chat template ignores `{key}`; remove it, or write it into the content"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The error of a conversation that a template does not take.
pub(super) fn refused(what: &str) -> String {
    format!("the chat template refuses it: {what}")
}

/// Messages as values for a template.
pub(super) fn values(messages: &[Message]) -> Vec<Value> {
    messages.iter().map(value).collect()
}

fn value(message: &Message) -> Value {
    let texts = [("role", &message.role), ("content", &message.content)];
    let texts = texts.map(|(key, text)| (key.to_owned(), serde_json::Value::from(text.as_str())));
    let all: serde_json::Map<_, _> = texts.into_iter().chain(message.fields.clone()).collect();
    Value::from(Serde(all))
}

/// `raise_exception`, which a template calls to reject a conversation.
fn refuse(reason: &str) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, reason.to_owned()))
}

/// The message of an error: the template's own, or minijinja's with the line.
fn describe(error: &Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match (error.kind(), error.line()) {
        (ErrorKind::OutOfFuel, _) => limits::too_many_steps(),
        (ErrorKind::InvalidOperation, _) | (_, None) => what,
        (_, Some(line)) => format!("{what} (line {line} of the template)"),
    }
}

/// Replaces `{% generation %}`, with which templates mark the assistant's tokens and which prints nothing, by a
/// condition that is always true. White space around it behaves alike.
fn without_generation_tags(source: &str) -> String {
    let tag = |name: &str| {
        Regex::new(&format!(r"(\{{%[-+]*\s*){name}(\s*[-+]*%\}})")).expect("a regular expression")
    };
    let begun = tag("generation").replace_all(source, "${1}if true$2");
    tag("endgeneration").replace_all(&begun, "${1}endif$2").into_owned()
}
