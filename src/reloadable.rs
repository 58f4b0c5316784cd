//! A value that a reload replaces as a whole.

use std::sync::Arc;

use parking_lot::RwLock;

/// A value that a reload replaces while others use it. Cheap to clone: the clones share it.
#[derive(Debug)]
pub struct Reloadable<T>(Arc<RwLock<Arc<T>>>);

impl<T> Reloadable<T> {
    /// Starts with this value.
    pub fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(value))))
    }

    /// The current value. A caller that checks more than one thing loads it once: a reload may come in between.
    pub fn load(&self) -> Arc<T> {
        self.0.read().clone()
    }

    /// Replaces the value. Those that have loaded the old one keep it.
    pub fn store(&self, value: T) {
        let old = std::mem::replace(&mut *self.0.write(), Arc::new(value));
        // a large value is freed after the lock
        drop(old);
    }
}

impl<T> Clone for Reloadable<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_value_is_seen_by_every_clone_and_not_by_those_that_loaded_the_old_one() {
        let (one, loaded) = (Reloadable::new(1), Reloadable::new(0));
        let (other, old) = (one.clone(), one.load());
        one.store(2);
        assert_eq!((*old, *other.load(), *loaded.load()), (1, 2, 0));
    }
}
