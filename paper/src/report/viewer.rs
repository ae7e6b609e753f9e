//! The token viewer's page: every conversation of every figure, as text that is coloured without script, and as data
//! for the script that recolours it.

use crate::Made;
use crate::tokens::picture::strong_end;
use crate::tokens::{Conversation, Quantity, TokenRow};
use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Everything the page's template needs.
#[derive(Serialize)]
pub(super) struct Viewer {
    shown: Vec<Shown>,
    quantities: [&'static str; 6],
    /// The data, safe inside a script element.
    data: String,
}

/// One conversation as the page shows it without script: by loss, at its last step.
#[derive(Serialize)]
struct Shown {
    slug: String,
    name: String,
    figure: &'static str,
    title: &'static str,
    steps: usize,
    last_step: u64,
    scale: String,
    tokens: Vec<Span>,
}

#[derive(Serialize)]
struct Span {
    position: usize,
    text: String,
    response: bool,
    /// Place on the colour scale, 0 to 1.
    at: Option<String>,
    title: String,
}

/// What a figure has in the place of a quantity: in the oracle language no estimate of it, but the truth.
const IN_PLACE: [(&str, Quantity, &str); 3] = [
    ("oracle-tokens", Quantity::Epistemic, "KL to the truth"),
    ("oracle-tokens", Quantity::Aleatoric, "true entropy"),
    ("oracle-tokens", Quantity::Total, "true entropy + KL"),
];

/// What a quantity of a figure is called.
fn called(figure: &str, quantity: Quantity) -> &'static str {
    let in_place = IN_PLACE.iter().find(|(of, replaced, _)| *of == figure && *replaced == quantity);
    in_place.map_or(quantity.name(), |found| found.2)
}

/// Names of the buttons, in the order of their keys.
const QUANTITIES: [&str; 6] = ["epistemic", "aleatoric", "total", "loss", "entropy", "selected"];

impl Viewer {
    /// The viewer of all conversations in `made`; `None` where there are none.
    pub(super) fn of(made: &[Made]) -> Result<Option<Self>> {
        let mut shown = Vec::new();
        let mut data = Vec::new();
        for made in made {
            // As in the figure's drawing: one scale per quantity for all of its conversations and steps.
            let scales = Quantity::ALL.map(|quantity| strong_end(&made.conversations, quantity));
            for conversation in &made.conversations {
                let slug = slug(made.about.id, &conversation.name);
                let Some(span) = Shown::of(made, conversation, &slug) else { continue };
                shown.push(span);
                data.push(conversation_data(made.about.id, conversation, &slug, &scales)?);
            }
        }
        if shown.is_empty() {
            return Ok(None);
        }
        // The only thing that could end a script element early.
        let data = serde_json::to_string(&data)?.replace('<', "\\u003c");
        Ok(Some(Self { shown, quantities: QUANTITIES, data }))
    }

    /// Where a figure's first conversation is shown.
    pub(super) fn link(made: &Made) -> Option<String> {
        let first = made.conversations.first()?;
        Some(format!("viewer.html#{}", slug(made.about.id, &first.name)))
    }
}

impl Shown {
    fn of(made: &Made, conversation: &Conversation, slug: &str) -> Option<Self> {
        let (last_step, rows) = conversation.steps.last()?;
        let high = strong_end(&made.conversations, Quantity::Loss);
        let span = |row: &TokenRow| Span {
            position: row.position,
            text: visible(&row.text),
            response: row.response,
            at: row.loss_nats.map(|loss| format!("{:.3}", (loss / high).clamp(0.0, 1.0))),
            title: title(made.about.id, row),
        };
        Some(Self {
            slug: slug.into(),
            name: conversation.name.clone(),
            figure: made.about.id,
            title: made.about.title,
            steps: conversation.steps.len(),
            last_step: *last_step,
            scale: format!("{high:.2}"),
            tokens: rows.iter().map(span).collect(),
        })
    }
}

/// A line feed shows, and still ends the line.
fn visible(text: &str) -> String {
    text.replace('\n', "↵\n")
}

