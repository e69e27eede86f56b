/* Libraries bound at run time: libopus and libsrtp by their paths. */
#include "module.h"
#include "opus.h"

#define ERROR_BYTES 256

/* The one libsrtp of this process: contexts point at it, so it is never closed. */
static mm_srtp_library srtp;
static int srtp_bound;

const mm_srtp_library *mm_bound_srtp(void) { return srtp_bound ? &srtp : NULL; }

static PyObject *bind_opus(PyObject *module, PyObject *arg) {
    (void)module;
    char error[ERROR_BYTES] = "";
    PyObject *path = NULL;
    if (!PyUnicode_FSConverter(arg, &path)) return NULL;
    const int result = mm_opus_bind(PyBytes_AsString(path), error, sizeof error);
    Py_DECREF(path);
    if (result == MM_OPUS_BOUND) return PyUnicode_FromString(mm_opus_version());
    PyErr_SetString(PyExc_OSError, error);
    return NULL;
}

static PyObject *bind_srtp(PyObject *module, PyObject *arg) {
    (void)module;
    char error[ERROR_BYTES] = "";
    PyObject *path = NULL;
    if (!srtp_bound) {
        if (!PyUnicode_FSConverter(arg, &path)) return NULL;
        const int result =
            mm_srtp_library_open(&srtp, PyBytes_AsString(path), error, sizeof error);
        Py_DECREF(path);
        if (result < 0) {
            PyErr_SetString(PyExc_OSError, error);
            return NULL;
        }
        srtp_bound = 1;
    }
    char version[32];
    PyOS_snprintf(version, sizeof version, "%u.%u.%u", (unsigned)(srtp.version >> 24),
                  (unsigned)(srtp.version >> 16 & 255), (unsigned)(srtp.version >> 8 & 255));
    return Py_BuildValue("sN", version, PyBool_FromLong(srtp.has_gcm));
}

PyMethodDef mm_library_methods[] = {
    {"bind_opus", bind_opus, METH_O,
     "Use the libopus at a path in this process; its version. OSError when it is not one to use."},
    {"bind_srtp", bind_srtp, METH_O,
     "Use the libsrtp at a path in this process; its version and whether it has GCM."},
    {NULL, NULL, 0, NULL}};
