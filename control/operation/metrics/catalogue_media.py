"""The metrics of the process and of its media engine; the same for either role."""

from __future__ import annotations

from typing import Final

from .spec import MetricSpec as M

PROCESS: Final = (
    M("mixminus_build_info", "gauge", "1; what runs.", ("version", "python")),
    M(
        "mixminus_event_loop_lag_seconds",
        "histogram",
        "How late the event loop comes to what is due, looked at twice a second.",
    ),
    M("mixminus_event_loop_tasks", "gauge", "asyncio tasks that are not done."),
    M(
        "mixminus_health",
        "gauge",
        "1 for the state that admission is in, 0 for the others.",
        ("state",),
    ),
    M("mixminus_load_ratio", "gauge", "Load as a share of measured capacity; 1 is all of it."),
    M(
        "mixminus_busy_ratio",
        "gauge",
        "How busy threads were in the last two seconds, as a share of a core (of the busiest tick"
        " thread); the process: of all processors that it may use.",
        ("of",),
    ),
    M(
        "mixminus_busy_limit_ratio",
        "gauge",
        "How busy they are when that is all that the process can carry: a setting.",
        ("of",),
    ),
    M("mixminus_draining", "gauge", "1 from the request to stop on, else 0."),
    M(
        "mixminus_admission_refusals_total",
        "counter",
        "Calls, joins and streams refused because of load or draining.",
        ("reason",),
    ),
)

ENGINE: Final = (
    M(
        "mixminus_engine_info",
        "gauge",
        "1; how tick threads are scheduled, which kernels mix.",
        ("scheduling", "isa"),
    ),
    M("mixminus_tick_threads", "gauge", "Threads that tick."),
    M("mixminus_ticks_total", "counter", "Ticks of 20 ms of the first tick thread."),
    M("mixminus_ticks_late_total", "counter", "Ticks that began more than 20 ms after their time."),
    M(
        "mixminus_ticks_skipped_total",
        "counter",
        "Ticks left out because more than three were due at once.",
    ),
    M("mixminus_tick_lateness_seconds", "histogram", "How late ticks began."),
    M("mixminus_tick_duration_seconds", "histogram", "How long ticks took, without waiting."),
    M(
        "mixminus_tick_busy_seconds_total",
        "counter",
        "What all tick threads worked; over the time and the threads it is their load.",
    ),
    M("mixminus_bridges", "gauge", "Bridges that have legs."),
    M(
        "mixminus_legs",
        "gauge",
        "Legs in bridges, by the codec of their far end; rings: those without packets.",
        ("codec",),
    ),
    M(
        "mixminus_bridge_frames_total",
        "counter",
        "Frames through all bridges: mixed, one a leg and tick; received, with packets, from far"
        " ends; rendered for bots, links and streams; dropped, too late or not taken in time.",
        ("kind",),
    ),
    M(
        "mixminus_playout_frames_total",
        "counter",
        "Frames of 20 ms that legs played, by what they were made of.",
        ("outcome",),
    ),
    M(
        "mixminus_playout_frames_dropped_total",
        "counter",
        "Frames and packets that came and were not played: too late, beyond the delay, flushed.",
        ("reason",),
    ),
    M(
        "mixminus_underruns_total",
        "counter",
        "Ticks that found nothing to play where some was due.",
    ),
    M(
        "mixminus_ring_frames_dropped_total",
        "counter",
        "Frames overwritten because their reader came too late, by whose it was.",
        ("ring",),
    ),
    M("mixminus_packets_received_total", "counter", "Media packets of the sources listened to."),
    M("mixminus_packets_lost_total", "counter", "Media packets expected and never received."),
    M(
        "mixminus_packets_discarded_total",
        "counter",
        "Media packets that came and were not decoded.",
        ("reason",),
    ),
    M("mixminus_packets_sent_total", "counter", "Media packets sent."),
    M("mixminus_packets_sent_bytes_total", "counter", "The payloads of media packets sent."),
    M("mixminus_srtp_refused_total", "counter", "SRTP packets not decrypted.", ("reason",)),
    M(
        "mixminus_datagrams_received_total",
        "counter",
        "Datagrams that came to media ports, by what they are.",
        ("kind",),
    ),
    M("mixminus_datagrams_sent_total", "counter", "Datagrams that tick threads sent."),
    M(
        "mixminus_datagrams_dropped_total",
        "counter",
        "Datagrams lost here: in a ring, in the kernel, on sending.",
        ("reason",),
    ),
    M(
        "mixminus_jitter_seconds",
        "gauge",
        "Jitter of what comes (RFC 3550): median and most over the legs that hear packets.",
        ("stat",),
    ),
    M(
        "mixminus_playout_delay_seconds",
        "gauge",
        "What the quickest packet waits until it is played: median and most over the legs.",
        ("stat",),
    ),
    M(
        "mixminus_playout_target_seconds",
        "gauge",
        "The depth of jitter buffers that is aimed at: median and most over the legs.",
        ("stat",),
    ),
    M(
        "mixminus_round_trip_seconds",
        "gauge",
        "Round trip by RTCP: median and most over the legs that know it.",
        ("stat",),
    ),
    M(
        "mixminus_far_loss_ratio",
        "gauge",
        "What far ends last said they lose of what is sent: median and most.",
        ("stat",),
    ),
    M(
        "mixminus_transport_frames_total",
        "counter",
        "Frames over media links and telephony streams.",
        ("transport", "direction"),
    ),
    M(
        "mixminus_transport_frames_dropped_total",
        "counter",
        "Frames and messages of media links and streams that did not come, or did not go on.",
        ("transport", "reason"),
    ),
    M(
        "mixminus_transport_disconnects_total",
        "counter",
        "Sockets that media links lost and had to replace.",
        ("transport",),
    ),
    M(
        "mixminus_transport_reconnects_total",
        "counter",
        "Sockets that took the place of lost ones.",
        ("transport",),
    ),
    M(
        "mixminus_transports",
        "gauge",
        "Media links and telephony streams that are not over.",
        ("transport",),
    ),
    M("mixminus_media_sessions", "gauge", "Media sessions of bots."),
    M(
        "mixminus_bot_frames_total",
        "counter",
        "Frames that bots read (heard) and sent (said).",
        ("direction",),
    ),
    M(
        "mixminus_bot_frames_refused_total",
        "counter",
        "Frames that bots sent and that were not taken: no way to the call, no room.",
        ("reason",),
    ),
    M(
        "mixminus_bot_frames_shortened_total",
        "counter",
        "Frames of pauses taken out because bots read or sent too late.",
        ("direction",),
    ),
    M(
        "mixminus_plugin_port_frames_total",
        "counter",
        "Frames offered to chains of plugins; missed ones went on as they were.",
        ("outcome",),
    ),
)
