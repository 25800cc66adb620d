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
    /// The start of the invocation.
    pub started: Timestamp,
    /// The time at which the function ends the invocation.
    pub deadline: Instant,
}

impl<'a> Scope<'a> {
    /// Returns the scope for another object version: a file of a manifest, or an earlier version.
    pub fn with_upload(self, upload: &'a Upload) -> Self {
        Self { upload, ..self }
    }

    /// The prefix of all objects that the function writes for the upload.
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

    /// Logs warnings about values that are allowed, but probably a mistake.
    pub fn warn(&self, warnings: impl IntoIterator<Item = String>) {
        for warning in warnings {
            tracing::warn!(key = self.upload.key, "{warning}");
        }
    }
}
