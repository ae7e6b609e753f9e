//! Does what was printed agree with what is shown?

/// A number before one of these words is the machine's.
const MACHINE: [&str; 4] = ["tokens/s", "seconds", "GiB", "s"];

/// Whether lines agree, or words: `…` stands for any number of them. `same` compares the first of what is shown with one
/// that is printed.
fn agree(shown: &[&str], printed: &[&str], same: &dyn Fn(&[&str], &str) -> bool) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((&"…", rest)), _) => (0..=printed.len()).any(|skip| agree(rest, &printed[skip..], same)),
        (Some((_, rest)), Some((other, printed))) => same(shown, other) && agree(rest, printed, same),
        _ => false,
    }
}

pub(super) fn lines_agree(shown: &[&str], printed: &[&str], tolerance: f64) -> bool {
    agree(shown, printed, &|shown, line| words_agree(&words(shown[0]), &words(line), tolerance))
}

fn words_agree(shown: &[&str], printed: &[&str], tolerance: f64) -> bool {
    let scales = scales(shown);
    agree(shown, printed, &|rest, word| {
        let of_machine = rest.get(1).is_some_and(|unit| MACHINE.contains(unit));
        let tolerance = if of_machine { 1e9 } else { tolerance };
        word_agrees(rest[0], word, tolerance, scales[shown.len() - rest.len()])
    })
}

/// For each word of an interval the value that stands before the bracket, and 0 for all others: an end near zero moves as far
/// as the value does.
fn scales(words: &[&str]) -> Vec<f64> {
    let (mut value, mut inside) = (0.0, false);
    let mut scales = Vec::new();
    for word in words {
        inside |= word.starts_with('[');
        scales.push(if inside { value } else { 0.0 });
        let number = pieces(word).into_iter().find_map(|piece| piece.parse::<f64>().ok());
        if let Some(number) = number.filter(|_| !inside) {
            value = number;
        }
        inside &= !word.contains(']');
    }
    scales
}

/// The words of a line, without the back end, which is the machine's.
fn words(line: &str) -> Vec<&str> {
    line.split(", in bf16 on ")
        .next()
        .and_then(|line| line.split(", in f32 on ").next())
        .unwrap_or(line)
        .split_whitespace()
        .collect()
}

/// Whether the numbers of two words differ by no more than the tolerance, as a share of the number or of `scale`, and all
/// else is equal.
fn word_agrees(shown: &str, printed: &str, tolerance: f64, scale: f64) -> bool {
    if let Some((before, after)) = shown.split_once('…') {
        return printed.len() >= before.len() + after.len()
            && printed.starts_with(before)
            && printed.ends_with(after);
    }
    let (shown, printed) = (pieces(shown), pieces(printed));
    shown.len() == printed.len()
        && shown.iter().zip(&printed).all(|(a, b)| match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => {
                let far = if tolerance > 0.0 { (tolerance * a.abs().max(scale)).max(0.03) } else { 0.0 };
                (a - b).abs() <= far
            }
            _ => a == b,
        })
}

/// A word cut between its numbers and the rest: `[5.0477,` is `[`, `5.0477`, `,`.
fn pieces(word: &str) -> Vec<&str> {
    let is_digit = |c: char| c.is_ascii_digit() || c == '.';
    let mut pieces = Vec::new();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_digit(c) != is_digit(first)).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::{lines_agree, scales, word_agrees, words, words_agree};

    #[test]
    fn what_agrees_and_what_does_not() {
        assert!(lines_agree(&["a", "…", "d 1.0"], &["a", "b", "c", "d 1.0"], 0.0));
        assert!(!lines_agree(&["a", "…", "d"], &["a", "b"], 0.0));
        let agrees = |shown, printed, tolerance| word_agrees(shown, printed, tolerance, 0.0);
        assert!(agrees("[5.00,", "[5.40,", 0.1) && !agrees("[5.00,", "[5.60,", 0.1));
        assert!(!agrees("5.0", "5.1", 0.0) && agrees("…/a.svg", "/x/a.svg", 0.0));
        assert!(words_agree(&["9", "tokens/s"], &["473", "tokens/s"], 0.0));
    }

    /// A share of 8 documents, in bf16 and in f32.
    #[test]
    fn an_interval_is_compared_on_the_scale_of_its_value() {
        let shown = "accuracy 10.23 % [3.88 %, 16.57 %] 8";
        assert_eq!(scales(&words(shown)), [0.0, 0.0, 0.0, 10.23, 10.23, 10.23, 10.23, 0.0]);
        assert!(lines_agree(&[shown], &["accuracy 12.50 % [6.85 %, 18.15 %] 8"], 0.4));
        assert!(!lines_agree(&[shown], &["accuracy 12.50 % [8.85 %, 18.15 %] 8"], 0.4), "5 points away");
        assert!(
            !lines_agree(&[shown], &["accuracy 12.50 % [6.85 %, 18.15 %] 12"], 0.4),
            "a number behind it"
        );
    }
}
