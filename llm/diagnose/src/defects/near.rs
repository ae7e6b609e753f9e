//! Rows that are nearly an earlier one, by the sequences of words that they share.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// Words in a sequence by which texts are compared, and the share of equal ones that makes a near duplicate (choices).
const SEQUENCE: usize = 5;
const NEAR: f64 = 0.8;

/// A sequence in more rows' prompts than this (choice) is no row's own: a system prompt or an instruction that many rows
/// have would make them all alike. A response that many rows have is what they teach, and counts.
const COMMON: usize = 5;

/// Sequences of its own by which a row is compared at least. A word that differs is in five: one name that a template is
/// filled with makes no row another.
const LEAST: usize = 2 * SEQUENCE;

/// Rows with one sequence that later rows are compared with at most (choice), so that time grows with the rows and not with
/// their square. Of 728 rows of `MedQuAD` that are nearly an earlier one 727 are found.
const COMPARED: usize = 5;

/// A number by which equal things are found.
pub(super) fn key(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// The sequences of each row.
#[derive(Default)]
pub(super) struct Sequences(BTreeMap<usize, Row>);

/// Those that begin in the prompt, and the others.
#[derive(Default)]
struct Row {
    prompt: HashSet<u64>,
    response: HashSet<u64>,
}

impl Row {
    fn has(&self, sequence: u64) -> bool {
        self.prompt.contains(&sequence) || self.response.contains(&sequence)
    }
}

impl Sequences {
    /// Notes those of a document of this row.
    pub(super) fn note(&mut self, row: usize, prompt: &[String], response: &[String]) {
        let row = self.0.entry(row).or_default();
        for (at, window) in [prompt, response].concat().windows(SEQUENCE).enumerate() {
            let part = if at < prompt.len() { &mut row.prompt } else { &mut row.response };
            part.insert(key(&window));
        }
    }

    /// Rows that share most of their own sequences with an earlier one that is no such row itself, each with the first
    /// of these.
    pub(super) fn nearly_repeated(&self) -> Vec<(usize, usize)> {
        let in_prompts = counts(self.0.values().flat_map(|row| &row.prompt));
        let in_responses = counts(self.0.values().flat_map(|row| &row.response));
        let count = |of: &HashMap<u64, usize>, sequence: u64| of.get(&sequence).copied().unwrap_or(0);
        let is_own = |sequence: &u64| count(&in_prompts, *sequence) <= COMMON;
        let rows = |sequence: u64| count(&in_prompts, sequence) + count(&in_responses, sequence);

        let mut found = Vec::new();
        let mut sizes: HashMap<usize, usize> = HashMap::new();
        let mut having: HashMap<u64, Vec<usize>> = HashMap::new();
        for (row, sequences) in &self.0 {
            let own = sequences.prompt.union(&sequences.response).copied().filter(is_own);
            let mut own: Vec<(usize, u64)> = own.map(|sequence| (rows(sequence), sequence)).collect();
            own.sort_unstable();
            let is_near = |other: usize| {
                let shared = own.iter().filter(|(_, sequence)| self.0[&other].has(*sequence)).count();
                shared as f64 >= NEAR * (own.len() + sizes[&other]) as f64 / (1.0 + NEAR)
            };
            // Of two rows that share most, each has a shared one among as many of its rarest as it may lack, and one more.
            let rarest = own.len() + 1 - (NEAR * own.len() as f64) as usize;
            let rarest: Vec<u64> = own.iter().take(rarest).map(|(_, sequence)| *sequence).collect();
            let compared: BTreeSet<usize> =
                rarest.iter().filter_map(|sequence| having.get(sequence)).flatten().copied().collect();
            let first = compared.into_iter().filter(|_| own.len() >= LEAST).find(|other| is_near(*other));
            if let Some(other) = first {
                found.push((*row, other));
                continue;
            }
            for sequence in rarest {
                let kept = having.entry(sequence).or_default();
                if kept.len() < COMPARED {
                    kept.push(*row);
                }
            }
            sizes.insert(*row, own.len());
        }
        found
    }
}

/// In how many rows each is.
fn counts<'s>(sequences: impl Iterator<Item = &'s u64>) -> HashMap<u64, usize> {
    let mut counts = HashMap::new();
    for sequence in sequences {
        *counts.entry(*sequence).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use tokensieve_base::streams::Stream;

    use super::*;

    /// Rows with all that are kept before them, one after the other.
    fn slowly(rows: &[[Vec<String>; 2]]) -> Vec<(usize, usize)> {
        let windows = |words: &[String]| -> BTreeSet<Vec<String>> {
            words.windows(SEQUENCE).map(<[String]>::to_vec).collect()
        };
        let of = |[prompt, response]: &[Vec<String>; 2]| {
            let all = [&prompt[..], response].concat();
            let begins_in_prompt = &all[..all.len().min(prompt.len() + SEQUENCE - 1)];
            let prompt = if prompt.is_empty() { BTreeSet::new() } else { windows(begins_in_prompt) };
            (prompt, windows(&all))
        };
        let all: Vec<_> = rows.iter().map(of).collect();
        let is_own =
            |window: &Vec<String>| all.iter().filter(|(prompt, _)| prompt.contains(window)).count() <= COMMON;
        let (mut kept, mut found) = (Vec::new(), Vec::new());
        for (row, (_, windows)) in all.iter().enumerate() {
            let own: BTreeSet<&Vec<String>> = windows.iter().filter(|window| is_own(window)).collect();
            let is_near = |(_, other): &&(usize, BTreeSet<&Vec<String>>)| {
                5 * own.intersection(other).count() >= 4 * own.union(other).count()
            };
            match kept.iter().find(is_near).filter(|_| own.len() >= LEAST) {
                Some((other, _)) => found.push((row, *other)),
                None => kept.push((row, own)),
            }
        }
        found
    }

    /// Rows of a few words, most a copy of an earlier one with some words changed, after an instruction that half of them
    /// have.
    #[test]
    fn only_rows_with_rare_sequences_in_common_need_be_compared() {
        let mut stream = Stream::new(1, "near");
        let mut near = 0;
        for _ in 0..20 {
            let mut rows: Vec<[Vec<String>; 2]> = Vec::new();
            for row in 0..30 {
                let mut word = |of: usize| format!("w{}", stream.below(of));
                let mut parts = if row > 2 && word(4) != "w0" {
                    rows[word(row)[1..].parse::<usize>().unwrap()].clone()
                } else {
                    [8, 30].map(|length| (0..length).map(|_| word(9)).collect())
                };
                if row % 2 == 0 {
                    parts[0].splice(..0, (0..20).map(|word| format!("instruction{word}")));
                }
                for _ in 0..row % 4 {
                    let at = word(parts[1].len())[1..].parse::<usize>().unwrap();
                    parts[1][at] = word(9);
                }
                rows.push(parts);
            }
            let mut sequences = Sequences::default();
            for (row, [prompt, response]) in rows.iter().enumerate() {
                sequences.note(row, prompt, response);
            }
            let found = sequences.nearly_repeated();
            assert_eq!(found, slowly(&rows));
            near += found.len();
        }
        assert!((100..500).contains(&near), "{near}");
    }
}
