"""The metrics of calls, and of what a call service and a bot host do around them."""

from __future__ import annotations

from typing import Final

from .spec import MetricSpec as M

BOTH_ROLES: Final = (
    M("mixminus_calls", "gauge", "Calls that are not over, by state.", ("role", "state")),
    M("mixminus_calls_begun_total", "counter", "Calls that began.", ("role", "direction")),
    M(
        "mixminus_calls_ended_total",
        "counter",
        "Calls that are over, by the result's code.",
        ("role", "code"),
    ),
    M(
        "mixminus_call_setup_seconds",
        "histogram",
        "From a call's creation until it was established.",
        ("role",),
    ),
    M("mixminus_call_duration_seconds", "histogram", "How long ended calls lasted.", ("role",)),
    M(
        "mixminus_plugin_frames_total",
        "counter",
        "Frames of plugins: processed, or past them.",
        ("role", "plugin", "outcome"),
    ),
    M(
        "mixminus_plugin_time_seconds",
        "summary",
        "A plugin's own time a frame; quantiles are of the last 512 frames of its slowest stream.",
        ("role", "plugin"),
    ),
    M("mixminus_plugin_errors_total", "counter", "Frames it failed with.", ("role", "plugin")),
    M(
        "mixminus_plugin_overruns_total",
        "counter",
        "Frames that took more than its share.",
        ("role", "plugin"),
    ),
    M(
        "mixminus_plugin_host_stalls_total",
        "counter",
        "Frames late for no fault of its own.",
        ("role", "plugin"),
    ),
    M("mixminus_plugin_disabled_total", "counter", "Times it was disabled.", ("role", "plugin")),
    M(
        "mixminus_plugin_restarts_total",
        "counter",
        "Times its child process was started anew.",
        ("role", "plugin"),
    ),
    M(
        "mixminus_plugin_stuck_seconds",
        "gauge",
        "How long the plugin that holds up all others has been at it; 0: none does.",
        ("role",),
    ),
    M(
        "mixminus_http_requests_total",
        "counter",
        "HTTP requests answered.",
        ("role", "method", "route", "code"),
    ),
    M(
        "mixminus_http_request_seconds",
        "histogram",
        "From a request's head to the last byte of its answer.",
        ("role",),
    ),
    M("mixminus_http_requests_in_flight", "gauge", "Requests being answered.", ("role",)),
    M("mixminus_websockets", "gauge", "WebSockets that are open.", ("role",)),
    M(
        "mixminus_store_works_total",
        "counter",
        "Works of the store: done, failed by themselves, or refused because it was away.",
        ("role", "outcome"),
    ),
    M(
        "mixminus_store_transaction_seconds",
        "histogram",
        "Transactions of the store until they were committed; each has the works that waited.",
        ("role",),
    ),
    M("mixminus_store_works_waiting", "gauge", "Works that wait for the store.", ("role",)),
    M(
        "mixminus_store_transaction_works_max",
        "gauge",
        "The most works that one transaction had.",
        ("role",),
    ),
    M(
        "mixminus_store_away",
        "gauge",
        "1 while the store is locked, full or away, and refuses everything.",
        ("role",),
    ),
    M("mixminus_store_outages_total", "counter", "Times the store went away.", ("role",)),
)

SERVICE: Final = (
    M("mixminus_conversations", "gauge", "Conversations under way.", ("kind",)),
    M("mixminus_participants", "gauge", "People, bots and phones in conversations.", ("kind",)),
    M("mixminus_participants_in_lobby", "gauge", "Those of them who wait to be admitted."),
    M("mixminus_registered_devices", "gauge", "Callers' devices that can be rung."),
    M("mixminus_notifications_delivered_total", "counter", "Notifications that receivers took."),
    M("mixminus_notifications_given_up_total", "counter", "Notifications given up."),
    M("mixminus_notification_retries_total", "counter", "Attempts that were not taken."),
    M(
        "mixminus_notification_lag_seconds",
        "histogram",
        "From the change in the store until the receiver took its notification.",
    ),
    M("mixminus_notifications_pending", "gauge", "Notifications in the outbox."),
    M(
        "mixminus_notification_oldest_seconds",
        "gauge",
        "How long the oldest of them waits; 0: none does.",
    ),
    M("mixminus_changes_delivered_total", "counter", "Change notifications that were taken."),
    M("mixminus_changes_given_up_total", "counter", "Change notifications given up."),
    M("mixminus_tokens_issued_total", "counter", "Access tokens given to applications."),
    M("mixminus_token_requests_refused_total", "counter", "Requests for tokens refused."),
    M("mixminus_prompt_recordings_bytes", "gauge", "Answers of callers that are kept."),
)

