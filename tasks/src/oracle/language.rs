//! The language: for every prefix the exact distribution of the next token.

use tokensieve_base::streams::HashedStream;

use super::state::{Position, State};
use super::vocabulary::{self, AGAIN, ASSIGN, BEGIN, CHAIN, COPY, END, FACT, KEYS, OPERATORS, STOP, Token};
use super::world::{Entry, Sizes, World};

/// The probability that a document goes on after a record, while another one fits.
const ANOTHER_RECORD: f64 = 0.9;
/// The probabilities of records about keys, chains and copied lists.
const KINDS: [(Token, f64); 3] = [(FACT, 0.5), (CHAIN, 0.3), (COPY, 0.2)];
/// The probability that a chain goes on after a result, while it may.
const ANOTHER_STEP: f64 = 0.6;
/// The probability that a list goes on after an item, while it may.
const ANOTHER_ITEM: f64 = 0.7;
/// The probability of the second style: in pretraining, in post-training.
const SECOND_STYLE: [f64; 2] = [0.1, 1.0];
/// The probability of each spelling of a value where paraphrases are on.
const SPELLINGS: [f64; 3] = [0.5, 0.3, 0.2];

/// What a wrong value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// Any value but the right one, each with the same probability.
    Uniform,
    /// The value of another fact, each fact with another value with the same probability. Wrong results of chains are
    /// uniform.
    Confusable,
}

/// Which documents of a language are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The style, the facts and the operators of post-training, rather than those of pretraining.
    pub post_training: bool,
    /// The probability that a fact's value or a chain's result is wrong.
    pub noise_rate: f64,
    /// What a wrong value is.
    pub noise: Noise,
    /// Whether the values of facts are written in any of three spellings.
    pub paraphrases: bool,
    /// Least and largest number of steps of a chain.
    pub steps: (u8, u8),
}

impl Default for Settings {
    /// Pretraining: everything right, chains of one to four steps.
    fn default() -> Self {
        Self {
            post_training: false,
            noise_rate: 0.0,
            noise: Noise::Uniform,
            paraphrases: false,
            steps: (1, 4),
        }
    }
}

/// The kind of a token, by what one must know to predict it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Delimiters and keywords.
    Structure,
    /// Keys, operands, operators and items of lists, which are drawn afresh.
    Free,
    /// A value of a key with several values.
    Choice,
    /// The value of a fact.
    Fact {
        /// Whether its key is more frequent than the average key.
        frequent: bool,
        /// Whether post-training has another value than pretraining.
        changed: bool,
    },
    /// A result in a chain.
    Result {
        /// Whether the rule is the one that is new in post-training.
        new_rule: bool,
        /// Which result of its chain it is, from 1.
        step: u8,
    },
    /// A copied item.
    Copy,
}

impl Class {
    /// The names of all classes in rows.
    pub const NAMES: [&str; 8] =
        ["structure", "free", "choice", "frequent-fact", "rare-fact", "rule", "new-rule", "copy"];

    /// Its name in rows.
    pub fn name(self) -> &'static str {
        Self::NAMES[match self {
            Self::Structure => 0,
            Self::Free => 1,
            Self::Choice => 2,
            Self::Fact { frequent: true, .. } => 3,
            Self::Fact { frequent: false, .. } => 4,
            Self::Result { new_rule: false, .. } => 5,
            Self::Result { new_rule: true, .. } => 6,
            Self::Copy => 7,
        }]
    }

    /// Its name with what distinguishes tokens within it: `rare-fact/changed`, `rule/3` (the third result of a chain).
    pub fn full_name(self) -> String {
        let name = self.name();
        match self {
            Self::Fact { changed, .. } => format!("{name}/{}", if changed { "changed" } else { "unchanged" }),
            Self::Result { step, .. } => format!("{name}/{step}"),
            _ => name.to_owned(),
        }
    }
}

/// The exact distribution of the next token.
#[derive(Clone, Debug, PartialEq)]
pub struct Next {
    /// The kind of the token.
    pub class: Class,
    /// The tokens that can follow, each once, with their probabilities.
    pub tokens: Vec<(Token, f64)>,
    /// How many of them, from the first, are right.
    pub right: usize,
}

impl Next {
    fn of(class: Class, tokens: Vec<(Token, f64)>) -> Self {
        Self { class, right: tokens.len(), tokens }
    }

    fn only(class: Class, token: Token) -> Self {
        Self::of(class, vec![(token, 1.0)])
    }

    fn uniform(class: Class, tokens: impl Iterator<Item = Token>) -> Self {
        let tokens: Vec<Token> = tokens.collect();
        let p = 1.0 / tokens.len() as f64;
        Self::of(class, tokens.into_iter().map(|token| (token, p)).collect())
    }

    /// The probability of a token.
    pub fn p(&self, token: Token) -> f64 {
        self.tokens.iter().find(|(known, _)| *known == token).map_or(0.0, |(_, p)| *p)
    }

