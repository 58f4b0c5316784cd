//! Strict validation against bodies in our own words: what real notifications lack or bend, and what is broken.

use serde_json::{Value, json};

use super::*;

/// The `messageData` of messages that pass.
const MESSAGES: [&str; 27] = [
    r#"{"typeMessage": "editedMessage"}"#,
    r#"{"typeMessage": "editedMessage", "editedMessageData": {}}"#,
    r#"{"typeMessage": "editedMessage", "editedMessageData": {"caption": "Later", "stanzaId": null}}"#,
    r#"{"typeMessage": "deletedMessage"}"#,
    r#"{"typeMessage": "deletedMessage", "deletedMessageData": {}}"#,
    r#"{"typeMessage": "imageMessage", "fileMessageData": {}}"#,
    r#"{"typeMessage": "audioMessage", "fileMessageData": {"downloadUrl": null, "mimeType": "audio/ogg"}}"#,
    r#"{"typeMessage": "videoMessage", "fileMessageData": {"downloadUrl": "", "jpegThumbnail": {}}}"#,
    r#"{"typeMessage": "extendedTextMessage", "extendedTextMessageData": {"text": "Tea?", "isForwarded": "true"}}"#,
    r#"{"typeMessage": "extendedTextMessage", "extendedTextMessageData": {"jpegThumbnail": {}}}"#,
    r#"{"typeMessage": "groupInviteMessage", "groupInviteMessageData": {"jpegThumbnail": {}}}"#,
    r#"{"typeMessage": "locationMessage", "locationMessageData": {"latitude": 1, "longitude": 2.5, "jpegThumbnail": {}}}"#,
    r#"{"typeMessage": "contactMessage", "contactMessageData": {"phoneNumber": "79990001030"}}"#,
    r#"{"typeMessage": "contactsArrayMessage", "contacts": [null]}"#,
    r#"{"typeMessage": "contactsArrayMessage", "messageData": {}, "contacts": null}"#,
    r#"{"typeMessage": "interactiveButtonsReply", "interactiveButtons": {"buttons": [null, {"buttonId": "t"}]}}"#,
    r#"{"typeMessage": "interactiveButtonReply", "interactiveButtonsReply": {"header": "Tea?", "body": "", "footer": null}}"#,
    r#"{"typeMessage": "textMessage", "textMessageData": {}, "fileMessageData": null, "listMessage": null}"#,
    r#"{"typeMessage": "textMessage", "textMessageData": {}, "quotedMessage": {"jpegThumbnail": {}, "isAnimated": true}}"#,
    r#"{"typeMessage": "textMessage", "textMessageData": {}, "quotedMessage": {"location": {"jpegThumbnail": {}}}}"#,
    r#"{"typeMessage": "textMessage", "textMessageData": {}, "quotedMessage": {"extendedTextMessage": {"jpegThumbnail": {}}}}"#,
    r#"{"typeMessage": "textMessage", "textMessageData": {}, "quotedMessage": {"buttons": [null]}}"#,
    r#"{"typeMessage": "pollMessage", "pollMessageData": {"options": [null]}}"#,
    r#"{"typeMessage": "pollUpdateMessage", "pollMessageData": {"votes": [null, {"optionVoters": [null]}]}}"#,
    r#"{"typeMessage": "listMessage", "listMessage": {"sections": [null, {"rows": [null]}]}}"#,
    r#"{"typeMessage": "buttonsMessage", "buttonsMessage": {"buttons": [null]}}"#,
    r#"{"typeMessage": "templateMessage", "templateMessage": {"buttons": [null]}}"#,
];

