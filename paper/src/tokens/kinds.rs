//! Kinds of tokens, and how many of each are among those that selection by loss would choose.

use super::document::Document;
use super::row::top_quarter;
use crate::named::named;
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

/// The share of every kind, in the order of [`Kind::ALL`], in the quarter of these documents' response tokens with the largest
/// loss.
pub fn shares(documents: &[Document]) -> Result<Vec<f64>> {
    let selected = top_quarter(documents)?.concat();
    let kinds: Vec<Kind> = documents
        .iter()
        .flat_map(|document| document.response().map(|token| Kind::of(token.class.as_deref())))
        .collect();
    let chosen = selected.iter().filter(|selected| **selected).count();
    let share = |kind: &Kind| {
        let of_kind = kinds.iter().zip(&selected).filter(|(known, selected)| **selected && *known == kind);
        of_kind.count() as f64 / chosen as f64
    };
    Ok(Kind::ALL.iter().map(share).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::Token;

    #[test]
    fn shares_are_of_the_quarter_with_the_largest_losses_of_all_documents() -> Result<()> {
        // Two documents of a number, a sign and two words each, and a prompt that does not count.
        let prompt = Token { class: Some("number".into()), ..Token::default() };
        let token = |(class, loss): (&str, f64)| Token {
            response: true,
            class: Some(class.into()),
            loss: Some(loss),
            entropy: Some(0.0),
            ..Token::default()
        };
        let document = |(row, losses): (usize, [f64; 4])| {
            let response = ["number", "punctuation", "word", "continuation"].into_iter().zip(losses);
            let tokens = std::iter::once(prompt.clone()).chain(response.map(token)).collect();
            Document { row, tokens }
        };
        // Two of eight tokens are selected: both from the first document.
        let documents = [(0, [5.0, 4.0, 1.0, 1.0]), (1, [0.5; 4])].map(document);
        assert_eq!(shares(&documents)?, [0.5, 0.5, 0.0, 0.0]);
        Ok(())
    }
}
