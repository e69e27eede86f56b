/* Engine: the threads that tick and that read, as a Python object. */

#include "memory.h"
#include "module.h"

#define LATENESS_LOG_MAX (1u << 22)
#define ROOM_FOR_A_CHANGE 16u /* commands: a change is several, and its barriers */

static PyObject *engine_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"period_ns", "lateness_log", "tick_threads", NULL};
    long long period_ns = MM_FRAME_NS;
    unsigned int log = 65536, threads = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|LII:Engine", names, &period_ns, &log, &threads))
        return NULL;
    if (threads < 1 || threads > MM_ENGINE_TICK_THREADS)
        return PyErr_Format(PyExc_ValueError, "tick_threads: expected 1 to %u, got %u",
                            MM_ENGINE_TICK_THREADS, threads);
    if (period_ns < 10000 || period_ns > 1000000000)
        return PyErr_Format(PyExc_ValueError, "period_ns: expected 10 us to 1 s, got %lld",
                            period_ns);
    if (log < 2 || log > LATENESS_LOG_MAX || (log & (log - 1)))
        return PyErr_Format(PyExc_ValueError,
                            "lateness_log: expected a power of two from 2 to %u, got %u",
                            LATENESS_LOG_MAX, log);
    const module_state *state = mm_type_state(type);
    if (!state) return NULL;
    engine_object *self = (engine_object *)PyType_GenericAlloc(type, 0);
    if (!self) return NULL;
    self->engine = mm_engine_create(mm_kernels_for(state->isa), period_ns, log, threads);
    if (self->engine) return (PyObject *)self;
    PyErr_SetFromErrno(PyExc_OSError);
    Py_DECREF(self);
    return NULL;
}

