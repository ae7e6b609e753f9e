//! Words in a cipher that nobody has seen: a domain where a model starts out knowing nothing.
//!
//! Every letter stands for another, always the same. A puzzle is a few words written letter by letter, whose letters the reply
//! replaces one by one; what the letters stand for is learnt from examples alone. Half of the words occur in training, where
//! replies can be memorised, and the task asks the others.

use sha2::{Digest, Sha256};
use tokensieve_base::streams::HashedStream;

use crate::arithmetic::Split;
use crate::figfont::Library;
use crate::task::{one, value};
use crate::{Answer, Measure, Question, Result, Task};

/// A puzzle with its solution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Puzzle {
    /// Letters set apart by blanks, words by `/`.
    pub plain: String,
    /// The same in the cipher.
    pub secret: String,
}

/// Number of puzzles in the task.
const TEST: u64 = 1000;

/// Maximum number of new tokens: the longest puzzle has 17 letters and two strokes.
const LIMIT: usize = 24;

/// Words of a puzzle.
const WORDS: usize = 3;

pub(crate) const MEASURES: &[Measure] = &[
    Measure::share("exact", "the reply is the solution, whatever the white space around it"),
    Measure::share("jaro-winkler", "mean Jaro-Winkler similarity of reply and solution"),
];

impl Puzzle {
    /// Number `index` of a seed and split. The cipher is the same for all seeds.
    pub fn new(library: &Library, seed: u64, split: Split, index: u64) -> Self {
        let mut stream = HashedStream::new(seed, &format!("cipher/{split:?}/{index}"));
        let mut word = || loop {
            let word = library.word(&mut stream);
            if split_of(&word) == split {
                return word;
            }
        };
        let words: Vec<String> = (0..WORDS).map(|_| word()).collect();
        let alphabet = alphabet();
        let written = |of: &dyn Fn(char) -> char| {
            let word = |word: &String| {
                word.chars().map(|letter| of(letter).to_string()).collect::<Vec<_>>().join(" ")
            };
            words.iter().map(word).collect::<Vec<_>>().join(" / ")
        };
        let secret = |letter: char| match letter {
            'A'..='Z' => alphabet[(letter as usize) - ('A' as usize)],
            other => other,
        };
        Self { plain: written(&|letter| letter), secret: written(&secret) }
    }

    /// The user's turn, in training and in the task.
    pub fn prompt(&self) -> String {
        format!("Write in the cipher, letter by letter.\n\n{}", self.plain)
    }
}

/// What the letters from A to Z stand for: none for itself.
fn alphabet() -> Vec<char> {
    let mut letters: Vec<char> = ('A'..='Z').collect();
    let mut stream = HashedStream::new(0, "cipher/alphabet");
    loop {
        stream.shuffle(&mut letters);
        if letters.iter().zip('A'..='Z').all(|(secret, plain)| *secret != plain) {
            return letters;
        }
    }
}

fn split_of(word: &str) -> Split {
    if Sha256::digest(word)[0] < 128 { Split::Test } else { Split::Train }
}

pub(crate) fn open() -> Result<Task> {
    let library = Library::load()?;
    let items = (0..TEST).map(|index| {
        let puzzle = Puzzle::new(&library, 0, Split::Test, index);
        (Question::reply(index.to_string(), puzzle.prompt(), LIMIT), puzzle.secret)
    });
    Ok(Task::new("cipher", items, MEASURES, mark))
}

fn mark(secret: &String, answer: &Answer) -> Result<Vec<Vec<f64>>> {
    let reply = answer.text()?.trim();
    Ok(vec![one(reply == *secret), value(strsim::jaro_winkler(reply, secret))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_always_stand_for_the_same_other_letter() {
        let library = Library::load().unwrap();
        let mut known = std::collections::BTreeMap::new();
        for index in 0..300 {
            let puzzle = Puzzle::new(&library, 4, Split::Train, index);
            assert_eq!(puzzle.plain.len(), puzzle.secret.len());
            assert_eq!(puzzle.plain.matches('/').count(), WORDS - 1);
            for (plain, secret) in puzzle.plain.chars().zip(puzzle.secret.chars()) {
                assert_eq!(*known.entry(plain).or_insert(secret), secret);
                assert_eq!(plain == secret, !plain.is_ascii_uppercase(), "{puzzle:?}");
            }
        }
        assert!(known.len() > 20);
    }

    #[test]
    fn words_are_in_one_split() {
        let library = Library::load().unwrap();
        let words = |split| {
            let puzzles = (0..500).map(|index| Puzzle::new(&library, 1, split, index).plain);
            puzzles.flat_map(|plain| plain.split(" / ").map(str::to_owned).collect::<Vec<_>>()).collect()
        };
        let [train, test]: [std::collections::BTreeSet<String>; 2] =
            [words(Split::Train), words(Split::Test)];
        assert!(train.is_disjoint(&test) && train.len() > 50 && test.len() > 50);
    }

    #[test]
    fn a_reply_is_graded_by_its_letters() {
        let mark = |text: &str| {
            mark(&"X Q".to_owned(), &Answer::Reply { text: text.into(), tokens: 2, ended: true }).unwrap()
        };
        assert_eq!(mark(" X Q\n"), [[1.0, 1.0], [1.0, 1.0]]);
        assert_eq!(mark("")[1], [0.0, 1.0]);
    }
}
