//! The closed sets of label values.

use crate::message::{Broker, Reason};
use crate::notification::Class;

/// A label whose values are an enum's.
pub trait Label: Copy + 'static {
    /// Every value.
    const ALL: &'static [Self];

    /// The value in the metrics.
    fn as_str(self) -> &'static str;

    /// Its index in [`Self::ALL`].
    fn index(self) -> usize;
}

/// Makes labels of enums that have `ALL`, in the order of their declaration, and `as_str`.
macro_rules! labels_of {
    ($($label:ty),*) => {
        $(impl Label for $label {
            const ALL: &'static [Self] = &<$label>::ALL;

            fn as_str(self) -> &'static str {
                <$label>::as_str(self)
            }

            fn index(self) -> usize {
                self as usize
            }
        })*
    };
}

/// Declares an enum with the label of each value.
macro_rules! label_enum {
    (
        $(#[doc = $about:literal])*
        $name:ident[$count:literal] { $($(#[doc = $doc:literal])* $value:ident = $label:literal,)* }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $doc])* $value,)*
        }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: [Self; $count] = [$(Self::$value),*];

            /// The label.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $label,)*
                }
            }
        }
    };
}

label_enum! {
    /// The status of an answer to a webhook request.
    Status[9] {
        /// Stored.
        Ok = "200",
        /// The request is malformed.
        BadRequest = "400",
        /// The token is missing, unknown, or bound to another instance.
        Unauthorized = "401",
        /// The source address may not send.
        Forbidden = "403",
        /// Another path.
        NotFound = "404",
        /// Another method.
        MethodNotAllowed = "405",
        /// The body did not come in time.
        RequestTimeout = "408",
        /// The body is too large.
        ContentTooLarge = "413",
        /// Not known to be stored, or overloaded.
        ServiceUnavailable = "503",
    }
}

label_enum! {
    /// Why a webhook request is refused before anything is stored: metric label and log field.
    Refusal[12] {
        /// The client uses http:// on a port with TLS.
        PlainHttp = "plain_http",
        /// `Host` is missing, repeated or no host, `Authorization` is repeated, `Transfer-Encoding` is not `chunked`
        /// alone, or the body is malformed or breaks off.
        BadRequest = "bad_request",
        /// The header of `http.proxy` does not name the sender.
        ForwardedHeader = "forwarded_header",
        /// No token, or an unknown one.
        Unauthorized = "unauthorized",
        /// The token is bound to another instance.
        WrongInstance = "wrong_instance",
        /// The source address may not send.
        Forbidden = "forbidden",
        /// The source address is not in `auth.allow_from`, but the token is valid: probably a new address of GREEN-API.
        Moved = "moved",
        /// Another path.
        NotFound = "not_found",
        /// Another method.
        MethodNotAllowed = "method_not_allowed",
        /// The body did not come in time.
        Timeout = "timeout",
        /// The body is over `http.max_body`.
        TooLarge = "too_large",
        /// `http.limits` are reached.
        Overloaded = "overloaded",
    }
}

label_enum! {
    /// Why the server closes a connection otherwise than after an answer.
    ConnectionRefusal[9] {
        /// `http.limits.connections` are open, and another one evicted it.
        TooManyConnections = "too_many_connections",
        /// `http.limits.connections_per_address` of its address are served without a token, and another one evicted it.
        TooManyConnectionsPerAddress = "too_many_connections_per_address",
        /// `http.limits.handshakes` are in progress, and another one evicted it.
        TooManyHandshakes = "too_many_handshakes",
        /// The TLS handshake took too long.
        HandshakeTimeout = "handshake_timeout",
        /// The TLS handshake failed: no common version, cipher or protocol, or its first bytes are neither TLS nor HTTP.
        HandshakeFailed = "handshake_failed",
        /// The connection does not begin with a preamble of the PROXY protocol, or it does not come within `http.limits.head`.
        NoPreamble = "no_preamble",
        /// The preamble of the PROXY protocol is malformed, too long, or of no TCP connection.
        MalformedPreamble = "malformed_preamble",
        /// The request head is not HTTP.
        MalformedHead = "malformed_head",
        /// The request head is too large, or has too many headers.
        HeadTooLarge = "head_too_large",
    }
}

impl ConnectionRefusal {
    /// What an operator can do, for the log. None means nothing: the client is at fault.
    pub const fn remedy(self) -> Option<&'static str> {
        match self {
            Self::TooManyConnections => Some("all connections are in use; raise http.limits.connections"),
            Self::TooManyConnectionsPerAddress => {
                Some("without a valid token an address gets no more; raise http.limits.connections_per_address")
            }
            Self::TooManyHandshakes => Some("raise http.limits.handshakes"),
            Self::NoPreamble => Some(
                "send the PROXY protocol in the proxy (HAProxy: send-proxy-v2), and let only the proxy reach this port",
            ),
            Self::MalformedPreamble
            | Self::HandshakeTimeout
            | Self::HandshakeFailed
            | Self::MalformedHead
            | Self::HeadTooLarge => None,
        }
    }
}

label_enum! {
    /// What an operator changes in a journal: metric label and log field.
    JournalEdit[5] {
        /// Records get other destinations.
        Reroute = "reroute",
        /// Records leave a broker's backlog.
        Drop = "drop",
        /// Records are deleted.
        Erase = "erase",
        /// Records of an export are added.
        Import = "import",
        /// Dead letters are stored as notifications.
        Replay = "replay",
    }
}

label_enum! {
    /// What is reloaded without a restart: metric label, log field, and name in `/readyz`.
    ReloadTarget[6] {
        /// `auth.tokens_file`.
        Tokens = "tokens",
        /// `auth.allow_from`.
        AllowList = "allow_list",
        /// `admin.tokens_file`.
        AdminTokens = "admin_tokens",
        /// The certificate of the webhook listener, with its key.
        Certificate = "certificate",
        /// The certificate of the admin listener, with its key.
        AdminCertificate = "admin_certificate",
        /// The configuration file.
        Configuration = "configuration",
    }
}

label_enum! {
    /// What became of a reload.
    ReloadResult[2] {
        /// The new one is in use.
        Loaded = "loaded",
        /// The new one cannot be used, and the old one stays in use.
        Failed = "failed",
    }
}

labels_of!(Broker, Reason, Status, Refusal, ConnectionRefusal, JournalEdit, ReloadTarget, ReloadResult);

/// The class of a notification. None means that the body is not a notification.
impl Label for Option<Class> {
    const ALL: &'static [Self] = &[
        Some(Class::Incoming),
        Some(Class::Outgoing),
        Some(Class::State),
        Some(Class::Device),
        Some(Class::Other),
        None,
    ];

    fn as_str(self) -> &'static str {
        self.map_or("unknown", Class::as_str)
    }

    fn index(self) -> usize {
        self.map_or(Class::ALL.len(), |class| class as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_in_order<L: Label>() {
        for (index, value) in L::ALL.iter().enumerate() {
            assert_eq!(value.index(), index, "{}", value.as_str());
        }
    }

    #[test]
    fn labels_stand_in_the_order_of_their_index() {
        assert_in_order::<Broker>();
        assert_in_order::<Reason>();
        assert_in_order::<Status>();
        assert_in_order::<Refusal>();
        assert_in_order::<ReloadTarget>();
        assert_in_order::<ReloadResult>();
        assert_in_order::<ConnectionRefusal>();
        assert_in_order::<Option<Class>>();
        assert_eq!(<Option<Class> as Label>::ALL.len(), Class::ALL.len() + 1);
    }
}