static void engine_dealloc(PyObject *object) {
    engine_object *self = (engine_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->engine) {
        Py_BEGIN_ALLOW_THREADS
        mm_engine_destroy(self->engine);
        Py_END_ALLOW_THREADS
    }
    for (uint32_t i = 0; i < MM_ENGINE_TICK_THREADS; i++) {
        mm_pages_free(self->lane[i].roster);
        free(self->lane[i].bridges);
    }
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

int mm_engine_wait_for_room(engine_object *self, uint32_t lane) {
    mm_commands *commands = mm_tick_thread_commands(mm_engine_tick_thread(self->engine, lane));
    mm_engine_reclaim(self->engine);
    for (int tries = 0; tries < 5000; tries++) {
        if (mm_command_room(commands) >= ROOM_FOR_A_CHANGE) return 0;
        if (!mm_engine_running(self->engine)) {
            mm_engine_reclaim(self->engine); /* carries them out: nobody else does */
            continue;
        }
        const struct timespec millisecond = {.tv_nsec = 1000000};
        Py_BEGIN_ALLOW_THREADS
        nanosleep(&millisecond, NULL);
        Py_END_ALLOW_THREADS
    }
    PyErr_SetString(PyExc_RuntimeError, "the tick thread has carried out no command for 5 s");
    return -1;
}

uint32_t mm_engine_least_lane(const engine_object *self) {
    uint32_t least = 0;
    for (uint32_t i = 1; i < mm_engine_tick_threads(self->engine); i++) {
        const engine_lane *lane = &self->lane[i], *best = &self->lane[least];
        if (lane->legs < best->legs ||
            (lane->legs == best->legs && lane->bridge_count < best->bridge_count))
            least = i;
    }
    return least;
}

static mm_roster *roster_of(mm_bridge **bridges, size_t count) {
    mm_roster *roster = mm_pages_alloc(sizeof *roster + count * sizeof *bridges);
    if (!roster) return NULL;
    roster->count = count;
    if (count) memcpy(roster->bridge, bridges, count * sizeof *bridges);
    return roster;
}

int mm_engine_enrol(engine_object *self, uint32_t lane_index, mm_bridge *bridge, int leave) {
    if (mm_engine_wait_for_room(self, lane_index) < 0) return -1;
    engine_lane *lane = &self->lane[lane_index];
    mm_bridge **bridges = malloc((lane->bridge_count + 1) * sizeof *bridges);
    size_t count = 0;
    for (size_t i = 0; bridges && i < lane->bridge_count; i++)
        if (lane->bridges[i] != bridge) bridges[count++] = lane->bridges[i];
    if (bridges && !leave) bridges[count++] = bridge;
    mm_roster *roster = bridges ? roster_of(bridges, count) : NULL;
    if (!roster) {
        free(bridges);
        PyErr_NoMemory();
        return -1;
    }
    mm_tick_thread *thread = mm_engine_tick_thread(self->engine, lane_index);
    mm_command_submit(mm_tick_thread_commands(thread), mm_apply_store,
                      mm_tick_thread_roster_slot(thread), roster);
    mm_engine_retire(self->engine, lane->roster, mm_pages_free);
    free(lane->bridges);
    lane->bridges = bridges;
    lane->bridge_count = count;
    lane->roster = roster;
    return 0;
}

static PyObject *engine_start(PyObject *object, PyObject *unused) {
    (void)unused;
    mm_engine *engine = ((engine_object *)object)->engine;
    int error;
    if (mm_engine_in_tick(engine)) {
        PyErr_SetString(PyExc_RuntimeError, "run_ticks has not returned yet");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    error = mm_engine_start(engine);
    Py_END_ALLOW_THREADS
    if (error == 0) return Py_NewRef(Py_None);
    if (error == EALREADY) {
        PyErr_SetString(PyExc_RuntimeError, "the engine already runs");
        return NULL;
    }
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *engine_stop(PyObject *object, PyObject *unused) {
    (void)unused;
    mm_engine *engine = ((engine_object *)object)->engine;
    Py_BEGIN_ALLOW_THREADS
    mm_engine_stop(engine);
    Py_END_ALLOW_THREADS
    mm_engine_reclaim(engine);
    return Py_NewRef(Py_None);
}

/* What run_ticks calls between two edges; what it raised ends the run. */
typedef struct virtual_wait {
    PyObject *between;
    int failed;
} virtual_wait;

static void call_between(void *context, int64_t at_ns) {
    (void)at_ns;
    virtual_wait *wait = context;
    if (wait->failed) return;
    PyObject *result = PyObject_CallObject(wait->between, NULL);
    wait->failed = !result;
    Py_XDECREF(result);
}

static PyObject *engine_run_ticks(PyObject *object, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"count", "between", NULL};
    mm_engine *engine = ((engine_object *)object)->engine;
    unsigned long long count;
    virtual_wait wait = {Py_None, 0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "K|O:run_ticks", names, &count, &wait.between)) return NULL;
    if (mm_engine_running(engine) || mm_engine_in_tick(engine)) {
        PyErr_SetString(PyExc_RuntimeError, "run_ticks drives an engine that is not started, and not from within");
        return NULL;
    }
    const mm_edge_wait between = {call_between, &wait};
    for (unsigned long long n = 0; n < count && !wait.failed; n++)
        mm_engine_run_ticks(engine, 1, wait.between == Py_None ? NULL : &between);
    if (wait.failed) return NULL;
    mm_engine_reclaim(engine);
    return Py_NewRef(Py_None);
}

static PyObject *engine_fileno(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyLong_FromLong(mm_engine_eventfd(((engine_object *)object)->engine));
}

static PyObject *engine_edge_fileno(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyLong_FromLong(mm_engine_edge_fd(((engine_object *)object)->engine));
}

static PyObject *engine_now(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyLong_FromLongLong(mm_engine_now_ns(((engine_object *)object)->engine) / 100);
}

static PyObject *engine_add_bridge(PyObject *object, PyObject *unused) {
    (void)unused;
    const module_state *state = mm_type_state(Py_TYPE(object));
    return state ? mm_bridge_object_new(state->bridge_type, (engine_object *)object) : NULL;
}

static PyObject *engine_open_port(PyObject *object, PyObject *args, PyObject *kwargs) {
    const module_state *state = mm_type_state(Py_TYPE(object));
    return state ? mm_port_object_new(state->port_type, (engine_object *)object, args, kwargs) : NULL;
}

static PyObject *engine_make_peer(PyObject *object, PyObject *args, PyObject *kwargs) {
    const module_state *state = mm_type_state(Py_TYPE(object));
    return state ? mm_peer_object_new(state->peer_type, (engine_object *)object, args, kwargs) : NULL;
}

static PyObject *engine_reclaim(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(mm_engine_reclaim(((engine_object *)object)->engine));
}

/* The first thread's ticks are the engine's; all else adds up. */
static void add_up(mm_engine *engine, mm_tick_stats *sum) {
    mm_tick_thread_stats(mm_engine_tick_thread(engine, 0), sum);
    for (uint32_t i = 1; i < mm_engine_tick_threads(engine); i++) {
        mm_tick_stats s;
        mm_tick_thread_stats(mm_engine_tick_thread(engine, i), &s);
        sum->late_ticks += s.late_ticks;
        sum->skipped_ticks += s.skipped_ticks;
        sum->busy_ns += s.busy_ns;
        sum->datagrams_sent += s.datagrams_sent;
        sum->datagrams_dropped += s.datagrams_dropped;
        for (size_t f = 0; f < MM_FLOW_COUNTS; f++) sum->flow.count[f] += s.flow.count[f];
    }
}

static PyObject *engine_stats(PyObject *object, PyObject *unused) {
    (void)unused;
    mm_tick_stats s;
    add_up(((engine_object *)object)->engine, &s);
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:K}", "ticks", s.ticks, "late_ticks", s.late_ticks,
                         "skipped_ticks", s.skipped_ticks, "busy_ns", s.busy_ns, "datagrams_sent",
                         s.datagrams_sent, "datagrams_dropped", s.datagrams_dropped);
}

