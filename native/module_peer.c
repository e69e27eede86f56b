/* Peer: the far end of a leg that RTP reaches, as a Python object. */
#include "module.h"

static const char *const LEDGER_NAMES[MM_RX_COUNTERS] = {
    [MM_RX_PACKETS] = "packets",
    [MM_RX_DECODED] = "decoded",
    [MM_RX_LATE] = "late",
    [MM_RX_DUPLICATE] = "duplicate",
    [MM_RX_MALFORMED] = "malformed",
    [MM_RX_TYPE] = "other_type",
    [MM_RX_PAYLOAD] = "bad_payload",
    [MM_RX_SOURCE] = "strange_source",
    [MM_RX_OVERFLOW] = "overflow",
    [MM_RX_UNDECODABLE] = "undecodable",
    [MM_RX_SILENT] = "silent",
    [MM_RX_EVENT] = "event",
    [MM_RX_FLUSHED] = "flushed",
    [MM_RX_BUFFERED] = "buffered",
    [MM_RX_TICKS] = "ticks",
    [MM_RX_VOICE] = "voice_ticks",
    [MM_RX_FEC] = "fec_ticks",
    [MM_RX_CONCEALED] = "concealed_ticks",
    [MM_RX_COMFORT] = "comfort_ticks",
    [MM_RX_SILENCE] = "silence_ticks",
    [MM_RX_SKIPPED] = "skipped_ticks",
    [MM_RX_DECODED_SAMPLES] = "decoded_samples",
    [MM_RX_MADE_UP_SAMPLES] = "made_up_samples",
    [MM_RX_CONCEALED_SAMPLES] = "concealed_samples",
    [MM_RX_INSERTED_SAMPLES] = "inserted_samples",
    [MM_RX_REMOVED_SAMPLES] = "removed_samples",
    [MM_RX_QUEUED_SAMPLES] = "queued_samples",
    [MM_RX_UNDERRUNS] = "underruns",
    [MM_RX_RESTARTS] = "restarts",
    [MM_RX_TARGET_MS] = "target_ms",
    [MM_RX_DELAY_MS] = "delay_ms",
};

/* "types" as one byte a payload type. */
static int read_types(Py_buffer *types, mm_peer_settings *settings) {
    if (types->len != sizeof settings->receive.types) {
        PyErr_Format(PyExc_ValueError, "types: expected %zu bytes, got %zd",
                     sizeof settings->receive.types, types->len);
        return -1;
    }
    memcpy(settings->receive.types, types->buf, sizeof settings->receive.types);
    for (size_t i = 0; i < sizeof settings->receive.types; i++) {
        const uint8_t type = settings->receive.types[i];
        if (type <= MM_CODECS || type == MM_TYPE_NOISE || type == MM_TYPE_EVENT) continue;
        PyErr_Format(PyExc_ValueError, "types: payload type %zu cannot carry %u", i, type);
        return -1;
    }
    return 0;
}

static int check_byte(const char *name, unsigned value, unsigned most) {
    if (value <= most) return 0;
    PyErr_Format(PyExc_ValueError, "%s: expected 0 to %u, got %u", name, most, value);
    return -1;
}

