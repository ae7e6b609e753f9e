//! Builds a tokenizer from a GGUF file's metadata.
//!
//! | `tokenizer.ggml.model` | tokenizer |
//! |---|---|
//! | `gpt2` | byte-level BPE; `tokenizer.ggml.pre` names the pre-tokenizer |
//! | `llama` | `SentencePiece` BPE with byte fallback; merges are derived from the tokens' scores |
//!
//! The parts of the tokenizer are written as in a `tokenizer.json`.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokenizers::decoders::DecoderWrapper;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::{AddedToken, Tokenizer};

use super::source::BuiltTokenizer;
use crate::Error;
use crate::Result;
use crate::weights::gguf::Gguf;

/// Values of `tokenizer.ggml.token_type` of tokens that merges never produce.
const UNKNOWN: f64 = 2.0;
const CONTROL: f64 = 3.0;
const USER_DEFINED: f64 = 4.0;

/// Llama 3's pre-tokenizer (from its tokenizer.json).
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2's pre-tokenizer (from its tokenizer.json), which splits digits.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Builds the tokenizer of a GGUF file.
pub fn read(gguf: &Gguf) -> Result<BuiltTokenizer> {
    Reader { gguf }.read()
}

struct Reader<'a> {
    gguf: &'a Gguf,
}

/// The steps before the merges, and the decoder.
#[expect(clippy::struct_excessive_bools, reason = "four independent properties")]
struct Plan {
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    decoder: Value,
    /// A word that is a token is kept whole, whatever the merges.
    ignore_merges: bool,
    /// Characters without a token are encoded as bytes.
    byte_fallback: bool,
    /// Whether special tokens include the white space after them (Phi-3).
    strip: bool,
    add_bos: bool,
}

impl<'a> Reader<'a> {
    fn wrong<T>(&self, what: impl std::fmt::Display) -> Result<T> {
        Err(Error::file(self.gguf.path(), what))
    }

    fn read(&self) -> Result<BuiltTokenizer> {
        let Some(tokens) = self.gguf.texts("tokenizer.ggml.tokens") else {
            return self.wrong("metadata tokenizer.ggml.tokens is missing: the file has no tokenizer");
        };
        let model = self.gguf.text("tokenizer.ggml.model").unwrap_or("missing");
        let gemma = matches!(self.gguf.text("general.architecture"), Some("gemma" | "gemma2"));
        let plan = match model {
            "gpt2" => self.byte_level()?,
            "llama" => self.sentence_piece(gemma),
            other => {
                return self
                    .wrong(format!("tokenizer.ggml.model is `{other}`; gpt2 and llama are supported"));
            }
        };
        // Gemma's tokens of several spaces are stored as spaces, and looked up as ▁.
        let respelled =
            |token: &String| if gemma && blank(token) { "▁".repeat(token.len()) } else { token.clone() };
        let spelled: Vec<String> = tokens.iter().map(respelled).collect();
        let vocabulary: HashMap<&str, u32> = spelled.iter().map(String::as_str).zip(0..).collect();
        if vocabulary.len() != tokens.len() {
            return self.wrong("tokenizer.ggml.tokens contains a token twice");
        }
        let merges = match self.gguf.texts("tokenizer.ggml.merges") {
            Some(merges) => self.merges(merges, &vocabulary)?,
            None if model == "gpt2" => return self.wrong("metadata tokenizer.ggml.merges is missing"),
            // Gemma's merges follow the tokens' order in the file, not their scores.
            None if gemma => derived_merges(&spelled, &vocabulary, |token| -f64::from(token)),
            None => {
                let scores =
                    self.gguf.numbers("tokenizer.ggml.scores").filter(|scores| scores.len() == tokens.len());
                let Some(scores) = scores else {
                    return self.wrong("tokenizer.ggml.scores must have one number per token");
                };
                derived_merges(&spelled, &vocabulary, |token| scores[token as usize])
            }
        };
        let special = |key: &str| self.special(key, tokens);
        let (bos, eos) = (special("bos_token_id")?, special("eos_token_id")?);
        let (unk, pad) = (special("unknown_token_id")?, special("padding_token_id")?);
        let built = self.build(&plan, &vocabulary, merges, unk.as_ref())?;
        let add_bos =
            self.gguf.truth("tokenizer.ggml.add_bos_token").unwrap_or(plan.add_bos) && bos.is_some();
        let add_eos = self.gguf.truth("tokenizer.ggml.add_eos_token").unwrap_or(false) && eos.is_some();
        let mut read = BuiltTokenizer {
            tokenizer: built,
            chat_template: self.gguf.text("tokenizer.chat_template").map(str::to_owned),
            tool_use: self.gguf.text("tokenizer.chat_template.tool_use").map(str::to_owned),
            bos,
            eos,
            unk,
            pad,
            add_bos,
            add_eos,
        };
        self.add_tokens(&mut read, tokens, &spelled, plan.strip)?;
        self.add_post_processor(&mut read)?;
        Ok(read)
    }

