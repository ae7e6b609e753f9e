//! Generated data for training and testing, determined by a seed.

use std::ops::Range;

use serde_json::{Value, json};

use crate::arithmetic::{self, Split, Telling};
use crate::cipher;
use crate::figfont::{self, Library, Puzzle};
use crate::oracle::{self, Language};
use crate::overlap::{self, Instruction};
use crate::{Error, Message, Result};
use crate::{gsm8k, instructions, rows};
use tokensieve_base::streams::HashedStream;
use tokensieve_data::Catalogue;

/// The generators that [`make`] knows.
pub const MAKES: [&str; 8] =
    ["arithmetic", "instructions", "figfont", "cipher", "alpaca", "gsm8k", "sharegpt", "oracle"];

/// Rows for `tokensieve train`: each an `id` and `messages`, the user's turn as the task of that name asks it and the
/// right answer as the assistant's. Row i of a seed and split does not depend on which `indices` are asked for, so that
/// rows beyond those of a training set are held out.
///
/// Rows of `arithmetic` with wrong numbers list under `wrong` where each begins and ends, in bytes of the assistant's turn.
///
/// Rows of `oracle` hold `text` instead of `messages`, and what is known of each of its tokens ([`oracle::row`]); those of
/// `sharegpt` hold `conversations`, as the set has them.
///
/// `alpaca` is not generated: split `train` is the set without the instructions that `alpaca-overlap` asks, `test` is
/// those instructions. `gsm8k` is the set itself. `sharegpt` is the sample of conversations, of which `test` is every
/// seventh. The seed determines the order; there are at most as many rows as the set has.
pub fn make(
    task: &str,
    split: &str,
    indices: Range<u64>,
    seed: u64,
) -> Result<Box<dyn Iterator<Item = Value>>> {
    let name = format!("{task}/{split}/{seed}");
    let row = move |index: u64, prompt: String, reply: String| json!({ "id": format!("{name}/{index}"), "messages": [Message::user(prompt), Message::assistant(reply)] });
    Ok(match task {
        "arithmetic" => {
            let (split, telling) = Telling::of_split(split)?;
            Box::new(indices.map(move |index| {
                let problem = arithmetic::problem(seed, split, index);
                let reply = telling.reply(&problem, seed, index);
                let mut row = row(index, telling.prompt(&problem), reply.text);
                if telling.is_noisy() {
                    let places = reply.wrong.iter().map(|place| [place.start, place.end]);
                    row["wrong"] = places.collect();
                }
                row
            }))
        }
        "instructions" => {
            let split = one_of(split, [("train", Split::Train), ("test", Split::Test)])?;
            let made = indices.map(move |index| {
                let made = instructions::instruction(seed, split, index)?;
                Ok(row(index, made.prompt, made.response))
            });
            Box::new(made.collect::<Result<Vec<_>>>()?.into_iter())
        }
        "figfont" => {
            use figfont::Split::{Test, Train, Unseen};
            let split = one_of(split, [("train", Train), ("test", Test), ("unseen", Unseen)])?;
            let library = Library::load()?;
            Box::new(indices.map(move |index| {
                let puzzle = Puzzle::new(&library, seed, split, index);
                row(index, puzzle.prompt(), puzzle.word)
            }))
        }
        "cipher" => {
            let split = one_of(split, [("train", Split::Train), ("test", Split::Test)])?;
            let library = Library::load()?;
            Box::new(indices.map(move |index| {
                let puzzle = cipher::Puzzle::new(&library, seed, split, index);
                row(index, puzzle.prompt(), puzzle.secret)
            }))
        }
        "alpaca" => {
            let held_out = one_of(split, [("train", false), ("test", true)])?;
            let mut rows = overlap::alpaca()?;
            rows.retain(|row| row.is_held_out() == held_out);
            HashedStream::new(seed, "alpaca").shuffle(&mut rows);
            let row =
                move |(index, data): (u64, Instruction)| row(index, data.prompt(), data.output().to_owned());
            let rows = rows.into_iter().skip(indices.start as usize);
            Box::new(indices.zip(rows).map(row))
        }
        "gsm8k" => {
            let split = one_of(split, [("train", "train"), ("test", "test")])?;
            let mut rows = gsm8k::split(split)?;
            HashedStream::new(seed, "gsm8k").shuffle(&mut rows);
            let rows = rows.into_iter().skip(indices.start as usize);
            Box::new(indices.zip(rows).map(move |(index, data)| row(index, data.question, data.answer)))
        }
        "sharegpt" => {
            let held_out = one_of(split, [("train", false), ("test", true)])?;
            let sample = Catalogue::load()?.fetch("sharegpt-sample")?;
            let rows: Vec<Value> = rows::json_lines(sample.path("train"))?;
            let of_split = rows.into_iter().enumerate().filter(|(at, _)| (at % 7 == 6) == held_out);
            let mut rows: Vec<Value> = of_split.map(|(_, row)| row).collect();
            HashedStream::new(seed, "sharegpt").shuffle(&mut rows);
            Box::new(
                rows.into_iter().skip(indices.start as usize).take((indices.end - indices.start) as usize),
            )
        }
        "oracle" => {
            let language = Language::new(seed, oracle::settings(split)?);
            let split = split.to_owned();
            Box::new(indices.map(move |index| oracle::row(&language, seed, &split, index)))
        }
        _ => {
            let what = format!("no generator is called `{task}`; there are {}", MAKES.join(", "));
            return Err(Error::Setting(what));
        }
    })
}

fn one_of<T: Copy, const N: usize>(name: &str, splits: [(&str, T); N]) -> Result<T> {
    let found = splits.iter().find(|(known, _)| *known == name).map(|(_, split)| *split);
    found.ok_or_else(|| {
        let known = splits.map(|(known, _)| known).join(", ");
        Error::Setting(format!("no split is called `{name}`; there are {known}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chats_and_do_not_depend_on_their_number() {
        let few: Vec<Value> = make("arithmetic", "train", 0..3, 5).unwrap().collect();
        let many: Vec<Value> = make("arithmetic", "train", 0..30, 5).unwrap().collect();
        assert_eq!(few[..], many[..3]);
        let late: Vec<Value> = make("arithmetic", "train", 28..30, 5).unwrap().collect();
        assert_eq!(late[..], many[28..]);
        assert_eq!(few[0]["messages"][0]["role"], "user");
        assert!(few[0]["messages"][1]["content"].as_str().unwrap().contains("#### "));
    }

    #[test]
    fn unknown_generators_and_splits_are_errors_that_list_the_known_ones() {
        let error = |task, split| make(task, split, 0..1, 0).err().unwrap().to_string();
        assert!(error("poems", "train").contains("arithmetic, "));
        assert!(error("arithmetic", "dev").contains("train, test"));
    }
}