PyObject *mm_peer_object_new(PyTypeObject *type, engine_object *engine, PyObject *args,
                             PyObject *kwargs) {
    static char *names[] = {"types",        "cname",       "ssrc",       "sequence",
                            "timestamp",    "secure",      "codec",      "payload_type",
                            "event_type",   "event_clock_khz", "level_extension_id",
                            "silent_dbov",  "cap_ms",      "bit_rate",   "complexity",
                            "fec",          "loss_percent", "dtx",       NULL};
    mm_peer_settings s = {0};
    Py_buffer types;
    const char *cname;
    unsigned int ssrc, sequence = 0, timestamp = 0, codec = MM_CODECS, payload_type = 0;
    unsigned int event_type = 0, event_clock_khz = 0, level_id = 0, cap_ms = 500, bit_rate = 32000;
    unsigned int complexity = 5, loss_percent = 0;
    int secure = 1, silent_dbov = -60, fec = 1, dtx = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*sI|IIpIIIIIiIIIpIp:make_peer", names, &types,
                                     &cname, &ssrc, &sequence, &timestamp, &secure, &codec,
                                     &payload_type, &event_type, &event_clock_khz, &level_id,
                                     &silent_dbov, &cap_ms, &bit_rate, &complexity, &fec,
                                     &loss_percent, &dtx))
        return NULL;
    const int bad_types = read_types(&types, &s) < 0;
    PyBuffer_Release(&types);
    if (bad_types || check_byte("codec", codec, MM_CODECS) < 0 ||
        check_byte("payload_type", payload_type, 127) < 0 ||
        check_byte("event_type", event_type, 127) < 0 ||
        check_byte("event_clock_khz", event_clock_khz, 48) < 0 ||
        check_byte("level_extension_id", level_id, 255) < 0 ||
        check_byte("complexity", complexity, 10) < 0 ||
        check_byte("loss_percent", loss_percent, 100) < 0 || check_byte("cap_ms", cap_ms, 65535) < 0)
        return NULL;
    if (silent_dbov < -127 || silent_dbov > 0)
        return PyErr_Format(PyExc_ValueError, "silent_dbov: expected -127 to 0, got %d", silent_dbov);
    if (strlen(cname) > MM_PEER_CNAME_BYTES)
        return PyErr_Format(PyExc_ValueError, "cname: expected at most %u bytes, got %zu",
                            MM_PEER_CNAME_BYTES, strlen(cname));
    s.receive.level_extension_id = (uint8_t)level_id;
    s.receive.silent_dbov = (int8_t)silent_dbov;
    s.receive.cap_ms = (uint16_t)cap_ms;
    s.event_clock_khz = (uint8_t)event_clock_khz;
    s.secure = secure;
    s.codec = (enum mm_codec)codec;
    s.encoder = (mm_encoder_settings){bit_rate, (uint8_t)complexity, (uint8_t)fec,
                                      (uint8_t)loss_percent, (uint8_t)dtx};
    s.payload_type = (uint8_t)payload_type;
    s.event_type = (uint8_t)event_type;
    s.level_extension_id = (uint8_t)level_id;
    s.ssrc = ssrc;
    s.sequence = (uint16_t)sequence;
    s.timestamp = timestamp;
    memcpy(s.cname, cname, strlen(cname));
    peer_object *self = (peer_object *)PyType_GenericAlloc(type, 0);
    if (!self) return NULL;
    self->engine = (engine_object *)Py_NewRef((PyObject *)engine);
    self->peer = mm_peer_create(&s);
    if (self->peer) return (PyObject *)self;
    if (errno == EINVAL)
        PyErr_SetString(PyExc_ValueError,
                        "expected a codec whose library is bound, and settings within its range");
    else
        PyErr_NoMemory();
    Py_DECREF(self);
    return NULL;
}

static void peer_dealloc(PyObject *object) {
    peer_object *self = (peer_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    /* No leg has it: that would be a reference. Its destination's socket outlives it, being retired later. */
    if (self->peer) mm_engine_retire(self->engine->engine, self->peer, mm_peer_destroy);
    Py_XDECREF((PyObject *)self->destination);
    Py_XDECREF((PyObject *)self->engine);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *peer_set_destination(PyObject *object, PyObject *args) {
    peer_object *self = (peer_object *)object;
    PyObject *port;
    const char *host = "";
    unsigned int number = 0;
    if (!PyArg_ParseTuple(args, "O|sI:set_destination", &port, &host, &number)) return NULL;
    const module_state *state = mm_type_state(Py_TYPE(object));
    if (!state) return NULL;
    mm_destination *destination = NULL;
    if (port != Py_None) {
        if (Py_TYPE(port) != state->port_type) {
            PyErr_SetString(PyExc_TypeError, "expected a port or None");
            return NULL;
        }
        destination = mm_port_destination((port_object *)port, self->engine, host, number);
        if (!destination) return NULL;
    }
    mm_destination *before = mm_peer_set_destination(self->peer, destination);
    mm_engine_retire(self->engine->engine, before, free);
    PyObject *old = (PyObject *)self->destination;
    self->destination = port == Py_None ? NULL : (port_object *)Py_NewRef(port);
    Py_XDECREF(old);
    return Py_NewRef(Py_None);
}

static PyObject *peer_set_keys(PyObject *object, PyObject *args) {
    peer_object *self = (peer_object *)object;
    unsigned int profile;
    Py_buffer in, out;
    if (!PyArg_ParseTuple(args, "Iy*y*:set_keys", &profile, &in, &out)) return NULL;
    int result = -1;
    const mm_srtp_library *library = mm_bound_srtp();
    if (library && in.len == out.len)
        result = mm_peer_set_keys(self->peer, library, (enum mm_srtp_profile)profile, in.buf, out.buf,
                                  (size_t)in.len);
    PyBuffer_Release(&in);
    PyBuffer_Release(&out);
    if (result == 0) return Py_NewRef(Py_None);
    PyErr_SetString(PyExc_ValueError,
                    library ? "expected, once, two keys of the length of their SRTP profile"
                            : "expected a libsrtp that is bound");
    return NULL;
}

static PyObject *peer_push(PyObject *object, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"pcm", "sequence", "timestamp_samples", "flags", "speakers", NULL};
    peer_object *self = (peer_object *)object;
    Py_buffer pcm;
    unsigned long sequence, timestamp;
    unsigned int flags = 0;
    PyObject *speakers = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*kk|IO:push", names, &pcm, &sequence, &timestamp,
                                     &flags, &speakers))
        return NULL;
    mm_meta meta = {.flags = flags};
    int16_t frame[MM_FRAME_SAMPLES];
    int result = -2;
    if (pcm.len && pcm.len != MM_FRAME_BYTES)
        PyErr_Format(PyExc_ValueError, "pcm: expected %u bytes, or none, got %zd", MM_FRAME_BYTES, pcm.len);
    else if (!speakers || mm_read_speakers(speakers, &meta) == 0) {
        if (pcm.len) memcpy(frame, pcm.buf, sizeof frame);
        result = mm_peer_push_pcm(self->peer, (uint32_t)sequence, (uint32_t)timestamp, &meta,
                                  pcm.len ? frame : NULL, mm_engine_now_ns(self->engine->engine));
        if (result < 0) PyErr_SetString(PyExc_ValueError, "expected a peer that takes pcm16k");
    }
    PyBuffer_Release(&pcm);
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *peer_heard(PyObject *object, PyObject *unused) {
    (void)unused;
    peer_object *self = (peer_object *)object;
    mm_peer_heard(self->peer, mm_engine_now_ns(self->engine->engine));
    return Py_NewRef(Py_None);
}

