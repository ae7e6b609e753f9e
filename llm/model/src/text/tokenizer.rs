//! A model's tokenizer, with its chat template and special tokens.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokensieve_base::files::read_text;
use tokensieve_base::panics::caught;

use super::Moment;
use super::added;
use super::chat_template::ChatTemplate;
use super::conversation::Message;
use super::ending::Ending;
use super::extras::Extras;
use super::growth;
use super::source::{BuiltTokenizer, TokenizerSource};
use super::template::Template;
use super::trial::{self, WORD};
use crate::Error;
use crate::Result;
use crate::weights::{Checkpoint, LARGEST_JSON};

/// Converts text to tokens and back, and conversations to text.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    /// Without a post-processor, because a chat template writes special tokens itself.
    inner: tokenizers::Tokenizer,
    /// The tokens that the post-processor would put before a text, usually the beginning-of-text token.
    leading: Vec<u32>,
    template: Option<Template>,
    ending: Ending,
    /// That of conversations with tools.
    tool_ending: Ending,
    eos: Vec<u32>,
    /// The sources of the templates, and the special tokens that they can write.
    sources: String,
    /// The model's vocabulary size, if known.
    vocabulary: Option<u32>,
    /// The file that errors name.
    path: PathBuf,
}

impl Tokenizer {
    /// The tokenizer of a checkpoint. Text with a token outside the model's vocabulary is an error. Templates that
    /// print today's date print a fixed one, so that the text does not depend on the day.
    pub fn open(checkpoint: &Checkpoint) -> Result<Self> {
        Self::open_on(checkpoint, Moment::default())
    }

    /// [`Tokenizer::open`] with another date and time for templates.
    pub fn open_on(checkpoint: &Checkpoint, moment: Moment) -> Result<Self> {
        let tokenizer = match checkpoint.tokenizer_source()? {
            TokenizerSource::Folder(folder) => Self::from_folder(folder, checkpoint.template(), moment)?,
            TokenizerSource::Built(built) => {
                Self::from_built(*built, checkpoint.template(), moment, checkpoint.source())?
            }
        };
        Ok(tokenizer.with_vocab_size(checkpoint.config().vocab_size as u32))
    }

    /// This tokenizer with the vocabulary size of its model: text with a token beyond it is an error.
    #[must_use]
    pub fn with_vocab_size(self, vocabulary: u32) -> Self {
        Self { vocabulary: Some(vocabulary), ..self }
    }

    fn from_built(
        built: BuiltTokenizer,
        template: Option<&ChatTemplate>,
        moment: Moment,
        path: &str,
    ) -> Result<Self> {
        let named = [
            ("bos_token", built.bos),
            ("eos_token", built.eos),
            ("unk_token", built.unk),
            ("pad_token", built.pad),
        ];
        let tokens = named.into_iter().filter_map(|(name, token)| Some((name.to_owned(), token?))).collect();
        let extras = Extras {
            tokens,
            template: built.chat_template,
            tool_use: built.tool_use,
            add_bos: built.add_bos,
            moment,
            ..Extras::default()
        };
        Self::new(built.tokenizer, extras.with_chosen(template), path)
    }

    /// Reads `tokenizer.json` and, where they exist, `tokenizer_config.json`, `special_tokens_map.json`,
    /// `added_tokens.json`, `chat_template.jinja`, `additional_chat_templates/tool_use.jinja`, and
    /// `generation_config.json`. `template` replaces the model's own.
    pub fn from_folder(
        folder: impl AsRef<Path>,
        template: Option<&ChatTemplate>,
        moment: Moment,
    ) -> Result<Self> {
        let path = folder.as_ref().join("tokenizer.json");
        if !path.is_file() {
            return Err(Error::file(
                &path,
                "is missing; transformers converts a tokenizer.model to it: \
                 AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
            ));
        }
        let text = read_text(&path, LARGEST_JSON)?;
        growth::check(&text).map_err(|what| Error::file(&path, what))?;
        // The library panics on some files that are no tokenizers.
        let mut inner = caught(|| text.parse::<tokenizers::Tokenizer>())
            .ok_or_else(|| Error::file(&path, "is not a tokenizer that the library `tokenizers` can read"))?
            .map_err(|error| Error::file(&path, error))?;
        // Of other files' tokens alone no text is made.
        if inner.get_vocab_size(false) == 0 {
            return Err(Error::file(&path, "has no vocabulary; copy the file again"));
        }
        let extras = Extras { moment, ..Extras::of_folder(folder.as_ref())? };
        caught(|| added::add(&mut inner, folder.as_ref())).ok_or_else(|| {
            Error::file(&path, "the library `tokenizers` cannot add the tokens of the folder's other files")
        })??;
        Self::new(inner, extras.with_chosen(template), &path)
    }

