/* The mixing functions of the module: buffers in, buffers out. */

#include "memory.h"
#include "module.h"

static PyObject *isas(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    const int best = mm_cpu_best_isa();
    PyObject *names = PyTuple_New(best + 1);
    for (int i = 0; names && i <= best; i++) {
        PyObject *name = PyUnicode_FromString(mm_isa_name((mm_isa)i));
        if (!name || PyTuple_SetItem(names, i, name) < 0) Py_CLEAR(names);
    }
    return names;
}

static PyObject *isa(PyObject *module, PyObject *unused) {
    (void)unused;
    return PyUnicode_FromString(mm_isa_name(mm_module_state(module)->isa));
}

static int isa_of(PyObject *module, const char *name, mm_isa *chosen) {
    *chosen = mm_module_state(module)->isa;
    if (!name) return 0;
    const int wanted = mm_isa_by_name(name);
    if (wanted < 0 || wanted > (int)mm_cpu_best_isa()) {
        PyErr_Format(PyExc_ValueError, "isa: this machine runs up to '%s', got '%s'",
                     mm_isa_name(mm_cpu_best_isa()), name);
        return -1;
    }
    *chosen = (mm_isa)wanted;
    return 0;
}

/* Optional arguments are NULL or None; bytes are exact, so that a shape slip is an error here. */
static int get_buffer(PyObject *object, const char *name, Py_buffer *view, int flags,
                      size_t bytes) {
    if (PyObject_GetBuffer(object, view, flags | PyBUF_C_CONTIGUOUS) < 0) return -1;
    if ((size_t)view->len == bytes) return 0;
    PyErr_Format(PyExc_ValueError, "%s: expected %zu bytes, got %zd", name, bytes, view->len);
    PyBuffer_Release(view);
    return -1;
}

static int overlap(const Py_buffer *a, const Py_buffer *b) {
    const char *x = a->buf, *y = b->buf;
    return x < y + b->len && y < x + a->len;
}

typedef struct mix_call {
    mm_isa isa;
    size_t legs, samples;
    Py_buffer out, in, energy, masks;
    PyObject *energy_object, *masks_object;
} mix_call;

static int mix(const mix_call *call) {
    const size_t words = (call->legs + 63) / 64;
    const uint64_t **masks = NULL;
    int32_t *wide = NULL;
    uint64_t *energy = call->energy_object ? call->energy.buf : NULL;
    uint64_t *scratch = NULL;
    int result = -1;
    if (!energy) energy = scratch = malloc((call->legs + 1) * sizeof *scratch);
    if (call->masks_object) {
        masks = malloc((call->legs + 1) * sizeof *masks);
        wide = malloc((2 * call->samples + 1) * sizeof *wide);
        for (size_t i = 0; masks && i < call->legs; i++)
            masks[i] = (const uint64_t *)call->masks.buf + i * words;
    }
    if (!energy || (call->masks_object && (!masks || !wide))) {
        PyErr_NoMemory();
    } else {
        mm_mix(mm_kernels_for(call->isa), call->out.buf, call->in.buf, energy, masks, wide,
               call->legs, call->samples);
        result = 0;
    }
    free(scratch);
    free(masks);
    free(wide);
    return result;
}

static PyObject *mix_minus(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"out", "block", "legs", "samples", "energy", "masks", "isa", NULL};
    PyObject *out, *in, *energy = Py_None, *masks = Py_None;
    Py_ssize_t legs, samples;
    const char *isa_name = NULL;
    mix_call call = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOnn|OOz:mix_minus", names, &out, &in, &legs,
                                     &samples, &energy, &masks, &isa_name))
        return NULL;
    if (legs < 0 || legs > (Py_ssize_t)MM_MIX_MAX_LEGS || samples < 0 || samples > 1 << 20)
        return PyErr_Format(PyExc_ValueError,
                            "expected 0 to %u legs of 0 to %d samples, got %zd of %zd",
                            MM_MIX_MAX_LEGS, 1 << 20, legs, samples);
    if (isa_of(module, isa_name, &call.isa) < 0) return NULL;
    call.legs = (size_t)legs;
    call.samples = (size_t)samples;
    call.energy_object = energy == Py_None ? NULL : energy;
    call.masks_object = masks == Py_None ? NULL : masks;
    const size_t bytes = call.legs * call.samples * 2, words = (call.legs + 63) / 64;
    PyObject *result = NULL;
    if (get_buffer(out, "out", &call.out, PyBUF_WRITABLE, bytes) < 0) return NULL;
    if (get_buffer(in, "block", &call.in, 0, bytes) < 0) goto release_out;
    if (call.energy_object &&
        get_buffer(energy, "energy", &call.energy, PyBUF_WRITABLE, call.legs * 8) < 0)
        goto release_in;
    if (call.masks_object &&
        get_buffer(masks, "masks", &call.masks, 0, call.legs * words * 8) < 0)
        goto release_energy;
    if (bytes && overlap(&call.out, &call.in))
        PyErr_SetString(PyExc_ValueError, "out and block may not overlap");
    else if (mix(&call) == 0)
        result = Py_NewRef(Py_None);
    if (call.masks_object) PyBuffer_Release(&call.masks);
release_energy:
    if (call.energy_object) PyBuffer_Release(&call.energy);
release_in:
    PyBuffer_Release(&call.in);
release_out:
    PyBuffer_Release(&call.out);
    return result;
}

static PyObject *live_blocks(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyLong_FromLong(mm_pages_live());
}

PyMethodDef mm_mix_methods[] = {
    {"isas", isas, METH_NOARGS, "Instruction sets this machine runs, slowest first."},
    {"isa", isa, METH_NOARGS, "The instruction set in use (MIXMINUS_ISA lowers it)."},
    {"mix_minus", (PyCFunction)(void (*)(void))mix_minus, METH_VARARGS | METH_KEYWORDS,
     "Write to each row of out the sum of all other rows of block, or of those its mask names."},
    {"live_blocks", live_blocks, METH_NOARGS, "Blocks of engine memory not yet given back."},
    {NULL, NULL, 0, NULL}};
