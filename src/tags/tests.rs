use super::*;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

#[test]
fn a_misspelt_tag_belongs_to_the_release_and_is_nearest_to_the_correct_one() {
    for known in VOCABULARY {
        let words = without_prefix(known);
        for tag in [
            known.to_uppercase(),
            known.replace(':', ": "),
            known.replace([':', '-'], "."),
            format!("OTA{}{}", words[..1].to_uppercase(), words[1..].replace('-', "")),
            known.replace('o', "о"),
            known.replace("ota", "ot"),
            known.replace("ota", "oat"),
            known.replace("ota", "0ta"),
            known.replace("ota", "Iota").replace('-', ""),
            format!("\u{feff}{known}"),
        ] {
            let tags: Tags = [(tag.clone(), "x".to_owned())].into_iter().collect();
            assert_eq!(tags.0.len(), 1, "{tag}");
            assert_eq!(nearest_tag(&tag).as_deref(), Some(known), "{tag}");
        }
    }
}

#[test]
fn an_unknown_tag_is_nearest_to_a_similar_tag_or_one_that_contains_it() {
    let cases = [
        ("ota:group", THING_GROUP),
        ("ota:path", FILE_PATH),
        ("ota:zone", TIMEZONE),
        ("ota:version", PACKAGE_VERSION),
        ("ota:profile", SIGNING_PROFILE),
        ("ota:behavior", END_BEHAVIOR),
        ("ota:cert", CERTIFICATE),
        ("ota:retry", RETRIES),
        ("ota:certfile", CERTIFICATE),
        ("ota:template", JOB_TEMPLATE),
        ("ota:ends", END),
    ];
    for (tag, nearest) in cases {
        assert_eq!(nearest_tag(tag).as_deref(), Some(nearest), "{tag}");
    }
    for tag in ["ota:thing-type", "ota:x", "ota:", "ota", "ota:job", "ota:color", "ota:comment", "ota:owner"] {
        assert_eq!(nearest_tag(tag), None, "{tag}");
    }
}

#[test]
fn tags_that_are_not_release_tags_are_left_out() {
    let tag = |key: &str| Tag::builder().key(key).value("x").build().unwrap();
    let others =
        ["team", "thing-group", "otastarts", "ota-x", "", "iota:color", ":start", "ot:x", "team:ota", "data:start"];
    let ours = ["ota:start", "OTA:x", " o ta : ", "ota:", "ota", " OTA", "оtа", "iota:start"];
    let tags = Tags::from(others.iter().chain(&ours).map(|key| tag(key)).collect::<Vec<_>>());
    assert_eq!(tags, Tags(ours.map(|key| (key.to_owned(), "x".to_owned())).into()));
}

#[test]
fn a_header_that_s3_rejects_has_problems() {
    let problems = |header: &str| TagHeader::from(header).problems;
    let many = |count: usize| (0..count).map(|index| format!("k{index}=v")).collect::<Vec<_>>().join("&");
    let (long_key, long_value) = (format!("{}=", "k".repeat(128)), format!("k={}", "v".repeat(256)));
    let astral = format!("k={}", "𝔸".repeat(128));
    for good in ["", "a=b&", "ota:thing-group=lab+eu-1&größe=%C3%BC", &many(10), &long_key, &long_value, &astral] {
        assert_eq!(problems(good), Vec::<String>::new(), "{good}");
    }
    let has = |tag: &str, found: &str, expected: &str| {
        format!("tag `{tag}` has {found}, expected {expected}, which S3 allows")
    };
    let letters = "letters, digits, spaces and `+ - = . _ : / @`";
    let twice = "tag `a` occurs more than once, expected each key once".to_owned();
    for (bad, expected) in [
        (&*many(11), vec!["the object has 11 tags, expected at most 10, as S3 allows no more".to_owned()]),
        ("a=1&b=2&a=1&a", vec![twice]),
        (&format!("k{long_key}"), vec![has(&("k".repeat(64) + "…"), "129 characters in its key", "1 to 128")]),
        (&format!("{long_value}v"), vec![has("k", "257 characters in its value", "0 to 256")]),
        (&format!("{astral}v"), vec![has("k", "257 characters in its value", "0 to 256")]),
        ("=v", vec![has("", "0 characters in its key", "1 to 128")]),
        ("AWS:a=v", vec!["tag `AWS:a` begins with `aws:`, which S3 does not allow".to_owned()]),
        ("a=x%0A", vec![has("a", "'\\n' in its value", letters)]),
        ("a=%FF", vec![has("a", "'\u{fffd}' in its value", letters)]),
        ("a*=lab,b", vec![has("a*", "'*' in its key", letters), has("a*", "',' in its value", letters)]),
    ] {
        assert_eq!(problems(bad), expected, "{bad}");
    }
}

proptest! {
    #[test]
    fn a_header_is_decoded_as_s3_decodes_it(tags: BTreeMap<String, String>) {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs = tags.iter().map(|(key, value)| format!("ota%3A{}={}", encoded(key), encoded(value)));
        let header = TagHeader::from(pairs.collect::<Vec<_>>().join("&").as_str());
        let expected = tags.into_iter().map(|(key, value)| (format!("ota:{key}"), value));
        prop_assert_eq!(header.tags, expected.collect());
    }

    #[test]
    fn no_header_makes_the_reader_panic(header in "\\PC*") {
        let _ = TagHeader::from(header.as_str());
    }
}
