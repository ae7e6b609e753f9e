//! What templates make of Python's values and methods.

use crate::text::Template;
use crate::text::tests::{MOMENT, turns};

#[test]
fn numbers_in_json_are_written_as_python_writes_them() {
    let numbers = "0.00005 1e-7 0.0001 1.0 123456789012345680.0 1e22 -2.5e-10 0.1 1e16 9999999999999998.0 1e-320 \
                   7 -3 18446744073709551615";
    let written = "5e-05, 1e-07, 0.0001, 1.0, 1.2345678901234568e+17, 1e+22, -2.5e-10, 0.1, 1e+16, 9999999999999998.0, \
                   1e-320, 7, -3, 18446744073709551615";
    let tools: Vec<serde_json::Value> =
        serde_json::from_str(&format!("[{}]", numbers.replace(' ', ","))).unwrap();
    let template = Template::new("{{ tools | tojson }}", [], MOMENT).unwrap();
    assert_eq!(template.render(&[], &tools, false).unwrap(), format!("[{written}]"));
}

/// What Jinja2 3.1 says of them.
#[test]
fn values_are_of_the_kinds_that_they_are_in_jinja() {
    for (value, iterable, sequence) in [
        ("none", "False", "False"),
        ("missing", "True", "True"),
        ("messages[0].missing", "True", "True"),
        ("'a'", "True", "True"),
        ("''", "True", "True"),
        ("1", "False", "False"),
        ("true", "False", "False"),
        ("[1]", "True", "True"),
        ("{'a': 1}", "True", "True"),
        ("range(2)", "True", "True"),
    ] {
        let source = format!("{{{{ ({value}) is iterable }}}} {{{{ ({value}) is sequence }}}}");
        let template = Template::new(&source, [], MOMENT).unwrap();
        let found = template.render(&turns(&["One"]), &[], false).unwrap();
        assert_eq!(found, format!("{iterable} {sequence}"), "{value}");
    }
}

#[test]
fn rsplit_is_pythons() {
    for (call, parts) in [
        ("'a.b..c'.rsplit('.')", r#"["a", "b", "", "c"]"#),
        ("'a.b..c'.rsplit('.', 1)", r#"["a.b.", "c"]"#),
        ("'a.b..c'.rsplit('.', maxsplit=2)", r#"["a.b", "", "c"]"#),
        ("'aaa'.rsplit(sep='aa', maxsplit=-1)", r#"["a", ""]"#),
        ("'</think>x</think>y'.rsplit('</think>', 1)[-1]", r#""y""#),
        ("''.rsplit('.')", r#"[""]"#),
        ("' a  b\u{2003}c '.rsplit()", r#"["a", "b", "c"]"#),
        ("'  a  b c '.rsplit(none, 1)", r#"["  a  b", "c"]"#),
        ("'  a  b '.rsplit(maxsplit=0)", r#"["  a  b"]"#),
        ("'  '.rsplit()", "[]"),
    ] {
        let template = Template::new(&format!("{{{{ {call} | tojson }}}}"), [], MOMENT).unwrap();
        assert_eq!(template.render(&[], &[], false).unwrap(), parts, "{call}");
    }
    for (call, complaint) in [("rsplit('')", "the separator is empty"), ("rsplit(most=1)", "most")] {
        let template = Template::new(&format!("{{{{ 'a'.{call} }}}}"), [], MOMENT).unwrap();
        let error = template.render(&[], &[], false).unwrap_err();
        assert!(error.contains(complaint), "{error}");
    }
}