HOST: Final = (
    M(
        "mixminus_webhook_notifications_total",
        "counter",
        "Notifications that came, by what became of them.",
        ("outcome",),
    ),
    M(
        "mixminus_webhook_requests_refused_total",
        "counter",
        "Posts to the webhook refused as a whole.",
        ("reason",),
    ),
    M(
        "mixminus_host_calls_unwritten",
        "gauge",
        "Calls of which something is not in the host's store yet; it is tried again.",
    ),
    M(
        "mixminus_fleet_instances",
        "gauge",
        "Bot hosts on this one's store as it sees them, itself included.",
        ("state",),
    ),
    M(
        "mixminus_calls_rejoined_total",
        "counter",
        "Calls of before a start, or of another host, by what became of them.",
        ("outcome",),
    ),
    M(
        "mixminus_rejoin_seconds",
        "histogram",
        "From the claim of a call until it stands again.",
    ),
    M("mixminus_calls_handed_over_total", "counter", "Calls that another host took from this one."),
    M(
        "mixminus_standstills_total",
        "counter",
        "Times the process stood still for over 6 s, and was shut off until its store answered.",
    ),
    M(
        "mixminus_host_stale_writes_total",
        "counter",
        "Writes of calls that the store refused: another host had the call by then.",
    ),
    M(
        "mixminus_fence_open",
        "gauge",
        "0 while the host sends nothing: its calls may be another's.",
    ),
    M(
        "mixminus_notification_handling_seconds",
        "histogram",
        "From a notification's arrival until the bot's handlers came to it.",
    ),
    M(
        "mixminus_tokens_total",
        "counter",
        "Access tokens that requests used: from the cache, or fetched.",
        ("source",),
    ),
    M("mixminus_token_failures_total", "counter", "Times the authority gave no token."),
    M(
        "mixminus_signing_key_fetches_total",
        "counter",
        "Fetches of keys that verify notifications and streams.",
        ("issuer", "outcome"),
    ),
    M(
        "mixminus_signing_keys_age_seconds",
        "gauge",
        "How old the keys in use are; absent before the first.",
        ("issuer",),
    ),
    M(
        "mixminus_graph_requests_total",
        "counter",
        "Requests to Graph, each attempt; code is HTTP's, or unreachable.",
        ("method", "code"),
    ),
    M("mixminus_graph_request_seconds", "histogram", "From a request to Graph to its answer."),
    M("mixminus_streams", "gauge", "Calls by telephony stream that are not over.", ("dialect",)),
    M(
        "mixminus_stream_sockets_total",
        "counter",
        "Sockets of telephony streams, by what became of them.",
        ("outcome",),
    ),
    M("mixminus_links_refused_total", "counter", "Media links that could not prove their secret."),
    M("mixminus_acs_events_total", "counter", "Events of ACS call control.", ("outcome",)),
    M("mixminus_bot_failures_total", "counter", "Calls whose bot raised an error."),
    M("mixminus_recordings", "gauge", "Recordings being written."),
    M("mixminus_recordings_ended_total", "counter", "Recordings that ended.", ("reason",)),
    M(
        "mixminus_recording_frames_lost_total",
        "counter",
        "Ticks that are silence in a recording because the loop or the disk was too slow.",
    ),
    M("mixminus_recordings_bytes", "gauge", "What recordings and captures take up."),
    M("mixminus_recordings_quota_bytes", "gauge", "What they may take up."),
)