static PyObject *peer_last_heard_ns(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyLong_FromLongLong(mm_peer_last_heard_ns(((peer_object *)object)->peer));
}

static PyObject *peer_queue_tone(PyObject *object, PyObject *args) {
    unsigned int event, volume, duration_ms, pause_ms;
    if (!PyArg_ParseTuple(args, "IIII:queue_tone", &event, &volume, &duration_ms, &pause_ms))
        return NULL;
    return PyBool_FromLong(mm_peer_queue_tone(((peer_object *)object)->peer, event, volume, duration_ms,
                                              pause_ms) == 0);
}

static PyObject *peer_read_tone(PyObject *object, PyObject *unused) {
    (void)unused;
    mm_tone tone;
    if (!mm_peer_read_tone(((peer_object *)object)->peer, &tone)) return Py_NewRef(Py_None);
    return Py_BuildValue("IINI", (unsigned)tone.event, (unsigned)tone.volume,
                         PyBool_FromLong(tone.ended), (unsigned)tone.duration);
}

static PyObject *peer_say_bye(PyObject *object, PyObject *unused) {
    (void)unused;
    mm_peer_say_bye(((peer_object *)object)->peer);
    return Py_NewRef(Py_None);
}

static PyObject *peer_counters(PyObject *object, PyObject *unused) {
    (void)unused;
    const mm_peer *peer = ((peer_object *)object)->peer;
    const mm_ledger *ledger = mm_peer_ledger(peer);
    PyObject *counters = PyDict_New();
    for (int i = 0; counters && i < MM_PEER_COUNTERS; i++) {
        const enum mm_peer_counter which = (enum mm_peer_counter)i;
        if (mm_put_count(counters, mm_peer_counter_name(which), mm_peer_count(peer, which)) < 0)
            Py_CLEAR(counters);
    }
    for (int i = 0; counters && i < MM_RX_COUNTERS; i++)
        if (LEDGER_NAMES[i] &&
            mm_put_count(counters, LEDGER_NAMES[i], mm_ledger_get(ledger, (enum mm_receive_counter)i)) < 0)
            Py_CLEAR(counters);
    if (!counters) return NULL;
    const int64_t drift = (int64_t)mm_ledger_get(ledger, MM_RX_DRIFT_PPB);
    PyObject *value = PyLong_FromLongLong(drift);
    if (!value || PyDict_SetItemString(counters, "drift_ppb", value) < 0) Py_CLEAR(counters);
    Py_XDECREF(value);
    return counters;
}

static PyMethodDef methods[] = {
    {"set_destination", peer_set_destination, METH_VARARGS,
     "Send through a port to an address from now on; None: to nobody."},
    {"set_keys", peer_set_keys, METH_VARARGS, "Profile, the far end's key and ours: once."},
    {"push", (PyCFunction)(void (*)(void))peer_push, METH_VARARGS | METH_KEYWORDS,
     "A frame of a media link. One thread at a time."},
    {"heard", peer_heard, METH_NOARGS, "Something other than media came from the far end."},
    {"last_heard_ns", peer_last_heard_ns, METH_NOARGS, "When anything last came; 0: never."},
    {"queue_tone", peer_queue_tone, METH_VARARGS,
     "Event, volume, duration and pause in ms; False when it cannot be sent."},
    {"read_tone", peer_read_tone, METH_NOARGS,
     "(event, volume, ended, duration in ms) of a tone heard, or None."},
    {"say_bye", peer_say_bye, METH_NOARGS, "Tell the far end, with the next tick, that this is over."},
    {"counters", peer_counters, METH_NOARGS, "What became of packets and ticks."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_dealloc, peer_dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_doc, "The far end of a leg that RTP reaches."},
                              {0, NULL}};

PyType_Spec mm_peer_spec = {
    .name = "mixminus.media._native.Peer",
    .basicsize = sizeof(peer_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots};
