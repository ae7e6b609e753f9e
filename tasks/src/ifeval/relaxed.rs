//! The versions of a response that the loose verdict accepts: without a chat model's first or last line, and without the
//! asterisks of Markdown.

use super::python;

/// The response, without its first line, without its last, without both; each also without asterisks.
pub(super) fn versions(response: &str) -> Vec<String> {
    let lines: Vec<&str> = response.split('\n').collect();
    let last = lines.len() - 1;
    let part = |lines: &[&str]| python::strip(&lines.join("\n")).to_owned();
    let mut versions = vec![
        response.to_owned(),
        part(&lines[1..]),
        part(&lines[..last]),
        part(lines.get(1..last).unwrap_or_default()),
    ];
    versions.extend(versions.clone().iter().map(|version| version.replace('*', "")));
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_asterisks_go() {
        let versions = versions("Sure!\n\n*one*\ntwo\n Bye* ");
        let whole = ["Sure!\n\n*one*\ntwo\n Bye* ", "*one*\ntwo\n Bye*", "Sure!\n\n*one*\ntwo", "*one*\ntwo"];
        let plain = ["Sure!\n\none\ntwo\n Bye ", "one\ntwo\n Bye", "Sure!\n\none\ntwo", "one\ntwo"];
        assert_eq!(versions, [whole, plain].concat());
    }

    #[test]
    fn of_one_line_nothing_is_left() {
        assert_eq!(versions("*a*"), ["*a*", "", "", "", "a", "", "", ""]);
        assert_eq!(versions(""), [""; 8]);
    }
}
