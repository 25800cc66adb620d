"""The limits of S3 on object tags (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html)."""

from collections import Counter
from urllib.parse import unquote_plus

MAX_TAGS, MAX_KEY, MAX_VALUE = 10, 128, 256


def problems(header):
    """Yields every reason why S3 would reject tags in the form of the x-amz-tagging header."""
    pairs = [pair.partition("=") for pair in header.split("&") if pair]
    tags = [(unquote_plus(key), unquote_plus(value)) for key, _, value in pairs]
    if len(tags) > MAX_TAGS:
        yield f"{len(tags)} tags, expected at most {MAX_TAGS}, which S3 allows"
    for key, number in Counter(key for key, _ in tags).items():
        if number > 1:
            yield f"the tag `{key}` {number} times, expected each key once"
    for key, value in tags:
        if key.lower().startswith("aws:"):
            yield f"the tag `{key}`, but S3 allows no keys that begin with `aws:`"
        for part, text, least, most in (("key", key, 1, MAX_KEY), ("value", value, 0, MAX_VALUE)):
            length = len(text.encode("utf-16-le", "surrogatepass")) // 2
            if not least <= length <= most:
                yield f"{length} characters in the {part} of the tag `{key}`, expected {least} to {most}"
            if wrong := [letter for letter in text if not is_allowed(letter)]:
                yield (
                    f"{wrong[0]!r} in the {part} of the tag `{key}`, expected letters, digits, spaces and"
                    " `+ - = . _ : / @`"
                )


def is_allowed(letter):
    return letter.isalnum() or (letter.isspace() and (letter.isprintable() or letter > "\x9f")) or letter in "+-=._:/@"
