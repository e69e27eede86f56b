/* Bridge: who is mixed with whom, as a Python object. */

#include "memory.h"
#include "module.h"

struct bridge_object {
    PyObject_HEAD
    engine_object *engine;
    uint32_t lane;     /* the tick thread it lives on */
    mm_bridge *bridge; /* NULL once closed */
    mm_plan *plan;     /* the newest submitted */
    PyObject *legs;    /* list */
    size_t groups;
    mm_encode_group *group[MM_PLAN_GROUPS];
};

static leg_object *leg_at(PyObject *list, Py_ssize_t i) {
    return (leg_object *)PyList_GetItem(list, i);
}

static mm_commands *commands_of(const bridge_object *self) {
    return mm_tick_thread_commands(mm_engine_tick_thread(self->engine->engine, self->lane));
}

/* ---- plans ---------------------------------------------------------------------------------- */

static int is_coded_in(const mm_encode_group *group, const mm_peer *peer) {
    const mm_encoder_settings *wanted = mm_peer_encoder_settings(peer);
    return group->codec == mm_peer_codec(peer) &&
           (group->codec != MM_OPUS || memcmp(&group->settings, wanted, sizeof *wanted) == 0);
}

/* What *object*'s peer is coded in, made if need be. -1 with an exception. */
static int group_of(bridge_object *self, const leg_object *object, mm_encode_group **group) {
    *group = NULL;
    mm_peer *peer = object->peer ? object->peer->peer : NULL;
    if (!peer || !mm_peer_encode_leg(peer)) return 0;
    for (size_t g = 0; g < self->groups; g++) {
        if (!is_coded_in(self->group[g], peer)) continue;
        *group = self->group[g];
        return 0;
    }
    if (self->groups == MM_PLAN_GROUPS) {
        PyErr_Format(PyExc_RuntimeError,
                     "expected at most %u different codecs and settings in a bridge", MM_PLAN_GROUPS);
        return -1;
    }
    *group = mm_plan_group_create(mm_peer_codec(peer), mm_peer_encoder_settings(peer));
    if (!*group) {
        PyErr_NoMemory();
        return -1;
    }
    self->group[self->groups++] = *group;
    return 0;
}

/* Groups that no leg of *legs* is coded in go with the plan before. */
static void retire_groups(bridge_object *self, PyObject *legs) {
    size_t kept = 0;
    for (size_t g = 0; g < self->groups; g++) {
        int used = 0;
        for (Py_ssize_t i = 0; legs && !used && i < PyList_Size(legs); i++) {
            const leg_object *object = leg_at(legs, i);
            used = object->peer && mm_peer_encode_leg(object->peer->peer) &&
                   is_coded_in(self->group[g], object->peer->peer);
        }
        if (used)
            self->group[kept++] = self->group[g];
        else
            mm_engine_retire(self->engine->engine, self->group[g], mm_plan_group_destroy);
    }
    self->groups = kept;
}

static void set_bits(const leg_object *listener, uint64_t *mask) {
    const Py_ssize_t count = PyTuple_Size(listener->sources);
    for (Py_ssize_t i = 0; i < count; i++) {
        const leg_object *source = (leg_object *)PyTuple_GetItem(listener->sources, i);
        if (source->bridge) mask[source->row / 64] |= UINT64_C(1) << (source->row % 64);
    }
}

static mm_plan *build_plan(bridge_object *self, PyObject *legs) {
    const size_t count = (size_t)PyList_Size(legs), words = (count + 63) / 64;
    mm_plan_leg *leg = calloc(count + 1, sizeof *leg);
    uint64_t *bits = calloc(count * words + 1, sizeof *bits);
    mm_plan *plan = NULL;
    int failed = !leg || !bits;
    for (size_t i = 0; !failed && i < count; i++) leg_at(legs, (Py_ssize_t)i)->row = i;
    for (size_t i = 0; !failed && i < count; i++) {
        const leg_object *object = leg_at(legs, (Py_ssize_t)i);
        leg[i].leg = object->leg;
        failed = group_of(self, object, &leg[i].group) < 0;
        if (!object->sources) continue;
        set_bits(object, bits + i * words);
        leg[i].mask = bits + i * words;
    }
    if (!failed) plan = mm_plan_create(leg, count);
    free(leg);
    free(bits);
    if (!plan && !PyErr_Occurred()) PyErr_NoMemory();
    return plan;
}

static int check_open(const bridge_object *self) {
    if (self->bridge) return 0;
    PyErr_SetString(PyExc_RuntimeError, "the bridge is closed");
    return -1;
}

/* There is room for it: the caller has waited. */
static void submit_built(bridge_object *self, mm_plan *plan) {
    mm_command_submit(commands_of(self), mm_bridge_set_plan, self->bridge, plan);
    mm_engine_retire(self->engine->engine, self->plan, mm_plan_destroy);
    self->plan = plan;
}