    fn byte_level(&self) -> Result<Plan> {
        let words = |pattern| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        let bytes = |words: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": words});
        let sequence = |first, words| json!({"type": "Sequence", "pretokenizers": [first, bytes(words)]});
        let qwen = || (Some(json!({"type": "NFC"})), sequence(words(QWEN2), false));
        let family = self.gguf.text("general.architecture").unwrap_or_default();
        let name = self.gguf.text("tokenizer.ggml.pre");
        let (normalizer, pre_tokenizer) = match name {
            Some("gpt-2" | "phi-2") => (None, bytes(true)),
            Some("smollm" | "starcoder" | "refact" | "command-r") => {
                (None, sequence(json!({"type": "Digits", "individual_digits": true}), true))
            }
            Some("llama-bpe" | "llama3" | "llama-v3" | "falcon3") => (None, sequence(words(LLAMA3), false)),
            Some("qwen2" | "deepseek-r1-qwen") => qwen(),
            // Files from before the key existed.
            None if family == "qwen2" => qwen(),
            other => {
                let known = "gpt-2, phi-2, smollm, starcoder, refact, command-r, llama-bpe, llama3, llama-v3, falcon3, qwen2, deepseek-r1-qwen";
                return self.wrong(format!(
                    "tokenizer.ggml.pre is {}; supported are {known}",
                    other.map_or("missing".into(), |other| format!("`{other}`"))
                ));
            }
        };
        let llama3 = matches!(name, Some("llama-bpe" | "llama3" | "llama-v3" | "falcon3"));
        Ok(Plan {
            normalizer,
            pre_tokenizer: Some(pre_tokenizer),
            decoder: bytes(true),
            ignore_merges: llama3,
            byte_fallback: false,
            strip: false,
            add_bos: llama3,
        })
    }

