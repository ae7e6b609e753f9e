//! What of a conversation is trained on.
//!
//! The prompt of an assistant's turn is what the template writes for the messages before it, with its generation prompt:
//! the very text that the model sees when it is to answer. The response is what follows that text once the turn is
//! there, up to and including the token that ends the turn; what a template writes after that (a line break, an end of
//! text) is not the model's to say.
//!
//! The text is tokenised once, whole, and the borders are found by the tokens' places in it: a token with at least one
//! character of the response belongs to the response. Where no token reaches across the border, its tokens are those of
//! the prompt alone, followed by the response's.
//!
//! An assistant's turn before anybody has asked (a greeting; the rest of a longer conversation, in `ShareGPT`'s sets) is
//! context: no prompt leads to it.
//!
//! Some templates write earlier turns differently once later ones follow (Qwen3 drops their thinking). Such a
//! conversation becomes several documents: each turn is trained on after the text that the model would see before it.

use std::ops::Range;

use serde_json::Value;

use super::conversation::{Conversation, Message, Span, Weights, has_answer, trained_turns};
use super::template::{self, Template};
use super::tokenizer::{NO_TEMPLATE, Tokenizer};
use crate::Document;
use crate::Error;
use crate::Precomputed;
use crate::Result;

/// Said of a row with answers that do not count.
const NO_WEIGHT: &str = "all of its weights are 0";

/// A turn that is trained on, written out.
struct Turn<'a> {
    /// Everything up to the end of the turn.
    text: String,
    /// Where the response begins.
    start: usize,
    message: &'a Message,
    /// The message's number, from 1.
    number: usize,
}

impl Tokenizer {
    /// A row as one document, with what is trained on weighted. `row` is its number in the data set.
    ///
    /// A conversation that the template cannot write as one document (see [`Tokenizer::documents`]) is an error.
    pub fn document(&self, conversation: &Conversation, row: usize) -> Result<Document> {
        let mut documents = self.documents(conversation, row)?;
        match (documents.pop(), documents.is_empty()) {
            (Some(document), true) => Ok(document),
            _ => Err(Error::file(
                self.path(),
                "its chat template writes earlier turns differently when later ones follow",
            )),
        }
    }

    /// A row as documents: one, or one for each of those turns that the template writes differently once others follow.
    pub fn documents(&self, conversation: &Conversation, row: usize) -> Result<Vec<Document>> {
        self.try_documents(conversation, row).map_err(|reason| Error::file(self.path(), reason))
    }

    /// The same; the error is the reason alone.
    pub fn try_documents(&self, conversation: &Conversation, row: usize) -> Result<Vec<Document>, String> {
        let mut documents = match conversation {
            Conversation::Chat { messages, tools } => self.chat(messages, tools)?,
            Conversation::Plain { prompt, completion } => vec![self.plain(prompt, completion)?],
        };
        for document in &mut documents {
            self.check(&document.tokens)?;
            document.row = row;
            // Nothing predicts the first token.
            if let Some(first) = document.weights.first_mut() {
                *first = 0.0;
            }
        }
        documents.retain(|document| document.response_tokens() > 0);
        for (index, document) in documents.iter_mut().enumerate() {
            document.index_in_row = index;
        }
        if documents.is_empty() { Err(NO_WEIGHT.to_owned()) } else { Ok(documents) }
    }

    fn chat(&self, messages: &[Message], tools: &[Value]) -> Result<Vec<Document>, String> {
        let mut turns = self.turns(messages, tools)?;
        let mut documents = Vec::new();
        while let Some(last) = turns.pop() {
            let (mut within, others): (Vec<_>, Vec<_>) =
                turns.into_iter().partition(|turn| last.text.starts_with(turn.text.as_str()));
            turns = others;
            within.push(last);
            let text = &within[within.len() - 1].text;
            let (tokens, places) = self.encode_with_places(text)?;
            let mut weights = vec![0.0; tokens.len()];
            for turn in &within {
                let response = turn.start..turn.text.len();
                let content =
                    response.start..response.end.saturating_sub(self.ending().turn.len()).max(response.start);
                weigh(turn.message, &turn.text, &response, &content, &places, &mut weights)
                    .map_err(|what| format!("message {}: {what}", turn.number))?;
            }
            documents.push(Document {
                row: 0,
                index_in_row: 0,
                tokens,
                weights,
                precomputed: Precomputed::default(),
            });
        }
        documents.reverse();
        Ok(documents)
    }

