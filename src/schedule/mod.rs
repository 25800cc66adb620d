//! X

pub mod date_time;
pub mod duration;
pub mod iot_cron;
pub mod requested;
pub mod scheduling_config;
pub mod time_zone;
pub mod times;
pub mod window;
