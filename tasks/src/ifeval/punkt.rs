//! Sentences as NLTK's Punkt finds them (Kiss and Strunk, Computational Linguistics 2006).
//!
//! A full stop ends a sentence unless its word is a known abbreviation, an initial or a number that the next word's
//! spelling confirms. The parameters were learnt from newspapers and come with the data catalogue.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::{LazyLock, OnceLock};

use regex::Regex;
use tokensieve_data::Catalogue;

use super::python;
use crate::{Error, Result};

/// Punkt's parameters for a language.
pub(super) struct Punkt {
    abbreviations: HashSet<String>,
    /// `word TAB word`: pairs between which a full stop ends no sentence.
    collocations: HashSet<String>,
    /// Words that often begin a sentence after an abbreviation.
    starters: HashSet<String>,
    /// The contexts in which a word occurred, as a sum of the flags below.
    contexts: HashMap<String, u8>,
}

/// Seen with a capital within a sentence.
const CAPITAL_WITHIN: u8 = 4;
/// Seen with a capital.
const CAPITAL: u8 = 2 + CAPITAL_WITHIN + 8;
/// Seen in lower case at the beginning of a sentence.
const SMALL_FIRST: u8 = 16;
/// Seen in lower case.
const SMALL: u8 = SMALL_FIRST + 32 + 64;

/// Stands for every number.
const NUMBER: &str = "##number##";

impl Punkt {
    /// The parameters for English.
    pub(super) fn english() -> Result<&'static Self> {
        static ENGLISH: OnceLock<Punkt> = OnceLock::new();
        if let Some(english) = ENGLISH.get() {
            return Ok(english);
        }
        let files = Catalogue::load()?.fetch("punkt-english")?;
        let english = Self {
            abbreviations: lines(files.path("abbreviations"))?,
            collocations: lines(files.path("collocations"))?,
            starters: lines(files.path("sentence-starters"))?,
            contexts: orthographic_contexts(files.path("orthography"))?,
        };
        Ok(ENGLISH.get_or_init(|| english))
    }

    /// The sentences of a text.
    pub(super) fn sentences<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let mut parts = Vec::new();
        let mut start = 0;
        for candidate in candidates(text) {
            if self.ends_within(&text[candidate.context.clone()]) {
                parts.push(start..candidate.end);
                start = candidate.next;
            }
        }
        parts.push(start..text.trim_end_matches(python::is_space).len());
        with_closing_marks(text, &parts)
    }

    /// Whether a sentence ends before the last token of the text around a mark.
    fn ends_within(&self, context: &str) -> bool {
        let tokens: Vec<Token> =
            context.split('\n').flat_map(tokens).map(|text| Token::new(text, &self.abbreviations)).collect();
        tokens.windows(2).any(|pair| self.ends_between(&pair[0], &pair[1]))
    }

    fn ends_between(&self, token: &Token, next: &Token) -> bool {
        if !token.text.ends_with('.') {
            return token.ends;
        }
        let (word, follower) = (without_period(&token.kind), next.word());
        if self.collocations.contains(&format!("{word}\t{follower}")) {
            return false;
        }
        let contexts = self.contexts.get(follower).copied().unwrap_or(0);
        let begins = begins_sentence(next, contexts);
        let initial = token.is_initial();
        if (token.abbreviation || token.ellipsis) && !initial {
            let starter = next.has_capital() && self.starters.contains(follower);
            if begins == Some(true) || starter {
                return true;
            }
        }
        // J. Bach: a name continues where its second part never occurs in lower case.
        let name = initial && begins.is_none() && next.has_capital() && contexts & SMALL == 0;
        if (initial || word == NUMBER) && (begins == Some(false) || name) {
            return false;
        }
        token.ends
    }
}

/// Whether the token begins a sentence, judging by its spelling; `None` where the spelling does not decide.
fn begins_sentence(token: &Token, contexts: u8) -> Option<bool> {
    if [";", ":", ",", ".", "!", "?"].contains(&token.text) {
        return Some(false);
    }
    if token.has_capital() && contexts & SMALL != 0 && contexts & CAPITAL_WITHIN == 0 {
        return Some(true);
    }
    let small = token.text.starts_with(char::is_lowercase);
    (small && (contexts & CAPITAL != 0 || contexts & SMALL_FIRST == 0)).then_some(false)
}

