/* Leg: one party's media in one bridge, as a Python object. */
#include "module.h"

static void leg_dealloc(PyObject *object) {
    leg_object *self = (leg_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    /* Its removal was submitted before this, so what is submitted now is late enough. Without memory
     * for the note the leg's own memory stays: a leak, not a use after free. */
    if (self->leg) mm_engine_retire(self->engine->engine, self->leg, mm_leg_destroy);
    Py_XDECREF(self->sources);
    for (size_t i = 0; i < MM_TAPS; i++)
        if (self->tap[i]) mm_tap_part(self->tap[i], 0);
    for (size_t d = 0; d < MM_DIRECTIONS; d++)
        if (self->insert[d]) mm_insert_part(self->insert[d]);
    if (self->peer) self->peer->leg = NULL;
    Py_XDECREF((PyObject *)self->peer);
    Py_XDECREF((PyObject *)self->engine);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *leg_ring(PyObject *object, mm_ring *ring) {
    const module_state *state = mm_type_state(Py_TYPE(object));
    return state ? mm_ring_view(state->ring_type, ring, object) : NULL;
}

static PyObject *leg_source(PyObject *object, void *unused) {
    (void)unused;
    return leg_ring(object, ((leg_object *)object)->leg->source);
}

static PyObject *leg_render(PyObject *object, void *unused) {
    (void)unused;
    return leg_ring(object, ((leg_object *)object)->leg->render);
}

static PyObject *leg_source_id(PyObject *object, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(((leg_object *)object)->leg->source_id);
}

static PyObject *leg_attach(PyObject *object, PyObject *arg) {
    leg_object *self = (leg_object *)object;
    const module_state *state = mm_type_state(Py_TYPE(object));
    if (!state) return NULL;
    if (arg != Py_None && Py_TYPE(arg) != state->peer_type) {
        PyErr_SetString(PyExc_TypeError, "expected a peer or None");
        return NULL;
    }
    peer_object *peer = arg == Py_None ? NULL : (peer_object *)arg;
    if (peer && peer->engine != self->engine) {
        PyErr_SetString(PyExc_ValueError, "expected a peer of the leg's own engine");
        return NULL;
    }
    return mm_bridge_attach(self, peer) < 0 ? NULL : Py_NewRef(Py_None);
}

int mm_put_count(PyObject *dict, const char *name, uint64_t value) {
    PyObject *number = PyLong_FromUnsignedLongLong(value);
    const int failed = !number || PyDict_SetItemString(dict, name, number) < 0;
    Py_XDECREF(number);
    return failed ? -1 : 0;
}

static PyObject *leg_counters(PyObject *object, PyObject *unused) {
    (void)unused;
    static const char *const names[MM_LEG_COUNTERS] = {
        [MM_LEG_TICKS] = "ticks",         [MM_LEG_VOICE] = "voice",
        [MM_LEG_SILENCE] = "silence",     [MM_LEG_CONCEALED] = "concealed",
        [MM_LEG_SKIPPED] = "skipped",     [MM_LEG_LATE] = "late",
        [MM_LEG_TRIMMED] = "trimmed",     [MM_LEG_UNDERRUNS] = "underruns",
        [MM_LEG_TARGET] = "target_frames", [MM_LEG_FLUSHED] = "flushed"};
    const mm_playout *playout = &((leg_object *)object)->leg->playout;
    PyObject *counters = PyDict_New();
    for (int i = 0; counters && i < MM_LEG_COUNTERS; i++)
        if (mm_put_count(counters, names[i],
                         atomic_load_explicit(&playout->counters[i], memory_order_relaxed)) < 0)
            Py_CLEAR(counters);
    return counters;
}

static PyObject *leg_meter(PyObject *object, PyObject *unused) {
    (void)unused;
    int8_t inbound_dbov, outbound_dbov;
    mm_meter_read(&((leg_object *)object)->leg->meter, &inbound_dbov, &outbound_dbov);
    return Py_BuildValue("bb", inbound_dbov, outbound_dbov);
}

static PyObject *leg_flush(PyObject *object, PyObject *unused) {
    (void)unused;
    leg_object *self = (leg_object *)object;
    /* What waits now: what the caller writes after this is already the next. */
    const uint64_t written = mm_ring_written(self->leg->source);
    peer_object *peer = self->peer;
    const uint64_t arrivals = peer ? mm_peer_arrivals(peer->peer) : 0;
    if (mm_bridge_wait_for_leg(self) < 0) return NULL;
    if (peer && self->peer == peer)
        mm_bridge_command(self, mm_leg_flush_peer, self->leg, (void *)(uintptr_t)arrivals);
    mm_bridge_command(self, mm_leg_flush_source, self->leg, (void *)(uintptr_t)written);
    return Py_NewRef(Py_None);
}

static PyObject *leg_tap(PyObject *object, PyObject *arg) {
    const unsigned long slots = PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred() || !mm_check_slots("slots", slots)) return NULL;
    const module_state *state = mm_type_state(Py_TYPE(object));
    return state ? mm_tap_object_new(state->tap_type, (leg_object *)object, (unsigned int)slots) : NULL;
}

static PyObject *leg_insert(PyObject *object, PyObject *args) {
    unsigned int outbound, slots;
    if (!PyArg_ParseTuple(args, "II:insert", &outbound, &slots) || !mm_check_slots("slots", slots)) return NULL;
    if (outbound > 1) return PyErr_Format(PyExc_ValueError, "expected direction 0 or 1, got %u", outbound);
    const module_state *state = mm_type_state(Py_TYPE(object));
    return state ? mm_insert_object_new(state->insert_type, (leg_object *)object,
                                        (enum mm_direction)outbound, slots)
                 : NULL;
}

static PyMethodDef leg_methods[] = {
    {"attach", leg_attach, METH_O,
     "Hear and be heard through a peer, taken from the leg that had it; None: through the rings."},
    {"insert", leg_insert, METH_VARARGS,
     "Let a plugin take part in what this leg says (0) or hears (1), over rings of so many slots."},
    {"flush", leg_flush, METH_NOARGS, "Drop what waits to be heard from this leg's far end."},
    {"tap", leg_tap, METH_O, "A ring of so many slots with every frame that this leg says."},
    {"meter", leg_meter, METH_NOARGS, "How loud what it says and what it hears were in the last 160 ms, in dBov."},
    {"counters", leg_counters, METH_NOARGS, "Ticks by what they played, and what was dropped."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef leg_members[] = {
    {"source", leg_source, NULL, "The ring this leg's far end speaks into.", NULL},
    {"render", leg_render, NULL, "The ring with what this leg shall hear.", NULL},
    {"source_id", leg_source_id, NULL, "Who it is to the others.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot leg_slots[] = {{Py_tp_dealloc, leg_dealloc},
                                  {Py_tp_methods, leg_methods},
                                  {Py_tp_getset, leg_members},
                                  {Py_tp_doc, "One party's media in one bridge."},
                                  {0, NULL}};

PyType_Spec mm_leg_spec = {
    .name = "mixminus.media._native.Leg",
    .basicsize = sizeof(leg_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = leg_slots};
