/* Watchdog: tells of what runs for too long, as a Python object. */
#include "module.h"
#include "watchdog.h"

typedef struct watchdog_object {
    PyObject_HEAD
    mm_watchdog *watchdog; /* NULL once closed */
} watchdog_object;

static PyObject *watchdog_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"limit_ns", NULL};
    long long limit_ns = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "L:Watchdog", names, &limit_ns)) return NULL;
    if (limit_ns <= 0) return PyErr_Format(PyExc_ValueError, "limit_ns: expected more than 0, got %lld", limit_ns);
    watchdog_object *self = (watchdog_object *)PyType_GenericAlloc(type, 0);
    if (!self) return NULL;
    self->watchdog = mm_watchdog_create(limit_ns);
    if (self->watchdog) return (PyObject *)self;
    PyErr_SetFromErrno(PyExc_OSError);
    Py_DECREF(self);
    return NULL;
}

static void end(watchdog_object *self) {
    mm_watchdog *watchdog = self->watchdog;
    self->watchdog = NULL;
    if (!watchdog) return;
    Py_BEGIN_ALLOW_THREADS
    mm_watchdog_destroy(watchdog);
    Py_END_ALLOW_THREADS
}

static void watchdog_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    end((watchdog_object *)object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *watchdog_enter(PyObject *object, PyObject *name) {
    const watchdog_object *self = (watchdog_object *)object;
    Py_ssize_t bytes;
    const char *utf8 = PyUnicode_AsUTF8AndSize(name, &bytes); /* kept by the name: no copy the second time */
    if (!utf8) return NULL;
    if (!self->watchdog) {
        PyErr_SetString(PyExc_RuntimeError, "the watchdog is closed");
        return NULL;
    }
    mm_watchdog_enter(self->watchdog, utf8, (size_t)bytes);
    return Py_NewRef(Py_None);
}

static PyObject *watchdog_leave(PyObject *object, PyObject *unused) {
    (void)unused;
    const watchdog_object *self = (watchdog_object *)object;
    if (self->watchdog) mm_watchdog_leave(self->watchdog);
    return Py_NewRef(Py_None);
}

static PyObject *watchdog_stuck(PyObject *object, PyObject *unused) {
    (void)unused;
    const watchdog_object *self = (watchdog_object *)object;
    char name[MM_WATCHDOG_NAME];
    int64_t ran_ns;
    if (!self->watchdog || !mm_watchdog_stuck(self->watchdog, name, &ran_ns)) return Py_NewRef(Py_None);
    /* A name that was cut may end within a character. */
    PyObject *text = PyUnicode_DecodeUTF8(name, (Py_ssize_t)strlen(name), "replace");
    return text ? Py_BuildValue("Nd", text, (double)ran_ns / 1e9) : NULL;
}

static PyObject *watchdog_close(PyObject *object, PyObject *unused) {
    (void)unused;
    end((watchdog_object *)object);
    return Py_NewRef(Py_None);
}

static PyMethodDef methods[] = {
    {"enter", watchdog_enter, METH_O, "What runs in this thread from now on."},
    {"leave", watchdog_leave, METH_NOARGS, "It has ended."},
    {"stuck", watchdog_stuck, METH_NOARGS, "(name, seconds) of what runs beyond the limit, or None."},
    {"close", watchdog_close, METH_NOARGS, "End the watching thread."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_new, watchdog_new},
                              {Py_tp_dealloc, watchdog_dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_doc, "Tells on stderr of what runs for too long."},
                              {0, NULL}};

PyType_Spec mm_watchdog_spec = {.name = "mixminus.media._native.Watchdog",
                                .basicsize = sizeof(watchdog_object),
                                .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
                                .slots = slots};
