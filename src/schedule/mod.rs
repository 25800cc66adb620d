//! X

pub mod date_time;
pub mod iot_cron;
pub mod requested;
pub mod time_zone;
pub mod window;