    /// The entropy in nats.
    pub fn entropy(&self) -> f64 {
        -self.tokens.iter().filter(|(_, p)| *p > 0.0).map(|(_, p)| p * p.ln()).sum::<f64>()
    }

    /// Whether a token that can follow is a wrong value.
    pub fn is_wrong(&self, token: Token) -> bool {
        !self.tokens[..self.right].iter().any(|(right, _)| *right == token)
    }

    fn draw(&self, stream: &mut HashedStream) -> Token {
        let mut rest = stream.uniform();
        for (token, p) in &self.tokens {
            rest -= p;
            if rest < 0.0 {
                return *token;
            }
        }
        self.tokens[self.tokens.len() - 1].0
    }
}

/// The exact distributions of one token of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The distribution that the token was drawn from, noise included.
    pub data: Next,
    /// The distribution without noise, after the same prefix. Where a chain has a wrong result, it goes on from that.
    pub truth: Next,
}

/// A grammar and a world: the distribution of documents.
#[derive(Clone, Debug)]
pub struct Language {
    world: World,
    sizes: Sizes,
    settings: Settings,
}

impl Language {
    /// The language of a seed at full size. Languages of one seed share their world.
    pub fn new(seed: u64, settings: Settings) -> Self {
        Self::with_sizes(seed, settings, Sizes::default())
    }

    /// A language of another size.
    pub fn with_sizes(seed: u64, settings: Settings, sizes: Sizes) -> Self {
        Self { world: World::new(seed, sizes), sizes, settings }
    }

    /// The world.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The distribution of the token after `prefix`; `None` where no document begins with `prefix`, or where the
    /// document has ended.
    pub fn next(&self, prefix: &[Token]) -> Option<Next> {
        let mut state = State::default();
        for token in prefix {
            if self.after(&state)?.p(*token) == 0.0 {
                return None;
            }
            state.push(*token);
        }
        self.after(&state)
    }

    /// The exact distributions of each token of a document, in time proportional to its length. The error is the place of
    /// the first token that cannot stand there; past the last one where the document has no end.
    pub fn predictions(&self, document: &[Token]) -> Result<Vec<Prediction>, usize> {
        let truthful = Self { settings: Settings { noise_rate: 0.0, ..self.settings }, ..self.clone() };
        let mut state = State::default();
        let mut predictions = Vec::with_capacity(document.len());
        for (place, token) in document.iter().enumerate() {
            let data = self.after(&state).filter(|next| next.p(*token) > 0.0).ok_or(place)?;
            let truth = truthful.after(&state).ok_or(place)?;
            predictions.push(Prediction { data, truth });
            state.push(*token);
        }
        if self.after(&state).is_none() { Ok(predictions) } else { Err(document.len()) }
    }

    /// A document, with the distribution that each of its tokens was drawn from.
    pub fn document(&self, stream: &mut HashedStream) -> Vec<(Token, Next)> {
        let mut state = State::default();
        let mut document = Vec::new();
        while let Some(next) = self.after(&state) {
            let token = next.draw(stream);
            state.push(token);
            document.push((token, next));
        }
        document
    }

    /// The distribution of the next token in a state.
    fn after(&self, state: &State) -> Option<Next> {
        use Class::{Copy, Free, Structure};
        let style = usize::from(state.style);
        Some(match &state.position {
            Position::Begin => self.begin(),
            Position::Record => self.record(state.length),
            Position::KeyFirst => {
                let halves = self.world.first_halves().iter().enumerate();
                Next::of(Free, halves.map(|(half, p)| (vocabulary::key(0, half as u8), *p)).collect())
            }
            Position::KeySecond { .. } => {
                Next::uniform(Free, (0..self.sizes.keys.min(KEYS)).map(|half| vocabulary::key(1, half)))
            }
            Position::Assign { .. } | Position::Equals { .. } => Next::only(Structure, ASSIGN[style]),
            Position::Value { key } => self.value(*key),
            Position::Operand { left: None, .. } => Next::uniform(Free, self.numbers()),
            Position::Operand { left: Some(_), .. } => self.operand(),
            Position::Operator { steps, .. } => self.operator(*steps, STOP[style]),
            Position::Result { left, operator, right, steps } => {
                self.result(*left, *operator, *right, steps + 1)
            }
            Position::Item { items } => self.item(items.len()),
            Position::Again { items, at } => Next::only(Copy, vocabulary::value(items[*at], 0)),
            Position::Stop => Next::only(Structure, STOP[style]),
            Position::End => return None,
        })
    }

    fn begin(&self) -> Next {
        let second = SECOND_STYLE[usize::from(self.settings.post_training)];
        let tokens = [(BEGIN[0], 1.0 - second), (BEGIN[1], second)];
        Next::of(Class::Structure, tokens.into_iter().filter(|(_, p)| *p > 0.0).collect())
    }

