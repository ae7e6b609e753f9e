//! Tokens as rows of a figure's table, and the conversations that the token viewer shows, made from such rows.

use super::{Document, Quantity, Token};
use crate::row;
use anyhow::{Context as _, Result};
use tokensieve_objective::{Objective, Plan, TokenStats};

row! {
    /// One token at one step of training: a row of every table whose figure shows single tokens.
    #[derive(Default)]
    pub struct TokenRow {
        conversation: String = "name of the conversation",
        step: u64 = "training steps before the scoring; 0 is the base model",
        position: usize = "the token's place in the conversation, from 0",
        text: String = "the token's text",
        response: bool = "whether the token belongs to the response, which alone is scored",
        class: Option<String> = "kind of token: number, operator, punctuation, word, …",
        loss_nats in "nats": Option<f64> = "−log *p* of the token, without dropout",
        entropy_nats in "nats": Option<f64> = "entropy of the prediction without dropout",
        probability: Option<f64> = "*p* of the token, without dropout",
        total_nats in "nats": Option<f64> = "total uncertainty: entropy of the mean prediction under dropout",
        aleatoric_nats in "nats": Option<f64> = "aleatoric uncertainty: mean entropy of the predictions under dropout",
        epistemic_nats in "nats": Option<f64> = "epistemic uncertainty (BALD): total minus aleatoric",
        selected: Option<bool> = "whether it is in the top quarter by loss of all tokens scored with it",
        top: String = "most probable tokens with their probabilities, as JSON",
    }
}

impl TokenRow {
    /// The rows of one document.
    pub fn of(conversation: &str, step: u64, document: &Document, selected: &[bool]) -> Result<Vec<Self>> {
        let mut selected = selected.iter();
        let row = |(position, token): (usize, &Token)| {
            Ok(Self {
                conversation: conversation.into(),
                step,
                position,
                text: token.text.clone(),
                response: token.response,
                class: token.class.clone(),
                loss_nats: token.loss,
                entropy_nats: token.entropy,
                probability: token.probability,
                total_nats: token.total,
                aleatoric_nats: token.aleatoric,
                epistemic_nats: token.epistemic,
                selected: if token.response { selected.next().copied() } else { None },
                top: if token.top.is_empty() { String::new() } else { serde_json::to_string(&token.top)? },
            })
        };
        document.tokens.iter().enumerate().map(row).collect()
    }

    /// The most probable tokens with their probabilities.
    pub fn top(&self) -> Result<Vec<(String, f64)>> {
        if self.top.is_empty() { Ok(Vec::new()) } else { Ok(serde_json::from_str(&self.top)?) }
    }

    /// A quantity, where it was measured.
    pub fn value(&self, quantity: Quantity) -> Option<f64> {
        match quantity {
            Quantity::Epistemic => self.epistemic_nats,
            Quantity::Aleatoric => self.aleatoric_nats,
            Quantity::Total => self.total_nats,
            Quantity::Loss => self.loss_nats,
            Quantity::Entropy => self.entropy_nats,
            // Not among what is shown token by token.
            Quantity::Pairwise => None,
        }
    }
}

/// One conversation, scored at one or more steps of training.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    /// Its name.
    pub name: String,
    /// Steps in order, each with every token.
    pub steps: Vec<(u64, Vec<TokenRow>)>,
}

/// Gathers rows into conversations, in the order of their first rows, with steps in ascending order.
pub fn conversations(rows: Vec<TokenRow>) -> Vec<Conversation> {
    let mut found: Vec<Conversation> = Vec::new();
    for row in rows {
        let at = found.iter().position(|conversation| conversation.name == row.conversation);
        let at = at.unwrap_or_else(|| {
            found.push(Conversation { name: row.conversation.clone(), steps: Vec::new() });
            found.len() - 1
        });
        let steps = &mut found[at].steps;
        match steps.iter_mut().find(|(step, _)| *step == row.step) {
            Some((_, tokens)) => tokens.push(row),
            None => steps.push((row.step, vec![row])),
        }
    }
    for conversation in &mut found {
        conversation.steps.sort_by_key(|(step, _)| *step);
        for (_, tokens) in &mut conversation.steps {
            tokens.sort_by_key(|row| row.position);
        }
    }
    found
}

/// Which response tokens paper A's objective would learn if these documents were the batch: by the objective itself.
pub fn top_quarter(documents: &[Document]) -> Result<Vec<Vec<bool>>> {
    let mut stats = Vec::new();
    for (document, index) in documents.iter().zip(0..) {
        for (token, position) in document.response().zip(0..) {
            let (loss, entropy) = token.loss.zip(token.entropy).context("a response token without scores")?;
            stats.push(TokenStats { document: index, position, ..TokenStats::new(loss, entropy) });
        }
    }
    let mut training = Objective::preset("masked-mle")?.begin(Plan { steps: 1, seed: 0 });
    let mut selected = training.pulls(&stats)?.selected.iter().copied();
    Ok(documents.iter().map(|d| selected.by_ref().take(d.response().count()).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;
    use crate::tokens::synthetic;

    #[test]
    fn documents_survive_the_table_with_every_blank_and_quote() -> Result<()> {
        let mut documents = synthetic::documents("row test", 2, 0.1);
        documents[0].tokens[0].text = " \"a\",\n\u{1F600}\tb".into();
        let selected = top_quarter(&documents)?;
        let mut rows = Vec::new();
        for step in [20, 0] {
            rows.extend(TokenRow::of("one", step, &documents[0], &selected[0])?);
        }
        rows.extend(TokenRow::of("two", 0, &documents[1], &selected[1])?);
        let back: Vec<TokenRow> = Table::from_csv(&Table::from_rows(&rows)?.to_csv()?)?.rows()?;
        assert_eq!(back, rows);
        let found = conversations(back);
        assert_eq!(found.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(found[0].steps.iter().map(|step| step.0).collect::<Vec<_>>(), [0, 20]);
        for (row, token) in found[0].steps[1].1.iter().zip(&documents[0].tokens) {
            assert_eq!((&row.text, row.response, &row.class), (&token.text, token.response, &token.class));
            assert_eq!((row.probability, row.top()?), (token.probability, token.top.clone()));
            assert_eq!(Quantity::ALL.map(|of| row.value(of)), Quantity::ALL.map(|of| of.of(token)));
        }
        Ok(())
    }

    #[test]
    fn a_quarter_of_all_tokens_is_selected_and_no_other_has_a_larger_loss() -> Result<()> {
        let documents = synthetic::documents("selection test", 3, 0.1);
        let selected = top_quarter(&documents)?;
        let losses: Vec<f64> = documents.iter().flat_map(|d| d.values(Quantity::Loss)).collect();
        let flags: Vec<bool> = selected.concat();
        let kept = flags.iter().filter(|flag| **flag).count();
        assert_eq!(kept, (losses.len() as f64 * 0.25).round() as usize);
        let of =
            |wanted: bool| losses.iter().zip(&flags).filter(move |(_, f)| **f == wanted).map(|(l, _)| *l);
        assert!(of(true).fold(f64::INFINITY, f64::min) >= of(false).fold(0.0, f64::max));
        Ok(())
    }

    #[test]
    fn every_column_is_documented() -> Result<()> {
        let table = Table::from_rows(&[TokenRow::default()])?;
        let documented: Vec<&str> = TokenRow::columns().iter().map(|column| column.name).collect();
        assert_eq!(table.header(), documented);
        Ok(())
    }
}
