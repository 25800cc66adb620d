//! The tags of a release from the options of the command line.

use crate::args::TagArguments;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// The tags in the form of the `x-amz-tagging` header. A tag that is set twice is in the header twice, so that the check
/// reports it.
pub fn header(arguments: &TagArguments) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let tags = tags(arguments).into_iter().map(|(key, value)| format!("{}={}", encoded(&key), encoded(&value)));
    tags.collect::<Vec<_>>().join("&")
}

fn tags(arguments: &TagArguments) -> Vec<(String, String)> {
    let list = |names: &[String]| (!names.is_empty()).then(|| names.join(" "));
    let options = [
        ("ota:thing-group", list(&arguments.thing_groups)),
        ("ota:thing", list(&arguments.things)),
        ("ota:start", arguments.start.clone()),
        ("ota:end", arguments.end.clone()),
        ("ota:end-behavior", arguments.end_behavior.clone()),
        ("ota:timezone", arguments.timezone.clone()),
        ("ota:window", arguments.window.clone()),
        ("ota:target-selection", arguments.continuous.then(|| "continuous".to_owned())),
        ("ota:retries", arguments.retries.clone()),
        ("ota:timeout", arguments.timeout.clone()),
        ("ota:job-template", arguments.job_template.clone()),
        ("ota:package-version", arguments.package_version.clone()),
        ("ota:job-id", arguments.job_id.clone()),
        ("ota:signing-profile", arguments.signing_profile.clone()),
    ];
    let options = options.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    options.chain(arguments.others.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use ota_on_upload::tags::{TagHeader, VOCABULARY};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        tags: TagArguments,
    }

    fn parsed(line: &str) -> TagHeader {
        let line = Line::try_parse_from(["ota"].into_iter().chain(line.split_whitespace())).unwrap();
        TagHeader::from(header(&line.tags).as_str())
    }

    #[test]
    fn options_and_tags_become_the_header() {
        let header = parsed("--to lab --to eu-west --start now --continuous --tag ota:protocols=mqtt --tag team=a=b");
        let tags: Vec<_> = header.tags.0.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let expected = [
            ("ota:protocols", "mqtt"),
            ("ota:start", "now"),
            ("ota:target-selection", "continuous"),
            ("ota:thing-group", "lab eu-west"),
        ];
        assert_eq!(tags, expected);
        assert!(header.problems.is_empty());
    }

    #[test]
    fn a_tag_that_is_set_twice_is_reported() {
        let [problem] = &parsed("--start now --tag ota:start=1h").problems[..] else { panic!("no problem") };
        assert!(problem.contains("`ota:start` occurs more than once"), "{problem}");
    }

    #[test]
    fn every_option_sets_a_tag_of_the_vocabulary() {
        let text = || Some("x".to_owned());
        let names = || vec!["x".to_owned()];
        let (start, end, end_behavior, timezone, window) = (text(), text(), text(), text(), text());
        let (retries, timeout, job_template, package_version) = (text(), text(), text(), text());
        let (job_id, signing_profile, others) = (text(), text(), Vec::new());
        let (thing_groups, things, continuous) = (names(), names(), true);
        let arguments = TagArguments {
            thing_groups,
            things,
            start,
            end,
            end_behavior,
            timezone,
            window,
            continuous,
            retries,
            timeout,
            job_template,
            package_version,
            job_id,
            signing_profile,
            others,
        };
        let tags = tags(&arguments);
        assert_eq!(tags.len(), 14);
        assert!(tags.iter().all(|(key, _)| VOCABULARY.contains(&key.as_str())), "{tags:?}");
    }
}
