//! The final answer in a reply.

use std::collections::BTreeMap;

use regex::Match;

use super::beside::is_qualified;
use crate::pattern::pattern;

/// The final answer of a reply: the last boxed one, else what it calls its answer, else its last number.
pub fn found(reply: &str) -> Option<&str> {
    let mut boxes = boxes(reply).peekable();
    // A box that the reply's end cut off is only a part of an answer.
    let whole = match boxes.peek() {
        Some((start, None)) => &reply[..*start],
        _ => reply,
    };
    first_full(boxes).or_else(|| stated(whole)).or_else(|| last_number(whole))
}

/// The content of the last `\boxed` (or `\fbox`) whose braces are balanced and not empty.
pub fn boxed(text: &str) -> Option<&str> {
    first_full(boxes(text))
}

fn first_full<'a>(mut boxes: impl Iterator<Item = (usize, Option<&'a str>)>) -> Option<&'a str> {
    boxes.find_map(|(_, content)| content.filter(|content| !content.is_empty()))
}

/// Where boxes begin, the last one first, and the content of those that end.
fn boxes(text: &str) -> impl Iterator<Item = (usize, Option<&str>)> {
    pattern!(BOX, r"\\(?:boxed|fbox|framebox)\s*(\{?)");
    let openings: Vec<(Match, bool)> =
        BOX.captures_iter(text).filter_map(|found| Some((found.get(0)?, found[1].is_empty()))).collect();
    let ends = if openings.is_empty() { BTreeMap::new() } else { closing_braces(text) };
    openings.into_iter().rev().map(move |(opening, is_word)| {
        let inside = &text[opening.end()..];
        let content = if is_word {
            // `\boxed 5`: up to the end of the word.
            inside.split(|c: char| c.is_whitespace() || c == '$').next()
        } else {
            ends.get(&(opening.end() - 1)).map(|end| text[opening.end()..*end].trim())
        };
        (opening.start(), content)
    })
}

/// Where the brace closes that each one opens.
fn closing_braces(text: &str) -> BTreeMap<usize, usize> {
    let (mut open, mut closing) = (Vec::new(), BTreeMap::new());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open.push(at),
            b'}' => closing.extend(open.pop().map(|opening| (opening, at))),
            _ => {}
        }
    }
    closing
}

/// What a reply calls its answer: `Answer: …`, `The answer is …`, `#### …`. In `Answer: The answer is 5` the inner one.
fn stated(reply: &str) -> Option<&str> {
    pattern!(MARK, r"(?i)answer[\s*_]*(?:is|:)|####");
    let marks: Vec<Match> = MARK.find_iter(reply).collect();
    let sentences = marks.iter().rev().map(|mark| sentence(&reply[mark.end()..]));
    let mut stated = sentences.filter(|sentence| !sentence.trim_matches('$').is_empty());
    stated.next().map(without_remarks)
}

/// The first sentence of a text, up to a reason, without the emphasis and the quotes around it. A formula on lines of its
/// own is one.
fn sentence(text: &str) -> &str {
    pattern!(DISPLAYED, r"(?s)^(?:\$\$(.+?)\$\$|\\\[(.+?)(?:\\\]|\z)|\\\(\s*\n(.+?)(?:\\\)|\z))");
    pattern!(END, r"\n|\.\s|[\s,;(]+(?:since|because|where)\b");
    let around = |c: char| c.is_whitespace() || "*_`\"“”".contains(c);
    let text = text.trim_start_matches(|c| around(c) || c == ':');
    if let Some(found) = DISPLAYED.captures(text)
        && let Some(formula) = (1..=3).find_map(|kind| found.get(kind))
    {
        return formula.as_str().trim();
    }
    let end = END.find(text).map_or(text.len(), |end| end.start());
    let sentence = text[..end].trim_end_matches(|c| around(c) || c == '.');
    let in_quotes = sentence.strip_prefix('\'').and_then(|sentence| sentence.strip_suffix('\''));
    in_quotes.unwrap_or(sentence)
}

