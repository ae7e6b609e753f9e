//! The forms of an answer to a story: line by line or in sentences, with one wording for each step or one of several, with
//! right numbers or some wrong ones.
//!
//! Sentences are another template than lines for the same calculations, so that what a model learns anew is the form while
//! the arithmetic is known. Wrong numbers are label noise: what follows them goes on from the right ones. Several ways are
//! no noise: each is right, and the next token is uncertain all the same.

use super::story::{Problem, Split, Step};
use crate::{Error, Result};
use std::ops::Range;
use tokensieve_base::streams::HashedStream;

/// A way to tell answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Telling {
    style: Style,
    /// The probability that a result in the answer is replaced by another number.
    wrong: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// `42 * 2 = 84 dollars`, at the end `#### 84`.
    Lines,
    /// The first of the sentences for each step.
    Words,
    /// One of the sentences for each step, drawn for each.
    Ways,
}

/// An answer in one of these forms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The text.
    pub text: String,
    /// Where wrong numbers begin and end, in bytes of the text.
    pub wrong: Vec<Range<usize>>,
}

/// Sentences for a step: `{a}` before, `{n}` the number, `{r}` the result, `{u}` what is counted.
type Ways = [&'static str; 4];

const PLUS: Ways = [
    "Adding {n} to {a} gives {r} {u}.",
    "{a} and {n} more make {r} {u}.",
    "With another {n} there are {r} {u}.",
    "The sum of {a} and {n} is {r} {u}.",
];
const MINUS: Ways = [
    "Taking {n} from {a} leaves {r} {u}.",
    "{a} less {n} is {r} {u}.",
    "Without {n} there are {r} {u}.",
    "The difference of {a} and {n} is {r} {u}.",
];
const TIMES: Ways = [
    "Taking {a} times {n} gives {r} {u}.",
    "{a} multiplied by {n} makes {r} {u}.",
    "For each of {n} there are {a}, so {r} {u}.",
    "The product of {a} and {n} is {r} {u}.",
];
const DIVIDED: Ways = [
    "Sharing {a} among {n} gives {r} {u}.",
    "{a} divided by {n} makes {r} {u}.",
    "Each of {n} gets {r} {u}.",
    "The quotient of {a} and {n} is {r} {u}.",
];
const LAST: Ways =
    ["The answer is {r}.", "So the result is {r}.", "In the end there are {r}.", "That makes {r}."];

/// The splits that [`make`](crate::make::make) knows, with what they draw from and how they tell it.
const SPLITS: [(&str, Split, Telling); 9] = [
    ("train", Split::Train, Telling::LINES),
    ("test", Split::Test, Telling::LINES),
    ("words", Split::Train, Telling::WORDS),
    ("words-test", Split::Test, Telling::WORDS),
    ("words-wrong-10", Split::Train, Telling::WORDS.wrong(0.1)),
    ("words-wrong-30", Split::Train, Telling::WORDS.wrong(0.3)),
    ("words-wrong-50", Split::Train, Telling::WORDS.wrong(0.5)),
    ("ways", Split::Train, Telling::WAYS),
    ("ways-test", Split::Test, Telling::WAYS),
];

impl Telling {
    /// Line by line.
    pub const LINES: Self = Self { style: Style::Lines, wrong: 0.0 };
    /// In sentences.
    pub const WORDS: Self = Self { style: Style::Words, wrong: 0.0 };
    /// In sentences of several kinds.
    pub const WAYS: Self = Self { style: Style::Ways, wrong: 0.0 };

    const fn wrong(self, wrong: f64) -> Self {
        Self { wrong, ..self }
    }

    /// What a split draws from and how it tells it.
    pub fn of_split(name: &str) -> Result<(Split, Self)> {
        let found = SPLITS.iter().find(|(known, ..)| *known == name);
        found.map(|(_, split, telling)| (*split, *telling)).ok_or_else(|| {
            let known = SPLITS.map(|(known, ..)| known).join(", ");
            Error::Setting(format!("no split is called `{name}`; there are {known}"))
        })
    }

    /// Whether numbers may be wrong.
    pub fn is_noisy(self) -> bool {
        self.wrong > 0.0
    }

    /// The user's turn: the story, and a format that can be graded even of a model that was not trained on it.
    pub fn prompt(self, problem: &Problem) -> String {
        let format = match self.style {
            Style::Lines => "Work step by step and end with \"#### \" and the number.",
            Style::Words | Style::Ways => "Explain each step in a sentence and end with the number.",
        };
        format!("{}\n\n{format}", problem.question)
    }

    /// The assistant's turn for problem `index` of a seed.
    pub fn reply(self, problem: &Problem, seed: u64, index: u64) -> Reply {
        let mut writer = Writer {
            ways: HashedStream::new(seed, &format!("arithmetic/ways/{index}")),
            noise: HashedStream::new(seed, &format!("arithmetic/wrong/{index}")),
            telling: self,
            reply: Reply::default(),
        };
        for step in &problem.steps {
            writer.step(step);
        }
        writer.last(problem.result);
        writer.reply
    }
}

struct Writer {
    ways: HashedStream,
    noise: HashedStream,
    telling: Telling,
    reply: Reply,
}

impl Writer {
    fn step(&mut self, step: &Step) {
        if self.telling.style == Style::Lines {
            self.write("{a} {s} {n} = {r} {u}\n", step);
            return;
        }
        let ways = match step.sign {
            '+' => PLUS,
            '-' => MINUS,
            '*' => TIMES,
            _ => DIVIDED,
        };
        let way = self.choose(ways);
        self.write(way, step);
        self.reply.text.push(' ');
    }

    fn last(&mut self, result: u64) {
        let way = if self.telling.style == Style::Lines { "#### {r}" } else { self.choose(LAST) };
        self.write(way, &Step { before: result, sign: '=', number: result, result, unit: "" });
    }

    fn choose(&mut self, ways: Ways) -> &'static str {
        let is_drawn = self.telling.style == Style::Ways;
        ways[if is_drawn { self.ways.below(ways.len() as u64) as usize } else { 0 }]
    }

    fn write(&mut self, way: &str, step: &Step) {
        let mut rest = way;
        while let Some((before, (name, after))) =
            rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        {
            self.reply.text += before;
            match name {
                "a" => self.reply.text += &step.before.to_string(),
                "n" => self.reply.text += &step.number.to_string(),
                "s" => self.reply.text.push(step.sign),
                "u" => self.reply.text += step.unit,
                _ => self.result(step.result),
            }
            rest = after;
        }
        self.reply.text += rest;
    }

    /// Writes a result, or another number of its size in its place.
    fn result(&mut self, right: u64) {
        let start = self.reply.text.len();
        let is_wrong = self.telling.is_noisy() && self.noise.uniform() < self.telling.wrong;
        // One of the numbers from 1 to twice as many and ten, without the right one.
        let another = if is_wrong { self.noise.between(1, 2 * right + 9) } else { right };
        let written = if is_wrong && another >= right { another + 1 } else { another };
        self.reply.text += &written.to_string();
        if is_wrong {
            self.reply.wrong.push(start..self.reply.text.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::problem;
    use super::*;

    fn told(split: &str, seed: u64, index: u64) -> (Problem, Reply) {
        let (from, telling) = Telling::of_split(split).unwrap();
        let problem = problem(seed, from, index);
        let reply = telling.reply(&problem, seed, index);
        (problem, reply)
    }

    #[test]
    fn a_story_is_told_in_sentences() {
        let (_, reply) = told("words", 0, 3);
        let expected = "Taking 42 times 2 gives 84 dollars. Sharing 84 among 7 gives 12 dollars. Taking 7 from 12 leaves 5 \
                        dollars. Adding 24 to 5 gives 29 dollars. The answer is 29.";
        assert_eq!(reply, Reply { text: expected.into(), wrong: Vec::new() });
    }

    #[test]
    fn several_ways_say_the_same_in_other_words() {
        let same = (0..1_000).filter(|index| told("ways", 1, *index).1 == told("words", 1, *index).1).count();
        // All of two to five sentences are the first of four in 2.1 % of the answers.
        assert!((5..45).contains(&same), "{same}");
        for index in 0..200 {
            let (problem, reply) = told("ways", 1, index);
            assert!(reply.text.ends_with(&format!(" {}.", problem.result)), "{}", reply.text);
        }
    }

    #[test]
    fn numbers_are_wrong_at_the_rate_and_the_story_goes_on_from_the_right_ones() {
        let (mut results, mut wrong) = (0, 0);
        for index in 0..2_000 {
            let (problem, reply) = told("words-wrong-30", 2, index);
            let (_, right) = told("words", 2, index);
            results += problem.steps.len() + 1;
            wrong += reply.wrong.len();
            // With the wrong numbers put right it is the right answer.
            let mut mended = reply.text.clone();
            let mut truths: Vec<u64> = problem.steps.iter().map(|step| step.result).collect();
            truths.push(problem.result);
            for place in reply.wrong.iter().rev() {
                let number: u64 = reply.text[place.clone()].parse().unwrap();
                // The right text from there on, which begins with a whole number.
                let known = |truth: &&u64| {
                    let mut tried = mended.clone();
                    tried.replace_range(place.clone(), &truth.to_string());
                    let before = right.text.strip_suffix(&tried[place.start..]);
                    **truth != number && before.is_some_and(|before| before.ends_with(' '))
                };
                let truth = truths.iter().find(known).expect("one result was replaced");
                mended.replace_range(place.clone(), &truth.to_string());
            }
            assert_eq!(mended, right.text);
        }
        let rate = f64::from(wrong as u32) / f64::from(results as u32);
        assert!((rate - 0.3).abs() < 0.02, "{rate}");
    }

    #[test]
    fn an_unknown_split_is_answered_with_the_known_ones() {
        let error = Telling::of_split("dev").unwrap_err().to_string();
        assert!(error.contains("train, test, words, words-test, words-wrong-10"), "{error}");
    }
}