/// A token, with the properties that do not depend on its neighbours.
struct Token<'a> {
    text: &'a str,
    /// In lower case, numbers all alike.
    kind: String,
    ends: bool,
    abbreviation: bool,
    ellipsis: bool,
}

impl<'a> Token<'a> {
    fn new(text: &'a str, abbreviations: &HashSet<String>) -> Self {
        static NUMERIC: LazyLock<Regex> = LazyLock::new(|| python::regex(r"^-?[.,]?\d[\d,.-]*$"));
        let lower = text.to_lowercase();
        let ellipsis = text.len() > 1 && text.bytes().all(|byte| byte == b'.');
        let stopped = lower.strip_suffix('.').filter(|word| !word.is_empty() && !word.ends_with('.'));
        // Of a hyphenated word the last part may be an abbreviation.
        let abbreviation = stopped.is_some_and(|word| {
            abbreviations.contains(word)
                || word.rsplit('-').next().is_some_and(|part| abbreviations.contains(part))
        });
        let ends = [".", "?", "!"].contains(&text) || stopped.is_some() && !abbreviation;
        let kind = if NUMERIC.is_match(&lower) { NUMBER.to_owned() } else { lower };
        Self { text, kind, ends, abbreviation, ellipsis }
    }

    /// Its kind, without a full stop that ends a sentence.
    fn word(&self) -> &str {
        if self.ends { without_period(&self.kind) } else { &self.kind }
    }

    fn has_capital(&self) -> bool {
        self.text.starts_with(char::is_uppercase)
    }

    /// A letter and a full stop.
    fn is_initial(&self) -> bool {
        static INITIAL: LazyLock<Regex> = LazyLock::new(|| python::regex(r"^[\w--\d]\.$"));
        INITIAL.is_match(self.text)
    }
}

fn without_period(kind: &str) -> &str {
    kind.strip_suffix('.').filter(|word| !word.is_empty()).unwrap_or(kind)
}

/// Characters that are in no word; the question and exclamation marks among them end sentences.
fn is_between_words(character: char) -> bool {
    ")\";}]*:@'({[?!".contains(character)
}

/// Several dashes or dots in a row.
static RUN: LazyLock<Regex> = LazyLock::new(|| python::regex(r"^(?:-{2,}|\.{2,}|(?:\.\s){2,}\.)"));

