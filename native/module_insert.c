/* Insert: where a plugin takes part in what a leg says or hears, as a Python object. */
#include "module.h"

PyObject *mm_insert_object_new(PyTypeObject *type, leg_object *leg, enum mm_direction direction,
                               unsigned int slots) {
    insert_object *self = (insert_object *)PyType_GenericAlloc(type, 0);
    if (!self) return NULL;
    self->engine = (engine_object *)Py_NewRef((PyObject *)leg->engine);
    self->insert = mm_insert_create(leg->leg, direction, slots);
    if (!self->insert) PyErr_NoMemory();
    if (!self->insert || mm_bridge_wait_for_leg(leg) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    if (leg->insert[direction]) {
        PyErr_Format(PyExc_RuntimeError, "the leg has an %s port already",
                     direction == MM_INBOUND ? "inbound" : "outbound");
        Py_DECREF(self);
        return NULL;
    }
    mm_bridge_command_insert(leg, self->insert, 1);
    self->leg = leg;
    leg->insert[direction] = (insert_object *)Py_NewRef((PyObject *)self);
    return (PyObject *)self;
}

void mm_insert_part(insert_object *self) {
    self->leg->insert[self->insert->direction] = NULL;
    self->leg = NULL;
    Py_DECREF((PyObject *)self);
}

static void insert_dealloc(PyObject *object) {
    insert_object *self = (insert_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    /* No leg has it, so what took it from the tick thread was submitted before. */
    if (self->insert) mm_engine_retire(self->engine->engine, self->insert, mm_insert_destroy);
    Py_XDECREF((PyObject *)self->engine);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *view(PyObject *object, mm_ring *ring) {
    const module_state *state = mm_type_state(Py_TYPE(object));
    return state ? mm_ring_view(state->ring_type, ring, object) : NULL;
}

static PyObject *insert_dry(PyObject *object, void *unused) {
    (void)unused;
    return view(object, ((insert_object *)object)->insert->dry);
}

static PyObject *insert_wet(PyObject *object, void *unused) {
    (void)unused;
    return view(object, ((insert_object *)object)->insert->wet);
}

static PyObject *insert_ended(PyObject *object, void *unused) {
    (void)unused;
    const leg_object *leg = ((insert_object *)object)->leg;
    return PyBool_FromLong(!leg || !leg->bridge);
}

static PyObject *insert_counters(PyObject *object, PyObject *unused) {
    (void)unused;
    uint64_t count[MM_INSERT_COUNTERS];
    for (int i = 0; i < MM_INSERT_COUNTERS; i++)
        count[i] = atomic_load_explicit(&((insert_object *)object)->insert->counters[i], memory_order_relaxed);
    return Py_BuildValue("{s:K,s:K,s:K}", "offered", count[MM_INSERT_OFFERED], "taken", count[MM_INSERT_TAKEN],
                         "missed", count[MM_INSERT_MISSED]);
}

static PyObject *insert_close(PyObject *object, PyObject *unused) {
    (void)unused;
    insert_object *self = (insert_object *)object;
    leg_object *leg = self->leg;
    if (!leg) return Py_NewRef(Py_None);
    if (leg->bridge) {
        Py_INCREF((PyObject *)leg); /* others run while this waits */
        const int result = mm_bridge_wait_for_leg(leg);
        const int in_bridge = leg->bridge != NULL;
        Py_DECREF((PyObject *)leg);
        if (result < 0 && in_bridge) return NULL;
        PyErr_Clear(); /* of a leg that left in the meantime: that is an end, too */
    }
    if (!self->leg) return Py_NewRef(Py_None);
    if (self->leg->bridge) mm_bridge_command_insert(self->leg, self->insert, 0);
    mm_insert_part(self);
    return Py_NewRef(Py_None);
}

static PyMethodDef methods[] = {
    {"close", insert_close, METH_NOARGS, "Frames go by, from the next tick on."},
    {"counters", insert_counters, METH_NOARGS, "Frames offered, taken back in time, and missed."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef members[] = {
    {"dry", insert_dry, NULL, "The ring with what is offered.", NULL},
    {"wet", insert_wet, NULL, "The ring for what comes back.", NULL},
    {"ended", insert_ended, NULL, "Whether no frame will be offered any more.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {{Py_tp_dealloc, insert_dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_getset, members},
                              {Py_tp_doc, "Where a plugin takes part in what a leg says or hears."},
                              {0, NULL}};

PyType_Spec mm_insert_spec = {
    .name = "mixminus.media._native.Insert",
    .basicsize = sizeof(insert_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots};
