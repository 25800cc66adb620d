//! Captures the log of the function in process.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};

/// Returns the log of the function at the level WARN and above while `work` runs.
pub async fn warnings(work: impl Future) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    // With a single subscriber, `tracing` caches the decision of the first thread that logs, and applies it to all
    // threads.
    static SECOND: LazyLock<tracing::Dispatch> =
        LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish()));
    LazyLock::force(&SECOND);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false);
    let guard = tracing::subscriber::set_default(subscriber.with_writer(move || writer.clone()).finish());
    work.await;
    drop(guard);
    let text = String::from_utf8(log.0.lock().expect("no panic").clone());
    text.expect("UTF-8")
}
