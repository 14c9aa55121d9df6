//! Metrics of every program.

use super::metric::metrics_table;
use super::names::VERSION;

metrics_table! {
    BUILD_INFO: Gauge in Count = "classifier_build_info", [VERSION],
        "The program's version, as a label; always 1";
    UNREADABLE_REPORTS_TOTAL: Counter in Count = "classifier_unreadable_reports_total", [],
        "Worker reports that were left out of the fleet's list because they are unreadable";
}
