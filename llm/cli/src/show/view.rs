//! Documents with tokens coloured by a measure of uncertainty, or a table of all measures.

use std::collections::HashSet;

use clap::ValueEnum;

use super::paint::{Depth, Paint, styled};
use tokensieve_documents::estimates::{DocumentRecord, TokenRecord};
use tokensieve_objective::Band;

/// The measure by which tokens are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum By {
    /// Uncertainty of the model: total − aleatoric
    Epistemic,
    /// Uncertainty of the text: mean entropy of the predictions
    Aleatoric,
    /// Entropy of the mean prediction
    Total,
    /// −log p
    Loss,
    /// Entropy of the prediction
    Entropy,
    /// Whether the loss is among the largest (see --keep)
    Selected,
}

/// Quantile of the values that has the darkest colour, so that a few outliers do not make all other tokens pale.
const DARKEST: f64 = 0.95;

/// Colours from small to large values: from light to dark, so that they are distinguishable without hues.
const RAMP: [[u8; 3]; 6] =
    [[255, 255, 204], [254, 217, 118], [254, 178, 76], [253, 141, 60], [227, 26, 28], [128, 0, 38]];

/// Documents and the scale of their colours.
pub(super) struct View<'a> {
    documents: &'a [DocumentRecord],
    by: By,
    /// The selected tokens, each by its document and its position.
    selected: HashSet<(usize, usize)>,
    /// The smallest loss of these.
    threshold: f32,
    /// Value of the darkest colour.
    darkest: f32,
}

impl<'a> View<'a> {
    /// `keep`: percentage of the tokens that are selected. `None` if no token has the measure.
    pub(super) fn new(documents: &'a [DocumentRecord], by: By, keep: f64) -> Option<Self> {
        let selected = selected(documents, keep);
        let threshold = selected.first().map_or(f32::INFINITY, |(loss, _)| *loss);
        let darkest = match by {
            By::Selected => 1.0,
            by => {
                let mut values: Vec<f32> =
                    tokens(documents).filter_map(|(_, token)| value(token, by)).collect();
                values.sort_by(f32::total_cmp);
                let last = values.len().checked_sub(1)?;
                values[(last as f64 * DARKEST) as usize].max(f32::MIN_POSITIVE)
            }
        };
        let selected = selected.into_iter().map(|(_, place)| place).collect();
        Some(Self { documents, by, selected, threshold, darkest })
    }

    /// The whole view as text.
    pub(super) fn render(&self, paint: Paint) -> String {
        match paint {
            Paint::Plain => self.table(),
            Paint::Colours(depth) => self.coloured(depth),
        }
    }

    fn share(&self, place: (usize, usize), token: &TokenRecord) -> Option<f32> {
        let value = match self.by {
            By::Selected => token.loss.map(|_| f32::from(u8::from(self.selected.contains(&place))))?,
            by => value(token, by)?,
        };
        Some((value / self.darkest).clamp(0.0, 1.0))
    }

    fn coloured(&self, depth: Depth) -> String {
        let mut out = self.legend(depth);
        for (number, document) in self.documents.iter().enumerate() {
            let predicted = document.tokens.iter().filter(|token| token.response).count();
            out += &format!("\n\x1b[1mrow {}: {predicted} response tokens\x1b[0m\n", document.row);
            for (position, token) in document.tokens.iter().enumerate() {
                let style = self
                    .share((number, position), token)
                    .map_or("2".to_owned(), |share| colour(share, depth));
                styled(&token.text, &style, &mut out);
            }
            if !out.ends_with('\n') {
                out.push('\n');
            }
        }
        out
    }

    fn legend(&self, depth: Depth) -> String {
        let name = self.by.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned());
        let mut out = match self.by {
            By::Selected => format!("selected: loss of at least {:.3} nats ", self.threshold),
            _ => format!("{name}: 0 "),
        };
        for step in 0..=10_u8 {
            styled(" ", &colour(f32::from(step) / 10.0, depth), &mut out);
        }
        if self.by != By::Selected {
            out += &format!(" at least {:.3} nats", self.darkest);
        }
        out + "; the prompt is dim\n"
    }

    /// A tab-separated table with one line per predicted token.
    fn table(&self) -> String {
        let columns = [By::Epistemic, By::Aleatoric, By::Total, By::Loss, By::Entropy];
        let mut out =
            "row\tposition\ttext\tepistemic\taleatoric\ttotal\tloss\tentropy\tselected\n".to_owned();
        for (number, document) in self.documents.iter().enumerate() {
            for (position, token) in document.tokens.iter().enumerate().filter(|(_, token)| token.response) {
                out += &format!("{}\t{position}\t{:?}", document.row, token.text);
                for by in columns {
                    out += &value(token, by).map_or("\t".to_owned(), |value| format!("\t{value:.4}"));
                }
                out += &format!("\t{}\n", u8::from(self.selected.contains(&(number, position))));
            }
        }
        out
    }
}

/// The tokens, each with its document and its position.
fn tokens(documents: &[DocumentRecord]) -> impl Iterator<Item = ((usize, usize), &TokenRecord)> {
    documents.iter().enumerate().flat_map(|(number, document)| {
        document.tokens.iter().enumerate().map(move |(position, token)| ((number, position), token))
    })
}

