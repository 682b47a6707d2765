//! Files on their way to a name: they vanish unless they are published.

use crate::disk::{File, Folder, How};
use crate::names;
use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// The temporaries and spares that a store is using: `sweep` leaves them alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct InUse(Arc<Mutex<HashSet<String>>>);

impl InUse {
    pub fn contains(&self, name: &str) -> bool {
        self.names().contains(name)
    }

    pub fn insert(&self, name: &str) {
        self.names().insert(name.to_owned());
    }

    pub fn remove(&self, name: &str) {
        self.names().remove(name);
    }

    fn names(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A temporary name. Dropped, it is removed; a crash leaves it to `sweep`.
/// It never needs to be durable, so its folder is not synced for it.
#[derive(Debug)]
pub(crate) struct Temp {
    folder: Arc<dyn Folder>,
    name: String,
    in_use: InUse,
    published: bool,
}

impl Temp {
    pub fn create(
        folder: &Arc<dyn Folder>,
        in_use: &InUse,
        how: How,
        mode: Option<u32>,
    ) -> io::Result<(Temp, Arc<dyn File>)> {
        let name = names::temporary();
        in_use.insert(&name);
        let temp = Temp {
            folder: folder.clone(),
            name,
            in_use: in_use.clone(),
            published: false,
        };
        let file = folder.create(&temp.name, how, mode)?;
        Ok((temp, file))
    }

    /// Opens it again, in another way.
    pub fn open(&self, how: How) -> io::Result<Arc<dyn File>> {
        self.folder.open(&self.name, how)
    }

    /// Gives it its name, exclusively. The folder has yet to be synced.
    pub fn publish(&mut self, name: &str) -> io::Result<()> {
        self.folder.rename_new(&self.name, name)?;
        self.published = true;
        Ok(())
    }

    /// As [`publish`](Temp::publish), over whatever has the name.
    pub fn publish_over(&mut self, name: &str) -> io::Result<()> {
        self.folder.rename_over(&self.name, name)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.published {
            match self.folder.remove(&self.name) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(name = self.name, error = %e, "temporary left to sweep");
                }
                _ => {}
            }
        }
        self.in_use.remove(&self.name);
    }
}
