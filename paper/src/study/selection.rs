//! Which kinds of tokens an objective selects among scored documents.

use crate::lab::evaluation::Tallies;
use crate::named::named;
use crate::tokens::{Document, top_quarter};
use anyhow::Result;

named! {
    /// A kind of token: several of the trainer's classes.
    pub enum Kind {
        /// Punctuation, whitespace, line breaks, the end of the turn.
        Structural = "structural",
        /// Numbers and operators.
        Arithmetic = "arithmetic",
        /// Beginnings of words and their continuations.
        Words = "words",
        /// Everything else.
        Other = "other",
    }
}

impl Kind {
    fn of(class: Option<&str>) -> Self {
        match class {
            Some("punctuation" | "space" | "special") => Self::Structural,
            Some("number" | "operator") => Self::Arithmetic,
            Some("word" | "continuation") => Self::Words,
            _ => Self::Other,
        }
    }
}

/// How many tokens of every document are of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// Among the selected.
    pub selected: Tallies,
    /// Among all of the response.
    pub of_all: Tallies,
}

/// The counts of every kind, in the order of [`Kind::ALL`], if the top quarter of these documents' tokens is selected.
pub fn shares(documents: &[Document]) -> Result<Vec<Share>> {
    let selected = top_quarter(documents)?;
    let tallies = |kind: Kind, everything: bool| {
        Tallies::of(documents.iter().zip(&selected).map(|(document, flags)| {
            let counted = document.response().zip(flags).filter(|(_, selected)| everything || **selected);
            let pair = counted.fold([0.0; 2], |[of_kind, all], (token, _)| {
                let is_of_kind = Kind::of(token.class.as_deref()) == kind;
                [of_kind + f64::from(u8::from(is_of_kind)), all + 1.0]
            });
            (document.row, pair)
        }))
    };
    let share = |kind: &Kind| Share { selected: tallies(*kind, false), of_all: tallies(*kind, true) };
    Ok(Kind::ALL.iter().map(share).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::{Better, gain};
    use crate::tokens::Token;
    use anyhow::Context as _;

    /// Two documents of a number, a sign and two words each, with the losses of these, and a prompt that does not count.
    fn documents(losses: [[f64; 4]; 2]) -> Vec<Document> {
        let prompt = Token { class: Some("number".into()), ..Token::default() };
        let token = |(class, loss): (&str, f64)| Token {
            response: true,
            class: Some(class.into()),
            loss: Some(loss),
            entropy: Some(0.0),
            ..Token::default()
        };
        let tokens = |losses: [f64; 4]| {
            let response = ["number", "punctuation", "word", "continuation"].into_iter().zip(losses);
            std::iter::once(prompt.clone()).chain(response.map(token)).collect()
        };
        losses.into_iter().enumerate().map(|(row, losses)| Document { row, tokens: tokens(losses) }).collect()
    }

    #[test]
    fn shares_are_of_the_quarter_with_the_largest_losses_of_all_documents() -> Result<()> {
        // Two of eight tokens are selected: both from the first document.
        let found = shares(&documents([[5.0, 4.0, 1.0, 1.0], [0.5, 0.5, 0.5, 0.5]]))?;
        let [structural, arithmetic, words, other] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(structural.selected.pairs, [[1.0, 2.0], [0.0, 0.0]]);
        assert_eq!(structural.of_all.pairs, [[1.0, 4.0], [1.0, 4.0]]);
        let share = |share: &Share| [share.selected.value(), share.of_all.value()];
        assert_eq!(share(structural), [Some(0.5), Some(0.25)]);
        assert_eq!(share(arithmetic), [Some(0.5), Some(0.25)]);
        assert_eq!(share(words), [Some(0.0), Some(0.5)]);
        assert_eq!(share(other), [Some(0.0), Some(0.0)]);
        Ok(())
    }

    #[test]
    fn a_change_is_of_the_same_documents() -> Result<()> {
        let before = shares(&documents([[0.0, 9.0, 0.0, 0.0], [0.0, 9.0, 0.0, 0.0]]))?;
        let after = shares(&documents([[9.0, 0.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0]]))?;
        let change = |kind: usize| {
            let [after, before] = [&after[kind].selected, &before[kind].selected];
            gain(&[after; 3], &[before; 3], Better::More, "selected")?.estimate().context("defined")
        };
        for (kind, expected) in [(0, -1.0), (1, 1.0), (2, 0.0)] {
            let found = change(kind)?;
            let all = [found.value, found.low, found.high];
            assert!(all.iter().all(|x| (x - expected).abs() < 1e-12), "{}: {found:?}", Kind::ALL[kind]);
        }
        let fewer = shares(&documents([[1.0; 4]; 2])[..1])?;
        assert!(gain(&[&fewer[0].selected], &[&before[0].selected], Better::More, "selected").is_err());
        Ok(())
    }
}