/// A type, and members beside the common ones, that pass.
const NOTIFICATIONS: [(&str, &str); 8] = [
    ("outgoingMessageStatus", "{}"),
    ("outgoingMessageStatus", r#"{"status": null}"#),
    ("outgoingMessageStatus", r#"{"status": ""}"#),
    ("incomingMessageStatus", r#"{"sendByApi": false}"#),
    ("deviceInfo", r#"{"avatarInfo": {"chatId": true}}"#),
    ("deviceInfo", r#"{"avatarInfo": null, "deviceData": {}}"#),
    ("incomingBlock", r#"{"quotaData": null}"#),
    ("outgoingCall", r#"{"from": "79990001030@c.us", "participants": [null, {"id": "79990001030@lid"}]}"#),
];

/// The `messageData` of messages that are refused, and the field that is wrong in it.
const BROKEN_MESSAGES: [(&str, &str); 17] = [
    (r#"{"typeMessage": "textMessage", "textMessageData": null}"#, "textMessageData"),
    (r#"{"typeMessage": "imageMessage"}"#, "fileMessageData"),
    (r#"{"typeMessage": "imageMessage", "fileMessageData": null}"#, "fileMessageData"),
    (r#"{"typeMessage": "imageMessage", "fileMessageData": {"downloadUrl": 7}}"#, "fileMessageData/downloadUrl"),
    (r#"{"typeMessage": "imageMessage", "fileMessageData": {"jpegThumbnail": []}}"#, "fileMessageData/jpegThumbnail"),
    (r#"{"typeMessage": "stickerMessage", "stickerMessageData": null}"#, "fileMessageData"),
    (r#"{"typeMessage": "reactionMessage", "extendedTextMessageData": {}, "quotedMessage": null}"#, "quotedMessage"),
    (r#"{"typeMessage": "contactsArrayMessage", "contacts": null}"#, "contacts"),
    (r#"{"typeMessage": "ContactsArrayMessage", "messageData": null}"#, "contacts"),
    (r#"{"typeMessage": "pollMessage", "pollCreationMessage": null}"#, "pollMessageData"),
    (r#"{"typeMessage": "editedMessage", "editedMessageData": "text"}"#, "editedMessageData"),
    (r#"{"typeMessage": "locationMessage", "locationMessageData": {"latitude": 1}}"#, "locationMessageData/longitude"),
    (r#"{"typeMessage": "interactiveButtonsReply"}"#, "interactiveButtonsReply"),
    (r#"{"typeMessage": "interactiveButtonReply", "interactiveButtons": null}"#, "interactiveButtonsReply"),
    (r#"{"typeMessage": "interactiveButtonsReply", "interactiveButtonsReply": null}"#, "interactiveButtonsReply"),
    (
        r#"{"typeMessage": "interactiveButtonsReply", "interactiveButtonsReply": {"header": 7}}"#,
        "interactiveButtonsReply/header",
    ),
    // the message type is not known, but the name of the field is
    (r#"{"typeMessage": "notKnownYet", "messageData": "text"}"#, "messageData"),
];

/// A type, members beside the common ones that are refused, and the field that is wrong.
const BROKEN_NOTIFICATIONS: [(&str, &str, &str); 5] = [
    ("deviceInfo", r#"{"avatarInfo": null}"#, "deviceData"),
    ("deviceInfo", r#"{"deviceData": null}"#, "deviceData"),
    ("quotaExceeded", r#"{"quotaData": null}"#, "quotaData"),
    ("outgoingMessageStatus", r#"{"status": 7}"#, "status"),
    ("incomingMessageStatus", r#"{"sendByApi": "yes"}"#, "sendByApi"),
];

/// A notification of this type with these members.
fn notification(kind: &str, members: &str) -> Value {
    let mut all = json!({"typeWebhook": kind, "instanceData": {"idInstance": 7}, "timestamp": 1_763_972_458});
    let members: Value = serde_json::from_str(members).unwrap();
    all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    all
}

fn message(data: &str) -> Value {
    let members =
        format!(r#"{{"idMessage": "3EB07", "senderData": {{"chatId": "79990001030@c.us"}}, "messageData": {data}}}"#);
    notification("incomingMessageReceived", &members)
}

fn strict() -> Validation {
    Validation::new(&ValidationConfig { mode: ValidationMode::Strict }).unwrap()
}

/// The text of the error. None means that it passes.
fn refusal(validation: &Validation, notification: &Value) -> Option<String> {
    validation.parse(notification.to_string().as_bytes()).err().map(|error| error.to_string())
}

#[test]
fn what_real_notifications_lack_or_bend_passes() {
    let strict = strict();
    let notifications = NOTIFICATIONS.map(|(kind, members)| notification(kind, members));
    for passes in MESSAGES.map(message).into_iter().chain(notifications) {
        assert_eq!(refusal(&strict, &passes), None, "{passes}");
    }
}

#[test]
fn null_for_required_data_and_the_wrong_kind_of_value_are_refused() {
    let strict = strict();
    let messages = BROKEN_MESSAGES.map(|(data, field)| (message(data), format!("/messageData/{field}")));
    let others = BROKEN_NOTIFICATIONS.map(|(kind, members, field)| (notification(kind, members), format!("/{field}")));
    for (refused, pointer) in messages.into_iter().chain(others) {
        let refusal = refusal(&strict, &refused);
        assert_eq!(
            refusal.as_deref().and_then(|text| text.split(' ').next()),
            Some(&*pointer),
            "{refusal:?}: {refused}"
        );
    }
}