static PyObject *engine_flow(PyObject *object, PyObject *unused) {
    (void)unused;
    static const char *const names[MM_FLOW_COUNTS] = {
        [MM_FLOW_MIXED] = "mixed",       [MM_FLOW_RECEIVED] = "received",   [MM_FLOW_RENDERED] = "rendered",
        [MM_FLOW_DROPPED] = "dropped",   [MM_FLOW_VOICE] = "voice",         [MM_FLOW_FEC] = "fec",
        [MM_FLOW_CONCEALED] = "concealed", [MM_FLOW_COMFORT] = "comfort",   [MM_FLOW_SILENCE] = "silence",
        [MM_FLOW_SKIPPED] = "skipped"};
    mm_tick_stats s;
    add_up(((engine_object *)object)->engine, &s);
    PyObject *flow = PyDict_New();
    for (size_t i = 0; flow && i < MM_FLOW_COUNTS; i++)
        if (mm_put_count(flow, names[i], s.flow.count[i]) < 0) Py_CLEAR(flow);
    return flow;
}

static PyObject *engine_legs(PyObject *object, void *unused) {
    (void)unused;
    const engine_object *self = (engine_object *)object;
    size_t legs = 0;
    for (uint32_t i = 0; i < mm_engine_tick_threads(self->engine); i++) legs += self->lane[i].legs;
    return PyLong_FromSize_t(legs);
}

static PyObject *engine_thread_ticks(PyObject *object, PyObject *unused) {
    (void)unused;
    mm_engine *engine = ((engine_object *)object)->engine;
    const uint32_t count = mm_engine_tick_threads(engine);
    PyObject *ticks = PyTuple_New((Py_ssize_t)count);
    for (uint32_t i = 0; ticks && i < count; i++) {
        mm_tick_stats s;
        mm_tick_thread_stats(mm_engine_tick_thread(engine, i), &s);
        PyObject *number = PyLong_FromUnsignedLongLong(s.ticks);
        if (!number || PyTuple_SetItem(ticks, (Py_ssize_t)i, number) < 0) Py_CLEAR(ticks);
    }
    return ticks;
}

static PyObject *engine_packet_cpu(PyObject *object, PyObject *unused) {
    (void)unused;
    mm_packet_thread *packets = mm_engine_packet_thread(((engine_object *)object)->engine);
    return PyLong_FromLongLong(mm_packet_thread_cpu_ns(packets));
}

static PyObject *tick_log(PyObject *object, PyObject *args, enum mm_tick_log log) {
    mm_engine *engine = ((engine_object *)object)->engine;
    unsigned long long since = 0;
    unsigned int which = 0;
    if (!PyArg_ParseTuple(args, "|KI", &since, &which)) return NULL;
    if (which >= mm_engine_tick_threads(engine))
        return PyErr_Format(PyExc_ValueError, "expected one of %u tick threads, got %u",
                            mm_engine_tick_threads(engine), which);
    const mm_tick_thread *thread = mm_engine_tick_thread(engine, which);
    mm_tick_stats s;
    mm_tick_thread_stats(thread, &s);
    uint64_t room = since < s.ticks ? s.ticks - since : 0;
    if (room > LATENESS_LOG_MAX) room = LATENESS_LOG_MAX;
    uint32_t *ns = malloc((room + 1) * sizeof *ns);
    if (!ns) return PyErr_NoMemory();
    const uint64_t count = mm_tick_thread_log(thread, log, since, ns, room);
    PyObject *bytes = PyBytes_FromStringAndSize((char *)ns, (Py_ssize_t)(count * sizeof *ns));
    free(ns);
    return bytes;
}