    /// Builds a tokenizer from its parts. Errors name `path`.
    pub fn new(mut inner: tokenizers::Tokenizer, extras: Extras, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let wrong = |error: tokenizers::Error| Error::file(path, error);
        // Padding may be of any length.
        inner.with_padding(None).with_truncation(None).map_err(wrong)?;
        let named = |name: &str| extras.tokens.get(name).and_then(|token| inner.token_to_id(token));
        // The library panics where the post-processor adds a token that it does not describe.
        let mut leading = caught(|| leading(&inner))
            .ok_or_else(|| Error::file(path, "the library `tokenizers` cannot apply its post-processor"))?
            .map_err(wrong)?;
        if leading.is_empty() && extras.add_bos {
            leading.extend(named("bos_token"));
        }
        let mut eos: Vec<u32> = named("eos_token").into_iter().chain(extras.eos).collect();
        // The post-processor also trims spaces from the tokens' offsets, which would hide where a response begins.
        inner.with_post_processor(None::<tokenizers::PostProcessorWrapper>);
        let sources = format!("{:?}", (&extras.template, &extras.tool_use, &extras.tokens));
        let (tokens, moment) = (extras.tokens, extras.moment);
        let template = extras.template.map(|source| Template::new(&source, tokens, moment)).transpose();
        let template = match (template.map_err(|what| Error::file(path, what))?, &extras.tool_use) {
            (Some(template), Some(source)) => Some(template.with_tool_use(source)),
            (template, _) => template,
        };
        let special = endings(&inner, &eos);
        let of = |tools: &[Value]| Ending::of(template.as_ref()?, tools, &special);
        let ending = of(&[]).unwrap_or_default();
        let has_own = template.as_ref().is_some_and(Template::has_tool_use);
        let tool_ending = has_own.then(|| of(&[trial::tool()])).flatten().unwrap_or_else(|| ending.clone());
        // Generation also stops at the end-of-turn token, where that differs from the end-of-text token.
        let turn = inner.encode(ending.turn.as_str(), false).map_err(wrong)?;
        let turn = turn
            .get_ids()
            .last()
            .filter(|id| inner.get_added_vocabulary().is_special_token(&token(&inner, **id)));
        eos.extend(turn);
        let mut seen = std::collections::BTreeSet::new();
        eos.retain(|id| seen.insert(*id));
        let path = path.to_owned();
        Ok(Self { inner, leading, template, ending, tool_ending, eos, sources, vocabulary: None, path })
    }

    /// The tokens of a text. Special tokens are recognised in it; none are added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false);
        let encoding = encoding.map_err(|error| Error::file(&self.path, self.explain(text, &error)))?;
        self.check(encoding.get_ids()).map_err(|what| Error::file(&self.path, what))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Why a text has no tokens: its first character that has none, or the tokenizer's own reason.
    fn explain(&self, text: &str, error: &tokenizers::Error) -> String {
        let unknown = |c: &char| self.inner.encode_fast(c.to_string(), false).is_err();
        let unknown = text.chars().find(unknown);
        unknown.map_or_else(|| error.to_string(), |c| format!("the tokenizer has no token for `{c}`"))
    }

    /// Checks that the tokens are in the model's vocabulary.
    pub(super) fn check(&self, tokens: &[u32]) -> Result<(), String> {
        let vocabulary = self.vocabulary.unwrap_or(u32::MAX);
        tokens.iter().find(|id| **id >= vocabulary).map_or(Ok(()), |id| {
            let text = token(&self.inner, *id);
            Err(format!(
                "the tokenizer maps `{text}` to token {id}, but the model's vocabulary has only {vocabulary} tokens"
            ))
        })
    }

