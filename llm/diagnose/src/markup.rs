//! What of a text is no text: the model's special tokens, and marks of chat templates.

use std::collections::HashSet;

use tokensieve_documents::estimates::TokenRecord;
use tokensieve_model::text::Tokenizer;

/// Marks of chat templates.
const MARKS: [&str; 16] = [
    "<|im_start|>",
    "<|im_end|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|begin_of_text|>",
    "<|endoftext|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<|assistant|>",
    "<|user|>",
    "### Response:",
    "### Instruction:",
];

/// A model's special tokens, and the marks that are not its own.
pub(crate) struct Markup {
    special: HashSet<u32>,
    foreign: Vec<&'static str>,
}

impl Markup {
    /// A mark is the model's own if it is one of its special tokens, or if its chat template writes it.
    pub(crate) fn of(tokenizer: &Tokenizer) -> Self {
        let added = tokenizer.inner().get_added_vocabulary();
        let special = added.get_added_tokens_decoder().iter().filter(|(_, token)| token.special);
        let written: Vec<String> =
            tokenizer.template().into_iter().flat_map(|template| template.examples(&[])).collect();
        let is_own =
            |mark: &str| added.is_special_token(mark) || written.iter().any(|text| text.contains(mark));
        Self {
            special: special.map(|(id, _)| *id).collect(),
            foreign: MARKS.into_iter().filter(|mark| !is_own(mark)).collect(),
        }
    }

    /// Whether a token, of the prompt or of the response, is a special one.
    pub(crate) fn is_special(&self, token: &TokenRecord) -> bool {
        self.special.contains(&token.id)
    }

    /// The marks that are text to the model.
    pub(crate) fn foreign(&self) -> impl Iterator<Item = &'static str> {
        self.foreign.iter().copied()
    }

    /// With these special tokens, and all marks but those that are named.
    #[cfg(test)]
    pub(crate) fn example(special: &[u32], own: &[&str]) -> Self {
        let foreign = MARKS.into_iter().filter(|mark| !own.contains(mark)).collect();
        Self { special: special.iter().copied().collect(), foreign }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use tokensieve_model::text::{ChatTemplate, Moment};

    use super::*;

    fn foreign(template: Option<&ChatTemplate>) -> Vec<&'static str> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tokenizer");
        Markup::of(&Tokenizer::from_folder(folder, template, Moment::default()).unwrap()).foreign().collect()
    }

    #[test]
    fn marks_that_the_chosen_template_writes_are_the_models_own() {
        let folder = tempfile::tempdir().unwrap();
        let chosen = |source: &str| {
            let path = folder.path().join("template.jinja");
            fs::write(&path, source).unwrap();
            ChatTemplate::read(path.to_str().unwrap()).unwrap()
        };
        let alpaca = chosen(
            "{% for m in messages %}### {{ 'Response' if m.role == 'assistant' else 'Instruction' }}:\n\
             {{ m.content }}\n\n{% endfor %}",
        );
        // It takes no conversation without a system message.
        let llama = chosen(
            "{% if messages[0].role != 'system' %}{{ raise_exception('no system message') }}{% endif %}\
             [INST] <<SYS>>{{ messages[0].content }}<</SYS>> {{ messages[1].content }} [/INST] \
             {{ messages[2].content }}",
        );
        let all_but = |own: &[&str]| MARKS.into_iter().filter(|mark| !own.contains(mark)).collect::<Vec<_>>();
        let special = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"];
        assert_eq!(foreign(None), all_but(&special));
        let own = [&special[..], &["### Response:", "### Instruction:"]].concat();
        assert_eq!(foreign(Some(&alpaca)), all_but(&own));
        let own = [&special[..], &["[INST]", "[/INST]", "<<SYS>>"]].concat();
        assert_eq!(foreign(Some(&llama)), all_but(&own));
    }
}