/// A token's numbers in one line, for those without script.
fn title(figure: &str, row: &TokenRow) -> String {
    let mut title = String::new();
    for quantity in Quantity::ALL {
        if let Some(value) = row.value(quantity) {
            // Writing to a string cannot fail.
            let _ = write!(title, "{} {value:.3} · ", called(figure, quantity));
        }
    }
    title.trim_end_matches(" · ").to_owned()
}

/// What the script reads: what the quantities are called, the scales, and per step and token the numbers that change with the
/// step.
fn conversation_data(figure: &str, conversation: &Conversation, slug: &str, scales: &[f64]) -> Result<Value> {
    let names = Quantity::ALL.map(|quantity| called(figure, quantity));
    let scales: Vec<Value> = scales.iter().map(|high| short(Some(*high))).collect();
    let token = |row: &TokenRow| -> Result<Value> {
        let mut numbers: Vec<Value> =
            Quantity::ALL.iter().map(|quantity| short(row.value(*quantity))).collect();
        numbers.push(json!(row.selected.map(u8::from)));
        numbers.push(short(row.probability));
        let top: Vec<Value> = row.top()?.iter().map(|(text, p)| json!([text, short(Some(*p))])).collect();
        numbers.push(json!(row.class));
        numbers.push(json!(top));
        Ok(if row.response { Value::Array(numbers) } else { Value::Null })
    };
    let step = |(step, rows): &(u64, Vec<TokenRow>)| -> Result<Value> {
        Ok(json!({ "step": step, "tokens": rows.iter().map(token).collect::<Result<Vec<_>>>()? }))
    };
    let steps = conversation.steps.iter().map(step).collect::<Result<Vec<_>>>()?;
    Ok(json!({ "slug": slug, "names": names, "scales": scales, "steps": steps }))
}

/// A number with four significant digits: more than anyone reads, and a quarter of the bytes.
fn short(value: Option<f64>) -> Value {
    match value.filter(|value| value.is_finite()) {
        Some(value) => format!("{value:.3e}").parse::<f64>().map_or(Value::Null, |value| json!(value)),
        None => Value::Null,
    }
}

/// A name for addresses: `a-7-gsm8k-row-3`.
fn slug(figure: &str, name: &str) -> String {
    let parts = name.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
    std::iter::once(figure.to_owned()).chain(parts.map(str::to_lowercase)).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::Recorded;
    use crate::{engine, figures};

    #[test]
    fn the_data_cannot_end_its_script_element_and_reads_back() -> Result<()> {
        let mut made = engine::make_synthetic(&figures::named("a-2a")?)?;
        made.conversations[0].steps[0].1[8].top = r#"[["</script>", 0.5]]"#.into();
        let viewer = Viewer::of(&[made])?.expect("a viewer");
        assert!(!viewer.data.contains('<'), "{}", &viewer.data[..200]);
        let data: Value = serde_json::from_str(&viewer.data)?;
        assert_eq!(data[0]["steps"][0]["tokens"][8][8][0][0], "</script>");
        assert_eq!(data.as_array().map(Vec::len), Some(viewer.shown.len()));
        Ok(())
    }

    /// Of one is an estimate by dropout, of the other the truth.
    #[test]
    fn a_quantity_is_called_what_the_figure_has_in_its_place() -> Result<()> {
        let entries = [figures::named("a-4-tokens")?, figures::named("oracle-tokens")?];
        let viewer = Viewer::of(&Recorded::load()?.figures(&entries)?)?.expect("a viewer");
        let data: Value = serde_json::from_str(&viewer.data)?;
        for (figure, name) in [("a-4-tokens", "epistemic"), ("oracle-tokens", "KL to the truth")] {
            let at = viewer.shown.iter().position(|shown| shown.figure == figure).expect("a conversation");
            assert_eq!(data[at]["names"][0], name);
            let token = viewer.shown[at].tokens.iter().find(|token| token.response).expect("a token");
            assert!(token.title.starts_with(&format!("{name} ")), "{}", token.title);
        }
        Ok(())
    }

    #[test]
    fn names_become_addresses_and_numbers_short() {
        assert_eq!(slug("a-7", "GSM8K, row 3"), "a-7-gsm8k-row-3");
        assert_eq!(short(Some(0.123_456)), json!(0.1235));
        assert_eq!(short(Some(f64::NAN)), Value::Null);
        assert_eq!(visible("a\n\n"), "a↵\n↵\n");
    }
}
