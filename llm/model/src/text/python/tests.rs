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

/// The text of a template.
fn rendered(source: &str) -> Result<String, String> {
    Template::new(source, [], MOMENT).unwrap().render(&turns(&["One"]), &[], false)
}

/// As transformers 5.23 renders them, with Jinja2 3.1.
#[test]
fn what_is_printed_is_written_as_python_writes_it() {
    for (source, text) in [
        ("{{ 1e-5 }} {{ 0.0001 }} {{ 1e16 }} {{ 100000.0 }} {{ 2.0 }}", "1e-05 0.0001 1e+16 100000.0 2.0"),
        ("{{ 123456789012345680.0 }} {{ 1.5e300 }} {{ -1e-7 }}", "1.2345678901234568e+17 1.5e+300 -1e-07"),
        ("{{ 'nan' | float }} {{ 'inf' | float }} {{ 7 }} {{ 2 ** 63 }}", "nan inf 7 9223372036854775808"),
        ("{{ [1e-5, [1e22]] }} {{ {'a': 1e22, 2.0: none} }}", "[1e-05, [1e+22]] {'a': 1e+22, 2.0: None}"),
        ("{{ (1e-5,) }} {{ (1, 1e16) }} {{ () }} {{ [] }} {{ {} }}", "(1e-05,) (1, 1e+16) () [] {}"),
        ("{{ [{'n': 1e-5}] | groupby('n') }}", "[(1e-05, [{'n': 1e-05}])]"),
        ("{{ [true, none, 'a', \"it's\", 1] }}", "[True, None, 'a', \"it's\", 1]"),
        ("{{ true }} {{ none }} {{ 'a' }} {{ missing }}|", "True None a |"),
        ("{{ 1e-5 | string }} {{ [1e16] | string }} {{ true | string }}", "1e-05 [1e+16] True"),
        ("{{ 'a' | string }} {{ missing | string }}|", "a |"),
        ("{{ [1e-7, 'a', none, [1e16]] | join(', ') }}", "1e-07, a, None, [1e+16]"),
        ("{{ [1.0] | join }}{{ [1, 2] | join(d='-') }}{{ 'abc' | join('.') }}", "1.01-2a.b.c"),
        ("{{ [{'a': 1e-5}, {'a': 'b'}] | join('|', attribute='a') }}", "1e-05|b"),
        ("{{ messages | join('|', 'content') }}", "One"),
        ("{% autoescape true %}{{ '<' }}{{ 1e-5 }}{{ ['<'] | first }}{% endautoescape %}", "&lt;1e-05&lt;"),
    ] {
        assert_eq!(rendered(source).unwrap(), text, "{source}");
    }
}

/// As transformers 5.23 renders them.
#[test]
fn lines_are_indented_as_by_jinja() {
    for (filter, text) in [
        (r"'a\nb\n' | indent(2)", "a\n  b\n"),
        (r"'a\nb\nc' | indent", "a\n    b\n    c"),
        (r"'a\nb' | indent(2, true)", "  a\n  b"),
        (r"'a\n\nc' | indent(2)", "a\n\n  c"),
        (r"'a\n\nc\n' | indent(2, blank=true)", "a\n  \n  c\n  "),
        (r"'\na' | indent(2, first=true)", "  \n  a"),
        (r"'a\nb' | indent('> ')", "a\n> b"),
        (r"'a\nb' | indent(width=1, first=true)", " a\n b"),
        (r"'a\nb' | indent(-1)", "a\nb"),
        (r"'a\r\nb\rc\r' | indent(1)", "a\n b\n c"),
        (r"'' | indent(1, true)", " "),
        ("'a\u{2028}b\u{85}\u{b}c' | indent(1)", "a\n b\n\n c"),
    ] {
        assert_eq!(rendered(&format!("{{{{ {filter} }}}}")).unwrap(), text, "{filter}");
    }
    assert!(rendered("{{ 'a' | indent(depth=2) }}").unwrap_err().contains("depth"));
}

#[test]
fn slices_that_go_backwards_are_pythons() {
    for (slice, text) in [
        ("'abcde'[3:0:-1]", "dcb"),
        ("[1, 2, 3][2:0:-1]", "[3, 2]"),
        ("[1, 2, 3, 4, 5][::-2]", "[5, 3, 1]"),
        ("'abc'[0:2:-1]", ""),
        ("'abc'[:-4:-1]", "cba"),
        ("''[::-1]", ""),
        ("[][::-1]", "[]"),
        ("messages[1:][::-1]", "[]"),
    ] {
        assert_eq!(rendered(&format!("{{{{ {slice} }}}}")).unwrap(), text, "{slice}");
    }
}

#[test]
fn what_a_generation_sets_ends_with_it() {
    for (source, text) in [
        ("{% generation %}{% set q = 1 %}{{ q }}{% endgeneration %}{{ q }}|", "1|"),
        ("{% set q = 1 %}{% generation %}{% set q = 2 %}{% endgeneration %}{{ q }}", "1"),
        ("{% set n = namespace(q=1) %}{%generation%}{% set n.q = 2 %}{%endgeneration%}{{ n.q }}", "2"),
        ("a\n  {% generation %}\nb\n  {% endgeneration %}\nc", "a\nb\nc"),
        ("{%- generation -%} x {%- endgeneration -%} y", "xy"),
    ] {
        assert_eq!(rendered(source).unwrap(), text, "{source}");
    }
}

#[test]
fn a_date_is_written_or_an_error_of_the_template() {
    let written = rendered("{{ strftime_now('%-d %b %Y, %-I:%M %p, week %U') }}");
    assert_eq!(written.unwrap(), "4 Mar 2026, 5:06 AM, week 09");
    let error = rendered("{{ strftime_now('%Q') }}").unwrap_err();
    assert!(error.starts_with("strftime: the directive %Q is unknown; those known are %Y %y"), "{error}");
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
