//! What the bridge's user may do. JetStream has no dry run of a publish, but the server names the user's permissions.

use std::time::Duration;

use async_nats::Client;
use serde::Deserialize;

use super::super::subjects::{covers, overlap};
use crate::brokers::Finding;

/// Answered since nats-server 2.9. A user with a list of allowed subjects needs this one in the list.
const USER_INFO: &str = "$SYS.REQ.USER.INFO";

#[derive(Deserialize)]
struct UserInfoResponse {
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

/// What is absent is allowed.
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
enum Access {
    Full,
    Partial,
    Denied,
}

/// Whether the user may publish to each of `subjects`, receive answers below `inbox` and the stream's `advisories`; and
/// whether it may publish to `lookup`, where there is a journal whose messages are looked up.
pub(super) async fn check(
    client: &Client,
    subjects: &[String],
    inbox: &str,
    advisories: &[String],
    lookup: Option<&str>,
) -> Vec<Finding> {
    let response = tokio::time::timeout(Duration::from_secs(2), client.request(USER_INFO, "".into())).await;
    let response = response.ok().and_then(Result::ok);
    match response.and_then(|response| serde_json::from_slice::<UserInfoResponse>(&response.payload).ok()) {
        Some(UserInfoResponse { data: user }) => {
            let mut found = permission_findings(&user, subjects, inbox, advisories);
            found.extend(lookup.and_then(|subject| lookup_finding(&user, subject)));
            found
        }
        None => vec![Finding::note(
            "rights",
            "the server does not say what this user may publish",
            format!("allow it to publish {USER_INFO}, or make sure that it may publish to the subjects above"),
        )],
    }
}

/// The finding if the user may not look up messages.
fn lookup_finding(user: &User, subject: &str) -> Option<Finding> {
    let name = user.name();
    (user.permissions.publish.access(subject) != Access::Full).then(|| {
        let found = format!("{name} may not look up what is stored: after a long outage some may be stored twice");
        Finding::note("rights", found, format!("allow {name} to publish to {subject}"))
    })
}

fn permission_findings(user: &User, subjects: &[String], inbox: &str, advisories: &[String]) -> Vec<Finding> {
    let name = user.name();
    let inbox = format!("{inbox}.*.*");
    let publish = subjects.iter().map(|subject| ("publish to", subject, user.permissions.publish.access(subject)));
    let subscribe = std::iter::once(("subscribe", &inbox, user.permissions.subscribe.access(&inbox)));
    let mut found: Vec<_> = publish
        .chain(subscribe)
        .filter_map(|(act, subject, access)| {
            let remedy = format!("allow {name} to {act} {subject}");
            match access {
                Access::Full => None,
                Access::Partial => Some(Finding::note("rights", format!("may {act} only a part of {subject}"), remedy)),
                Access::Denied => Some(Finding::wrong("rights", format!("no right to {act} {subject}"), remedy)),
            }
        })
        .collect();
    if found.is_empty() {
        found
            .push(Finding::fine("rights", format!("{name} may publish to all of them and receive answers at {inbox}")));
    }
    let unheard = |subject: &&String| user.permissions.subscribe.access(subject) != Access::Full;
    let missing: Vec<_> = advisories.iter().filter(unheard).map(String::as_str).collect();
    if !missing.is_empty() {
        let cost =
            "does not receive all advisories of the stream: an election costs a 503, a change is found up to 10 s late";
        let remedy = format!("allow {name} to subscribe {}", missing.join(", "));
        found.push(Finding::note("rights", format!("{name} {cost}"), remedy));
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
    /// Access to all subjects of `pattern`, to some, or to none. Several allowed patterns that only together cover it
    /// count as partial: whether they cover it depends on which instances there are.
    fn access(&self, pattern: &str) -> Access {
        let any = |list: &[String], test: fn(&str, &str) -> bool| list.iter().any(|listed| test(listed, pattern));
        let allowed = |test| self.allow.as_deref().is_none_or(|allow| any(allow, test));
        if any(&self.deny, covers) || !allowed(overlap) {
            Access::Denied
        } else if any(&self.deny, overlap) || !allowed(covers) {
            Access::Partial
        } else {
            Access::Full
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
    fn access_to_a_pattern_is_full_partial_or_denied() {
        for (json, access) in [
            ("{}", Access::Full),
            (r#"{"allow":["greenapi.>"]}"#, Access::Full),
            (r#"{"allow":["greenapi.>"],"deny":["greenapi.outgoing.>"]}"#, Access::Full),
            (r#"{"allow":["greenapi.incoming.7.>"]}"#, Access::Partial),
            (r#"{"deny":["greenapi.*.7.*"]}"#, Access::Partial),
            (r#"{"allow":["other.>"]}"#, Access::Denied),
            (r#"{"allow":["greenapi.>"],"deny":["greenapi.incoming.>"]}"#, Access::Denied),
        ] {
            assert_eq!(permission(json).access("greenapi.incoming.*.*"), access, "{json}");
        }
    }

    #[test]
    fn each_missing_permission_is_a_finding() {
        let permissions = Permissions {
            publish: permission(r#"{"allow":["a.*"]}"#),
            subscribe: permission(r#"{"allow":["_INBOX_other.>"]}"#),
        };
        let user = User { user: "u".into(), account: "A".into(), permissions };
        let found = permission_findings(
            &user,
            &["a.*".into(), "dead".into()],
            "_INBOX",
            &["elections".into(), "changes".into()],
        );
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