    /// The tokens of a text, and the byte range of each. Blanks that a special token takes in beside it are not its own.
    pub(super) fn encode_with_places(&self, text: &str) -> Result<(Vec<u32>, Vec<Range<usize>>), String> {
        let encoding = self.inner.encode(text, false).map_err(|error| self.explain(text, &error))?;
        let added = self.inner.get_added_vocabulary().get_added_tokens_decoder();
        let own = |(id, (start, end)): (&u32, &(usize, usize))| {
            let special = added.get(id).filter(|token| token.special).map(|token| token.content.as_str());
            let within = special.and_then(|own| Some((text.get(*start..*end)?.find(own)?, own.len())));
            within.map_or(*start..*end, |(at, length)| start + at..start + at + length)
        };
        let places = encoding.get_ids().iter().zip(encoding.get_offsets()).map(own).collect();
        Ok((encoding.get_ids().to_vec(), places))
    }

    /// The text of tokens, special tokens included.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.inner.decode(tokens, false).map_err(|error| Error::file(&self.path, error))
    }

    /// A token's text, with the spaces before it if it has some; `None` for special tokens.
    pub fn text_of(&self, token: u32) -> Option<String> {
        let piece = self.inner.id_to_token(token)?;
        if self.inner.get_added_vocabulary().is_special_token(&piece) {
            return None;
        }
        let text = self.decode(&[token]).ok()?;
        // SentencePiece decoders drop a space at the beginning of a text.
        let leading = |text: &str, blank: char| text.chars().take_while(|c| *c == blank).count();
        let dropped = leading(&piece, '▁').saturating_sub(leading(&text, ' '));
        Some(" ".repeat(dropped) + &text)
    }

    /// The special token that is written so.
    pub fn special_token(&self, text: &str) -> Option<u32> {
        let token = self.inner.token_to_id(text)?;
        self.inner.get_added_vocabulary().is_special_token(text).then_some(token)
    }

    /// The part of the text that each token contributes, special tokens included; concatenated, the parts equal
    /// [`Tokenizer::decode`]. Where several tokens form one character, it belongs to the last.
    pub fn pieces(&self, tokens: &[u32]) -> Result<Vec<String>> {
        let wrong = |error| Error::file(&self.path, error);
        let mut stream = self.inner.decode_stream(false);
        let mut pieces = Vec::with_capacity(tokens.len());
        let mut start = 0;
        for (at, token) in tokens.iter().enumerate() {
            match stream.step(*token).map_err(wrong)? {
                Some(piece) => {
                    pieces.push(piece);
                    start = at + 1;
                }
                // The bytes do not form a character yet, and at the end never will.
                None if at + 1 == tokens.len() => pieces.push(self.decode(&tokens[start..])?),
                None => pieces.push(String::new()),
            }
        }
        Ok(pieces)
    }

    /// The text of messages by the chat template, followed by the beginning of an assistant's turn if
    /// `add_generation_prompt`. `tools` are the functions that the model can call.
    pub fn render(
        &self,
        messages: &[Message],
        tools: &[Value],
        add_generation_prompt: bool,
    ) -> Result<String> {
        let Some(template) = &self.template else {
            return Err(Error::file(&self.path, NO_TEMPLATE));
        };
        template.render(messages, tools, add_generation_prompt).map_err(|what| {
            Error::file(&self.path, template.refused(messages, tools, add_generation_prompt, &what))
        })
    }

    /// The prompt for the model's answer to a conversation. Turns and fields that the chat template would ignore are
    /// errors.
    pub fn chat_prompt(&self, messages: &[Message], tools: &[Value]) -> Result<Vec<u32>> {
        self.encode(&self.prompt(messages, tools)?)
    }

    /// The prompt for an answer without reasoning: [`Tokenizer::chat_prompt`], and how the chat template begins an answer.
    pub fn answer_prompt(&self, messages: &[Message]) -> Result<Vec<u32>> {
        self.encode(&self.answer_start(messages)?.concat())
    }

    /// The text of the generation prompt, and what the chat template writes between that and an answer's own words, such as
    /// an empty block of reasoning: for most templates nothing.
    pub fn answer_start(&self, messages: &[Message]) -> Result<[String; 2]> {
        let prompt = self.prompt(messages, &[])?;
        let answered = [messages, &[Message::new("assistant", WORD)]].concat();
        let text = self.render(&answered, &[], false).unwrap_or_default();
        let before = text.strip_prefix(&prompt).and_then(|answer| Some(&answer[..answer.find(WORD)?]));
        // A blank is part of the word that follows it.
        let start = before.unwrap_or_default().trim_end_matches(' ').to_owned();
        Ok([prompt, start])
    }

    fn prompt(&self, messages: &[Message], tools: &[Value]) -> Result<String> {
        let checked = self.template.as_ref().map_or(Ok(()), |template| template.check(messages, tools, true));
        checked.map_err(|what| Error::file(&self.path, what))?;
        self.render(messages, tools, true)
    }

    /// The prompt for the continuation of a text.
    pub fn plain_prompt(&self, text: &str) -> Result<Vec<u32>> {
        Ok([self.leading(), &self.encode(text)?].concat())
    }

    /// The tokens at which generation stops; the first is the end-of-text token.
    pub fn eos(&self) -> &[u32] {
        &self.eos
    }

    /// The tokens before every plain text: the beginning-of-text token, or none.
    pub fn leading(&self) -> &[u32] {
        &self.leading
    }

    /// The chat template, if the model has one.
    pub fn template(&self) -> Option<&Template> {
        self.template.as_ref()
    }

    /// The underlying tokenizer of the `tokenizers` crate.
    pub fn inner(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }

    /// The file that errors name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of all on which prompts and the ends of replies depend: the tokenizer, the chat template with its special
    /// tokens, and the end-of-text tokens; not of the date that a template prints.
    pub fn hash(&self) -> Result<String> {
        let inner = self.inner.to_string(false).map_err(|error| Error::file(&self.path, error))?;
        let all = format!("{inner}{}{:?}{:?}", self.sources, self.leading, self.eos);
        Ok(format!("{:x}", Sha256::digest(all)))
    }

    pub(super) fn ending(&self, tools: &[Value]) -> &Ending {
        if tools.is_empty() { &self.ending } else { &self.tool_ending }
    }
}

