//! The names of all keys, and environment variables that are almost the name of one.

use toml::{Table, Value};

use super::Config;

/// A warning for each variable that names a key with one underscore where two are needed.
///
/// Other names without two underscores are not ours: Kubernetes sets `BRIDGE_PORT` where there is a service `bridge`.
pub fn misspelt_variables(names: impl Iterator<Item = String>) -> Vec<String> {
    let keys = std::cell::LazyCell::new(|| below(""));
    let warning = |name: String| {
        let rest = name.strip_prefix("BRIDGE_").filter(|rest| !rest.contains("__"))?.to_ascii_lowercase();
        let key = keys.iter().find(|key| key.contains('.') && key.replace('.', "_") == rest)?;
        Some(format!("{name} is not read; two underscores stand between section and key: {}", variable(key)))
    };
    names.filter_map(warning).collect()
}

/// The environment variable of a key.
pub(super) fn variable(key: &str) -> String {
    format!("BRIDGE_{}", key.replace('.', "__").to_ascii_uppercase())
}

/// The part of each key that this program knows, each once: what is below `route.types`, for example, has names of the
/// operator's choice.
pub fn known_parts(keys: &[String]) -> Vec<String> {
    let mut known = below("");
    known.sort_by_key(|key| std::cmp::Reverse(key.len()));
    let is_part =
        |part: &str, key: &str| key.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let part_of = |key: &String| known.iter().find(|part| !part.is_empty() && is_part(part, key)).cloned();
    let mut parts: Vec<_> = keys.iter().filter_map(part_of).collect();
    parts.dedup();
    parts
}

/// The places where a key of this name is known, sections in brackets: of all sections, those that have the most in common
/// with its own.
pub(super) fn elsewhere(key: &str) -> Vec<String> {
    let (all, name) = (below(""), key.rsplit('.').next());
    let in_common = |known: &str| known.split('.').zip(key.split('.')).take_while(|(one, other)| one == other).count();
    let same_name: Vec<_> = all.iter().filter(|known| known.rsplit('.').next() == name && *known != key).collect();
    let most = same_name.iter().map(|known| in_common(known)).max();
    let nearest = same_name.into_iter().filter(|known| Some(in_common(known)) == most);
    let is_section =
        |known: &str| all.iter().any(|other| other.strip_prefix(known).is_some_and(|rest| rest.starts_with('.')));
    nearest.map(|known| if is_section(known) { format!("[{known}]") } else { known.clone() }).collect()
}

/// Every key below a section, and the section itself. The keys come from the error for an unknown key, which names all.
pub(super) fn below(section: &str) -> Vec<String> {
    let mut asked = Value::Table(Table::from_iter([("?".to_owned(), Value::Boolean(true))]));
    for name in section.rsplit('.').filter(|name| !name.is_empty()) {
        asked = Value::Table(Table::from_iter([(name.to_owned(), asked)]));
    }
    let answer = asked.try_into::<Config>().map(drop).map_err(|error| error.message().to_owned());
    let Err(answer) = answer else { return vec![section.to_owned()] };
    if !answer.starts_with("unknown field `?`") {
        return vec![section.to_owned()];
    }
    let inside = |name: &str| if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
    let names = answer.split('`').skip(3).step_by(2);
    names.flat_map(|name| below(&inside(name))).chain([section.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_operators_choice_are_no_part_of_a_known_key() {
        let keys = [
            "http.workers",
            "journal",
            "kafka.properties.\"a.b\"",
            "route.instances.7.topic",
            "route.instances.8.topic",
        ];
        let keys: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
        assert_eq!(known_parts(&keys), ["http.workers", "journal", "kafka.properties", "route.instances"]);
    }

    fn warnings(names: &[&str]) -> Vec<String> {
        misspelt_variables(names.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn a_variable_with_one_underscore_too_few_gets_a_warning() {
        for (name, meant) in [
            ("BRIDGE_HTTP_LISTEN", "BRIDGE_HTTP__LISTEN"),
            ("BRIDGE_HTTP_LIMITS_IN_FLIGHT", "BRIDGE_HTTP__LIMITS__IN_FLIGHT"),
            ("BRIDGE_NATS_SERVERS", "BRIDGE_NATS__SERVERS"),
            ("BRIDGE_KAFKA_BOOTSTRAP_SERVERS", "BRIDGE_KAFKA__BOOTSTRAP_SERVERS"),
            ("BRIDGE_NATS_TLS_CA_FILE", "BRIDGE_NATS__TLS__CA_FILE"),
            ("BRIDGE_PROBES_LISTEN", "BRIDGE_PROBES__LISTEN"),
            ("BRIDGE_ROUTE_TYPES", "BRIDGE_ROUTE__TYPES"),
        ] {
            let line = format!("{name} is not read; two underscores stand between section and key: {meant}");
            assert_eq!(warnings(&[name]), [line]);
        }
    }

    #[test]
    fn variables_that_are_read_or_not_ours_get_no_warning() {
        let names = "BRIDGE_HTTP__LISTEN BRIDGE_PORT BRIDGE_SERVICE_HOST BRIDGE_HTTP_PORT BRIDGE_HTTP BRIDGE_ \
            BRIDGE_HTTP_PORT_3000_TCP_PROTO BRIDGE_SERVICE_PORT_HTTP_LISTEN HTTP_LISTEN XBRIDGE_HTTP_LISTEN \
            BRIDGE_PORT_3000_TCP_ADDR BRIDGE_NATS BRIDGE_NATS_SERVICE_HOST";
        assert!(warnings(&names.split_whitespace().collect::<Vec<_>>()).is_empty());
    }
}
