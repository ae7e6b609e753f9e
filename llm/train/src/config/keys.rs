//! Every key of a training run's configuration: the one place that reading, checking, the listing and the derived
//! configuration come from.

use toml::Value;

use tokensieve_model::text::Moment;

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its full name; `NAME` stands for a name of the user's choice.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// Its value where it is not given, in TOML; empty where there is none.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// What values a key takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Any text but none.
    Text,
    /// A day.
    Day,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number, at least this.
    Whole(i64),
    /// A whole number between these, both included.
    Within(i64, i64),
    /// A number between these, both included.
    Number(f64, f64),
    /// So many numbers, each in [0, 1).
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
            Self::Day => "a day from 1970 on, like \"2024-07-26\"".to_owned(),
            Self::Word(words) => format!("one of \"{}\"", words.join("\", \"")),
            Self::Whole(least) => format!("a whole number, at least {least}"),
            Self::Within(low, high) => format!("a whole number from {low} to {high}"),
            Self::Number(low, f64::INFINITY) => format!("a number, at least {low}"),
            Self::Number(low, high) => format!("a number from {low} to {high}"),
            Self::Shares(n) => format!("a list of {n} numbers from 0 to below 1"),
            Self::Flag => "true or false".to_owned(),
            Self::Texts => "text, or a list of texts".to_owned(),
            Self::Ranks => "a table of names and whole numbers above 0".to_owned(),
            Self::Pattern => "a table of names and numbers above 0".to_owned(),
            Self::Span => "a whole number of steps, or a share of the run like 0.03 (below 1)".to_owned(),
            Self::Growth => "a list like [{ step = 100, rank = 16 }], both rising".to_owned(),
            Self::Objective => "a preset's name or a table".to_owned(),
        }
    }

    /// Whether a value is one of these.
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
            Self::Shares(count) => value.as_array().is_some_and(|list| {
                list.len() == count && list.iter().all(|n| number(n).is_some_and(|n| (0.0..1.0).contains(&n)))
            }),
            Self::Flag => value.is_bool(),
            Self::Texts => {
                value.is_str() || value.as_array().is_some_and(|list| list.iter().all(Value::is_str))
            }
            Self::Ranks => value
                .as_table()
                .is_some_and(|table| table.values().all(|n| n.as_integer().is_some_and(|n| n > 0))),
            Self::Pattern => value.as_table().is_some_and(|table| {
                table.values().all(|n| number(n).is_some_and(|n| n.is_finite() && n > 0.0))
            }),
            Self::Span => match value {
                Value::Integer(n) => *n >= 0,
                Value::Float(share) => (0.0..1.0).contains(share),
                _ => false,
            },
            Self::Growth => value.as_array().is_some_and(|list| {
                let both: Option<Vec<_>> = list.iter().map(growth).collect();
                both.is_some_and(|both| both.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1))
            }),
            Self::Objective => value.is_str() || value.is_table(),
        }
    }
}

