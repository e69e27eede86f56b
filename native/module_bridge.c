/* Bridge and Leg: who is mixed with whom, as Python objects. */

#include "memory.h"
#include "module.h"

typedef struct leg_object {
    PyObject_HEAD
    engine_object *engine;
    mm_leg *leg;
    PyObject *sources; /* NULL: hears all others; else a tuple of legs */
    size_t row;        /* in the plan being built */
    int attached;
} leg_object;

typedef struct bridge_object {
    PyObject_HEAD
    engine_object *engine;
    mm_bridge *bridge; /* NULL once closed */
    mm_plan *plan;     /* the newest submitted */
    PyObject *legs;    /* list */
} bridge_object;

static leg_object *leg_at(PyObject *list, Py_ssize_t i) {
    return (leg_object *)PyList_GetItem(list, i);
}

/* ---- plans ---------------------------------------------------------------------------------- */

static void set_bits(const leg_object *listener, uint64_t *mask) {
    const Py_ssize_t count = PyTuple_Size(listener->sources);
    for (Py_ssize_t i = 0; i < count; i++) {
        const leg_object *source = (leg_object *)PyTuple_GetItem(listener->sources, i);
        if (source->attached) mask[source->row / 64] |= UINT64_C(1) << (source->row % 64);
    }
}

static mm_plan *build_plan(PyObject *legs) {
    const size_t count = (size_t)PyList_Size(legs), words = (count + 63) / 64;
    mm_leg **leg = malloc((count + 1) * sizeof *leg);
    const uint64_t **masks = calloc(count + 1, sizeof *masks);
    uint64_t *bits = calloc(count * words + 1, sizeof *bits);
    int exceptions = 0;
    mm_plan *plan = NULL;
    if (leg && masks && bits) {
        for (size_t i = 0; i < count; i++) {
            leg_object *object = leg_at(legs, (Py_ssize_t)i);
            object->row = i;
            leg[i] = object->leg;
        }
        for (size_t i = 0; i < count; i++) {
            const leg_object *object = leg_at(legs, (Py_ssize_t)i);
            if (!object->sources) continue;
            set_bits(object, bits + i * words);
            masks[i] = bits + i * words;
            exceptions = 1;
        }
        plan = mm_plan_create(leg, exceptions ? masks : NULL, count);
    }
    free(leg);
    free(masks);
    free(bits);
    if (!plan) PyErr_NoMemory();
    return plan;
}

static int check_open(const bridge_object *self) {
    if (self->bridge) return 0;
    PyErr_SetString(PyExc_RuntimeError, "the bridge is closed");
    return -1;
}

/* Hold *legs* from the next tick on. On failure nothing has changed: the tick thread still has the legs
 * of the plan before, so none of them may leave. */
static int submit_plan(bridge_object *self, PyObject *legs) {
    /* Waiting lets other threads run: only what is checked after it is so. */
    if (mm_engine_wait_for_room(self->engine) < 0 || check_open(self) < 0) return -1;
    mm_plan *plan = build_plan(legs);
    if (!plan) return -1;
    mm_commands *commands = mm_engine_commands(self->engine->engine);
    mm_command_submit(commands, &self->bridge->plan, plan);
    mm_command_retire(commands, self->plan, mm_plan_destroy);
    self->plan = plan;
    PyObject *before = self->legs;
    self->legs = Py_NewRef(legs);
    Py_DECREF(before);
    return 0;
}

static PyObject *legs_copy(const bridge_object *self) {
    return PyList_GetSlice(self->legs, 0, PyList_Size(self->legs));
}

static int check_member(const bridge_object *self, PyObject *leg) {
    const int found = PySequence_Contains(self->legs, leg);
    if (found == 0) PyErr_SetString(PyExc_ValueError, "the leg is not in this bridge");
    return found == 1 ? 0 : -1;
}

static int has_row(const bridge_object *self, const module_state *state, PyObject *leg) {
    if (Py_TYPE(leg) != state->leg_type) return 0;
    const size_t row = ((leg_object *)leg)->row, count = (size_t)PyList_Size(self->legs);
    return row < count && PyList_GetItem(self->legs, (Py_ssize_t)row) == leg;
}

/* ---- Bridge --------------------------------------------------------------------------------- */

PyObject *mm_bridge_object_new(PyTypeObject *type, engine_object *engine) {
    bridge_object *self = (bridge_object *)PyType_GenericAlloc(type, 0);
    if (!self) return NULL;
    self->engine = (engine_object *)Py_NewRef((PyObject *)engine);
    self->legs = PyList_New(0);
    self->bridge = self->legs ? mm_pages_alloc(sizeof *self->bridge) : NULL;
    if (self->bridge && mm_engine_enrol(engine, self->bridge, 0) == 0) return (PyObject *)self;
    if (!PyErr_Occurred()) PyErr_NoMemory();
    mm_pages_free(self->bridge);
    self->bridge = NULL;
    Py_DECREF(self);
    return NULL;
}

