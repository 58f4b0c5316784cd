//! What the server lets us do. JetStream has no dry run of a publish, but the server tells who we are.

use std::time::Duration;

use async_nats::Client;
use serde::Deserialize;

use super::subjects::{covers, overlap};
use crate::brokers::Finding;

/// Answers since nats-server 2.9; a user with a list of what it may publish needs this in the list.
const USER_INFO: &str = "$SYS.REQ.USER.INFO";

#[derive(Deserialize)]
struct Answer {
    data: User,
}

#[derive(Debug, Default, Deserialize)]
struct User {
    #[serde(default)]
    user: String,
    #[serde(default)]
    account: String,
    #[serde(default)]
    permissions: Permissions,
}

/// Absent: everything is allowed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Permissions {
    publish: Permission,
    subscribe: Permission,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Permission {
    allow: Option<Vec<String>>,
    deny: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Right {
    Whole,
    Part,
    None,
}

/// Whether we may publish to each of `subjects`, hear answers below `inbox`, and what is told of the stream at `advisories`;
/// and where messages are looked up, whether that may be asked.
pub(super) async fn check(
    client: &Client,
    subjects: &[String],
    inbox: &str,
    advisories: &[String],
    looked_up: Option<&str>,
) -> Vec<Finding> {
    let asked = tokio::time::timeout(Duration::from_secs(2), client.request(USER_INFO, "".into())).await;
    let answer = asked.ok().and_then(Result::ok);
    match answer.and_then(|answer| serde_json::from_slice::<Answer>(&answer.payload).ok()) {
        Some(Answer { data: user }) => {
            let mut found = judge(&user, subjects, inbox, advisories);
            found.extend(looked_up.and_then(|subject| blind(&user, subject)));
            found
        }
        None => vec![Finding::note(
            "rights",
            "the server does not tell what this user may publish",
            format!("allow it to publish {USER_INFO}, or see to it that it may publish what is above"),
        )],
    }
}

/// What it costs not to be allowed to look up messages.
fn blind(user: &User, subject: &str) -> Option<Finding> {
    let name = user.name();
    (user.permissions.publish.right(subject) != Right::Whole).then(|| {
        let found = format!("{name} may not look up what is stored: after a long outage some may be stored twice");
        Finding::note("rights", found, format!("allow {name} to publish to {subject}"))
    })
}

fn judge(user: &User, subjects: &[String], inbox: &str, advisories: &[String]) -> Vec<Finding> {
    let name = user.name();
    let inbox = format!("{inbox}.*.*");
    let publish = subjects.iter().map(|subject| ("publish to", subject, user.permissions.publish.right(subject)));
    let hear = std::iter::once(("subscribe", &inbox, user.permissions.subscribe.right(&inbox)));
    let mut found: Vec<_> = publish
        .chain(hear)
        .filter_map(|(act, subject, right)| {
            let remedy = format!("allow {name} to {act} {subject}");
            match right {
                Right::Whole => None,
                Right::Part => Some(Finding::note("rights", format!("may {act} only a part of {subject}"), remedy)),
                Right::None => Some(Finding::wrong("rights", format!("no right to {act} {subject}"), remedy)),
            }
        })
        .collect();
    if found.is_empty() {
        found.push(Finding::fine("rights", format!("{name} may publish to all of them and hear answers at {inbox}")));
    }
    let deaf = |subject: &&String| user.permissions.subscribe.right(subject) != Right::Whole;
    let deaf: Vec<_> = advisories.iter().filter(deaf).map(String::as_str).collect();
    if !deaf.is_empty() {
        let missed =
            "is not told all that happens to the stream: an election costs a 503, a change is seen up to 10 s late";
        let remedy = format!("allow {name} to subscribe {}", deaf.join(", "));
        found.push(Finding::note("rights", format!("{name} {missed}"), remedy));
    }
    found
}

impl User {
    fn name(&self) -> String {
        match self.user.as_str() {
            "" => format!("account {}", self.account),
            user => format!("user {user}"),
        }
    }
}

impl Permission {
    /// The right to all subjects of `pattern`, to some, or to none. Several allowed patterns that only together
    /// make up the whole count as a part: whether they do depends on which instances there are.
    fn right(&self, pattern: &str) -> Right {
        let any = |list: &[String], test: fn(&str, &str) -> bool| list.iter().any(|listed| test(listed, pattern));
        let allowed = |test| self.allow.as_deref().is_none_or(|allow| any(allow, test));
        if any(&self.deny, covers) || !allowed(overlap) {
            Right::None
        } else if any(&self.deny, overlap) || !allowed(covers) {
            Right::Part
        } else {
            Right::Whole
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission(json: &str) -> Permission {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_right_is_to_the_whole_of_a_pattern_to_a_part_or_to_nothing() {
        for (json, right) in [
            ("{}", Right::Whole),
            (r#"{"allow":["greenapi.>"]}"#, Right::Whole),
            (r#"{"allow":["greenapi.>"],"deny":["greenapi.outgoing.>"]}"#, Right::Whole),
            (r#"{"allow":["greenapi.incoming.7.>"]}"#, Right::Part),
            (r#"{"deny":["greenapi.*.7.*"]}"#, Right::Part),
            (r#"{"allow":["other.>"]}"#, Right::None),
            (r#"{"allow":["greenapi.>"],"deny":["greenapi.incoming.>"]}"#, Right::None),
        ] {
            assert_eq!(permission(json).right("greenapi.incoming.*.*"), right, "{json}");
        }
    }

    #[test]
    fn each_right_that_is_missing_is_a_line() {
        let permissions = Permissions {
            publish: permission(r#"{"allow":["a.*"]}"#),
            subscribe: permission(r#"{"allow":["_INBOX_other.>"]}"#),
        };
        let user = User { user: "u".into(), account: "A".into(), permissions };
        let found = judge(&user, &["a.*".into(), "dead".into()], "_INBOX", &["elections".into(), "changes".into()]);
        let remedies: Vec<_> = found.iter().map(|finding| finding.remedy.as_str()).collect();
        assert_eq!(
            remedies,
            [
                "allow user u to publish to dead",
                "allow user u to subscribe _INBOX.*.*",
                "allow user u to subscribe elections, changes"
            ]
        );
    }
}
