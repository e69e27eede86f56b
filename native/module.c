/* mixminus.media._native: the module, its state and its types. Stable ABI of CPython 3.11. */

#include "module.h"

static struct PyModuleDef definition;

module_state *mm_module_state(PyObject *module) { return PyModule_GetState(module); }

module_state *mm_type_state(PyTypeObject *type) {
    PyObject *module = PyType_GetModule(type);
    return module ? mm_module_state(module) : NULL;
}

/* MIXMINUS_ISA lowers the choice: what the machine cannot run is never chosen. */
static int choose_isa(module_state *state) {
    state->isa = mm_cpu_best_isa();
    const char *wanted = getenv("MIXMINUS_ISA");
    if (!wanted || !*wanted) return 0;
    const int isa = mm_isa_by_name(wanted);
    if (isa < 0) {
        PyErr_Format(PyExc_ValueError, "MIXMINUS_ISA: expected scalar, avx2 or avx512, got '%s'",
                     wanted);
        return -1;
    }
    if ((mm_isa)isa < state->isa) state->isa = (mm_isa)isa;
    return 0;
}

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type) {
    *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *type ? PyModule_AddType(module, *type) : -1;
}

static int execute(PyObject *module) {
    module_state *state = mm_module_state(module);
    if (choose_isa(state) < 0 || add_type(module, &mm_ring_spec, &state->ring_type) < 0 ||
        add_type(module, &mm_engine_spec, &state->engine_type) < 0 ||
        add_type(module, &mm_bridge_spec, &state->bridge_type) < 0 ||
        add_type(module, &mm_leg_spec, &state->leg_type) < 0 ||
        add_type(module, &mm_peer_spec, &state->peer_type) < 0 ||
        add_type(module, &mm_port_spec, &state->port_type) < 0 ||
        add_type(module, &mm_tap_spec, &state->tap_type) < 0 ||
        add_type(module, &mm_insert_spec, &state->insert_type) < 0 ||
        add_type(module, &mm_watchdog_spec, &state->watchdog_type) < 0 ||
        PyModule_AddFunctions(module, mm_library_methods) < 0)
        return -1;
    if (PyModule_AddIntConstant(module, "FRAME_SAMPLES", MM_FRAME_SAMPLES) < 0 ||
        PyModule_AddIntConstant(module, "FRAME_BYTES", MM_FRAME_BYTES) < 0 ||
        PyModule_AddIntConstant(module, "MAX_SPEAKERS", MM_SPEAKERS) < 0 ||
        PyModule_AddIntConstant(module, "MAX_TICK_THREADS", MM_ENGINE_TICK_THREADS) < 0 ||
        PyModule_AddIntConstant(module, "TYPE_NOISE", MM_TYPE_NOISE) < 0 ||
        PyModule_AddIntConstant(module, "TYPE_EVENT", MM_TYPE_EVENT) < 0)
        return -1;
    /* In the order of enum mm_codec and of enum mm_datagram_kind. */
    PyObject *codecs = Py_BuildValue("sssss", "opus", "pcmu", "pcma", "g722", "pcm16k");
    PyObject *kinds = Py_BuildValue("sssss", "junk", "stun", "dtls", "rtp", "rtcp");
    const int failed = PyModule_AddObjectRef(module, "CODECS", codecs) < 0 ||
                       PyModule_AddObjectRef(module, "DATAGRAM_KINDS", kinds) < 0;
    Py_XDECREF(codecs);
    Py_XDECREF(kinds);
    return failed ? -1 : 0;
}

static int traverse(PyObject *module, visitproc visit, void *arg) {
    module_state *state = mm_module_state(module);
    Py_VISIT(state->ring_type);
    Py_VISIT(state->engine_type);
    Py_VISIT(state->bridge_type);
    Py_VISIT(state->leg_type);
    Py_VISIT(state->peer_type);
    Py_VISIT(state->port_type);
    Py_VISIT(state->tap_type);
    Py_VISIT(state->insert_type);
    Py_VISIT(state->watchdog_type);
    return 0;
}

static int clear(PyObject *module) {
    module_state *state = mm_module_state(module);
    Py_CLEAR(state->ring_type);
    Py_CLEAR(state->engine_type);
    Py_CLEAR(state->bridge_type);
    Py_CLEAR(state->leg_type);
    Py_CLEAR(state->peer_type);
    Py_CLEAR(state->port_type);
    Py_CLEAR(state->tap_type);
    Py_CLEAR(state->insert_type);
    Py_CLEAR(state->watchdog_type);
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_doc = "The C engine: mixing kernels, frame rings, bridges and the tick thread.",
    .m_size = sizeof(module_state),
    .m_methods = mm_mix_methods,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
};

PyMODINIT_FUNC PyInit__native(void);
PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