/* Wait until a plan fits. That lets other threads run: what the legs are is only read after it. */
static int wait_open(const bridge_object *self) {
    return mm_engine_wait_for_room(self->engine, self->lane) < 0 ? -1 : check_open(self);
}

/* Hold *legs* from the next tick on; the caller has waited. On failure nothing has changed: the tick thread
 * still has the legs of the plan before, so none of them may leave. */
static int submit_plan(bridge_object *self, PyObject *legs) {
    mm_plan *plan = build_plan(self, legs);
    if (!plan) return -1;
    submit_built(self, plan);
    retire_groups(self, legs);
    const Py_ssize_t before_count = PyList_Size(self->legs), count = PyList_Size(legs);
    engine_lane *lane = &self->engine->lane[self->lane];
    lane->legs = lane->legs + (size_t)count - (size_t)before_count;
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

/* ---- peers ---------------------------------------------------------------------------------- */

/* The leg's tick thread lets go of the peer; the leg's reference to it ends. Room was waited for; without it, or
 * memory, the thread still has the leg, which is then in no plan that is ticked. */
static void let_go(leg_object *leg, mm_commands *commands) {
    peer_object *peer = leg->peer;
    if (!peer) return;
    mm_command_submit(commands, mm_leg_detach, leg->leg, NULL);
    leg->peer = NULL;
    peer->leg = NULL;
    Py_DECREF((PyObject *)peer);
}

static int replan(bridge_object *self) {
    mm_plan *plan = build_plan(self, self->legs);
    if (!plan) return -1;
    submit_built(self, plan);
    retire_groups(self, self->legs);
    return 0;
}

int mm_bridge_attach(leg_object *leg, peer_object *peer) {
    if (leg->peer == peer) return 0;
    if (!leg->bridge) {
        PyErr_SetString(PyExc_RuntimeError, "the leg is in no bridge");
        return -1;
    }
    for (int pass = 0; pass < 2; pass++) { /* waiting for the one may fill the other */
        leg_object *before = peer ? peer->leg : NULL;
        if (before && before->bridge &&
            mm_engine_wait_for_room(leg->engine, before->bridge->lane) < 0)
            return -1;
        if (!leg->bridge || mm_engine_wait_for_room(leg->engine, leg->bridge->lane) < 0) {
            if (!PyErr_Occurred()) PyErr_SetString(PyExc_RuntimeError, "the leg is in no bridge");
            return -1;
        }
    }
    leg_object *before = peer ? peer->leg : NULL;
    bridge_object *self = leg->bridge, *other = before ? before->bridge : NULL;
    peer_object *old = leg->peer;
    if (before && !other) {
        PyErr_SetString(PyExc_RuntimeError, "the leg that has the peer is in no bridge");
        return -1;
    }
    /* First what can fail: the plan, as it will be. */
    leg->peer = peer;
    mm_plan *plan = build_plan(self, self->legs);
    leg->peer = old;
    if (!plan) return -1;
    Py_XINCREF((PyObject *)peer);
    if (before) let_go(before, commands_of(other));
    let_go(leg, commands_of(self));
    leg->peer = peer;
    if (peer) {
        peer->leg = leg;
        mm_command_submit(commands_of(self), mm_leg_attach, leg->leg, peer->peer);
    }
    submit_built(self, plan);
    retire_groups(self, self->legs);
    /* The one it came from may have nobody left to code for. */
    if (other && other != self && replan(other) < 0) PyErr_Clear();
    return 0;
}

int mm_bridge_wait_for_leg(leg_object *leg) {
    if (leg->bridge && mm_engine_wait_for_room(leg->engine, leg->bridge->lane) < 0) return -1;
    if (leg->bridge) return 0; /* also after the wait, in which others run */
    PyErr_SetString(PyExc_RuntimeError, "the leg is in no bridge");
    return -1;
}

void mm_bridge_command(const leg_object *leg, mm_apply apply, void *target, void *value) {
    mm_command_submit(commands_of(leg->bridge), apply, target, value);
}

void mm_bridge_command_insert(const leg_object *leg, mm_insert *insert, int joins) {
    mm_bridge_command(leg, joins ? mm_bridge_insert : mm_bridge_withdraw, leg->bridge->bridge, insert);
}

/* The tick thread has another plan by now, or does not tick the bridge any more (*bridge* is NULL). */
static void withdraw_all(const bridge_object *self, leg_object *leg, mm_bridge *bridge) {
    for (int d = 0; d < MM_DIRECTIONS; d++) {
        if (!leg->insert[d]) continue;
        if (bridge) mm_command_submit(commands_of(self), mm_bridge_withdraw, bridge, leg->insert[d]->insert);
        mm_insert_part(leg->insert[d]);
    }
}

/* ---- Bridge --------------------------------------------------------------------------------- */

PyObject *mm_bridge_object_new(PyTypeObject *type, engine_object *engine) {
    bridge_object *self = (bridge_object *)PyType_GenericAlloc(type, 0);
    if (!self) return NULL;
    self->engine = (engine_object *)Py_NewRef((PyObject *)engine);
    self->legs = PyList_New(0);
    self->lane = mm_engine_least_lane(engine);
    self->bridge = self->legs ? mm_bridge_create() : NULL;
    if (self->bridge && mm_engine_enrol(engine, self->lane, self->bridge, 0) == 0)
        return (PyObject *)self;
    if (!PyErr_Occurred()) PyErr_NoMemory();
    mm_bridge_destroy(self->bridge);
    self->bridge = NULL;
    Py_DECREF(self);
    return NULL;
}

/* -1 with an exception: some still have theirs. */
static int let_all_go(bridge_object *self) {
    for (Py_ssize_t i = 0; i < PyList_Size(self->legs); i++) {
        if (!leg_at(self->legs, i)->peer) continue;
        if (mm_engine_wait_for_room(self->engine, self->lane) < 0) return -1;
        if (i < PyList_Size(self->legs)) let_go(leg_at(self->legs, i), commands_of(self));
    }
    return 0;
}

static int close_bridge(bridge_object *self) {
    if (!self->bridge) return 0;
    if (let_all_go(self) < 0) return -1;
    if (!self->bridge) return 0; /* another thread was faster while this one waited */
    if (mm_engine_enrol(self->engine, self->lane, self->bridge, 1) < 0) return -1;
    mm_engine *engine = self->engine->engine;
    mm_engine_retire(engine, self->bridge, mm_bridge_destroy);
    mm_engine_retire(engine, self->plan, mm_plan_destroy);
    self->bridge = NULL;
    self->plan = NULL;
    retire_groups(self, NULL);
    const Py_ssize_t count = PyList_Size(self->legs);
    self->engine->lane[self->lane].legs -= (size_t)count;
    for (Py_ssize_t i = 0; i < count; i++) {
        leg_object *leg = leg_at(self->legs, i);
        let_go(leg, commands_of(self)); /* of a peer that another thread gave it while this one waited */
        withdraw_all(self, leg, NULL);
        leg->bridge = NULL;
        Py_CLEAR(leg->sources); /* legs that name each other are a cycle */
    }
    return PyList_SetSlice(self->legs, 0, count, NULL);
}

static void bridge_dealloc(PyObject *object) {
    bridge_object *self = (bridge_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->bridge && close_bridge(self) < 0) {
        PyErr_WriteUnraisable(NULL); /* still ticked, so its legs must stay */
        for (Py_ssize_t i = 0; i < PyList_Size(self->legs); i++) leg_at(self->legs, i)->bridge = NULL;
    } else {
        Py_XDECREF(self->legs);
    }
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
    const module_state *state = mm_type_state(Py_TYPE(object));
    leg_object *leg = state ? (leg_object *)PyType_GenericAlloc(state->leg_type, 0) : NULL;
    if (!leg) return NULL;
    leg->engine = (engine_object *)Py_NewRef((PyObject *)self->engine);
    leg->leg = mm_leg_create(id, relay, paced, source_slots, render_slots, target, most);
    int failed = !leg->leg;
    if (failed) PyErr_NoMemory();
    failed = failed || wait_open(self) < 0;
    if (!failed && PyList_Size(self->legs) >= (Py_ssize_t)MM_MIX_MAX_LEGS) {
        PyErr_Format(PyExc_ValueError, "a bridge holds at most %u legs", MM_MIX_MAX_LEGS);
        failed = 1;
    }
    PyObject *legs = failed ? NULL : legs_copy(self);
    failed = !legs || PyList_Append(legs, (PyObject *)leg) < 0;
    failed = failed || submit_plan(self, legs) < 0;
    Py_XDECREF(legs);
    if (!failed) {
        leg->bridge = self;
        return (PyObject *)leg;
    }
    Py_DECREF(leg);
    return NULL;
}

static PyObject *bridge_remove_leg(PyObject *object, PyObject *arg) {
    bridge_object *self = (bridge_object *)object;
    if (wait_open(self) < 0 || check_member(self, arg) < 0) return NULL;
    leg_object *leg = (leg_object *)arg;
    let_go(leg, commands_of(self));
    const Py_ssize_t index = PySequence_Index(self->legs, arg);
    PyObject *rest = index < 0 ? NULL : legs_copy(self);
    leg->bridge = NULL;
    int failed = !rest || PyList_SetSlice(rest, index, index + 1, NULL) < 0;
    failed = failed || submit_plan(self, rest) < 0;
    Py_XDECREF(rest);
    if (failed) {
        leg->bridge = self;
        return NULL;
    }
    withdraw_all(self, leg, self->bridge);
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
    int failed = !heard || read_routes(routes, heard) < 0 || wait_open(self) < 0 ||
                 check_routes(self, routes, heard) < 0;
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