    /// The turns that are trained on, in order.
    fn turns<'a>(&self, messages: &'a [Message], tools: &[Value]) -> Result<Vec<Turn<'a>>, String> {
        let Some(template) = self.template() else {
            return Err(format!("{NO_TEMPLATE}, or give prompt and completion as plain texts"));
        };
        template.check(messages, tools)?;
        let values = template::values(messages);
        let render = |count: usize, prompt: bool| {
            let text = template.render_values(values[..count].to_vec(), tools, prompt);
            text.map_err(|what| format!("the chat template refuses it: {what}"))
        };
        let mut turns = Vec::new();
        for index in trained_turns(messages) {
            let (message, number) = (&messages[index], index + 1);
            if message.is_empty() {
                return Err(format!("message {number}: the response is empty"));
            }
            let prompt = render(index, true)?;
            let mut text = render(number, false)?;
            if !text.starts_with(&prompt) {
                return Err(format!(
                    "message {number}: the chat template does not write this turn after its own generation prompt, \
                     so that what the model would see before it is not known"
                ));
            }
            if text.ends_with(&self.ending().after) && text.len() - self.ending().after.len() >= prompt.len()
            {
                text.truncate(text.len() - self.ending().after.len());
            }
            turns.push(Turn { text, start: prompt.len(), message, number });
        }
        if turns.is_empty() {
            let what = if has_answer(messages) { NO_WEIGHT } else { "has no assistant's answer to train on" };
            return Err(what.to_owned());
        }
        Ok(turns)
    }

    fn plain(&self, prompt: &str, completion: &Message) -> Result<Document, String> {
        if completion.content.is_empty() {
            return Err("there is no text to train on: it is empty".to_owned());
        }
        let text = format!("{prompt}{}", completion.content);
        let (mut tokens, mut places) = self.encode_with_places(&text)?;
        let eos = self.eos().first().filter(|_| tokens.last().is_none_or(|last| !self.eos().contains(last)));
        if let Some(eos) = eos {
            tokens.push(*eos);
            places.push(text.len()..text.len() + 1);
        }
        let mut weights = vec![0.0; tokens.len()];
        let (response, content) = (prompt.len()..text.len() + 1, prompt.len()..text.len());
        weigh(completion, &text, &response, &content, &places, &mut weights)?;
        let leading = self.leading().len();
        tokens.splice(0..0, self.leading().iter().copied());
        weights.splice(0..0, std::iter::repeat_n(0.0, leading));
        Ok(Document { row: 0, index_in_row: 0, tokens, weights, precomputed: Precomputed::default() })
    }
}

/// Sets the weights of a response's tokens. `content` is where, in `text`, the message's own words lie within it, at its
/// end.
fn weigh(
    message: &Message,
    text: &str,
    response: &Range<usize>,
    content: &Range<usize>,
    places: &[Range<usize>],
    weights: &mut [f32],
) -> Result<(), String> {
    let among = |place: &Range<usize>, range: &Range<usize>| {
        // A token without a character of its own (a space that the tokenizer puts in) lies where it lies.
        (place.end > range.start || (place.is_empty() && place.start >= range.start))
            && place.start < range.end
    };
    let tokens: Vec<usize> = (0..places.len()).filter(|i| among(&places[*i], response)).collect();
    match &message.weights {
        Weights::All(weight) => tokens.iter().for_each(|i| weights[*i] = *weight),
        Weights::Tokens(given) => {
            let own = tokens.iter().filter(|i| places[**i].start < content.end).count();
            if given.len() != own && given.len() != tokens.len() {
                return Err(format!(
                    "`weights` has {} entries, but the response has {own} tokens ({} with the end of the turn)",
                    given.len(),
                    tokens.len()
                ));
            }
            let given = given.iter().copied().chain(std::iter::repeat(1.0));
            tokens.iter().zip(given).for_each(|(i, weight)| weights[*i] = weight);
        }
        Weights::Spans(spans) => {
            let (words, cut) = written(message, &text[content.clone()])?;
            let start = content.end - words.len();
            let spans = spans_in_bytes(spans, &message.content)?;
            for i in tokens {
                let place = &places[i];
                let inside = place.start < content.end && place.end > start;
                // Where the token's first character lies in the message, a leading space not counted.
                let own = text.get(place.start.max(start)..place.end.min(content.end)).unwrap_or_default();
                let space = if own.trim_start().is_empty() { 0 } else { own.len() - own.trim_start().len() };
                let at = (place.start.max(start) + space + cut).wrapping_sub(start);
                let span = spans.iter().find(|(bytes, _)| inside && bytes.contains(&at));
                weights[i] = span.map_or(1.0, |(_, weight)| *weight);
            }
        }
    }
    Ok(())
}

/// The message as the template wrote it, and how many bytes it cut off at the front.
fn written<'a>(message: &'a Message, content: &str) -> Result<(&'a str, usize), String> {
    let whole = message.content.as_str();
    let trimmed = whole.trim();
    let candidates = [whole, whole.trim_start(), whole.trim_end(), trimmed];
    let found = candidates.into_iter().find(|words| content.ends_with(words));
    let words = found.ok_or("the chat template changes the response, so that `spans` have no place in it")?;
    Ok((
        words,
        if words.len() < whole.len() && !whole.starts_with(words) {
            whole.len() - whole.trim_start().len()
        } else {
            0
        },
    ))
}

/// Spans as bytes of the text.
fn spans_in_bytes(spans: &[Span], text: &str) -> Result<Vec<(Range<usize>, f32)>, String> {
    let bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let place = |span: &Span| match (bytes.get(span.start), bytes.get(span.end)) {
        (Some(start), Some(end)) if start < end => Ok((*start..*end, span.weight)),
        _ => Err(format!(
            "the span from {} to {} is not within the {} characters of the response",
            span.start,
            span.end,
            bytes.len() - 1
        )),
    };
    let mut places = spans.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    places.sort_by_key(|(range, _)| range.start);
    if places.windows(2).any(|pair| pair[0].0.end > pair[1].0.start) {
        return Err("its spans overlap".to_owned());
    }
    Ok(places)
}
