//! The judge's prompt: it shows two anonymous outputs labelled with one letter each and asks for the better one's label as
//! the whole reply, so that the log-probabilities of the first token are the verdict.

use crate::Message;

/// Two outputs for one instruction, in the order in which the judge sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The instruction.
    pub instruction: &'a str,
    /// The output shown first.
    pub first: &'a str,
    /// The output shown second.
    pub second: &'a str,
}

/// The labels of the first and of the second output, as in AlpacaEval 2: one token each in common vocabularies.
pub const LABELS: [&str; 2] = ["m", "M"];

/// The conversation to which the judge replies with a label.
pub fn question(pair: &Pair<'_>) -> Vec<Message> {
    let [first, second] = LABELS;
    let system = Message {
        role: "system".into(),
        content: "You compare the outputs of two language models and say which one people would find better. You are \
                  exact and take no account of the order in which the outputs are shown."
            .into(),
    };
    let Pair { instruction, first: one, second: other } = pair;
    let user = format!(
        "Two models were given the same instruction. Judge which output is better: the one that does what was asked, is \
         right, and would be preferred by most people who asked it.\n\n\
         <instruction>\n{instruction}\n</instruction>\n\n\
         <output model=\"{first}\">\n{one}\n</output>\n\n\
         <output model=\"{second}\">\n{other}\n</output>\n\n\
         Reply with the better model's name and nothing else: {first} or {second}."
    );
    vec![system, Message::user(user)]
}
