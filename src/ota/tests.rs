//! Tests with a fake of AWS.
