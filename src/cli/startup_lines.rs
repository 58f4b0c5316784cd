//! The first lines on a terminal: the webhook address, the status page, the destinations, the next step. And the line that a
//! service manager shows.

use std::path::absolute;

use super::endpoint;
use crate::config::Config;
use crate::message::Broker;

/// One line for each of them.
pub(super) fn lines(config: &Config) -> [String; 4] {
    let scheme = endpoint::scheme(config.http.tls.as_ref());
    let post = format!("{scheme}://{}{}", reachable(config.http.listen), config.http.path);
    let look = config
        .admin
        .as_ref()
        .map(|admin| format!("{}://{}/", endpoint::scheme(admin.tls.as_ref()), reachable(admin.listen)));
    let look = look.unwrap_or_else(|| "no page: add the section [admin] for one".into());
    let next = match config.auth.tokens_file {
        Some(_) => format!(
            "set webhookUrl to the public URL of the address above, or try it: greenapi-bridge send --url {post} --token-file FILE"
        ),
        None => format!("try it: greenapi-bridge send --url {post}"),
    };
    [("post to", post), ("look at", look), ("goes to", destinations(config)), ("next", next)]
        .map(|(what, text)| format!("{what:<8} {text}"))
}

/// One line for a service manager.
pub(super) fn status(config: &Config) -> String {
    let scheme = endpoint::scheme(config.http.tls.as_ref());
    format!("serving {scheme}://{}{} to {}", config.http.listen, config.http.path, destinations(config))
}

/// The brokers and the journal's folder.
fn destinations(config: &Config) -> String {
    let used = |broker| config.broker_templates().iter().any(|template| template.broker == broker);
    let kafka = config.kafka.as_ref().filter(|_| used(Broker::Kafka));
    let kafka = kafka.map(|kafka| format!("kafka {}", kafka.bootstrap_servers.join(", ")));
    let nats = config.nats.as_ref().filter(|_| used(Broker::Nats));
    let nats = nats.map(|nats| format!("nats {}", nats.servers.join(", ")));
    let journal = config.journal.as_ref().map(|journal| {
        let folder = absolute(&journal.directory).unwrap_or_else(|_| journal.directory.clone());
        format!("the journal in {}", folder.display())
    });
    kafka.into_iter().chain(nats).chain(journal).collect::<Vec<_>>().join(", ")
}

/// An address that this machine can reach; a wildcard becomes `localhost`.
fn reachable(listen: std::net::SocketAddr) -> String {
    match listen.ip() {
        ip if ip.is_unspecified() => format!("localhost:{}", listen.port()),
        _ => listen.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_name_addresses_and_destinations() {
        let config: Config = toml::from_str(
            "http.listen = \"0.0.0.0:3000\"\n[nats]\nservers = [\"nats://h:4222\"]\n[journal]\ndirectory = \"/var/lib/bridge\"\n[admin]\n",
        )
        .unwrap();
        let says =
            "serving http://0.0.0.0:3000/green-api/webhook/ to nats nats://h:4222, the journal in /var/lib/bridge";
        assert_eq!(status(&config), says);
        let [post, look, goes, next] = lines(&config);
        assert_eq!(post, "post to  http://localhost:3000/green-api/webhook/");
        assert_eq!(look, "look at  http://127.0.0.1:3001/");
        assert_eq!(goes, "goes to  nats nats://h:4222, the journal in /var/lib/bridge");
        assert!(next.ends_with("send --url http://localhost:3000/green-api/webhook/"), "{next}");
    }
}
