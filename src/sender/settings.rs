//! What GREEN-API is told about one instance, by the names of its own `SetSettings`.

use serde::Deserialize;

/// The settings of one instance that concern webhooks. As after its creation, nothing is switched on.
///
/// The names are those of `SetSettings`; settings that concern something else are passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Settings {
    /// Where notifications go; empty: they are held.
    pub webhook_url: String,
    /// The token sent with each; empty: none. One stored with its scheme (`Basic …`) is sent as it stands.
    pub webhook_url_token: String,
    /// Messages that came from a chat.
    pub incoming_webhook: Flag,
    /// Messages sent from the phone.
    pub outgoing_message_webhook: Flag,
    /// Messages sent over the API.
    #[serde(rename = "outgoingAPIMessageWebhook")]
    pub outgoing_api_message_webhook: Flag,
    /// Statuses of sent messages: there is no flag that is named after them.
    pub outgoing_webhook: Flag,
    /// Statuses of messages that came.
    pub incoming_message_status_webhook: Flag,
    /// The state of the account.
    pub state_webhook: Flag,
    /// Whether its socket is connected.
    pub status_instance_webhook: Flag,
    /// The phone.
    pub device_webhook: Flag,
    /// Calls that came.
    pub incoming_call_webhook: Flag,
    /// Calls that were made.
    pub outgoing_call_webhook: Flag,
    /// Who blocked the account.
    pub incoming_block_webhook: Flag,
    /// Polls and votes, beside the flag of their direction.
    pub poll_message_webhook: Flag,
    /// Edited messages, beside the flag of their direction.
    pub edited_message_webhook: Flag,
    /// Deleted messages, beside the flag of their direction.
    pub deleted_message_webhook: Flag,
}

/// `"yes"` or `"no"`, as GREEN-API writes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flag {
    /// On.
    Yes,
    /// Off.
    #[default]
    No,
}

impl Settings {
    /// Everything switched on, to this URL.
    pub fn all(webhook_url: &str, webhook_url_token: &str) -> Self {
        let yes = Flag::Yes;
        Self {
            webhook_url: webhook_url.into(),
            webhook_url_token: webhook_url_token.into(),
            incoming_webhook: yes,
            outgoing_message_webhook: yes,
            outgoing_api_message_webhook: yes,
            outgoing_webhook: yes,
            incoming_message_status_webhook: yes,
            state_webhook: yes,
            status_instance_webhook: yes,
            device_webhook: yes,
            incoming_call_webhook: yes,
            outgoing_call_webhook: yes,
            incoming_block_webhook: yes,
            poll_message_webhook: yes,
            edited_message_webhook: yes,
            deleted_message_webhook: yes,
        }
    }

    /// Whether a notification is queued, by its `typeWebhook` and its `messageData.typeMessage`.
    ///
    /// No flag is documented for `quotaExceeded`, and none can be for a type not known yet: those are always queued.
    pub fn want(&self, kind: &str, message_type: Option<&str>) -> bool {
        let all = |flags: &[Flag]| flags.iter().all(|flag| *flag == Flag::Yes);
        let of_message = match message_type {
            Some("pollMessage" | "pollUpdateMessage" | "pollCreationMessage") => self.poll_message_webhook,
            Some("editedMessage") => self.edited_message_webhook,
            Some("deletedMessage") => self.deleted_message_webhook,
            _ => Flag::Yes,
        };
        match kind {
            "incomingMessageReceived" => all(&[self.incoming_webhook, of_message]),
            "outgoingMessageReceived" => all(&[self.outgoing_message_webhook, of_message]),
            "outgoingAPIMessageReceived" => all(&[self.outgoing_api_message_webhook, of_message]),
            "outgoingMessageStatus" => all(&[self.outgoing_webhook]),
            "incomingMessageStatus" => all(&[self.incoming_webhook, self.incoming_message_status_webhook]),
            "stateInstanceChanged" => all(&[self.state_webhook]),
            "statusInstanceChanged" => all(&[self.status_instance_webhook]),
            "deviceInfo" => all(&[self.device_webhook]),
            "incomingCall" => all(&[self.incoming_call_webhook]),
            "outgoingCall" => all(&[self.outgoing_call_webhook]),
            "incomingBlock" => all(&[self.incoming_block_webhook]),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(json: &str) -> Settings {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_new_instance_queues_only_what_has_no_flag() {
        let new = Settings::default();
        for kind in ["incomingMessageReceived", "outgoingMessageStatus", "stateInstanceChanged", "deviceInfo"] {
            assert!(!new.want(kind, None), "{kind}");
        }
        assert!(new.want("quotaExceeded", None) && new.want("notKnownYet", None));
    }

    #[test]
    fn settings_are_read_as_set_settings_takes_them() {
        let settings = from(r#"{"webhookUrl":"http://h/","delaySendMessagesMilliseconds":500,"stateWebhook":"yes"}"#);
        assert_eq!(settings.webhook_url, "http://h/");
        assert!(settings.want("stateInstanceChanged", None) && !settings.want("incomingCall", None));
        assert!(serde_json::from_str::<Settings>(r#"{"stateWebhook":true}"#).is_err());
    }

    #[test]
    fn each_direction_has_a_flag_and_statuses_have_the_one_that_is_not_named_after_them() {
        let sent = from(r#"{"outgoingAPIMessageWebhook":"yes"}"#);
        assert!(sent.want("outgoingAPIMessageReceived", Some("textMessage")));
        assert!(!sent.want("outgoingMessageReceived", Some("textMessage")));
        assert!(!sent.want("outgoingMessageStatus", None));
        assert!(from(r#"{"outgoingWebhook":"yes"}"#).want("outgoingMessageStatus", None));
    }

    #[test]
    fn polls_edits_and_deletions_need_a_flag_of_their_own_too() {
        let incoming = from(r#"{"incomingWebhook":"yes"}"#);
        assert!(incoming.want("incomingMessageReceived", Some("imageMessage")));
        for (flag, kind) in [
            ("pollMessageWebhook", "pollUpdateMessage"),
            ("editedMessageWebhook", "editedMessage"),
            ("deletedMessageWebhook", "deletedMessage"),
        ] {
            assert!(!incoming.want("incomingMessageReceived", Some(kind)), "{kind}");
            assert!(!from(&format!(r#"{{"{flag}":"yes"}}"#)).want("incomingMessageReceived", Some(kind)), "{kind}");
            let both = from(&format!(r#"{{"incomingWebhook":"yes","{flag}":"yes"}}"#));
            assert!(both.want("incomingMessageReceived", Some(kind)), "{kind}");
        }
    }
}
