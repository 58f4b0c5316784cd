//! As little of a notification as one must know to store it.

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification<'a> {
    #[allow(dead_code, reason = "a topic does not name it")]
    pub type_webhook: &'a str,
    pub instance_data: InstanceData,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceData {
    pub id_instance: u64,
}
