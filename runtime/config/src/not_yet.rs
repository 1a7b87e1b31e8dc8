//! Fields that are refused by name, each with the reason and the form to write meanwhile.
//!
//! [`document`](crate::document) lists them by table (`Table::NOT_YET`). A field that is ignored would mislead, and one
//! that is called unknown would be taken for a slip.

/// Returns what to write in the place of a field that is not supported.
pub(crate) fn reason(field: &str) -> &'static str {
    match field {
        "secrets" => "write each secret in the `env` of its component: `NAME = { file = \"path\" }`",
        "lifecycles" => "declare the life-cycle in its component: `[components.NAME.lifecycle]`",
        "versions" | "version" => {
            "remove it: a changed definition is a new version, and `app.version` is shown to people"
        }
        "logs" => "remove it: each instance has bounded logs on its node, and `logs` shows them",
        "dashboard" => "remove it: `status`, `why` and `events` show the application",
        "actions" => "write actions as transitions of the life-cycle",
        "files" | "artifact" => "remove it: programs and their files have to exist on every host",
        "user" => {
            "remove it: programs run as the user of their node, because no other user may enter the node's directories"
        }
        "workdir" => {
            "write `exec = [\"sh\", \"-c\", \"cd /srv/www && exec ./web\"]`: a program starts in the directory of its \
             instance, which is removed with it"
        }
        "ulimits" => "write `exec = [\"sh\", \"-c\", \"ulimit -n 65536 && exec ./web\"]`",
        "enforce" => {
            "remove it: `needs` reserve capacity and limit no process; use `ulimit -v` in a shell for the memory of one"
        }
        "strategy" | "canary" => {
            "write `unavailable_max` and `on_failure`: copies are replaced a few at a time"
        }
        "value" => "write `values = [\"NAME\"]`",
        "timeout" => "remove it: a check that takes more than 2 s has failed",
        "grpc" => "write `exec` with a program that asks the service",
        "pair" => {
            "write `group` rules: `diameter_ms(placement)` bounds the latency inside one component; none compares two"
        }
        "curve" => "remove it: a utility is linear between `worst` and `best`",
        "move" => "write `add` and `remove`: a move to a new host costs both",
        "max_monthly" => "write `max_hourly`: a month has 730 hours",
        "max_daily" => "write `max_hourly`: a day has 24 hours",
        _ => "this version of rhizo would ignore it: remove it",
    }
}
