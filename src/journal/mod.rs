//! The durable store on this machine's disk: what is in it survives any crash of this process or of the machine.
//!
//! A message is answered 200 only once the transaction that has it is synced. Many that come at once share one
//! transaction ([`store`]). Each record says which brokers it is still owed to; who forwards it settles them one after
//! the other, and with the last of them it is gone. Records that are owed to nobody are kept until they are too old.
//!
//! [`Lanes`] know what is owed without asking the disk: they keep what comes behind what waits.
#![cfg_attr(not(feature = "journal"), allow(dead_code, reason = "a build without it refuses the section"))]

#[cfg(feature = "journal")]
mod change;
mod choice;
mod config;
mod error;
mod fate;
#[cfg(feature = "journal")]
mod follow;
mod lanes;
#[cfg(feature = "journal")]
pub mod line;
mod outlook;
mod record;
#[cfg(feature = "journal")]
pub mod store;
mod usage;

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use choice::Choice;
#[cfg(feature = "journal")]
use choice::{broker_names, brokers_named};
pub use config::{Config, DeadLetterConfig};
#[cfg(feature = "journal")]
pub use error::ChangeError;
pub use error::{OpenError, Refused};
pub use fate::{Fate, Moved};
#[cfg(feature = "journal")]
pub use follow::{Follower, Lost, Start, is_place, number};
pub use lanes::{Claim, Gate, Held, Lanes, Turn};
pub use outlook::{Outlook, taken};
pub use record::{Lane, Record, seen_as};
pub use usage::Usage;

use crate::message::{Broker, Brokers, Message};
use crate::observe::BrokerState;

/// The number of a record that is on disk, or why it is not.
pub type Kept = Result<i64, Refused>;

/// What is owed in one lane of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owed {
    /// The lane.
    pub lane: Lane,
    /// How many records.
    pub records: u64,
    /// When the first of them came.
    pub since: SystemTime,
}

/// What a journal held when it was opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// What is owed to each broker, by its place.
    pub owed: [Vec<Owed>; Broker::ALL.len()],
    /// Ids that were seen, when, and which brokers have them, in the order they came.
    pub seen: Vec<(SystemTime, crate::message::Id, Brokers)>,
    /// When the stream was made that has what was seen at NATS, in Unix nanoseconds, if that is known.
    pub stream: Option<i64>,
}

/// Records of one lane.
#[derive(Debug)]
pub enum Batch {
    /// These, in order; none where the lane is empty.
    Records(Vec<Record>),
    /// The first alone takes this many bytes, more than was asked for.
    Large(usize),
}

#[cfg(feature = "journal")]
type Act = Box<dyn FnOnce(&mut rusqlite::Connection) -> Option<rusqlite::Error> + Send>;

/// What the writer is told to do.
enum Command {
    /// Keep a message, which comes out of a dead letter that is kept, or of none.
    Append { message: Box<Message>, owed: Brokers, unknown: Brokers, of: Option<i64>, done: oneshot::Sender<Kept> },
    /// A broker has a record, whose body has so many bytes.
    Settle { seq: i64, broker: Broker, bytes: usize },
    /// Ids were seen, 17 bytes each; and when the stream was made that has them, if that is news.
    Seen(Vec<u8>, Option<i64>),
    /// Tell when all that came before is on disk.
    Synced(oneshot::Sender<()>),
    /// Do something to it; returns why that cannot be believed, if it cannot.
    #[cfg(feature = "journal")]
    Change(Act),
    /// End.
    Stop,
}

