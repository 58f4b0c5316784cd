//! No value of a notification chooses a destination outside of the operator's template.
//!
//! The input is a template, a NUL, and the value of all its variables.

#![no_main]

use greenapi_bridge::route::Template;
use libfuzzer_sys::fuzz_target;

/// The literal parts: what stands before, between and behind the names in braces.
fn literals(template: &str) -> Vec<&str> {
    template
        .split('{')
        .enumerate()
        .map(|(index, part)| match part.split_once('}') {
            Some((_, literal)) if index > 0 => literal,
            _ => part,
        })
        .collect()
}

fuzz_target!(|input: &str| {
    let Some((text, value)) = input.split_once('\0') else { return };
    let Ok(template) = Template::parse(text) else { return };
    let rendered = template.render(|_| value.into());
    let literals = literals(text);
    let variables = literals.len() - 1;
    if variables == 0 {
        assert_eq!(rendered, text);
        return;
    }
    let length = (rendered.len() - literals.concat().len()) / variables;
    let chosen = &rendered[literals[0].len()..][..length];
    assert!((1..=64).contains(&length), "{rendered}");
    assert!(chosen.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'), "{rendered}");
    assert_eq!(rendered, literals.join(chosen));
    // a class and an instance are never any text
    if !text.contains("{class}") && !text.contains("{instance}") {
        assert!(template.can_render(&rendered), "{rendered}");
    }
});