static int close_bridge(bridge_object *self) {
    if (!self->bridge) return 0;
    if (mm_engine_enrol(self->engine, self->bridge, 1) < 0) return -1;
    mm_commands *commands = mm_engine_commands(self->engine->engine);
    mm_command_retire(commands, self->bridge, mm_pages_free);
    mm_command_retire(commands, self->plan, mm_plan_destroy);
    self->bridge = NULL;
    self->plan = NULL;
    const Py_ssize_t count = PyList_Size(self->legs);
    for (Py_ssize_t i = 0; i < count; i++) {
        leg_object *leg = leg_at(self->legs, i);
        leg->attached = 0;
        Py_CLEAR(leg->sources); /* legs that name each other are a cycle */
    }
    return PyList_SetSlice(self->legs, 0, count, NULL);
}

static void bridge_dealloc(PyObject *object) {
    bridge_object *self = (bridge_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->bridge && close_bridge(self) < 0)
        PyErr_WriteUnraisable(NULL); /* still ticked, so its legs must stay */
    else
        Py_XDECREF(self->legs);
    Py_XDECREF((PyObject *)self->engine);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *bridge_add_leg(PyObject *object, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"source_id",     "source_slots",      "render_slots",
                            "target_frames", "max_target_frames", "relay",
                            "paced",         NULL};
    bridge_object *self = (bridge_object *)object;
    unsigned int id, source_slots = 16, render_slots = 16, target = 1, most = 5;
    int relay = 0, paced = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "I|IIIIpp:add_leg", names, &id, &source_slots,
                                     &render_slots, &target, &most, &relay, &paced))
        return NULL;
    if (check_open(self) < 0 || !mm_check_slots("source_slots", source_slots) ||
        !mm_check_slots("render_slots", render_slots))
        return NULL;
    if (target < 1 || most < target || most >= source_slots)
        return PyErr_Format(PyExc_ValueError,
                            "expected 1 <= target_frames <= max_target_frames < source_slots, "
                            "got %u, %u and %u",
                            target, most, source_slots);
    if (PyList_Size(self->legs) >= (Py_ssize_t)MM_MIX_MAX_LEGS)
        return PyErr_Format(PyExc_ValueError, "a bridge holds at most %u legs", MM_MIX_MAX_LEGS);
    const module_state *state = mm_type_state(Py_TYPE(object));
    leg_object *leg = state ? (leg_object *)PyType_GenericAlloc(state->leg_type, 0) : NULL;
    if (!leg) return NULL;
    leg->engine = (engine_object *)Py_NewRef((PyObject *)self->engine);
    leg->leg = mm_leg_create(id, relay, paced, source_slots, render_slots, target, most);
    PyObject *legs = leg->leg ? legs_copy(self) : PyErr_NoMemory();
    int failed = !legs || PyList_Append(legs, (PyObject *)leg) < 0;
    failed = failed || submit_plan(self, legs) < 0;
    Py_XDECREF(legs);
    if (!failed) {
        leg->attached = 1;
        return (PyObject *)leg;
    }
    Py_DECREF(leg);
    return NULL;
}

static PyObject *bridge_remove_leg(PyObject *object, PyObject *arg) {
    bridge_object *self = (bridge_object *)object;
    if (check_open(self) < 0 || check_member(self, arg) < 0) return NULL;
    const Py_ssize_t index = PySequence_Index(self->legs, arg);
    leg_object *leg = (leg_object *)arg;
    PyObject *rest = index < 0 ? NULL : legs_copy(self);
    leg->attached = 0;
    int failed = !rest || PyList_SetSlice(rest, index, index + 1, NULL) < 0;
    failed = failed || submit_plan(self, rest) < 0;
    Py_XDECREF(rest);
    leg->attached = failed;
    if (failed) return NULL;
    Py_CLEAR(leg->sources);
    return Py_NewRef(Py_None);
}

/* Read (listener, sources or None) pairs: owned tuples of sources, NULL for None. This may run a
 * caller's code, so it comes before the checks. */
static int read_routes(PyObject *routes, PyObject **heard) {
    for (Py_ssize_t i = 0; i < PyTuple_Size(routes); i++) {
        PyObject *route = PyTuple_GetItem(routes, i), *listener, *sources;
        if (!PyTuple_Check(route)) {
            PyErr_SetString(PyExc_TypeError, "expected pairs of a leg and its sources");
            return -1;
        }
        if (!PyArg_ParseTuple(route, "OO:set_routes", &listener, &sources)) return -1;
        if (sources == Py_None) continue;
        heard[i] = PySequence_Tuple(sources);
        if (!heard[i]) return -1;
    }
    return 0;
}

