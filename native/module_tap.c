/* Tap: a ring with what one leg says, as a Python object. */
#include "module.h"

static size_t place_of(const leg_object *leg, const tap_object *tap) {
    size_t i = 0;
    while (i < MM_TAPS && leg->tap[i] != tap) i++;
    return i;
}

PyObject *mm_tap_object_new(PyTypeObject *type, leg_object *leg, unsigned int slots) {
    tap_object *self = (tap_object *)PyType_GenericAlloc(type, 0);
    if (!self) return NULL;
    self->engine = (engine_object *)Py_NewRef((PyObject *)leg->engine);
    self->source_id = leg->leg->source_id;
    self->ring = mm_ring_create(slots);
    if (!self->ring) PyErr_NoMemory();
    if (!self->ring || mm_bridge_wait_for_leg(leg) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    const size_t place = place_of(leg, NULL);
    if (place == MM_TAPS) {
        PyErr_Format(PyExc_RuntimeError, "expected at most %u taps at a leg", MM_TAPS);
        Py_DECREF(self);
        return NULL;
    }
    mm_bridge_command(leg, mm_taps_add, &leg->leg->taps, self->ring);
    self->leg = leg;
    leg->tap[place] = (tap_object *)Py_NewRef((PyObject *)self);
    return (PyObject *)self;
}

void mm_tap_part(tap_object *self, int command) {
    leg_object *leg = self->leg;
    if (command) mm_bridge_command(leg, mm_taps_remove, &leg->leg->taps, self->ring);
    leg->tap[place_of(leg, self)] = NULL;
    self->leg = NULL;
    Py_DECREF((PyObject *)self);
}

static void destroy_ring(void *ring) { mm_ring_destroy(ring); }

static void tap_dealloc(PyObject *object) {
    tap_object *self = (tap_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    /* No leg has it, so what took it from the tick thread was submitted before. */
    if (self->ring) mm_engine_retire(self->engine->engine, self->ring, destroy_ring);
    Py_XDECREF((PyObject *)self->engine);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *tap_ring(PyObject *object, void *unused) {
    (void)unused;
    const module_state *state = mm_type_state(Py_TYPE(object));
    return state ? mm_ring_view(state->ring_type, ((tap_object *)object)->ring, object) : NULL;
}

static PyObject *tap_source_id(PyObject *object, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(((tap_object *)object)->source_id);
}

static PyObject *tap_ended(PyObject *object, void *unused) {
    (void)unused;
    const leg_object *leg = ((tap_object *)object)->leg;
    return PyBool_FromLong(!leg || !leg->bridge);
}

static PyObject *tap_close(PyObject *object, PyObject *unused) {
    (void)unused;
    tap_object *self = (tap_object *)object;
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
    if (self->leg) mm_tap_part(self, self->leg->bridge != NULL);
    return Py_NewRef(Py_None);
}

static PyMethodDef methods[] = {
    {"close", tap_close, METH_NOARGS, "No more frames, from the next tick on."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef members[] = {
    {"ring", tap_ring, NULL, "The ring, to be read.", NULL},
    {"source_id", tap_source_id, NULL, "The leg's.", NULL},
    {"ended", tap_ended, NULL, "Whether no frame will come any more.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {{Py_tp_dealloc, tap_dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_getset, members},
                              {Py_tp_doc, "Every frame that one leg says."},
                              {0, NULL}};

PyType_Spec mm_tap_spec = {
    .name = "mixminus.media._native.Tap",
    .basicsize = sizeof(tap_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots};
