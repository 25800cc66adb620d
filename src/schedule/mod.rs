//! The schedule of a job: durations, time zones, maintenance windows, and AWS IoT's rules on them.

pub mod duration;

pub mod time_zone;

pub mod date_time;

pub mod iot_cron;

pub mod window;

pub mod window_in_utc;

pub mod timing_rules;

pub mod times;

pub mod scheduling_config;

pub mod requested;