/// The text of a day; TOML has a kind of value for it, too.
pub(super) fn day(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `{ step, rank }` as two numbers.
pub(super) fn growth(value: &Value) -> Option<(u64, i64)> {
    let table = value.as_table().filter(|table| table.len() == 2)?;
    let number = |key| table.get(key).and_then(Value::as_integer).filter(|n| *n > 0);
    Some((number("step")?.unsigned_abs(), number("rank")?))
}

const fn key(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { name, kind, default, about }
}

use Kind::{
    Day, Flag, Growth, Number, Objective, Pattern, Ranks, Shares, Span, Text, Texts, Whole, Within, Word,
};

/// No upper end.
const ANY: f64 = f64::INFINITY;

/// Documents of an optimizer step: far more than anybody takes, and a list of them is no burden (choice).
const LARGEST_BATCH: i64 = 1_000_000;

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
        Word(&["bf16", "f32"]),
        r#""bf16""#,
        "type of the base's weights and activations; what is trained is f32 always",
    ),
    key(
        "model.chat_template",
        Text,
        "",
        "in the place of the model's own: a file of Jinja, or `plain` for a model that has none; written beside the result",
    ),
    key("model.device", Text, r#""auto""#, "auto (CUDA if there is one), cpu, cuda, or cuda:N"),
    key("data.train", Text, "", "what to train on: a file (JSON, JSONL, Parquet) or a set of the catalogue"),
    key("data.split", Text, "", "which file of a catalogue set; train where not given"),
    key(
        "data.format",
        Text,
        r#""auto""#,
        "auto, or one of alpaca, sharegpt, gsm8k, messages, prompt-completion, text",
    ),
    key("data.skip", Whole(0), "0", "leave out so many rows at the beginning"),
    key("data.limit", Whole(1), "", "use only so many rows, from the first one used on"),
    key("data.max_length", Whole(2), "", "most tokens of a document; the model's longest where not given"),
    key(
        "data.truncate",
        Word(&["no", "end"]),
        r#""no""#,
        "what to do with a longer document: refuse it, or cut its end off",
    ),
    key(
        "data.skip_bad",
        Flag,
        "false",
        "leave out rows that cannot be read, and list them, instead of stopping",
    ),
    key(
        "data.date",
        Day,
        "\"2024-07-26\"",
        "the day that chat templates are told which ask for it, whenever the run is",
    ),
    key(
        "data.uncertainty",
        Text,
        "",
        "a file of `tokensieve uncertainty` about these rows: the objective reads `bald` there, and `base_loss` if it is of the same model",
    ),
    key("eval.NAME.data", Text, "", "a held-out set called NAME: a file or a set of the catalogue"),
    key("eval.NAME.split", Text, "", "which file of a catalogue set; test where not given"),
    key("eval.NAME.format", Text, r#""auto""#, "as data.format"),
    key("eval.NAME.skip", Whole(0), "0", "leave out so many rows at the beginning"),
    key("eval.NAME.limit", Whole(1), "", "use only so many rows"),
    key(
        "objective",
        Objective,
        r#"{ preset = "mle" }"#,
        "a preset's name, or a table as `tokensieve objectives` describes it",
    ),
    key(
        "reference.adapter",
        Text,
        "",
        "the reference distribution comes from this adapter (a PEFT folder) on the same base",
    ),
    key("reference.model", Text, "", "… or from this model, written as model.source"),
    key(
        "reference.topk",
        Text,
        "",
        "… or from this file of its most probable tokens, made by `tokensieve topk`",
    ),
    key("lora.r", Whole(1), "32", "rank of the adapter"),
    key("lora.lora_alpha", Number(0.0, ANY), "64", "the adapter is scaled by lora_alpha / r"),
    key("lora.lora_dropout", Number(0.0, 0.99), "0.0", "share of the adapter's inputs dropped in training"),
    key(
        "lora.target_modules",
        Texts,
        r#""all-linear""#,
        "which linear modules: \"all-linear\", a list of names like [\"q_proj\", \"v_proj\"], or a pattern of whole names like \".*_proj\"",
    ),
    key("lora.use_rslora", Flag, "false", "scale by lora_alpha / √r instead"),
    key(
        "lora.rank_pattern",
        Ranks,
        "{}",
        "another rank for some modules: { \"layers.0.self_attn.q_proj\" = 8 }; the first pattern that matches counts",
    ),
    key("lora.alpha_pattern", Pattern, "{}", "another lora_alpha for some modules"),
    key("train.full", Flag, "false", "train all weights instead of an adapter"),
    key("train.steps", Whole(1), "", "how many optimizer steps; instead of train.epochs"),
    key(
        "train.epochs",
        Number(0.001, ANY),
        "1.0",
        "how often to go through the data; the last step has what is left",
    ),
    key("train.batch_size", Within(1, LARGEST_BATCH), "32", "documents per optimizer step"),
    key(
        "train.micro_tokens",
        Whole(16),
        "4096",
        "most tokens computed at once: less needs less memory and changes no result",
    ),
    key("train.optimizer", Word(&["adamw", "sgd"]), r#""adamw""#, "how a gradient becomes a step"),
    key("train.lr", Number(0.0, ANY), "2e-4", "learning rate at its peak"),
    key("train.betas", Shares(2), "[0.9, 0.999]", "AdamW's decay of the mean gradient and of its square"),
    key("train.eps", Number(0.0, 1.0), "1e-8", "added to the root in AdamW"),
    key("train.momentum", Number(0.0, 0.999_999), "0.9", "SGD's decay of the mean gradient"),
    key(
        "train.weight_decay",
        Number(0.0, ANY),
        "0.0",
        "per step, matrices shrink by this times the learning rate; norms and biases do not",
    ),
    key(
        "train.schedule",
        Word(&["cosine", "linear", "constant"]),
        r#""cosine""#,
        "how the learning rate falls after the warm-up",
    ),
    key("train.warmup", Span, "0.03", "rising learning rate at the start: steps, or a share of the run"),
    key(
        "train.lr_end",
        Number(0.0, 1.0),
        "0.0",
        "learning rate where one step more would be, as a share of the peak",
    ),
    key("train.clip", Number(0.0, ANY), "1.0", "longest gradient; longer ones are scaled down to it; 0: any"),
    key(
        "train.checkpointing",
        Flag,
        "false",
        "keep only each layer's input for the backward pass: a third more work, far less memory",
    ),
    key(
        "train.ranking",
        Word(&["exact", "int8"]),
        r#""exact""#,
        "how documents are put in order where the objective chooses some: \"int8\" is twice as fast and nearly right",
    ),
    key("train.seed", Whole(0), "0", "everything random follows from it"),
    key(
        "train.eval_every",
        Whole(1),
        "",
        "evaluate after every so many steps, besides at the start and the end",
    ),
    key("train.save_every", Whole(1), "100", "write a checkpoint after every so many steps, and at the end"),
    key("train.keep_last", Whole(1), "2", "how many checkpoints to keep"),
    key("train.grow_rank", Growth, "[]", "let the adapter grow: [{ step = 100, rank = 64 }, …]"),
    key("train.out", Text, "", "folder of the results; runs/NAME where the configuration is NAME.toml"),
    key("train.early_stop.on", Text, "", "stop when the NLL on this eval set no longer falls"),
    key("train.early_stop.patience", Whole(1), "3", "after so many evaluations without progress"),
    key("train.early_stop.min_delta", Number(0.0, ANY), "0.0", "less than this is no progress (nats)"),
    key("log.tensorboard", Flag, "true", "write event files for TensorBoard"),
    key("log.selection", Flag, "true", "write per step how many tokens of each class were selected"),
];

/// Keys that change no number of a run: a run may be continued with others.
pub(super) const FREE: [&str; 5] =
    ["train.out", "train.save_every", "train.keep_last", "log.tensorboard", "log.selection"];

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

    /// Users' files depend on these: adding one is fine, changing one is a breaking change.
    #[test]
    fn keys_are_frozen() {
        assert_eq!(listing(), include_str!("keys.txt"), "llm/train/src/config/keys.txt");
    }
}