/// A journal that is open. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    name: Arc<str>,
    commands: mpsc::Sender<Command>,
    #[cfg(feature = "journal")]
    reader: store::Reader,
    state: watch::Receiver<BrokerState>,
    appended: watch::Receiver<i64>,
    usage: Arc<Usage>,
    broken: CancellationToken,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Journal {
    /// Opens the journal in its folder, or makes one, and takes it for this process alone. Ids are remembered for a
    /// window, and so many of them at most.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        config: &Config,
        dead_letter: &DeadLetterConfig,
        window: (Duration, usize),
    ) -> Result<(Self, Recovered), OpenError> {
        #[cfg(feature = "journal")]
        return store::open(config, dead_letter, window);
        #[cfg(not(feature = "journal"))]
        {
            let _ = (config, dead_letter, window);
            Err(OpenError::NotBuilt)
        }
    }

    #[cfg(feature = "journal")]
    #[allow(clippy::too_many_arguments, reason = "the parts of one thing, put together in one place")]
    fn new(
        name: String,
        commands: mpsc::Sender<Command>,
        reader: store::Reader,
        state: watch::Receiver<BrokerState>,
        appended: watch::Receiver<i64>,
        usage: Arc<Usage>,
        broken: CancellationToken,
        thread: JoinHandle<()>,
    ) -> Self {
        let thread = Arc::new(Mutex::new(Some(thread)));
        Self { name: name.into(), commands, reader, state, appended, usage, broken, thread }
    }

    /// Its name, the same for as long as it exists.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it keeps what comes now.
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        self.state.clone()
    }

    /// The number of the last record that was kept; changes are seen as they happen.
    pub fn appended(&self) -> watch::Receiver<i64> {
        self.appended.clone()
    }

    /// How many bytes there are.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Waits until the disk did not keep what was written: nothing can be believed then.
    pub async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Keeps a message that is owed to these brokers, of which some may have it all the same. The number comes once it
    /// is on disk.
    pub fn append(&self, message: Message, owed: Brokers, unknown: Brokers) -> impl Future<Output = Kept> + use<> {
        self.keep(message, owed, unknown, None)
    }

    fn keep(
        &self,
        message: Message,
        owed: Brokers,
        unknown: Brokers,
        of: Option<i64>,
    ) -> impl Future<Output = Kept> + use<> {
        let (done, kept) = oneshot::channel();
        self.tell(Command::Append { message: Box::new(message), owed, unknown, of, done });
        async { kept.await.unwrap_or(Err(Refused { reason: "broken" })) }
    }

    /// A broker has a record, whose body has so many bytes. Lost by a crash before [`Self::synced`], it is forwarded again.
    pub fn settle(&self, seq: i64, broker: Broker, bytes: usize) {
        self.tell(Command::Settle { seq, broker, bytes });
    }

    /// These ids were seen, and NATS has what comes from now on in a stream that was made then. The last of this may be
    /// lost by a crash.
    pub fn seen(&self, ids: Vec<u8>, stream: Option<i64>) {
        self.tell(Command::Seen(ids, stream));
    }

    /// Waits until all that came before is on disk; false: it never will be, for nothing is written any more.
    pub async fn synced(&self) -> bool {
        let (tell, told) = oneshot::channel();
        self.tell(Command::Synced(tell));
        told.await.is_ok()
    }

    /// Reads the first records of a lane; see [`Batch`].
    ///
    /// # Errors
    /// A journal that cannot be read, in words.
    pub async fn batch(&self, broker: Broker, lane: Lane, most: usize) -> Result<Batch, String> {
        #[cfg(feature = "journal")]
        {
            let read = self.reader.read(move |db| store::queries::batch(db, broker, lane, most)).await;
            read.map_err(|error| error.to_string())
        }
        #[cfg(not(feature = "journal"))]
        {
            let _ = (broker, lane, most);
            Err("this build has no journal".into())
        }
    }

    /// Does something to it between two transactions, and returns what that said.
    ///
    /// # Errors
    /// The writer is gone.
    #[cfg(feature = "journal")]
    pub async fn change<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut rusqlite::Connection) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let (tell, told) = oneshot::channel();
        let act = Box::new(move |connection: &mut rusqlite::Connection| {
            let _ = tell.send(act(connection));
            None
        });
        self.tell(Command::Change(act));
        told.await.map_err(|_| Refused { reason: "broken" })
    }

    /// Writes what was told, and lets go of the folder. Blocks until then.
    pub fn close(&self) {
        self.tell(Command::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // a writer that panicked has nothing left to write
        let _ = thread.map(JoinHandle::join);
    }

    fn tell(&self, command: Command) {
        // without a writer, who waits is told by the end of its channel
        let _ = self.commands.send(command);
    }
}
