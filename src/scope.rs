//! The values that all steps of a release share.

use crate::clients::Clients;
use crate::settings::Settings;
use crate::upload::Upload;
use jiff::Timestamp;
use tokio::time::Instant;

/// The clients, the settings, the time of the invocation, and the object version that is released.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub aws: &'a Clients,
    pub settings: &'a Settings,
    pub upload: &'a Upload,
    pub clock: fn() -> Timestamp,
    /// When the invocation began.
    pub started: Timestamp,
    /// When the invocation must have ended.
    pub deadline: Instant,
}

impl<'a> Scope<'a> {
    /// A scope for another object version: a file of a manifest, or an earlier version.
    pub fn with_upload(self, upload: &'a Upload) -> Self {
        Self { upload, ..self }
    }

    /// The prefix of everything that is made from the upload.
    pub fn prefix(&self) -> String {
        self.settings.prefix_of(self.upload)
    }

    /// The account that owns the bucket and the deployment.
    pub fn account(&self) -> &'a str {
        &self.settings.ota_role.account
    }

    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Logs warnings of what is allowed but probably not meant.
    pub fn warn(&self, warnings: impl IntoIterator<Item = String>) {
        for warning in warnings {
            tracing::warn!(key = self.upload.key, "{warning}");
        }
    }
}
