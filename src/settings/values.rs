//! The values of single settings.

use crate::error::Expected;
use crate::options::name::validated;
use crate::tags::TagHeader;
use std::str::FromStr;

/// The kind of dry run. In a dry run, releases are only checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DryRun {
    /// No dry run: releases create jobs.
    Off,
    /// Everything is read from AWS and checked, and nothing is created.
    WithLookups,
    /// AWS is not called at all. The tags, and the manifest if any, come from the settings.
    Offline(TagHeader, Option<String>),
}

/// A setting that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag(pub bool);

impl FromStr for Flag {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        value.parse().map(Self).map_err(|_| Expected("`true` or `false`".into()))
    }
}

/// A key prefix, which is not empty and ends in `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(pub String);

impl FromStr for Prefix {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let is_prefix = value.ends_with('/') && !value.starts_with('/');
        validated(value, is_prefix, "a key prefix that ends in `/`, such as `firmware/`").map(Self)
    }
}

/// A number of bytes, from 1 to 24 MB, which is the maximum size of a file in a stream
/// (<https://docs.aws.amazon.com/general/latest/gr/iot-core.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteCount(pub u64);

impl FromStr for ByteCount {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let bytes = value.parse().ok().filter(|bytes| (1..=24 * 1024 * 1024).contains(bytes));
        bytes.map(Self).ok_or(Expected("a number of bytes from 1 to 25165824 (24 MB, the maximum in a stream)".into()))
    }
}

/// The ARN of an IAM role, which contains the partition and the account of the deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleArn {
    pub(crate) arn: String,
    /// The partition, such as `aws`.
    pub partition: String,
    /// The ID of the account.
    pub account: String,
}

impl FromStr for RoleArn {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let parts: Vec<&str> = value.splitn(6, ':').collect();
        let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        match parts[..] {
            ["arn", partition, "iam", "", account, role]
                if !partition.is_empty() && is_account(account) && role.starts_with("role/") =>
            {
                Ok(Self { arn: value.to_owned(), partition: partition.to_owned(), account: account.to_owned() })
            }
            _ => Err(Expected("the ARN of an IAM role, such as `arn:aws:iam::111122223333:role/ota`".into())),
        }
    }
}

/// The ARN of an SQS queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueArn(pub String);

impl FromStr for QueueArn {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let parts: Vec<&str> = value.split(':').collect();
        let is_queue = matches!(parts[..], ["arn", partition, "sqs", region, account, name]
            if [partition, region, account, name].iter().all(|part| !part.is_empty()));
        let expected = "the ARN of an SQS queue, such as `arn:aws:sqs:eu-central-1:111122223333:failures`";
        validated(value, is_queue, expected).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::name::tests::assert_grammar;

    #[test]
    fn each_setting_accepts_only_its_own_values() {
        assert_grammar::<Flag>(&["true", "false"], &["", "1", "True"], "`true` or `false`");
        let prefix = "a key prefix that ends in `/`, ";
        assert_grammar::<Prefix>(&["firmware/", "a/b/"], &["", "/", "/firmware/", "signed"], prefix);
        let bytes = "a number of bytes from 1 to 25165824 ";
        assert_grammar::<ByteCount>(&["1", "25165824"], &["", "0", "25165825", "-1", "1k"], bytes);
        assert_grammar::<RoleArn>(
            &["arn:aws:iam::111122223333:role/ota", "arn:aws-cn:iam::111122223333:role/path/a:b"],
            &[
                "arn::iam::111122223333:role/ota",
                "arn:aws:iam::11112222333x:role/ota",
                "arn:aws:iam::1111222233334:role/ota",
                "arn:aws:iam::111122223333:user/ota",
                "arn:aws:iam:us-east-1:111122223333:role/ota",
                "arn:aws:sts::111122223333:role/ota",
            ],
            "the ARN of an IAM role, such as ",
        );
        assert_grammar::<QueueArn>(
            &["arn:aws:sqs:eu-central-1:111122223333:failures"],
            &["failures", "arn:aws:sqs:eu-central-1:111122223333:", "arn:aws:sns:eu-central-1:111122223333:failures"],
            "the ARN of an SQS queue, such as ",
        );
    }
}
