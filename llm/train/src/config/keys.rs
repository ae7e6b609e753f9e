//! Every key of a training run's configuration: the one place that reading, checking, the listing and the derived
//! configuration come from.

use toml::Value;

use super::choices::{self, words};
use tokensieve_model::text::Moment;
use tokensieve_model::{LARGEST_RANK, Precision};

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its full name; `NAME` stands for a name of the user's choice.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// Its default in TOML; empty if there is none.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// What values a key takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Text that is not empty.
    Text,
    /// A date.
    Day,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number, at least this.
    Whole(i64),
    /// A whole number between these, both included.
    Within(i64, i64),
    /// A number between these, both included.
    Number(f64, f64),
    /// A number above 0, at most this.
    Positive(f64),
    /// This many numbers, each in [0, 1).
    Shares(usize),
    /// true or false.
    Flag,
    /// One text or a list of texts.
    Texts,
    /// A table from names to whole numbers above 0.
    Ranks,
    /// A table from names to numbers above 0.
    Pattern,
    /// A whole number of steps, or a share of the run.
    Span,
    /// A list of steps.
    Steps,
    /// A list of `{ step = …, rank = … }`.
    Growth,
    /// The objective's own table, or a preset's name.
    Objective,
}

impl Kind {
    /// What would be right, in words.
    pub fn right(self) -> String {
        match self {
            Self::Text => "text in quotes, not empty".to_owned(),
            Self::Day => "a date from 1970 on, like \"2024-07-26\"".to_owned(),
            Self::Word(words) => format!("one of \"{}\"", words.join("\", \"")),
            Self::Whole(least) => format!("a whole number, at least {least}"),
            Self::Within(low, high) => format!("a whole number from {low} to {high}"),
            Self::Number(low, f64::INFINITY) => format!("a number, at least {low}"),
            Self::Number(low, high) => format!("a number from {low} to {high}"),
            Self::Positive(f64::INFINITY) => "a number above 0".to_owned(),
            Self::Positive(high) => format!("a number above 0, at most {high}"),
            Self::Shares(n) => format!("a list of {n} numbers from 0 to below 1"),
            Self::Flag => "true or false".to_owned(),
            Self::Texts => "text, or a list of texts".to_owned(),
            Self::Ranks => format!("a table of names and whole numbers from 1 to {LARGEST_RANK}"),
            Self::Pattern => "a table of names and numbers above 0".to_owned(),
            Self::Span => "a whole number of steps, or a share of the run like 0.03 (below 1)".to_owned(),
            Self::Steps => "a list of whole numbers above 0, rising".to_owned(),
            Self::Growth => {
                format!("a list like [{{ step = 100, rank = 16 }}], both rising, ranks up to {LARGEST_RANK}")
            }
            Self::Objective => "a preset's name or a table".to_owned(),
        }
    }

    /// Whether a value is of this kind.
    pub(super) fn accepts(self, value: &Value) -> bool {
        let number = |value: &Value| value.as_float().or_else(|| value.as_integer().map(|n| n as f64));
        match self {
            Self::Text => value.as_str().is_some_and(|text| !text.is_empty()),
            Self::Day => day(value).parse::<Moment>().is_ok(),
            Self::Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Self::Whole(least) => value.as_integer().is_some_and(|n| n >= least),
            Self::Within(low, high) => value.as_integer().is_some_and(|n| (low..=high).contains(&n)),
            Self::Number(low, high) => {
                number(value).is_some_and(|n| n.is_finite() && (low..=high).contains(&n))
            }
            Self::Positive(high) => number(value).is_some_and(|n| n.is_finite() && n > 0.0 && n <= high),
            Self::Shares(count) => value.as_array().is_some_and(|list| {
                list.len() == count && list.iter().all(|n| number(n).is_some_and(|n| (0.0..1.0).contains(&n)))
            }),
            Self::Flag => value.is_bool(),
            Self::Texts => {
                value.is_str() || value.as_array().is_some_and(|list| list.iter().all(Value::is_str))
            }
            Self::Ranks => value.as_table().is_some_and(|table| {
                table.values().all(|n| n.as_integer().is_some_and(|n| RANKS.contains(&n)))
            }),
            Self::Pattern => value.as_table().is_some_and(|table| {
                table.values().all(|n| number(n).is_some_and(|n| n.is_finite() && n > 0.0))
            }),
            Self::Span => match value {
                Value::Integer(n) => *n >= 0,
                Value::Float(share) => (0.0..1.0).contains(share),
                _ => false,
            },
            Self::Steps => value.as_array().is_some_and(|list| {
                let steps: Option<Vec<_>> = list.iter().map(step).collect();
                steps.is_some_and(|steps| steps.is_sorted_by(|a, b| a < b))
            }),
            Self::Growth => value.as_array().is_some_and(|list| {
                let both: Option<Vec<_>> = list.iter().map(growth).collect();
                both.is_some_and(|both| both.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1))
            }),
            Self::Objective => value.is_str() || value.is_table(),
        }
    }
}