static PyObject *engine_lateness(PyObject *object, PyObject *args) {
    return tick_log(object, args, MM_TICK_LATENESS);
}

static PyObject *engine_tick_times(PyObject *object, PyObject *args) {
    return tick_log(object, args, MM_TICK_BUSY);
}

static PyObject *engine_edge_lateness(PyObject *object, PyObject *args) {
    return tick_log(object, args, MM_TICK_EDGE_LATENESS);
}

static PyObject *scheduling_name(int scheduling) {
    static const char *const names[] = {[MM_SCHED_NONE] = "none",
                                        [MM_SCHED_FIFO] = "fifo",
                                        [MM_SCHED_NICE] = "nice",
                                        [MM_SCHED_NORMAL] = "normal"};
    return PyUnicode_FromString(names[scheduling]);
}

static PyObject *engine_scheduling(PyObject *object, void *unused) {
    (void)unused;
    mm_engine *engine = ((engine_object *)object)->engine;
    return scheduling_name((int)mm_tick_thread_scheduling(mm_engine_tick_thread(engine, 0)));
}

static PyObject *engine_tick_threads(PyObject *object, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(mm_engine_tick_threads(((engine_object *)object)->engine));
}

static PyMethodDef methods[] = {
    {"start", engine_start, METH_NOARGS, "Start the tick threads and the packet thread."},
    {"stop", engine_stop, METH_NOARGS, "Stop them and wait for their end."},
    {"run_ticks", (PyCFunction)(void (*)(void))engine_run_ticks, METH_VARARGS | METH_KEYWORDS,
     "Tick so often in this thread, in virtual time, and call between the edges of a tick."},
    {"fileno", engine_fileno, METH_NOARGS, "An eventfd, readable after each tick."},
    {"edge_fileno", engine_edge_fileno, METH_NOARGS,
     "An eventfd, readable after each edge at which frames were offered to plugins."},
    {"now", engine_now, METH_NOARGS, "The engine's clock in 100 ns ticks."},
    {"add_bridge", engine_add_bridge, METH_NOARGS, "A new bridge with no legs."},
    {"open_port", (PyCFunction)(void (*)(void))engine_open_port, METH_VARARGS | METH_KEYWORDS,
     "Open a UDP socket that the packet thread reads."},
    {"make_peer", (PyCFunction)(void (*)(void))engine_make_peer, METH_VARARGS | METH_KEYWORDS,
     "Make the far end of a leg that RTP reaches."},
    {"reclaim", engine_reclaim, METH_NOARGS, "Free what the tick thread has passed; what waits."},
    {"stats", engine_stats, METH_NOARGS, "Ticks, late and left-out ticks, busy time, datagrams."},
    {"flow", engine_flow, METH_NOARGS, "What went through all bridges so far, by what it was."},
    {"thread_ticks", engine_thread_ticks, METH_NOARGS, "How many ticks each tick thread has done."},
    {"packet_cpu_ns", engine_packet_cpu, METH_NOARGS,
     "Processor time of the packet thread that runs, or 0."},
    {"lateness_ns", engine_lateness, METH_VARARGS,
     "Lateness of the remembered ticks of a thread from one on, as uint32 nanoseconds."},
    {"tick_times_ns", engine_tick_times, METH_VARARGS,
     "How long the remembered ticks of a thread took from one on, as uint32 nanoseconds."},
    {"edge_lateness_ns", engine_edge_lateness, METH_VARARGS,
     "How late the last edges of the remembered ticks of a thread were from one on, as uint32 nanoseconds."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef members[] = {
    {"scheduling", engine_scheduling, NULL, "fifo, nice, normal, or none when stopped.", NULL},
    {"tick_threads", engine_tick_threads, NULL, "How many threads share the bridges.", NULL},
    {"legs", engine_legs, NULL, "How many legs its bridges have.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {{Py_tp_new, engine_new},
                              {Py_tp_dealloc, engine_dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_getset, members},
                              {Py_tp_doc, "Ticks bridges every 20 ms without the GIL."},
                              {0, NULL}};

PyType_Spec mm_engine_spec = {.name = "mixminus.media._native.Engine",
                              .basicsize = sizeof(engine_object),
                              .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
                              .slots = slots};
