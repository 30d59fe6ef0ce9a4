//! Where plugins are spoken with.
//!
//! A plugin is asked about its options while a template is read, which nothing else waits for, and
//! the same process works later, in the runtime of the builds. So what keeps its connection going
//! belongs to neither: it has threads of its own.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, mpsc};

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

static RUNTIME: LazyLock<Result<Runtime, String>> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let builder = builder.worker_threads(2).thread_name("plugins").enable_all();
    builder.build().map_err(|error| error.to_string())
});

/// Fires at the end of this program.
static CLOSING: LazyLock<CancellationToken> = LazyLock::new(CancellationToken::new);

/// Has all connections end: the program does.
pub(super) fn close() {
    CLOSING.cancel();
}

/// Waits for [`close`].
pub(super) async fn closing() {
    CLOSING.cancelled().await;
}

/// What `mutex` guards, even if a thread has died with it.
pub(super) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The task of [`spawn`]; `None` if this machine has no threads for it.
pub(super) type Task<T> = Option<JoinHandle<T>>;

/// Runs `task` until it ends.
pub(super) fn spawn<F>(task: F) -> Task<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    RUNTIME.as_ref().ok().map(|runtime| runtime.spawn(task))
}

/// `work`'s output; waits for it in this thread.
///
/// # Errors
/// When there is no runtime, or the work panicked.
pub(super) fn finish<F>(work: F) -> anyhow::Result<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel();
    RUNTIME.as_ref().map_err(|error| anyhow::anyhow!("no threads for plugins: {error}"))?;
    spawn(async move {
        // Nobody waits any more only if this thread is gone.
        let _ = sender.send(work.await);
    });
    receiver.recv().map_err(|_| {
        anyhow::anyhow!(
            "a mistake in imgbake itself: the work of a plugin panicked; please report it"
        )
    })
}
