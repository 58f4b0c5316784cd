//! Patterns of subjects: `*` is one token, `>` is one or more at the end.

/// Whether every subject of pattern `inner` is one of pattern `outer`.
pub(super) fn covers(outer: &str, inner: &str) -> bool {
    let (mut outer, mut inner) = (outer.split('.'), inner.split('.'));
    loop {
        match (outer.next(), inner.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

/// Whether any subject is one of both patterns.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (Some(">"), Some(_)) | (Some(_), Some(">")) | (None, None) => return true,
            (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_what_lies_inside_them() {
        assert!(covers("greenapi.>", "greenapi.*.*.*"));
        assert!(covers("greenapi.*.*.*", "greenapi.*.*.*"));
        assert!(covers("a.*", "a.b"));
        assert!(!covers("a.b", "a.*"));
        assert!(!covers("a.*", "a.>"));
        assert!(!covers("a.>", "a"));
        assert!(!covers("a.*", "a.b.c"));
    }

    #[test]
    fn patterns_overlap_where_they_share_a_subject() {
        assert!(overlap("a.*.c", "a.b.*"));
        assert!(overlap(">", "a"));
        assert!(overlap("a.*.*", "a.7.>"));
        assert!(!overlap("a.b", "a.b.c"));
        assert!(!overlap("a.>", "a"));
        assert!(!overlap("a.*.c", "a.b.d"));
    }
}
