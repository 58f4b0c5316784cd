//! What strace saw of a journal's files, and what a disk may hold of it when the power goes.

use std::collections::HashMap;
use std::path::Path;

/// One thing that happened, in order.
pub enum Event {
    Write(String, usize, Vec<u8>),
    Cut(String, usize),
    /// What was written to this file is on disk.
    Sync(String),
    /// Which names there are is on disk.
    SyncNames,
    Create(String),
    Unlink(String),
    /// A 200 went out to this port.
    Answer(u16),
}

/// Pseudo-random numbers (xorshift64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() >> 8) as usize % end
    }
}

/// Reads what strace wrote with `-xx -yy`; paths below `folder` are the journal's.
pub fn events(trace: &[u8], folder: &Path) -> Vec<Event> {
    let folder = folder.canonicalize().unwrap().to_str().unwrap().to_owned();
    let (mut events, mut begun) = (Vec::new(), HashMap::new());
    for line in std::str::from_utf8(trace).unwrap().lines() {
        let Some((process, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(call) = call.strip_suffix(" <unfinished ...>") {
            // what is written may be on disk from now on; what is synced is when the call is over
            let over = begun_call(call, &folder, &mut events);
            begun.insert(process.to_owned(), over);
        } else if call.starts_with("<... ") {
            let done = !call.contains(" = -1");
            events.extend(begun.remove(process).flatten().filter(|_| done));
        } else if !call.contains(") = -1") && !call.contains(") = ? ") {
            let over = begun_call(call, &folder, &mut events);
            events.extend(over);
        }
    }
    events
}

/// Adds what a call does at once, and returns what it has done once it is over.
fn begun_call(call: &str, folder: &str, events: &mut Vec<Event>) -> Option<Event> {
    let (name, arguments) = call.split_once('(')?;
    let label = || Some(arguments.split_once('<')?.1.split_once('>')?.0);
    let file =
        || Some(String::from_utf8(bytes(label()?)).ok()?.strip_prefix(folder)?.trim_start_matches('/').to_owned());
    let number = |from_end: usize| {
        arguments.split(" = ").next()?.trim_end().trim_end_matches(')').rsplit(", ").nth(from_end)?.parse().ok()
    };
    let text = || Some(bytes(arguments.split('"').nth(1)?));
    match name {
        "pwrite64" => events.push(Event::Write(journals(file()?)?, number(0)?, text()?)),
        "ftruncate" => events.push(Event::Cut(journals(file()?)?, number(0)?)),
        "fsync" | "fdatasync" => {
            let name = file()?;
            return Some(if name.is_empty() { Event::SyncNames } else { Event::Sync(name) });
        }
        "openat" if arguments.contains("O_CREAT") => events.push(Event::Create(journals(below(folder, text()?)?)?)),
        "unlink" => events.push(Event::Unlink(journals(below(folder, text()?)?)?)),
        "write" | "writev" | "sendto" | "sendmsg" if text()?.starts_with(b"HTTP/1.1 200") => {
            let port = arguments.split_once("->")?.1.split_once(']')?.0.rsplit_once(':')?.1.parse().ok()?;
            // the admin listener answers too
            let whole: Vec<u8> = arguments.split('"').skip(1).step_by(2).flat_map(bytes).collect();
            if whole.windows(9).any(|part| part == b"\"stored\":") {
                events.push(Event::Answer(port));
            }
        }
        _ => {}
    }
    None
}

fn below(folder: &str, path: Vec<u8>) -> Option<String> {
    Some(String::from_utf8(path).ok()?.strip_prefix(folder)?.trim_start_matches('/').to_owned())
}

/// The index of the log is rebuilt from the log.
fn journals(file: String) -> Option<String> {
    (file.starts_with("journal.db") && !file.ends_with("-shm")).then_some(file)
}

/// The bytes of `\x01\x02`.
fn bytes(text: &str) -> Vec<u8> {
    let pairs = text.split("\\x").filter_map(|pair| u8::from_str_radix(pair.get(..2)?, 16).ok());
    pairs.collect()
}

#[derive(Default, Clone)]
struct File {
    durable: Vec<u8>,
    /// What came since: where, and what; or nothing, where it was cut.
    since: Vec<(usize, Option<Vec<u8>>)>,
}

/// The smallest part of a write that a disk keeps whole.
const SECTOR: usize = 512;

/// A disk with a cache that a loss of power empties.
#[derive(Default)]
pub struct Disk {
    files: Vec<File>,
    /// Which file has this name: now, and once the power is gone.
    names: HashMap<String, usize>,
    durable_names: HashMap<String, usize>,
}

impl Disk {
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Create(name) => {
                self.file(name);
            }
            Event::Unlink(name) => {
                self.names.remove(name);
            }
            Event::Write(name, at, bytes) => self.file(name).since.push((*at, Some(bytes.clone()))),
            Event::Cut(name, length) => self.file(name).since.push((*length, None)),
            Event::Sync(name) if self.names.contains_key(name) => {
                let file = self.file(name);
                for (at, bytes) in std::mem::take(&mut file.since) {
                    write(&mut file.durable, at, bytes.as_deref());
                }
            }
            Event::SyncNames => self.durable_names = self.names.clone(),
            Event::Sync(_) | Event::Answer(_) => {}
        }
    }

    fn file(&mut self, name: &str) -> &mut File {
        let next = self.files.len();
        let place = *self.names.entry(name.to_owned()).or_insert(next);
        if place == next {
            self.files.push(File::default());
        }
        &mut self.files[place]
    }

    /// Writes what may be left into a folder: each name as it was or is, and of what was not synced any part.
    pub fn after_a_loss_of_power(&self, folder: &Path, random: &mut Random) {
        let names: std::collections::BTreeSet<_> = self.names.keys().chain(self.durable_names.keys()).collect();
        for name in names {
            let either = [&self.names, &self.durable_names][random.below(2)].get(name);
            let Some(file) = either.map(|place| &self.files[*place]) else { continue };
            let mut bytes = file.durable.clone();
            // sometimes all, sometimes nothing, mostly some of it
            let share = random.below(5);
            for (at, written) in &file.since {
                let Some(written) = written else {
                    if random.below(4) < share {
                        write(&mut bytes, *at, None);
                    }
                    continue;
                };
                let mut from = 0;
                while from < written.len() {
                    let to = (from + SECTOR - (at + from) % SECTOR).min(written.len());
                    if random.below(4) < share {
                        write(&mut bytes, at + from, Some(&written[from..to]));
                    }
                    from = to;
                }
            }
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

/// Writes bytes, or cuts a file off.
fn write(file: &mut Vec<u8>, at: usize, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else { return file.resize(at, 0) };
    file.resize(file.len().max(at + bytes.len()), 0);
    file[at..at + bytes.len()].copy_from_slice(bytes);
}