/* Whether all legs of *routes* are in this bridge; by their rows, as there may be very many. */
static int check_routes(bridge_object *self, PyObject *routes, PyObject *const *heard) {
    const Py_ssize_t count = PyList_Size(self->legs);
    const module_state *state = mm_type_state(Py_TYPE((PyObject *)self));
    if (!state) return -1;
    for (Py_ssize_t i = 0; i < count; i++) leg_at(self->legs, i)->row = (size_t)i;
    int found = 1;
    for (Py_ssize_t i = 0; found && i < PyTuple_Size(routes); i++) {
        found = has_row(self, state, PyTuple_GetItem(PyTuple_GetItem(routes, i), 0));
        for (Py_ssize_t k = 0; found && heard[i] && k < PyTuple_Size(heard[i]); k++)
            found = has_row(self, state, PyTuple_GetItem(heard[i], k));
    }
    if (!found) PyErr_SetString(PyExc_ValueError, "the leg is not in this bridge");
    return found ? 0 : -1;
}

/* Change places with what each listener heard before: twice is as it was. */
static void swap_sources(PyObject *routes, PyObject **heard, int back) {
    const Py_ssize_t count = PyTuple_Size(routes);
    for (Py_ssize_t n = 0; n < count; n++) {
        const Py_ssize_t i = back ? count - 1 - n : n; /* a listener may be there twice */
        leg_object *leg = (leg_object *)PyTuple_GetItem(PyTuple_GetItem(routes, i), 0);
        PyObject *before = leg->sources;
        leg->sources = heard[i];
        heard[i] = before;
    }
}

static PyObject *bridge_set_routes(PyObject *object, PyObject *arg) {
    bridge_object *self = (bridge_object *)object;
    if (check_open(self) < 0) return NULL;
    PyObject *routes = PySequence_Tuple(arg);
    if (!routes) return NULL;
    const Py_ssize_t count = PyTuple_Size(routes);
    PyObject **heard = calloc((size_t)count + 1, sizeof *heard);
    if (!heard) PyErr_NoMemory();
    int failed = !heard || read_routes(routes, heard) < 0 || check_routes(self, routes, heard) < 0;
    if (!failed) {
        swap_sources(routes, heard, 0);
        failed = submit_plan(self, self->legs) < 0;
        if (failed) swap_sources(routes, heard, 1);
    }
    for (Py_ssize_t i = 0; heard && i < count; i++) Py_XDECREF(heard[i]);
    free(heard);
    Py_DECREF(routes);
    return failed ? NULL : Py_NewRef(Py_None);
}

static PyObject *bridge_close(PyObject *object, PyObject *unused) {
    (void)unused;
    return close_bridge((bridge_object *)object) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef bridge_methods[] = {
    {"add_leg", (PyCFunction)(void (*)(void))bridge_add_leg, METH_VARARGS | METH_KEYWORDS,
     "Add a leg; it is mixed from the next tick on."},
    {"remove_leg", bridge_remove_leg, METH_O, "Take a leg out, from the next tick on."},
    {"set_routes", bridge_set_routes, METH_O,
     "Say whom each of several legs hears, all from the same tick on."},
    {"close", bridge_close, METH_NOARGS, "Take out all legs and the bridge itself."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot bridge_slots[] = {{Py_tp_dealloc, bridge_dealloc},
                                     {Py_tp_methods, bridge_methods},
                                     {Py_tp_doc, "Legs that are mixed together."},
                                     {0, NULL}};

PyType_Spec mm_bridge_spec = {
    .name = "mixminus.media._native.Bridge",
    .basicsize = sizeof(bridge_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = bridge_slots};

/* ---- Leg ------------------------------------------------------------------------------------ */

static void leg_dealloc(PyObject *object) {
    leg_object *self = (leg_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    /* Its removal was submitted before this, so what is submitted now is late enough. Without memory
     * for the note the leg's own memory stays: a leak, not a use after free. */
    if (self->leg)
        mm_command_retire(mm_engine_commands(self->engine->engine), self->leg, mm_leg_destroy);
    Py_XDECREF(self->sources);
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

static PyObject *leg_counters(PyObject *object, PyObject *unused) {
    (void)unused;
    static const char *const names[MM_LEG_COUNTERS] = {
        [MM_LEG_TICKS] = "ticks",         [MM_LEG_VOICE] = "voice",
        [MM_LEG_SILENCE] = "silence",     [MM_LEG_CONCEALED] = "concealed",
        [MM_LEG_SKIPPED] = "skipped",     [MM_LEG_LATE] = "late",
        [MM_LEG_TRIMMED] = "trimmed",     [MM_LEG_UNDERRUNS] = "underruns",
        [MM_LEG_TARGET] = "target_frames"};
    const mm_playout *playout = &((leg_object *)object)->leg->playout;
    PyObject *counters = PyDict_New();
    for (int i = 0; counters && i < MM_LEG_COUNTERS; i++) {
        PyObject *value = PyLong_FromUnsignedLongLong(
            atomic_load_explicit(&playout->counters[i], memory_order_relaxed));
        if (!value || PyDict_SetItemString(counters, names[i], value) < 0) Py_CLEAR(counters);
        Py_XDECREF(value);
    }
    return counters;
}

static PyMethodDef leg_methods[] = {
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
