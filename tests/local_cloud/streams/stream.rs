//! A stream and its files, in the shapes of the AWS IoT API.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A stream, as DescribeStream returns it.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stream {
    #[serde(rename = "streamId")]
    pub id: String,
    #[serde(rename = "streamArn")]
    pub arn: String,
    #[serde(rename = "streamVersion")]
    pub version: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub files: Vec<StreamFile>,
    pub created_at: f64,
    pub last_updated_at: f64,
    pub role_arn: String,
}

/// A file of a stream.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamFile {
    pub file_id: u8,
    pub s3_location: S3Location,
}

/// An S3 object.
#[derive(Clone, Serialize, Deserialize)]
pub struct S3Location {
    pub bucket: String,
    pub key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Stream {
    /// Returns the members that CreateStream and ListStreams return.
    pub fn summary(&self) -> Value {
        let mut summary = json!({
            "streamId": self.id,
            "streamArn": self.arn,
            "streamVersion": self.version,
        });
        if let Some(description) = &self.description {
            summary["description"] = json!(description);
        }
        summary
    }
}

impl StreamFile {
    /// Returns bucket, key and version of the S3 object.
    pub fn location(&self) -> (&str, &str, Option<&str>) {
        let S3Location { bucket, key, version } = &self.s3_location;
        (bucket, key, version.as_deref())
    }
}
