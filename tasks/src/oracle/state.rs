//! Where a prefix stands in the grammar. The grammar is unambiguous, so a prefix has one state.

use super::vocabulary::{self, AGAIN, BEGIN, CHAIN, COPY, FACT, OPERATORS, Token};

/// The state after a prefix.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) position: Position,
    /// 0 or 1.
    pub(super) style: u8,
    /// Number of tokens so far.
    pub(super) length: usize,
}

/// What comes next, with what it depends on.
#[derive(Clone, Debug, Default)]
pub(super) enum Position {
    /// The beginning of the document.
    #[default]
    Begin,
    /// A record's keyword, or the end of the document.
    Record,
    KeyFirst,
    KeySecond {
        first: u8,
    },
    Assign {
        key: (u8, u8),
    },
    Value {
        key: (u8, u8),
    },
    /// A number of a chain: the first one, or an operand.
    Operand {
        left: Option<(u8, Token)>,
        steps: u8,
    },
    /// An operator after `number`, or the end of the chain.
    Operator {
        number: u8,
        steps: u8,
    },
    Equals {
        left: u8,
        operator: Token,
        right: u8,
        steps: u8,
    },
    Result {
        left: u8,
        operator: Token,
        right: u8,
        steps: u8,
    },
    /// An item of a list, or the end of the list.
    Item {
        items: Vec<u8>,
    },
    /// An item of the copy.
    Again {
        items: Vec<u8>,
        at: usize,
    },
    /// The end of a record.
    Stop,
    /// Nothing: the document has ended.
    End,
}

impl State {
    /// Moves on over a token that can come next.
    pub(super) fn push(&mut self, token: Token) {
        let position = std::mem::take(&mut self.position);
        self.length += 1;
        self.position = match position {
            Position::Begin => {
                self.style = u8::from(token == BEGIN[1]);
                Position::Record
            }
            Position::Record => match token {
                FACT => Position::KeyFirst,
                CHAIN => Position::Operand { left: None, steps: 0 },
                COPY => Position::Item { items: Vec::new() },
                _ => Position::End,
            },
            Position::KeyFirst => Position::KeySecond { first: vocabulary::key_of(0, token).unwrap_or(0) },
            Position::KeySecond { first } => {
                Position::Assign { key: (first, vocabulary::key_of(1, token).unwrap_or(0)) }
            }
            Position::Assign { key } => Position::Value { key },
            // A chain goes on from the result that is written, right or wrong.
            Position::Result { steps, .. } => Position::Operator { number: number(token), steps: steps + 1 },
            Position::Operand { left: None, steps } => Position::Operator { number: number(token), steps },
            Position::Operand { left: Some((left, operator)), steps } => {
                Position::Equals { left, operator, right: number(token), steps }
            }
            Position::Operator { number, steps } if OPERATORS.contains(&token) => {
                Position::Operand { left: Some((number, token)), steps }
            }
            Position::Equals { left, operator, right, steps } => {
                Position::Result { left, operator, right, steps }
            }
            Position::Item { items } if token == AGAIN => Position::Again { items, at: 0 },
            Position::Item { mut items } => {
                items.push(number(token));
                Position::Item { items }
            }
            Position::Again { items, at } if at + 1 < items.len() => Position::Again { items, at: at + 1 },
            Position::Value { .. } | Position::Again { .. } => Position::Stop,
            Position::Operator { .. } | Position::Stop => Position::Record,
            Position::End => Position::End,
        };
    }
}

fn number(token: Token) -> u8 {
    vocabulary::value_of(token).unwrap_or(0)
}
