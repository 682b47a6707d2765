//! A runtime for tests.

/// A runtime of two workers that does not wait for hung calls when it is dropped.
#[derive(Debug)]
pub struct Runtime(Option<tokio::runtime::Runtime>);

/// Makes a [`Runtime`].
pub fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    Runtime(Some(runtime))
}

impl Runtime {
    /// Drives a future to its end.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.as_ref().unwrap().block_on(future)
    }

    /// Runs a future beside.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.0.as_ref().unwrap().spawn(future)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
