//! Reading words drawn in FIGlet fonts, a domain that pre-training hardly covers.
//!
//! A puzzle is a word of 2 to 5 letters in capitals, its letters set apart by blanks, in one of the readable fonts. Words
//! and fonts are drawn by seed. One word in eight is kept for the split with unseen words; of the others, one drawing in
//! eight is kept for the test split, which therefore shows words and fonts that training has too, but no pair of them.

mod font;
mod library;

pub use font::{Font, KERN, SMUSH};
pub use library::{Library, is_readable};
use sha2::{Digest, Sha256};

use crate::task::{one, value};
use crate::{Answer, Measure, Question, Result, Task};
use tokensieve_base::streams::HashedStream;

/// The split of a puzzle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Training.
    Train,
    /// Words and fonts that occur in training, in pairs that do not.
    Test,
    /// Words that do not occur in training.
    Unseen,
}

/// A drawn word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Puzzle {
    /// In capitals.
    pub word: String,
    /// The font's name.
    pub font: String,
    /// The word as drawn, without blank rows and the blanks at the rows' ends.
    pub drawing: String,
}

/// Number of puzzles in each task.
const TEST: u64 = 1000;

/// Maximum number of new tokens, as in the published protocol.
const LIMIT: usize = 5;

pub(crate) const MEASURES: &[Measure] = &[
    Measure::share("exact", "the reply is the word, whatever its case and the white space around it"),
    Measure::share("jaro-winkler", "mean Jaro-Winkler similarity of reply and word, both in capitals"),
];

impl Puzzle {
    /// Number `index` of a seed and split.
    pub fn new(library: &Library, seed: u64, split: Split, index: u64) -> Self {
        let mut stream = HashedStream::new(seed, &format!("figfont/{split:?}/{index}"));
        loop {
            let (name, font) = stream.choose(library.fonts());
            let word = library.word(&mut stream);
            let drawing = draw(font, &word);
            if split_of(&word, &drawing) == split {
                return Self { drawing, font: name.clone(), word };
            }
        }
    }

    /// The user's turn, in training and in the tasks.
    pub fn prompt(&self) -> String {
        format!("Which word is drawn here? Answer with the word alone.\n\n{}", self.drawing)
    }
}

/// The split depends on word and drawing alone, so that no drawing is in both splits, whatever the seeds; some fonts draw
/// a word identically.
fn split_of(word: &str, drawing: &str) -> Split {
    let kept = |text: &str| Sha256::digest(text)[0] < 32;
    match (kept(word), kept(drawing)) {
        (true, _) => Split::Unseen,
        (false, true) => Split::Test,
        (false, false) => Split::Train,
    }
}

fn draw(font: &Font, word: &str) -> String {
    let spaced: Vec<String> = word.chars().map(String::from).collect();
    let rows = font.draw(&spaced.join(" "));
    let rows: Vec<&str> = rows.iter().map(|row| row.trim_end()).filter(|row| !row.is_empty()).collect();
    rows.join("\n")
}

pub(crate) fn open(name: &str, split: Split) -> Result<Task> {
    let library = Library::load()?;
    let items = (0..TEST).map(|index| {
        let puzzle = Puzzle::new(&library, 0, split, index);
        (Question::reply(index.to_string(), puzzle.prompt(), LIMIT), puzzle.word)
    });
    Ok(Task::new(name, items, MEASURES, mark))
}

fn mark(word: &String, answer: &Answer) -> Result<Vec<Vec<f64>>> {
    let reply = answer.text()?.trim().to_uppercase();
    Ok(vec![one(reply == *word), value(strsim::jaro_winkler(&reply, word))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_count_by_likeness() {
        let mark = |text: &str| {
            let answer = Answer::Reply { text: text.into(), tokens: 2, ended: true };
            mark(&"MARTHA".to_owned(), &answer).unwrap()
        };
        assert_eq!(mark(" martha\n"), [[1.0, 1.0], [1.0, 1.0]]);
        // Winkler's own example.
        let [exact, like] = &mark("MARHTA")[..] else { panic!("two measures") };
        assert!(exact[0] == 0.0 && (like[0] - 0.961_111).abs() < 1e-6);
        assert_eq!(mark(""), [[0.0, 1.0], [0.0, 1.0]]);
    }

    #[test]
    fn a_word_is_in_one_split_or_in_two_with_other_fonts() {
        let drawings: Vec<String> = (0..200).map(|n| format!("drawing {n}")).collect();
        let mut seen = [0; 3];
        for word in
            ["AT", "CAT", "HOUSE", "TREE", "UP", "ZEBRA", "SEVEN", "MOON", "CUP", "TEA", "FISH", "BOAT"]
        {
            let splits: Vec<Split> =
                drawings.iter().map(|drawing| split_of(word, &format!("{word} {drawing}"))).collect();
            let is_unseen = splits.contains(&Split::Unseen);
            assert_eq!(is_unseen, splits.iter().all(|split| *split == Split::Unseen), "{word}");
            for split in splits {
                seen[split as usize] += 1;
            }
        }
        assert!(seen[0] > 5 * seen[1], "{seen:?}");
    }
}