/// The only formula or the only number of a sentence with words around it: `therefore $x = 5$`, `5 (five)`. The whole
/// sentence where words make another answer of it: `at least 5`, `the square of 5`.
fn without_remarks(sentence: &str) -> &str {
    pattern!(
        CHANGE,
        r"(?ix)^n['’]t\b | \b(?: negative | minus | plus | times | twice | double | triple | half | squared | cubed
        | sqrt | abs | exp | log | ln | lg | floor | ceil | a?(?:rc)?(?:sin|cos|tan)h? | cot | sec | csc | pi
        | factorial | logarithm | percent | hundred | thousand | million | billion | trillion | dozen
        | (?: third | quarter | square | cube | root | power | multiple | factor | reciprocal | inverse )\s+of )\b
        | \d[\s*_}$]*\b(?: halves | thirds | (?:four|fif|six|seven|eigh|nin|ten|twelf|hundred|thousand)ths )\b
        | (?:^|[^\d.,/])1[\s*_}$]*\b(?: half | third | (?:four|fif|six|seven|eigh|nin|ten|twelf)th )\b"
    );
    pattern!(REMARK, r"^[^\d\\$+=<>^/%!]*$");
    pattern!(WORD, r"[a-zA-Z]{2}");
    pattern!(
        NUMBER_IN_WORDS,
        r#"(?x)^(?: [^\d\\+=<>^/%!-]* [a-zA-Z]{2,} [\s*_`"'(:]+ )? (?:\\?\$)?
        ( -? (?: \d{1,3}(?:,\d{3})+(?:\.\d+)? | \d*\.?\d+ ) )
        (?: [\s*_`"'(),;:?]+ (?: [a-zA-Z]{2,} [^\d\\+=<>^/%!]* )? )?$"#
    );
    if is_qualified(sentence) || CHANGE.is_match(sentence) {
        return sentence;
    }
    if let [(whole, formula)] = formulas(sentence)[..] {
        let around = [&sentence[..whole.start()], &sentence[whole.end()..]];
        let is_alone = !around.concat().contains(char::is_alphanumeric);
        if around.iter().all(|part| REMARK.is_match(part))
            && (is_alone || around.iter().any(|part| WORD.is_match(part)))
        {
            return formula;
        }
    }
    NUMBER_IN_WORDS
        .captures(sentence)
        .and_then(|found| found.get(1))
        .map_or(sentence, |number| number.as_str())
}

/// The last number of a reply, or the formula that it is in.
fn last_number(reply: &str) -> Option<&str> {
    pattern!(NUMBER, r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+");
    let number = NUMBER.find_iter(reply).last()?;
    let around = formulas(reply).into_iter().find(|(whole, _)| whole.range().contains(&number.start()));
    Some(around.map_or(number.as_str(), |(_, formula)| formula))
}

/// The formulas of a text in `$…$`, `$$…$$`, `\(…\)` and `\[…\]`: with what is around them, and without.
fn formulas(text: &str) -> Vec<(Match<'_>, &str)> {
    // An escaped dollar sign opens nothing, nor does that of an amount in prose: `$5 and`, `5$ and`.
    pattern!(
        FORMULA,
        r"(?sx)\\\$ | \$\d[\d,.]*\s+[a-z]{2,} | \d\$(?:[\s.,;:!?)]|\z)
        | \$\$(.+?)\$\$ | \$((?:[^$\\\n]|\\.)+)\$ | \\\((.+?)(?:\\\)|\z) | \\\[(.+?)(?:\\\]|\z)"
    );
    FORMULA
        .captures_iter(text)
        .filter_map(|found| {
            let inside = (1..=4).find_map(|kind| found.get(kind))?;
            Some((found.get(0)?, inside.as_str().trim()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::maths::equal;

    #[test]
    fn the_last_box_is_the_answer() {
        for (reply, answer) in [
            ("\\boxed{1} no, \\boxed{\\frac{1}{2}} it is {", Some("\\frac{1}{2}")),
            ("$\\boxed{ \\{1, 2\\} }$", Some("\\{1, 2\\}")),
            ("\\boxed 7$ done", Some("7")),
            ("\\fbox{x}", Some("x")),
            ("\\boxed{cut off", None),
            ("\\boxed{12}, so \\boxed{1", Some("12")),
            ("\\boxed{12}, in \\boxed{ }", Some("12")),
            ("none", None),
        ] {
            assert_eq!(boxed(reply), answer, "{reply}");
        }
        assert_eq!(found("So 3 + 4 = 7. The answer is $7$."), Some("7"));
        assert_eq!(found("Final Answer: x = 2.5\nbye 3"), Some("x = 2.5"));
        assert_eq!(found("first 3 and then 1,200."), Some("1,200"));
    }

    #[test]
    fn an_answer_in_display_brackets_is_found() {
        for reply in [
            "The answer is \\[5\\].",
            "The answer is:\n\\[\n5\n\\]",
            "The answer is:\n\n\\[ 5 \\]\n",
            "The answer is: \\(5\\).",
            "The answer is \\(\n5\n\\)",
            "The answer is:\n\\[\n5",
            "She paid 7$ and 5$.",
            "3$ + 2$ = 5$",
        ] {
            assert!(found(reply).is_some_and(|found| equal(found, "5")), "{reply}: {:?}", found(reply));
        }
    }

    #[test]
    fn an_answer_is_found_among_words() {
        for reply in [
            "Final Answer: The final answer is $5$. I hope it is correct.",
            "Answer: The answer is 5.",
            "#### The answer is 5",
            "#### Answer: 5",
            "**Final Answer**: $x = 5$",
            "The answer is **5** apples.",
            "The answer is `5`.",
            "The answer is '5'.",
            "The answer is 5, since 2+3=5.",
            "The answer is therefore 5",
            "The answer is 5 (five).",
            "The answer is thus $5$ for 2 of them? No: the answer is thus $5$ for all.",
            "The answer is\n```\n5\n```",
            "Put your final answer in \\boxed{}.\n\nThe answer is 5.",
            "So \\boxed{5}.\n\nSo \\boxed{5}.\n\nSo \\boxed{1",
            "So \\boxed{12",
        ] {
            let is_five = found(reply).is_some_and(|found| equal(found, "5"));
            assert_eq!(is_five, !reply.contains("12"), "{reply}: {:?}", found(reply));
        }
        // A function or π in words is part of the answer.
        for (reply, key) in [
            ("The answer is sqrt(51).", "\\sqrt{51}"),
            ("The answer is ln 51.", "\\ln 51"),
            ("The answer is arctan(51).", "\\arctan 51"),
            ("The answer is 51 pi.", "51\\pi"),
            ("The answer is 51*pi", "51\\pi"),
        ] {
            let found = found(reply).unwrap();
            assert!(equal(found, key) && !equal(found, "51"), "{reply}: {found}");
        }
        for reply in [
            "The answer isn't exactly 5.",
            "The answer is not $5$.",
            "The answer is at least 5.",
            "The answer is the square of 5.",
            "The answer is 5 halves.",
            "The answer is 5 thirds of a cup.",
            "The answer is **5** tenths.",
            "The answer is the logarithm of 5.",
            "The answer is 5 hundred.",
            "The answer is 2x + 5 apples.",
            "The answer is **5** million.",
            "So \\boxed{3} or \\boxed{5",
        ] {
            assert!(!found(reply).is_some_and(|found| equal(found, "5")), "{reply}: {:?}", found(reply));
        }
    }

    #[test]
    fn the_last_number_is_taken_with_its_formula() {
        for (reply, answer) in [
            ("**Answer** $\\frac{3}{4}$", "\\frac{3}{4}"),
            ("Therefore, the value is $3\\sqrt{13}$.", "3\\sqrt{13}"),
            ("It is \\(2^{10}\\), surely", "2^{10}"),
            ("It is\n\\[\n2^{10}\n\\]", "2^{10}"),
            ("It is\n$$\n2^{10}\n$$", "2^{10}"),
            ("It is \\[\\frac{3}{4", "\\frac{3}{4"),
            ("He pays $5 and gets $3 back, so he has $12 left", "12"),
            ("He has \\$12 of \\$20 and 7 more", "7"),
        ] {
            assert_eq!(found(reply), Some(answer), "{reply}");
        }
    }

    #[test]
    fn a_long_reply_is_read_once() {
        let began = std::time::Instant::now();
        for part in ["\\boxed{", "\\boxed", "\\boxed{}", "answer: $", "####"] {
            let _ = found(&part.repeat(1_000_000 / part.len()));
        }
        // Once for each box would be hours.
        assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    }

    proptest! {
        #[test]
        fn no_reply_is_too_odd(reply in "(\\\\boxed|\\{|\\}|answer is|####|\\$|[0-9.,é \n])*", any in any::<String>()) {
            for reply in [reply, any] {
                if let Some(found) = found(&reply) {
                    equal(found, "1");
                }
            }
        }
    }
}