    /// As in the tokenizer.json of Llama 2 and Phi-3: a space before each piece of plain text; of Gemma: none.
    fn sentence_piece(&self, gemma: bool) -> Plan {
        let mut normalizer = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
        let mut decoders = vec![
            json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if !gemma {
            let mut normalizers = vec![normalizer];
            if self.gguf.truth("tokenizer.ggml.add_space_prefix").unwrap_or(true) {
                normalizers.insert(0, json!({"type": "Prepend", "prepend": "▁"}));
                decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
            }
            normalizer = json!({"type": "Sequence", "normalizers": normalizers});
        }
        Plan {
            normalizer: Some(normalizer),
            pre_tokenizer: None,
            decoder: json!({"type": "Sequence", "decoders": decoders}),
            ignore_merges: false,
            byte_fallback: true,
            strip: self.gguf.text("general.architecture") == Some("phi3"),
            add_bos: true,
        }
    }

    fn merges(&self, merges: &[String], vocabulary: &HashMap<&str, u32>) -> Result<Vec<(String, String)>> {
        let split = |merge: &String| {
            // A piece can begin with a space but never end with one.
            let (at, _) = merge.char_indices().skip(1).find(|(_, c)| *c == ' ')?;
            let (left, right) = (&merge[..at], &merge[at + 1..]);
            let known = |token: &str| vocabulary.contains_key(token);
            (known(left) && known(right) && known(&format!("{left}{right}")))
                .then(|| (left.to_owned(), right.to_owned()))
        };
        let one = |(i, merge)| {
            split(merge).ok_or_else(|| {
                Error::file(
                    self.gguf.path(),
                    format!("tokenizer.ggml.merges[{i}], `{merge}`, does not join two tokens into a third"),
                )
            })
        };
        merges.iter().enumerate().map(one).collect()
    }

    fn special(&self, key: &str, tokens: &'a [String]) -> Result<Option<String>> {
        let key = format!("tokenizer.ggml.{key}");
        if !self.gguf.metadata().contains_key(&key) {
            return Ok(None);
        }
        let id = self.gguf.integer(&key).and_then(|id| usize::try_from(id).ok());
        match id.and_then(|id| tokens.get(id)) {
            Some(token) => Ok(Some(token.clone())),
            None => self.wrong(format!("{key} is not the index of one of the {} tokens", tokens.len())),
        }
    }

    fn build(
        &self,
        plan: &Plan,
        vocabulary: &HashMap<&str, u32>,
        merges: Vec<(String, String)>,
        unk: Option<&String>,
    ) -> Result<Tokenizer> {
        let vocabulary: HashMap<String, u32> =
            vocabulary.iter().map(|(token, id)| ((*token).to_owned(), *id)).collect();
        let mut bpe = BPE::builder()
            .vocab_and_merges(vocabulary.into_iter().collect::<tokenizers::models::bpe::Vocab>(), merges)
            .ignore_merges(plan.ignore_merges)
            .byte_fallback(plan.byte_fallback)
            .fuse_unk(plan.byte_fallback);
        if let Some(unk) = unk.filter(|_| plan.byte_fallback) {
            bpe = bpe.unk_token(unk.clone());
        }
        let mut tokenizer =
            Tokenizer::new(bpe.build().map_err(|error| Error::file(self.gguf.path(), error))?);
        let normalizer = plan.normalizer.clone().map(part::<NormalizerWrapper>);
        tokenizer.with_normalizer(normalizer).map_err(|error| Error::file(self.gguf.path(), error))?;
        tokenizer.with_pre_tokenizer(plan.pre_tokenizer.clone().map(part::<PreTokenizerWrapper>));
        tokenizer.with_decoder(Some(part::<DecoderWrapper>(plan.decoder.clone())));
        Ok(tokenizer)
    }

    /// Registers the tokens that are recognised in the text before normalisation.
    fn add_tokens(
        &self,
        read: &mut BuiltTokenizer,
        tokens: &[String],
        spelled: &[String],
        strip: bool,
    ) -> Result<()> {
        let types = self.gguf.numbers("tokenizer.ggml.token_type").unwrap_or_default();
        let named = [&read.bos, &read.eos, &read.unk, &read.pad];
        let named: Vec<&String> = named.into_iter().flatten().collect();
        let mut added = Vec::new();
        for (i, token) in tokens.iter().enumerate() {
            let kind = types.get(i).copied().unwrap_or_default();
            let special = kind == CONTROL || kind == UNKNOWN || named.contains(&token);
            // Tokens that were respelled are produced by merges.
            if token.is_empty() || !special && (kind != USER_DEFINED || *token != spelled[i]) {
                continue;
            }
            // Phi-3's list in llama.cpp.
            let strips = strip && !["<unk>", "<s>", "<|endoftext|>"].contains(&token.as_str());
            added.push(AddedToken::from(token, special).normalized(false).rstrip(strips));
        }
        read.tokenizer.add_tokens(added).map_err(|error| Error::file(self.gguf.path(), error))?;
        Ok(())
    }

    /// Sets the post-processor, which puts `bos` and `eos` around plain text.
    fn add_post_processor(&self, read: &mut BuiltTokenizer) -> Result<()> {
        let bos = read.bos.as_ref().filter(|_| read.add_bos);
        let eos = read.eos.as_ref().filter(|_| read.add_eos);
        if bos.is_none() && eos.is_none() {
            return Ok(());
        }
        let token = |token: &String| json!({"SpecialToken": {"id": token, "type_id": 0}});
        let text = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
        let around =
            |id: &str| bos.map(token).into_iter().chain([text(id)]).chain(eos.map(token)).collect::<Vec<_>>();
        let ids: serde_json::Map<String, Value> = bos
            .into_iter()
            .chain(eos)
            .map(|token| {
                (
                    token.clone(),
                    json!({"id": token, "ids": [read.tokenizer.token_to_id(token)], "tokens": [token]}),
                )
            })
            .collect();
        let pair = around("A").into_iter().chain(around("B")).collect::<Vec<_>>();
        let template =
            json!({"type": "TemplateProcessing", "single": around("A"), "pair": pair, "special_tokens": ids});
        let template: PostProcessorWrapper =
            serde_json::from_value(template).map_err(|error| Error::file(self.gguf.path(), error))?;
        read.tokenizer.with_post_processor(Some(template));
        Ok(())
    }
}

fn blank(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte == b' ')
}

/// Every pair of tokens that joins to a third, by descending score of the result, in the order of `transformers`.
fn derived_merges(
    tokens: &[String],
    vocabulary: &HashMap<&str, u32>,
    score: impl Fn(u32) -> f64,
) -> Vec<(String, String)> {
    struct Merge<'a> {
        score: f64,
        left: &'a str,
        right: &'a str,
    }
    let mut merges = Vec::new();
    for (token, id) in tokens.iter().zip(0..) {
        let splits = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let known =
            splits.filter(|(left, right)| vocabulary.contains_key(left) && vocabulary.contains_key(right));
        let start = merges.len();
        merges.extend(known.map(|(left, right)| Merge { score: score(id), left, right }));
        merges[start..].sort_by_key(|merge: &Merge| (vocabulary[merge.left], vocabulary[merge.right]));
    }
    let length = |text: &str| text.chars().count();
    merges.sort_by(|a, b| {
        let by_score = b.score.total_cmp(&a.score);
        by_score.then_with(|| (length(b.left), length(b.right)).cmp(&(length(a.left), length(a.right))))
    });
    merges.into_iter().map(|merge| (merge.left.to_owned(), merge.right.to_owned())).collect()
}

/// A part of a tokenizer from its JSON in this file.
fn part<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("written in this file")
}
