//! The journal's file as `sqlite3` shows it: another version of the bridge must be able to open it.

use rusqlite::{Connection, Row};
use serde_json::Value;

use super::journal_in;
use crate::harness::{Bridge, assert_snapshot, text};

fn rows(db: &Connection, query: &str, line: impl Fn(&Row<'_>) -> rusqlite::Result<String>) -> String {
    let mut statement = db.prepare(query).unwrap();
    let lines =
        statement.query_map([], |row| line(row)).unwrap().map(|line| format!("  {}\n", line.unwrap().trim_end()));
    lines.collect()
}

fn columns(db: &Connection, table: &str) -> String {
    let query = format!("SELECT name, type, \"notnull\", pk, dflt_value FROM pragma_table_info('{table}')");
    rows(db, &query, |row| {
        let (name, kind): (String, String) = (row.get(0)?, row.get(1)?);
        let (not_null, key): (bool, bool) = (row.get(2)?, row.get(3)?);
        let default = row.get::<_, Option<String>>(4)?.map(|default| format!("DEFAULT {default}"));
        let marks = [not_null.then_some("NOT NULL"), key.then_some("PRIMARY KEY"), default.as_deref()];
        Ok(format!("{name} {kind} {}", marks.into_iter().flatten().collect::<Vec<_>>().join(" ")))
    })
}

#[test]
fn journal_schema() {
    let folder = tempfile::tempdir().unwrap();
    let mut bridge = Bridge::with(&journal_in(folder.path()), false).ready();
    let trace = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ntracestate: vendor=1\r\n";
    assert_eq!(bridge.post_with(trace, &text(1)).0, 200);
    assert_eq!(bridge.post(b"no notification").0, 200);
    bridge.signal("-TERM");
    assert_eq!(bridge.exit_code(), Some(0));
    let db = Connection::open(folder.path().join("data/journal.db")).unwrap();
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let mut shown = format!("version {version}\n");
    let names = rows(&db, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name", |row| row.get(0));
    for table in names.lines().map(str::trim) {
        shown += &format!("\ntable {table}\n{}", columns(&db, table));
    }
    let indexes = "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name";
    shown += &format!("\nindexes\n{}", rows(&db, indexes, |row| row.get(0)));
    shown += &format!("\nnames in meta\n{}", rows(&db, "SELECT name FROM meta ORDER BY name", |row| row.get(0)));
    shown += &format!("\nrecords: reason, class, instance, rest\n{}", records(&db));
    assert_snapshot("journal_schema.txt", &shown);
}

fn records(db: &Connection) -> String {
    rows(db, "SELECT reason, class, instance, rest FROM record ORDER BY seq", |row| {
        let [reason, class] = [row.get::<_, Option<String>>(0)?, row.get(1)?].map(|text| text.unwrap_or("-".into()));
        let instance = row.get::<_, Option<i64>>(2)?.map_or("-".into(), |instance| instance.to_string());
        let rest: Value = serde_json::from_str(&row.get::<_, String>(3)?).unwrap();
        Ok(format!("{reason} {class} {instance} {rest}"))
    })
}
