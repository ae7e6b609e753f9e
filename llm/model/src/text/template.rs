//! Chat templates: Jinja with the behaviour of `transformers`, so that a conversation becomes exactly the text that the
//! model was trained on.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, context};
use regex::Regex;
use serde_json::{Value as Json, json};

use super::conversation::Message;
use super::limits::{self, FUEL, Limited};
use super::{Moment, python, trial};

/// A compiled chat template.
#[derive(Clone, Debug)]
pub struct Template {
    environment: Environment<'static>,
    /// Special tokens by role (`bos_token`, …), as variables of the template.
    tokens: Value,
    default: Source,
    /// The second template, for conversations with tools, if there is one; where it cannot be read, why.
    tool_use: Option<Result<Source, String>>,
}

/// One of the sources in the environment.
#[derive(Clone, Debug)]
pub(super) struct Source {
    name: &'static str,
    /// Whether it takes the arguments of calls as objects; determined when first asked.
    takes_objects: OnceLock<bool>,
}

impl Source {
    const fn new(name: &'static str) -> Self {
        Self { name, takes_objects: OnceLock::new() }
    }
}

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
        environment.add_filter("indent", python::indent);
        environment.add_filter("join", python::join);
        environment.add_filter("string", python::string);
        environment.add_filter("tojson", python::tojson);
        environment.add_filter("trim", python::trim);
        environment.add_test("iterable", python::is_iterable);
        environment.add_test("sequence", python::is_sequence);
        environment.add_function("raise_exception", refuse);
        let strftime_now = move |format: &str| moment.strftime(format).map_err(invalid);
        environment.add_function("strftime_now", strftime_now);
        let tokens = tokens.into_iter().collect::<BTreeMap<String, String>>().into();
        let mut template = Self { environment, tokens, default: Source::new("default"), tool_use: None };
        template.add(template.default.name, source)?;
        Ok(template)
    }

    /// With a second template, which writes conversations with tools. Where it cannot be read, they are an error.
    pub(super) fn with_tool_use(mut self, source: &str) -> Self {
        let tool_use = Source::new("tool_use");
        self.tool_use = Some(self.add(tool_use.name, source).map(|()| tool_use));
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

    /// The source that writes conversations with these tools.
    pub(super) fn source(&self, tools: &[Json]) -> Result<&Source, String> {
        match &self.tool_use {
            Some(read) if !tools.is_empty() => read.as_ref().map_err(String::clone),
            _ => Ok(&self.default),
        }
    }

    /// Messages as values for the template that writes conversations with these tools.
    pub(super) fn values(&self, messages: &[Message], tools: &[Json]) -> Result<Vec<Value>, String> {
        let source = self.source(tools)?;
        let value = |message: &Message| {
            let parsed = message.with_parsed_arguments().filter(|_| self.takes_objects(source));
            parsed.as_ref().map_or_else(|| value(message), value)
        };
        Ok(messages.iter().map(value).collect())
    }

    /// Whether the arguments of calls must be objects: of their JSON text the template would make a string, or write it
    /// within braces of its own, or not at all.
    fn takes_objects(&self, source: &Source) -> bool {
        let text = |arguments: &Json| {
            trial::calls(arguments).into_iter().find_map(|messages| {
                let messages: Vec<Value> = messages.iter().map(value).collect();
                let text = |tools: &[Json]| self.render_source(source, messages.clone(), tools, false).ok();
                text(&[trial::tool()]).or_else(|| text(&[]))
            })
        };
        *source.takes_objects.get_or_init(|| {
            let object = json!({trial::ARGUMENT: 1});
            let json = object.to_string();
            let Some(of_object) = text(&object) else { return false };
            let Some(of_text) = text(&Json::from(json.as_str())) else { return true };
            of_text.contains(&format!("\\\"{}\\\"", trial::ARGUMENT))
                || of_text.contains(&format!("{{{json}"))
                || !of_text.contains(trial::ARGUMENT) && of_object.contains(trial::ARGUMENT)
        })
    }

    /// The text of the messages, followed by the beginning of an assistant's turn if `add_generation_prompt`. `tools`
    /// are the functions that the model can call.
    pub fn render(
        &self,
        messages: &[Message],
        tools: &[Json],
        add_generation_prompt: bool,
    ) -> Result<String, String> {
        self.render_values(self.values(messages, tools)?, tools, add_generation_prompt)
    }

    /// A made-up exchange as it writes it, without and with a system message, as far as it takes them.
    pub fn examples(&self, tools: &[Json]) -> impl Iterator<Item = String> {
        trial::exchanges().into_iter().filter_map(|turns| self.render(&turns, tools, false).ok())
    }

    /// [`Template::render`] for messages already converted by [`Template::values`].
    pub(super) fn render_values(
        &self,
        messages: Vec<Value>,
        tools: &[Json],
        add_generation_prompt: bool,
    ) -> Result<String, String> {
        self.render_source(self.source(tools)?, messages, tools, add_generation_prompt)
    }

    /// [`Template::render_values`] by a source that need not be the one for these tools.
    pub(super) fn render_source(
        &self,
        source: &Source,
        messages: Vec<Value>,
        tools: &[Json],
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
            let template = self.environment.get_template(source.name)?;
            template.render_captured_to(variables, &mut text).map(drop)
        });
        rendered.map_err(|error| if text.is_full() { limits::too_long() } else { describe(&error) })?;
        text.into_text()
    }
}

fn value(message: &Message) -> Value {
    let content = message.content.as_ref().map(|text| ("content", text));
    let texts = [("role", &message.role)].into_iter().chain(content);
    let texts = texts.map(|(key, text)| (key.to_owned(), Json::from(text.as_str())));
    let all: serde_json::Map<_, _> = texts.chain(message.fields.clone()).collect();
    Value::from(Serde(all))
}

/// `raise_exception`, which a template calls to reject a conversation.
fn refuse(reason: &str) -> Result<Value, Error> {
    Err(invalid(reason.to_owned()))
}

fn invalid(what: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, what)
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

/// Replaces `{% generation %}`, with which templates mark the assistant's tokens and which prints nothing, by `with`,
/// another block whose variables end with it. White space around it behaves alike.
fn without_generation_tags(source: &str) -> String {
    let tag = |name: &str| {
        Regex::new(&format!(r"(\{{%[-+]*\s*){name}(\s*[-+]*%\}})")).expect("a regular expression")
    };
    let begun = tag("generation").replace_all(source, "${1}with$2");
    tag("endgeneration").replace_all(&begun, "${1}endwith$2").into_owned()
}
