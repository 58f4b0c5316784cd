//! Changing it in the writer's own thread, where a fault of the disk is heard of.

use tokio::sync::oneshot;

use super::{ChangeError, Command, Journal};

impl Journal {
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