/// The error of a conversation for a model without a chat template.
pub(super) const NO_TEMPLATE: &str =
    "the model has no chat template: choose one (`model.chat_template`, --chat-template), `plain` or a file";

/// The tokens that the post-processor puts before a text.
fn leading(inner: &tokenizers::Tokenizer) -> tokenizers::Result<Vec<u32>> {
    // A tokenizer of characters may lack any one of them.
    let known = || inner.get_vocab(false).into_iter().min_by_key(|(_, id)| *id).map(|(token, _)| token);
    let text = if inner.encode("a", false).is_ok() { Some("a".to_owned()) } else { known() };
    let [with, without] = [true, false].map(|special| inner.encode(text.as_deref().unwrap_or("a"), special));
    let (with, without) = (with?, without?);
    let at = with.get_ids().windows(without.len().max(1)).position(|part| part == without.get_ids());
    Ok(with.get_ids()[..at.unwrap_or(0)].to_vec())
}

/// The texts that can end a turn: those of special tokens, and those of other added tokens, used if no special token
/// occurs.
fn endings(inner: &tokenizers::Tokenizer, eos: &[u32]) -> [Vec<String>; 2] {
    let added = inner.get_added_tokens_decoder();
    let (special, other): (Vec<_>, Vec<_>) =
        added.into_iter().partition(|(id, token)| token.special || eos.contains(id));
    let texts = |tokens: Vec<(u32, tokenizers::AddedToken)>| {
        tokens.into_iter().map(|(_, token)| token.content).collect()
    };
    [texts(special), texts(other)]
}

fn token(inner: &tokenizers::Tokenizer, id: u32) -> String {
    inner.id_to_token(id).unwrap_or_default()
}