    /// The next record, or the end of the document where the longest record would not fit.
    fn record(&self, length: usize) -> Next {
        let chain = 3 + 4 * usize::from(self.settings.steps.1);
        let copy = 3 + 2 * usize::from(self.sizes.list);
        if length + chain.max(copy).max(6) + 1 > self.sizes.document {
            return Next::only(Class::Structure, END);
        }
        // A document has at least one record.
        let another = if length > 1 { ANOTHER_RECORD } else { 1.0 };
        let mut tokens: Vec<_> = KINDS.iter().map(|(kind, p)| (*kind, another * p)).collect();
        tokens.extend((another < 1.0).then_some((END, 1.0 - another)));
        Next::of(Class::Structure, tokens)
    }

    fn numbers(&self) -> impl Iterator<Item = Token> {
        (0..self.sizes.modulus).map(|number| vocabulary::value(number, 0))
    }

    /// What a chain adds or subtracts: small numbers more often than large ones, by Zipf's law. Were they all alike, a
    /// result would tell nothing of either operand by itself, and a model would have nothing to begin learning with.
    fn operand(&self) -> Next {
        let total: f64 = (1..=self.sizes.modulus).map(|rank| 1.0 / f64::from(rank)).sum();
        let p = |rank| 1.0 / f64::from(rank) / total;
        Next::of(
            Class::Free,
            self.numbers().zip(1..).map(|(number, rank): (_, u8)| (number, p(rank))).collect(),
        )
    }

    fn value(&self, key: (u8, u8)) -> Next {
        let changed = self.settings.post_training;
        let right = match self.world.entry(key, changed) {
            Entry::Choice(values) => {
                return Next::uniform(Class::Choice, values.iter().map(|value| vocabulary::value(*value, 0)));
            }
            Entry::Fact(right) => *right,
        };
        let class = Class::Fact { frequent: self.world.is_frequent(key), changed: self.world.changes(key) };
        let counts = match self.settings.noise {
            Noise::Uniform => vec![1; usize::from(self.sizes.values)],
            Noise::Confusable => self.world.counts(changed, self.sizes.values),
        };
        self.noisy(class, right, self.settings.paraphrases, &counts)
    }

    fn result(&self, left: u8, operator: Token, right: u8, step: u8) -> Next {
        let modulus = self.sizes.modulus;
        let (new_rule, result) = match OPERATORS.iter().position(|known| *known == operator) {
            Some(0) => (false, left + right),
            Some(1) => (false, left + modulus - right),
            _ => (true, 2 * left + right),
        };
        let class = Class::Result { new_rule, step };
        self.noisy(class, result % modulus, false, &vec![1; usize::from(modulus)])
    }

    /// The right value, and at the rate of noise another one, in proportion to its count.
    fn noisy(&self, class: Class, right: u8, paraphrases: bool, counts: &[usize]) -> Next {
        let others = || (0..).zip(counts).filter(|(value, count)| *value != right && **count > 0);
        let total: usize = others().map(|(_, count)| *count).sum();
        let rate = if total == 0 { 0.0 } else { self.settings.noise_rate };
        let spellings: &[f64] = if paraphrases { &SPELLINGS } else { &[1.0] };
        let spelled = |value: u8, p: f64| {
            (0..).zip(spellings).map(move |(spelling, share)| (vocabulary::value(value, spelling), p * share))
        };
        let mut tokens: Vec<_> = spelled(right, 1.0 - rate).collect();
        if rate > 0.0 {
            tokens.extend(
                others().flat_map(|(value, count)| spelled(value, rate * *count as f64 / total as f64)),
            );
        }
        Next { class, tokens, right: spellings.len() }
    }

    fn operator(&self, steps: u8, stop: Token) -> Next {
        let (least, most) = self.settings.steps;
        if steps >= most {
            return Next::only(Class::Structure, stop);
        }
        let another = if steps < least { 1.0 } else { ANOTHER_STEP };
        let known = if self.settings.post_training { &OPERATORS[..] } else { &OPERATORS[..2] };
        let mut tokens: Vec<_> = known.iter().map(|token| (*token, another / known.len() as f64)).collect();
        tokens.extend((another < 1.0).then_some((stop, 1.0 - another)));
        Next::of(Class::Free, tokens)
    }

    fn item(&self, items: usize) -> Next {
        if items == usize::from(self.sizes.list) {
            return Next::only(Class::Structure, AGAIN);
        }
        let another = if items == 0 { 1.0 } else { ANOTHER_ITEM };
        let values = 0..self.sizes.values;
        let p = another / f64::from(self.sizes.values);
        let mut tokens: Vec<_> = values.map(|value| (vocabulary::value(value, 0), p)).collect();
        tokens.extend((another < 1.0).then_some((AGAIN, 1.0 - another)));
        Next::of(Class::Free, tokens)
    }
}
