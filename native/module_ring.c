/* Ring: the frame ring as a Python object. */
#include "module.h"

typedef struct ring_object {
    PyObject_HEAD
    mm_ring *ring;
    PyObject *owner; /* NULL: the ring is ours */
} ring_object;

int mm_check_slots(const char *name, unsigned long value) {
    if (value >= 2 && value <= 4096 && (value & (value - 1)) == 0) return 1;
    PyErr_Format(PyExc_ValueError, "%s: expected a power of two from 2 to 4096, got %lu", name,
                 value);
    return 0;
}

static PyObject *ring_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"slots", NULL};
    unsigned int slots = 16;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|I:Ring", names, &slots) ||
        !mm_check_slots("slots", slots))
        return NULL;
    ring_object *self = (ring_object *)PyType_GenericAlloc(type, 0);
    if (!self) return NULL;
    self->ring = mm_ring_create(slots);
    if (self->ring) return (PyObject *)self;
    Py_DECREF(self);
    return PyErr_NoMemory();
}

PyObject *mm_ring_view(PyTypeObject *type, mm_ring *ring, PyObject *owner) {
    ring_object *self = (ring_object *)PyType_GenericAlloc(type, 0);
    if (!self) return NULL;
    self->ring = ring;
    self->owner = Py_NewRef(owner);
    return (PyObject *)self;
}

static void ring_dealloc(PyObject *object) {
    ring_object *self = (ring_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->owner)
        Py_DECREF(self->owner);
    else if (self->ring)
        mm_ring_destroy(self->ring);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static int frame_buffer(PyObject *object, Py_buffer *view, int flags) {
    if (PyObject_GetBuffer(object, view, flags | PyBUF_C_CONTIGUOUS) < 0) return -1;
    if (view->len == MM_FRAME_BYTES) return 0;
    PyErr_Format(PyExc_ValueError, "expected one frame of %u bytes, got %zd", MM_FRAME_BYTES,
                 view->len);
    PyBuffer_Release(view);
    return -1;
}

int mm_read_speakers(PyObject *speakers, mm_meta *meta) {
    const Py_ssize_t count = PySequence_Size(speakers);
    if (count < 0) return -1;
    for (Py_ssize_t i = 0; i < count && i < (Py_ssize_t)MM_SPEAKERS; i++) {
        PyObject *item = PySequence_GetItem(speakers, i);
        if (!item) return -1;
        const unsigned long id = PyLong_AsUnsignedLong(item);
        Py_DECREF(item);
        if (PyErr_Occurred()) return -1;
        meta->speakers[meta->speaker_count++] = (uint32_t)id;
    }
    return 0;
}

static PyObject *ring_write(PyObject *object, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"pcm", "timestamp", "flags", "speakers", NULL};
    PyObject *pcm, *speakers = NULL;
    long long timestamp = 0;
    unsigned int flags = 0;
    Py_buffer view;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|LIO:write", names, &pcm, &timestamp, &flags,
                                     &speakers))
        return NULL;
    mm_meta meta = {.timestamp = timestamp, .flags = flags};
    if (speakers && mm_read_speakers(speakers, &meta) < 0) return NULL;
    if (frame_buffer(pcm, &view, PyBUF_SIMPLE) < 0) return NULL;
    mm_ring_write(((ring_object *)object)->ring, &meta, view.buf);
    PyBuffer_Release(&view);
    return Py_NewRef(Py_None);
}

static PyObject *ring_read_into(PyObject *object, PyObject *pcm) {
    Py_buffer view;
    mm_meta meta;
    uint64_t sequence;
    if (frame_buffer(pcm, &view, PyBUF_WRITABLE) < 0) return NULL;
    const int got = mm_ring_read(((ring_object *)object)->ring, &meta, view.buf, &sequence);
    PyBuffer_Release(&view);
    if (!got) return Py_NewRef(Py_None);
    PyObject *speakers = PyTuple_New(meta.speaker_count);
    for (uint32_t i = 0; speakers && i < meta.speaker_count; i++) {
        PyObject *id = PyLong_FromUnsignedLong(meta.speakers[i]);
        if (!id || PyTuple_SetItem(speakers, i, id) < 0) Py_CLEAR(speakers);
    }
    if (!speakers) return NULL;
    return Py_BuildValue("LINK", (long long)meta.timestamp, (unsigned int)meta.flags, speakers,
                         (unsigned long long)sequence);
}

static PyObject *ring_skip_to(PyObject *object, PyObject *arg) {
    const unsigned long long depth = PyLong_AsUnsignedLongLong(arg);
    if (PyErr_Occurred()) return NULL;
    return PyLong_FromUnsignedLongLong(mm_ring_skip_to(((ring_object *)object)->ring, depth));
}

#define NUMBER(name, expression)                                   \
    static PyObject *ring_##name(PyObject *object, void *unused) { \
        (void)unused;                                              \
        const mm_ring *ring = ((ring_object *)object)->ring;       \
        return PyLong_FromUnsignedLongLong(expression);            \
    }
NUMBER(slots, mm_ring_slots(ring))
NUMBER(depth, mm_ring_depth(ring))
NUMBER(written, mm_ring_written(ring))
NUMBER(read_count, mm_ring_read_count(ring))
NUMBER(skipped, mm_ring_skipped(ring))

static PyMethodDef methods[] = {
    {"write", (PyCFunction)(void (*)(void))ring_write, METH_VARARGS | METH_KEYWORDS,
     "Write one frame. Writer's thread; never waits."},
    {"read_into", ring_read_into, METH_O,
     "Read the oldest frame into a buffer; (timestamp, flags, speakers, sequence) or None."},
    {"skip_to", ring_skip_to, METH_O, "Drop the oldest until so many wait; how many went."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef members[] = {
    {"slots", ring_slots, NULL, "Capacity in frames.", NULL},
    {"depth", ring_depth, NULL, "Frames waiting.", NULL},
    {"written", ring_written, NULL, "Frames written so far.", NULL},
    {"read_count", ring_read_count, NULL, "Frames read so far.", NULL},
    {"skipped", ring_skipped, NULL, "Frames the reader never saw.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {{Py_tp_new, ring_new},
                              {Py_tp_dealloc, ring_dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_getset, members},
                              {Py_tp_doc, "One writer, one reader, neither ever waits."},
                              {0, NULL}};

PyType_Spec mm_ring_spec = {.name = "mixminus.media._native.Ring",
                            .basicsize = sizeof(ring_object),
                            .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
                            .slots = slots};
