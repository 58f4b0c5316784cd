//! The settings of one instance, with the names of GREEN-API's `SetSettings`.

use serde::Deserialize;

/// The settings of one instance that concern webhooks. By default every flag is off, as for a new instance.
///
/// The names are those of `SetSettings`; settings that concern something else are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Settings {
    /// Where notifications go. Empty means they stay in the queue.
    pub webhook_url: String,
    /// The token sent with each notification. Empty means none. A token with its scheme (`Basic …`) is sent as it is.
    pub webhook_url_token: String,
    /// Received messages.
    pub incoming_webhook: Flag,
    /// Messages sent from the phone.
    pub outgoing_message_webhook: Flag,
    /// Messages sent over the API.
    #[serde(rename = "outgoingAPIMessageWebhook")]
    pub outgoing_api_message_webhook: Flag,
    /// Statuses of sent messages. No flag is named after them.
    pub outgoing_webhook: Flag,
    /// Statuses of received messages.
    pub incoming_message_status_webhook: Flag,
    /// The state of the account.
    pub state_webhook: Flag,
    /// The state of its socket.
    pub status_instance_webhook: Flag,
    /// The phone.
    pub device_webhook: Flag,
    /// Received calls.
    pub incoming_call_webhook: Flag,
    /// Outgoing calls.
    pub outgoing_call_webhook: Flag,
    /// Contacts that blocked the account.
    pub incoming_block_webhook: Flag,
    /// Polls and votes; the flag of their direction must be on too.
    pub poll_message_webhook: Flag,
    /// Edited messages; the flag of their direction must be on too.
    pub edited_message_webhook: Flag,
    /// Deleted messages; the flag of their direction must be on too.
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
    /// All flags on, with this URL and token.
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

    /// Whether a notification with this `typeWebhook` and `messageData.typeMessage` is queued.
    ///
    /// `quotaExceeded` and unknown types have no documented flag: they are always queued.
    pub fn includes(&self, kind: &str, message_type: Option<&str>) -> bool {
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
    fn new_instance_queues_only_types_without_a_flag() {
        let new = Settings::default();
        for kind in ["incomingMessageReceived", "outgoingMessageStatus", "stateInstanceChanged", "deviceInfo"] {
            assert!(!new.includes(kind, None), "{kind}");
        }
        assert!(new.includes("quotaExceeded", None) && new.includes("notKnownYet", None));
    }

    #[test]
    fn settings_are_read_in_the_form_of_set_settings() {
        let settings = from(r#"{"webhookUrl":"http://h/","delaySendMessagesMilliseconds":500,"stateWebhook":"yes"}"#);
        assert_eq!(settings.webhook_url, "http://h/");
        assert!(settings.includes("stateInstanceChanged", None) && !settings.includes("incomingCall", None));
        assert!(serde_json::from_str::<Settings>(r#"{"stateWebhook":true}"#).is_err());
    }

    #[test]
    fn each_direction_has_its_flag_and_statuses_have_outgoing_webhook() {
        let sent = from(r#"{"outgoingAPIMessageWebhook":"yes"}"#);
        assert!(sent.includes("outgoingAPIMessageReceived", Some("textMessage")));
        assert!(!sent.includes("outgoingMessageReceived", Some("textMessage")));
        assert!(!sent.includes("outgoingMessageStatus", None));
        assert!(from(r#"{"outgoingWebhook":"yes"}"#).includes("outgoingMessageStatus", None));
    }

    #[test]
    fn polls_edits_and_deletions_need_their_own_flag_too() {
        let incoming = from(r#"{"incomingWebhook":"yes"}"#);
        assert!(incoming.includes("incomingMessageReceived", Some("imageMessage")));
        for (flag, kind) in [
            ("pollMessageWebhook", "pollUpdateMessage"),
            ("editedMessageWebhook", "editedMessage"),
            ("deletedMessageWebhook", "deletedMessage"),
        ] {
            assert!(!incoming.includes("incomingMessageReceived", Some(kind)), "{kind}");
            assert!(!from(&format!(r#"{{"{flag}":"yes"}}"#)).includes("incomingMessageReceived", Some(kind)), "{kind}");
            let both = from(&format!(r#"{{"incomingWebhook":"yes","{flag}":"yes"}}"#));
            assert!(both.includes("incomingMessageReceived", Some(kind)), "{kind}");
        }
    }
}
