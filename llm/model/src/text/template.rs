//! Chat templates: Jinja as `transformers` runs it, so that a conversation becomes the very text a model was trained on.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, context};

use super::Moment;
use super::conversation::{Message, READ_BY_MODEL};
use super::python;

/// A compiled chat template.
#[derive(Clone, Debug)]
pub struct Template {
    environment: Environment<'static>,
    /// Special tokens by role (`bos_token`, …), which templates may name.
    tokens: Value,
}

/// The template's name within its environment.
const NAME: &str = "chat";

impl Template {
    /// Compiles a template. `tokens`: special tokens by their names in the tokenizer's configuration, `bos_token` say.
    /// `moment` is what the template's `strftime_now` takes for now.
    pub fn new(
        source: &str,
        tokens: impl IntoIterator<Item = (String, String)>,
        moment: Moment,
    ) -> Result<Self, String> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| error.to_string())?);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        // As jinja2's own Undefined: prints as nothing, has no attributes.
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_unknown_method_callback(python::method);
        environment.set_formatter(python::print);
        environment.add_filter("tojson", python::tojson);
        environment.add_filter("trim", python::trim);
        environment.add_function("raise_exception", refuse);
        environment.add_function("strftime_now", move |format: &str| moment.strftime(format));
        environment
            .add_template_owned(NAME, without_generation_tags(source))
            .map_err(|error| format!("the chat template cannot be read: {}", describe(&error)))?;
        Ok(Self { environment, tokens: tokens.into_iter().collect::<BTreeMap<String, String>>().into() })
    }

    /// The text of the messages, ending where an assistant's turn begins if `add_generation_prompt`. `tools` are the
    /// functions that the model may call.
    pub fn render(
        &self,
        messages: &[Message],
        tools: &[serde_json::Value],
        add_generation_prompt: bool,
    ) -> Result<String, String> {
        self.render_values(values(messages), tools, add_generation_prompt)
    }

    /// The same of messages made ready once by [`values`].
    pub(super) fn render_values(
        &self,
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
        self.environment
            .get_template(NAME)
            .and_then(|template| template.render(variables))
            .map_err(|error| describe(&error))
    }

    /// Sees that what a model has to read besides the texts makes a difference: a turn's calls and reasoning when it is the
    /// last one, or in the whole conversation (templates leave out earlier thinking), and the tools.
    pub(super) fn check(&self, messages: &[Message], tools: &[serde_json::Value]) -> Result<(), String> {
        let whole = values(messages);
        let text = |messages: &[Value], tools: &[serde_json::Value]| {
            self.render_values(messages.to_vec(), tools, false)
        };
        if !tools.is_empty() && text(&whole, tools) == text(&whole, &[]) {
            return Err(
                "the chat template ignores `tools`; take them out, or train a model that knows them".into()
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
                        "message {number}: the chat template ignores `{key}`; take it out, or write it into the content"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Messages as a template sees them.
pub(super) fn values(messages: &[Message]) -> Vec<Value> {
    messages.iter().map(value).collect()
}

fn value(message: &Message) -> Value {
    let texts = [("role", &message.role), ("content", &message.content)];
    let texts = texts.map(|(key, text)| (key.to_owned(), serde_json::Value::from(text.as_str())));
    let all: serde_json::Map<_, _> = texts.into_iter().chain(message.fields.clone()).collect();
    Value::from(Serde(all))
}

/// What a template calls when it does not want a conversation.
fn refuse(reason: &str) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, reason.to_owned()))
}

/// An error in words for people: the template's own, or minijinja's with the line.
fn describe(error: &Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match (error.kind(), error.line()) {
        (ErrorKind::InvalidOperation, _) | (_, None) => what,
        (_, Some(line)) => format!("{what} (line {line} of the template)"),
    }
}

/// `{% generation %}` marks what transformers calls the assistant's tokens and prints nothing itself. A condition that
/// always holds does the same here, white space around it included.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let Some(length) = tag.find("%}").map(|end| end + 2) else {
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(length);
        let inner = tag[2..length - 2].trim_matches(['-', '+']);
        match inner.trim() {
            "generation" => out.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => out.push_str(&tag.replace("endgeneration", "endif")),
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out + rest
}
