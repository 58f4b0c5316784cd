//! Changing it in the writer's own thread, where a fault of the disk is heard of.

use tokio::sync::oneshot;

use super::store::{ReadError, queries};
use super::{ChangeError, Command, Journal, Kept, Record};
use crate::message::{Brokers, Message};

impl Journal {
    /// One record, if it is there.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn record(&self, seq: i64) -> Result<Option<Record>, ReadError> {
        self.reader.read(move |db| queries::by_number(db, seq)).await
    }

    /// As [`Self::append`], of what comes out of a dead letter that is kept: that this was replayed is remembered by the
    /// same transaction.
    pub fn replay(&self, message: Message, owed: Brokers, letter: i64) -> impl Future<Output = Kept> + use<> {
        self.keep(message, owed, Brokers::NONE, Some(letter))
    }

    /// As [`Self::change`]; what fails so that nothing can be believed any more ends the writer.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn try_change<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ChangeError> {
        let (tell, told) = oneshot::channel();
        self.tell(Command::Change(Box::new(move |connection| match act(connection) {
            Ok(done) => {
                let _ = tell.send(Ok(done));
                None
            }
            Err(error) => {
                let _ = tell.send(Err(error.to_string()));
                Some(error)
            }
        })));
        told.await.map_err(|_| ChangeError::Gone)?.map_err(ChangeError::Sqlite)
    }
}
