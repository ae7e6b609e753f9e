//! Words beside a number: what they say of it.

use std::borrow::Cow;

use regex::Captures;

use crate::pattern::pattern;

pattern!(
    DENIAL,
    r"(?i)(?:^|[\s(,;])(?:not|no|none|nor|neither|never|cannot|[a-z]+n['’]t|except|excluding|other than|but)(?:[\s,;)]|$)"
);
// With these, words behind a number deny it; others tell what it counts: `6 students with no pets`.
pattern!(DENIES_BEFORE, r"(?i)^[\s,;]*(?:but|except|excluding|is\s+not|isn['’]t|or\s+not)\b");
// `x is not = 5`, and `(all reals except 5)`.
pattern!(ENDS_IN_NOT, r"(?i)\bnot[\s(,;]*$");
pattern!(ENDS_IN_EXCEPT, r"(?i)\b(?:except|excluding)[\s),;]*$");
pattern!(
    BOUND,
    r"(?ix)\b(?:
        (?<at_least>at\ least | (?:more|greater|larger)\ than\ or\ equal\ to | not?\ (?:less|fewer|smaller)\ than)
        | (?<at_most>at\ most | (?:less|fewer|smaller)\ than\ or\ equal\ to | not?\ (?:more|greater|larger)\ than)
        | (?<or_at_least>(?:or|and)\ (?:at\ least | (?:more|greater|larger)\ than\ or\ equal\ to))
        | (?<or_at_most>(?:or|and)\ (?:at\ most | (?:less|fewer|smaller)\ than\ or\ equal\ to))
        | (?<or_above>(?:or|and)\ (?:more|greater|larger)\ than)
        | (?<or_below>(?:or|and)\ (?:less|fewer|smaller)\ than)
        | (?<above>(?:more|greater|larger)\ than)
        | (?<below>(?:less|fewer|smaller)\ than)
        | (?<or_more>(?:or|and)\ (?:more|greater|larger|higher|above|up))
        | (?<or_less>(?:or|and)\ (?:less|fewer|smaller|lower|below|under))
    )\b"
);
/// The signs of the phrases, and whether the number stands before the phrase.
const BOUNDS: [(&str, &str, bool); 10] = [
    ("at_least", " \\ge ", false),
    ("at_most", " \\le ", false),
    ("or_at_least", " , \\ge ", false),
    ("or_at_most", " , \\le ", false),
    ("or_above", " , > ", false),
    ("or_below", " , < ", false),
    ("above", " > ", false),
    ("below", " < ", false),
    ("or_more", " \\le ", true),
    ("or_less", " \\ge ", true),
];
pattern!(BEGINS_NUMBER, r"^[\s($+-]*(?:\.?\d|\\)");
pattern!(BEGINS_SYMBOL, r"^[\s($+-]*[a-zA-Z]{1,2}(?:[^a-zA-Z]|$)");

/// What words beside a number say of it.
pub(super) enum Said {
    /// What stands for them.
    Sign(String),
    /// That the answer is not this number.
    Denial,
    Nothing,
}

/// The sign of a phrase, and whether the number stands before it.
fn bound(found: &Captures) -> (&'static str, bool) {
    let bound = BOUNDS.iter().find(|(name, ..)| found.name(name).is_some());
    bound.map_or((" ", false), |(_, sign, is_behind)| (sign, *is_behind))
}

/// A text with the signs of such phrases that no command is around. `5 more than Tom` bounds nothing.
pub(super) fn with_signs(text: &str) -> Cow<'_, str> {
    BOUND.replace_all(text, |found: &Captures| {
        let (stands_for, is_behind) = bound(found);
        let (start, end) = found.get(0).map_or((0, 0), |phrase| (phrase.start(), phrase.end()));
        let is_beside = if is_behind {
            stands_behind(&text[..start], "", &text[end..])
        } else {
            BEGINS_NUMBER.is_match(&text[end..])
        };
        if is_beside { stands_for.to_owned() } else { found[0].to_owned() }
    })
}

/// What words say of the number before or after them.
pub(super) fn said(words: &str, before: &str, after: &str) -> Said {
    let sign = match words.trim().to_lowercase().as_str() {
        "and" | "or" => ", ",
        "negative" | "minus" => " -",
        "am" | "a.m." => " AM",
        "pm" | "p.m." => " PM",
        _ => "",
    };
    if !sign.is_empty() {
        return Said::Sign(sign.to_owned());
    }
    let mut rest = words.to_owned();
    let mut sign = None;
    if let Some(found) = BOUND.captures(words) {
        let phrase = found.get(0).map(|phrase| phrase.range()).unwrap_or_default();
        let (stands_for, is_behind) = bound(&found);
        let behind = &words[phrase.end..];
        let is_beside = if is_behind {
            stands_behind(before, behind, after)
        } else {
            behind.trim().is_empty() && (BEGINS_NUMBER.is_match(after) || BEGINS_SYMBOL.is_match(after))
        };
        if is_beside {
            rest.replace_range(phrase, " ");
            sign = Some(stands_for.to_owned());
        }
    }
    // `P(\text{not } A) = 0.3` and `\text{not chosen} = 5` only name the number.
    let is_name = || {
        (after.trim_start().starts_with('=') && !ENDS_IN_NOT.is_match(words))
            || (is_inside(before) && !ENDS_IN_EXCEPT.is_match(words))
    };
    if DENIAL.is_match(&rest) && denies(before, words, after) && !is_name() {
        return Said::Denial;
    }
    // `3 \text{ and 5}`
    let is_list = ["and ", "or ", ", "].iter().any(|word| words.trim_start().starts_with(word));
    if sign.is_none() && is_list && words.contains(|c: char| c.is_ascii_digit()) {
        return Said::Sign(words.to_owned());
    }
    sign.map_or(Said::Nothing, Said::Sign)
}

/// Whether `or more` stands behind its number. In `3 or more than 4` and `x > 5 or below 3` it does not.
fn stands_behind(before: &str, rest: &str, after: &str) -> bool {
    let follows = if rest.trim().is_empty() { after } else { rest }.trim_start();
    let bounds_what_follows = follows.starts_with("than") || BEGINS_NUMBER.is_match(follows);
    before.contains(char::is_alphanumeric) && !bounds_what_follows
}

/// Whether words with a denial in them deny the formula before or after them.
fn denies(before: &str, words: &str, after: &str) -> bool {
    let is_behind_number =
        before.contains(|c: char| c.is_ascii_digit()) && !after.contains(char::is_alphanumeric);
    !is_behind_number || DENIES_BEFORE.is_match(words)
}

/// Whether words without a command around them deny a number.
pub(super) fn is_denied(text: &str) -> bool {
    DENIAL.find_iter(text).any(|found| {
        let upto = &text[..found.end()];
        let number = text[..found.start()].rfind(|c: char| c.is_ascii_digit());
        let end = text[found.start()..].find(|c: char| c.is_ascii_digit());
        let end = end.map_or(text.len(), |end| found.start() + end);
        let start = number.map_or(0, |number| number + 1);
        let is_name = is_inside(upto.trim_end_matches(')')) && !ENDS_IN_EXCEPT.is_match(upto);
        denies(&text[..start], &text[start..end], &text[end..]) && !is_name
    })
}

/// Whether words deny a number or bound it.
pub(super) fn is_qualified(text: &str) -> bool {
    BOUND.is_match(text) || is_denied(text)
}

/// Whether a bracket is open at the end of a text.
fn is_inside(before: &str) -> bool {
    let level = |c: char| i32::from("([{".contains(c)) - i32::from(")]}".contains(c));
    before.chars().map(level).sum::<i32>() > 0
}