/// The text of a date, which TOML may write with or without quotes.
pub(super) fn day(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A step, counted from 1.
pub(super) fn step(value: &Value) -> Option<u64> {
    value.as_integer().filter(|step| *step > 0).map(i64::unsigned_abs)
}

/// `{ step, rank }` as two numbers.
pub(super) fn growth(value: &Value) -> Option<(u64, i64)> {
    let table = value.as_table().filter(|table| table.len() == 2)?;
    let number = |key| table.get(key).and_then(Value::as_integer).filter(|n| *n > 0);
    Some((number("step")?.unsigned_abs(), number("rank").filter(|n| RANKS.contains(n))?))
}

const fn key(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { name, kind, default, about }
}

use Kind::{
    Day, Flag, Growth, Number, Objective, Pattern, Positive, Ranks, Shares, Span, Steps, Text, Texts, Whole,
    Within, Word,
};

const FAMILIES: [&str; 6] = tokensieve_model::config::FAMILIES;
const TRUNCATE: [&str; 2] = words(&choices::TRUNCATE);
const OPTIMIZER: [&str; 2] = words(&choices::OPTIMIZER);
const SCHEDULE: [&str; 3] = words(&choices::SCHEDULE);
const RANKING: [&str; 2] = words(&choices::RANKING);

/// No upper end.
const ANY: f64 = f64::INFINITY;

/// Most documents of an optimizer step: far more than anybody uses, and few enough for a list in memory (choice).
const LARGEST_BATCH: i64 = 1_000_000;

/// Ranks of an adapter.
const RANKS: std::ops::RangeInclusive<i64> = 1..=LARGEST_RANK;

/// Every key, in the order of the manual.
pub const KEYS: &[Key] = &[
    key(
        "model.source",
        Text,
        r#""smollm2-135m""#,
        "a set of the catalogue, a Hugging Face folder, a GGUF file, or a hub name like \"org/name\"",
    ),
    key(
        "model.dtype",
        Word(&Precision::NAMES),
        r#""auto""#,
        "type of the base model's weights and activations; auto: bf16, or f32 where the processor has no instructions for bf16; nf4: activations as with auto, the layers' matrices frozen in four bits; trained parameters are always f32",
    ),
    key(
        "model.chat_template",
        Text,
        "",
        "chat template to use instead of the model's own: a Jinja file, or `plain` for a model without one; copied to the result",
    ),
    key("model.device", Text, r#""auto""#, "auto (CUDA if there is one), cpu, cuda, or cuda:N"),
    key(
        "model.init.architecture",
        Word(&FAMILIES),
        r#""llama""#,
        "the table model.init, instead of model.source: a model that is initialised at random, of this family; needs train.full",
    ),
    key("model.init.hidden_size", Whole(1), "", "width of the residual stream"),
    key("model.init.layers", Whole(1), "", "number of layers"),
    key("model.init.heads", Whole(1), "", "number of query heads"),
    key(
        "model.init.kv_heads",
        Whole(1),
        "",
        "number of key and value heads; default: as many as query heads",
    ),
    key("model.init.intermediate_size", Whole(1), "", "width of the feed-forward layer"),
    key(
        "model.init.context",
        Whole(2),
        "",
        "maximum number of tokens of a document, with the token that begins it",
    ),
    key(
        "model.init.tie_embeddings",
        Flag,
        "true",
        "use the embedding as output matrix, instead of one of its own",
    ),
    key(
        "model.init.characters",
        Text,
        "",
        "alphabet of the tokenizer: each of these characters is a token, by its index",
    ),
    key(
        "model.init.end",
        Text,
        "",
        "the one of these characters that ends a text; default: a special token is added to each text",
    ),
    key(
        "model.init.std",
        Number(0.0, ANY),
        "0.02",
        "standard deviation of the weights; of the projections onto the residual stream divided by √(2·layers)",
    ),
    key("model.init.seed", Whole(0), "0", "seed of the weights"),
    key("data.train", Text, "", "training data: a file (JSON, JSONL, Parquet) or a set of the catalogue"),
    key("data.split", Text, "", "split of a catalogue set; default train"),
    key(
        "data.format",
        Text,
        r#""auto""#,
        "auto, or one of alpaca, sharegpt, gsm8k, messages, prompt-completion, text",
    ),
    key("data.skip", Whole(0), "0", "number of rows to skip at the beginning"),
    key("data.limit", Whole(1), "", "number of rows to use, from the first one not skipped"),
    key(
        "data.max_length",
        Whole(2),
        "",
        "largest number of tokens of a document, in held-out sets, too; default: the model's context length",
    ),
    key(
        "data.truncate",
        Word(&TRUNCATE),
        r#""no""#,
        "what to do with a longer document: stop with an error (\"no\"), or cut off its end (\"end\")",
    ),
    key(
        "data.skip_bad",
        Flag,
        "false",
        "skip rows that cannot be read, in held-out sets, too, and list them, instead of stopping",
    ),
    key("data.date", Day, "\"2024-07-26\"", "date passed to chat templates that print today's date"),
    key(
        "data.uncertainty",
        Text,
        "",
        "file that `tokensieve uncertainty` wrote for these rows: the objective reads `bald` from it, and `base_loss` if it is of the same model without an adapter",
    ),
    key("eval.NAME.data", Text, "", "held-out set called NAME: a file or a set of the catalogue"),
    key("eval.NAME.split", Text, "", "split of a catalogue set; default test"),
    key("eval.NAME.format", Text, r#""auto""#, "as data.format"),
    key("eval.NAME.skip", Whole(0), "0", "number of rows to skip at the beginning"),
    key("eval.NAME.limit", Whole(1), "", "number of rows to use"),
    key(
        "objective",
        Objective,
        r#"{ preset = "mle" }"#,
        "a preset's name, or a table; `tokensieve objectives --language` lists its keys and what expressions may contain",
    ),
    key(
        "reference.adapter",
        Text,
        "",
        "the reference model: this adapter (a PEFT folder) on the same base model",
    ),
    key("reference.model", Text, "", "the reference model: this model, written like model.source"),
    key(
        "reference.topk",
        Text,
        "",
        "the reference model: this file of its most probable tokens, written by `tokensieve topk`",
    ),
    key("lora.r", Within(1, LARGEST_RANK), "32", "rank of the adapter"),
    key("lora.lora_alpha", Positive(ANY), "64", "the adapter is scaled by lora_alpha / r"),
    key("lora.lora_dropout", Number(0.0, 0.99), "0.0", "dropout rate of the adapter's inputs in training"),
    key(
        "lora.target_modules",
        Texts,
        r#""all-linear""#,
        "linear modules that get an adapter: \"all-linear\", a list of names like [\"q_proj\", \"v_proj\"], or a regular expression that matches whole names, like \".*_proj\"",
    ),
    key("lora.use_rslora", Flag, "false", "scale by lora_alpha / √r instead"),
    key(
        "lora.rank_pattern",
        Ranks,
        "{}",
        "rank of some modules: { \"layers.0.self_attn.q_proj\" = 8 }; the first pattern that matches counts",
    ),
    key("lora.alpha_pattern", Pattern, "{}", "lora_alpha of some modules"),
    key("train.full", Flag, "false", "full fine-tuning: train all weights instead of an adapter"),
    key("train.steps", Whole(1), "", "number of optimizer steps; instead of train.epochs"),
    key(
        "train.epochs",
        Number(0.001, ANY),
        "1.0",
        "number of passes over the data; the last step takes the documents that are left",
    ),
    key("train.batch_size", Within(1, LARGEST_BATCH), "32", "documents per optimizer step"),
    key(
        "train.micro_tokens",
        Whole(16),
        "4096",
        "tokens of a micro-batch: fewer need less memory and change no result, unless select.within = \"micro-batch\"",
    ),
    key("train.optimizer", Word(&OPTIMIZER), r#""adamw""#, "AdamW, or SGD with momentum"),
    key("train.lr", Number(0.0, ANY), "2e-4", "peak learning rate"),
    key(
        "train.betas",
        Shares(2),
        "[0.9, 0.999]",
        "AdamW's decay rates of the mean gradient and of the mean squared gradient",
    ),
    key("train.eps", Positive(1.0), "1e-8", "AdamW's term for numerical stability, added to the root"),
    key("train.momentum", Number(0.0, 0.999_999), "0.9", "SGD's momentum"),
    key(
        "train.weight_decay",
        Number(0.0, ANY),
        "0.0",
        "decoupled weight decay of matrices, times the learning rate; norms and biases do not decay",
    ),
    key("train.schedule", Word(&SCHEDULE), r#""cosine""#, "how the learning rate falls after the warm-up"),
    key(
        "train.warmup",
        Span,
        "0.03",
        "length of the learning rate's linear warm-up: steps, or a share of the run",
    ),
    key(
        "train.lr_end",
        Number(0.0, 1.0),
        "0.0",
        "learning rate one step after the last, as a share of the peak",
    ),
    key(
        "train.clip",
        Number(0.0, ANY),
        "1.0",
        "gradient norm above which gradients are scaled down; 0: never",
    ),
    key(
        "train.checkpointing",
        Flag,
        "false",
        "gradient checkpointing: keep only each layer's input for the backward pass; a third more work, far less memory",
    ),
    key(
        "train.ranking",
        Word(&RANKING),
        r#""exact""#,
        "how documents are ranked if the objective chooses documents: \"int8\" is twice as fast and approximate",
    ),
    key("train.seed", Whole(0), "0", "seed of everything random"),
    key(
        "train.eval_every",
        Whole(1),
        "",
        "steps between evaluations; the start and the end are always evaluated",
    ),
    key("train.save_every", Whole(1), "100", "steps between checkpoints; the end always has one"),
    key("train.keep_last", Whole(1), "2", "number of checkpoints to keep"),
    key(
        "train.save_at",
        Steps,
        "[]",
        "steps after which the model is also written to step-N, as at the end of a run: [100, 400, 1600]",
    ),
    key(
        "train.grow_rank",
        Growth,
        "[]",
        "steps after which the adapter's rank grows: [{ step = 100, rank = 64 }, …]",
    ),
    key("train.out", Text, "", "folder of the results; default runs/NAME for a configuration NAME.toml"),
    key("train.early_stop.on", Text, "", "stop when the NLL on this eval set no longer falls"),
    key(
        "train.early_stop.patience",
        Whole(1),
        "3",
        "number of evaluations without progress after which to stop",
    ),
    key(
        "train.early_stop.min_delta",
        Number(0.0, ANY),
        "0.0",
        "smallest decrease of the NLL that counts as progress (nats); best/ follows any decrease",
    ),
    key("log.tensorboard", Flag, "true", "write event files for TensorBoard"),
    key("log.selection", Flag, "true", "write how many tokens of each class every step selected"),
];

/// Keys that do not affect the results of a run: a run may be continued with other values of these.
pub(super) const FREE: [&str; 6] =
    ["train.out", "train.save_every", "train.keep_last", "train.save_at", "log.tensorboard", "log.selection"];

/// The listing of `tokensieve train --keys`.
pub fn listing() -> String {
    let mut text = String::new();
    let mut section = "";
    for key in KEYS {
        let (table, _) = key.name.rsplit_once('.').unwrap_or((key.name, ""));
        if table != section {
            text += &format!("{}[{table}]\n", if section.is_empty() { "" } else { "\n" });
            section = table;
        }
        let default = if key.default.is_empty() { "not set" } else { key.default };
        text += &format!("{} = {default}\n    {}\n    {}\n", key.name, key.about, key.kind.right());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_of_their_kind() {
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            let table: toml::Table = format!("x = {}", key.default).parse().unwrap();
            assert!(key.kind.accepts(&table["x"]), "{}", key.name);
        }
    }

    #[test]
    fn names_are_unique_and_free_ones_exist() {
        let names: std::collections::BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
        assert_eq!(names.len(), KEYS.len());
        assert!(FREE.iter().all(|free| names.contains(free)));
    }

    /// Users' files depend on names and defaults: adding a key is fine, changing one is a breaking change.
    #[test]
    fn keys_are_frozen() {
        assert_eq!(listing(), include_str!("keys.txt"), "llm/train/src/config/keys.txt");
    }
}
