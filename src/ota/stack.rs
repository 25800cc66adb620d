//! The stack: its settings, bucket and log group, read from CloudFormation.

use crate::aws::Aws;
use crate::problem::{Problem, Request};
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types;
use ota_on_upload::settings::Settings;

/// The default name of the stack.
pub const DEFAULT_STACK: &str = "ota-on-upload";

/// A deployed stack.
#[derive(Debug)]
pub struct Stack {
    /// The settings of the function, without those of a dry run.
    pub settings: Settings,
    /// The log group of the function.
    pub log_group: String,
    /// `true` if the function creates no jobs.
    pub is_dry_run: bool,
}

impl Stack {
    /// Reads a stack.
    ///
    /// # Errors
    /// Fails if the stack does not exist, is not of this template, or cannot be read.
    pub async fn describe(aws: &Aws, name: &str) -> Result<Self, Problem> {
        let response = aws.cloudformation.describe_stacks().stack_name(name).send().await;
        let response = response.map_err(|error| {
            let is_missing = error.code() == Some("ValidationError")
                && error.message().is_some_and(|message| message.contains("does not exist"));
            let region = &aws.region;
            if is_missing {
                let remedy = "name the stack with `--stack`, and its Region with `--region`";
                return Problem::not_done(format!("the stack `{name}` does not exist in {region}: {remedy}"));
            }
            Request::new("cloudformation:DescribeStacks", format!("stack/{name}")).problem(&error)
        })?;
        let stack = response.stacks.unwrap_or_default().into_iter().next();
        stack.and_then(|stack| Self::new(&stack, &aws.region)).unwrap_or_else(|| {
            Err(Problem::not_done(format!(
                "the stack `{name}` has no bucket, role and log group among its outputs: name a stack of this template \
                 with `--stack`"
            )))
        })
    }

    /// Reads the settings from the parameters and the outputs of a stack. `None` if it lacks an output.
    fn new(stack: &types::Stack, region: &str) -> Option<Result<Self, Problem>> {
        let output = |name: &str| {
            let output = stack.outputs().iter().find(|output| output.output_key() == Some(name))?;
            output.output_value().map(str::to_owned)
        };
        let parameter = |name: &str| {
            let parameter = stack.parameters().iter().find(|parameter| parameter.parameter_key() == Some(name))?;
            parameter.parameter_value().map(str::to_owned)
        };
        let (bucket, role, log_group) = (output("BucketName")?, output("OtaRoleArn")?, output("LogGroupName")?);
        let settings = Settings::from_lookup(|name| match name {
            "AWS_REGION" => Some(region.to_owned()),
            "UPLOAD_BUCKET" => Some(bucket.clone()),
            "OTA_ROLE_ARN" => Some(role.clone()),
            name if name.starts_with("DRY_RUN") => None,
            name => parameter(&parameter_name(name)),
        });
        let is_dry_run = parameter("DryRun").as_deref() == Some("true");
        let settings = settings.map_err(|error| Problem::not_done(format!("the stack has {error}")));
        Some(settings.map(|settings| Self { settings, log_group, is_dry_run }))
    }
}

/// The name of the parameter of a setting: `UploadPrefix` for `UPLOAD_PREFIX`.
fn parameter_name(setting: &str) -> String {
    let words = setting.split('_').filter_map(|word| word.split_at_checked(1));
    words.flat_map(|(first, rest)| [first.to_owned(), rest.to_lowercase()]).collect()
}

/// Default settings, for checks without a stack. They allow every thing, every thing group, and signatures by the
/// uploader.
///
/// # Errors
/// Fails if the settings are invalid.
pub fn default_settings() -> Result<Settings, Problem> {
    let settings = Settings::from_lookup(|name| {
        Some(match name {
            "AWS_REGION" => "us-east-1".to_owned(),
            "UPLOAD_BUCKET" => "bucket".to_owned(),
            "OTA_ROLE_ARN" => "arn:aws:iam::111122223333:role/ota".to_owned(),
            "SIGNING_PROFILE" => "SigningProfile".to_owned(),
            "ALLOWED_THING_GROUPS" | "ALLOWED_THINGS" => "*".to_owned(),
            "ALLOW_UNVERIFIED" => "true".to_owned(),
            _ => return None,
        })
    });
    settings.map_err(|error| Problem::not_done(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn stack(parameters: &[(&str, &str)], outputs: &[(&str, &str)]) -> types::Stack {
        let parameter = |(name, value): &(&str, &str)| {
            types::Parameter::builder().parameter_key(*name).parameter_value(*value).build()
        };
        let output =
            |(name, value): &(&str, &str)| types::Output::builder().output_key(*name).output_value(*value).build();
        let stack = types::Stack::builder().set_parameters(Some(parameters.iter().map(parameter).collect()));
        stack.set_outputs(Some(outputs.iter().map(output).collect())).build()
    }

    const OUTPUTS: [(&str, &str); 3] =
        [("BucketName", "b"), ("OtaRoleArn", "arn:aws:iam::111122223333:role/ota"), ("LogGroupName", "/logs")];

    #[test]
    fn the_settings_come_from_parameters_and_outputs() {
        let parameters = [
            ("SigningProfile", "Profile"),
            ("AllowedThingGroups", "lab"),
            ("UploadPrefix", "images/"),
            ("DryRun", "true"),
        ];
        let stack = Stack::new(&stack(&parameters, &OUTPUTS), "eu-west-1").unwrap().unwrap();
        let Stack { settings, log_group, is_dry_run } = stack;
        assert_eq!((settings.upload_bucket.as_str(), settings.upload_prefix.0.as_str()), ("b", "images/"));
        assert_eq!((settings.region.as_str(), log_group.as_str(), is_dry_run), ("eu-west-1", "/logs", true));
    }

    #[test]
    fn a_stack_without_outputs_is_not_of_this_template() {
        assert!(Stack::new(&stack(&[], &OUTPUTS[..2]), "eu-west-1").is_none());
    }

    #[test]
    fn every_setting_has_its_parameter_in_the_template() {
        let template = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/template.yaml")).unwrap();
        let names = std::cell::RefCell::new(Vec::new());
        let _ = Settings::from_lookup(|name| {
            names.borrow_mut().push(name.to_owned());
            None
        });
        let made = ["AWS_REGION", "UPLOAD_BUCKET", "OTA_ROLE_ARN", "FAILURE_QUEUE_ARN"];
        for name in names.into_inner().iter().filter(|name| !made.contains(&name.as_str())) {
            let line = format!("          {name}: !Ref {}\n", parameter_name(name));
            assert!(template.contains(&line), "{line}");
        }
        assert_eq!(parameter_name("URL_EXPIRY_SECONDS"), "UrlExpirySeconds");
    }
}