/// The tokens of one line.
fn tokens(line: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start_matches(python::is_space);
    while let Some(first) = rest.chars().next() {
        let length = match RUN.find(rest) {
            Some(run) => run.len(),
            None if "(\"`{[:;&#*@)}]-,".contains(first) => 1,
            None => word_length(rest),
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after.trim_start_matches(python::is_space);
    }
    tokens
}

/// Bytes up to the word's end: white space, a mark or a run, or a comma before one of these.
fn word_length(text: &str) -> usize {
    let ends = |rest: &str| {
        rest.chars().next().is_none_or(|next| python::is_space(next) || is_between_words(next))
            || RUN.is_match(rest)
    };
    let is_end = |rest: &str| ends(rest) || rest.strip_prefix(',').is_some_and(ends);
    text.char_indices().skip(1).map(|(at, _)| at).find(|at| is_end(&text[*at..])).unwrap_or(text.len())
}

/// A mark that may end a sentence.
struct Candidate {
    /// After the mark.
    end: usize,
    /// Where the next sentence would begin.
    next: usize,
    /// From the word before the mark to the one after it.
    context: Range<usize>,
}

/// The marks before white space or other marks; of several at one word only the last.
fn candidates(text: &str) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut word = 0..0;
    for (mark, _) in text.match_indices(['.', '?', '!']) {
        let end = mark + 1;
        let Some((next, close)) = follower(text, end) else { continue };
        let space = text[word.end..mark].rfind([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
        // White space directly after the previous mark is skipped, as in the checker behind the recorded verdicts.
        let start = space.filter(|at| *at > 0).map_or(word.start, |at| word.end + at + 1);
        if word.end > start {
            found.pop();
        }
        found.push(Candidate { end, next, context: start..close });
        word = start..mark;
    }
    found
}

/// Where what follows a mark begins, white space left out, and where it ends; nothing if the mark is within a word or the
/// last of the text.
fn follower(text: &str, end: usize) -> Option<(usize, usize)> {
    let rest = &text[end..];
    if rest.starts_with(is_between_words) {
        return Some((end, end + 1));
    }
    let token = rest.trim_start_matches(python::is_space);
    if token.len() == rest.len() || token.is_empty() {
        return None;
    }
    let next = text.len() - token.len();
    Some((next, next + token.find(python::is_space).unwrap_or(token.len())))
}

/// The parts, with the closing quotation marks and brackets that follow a part moved to it.
fn with_closing_marks<'a>(text: &'a str, parts: &[Range<usize>]) -> Vec<&'a str> {
    let mut sentences = Vec::new();
    let mut moved = 0;
    for (index, part) in parts.iter().enumerate() {
        let start = part.start + moved;
        let next = parts.get(index + 1).map_or("", |next| &text[next.clone()]);
        let rest = next.trim_start_matches(['"', '\'', ')', ']', '}']);
        let marks = next.len() - rest.len();
        let sentence = if marks > 0
            && (rest.is_empty() || rest.starts_with(python::is_space) || rest.starts_with("--"))
        {
            moved = next.len() - rest.trim_start_matches(python::is_space).len();
            start..parts[index + 1].start + marks
        } else {
            moved = 0;
            start..part.end
        };
        sentences.push(&text[sentence]);
    }
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

fn lines(path: &Path) -> Result<HashSet<String>> {
    let text = fs::read_to_string(path).map_err(|error| Error::file(path, error))?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn orthographic_contexts(path: &Path) -> Result<HashMap<String, u8>> {
    let entry = |(line, (word, sum)): (usize, (String, &str))| {
        let sum = sum.parse().map_err(|error| Error::line(path, line + 1, error))?;
        Ok((word, sum))
    };
    let text = fs::read_to_string(path).map_err(|error| Error::file(path, error))?;
    let parts = text.lines().map(|line| line.rsplit_once('\t').unwrap_or((line, "")));
    parts.map(|(word, sum)| (word.to_owned(), sum)).enumerate().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(text: &str) -> Vec<&str> {
        Punkt::english().unwrap().sentences(text)
    }

    #[test]
    fn abbreviations_initials_and_numbers_go_on() {
        assert_eq!(
            sentences("J. Bach met Mr. Gould at 5 p.m. in the U.S. capital."),
            ["J. Bach met Mr. Gould at 5 p.m. in the U.S. capital."]
        );
        assert_eq!(
            sentences("It was 3. the others left. They won 2. He slept."),
            ["It was 3. the others left.", "They won 2.", "He slept."]
        );
    }

    #[test]
    fn abbreviations_end_sentences_before_their_starters() {
        assert_eq!(
            sentences("He works for Acme Inc. However, it failed. See p.m. The end."),
            ["He works for Acme Inc.", "However, it failed.", "See p.m.", "The end."]
        );
    }

    #[test]
    fn closing_marks_stay_with_their_sentence() {
        assert_eq!(
            sentences("(Go.) \"Why?\" 'Because!'\n\n[End.]  "),
            ["(Go.)", "\"Why?\"", "'Because!'", "[End.]"]
        );
    }

    #[test]
    fn of_several_marks_the_last_counts() {
        assert_eq!(
            sentences("No!!! Yes?! Well... maybe. . . . so"),
            ["No!!!", "Yes?!", "Well... maybe.", ".", ".", ".", "so"]
        );
    }

    #[test]
    fn blank_text_has_no_sentence() {
        assert_eq!(sentences(" \n\t"), [""; 0]);
        assert_eq!(sentences("."), ["."]);
    }

    #[test]
    fn tokens_end_at_marks_and_runs() {
        let line = "(well-known, e.g. 1,000) end--of \"it\"... a,b, c . . . x@y";
        let expected = [
            "(",
            "well-known",
            ",",
            "e.g.",
            "1,000",
            ")",
            "end",
            "--",
            "of",
            "\"",
            "it",
            "\"",
            "...",
            "a,b",
            ",",
            "c",
            ". . .",
            "x",
            "@",
            "y",
        ];
        assert_eq!(tokens(line), expected);
    }
}