/// The tokens with the largest losses, the smallest first: exactly as many as an objective with `keep = "top …%"` selects,
/// of equal losses the last.
fn selected(documents: &[DocumentRecord], keep: f64) -> Vec<(f32, (usize, usize))> {
    let mut losses: Vec<_> =
        tokens(documents).filter_map(|(place, token)| Some((token.loss?, place))).collect();
    losses.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let ranks = Band { low: (100.0 - keep) / 100.0, high: 1.0 }.ranks(losses.len());
    losses.split_off(ranks.start)
}

fn value(token: &TokenRecord, by: By) -> Option<f32> {
    match by {
        By::Epistemic => token.epistemic,
        By::Aleatoric => token.aleatoric,
        By::Total => token.total,
        By::Loss | By::Selected => token.loss,
        By::Entropy => token.entropy,
    }
}

/// The style of an escape sequence for a fraction of the darkest value.
pub(crate) fn colour(share: f32, depth: Depth) -> String {
    let place = share * (RAMP.len() - 1) as f32;
    let (low, part) =
        ((place as usize).min(RAMP.len() - 2), place - (place as usize).min(RAMP.len() - 2) as f32);
    let mixed: [f32; 3] = std::array::from_fn(|i| {
        let [a, b] = [RAMP[low][i], RAMP[low + 1][i]].map(f32::from);
        a + (b - a) * part
    });
    // Light text on dark colours.
    let text = |light: &str, dark: &str| if share > 0.7 { light.to_owned() } else { dark.to_owned() };
    match depth {
        Depth::True => {
            let [r, g, b] = mixed.map(|x| x.round() as u8);
            format!("{};48;2;{r};{g};{b}", text("38;2;255;255;255", "38;2;0;0;0"))
        }
        Depth::Table => {
            // The 6 × 6 × 6 colour cube.
            let [r, g, b] = mixed.map(|x| (x / 51.0).round() as u8);
            format!("{};48;5;{}", text("38;5;231", "38;5;16"), 16 + 36 * r + 6 * g + b)
        }
        Depth::Few if share < 1.0 / 3.0 => "0".to_owned(),
        Depth::Few if share < 2.0 / 3.0 => "30;43".to_owned(),
        Depth::Few => "97;41".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents() -> Vec<DocumentRecord> {
        let token = |i: u8| TokenRecord {
            text: if i == 3 { "\x1b[2J\n".into() } else { format!(" t{i}") },
            response: i > 0,
            loss: (i > 0).then(|| f32::from(i)),
            epistemic: (i > 0).then(|| f32::from(i) / 10.0),
            ..TokenRecord::default()
        };
        vec![DocumentRecord { row: 7, tokens: (0..9).map(token).collect() }]
    }

    #[test]
    fn colours_have_a_legend_and_do_not_steer_the_terminal() {
        let documents = documents();
        for by in [By::Epistemic, By::Loss, By::Selected] {
            let view = View::new(&documents, by, 25.0).unwrap();
            for depth in [Depth::True, Depth::Table, Depth::Few] {
                let shown = view.render(Paint::Colours(depth));
                assert!(shown.contains("row 7: 8 response tokens") && shown.contains("at least "));
                assert!(!shown.contains("\x1b[2J"), "{shown:?}");
                assert!(shown.split('\x1b').skip(1).all(|part| part.starts_with('[') && part.contains('m')));
            }
        }
        assert!(View::new(&documents, By::Total, 25.0).is_none());
        assert_ne!(colour(0.1, Depth::Table), colour(0.9, Depth::Table));
        assert_eq!(colour(1.0, Depth::True), "38;2;255;255;255;48;2;128;0;38");
    }

    #[test]
    fn without_colours_there_are_numbers() {
        let documents = documents();
        let table = View::new(&documents, By::Epistemic, 25.0).unwrap().render(Paint::Plain);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 9);
        assert_eq!(lines[1], "7\t1\t\" t1\"\t0.1000\t\t\t1.0000\t\t0");
        assert_eq!(lines[8], "7\t8\t\" t8\"\t0.8000\t\t\t8.0000\t\t1");
        let selected = |table: &str| table.lines().filter(|line| line.ends_with("\t1")).count();
        assert_eq!(selected(&table), 2);
        // 5.5 of 8 are left out.
        assert_eq!(selected(&View::new(&documents, By::Epistemic, 31.25).unwrap().render(Paint::Plain)), 2);
    }

    #[test]
    fn of_equal_losses_no_more_are_selected() {
        let mut documents = documents();
        for token in &mut documents[0].tokens {
            token.loss = token.loss.map(|_| 1.0);
        }
        let view = View::new(&documents, By::Selected, 25.0).unwrap();
        let marks: String =
            view.render(Paint::Plain).lines().skip(1).filter_map(|line| line.chars().last()).collect();
        assert_eq!(marks, "00000011");
        let shares: Vec<_> =
            tokens(&documents).filter_map(|(place, token)| view.share(place, token)).collect();
        assert_eq!(shares.iter().filter(|share| **share > 0.5).count(), 2, "{shares:?}");
        assert_eq!(shares.len(), 8);
    }
}
